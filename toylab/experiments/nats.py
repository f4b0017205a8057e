"""Trained for likelihood: what the weight of each noise level costs in nats, and of which ELBOs a loss is made."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Density, isotropic
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator, spread
from toylab.metrics import fisher_divergence, flow_kl_divergence, likelihood_bound
from toylab.networks import NoiseConditionalMLP
from toylab.objectives import ElboMixture, LikelihoodWeighting, NoiseConditional, UniformTimes, likelihood_levels
from toylab.objectives.levels import Weight
from toylab.schedules import geometric
from toylab.score import at
from toylab.sde import VP
from toylab.training import fit

SDE = VP()

TRAININGS = {
    "σ², uniform times": NoiseConditional(UniformTimes(SDE)),
    "g², uniform times": NoiseConditional(UniformTimes(SDE), LikelihoodWeighting(SDE)),
    "g², importance-sampled": NoiseConditional(likelihood_levels(SDE)),
}
"""The loss of noise prediction, the bound on -log p at uniform times, and the same by importance-sampled times."""

WEIGHTINGS: dict[str, Weight] = {
    "likelihood": 1.0,
    "sigmoid": lambda sigma: sigma**2 / (sigma**2 + 1),
    "flow matching": lambda sigma: sigma,
}
"""Weights relative to likelihood, functions of the level: 1, the sigmoid of -log-SNR, and that of x_1 - x_0."""

_OF_TRAININGS = ((plotting.NEUTRAL, ":"), (plotting.OTHER, "--"), (plotting.LEARNED, "-"))
_OF_WEIGHTINGS = ((plotting.EXACT, "-"), (plotting.OTHER, "--"), (plotting.LEARNED, "-."))
_WIDTH, _DEPTH = 32, 2  # small: a weighting says where to be wrong, and a large network is wrong nowhere
_N_LEVELS, _N_DRAWN = 25, 400


def target() -> Density:
    """Two narrow modes, at the scale that a variance-preserving SDE expects."""
    return isotropic([[-1.0, -1.0], [1.0, 1.0]], 0.1, weights=[0.2, 0.8])


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_training_steps: int = 2000,
    n_networks: int = 5,
    rtol: float = 1e-4,
) -> Result:
    """Train small networks with three weights of the noise levels, and measure each in nats by quadrature.

    Of each network: the bound on KL(p || q) of its reverse SDE, what each level adds to it, and KL(p || q) of its flow.
    p is ``target`` at t_min of a variance-preserving SDE.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_training_steps: optimiser steps, of 512 points each.
        n_networks: networks per training, over which the nats have their mean and standard deviation.
        rtol: relative and absolute tolerance of the solver that follows the flow.
    """
    p = target().to(device)
    law, levels = p.to(torch.float64), likelihood_levels(SDE)
    rungs = geometric(levels.high, levels.low, _N_LEVELS).tolist()
    numbers: Numbers = {"trainings": {}}
    arrays: Arrays = {"levels": np.array(rungs)}
    for k, (name, objective) in enumerate(TRAININGS.items()):
        if progress:
            tqdm.write(f"nats: {name}")
        gen = generator(seed, k, device)
        networks = fit(
            NoiseConditionalMLP(_WIDTH, _DEPTH, data_std=1.0, gain=3.0, generator=gen), objective, p,
            n_steps=n_training_steps, batch_size=512, learning_rate=3e-3, average=0.995, n_seeds=n_networks,
            generator=gen, device=device, progress=progress,
        ).networks  # fmt: skip
        scores = [network.double() for network in networks]
        bounds = [likelihood_bound(SDE, score, law).kl for score in scores]
        flows = [flow_kl_divergence(SDE, score, law, rtol=rtol, atol=rtol) for score in scores]
        numbers["trainings"][name] = {
            "bound": spread(bounds),
            "flow": spread(flows),
            "gap": spread([bound - flow for bound, flow in zip(bounds, flows, strict=True)]),
        }
        arrays[f"{name}/where"] = np.array(
            [[2 * rung**2 * fisher_divergence(at(score, rung), law, rung) for score in scores] for rung in rungs]
        )
    drawn, numbers["mixtures"] = _of_weightings()
    return Result("nats", numbers, arrays | drawn)


def _of_weightings() -> tuple[Arrays, Numbers]:
    """The distribution function and the density of log(sigma) of each mixture, and the weight that makes none."""
    levels = likelihood_levels(SDE)
    numbers: Numbers = {}
    sigma = levels.low * (levels.high / levels.low) ** torch.linspace(0, 1, _N_DRAWN, dtype=torch.float64, device="cpu")
    arrays: Arrays = {"sigma": sigma.numpy()}
    for name, weighting in WEIGHTINGS.items():
        mixture = ElboMixture(weighting, levels)
        arrays[f"{name}/cdf"] = mixture.cdf(sigma).numpy()
        arrays[f"{name}/density"] = (sigma * mixture.density(sigma)).numpy()  # of log(sigma)
        numbers[name] = {
            "of the data themselves": float(mixture.cdf(levels.low)),
            "median": float(sigma[(mixture.cdf(sigma) >= 0.5).long().argmax()]),
        }
    weight = sigma**2 / LikelihoodWeighting(SDE)(sigma)
    arrays["σ², uniform times/weight"] = (weight / weight.max()).numpy()
    return arrays, numbers


def draw(result: Result) -> Figure:
    """The nats of each training, the levels where they are lost, and three weightings with their mixtures."""
    with plotting.look():
        figure = plt.figure(figsize=(19, 7.6), layout="constrained")
        axes = figure.subplot_mosaic(
            [["nats", "where", "weight"], ["nats", "where", "mixture"]], width_ratios=(1.7, 1, 1)
        )
        _nats(axes["nats"], result.numbers["trainings"])
        _where(axes["where"], result)
        _weights(axes["weight"], result)
        _mixtures(axes["mixture"], result)
    return figure


def _nats(ax: Axes, trainings: Numbers) -> None:
    """One group per training: the bound, the flow's divergence and their difference."""
    parts = (
        ("bound", "bound on KL(p ‖ reverse SDE)", plotting.LEARNED, "o"),
        ("flow", "KL(p ‖ flow)", plotting.OTHER, "s"),
        ("gap", "bound − flow", plotting.ERROR, "^"),
    )
    for k, (part, label, color, marker) in enumerate(parts):
        for j, row in enumerate(trainings.values()):
            found, x = row[part], j + 0.3 * (k - 1)
            ax.plot([x] * len(found["values"]), found["values"], marker, color=color, alpha=0.35, ms=6)
            ax.errorbar(
                x, found["mean"], yerr=found["std"], color=color, marker=marker, ms=11, lw=2.5, capsize=6,
                label=label if j == 0 else None,
            )  # fmt: skip
            top = max(*found["values"], found["mean"] + found["std"])
            ax.annotate(
                f"{found['mean']:.3f}\n± {found['std']:.3f}", (x, top), (0, 8), textcoords="offset points",
                ha="center", color=color, fontsize=12,
            )  # fmt: skip
    n = len(next(iter(trainings.values()))["bound"]["values"])
    ax.set_xticks(range(len(trainings)), list(trainings))
    ax.margins(x=0.08, y=0.1)
    ax.set_ylim(top=1.35 * ax.get_ylim()[1])  # room for the legend
    ax.set(ylabel="nats", xlabel="weight of the levels in the loss")
    ax.set_title(f"What a weighting costs ({n} networks each)", fontweight="bold")
    ax.axhline(0, color=plotting.NEUTRAL, lw=1)
    ax.legend(frameon=False, loc="upper left")


def _where(ax: Axes, result: Result) -> None:
    """What each e-fold of levels adds to the bound; the area under a curve is the error of the score in nats."""
    levels = result.arrays["levels"]
    for name, (color, line) in zip(TRAININGS, _OF_TRAININGS, strict=True):
        values = result.arrays[f"{name}/where"]
        mean, std = values.mean(1), values.std(1, ddof=1) if values.shape[1] > 1 else 0.0
        ax.plot(levels, mean, color=color, ls=line, lw=2.5, label=name)
        ax.fill_between(levels, mean - std, mean + std, color=color, alpha=0.2, lw=0)
    ax.set(xscale="log", xlabel="noise level σ / α", ylabel="nats per e-fold of the level", ylim=(0, None))
    ax.set_title("Where they are lost", fontweight="bold")
    ax.legend(frameon=False)


def _weights(ax: Axes, result: Result) -> None:
    """Weightings as distribution functions, and that of the first training, which is none."""
    sigma = result.arrays["sigma"]
    for name, (color, line) in zip(WEIGHTINGS, _OF_WEIGHTINGS, strict=True):
        ax.plot(sigma, result.arrays[f"{name}/cdf"], color=color, ls=line, lw=2.5, label=name)
    name, (color, line) = next(iter(TRAININGS)), _OF_TRAININGS[0]
    ax.plot(sigma, result.arrays[f"{name}/weight"], color=color, ls=line, lw=2.5, label=name)
    ax.set(xscale="log", yticks=[0, 0.5, 1], ylabel="weight, of its largest", ylim=(-0.03, 1.55))
    ax.set_title("A weight that never falls …", fontweight="bold")
    ax.legend(frameon=False, ncols=2, loc="upper left")


def _mixtures(ax: Axes, result: Result) -> None:
    """The densities of log(sigma); the share of sigma = low, which has no density, as a bar at that level."""
    sigma, mixtures = result.arrays["sigma"], result.numbers["mixtures"]
    for name, (color, line) in zip(WEIGHTINGS, _OF_WEIGHTINGS, strict=True):
        density, share = result.arrays[f"{name}/density"], mixtures[name]["of the data themselves"]
        if share > 0.5:
            ax.annotate(
                f"{share:.0%} at the data", (sigma[0], 1.0), (14, -4), textcoords="offset points", color=color,
                fontweight="bold",
            )  # fmt: skip
            ax.plot([sigma[0]] * 2, [0, 1], color=color, lw=6, solid_capstyle="butt")
            continue
        ax.plot(sigma, density, color=color, ls=line, lw=2.5)
        ax.fill_between(sigma, density, color=color, alpha=0.15, lw=0)
        peak = int(density.argmax())
        ax.annotate(
            f"half below {mixtures[name]['median']:.2g}", (sigma[peak], density[peak]), (-8, 2),
            textcoords="offset points", ha="right", color=color, fontweight="bold",
        )  # fmt: skip
    ax.set(xscale="log", xlabel="noise added to the data first", ylabel="share per e-fold", ylim=(0, 1.15))
    ax.set_title("… is a mixture of ELBOs", fontweight="bold")
