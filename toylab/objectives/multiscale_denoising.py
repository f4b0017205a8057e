"""Denoising at many levels of noise with one energy that is told none of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.objectives.inputs import check_inputs, require_density
from toylab.objectives.levels import Levels, check_levels, draw_levels, level_nodes
from toylab.objectives.squares import half_squared_distance
from toylab.score import Score


@dataclass(frozen=True)
class MultiscaleDenoising:
    """1/(2 sigma^2) |s(x + sigma z) + sigma z / sigma_0^2|^2, with a level sigma drawn for each point, s told no level.

    The target is that of ``Denoising`` scaled by sigma^2 / sigma_0^2, as if every level were sigma_0. The minimiser is

        s(x) = grad m(x) / (sigma_0^2 sum_i pi_i p_sigma_i(x) / sigma_i^2),    m = sum_i pi_i p_sigma_i,

    the score of p_sigma_0 for the one level sigma_0, and of no density else: its levels disagree about the same point
    unless x itself tells sigma, as it does in many dimensions and not in the plane. In general it has curl, and an
    energy learns the gradient nearest to it. ``minimiser(density)`` is that field.
    Source: Li, Chen & Sommer 2023 (Entropy 25, 1367; arXiv:1910.07762), with l(sigma) = 1 / sigma^2.

    Args:
        sigmas: the levels, as in ``NoiseConditional``.
        sigma_0: the level whose energy is meant to be learned.
    """

    sigmas: Levels
    sigma_0: float

    def __post_init__(self) -> None:
        check_levels("sigmas", self.sigmas)
        vars(self).update(
            sigma_0=validate.positive("sigma_0", self.sigma_0, "The target -sigma z / sigma_0^2 divides by it")
        )

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        score = check_inputs(score, x, generator)
        sigma = draw_levels(self.sigmas, x, generator)[..., None]
        z = normal_like(x, generator)
        return half_squared_distance(score(x + sigma * z) / sigma, z / -(self.sigma_0**2))

    def minimiser(self, density: Density) -> Score:
        """The field that has the least mean loss, exactly; the levels of a distribution by its nodes."""
        require_density(density)
        sigmas, shares = level_nodes(self.sigmas)

        def score(x: Tensor, /) -> Tensor:
            log_p, s = (
                torch.stack(parts)
                for parts in zip(*(density.log_prob_and_score(x, sigma) for sigma in sigmas.tolist()), strict=True)
            )
            at_x = (-1, *[1] * (x.ndim - 1))
            log_p = log_p + shares.log().to(x).view(at_x)  # [levels, ...]
            ratio = (log_p - (log_p - 2 * sigmas.log().to(x).view(at_x)).logsumexp(0)).exp()
            return (ratio[..., None] * s).sum(0) / self.sigma_0**2

        return score

    def offset(self, density: Density) -> float:
        """Minus the mean loss of the minimiser s*, by quadrature.

        Mean loss + offset is the mean over levels of 1/(2 sigma^2) E|s - s*|^2 under p_sigma.
        """
        best = self.minimiser(density)
        sigmas, shares = level_nodes(self.sigmas)
        explained = 0.0
        for sigma, share in zip(sigmas.tolist(), shares.tolist(), strict=True):
            explained += 0.5 * share / sigma**2 * expectation(lambda x: best(x).square().sum(-1), density, sigma)
        return explained - 1 / self.sigma_0**4
