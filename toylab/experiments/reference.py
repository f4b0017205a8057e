"""The reference experiment in its exact settings, over many seeds, compared with the samplers' own exact laws.

Song & Ermon 2019 (arXiv:1907.05600), figure 3: 1,280 chains on ``two_modes`` from a uniform start, exact scores.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from toylab import museum, plotting
from toylab.densities import two_modes
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import BOX, TRUE_WEIGHT, Numbers, generator, spread, variance_in_the_upper_mode
from toylab.metrics import annealed_langevin_law, langevin_law, mode_weight_trace
from toylab.samplers import Chains, annealed_langevin, langevin, uniform_start
from toylab.schedules import geometric
from toylab.score import NoiseConditionalScore

SIGMAS = geometric(20.0, 1.0, 10)

PLAIN = "Langevin"
REPLACED = "annealed, variances replaced"
CORRECT = "annealed, correct noised score"

MEASURED = {PLAIN: (0.509, 0.509, 0.523), REPLACED: (0.795, 0.791, 0.783)}
"""Weights of the upper mode when the reference's own code was run, three seeds."""


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_repeats: int = 20,
    n_chains: int = 1280,
) -> Result:
    """Langevin, annealed Langevin with the reference's noised score (it replaces variances), and with the correct one.

    eps = 0.1; Langevin takes 1,000 steps, annealed Langevin 100 at each of ten levels from 20 to 1.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show a progress bar.
        n_repeats: repeats, each with random numbers of its own.
        n_chains: chains per repeat.
    """
    density, eps = two_modes().to(device), 0.1

    def plain(x: Tensor, gen: torch.Generator) -> Chains:
        return langevin(density.score, x, step_size=eps, n_steps=1000, keep_every=1000, generator=gen, progress=False)

    def annealed(score: NoiseConditionalScore) -> Callable[[Tensor, torch.Generator], Chains]:
        return lambda x, gen: annealed_langevin(
            score, x, SIGMAS, step_size=eps, n_steps=100, keep_every=100, generator=gen, progress=False
        )

    samplers = {
        PLAIN: plain,
        REPLACED: annealed(museum.score_replacing_variances(density)),
        CORRECT: annealed(density.score),
    }
    exact_laws = {
        PLAIN: langevin_law(two_modes(), step_size=eps, n_steps=1000, extent=BOX),
        REPLACED: annealed_langevin_law(
            two_modes(), SIGMAS, step_size=eps, n_steps=100, extent=BOX, score_variance=0.0
        ),
        CORRECT: annealed_langevin_law(two_modes(), SIGMAS, step_size=eps, n_steps=100, extent=BOX),
    }
    numbers: Numbers = {"true_upper_mode_weight": TRUE_WEIGHT, "chains": n_chains}
    arrays: Arrays = {}
    with tqdm(total=len(samplers) * n_repeats, desc="reference", unit="run", disable=not progress) as shown:
        for stage, (name, sampler) in enumerate(samplers.items()):
            courses, variances = [], []
            for repeat in range(n_repeats):
                gen = generator(seed, 100 * stage + repeat, device)
                chains = sampler(uniform_start(n_chains, BOX, device=device, generator=gen), gen)
                courses.append(mode_weight_trace(chains, density).weights[1:, 1])
                variances.append(variance_in_the_upper_mode(chains.samples, density))
                shown.update()
            by_level, law = torch.stack(courses).numpy(), exact_laws[name]
            arrays[f"{name}/weights"] = by_level
            arrays[f"{name}/law"] = law.mode_weights[:, 1].numpy()
            numbers[name] = {
                "upper_mode_weight": spread(by_level[:, -1].tolist()),
                "variance_in_the_upper_mode": spread(variances),
                "law": {
                    "upper_mode_weight": float(law.mode_weights[-1, 1]),
                    "variance_in_the_upper_mode": float(law.variances[-1, 1]),
                },
            }
    return Result("reference", numbers, arrays)


def draw(result: Result) -> Figure:
    """Weight and variance at the end, each repeat a dot about the sampler's exact law; the weight down the levels."""
    with plotting.look():
        figure, axes = plt.subplots(1, 3, figsize=(17, 5.8), layout="constrained", width_ratios=(1, 0.9, 1))
        weight, variance, course = axes
        weight.axvline(TRUE_WEIGHT, color=plotting.NEUTRAL, lw=2, ls="--", zorder=0)
        weight.text(0.81, 0.42, "truth 0.8", color=plotting.NEUTRAL, fontsize=13)
        _draw_ends(weight, result, "upper_mode_weight", 3)
        _draw_ends(variance, result, "variance_in_the_upper_mode", 2)
        n_seeds = len(result.numbers[PLAIN]["upper_mode_weight"]["values"])
        weight.set_title(f"weight of the upper mode,\n{n_seeds} seeds of {result.numbers['chains']:,} chains")
        variance.set_title("variance in the upper mode\n(truth 1, noised 2)")
        weight.set(xlim=(0.45, 0.95), xticks=[0.5, 0.6, 0.7, 0.8])
        weight.set_yticks([0, -1, -2], labels=[name.replace(", ", ",\n") for name in _LOOKS])
        variance.set(xlim=(0.85, 2.35), yticks=[])
        for name, values in MEASURED.items():
            row = list(_LOOKS).index(name)
            weight.plot(values, [-row - 0.3] * len(values), "^", color="black", ms=8, zorder=4)
        weight.plot([], [], "o", color=plotting.NEUTRAL, ms=6, label="one seed")
        weight.plot([], [], "|", color="black", ms=18, mew=3, label="exact law of the sampler")
        weight.plot([], [], "^", color="black", ms=8, label="the reference's code")
        weight.legend(frameon=False, loc="lower left")
        _draw_course(course, result)
    return figure


def _draw_ends(ax: Axes, result: Result, what: str, digits: int) -> None:
    for row, (name, (color, marker)) in enumerate(_LOOKS.items()):
        found, law = result.numbers[name][what], result.numbers[name]["law"][what]
        lift = (np.arange(len(found["values"])) % 5 - 2) * 0.05  # so that equal values do not hide each other
        ax.plot(found["values"], -row + lift, marker, color=color, ms=6, alpha=0.6)
        ax.plot([law, law], [-row - 0.2, -row + 0.2], color="black", lw=3)
        text = f"{found['mean']:.{digits}f} ± {found['std']:.{digits}f}\nits law {law:.{digits}f}"
        ax.text(law, -row + 0.24, text, color=color, fontsize=12, ha="center", va="bottom", bbox=_PLATE)
    ax.set(ylim=(-3.2, 0.7))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _draw_course(ax: Axes, result: Result) -> None:
    ax.axhline(TRUE_WEIGHT, color=plotting.NEUTRAL, lw=2, ls="--", zorder=0)
    ax.text(20, 0.803, "truth 0.8", color=plotting.NEUTRAL, fontsize=13, va="bottom")
    sigmas = SIGMAS.numpy()
    for shift, name in ((0.97, REPLACED), (1.03, CORRECT)):
        weights, (color, marker) = result.arrays[f"{name}/weights"], _LOOKS[name]
        ax.plot(sigmas, result.arrays[f"{name}/law"], color=color, lw=2)
        ax.errorbar(
            shift * sigmas, weights.mean(0), yerr=weights.std(0, ddof=1), fmt=marker, color=color, ms=6, capsize=4,
            label=name.replace("annealed, ", ""),
        )  # fmt: skip
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.set_xticks([20, 10, 5, 2, 1], labels=["20", "10", "5", "2", "1"])
    ax.minorticks_off()
    ax.set(xlabel="noise level σ, falling", ylim=(0.5, 0.86), yticks=[0.5, 0.6, 0.7, 0.8])
    ax.legend(frameon=False, loc="lower right", title="mean ± sd of the seeds, line: law")
    steps = np.abs(np.diff(result.arrays[f"{CORRECT}/law"], prepend=0.5))
    decided = sigmas[np.flatnonzero(steps >= 0.005)[-1]]
    ax.set_title(f"annealing decides the weight early:\nby σ = {decided:.1f} it is settled")


_PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
_LOOKS = {PLAIN: (plotting.NEUTRAL, "o"), REPLACED: (plotting.NEUTRAL, "s"), CORRECT: (plotting.EXACT, "o")}
