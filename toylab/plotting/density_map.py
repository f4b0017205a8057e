"""A density as an image."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.metrics import Extent, grid_points
from toylab.plotting.axes import colormap, square_axes
from toylab.plotting.finite import field_values, note_left_out
from toylab.plotting.style import DENSITY_MAP


def density_map(
    density: Density | np.ndarray | Tensor,
    extent: Extent,
    *,
    sigma: float = 0.0,
    n: int = 200,
    cmap: Colormap = DENSITY_MAP,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A density as an image, from 0 to ``vmax`` (its maximum unless given).

    Cells where it is nan or inf are left blank, counted in a warning and noted in the Axes.

    Args:
        density: a density, evaluated on n x n cells, or its values there already, [rows from the bottom, columns].
        extent: (left, right, bottom, top).
        sigma: noise level.
        n: cells per side.
        cmap: colours.
        vmax: the top of the colour scale.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if ``density`` is no density and no array.
        ValueError: for values of another shape.
    """
    if vmax is not None:
        vmax = validate.positive("vmax", vmax, "Give the density that is drawn darkest")
    if isinstance(density, Density):
        density = density.log_prob(grid_points(extent, n, dtype=torch.float64), sigma).exp().numpy()
    values = field_values("density", density, "a density")
    ax, cmap = square_axes(ax, extent), colormap(cmap)
    ax.imshow(values, extent=extent, origin="lower", cmap=cmap, vmin=0.0, vmax=vmax, interpolation="bilinear")
    note_left_out(ax, int((~np.isfinite(values)).sum()), values.size, "cells")
    return ax
