"""The error of a score as an image."""

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.metrics import Extent, error_map
from toylab.plotting.axes import square_axes
from toylab.plotting.finite import field_values, note_left_out
from toylab.plotting.style import ERROR_MAP
from toylab.score import Score


def error_heat_map(
    error: Score | np.ndarray | Tensor,
    extent: Extent,
    *,
    density: Density | None = None,
    n: int = 100,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The size |s - s*| of a score's error as an image, from 0 to ``vmax``.

    Cells where it is nan or inf are left blank, counted in a warning and noted in the Axes.

    Args:
        error: the learned score itself together with ``density``, or |s - s*| on n x n cells.
        extent: (left, right, bottom, top).
        density: the truth, if a score was given.
        n: cells per side.
        vmax: the top of the colour scale; None is the largest error.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if ``error`` is no score and no array.
        ValueError: for values of another shape, and for a score without ``density``.
    """
    if vmax is not None:
        vmax = validate.positive("vmax", vmax, "Give the error that is drawn darkest")
    evaluated = callable(error)
    if callable(error):
        if density is None:
            raise ValueError("density is None: to draw the error of a score, give the density that is the truth.")
        validate.score("error", error)
        values = field_values("error", error_map(error, density, extent, n), "a score")
    else:
        values = field_values("error", error, "a score")
    ax = square_axes(ax, extent)
    ax.imshow(values, extent=extent, origin="lower", cmap=ERROR_MAP, vmin=0.0, vmax=vmax, interpolation="bilinear")
    note_left_out(ax, int((~np.isfinite(values)).sum()), values.size, "cells", told=evaluated)  # by error_map
    return ax
