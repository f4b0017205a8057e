"""One training step of every objective beside one of denoising, or of denoising at every level."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.flow_matching import step
from benchmarks.measurement import Measurement
from benchmarks.row import Row
from benchmarks.step import SIGMA
from benchmarks.timing import time_in_turns
from toylab.densities import isotropic, two_modes
from toylab.experiments.setting import generator, scaled_count
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import (
    BoundedImplicit,
    ClassConditional,
    ContrastiveDivergence,
    Denoising,
    ElboMixture,
    Explicit,
    FiniteDifferenceSliced,
    Implicit,
    LikelihoodWeighting,
    LogUniform,
    MaximumLikelihood,
    MultiscaleDenoising,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoiseContrastive,
    NoisePrediction,
    PersistentContrastiveDivergence,
    Sliced,
    UniformTimes,
    WallDistance,
    likelihood_levels,
)
from toylab.objectives.objective import Objective
from toylab.samplers import langevin_step
from toylab.schedules import geometric
from toylab.sde import VP

BATCH = 256
BOX = (-12.0, 12.0, -12.0, 12.0)  # holds two modes and what the largest level adds
Kind = Callable[..., nn.Module]


@dataclass(frozen=True)
class Side:
    """An objective and the network that it trains."""

    objective: Objective[Any]
    network: Kind


@dataclass(frozen=True)
class Trained:
    """An objective with its network, and the most that its step may take, in steps of the peer.

    Attributes:
        ours: what is measured.
        goal: the most that it may take.
        peer: what stands beside it: a network of the same size, up to an input.
        theirs: its objective and network.
    """

    ours: Side
    goal: float
    peer: str
    theirs: Side


def trained() -> dict[str, Trained]:
    """By the names of the rows.

    A likelihood evaluates the energy at 2,304 nodes beside the 256 points, but takes no gradient in x; a chain takes
    one more than the loss; a bounded loss takes both derivatives of the network and of the weight. Those that are told
    the level of the noise stand beside plain denoising at levels drawn anew, which itself stands beside one level.
    """
    p, langevin = two_modes(), partial(langevin_step, step_size=0.1)
    chains = p.sample((BATCH,), generator=generator(0, 2))
    levels, vp = LogUniform(0.1, 10.0), VP()
    mixture = ElboMixture(lambda sigma: sigma**2 / (sigma**2 + 1), levels)

    def with_chains(generator: torch.Generator) -> nn.Module:
        return EnergyMLP(generator=generator).with_chains(chains)

    def one_level(objective: Objective[Any], network: Kind, goal: float) -> Trained:
        return Trained(Side(objective, network), goal, "denoising", Side(Denoising(SIGMA), network))

    def every_level(objective: Objective[Any], goal: float, network: Kind = NoiseConditionalMLP) -> Trained:
        theirs = Side(NoiseConditional(levels), NoiseConditionalMLP)
        return Trained(Side(objective, network), goal, "denoising at every level", theirs)

    deep = partial(ScoreMLP, depth=3, activation=functional.silu)
    return {
        "explicit": one_level(Explicit(p.score), ScoreMLP, 1.5),
        "implicit": one_level(Implicit(), ScoreMLP, 3.0),
        "sliced": one_level(Sliced(), ScoreMLP, 2.5),
        "sliced, finite differences": one_level(FiniteDifferenceSliced(), ScoreMLP, 2.0),
        "noise prediction": one_level(NoisePrediction(SIGMA), ScoreMLP, 1.3),
        "maximum likelihood, 12 × 12 cells": one_level(MaximumLikelihood(BOX, n_cells=12), EnergyMLP, 3.0),
        "contrastive divergence, 1 step": one_level(ContrastiveDivergence(langevin), EnergyMLP, 1.5),
        "persistent chains, 1 step": one_level(PersistentContrastiveDivergence(langevin), with_chains, 1.5),
        "noise-contrastive": one_level(NoiseContrastive(isotropic([[0.0, 0.0]], 5.0)), EnergyMLP, 1.3),
        "multiscale denoising, 10 levels": one_level(MultiscaleDenoising(geometric(2.0, 0.5, 10), 0.5), EnergyMLP, 1.3),
        "bounded implicit": one_level(BoundedImplicit(WallDistance(BOX, scale=1.0)), ScoreMLP, 4.0),
        "denoising at every level": Trained(
            Side(NoiseConditional(levels), NoiseConditionalMLP), 1.5, "denoising", Side(Denoising(SIGMA), deep)
        ),
        "explicit at every level": every_level(NoiseConditionalExplicit(p.score, levels), 1.5),
        "denoising at every level, energy": every_level(NoiseConditional(levels), 3.0, NoiseConditionalEnergyMLP),
        "class-conditional": every_level(
            ClassConditional(NoiseConditional(levels), p), 1.5, partial(NoiseConditionalMLP, n_classes=2)
        ),
        "likelihood weighting, uniform times": every_level(
            NoiseConditional(UniformTimes(vp), LikelihoodWeighting(vp)), 1.5
        ),
        "likelihood, importance-sampled times": every_level(NoiseConditional(likelihood_levels(vp)), 1.3),
        "mixture of ELBOs": every_level(NoiseConditional(levels, lambda s: s**2 * mixture.cdf(s)), 1.5),
    }


def rows(share: float) -> Iterator[Measurement[Row]]:
    """Steps of networks 2-128-128-1, whose gradient is the score, of 2-128-128-2, and of 3-128-128-128-2."""
    n_steps, repeats = scaled_count(50, share, least=2), scaled_count(11, share, least=2)
    for name, case in trained().items():
        yield _in_turns(name, case, n_steps, repeats)


def _in_turns(name: str, case: Trained, n_steps: int, repeats: int) -> Measurement[Row]:
    row = Row(f"one training step, {name}, batch {BATCH}", case.peer, case.goal)

    def seconds(side: Side) -> float:
        return step(side.network(generator=generator(0, 0)), side.objective, BATCH, n_steps)

    def measure() -> Iterator[Row]:
        ours, theirs = time_in_turns(lambda: seconds(case.ours), lambda: seconds(case.theirs), repeats=repeats)
        yield replace(row, ours=ours, theirs=theirs, reached="a step of a network of the same size")

    return Measurement((row,), measure)
