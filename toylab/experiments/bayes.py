"""A posterior sampled from one observation at a time: stochastic-gradient Langevin beside MALA and the truth."""

from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from toylab import plotting
from toylab._internal.random import normal
from toylab.densities import Density
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator
from toylab.experiments.tied_means import TiedMeans, draw_data, likelihood_score, prior_score
from toylab.metrics import expectation, grid_points, mean_of
from toylab.samplers import falling_steps, mala, posterior_score, stochastic_gradient_langevin

N_DATA, DATA = 100, 1  # observations, and the stream they come from, whatever the seed: one whose modes are apart
FIRST, LAST = 0.01, 0.0001  # step sizes of the stochastic gradients
MALA_STEP = 0.05
SETTLED = 0.1  # the share of each run that is left out

EXACT, WEIGHTED, PLAIN, MALA = "quadrature", "stochastic gradients", "the same, not weighted", "MALA"

_BOX, _CELLS = (-1.5, 2.5, -3.0, 3.0), 60  # what is drawn, and the cells along a side


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_chains: int = 200,
    n_steps: int = 200_000,
) -> Result:
    """Sample the posterior of ``experiments.tied_means`` given 100 data, each sampler with 2,000 passes over them.

    Stochastic-gradient Langevin sees one observation per step, in steps that fall from 0.01 to 0.0001, and its means
    are weighted by them; MALA sees all data at each of its steps. Both start at N(0, I). The first tenth of each run
    is left out.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_chains: chains of each sampler; their means give the error bars.
        n_steps: of the stochastic gradients; MALA takes a hundredth of them.
    """
    y = draw_data(N_DATA, generator=generator(0, DATA))
    p, posterior = TiedMeans(y).normalised(), TiedMeans(y.to(device))  # the quadrature is one of the CPU
    start = normal((n_chains, 2), dtype=torch.float64, device=posterior.y.device, generator=generator(seed, 1, device))
    score = posterior_score(prior_score, likelihood_score, N_DATA)
    eps = falling_steps(FIRST, LAST, n_steps)
    if progress:
        tqdm.write("bayes: stochastic gradients")
    n_proposals = max(10, n_steps // N_DATA)
    stochastic = stochastic_gradient_langevin(
        score, posterior.y, start, step_size=eps, batch_size=1, n_steps=n_steps,
        keep_every=max(1, n_steps // n_proposals), generator=generator(seed, 2, device), progress=progress,
    )  # fmt: skip
    if progress:
        tqdm.write("bayes: MALA")
    adjusted = mala(
        posterior.log_prob, posterior.score, start, step_size=MALA_STEP, n_steps=n_proposals, keep_every=1,
        generator=generator(seed, 3, device), progress=progress,
    )  # fmt: skip

    middle = expectation(_middle, p)
    quantities: dict[str, Callable[[Tensor], Tensor]] = {
        "weight of θ₂ > 0": lambda x: (x[..., 1] > 0).to(x),
        "mean of the middle": _middle,
        "variance of the middle": lambda x: (_middle(x) - middle).square(),
        "mean distance |θ₂|": lambda x: x[..., 1].abs(),
    }
    late = stochastic.labels > SETTLED * n_steps
    path, adjusted_path = stochastic.path[late], adjusted.path[adjusted.labels > SETTLED * n_proposals]
    weights = start.new_tensor([eps(int(k) - 1) for k in stochastic.labels[late].tolist()])
    runs = {
        WEIGHTED: (path, weights),
        PLAIN: (path, torch.ones_like(weights)),
        MALA: (adjusted_path, start.new_ones(len(adjusted_path))),
    }
    arrays: Arrays = {name: _histogram(*runs[name]) for name in (WEIGHTED, MALA)}
    arrays[EXACT] = p.log_prob(_cells()).exp().numpy()
    numbers: Numbers = {"chains": n_chains, "steps": n_steps, "proposals": n_proposals, "data": N_DATA}
    numbers["acceptance"] = float(adjusted.acceptance.mean())
    for name, f in quantities.items():
        numbers[name] = {EXACT: expectation(f, p)}
        for sampler, (frames, shares) in runs.items():
            found = mean_of((shares[:, None] * f(frames)).sum(0) / shares.sum())
            numbers[name][sampler] = {"value": found.value, "standard_error": found.standard_error}
    numbers["noise"] = _noise(y, p, n_steps)
    return Result("bayes", numbers, arrays)


def _middle(x: Tensor) -> Tensor:
    """Halfway between the two means: it does not depend on which is which."""
    return x[..., 0] + 0.5 * x[..., 1]


def gradient_noise(x: Tensor, y: Tensor) -> Tensor:
    """Var s(x, batch) along each axis over the batches of one of the data, N^2 times that of one gradient, [n, 2]."""
    each = torch.stack([likelihood_score(x, one.expand(len(x), 1, 1)) for one in y])
    return len(y) ** 2 * each.var(0, correction=0)


def _noise(y: Tensor, p: Density, n_steps: int) -> Numbers:
    """The noise of the score under the posterior, and where it falls behind that which is injected: eps = 4 / Var s."""
    found: Numbers = {}
    eps = falling_steps(FIRST, LAST, n_steps)
    for axis, name in enumerate(("θ₁", "θ₂")):
        variance = expectation(partial(_noise_along, axis, y), p)
        crossing = 4 / variance
        found[name] = {
            "variance of the score": variance,
            "crossing step size": crossing,
            "crossing step": next((k for k in range(n_steps) if eps(k) < crossing), n_steps),
        }
    return found


def _noise_along(axis: int, y: Tensor, x: Tensor) -> Tensor:
    return gradient_noise(x, y)[:, axis]


def _cells() -> Tensor:
    """The middle of each cell, [_CELLS, _CELLS, 2], theta_1 along the rows."""
    return grid_points(_BOX, _CELLS, dtype=torch.float64)


def _histogram(path: Tensor, weights: Tensor) -> NDArray[Any]:
    """The density of the frames [f, n, 2], each weighted by its own number, on the cells."""
    x = path.reshape(-1, 2).cpu().numpy()
    shares = weights[:, None].expand(path.shape[:2]).reshape(-1).cpu().numpy()
    left, right, bottom, top = _BOX
    found = np.histogram2d(x[:, 1], x[:, 0], bins=_CELLS, range=((bottom, top), (left, right)), weights=shares)
    density: NDArray[Any] = found[0] / shares.sum() * _CELLS**2 / ((right - left) * (top - bottom))
    return density


def draw(result: Result) -> Figure:
    """The posterior and two histograms on one scale, and the two noises of the stochastic gradients."""
    with plotting.look():
        figure, axes = plt.subplots(2, 2, figsize=(15, 13), layout="constrained")
        top = float(result.arrays[EXACT].max())
        for ax, name, color in zip(
            axes.flat, (EXACT, WEIGHTED, MALA), (plotting.EXACT, plotting.LEARNED, plotting.OTHER), strict=False
        ):
            ax.imshow(result.arrays[name], origin="lower", extent=_BOX, cmap=plotting.DENSITY_MAP, vmin=0, vmax=top,
                      aspect="auto")  # fmt: skip
            ax.set(xticks=[-1, 0, 1, 2], yticks=[-2, 0, 2], ylabel="θ₂")
            ax.set_title(_TITLES[name], color=color, fontweight="bold")
            ax.set_xlabel(f"θ₁\n{_said(result.numbers, name)}", fontsize=15)
        _draw_noise(axes[1, 1], result.numbers)
    return figure


_TITLES = {
    EXACT: "the posterior, by quadrature",
    WEIGHTED: "stochastic gradients, one datum at a time",
    MALA: "MALA, all data at every step",
}
_SHORT = {"weight of θ₂ > 0": ("weight of θ₂ > 0", 3), "variance of the middle": ("variance of θ₁ + θ₂/2", 4)}


def _said(numbers: Numbers, sampler: str) -> str:
    """Two of the numbers of a sampler."""
    lines = []
    for name, (label, digits) in _SHORT.items():
        found = numbers[name][sampler]
        value = (
            f"{found:.{digits}f}"
            if sampler == EXACT
            else f"{found['value']:.{digits}f} ± {found['standard_error']:.{digits}f}"
        )
        lines.append(f"{label}: {value}")
    return "\n".join(lines)


def _draw_noise(ax: Axes, numbers: Numbers) -> None:
    """The variance that each step adds to theta_1: injected, and by the error of the score."""
    n_steps, noise = numbers["steps"], numbers["noise"]["θ₁"]
    eps = falling_steps(FIRST, LAST, n_steps)
    steps = np.unique(np.geomspace(1, n_steps, 200).astype(int))
    sizes = np.array([eps(int(k) - 1) for k in steps])
    ax.plot(steps, sizes, color=plotting.EXACT, lw=3, label="injected, ε")
    ax.plot(steps, sizes**2 / 4 * noise["variance of the score"], color=plotting.LEARNED, lw=3, ls="--",
            label="error of the score, (ε/2)² Var s")  # fmt: skip
    ax.axvline(noise["crossing step"], color=plotting.NEUTRAL, lw=2, ls=":")
    ax.annotate(f" ε = {noise['crossing step size']:.2g}\n at step {noise['crossing step']:,}",
                (noise["crossing step"], sizes[0]), color=plotting.NEUTRAL, fontsize=15, va="top")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="step")
    ax.set_ylabel("variance that a step adds to θ₁")
    ax.set_title("The two noises of a step", fontweight="bold")
    ax.legend(frameon=False, loc="lower left", fontsize=15)
