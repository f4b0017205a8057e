"""Laws that are known clean only: pairs of one-dimensional distributions of torch, and an energy with two wells."""

from collections.abc import Callable
from functools import cache

import mpmath as mp
import numpy as np

from tests.truth.integral import Screen, cells, moments
from tests.truth.value import Value, outside


def from_torch(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, name: str, first: list[float], second: list[float]) -> Value:
    """Two independent coordinates, each of the torch distribution of that name with two parameters of its own."""
    assert sigma == 0
    X = mp.hypot(x, y)
    parts = [_MARGINALS[name](t, *map(mp.mpf, each)) for t, *each in zip((x, y), first, second, strict=True)]
    if None in parts:
        return outside(X)
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


def from_energy(
    x: mp.mpf, y: mp.mpf, sigma: mp.mpf, wells: float, stiff: float, tilt: float, box: tuple[float, float]
) -> Value:
    """E = wells (x^2 - 1)^2 + stiff y^2 / 2 + tilt x y, on |x| <= box[0], |y| <= box[1], which holds all its mass."""
    assert sigma == 0
    if abs(x) > box[0] or abs(y) > box[1]:
        return outside(mp.hypot(x, y))
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
