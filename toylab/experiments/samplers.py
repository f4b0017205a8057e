"""Speed and quality: how far from the law each diffusion sampler ends, against the evaluations it spends."""

from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Checkerboard, Density, Mixture, fractal_tree, ring, two_modes
from toylab.experiments.conditional import conditional_networks
from toylab.experiments.result import Result, generator, spread
from toylab.metrics import sliced_wasserstein
from toylab.samplers import (
    Chains,
    ancestral,
    annealed_langevin,
    ddim,
    euler_step,
    heun_step,
    predictor_corrector,
    probability_flow,
    probability_flow_adaptive,
    reverse_sde,
    reverse_sde_heun,
    rk4_step,
)
from toylab.schedules import geometric, karras
from toylab.score import NoiseConditionalScore
from toylab.sde import VE

BUDGETS = (6, 12, 24, 48, 96, 192)
TOLERANCES = (1e-1, 1e-2, 1e-3)
LAWS = {"two modes": 4.0, "ring": 3.0, "checkerboard": 2.3, "fractal tree": 1.5}
"""The laws, and about the standard deviation of each along an axis."""


def law(name: str) -> Density:
    """The law of a panel."""
    if name == "fractal tree":
        return Mixture([0.5, 0.5], [fractal_tree(0), fractal_tree(1)]).scaled(3.0)
    return {"two modes": two_modes, "ring": ring, "checkerboard": Checkerboard}[name]()


@dataclass(frozen=True)
class Entry:
    """A sampler with its price.

    Attributes:
        run: called with SDE, score, start, the number of steps and a generator.
        price: evaluations of the score a step.
    """

    run: Callable[[VE, NoiseConditionalScore, Tensor, int, torch.Generator], Chains]
    price: int


def _times(sde: VE, n_steps: int) -> Tensor:
    """Times at which sigma runs down the rho-grid."""
    levels = karras(sde.sigma_max, sde.sigma_min, n_steps + 1).double()
    times = sde.time_of(levels)
    times[0], times[-1] = 1.0, 0.0
    return times


def _annealed(sde: VE, s: NoiseConditionalScore, x: Tensor, n: int, g: torch.Generator) -> Chains:
    """About five steps of Langevin at each level."""
    sigmas = geometric(sde.sigma_max, sde.sigma_min, max(2, n // 5))
    return annealed_langevin(
        s, x, sigmas, step_size=0.3 * sde.sigma_min**2, n_steps=n // len(sigmas), generator=g, progress=False
    )


def _flow(step: Callable, price: int) -> Entry:
    return Entry(lambda e, s, x, n, g: probability_flow(e, s, x, _times(e, n), step=step, progress=False), price)


FLOWS = {
    "flow, Euler": _flow(euler_step, 1),
    "DDIM": Entry(lambda e, s, x, n, g: ddim(e, s, x, _times(e, n), progress=False), 1),
    "flow, Heun": _flow(heun_step, 2),
    "flow, RK4": _flow(rk4_step, 4),
}
NOISY = {
    "reverse SDE, Euler": Entry(
        lambda e, s, x, n, g: reverse_sde(e, s, x, _times(e, n), generator=g, progress=False), 1
    ),
    "reverse SDE, Heun": Entry(
        lambda e, s, x, n, g: reverse_sde_heun(e, s, x, _times(e, n), generator=g, progress=False), 2
    ),
    "predictor-corrector": Entry(
        lambda e, s, x, n, g: predictor_corrector(e, s, x, _times(e, n), generator=g, progress=False), 2
    ),
    "ancestral": Entry(lambda e, s, x, n, g: ancestral(e, s, x, _times(e, n), generator=g, progress=False), 1),
    "annealed Langevin": Entry(_annealed, 1),
}
ADAPTIVE = "flow, adaptive"


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_points: int = 3000,
    n_networks: int = 3,
    n_training_steps: int = 3000,
    budgets: tuple[int, ...] = BUDGETS,
    only: tuple[str, ...] = tuple(LAWS),
) -> Result:
    """Train noise-conditional networks on each law and sample with every sampler at every budget.

    The SDE is variance exploding, from 0.01 to 20 times the law's standard deviation; the times are those of the
    rho-grid. Quality is the sliced Wasserstein distance to fresh samples of the clean law, and the floor what two
    clouds of fresh samples have. The same samplers run once with the exact score, by the best of each family.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_points: points a cloud.
        n_networks: networks a law; each samples a cloud of its own, so that the numbers have a spread.
        n_training_steps: optimiser steps.
        budgets: evaluations of the score, at most.
        only: the laws.
    """
    numbers: dict = {"budgets": list(budgets), "points": n_points}
    for k, name in enumerate(only):
        std, p = LAWS[name], law(name).to(device)
        sde = VE(0.01 * std, 20 * std)
        networks = conditional_networks(
            f"samplers, {name}", p, std=std, low=sde.sigma_min, high=sde.sigma_max, n_steps=n_training_steps,
            n_networks=n_networks, generator=generator(seed, 100 * k), device=device, progress=progress,
        )  # fmt: skip
        gen = generator(seed, 100 * k + 1)
        fresh = [p.sample((n_points,), generator=gen) for _ in range(2 * n_networks)]
        floor = [
            sliced_wasserstein(a, b, generator=generator(seed, 2)).value
            for a, b in zip(fresh[::2], fresh[1::2], strict=True)
        ]
        rows: dict = {"floor": spread(floor), "sde": {"sigma_min": sde.sigma_min, "sigma_max": sde.sigma_max}}

        def distance(score: NoiseConditionalScore, sampled: Callable, truth: Tensor, m: int) -> tuple[int, float]:
            g = generator(seed, 100 * k + 10 + m)  # noqa: B023
            start = sde.prior.to(device).sample((n_points,), generator=g)  # noqa: B023
            chains = sampled(score, start, g)
            return chains.n_evaluations, sliced_wasserstein(chains.samples, truth, generator=generator(seed, 2)).value

        work = [
            (label, lambda s, x, g, entry=entry, n=n: entry.run(sde, s, x, n, g))  # noqa: B023
            for label, entry in {**FLOWS, **NOISY}.items()
            for n in dict.fromkeys(budget // entry.price for budget in budgets)
            if n >= 1
        ]
        work += [
            (ADAPTIVE, lambda s, x, g, tol=tol: probability_flow_adaptive(
                sde, s, x, 1.0, 0.0, rtol=tol, atol=tol * sde.sigma_min, progress=False  # noqa: B023
            ))
            for tol in TOLERANCES
        ]  # fmt: skip
        for label, sampled in tqdm(work, desc=name, unit="run", disable=not progress):
            found = [distance(s, sampled, truth, m) for m, (s, truth) in enumerate(zip(networks, fresh, strict=False))]
            row = {"evaluations": sum(n for n, _ in found) / len(found), **spread([d for _, d in found])}
            rows.setdefault(label, []).append(row)
        for label in ("flow, Heun", "reverse SDE, Heun"):
            most = max(budgets) // 2
            found = [
                distance(p.score, lambda s, x, g: {**FLOWS, **NOISY}[label].run(sde, s, x, most, g), truth, m)[1]  # noqa: B023
                for m, truth in enumerate(fresh[:n_networks])
            ]
            rows[f"exact score, {label}"] = {"evaluations": 2 * most, **spread(found)}
        numbers[name] = rows
    return Result("samplers", numbers, {})


_LINES = {
    "flow, Euler": ("#56B4E9", "o"), "DDIM": (plotting.NEUTRAL, "s"), "flow, Heun": (plotting.LEARNED, "D"),
    "flow, RK4": (plotting.OTHER, "^"), ADAPTIVE: ("#CC79A7", "*"),
    "reverse SDE, Euler": ("#56B4E9", "o"), "ancestral": (plotting.NEUTRAL, "s"),
    "reverse SDE, Heun": (plotting.LEARNED, "D"), "predictor-corrector": (plotting.OTHER, "^"),
    "annealed Langevin": ("#CC79A7", "*"),
}  # fmt: skip


def draw(result: Result) -> Figure:
    """A column a law; the samplers without noise above, those with noise below."""
    laws = [name for name in LAWS if name in result.numbers]
    with plotting.look():
        figure, axes = plt.subplots(
            2, len(laws), figsize=(4 + 4.4 * len(laws), 10), layout="constrained", squeeze=False, sharex=True,
            sharey="col",
        )  # fmt: skip
        families = (([*FLOWS, ADAPTIVE], "flow, Heun"), (list(NOISY), "reverse SDE, Heun"))
        for row, (family, exact) in zip(axes, families, strict=True):
            for ax, name in zip(row, laws, strict=True):
                _draw_panel(ax, result.numbers[name], family, exact)
            row[0].set_ylabel("sliced Wasserstein distance\nto fresh samples")
            row[-1].legend(frameon=False, fontsize=14, loc="center left", bbox_to_anchor=(1.0, 0.5))
        for ax, name in zip(axes[0], laws, strict=True):
            ax.set_title(name, fontweight="bold")
        for ax in axes[1]:
            ax.set_xlabel("evaluations of the score")
    return figure


def _draw_panel(ax: Axes, rows: dict, family: list[str], exact: str) -> None:
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
