"""A score as arrows."""

import numpy as np
import torch
from matplotlib.axes import Axes

from toylab.densities.density import Density
from toylab.metrics import Extent, grid_points
from toylab.metrics.evaluate import evaluate
from toylab.plotting.axes import square_axes
from toylab.plotting.style import EXACT
from toylab.score import Score


def score_field(
    score: Score | np.ndarray,
    extent: Extent,
    *,
    n: int = 20,
    longest: float | None = None,
    color: str = EXACT,
    density: Density | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A score as n x n arrows, all of one length scale: a score of size ``longest`` is drawn one and a half cells long.

    Args:
        score: a score, or its values [n, n, 2] at the points of ``grid_points``.
        extent: (left, right, bottom, top).
        n: arrows per side.
        longest: the size that is drawn 1.5 cells long; None is the largest shown. Give it to compare panels.
        color: of the arrows: ``style.EXACT``, ``style.LEARNED``, ``style.ERROR``.
        density: the one a network was trained on, in whose dtype and on whose device it is evaluated.
        ax: where to draw; None makes a figure.
    """
    arrows = _values(score, extent, n, density) if callable(score) else score
    n = len(arrows)
    x = grid_points(extent, n, dtype=torch.float64).numpy()
    cell = (extent[1] - extent[0]) / n
    longest = float(np.linalg.norm(arrows, axis=-1).max()) if longest is None else longest
    ax = square_axes(ax, extent)
    ax.quiver(
        x[..., 0], x[..., 1], arrows[..., 0], arrows[..., 1],
        color=color, angles="xy", scale_units="xy", scale=longest / (1.5 * cell), pivot="mid",
        width=0.0055, headwidth=3.6, headlength=4.2, headaxislength=3.8, minlength=0.2,
    )  # fmt: skip
    return ax


@torch.no_grad()
def _values(score: Score, extent: Extent, n: int, density: Density | None) -> np.ndarray:
    x = grid_points(extent, n)
    return (score(x) if density is None else evaluate(score, density, x)).cpu().numpy()
