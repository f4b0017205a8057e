"""The cells of a rectangle, which turn fields and errors into arrays."""

import torch
from torch import Tensor

from toylab._internal import validate

Extent = tuple[float, float, float, float]


def grid_points(extent: Extent, n: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """The centres of n x n equal cells of a rectangle.

    Args:
        extent: (left, right, bottom, top), as matplotlib's ``imshow`` takes it.
        n: cells per side.
        dtype: of the result; None is torch's default.

    Returns:
        Points, shape [n, n, 2]: row i is the i-th from the bottom, column j the j-th from the left.
    """
    left, right, bottom, top = validate.extent("extent", extent)
    centres = (torch.arange(validate.count("n", n), dtype=torch.float64) + 0.5) / n
    x, y = left + (right - left) * centres, bottom + (top - bottom) * centres
    cells = torch.stack([x.expand(n, n), y[:, None].expand(n, n)], -1)
    return cells.to(dtype or torch.get_default_dtype())
