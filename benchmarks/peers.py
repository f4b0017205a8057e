"""The packages that ours is measured against: optional, and imported only where they run."""

import os
from importlib import metadata

import torch

PEERS = ("torchebm", "blackjax", "jax")

# jax would take three quarters of a GPU's memory when it is first used, and leave torch what remains
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def why_missing(package: str) -> str:
    """Why a row beside this package is skipped, in one line; "" if it is installed."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return f'{package} is not installed: pip install -e ".[bench]"'
    return ""


def why_on_the_cpu(peer: str) -> str:
    """Why a row beside this peer says nothing of a GPU, where the package is installed; "" if it runs there."""
    if not peer.startswith("blackjax"):
        return ""
    import jax

    backend = jax.default_backend()
    return "" if backend == "gpu" else f'jax computes on the {backend} here: pip install "jax[cuda12]"'


def without_a_device(device: torch.device | str) -> str:
    """Why a row of a GPU is skipped, in one line; "" if torch sees the device."""
    missing = torch.device(device).type == "cuda" and not torch.cuda.is_available()
    return "torch sees no CUDA device" if missing else ""
