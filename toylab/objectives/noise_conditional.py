"""Denoising score matching at many noise levels at once: the loss of noise-conditional score networks (NCSN)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import fields, validate
from toylab._internal.random import normal_like
from toylab.densities.density import Density
from toylab.objectives.inputs import check_inputs, require_density, vectors
from toylab.objectives.level_mean import denoising_offset
from toylab.objectives.levels import Levels, Weight, check_levels, check_weighting, draw_levels, weights_at
from toylab.objectives.squares import half_squared_distance
from toylab.score import NoiseConditionalScore


def square(sigma: Tensor) -> Tensor:
    """lambda(sigma) = sigma^2, which gives every level a loss of the same size (Song & Ermon 2019, section 4.2)."""
    return sigma**2


@dataclass(frozen=True)
class NoiseConditional:
    """lambda(sigma) 1/2 |s(x + sigma z, sigma) + z / sigma|^2, with a level sigma drawn for each point.

    Its mean over the draw is the mean over levels of lambda(sigma) times the denoising loss at sigma.
    Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 6; with continuous levels Song et al. 2021 (arXiv:2011.13456),
    eq. 7, and Karras et al. 2022 (arXiv:2206.00364), eq. 8.

    Args:
        sigmas: the levels, equally likely: 1-D, positive, strictly decreasing (``schedules.geometric``); or a
            distribution: ``LogUniform``, ``LogNormal``, ``UniformTimes``, or another with ``draw`` and ``nodes``.
        weighting: lambda, a function of the levels [n] that gives one number for each, or one number for all.
        antithetic: average the losses of z and -z: the same mean with far less noise, since the error 2 s z / sigma
            of a single z cancels. It evaluates the score at two points for each of ``x``.
    """

    sigmas: Levels
    weighting: Weight = square
    antithetic: bool = False

    def __post_init__(self) -> None:
        vars(self).update(weighting=_check(self.sigmas, self.weighting))

    def __call__(self, score: NoiseConditionalScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        score = check_inputs(score, x, generator, fields.LEVEL_SCORE)
        sigma = draw_levels(self.sigmas, x, generator)
        z = normal_like(x, generator)
        weight = weights_at(self.weighting, sigma)
        if not self.antithetic:
            return weight * _residual(score, x, sigma, z)
        both = _residual(score, torch.stack([x, x]), torch.stack([sigma, sigma]), torch.stack([z, -z]))
        return weight * both.mean(0)

    def offset(self, density: Density) -> float:
        """Mean over levels of lambda(sigma) (1/2 E|grad log p_sigma|^2 - 1 / sigma^2) (d = 2), by quadrature."""
        return denoising_offset(self.weighting, require_density(density), self.sigmas)


@dataclass(frozen=True)
class NoiseConditionalExplicit:
    """lambda(sigma) 1/2 |s(x~, sigma) - t(x~, sigma)|^2 at x~ = x + sigma z, for a target t that is known.

    With ``target=p.score`` its mean is that of ``NoiseConditional`` up to a constant, without the noise of that target:
    what is left between the two is the price of denoising.

    Args:
        target: t, a noise-conditional score.
        sigmas: as in ``NoiseConditional``.
        weighting: lambda, a function of the levels [n] that gives one number for each, or one number for all.
    """

    target: NoiseConditionalScore
    sigmas: Levels
    weighting: Weight = square

    def __post_init__(self) -> None:
        validate.score("target", self.target, of_sigma=True)
        vars(self).update(weighting=_check(self.sigmas, self.weighting))

    def __call__(self, score: NoiseConditionalScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        score = check_inputs(score, x, generator, fields.LEVEL_SCORE)
        sigma = draw_levels(self.sigmas, x, generator)
        noisy = x + sigma[..., None] * normal_like(x, generator)
        target = vectors(self.target(noisy, sigma), noisy, "target")
        return weights_at(self.weighting, sigma) * half_squared_distance(score(noisy, sigma), target)

    def offset(self, density: Density) -> float:
        """0: the mean loss is the mean over levels of lambda(sigma) times the Fisher divergence there."""
        require_density(density)
        return 0.0


def _check(sigmas: Levels, weighting: Weight) -> Weight:
    check_levels("sigmas", sigmas)
    return check_weighting(weighting)


def _residual(score: NoiseConditionalScore, x: Tensor, sigma: Tensor, z: Tensor) -> Tensor:
    """1/2 |s(x + sigma z, sigma) + z / sigma|^2."""
    column = sigma[..., None]
    return half_squared_distance(score(x + column * z, sigma), z / -column)
