"""What score matching costs: the error of every estimator of one parameter, exact for large n, beside 2,000 fits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from toylab._internal.random import normal, uniform
from toylab.experiments.asymptotic_variance import Loss, asymptotic_variance, newton
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator
from toylab.experiments.weight_estimators import (
    TwoModes,
    denoising,
    denoising_anew,
    half_normal_likelihood,
    half_normal_non_negative,
    implicit,
    maximum_likelihood,
    noise_contrastive,
)
from toylab.metrics import mean_of

WEIGHT = 0.5
SEPARATIONS = (1.0, 1.5, 2.0, 2.5)  # at which there are fits
SIGMAS = (0.5, 1.0, 2.0, 4.0)
ANEW_SIGMAS = (0.5, 2.0)
AT = 2.0  # the separation of the panel over sigma
FAR = 3.0  # that of the scores that are drawn
APART = (0.2, 0.8)  # their weights
VISIBLE = 0.5  # a difference of two scores that counts as one

LIKELIHOOD, IMPLICIT, CONTRASTIVE = "maximum likelihood", "implicit score matching", "noise-contrastive"
ONCE, ANEW = "denoising, noise drawn once for each point", "denoising, noise drawn anew in every epoch"
NON_NEGATIVE = "non-negative score matching"

_REACH, _SPACING = 8.5, 0.06  # of a quadrature: how many standard deviations it goes, and between its nodes
_AT_ONCE = 50  # fits, so that their data stay in cache


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_repeats: int = 2000,
    n_points: int = 1000,
    n_cells: int = 40,
) -> Result:
    """n Var of the estimated weight of 1/2 N(a, 1) + 1/2 N(-a, 1), and of the precision of a half-normal law.

    Each is known in the limit of large n, as the sandwich of ``asymptotic_variance`` by quadrature, and measured over
    ``n_repeats`` fits as n times their mean square error.

    1. Against a, for maximum likelihood, implicit score matching, denoising at several levels, and noise-contrastive
       estimation.
    2. Against the noise level of denoising at a = 2, its noise drawn once for each point or anew in every epoch.
    3. The half-normal precision by maximum likelihood and by non-negative score matching.

    Args:
        seed: of the whole experiment.
        device: where to compute.
        progress: show a progress bar.
        n_repeats: fits per estimator.
        n_points: data per fit, n.
        n_cells: places along each curve.
    """
    numbers: Numbers = {"fits": n_repeats, "points": n_points, "weight": {}, "sigma": {}}
    arrays: Arrays = {}
    a, sigmas = np.linspace(0.25, 4.0, n_cells), np.geomspace(0.1, 16.0, n_cells)
    for name in _estimators(AT):
        exact = [exact_variance(_estimators(one)[name], one, device) for one in a.tolist()]
        arrays[f"weight/{name}"] = np.stack([a, np.array(exact)])
        numbers["weight"][name] = {}
    for name in (ONCE, ANEW):
        exact = [exact_variance(_denoising(name, AT, sigma, device), AT, device) for sigma in sigmas.tolist()]
        arrays[f"sigma/{name}"] = np.stack([sigmas, np.array(exact)])
        numbers["sigma"][name] = {}
    numbers["moments at sigma = infinity"] = (1 + AT**2) / (4 * AT**2)
    jobs = [("weight", name, one, estimator) for one in SEPARATIONS for name, estimator in _estimators(one).items()]
    shown = tqdm(total=len(jobs) + len(SIGMAS) + len(ANEW_SIGMAS), desc="efficiency", disable=not progress)
    for k, one in enumerate(SEPARATIONS):
        x, drawn = _data(one, n_repeats, n_points, generator(seed, k, device), device)
        for name, estimator in _estimators(one).items():
            fits = _fit(estimator, one, x, drawn)
            numbers["weight"][name][f"{one:g}"] = _row(exact_variance(estimator, one, device), fits, WEIGHT, n_points)
            shown.update()
    x, drawn = _data(AT, n_repeats, n_points, generator(seed, 100, device), device)
    for name, sigma in [*((ONCE, sigma) for sigma in SIGMAS), *((ANEW, sigma) for sigma in ANEW_SIGMAS)]:
        estimator = _denoising(name, AT, sigma, device)
        fits = _fit(estimator, AT, x, drawn)
        numbers["sigma"][name][f"{sigma:g}"] = _row(exact_variance(estimator, AT, device), fits, WEIGHT, n_points)
        shown.update()
    shown.close()
    numbers["half-normal"] = {}
    for name, loss, fits in _half_normal(n_repeats, n_points, generator(seed, 200, device), device):
        z, probabilities = _normal_nodes(1.0, device)
        numbers["half-normal"][name] = _row(asymptotic_variance(loss, 1.0, [z], probabilities), fits, 1.0, n_points)
        arrays[f"half-normal/{name}"] = fits.cpu().numpy()
    _scores(numbers, arrays, device)
    return Result("efficiency", numbers, arrays)


@dataclass(frozen=True)
class _Estimator:
    """Of the weight.

    Attributes:
        loss: rho(w, x), or rho(w, x, drawn).
        drawn: standard deviation of what is drawn beside each point; 0 if nothing is.
    """

    loss: Loss
    drawn: float = 0.0


def _estimators(a: float) -> dict[str, _Estimator]:
    p = TwoModes(a)
    return {
        LIKELIHOOD: _Estimator(maximum_likelihood(p)),
        IMPLICIT: _Estimator(implicit(p)),
        **{f"denoising, σ = {sigma:g}": _Estimator(denoising(p, sigma), 1.0) for sigma in SIGMAS[1:]},
        CONTRASTIVE: _Estimator(noise_contrastive(p), math.sqrt(1 + a**2)),
    }


def _denoising(name: str, a: float, sigma: float, device: torch.device | str) -> _Estimator:
    if name == ONCE:
        return _Estimator(denoising(TwoModes(a), sigma), 1.0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    z, probabilities = (torch.as_tensor(part, device=device) for part in (nodes, weights / weights.sum()))
    return _Estimator(denoising_anew(TwoModes(a), sigma, z, probabilities))


def exact_variance(estimator: _Estimator, a: float, device: torch.device | str = "cpu") -> float:
    """n Var of the weight in the limit of large n."""
    return asymptotic_variance(estimator.loss, WEIGHT, *_quadrature(estimator, a, device))


def _quadrature(estimator: _Estimator, a: float, device: torch.device | str) -> tuple[Sequence[Tensor], Tensor]:
    """Nodes of x and of what is drawn beside it, and the probability of each."""
    x, spacing = _nodes(a + _REACH, device)
    p = TwoModes(a).log_prob(x.new_tensor(WEIGHT), x).exp() * spacing
    if estimator.drawn == 0:
        return [x], p
    drawn, q = _normal_nodes(estimator.drawn, device)
    return torch.meshgrid(x, drawn, indexing="ij"), p[:, None] * q


def _nodes(reach: float, device: torch.device | str) -> tuple[Tensor, float]:
    """Equally spaced ones: for smooth functions that vanish at both ends their sum errs by e^(-c / spacing)."""
    n = math.ceil(2 * reach / _SPACING)
    return torch.linspace(-reach, reach, n + 1, dtype=torch.float64, device=device), 2 * reach / n


def _normal_nodes(std: float, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Nodes of N(0, std^2), and their probabilities."""
    z, spacing = _nodes(std * _REACH, device)
    return z, (-0.5 * (z / std).square()).exp() * spacing / (std * math.sqrt(2 * math.pi))


def _data(
    a: float, n_repeats: int, n_points: int, gen: torch.Generator, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Points of as many data sets [n_repeats, n_points], and a standard normal number for each."""
    draw_normal = partial(
        normal, (n_repeats, n_points), dtype=torch.float64, device=torch.device(device), generator=gen
    )  # fmt: skip
    right = uniform((n_repeats, n_points), dtype=torch.float64, device=torch.device(device), generator=gen) < WEIGHT
    return torch.where(right, a, -a) + draw_normal(), draw_normal()


def _fit(estimator: _Estimator, a: float, x: Tensor, z: Tensor) -> Tensor:
    """The estimated weights, from the one that the mean of the data gives."""
    start = (0.5 + x.mean(-1) / (2 * a)).clamp(0.1, 0.9)
    data = [x, estimator.drawn * z] if estimator.drawn else [x]
    return torch.cat([
        newton(estimator.loss, start[k : k + _AT_ONCE], [part[k : k + _AT_ONCE] for part in data], low=1e-3, high=0.999)
        for k in range(0, len(x), _AT_ONCE)
    ])  # fmt: skip


def _row(exact: float, fits: Tensor, truth: float, n_points: int) -> Numbers:
    """n Var, exact and measured as n times the mean square error."""
    found = mean_of(n_points * (fits - truth).square())
    return {"exact": exact, "fits": found.value, "standard_error": found.standard_error}


def _half_normal(
    n_repeats: int, n_points: int, gen: torch.Generator, device: torch.device | str
) -> list[tuple[str, Loss, Tensor]]:
    """Each estimator of the precision, 1, with its estimates: both are closed forms, of x^2 alone."""
    x = normal((n_repeats, n_points), dtype=torch.float64, device=torch.device(device), generator=gen)
    second, fourth = x.square().mean(-1), x.square().square().mean(-1)
    return [
        (LIKELIHOOD, half_normal_likelihood, 1 / second),
        (NON_NEGATIVE, half_normal_non_negative, 3 * second / fourth),
    ]


def _scores(numbers: Numbers, arrays: Arrays, device: torch.device | str) -> None:
    """Two scores of far modes, and the share of the data where they differ visibly."""
    p, x = TwoModes(FAR), torch.linspace(-8, 8, 1601, dtype=torch.float64, device=device)
    mass = p.log_prob(x.new_tensor(WEIGHT), x).exp()
    low, high = (p.score(x.new_tensor(w), x) for w in APART)
    visible = (high - low).abs() > VISIBLE
    numbers["share of the data where the scores differ"] = float(mass[visible].sum() * (x[1] - x[0]))
    for name, values in (("x", x), ("density", mass), ("low", low), ("high", high)):
        arrays[f"scores/{name}"] = values.cpu().numpy()


_LOOK = {
    LIKELIHOOD: (plotting.EXACT, "o", "-"),
    IMPLICIT: (plotting.LEARNED, "s", "-"),
    "denoising, σ = 1": (plotting.OTHER, "^", ":"),
    "denoising, σ = 2": (plotting.OTHER, "v", "--"),
    "denoising, σ = 4": (plotting.OTHER, "D", "-"),
    CONTRASTIVE: (plotting.NEUTRAL, "P", "-."),
    ONCE: (plotting.OTHER, "o", "--"),
    ANEW: (plotting.OTHER, "s", "-"),
    NON_NEGATIVE: (plotting.LEARNED, "s", "-"),
}


def draw(result: Result) -> Figure:
    """Two scores of far modes; the price in data against their distance and against the noise; a half-normal law."""
    with plotting.look():
        figure, axes = plt.subplots(2, 2, figsize=(17, 13), layout="constrained")
        _draw_scores(axes[0, 0], result)
        _draw_separations(axes[0, 1], result)
        _draw_sigmas(axes[1, 0], result)
        _draw_half_normal(axes[1, 1], result)
    return figure


def _draw_scores(ax: Axes, result: Result) -> None:
    """Two scores that differ only where there is next to no data."""
    x, density, low, high = (result.arrays[f"scores/{name}"] for name in ("x", "density", "low", "high"))
    ax.fill_between(x, -7, -7 + 14 * density, color="0.85", lw=0)
    ax.plot(x, high, color=plotting.EXACT, lw=4)
    ax.plot(x, low, color=plotting.LEARNED, lw=3, ls="--")
    ax.annotate(f"score at weight {APART[1]}", (-0.55, 3.3), color=plotting.EXACT, fontsize=15, ha="right")
    ax.annotate(f"at weight {APART[0]}", (0.65, -3.5), color=plotting.LEARNED, fontsize=15)
    ax.annotate("the data", (FAR, -6.4), color=plotting.NEUTRAL, fontsize=15, ha="center")
    share = result.numbers["share of the data where the scores differ"]
    ax.set_xlabel(f"{share:.1%} of the data lie where the scores differ by more than {VISIBLE}", fontsize=15)
    ax.set(xlim=(-6.5, 6.5), ylim=(-7, 7), yticks=[-5, 0, 5], ylabel="score")
    ax.set_title(f"Far modes (a = {FAR:g}): two weights, one score", fontweight="bold")


def _draw_separations(ax: Axes, result: Result) -> None:
    """The price of each estimator of the weight against the separation."""
    a, best = result.arrays[f"weight/{LIKELIHOOD}"]
    for name, rows in result.numbers["weight"].items():
        _curve(ax, name, a, result.arrays[f"weight/{name}"][1] / best, rows, result.numbers["weight"][LIKELIHOOD])
    one = {name: rows["2"]["exact"] for name, rows in result.numbers["weight"].items()}
    ax.set(yscale="log", ylim=(0.8, 3000), xlim=(0, 4.1))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(
        f"half the distance of the modes, a\nn Var at a = 2: {one[LIKELIHOOD]:.3f} by maximum likelihood, "
        f"{one[IMPLICIT]:.2f} implicit",
        fontsize=15,
    )
    ax.set_ylabel("data needed / those of maximum likelihood")
    ax.set_title("The price of not knowing log p", fontweight="bold")
    ax.legend(frameon=False, loc="upper left")


def _draw_sigmas(ax: Axes, result: Result) -> None:
    """The price of denoising against its noise level."""
    best = {f"{sigma:g}": result.numbers["weight"][LIKELIHOOD][f"{AT:g}"] for sigma in SIGMAS}
    exact = best[f"{SIGMAS[0]:g}"]["exact"]
    for name, rows in result.numbers["sigma"].items():
        sigma, variance = result.arrays[f"sigma/{name}"]
        _curve(ax, name, sigma, variance / exact, rows, best)
    implicit = result.numbers["weight"][IMPLICIT][f"{AT:g}"]["exact"] / exact
    moments = result.numbers["moments at sigma = infinity"] / exact
    ax.axhline(implicit, color=plotting.LEARNED, lw=2, ls=":")
    ax.annotate(f"implicit: {implicit:.1f}", (16, implicit), xytext=(0, 6), textcoords="offset points",
                color=plotting.LEARNED, fontsize=15, ha="right")  # fmt: skip
    ax.axhline(moments, color=plotting.NEUTRAL, lw=2, ls=":")
    ax.annotate(f"σ → ∞, the mean of the data: {moments:.2f}", (0.1, moments), xytext=(0, -20),
                textcoords="offset points", color=plotting.NEUTRAL, fontsize=15)  # fmt: skip
    joined = result.numbers["sigma"][ANEW][f"{AT:g}"]["exact"] / exact
    ax.annotate(f"{joined:.2f} at σ = {AT:g}", (AT, joined), xytext=(0, -24), textcoords="offset points",
                color=plotting.OTHER, fontsize=15)  # fmt: skip
    ax.set(xscale="log", yscale="log", ylim=(0.6, 900), xlabel="noise level σ of denoising")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylabel("data needed / those of maximum likelihood")
    ax.set_title(f"Noise joins the modes (a = {AT:g})", fontweight="bold")
    ax.legend(frameon=False, loc="upper right")


def _curve(ax: Axes, name: str, x: NDArray[Any], price: NDArray[Any], rows: Numbers, best: Numbers) -> None:
    """The exact price as a line, and that of the fits as points with error bars."""
    color, marker, line = _LOOK[name]
    ax.plot(x, price, color=color, ls=line, lw=2.5)
    measured, errors = (
        [row[what] / best[key]["exact"] for key, row in rows.items()] for what in ("fits", "standard_error")
    )
    ax.errorbar([float(key) for key in rows], measured, yerr=errors, color=color, marker=marker, ls="", ms=9, capsize=4)
    ax.plot([], [], color=color, ls=line, lw=2.5, marker=marker, ms=9, label=name)


def _draw_half_normal(ax: Axes, result: Result) -> None:
    """The estimates of the precision, and the normal law that they follow for large n."""
    n, rows = result.numbers["points"], result.numbers["half-normal"]
    width = 4.5 * math.sqrt(rows[NON_NEGATIVE]["exact"] / n)
    x = np.linspace(1 - width, 1 + width, 400)
    for name, row in rows.items():
        color, _, line = _LOOK[name]
        ax.hist(
            result.arrays[f"half-normal/{name}"], 45, range=(1 - width, 1 + width), density=True, color=color, alpha=0.3
        )
        variance = row["exact"] / n
        ax.plot(x, np.exp(-0.5 * (x - 1) ** 2 / variance) / np.sqrt(2 * np.pi * variance), color=color, lw=3, ls=line)
        text = f"{name}:\nn Var = {row['exact']:.3f}\n{row['fits']:.2f} ± {row['standard_error']:.2f} over the fits"
        left = 0.64 if name == LIKELIHOOD else 0.02
        ax.annotate(text, (left, 0.95), xycoords="axes fraction", color=color, fontsize=15, va="top")
    ax.set(xlim=(1 - width, 1 + width), yticks=[], xlabel=f"estimated precision from {n:,} points; the truth is 1")
    price = rows[NON_NEGATIVE]["exact"] / rows[LIKELIHOOD]["exact"]
    ax.set_title(f"Precision of a half-normal law: {price:.2f} times the data", fontweight="bold")
