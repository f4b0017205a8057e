"""How noisy the gradient of each objective is: why denoising won, and where it does not."""

import time
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Density, Noised, two_modes
from toylab.experiments.result import Result, generator
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced, gaussian
from toylab.score import at
from toylab.training import fit, gradient_noise

_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
_SLICES = (1, 4, 16)
_BATCHES = (16, 64, 256, 1024)
_BATCH, _AT_SIGMA = 256, 0.5


def run(
    *, seed: int = 0, device: torch.device | str = "cpu", progress: bool = True, n_seeds: int = 3, n_batches: int = 32
) -> Result:
    """Variance of the gradient of a mini-batch loss (``training.gradient_noise``) on ``two_modes``.

    Everything is measured at networks trained explicitly for 200 steps, at each sigma for the score of p_sigma, so
    that what is seen is the noise left near the end of a training.

    1. Against sigma, for objectives that learn the score of p_sigma and so have the same mean gradient: denoising in
       its forms, and implicit and sliced matching of noised points.
    2. Against slices, on clean data, with the exact trace beside.
    3. Against the batch.
    4. Milliseconds of one gradient, for what it costs to make up for noise by a larger batch.

    Args:
        seed: of the whole experiment.
        device: where to compute.
        progress: show a progress bar.
        n_seeds: networks at which to measure; what is quoted is the mean over them with its standard deviation.
        n_batches: gradients a measurement.
    """
    p = two_modes().to(device)
    networks = {sigma: _trained(p, sigma, seed, n_seeds, device) for sigma in (0.0, *_SIGMAS)}
    arrays: dict[str, np.ndarray] = {}
    jobs = _jobs(p)
    with tqdm(total=len(jobs) * n_seeds, desc="gradients", disable=not progress) as shown:
        for panel, label, x, law, objective, batch_size in jobs:
            values = []
            for network in networks[x if panel == "sigma" else 0.0]:
                values.append(
                    gradient_noise(network, objective, law, batch_size=batch_size,
                                   n_batches=n_batches * (2 if panel == "slices" else 1),
                                   generator=generator(seed, 100))
                )  # fmt: skip
                shown.update()
            rows = arrays.setdefault(f"{panel}/{label}", np.empty((0, 1 + n_seeds)))
            arrays[f"{panel}/{label}"] = np.vstack([rows, [x, *values]])
    return Result("gradients", _costs(p, networks[_AT_SIGMA][0], arrays, seed), arrays)


def _trained(p: Density, sigma: float, seed: int, n_seeds: int, device: torch.device | str) -> tuple[nn.Module, ...]:
    law = Noised(p, sigma) if sigma > 0 else p
    result = fit(
        ScoreMLP(generator=generator(seed, 0)), Explicit(law.score), law, n_steps=200, n_seeds=n_seeds,
        generator=generator(seed, 1), device=device, progress=False,
    )  # fmt: skip
    return tuple(network.requires_grad_(True) for network in result.networks)


def _jobs(p: Density) -> list[tuple]:
    """(panel, label, x, law, objective, batch size) of every measurement."""
    jobs = []
    for sigma in _SIGMAS:
        noised = Noised(p, sigma)
        for label, law, objective in (
            ("denoising", p, Denoising(sigma)),
            ("denoising, control variate", p, Denoising(sigma, control_variate=True)),
            ("denoising, antithetic", p, Denoising(sigma, antithetic=True)),
            ("implicit on noised points", noised, Implicit()),
            ("sliced on noised points", noised, Sliced()),
            ("explicit on noised points", noised, Explicit(at(p.score, sigma))),
        ):
            jobs.append(("sigma", label, sigma, law, objective, _BATCH))
    for n in _SLICES:
        for label, objective in (
            ("Gaussian, plain", Sliced(n, gaussian, False)),
            ("Gaussian, variance-reduced", Sliced(n, gaussian)),
            ("Rademacher, plain", Sliced(n, variance_reduced=False)),
            ("Rademacher, variance-reduced", Sliced(n)),
        ):
            jobs.append(("slices", label, n, p, objective, _BATCH))
    jobs.append(("slices", "exact trace (implicit)", 0, p, Implicit(), _BATCH))
    for n in _BATCHES:
        for label, objective in (
            ("implicit", Implicit()),
            ("sliced", Sliced()),
            (f"denoising {_AT_SIGMA}", Denoising(_AT_SIGMA)),
        ):
            jobs.append(("batch", label, n, p, objective, n))
    return jobs


def _costs(p: Density, network: ScoreMLP, arrays: dict, seed: int) -> dict:
    """Milliseconds of one gradient of the objectives of the first panel, beside their variances."""
    costs = {}
    objectives: dict[str, Callable] = {
        "denoising": Denoising(_AT_SIGMA),
        "denoising, control variate": Denoising(_AT_SIGMA, control_variate=True),
        "denoising, antithetic": Denoising(_AT_SIGMA, antithetic=True),
        "implicit on noised points": Implicit(),
        "sliced on noised points": Sliced(),
        "explicit on noised points": Explicit(at(p.score, _AT_SIGMA)),
    }
    x, gen, parameters = (
        p.sample((_BATCH,), generator=generator(seed, 90)),
        generator(seed, 91),
        list(network.parameters()),
    )
    for label, objective in objectives.items():
        seconds = []
        for _ in range(12):
            start = time.perf_counter()
            torch.autograd.grad(objective(network, x, generator=gen).mean(), parameters)
            seconds.append(time.perf_counter() - start)
        median = float(np.median(seconds))
        rows = arrays[f"sigma/{label}"]
        costs[label] = {"milliseconds": 1e3 * median} | {
            f"variance at sigma = {row[0]:g}": {"mean": float(row[1:].mean()), "std": float(row[1:].std(ddof=1))}
            for row in rows
        }
    return costs


def draw(result: Result) -> Figure:
    """Three panels on logarithmic axes: against sigma, against slices, against the batch."""
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
            ("noise level σ", "slices a point", "points a batch n"),
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


def _panel(ax: Axes, curves: dict[str, np.ndarray], milliseconds: dict[str, float]) -> None:
    for (label, rows), (color, marker, line) in zip(curves.items(), _STYLES, strict=False):
        label = f"{label} ({milliseconds[label]:.1f} ms)" if label in milliseconds else label
        if rows[0, 0] == 0:  # no slices at all: a line across
            ax.axhline(rows[0, 1:].mean(), color=color, ls=line, lw=2, label=label)
            continue
        mean, std = rows[:, 1:].mean(1), rows[:, 1:].std(1, ddof=1) if rows.shape[1] > 2 else 0.0
        ax.errorbar(rows[:, 0], mean, yerr=std, color=color, marker=marker, ls=line, lw=2, ms=7, capsize=3, label=label)
    ax.set(xscale="log", yscale="log")
