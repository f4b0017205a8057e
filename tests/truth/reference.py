"""log p_sigma, score and divergence of every law of toylab, from the law's definition and in 60 digits.

A law is a nested list that JSON can hold, ``["Banana", 2.0, 0.5, 0.5]`` or ``["scaled", [...], 3.0]``: see
``cases.build``, which makes toylab's object of it. Nothing of toylab's mathematics is used here, and nothing is known
of its peaks and windows.

Every law is a family of Gaussians N(m(u), C(u)) with random u, or a product of two one-dimensional laws with a closed
form. With s_u and d_u the score and the divergence of the Gaussian at u, and E the mean over u given x,

    score = E[s_u],   divergence = E[d_u] + tr Cov(s_u).

Points, mixtures of Gaussians: a sum. Curves, Banana, Funnel, Student's t: one integral (module ``integral``, which
proves that it has seen all of it). Square, Checkerboard, Segment, Laplace, circles: erfc and Bessel functions.

What float64 must lose
----------------------
The reference says of each value how much of it float64 arithmetic must lose, whatever the formula:

    S  natural size of the score, sqrt(E|s_u|^2) = sqrt(tr Cov + |score|^2);
    D  natural size of the second derivatives, E|d_u| + tr Cov;
    X  the largest of the numbers from which x - m is formed: coordinates, centres, shifts, b u^2 of a parabola;
    K  condition number of the covariances;
    V  spread of the scores, tr Cov(s_u);
    W  spread of what adds up to the divergence, E|d_u + |s_u - s|^2 - divergence|, or a bound;
    T  natural size of the third derivatives: D sqrt(D) where nothing better is known.

With the rounding u = 32 eps (the longest formula has some thirty operations) a Gaussian's logarithm is known to
e = u (K (|log p| + 40) + S X): its own size, its constants, and the rounding of the difference x - m. A relative error
e of each Gaussian moves the means over u by at most e times their spread: this is what counts near ties. A rounding
u X of x - m moves each derivative by the next one. So

    |log p error| <= 1e-9 max(|log p|, 1) + e
    |score error| <= 1e-9 |score| + u K S + e sqrt(V) + u X D
    |div error|   <= 1e-9 |div|   + u K D + e W       + u X T

In float32 the promise is 1e-4 of the natural sizes max(|log p|, 1), S and D, and what a shift of x - m by u X costs
with u = 8 eps of float32, since float32 knows coordinates and parameters no better (each motion rounds twice). Ties get
nothing: a relative error of each Gaussian is no rounding of coordinates.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import mpmath as mp
import numpy as np

from tests.truth.integral import Screen, cells, moments
from toylab import densities

DIGITS = 60
ROUNDING = 32 * float(np.finfo(float).eps)

Law = list


@dataclass(frozen=True)
class Value:
    """log p, score and divergence at a point, and the sizes that bound what float64 must lose."""

    log_p: mp.mpf
    s1: mp.mpf
    s2: mp.mpf
    div: mp.mpf
    S: mp.mpf
    D: mp.mpf
    X: mp.mpf
    K: mp.mpf = mp.mpf(1)
    V: mp.mpf = mp.mpf(0)
    W: mp.mpf = mp.mpf(0)
    T: mp.mpf = mp.mpf(0)

    @classmethod
    def of_noise(cls, log_p: mp.mpf, s1: mp.mpf, s2: mp.mpf, div: mp.mpf, sigma: mp.mpf, X: mp.mpf) -> "Value":
        """With the sizes of a law that is the noise about a random place: d_u = -2 / sigma^2."""
        return cls.of_latent(log_p, (s1, s2), -2 / sigma**2, div + 2 / sigma**2, X)

    @classmethod
    def of_latent(
        cls, log_p: mp.mpf, mean: tuple[mp.mpf, mp.mpf], d: mp.mpf, V: mp.mpf, X: mp.mpf, *, W: mp.mpf | None = None
    ) -> "Value":
        """From E s_u, E d_u and tr Cov(s_u); W is 2 V where d_u is the same for every u."""
        D = V - d
        return cls(log_p, *mean, V + d, mp.sqrt(V + mean[0] ** 2 + mean[1] ** 2), D, X,
                   V=V, W=2 * V if W is None else W, T=D * mp.sqrt(D))  # fmt: skip


class Tolerance(NamedTuple):
    """How far float64 may be from the truth."""

    log_p: float
    score: float
    div: float


class NoDensity(ValueError):
    """The law has no density at this level."""


def evaluate(law: Law, x: tuple[float, float], sigma: float) -> Value:
    """The value at a point, from float64 numbers taken as exact."""
    with mp.workdps(DIGITS):
        return _evaluate(law, mp.mpf(x[0]), mp.mpf(x[1]), mp.mpf(sigma))


def tolerance(value: Value, dtype: str = "float64") -> Tolerance:
    """See the module."""
    log_p, S, D, X, K = (float(abs(part)) for part in (value.log_p, value.S, value.D, value.X, value.K))
    V, W, T = (float(max(part, 0)) for part in (value.V, value.W, value.T))
    size = max(log_p, 1.0)
    if dtype == "float32":
        moved = 8 * float(np.finfo(np.float32).eps) * X
        return Tolerance(1e-4 * size + moved * S, 1e-4 * S + moved * D, 1e-4 * D + moved * T)
    u, e = ROUNDING, error_of_a_gaussian(value)
    return Tolerance(
        1e-9 * size + e,
        1e-9 * float(mp.hypot(value.s1, value.s2)) + u * K * S + e * math.sqrt(V) + u * X * D,
        1e-9 * float(abs(value.div)) + u * K * D + e * W + u * X * T,
    )


def error_of_a_gaussian(value: Value) -> float:
    """The relative error e of the module: how far float64 knows the weight of a component."""
    return float(ROUNDING * (value.K * (abs(value.log_p) + 40) + value.S * value.X))


def _evaluate(law: Law, x: mp.mpf, y: mp.mpf, sigma: mp.mpf) -> Value:
    name, *arguments = law
    return _LAWS[name](x, y, sigma, *arguments)


# --- moved, noised and mixed ---


def _noised(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, law: Law, std: float) -> Value:
    return _evaluate(law, x, y, mp.hypot(sigma, std))


def _scaled(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, law: Law, factor: float) -> Value:
    f = mp.mpf(factor)
    v, size = _evaluate(law, x / f, y / f, sigma / abs(f)), abs(f)
    return replace(
        v,
        log_p=v.log_p - 2 * mp.log(size), s1=v.s1 / f, s2=v.s2 / f, div=v.div / f**2,
        S=v.S / size, D=v.D / f**2, X=v.X * size, V=v.V / f**2, W=v.W / f**2, T=v.T / size**3,
    )  # fmt: skip


def _rotated(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, law: Law, angle: float) -> Value:
    c, s = mp.cos(angle), mp.sin(angle)
    v = _evaluate(law, c * x + s * y, c * y - s * x, sigma)
    return replace(v, s1=c * v.s1 - s * v.s2, s2=s * v.s1 + c * v.s2, X=max(v.X, mp.hypot(x, y)))


def _shifted(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, law: Law, shift: tuple[float, float]) -> Value:
    v = _evaluate(law, x - shift[0], y - shift[1], sigma)
    return replace(v, X=v.X + mp.hypot(*shift) + mp.hypot(x, y))


def _mixture(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, weights: list[float], laws: list[Law]) -> Value:
    total = mp.fsum(weights)
    return mixed([w / total for w in map(mp.mpf, weights)], [_evaluate(law, x, y, sigma) for law in laws])


def mixed(weights: list[mp.mpf], parts: list[Value]) -> Value:
    """The mixture of laws whose values are known."""
    parts_of_mass = [(w, v) for w, v in zip(weights, parts, strict=True) if mp.isfinite(v.log_p)]
    if not parts_of_mass:
        return _outside(parts[0].X)
    logs = [mp.log(w) + v.log_p for w, v in parts_of_mass]
    values = [v for _, v in parts_of_mass]
    top = max(logs)
    r = [mp.exp(value - top) for value in logs]
    total = mp.fsum(r)
    r = [part / total for part in r]
    s1, s2 = mp.fdot(r, [v.s1 for v in values]), mp.fdot(r, [v.s2 for v in values])
    apart = [(v.s1 - s1) ** 2 + (v.s2 - s2) ** 2 for v in values]
    matters = [v for v, part in zip(values, r, strict=True) if part > 1e-20]
    shares = [v.div + a for v, a in zip(values, apart, strict=True)]
    div = mp.fdot(r, shares)

    def mean(size: Callable[[Value, mp.mpf], mp.mpf]) -> mp.mpf:
        return mp.fdot(r, [size(v, mp.sqrt(a)) for v, a in zip(values, apart, strict=True)])

    return Value(
        top + mp.log(total), s1, s2, div, mp.sqrt(mean(lambda v, a: v.S**2)), mean(lambda v, a: v.D + a**2),
        max(v.X for v in matters), max(v.K for v in matters), V=mean(lambda v, a: v.V + a**2),
        W=mean(lambda v, a: v.W + 2 * a * mp.sqrt(v.V)) + mp.fdot(r, [abs(share - div) for share in shares]),
        T=mean(lambda v, a: v.T + 3 * a * v.D + a**3),
    )  # fmt: skip


def _outside(X: mp.mpf) -> Value:
    return Value(mp.mpf("-inf"), mp.nan, mp.nan, mp.nan, mp.mpf(1), mp.mpf(1), X)


# --- sums of Gaussians ---


def gaussians(
    x: mp.mpf, y: mp.mpf, sigma: mp.mpf, weights: list[float], means: list[list[float]], covariances: list
) -> Value:
    """Of a mixture of Gaussians; the components too small for sixty digits are left out by a float64 bound."""
    w, m, C = np.array(weights), np.array(means), np.array(covariances)
    C = np.broadcast_to(C, (len(w), 2, 2))
    a, b, c = C[:, 0, 0] + float(sigma) ** 2, C[:, 0, 1], C[:, 1, 1] + float(sigma) ** 2
    d1, d2 = float(x) - m[:, 0], float(y) - m[:, 1]
    # between the quadratic forms with the least and with the greatest eigenvalue
    spread = np.hypot(a - c, 2 * b)
    greatest = 0.5 * (a + c + spread)
    least = np.maximum((a * c - b * b) / greatest, 0)
    det = least * greatest
    exact = np.where(det > 1e-6 * greatest**2, (c * d1**2 - 2 * b * d1 * d2 + a * d2**2) / np.maximum(det, 1e-300), 0)
    far = np.maximum((d1**2 + d2**2) / greatest, 0.999 * exact)
    with np.errstate(divide="ignore"):
        upper = np.log(w) - 0.5 * far - 0.5 * np.log(np.maximum(det, 1e-300) * 0.5)
        tight = np.where(det > 1e-6 * greatest**2, np.log(w) - 0.5 * 1.001 * exact - 0.5 * np.log(det * 2), -np.inf)
    keep = np.flatnonzero(upper >= tight.max() - 120) if np.isfinite(tight.max()) else range(len(w))
    total = mp.fsum(weights)
    parts = [_gaussian(x, y, sigma, m[k].tolist(), C[k].tolist()) for k in keep]
    return mixed([mp.mpf(float(w[k])) / total for k in keep], parts)


def _gaussian(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, mean: list[float], covariance: list[list[float]]) -> Value:
    (a, b), (b_, c) = covariance
    a, b, c = a + sigma**2, (mp.mpf(b) + b_) / 2, c + sigma**2
    det = a * c - b * b
    d1, d2 = mean[0] - x, mean[1] - y
    s1, s2, div = (c * d1 - b * d2) / det, (a * d2 - b * d1) / det, -(a + c) / det
    log_p = -(s1 * d1 + s2 * d2) / 2 - mp.log(det) / 2 - mp.log(2 * mp.pi)
    greatest = (a + c + mp.hypot(a - c, 2 * b)) / 2
    return Value(log_p, s1, s2, div, mp.hypot(s1, s2), -div, mp.hypot(x, y) + mp.hypot(*mean), greatest**2 / det)


def _points(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, points: list[list[float]]) -> Value:
    _needs_noise(sigma)
    zero = [[0.0, 0.0], [0.0, 0.0]]
    return mixed([mp.mpf(1) / len(points)] * len(points), [_gaussian(x, y, sigma, point, zero) for point in points])


# --- straight pieces: one-dimensional laws in closed form, as log p, (log p)', (log p)'' ---


def _interval(t: mp.mpf, low: mp.mpf, high: mp.mpf, sigma: mp.mpf) -> tuple[mp.mpf, mp.mpf, mp.mpf]:
    """U + sigma Z for U uniform on [low, high]: p = (Phi(b) - Phi(a)) / (high - low), and its derivatives."""
    low, high = mp.mpf(low), mp.mpf(high)
    if 2 * t < low + high:  # mirrored, so that the difference is one of upper tails
        log_p, slope, curvature = _interval(-t, -high, -low, sigma)
        return log_p, -slope, curvature
    a, b = (t - high) / sigma, (t - low) / sigma
    mass = (mp.erfc(a / mp.sqrt(2)) - mp.erfc(b / mp.sqrt(2))) / 2
    normal_a, normal_b = mp.npdf(a), mp.npdf(b)
    slope = (normal_b - normal_a) / (sigma * mass)
    curvature = (a * normal_a - b * normal_b) / (sigma**2 * mass) - slope**2
    return mp.log(mass) - mp.log(high - low), slope, curvature


def _square(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, low: float, high: float) -> Value:
    X = mp.hypot(x, y) + max(abs(low), abs(high))
    if sigma == 0:
        inside = low <= x <= high and low <= y <= high
        return _flat(2 * mp.log(mp.mpf(high) - low), X) if inside else _outside(X)
    (l1, s1, c1), (l2, s2, c2) = _interval(x, low, high, sigma), _interval(y, low, high, sigma)
    return Value.of_noise(l1 + l2, s1, s2, c1 + c2, sigma, X)


def _checkerboard(x: mp.mpf, y: mp.mpf, sigma: mp.mpf) -> Value:
    X = mp.hypot(x, y) + 4
    cells = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    edges = [-4, -2, 0, 2]
    if sigma == 0:
        inside = any(edges[i] <= x < edges[i] + 2 and edges[j] <= y < edges[j] + 2 for i, j in cells)
        return _flat(mp.log(32), X) if inside else _outside(X)
    across, up = ([_interval(t, low, low + 2, sigma) for low in edges] for t in (x, y))
    parts = [
        Value.of_noise(across[i][0] + up[j][0], across[i][1], up[j][1], across[i][2] + up[j][2], sigma, X)
        for i, j in cells
    ]
    return mixed([mp.mpf(1) / 8] * 8, parts)


def _flat(log_area: mp.mpf, X: mp.mpf) -> Value:
    zero = mp.mpf(0)
    return Value(-log_area, zero, zero, zero, zero, zero, X)


def _segment(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, start: list[float], end: list[float]) -> Value:
    _needs_noise(sigma)
    d1, d2 = mp.mpf(end[0]) - start[0], mp.mpf(end[1]) - start[1]
    length = mp.hypot(d1, d2)
    d1, d2 = d1 / length, d2 / length
    along, across = (x - start[0]) * d1 + (y - start[1]) * d2, (y - start[1]) * d1 - (x - start[0]) * d2
    log_p, slope, curvature = _interval(along, mp.mpf(0), length, sigma)
    pull = -across / sigma**2
    return Value.of_noise(
        log_p - across**2 / (2 * sigma**2) - mp.log(sigma) - mp.log(2 * mp.pi) / 2,
        slope * d1 - pull * d2, slope * d2 + pull * d1, curvature - 1 / sigma**2, sigma,
        mp.hypot(x, y) + mp.hypot(*start) + mp.hypot(*end),
    )  # fmt: skip


def _laplace(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, scales: list[float]) -> Value:
    X, (b1, b2) = mp.hypot(x, y), map(mp.mpf, scales)
    if sigma == 0:
        log_p = -abs(x) / b1 - abs(y) / b2 - mp.log(4 * b1 * b2)
        S = 1 / b1 + 1 / b2
        return Value(log_p, -mp.sign(x) / b1, -mp.sign(y) / b2, mp.mpf(0), S, S**2, X)
    (l1, s1, c1), (l2, s2, c2) = _laplace_1d(x, b1, sigma), _laplace_1d(y, b2, sigma)
    return Value.of_noise(l1 + l2, s1, s2, c1 + c2, sigma, X)


def _laplace_1d(t: mp.mpf, b: mp.mpf, sigma: mp.mpf) -> tuple[mp.mpf, mp.mpf, mp.mpf]:
    """p = (A + B) / 2b, A and B the shares of the positive and of the negative half; p - b^2 p'' = N(t; 0, sigma^2)."""
    with mp.workdps(2 * DIGITS):  # far above b, p'' is the small difference of near-equal numbers
        ratio, z = sigma / b, t / sigma
        A = mp.exp(ratio**2 / 2 - t / b) * mp.erfc((ratio - z) / mp.sqrt(2)) / 2
        B = mp.exp(ratio**2 / 2 + t / b) * mp.erfc((ratio + z) / mp.sqrt(2)) / 2
        p = (A + B) / (2 * b)
        slope = (B - A) / (2 * b**2 * p)
        return mp.log(p), slope, (1 - mp.npdf(t, 0, sigma) / p) / b**2 - slope**2


# --- circles: Bessel functions ---


def _circle(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, radius: float, center: list[float]) -> Value:
    _needs_noise(sigma)
    d1, d2, R = x - center[0], y - center[1], mp.mpf(radius)
    r = mp.hypot(d1, d2)
    kappa = r * R / sigma**2
    log_i0, A = _bessel(kappa)
    log_p = -((r - R) ** 2) / (2 * sigma**2) + log_i0 - mp.log(2 * mp.pi * sigma**2)
    radial = (R * A - r) / (sigma**2 * r) if r else mp.mpf(0)
    div = -2 / sigma**2 + (R / sigma**2) ** 2 * (1 - A**2)
    return Value.of_noise(log_p, radial * d1, radial * d2, div, sigma, mp.hypot(x, y) + mp.hypot(*center) + R)


def _bessel(kappa: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """log(e^-kappa I_0(kappa)) and I_1 / I_0; from 300 on by Hankel's series, summed to its least term."""
    if kappa < 300:
        i0 = mp.besseli(0, kappa)
        return mp.log(i0) - kappa, mp.besseli(1, kappa) / i0
    sums = []
    for order in (0, 1):
        term = total = mp.mpf(1)
        for k in range(1, 400):
            term *= -mp.mpf(4 * order**2 - (2 * k - 1) ** 2) / (8 * k * kappa)
            total += term
            if abs(term) < mp.mpf(10) ** (-DIGITS - 5):
                break
        sums.append(total)
    return mp.log(sums[0]) - mp.log(2 * mp.pi * kappa) / 2, sums[1] / sums[0]


def _concentric(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, radii: list[float], weights: list[float]) -> Value:
    total = mp.fsum(weights)
    return mixed([mp.mpf(w) / total for w in weights], [_circle(x, y, sigma, r, [0.0, 0.0]) for r in radii])


# --- one integral ---


def _two_moons(x: mp.mpf, y: mp.mpf, sigma: mp.mpf) -> Value:
    _needs_noise(sigma)
    half = mp.mpf(1) / 2
    X = mp.hypot(x, y) + 2
    return mixed([half, half], [_arc(x, y, sigma, 0, 1, X), _arc(x - 1, y - half, sigma, 1, 2, X)])


def _arc(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, start: int, end: int, X: mp.mpf) -> Value:
    """The unit circle from start pi to end pi, uniform; in the angle t - start pi."""
    x, y = (x, y) if start == 0 else (-x, -y)
    fx, fy, noise = float(x), float(y), float(sigma) ** 2
    r = math.hypot(fx, fy)

    def screen(m: np.ndarray, a: np.ndarray, b: np.ndarray) -> Screen:
        del a, b
        d1, d2 = np.cos(m) - fx, np.sin(m) - fy
        slope = (d1 * np.sin(m) - d2 * np.cos(m)) / noise
        value = -0.5 * (d1**2 + d2**2) / noise
        return Screen(value, slope, np.full_like(m, r / noise), -value + (1 + r) * np.sqrt(-2 * value / noise))

    def node(t: mp.mpf) -> tuple[mp.mpf, ...]:
        c, s = mp.cos_sin(t)
        d1, d2 = c - x, s - y
        return -(d1 * d1 + d2 * d2) * over / 2, d1 * over, d2 * over, -2 * over

    over = 1 / sigma**2
    m = moments(node, _below(mp.pi, cells(screen, 0.0, math.pi)))
    turn = 1 if start == 0 else -1
    s1, s2 = turn * m.mean[0], turn * m.mean[1]
    log_p = m.log_integral - mp.log(2 * mp.pi**2 * sigma**2)
    return Value.of_noise(log_p, s1, s2, m.variance - 2 * over, sigma, X)


def _below(end: mp.mpf, where: list[tuple[float, float, float]]) -> list[tuple]:
    """Cells whose last base is a rounded number: counted from the number itself."""
    rounded = float(end)
    return [(end if base == rounded else base, first, last) for base, first, last in where]


def _spiral(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, rate: float, start: float, end: float) -> Value:
    """(rate t cos t, rate t sin t), t uniform; g'' = -(rate^2 - x . curve'') / sigma^2."""
    _needs_noise(sigma)
    fx, fy, noise = float(x), float(y), float(sigma) ** 2
    r = math.hypot(fx, fy)

    def screen(m: np.ndarray, a: np.ndarray, b: np.ndarray) -> Screen:
        del a
        c, s = np.cos(m), np.sin(m)
        d1, d2 = rate * m * c - fx, rate * m * s - fy
        slope = -(d1 * rate * (c - m * s) + d2 * rate * (s + m * c)) / noise
        curvature = (rate**2 + r * rate * np.sqrt(b**2 + 4)) / noise
        value = -0.5 * (d1**2 + d2**2) / noise
        size = -value + (rate * m + r) * np.sqrt(-2 * value / noise)
        return Screen(value, slope, curvature, size)

    def node(t: mp.mpf) -> tuple[mp.mpf, ...]:
        c, s = mp.cos_sin(t)
        d1, d2 = rate * t * c - x, rate * t * s - y
        return -(d1 * d1 + d2 * d2) * over / 2, d1 * over, d2 * over, -2 * over

    over, rate_ = 1 / sigma**2, mp.mpf(rate)
    m = moments(node, cells(screen, start, end))
    log_p = m.log_integral - mp.log(2 * mp.pi * sigma**2 * (mp.mpf(end) - start))
    return Value.of_noise(log_p, *m.mean, m.variance - 2 * over, sigma, mp.hypot(x, y) + rate_ * end)


def _banana(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, scale: float, width: float, bend: float) -> Value:
    """X_1 = u ~ N(0, scale^2), X_2 = bend (u^2 - scale^2) + width Z."""
    s2, w2, b = mp.mpf(scale) ** 2, mp.mpf(width) ** 2, mp.mpf(bend)
    if sigma == 0:
        X = mp.hypot(x, y) + abs(b) * (x**2 + s2)
        v, slope = (y - b * (x**2 - s2)) / w2, 2 * b * x
        log_p = -mp.log(2 * mp.pi * scale * width) - x**2 / (2 * s2) - v**2 * w2 / 2
        S = abs(x) / s2 + abs(slope * v) + abs(v)
        steep = (1 + slope**2) / w2
        bent = 2 * b * v
        D, T = 1 / s2 + abs(bent) + steep, abs(2 * b) * (1 + 3 * abs(slope)) / w2
        return Value(log_p, -x / s2 + slope * v, -v, -1 / s2 + bent - steep, S, D, X, T=T)
    noise = sigma**2
    across = w2 + noise
    fx, fy, fs2, fb, fn, fa = map(float, (x, y, s2, b, noise, across))

    def screen(m: np.ndarray, a: np.ndarray, b_: np.ndarray) -> Screen:
        miss = fy - fb * (m**2 - fs2)
        terms = m**2 / fs2, (fx - m) ** 2 / fn, miss**2 / fa
        value = -0.5 * sum(terms)
        slope = -m / fs2 + (fx - m) / fn + 2 * fb * m * miss / fa
        most = np.maximum(np.abs(a), np.abs(b_))  # of |u|
        least = np.where(a * b_ <= 0, 0.0, np.minimum(np.abs(a), np.abs(b_)))
        off = np.maximum(np.abs(fy - fb * (most**2 - fs2)), np.abs(fy - fb * (least**2 - fs2)))
        curvature = 1 / fs2 + 1 / fn + (4 * fb**2 * most**2 + 2 * abs(fb) * off) / fa
        lost = np.abs(fx - m) / fn * abs(fx) + np.abs(miss) / fa * (abs(fy) + abs(fb) * (m**2 + fs2))
        return Screen(value, slope, curvature, -value + lost)

    def node(u: mp.mpf) -> tuple[mp.mpf, ...]:
        t, miss = x - u, y - b * (u * u - s2)
        return -(u * u / s2 + t * t / noise + miss * miss / across) / 2, -t / noise, -miss / across, both

    both = -1 / noise - 1 / across
    # without the last factor, at most 1, the integrand is Gaussian: no more than e^-DEPTH of it lies outside
    mean, std = fx * fs2 / (fs2 + fn), math.sqrt(fs2 * fn / (fs2 + fn))
    least = _least(screen, mean, std) + 0.5 * fx**2 / (fs2 + fn)
    reach = std * math.sqrt(2 * (_MARGIN - least + math.log(std)))
    m = moments(node, cells(screen, mean - reach, mean + reach))
    log_p = m.log_integral - mp.log(s2 * noise * across) / 2 - mp.log(2 * mp.pi) * 3 / 2
    square = (x + noise * m.mean[0]) ** 2 + noise**2 * m.variance  # at least E u^2
    X = mp.hypot(x, y) + abs(b) * (square + s2)
    return Value.of_latent(log_p, m.mean, m.d, m.variance, X)


_MARGIN = 70.0


def _least(screen: object, middle: float, width: float) -> float:
    """A lower bound on the logarithm of the integral, from a cell about the middle."""
    m = np.array([middle])
    for _ in range(400):
        h = np.array([width])
        g = screen(m, m - h / 2, m + h / 2)
        if g.curvature[0] * width**2 / 8 < 2:
            break
        width /= 2
    return float(g.value[0] - 2 - 64 * np.finfo(float).eps * g.size[0] + math.log(width))


def _funnel(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, scale: float) -> Value:
    """V = u ~ N(0, scale^2), Y given V of variance e^V."""
    s2, X = mp.mpf(scale) ** 2, mp.hypot(x, y)
    if sigma == 0:
        q, inverse = y**2 * mp.exp(-x), mp.exp(-x)
        log_p = -mp.log(2 * mp.pi * scale) - x**2 / (2 * s2) - x / 2 - q / 2
        S = abs(x) / s2 + (q + 1) / 2 + abs(y) * inverse
        D, T = 1 / s2 + q / 2 + inverse, q / 2 + (1 + abs(y)) * inverse
        return Value(log_p, -x / s2 + (q - 1) / 2, -y * inverse, -D, S, D, X, T=T)
    noise = sigma**2
    fx, fy2, fs2, fn = map(float, (x, y**2, s2, noise))
    log_noise = math.log(fn)

    def screen(m: np.ndarray, a: np.ndarray, b: np.ndarray) -> Screen:
        log_w = np.logaddexp(m, log_noise)
        q = np.exp(m - log_w)
        pull = fy2 * np.exp(-log_w)
        value = -0.5 * (m**2 / fs2 + (fx - m) ** 2 / fn + log_w + pull)
        slope = -m / fs2 + (fx - m) / fn - 0.5 * q + 0.5 * pull * q
        top = np.clip(log_noise, a, b)  # e^u / (e^u + noise)^2 is greatest at e^u = noise
        curvature = 1 / fs2 + 1 / fn + 0.125 + 0.5 * fy2 * np.exp(top - 2 * np.logaddexp(top, log_noise))
        size = 0.5 * (m**2 / fs2 + np.abs(log_w) + pull * (1 + np.abs(log_w))) + np.abs(fx - m) / fn * abs(fx)
        return Screen(value, slope, curvature, size - value)

    def node(u: mp.mpf) -> tuple[mp.mpf, ...]:
        w, t = mp.exp(u) + noise, x - u
        pull = y / w
        return -(u * u / s2 + t * t / noise + mp.log(w) + y * pull) / 2, -t / noise, -pull, -1 / noise - 1 / w

    # -(log w + y^2 / w) / 2 is at most its value at w = max(y^2, noise); the rest is Gaussian
    mean, std = fx * fs2 / (fs2 + fn), math.sqrt(fs2 * fn / (fs2 + fn))
    best = max(fy2, fn)
    most = -0.5 * (math.log(best) + fy2 / best) - 0.5 * fx**2 / (fs2 + fn)
    reach = std * math.sqrt(2 * max(_MARGIN + most + math.log(std) - _least(screen, mean, std), 50))
    m = moments(node, cells(screen, mean - reach, mean + reach))
    log_p = m.log_integral - mp.log(s2 * noise) / 2 - mp.log(2 * mp.pi) * 3 / 2
    return Value.of_latent(log_p, m.mean, m.d, m.variance, X, W=2 * (m.variance - m.d))


def _student_mixture(
    x: mp.mpf, y: mp.mpf, sigma: mp.mpf, weights: list[float], locations: list, scales: list, dfs: list[float]
) -> Value:
    scales = scales if isinstance(scales[0][0], list) else [scales] * len(weights)
    total = mp.fsum(weights)
    parts = [_student(x, y, sigma, *each) for each in zip(locations, scales, dfs, strict=True)]
    return mixed([mp.mpf(w) / total for w in weights], parts)


def _student(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, location: list[float], scale: list[list[float]], df: float) -> Value:
    """Location + Z / sqrt(lambda), Z ~ N(0, S), lambda ~ Gamma(df / 2, rate df / 2); over u = log lambda."""
    (a, b), (b_, c) = scale
    a, b, c, nu = mp.mpf(a), (mp.mpf(b) + b_) / 2, mp.mpf(c), mp.mpf(df)
    d1, d2 = location[0] - x, location[1] - y
    X = mp.hypot(x, y) + mp.hypot(*location)
    # axes of S
    apart = mp.hypot(a - c, 2 * b)
    big = (a + c + apart) / 2
    small = (a * c - b * b) / big
    angle = mp.atan2(2 * b, a - c) / 2
    ca, sa = mp.cos_sin(angle)
    o1, o2 = ca * d1 + sa * d2, ca * d2 - sa * d1
    K = big / small
    if sigma == 0:
        q = o1**2 / big + o2**2 / small
        factor = (nu + 2) / (nu + q)
        s1, s2 = factor * o1 / big, factor * o2 / small
        heat, bent = o1**2 / big**2 + o2**2 / small**2, 1 / big + 1 / small
        log_p = -mp.log(2 * mp.pi) - mp.log(big * small) / 2 - (nu + 2) / 2 * mp.log1p(q / nu)
        div = factor * (2 * heat / (nu + q) - bent)
        D = factor * (2 * heat / (nu + q) + bent)
        S = mp.hypot(s1, s2)
        return Value(log_p, ca * s1 - sa * s2, sa * s1 + ca * s2, div, S, D, X, K, T=D * mp.sqrt(D))
    noise, half = sigma**2, nu / 2
    v, o = np.array([[float(big)], [float(small)]]), np.array([[float(o1) ** 2], [float(o2) ** 2]])
    fn, fh = float(noise), float(half)
    log_v, log_n = np.log(v), math.log(fn)

    def screen(m: np.ndarray, a: np.ndarray, b: np.ndarray) -> Screen:
        log_w = np.logaddexp(log_v - m, log_n)
        q, pull = np.exp(log_v - m - log_w), o * np.exp(-log_w)
        # half (u - e^u + 1), without the cancellation about u = 0
        gamma = -fh * (np.expm1(m) - m)
        value = gamma - 0.5 * (log_w + pull).sum(0)
        slope = -fh * np.expm1(m) + 0.5 * (q - pull * q).sum(0)
        top = np.clip(log_v - log_n, a, b)  # q / w is greatest at S e^-u = noise
        peak = np.exp(log_v - top - 2 * np.logaddexp(log_v - top, log_n))
        curvature = fh * np.exp(b) + 0.25 + 0.5 * (o * peak).sum(0)
        size = np.abs(gamma) + fh * (np.abs(m) + np.exp(m)) + 0.5 * (np.abs(log_w) * (1 + pull) + pull).sum(0)
        return Screen(value, slope, curvature, size)

    def node(u: mp.mpf) -> tuple[mp.mpf, ...]:
        e = mp.exp(u)
        w1, w2 = big / e + noise, small / e + noise
        p1, p2 = o1 / w1, o2 / w2
        return half * (u - e + 1) - (mp.log(w1 * w2) + o1 * p1 + o2 * p2) / 2, p1, p2, -1 / w1 - 1 / w2

    grid = np.concatenate([-np.geomspace(300, 1e-9, 240), [0.0], np.geomspace(1e-9, 5, 200)])
    width, g = np.diff(grid), screen(0.5 * (grid[:-1] + grid[1:]), grid[:-1], grid[1:])
    least = float((g.value - g.curvature * width**2 / 8 - 1e-14 * g.size + np.log(width)).max())
    # -log w / 2 <= u / 2 - log S / 2 and <= -log noise / 2: the tails of what bounds the integrand
    left = (least - _MARGIN - fh + 0.5 * float(log_v.sum()) + math.log(fh + 1)) / (fh + 1)
    right, budget = 1e-3, _MARGIN - log_n - least
    while fh * (math.expm1(right) - right) < budget + 40:
        right *= 1.5
    m = moments(node, cells(screen, min(left, -1.0), right))
    constant = half * mp.log(half) - half - mp.loggamma(half) - mp.log(2 * mp.pi)
    s1, s2 = m.mean
    turned, W = (ca * s1 - sa * s2, sa * s1 + ca * s2), 2 * (m.variance - m.d)
    return replace(Value.of_latent(m.log_integral + constant, turned, m.d, m.variance, X, W=W), K=K)


# --- laws that are known clean only ---


def _from_torch(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, name: str, first: list[float], second: list[float]) -> Value:
    """Two independent coordinates, each of the torch distribution of that name with two parameters of its own."""
    assert sigma == 0
    X = mp.hypot(x, y)
    parts = [_MARGINALS[name](t, *map(mp.mpf, each)) for t, *each in zip((x, y), first, second, strict=True)]
    if None in parts:
        return _outside(X)
    (l1, s1, c1), (l2, s2, c2) = parts
    log_p, slope, curvature = (mp.fsum(terms) for terms in (l1 + l2, s1 + s2, c1 + c2))
    S, D = mp.fsum(map(abs, s1 + s2)), mp.fsum(map(abs, c1 + c2))
    size = mp.fsum(map(abs, l1 + l2))
    K = max(mp.mpf(1), size / (abs(log_p) + 40))
    return Value(log_p, mp.fsum(s1), mp.fsum(s2), curvature, S, D, X, K, T=D * mp.sqrt(D))


# terms of log p, of its first and of its second derivative; None outside the support
Marginal = tuple[list[mp.mpf], list[mp.mpf], list[mp.mpf]] | None


def _normal(t: mp.mpf, mean: mp.mpf, std: mp.mpf) -> Marginal:
    z = (t - mean) / std
    return [-z * z / 2, -mp.log(std), -mp.log(2 * mp.pi) / 2], [-z / std], [-1 / std**2]


def _uniform(t: mp.mpf, low: mp.mpf, high: mp.mpf) -> Marginal:
    return ([-mp.log(high - low)], [mp.mpf(0)], [mp.mpf(0)]) if low <= t < high else None


def _gamma(t: mp.mpf, a: mp.mpf, rate: mp.mpf) -> Marginal:
    if t <= 0:
        return None
    terms = [a * mp.log(rate), -mp.loggamma(a), (a - 1) * mp.log(t), -rate * t]
    return terms, [(a - 1) / t, -rate], [-(a - 1) / t**2]


def _beta(t: mp.mpf, a: mp.mpf, b: mp.mpf) -> Marginal:
    if not 0 < t < 1:
        return None
    terms = [mp.loggamma(a + b), -mp.loggamma(a), -mp.loggamma(b), (a - 1) * mp.log(t), (b - 1) * mp.log1p(-t)]
    return terms, [(a - 1) / t, -(b - 1) / (1 - t)], [-(a - 1) / t**2, -(b - 1) / (1 - t) ** 2]


def _log_normal(t: mp.mpf, mean: mp.mpf, std: mp.mpf) -> Marginal:
    if t <= 0:
        return None
    (terms, _, _), pull = _normal(mp.log(t), mean, std), (mp.log(t) - mean) / std**2
    return [*terms, -mp.log(t)], [-pull / t, -1 / t], [pull / t**2, 1 / t**2, -1 / (std * t) ** 2]


_MARGINALS: dict[str, Callable[..., Marginal]] = {
    "Normal": _normal, "Uniform": _uniform, "Gamma": _gamma, "Beta": _beta, "LogNormal": _log_normal,
}  # fmt: skip


def _from_energy(
    x: mp.mpf, y: mp.mpf, sigma: mp.mpf, wells: float, stiff: float, tilt: float, box: tuple[float, float]
) -> Value:
    """E = wells (x^2 - 1)^2 + stiff y^2 / 2 + tilt x y, on |x| <= box[0], |y| <= box[1], which holds all its mass."""
    assert sigma == 0
    if abs(x) > box[0] or abs(y) > box[1]:
        return _outside(mp.hypot(x, y))
    a, b, c = map(mp.mpf, (wells, stiff, tilt))
    terms = a * (x**2 - 1) ** 2, b * y**2 / 2, c * x * y
    s1, s2 = (-4 * a * x * (x**2 - 1), -c * y), (-b * y, -c * x)
    second = (-12 * a * x**2, 4 * a, -b)
    return Value(
        -mp.fsum(terms) - _log_normaliser(wells, stiff, tilt, box[0]), mp.fsum(s1), mp.fsum(s2), mp.fsum(second),
        mp.fsum(map(abs, s1 + s2)), mp.fsum(map(abs, second)), mp.hypot(x, y), T=abs(24 * a * x),
    )  # fmt: skip


@cache
def _log_normaliser(wells: float, stiff: float, tilt: float, reach: float) -> mp.mpf:
    """y is normal given x; over x it is one integral."""
    a, k = mp.mpf(wells), mp.mpf(tilt) ** 2 / (2 * mp.mpf(stiff))
    fa, fk = float(a), float(k)

    def screen(m: np.ndarray, low: np.ndarray, high: np.ndarray) -> Screen:
        value, slope = -fa * (m**2 - 1) ** 2 + fk * m**2, -4 * fa * m * (m**2 - 1) + 2 * fk * m
        most = np.maximum(low**2, high**2)
        return Screen(value, slope, 4 * fa * (3 * most + 1) + 2 * fk, fa * (m**2 + 1) ** 2 + fk * m**2)

    def node(u: mp.mpf) -> tuple[mp.mpf, ...]:
        return k * u**2 - a * (u**2 - 1) ** 2, u, mp.mpf(0), mp.mpf(1)

    return moments(node, cells(screen, -reach, reach)).log_integral + mp.log(2 * mp.pi / mp.mpf(stiff)) / 2


def _needs_noise(sigma: mp.mpf) -> None:
    if sigma == 0:
        raise NoDensity


def _example(name: str) -> Callable[..., Value]:
    """A ready mixture: its parameters are read off toylab's object."""

    @cache
    def parameters(arguments: str) -> tuple[list, list, list]:
        p = getattr(densities, name)(*json.loads(arguments))
        return p.weights.tolist(), p.means.tolist(), p.covariances.tolist()

    return lambda x, y, sigma, *arguments: gaussians(x, y, sigma, *parameters(json.dumps(arguments)))


EXAMPLES = ("isotropic", "ring", "grid", "two_modes", "spiral_of_gaussians", "fractal_tree", "pinwheel")

_LAWS = {name: _example(name) for name in EXAMPLES} | {
    "noised": _noised,
    "scaled": _scaled,
    "rotated": _rotated,
    "shifted": _shifted,
    "Mixture": _mixture,
    "GaussianMixture": gaussians,
    "Points": _points,
    "Square": _square,
    "Checkerboard": _checkerboard,
    "Segment": _segment,
    "Laplace": _laplace,
    "Circle": _circle,
    "ConcentricCircles": _concentric,
    "TwoMoons": _two_moons,
    "Spiral": _spiral,
    "Banana": _banana,
    "Funnel": _funnel,
    "StudentTMixture": _student_mixture,
    "from_torch": _from_torch,
    "from_energy": _from_energy,
}
