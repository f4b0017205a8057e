"""The cells of a rectangle, which turn fields and errors into arrays."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short

Extent = tuple[float, float, float, float]

_MOST_PER_SIDE = 5000


def grid_points(extent: Extent, n: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """The centres of n x n equal cells of a rectangle.

    Args:
        extent: (left, right, bottom, top), as matplotlib's ``imshow`` takes it.
        n: cells per side, at most 5,000: 0.4 GB in float64.
        dtype: of the result; None is torch's default.

    Returns:
        Points, shape [n, n, 2]: row i is the i-th from the bottom, column j the j-th from the left.
    """
    left, right, bottom, top = validate.extent("extent", extent)
    if not isinstance(dtype, torch.dtype | None):
        raise TypeError(f"dtype is {short(dtype)}: give a dtype such as torch.float64, or None for torch's default.")
    n = cells_per_side(n)
    centres = (torch.arange(n, dtype=torch.float64, device="cpu") + 0.5) / n
    x, y = left + (right - left) * centres, bottom + (top - bottom) * centres
    cells = torch.stack([x.expand(n, n), y[:, None].expand(n, n)], -1)
    return cells.to(dtype or torch.get_default_dtype())


def cells_per_side(n: int) -> int:
    """Return ``n``, or raise unless it is a whole number of cells whose square can be held."""
    if (n := validate.count("n", n)) > _MOST_PER_SIDE:
        raise ValueError(
            f"n is {n}: {n} x {n} points would take {16e-9 * n * n:.2g} GB. Give at most {_MOST_PER_SIDE} per side."
        )
    return n
