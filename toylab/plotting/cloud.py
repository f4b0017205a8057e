"""Points over the density that they should have."""

from matplotlib.axes import Axes

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.metrics import Extent
from toylab.metrics.points import PointsLike, law, points_of
from toylab.plotting.axes import color_of, square_axes
from toylab.plotting.density_map import density_map
from toylab.plotting.finite import note_left_out
from toylab.plotting.style import EXACT, GROUND_MAP


def cloud(
    samples: PointsLike,
    extent: Extent,
    *,
    density: Density | None = None,
    sigma: float = 0.0,
    n_most: int = 1000,
    color: str = EXACT,
    ax: Axes | None = None,
) -> Axes:
    """Samples as dots, over the density that they should have in grey.

    Those outside the rectangle are not seen. Those that are nan or inf are left out, counted in a warning and noted
    in the Axes.

    Args:
        samples: points, shape [n, 2], or chains.
        extent: (left, right, bottom, top).
        density: the law that they should have; None draws no ground.
        sigma: its noise level.
        n_most: the first so many samples are drawn.
        color: of the dots.
        ax: where to draw; None makes a figure.
    """
    shown = validate.cloud("samples", points_of(samples, "samples"))[: validate.count("n_most", n_most)]
    color = color_of(color)
    if density is None:
        ax = square_axes(ax, extent)
    else:
        ax = density_map(law("density", density), extent, sigma=sigma, cmap=GROUND_MAP, ax=ax)
    dots = shown.detach().cpu().double().numpy()
    ax.scatter(dots[:, 0], dots[:, 1], s=6, color=color, linewidths=0)
    note_left_out(ax, int((~shown.isfinite().all(-1)).sum()), len(shown), "samples")
    return ax
