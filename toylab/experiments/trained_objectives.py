"""The objectives that learn the score of p_sigma with the settings they are trained with, all on the same footing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from toylab.densities import Checkerboard, Density, GaussianMixture, Points, bandwidth, ring, two_modes
from toylab.experiments.setting import BOX, RING_BOX, SMALL_BOX
from toylab.metrics import Extent
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP, VelocityMLP
from toylab.objectives import (
    ContrastiveDivergence,
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    FlowMatching,
    Implicit,
    MaximumLikelihood,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoiseContrastive,
    NoisePrediction,
    PersistentContrastiveDivergence,
    Sliced,
)
from toylab.objectives.objective import Objective
from toylab.paths import Linear, velocity_to_score
from toylab.samplers import langevin_step
from toylab.schedules import geometric
from toylab.score import Score, at

_N_DATA, _N_CHAINS = 1000, 256


@dataclass(frozen=True)
class Target:
    """A density to learn.

    Attributes:
        label: its name in the table.
        density: the truth.
        extent: the square on which errors are measured.
        sigma: the noise that denoising adds.
        trainings: what is trained on it, by the names of the rows: a function of the density, sigma and a generator.
    """

    label: str
    density: Density
    extent: Extent
    sigma: float
    trainings: Callable[[Any, float, torch.Generator], dict[str, "Training"]]

    def to(self, device: torch.device | str) -> "Target":
        """The same, its density moved."""
        return replace(self, density=self.density.to(device))


def targets() -> dict[str, Target]:
    """The densities that each of them learns, by the names that ``densities=`` takes."""
    return {
        "two_modes": Target("two modes", two_modes(), BOX, 0.5, trainings),
        "ring": Target("ring of 8", ring(), RING_BOX, 0.2, trainings),
        "checkerboard": Target("checkerboard, noised at 0.1", Checkerboard().noised(0.1), SMALL_BOX, 0.1, trainings),
    }


@dataclass(frozen=True)
class Training:
    """An objective with the settings it is trained with.

    Attributes:
        objective: made for one density.
        sigma: it learns the score of p_sigma.
        network: drawn from a generator.
        score: of the trained network, a function of x alone, or what ``error`` takes.
        n_steps: optimiser steps.
        batch_size: points per step.
        average: decay of the weight average.
        error: of that score, exact: what the objective stands for, if that is no Fisher divergence from p_sigma.
    """

    objective: Objective[Any]
    sigma: float
    network: Callable[[torch.Generator], nn.Module]
    score: Callable[[nn.Module], Score]
    n_steps: int
    batch_size: int
    average: float = 0.995
    error: Callable[[Any], float] | None = None


def trainings(density: Density, sigma: float, gen: torch.Generator) -> dict[str, Training]:
    """All objectives for one density, with their settings: Adam, one-cycle rate up to 0.01, weight average 0.995.

    Losses that differentiate the network get one with softplus, as the energies do; the others one with SiLU, and more
    steps, since theirs cost less. The average of those that take fewer than a thousand steps is shorter. ``gen`` draws
    the data, of the kernel estimate and of the noise of noise-contrastive estimation, a Gaussian of their moments.
    """
    data = density.sample((_N_DATA,), generator=gen)
    levels = geometric(8.0, 0.1, 20)
    level = float(levels[-1])

    def smooth(g: torch.Generator) -> nn.Module:
        return ScoreMLP(generator=g)

    def quick(g: torch.Generator) -> nn.Module:
        return ScoreMLP(activation=functional.silu, generator=g)

    def conditional(g: torch.Generator) -> nn.Module:
        return NoiseConditionalMLP(gain=3.0, generator=g)

    def conditional_energy(g: torch.Generator) -> nn.Module:
        return NoiseConditionalEnergyMLP(gain=3.0, generator=g)

    def velocity(g: torch.Generator) -> nn.Module:
        return VelocityMLP(generator=g)

    def energy(g: torch.Generator) -> nn.Module:
        return EnergyMLP(generator=g)

    def energy_with_chains(g: torch.Generator) -> nn.Module:
        return EnergyMLP(generator=g).with_chains(density.sample((_N_CHAINS,), generator=g))

    def lowest(network: nn.Module) -> Score:
        return at(network, level)

    def of_velocity(network: nn.Module) -> Score:
        return partial(score_of_velocity, network, level)

    low, high = (corner.tolist() for corner in density.bounds(0.0))
    step = partial(langevin_step, step_size=0.5 * density.length_scale(0.0) ** 2)
    exact = data.double()  # their moments, whatever the order in which a machine adds them
    gaussian = GaussianMixture([1.0], exact.mean(0, keepdim=True), exact.mT.cov()[None]).to(data)
    kernel = Points(data).noised(bandwidth.leave_one_out(data))
    noise = NoisePrediction(sigma)
    return {
        "explicit": Training(Explicit(density.score), 0.0, quick, itself, 2000, 512),
        "explicit, kernel estimate of 1,000 points": Training(Explicit(kernel.score), 0.0, quick, itself, 2000, 256),
        "implicit": Training(Implicit(), 0.0, smooth, itself, 1500, 320),
        "sliced, variance-reduced": Training(Sliced(), 0.0, smooth, itself, 1500, 512),
        "sliced, plain": Training(Sliced(variance_reduced=False), 0.0, smooth, itself, 1500, 512),
        "sliced, finite differences": Training(FiniteDifferenceSliced(), 0.0, smooth, itself, 2000, 512),
        f"denoising {sigma}": Training(Denoising(sigma), sigma, quick, itself, 2500, 512),
        f"denoising {sigma}, antithetic": Training(Denoising(sigma, antithetic=True), sigma, quick, itself, 3000, 256),
        f"noise prediction {sigma}": Training(noise, sigma, quick, noise.score, 3000, 512),
        f"noise-conditional, at {level:g}": Training(
            NoiseConditional(levels, antithetic=True), level, conditional, lowest, 2000, 256
        ),
        f"noise-conditional explicit, at {level:g}": Training(
            NoiseConditionalExplicit(density.score, levels), level, conditional, lowest, 2000, 256
        ),
        f"noise-conditional energy, at {level:g}": Training(
            NoiseConditional(levels, antithetic=True), level, conditional_energy, lowest, 1200, 256
        ),
        f"flow matching, at {level:g}": Training(FlowMatching(Linear()), level, velocity, of_velocity, 2000, 512),
        "maximum likelihood": Training(
            MaximumLikelihood((low[0], high[0], low[1], high[1]), 24), 0.0, energy, itself, 250, 512, average=0.96
        ),
        "contrastive divergence, 10 steps": Training(
            ContrastiveDivergence(step, 10), 0.0, energy, itself, 400, 256, average=0.975
        ),
        "persistent chains, 10 steps": Training(
            PersistentContrastiveDivergence(step, 10), 0.0, energy_with_chains, itself, 400, 256, average=0.975
        ),
        "noise-contrastive, ratio 8": Training(
            NoiseContrastive(gaussian, 8), 0.0, energy, itself, 800, 256, average=0.9875
        ),
    }


def itself(network: nn.Module) -> Score:
    """The network as it is called."""
    return network


def score_of_velocity(velocity: nn.Module, sigma: float, x: Tensor) -> Tensor:
    """The score of p_sigma from a velocity of the linear path, s(x; sigma) = t s_t(t x) at t = 1/(1 + sigma)."""
    t = 1 / (1 + sigma)
    return t * velocity_to_score(Linear(), velocity(t * x, t), t * x, t)
