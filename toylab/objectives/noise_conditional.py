"""Denoising score matching at many noise levels at once: the loss of noise-conditional score networks (NCSN)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab import checks
from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.draws import integers, normal_like
from toylab.score import NoiseConditionalScore

Weighting = Callable[[Tensor], Tensor]


def square(sigma: Tensor) -> Tensor:
    """lambda(sigma) = sigma^2, which gives every level a loss of the same size (Song & Ermon 2019, section 4.2)."""
    return sigma**2


@dataclass(frozen=True)
class NoiseConditional:
    """lambda(sigma) 1/2 |s(x + sigma z, sigma) + z / sigma|^2, sigma drawn for each point from the levels, equally.

    Its mean over the draw is the mean over levels of lambda(sigma_i) times the denoising loss at sigma_i.
    Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 6.

    Args:
        sigmas: the levels, 1-D, positive, strictly decreasing (``schedules.geometric``).
        weighting: lambda, a function of the levels.
        antithetic: average the losses of z and -z: the same mean with far less noise, since the error 2 s z / sigma
            of a single z cancels. It evaluates the score at two points for each of ``x``.
    """

    sigmas: Tensor
    weighting: Weighting = square
    antithetic: bool = False

    def __post_init__(self) -> None:
        checks.levels("sigmas", self.sigmas)
        checks.function("weighting", self.weighting, "lambda sigma: sigma**2")

    def __call__(self, score: NoiseConditionalScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss a point, shape [n], for points x [n, 2]."""
        level = integers(len(self.sigmas), x.shape[:-1], device=x.device, generator=generator)
        sigma = self.sigmas.to(x)[level]
        z = normal_like(x, generator)
        weight = 0.5 * self.weighting(sigma)
        if not self.antithetic:
            return weight * _residual(score, x, sigma, z)
        both = _residual(score, torch.stack([x, x]), torch.stack([sigma, sigma]), torch.stack([z, -z]))
        return weight * both.mean(0)

    def offset(self, density: Density) -> float:
        """Mean over levels of lambda(sigma_i) (1/2 E|grad log p_sigma_i|^2 - 1 / sigma_i^2) (d = 2), by quadrature."""
        terms = []
        for sigma in self.sigmas.double():
            weight, level = float(self.weighting(sigma)), float(sigma)
            terms.append(weight * (0.5 * fisher_information(density, level) - 1 / level**2))
        return sum(terms) / len(terms)


def _residual(score: NoiseConditionalScore, x: Tensor, sigma: Tensor, z: Tensor) -> Tensor:
    """|s(x + sigma z, sigma) + z / sigma|^2."""
    column = sigma[..., None]
    return (score(x + column * z, sigma) + z / column).square().sum(-1)
