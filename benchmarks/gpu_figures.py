"""On a GPU: the command that draws the figures, each time in a process of its own."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.fresh_process import in_a_fresh_process
from benchmarks.measurement import Measurement
from benchmarks.peers import without_a_device
from benchmarks.row import Row, limit

DEFAULT_LIMIT = 20.0  # seconds of the four figures that are drawn by default
# those that are drawn by --only, the quickest first; ``toylab figures --list`` has all
OTHERS = (
    "bugs", "reference", "diffusion", "anatomy", "efficiency", "blame", "failures", "gradients", "bayes", "likelihood",
    "guidance", "nats", "samplers", "posterior", "objectives",
)  # fmt: skip
_FIGURES = """
import sys
from toylab.cli import main
sys.exit(main(["figures", "--quiet", "--out", *sys.argv[1:]]))
"""
_START = """
import sys
import matplotlib.pyplot, torch, toylab.experiments
torch.zeros(1, device=sys.argv[1])
"""


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Measurement[Row]]:
    """The main job against a limit, and every other figure beside the CPU; below a share of 1 each at a quick size."""
    kind = torch.device(device).type
    quick = () if share == 1 else ("--quick",)
    said = f"toylab figures{' --quick' if quick else ''} --device {kind}"
    why = without_a_device(device)
    yield replace(_main_job(limit(said, DEFAULT_LIMIT, share), kind, quick), skipped=why)
    for name in OTHERS:
        yield replace(
            _beside_the_cpu(Row(f"{said} --only {name}", "--device cpu", 1 / 2), name, kind, quick), skipped=why
        )


def _main_job(row: Row, device: str, quick: tuple[str, ...]) -> Measurement[Row]:
    def measure() -> Iterator[Row]:
        start = time.perf_counter()
        in_a_fresh_process(_START, device)
        floor = time.perf_counter() - start
        seconds = seconds_of_figures("--device", device, *quick)
        reached = "the start included; the floor is a process that imports all and wakes the device"
        yield replace(row, ours=(seconds,), floor=floor, reached=reached)

    return Measurement((row,), measure)


def _beside_the_cpu(row: Row, name: str, device: str, quick: tuple[str, ...]) -> Measurement[Row]:
    def measure() -> Iterator[Row]:
        ours, theirs = (seconds_of_figures("--only", name, "--device", where, *quick) for where in (device, "cpu"))
        yield replace(row, ours=(ours,), theirs=(theirs,), reached="the start included")

    return Measurement((row,), measure)


def seconds_of_figures(*options: str) -> float:
    """Of ``toylab figures`` with these options, from the start of its process to its end; it must succeed."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        in_a_fresh_process(_FIGURES, folder, *options)
        return time.perf_counter() - start
