"""Figure 3: why annealing. MALA and Langevin against annealed Langevin, with the exact and with a learned score."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import two_modes
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import BOX, TRUE_WEIGHT, Numbers, generator, spread, variance_in_the_upper_mode
from toylab.metrics import grid_points, histogram, mode_weights
from toylab.networks import NoiseConditionalMLP
from toylab.objectives import NoiseConditional
from toylab.samplers import Chains, annealed_langevin, langevin, mala, uniform_start
from toylab.schedules import geometric
from toylab.score import NoiseConditionalScore
from toylab.training import fit

_CELLS, _HISTOGRAM = 200, 48
_WIDTH = 64  # of the networks: no worse here than 128, in a third of the time

LEARNED = "annealed Langevin, learned score"

# The panels, each in the colour of the score it uses.
PANELS = {
    "MALA, exact score": plotting.EXACT,
    "Langevin, exact score": plotting.EXACT,
    "annealed Langevin, exact noised score": plotting.EXACT,
    LEARNED: plotting.LEARNED,
}


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_chains: int = 1280,
    n_repeats: int = 5,
    n_training_steps: int = 2000,
    n_steps: int = 1000,
    n_steps_per_level: int = 100,
    n_networks: int = 3,
) -> Result:
    """Train noise-conditional networks on ``two_modes`` and sample four ways from a uniform start.

    The ladder is 20 levels from 20 to 0.1 with eps = 0.002, for which the annealed sampler's own exact law has an
    upper-mode weight of .791 with 100 steps per level (the target's is .8).

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_chains: chains per repeat.
        n_repeats: repeats, all run as one cloud; the weight of each is recorded.
        n_training_steps: optimiser steps for the network.
        n_steps: steps of MALA (eps = 0.5) and Langevin (eps = 0.1).
        n_steps_per_level: steps per level of annealed Langevin.
        n_networks: networks, trained side by side; each moves its share of the chains, and the weights it finds are
            recorded by network.
    """
    density = two_modes().to(device)
    sigmas = geometric(20.0, 0.1, 20)
    gen = generator(seed, 0, device)
    if progress:
        tqdm.write("annealing: noise-conditional networks")
    start = time.perf_counter()
    networks = fit(
        NoiseConditionalMLP(_WIDTH, generator=gen), NoiseConditional(sigmas, antithetic=True), density,
        n_steps=n_training_steps, batch_size=256, learning_rate=5e-3, average=0.995,
        n_seeds=n_networks, generator=gen, device=device, progress=progress,
    ).networks  # fmt: skip
    numbers: Numbers = {"training_seconds": time.perf_counter() - start, "true_upper_mode_weight": TRUE_WEIGHT}

    def plain(x: Tensor, gen: torch.Generator) -> Chains:
        return langevin(density.score, x, step_size=0.1, n_steps=n_steps, generator=gen, progress=progress)

    def adjusted(x: Tensor, gen: torch.Generator) -> Chains:
        return mala(
            density.log_prob, density.score, x, step_size=0.5, n_steps=n_steps, generator=gen, progress=progress
        )

    def annealed(score: NoiseConditionalScore) -> Callable[[Tensor, torch.Generator], Chains]:
        return lambda x, gen: annealed_langevin(
            score, x, sigmas, step_size=0.002, n_steps=n_steps_per_level, generator=gen, progress=progress
        )

    samplers = (adjusted, plain, annealed(density.score), annealed(_Shared(networks)))
    arrays: Arrays = {"density": density.log_prob(grid_points(BOX, _CELLS).to(device)).exp().cpu().numpy()}
    for stage, (name, sampler) in enumerate(zip(PANELS, samplers, strict=True), start=1):
        if progress:
            tqdm.write(f"annealing: {name}")
        gen = generator(seed, stage, device)
        x = uniform_start(n_chains * n_repeats, BOX, device=device, generator=gen)
        start = time.perf_counter()
        chains = sampler(x, gen)
        numbers[name] = {**_measure(chains, n_repeats), "seconds": time.perf_counter() - start}
        if name == LEARNED:
            parts = chains.samples.chunk(n_networks)
            found = [mode_weights(part, density)[1].value for part in parts]
            numbers[name]["upper_mode_weight_by_network"] = spread(found)
        arrays[name] = histogram(chains.samples, BOX, _HISTOGRAM)
    return Result("annealing", numbers, arrays)


@dataclass(frozen=True)
class _Shared:
    """Several networks as one score: each is asked for its own share of the points."""

    networks: tuple[nn.Module, ...]

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        parts = x.chunk(len(self.networks))
        return torch.cat([network(part, sigma) for network, part in zip(self.networks, parts, strict=True)])


def _measure(chains: Chains, n_repeats: int) -> Numbers:
    density, samples = two_modes(), chains.samples
    lower, upper = mode_weights(samples, density)
    return {
        "lower_mode_weight": lower.value,
        "upper_mode_weight": upper.value,
        "standard_error": upper.standard_error,
        "upper_mode_weight_by_repeat": [mode_weights(part, density)[1].value for part in samples.chunk(n_repeats)],
        "variance_in_the_upper_mode": variance_in_the_upper_mode(samples, density),
        "acceptance": float(chains.acceptance.mean()),
        "diverged": int(chains.diverged.sum()),
    }


def draw(result: Result) -> Figure:
    """The density, one histogram per sampler on the density's own colours, and the weight each gives the upper mode."""
    with plotting.look():
        figure, axes = plt.subplots(2, 3, figsize=(15, 10.8), layout="constrained")
        top = float(result.arrays["density"].max())
        first, *panels, summary = axes.flat
        image = plotting.density_map(result.arrays["density"], BOX, vmax=top, ax=first).images[-1]
        first.set_title("the density\n(truth)", fontweight="bold")
        _write_weights(first, "0.2", "0.8")
        for ax, (name, color) in zip(panels, PANELS.items(), strict=True):
            plotting.density_map(result.arrays[name], BOX, vmax=top, ax=ax)
            ax.set_title(name.replace(", ", "\n"), color=color, fontweight="bold")
            panel = result.numbers[name]
            error = panel["standard_error"]
            _write_weights(
                ax, f"{panel['lower_mode_weight']:.3f} ± {error:.3f}", f"{panel['upper_mode_weight']:.3f} ± {error:.3f}"
            )
        by_network = result.numbers[LEARNED]["upper_mode_weight_by_network"]
        panels[-1].set_xlabel(
            f"upper mode, {len(by_network['values'])} networks: {by_network['mean']:.3f} ± {by_network['std']:.3f}",
            fontsize=15,
        )
        for ax in (first, *panels):
            ax.set(xticks=[-5, 0, 5], yticks=[-5, 0, 5])
        figure.colorbar(image, ax=first, location="left", shrink=0.8, label="density, in every panel")
        _draw_summary(summary, result)
    return figure


def _write_weights(ax: Axes, lower: str, upper: str) -> None:
    ax.text(-2.2, -7.4, lower, fontsize=18, fontweight="bold", ha="left")
    ax.text(2.2, 6.8, upper, fontsize=18, fontweight="bold", ha="right")


def _draw_summary(ax: Axes, result: Result) -> None:
    ax.axvline(TRUE_WEIGHT, color=plotting.NEUTRAL, lw=2, ls="--", zorder=0)
    ax.text(0.79, 0.6, "truth 0.8", color=plotting.NEUTRAL, fontsize=15, ha="right")
    for row, (name, color) in enumerate(PANELS.items()):
        panel = result.numbers[name]
        value, error = panel["upper_mode_weight"], panel["standard_error"]
        marker = "o" if color == plotting.EXACT else "s"
        ax.errorbar(value, -row, xerr=2 * error, fmt=marker, color=color, ms=9, lw=3, capsize=7, capthick=3)
        left = value < 0.65
        ax.text(
            value + (0.03 if left else -0.03), -row, name.replace(", ", "\n"), color=color, fontsize=14,
            ha="left" if left else "right", va="center",
        )  # fmt: skip
    ax.set(xlim=(0.45, 0.88), ylim=(-3.5, 0.9), yticks=[], xticks=[0.5, 0.6, 0.7, 0.8])
    ax.set_xlabel("weight of the upper mode ± 2 standard errors")
    ax.spines["left"].set_visible(False)
    ax.set_title("who recovers the weights?\n ", fontweight="bold")
