"""Uniform laws on other curves: no density of their own, an exact one at every noise level above 0."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import constant
from toylab._internal.random import integers, uniform
from toylab.densities import interval, latent
from toylab.densities._mixture import mixture
from toylab.densities.parameters import Vector
from toylab.densities.parts import Parts, point_parts
from toylab.densities.two_regime import TwoRegimeDensity

_NODES, _WEIGHTS = (
    tuple((part + shift) / 2) for part, shift in zip(np.polynomial.legendre.leggauss(48), (1, 0), strict=True)
)
_LEAST = 0.05  # radii: noise below which what is unknown of the curves is continued
_DEPTH = 60.0  # e^-60 = 1e-26 of the largest value is left out


@dataclass(frozen=True, eq=False, repr=False)
class Segment(TwoRegimeDensity):
    """The uniform law, by length, on the segment from ``start`` to ``end``; it has a density only for sigma > 0.

    Along the segment it is an interval blurred by a Gaussian (module ``interval``), across it a Gaussian.

    Args:
        start: one end, two numbers.
        end: the other.
    """

    start: tuple[float, float]
    end: tuple[float, float]

    def __init__(self, start: Vector = (-1.0, 0.0), end: Vector = (1.0, 0.0)) -> None:
        vars(self).update(start=validate.pair("start", start), end=validate.pair("end", end))
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.start}: a segment has a length. One point? Use Points.")

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """start + u (end - start), u uniform."""
        u = uniform((*sample_shape, 1), dtype=self.dtype, device=self.device, generator=generator)
        return constant(self.start, u) * (1 - u) + constant(self.end, u) * u

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The segment and nine noise levels around it."""
        ends = torch.tensor([self.start, self.end], dtype=torch.float64, device="cpu")
        return ends.amin(0) - 9 * sigma, ends.amax(0) + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _as_gaussians(self, sigma: float) -> Parts:
        length = math.dist(self.start, self.end)
        share, masses = _panels(0.0, 1.0, sigma / length)
        start, end = torch.tensor([self.start, self.end], dtype=torch.float64, device="cpu")
        return point_parts(start + share[:, None] * (end - start), masses, _LEAST * length)

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        start, end = constant(self.start, x), constant(self.end, x)
        length = torch.linalg.vector_norm(end - start)
        along, offset = (end - start) / length, x - 0.5 * (start + end)
        across = torch.stack([-along[1], along[0]])
        u, v = offset @ along, (offset / sigma[:, None]) @ across
        log_p, slope, curvature = interval.evaluate(u, -0.5 * length, 0.5 * length, sigma)
        log_p = log_p - 0.5 * v**2 - sigma.log() - 0.5 * math.log(2 * math.pi)
        return log_p, slope[:, None] * along - (v / sigma)[:, None] * across, curvature - 1 / sigma**2


@dataclass(frozen=True, eq=False, repr=False)
class TwoMoons(TwoRegimeDensity):
    """Two half circles of radius 1, equally likely, each uniform by length; it has a density only for sigma > 0.

    The upper one is centred at (0, 0) and runs from angle 0 to pi; the lower one at (1, 1/2), from pi to 2 pi. Noised,
    each is one integral over the angle, done by quadrature in float64.
    """

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A moon, then an angle."""
        lower = integers(2, sample_shape, device=self.device, generator=generator).to(self.dtype)
        angle = math.pi * (uniform(sample_shape, dtype=self.dtype, device=self.device, generator=generator) + lower)
        return torch.stack([angle.cos() + lower, angle.sin() + 0.5 * lower], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The moons and nine noise levels around them."""
        low, high = (torch.tensor(corner, dtype=torch.float64, device="cpu") for corner in ([-1.0, -0.5], [2.0, 1.0]))
        return low - 9 * sigma, high + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _as_gaussians(self, sigma: float) -> Parts:
        angle, masses = _panels(0.0, math.pi, sigma)
        upper = torch.stack([angle.cos(), angle.sin()], -1)
        lower = torch.tensor([1.0, 0.5], dtype=torch.float64, device="cpu") - upper
        return point_parts(torch.cat([upper, lower]), 0.5 * masses.repeat(2), _LEAST)

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        upper = _arc(x, 1.0, 0.0, math.pi, sigma)
        lower = _arc(x - constant((1.0, 0.5), x), 1.0, math.pi, 2 * math.pi, sigma)
        log_p, s, div = (torch.stack(pair, 1) for pair in zip(upper, lower, strict=True))
        return mixture(log_p - math.log(2), s, div)


@dataclass(frozen=True, eq=False, repr=False)
class Spiral(TwoRegimeDensity):
    """x = rate theta (cos theta, sin theta), theta uniform on [start, end]; it has a density only for sigma > 0.

    Noised it is one integral over theta, done by quadrature (module ``latent``) in float64.

    Args:
        rate: growth of the radius per radian.
        start: first angle, at least 0.
        end: last angle.
    """

    rate: float = 0.25
    start: float = math.pi / 2
    end: float = 4.5 * math.pi

    def __post_init__(self) -> None:
        vars(self).update(
            rate=validate.positive("rate", self.rate),
            start=validate.finite("start", self.start),
            end=validate.finite("end", self.end),
        )
        if not 0 <= self.start < self.end:
            raise ValueError(f"start is {self.start} and end is {self.end}: give angles with 0 <= start < end.")

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """The curve at uniform angles."""
        u = uniform(sample_shape, dtype=self.dtype, device=self.device, generator=generator)
        angle = self.start + (self.end - self.start) * u
        return (self.rate * angle)[..., None] * torch.stack([angle.cos(), angle.sin()], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The disk that holds the curve, and nine noise levels around it."""
        reach = torch.full((2,), self.rate * self.end + 9 * sigma, dtype=torch.float64, device="cpu")
        return -reach, reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _as_gaussians(self, sigma: float) -> Parts:
        least = _LEAST * self.rate * min(self.end, math.pi)  # the turns are 2 pi rate apart
        angle, masses = _panels(self.start, self.end, sigma / (self.rate * math.hypot(1, self.end)))
        return point_parts((self.rate * angle)[:, None] * torch.stack([angle.cos(), angle.sin()], -1), masses, least)

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rate = self.rate

        def integrand(x1: Tensor, x2: Tensor, sigma: Tensor) -> latent.Integrand:
            noise = sigma**2
            constant = -math.log(2 * math.pi * (self.end - self.start)) - noise.log()

            def miss(u: Tensor) -> tuple[Tensor, Tensor]:
                return rate * u * u.cos() - x1, rate * u * u.sin() - x2

            def log_joint(u: Tensor) -> Tensor:
                d1, d2 = miss(u)
                return constant - 0.5 * ((d1 / sigma) ** 2 + (d2 / sigma) ** 2)

            def change(u: Tensor, step: Tensor) -> Tensor:
                """With |a|^2 - |b|^2 = (a - b) (a + b), a - b the chord from the curve at u to that at u + step."""
                middle, turn = u + 0.5 * step, 2 * u * (0.5 * step).sin()
                chord1 = rate * (step * (u + step).cos() - turn * middle.sin())
                chord2 = rate * (step * (u + step).sin() + turn * middle.cos())
                (a1, a2), (b1, b2) = miss(u + step), miss(u)
                return -0.5 * (chord1 / sigma * ((a1 + b1) / sigma) + chord2 / sigma * ((a2 + b2) / sigma))

            def components(u: Tensor) -> tuple[Tensor, Tensor]:
                return torch.stack(miss(u), -1) / noise[..., None], -2 / noise

            def slope(u: Tensor) -> Tensor:
                (d1, d2), c, s = miss(u), u.cos(), u.sin()
                return -rate * (d1 * (c - u * s) + d2 * (s + u * c)) / noise

            def curvature(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
                """-(rate^2 + rate r (u cos a + 2 sin a)) / sigma^2, a = u less the direction of x."""
                r, direction = torch.hypot(x1, x2), torch.atan2(x2, x1)
                c1, c2 = _range_of_cosine(first - direction, last - direction)
                s1, s2 = _range_of_cosine(first - direction - 0.5 * math.pi, last - direction - 0.5 * math.pi)
                low = torch.minimum(first * c1, last * c1) + 2 * s1  # u >= 0
                high = torch.maximum(first * c2, last * c2) + 2 * s2
                return -rate * (rate + r * high) / noise, -rate * (rate + r * low) / noise

            def ceiling(first: Tensor, last: Tensor) -> Tensor:
                """The curve there lies on the ring of radii rate u."""
                r = torch.hypot(x1, x2)
                gap = torch.maximum(rate * first - r, r - rate * last).clamp(min=0)
                return constant - 0.5 * (gap / sigma) ** 2

            return latent.Integrand(log_joint, change, components, slope, curvature, ceiling)

        low, high = torch.full_like(sigma, self.start), torch.full_like(sigma, self.end)
        return latent.evaluate(integrand, (*x.unbind(-1), sigma), low, high, scale=math.pi)


def _panels(start: float, end: float, scale: float) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes on an interval, 48 to 24 scales or less, and their masses under the uniform law."""
    n = math.ceil((end - start) / (24 * scale))
    places = (
        torch.arange(n, dtype=torch.float64, device="cpu")[:, None]
        + torch.tensor(_NODES, dtype=torch.float64, device="cpu")
    ) / n
    masses = torch.tensor(_WEIGHTS, dtype=torch.float64, device="cpu").repeat(n) / n
    return start + (end - start) * places.flatten(), masses


def _range_of_cosine(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Its least and its largest value on [first, last]."""
    ends, turn = (first.cos(), last.cos()), 2 * math.pi
    has_top = (last / turn).floor() > (first / turn).floor()
    has_bottom = (last / turn - 0.5).floor() > (first / turn - 0.5).floor()
    return torch.where(has_bottom, -1.0, torch.minimum(*ends)), torch.where(has_top, 1.0, torch.maximum(*ends))


def _arc(x: Tensor, radius: float, start: float, end: float, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p [n], score [n, 2] and divergence [n] of an arc about the origin, uniform from angle start to end."""
    with torch.no_grad():  # where the nodes lie does not change the integral
        angle, log_weight, nearest = _angles(x.detach(), radius, start, end, sigma.detach())
    x1, x2 = (x / sigma[:, None])[..., None].unbind(1)
    place = radius * torch.stack([angle.cos(), angle.sin()], -1)
    # relative to the nearest node: the logarithm itself loses eps |log p|, and would unbalance the nodes. All nodes are
    # equally far from the origin, so that log N(x; node) changes by x times the chord between two, over sigma^2.
    middle, chord = 0.5 * (angle + nearest), 2 * (radius / sigma[:, None]) * (0.5 * (angle - nearest)).sin()
    log_joint = log_weight + chord * (x2 * middle.cos() - x1 * middle.sin())
    scores = (place - x[:, None]) / sigma[:, None, None] ** 2
    log_p, score, div = mixture(log_joint, scores, (-2 / sigma**2)[:, None].expand_as(log_joint))
    miss1, miss2 = x1 - radius / sigma[:, None] * nearest.cos(), x2 - radius / sigma[:, None] * nearest.sin()
    constant = -2 * sigma.log() - math.log(2 * math.pi * (end - start))
    return log_p + constant - 0.5 * (miss1**2 + miss2**2)[:, 0], score, div


def _angles(x: Tensor, radius: float, start: float, end: float, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes on the arc for each point [n, m], the logarithms of their weights, and the angle next to the point [n, 1].

    With t the angle between x and the node, the integrand is exp(-2 kappa sin^2(t/2)), kappa = r R / sigma^2: it falls
    with |t|. So the arc is cut at t = 0 and at t = pi, and nodes go on each piece from its end of least |t|.
    """
    r, direction = torch.linalg.vector_norm(x, dim=-1), torch.atan2(x[:, 1], x[:, 0])
    kappa = (r / sigma) * (radius / sigma)
    half = 0.5 * (end - start)
    middle = torch.remainder(0.5 * (start + end) - direction + math.pi, 2 * math.pi) - math.pi
    mirror = torch.where(middle < 0, -1.0, 1.0)
    a, b = middle.abs() - half, middle.abs() + half  # the arc in t, mirrored so that its middle is at t >= 0
    zero, pi = torch.zeros_like(a), torch.full_like(a, math.pi)
    side = torch.stack([mirror, -mirror, -mirror], -1)
    nearest = torch.stack([a.clamp(min=0), zero, 2 * math.pi - b], -1)
    farthest = torch.stack([b.clamp(max=math.pi), -a, pi], -1)
    # e^-60 of its largest value is reached where sin^2(t/2) has grown by 60 / (2 kappa)
    grown = (0.5 * nearest).sin() ** 2 + 0.5 * _DEPTH / kappa.clamp(min=torch.finfo(kappa.dtype).tiny)[:, None]
    width = torch.minimum(farthest, 2 * grown.clamp(max=1.0).sqrt().asin()) - nearest
    exists = width > 0
    width = torch.where(exists, width, 1.0)
    angle = direction[:, None, None] + (side * nearest)[..., None] + (side * width)[..., None] * constant(_NODES, x)
    log_weight = torch.where(exists, width, 0.0).log()[..., None] + constant(_WEIGHTS, x).log()
    first = torch.where(exists, nearest, math.inf).argmin(-1, keepdim=True)
    return angle.flatten(1), log_weight.flatten(1), direction[:, None] + (side * nearest).gather(-1, first)
