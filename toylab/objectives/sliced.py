"""Sliced score matching: random directions replace the trace of the Jacobian."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab import checks
from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.draws import normal_like, uniform
from toylab.score import Score, value_and_jvp

Projection = Callable[[Tensor, torch.Generator | None], Tensor]


def gaussian(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Directions v ~ N(0, I), one a point, shaped like ``x``."""
    return normal_like(x, generator)


def rademacher(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Directions v with independent entries +1 or -1, one a point, shaped like ``x``."""
    coin = uniform(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return torch.where(coin < 0.5, -torch.ones_like(x), torch.ones_like(x))


@dataclass(frozen=True)
class Sliced:
    """v^T grad s(x) v + 1/2 |s(x)|^2 (variance-reduced), or with 1/2 (v^T s(x))^2 in its place (plain).

    Averaged over ``n_slices`` random directions v with E v v^T = I; both forms then have the same mean, that of the
    implicit loss. With Rademacher directions and the variance-reduced form only the off-diagonal of grad s is noise.
    Source: Song et al. 2019 (arXiv:1905.07088), eqs. 7 and 8.

    Args:
        n_slices: directions a point.
        projection: draws the directions: ``rademacher``, ``gaussian``, or your own with E v v^T = I.
        variance_reduced: use |s|^2 instead of its estimate (v^T s)^2.
    """

    n_slices: int = 1
    projection: Projection = rademacher
    variance_reduced: bool = True

    def __post_init__(self) -> None:
        checks.count("n_slices", self.n_slices)
        checks.function("projection", self.projection, "objectives.rademacher")

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss a point, shape [n], for points x [n, 2]."""
        x = x.expand(self.n_slices, *x.shape)
        v = self.projection(x, generator)
        s, jvp = value_and_jvp(score, x, v)
        square = s.square().sum(-1) if self.variance_reduced else (v * s).sum(-1).square()
        return ((v * jvp).sum(-1) + 0.5 * square).mean(0)

    def offset(self, density: Density) -> float:
        """1/2 E|grad log p|^2, by quadrature."""
        return 0.5 * fisher_information(density)
