"""Velocity and irreducible loss of every path x_t = alpha(t) x_1 + sigma(t) z with z ~ N(0, I).

As x'_t = alpha' x_1 + sigma' z, the marginal velocity is v(x, t) = alpha' E[x_1 | x_t = x] + sigma' E[z | x_t = x].
Given x_t, x'_t varies with x_1 alone, by the factor alpha' - sigma' alpha / sigma, so that

    1/2 E|x'_t - v|^2 = ((alpha' sigma - sigma' alpha) / alpha)^2 (1 - level^2 I(p_level) / 2),   level = sigma / alpha,

where I is the Fisher information, and the last factor, between 0 and 1, half the mean variance of x_1 given x_t in
units of level^2. For the linear path the first factor is 1 / t^2.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.paths.path import NoisePath
from toylab.paths.posterior import posterior
from toylab.paths.times import time_like

_MOST_NODES = 100_000  # of a quadrature at one level
_FAR = 100  # extents of the data: at a higher level x_t tells nothing of x_1, to four digits squared


def marginal_velocity(path: NoisePath, density: Density, x: Tensor, t: Tensor | float) -> Tensor:
    """alpha' E[x_1 | x] + sigma' E[z | x], shape of x [..., 2]."""
    time = time_like(t, x)
    _, clean, noise = posterior(density, x, path.alpha(time), path.sigma(time))
    alpha_rate, sigma_rate = path.rates(time)
    return alpha_rate[..., None] * clean + sigma_rate[..., None] * noise


def unexplained(path: NoisePath, density: Density, t: float) -> float:
    """1/2 E|x'_t - v(x_t, t)|^2, by quadrature."""
    time = time_like(t, torch.zeros(2, dtype=torch.float64, device="cpu"))
    alpha, sigma = float(path.alpha(time)), float(path.sigma(time))
    alpha_rate, sigma_rate = (float(rate) for rate in path.rates(time))
    change = alpha_rate * sigma - sigma_rate * alpha
    far = _FAR * _extent(density)
    if sigma >= far * alpha:
        return (change / sigma * far) ** 2 * excess(density, far)
    return (change / alpha) ** 2 * excess(density, sigma / alpha)


def excess(density: Density, level: float) -> float:
    """1 - level^2 I(p_level) / 2, half the mean variance of x_1 given x_1 + level z, in units of level^2.

    Where a law has edges, or lies on a curve, a grid for small levels would be too large. There the excess is smooth in
    the level down to 0, with a term for edges, one for corners, ..: the cubic through four larger levels continues it.
    """
    least = _least_level(density)
    if level >= least:
        return _excess_by_quadrature(density, level)
    nodes = [least * factor for factor in (1.0, 1.25, 1.5, 2.0)]
    return sum(
        _excess_by_quadrature(density, a) * math.prod((level - b) / (a - b) for b in nodes if b != a) for a in nodes
    )


@lru_cache(maxsize=4096)
def _excess_by_quadrature(density: Density, level: float) -> float:
    return 1 - 0.5 * level**2 * fisher_information(density, level) if level > 0 else 1.0


@lru_cache(maxsize=256)
def _least_level(density: Density) -> float:
    """The least level at which a quadrature is affordable; 0 if the clean law is smooth enough."""
    if _n_nodes(density, 0.0) <= _MOST_NODES:
        return 0.0
    low, high = math.log(1e-6 * _extent(density)), math.log(_extent(density))
    while high - low > 1e-2:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _n_nodes(density, math.exp(middle)) <= _MOST_NODES else (middle, high)
    return math.exp(high)


def _n_nodes(density: Density, level: float) -> float:
    """Roughly those of the grid of ``quadrature``, which has six to a length scale."""
    length = density.length_scale(level)
    low, high = density.bounds(level)
    return math.prod(6 * float(side) / length + 1 for side in high - low) if length > 0 else math.inf


def _extent(density: Density) -> float:
    low, high = density.bounds(0.0)
    return max(float((high - low).max()), 1e-12)
