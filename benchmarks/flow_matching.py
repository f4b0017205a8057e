"""Flow matching: its step beside that of denoising, its draws, its coupling, and how near a training comes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measurement import Measurement
from benchmarks.row import Row, limit
from benchmarks.timing import time_in_turns
from toylab.densities import Checkerboard, two_modes
from toylab.experiments.setting import generator, scaled_count
from toylab.metrics import Estimate, mean_of
from toylab.networks import NoiseConditionalMLP, VelocityMLP
from toylab.objectives import FlowMatching, LogUniform, NoiseConditional
from toylab.objectives.objective import Objective
from toylab.paths import GaussianPath, Linear, cosine, draw, optimal_transport
from toylab.training import fit

BATCHES = (128, 1024)
BOARD = Checkerboard().scaled(0.5 / 0.45)
"""The field's example, of side 4 / 0.45, whose printed losses are 3.746 +- 0.025."""
EXCESS = 0.05  # the most that a training may be left with above the irreducible loss


def rows(share: float) -> Iterator[Measurement[Row]]:
    """Steps of networks 3-128-128-128-2, draws of a batch of 4,096, one assignment of 256 points, and a training."""
    n_steps, repeats = scaled_count(100, share, least=2), scaled_count(15, share, least=2)
    for name, path in (("linear path", Linear()), ("cosine path", cosine())):
        for batch_size in BATCHES:
            yield _step(name, path, batch_size, n_steps, repeats)
    yield _draws(repeats)
    yield _coupling(share, repeats)
    yield _training(share)


def _step(name: str, path: Linear | GaussianPath, batch_size: int, n_steps: int, repeats: int) -> Measurement[Row]:
    row = Row(f"one training step, flow matching, {name}, batch {batch_size:,}", "denoising at every level", 1.3)

    def measure() -> Iterator[Row]:
        ours, theirs = time_in_turns(
            lambda: step(VelocityMLP(generator=generator(0, 0)), FlowMatching(path), batch_size, n_steps),
            lambda: step(
                NoiseConditionalMLP(generator=generator(0, 0)),
                NoiseConditional(LogUniform(0.1, 10.0)),
                batch_size,
                n_steps,
            ),
            repeats=repeats,
        )
        yield replace(row, ours=ours, theirs=theirs, reached="a step of a network of the same size")

    return Measurement((row,), measure)


def step(network: nn.Module, objective: Objective[Any], batch_size: int, n_steps: int) -> float:
    """Seconds per step of ``fit``, without its set-up."""
    result = fit(
        network, objective, two_modes(), n_steps=n_steps, batch_size=batch_size, generator=generator(0, 1),
        progress=False,
    )  # fmt: skip
    return float(result.history.seconds[-1]) / n_steps


def _draws(repeats: int) -> Measurement[Row]:
    row = Row("points of 4,096 linear paths with their targets", "the formula in plain torch", 2.0, allowed=0.0)

    def measure() -> Iterator[Row]:
        x = two_modes().sample((4096,), generator=generator(0, 0))
        ours, theirs = time_in_turns(
            lambda: [ours_drawn(x) for _ in range(50)], lambda: [drawn_by_hand(x) for _ in range(50)], repeats=repeats
        )
        gap = max(float((a - b).abs().max()) for a, b in zip(ours_drawn(x), drawn_by_hand(x), strict=True))
        yield replace(row, ours=ours, theirs=theirs, reached="the same numbers, 50 times", error=gap)

    return Measurement((row,), measure)


def ours_drawn(x1: Tensor) -> tuple[Tensor, Tensor]:
    """x_t and x'_t by ``draw``."""
    here = draw(Linear(), x1, generator=generator(0, 1))
    return here.x, here.target


def drawn_by_hand(x1: Tensor) -> tuple[Tensor, Tensor]:
    """The same from the same random numbers."""
    g = generator(0, 1)
    t = torch.rand(len(x1), generator=g)[:, None]
    x0 = torch.randn(x1.shape, generator=g)
    return (1 - t) * x0 + t * x1, x1 - x0


def _coupling(share: float, repeats: int) -> Measurement[Row]:
    row = limit("optimal transport between two batches of 256", 0.05, share)

    def measure() -> Iterator[Row]:
        x0, x1 = (two_modes().sample((256,), generator=generator(0, k)) for k in range(2))
        (ours,) = time_in_turns(lambda: optimal_transport(x0, x1), repeats=repeats)
        yield replace(row, ours=ours)

    return Measurement((row,), measure)


def _training(share: float) -> Measurement[Row]:
    n_steps = scaled_count(2000, share)
    row = limit(f"loss above the irreducible 3.752 of the checkerboard, {n_steps:,} × 1,024", EXCESS, share, unit="")

    def measure() -> Iterator[Row]:
        offset = FlowMatching(Linear()).offset(BOARD)
        found = [mean_loss(n_steps, seed) for seed in range(scaled_count(3, share))]
        error = max(loss.standard_error for loss in found)
        yield replace(row, ours=tuple(loss.value + offset for loss in found), reached=f"standard error {error:.2g}")

    return Measurement((row,), measure)


def mean_loss(n_steps: int, seed: int) -> Estimate:
    """Of a network trained on the board, from 500,000 points; with the offset it is the error of its velocity."""
    objective = FlowMatching(Linear())
    network = fit(
        VelocityMLP(generator=generator(seed, 0)), objective, BOARD, n_steps=n_steps, batch_size=1024,
        generator=generator(seed, 1), progress=False,
    ).network  # fmt: skip
    x = BOARD.sample((500_000,), generator=generator(seed, 2))
    with torch.no_grad():
        return mean_of(objective(network, x, generator=generator(seed, 3)))
