"""The empirical law: equal point masses, without a density of their own; noised, a kernel density estimate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import integers
from toylab.densities import _gaussians
from toylab.densities.density import Density, in_single_precision
from toylab.densities.parameters import Matrix


@in_single_precision
@dataclass(frozen=True, eq=False, repr=False)
class Points(Density):
    """Equal point masses at ``points`` (an empirical law); it has a density only for sigma > 0.

    p_sigma(x) = 1/N sum_i N(x; x_i, sigma^2 I): the Gaussian kernel density estimate of bandwidth sigma.

    Args:
        points: x_i, shape [N, 2].
    """

    points: Tensor

    def __init__(self, points: Matrix) -> None:
        self._hold(points=points)
        validate.cloud("points", self.points)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log 1/N sum_i N(x; x_i, sigma^2 I), shape [...]; ``ValueError`` at sigma = 0."""
        return _gaussians.log_prob(x, validate.noisy(sigma, x), self._gaussians)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """(E[X | x] - x) / sigma^2, shape [..., 2]; ``ValueError`` at sigma = 0."""
        return _gaussians.score(x, validate.noisy(sigma, x), self._gaussians)

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both, at little more than the cost of the score."""
        return _gaussians.log_prob_and_score(x, validate.noisy(sigma, x), self._gaussians)

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-2/sigma^2 + tr Cov[X | x] / sigma^4, shape [...]; ``ValueError`` at sigma = 0."""
        return _gaussians.divergence(x, validate.noisy(sigma, x), self._gaussians)

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """P(X = x_i | x) for each i, shape [..., N]; ``ValueError`` at sigma = 0."""
        return _gaussians.posterior(x, validate.noisy(sigma, x), self._gaussians)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Points drawn with replacement."""
        i = integers(len(self.points), sample_shape, device=self.device, generator=generator)
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        points: Tensor = self._cast(like, lambda: (self.points,), "samples")[0]
        return points[i]

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The points and nine noise levels around them."""
        return self.points.amin(0) - 9 * sigma, self.points.amax(0) + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _gaussians(self, like: Tensor) -> _gaussians.Gaussians:
        def make() -> _gaussians.Gaussians:
            N = len(self.points)
            log_weights = torch.full((N,), -math.log(N), dtype=torch.float64, device="cpu")
            zero = torch.zeros(N, 2, 2, dtype=torch.float64, device="cpu")
            return _gaussians.Gaussians.of(log_weights, self.points, zero, zero)

        return _gaussians.Gaussians(*self._cast(validate.points("x", like), make))
