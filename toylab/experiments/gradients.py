"""How noisy the gradient of each objective is: why denoising won, and where it does not.

One figure of three panels, long because of the many objectives that it compares.
"""

import time
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Density, Noised, two_modes
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator, spread
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced, gaussian
from toylab.objectives.objective import Objective
from toylab.score import at
from toylab.training import fit, gradient_noise

_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
_SLICES = (1, 4, 16)
_BATCHES = (16, 64, 256, 1024)
_BATCH, _AT_SIGMA = 256, 0.5


@dataclass(frozen=True)
class _Job:
    """One point of a curve: the variance to measure.

    Attributes:
        panel: "sigma", "slices" or "batch": what grows along its axis.
        label: of the curve.
        x: where on the axis.
        density: of the batches.
        objective: whose gradient is measured.
        batch_size: points per batch.
    """

    panel: str
    label: str
    x: float
    density: Density
    objective: Objective[Any]
    batch_size: int = _BATCH

    @property
    def sigma(self) -> float:
        """The noise level of the score that the network has learned."""
        return self.x if self.panel == "sigma" else 0.0


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_training_steps: int = 200,
    n_networks: int = 3,
    n_batches: int = 32,
) -> Result:
    """Variance of the gradient of a mini-batch loss (``training.gradient_noise``) on ``two_modes``.

    Everything is measured at networks trained explicitly for a short while, at each sigma for the score of p_sigma, so
    that what is seen is the noise left near the end of a training.

    1. Against sigma, for objectives that learn the score of p_sigma and so have the same mean gradient: denoising in
       its forms, and implicit and sliced matching of noised points.
    2. Against the number of slices, on clean data, beside the exact trace.
    3. Against the batch size.
    4. Milliseconds of one gradient: the price of making up for noise by a larger batch.

    Args:
        seed: of the whole experiment.
        device: where to compute.
        progress: show a progress bar.
        n_training_steps: optimiser steps before the measurement.
        n_networks: networks at which to measure; the numbers are means over them with their standard deviation.
        n_batches: gradients per measurement.
    """
    p = two_modes().to(device)
    networks = {sigma: _train(p, sigma, seed, n_training_steps, n_networks, device) for sigma in (0.0, *_SIGMAS)}
    arrays: Arrays = {}
    jobs = _jobs(p)
    with tqdm(total=len(jobs) * n_networks, desc="gradients", disable=not progress) as shown:
        for job in jobs:
            values = []
            for network in networks[job.sigma]:
                values.append(
                    gradient_noise(network, job.objective, job.density, batch_size=job.batch_size,
                                   n_batches=n_batches * (2 if job.panel == "slices" else 1),
                                   generator=generator(seed, 100, device))
                )  # fmt: skip
                shown.update()
            name = f"{job.panel}/{job.label}"
            rows = arrays.setdefault(name, np.empty((0, 1 + n_networks)))
            arrays[name] = np.vstack([rows, [job.x, *values]])
    return Result("gradients", _costs(p, networks[_AT_SIGMA][0], arrays, seed), arrays)


def _train(
    p: Density, sigma: float, seed: int, n_steps: int, n_networks: int, device: torch.device | str
) -> tuple[nn.Module, ...]:
    noised = Noised(p, sigma) if sigma > 0 else p
    result = fit(
        ScoreMLP(generator=generator(seed, 0, device)), Explicit(noised.score), noised, n_steps=n_steps,
        n_seeds=n_networks, generator=generator(seed, 1, device), device=device, progress=False,
    )  # fmt: skip
    return tuple(network.requires_grad_(True) for network in result.networks)


def _of_noised(p: Density, sigma: float) -> dict[str, tuple[Density, Objective[Any]]]:
    """Six ways to learn the score of p_sigma: the density of the batches, and the objective."""
    noised = Noised(p, sigma)
    return {
        "denoising": (p, Denoising(sigma)),
        "denoising, control variate": (p, Denoising(sigma, control_variate=True)),
        "denoising, antithetic": (p, Denoising(sigma, antithetic=True)),
        "implicit on noised points": (noised, Implicit()),
        "sliced on noised points": (noised, Sliced()),
        "explicit on noised points": (noised, Explicit(at(p.score, sigma))),
    }


def _jobs(p: Density) -> list[_Job]:
    """Every measurement."""
    jobs = [
        _Job("sigma", label, sigma, density, objective)
        for sigma in _SIGMAS
        for label, (density, objective) in _of_noised(p, sigma).items()
    ]
    for n in _SLICES:
        jobs += [
            _Job("slices", "Gaussian, plain", n, p, Sliced(n, gaussian, False)),
            _Job("slices", "Gaussian, variance-reduced", n, p, Sliced(n, gaussian)),
            _Job("slices", "Rademacher, plain", n, p, Sliced(n, variance_reduced=False)),
            _Job("slices", "Rademacher, variance-reduced", n, p, Sliced(n)),
        ]
    jobs.append(_Job("slices", "exact trace (implicit)", 0, p, Implicit()))
    for n in _BATCHES:
        jobs += [
            _Job("batch", "implicit", n, p, Implicit(), n),
            _Job("batch", "sliced", n, p, Sliced(), n),
            _Job("batch", f"denoising {_AT_SIGMA}", n, p, Denoising(_AT_SIGMA), n),
        ]
    return jobs


def _costs(p: Density, network: nn.Module, arrays: Arrays, seed: int) -> Numbers:
    """Milliseconds of one gradient of the objectives of the first panel, beside their variances."""
    costs: Numbers = {}
    x, gen = p.sample((_BATCH,), generator=generator(seed, 90, p.device)), generator(seed, 91, p.device)
    parameters = list(network.parameters())
    for label, (_, objective) in _of_noised(p, _AT_SIGMA).items():
        seconds = []
        for _ in range(12):
            start = time.perf_counter()
            torch.autograd.grad(objective(network, x, generator=gen).mean(), parameters)
            seconds.append(time.perf_counter() - start)
        costs[label] = {"milliseconds": 1e3 * float(np.median(seconds))}
        for sigma, *values in arrays[f"sigma/{label}"].tolist():
            costs[label][f"variance at sigma = {sigma:g}"] = spread(values)
    return costs


def draw(result: Result) -> Figure:
    """Three panels on logarithmic axes: against sigma, the number of slices, and the batch size."""
    with plotting.look():
        figure, axes = plt.subplots(1, 3, figsize=(19, 7.2), layout="constrained")
        milliseconds = {label: row["milliseconds"] for label, row in result.numbers.items()}
        for ax, panel, title, label in zip(
            axes,
            ("sigma", "slices", "batch"),
            (
                "The score of p_σ, learned in six ways",
                "Slices against the exact trace\n(clean data)",
                "The batch: all fall as 1 / n",
            ),
            ("noise level σ", "slices per point", "points per batch n"),
            strict=True,
        ):
            curves = {k.split("/", 1)[1]: v for k, v in result.arrays.items() if k.startswith(f"{panel}/")}
            _panel(ax, curves, milliseconds)
            ax.set(title=title, xlabel=label)
            ax.legend(frameon=False, fontsize=11)
        axes[1].set_xticks(_SLICES, [str(n) for n in _SLICES])
        axes[2].set_xticks(_BATCHES, [str(n) for n in _BATCHES])
        for ax in axes[1:]:
            ax.xaxis.minorticks_off()
        axes[0].set_ylabel("variance of the gradient, E |g − E g|²")
    return figure


_STYLES = (
    (plotting.LEARNED, "o", "-"),
    (plotting.LEARNED, "s", "--"),
    (plotting.LEARNED, "^", ":"),
    (plotting.OTHER, "o", "-"),
    (plotting.OTHER, "s", "--"),
    (plotting.NEUTRAL, "D", "-"),
)


def _panel(ax: Axes, curves: Arrays, milliseconds: dict[str, float]) -> None:
    for (label, rows), (color, marker, line) in zip(curves.items(), _STYLES, strict=False):
        label = f"{label} ({milliseconds[label]:.1f} ms)" if label in milliseconds else label
        if rows[0, 0] == 0:  # no slices at all: a line across
            ax.axhline(rows[0, 1:].mean(), color=color, ls=line, lw=2, label=label)
            continue
        mean, std = rows[:, 1:].mean(1), rows[:, 1:].std(1, ddof=1) if rows.shape[1] > 2 else 0.0
        ax.errorbar(rows[:, 0], mean, yerr=std, color=color, marker=marker, ls=line, lw=2, ms=7, capsize=3, label=label)
    ax.set(xscale="log", yscale="log")
