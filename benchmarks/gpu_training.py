"""On a GPU: a training step against a limit and kernel by kernel, and seconds to a Fisher divergence."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.hardware_limit import wait_for
from benchmarks.measurement import Measurement
from benchmarks.peers import without_a_device
from benchmarks.row import Row, limit, worst
from benchmarks.step import SIGMA, trained_objectives
from benchmarks.timing import time_in_turns
from toylab._internal import cuda_graphs
from toylab.densities import two_modes
from toylab.experiments.setting import scaled_count
from toylab.metrics import fisher_divergence
from toylab.networks import ScoreMLP
from toylab.objectives.objective import Objective
from toylab.training import fit

BATCH, SIDE_BY_SIDE = 128, 512
STEP_LIMITS = {"denoising": 0.07e-3, "sliced": 0.11e-3, "implicit": 0.11e-3}  # seconds of one network's step
SIDE_BY_SIDE_LIMIT = 0.5e-3
# (n_steps, batch_size, learning_rate) that bring each objective to half-Fisher QUALITY with room to spare: over eight
# seeds on the CPU, where the law of the numbers is the same, at most 0.0006, 0.0006, 0.0009 and 0.0008
QUALITY, QUALITY_LIMIT, TRAININGS = 0.002, 0.2, {
    "explicit": (400, 512, 0.02), "denoising": (1000, 2048, 0.02), "sliced": (800, 1024, 0.02),
    "implicit": (800, 1024, 0.02),
}  # fmt: skip
LAUNCHES = 12  # kernels of a step that is fused as far as it goes: their launches are its floor
_REPLAYS = 1000  # of them, timed together


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Measurement[Row]]:
    """Of one network and of 512, and whole trainings."""
    for measurement in _rows(share, torch.device(device)):
        yield replace(measurement, skipped=measurement.skipped or without_a_device(device))


def _rows(share: float, device: torch.device) -> Iterator[Measurement[Row]]:
    n_steps, repeats = scaled_count(2000, share, least=4), scaled_count(5, share, least=2)
    objectives = trained_objectives()
    for name, objective in objectives.items():
        if name in STEP_LIMITS:
            row = limit(f"training step on a GPU, {name}, batch {BATCH}", STEP_LIMITS[name], share)
            yield _step(row, objective, 1, n_steps, repeats, device)
    n = scaled_count(SIDE_BY_SIDE, share, least=2)
    for name, objective in objectives.items():
        row = limit(f"training step on a GPU, {name}, batch {BATCH}, {n} at once", SIDE_BY_SIDE_LIMIT, share)
        yield _step(row, objective, n, scaled_count(500, share, least=4), repeats, device)
    for name, objective in objectives.items():
        for n_seeds in (1, 8):
            row = Row(f"training step on a GPU, {name}, batch {BATCH}, {n_seeds} at once", "kernel by kernel", 1 / 8)
            yield _step_beside_launches(row, objective, n_seeds, n_steps, repeats, device)
    for name, objective in objectives.items():
        yield _quality(name, objective, share, device)


def _step(
    row: Row, objective: Objective[Any], n_seeds: int, n_steps: int, repeats: int, device: torch.device
) -> Measurement[Row]:
    def measure() -> Iterator[Row]:
        recording = seconds_per_step(objective, n_steps, device, n_seeds)[1]
        (seconds,) = time_in_turns(lambda: seconds_per_step(objective, n_steps, device, n_seeds)[0], repeats=repeats)
        reached = f"{n_steps:,} steps; recording {recording:.2g} s; the floor is a graph of {LAUNCHES} launches"
        yield replace(row, ours=seconds, reached=reached, floor=launch_floor(device))

    return Measurement((row,), measure)


def _step_beside_launches(
    row: Row, objective: Objective[Any], n_seeds: int, n_steps: int, repeats: int, device: torch.device
) -> Measurement[Row]:
    def measure() -> Iterator[Row]:
        ours, theirs = time_in_turns(
            lambda: seconds_per_step(objective, n_steps, device, n_seeds)[0],
            lambda: seconds_per_step(without_graph(objective), n_steps, device, n_seeds)[0],
            repeats=repeats,
        )
        yield replace(row, ours=ours, theirs=theirs, reached=f"{n_steps:,} steps each")

    return Measurement((row,), measure)


def without_graph(objective: Objective[Any]) -> Objective[Any]:
    """The same objective as a plain function, of which nothing is known, so that it is not recorded."""

    def plain(score: Any, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:  # noqa: ANN401
        return objective(score, x, generator=generator)

    return plain


def seconds_per_step(
    objective: Objective[Any], n_steps: int, device: torch.device, n_seeds: int = 1
) -> tuple[float, float]:
    """Of the second half of a training; and what its first half took beyond that, which is the recording."""
    g = torch.Generator(device).manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that of the objective which is not recorded
        history = fit(
            ScoreMLP(generator=torch.Generator().manual_seed(0)), objective, two_modes(), n_steps=n_steps,
            batch_size=BATCH, n_seeds=n_seeds, report_every=n_steps // 2, generator=g, device=device, progress=False,
        ).history  # fmt: skip
    return _apart(history.seconds, n_steps)


def _apart(seconds: Tensor, n_steps: int) -> tuple[float, float]:
    """Seconds per step after the first of two reports, half-way, and what the steps before it took beyond that."""
    first = n_steps // 2
    step = float(seconds[-1] - seconds[0]) / (n_steps - first)
    return step, max(0.0, float(seconds[0]) - first * step)


def launch_floor(device: torch.device) -> float:
    """Seconds of a CUDA graph of ``LAUNCHES`` kernels with next to nothing to do; elsewhere of those calls."""
    x = torch.zeros(BATCH, device=device)

    def launches() -> None:
        for _ in range(LAUNCHES):
            x.add_(1)

    replay = launches
    if device.type == "cuda":
        launches()
        replay = cuda_graphs.cuda_graph(launches, device)
    (seconds,) = time_in_turns(lambda: wait_for([replay() for _ in range(_REPLAYS)], device), repeats=5)
    return min(seconds) / _REPLAYS


def _quality(name: str, objective: Objective[Any], share: float, device: torch.device) -> Measurement[Row]:
    n_steps, batch_size, learning_rate = TRAININGS[name]
    n_steps = scaled_count(n_steps, share, least=10)
    work = f"half-Fisher divergence {QUALITY:g} on a GPU, {name}, {n_steps} × {batch_size}"
    row = replace(limit(work, QUALITY_LIMIT, share), allowed=QUALITY)

    def measure() -> Iterator[Row]:
        p = two_modes()
        density = p.noised(SIGMA) if name == "denoising" else p
        seconds, recordings, divergences = [], [], []
        for seed in range(scaled_count(3, share)):
            g = torch.Generator(device).manual_seed(seed)
            found = fit(
                ScoreMLP(generator=torch.Generator().manual_seed(seed)), objective, p, n_steps=n_steps,
                batch_size=batch_size, learning_rate=learning_rate, report_every=n_steps // 2, generator=g,
                device=device, progress=False,
            )  # fmt: skip
            step, recording = _apart(found.history.seconds, n_steps)
            seconds.append(step * n_steps)
            recordings.append(recording)
            divergences.append(fisher_divergence(found.network.cpu(), density))
        reached = f"after capture, the recording {max(recordings):.2g} s on top"
        yield replace(row, ours=tuple(seconds), reached=reached, error=worst(divergences))

    return Measurement((row,), measure)
