"""Fields and errors on a grid, as arrays ready to be drawn."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.score import Score

Extent = tuple[float, float, float, float]


def grid_points(extent: Extent, n: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """The centres of n x n equal cells of a rectangle.

    Args:
        extent: (left, right, bottom, top), as matplotlib's ``imshow`` takes it.
        n: cells a side.
        dtype: of the result; None is torch's default.

    Returns:
        Points, shape [n, n, 2]: row i is the i-th from the bottom, column j the j-th from the left.
    """
    left, right, bottom, top = (validate.finite("extent", edge) for edge in extent)
    if not (left < right and bottom < top):
        raise ValueError(f"extent is {extent}: give (left, right, bottom, top) with left < right and bottom < top.")
    centres = (torch.arange(validate.count("n", n), dtype=torch.float64) + 0.5) / n
    x, y = left + (right - left) * centres, bottom + (top - bottom) * centres
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(dtype or torch.get_default_dtype())


@torch.no_grad()
def error_map(score: Score, density: Density, extent: Extent, n: int, sigma: float = 0.0) -> Tensor:
    """|s(x) - grad log p_sigma(x)| at the cell centres of ``grid_points``, shape [n, n], float64 on the CPU."""
    x = grid_points(extent, n, dtype=torch.float64)
    return (learned(score, density, x) - density.score(x, sigma)).norm(dim=-1)


def learned(score: Score, density: Density, x: Tensor) -> Tensor:
    """A score evaluated in the density's dtype and on its device, where networks live, and given back like ``x``."""
    return score(x.to(dtype=density.dtype, device=density.device)).to(x)
