"""Time-resolved truth: the density of x_t, its score and its flow, exact, of a few data points, and learned."""

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from toylab import plotting
from toylab.densities import Density, Points, ring
from toylab.experiments.conditional import conditional_networks
from toylab.experiments.flow_state import draw_flow_state, flow_state
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator, spread
from toylab.samplers import probability_flow
from toylab.schedules import uniform
from toylab.score import NoiseConditionalScore
from toylab.sde import VP

COLUMNS = {"exact": plotting.EXACT, "empirical": plotting.OTHER, "learned": plotting.LEARNED}


def target() -> Density:
    """A ring of eight modes, at the scale that a variance-preserving SDE expects."""
    return ring().scaled(0.4)


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

    The exact score of the density, the exact score of a few points of it (what a model that remembers its data would
    learn), and that of a network.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_data: points of the empirical distribution.
        n_paths: points that flow.
        n_training_steps: optimiser steps.
        n_networks: networks; the first is drawn, all have their distance to the exact flow recorded.
        times: columns of the figure, falling from 1.
    """
    p, sde = target().to(device), VP()
    data = Points(p.sample((n_data,), generator=generator(seed, 0, device)))
    networks = conditional_networks(
        "diffusion", p, std=1.2, low=0.005, high=200.0, n_steps=n_training_steps, n_networks=n_networks,
        generator=generator(seed, 1, device), device=device, progress=progress,
    )  # fmt: skip
    start = sde.prior.to(device).sample((n_paths,), generator=generator(seed, 2, device))
    scores: dict[str, tuple[NoiseConditionalScore, Density | None]] = {
        "exact": (p.score, p), "empirical": (data.score, data), "learned": (networks[0], None)
    }  # fmt: skip
    numbers: Numbers = {"times": list(times), "data": n_data}
    arrays: Arrays = {"data": data.points.cpu().numpy(), "start": start.cpu().numpy()}
    ends = {}
    for name, (score, density) in scores.items():
        x, path = start, [start]
        numbers[name] = {"spread": []}
        for k, t in enumerate(times):
            if k:
                steps = uniform(times[k - 1], t, 61)
                chains = probability_flow(sde, score, x, steps, keep_every=10, progress=False)
                x, path = chains.samples, [*path, *chains.path[1:]]
            now = flow_state(sde, score, density, x, t)
            numbers[name]["spread"].append(now.spread if math.isfinite(now.spread) else None)
            arrays[f"{name}/{k}/density"], arrays[f"{name}/{k}/score"] = now.density, now.score
            arrays[f"{name}/{k}/path"] = torch.stack(path).cpu().numpy()
        ends[name] = x

    def apart(x: torch.Tensor) -> float:
        """The root mean square distance to the ends of the exact flow."""
        return float((x - ends["exact"]).square().sum(-1).mean().sqrt())

    whole = uniform(1.0, times[-1], 241)
    by_network = [probability_flow(sde, network, start, whole, progress=False).samples for network in networks]
    nearest = torch.cdist(ends["empirical"], data.points.to(ends["empirical"])).amin(1)
    numbers["empirical"]["distance_to_the_data"] = float(nearest.square().mean().sqrt())
    numbers["learned"]["distance_to_the_exact_flow"] = spread([apart(x) for x in by_network])
    numbers["empirical"]["distance_to_the_exact_flow"] = apart(ends["empirical"])
    return Result("diffusion", numbers, arrays)


def draw(result: Result) -> Figure:
    """One column per time, one row per score; the same start everywhere, paths as tails."""
    times = result.numbers["times"]
    with plotting.look():
        figure, axes = plt.subplots(3, len(times), figsize=(3.6 * len(times), 12), layout="constrained")
        for row, (name, color) in zip(axes, COLUMNS.items(), strict=True):
            for k, (ax, t) in enumerate(zip(row, times, strict=True)):
                density, score, path = (result.arrays[f"{name}/{k}/{key}"] for key in ("density", "score", "path"))
                draw_flow_state(ax, density, score, path, color)
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
