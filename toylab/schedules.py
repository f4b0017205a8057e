"""Schedules: a decreasing tensor, of noise levels for annealed samplers, of times for those that run an SDE."""

import math

import torch
from torch import Tensor

from toylab._internal import validate


def geometric(first: float, last: float, n: int) -> Tensor:
    """``n`` levels from ``first`` down to ``last`` in a constant ratio, sigma_i = first (last/first)^((i-1)/(n-1)).

    Args:
        first: largest standard deviation, sigma_1.
        last: smallest, sigma_n < sigma_1.
        n: number of levels, at least 2.

    Returns:
        The levels, shape [n], in torch's default dtype; both ends are met exactly.

    Source: Song & Ermon 2019 (arXiv:1907.05600), section 4.1.

    >>> geometric(8.0, 1.0, 4)
    tensor([8., 4., 2., 1.])
    """
    first, last = validate.positive("first", first), validate.positive("last", last)
    n = validate.count("n", n, least=2)
    _decreasing(first, last)
    return _meeting(
        torch.linspace(math.log(first), math.log(last), n, dtype=torch.float64, device="cpu").exp(), first, last
    )


def uniform(first: float, last: float, n: int) -> Tensor:
    """``n`` values from ``first`` down to ``last`` in equal steps, t_i = first + (i-1)/(n-1) (last - first).

    The plain grid of times for an SDE; n values are n - 1 steps.

    Args:
        first: largest value, t_1.
        last: smallest, t_n < t_1.
        n: number of values, at least 2.

    Returns:
        The values, shape [n], in torch's default dtype; both ends are met exactly.

    >>> uniform(1.0, 0.0, 5)
    tensor([1.0000, 0.7500, 0.5000, 0.2500, 0.0000])
    """
    first, last = validate.finite("first", first), validate.finite("last", last)
    n = validate.count("n", n, least=2)
    _decreasing(first, last)
    return _meeting(torch.linspace(first, last, n, dtype=torch.float64, device="cpu"), first, last)


def karras(first: float, last: float, n: int, rho: float = 7.0) -> Tensor:
    """``n`` levels whose rho-th roots are equally spaced, sigma_i^(1/rho) = a + (i-1)/(n-1) (b - a).

    With a = first^(1/rho) and b = last^(1/rho). rho = 1 is the uniform grid and rho to infinity the geometric one; in
    between, small levels get more steps than from the one and fewer than from the other. For the times of an SDE at
    which sigma / alpha takes these levels: ``sde.time_of(karras(...))``.

    Args:
        first: largest level, sigma_1 > 0.
        last: smallest, 0 <= sigma_n < sigma_1.
        n: number of levels, at least 2.
        rho: the power, > 0.

    Returns:
        The levels, shape [n], in torch's default dtype; both ends are met exactly.

    Source: Karras et al. 2022 (arXiv:2206.00364), eq. 5.

    >>> karras(16.0, 0.0, 5, rho=2.0)
    tensor([16.,  9.,  4.,  1.,  0.])
    """
    first, last, rho = validate.positive("first", first), validate.finite("last", last), validate.positive("rho", rho)
    n = validate.count("n", n, least=2)
    if last < 0:
        raise ValueError(f"last is {last}: it must be at least 0, since its root is taken.")
    if abs(math.log(first)) / rho > 700 or (last > 0 and abs(math.log(last)) / rho > 700):
        raise ValueError(
            f"rho is {rho}: the root of a level, {first} or {last}, overflows. Give a larger rho; 7 is usual."
        )
    _decreasing(first, last)
    roots = torch.linspace(first ** (1 / rho), last ** (1 / rho), n, dtype=torch.float64, device="cpu")
    return _meeting(roots**rho, first, last)


def overlap(sigmas: Tensor) -> Tensor:
    """How much the noise of neighbouring levels has in common: the shared probability of its lengths |sigma Z|.

    In the plane a length has the Rayleigh law F(r) = 1 - exp(-r^2 / (2 sigma^2)). For two levels with ratio g > 1 the
    densities cross where r^2 = 4 log(g) sigma^2 / (1 - 1/g^2), and the shared probability is

        1 - g^(-2 / (g^2 - 1)) (1 - 1/g^2)

    It is 1 for equal levels, 0.53 at a ratio of 2, 0.12 at 6. To that extent a chain that leaves one level is
    where the next one has been learned.
    Source: the idea is that of Song & Ermon 2020 (arXiv:2006.09011), section 3.2, there for high dimension.

    Args:
        sigmas: levels, 1-D, positive, strictly decreasing.

    Returns:
        One number per pair of neighbours, shape [n - 1].

    >>> overlap(geometric(4.0, 1.0, 3))
    tensor([0.5275, 0.5275])
    """
    levels = validate.levels("sigmas", sigmas)
    square = (levels[:-1] / levels[1:]) ** 2
    return 1 - square ** (-1 / (square - 1)) * (1 - 1 / square)


def _decreasing(first: float, last: float) -> None:
    if last >= first:
        raise ValueError(
            f"last is {last} and first is {first}: a schedule decreases, so last must be the smaller. Swap them."
        )


def _meeting(values: Tensor, first: float, last: float) -> Tensor:
    """The values in torch's default dtype, their ends exact."""
    values[0], values[-1] = first, last
    return values.to(torch.get_default_dtype())
