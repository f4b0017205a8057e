"""One training step of likelihoods, energies and bounded data beside one of denoising, of the same network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from benchmarks.flow_matching import step
from benchmarks.measurement import Measurement
from benchmarks.row import Row
from benchmarks.step import SIGMA
from benchmarks.timing import time_in_turns
from toylab.densities import isotropic
from toylab.experiments.setting import generator, scaled_count
from toylab.networks import EnergyMLP, ScoreMLP
from toylab.objectives import (
    BoundedImplicit,
    ContrastiveDivergence,
    Denoising,
    MaximumLikelihood,
    MultiscaleDenoising,
    NoiseContrastive,
    WallDistance,
)
from toylab.objectives.objective import Objective
from toylab.samplers import langevin_step
from toylab.schedules import geometric

BATCH = 256
BOX = (-12.0, 12.0, -12.0, 12.0)  # holds two modes and what the largest level adds
Kind = Callable[..., nn.Module]


@dataclass(frozen=True)
class Trained:
    """An objective, the network that it trains, and the most that its step may take, in steps of denoising."""

    objective: Objective[Any]
    network: Kind
    goal: float


def trained() -> dict[str, Trained]:
    """By the names of the rows.

    A likelihood evaluates the energy at 2,304 nodes beside the 256 points, but takes no gradient in x; a chain takes
    one more than the loss; a bounded loss takes both derivatives of the network and of the weight.
    """
    langevin = partial(langevin_step, step_size=0.1)
    return {
        "maximum likelihood, 12 × 12 cells": Trained(MaximumLikelihood(BOX, n_cells=12), EnergyMLP, 3.0),
        "contrastive divergence, 1 step": Trained(ContrastiveDivergence(langevin), EnergyMLP, 1.5),
        "noise-contrastive": Trained(NoiseContrastive(isotropic([[0.0, 0.0]], 5.0)), EnergyMLP, 1.3),
        "multiscale denoising, 10 levels": Trained(MultiscaleDenoising(geometric(2.0, 0.5, 10), 0.5), EnergyMLP, 1.3),
        "bounded implicit": Trained(BoundedImplicit(WallDistance(BOX, scale=1.0)), ScoreMLP, 4.0),
    }


def rows(share: float) -> Iterator[Measurement[Row]]:
    """Steps of networks 2-128-128-1, whose gradient is the score, and of one 2-128-128-2 on bounded data."""
    n_steps, repeats = scaled_count(100, share, least=2), scaled_count(15, share, least=2)
    for name, case in trained().items():
        yield _beside_denoising(name, case, n_steps, repeats)


def _beside_denoising(name: str, case: Trained, n_steps: int, repeats: int) -> Measurement[Row]:
    row = Row(f"one training step, {name}, batch {BATCH}", "denoising", case.goal)

    def measure() -> Iterator[Row]:
        ours, theirs = time_in_turns(
            lambda: step(case.network(generator=generator(0, 0)), case.objective, BATCH, n_steps),
            lambda: step(case.network(generator=generator(0, 0)), Denoising(SIGMA), BATCH, n_steps),
            repeats=repeats,
        )
        yield replace(row, ours=ours, theirs=theirs, reached="a step of the same network")

    return Measurement((row,), measure)
