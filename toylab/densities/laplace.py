"""Independent Laplace coordinates: exponential tails, and a kink along both axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import constant
from toylab._internal.random import uniform
from toylab.densities.mills import FAR, anywhere, mills, tail
from toylab.densities.parameters import Vector
from toylab.densities.products import Axis, Products
from toylab.densities.truncated import Box, normal_mass_of
from toylab.densities.two_regime import TwoRegimeDensity


@dataclass(frozen=True, eq=False, repr=False)
class Laplace(TwoRegimeDensity):
    """Independent Laplace coordinates: log p = -sum_i (|x_i| / b_i + log 2 b_i).

    The clean score is -sign(x_i) / b_i, and 0 at the kink x_i = 0; the clean divergence is 0, though the kink holds a
    point mass of -2 / b_i of it. So implicit score matching does not hold at sigma = 0: for the true score
    E[div s + |s|^2/2] comes out as +sum_i 1/(2 b_i^2) where minus that is right. Add noise first.

    Noised, p is a sum of two normal distribution functions times exponentials, in closed form.

    Args:
        scales: b, two positive numbers; the standard deviations are sqrt(2) b.
    """

    scales: tuple[float, float]

    def __init__(self, scales: Vector = (1.0, 1.0)) -> None:
        vars(self).update(scales=validate.pair("scales", scales))
        for b in self.scales:
            validate.positive("scales", b)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """By inversion: -b sign(u) log(1 - |u|), u uniform on (-1, 1)."""
        u = 2 * uniform((*sample_shape, 2), dtype=torch.float64, device=self.device, generator=generator) - 1
        return (-constant(self.scales, u) * u.sign() * torch.log1p(-u.abs().clamp(max=1 - 2**-53))).to(self.dtype)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Where e^(-|x| / b) is 1e-16, and nine noise levels more."""
        reach = 37 * torch.tensor(self.scales, dtype=torch.float64, device="cpu") + 9 * sigma
        return -reach, reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level: the clean law has a kink."""
        return sigma

    def _smooth_between(self) -> tuple[Sequence[float], Sequence[float]]:
        """From the kink outwards, by steps that grow as the density falls."""
        out = (0.0, 1.0, 2.0, 4.0, 7.0, 12.0, 20.0, 37.0)
        lines = (*(-step for step in reversed(out[1:])), *out)
        first, second = self.scales
        return [first * step for step in lines], [second * step for step in lines]

    def _as_products(self) -> Products:
        first, second = (
            Axis(partial(_blurred_laplace_of, scale), (0.0,), tuple(lines), 0.0, 2 * scale**2)
            for scale, lines in zip(self.scales, self._smooth_between(), strict=True)
        )
        return Products(torch.ones(1, dtype=torch.float64, device="cpu"), ((first, second),))

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b = constant(self.scales, x)
        missing = torch.where(x.isnan(), math.nan, 0.0).to(x)
        return -(x.abs() / b + (2 * b).log()).sum(-1), missing - x.sign() / b, missing.sum(-1)

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_p, slope, curvature = _blurred_laplace(x, constant(self.scales, x), sigma[:, None])
        return log_p.sum(-1), slope, curvature.sum(-1)

    def _mass_in(self, box: Box) -> tuple[float, float]:
        """A product of two masses of intervals, to rounding."""
        sides = zip(self.scales, (box[:2], box[2:]), strict=True)
        return math.prod(sum(_mass_of_half(b, *half) for half in _halves(side)) for b, side in sides), 0.0

    def _noised_in(self, box: Box, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A product of two cut laws, blurred, each of which is cut at its kink, too."""
        found = [
            _blurred_interval(t, b, side, sigma)
            for t, b, side in zip(x.unbind(-1), self.scales, (box[:2], box[2:]), strict=True)
        ]
        log_p, slope, curvature = (torch.stack(column, -1) for column in zip(*found, strict=True))
        return log_p.sum(-1), slope, curvature.sum(-1)


def _halves(side: tuple[float, ...]) -> list[tuple[float, float, float]]:
    """(sign, low, high) of the parts of an interval on either side of 0, as distances from it."""
    low, high = side
    halves = ((1.0, max(low, 0.0), high), (-1.0, max(-high, 0.0), -low))
    return [half for half in halves if half[1] < half[2]]


def _mass_of_half(b: float, sign: float, low: float, high: float) -> float:
    """1/2 (e^(-low / b) - e^(-high / b))."""
    return -0.5 * math.exp(-low / b) * math.expm1((low - high) / b)


def _blurred_interval(t: Tensor, b: float, side: tuple[float, ...], sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log of int e^(-|u| / b) N(t; u, sigma^2) du / 2b over an interval, and its first and second derivative in t.

    On one side of 0 the integrand is e^(sigma^2 / 2b^2 - t / b) N(u; t - sigma^2 / b, sigma^2), t and u away from 0.
    """
    parts = []
    for sign, low, high in _halves(side):
        log_mass, slope, curvature = normal_mass_of(sign * t - sigma**2 / b, low, high, sigma)
        log_p = log_mass + sigma**2 / (2 * b**2) - sign * t / b - math.log(2 * b)
        parts.append((log_p, sign * (slope - 1 / b), curvature))
    log_p, slope, curvature = (torch.stack(column, -1) for column in zip(*parts, strict=True))
    r = log_p.softmax(-1)
    mean = (r * slope).sum(-1)
    between = (r * (slope - mean[..., None]).square()).sum(-1)
    return log_p.logsumexp(-1), mean, (r * curvature).sum(-1) + between


def _blurred_laplace_of(scale: float, t: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    t, sigma = torch.broadcast_tensors(t, sigma)
    return _blurred_laplace(t, constant(scale, t), sigma)


def _blurred_laplace(t: Tensor, b: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p_sigma(t), its first and second derivative, for the law of a Laplace number of scale b plus sigma Z."""
    z, ratio = t / sigma, sigma / b
    narrow = ratio - z.abs() > FAR
    log_p, slope, curvature = _wide_laplace(*_where(~narrow, z, ratio, harmless=1.0))
    if anywhere(narrow):
        pairs = zip(_narrow_laplace(*_where(narrow, z, ratio, harmless=20.0)), (log_p, slope, curvature), strict=True)
        log_p, slope, curvature = (torch.where(narrow, near, wide) for near, wide in pairs)
    return log_p - (2 * b).log(), slope / sigma, curvature / sigma**2


def _where(mask: Tensor, z: Tensor, ratio: Tensor, harmless: float) -> tuple[Tensor, Tensor]:
    """Both of them where the mask holds, and a place where the form is harmless elsewhere."""
    return torch.where(mask, z, 0.0), torch.where(mask, ratio, harmless)


def _wide_laplace(z: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log 2b p and its derivatives in z, by the halves of p that come from above and from below."""
    (above, hazard), (below, other_hazard) = _half(z, ratio), _half(-z, ratio)
    halves = torch.stack([above, below], -1)
    r, s = halves.softmax(-1).unbind(-1)  # r: share of the half in which p falls like e^(-t/b)
    # p - b^2 p'' = N(t; 0, sigma^2), which is hazard / ratio of either half
    normal = 2 / ratio * torch.where(z < 0, s * other_hazard, r * hazard)
    # not logaddexp, whose second derivative is nan where the halves are far apart
    return halves.logsumexp(-1), (s - r) * ratio, (4 * r * s - normal) * ratio**2


def _half(z: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
    """log of e^(ratio^2/2 - ratio z) Phi(-y), y = ratio - z, and the hazard phi(y) / Phi(-y).

    From y = 6 on by Mills' ratio: there that exponential could overflow.
    """
    y = ratio - z
    far = y > FAR
    near = torch.where(far, 0.0, y)
    upper = 0.5 * torch.erfc(near / math.sqrt(2))
    log_half = ratio * (0.5 * ratio - z) + upper.log()
    hazard = (-0.5 * near**2).exp() / (math.sqrt(2 * math.pi) * upper)
    if not anywhere(far):
        return log_half, hazard
    ratio_of_mills = mills(torch.where(far, y, FAR))
    by_mills = ratio_of_mills.log() - 0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    return torch.where(far, by_mills, log_half), torch.where(far, 1 / ratio_of_mills, hazard)


def _narrow_laplace(z: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for b much smaller than sigma: by mean and variance of the Laplace number u given t, s = |u| / sigma.

    For u > 0 the law of s is e^(-(ratio - z) s - s^2/2), a Mills tail; for u < 0 likewise, with -z.
    """
    above, below = tail(ratio - z), tail(ratio + z)
    mass = above.mass + below.mass
    mean = (above.first - below.first) / mass
    variance = (above.second + below.second) / mass - mean**2
    return mass.log() - 0.5 * z**2 - 0.5 * math.log(2 * math.pi), mean - z, variance - 1
