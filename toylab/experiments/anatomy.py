"""What a learned field is made of: its curl, and whether its noise levels belong to one density."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.nn import functional
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Noised, two_modes
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import WIDE_BOX, Numbers, generator, spread
from toylab.metrics import Extent, curl, fisher_divergence, fokker_planck_residual, grid_points
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import Denoising, LogUniform, NoiseConditional
from toylab.score import at
from toylab.training import fit

SIGMA = 0.5
LEVELS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
MAPPED = (0.2, 1.0, 5.0)  # levels whose residual is drawn over the plane
_CONTOUR_CELLS = 90


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_training_steps: int = 2000,
    n_networks: int = 3,
    n_points: int = 2000,
    n_cells: int = 90,
) -> Result:
    """Train a free network and an energy network on ``two_modes`` noised by 0.5, and a noise-conditional one.

    Measured are the curl of the first two and, at several levels, the residual of the score Fokker-Planck equation for
    the third, beside those of the exact score. Means over draws of the noised density are root mean squares.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_training_steps: optimiser steps.
        n_networks: of each kind; the first is drawn, all give the spread.
        n_points: draws of the noised density for the means.
        n_cells: cells per side of the maps.
    """
    p = two_modes().to(device)
    gen = generator(seed, 0, device)
    train = partial(
        fit, n_steps=n_training_steps, n_seeds=n_networks, generator=gen, device=device, progress=progress
    )  # fmt: skip
    cells = grid_points(WIDE_BOX, n_cells, dtype=torch.float64).to(device)
    x = Noised(p, SIGMA).sample((n_points,), generator=generator(seed, 1, device)).double()
    numbers: Numbers = {}
    arrays: Arrays = {}
    for name, network in (
        ("free network", ScoreMLP(activation=functional.silu, generator=gen)),
        ("energy network", EnergyMLP(activation=functional.silu, generator=gen)),
    ):
        if progress:
            tqdm.write(f"anatomy: {name}")
        trained = [one.double() for one in train(network, Denoising(SIGMA, antithetic=True), p).networks]
        arrays[name] = curl(trained[0], cells).detach().cpu().numpy()
        numbers[name] = {
            "curl": spread([_root_mean_square(curl(one, x)) for one in trained]),
            "fisher_divergence": spread([fisher_divergence(one, p.to(torch.float64), SIGMA) for one in trained]),
        }
    if progress:
        tqdm.write("anatomy: noise-conditional networks")
    conditional = train(
        NoiseConditionalMLP(generator=gen), NoiseConditional(LogUniform(0.05, 20.0), antithetic=True), p,
        batch_size=512, learning_rate=3e-3,
    ).networks  # fmt: skip
    numbers["residual"] = {}
    for sigma in LEVELS:
        x = Noised(p, sigma).sample((n_points,), generator=generator(seed, 2, device)).double()
        size = _root_mean_square(p.score(x, sigma))
        learned = [_root_mean_square(fokker_planck_residual(one.double(), x, sigma)) for one in conditional]
        off = [_root_mean_square(at(one, sigma)(x) - p.score(x, sigma)) for one in conditional]
        numbers["residual"][str(sigma)] = {
            "learned": spread([value * sigma**2 / size for value in learned]),
            "exact": _root_mean_square(fokker_planck_residual(p.score, x, sigma)) * sigma**2 / size,
            "error": spread([value / size for value in off]),
        }
        if sigma in MAPPED:
            wide = grid_points(_window(sigma), n_cells, dtype=torch.float64).to(device)
            residual = fokker_planck_residual(conditional[0].double(), wide, sigma).detach()
            arrays[f"residual/{sigma}"] = (residual.norm(dim=-1) * sigma**2 / size).cpu().numpy()
    return Result("anatomy", numbers, arrays)


def _window(sigma: float) -> Extent:
    """The square that ``two_modes`` noised by sigma fills."""
    reach = WIDE_BOX[1] + 2 * sigma
    return (-reach, reach, -reach, reach)


def _contours(ax: Axes, extent: Extent, sigma: float) -> None:
    """The noised density at one, two, three and four standard deviations of a Gaussian."""
    cells = grid_points(extent, _CONTOUR_CELLS, dtype=torch.float64)
    depth = two_modes().log_prob(cells, sigma)
    ax.contour(
        cells[..., 0], cells[..., 1], depth - depth.max(), levels=[-8, -4.5, -2, -0.5], colors=plotting.EXACT,
        linewidths=1, linestyles="solid",
    )  # fmt: skip


def _root_mean_square(values: torch.Tensor) -> float:
    """Of numbers [n], or of the lengths of vectors [n, 2]."""
    squares = values.detach().square()
    return float((squares if squares.ndim == 1 else squares.sum(-1)).mean().sqrt())


def draw(result: Result) -> Figure:
    """Two maps of the curl; the residual against the noise level, and over the plane at three levels."""
    with plotting.look():
        figure, (above, below) = plt.subplots(2, 3, figsize=(17, 11), layout="constrained")
        top = float(np.quantile(np.abs(result.arrays["free network"]), 0.98))
        for ax, name, title in zip(
            above, ("free network", "energy network"), ("a free network", "an energy network"), strict=False
        ):
            image = ax.imshow(
                np.abs(result.arrays[name]), origin="lower", extent=WIDE_BOX, cmap=plotting.ERROR_MAP, vmin=0, vmax=top
            )
            _contours(ax, WIDE_BOX, SIGMA)
            found = result.numbers[name]
            ax.set_title(f"|curl| of {title}", color=plotting.LEARNED, fontweight="bold")
            ax.set_xlabel(
                f"root mean square {found['curl']['mean']:.2g} ± {found['curl']['std']:.1g}\n"
                f"Fisher divergence {found['fisher_divergence']['mean']:.2g} ± {found['fisher_divergence']['std']:.1g}",
                fontsize=14,
            )
        figure.colorbar(image, ax=above[1], shrink=0.8, extend="max", label="|curl|")
        rows = result.numbers["residual"]
        _draw_residual(above[2], rows)
        for ax, sigma in zip(below, MAPPED, strict=True):
            extent = _window(sigma)
            image = ax.imshow(
                result.arrays[f"residual/{sigma}"], origin="lower", extent=extent, cmap=plotting.ERROR_MAP, vmin=0,
                vmax=0.5,
            )  # fmt: skip
            _contours(ax, extent, sigma)
            ax.set_title(f"residual, learned, σ = {sigma:g}", color=plotting.LEARNED, fontweight="bold")
            found = rows[str(sigma)]["learned"]
            ax.set_xlabel(f"root mean square {found['mean']:.2g} ± {found['std']:.1g} of the score", fontsize=14)
        figure.colorbar(image, ax=below[2], shrink=0.8, extend="max", label="residual / score")
        for ax in (*above[:2], *below):
            step = 5 if ax.get_xlim()[1] < 12 else 10
            ax.set(xticks=[-step, 0, step], yticks=[-step, 0, step])
    return figure


def _draw_residual(ax: Axes, rows: Numbers) -> None:
    sigmas = [float(sigma) for sigma in rows]
    for key, color, marker, label in (
        ("learned", plotting.LEARNED, "o", "learned: residual"),
        ("error", plotting.ERROR, "s", "learned: error of the score"),
    ):
        means, stds = ([row[key][what] for row in rows.values()] for what in ("mean", "std"))
        ax.errorbar(sigmas, means, yerr=stds, color=color, marker=marker, lw=2, ms=8, capsize=4, label=label)
    most = max(row["exact"] for row in rows.values())
    ax.text(
        0.03, 0.04, f"exact score: residual below {most:.0e}", color=plotting.EXACT, transform=ax.transAxes,
        fontweight="bold",
    )  # fmt: skip
    ax.set(xscale="log", yscale="log", ylim=(8e-3, 1.0), xlabel="noise level σ", ylabel="relative to the score")
    ax.set_title("residual of the score\nFokker-Planck equation", fontweight="bold")
    ax.legend(frameon=False, loc="upper left")
