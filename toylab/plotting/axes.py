"""The Axes that pictures are drawn on, and their colours."""

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, is_color_like

from toylab._internal import validate
from toylab._internal.display import short
from toylab.metrics import Extent


def square_axes(ax: Axes | None, extent: Extent) -> Axes:
    """The Axes given, or those of a new figure: equal aspect, the rectangle filling it."""
    extent = validate.extent("extent", extent)
    ax = axes_of(ax, (5, 5))
    ax.set(aspect="equal", xlim=extent[:2], ylim=extent[2:])
    return ax


def axes_of(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The Axes given, or those of a new figure of this size; raise if it is something else."""
    if ax is None:
        return plt.subplots(figsize=size, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(
            f"ax is a {type(ax).__name__}: give matplotlib Axes, such as plt.subplots()[1] or axes[0], or None."
        )
    return ax


def colormap(cmap: Any) -> Colormap:  # noqa: ANN401
    """The colours, or those of this name; raise if there are none."""
    if isinstance(cmap, Colormap):
        return cmap
    if not isinstance(cmap, str) or cmap not in mpl.colormaps:
        raise ValueError(
            f"cmap is {short(cmap)}: give colours of matplotlib, such as 'viridis' or plotting.DENSITY_MAP."
        )
    return mpl.colormaps[cmap]


def color_of(color: Any) -> Any:  # noqa: ANN401
    """The colour; raise if matplotlib knows of none."""
    if not is_color_like(color):
        raise ValueError(
            f"color is {short(color)}: give a colour of matplotlib, such as 'black', '#0072B2' or plotting.EXACT."
        )
    return color
