"""Samples as a histogram in units of density."""

import numpy as np

from toylab._internal import validate
from toylab.metrics.grid import Extent, cells_per_side
from toylab.metrics.points import PointsLike, points_of


def histogram(samples: PointsLike, extent: Extent, n: int) -> np.ndarray:
    """Counts / (number of all samples x area of a cell), shape [n, n]: row i from the bottom, column j from the left.

    Samples outside the rectangle count towards the total only, so that the histogram stays comparable with a density.

    Args:
        samples: points, shape [N, 2], or chains.
        extent: the rectangle (left, right, bottom, top).
        n: cells per side.
    """
    left, right, bottom, top = extent = validate.extent("extent", extent)
    n = cells_per_side(n)
    counts, total = cell_counts(samples, extent, n)
    return counts / (total * (right - left) * (top - bottom) / n**2)


def cell_counts(samples: PointsLike, extent: Extent, n: int) -> tuple[np.ndarray, int]:
    """How many samples lie in each of n x n cells, and how many there are in all."""
    cloud = points_of(samples, "samples")
    points = validate.cloud("samples", cloud).detach().cpu().double().numpy()
    left, right, bottom, top = extent
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=n, range=[[bottom, top], [left, right]])
    return counts, len(points)
