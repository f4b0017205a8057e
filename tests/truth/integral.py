"""One-dimensional integrals of exp(g(u)) h(u) with a proof that no peak was missed.

Cells of the line are bounded by Taylor's theorem: with m the middle and h the width of a cell and M >= |g''| on it,

    log of its share of the integral  <=  g(m) + |g'(m)| h / 2 + M h^2 / 8 + log h,
                                      >=  g(m)                 - M h^2 / 8 + log h.

Cells are halved until they are resolved (the quadratic term and the slope are small) or until the first line lies
`DEPTH` below the greatest of the second lines: only then is a cell left out. Floating-point error of g is added to the
bounds, so that float64 suffices to find the cells. What is kept is integrated by Gauss-Legendre rules in mpmath, and
halved again until two orders agree. Nothing here knows where a law has its peaks.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import mpmath as mp
import numpy as np

DEPTH = 48.0  # what is left out is below e^-48 = 1e-21 of the integral, for each cell
CURVED, STEEP = 4.0, 16.0  # a resolved cell: at most this much of M h^2 / 8 and of |g'| h / 2
ORDERS = (16, 24)
AGREE = mp.mpf(10) ** -17
EPS = float(np.finfo(float).eps)


class GiveUp(ArithmeticError):
    """The integral needs more cells than the reference is willing to spend."""


class Screen(NamedTuple):
    """g, g', a bound of |g''| and the size of the terms of g, each for n cells."""

    value: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray
    size: np.ndarray


def cells(screen: Callable[..., Screen], low: float, high: float) -> list[tuple[float, float, float]]:
    """Cells (base, first, last), each the interval [base + first, base + last], that hold the integral.

    Offsets are counted from the nearer end of the window, so that a peak at an end may be as narrow as it likes.
    """
    middle = 0.5 * (low + high)
    steps = np.linspace(0, 1, 9)
    base = np.repeat([low, high], 8)
    first = np.concatenate([(middle - low) * steps[:-1], -(high - middle) * steps[1:]])
    last = np.concatenate([(middle - low) * steps[1:], -(high - middle) * steps[:-1]])
    least = -np.inf
    kept: list[tuple[np.ndarray, ...]] = []
    for _ in range(400):
        a, b, width = base + first, base + last, last - first
        m = base + 0.5 * (first + last)
        g = screen(m, np.minimum(a, b), np.maximum(a, b))
        error = 16 * EPS * (g.size + np.abs(g.slope) * (np.abs(base) + np.abs(m)))
        steep, curved = 0.5 * np.abs(g.slope) * width, g.curvature * width**2 / 8
        upper = g.value + steep + curved + error + np.log(width)
        least = max(least, float((g.value - curved - error + np.log(width)).max(initial=-np.inf)))
        if np.isnan(upper).any():
            raise GiveUp
        live = upper > least - DEPTH
        resolved = live & (steep <= STEEP) & (curved <= CURVED)
        kept.append((base[resolved], first[resolved], last[resolved], upper[resolved]))
        rest = live & ~resolved
        if not rest.any():
            break
        half = 0.5 * (first + last)
        if rest.sum() > 20_000 or ((half == first) | (half == last))[rest].any():
            raise GiveUp
        base, first, last = (
            np.tile(base[rest], 2),
            np.concatenate([first[rest], half[rest]]),
            np.concatenate([half[rest], last[rest]]),
        )
    else:
        raise GiveUp
    base, first, last, upper = (np.concatenate(column) for column in zip(*kept, strict=True))
    alive = upper > least - DEPTH
    return list(zip(base[alive].tolist(), first[alive].tolist(), last[alive].tolist(), strict=True))


class Moments(NamedTuple):
    """log of the integral of e^g; and under the density e^g the mean of (s1, s2), tr Cov(s) and the mean of d."""

    log_integral: mp.mpf
    mean: tuple[mp.mpf, mp.mpf]
    variance: mp.mpf
    d: mp.mpf


def moments(node: Callable[[mp.mpf], tuple[mp.mpf, ...]], where: list[tuple[float, float, float]]) -> Moments:
    """The integral over the cells ``where``, for node(u) = (g, s1, s2, d) in mpmath."""
    tasks = [tuple(map(mp.mpf, cell)) for cell in where]
    top, c1, c2, _ = max(node(base + (first + last) / 2) for base, first, last in tasks)

    def rule(cell: tuple[mp.mpf, ...], order: int) -> list[mp.mpf]:
        """Integrals of 1, s - c, |s - c|^2 and d; c keeps the digits of the variance."""
        base, first, last = cell
        half, middle = (last - first) / 2, (last + first) / 2
        total = [mp.mpf(0)] * 5
        for t, w in _legendre(order):
            g, s1, s2, d = node(base + (middle + half * t))
            f, a, b = w * mp.exp(g - top), s1 - c1, s2 - c2
            total = [x + f * y for x, y in zip(total, (1, a, b, a * a + b * b, d), strict=True)]
        return [half * x for x in total]

    coarse = [rule(cell, ORDERS[0]) for cell in tasks]
    mass, _, _, square, d = (sum(abs(part[i]) for part in coarse) for i in range(5))
    scales = [AGREE * scale for scale in (mass, mp.sqrt(mass * square), mp.sqrt(mass * square), square, d)]
    total = [mp.mpf(0)] * 5
    pending = [(cell, part, 0) for cell, part in zip(tasks, coarse, strict=True)]
    while pending:
        cell, result, depth = pending.pop()
        small = all(abs(x) <= scale / 1000 for x, scale in zip(result, scales, strict=True))
        if not small:
            before, result = result, rule(cell, ORDERS[1])
            if any(abs(x - y) > scale for x, y, scale in zip(before, result, scales, strict=True)):
                if depth > 30:
                    raise GiveUp
                base, first, last = cell
                half = (first + last) / 2
                parts = (base, first, half), (base, half, last)
                pending += [(part, rule(part, ORDERS[0]), depth + 1) for part in parts]
                continue
        total = [x + y for x, y in zip(total, result, strict=True)]
    mass, a, b, square, d = total
    a, b = a / mass, b / mass
    return Moments(top + mp.log(mass), (c1 + a, c2 + b), square / mass - a * a - b * b, d / mass)


@cache
def _legendre(order: int) -> list[tuple[mp.mpf, mp.mpf]]:
    """Nodes and weights on [-1, 1] to 60 digits, by Newton's method from NumPy's."""
    with mp.workdps(70):
        rule = []
        for start in np.polynomial.legendre.leggauss(order)[0]:
            t = mp.mpf(float(start))
            for _ in range(4):
                p, before = t, mp.mpf(1)
                for n in range(2, order + 1):
                    p, before = ((2 * n - 1) * t * p - (n - 1) * before) / n, p
                slope = order * (t * p - before) / (t**2 - 1)
                t -= p / slope
            rule.append((t, 2 / ((1 - t**2) * slope**2)))
        return rule
