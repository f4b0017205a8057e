"""The Axes that pictures of the plane are drawn on."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from toylab._internal import validate
from toylab.metrics import Extent


def square_axes(ax: Axes | None, extent: Extent) -> Axes:
    """The Axes given, or those of a new figure: equal aspect, the rectangle filling it."""
    extent = validate.extent("extent", extent)
    if ax is None:
        _, ax = plt.subplots(figsize=(5, 5), layout="constrained")
    ax.set(aspect="equal", xlim=extent[:2], ylim=extent[2:])
    return ax
