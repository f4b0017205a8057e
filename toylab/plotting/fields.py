"""What lives on the plane: densities, score fields, errors, clouds of samples."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from torch import Tensor

from toylab.densities.density import Density
from toylab.metrics.maps import Extent, error_map, grid_points, learned
from toylab.plotting.style import DENSITY_MAP, ERROR_MAP, EXACT
from toylab.score import Score

Array = np.ndarray


def density_map(
    density: Density | Array,
    extent: Extent,
    *,
    sigma: float = 0.0,
    n: int = 200,
    cmap: Colormap = DENSITY_MAP,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A density as an image, from 0 to ``vmax`` (its maximum unless given).

    Args:
        density: a density, evaluated on n x n cells, or its values there already, [rows from the bottom, columns].
        extent: (left, right, bottom, top).
        sigma: noise level.
        n: cells a side.
        cmap: colours.
        vmax: the top of the colour scale.
        ax: where to draw; None makes a figure.
    """
    if isinstance(density, Density):
        density = density.log_prob(grid_points(extent, n, dtype=torch.float64), sigma).exp().numpy()
    ax = _square(ax, extent)
    ax.imshow(density, extent=extent, origin="lower", cmap=cmap, vmin=0.0, vmax=vmax, interpolation="bilinear")
    return ax


def score_field(
    score: Score | Array,
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
        n: arrows a side.
        longest: the size that is drawn 1.5 cells long; None is the largest shown. Give it to compare panels.
        color: of the arrows: ``style.EXACT``, ``style.LEARNED``, ``style.ERROR``.
        density: the law a network was trained on, in whose dtype and on whose device it is evaluated.
        ax: where to draw; None makes a figure.
    """
    if callable(score):
        x = grid_points(extent, n)
        with torch.no_grad():
            score = (score(x) if density is None else learned(score, density, x)).cpu().numpy()
    n = len(score)
    x = grid_points(extent, n, dtype=torch.float64).numpy()
    cell = (extent[1] - extent[0]) / n
    longest = float(np.linalg.norm(score, axis=-1).max()) if longest is None else longest
    ax = _square(ax, extent)
    ax.quiver(
        x[..., 0], x[..., 1], score[..., 0], score[..., 1],
        color=color, angles="xy", scale_units="xy", scale=longest / (1.5 * cell), pivot="mid",
        width=0.0055, headwidth=3.6, headlength=4.2, headaxislength=3.8, minlength=0.2,
    )  # fmt: skip
    return ax


def error_heat_map(
    error: Array | Score,
    extent: Extent,
    *,
    density: Density | None = None,
    n: int = 100,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The size |s - s*| of a score's error as an image, from 0 to ``vmax``.

    Args:
        error: |s - s*| on n x n cells, or the learned score itself together with ``density``.
        extent: (left, right, bottom, top).
        density: the truth, if a score was given.
        n: cells a side.
        vmax: the top of the colour scale; None is the largest error.
        ax: where to draw; None makes a figure.
    """
    if callable(error):
        if density is None:
            raise ValueError("density is None: to draw the error of a score, give the density that is the truth.")
        error = error_map(error, density, extent, n).numpy()
    ax = _square(ax, extent)
    ax.imshow(error, extent=extent, origin="lower", cmap=ERROR_MAP, vmin=0.0, vmax=vmax, interpolation="bilinear")
    return ax


def sample_histogram(
    samples: Tensor | Array,
    extent: Extent,
    *,
    n: int = 64,
    cmap: Colormap = DENSITY_MAP,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Samples as a histogram in units of density: counts / (number of all samples x area of a cell).

    Samples outside the rectangle are counted in the total and not drawn, so that the colours stay those of a density.

    Args:
        samples: points, shape [n, 2].
        extent: (left, right, bottom, top).
        n: cells a side.
        cmap: colours.
        vmax: the top of the colour scale: give the density's maximum to compare with it.
        ax: where to draw; None makes a figure.
    """
    return density_map(histogram(samples, extent, n), extent, cmap=cmap, vmax=vmax, ax=ax)


def histogram(samples: Tensor | Array, extent: Extent, n: int) -> Array:
    """The histogram that ``sample_histogram`` draws, [rows from the bottom, columns]."""
    points = torch.as_tensor(samples).detach().cpu().double().numpy()
    left, right, bottom, top = extent
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=n, range=[[bottom, top], [left, right]])
    return counts / (len(points) * (right - left) * (top - bottom) / n**2)


def _square(ax: Axes | None, extent: Extent) -> Axes:
    """The Axes to draw on: equal aspect, the rectangle filling it."""
    if ax is None:
        _, ax = plt.subplots(figsize=(5, 5), layout="constrained")
    ax.set(aspect="equal", xlim=extent[:2], ylim=extent[2:])
    return ax
