"""Samples as an image, on the colour scale of a density."""

from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from toylab._internal import validate
from toylab.metrics import Extent, histogram
from toylab.metrics.points import PointsLike, points_of
from toylab.plotting.density_map import density_map
from toylab.plotting.finite import note_left_out
from toylab.plotting.style import DENSITY_MAP


def sample_histogram(
    samples: PointsLike,
    extent: Extent,
    *,
    n: int = 64,
    cmap: Colormap = DENSITY_MAP,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Samples as a histogram in units of density: counts / (number of all samples x area of a cell).

    Samples outside the rectangle, those that diverged among them, are counted in the total and not drawn, so that the
    colours stay those of a density. Those that are nan or inf are counted in a warning, and noted in the Axes.

    Args:
        samples: points, shape [n, 2], or chains.
        extent: (left, right, bottom, top).
        n: cells per side.
        cmap: colours.
        vmax: the top of the colour scale: give the density's maximum to compare with it.
        ax: where to draw; None makes a figure.
    """
    points = points_of(samples, "samples")
    bad = int((~validate.cloud("samples", points).isfinite().all(-1)).sum())
    ax = density_map(histogram(points, extent, n), extent, cmap=cmap, vmax=vmax, ax=ax)
    note_left_out(ax, bad, len(points), "samples")
    return ax
