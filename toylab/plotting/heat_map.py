"""Any number of the place as an image."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from torch import Tensor

from toylab._internal import validate
from toylab.metrics import Extent
from toylab.plotting.axes import colormap, square_axes
from toylab.plotting.finite import field_values, note_left_out
from toylab.plotting.style import DENSITY_MAP


def heat_map(
    values: np.ndarray | Tensor,
    extent: Extent,
    *,
    cmap: Colormap | str = DENSITY_MAP,
    vmin: float | None = None,
    vmax: float | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Numbers at places as an image, such as a log-density or the difference of two; with a colour bar if it is named.

    Give several maps the same ``vmin`` and ``vmax``, and name one of them: its bar is that of all. The ends of the bar
    are pointed where values lie beyond them. Cells that are nan or inf are left blank, counted in a warning and noted
    in the Axes.

    Args:
        values: at the points of ``metrics.grid_points``, [rows from the bottom, columns].
        extent: (left, right, bottom, top).
        cmap: colours, or their name in matplotlib, such as "PRGn" for numbers of both signs.
        vmin: the number drawn in the first colour; None is the least shown.
        vmax: the number drawn in the last colour; None is the greatest shown.
        label: of the colour bar; None draws none.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if ``values`` is no array of numbers.
        ValueError: for values of another shape, and unless vmin < vmax.
    """
    image = field_values("values", values, "an array")
    low = None if vmin is None else validate.finite("vmin", vmin)
    high = None if vmax is None else validate.finite("vmax", vmax)
    if low is not None and high is not None and low >= high:
        raise ValueError(f"vmin is {low:g} and vmax {high:g}: vmin must be the smaller one.")
    if label is not None and not isinstance(label, str):
        raise TypeError(f"label is a {type(label).__name__}: give a text for the colour bar, or None.")
    colors = colormap(cmap)
    finite = np.isfinite(image)
    ax = square_axes(ax, extent)
    drawn = ax.imshow(np.where(finite, image, np.nan), extent=extent, origin="lower", cmap=colors, vmin=low, vmax=high)
    if label is not None:
        below = low is not None and bool((image[finite] < low).any())
        above = high is not None and bool((image[finite] > high).any())
        ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8, label=label, extend=ends[below, above])
    note_left_out(ax, int((~finite).sum()), finite.size, "cells")
    return ax
