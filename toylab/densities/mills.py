"""Mills' ratio far out, R(y) = int_0^inf e^(-y s - s^2 / 2) ds = (1 - Phi(y)) / phi(y), and two moments beside it.

R(y) = E[y / (y^2 + V^2)] with V standard normal, hence by Gauss-Hermite nodes a sum of simple fractions. All of its
terms are positive, and each derivative is again such a sum: automatic differentiation of any order loses no digits,
where the derivative of ``erfcx``, 2 x erfcx(x) - 2 / sqrt(pi), loses y^2 of them at every order. With 12 fractions the
error from y = 6 on is below 1e-15, and 2e-11 in the sixth derivative of log R.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from toylab._internal.validate import readable

FAR = 6.0  # from here on the fractions are exact to rounding

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
_FRACTIONS = [(v**2, 2 * w / _WEIGHTS.sum()) for v, w in zip(_NODES, _WEIGHTS, strict=True) if v > 0]


class Tail(NamedTuple):
    """R(y), and the integrals of s and of s^2 in place of 1."""

    mass: Tensor
    first: Tensor
    second: Tensor


def tail(y: Tensor) -> Tail:
    """R(y), -R'(y) and R''(y) for y of at least ``FAR``."""
    square, over = y**2, 1 / y
    mass, first, second = torch.zeros_like(y), torch.zeros_like(y), torch.zeros_like(y)
    for v, weight in _FRACTIONS:
        ratio = 1 / (1 + v / square)  # y^2 / (y^2 + v), which y = 1e200 does not overflow
        mass = mass + weight * ratio
        first = first + weight * (ratio * ratio) * (1 - v / square)
        second = second + weight * (ratio * ratio * ratio) * (1 - 3 * v / square)
    return Tail(mass * over, first * over**2, 2 * second * over**3)


def mills(y: Tensor) -> Tensor:
    """R(y) for y of at least ``FAR``."""
    return sum((weight * y / (y**2 + v) for v, weight in _FRACTIONS), torch.zeros_like(y))


def anywhere(mask: Tensor) -> bool:
    """Whether the mask holds at any place; true where it cannot be read: on a GPU and inside ``torch.func.vmap``."""
    return not readable(mask) or bool(mask.any())
