"""Where chains went."""

from matplotlib.axes import Axes

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.metrics import Extent
from toylab.metrics.points import PointsLike, law, path_of
from toylab.plotting.axes import color_of, square_axes
from toylab.plotting.density_map import density_map
from toylab.plotting.finite import note_left_out
from toylab.plotting.style import EXACT, GROUND_MAP, NEUTRAL


def trajectories(
    path: PointsLike,
    extent: Extent,
    *,
    density: Density | None = None,
    sigma: float = 0.0,
    n_most: int = 12,
    color: str = EXACT,
    ax: Axes | None = None,
) -> Axes:
    """The ways of chains as lines: a grey square where each begins, a black dot where it ends.

    A way is broken where it is nan or inf; such positions are counted in a warning and noted in the Axes.

    Args:
        path: positions, shape [frames, n, 2], or chains that were run with ``keep_every``.
        extent: (left, right, bottom, top).
        density: the law under the ways, in grey; None draws no ground.
        sigma: its noise level.
        n_most: the first so many chains are drawn.
        color: of the lines.
        ax: where to draw; None makes a figure.

    Raises:
        ValueError: if ``path`` has another shape, and for chains that were not recorded.
    """
    frames = validate.points("path", path_of(path))
    if frames.ndim != 3 or 0 in frames.shape:
        raise ValueError(f"path has shape {list(frames.shape)}: give positions of shape [frames, n, 2].")
    shown = frames[:, : validate.count("n_most", n_most)].detach().cpu().double().numpy()
    color = color_of(color)
    if density is None:
        ax = square_axes(ax, extent)
    else:
        ax = density_map(law("density", density), extent, sigma=sigma, cmap=GROUND_MAP, ax=ax)
    ax.plot(shown[..., 0], shown[..., 1], color=color, lw=1.2, alpha=0.7)
    ax.scatter(shown[0, :, 0], shown[0, :, 1], s=22, marker="s", color=NEUTRAL, zorder=3, label="start")
    ax.scatter(shown[-1, :, 0], shown[-1, :, 1], s=32, color="black", zorder=3, label="end")
    bad = ~frames[:, :n_most].isfinite().all(-1)
    note_left_out(ax, int(bad.sum()), bad.numel(), "positions")
    return ax
