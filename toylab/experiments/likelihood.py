"""The likelihood map: the log-density of a learned score by its probability flow, beside the exact one."""

from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from toylab import plotting
from toylab.densities import Density, Noised, ring, two_modes
from toylab.experiments.conditional import conditional_networks
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import AXIS_STD, RING_BOX, WIDE_BOX, Numbers, generator, spread
from toylab.metrics import Extent, grid_points, mean_of
from toylab.samplers import log_likelihood, prior_mismatch
from toylab.sde import VE

DENSITIES: dict[str, tuple[Density, Extent]] = {"two modes": (two_modes(), WIDE_BOX), "ring": (ring(), RING_BOX)}
"""The densities, and the squares that are drawn."""

_DEEP = 30.0  # log p is drawn down to this much below its maximum


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_cells: int = 56,
    n_points: int = 1000,
    n_networks: int = 3,
    n_training_steps: int = 3000,
    rtol: float = 1e-5,
) -> Result:
    """Train noise-conditional networks, and follow their flow from every cell of a map to the prior.

    The SDE is variance exploding, from 0.05 to 20 times the standard deviation of the density, which at t = 0 is noised
    by 0.05. The error of the prior is part of the learned density, and so of its KL; along the exact flow it is kept
    apart as ``prior_mismatch``, and what remains is the solver's error.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_cells: cells per side of the map.
        n_points: draws of the density, for KL(p || q) = E[log p - log q].
        n_networks: networks per density; the first is drawn, the others give the spread of KL.
        n_training_steps: optimiser steps.
        rtol: relative and absolute tolerance of the solver.
    """
    numbers: Numbers = {}
    arrays: Arrays = {}
    for k, (name, (density, extent)) in enumerate(DENSITIES.items()):
        std = AXIS_STD[name]
        p, sde = density.to(device), VE(0.05, 20 * std)
        follow = partial(log_likelihood, sde, rtol=rtol, atol=rtol)
        trained = conditional_networks(
            f"likelihood, {name}", p, std=std, low=sde.sigma_min, high=sde.sigma_max, n_steps=n_training_steps,
            n_networks=n_networks, generator=generator(seed, 100 * k, device), device=device, progress=progress,
        )  # fmt: skip
        networks = [network.double() for network in trained]
        cells = grid_points(extent, n_cells, dtype=torch.float64).to(device)
        exact = p.log_prob(cells, sde.sigma_min)
        learned = follow(networks[0], cells.view(-1, 2))
        arrays[f"{name}/exact"] = exact.cpu().numpy()
        arrays[f"{name}/learned"] = learned.log_prob.view(n_cells, n_cells).cpu().numpy()
        x = Noised(p, sde.sigma_min).sample((n_points,), generator=generator(seed, 100 * k + 1, device)).double()
        truth = p.log_prob(x, sde.sigma_min)
        by_flow = follow(p.score, x)
        mismatch = prior_mismatch(sde, p, by_flow.end)
        gaps = [mean_of(truth - follow(network, x).log_prob) for network in networks]
        numbers[name] = {
            "kl": {**spread([gap.value for gap in gaps]), "standard_error": gaps[0].standard_error},
            "prior_mismatch": {"mean": float(mismatch.mean()), "least": float(mismatch.min()),
                               "most": float(mismatch.max())},
            "solver_error": float((by_flow.log_prob + mismatch - truth).abs().max()),
            "evaluations": learned.n_evaluations,
            "points": n_points,
            "sigma_min": sde.sigma_min,
            "rtol": rtol,
        }  # fmt: skip
    return Result("likelihood", numbers, arrays)


def draw(result: Result) -> Figure:
    """One row per density: exact log p, learned log p, their difference where p is not negligible."""
    with plotting.look():
        figure, axes = plt.subplots(
            len(result.numbers), 3, figsize=(15, 5.6 * len(result.numbers)), layout="constrained"
        )
        for row, (name, numbers) in zip(axes.reshape(-1, 3), result.numbers.items(), strict=True):
            extent, exact, learned = (
                DENSITIES[name][1],
                result.arrays[f"{name}/exact"],
                result.arrays[f"{name}/learned"],
            )
            top = float(exact.max())
            for ax, values, title, color in (
                (row[0], exact, f"{name}: exact log p", plotting.EXACT),
                (row[1], learned, "log p by the learned flow", plotting.LEARNED),
            ):
                image = _log_density(ax, values, top, extent)
                ax.set_title(title, color=color, fontweight="bold")
            bar = figure.colorbar(image, ax=row[1], shrink=0.8, label="log p below its maximum")
            bar.set_ticks([-np.sqrt(deep) for deep in (0, 1, 4, 9, 16, 25)], labels=["0", "1", "4", "9", "16", "25"])
            gap = np.where(exact > top - _DEEP, learned - exact, np.nan)
            image = row[2].imshow(gap, origin="lower", extent=extent, cmap="PRGn", vmin=-2, vmax=2)
            figure.colorbar(image, ax=row[2], shrink=0.8, label="learned - exact log p", extend="both")
            row[2].set_title("learned - exact", color=plotting.ERROR, fontweight="bold")
            kl, mismatch = numbers["kl"], numbers["prior_mismatch"]
            row[2].set_xlabel(
                f"KL(p ‖ learned) {kl['mean']:.3f} ± {kl['std']:.3f} ({len(kl['values'])} networks)\n"
                f"± {kl['standard_error']:.3f} ({numbers['points']:,} points)",
                fontsize=14,
            )
            row[1].set_xlabel(f"{numbers['evaluations']} evaluations at rtol {numbers['rtol']:g}", fontsize=14)
            row[0].set_xlabel(
                f"its own flow: prior off by {mismatch['mean']:.3f},\nsolver by {numbers['solver_error']:.1g} at most",
                fontsize=14,
            )  # fmt: skip
            for ax in row:
                ax.set(xticks=[-5, 0, 5], yticks=[-5, 0, 5])
    return figure


def _log_density(ax: Axes, values: NDArray[Any], top: float, extent: Extent) -> AxesImage:
    """An image coloured by the root of the depth below the maximum, which spaces the tails of a Gaussian evenly."""
    depth = -np.sqrt(np.clip(top - values, 0.0, _DEEP))
    return ax.imshow(depth, origin="lower", extent=extent, cmap=plotting.DENSITY_MAP, vmin=-np.sqrt(_DEEP), vmax=0)
