"""Noise levels: a schedule is a decreasing tensor of standard deviations."""

import math

import torch
from torch import Tensor

from toylab import checks


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
    checks.positive("first", first)
    checks.positive("last", last)
    checks.count("n", n, least=2)
    if last >= first:
        raise ValueError(
            f"last is {last} and first is {first}: levels decrease, so last must be the smaller. Swap them."
        )
    levels = torch.linspace(math.log(first), math.log(last), n, dtype=torch.float64).exp()
    levels[0], levels[-1] = first, last
    return levels.to(torch.get_default_dtype())
