"""Uniform laws on circles: no density of their own, one in closed form (Bessel functions) at every noise level."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import constant, number
from toylab._internal.display import short
from toylab._internal.random import categorical, uniform
from toylab.densities._mixture import mixture, nowhere
from toylab.densities.density import Density, in_single_precision
from toylab.densities.mills import anywhere
from toylab.densities.parameters import Vector
from toylab.densities.parts import Parts, point_parts
from toylab.densities.two_regime import TwoRegimeDensity

_LEAST, _LEAST_NODES = 0.05, 32  # radii: noise below which what is unknown is continued; of a circle
# of Hankel's expansion: e^-kappa I_0(kappa) sqrt(2 pi kappa) = sum_k a_k / kappa^k, a_k / a_(k-1) = (2k - 1)^2 / 8k
_HANKEL = list(itertools.accumulate(range(1, 17), lambda a, k: a * (2 * k - 1) ** 2 / (8 * k), initial=1.0))


@in_single_precision
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
        return nowhere(x, self._evaluate(x, sigma)[0])

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Score of the noised circle [..., 2]; ``ValueError`` at sigma = 0."""
        return self._evaluate(x, sigma)[1]

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Divergence of the score [...]; ``ValueError`` at sigma = 0."""
        return self._evaluate(x, sigma)[2]

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Angles uniform on [0, 2 pi)."""
        angle = 2 * math.pi * uniform(sample_shape, dtype=self.dtype, device=self.device, generator=generator)
        return self.radius * torch.stack([angle.cos(), angle.sin()], -1) + constant(self.center, angle)

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both at the cost of one."""
        log_p, s, _ = self._evaluate(x, sigma)
        return nowhere(x, log_p), s

    def _evaluate(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        sigma = validate.noisy(sigma, x)
        return _circle(x - constant(self.center, x), self.radius, sigma)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The circle and nine noise levels around it."""
        center = torch.tensor(self.center, dtype=torch.float64, device="cpu")
        reach = self.radius + 9 * sigma
        return center - reach, center + reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _as_gaussians(self, sigma: float) -> Parts:
        return _parts_of_circle(self.radius, self.center, sigma)


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
            raise ValueError(f"radii is {short(self.radii.tolist())}: give a non-empty list of positive radii.")
        K = len(self.radii)
        self._hold(weights=[1 / K] * K if weights is None else weights)
        validate.simplex("weights", self.weights)
        if self.radii.shape != self.weights.shape or (self.radii <= 0).any():
            raise ValueError(
                f"radii is {short(self.radii.tolist())}: give {len(self.weights)} positive radii, one per weight."
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

    def _as_gaussians(self, sigma: float) -> Parts:
        least = _LEAST * float(self.radii.min())
        circles = [_parts_of_circle(radius, (0.0, 0.0), sigma) for radius in self.radii.tolist()]
        shares = self.weights / self.weights.sum()
        masses = torch.cat([share * each.weights for share, each in zip(shares, circles, strict=True)])
        return point_parts(torch.cat([each.means for each in circles]), masses, least)

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        radii, log_weights = self._cast(x, lambda: (self.radii, (self.weights / self.weights.sum()).log()))
        log_p, s, div = _circle(x[:, None], radii, sigma[:, None])
        return mixture(log_p + log_weights, s, div)


def _parts_of_circle(radius: float, center: tuple[float, float], sigma: float) -> Parts:
    """Equal masses, 0.6 noise levels apart or less: the trapezoid rule, exact to rounding for a periodic function."""
    n = max(math.ceil(2 * math.pi * radius / (0.6 * sigma)), _LEAST_NODES)
    angle = 2 * math.pi / n * torch.arange(n, dtype=torch.float64, device="cpu")
    points = radius * torch.stack([angle.cos(), angle.sin()], -1) + constant(center, angle)
    return point_parts(points, torch.full_like(angle, 1 / n), _LEAST * radius)


def _circle(x: Tensor, radius: Tensor | float, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """log p, score and divergence of circles about the origin; radius and sigma broadcast to x[..., 0]."""
    sigma = number(sigma, x)
    x1, x2 = x.unbind(-1)
    central = (torch.hypot(x1, x2) / sigma) * (radius / sigma) < 1
    # away from the centre: the two near-equal lengths R and r are subtracted first
    r = torch.hypot(torch.where(central, radius, x1), torch.where(central, 0.0, x2))
    log_bessel, gap = _bessel((r / sigma) * (radius / sigma))
    log_p = log_bessel - 0.5 * ((r - radius) / sigma) ** 2
    outward = -((r - radius) + radius * gap) / r  # the score is x times this over sigma^2
    not_radial = gap * (2 - gap)  # 1 - A^2
    if anywhere(central):  # about the centre: in r^2, which can be differentiated there
        square = torch.where(central, (x / sigma[..., None]).square().sum(-1), 0.0)
        pull = (radius / sigma) ** 2
        bessel, ratio = _bessel_near_zero(square * torch.where(central, pull, 0.0))
        log_p = torch.where(central, bessel.log() - 0.5 * (square + pull), log_p)
        outward = torch.where(central, pull * ratio - 1, outward)
        not_radial = torch.where(central, 1 - square * pull * ratio**2, not_radial)
    constant = -2 * sigma.log() - math.log(2 * math.pi)
    return log_p + constant, x * (outward / sigma**2)[..., None], (-2 + (radius / sigma) ** 2 * not_radial) / sigma**2


def _bessel(kappa: Tensor) -> tuple[Tensor, Tensor]:
    """log(e^-kappa I_0(kappa)) and 1 - I_1(kappa) / I_0(kappa), for kappa > 0: a series in 1/kappa from 30 on.

    Subtracted, the latter loses digits in proportion to kappa, and as many again in each derivative.
    """
    large = kappa > 30
    near = torch.where(large, 1.0, kappa)
    i0e = torch.special.i0e(near)
    log_bessel, gap = i0e.log(), (i0e - torch.special.i1e(near)) / i0e
    if anywhere(large):
        z = 1 / torch.where(large, kappa, 30.0)
        series, slope = torch.zeros_like(z), torch.zeros_like(z)
        for a in reversed(_HANKEL):
            slope = slope * z + series
            series = series * z + a
        log_bessel = torch.where(large, series.log() + 0.5 * (z / (2 * math.pi)).log(), log_bessel)
        gap = torch.where(large, z * (0.5 + z * slope / series), gap)
    return log_bessel, gap


def _bessel_near_zero(square: Tensor) -> tuple[Tensor, Tensor]:
    """I_0(kappa) and I_1(kappa) / (kappa I_0(kappa)) by their power series in kappa^2, for kappa below 1."""
    i0, i1 = torch.zeros_like(square), torch.zeros_like(square)
    for k in reversed(range(14)):
        i0 = i0 * square + 0.25**k / math.factorial(k) ** 2
        i1 = i1 * square + 0.25**k / (math.factorial(k) * math.factorial(k + 1))
    return i0, 0.5 * i1 / i0
