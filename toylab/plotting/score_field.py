"""A score as arrows."""

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from toylab._internal import user_functions, validate
from toylab._internal.devices import CPU, home
from toylab.densities.density import Density
from toylab.metrics import Extent, grid_points
from toylab.metrics.evaluate import evaluate
from toylab.metrics.points import law
from toylab.plotting.axes import color_of, square_axes
from toylab.plotting.finite import field_values, longest_of, note_left_out
from toylab.plotting.style import EXACT
from toylab.score import Score


def score_field(
    score: Score | np.ndarray | Tensor,
    extent: Extent,
    *,
    n: int = 20,
    longest: float | None = None,
    color: str = EXACT,
    density: Density | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A score as n x n arrows, all of one length scale: a score of size ``longest`` is drawn one and a half cells long.

    Arrows that are nan or inf are left out, counted in a warning and noted in the Axes; the others are drawn.

    Args:
        score: a score, or its values [n, n, 2] at the points of ``grid_points``.
        extent: (left, right, bottom, top).
        n: arrows per side.
        longest: the size that is drawn 1.5 cells long; None is the largest shown. Give it to compare panels.
        color: of the arrows: ``style.EXACT``, ``style.LEARNED``, ``style.ERROR``.
        density: the one a network was trained on, in whose dtype and on whose device it is evaluated. Without one it
            is in single precision, where its weights are.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if ``score`` is no score and no array.
        ValueError: if it gives, or is, anything but one vector for each of n x n points.
    """
    if longest is not None:
        longest = validate.positive("longest", longest, "Give the size of a score")
    if density is not None:
        law("density", density)
    extent = validate.extent("extent", extent)
    given = _values(score, extent, n, density) if callable(score) else score
    arrows = field_values("score", given, "a score", (2,))
    if arrows.shape[0] != arrows.shape[1]:
        raise ValueError(f"score has shape {list(arrows.shape)}: give as many rows as columns, [n, n, 2].")
    n = len(arrows)
    finite = np.isfinite(arrows).all(-1)
    x = grid_points(extent, n, dtype=torch.float64).numpy()
    cell = (extent[1] - extent[0]) / n
    longest = longest_of(arrows) if longest is None else longest
    ax, color = square_axes(ax, extent), color_of(color)
    shown = np.where(finite[..., None], arrows, np.nan)  # an infinite one would be drawn
    ax.quiver(
        x[..., 0], x[..., 1], shown[..., 0], shown[..., 1],
        color=color, angles="xy", scale_units="xy", scale=longest / (1.5 * cell), pivot="mid",
        width=0.0055, headwidth=3.6, headlength=4.2, headaxislength=3.8, minlength=0.2,
    )  # fmt: skip
    note_left_out(ax, int((~finite).sum()), finite.size, "arrows")
    return ax


@torch.no_grad()
def _values(score: Score, extent: Extent, n: int, density: Density | None) -> Tensor:
    """The score at n x n points, [n, n, 2]."""
    validate.score("score", score)
    x = grid_points(extent, n).to(home(score) or CPU)
    found = user_functions.called("score", score, x) if density is None else evaluate(score, density, x)
    if not isinstance(found, Tensor) or found.shape != x.shape:
        given = f"shape {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(
            f"score gives {given} for points of shape {list(x.shape)}: it must give one vector per point, a tensor of "
            "the shape of the points. Is it a log-density? Give p.score."
        )
    return found
