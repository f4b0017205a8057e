"""The machine and the versions that a benchmark was measured with."""

import os
import platform
from datetime import date
from importlib import metadata
from pathlib import Path

import torch

from benchmarks.peers import PEERS
from toylab.experiments.versions import versions


def made_with(share: float) -> dict[str, str | int | float]:
    """Date, machine, versions, and the share of the steps and repeats that was taken."""
    return {
        "date": date.today().isoformat(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        **versions(),
        **{peer: _version(peer) for peer in PEERS},
        "share": share,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    """The processor's name, on Linux; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
