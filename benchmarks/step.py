"""One training step of each objective beside torchebm's loss of the same name."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

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


def trained_objectives() -> dict[str, Objective[Any]]:
    """The objectives of every comparison of our own trainings, on ``two_modes``."""
    p = two_modes()
    return {
        "explicit": Explicit(p.score), "denoising": Denoising(SIGMA), "sliced": Sliced(), "implicit": Implicit()
    }  # fmt: skip


def rows(share: float) -> Iterator[Row]:
    """A step is all of it: the batch drawn, the loss, its gradient, Adam; in ours the rate and the weight average too.

    Ours is a network 2-128-128-2; torchebm's losses take an energy, 2-128-128-1, whose gradient is the score.
    """
    p, n_steps = two_modes(), scaled_count(100, share, least=2)
    ours = {"denoising": Denoising(SIGMA), "sliced": Sliced(variance_reduced=False), "implicit": Implicit()}
    for name, objective in ours.items():
        for batch_size in BATCHES:
            work = f"one training step, {name}, batch {batch_size:,}"
            if why := why_missing("torchebm"):
                yield Row(work, "torchebm", GOALS[name], skipped=why)
                continue
            times = time_in_turns(
                lambda o=objective, b=batch_size: our_step(o, p, b, n_steps),
                lambda k=name, b=batch_size: their_step(k, p, b, n_steps),
                repeats=scaled_count(15, share, least=2),
            )
            gap = gap_between(name, objective)
            reached = f"the same loss of the same energy: relative gap {gap:.0e}"
            yield Row(work, "torchebm, Adam", GOALS[name], *times, reached)


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
