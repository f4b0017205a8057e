"""Every objective on the same footing: trained on three laws, measured exactly, over several seeds."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Checkerboard, Density, Points, bandwidth, ring, two_modes
from toylab.densities.quadrature import fisher_information
from toylab.experiments.result import Result, generator
from toylab.metrics import Extent, fisher_divergence, fisher_divergence_by_region
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.objectives import (
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    Implicit,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoisePrediction,
    Sliced,
)
from toylab.schedules import geometric
from toylab.score import Score, at
from toylab.training import Spread, fit

_N_DATA, _N_LOSSES, _N_REPORTS, _CURVES_OF = 1000, 20_000, 25, "two_modes"
_LABELS = {"two_modes": "two modes", "ring": "ring of 8", "checkerboard": "checkerboard, noised at 0.1"}


def targets() -> dict[str, tuple[Density, Extent, float]]:
    """The laws, the square on which errors are measured, and the noise that denoising adds."""
    return {
        "two_modes": (two_modes(), (-8.0, 8.0, -8.0, 8.0), 0.5),
        "ring": (ring(), (-6.0, 6.0, -6.0, 6.0), 0.2),
        "checkerboard": (Checkerboard().noised(0.1), (-5.0, 5.0, -5.0, 5.0), 0.1),
    }


@dataclass(frozen=True)
class Entry:
    """An objective with the settings it is trained with.

    Attributes:
        objective: made for a law.
        sigma: whose score it learns: that of p_sigma.
        network: drawn from a generator.
        score: of the trained network, a function of x alone.
        n_steps: optimiser steps.
        batch_size: points a step.
        average: decay of the weight average.
    """

    objective: Callable
    sigma: float
    network: Callable[[torch.Generator], nn.Module]
    score: Callable[[Callable, nn.Module], Score]
    n_steps: int
    batch_size: int
    average: float = 0.995


def entries(density: Density, sigma: float, gen: torch.Generator) -> dict[str, Entry]:
    """All objectives for a law, with their settings: Adam, one-cycle rate up to 0.01, weight average 0.995.

    Losses that differentiate the network get one with softplus, the others one with SiLU and more steps, for these
    cost less. ``gen`` draws the data of the kernel estimate.
    """
    data = density.sample((_N_DATA,), generator=gen)
    levels = geometric(8.0, 0.1, 20)

    def smooth(g: torch.Generator) -> nn.Module:
        return ScoreMLP(generator=g)

    def quick(g: torch.Generator) -> nn.Module:
        return ScoreMLP(activation=functional.silu, generator=g)

    def conditional(g: torch.Generator) -> nn.Module:
        return NoiseConditionalMLP(gain=3.0, generator=g)

    def itself(objective: Callable, network: nn.Module) -> Score:
        return network

    def lowest(objective: Callable, network: nn.Module) -> Score:
        return at(network, float(levels[-1]))

    def converted(objective: NoisePrediction, network: nn.Module) -> Score:
        return objective.score(network)

    kernel = Points(data).noised(bandwidth.leave_one_out(data))
    level = float(levels[-1])
    return {
        "explicit": Entry(Explicit(density.score), 0.0, quick, itself, 2000, 512),
        "explicit, kernel estimate of 1,000 points": Entry(Explicit(kernel.score), 0.0, quick, itself, 2000, 256),
        "implicit": Entry(Implicit(), 0.0, smooth, itself, 1500, 320),
        "sliced, variance-reduced": Entry(Sliced(), 0.0, smooth, itself, 1500, 512),
        "sliced, plain": Entry(Sliced(variance_reduced=False), 0.0, smooth, itself, 1500, 512),
        "sliced, finite differences": Entry(FiniteDifferenceSliced(), 0.0, smooth, itself, 2000, 512),
        f"denoising {sigma}": Entry(Denoising(sigma), sigma, quick, itself, 2500, 512),
        f"denoising {sigma}, antithetic": Entry(Denoising(sigma, antithetic=True), sigma, quick, itself, 3000, 256),
        f"noise prediction {sigma}": Entry(NoisePrediction(sigma), sigma, quick, converted, 3000, 512),
        f"noise-conditional, at {level:g}": Entry(
            NoiseConditional(levels, antithetic=True), level, conditional, lowest, 2000, 256
        ),
        f"noise-conditional explicit, at {level:g}": Entry(
            NoiseConditionalExplicit(density.score, levels), level, conditional, lowest, 2000, 256
        ),
    }


def run(
    *,
    seed: int = 0,
    n_seeds: int = 5,
    device: torch.device | str = "cpu",
    progress: bool = True,
    only: tuple[str, ...] | None = None,
    share: float = 1.0,
) -> Result:
    """Train every objective on every law, once a seed, and measure each network exactly.

    Args:
        seed: of the whole experiment.
        n_seeds: trainings of each objective on each law.
        device: where the training runs.
        progress: show a progress bar over all trainings.
        only: names of the laws, of ``targets``; None is all.
        share: of the optimiser steps to take; 1 is what the numbers in the documentation were made with.
    """
    chosen = {name: target for name, target in targets().items() if only is None or name in only}
    # torch loads parts of itself at the first optimiser and the first forward-mode pass: before any clock starts
    fit(ScoreMLP(generator=generator(seed, 99)), Implicit(), two_modes(), n_steps=1, device=device, progress=False)
    numbers, arrays = {}, {}
    made = {name: entries(density, sigma, generator(seed, 98)) for name, (density, _, sigma) in chosen.items()}
    with tqdm(total=n_seeds * sum(map(len, made.values())), desc="objectives", disable=not progress) as shown:
        for name, (density, extent, _) in chosen.items():
            numbers[name] = {}
            for label, entry in made[name].items():
                rows = []
                for k in range(n_seeds):
                    row, curves = _train(entry, density.to(device), extent, generator(seed, k), device, share,
                                         with_curves=k == 0 and name == _CURVES_OF)  # fmt: skip
                    rows.append(row)
                    arrays.update({f"{label}/{key}": values for key, values in curves.items()})
                    shown.update()
                information = fisher_information(density, entry.sigma)
                numbers[name][label] = {
                    "sigma": entry.sigma,
                    "n_steps": max(1, round(share * entry.n_steps)),
                    "batch_size": entry.batch_size,
                    "half_fisher_information": 0.5 * information,
                    **{key: [row[key] for row in rows] for key in rows[0]},
                }
    return Result("objectives", numbers, arrays)


def _train(
    entry: Entry,
    density: Density,
    extent: Extent,
    gen: torch.Generator,
    device: torch.device | str,
    share: float,
    *,
    with_curves: bool,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """One training: its numbers, and for the figure its history."""

    def divergence(network: nn.Module) -> float:
        return fisher_divergence(entry.score(entry.objective, network), density, entry.sigma)

    n_steps = max(1, round(share * entry.n_steps))
    result = fit(
        entry.network(gen), entry.objective, density, n_steps=n_steps, batch_size=entry.batch_size,
        learning_rate=0.01, average=entry.average, report_every=max(1, n_steps // _N_REPORTS),
        held_out=divergence if with_curves else None, generator=gen, device=device, progress=False,
    )  # fmt: skip
    score = entry.score(entry.objective, result.network)
    j = fisher_divergence_by_region(score, density, extent, sigma=entry.sigma)
    x = density.sample((_N_LOSSES,), generator=gen)
    with torch.no_grad():
        losses = entry.objective(result.network, x, generator=gen)
    row = {
        "fisher_divergence": j.overall,
        "inside": j.inside,
        "outside": j.outside,
        "outside_area": j.outside_area,
        "seconds": float(result.history.seconds[-1]),
        "loss_std": float(losses.std()),
    }
    history = result.history
    curves = {
        "steps": history.steps.numpy(),
        "loss_and_offset": history.fisher_divergence.numpy(),
        "held_out": history.held_out.numpy(),
    }
    return row, curves if with_curves else {}


def table(result: Result) -> str:
    """The numbers as Markdown, a table a law: mean ± standard deviation over the seeds."""
    parts = []
    for name, rows in result.numbers.items():
        if name == "made with":
            continue
        parts.append(f"**{_LABELS[name]}**\n")
        parts.append(
            "| objective | steps × batch | of ½ I(p_σ), % | where 95 % of the mass is | outside, by mass "
            "| outside, by area | seconds | sd of a loss |"
        )
        parts.append("|---|---|---|---|---|---|---|---|")
        for label, row in rows.items():
            relative = [100 * j / row["half_fisher_information"] for j in row["fisher_divergence"]]
            cells = [f"{row['n_steps']} × {row['batch_size']}", _spread(relative)]
            cells += [_spread(row[key]) for key in ("inside", "outside", "outside_area", "seconds", "loss_std")]
            parts.append(f"| {label} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def _spread(values: list[float]) -> str:
    mean = statistics.mean(values)
    digits = max(0, 1 - int(np.floor(np.log10(abs(mean))))) if mean else 2
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def draw(result: Result) -> Figure:
    """One panel an objective, all on one axis: mean loss + offset beside the exact divergence of the same network."""
    labels = [key.removesuffix("/steps") for key in result.arrays if key.endswith("/steps")]
    labels = [label for label in labels if not label.startswith("noise")]  # these count another divergence
    with plotting.look():
        figure, axes = plt.subplots(2, 4, figsize=(18, 8.4), layout="constrained", sharey=True)
        for ax, label in zip(axes.flat, labels, strict=False):
            steps, estimate, exact = (
                result.arrays[f"{label}/{key}"] for key in ("steps", "loss_and_offset", "held_out")
            )
            ax.plot(steps, estimate, color=plotting.LEARNED, marker="o", ms=5, lw=0, label="mean loss + offset")
            ax.plot(steps, exact, color=plotting.EXACT, lw=2.5, label="exact, held out")
            ax.axhline(0.0, color="0.8", lw=1, zorder=0)
            ax.set_yscale("symlog", linthresh=0.01)
            ends = Spread(tuple(result.numbers[_CURVES_OF][label]["fisher_divergence"]))
            ax.set_title(f"{label}\n{len(ends.values)} seeds: {ends.mean:.2g} ± {ends.std:.1g}")
        for ax in axes[:, 0]:
            ax.set_ylabel("Fisher divergence")
        for ax in axes[-1]:
            ax.set_xlabel("step")
        axes.flat[0].legend(frameon=False, loc="upper right")
        figure.suptitle(
            f"{_LABELS[_CURVES_OF]}: every loss plus its offset is the same divergence, read with more or less noise"
        )
    return figure
