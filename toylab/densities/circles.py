"""Uniform laws on circles: no density of their own, one in closed form (Bessel functions) at every noise level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import categorical, uniform
from toylab.densities._mixture import mixture
from toylab.densities.density import Density
from toylab.densities.parameters import Vector
from toylab.densities.two_regime import TwoRegimeDensity


@dataclass(frozen=True, eq=False, repr=False)
class Circle(Density):
    """The uniform law on the circle of ``radius`` R about ``center``; it has a density only for sigma > 0.

    With r = |x - center|, kappa = r R / sigma^2 and A = I_1(kappa) / I_0(kappa):

        log p_sigma = -log(2 pi sigma^2) - (r - R)^2 / (2 sigma^2) + log(e^-kappa I_0(kappa))
        score       = (R A - r) / sigma^2   along the radius
        divergence  = -2 / sigma^2 + (R / sigma^2)^2 (1 - A^2)

    Args:
        radius: R > 0.
        center: the centre, two numbers.
    """

    radius: float
    center: tuple[float, float]

    def __init__(self, radius: float = 1.0, center: Vector = (0.0, 0.0)) -> None:
        vars(self).update(radius=validate.positive("radius", radius), center=validate.pair("center", center))

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Log-density of the noised circle [...]; ``ValueError`` at sigma = 0."""
        return self._evaluate(x, sigma)[0]

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Score of the noised circle [..., 2]; ``ValueError`` at sigma = 0."""
        return self._evaluate(x, sigma)[1]

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Divergence of the score [...]; ``ValueError`` at sigma = 0."""
        return self._evaluate(x, sigma)[2]

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Angles uniform on [0, 2 pi)."""
        angle = 2 * math.pi * uniform(sample_shape, dtype=self.dtype, device=self.device, generator=generator)
        return self.radius * torch.stack([angle.cos(), angle.sin()], -1) + angle.new_tensor(self.center)

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both at the cost of one."""
        return self._evaluate(x, sigma)[:2]

    def _evaluate(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        sigma = validate.noisy(sigma, x)
        return _circle(x - x.new_tensor(self.center), self.radius, sigma)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The circle and nine noise levels around it."""
        center = torch.tensor(self.center, dtype=torch.float64)
        reach = self.radius + 9 * sigma
        return center - reach, center + reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma


@dataclass(frozen=True, eq=False, repr=False)
class ConcentricCircles(TwoRegimeDensity):
    """Circles about the origin, the k-th chosen with probability w_k; it has a density only for sigma > 0.

    Args:
        radii: shape [K], positive.
        weights: shape [K], positive, summing to one; equal if not given.
    """

    radii: Tensor
    weights: Tensor

    def __init__(self, radii: Vector = (1.0, 2.0), weights: Vector | None = None) -> None:
        self._hold(radii=radii)
        if self.radii.ndim != 1 or len(self.radii) == 0:
            raise ValueError(f"radii is {self.radii.tolist()}: give a non-empty list of positive radii.")
        K = len(self.radii)
        self._hold(weights=[1 / K] * K if weights is None else weights)
        validate.simplex("weights", self.weights)
        if self.radii.shape != self.weights.shape or (self.radii <= 0).any():
            raise ValueError(
                f"radii is {self.radii.tolist()}: give {len(self.weights)} positive radii, one per weight."
            )

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A circle, then an angle uniform on [0, 2 pi)."""
        k = categorical(self._on_its_device("weights"), sample_shape, generator=generator)
        angle = 2 * math.pi * uniform(sample_shape, dtype=self.dtype, device=self.device, generator=generator)
        radius = self._on_its_device("radii")[k].to(self.dtype)
        return radius[..., None] * torch.stack([angle.cos(), angle.sin()], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The largest circle and nine noise levels around it."""
        reach = (self.radii.max() + 9 * sigma).expand(2)
        return -reach, reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_p, s, div = _circle(x[:, None], self.radii.to(x), sigma[:, None])
        return mixture(log_p + (self.weights / self.weights.sum()).log().to(x), s, div)


def _circle(x: Tensor, radius: Tensor | float, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """log p, score and divergence of circles about the origin; radius and sigma broadcast to x[..., 0]."""
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    r = torch.linalg.vector_norm(x, dim=-1)
    kappa = (r / sigma) * (radius / sigma)
    gap = _one_minus_ratio(kappa)
    log_bessel = torch.special.i0e(kappa).log()
    log_p = log_bessel - 0.5 * ((r - radius) / sigma) ** 2 - 2 * sigma.log() - math.log(2 * math.pi)
    # away from the centre: the two near-equal lengths R and r are subtracted first
    outer = -((r - radius) + radius * gap) / r.clamp(min=torch.finfo(r.dtype).tiny)
    # about the centre: A / kappa, which tends to 1/2
    small = kappa.clamp(max=1.0)
    ratio = (1 - _one_minus_ratio(small)) / small.clamp(min=1e-3)
    ratio = torch.where(small < 1e-3, 0.5 - small**2 / 16, ratio)
    inner = -1 + (radius / sigma) ** 2 * ratio
    s = x * (torch.where(kappa < 1, inner, outer) / sigma**2)[..., None]
    return log_p, s, (-2 + (radius / sigma) ** 2 * gap * (2 - gap)) / sigma**2


def _one_minus_ratio(kappa: Tensor) -> Tensor:
    """1 - I_1(kappa) / I_0(kappa), which loses all digits if subtracted at large kappa: a series in 1/kappa there."""
    near, z = kappa.clamp(max=200.0), 1 / kappa.clamp(min=200.0)
    i0e = torch.special.i0e(near)
    direct = (i0e - torch.special.i1e(near)) / i0e
    series = z * (1 / 2 + z * (1 / 8 + z * (1 / 8 + z * (25 / 128 + z * (13 / 32 + z * 1073 / 1024)))))
    return torch.where(kappa < 200, direct, series)
