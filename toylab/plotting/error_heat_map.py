"""The error of a score as an image."""

import numpy as np
from matplotlib.axes import Axes

from toylab.densities.density import Density
from toylab.metrics import Extent, error_map
from toylab.plotting.axes import square_axes
from toylab.plotting.style import ERROR_MAP
from toylab.score import Score


def error_heat_map(
    error: Score | np.ndarray,
    extent: Extent,
    *,
    density: Density | None = None,
    n: int = 100,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The size |s - s*| of a score's error as an image, from 0 to ``vmax``.

    Args:
        error: the learned score itself together with ``density``, or |s - s*| on n x n cells.
        extent: (left, right, bottom, top).
        density: the truth, if a score was given.
        n: cells per side.
        vmax: the top of the colour scale; None is the largest error.
        ax: where to draw; None makes a figure.
    """
    if callable(error):
        if density is None:
            raise ValueError("density is None: to draw the error of a score, give the density that is the truth.")
        error = error_map(error, density, extent, n).numpy()
    ax = square_axes(ax, extent)
    ax.imshow(error, extent=extent, origin="lower", cmap=ERROR_MAP, vmin=0.0, vmax=vmax, interpolation="bilinear")
    return ax
