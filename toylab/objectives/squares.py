"""Half the square of a distance, which most losses are, in as few kernels as torch has."""

from torch import Tensor
from torch.nn import functional


def half_squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """1/2 |a - b|^2, shape [...], of vectors of the plane [..., 2].

    It is the mean of the squares of the two coordinates. ``mse_loss`` takes one kernel for a difference and its square
    and one for their derivative, where the plain formula takes two and four; the digits are the same.
    """
    return functional.mse_loss(a, b, reduction="none").mean(-1)


def half_square(a: Tensor) -> Tensor:
    """1/2 |a|^2, shape [...], of vectors of the plane [..., 2]."""
    return half_squared_distance(a, a.new_zeros(()).expand_as(a))
