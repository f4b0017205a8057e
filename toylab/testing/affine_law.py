"""Samplers on a normal law, where a step of most is affine: x' = A x + b + noise along each axis of the covariance."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from toylab.densities import GaussianMixture

_ANGLE = 0.6  # of the axes to the coordinates
_MEAN = (2.0, -1.5)  # in units of the scale: off the origin, and of another size in each coordinate
RATIO = 4.0  # of the variance along the second axis to that along the first


@dataclass(frozen=True, eq=False)
class Normal:
    """N(m, C), elongated, oblique and off the origin.

    Args:
        variance: the lesser eigenvalue of C.
    """

    variance: float

    @property
    def variances(self) -> Tensor:
        """The eigenvalues of C, [2]."""
        return torch.tensor([self.variance, RATIO * self.variance], dtype=torch.float64, device="cpu")

    @property
    def axes(self) -> Tensor:
        """The eigenvectors of C, in columns, [2, 2]."""
        c, s = math.cos(_ANGLE), math.sin(_ANGLE)
        return torch.tensor([[c, -s], [s, c]], dtype=torch.float64, device="cpu")

    @property
    def mean(self) -> Tensor:
        """m along the axes, [2]."""
        mean: Tensor = torch.tensor(_MEAN, dtype=torch.float64, device="cpu") @ self.axes
        return math.sqrt(self.variance) * mean

    @property
    def density(self) -> GaussianMixture:
        """The law itself."""
        axes = self.axes
        return GaussianMixture([1.0], (axes @ self.mean)[None], (axes * self.variances @ axes.T)[None])


@dataclass(frozen=True, eq=False)
class AffineLaw:
    """x' = slope x + shift + N(0, noise), each [2], one per axis."""

    slope: Tensor
    shift: Tensor
    noise: Tensor

    def then(self, next_: "AffineLaw") -> "AffineLaw":
        """This, and then another."""
        return AffineLaw(
            next_.slope * self.slope,
            next_.slope * self.shift + next_.shift,
            next_.slope**2 * self.noise + next_.noise,
        )


def composed(steps: Iterable[AffineLaw]) -> AffineLaw:
    """One after the other."""
    return reduce(AffineLaw.then, steps)


def repeated(step: AffineLaw, n: int) -> AffineLaw:
    """The same n times, by squaring."""
    if n == 1:
        return step
    half = repeated(step, n // 2)
    return half.then(half) if n % 2 == 0 else half.then(half).then(step)


def in_order(steps: AffineLaw) -> AffineLaw:
    """Of many steps, slope, shift and noise each [n, 2], the first one first."""
    one = torch.ones(1, 2, dtype=torch.float64, device="cpu")
    after = torch.cat([steps.slope.flip(0).cumprod(0).flip(0)[1:], one])  # by what follows a step
    return AffineLaw(steps.slope.prod(0), (after * steps.shift).sum(0), (after**2 * steps.noise).sum(0))


def towards(pull: Tensor, centre: Tensor, noise: float | Tensor) -> AffineLaw:
    """x' = x - pull (x - centre) + N(0, noise): along a score of -(x - centre) / v, pull is the step over v."""
    return AffineLaw(
        1 - pull, pull * centre, torch.as_tensor(noise, dtype=torch.float64, device="cpu").expand(pull.shape)
    )
