"""The constant of a loss over noise levels: a mean over the levels, in which 1 / sigma^2 may weigh as it likes."""

import math
import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from toylab._internal.display import short
from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.objectives.levels import LevelPath, Levels, Weight, level_nodes, weight_at

_RELATIVE = 1e-10  # of the integral over the levels; also what may be cut off where the path of levels has no end
_CHANGE = 1e-8  # of the mean, relative, by twice as many points: the error then left is far smaller
_MOST_NODES = 256
_SCAN = np.linspace(0.0, 1.0, 2001)
_FAR = 160  # widths of the law of levels in which the integrand must have vanished


def denoising_offset(weight: Weight, density: Density, sigmas: Levels) -> float:
    """Mean over levels of lambda(sigma) (1/2 I(p_sigma) - 1 / sigma^2), minus the mean loss of the true score (d = 2).

    It is minus the mean of lambda / sigma^2 times the excess 1 - sigma^2 I(p_sigma) / 2, which lies between 0 and 1 and
    is smooth in log(sigma), whereas lambda / sigma^2 may be steep and have kinks. So the excess, which costs a
    quadrature per level, is interpolated at 16, 32, 64 .. Chebyshev points until the mean no longer changes, and the
    product is integrated adaptively along the path on which the law of levels is smooth.

    Raises:
        ValueError: if the mean of lambda / sigma^2 does not exist, or lambda is no finite number somewhere.
    """
    path = getattr(sigmas, "path", None)
    if path is None:
        levels, shares = level_nodes(sigmas)
        terms = [
            (float(share) * weight_at(weight, float(level)), float(level))
            for share, level in zip(shares, levels, strict=True)
        ]
        return sum(w * (0.5 * information(density, level) - 1 / level**2) for w, level in terms)
    along: LevelPath = path()
    steep = _steep(weight, along)
    low, high = _span(steep, along, sigmas)
    on_it = [along.level(float(y)) for y in low + (high - low) * _SCAN[::20]]
    n, total, before = 16, math.inf, math.nan
    while not abs(total - before) <= _CHANGE * abs(total) and n <= _MOST_NODES:
        before, (total, error) = total, _integral(steep, along, _excess(density, min(on_it), max(on_it), n), low, high)
        n *= 2
    if not error <= 1e-6 * abs(total) + 1e-300:
        raise ValueError(
            f"weighting and {short(sigmas)}: the mean of weighting(sigma) / sigma^2 over these levels is {total:.3g} "
            f"with an error of {error:.1g}, so that it may not exist. {_REMEDY}"
        )
    return -total


def mean_inverse_square(weight: Weight, sigmas: Levels) -> float:
    """Mean over levels of lambda(sigma) / sigma^2, the noise in the loss of denoising (d = 2)."""
    path = getattr(sigmas, "path", None)
    if path is None:
        levels, shares = level_nodes(sigmas)
        both = zip(levels.tolist(), shares.tolist(), strict=True)
        return float(sum(share * weight_at(weight, level) / level**2 for level, share in both))
    along: LevelPath = path()
    steep = _steep(weight, along)
    return _integral(steep, along, lambda level: 1.0, *_span(steep, along, sigmas))[0]


@lru_cache(maxsize=4096)
def information(density: Density, sigma: float) -> float:
    """I(p_sigma); kept, as every loss of noised data asks for it."""
    return fisher_information(density, sigma)


_REMEDY = "Give levels that end above 0 (t_min > 0), or a weighting that falls like sigma^2 towards 0."


def _steep(weight: Weight, along: LevelPath) -> Callable[[float], float]:
    """lambda / sigma^2 times the probability per dy."""

    def steep(y: float) -> float:
        level, probability = along.level(y), along.probability(y)
        return weight_at(weight, level) * probability / level**2 if probability > 0 else 0.0

    return steep


def _span(steep: Callable[[float], float], along: LevelPath, sigmas: Levels) -> tuple[float, float]:
    """The stretch of the path to integrate over: all of it, or where it has no end, as far as anything is to be had."""
    if math.isfinite(along.low) and math.isfinite(along.high):
        return along.low, along.high
    low, high = max(along.low, along.middle - _FAR * along.width), min(along.high, along.middle + _FAR * along.width)
    y = low + (high - low) * _SCAN
    size = np.array([_abs_or_inf(steep, float(at)) for at in y])
    total = size.sum()
    ends = [size[0] if not math.isfinite(along.low) else 0.0, size[-1] if not math.isfinite(along.high) else 0.0]
    if not math.isfinite(total) or max(ends) > 1e-3 * _RELATIVE * total:
        raise ValueError(
            f"weighting and {short(sigmas)}: the mean of weighting(sigma) / sigma^2 over these levels does not exist, "
            f"and with it neither the mean loss nor its offset. {_REMEDY}"
        )
    if total == 0:
        return low, high
    below, above = size.cumsum() / total, size[::-1].cumsum()[::-1] / total
    first, last = int(np.argmax(below > _RELATIVE)), len(y) - 1 - int(np.argmax(above[::-1] > _RELATIVE))
    return float(y[max(first - 1, 0)]), float(y[min(last + 1, len(y) - 1)])


def _abs_or_inf(f: Callable[[float], float], y: float) -> float:
    try:
        return abs(f(y))
    except (OverflowError, ZeroDivisionError):
        return math.inf


def _integral(
    steep: Callable[[float], float], along: LevelPath, excess: Callable[[float], float], low: float, high: float
) -> tuple[float, float]:
    """Of their product, adaptively, and its error as estimated; the steep part may have kinks."""
    from scipy import integrate  # slow to load, and needed only here

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", integrate.IntegrationWarning)  # the estimate is what is judged
        total, error, *_ = integrate.quad(
            lambda y: steep(y) * excess(along.level(y)), low, high, epsabs=0.0, epsrel=_RELATIVE, limit=500
        )
    return float(total), float(error)


def _excess(density: Density, least: float, largest: float, n: int) -> Callable[[float], float]:
    """1 - sigma^2 I(p_sigma) / 2 between two levels, interpolated in log(sigma) at n + 1 Chebyshev points."""
    middle, half = 0.5 * math.log(least * largest), max(0.5 * math.log(largest / least), 1e-12)
    nodes = np.cos(np.pi * np.arange(n + 1) / n)  # those of n are among those of 2 n
    levels = [math.exp(middle + half * float(t)) for t in nodes]
    values = [1 - 0.5 * level**2 * information(density, level) for level in levels]
    series = chebyshev.chebfit(nodes, np.array(values), n)
    return lambda level: float(chebyshev.chebval(min(max((math.log(level) - middle) / half, -1.0), 1.0), series))
