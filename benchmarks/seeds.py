"""Networks trained side by side: beside as many single trainings, and what one more of them costs."""

import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from benchmarks.machine import made_with
from benchmarks.measurement import Measurement
from benchmarks.row import Row
from benchmarks.step import trained_objectives
from benchmarks.timing import time_in_turns
from toylab.densities import two_modes
from toylab.experiments.setting import scaled_count
from toylab.networks import ScoreMLP
from toylab.objectives.objective import Objective
from toylab.training import fit

N_SEEDS, BATCH = 8, 128
SHAPES = {
    "batch 64, width 64": (64, 64),
    "batch 128, width 64": (128, 64),
    "batch 128, width 128": (128, 128),
    "batch 256, width 128": (256, 128),
}


def seconds(
    objective: Objective[Any], n_seeds: int, *, n_steps: int, batch_size: int = BATCH, width: int = 128, seed: int = 0
) -> float:
    """Of the steps alone, without the set-up, for ``n_seeds`` networks at once."""
    g = torch.Generator().manual_seed(seed)
    result = fit(
        ScoreMLP(width, generator=g), objective, two_modes(), n_steps=n_steps, batch_size=batch_size, n_seeds=n_seeds,
        generator=g, progress=False,
    )  # fmt: skip
    return float(result.history.seconds[-1])


def rows(share: float) -> Iterator[Measurement[Row]]:
    """Eight networks 2-128-128-2 at once beside eight single trainings."""
    for name, objective in trained_objectives().items():
        yield _at_once(name, objective, scaled_count(40, share, least=2), scaled_count(15, share, least=2))


def _at_once(name: str, objective: Objective[Any], n_steps: int, repeats: int) -> Measurement[Row]:
    row = Row(f"{N_SEEDS} networks at once, {name}, batch {BATCH}", f"{N_SEEDS} single trainings", 3 / 8)

    def measure() -> Iterator[Row]:
        ours, theirs = time_in_turns(
            lambda: seconds(objective, N_SEEDS, n_steps=n_steps),
            lambda: sum(seconds(objective, 1, n_steps=n_steps, seed=seed) for seed in range(N_SEEDS)),
            repeats=repeats,
        )
        yield replace(row, ours=ours, theirs=theirs, reached=f"{n_steps} steps each")

    return Measurement((row,), measure)


def run(share: float) -> dict[str, Any]:
    """Milliseconds per step of one and of eight networks, and the ratio, for each objective and shape.

    ``one_more`` is what one network more costs among two to four, whose tensors still fit into the cache: arithmetic
    alone, in steps of one. With these kernels eight cost about 1 + 7 of it (repeats differ by 30 %).
    """
    n_steps = scaled_count(100, share, least=2)
    numbers: dict[str, Any] = {"made with": made_with(share)}
    for label, objective in trained_objectives().items():
        numbers[label] = {}
        for shape, (batch_size, width) in SHAPES.items():
            times = time_in_turns(
                *(
                    lambda o=objective, n=n, b=batch_size, w=width: seconds(
                        o, n, n_steps=n_steps, batch_size=b, width=w
                    )
                    for n in (1, 2, 4, 8)
                ),
                repeats=scaled_count(7, share, least=2),
            )
            one, two, four, eight = (1e3 * statistics.median(column) / n_steps for column in times)
            numbers[label][shape] = {
                "one_ms": one,
                "eight_ms": eight,
                "ratio": eight / one,
                "one_more": (four - two) / 2 / one,
            }
    return numbers
