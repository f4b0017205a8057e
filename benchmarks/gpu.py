"""Everything that is measured on a GPU."""

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks import gpu_chains, gpu_densities, gpu_figures, gpu_limit, gpu_networks, gpu_training
from benchmarks.measurement import Measurement

PARTS = {
    "gpu-limit": gpu_limit.rows,
    "gpu-densities": gpu_densities.rows,
    "gpu-chains": gpu_chains.rows,
    "gpu-networks": gpu_networks.rows,
    "gpu-training": gpu_training.rows,
    "gpu-figures": gpu_figures.rows,
}
"""In the order in which they are measured: the figures, which take longest, last."""


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Measurement[Any]]:
    """Everything measured on ``device``; each row says why not, where torch sees no such device."""
    for part in PARTS.values():
        yield from part(share, device)
