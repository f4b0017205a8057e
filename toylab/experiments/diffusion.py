"""Time-resolved truth: the law of x_t, its score and its flow, exact, of a few data points, and learned."""

import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from toylab import plotting
from toylab.densities import Affine, Density, Points, ring
from toylab.experiments.conditional import conditional_networks
from toylab.experiments.result import Result, generator, spread
from toylab.metrics import Extent, grid_points, posterior_covariance_at
from toylab.samplers import probability_flow
from toylab.schedules import uniform
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, VP, score_at

EXTENT: Extent = (-3.0, 3.0, -3.0, 3.0)
COLUMNS = {"exact": plotting.EXACT, "empirical": plotting.OTHER, "learned": plotting.LEARNED}
_CELLS, _ARROWS = 80, 15


@dataclass(frozen=True, eq=False)
class State:
    """What one column shows at one time.

    Attributes:
        density: of x_t on a grid of cells, [rows from the bottom, columns]; nan where it is not known.
        score: s_t at the points of a coarser grid [m, m, 2].
        points: where the flow from the shared start stands, [n, 2].
        spread: sqrt of the mean over those points of tr Cov[x_0 | x_t]: how undecided x_0 still is; nan where that
            trace is negative, which no law has but a network may.
    """

    density: np.ndarray
    score: np.ndarray
    points: np.ndarray
    spread: float


def target() -> Density:
    """A ring of eight modes, at the scale that a variance-preserving SDE expects."""
    return Affine(ring(), factor=0.4)


def state(
    sde: SDE, score: NoiseConditionalScore, density: Density | None, x: Tensor, t: float, extent: Extent = EXTENT
) -> State:
    """The truth at time t, with no training: p_t and its score, for flow points x that are there at t.

    Args:
        sde: such as ``VP()``.
        score: s(x, sigma): ``p.score``, ``Points(data).score``, or a network.
        density: the law whose score it is, None if none is known.
        x: where the flow stands at t, shape [n, 2].
        t: the time.
        extent: the square of the grids.
    """
    alpha, sigma = float(sde.alpha(t)), float(sde.sigma(t))
    cells = grid_points(extent, _CELLS).to(x)
    values = torch.full(cells.shape[:-1], torch.nan)
    if density is not None:
        values = density.scaled(alpha).noised(sigma).log_prob(cells).exp()
    arrows = score_at(sde, score, t)(grid_points(extent, _ARROWS).to(x))
    covariance = posterior_covariance_at(sde, score, x, t)
    undecided = float((covariance[..., 0, 0] + covariance[..., 1, 1]).mean().sqrt())
    return State(values.cpu().numpy(), arrows.detach().cpu().numpy(), x.cpu().numpy(), undecided)


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_data: int = 24,
    n_paths: int = 60,
    n_training_steps: int = 3000,
    n_networks: int = 3,
    times: tuple[float, ...] = (1.0, 0.5, 0.3, 0.15, 0.001),
) -> Result:
    """Follow the probability flow of a variance-preserving SDE from one start under three scores.

    The exact score of the law, the exact score of a few of its points (what a model that remembers its data would
    learn), and that of a network.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_data: points of the empirical law.
        n_paths: points that flow.
        n_training_steps: optimiser steps.
        n_networks: networks; the first is drawn, all have their distance to the exact flow recorded.
        times: rows of the figure, falling from 1.
    """
    p, sde = target().to(device), VP()
    data = Points(p.sample((n_data,), generator=generator(seed, 0)))
    networks = conditional_networks(
        "diffusion", p, std=1.2, low=0.005, high=200.0, n_steps=n_training_steps, n_networks=n_networks,
        generator=generator(seed, 1), device=device, progress=progress,
    )  # fmt: skip
    start = sde.prior.to(device).sample((n_paths,), generator=generator(seed, 2))
    scores = {"exact": (p.score, p), "empirical": (data.score, data), "learned": (networks[0], None)}
    numbers: dict = {"times": list(times), "data": n_data}
    arrays = {"data": data.points.cpu().numpy(), "start": start.cpu().numpy()}
    ends = {}
    for name, (score, density) in scores.items():
        x, path = start, [start]
        numbers[name] = {"spread": []}
        for k, t in enumerate(times):
            if k:
                steps = uniform(times[k - 1], t, 61)
                chains = probability_flow(sde, score, x, steps, keep_every=10, progress=False)
                x, path = chains.samples, [*path, *chains.path[1:]]
            now = state(sde, score, density, x, t)
            numbers[name]["spread"].append(now.spread if math.isfinite(now.spread) else None)
            arrays[f"{name}/{k}/density"], arrays[f"{name}/{k}/score"] = now.density, now.score
            arrays[f"{name}/{k}/path"] = torch.stack(path).cpu().numpy()
        ends[name] = x
    for network in networks:
        x = probability_flow(sde, network, start, uniform(1.0, times[-1], 241), progress=False).samples
        ends.setdefault("networks", []).append(x)
    nearest = torch.cdist(ends["empirical"], data.points.to(ends["empirical"])).amin(1)
    numbers["empirical"]["distance_to_the_data"] = float(nearest.square().mean().sqrt())
    apart = [float((x - ends["exact"]).square().sum(-1).mean().sqrt()) for x in ends["networks"]]
    numbers["learned"]["distance_to_the_exact_flow"] = spread(apart)
    numbers["empirical"]["distance_to_the_exact_flow"] = float(
        (ends["empirical"] - ends["exact"]).square().sum(-1).mean().sqrt()
    )
    return Result("diffusion", numbers, arrays)


def draw(result: Result) -> Figure:
    """A row a time, a column a score; the same start everywhere, paths as tails."""
    times = result.numbers["times"]
    with plotting.look():
        figure, axes = plt.subplots(3, len(times), figsize=(3.6 * len(times), 12), layout="constrained")
        for row, (name, color) in zip(axes, COLUMNS.items(), strict=True):
            for k, (ax, t) in enumerate(zip(row, times, strict=True)):
                density = result.arrays[f"{name}/{k}/density"]
                draw_state(ax, density, result.arrays[f"{name}/{k}/score"], result.arrays[f"{name}/{k}/path"], color)
                if name == "empirical" and t < 0.2:
                    ax.plot(*result.arrays["data"].T, "+", color="black", ms=10, mew=1.5, zorder=5)
                decided = result.numbers[name]["spread"][k]
                known = f"x₀ known to ± {decided:.2g}" if decided is not None else "Cov[x₀|x] not positive"
                ax.set_xlabel(known, fontsize=13)
                if name == "exact":
                    ax.set_title(f"t = {t:g}", fontweight="bold")
        apart = result.numbers["learned"]["distance_to_the_exact_flow"]
        kept = result.numbers["empirical"]["distance_to_the_data"]
        labels = {
            "exact": "exact",
            "empirical": f"of {result.numbers['data']} points (+)\nends {kept:.2g} from one",
            "learned": f"learned; ends {apart['mean']:.2g} ± {apart['std']:.1g}\n"
            f"from the exact flow ({len(apart['values'])} networks)",
        }
        for row, (name, color) in zip(axes, COLUMNS.items(), strict=True):
            row[0].set_ylabel(labels[name], color=color, fontweight="bold")
    return figure


def draw_state(ax: Axes, density: np.ndarray, score: np.ndarray, path: np.ndarray, color: str) -> None:
    """One panel: density as the ground, the score as arrows (each panel its own scale), paths and where they stand."""
    if np.isfinite(density).all():
        plotting.density_map(density, EXTENT, cmap=plotting.GROUND_MAP, ax=ax)
    plotting.score_field(score, EXTENT, color=color, ax=ax)
    ax.plot(path[..., 0], path[..., 1], color=plotting.NEUTRAL, lw=0.8, alpha=0.6)
    ax.plot(*path[-1].T, "o", color=plotting.NEUTRAL, ms=4, mec="white", mew=0.5)
    ax.set(xticks=[], yticks=[], xlim=EXTENT[:2], ylim=EXTENT[2:])
