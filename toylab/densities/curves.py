"""Laws supported on points or curves: no density of their own, an exact one at every noise level above 0."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import categorical, integers, uniform
from toylab.densities import _gaussians, interval, latent
from toylab.densities.density import Density, TwoRegimeDensity, mixture


@dataclass(frozen=True, eq=False, repr=False)
class Points(Density):
    """Equal point masses at ``points`` (an empirical law); it has a density only for sigma > 0.

    p_sigma(x) = 1/N sum_i N(x; x_i, sigma^2 I): the Gaussian kernel density estimate of bandwidth sigma.

    Args:
        points: x_i, shape [N, 2].
    """

    points: Tensor

    def __post_init__(self) -> None:
        self._hold(points=self.points)
        validate.cloud("points", self.points)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log 1/N sum_i N(x; x_i, sigma^2 I), shape [...]; ``ValueError`` at sigma = 0."""
        return _gaussians.log_prob(x, validate.noisy(sigma, x), self._gaussians(x))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """(E[X | x] - x) / sigma^2, shape [..., 2]; ``ValueError`` at sigma = 0."""
        return _gaussians.score(x, validate.noisy(sigma, x), self._gaussians(x))

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both for little more than the score alone."""
        return _gaussians.log_prob_and_score(x, validate.noisy(sigma, x), self._gaussians(x))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-2/sigma^2 + tr Cov[X | x] / sigma^4, shape [...]; ``ValueError`` at sigma = 0."""
        return _gaussians.divergence(x, validate.noisy(sigma, x), self._gaussians(x))

    def posterior(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """P(X = x_i | x) for each i, shape [..., N]; ``ValueError`` at sigma = 0."""
        return _gaussians.posterior(x, validate.noisy(sigma, x), self._gaussians(x))

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Points drawn with replacement."""
        i = integers(len(self.points), sample_shape, device=self.device, generator=generator)
        (points,) = self._cast(torch.empty(0, dtype=self.dtype, device=self.device), lambda: (self.points,), "samples")
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
            log_weights = torch.full((N,), -math.log(N), dtype=torch.float64)
            return _gaussians.Gaussians.of(log_weights, self.points, torch.zeros(N, 2, 2, dtype=torch.float64))

        return _gaussians.Gaussians(*self._cast(validate.points("x", like), make))


@dataclass(frozen=True, eq=False, repr=False)
class Segment(TwoRegimeDensity):
    """The uniform law, by length, on the segment from ``start`` to ``end``; it has a density only for sigma > 0.

    Along the segment it is an interval blurred by a Gaussian (module ``interval``), across it a Gaussian.

    Args:
        start: one end, two numbers.
        end: the other.
    """

    start: tuple[float, float] = (-1.0, 0.0)
    end: tuple[float, float] = (1.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            object.__setattr__(self, name, validate.pair(name, getattr(self, name)))
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.start}: a segment has a length. One point? Use Points.")
        self._hold()

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """start + u (end - start), u uniform."""
        u = uniform((*sample_shape, 1), dtype=self.dtype, device=self.device, generator=generator)
        return u.new_tensor(self.start) * (1 - u) + u.new_tensor(self.end) * u

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The segment and nine noise levels around it."""
        ends = torch.tensor([self.start, self.end], dtype=torch.float64)
        return ends.amin(0) - 9 * sigma, ends.amax(0) + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        start, end = x.new_tensor(self.start), x.new_tensor(self.end)
        length = torch.linalg.vector_norm(end - start)
        along, offset = (end - start) / length, x - 0.5 * (start + end)
        across = torch.stack([-along[1], along[0]])
        u, v = offset @ along, (offset / sigma[:, None]) @ across
        log_p, slope, curvature = interval.evaluate(u, -0.5 * length, 0.5 * length, sigma)
        log_p = log_p - 0.5 * v**2 - sigma.log() - 0.5 * math.log(2 * math.pi)
        return log_p, slope[:, None] * along - (v / sigma)[:, None] * across, curvature - 1 / sigma**2


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

    radius: float = 1.0
    center: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        validate.positive("radius", self.radius)
        object.__setattr__(self, "center", validate.pair("center", self.center))
        self._hold()

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

    radii: Tensor = (1.0, 2.0)
    weights: Tensor = None

    def __post_init__(self) -> None:
        given = self.weights
        self._hold(radii=self.radii)
        if self.radii.ndim != 1 or len(self.radii) == 0:
            raise ValueError(f"radii is {self.radii.tolist()}: give a non-empty list of positive radii.")
        K = len(self.radii)
        self._hold(weights=[1 / K] * K if given is None else given)
        validate.simplex("weights", self.weights)
        if self.radii.shape != self.weights.shape or (self.radii <= 0).any():
            raise ValueError(f"radii is {self.radii.tolist()}: give {len(self.weights)} positive radii, one a weight.")

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
        low, high = (torch.tensor(corner, dtype=torch.float64) for corner in ([-1.0, -0.5], [2.0, 1.0]))
        return low - 9 * sigma, high + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        upper = _arc(x, 1.0, 0.0, math.pi, sigma)
        lower = _arc(x - x.new_tensor([1.0, 0.5]), 1.0, math.pi, 2 * math.pi, sigma)
        log_p, s, div = (torch.stack(pair, 1) for pair in zip(upper, lower, strict=True))
        return mixture(log_p - math.log(2), s, div)


@dataclass(frozen=True, eq=False, repr=False)
class Spiral(TwoRegimeDensity):
    """x = rate theta (cos theta, sin theta), theta uniform on [start, end]; it has a density only for sigma > 0.

    Noised it is one integral over theta, done by quadrature (module ``latent``) in float64.

    Args:
        rate: growth of the radius, a radian.
        start: first angle, at least 0.
        end: last angle.
    """

    rate: float = 0.25
    start: float = math.pi / 2
    end: float = 4.5 * math.pi

    def __post_init__(self) -> None:
        validate.positive("rate", self.rate)
        validate.finite("start", self.start)
        validate.finite("end", self.end)
        if not 0 <= self.start < self.end:
            raise ValueError(f"start is {self.start} and end is {self.end}: give angles with 0 <= start < end.")
        self._hold()

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """The curve at uniform angles."""
        u = uniform(sample_shape, dtype=self.dtype, device=self.device, generator=generator)
        angle = self.start + (self.end - self.start) * u
        return (self.rate * angle)[..., None] * torch.stack([angle.cos(), angle.sin()], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The disk that holds the curve, and nine noise levels around it."""
        reach = torch.full((2,), self.rate * self.end + 9 * sigma, dtype=torch.float64)
        return -reach, reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rate = self.rate

        def integrand(x1: Tensor, x2: Tensor, sigma: Tensor) -> latent.Integrand:
            r, direction = torch.hypot(x1, x2), torch.atan2(x2, x1)
            constant = -math.log(2 * math.pi * (self.end - self.start)) - 2 * sigma.log()

            def log_joint(u: Tensor) -> Tensor:
                d1, d2 = rate * u * u.cos() - x1, rate * u * u.sin() - x2
                return constant - 0.5 * ((d1 / sigma) ** 2 + (d2 / sigma) ** 2)

            def change(u: Tensor, step: Tensor) -> Tensor:
                """Of |x - curve|^2 = r^2 + (rate u)^2 - 2 r rate u cos(u - direction)."""
                angle = u - direction
                turn = -2 * (0.5 * step).sin() * (angle + 0.5 * step).sin()  # change of the cosine
                outward = rate * step * (rate * (2 * u + step) - 2 * r * (angle + step).cos())
                return -0.5 * (outward - 2 * r * rate * u * turn) / sigma**2

            def components(u: Tensor) -> tuple[Tensor, Tensor]:
                offset = torch.stack([rate * u * u.cos() - x1, rate * u * u.sin() - x2], -1)
                return offset / sigma[..., None] ** 2, -2 / sigma**2

            return latent.Integrand(log_joint, change, components)

        turns = math.ceil((self.end - self.start) / (2 * math.pi))
        low, high = torch.full_like(sigma, self.start), torch.full_like(sigma, self.end)
        return latent.evaluate(integrand, (*x.unbind(-1), sigma), low, high, n_peaks=turns + 2, n_scan=64 * turns + 1)


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


_NODES, _WEIGHTS = ((part + shift) / 2 for part, shift in zip(np.polynomial.legendre.leggauss(48), (1, 0), strict=True))
_DEPTH = 60.0  # e^-60 = 1e-26 of the largest value is left out


def _arc(x: Tensor, radius: float, start: float, end: float, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p [n], score [n, 2] and divergence [n] of an arc about the origin, uniform from angle start to end.

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
    nearest, width = nearest[..., None], torch.where(exists, width, 1.0)[..., None]

    step = width * x.new_tensor(_NODES)
    t = nearest + step
    fall = (0.5 * nearest).sin() ** 2 + (0.5 * step).sin() * (nearest + 0.5 * step).sin()  # sin^2(t/2)
    constant = -0.5 * ((r - radius) / sigma) ** 2 - 2 * sigma.log() - math.log(4 * math.pi * half)
    least = torch.where(exists, fall[..., 0], math.inf).amin(-1)
    # relative to the nearest node: the logarithm itself loses eps |log p|, and would unbalance the nodes
    log_joint = -2 * kappa[:, None, None] * (fall - least[:, None, None]) + width.log() + x.new_tensor(_WEIGHTS).log()
    log_joint = torch.where(exists[..., None], log_joint, -math.inf).flatten(1)
    # node - x in the frame of x: outwards and anticlockwise
    out = ((radius - r)[:, None, None] - 2 * radius * (0.5 * t).sin() ** 2).flatten(1)
    round_ = (radius * side[..., None] * t.sin()).flatten(1)
    c, s = direction.cos()[:, None], direction.sin()[:, None]
    scores = torch.stack([out * c - round_ * s, out * s + round_ * c], -1) / sigma[:, None, None] ** 2
    log_p, score, div = mixture(log_joint, scores, (-2 / sigma**2)[:, None].expand_as(log_joint))
    return log_p + constant - 2 * kappa * least, score, div
