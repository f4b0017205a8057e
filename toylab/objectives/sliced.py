"""Sliced score matching: random directions replace the trace of the Jacobian."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like, uniform
from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.objectives.inputs import check_inputs, require_density, vectors
from toylab.objectives.squares import half_square
from toylab.score import Score, value_and_jvp

Projection = Callable[[Tensor, torch.Generator | None], Tensor]


def gaussian(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Directions v ~ N(0, I), one per point, shaped like ``x``."""
    return normal_like(validate.points("x", x), generator)


def rademacher(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Directions v with independent entries +1 or -1, one per point, shaped like ``x``."""
    validate.points("x", x)
    coin = uniform(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return torch.rsub(coin.lt_(0.5), 1, alpha=2)  # 1 - 2 [coin < 1/2]


def sphere(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Directions v uniform on the sphere of radius sqrt(d), one per point: of radius 1, E v v^T would be I / d."""
    z = normal_like(validate.points("x", x), generator)
    length: Tensor = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return math.sqrt(x.shape[-1]) * z / length


@dataclass(frozen=True)
class Sliced:
    """v^T grad s(x) v + 1/2 |s(x)|^2 (variance-reduced), or with 1/2 (v^T s(x))^2 in its place (plain).

    Averaged over ``n_slices`` random directions v with E v v^T = I; both forms then have the same mean, that of the
    implicit loss. With Rademacher directions and the variance-reduced form only the off-diagonal of grad s is noise.
    Source: Song et al. 2019 (arXiv:1905.07088), eqs. 7 and 8.

    Args:
        n_slices: directions per point.
        projection: draws the directions: ``rademacher``, ``gaussian``, ``sphere``, or your own with E v v^T = I.
        variance_reduced: use |s|^2 instead of its estimate (v^T s)^2.
    """

    n_slices: int = 1
    projection: Projection = rademacher
    variance_reduced: bool = True

    def __post_init__(self) -> None:
        vars(self).update(n_slices=validate.count("n_slices", self.n_slices))
        validate.function("projection", self.projection, "objectives.rademacher")

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        score = check_inputs(score, x, generator)
        x = x.expand(self.n_slices, *x.shape)
        v = vectors(self.projection(x, generator), x, "projection", "direction")
        s, jvp = value_and_jvp(score, x, v)
        square = half_square(s) if self.variance_reduced else 0.5 * (v * s).sum(-1).square()
        losses = (v * jvp).sum(-1) + square
        return losses.mean(0) if self.n_slices > 1 else losses.squeeze(0)

    def offset(self, density: Density) -> float:
        """1/2 E|grad log p|^2, by quadrature."""
        return 0.5 * fisher_information(require_density(density))


@dataclass(frozen=True)
class FiniteDifferenceSliced:
    """Sliced score matching by differences of two evaluations, without a derivative of the network except in training.

    With s+- = s(x +- h v), averaged over ``n_slices`` directions v:

        v^T (s+ - s-) / (2 h) + 1/8 |s+ + s-|^2

    Both terms tend to those of the variance-reduced sliced loss, with an error of order h^2.
    Source: Pang et al. 2020 (arXiv:2007.03317), section 4.

    Args:
        step: h, small against the scale on which the score varies, large against rounding: the difference loses
            eps |s| / h.
        n_slices: directions per point.
        projection: draws the directions, with E v v^T = I.
    """

    step: float = 0.01
    n_slices: int = 1
    projection: Projection = rademacher

    def __post_init__(self) -> None:
        vars(self).update(
            step=validate.positive("step", self.step),
            n_slices=validate.count("n_slices", self.n_slices),
        )
        validate.function("projection", self.projection, "objectives.rademacher")

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        score = check_inputs(score, x, generator)
        x = x.expand(self.n_slices, *x.shape)
        v = vectors(self.projection(x, generator), x, "projection", "direction")
        ahead, behind = score(torch.stack([x + self.step * v, x - self.step * v])).unbind(0)
        slope = (v * (ahead - behind)).sum(-1) / (2 * self.step)
        return (slope + (ahead + behind).square().sum(-1) / 8).mean(0)

    def offset(self, density: Density) -> float:
        """1/2 E|grad log p|^2, by quadrature; mean loss + offset is the Fisher divergence to order step^2."""
        return 0.5 * fisher_information(require_density(density))
