"""One training step of each objective beside torchebm's loss of the same name."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measurement import Measurement
from benchmarks.peers import why_missing
from benchmarks.row import Row
from benchmarks.timing import time_in_turns
from toylab._internal.random import normal_like
from toylab.densities import Density, two_modes
from toylab.experiments.setting import scaled_count
from toylab.networks import EnergyMLP, ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced
from toylab.objectives.objective import Objective
from toylab.training import fit

SIGMA, BATCHES, GOALS = 0.5, (128, 1024), {"denoising": 1 / 2, "sliced": 1 / 2, "implicit": 1 / 2.5}
GAP = 1e-5  # of two means of the same loss in float32, relative


def trained_objectives() -> dict[str, Objective[Any]]:
    """The objectives of every comparison of our own trainings, on ``two_modes``."""
    p = two_modes()
    return {
        "explicit": Explicit(p.score), "denoising": Denoising(SIGMA), "sliced": Sliced(), "implicit": Implicit()
    }  # fmt: skip


def rows(share: float) -> Iterator[Measurement[Row]]:
    """A step is all of it: the batch drawn, the loss, its gradient, Adam; in ours the rate and the weight average too.

    Ours is a network 2-128-128-2; torchebm's losses take an energy, 2-128-128-1, whose gradient is the score.
    """
    n_steps, repeats = scaled_count(100, share, least=2), scaled_count(15, share, least=2)
    ours = {"denoising": Denoising(SIGMA), "sliced": Sliced(variance_reduced=False), "implicit": Implicit()}
    for name, objective in ours.items():
        for batch_size in BATCHES:
            yield _beside_torchebm(name, objective, batch_size, n_steps, repeats)


def _beside_torchebm(
    name: str, objective: Objective[Any], batch_size: int, n_steps: int, repeats: int
) -> Measurement[Row]:
    row = Row(f"one training step, {name}, batch {batch_size:,}", "torchebm, Adam", GOALS[name], allowed=GAP)

    def measure() -> Iterator[Row]:
        p = two_modes()
        ours, theirs = time_in_turns(
            lambda: our_step(objective, p, batch_size, n_steps),
            lambda: their_step(name, p, batch_size, n_steps),
            repeats=repeats,
        )
        gap = gap_between(name, objective)
        yield replace(row, ours=ours, theirs=theirs, reached="the same loss of the same energy", error=gap)

    return Measurement((row,), measure, why_missing("torchebm"))


def our_step(objective: Objective[Any], p: Density, batch_size: int, n_steps: int) -> float:
    """Seconds per step of ``fit``, without its set-up."""
    g = torch.Generator().manual_seed(0)
    result = fit(
        ScoreMLP(generator=g), objective, p, n_steps=n_steps, batch_size=batch_size, generator=g, progress=False
    )  # fmt: skip
    return float(result.history.seconds[-1]) / n_steps


def their_step(name: str, p: Density, batch_size: int, n_steps: int) -> float:
    """Seconds per step of the plain loop around torchebm's loss."""
    g = torch.Generator().manual_seed(0)
    energy = EnergyMLP(generator=g)
    loss = their_loss(name, energy)
    optimiser = torch.optim.Adam(energy.parameters(), lr=5e-3)
    start = time.perf_counter()
    for _ in range(n_steps):
        value = loss(p.sample((batch_size,), generator=g), generator=g)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return (time.perf_counter() - start) / n_steps


def their_loss(name: str, energy: EnergyMLP) -> nn.Module:
    """torchebm's loss of that name, for a plain module x [n, 2] -> E [n]."""
    from torchebm.core import BaseModel
    from torchebm.losses import DenoisingScoreMatching, ScoreMatching, SlicedScoreMatching

    class Energy(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            layers = []
            for layer in energy.layers:
                layers += [layer, nn.Softplus()]
            self.stack = nn.Sequential(*layers[:-1])

        def forward(self, x: Tensor) -> Tensor:
            return self.stack(x).squeeze(-1)

    if name == "denoising":
        return DenoisingScoreMatching(Energy(), noise_scale=SIGMA)
    if name == "sliced":
        return SlicedScoreMatching(Energy(), n_projections=1)
    return ScoreMatching(Energy(), hessian_method="exact")


def gap_between(name: str, objective: Objective[Any]) -> float:
    """|mean of ours - theirs| / |ours|, for one energy network, one batch and the same draws."""
    g = torch.Generator().manual_seed(0)
    energy, x = EnergyMLP(generator=g), two_modes().sample((512,), generator=g)
    if name == "sliced":  # in their way of drawing directions
        objective = replace(objective, projection=lambda x, g: normal_like(x, g).sign())
    ours = objective(energy, x, generator=torch.Generator().manual_seed(1)).mean().detach()
    theirs = their_loss(name, energy)(x, generator=torch.Generator().manual_seed(1)).detach()
    return float((ours - theirs).abs() / ours.abs())
