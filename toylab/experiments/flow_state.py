"""One moment of a diffusion: the density of x_t, its score, and where the points of a flow are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from toylab import plotting
from toylab.densities import Density
from toylab.metrics import Extent, grid_points, posterior_covariance_at
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, score_at

EXTENT: Extent = (-3.0, 3.0, -3.0, 3.0)
"""The square that holds a variance-preserving diffusion at all times."""

_CELLS, _ARROWS = 80, 15


@dataclass(frozen=True, eq=False)
class FlowState:
    """What is known of a diffusion at one time.

    Attributes:
        density: of x_t on a grid of cells, [rows from the bottom, columns]; nan where it is not known.
        score: s_t at the points of a coarser grid [m, m, 2].
        points: those of the flow at this time, [n, 2].
        spread: sqrt of the mean over those points of tr Cov[x_0 | x_t]: how undecided x_0 still is; nan where that
            trace is negative, which a network may give but no density can.
    """

    density: NDArray[Any]
    score: NDArray[Any]
    points: NDArray[Any]
    spread: float


def flow_state(
    sde: SDE, score: NoiseConditionalScore, density: Density | None, x: Tensor, t: float, extent: Extent = EXTENT
) -> FlowState:
    """The truth at time t, with no training: p_t and its score, for points x of the flow at that time.

    Args:
        sde: such as ``VP()``.
        score: s(x, sigma): ``p.score``, ``Points(data).score``, or a network.
        density: the density whose score it is, None if none is known.
        x: the points of the flow at t, shape [n, 2].
        t: the time.
        extent: the square of the grids.
    """
    alpha, sigma = float(sde.alpha(t)), float(sde.sigma(t))
    cells = grid_points(extent, _CELLS).to(x)
    values = torch.full(cells.shape[:-1], torch.nan, device="cpu")
    if density is not None:
        values = density.scaled(alpha).noised(sigma).log_prob(cells).exp()
    arrows = score_at(sde, score, t)(grid_points(extent, _ARROWS).to(x))
    covariance = posterior_covariance_at(sde, score, x, t)
    undecided = float((covariance[..., 0, 0] + covariance[..., 1, 1]).mean().sqrt())
    return FlowState(values.cpu().numpy(), arrows.detach().cpu().numpy(), x.cpu().numpy(), undecided)


def draw_flow_state(ax: Axes, density: NDArray[Any], score: NDArray[Any], path: NDArray[Any], color: str) -> None:
    """One panel: the density as the ground, the score as arrows (each panel on its own scale), paths and their ends."""
    if np.isfinite(density).all():
        plotting.density_map(density, EXTENT, cmap=plotting.GROUND_MAP, ax=ax)
    plotting.score_field(score, EXTENT, color=color, ax=ax)
    ax.plot(path[..., 0], path[..., 1], color=plotting.NEUTRAL, lw=0.8, alpha=0.6)
    ax.plot(*path[-1].T, "o", color=plotting.NEUTRAL, ms=4, mec="white", mew=0.5)
    ax.set(xticks=[], yticks=[], xlim=EXTENT[:2], ylim=EXTENT[2:])
