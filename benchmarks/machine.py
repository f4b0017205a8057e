"""The machine and the versions that a benchmark was measured with."""

import os
import platform
import subprocess
from datetime import date
from importlib import metadata
from pathlib import Path

import torch

from benchmarks.peers import PEERS
from toylab.experiments.versions import versions


def made_with(share: float) -> dict[str, str | int | float]:
    """Date, machine, versions, and the share of the steps and repeats that was taken."""
    gpu = torch.cuda.is_available()
    return {
        "date": date.today().isoformat(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "gpu": torch.cuda.get_device_name() if gpu else "none",
        **({"driver": _driver(), "cuda": torch.version.cuda or "none", "triton": _version("triton")} if gpu else {}),
        **versions(),
        **{peer: _version(peer) for peer in PEERS},
        "share": share,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _driver() -> str:
    """The version of the GPU's driver, as nvidia-smi says it."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def _cpu() -> str:
    """The processor's name, on Linux; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
