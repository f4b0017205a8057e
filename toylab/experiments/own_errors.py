"""Objectives that stand for an error of their own, each trained where it is at home and measured by that error."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from toylab.densities import Density, GaussianMixture, ring, two_modes
from toylab.densities.quadrature import expectation
from toylab.experiments.setting import BOX, RING_BOX
from toylab.experiments.trained_objectives import Target, Training, itself
from toylab.metrics import fisher_divergence
from toylab.metrics.evaluate import evaluate
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import (
    BoundedImplicit,
    ClassConditional,
    Denoising,
    Explicit,
    Implicit,
    MultiscaleDenoising,
    NoiseConditional,
    WallDistance,
)
from toylab.objectives.class_conditional import ClassConditionalScore
from toylab.schedules import geometric
from toylab.score import Score

CUT = (-5.0, 5.0, -5.0, 5.0)  # its walls run through the middle of both modes


def targets() -> dict[str, Target]:
    """The laws by the names that ``densities=`` takes."""
    return {
        "cut": Target("two modes, cut through their middles", two_modes().truncated(CUT), CUT, 0.0, bounded),
        "all_levels": Target("two modes, one score for five levels", two_modes(), BOX, 0.5, several_levels),
        "classes": Target("ring of 8, each mode a class", ring(), RING_BOX, 0.1, classes),
    }


def bounded(density: Density, sigma: float, gen: torch.Generator) -> dict[str, Training]:
    """On a law that ends at walls: with the weight that vanishes there, without it, and the truth as the target.

    All are measured by 1/2 E sum_i h_i (s_i - d_i log p)^2, what the loss with the weight stands for.
    """
    weight = WallDistance(CUT, scale=1.0)

    def error(score: Score) -> float:
        def at(x: Tensor) -> Tensor:
            return 0.5 * (weight(x) * (evaluate(score, density, x) - density.score(x)).square()).sum(-1)

        return expectation(at, density)

    return {
        "explicit": Training(Explicit(density.score), sigma, _quick, itself, 2000, 512, error=error),
        "implicit": Training(Implicit(), sigma, _smooth, itself, 1500, 320, error=error),
        "bounded implicit": Training(BoundedImplicit(weight), sigma, _smooth, itself, 1500, 320, error=error),
    }


def several_levels(density: Density, sigma: float, gen: torch.Generator) -> dict[str, Training]:
    """One score that is told no level, a free field and an energy; and denoising at the least level, another field.

    All are measured by the mean over levels of 1/(2 l^2) E|s - s*|^2 under p_l, s* the minimiser of the first two.
    """
    levels = geometric(2.0, sigma, 5)
    objective = MultiscaleDenoising(levels, sigma)
    best = objective.minimiser(density)

    def error(score: Score) -> float:
        def at(x: Tensor) -> Tensor:
            return 0.5 * (evaluate(score, density, x) - best(x)).square().sum(-1)

        return math.fsum(expectation(at, density, level) / level**2 for level in levels.tolist()) / len(levels)

    return {
        "multiscale denoising": Training(objective, sigma, _quick, itself, 2500, 512, error=error),
        "multiscale denoising, energy": Training(objective, sigma, _energy, itself, 1200, 256, error=error),
        f"denoising {sigma}": Training(Denoising(sigma), sigma, _quick, itself, 2500, 512, error=error),
    }


def classes(density: GaussianMixture, sigma: float, gen: torch.Generator) -> dict[str, Training]:
    """One network for the score of each component of a mixture, and of all: a free field, and an energy.

    Measured at the least level, sigma, by (1 - d) sum_k w_k J_k + d J, with the dropout d, J_k the Fisher divergence
    from the k-th component, noised, and J that from the mixture.
    """
    n = len(density.weights)
    objective = ClassConditional(NoiseConditional(geometric(8.0, sigma, 20), antithetic=True), density)

    def free(g: torch.Generator) -> nn.Module:
        return NoiseConditionalMLP(gain=3.0, n_classes=n, generator=g)

    def energy(g: torch.Generator) -> nn.Module:
        return NoiseConditionalEnergyMLP(gain=3.0, n_classes=n, generator=g)

    def error(score: ClassConditionalScore) -> float:
        def of(label: int, law: Density) -> float:
            return fisher_divergence(lambda x: score(x, sigma, torch.full((), label, device=x.device)), law, sigma)

        each = math.fsum(w * of(k, density.given_class(k)) for k, w in enumerate(density.weights.tolist()))
        return (1 - objective.dropout) * each + objective.dropout * of(-1, density)

    return {
        f"class-conditional, at {sigma}": Training(objective, sigma, free, itself, 2000, 256, error=error),
        f"class-conditional energy, at {sigma}": Training(objective, sigma, energy, itself, 1200, 256, error=error),
    }


def nothing(x: Tensor, *_: Tensor | float) -> Tensor:
    """The score 0, whose error is the unit of the others."""
    return torch.zeros_like(x)


def _smooth(g: torch.Generator) -> nn.Module:
    return ScoreMLP(generator=g)


def _quick(g: torch.Generator) -> nn.Module:
    return ScoreMLP(activation=functional.silu, generator=g)


def _energy(g: torch.Generator) -> nn.Module:
    return EnergyMLP(generator=g)
