"""Every objective on the same footing: trained, and measured exactly by what it stands for, several networks each."""

import math
import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import nn
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import two_modes
from toylab.densities.quadrature import fisher_information
from toylab.experiments import own_errors, trained_objectives
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator, scaled_count, spread
from toylab.experiments.trained_objectives import Target, Training
from toylab.metrics import fisher_divergence, fisher_divergence_by_region
from toylab.networks import ScoreMLP
from toylab.objectives import Implicit
from toylab.training import fit

_N_LOSSES, _N_REPORTS = 20_000, 25
_BY_REGION = ("of ½ I(p_σ), %", "where 95 % of the mass is", "outside, by mass", "outside, by area")
_OWN = ("of that of s = 0, %", "error")
_DRAWN = ("explicit", "implicit", "sliced", "denoising")  # loss + offset of the others is another divergence, or none


def targets() -> dict[str, Target]:
    """The densities of all that learn the score of p_sigma, then those of objectives with an error of their own."""
    return trained_objectives.targets() | own_errors.targets()


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_networks: int = 5,
    share: float = 1.0,
    n_cells: int = 500,
    densities: tuple[str, ...] = ("two_modes", "ring", "checkerboard", "cut", "all_levels", "classes"),
) -> Result:
    """Train the objectives of every density, and measure each network exactly.

    Args:
        seed: of the whole experiment.
        device: where the training runs.
        progress: show a progress bar over all trainings.
        n_networks: trainings of each objective on each density.
        share: of the optimiser steps to take; 1 is what the numbers in the documentation were made with.
        n_cells: cells per side of the square over which inside and outside are summed.
        densities: names of ``targets``; the curves that are drawn are of the first.
    """
    chosen = {name: targets()[name].to(device) for name in densities}
    # torch loads parts of itself at the first optimiser and the first forward-mode pass: before any clock starts
    first = ScoreMLP(generator=generator(seed, 99, device))
    fit(first, Implicit(), two_modes(), n_steps=1, device=device, progress=False)
    numbers: Numbers = {}
    arrays: Arrays = {}
    made = {
        name: target.trainings(target.density, target.sigma, generator(seed, 98, device))
        for name, target in chosen.items()
    }
    with tqdm(total=n_networks * sum(map(len, made.values())), desc="objectives", disable=not progress) as shown:
        for name, target in chosen.items():
            numbers[name] = {}
            for label, training in made[name].items():
                n_steps, rows = scaled_count(training.n_steps, share), []
                for k in range(n_networks):
                    drawn = label.startswith(_DRAWN) and training.error is None
                    with_curves = drawn and k == 0 and name == densities[0]
                    gen = generator(seed, k, device)
                    row, curves = _train(training, n_steps, target, n_cells, gen, device, with_curves=with_curves)
                    rows.append(row)
                    arrays.update({f"{label}/{key}": values for key, values in curves.items()})
                    shown.update()
                numbers[name][label] = {
                    "sigma": training.sigma,
                    "n_steps": n_steps,
                    "batch_size": training.batch_size,
                    **_unit(training, target),
                    **{key: [row[key] for row in rows] for key in rows[0]},
                }
    return Result("objectives", numbers, arrays)


def _unit(training: Training, target: Target) -> dict[str, float]:
    """The error of the score 0."""
    if training.error is not None:
        return {"error_of_nothing": training.error(own_errors.nothing)}
    return {"half_fisher_information": 0.5 * fisher_information(target.density, training.sigma)}


def _train(
    training: Training,
    n_steps: int,
    target: Target,
    n_cells: int,
    gen: torch.Generator,
    device: torch.device | str,
    *,
    with_curves: bool,
) -> tuple[dict[str, float], Arrays]:
    """One training: its numbers, and for the figure its history."""
    density = target.density

    def divergence(network: nn.Module) -> float:
        return fisher_divergence(training.score(network), density, training.sigma)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the data end at a wall")  # what becomes of that is a row
        result = fit(
            training.network(gen), training.objective, density, n_steps=n_steps, batch_size=training.batch_size,
            learning_rate=0.01, average=training.average, report_every=max(1, n_steps // _N_REPORTS),
            held_out=divergence if with_curves else None, generator=gen, device=device, progress=False,
        )  # fmt: skip
    row = _measured(training, target, result.network, n_cells)
    x = density.sample((_N_LOSSES,), generator=gen)
    with torch.no_grad():
        losses = training.objective(result.network, x, generator=gen)
    row |= {"seconds": float(result.history.seconds[-1]), "loss_std": float(losses.std())}
    history = result.history
    curves = {
        "steps": history.steps.numpy(),
        "loss_and_offset": history.fisher_divergence.numpy(),
        "held_out": history.held_out.numpy(),
    }
    return row, curves if with_curves else {}


@torch.no_grad()
def _measured(training: Training, target: Target, network: nn.Module, n_cells: int) -> dict[str, float]:
    """What the objective stands for, exactly; if it is a Fisher divergence, by region, too."""
    score = training.score(network)
    if training.error is not None:
        return {"error": training.error(score)}
    j = fisher_divergence_by_region(score, target.density, target.extent, sigma=training.sigma, n=n_cells)
    return {
        "fisher_divergence": j.overall,
        "inside": j.inside,
        "outside": j.outside,
        "outside_area": j.outside_area,
    }


def table(result: Result) -> str:
    """The numbers as Markdown, one table per density: mean ± standard deviation over the networks."""
    labels, parts = {name: target.label for name, target in targets().items()}, []
    for name, rows in result.numbers.items():
        if name == "made with":
            continue
        by_region = "inside" in next(iter(rows.values()))
        heads = ["objective", "steps × batch", *(_BY_REGION if by_region else _OWN), "seconds", "sd of a loss"]
        parts += [f"**{labels[name]}**\n", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for label, row in rows.items():
            cells = [f"{row['n_steps']} × {row['batch_size']}", _mean_and_std(_relative(row))]
            errors = ("inside", "outside", "outside_area") if by_region else ("error",)
            cells += [_mean_and_std(row[key]) for key in (*errors, "seconds", "loss_std")]
            parts.append(f"| {label} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def _relative(row: Numbers) -> list[float]:
    """The error of each network, in per cent of that of the score 0."""
    if "error" in row:
        return [100 * error / row["error_of_nothing"] for error in row["error"]]
    return [100 * j / row["half_fisher_information"] for j in row["fisher_divergence"]]


def _mean_and_std(values: Sequence[float]) -> str:
    """With two digits of the mean; the mean alone of a single value."""
    found = spread(values)
    digits = max(0, 1 - math.floor(math.log10(abs(found["mean"])))) if found["mean"] else 2
    mean, std = (f"{found[key]:.{digits}f}" for key in ("mean", "std"))
    return mean if len(values) < 2 else f"{mean} ± {std}"


def draw(result: Result) -> Figure:
    """The curves of the first density; of objectives with an error of their own, that error of each network."""
    labels = [key.removesuffix("/steps") for key in result.arrays if key.endswith("/steps")]
    return _draw_curves(result, labels) if labels else _draw_errors(result)


def _draw_curves(result: Result, labels: Sequence[str]) -> Figure:
    """One panel per objective, all on one axis: mean loss + offset beside the exact divergence of the same network."""
    name = next(iter(result.numbers))
    with plotting.look():
        figure, axes = plt.subplots(2, 4, figsize=(18, 8.4), layout="constrained", sharey=True)
        for ax, label in zip(axes.flat, labels, strict=True):
            steps, estimate, exact = (
                result.arrays[f"{label}/{key}"] for key in ("steps", "loss_and_offset", "held_out")
            )
            ax.plot(steps, estimate, color=plotting.LEARNED, marker="o", ms=5, lw=0, label="mean loss + offset")
            ax.plot(steps, exact, color=plotting.EXACT, lw=2.5, label="exact, held out")
            ax.axhline(0.0, color="0.8", lw=1, zorder=0)
            ax.set_yscale("symlog", linthresh=0.01)
            ends = spread(result.numbers[name][label]["fisher_divergence"])
            ax.set_title(f"{label}\n{len(ends['values'])} seeds: {ends['mean']:.2g} ± {ends['std']:.1g}")
        for ax in axes[:, 0]:
            ax.set_ylabel("Fisher divergence (linear below 0.01)")
        for ax in axes[-1]:
            ax.set_xlabel("step")
        axes.flat[0].legend(frameon=False, loc="upper right")
        figure.suptitle(
            f"{targets()[name].label}: every loss plus its offset is the same divergence, read with more or less noise"
        )
    return figure


def _draw_errors(result: Result) -> Figure:
    """One panel per density, a dot per network."""
    known = {name: target.label for name, target in targets().items()}
    names = [name for name in result.numbers if name in known]
    with plotting.look():
        size = (10, 1.6 + 2.2 * len(names))
        figure, axes = plt.subplots(len(names), 1, figsize=size, layout="constrained", squeeze=False, sharex=True)
        for ax, name in zip(axes.flat, names, strict=True):
            for k, (label, row) in enumerate(result.numbers[name].items()):
                found = spread(_relative(row))
                ax.plot(found["values"], [k] * len(found["values"]), color=plotting.LEARNED, marker="o", ms=7, lw=0)
                ax.annotate(
                    f"{label}: {found['mean']:.2g} ± {found['std']:.1g} %", (0.01, k - 0.25),
                    xycoords=("axes fraction", "data"), va="bottom", fontsize=11,
                )  # fmt: skip
            ax.axvline(100.0, color="0.8", lw=1, zorder=0)
            ax.set(xscale="log", yticks=[], ylim=(len(result.numbers[name]) - 0.5, -0.8), title=known[name])
        axes.flat[-1].set_xlabel("error of each network, in per cent of that of s = 0")
    return figure
