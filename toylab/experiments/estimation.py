"""Figure 2: the exact score, the score learned by sliced score matching, and their difference."""

import time
from functools import partial

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Density, two_modes
from toylab.experiments import fields
from toylab.experiments.reference_training import train_as_the_reference
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator, spread
from toylab.metrics import Extent, error_map, fisher_divergence, fisher_divergence_by_region, grid_points
from toylab.metrics.evaluate import evaluate
from toylab.networks import ScoreMLP
from toylab.objectives import Sliced
from toylab.training import fit

_ARROWS, _CELLS, _DATA = 16, 100, 1280


def targets() -> dict[str, tuple[Density, Extent]]:
    """Three of the densities of Figure 1, whose score is learned, and the square each is shown on."""
    return {name: target for name, target in fields.targets().items() if name != "ring of 8"}


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_training_steps: int = 300,
    n_reference_steps: int = 10_000,
    n_networks: int = 3,
) -> Result:
    """Train one network per target, and the reference settings on ``two modes``; measure both against the truth.

    The network that is timed and drawn is trained alone; the others of its spread, side by side.

    Args:
        seed: of the whole experiment.
        device: where the training runs.
        progress: show progress bars.
        n_training_steps: optimiser steps of ours (batches of 512, one-cycle rate up to 0.02, averaged weights).
        n_reference_steps: optimiser steps at the reference settings.
        n_networks: trainings per target, over which the divergence has its mean and standard deviation; at least 2.
    """
    # torch loads parts of itself at the first optimiser and the first forward-mode pass: before any clock starts
    fit(ScoreMLP(generator=generator(seed, 9)), Sliced(), two_modes(), n_steps=1, device=device, progress=False)
    numbers: Numbers = {}
    arrays: Arrays = {}
    for stage, (name, (density, extent)) in enumerate(targets().items()):
        density, gen = density.to(device), generator(seed, stage, device)
        if progress:
            tqdm.write(f"estimation: {name}")
        train = partial(
            fit, n_steps=n_training_steps, batch_size=512, learning_rate=0.02, device=device, progress=progress
        )  # fmt: skip
        start = time.perf_counter()
        network = train(ScoreMLP(generator=gen), Sliced(), density, generator=gen).network
        seconds = time.perf_counter() - start
        numbers[name] = {"extent": list(extent), **_measure(network, density, extent), "training_seconds": seconds}
        other_gen = generator(seed, 20 + stage, device)
        others = train(
            ScoreMLP(generator=other_gen), Sliced(), density, n_seeds=max(1, n_networks - 1), generator=other_gen
        ).networks
        divergences = [numbers[name]["fisher_divergence"], *(fisher_divergence(one, density) for one in others)]
        numbers[name]["fisher_divergence_over_seeds"] = spread(divergences)
        arrays.update({f"{name}/{key}": value for key, value in _pictures(network, density, extent, gen).items()})
        numbers[name]["longest_arrow"] = float(
            torch.as_tensor(arrays[f"{name}/exact"], device="cpu").norm(dim=-1).max()
        )

    gen, density = generator(seed, 10, device), two_modes().to(device)
    start = time.perf_counter()
    reference = train_as_the_reference(
        density, n_steps=n_reference_steps, generator=gen, device=device, progress=progress
    )
    seconds = time.perf_counter() - start
    numbers["reference settings, two modes"] = {
        "fisher_divergence": fisher_divergence(reference, density),
        "training_seconds": seconds,
        "our_share_of_its_time": numbers["two modes"]["training_seconds"] / seconds,
    }
    return Result("estimation", numbers, arrays)


def _measure(network: nn.Module, density: Density, extent: Extent) -> dict[str, float]:
    j = fisher_divergence_by_region(network, density, extent)
    return {
        "fisher_divergence": j.overall,
        "fisher_divergence_where_95_percent_of_the_mass_is": j.inside,
        "fisher_divergence_on_the_rest_of_the_square": j.outside,
        "half_squared_error_averaged_over_the_area_of_the_rest": j.outside_area,
    }


def _pictures(network: nn.Module, density: Density, extent: Extent, gen: torch.Generator) -> Arrays:
    x: Tensor = grid_points(extent, _ARROWS, dtype=torch.float64)
    with torch.no_grad():
        exact, estimate = density.score(x), evaluate(network, density, x)
    return {
        "exact": exact.numpy(),
        "learned": estimate.numpy(),
        "error": error_map(network, density, extent, _CELLS).numpy(),
        "data": density.sample((_DATA,), generator=gen).cpu().numpy(),
    }


def draw(result: Result) -> Figure:
    """Three rows (exact, learned, difference), one column per target, all arrows of a column on one scale."""
    names = list(targets())
    with plotting.look():
        figure, axes = plt.subplots(3, len(names), figsize=(4.7 * len(names) + 0.8, 15.6), layout="constrained")
        for column, name in zip(axes.T, names, strict=True):
            _draw_column(figure, column, name, result)
        for ax, label, color in zip(
            axes[:, 0],
            ("exact score", "learned score\n(sliced score matching)", "difference"),
            (plotting.EXACT, plotting.LEARNED, plotting.ERROR),
            strict=True,
        ):
            ax.set_ylabel(label, color=color, fontsize=17, fontweight="bold")
        figure.suptitle("Where there are no data (dots), the learned score is wrong")
    return figure


def _draw_column(figure: Figure, column: list[Axes], name: str, result: Result) -> None:
    panel, arrays = (
        result.numbers[name],
        {key: result.arrays[f"{name}/{key}"] for key in ("exact", "learned", "error", "data")},
    )
    extent, longest = tuple(panel["extent"]), panel["longest_arrow"]
    image = plotting.error_heat_map(arrays["error"], extent, ax=column[2]).images[-1]
    figure.colorbar(image, ax=column[2], location="bottom", shrink=0.8, label="|learned − exact|")
    fields = (arrays["exact"], arrays["learned"], arrays["learned"] - arrays["exact"])
    colors = (plotting.EXACT, plotting.LEARNED, plotting.ERROR)
    for ax, field, color in zip(column, fields, colors, strict=True):
        ax.scatter(arrays["data"][:, 0], arrays["data"][:, 1], s=4, color=plotting.NEUTRAL, alpha=0.25, linewidths=0)
        plotting.score_field(field, extent, longest=longest, color=color, ax=ax)
        ax.set(xticks=[], yticks=[])
    column[0].set_title(f"{name}\nlongest arrow: |s| = {longest:.1f}")
    over = panel["fisher_divergence_over_seeds"]
    column[1].set_title(
        f"Fisher divergence: {panel['fisher_divergence']:.4f}\n"
        f"{len(over['values'])} trainings: {over['mean']:.4f} ± {over['std']:.4f}"
    )
    column[2].set_title(
        f"where 95 % of the mass is: {panel['fisher_divergence_where_95_percent_of_the_mass_is']:.4f}\n"
        f"rest of the square: {panel['fisher_divergence_on_the_rest_of_the_square']:.4f}\n"
        f"rest, by area: {panel['half_squared_error_averaged_over_the_area_of_the_rest']:.2f}"
    )
