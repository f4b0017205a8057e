"""Speed and quality: how far from the truth each diffusion sampler ends, against the evaluations it spends."""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Checkerboard, Density, Mixture, fractal_tree, ring, two_modes
from toylab.experiments.budgeted_samplers import FLOWS, NOISY, BudgetedSampler
from toylab.experiments.conditional import conditional_networks
from toylab.experiments.result import Result
from toylab.experiments.setting import AXIS_STD, Numbers, generator, spread
from toylab.metrics import sliced_wasserstein
from toylab.samplers import Chains, probability_flow_adaptive
from toylab.score import NoiseConditionalScore
from toylab.sde import VE

BUDGETS = (6, 12, 24, 48, 96, 192)
TOLERANCES = (1e-1, 1e-2, 1e-3)
ADAPTIVE = "flow, adaptive"
DENSITIES: dict[str, Callable[[], Density]] = {
    "two modes": two_modes,
    "ring": ring,
    "checkerboard": Checkerboard,
    "fractal tree": lambda: Mixture([0.5, 0.5], [fractal_tree(0), fractal_tree(1)]).scaled(3.0),
}


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_chains: int = 3000,
    n_networks: int = 3,
    n_training_steps: int = 3000,
    budgets: tuple[int, ...] = BUDGETS,
    densities: tuple[str, ...] = tuple(DENSITIES),
) -> Result:
    """Train noise-conditional networks on each density and sample with every sampler at every budget.

    The SDE is variance exploding, from 0.01 to 20 times the standard deviation of the density; the times are those of
    ``schedules.karras``. Quality is the sliced Wasserstein distance to fresh samples of the clean density, and the
    floor the distance between two clouds of fresh samples. The best sampler of each family runs once more with the
    exact score.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_chains: points per cloud.
        n_networks: networks per density; each samples a cloud of its own, so that the numbers have a spread.
        n_training_steps: optimiser steps.
        budgets: evaluations of the score, at most.
        densities: names of ``DENSITIES``.
    """
    numbers: Numbers = {"budgets": list(budgets), "points": n_chains}
    for k, name in enumerate(densities):
        std, p = AXIS_STD[name], DENSITIES[name]().to(device)
        sde = VE(0.01 * std, 20 * std)
        networks = conditional_networks(
            f"samplers, {name}", p, std=std, low=sde.sigma_min, high=sde.sigma_max, n_steps=n_training_steps,
            n_networks=n_networks, generator=generator(seed, 100 * k, device), device=device, progress=progress,
        )  # fmt: skip
        gen = generator(seed, 100 * k + 1, device)
        fresh = [p.sample((n_chains,), generator=gen) for _ in range(2 * n_networks)]
        floor = [_distance(a, b, seed) for a, b in zip(fresh[::2], fresh[1::2], strict=True)]
        rows: Numbers = {"floor": spread(floor), "sde": {"sigma_min": sde.sigma_min, "sigma_max": sde.sigma_max}}
        truths = fresh[:n_networks]
        for label, sampler in tqdm(_work(sde, budgets), desc=name, unit="run", disable=not progress):
            row = _quality(sampler, sde, networks, truths, seed, stage=100 * k + 10)
            rows.setdefault(label, []).append(row)
        most = max(budgets) // 2
        for label in ("flow, Heun", "reverse SDE, Heun"):
            sampler = _in_steps(sde, {**FLOWS, **NOISY}[label], most)
            row = _quality(sampler, sde, [p.score] * n_networks, truths, seed, stage=100 * k + 10)
            rows[f"exact score, {label}"] = {**row, "evaluations": 2 * most}
        numbers[name] = rows
    return Result("samplers", numbers, {})


Sampler = Callable[[NoiseConditionalScore, Tensor, torch.Generator], Chains]  # called with score, start, generator


def _work(sde: VE, budgets: tuple[int, ...]) -> list[tuple[str, Sampler]]:
    """Every run with a network, by the label of its line."""
    work = [
        (label, _in_steps(sde, entry, n))
        for label, entry in {**FLOWS, **NOISY}.items()
        for n in dict.fromkeys(budget // entry.price for budget in budgets)
        if n >= 1
    ]
    return work + [(ADAPTIVE, _to_tolerance(sde, tolerance)) for tolerance in TOLERANCES]


def _in_steps(sde: VE, sampler: BudgetedSampler, n_steps: int) -> Sampler:
    return lambda score, x, gen: sampler.run(sde, score, x, n_steps, gen)


def _to_tolerance(sde: VE, rtol: float) -> Sampler:
    return lambda score, x, gen: probability_flow_adaptive(
        sde, score, x, 1.0, 0.0, rtol=rtol, atol=rtol * sde.sigma_min, progress=False
    )


def _quality(
    sampler: Sampler,
    sde: VE,
    scores: Sequence[NoiseConditionalScore],
    truths: Sequence[Tensor],
    seed: int,
    stage: int,
) -> Numbers:
    """Mean evaluations and the distances to the truth, each score compared with a cloud of its own."""
    evaluations, distances = [], []
    for m, (score, truth) in enumerate(zip(scores, truths, strict=True)):
        gen = generator(seed, stage + m, truth.device)
        start = sde.prior.to(truth.device).sample((len(truth),), generator=gen)
        chains = sampler(score, start, gen)
        evaluations.append(chains.n_evaluations)
        distances.append(_distance(chains.samples, truth, seed))
    return {"evaluations": sum(evaluations) / len(evaluations), **spread(distances)}


def _distance(a: Tensor, b: Tensor, seed: int) -> float:
    return sliced_wasserstein(a, b, generator=generator(seed, 2, a.device)).value


_LINES = {
    "flow, Euler": ("#56B4E9", "o"), "DDIM": (plotting.NEUTRAL, "s"), "flow, Heun": (plotting.LEARNED, "D"),
    "flow, RK4": (plotting.OTHER, "^"), ADAPTIVE: ("#CC79A7", "*"),
    "reverse SDE, Euler": ("#56B4E9", "o"), "ancestral": (plotting.NEUTRAL, "s"),
    "reverse SDE, Heun": (plotting.LEARNED, "D"), "predictor-corrector": (plotting.OTHER, "^"),
    "annealed Langevin": ("#CC79A7", "*"),
}  # fmt: skip


def draw(result: Result) -> Figure:
    """One column per density; the samplers without noise above, those with noise below."""
    names = [name for name in DENSITIES if name in result.numbers]
    with plotting.look():
        figure, axes = plt.subplots(
            2, len(names), figsize=(4 + 4.4 * len(names), 10), layout="constrained", squeeze=False, sharex=True,
            sharey="col",
        )  # fmt: skip
        families = (([*FLOWS, ADAPTIVE], "flow, Heun"), (list(NOISY), "reverse SDE, Heun"))
        for row, (family, exact) in zip(axes, families, strict=True):
            for ax, name in zip(row, names, strict=True):
                _draw_panel(ax, result.numbers[name], family, exact)
            row[0].set_ylabel("sliced Wasserstein distance\nto fresh samples")
            row[-1].legend(frameon=False, fontsize=14, loc="center left", bbox_to_anchor=(1.0, 0.5))
        for ax, name in zip(axes[0], names, strict=True):
            ax.set_title(name, fontweight="bold")
        for ax in axes[1]:
            ax.set_xlabel("evaluations of the score")
    return figure


def _draw_panel(ax: Axes, rows: Numbers, family: list[str], exact: str) -> None:
    for label in family:
        color, marker = _LINES[label]
        points = sorted(rows[label], key=lambda row: row["evaluations"])
        spent, means, stds = ([row[key] for row in points] for key in ("evaluations", "mean", "std"))
        ax.errorbar(spent, means, yerr=stds, color=color, marker=marker, ms=8, lw=2, capsize=3, label=label)
    floor = rows["floor"]["mean"]
    ax.axhline(floor, color=plotting.EXACT, lw=2, ls="--")
    ax.text(
        0.03, 0.03, f"- - two fresh samples: {floor:.3f}", color=plotting.EXACT, transform=ax.transAxes, fontsize=13
    )
    best = rows[f"exact score, {exact}"]
    ax.errorbar(
        best["evaluations"] * 1.15, best["mean"], yerr=best["std"], color=plotting.EXACT, marker="D", ms=8, capsize=3,
        label=f"{exact}, exact score", ls="none",
    )  # fmt: skip
    ax.set(xscale="log", yscale="log", ylim=(0.45 * floor, 100 * floor))  # what is farther off is off the scale
    ax.set_xticks(BUDGETS, labels=[str(n) for n in BUDGETS])
    ax.minorticks_off()
