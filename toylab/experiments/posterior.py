"""What measurement-conditioned samplers really sample, beside the exact posterior, and whose error is which."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from toylab import plotting
from toylab._internal.random import normal, permutation
from toylab._internal.warn import ToylabWarning
from toylab.densities import GaussianMixture, grid
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator, spread
from toylab.guidance import dps, pigdm, tmpd
from toylab.metrics import Extent, grid_points, histogram_divergence
from toylab.networks import NoiseConditionalMLP
from toylab.objectives import LogUniform, NoiseConditional
from toylab.samplers import replacement, reverse_sde, smc
from toylab.schedules import karras
from toylab.score import NoiseConditionalScore
from toylab.sde import VE
from toylab.training import fit

A, Y, NOISE = (0.6, 0.8), 4.8, 1.0  # y = A x + noise z
SDE = VE(0.05, 100.0)
BUDGETS = (16, 32, 64, 128, 256)
LEDGER = 128  # steps, of the ledger, the coverage and the pictures
_RUN_AWAY = 1e3  # a mean distance or variance that is not told
PARTICLES, DRAWS, LEVEL = 100, 19, 0.9  # per measurement, for the coverage of credible sets

EXACT, IDEAL = "draws of the posterior", "exact posterior score"
REPLACEMENT, SMC = "replacement", "SMC"
PARTS = ("approximation", "discretisation", "score", "finite chains")

_BOX: Extent = (-20.0, 20.0, -20.0, 20.0)


def prior() -> GaussianMixture:
    """25 modes of unit variance, 8 apart."""
    return grid(5, spacing=8.0, std=1.0)


def data_std() -> float:
    """Of ``prior`` along an axis."""
    p = prior()
    return math.sqrt(float((p.covariances[:, 0, 0] + p.means[:, 0].square()) @ p.weights))


def times(n_steps: int) -> Tensor:
    """Times at which sigma runs down the grid of Karras et al."""
    found = SDE.time_of(karras(SDE.sigma_max, SDE.sigma_min, n_steps + 1).double())
    found[0], found[-1] = 1.0, 0.0
    return found


@dataclass(frozen=True)
class Method:
    """A way to sample the posterior.

    Attributes:
        run: called with the score of the prior, a start, measurements, the number of steps and a generator, it gives
            the points at the end.
        bias: what it takes for true that is not.
        cost: of one step.
    """

    run: Callable[[NoiseConditionalScore, Tensor, Tensor, int, torch.Generator], Tensor]
    bias: str
    cost: str


def _guided(guidance: Callable[..., NoiseConditionalScore]) -> Callable[..., Tensor]:
    def run(score: NoiseConditionalScore, x: Tensor, y: Tensor, n: int, g: torch.Generator) -> Tensor:
        guided = guidance(score, A, y, NOISE)
        return reverse_sde(SDE, guided, x, times(n), generator=g, progress=False).samples

    return run


def _replacement(score: NoiseConditionalScore, x: Tensor, y: Tensor, n: int, g: torch.Generator) -> Tensor:
    return replacement(SDE, score, x, times(n), A, y, NOISE, generator=g, progress=False).samples


def _smc(score: NoiseConditionalScore, x: Tensor, y: Tensor, n: int, g: torch.Generator) -> Tensor:
    """One population per measurement."""
    populations = 1 if y.ndim == 1 else len(y) // PARTICLES
    guided = tmpd(score, A, y, NOISE)
    return smc(SDE, guided, x, times(n), n_populations=populations, generator=g, progress=False).chains.samples


METHODS = {
    "DPS": Method(
        _guided(dps), "x₀ is known, at its mean: the likelihood is too sharp, and modes come out too narrow",
        "1 evaluation, forth and back",
    ),
    "ΠGDM": Method(
        _guided(lambda *args: pigdm(*args, data_std=data_std())),
        "x₀ is as uncertain as data without modes would be: the weights of the modes are off",
        "1 evaluation, forth and back",
    ),
    "TMPD": Method(
        _guided(tmpd), "several modes are taken for one wide one: their weights are off",
        "1 evaluation, forth and back",
    ),
    REPLACEMENT: Method(
        _replacement, "the noise of y is drawn anew at each step: what was not measured hears of y too weakly",
        "1 evaluation",
    ),
    SMC: Method(_smc, "none but that of finitely many particles", "1 evaluation, forth and back"),
}  # fmt: skip
"""Every sampler that knows the posterior by the score of the prior alone."""


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_chains: int = 1000,
    n_networks: int = 5,
    n_training_steps: int = 3000,
    n_repeats: int = 400,
    budgets: tuple[int, ...] = BUDGETS,
) -> Result:
    """Condition 25 modes, 8 apart, on (.6, .8) x + z = 4.8 in every way, and measure what comes out.

    Each method runs at every budget with the exact score and with learned ones, beside the reverse SDE with the score
    of the posterior itself, whose error is that of the steps, and beside independent draws of the posterior, whose
    error is that of finitely many chains.

    The coverage is measured with the exact score over measurements drawn from the prior: of each, the true point has a
    rank by posterior density among 19 draws, and lies in their 90 % credible set if it beats two of them.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_chains: points per cloud.
        n_networks: networks, and runs of whatever has the exact score; over them the numbers have their spread.
        n_training_steps: optimiser steps, of 512 points each.
        n_repeats: measurements for the coverage.
        budgets: steps of the reverse SDE.
    """
    p = prior().to(device)
    q = p.given(A, Y, NOISE)
    gen = generator(seed, 0, device)
    networks = fit(
        NoiseConditionalMLP(128, 3, data_std=data_std(), gain=3.0, generator=gen),
        NoiseConditional(LogUniform(SDE.sigma_min, SDE.sigma_max)), p, n_steps=n_training_steps, batch_size=512,
        learning_rate=3e-3, average=0.998, n_seeds=n_networks, generator=gen, device=device, progress=progress,
    ).networks  # fmt: skip
    y, shown = torch.tensor([Y], device="cpu"), min(budgets, key=lambda n: abs(n - LEDGER))
    exact: list[NoiseConditionalScore] = [p.score] * n_networks
    learned: list[NoiseConditionalScore] = list(networks)
    truth = _truth(p, q)
    numbers: Numbers = {
        "truth": truth, "chains": n_chains, "networks": n_networks, "budgets": list(budgets), "ledger steps": shown,
        EXACT: _collect([
            _measure(q.sample((n_chains,), generator=generator(seed, 10 + k, device)), p, q)
            for k in range(n_networks)
        ]),
    }  # fmt: skip
    arrays: Arrays = {"density": q.log_prob(grid_points(_BOX, 200)).exp().numpy().reshape(200, 200)}
    arrays[EXACT] = q.sample((n_chains,), generator=generator(seed, 1, device)).cpu().numpy()
    jobs = [
        (kind, name, method, scores)
        for kind, scores in (("exact", exact), ("learned", learned))
        for name, method in METHODS.items()
    ]
    ideal = Method(lambda _, x, y, n, g: reverse_sde(SDE, q.score, x, times(n), generator=g, progress=False).samples,
                   "", "")  # fmt: skip
    jobs = [("exact", IDEAL, ideal, exact), *jobs]
    for kind, name, method, scores in tqdm(jobs, desc="posterior", unit="method", disable=not progress):
        rows = numbers.setdefault(kind, {}).setdefault(name, {})
        for n in budgets:
            found = []
            for k, score in enumerate(scores):
                g = generator(seed, 20 + k, device)
                start = SDE.prior.to(device).sample((n_chains,), generator=g)
                points = _quietly(method.run, score, start, y, n, g)
                found.append(_measure(points, p, q))
                if k == 0 and n == shown:
                    arrays[f"{kind}/{name}"] = points.cpu().numpy()
            rows[str(n)] = _collect(found)
    numbers["ledger"] = {name: _ledger(numbers, name, str(shown)) for name in METHODS}
    numbers["coverage"] = _coverages(p, shown, n_repeats, seed, device, progress)
    return Result("posterior", numbers, arrays)


def _truth(p: GaussianMixture, q: GaussianMixture) -> Numbers:
    """Of the posterior: the weights of its modes, its moments, and its variance along A within a mode."""
    mean = q.weights @ q.means
    off = q.means - mean
    covariance = torch.einsum("k,kij->ij", q.weights, q.covariances + off[:, :, None] * off[:, None, :])
    along = torch.tensor(A, dtype=torch.float64, device="cpu")
    return {
        "weights": q.weights.tolist(),
        "mean": mean.tolist(),
        "variance": covariance.diagonal().tolist(),
        "within": float(along @ q.covariances[0] @ along),
        "log evidence": p.log_evidence(A, Y, NOISE),
    }


def _measure(points: Tensor, p: GaussianMixture, q: GaussianMixture) -> Numbers:
    """How far a cloud is from the posterior; chains that diverged are left out and counted.

    ``weights`` is half the sum of |share - weight| over the modes, a point belonging to the nearest; ``mean`` a
    distance; ``variance`` that of the cloud over the true one, both axes together; ``within`` the mean square distance
    along A from the posterior mean of the own mode.
    """
    alive = points[points.isfinite().all(-1)].double()
    mode = p.posterior(alive).argmax(-1)
    weights, means = q.weights.to(alive), q.means.to(alive)
    mean = weights @ means
    variance = (weights @ (means - mean).square()).sum() + q.covariances[0].trace().to(alive)
    share = torch.bincount(mode, minlength=len(weights)) / len(alive)
    along = alive.new_tensor(A)
    return {
        "weights": float((share - weights).abs().sum() / 2),
        "largest": float(share[weights.argmax()]),
        "mean": float((alive.mean(0) - mean).norm()),
        "variance": float(alive.var(0).sum() / variance),
        "within": float(((alive - means[mode]) @ along).square().mean()),
        "kl": histogram_divergence(alive.cpu(), q.to("cpu"), _BOX, n=20).value,
        "diverged": 1 - len(alive) / len(points),
    }


def _collect(rows: list[Numbers]) -> Numbers:
    return {key: spread([row[key] for row in rows]) for key in rows[0]}


def _quietly(run: Callable[..., Tensor], *args: object) -> Tensor:
    """Without the warnings of chains that go astray in few steps: that they do is what is measured."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToylabWarning)
        return run(*args)


def _ledger(numbers: Numbers, name: str, budget: str) -> Numbers:
    """The error of the weights in parts, as differences of measured errors, which add up to that with learned scores.

    finite chains = that of independent draws; discretisation = that of the exact posterior score in as many steps, less
    that; approximation = that of the method with the exact score, less both; score = what learned scores add.
    """
    chains = np.array(numbers[EXACT]["weights"]["values"])
    steps = np.array(numbers["exact"][IDEAL][budget]["weights"]["values"])
    exact, learned = (np.array(numbers[kind][name][budget]["weights"]["values"]) for kind in ("exact", "learned"))
    parts = (exact - steps, steps - chains, learned - exact, chains)
    return {part: spread(values.tolist()) for part, values in zip((*PARTS, "all"), (*parts, learned), strict=True)}


def _coverages(
    p: GaussianMixture, n_steps: int, n_repeats: int, seed: int, device: torch.device | str, progress: bool
) -> Numbers:
    """Of each method with the exact score: how often its credible sets hold the point that was measured."""
    g = generator(seed, 3, device)
    truth = p.sample((n_repeats,), generator=g)
    along = truth.new_tensor(A)
    z = normal((n_repeats,), dtype=truth.dtype, device=truth.device, generator=g)
    y = (truth @ along + NOISE * z)[:, None]

    def log_posterior(x: Tensor) -> Tensor:
        """Of x [repeats, draws, 2], up to a constant of each measurement."""
        return p.log_prob(x) - (y - x @ along).square() / (2 * NOISE**2)

    def ranks(draws: Tensor) -> Tensor:
        return (log_posterior(draws) < log_posterior(truth[:, None])).sum(-1)

    found: Numbers = {"measurements": n_repeats, "level": LEVEL, "draws": DRAWS}
    least = round((1 - LEVEL) * (DRAWS + 1))
    posteriors = [p.given(A, one, NOISE) for one in y[:, 0].tolist()]
    clouds = {EXACT: torch.stack([one.sample((DRAWS,), generator=g) for one in posteriors])}
    for name, method in tqdm(METHODS.items(), desc="coverage", unit="method", disable=not progress):
        g = generator(seed, 4, device)
        per = PARTICLES if name == SMC else DRAWS
        start = SDE.prior.to(device).sample((n_repeats * per,), generator=g)
        points = _quietly(method.run, p.score, start, y.repeat_interleave(per, 0), n_steps, g)
        some = permutation(per, device=points.device, generator=g)[:DRAWS]  # resampled particles stand beside their own
        clouds[name] = points.view(n_repeats, per, 2)[:, some]
    for name, draws in clouds.items():
        rank = ranks(draws)
        share = float((rank >= least).double().mean())
        found[name] = {
            "covered": share,
            "standard_error": (LEVEL * (1 - LEVEL) / n_repeats) ** 0.5,
            "ranks": torch.bincount(rank.cpu(), minlength=DRAWS + 1).tolist(),
        }
    return found


def table(result: Result) -> str:
    """The numbers as Markdown, at the steps of the ledger: mean ± standard deviation over the runs."""
    numbers = result.numbers
    steps = str(numbers["ledger steps"])
    parts = [
        f"| {steps} steps | score | error of the weights | distance of the mean | variance, of the true one "
        "| within a mode, along A | KL, nats | in the 90 % set |",
        "|---|---|---|---|---|---|---|---|",
    ]
    truth = numbers["truth"]["within"]
    rows = [(EXACT, "", numbers[EXACT])]
    for kind in ("exact", "learned"):
        rows += [(name, kind, row[steps]) for name, row in numbers[kind].items()]
    for name, kind, row in rows:
        cells = [_cell(row[key], 3) for key in ("weights", "mean", "variance")]
        cells.append(_cell(row["within"], 2, unit=truth))
        cells.append(f"{row['kl']['mean']:.3f} ± {row['kl']['std']:.3f}")
        covered = numbers["coverage"].get(name) if kind != "learned" else None
        cells.append(f"{100 * covered['covered']:.1f} ± {100 * covered['standard_error']:.1f} %" if covered else "")
        parts.append(f"| {name} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join([*parts, ""])


def _cell(of_runs: Numbers, digits: int, unit: float = 1.0) -> str:
    """Mean ± standard deviation in a unit; a chain that runs off to 1e20 is not nan, and leaves no moment to tell."""
    mean, std = of_runs["mean"] / unit, of_runs["std"] / unit
    return f"{mean:.{digits}f} ± {std:.{digits}f}" if mean < _RUN_AWAY else "chains run away"


_LINES = {
    "DPS": ("#56B4E9", "o"), "ΠGDM": ("#CC79A7", "s"), "TMPD": (plotting.OTHER, "^"),
    REPLACEMENT: ("#E69F00", "D"), SMC: (plotting.EXACT, "P"), IDEAL: (plotting.NEUTRAL, "x"),
}  # fmt: skip
_OF_PARTS = dict(zip(PARTS, (plotting.ERROR, plotting.EXACT, plotting.LEARNED, "0.7"), strict=True))


def draw(result: Result) -> Figure:
    """The clouds of every method on the posterior; their errors against the steps; whose errors; coverage."""
    with plotting.look():
        figure = plt.figure(figsize=(21, 11.6), layout="constrained")
        clouds, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.5))[:, 0]
        axes = clouds.subplots(1, 1 + len(METHODS))
        for ax, name in zip(axes, (EXACT, *METHODS), strict=True):
            _cloud(ax, result, name)
        steps, ledger, coverage = below.subplots(1, 3, width_ratios=(1.15, 1.1, 0.9))
        _steps(steps, result.numbers)
        _draw_ledger(ledger, result.numbers)
        _coverage(coverage, result.numbers["coverage"])
    return figure


def _cloud(ax: Axes, result: Result, name: str) -> None:
    """The line that was measured, the posterior, and points with the exact score."""
    numbers = result.numbers
    key = EXACT if name == EXACT else f"exact/{name}"
    row = numbers[EXACT] if name == EXACT else numbers["exact"][name][str(numbers["ledger steps"])]
    x = result.arrays[key][:1000]
    left, right, _, top = _BOX
    ends = np.array([left, right])
    ax.plot(ends, (Y - A[0] * ends) / A[1], color=plotting.NEUTRAL, lw=1, ls="--")
    ax.plot(x[:, 0], x[:, 1], ".", color=_LINES.get(name, (plotting.NEUTRAL, ""))[0], ms=4, alpha=0.45)
    axis = np.linspace(left, right, 200)
    level = result.arrays["density"].max() * np.exp(-2.0)  # two standard deviations of the largest mode
    ax.contour(axis, axis, result.arrays["density"], levels=[level / 30, level], colors="black", linewidths=1.2)
    ax.set(xlim=(left, right), ylim=(-15, top), xticks=[], yticks=[], aspect="equal")
    ax.set_title("the posterior, drawn" if name == EXACT else name, fontweight="bold")
    within = row["within"]["mean"] / numbers["truth"]["within"]
    ax.set_xlabel(
        f"weights off by {row['weights']['mean']:.3f}\nvariance along A in a mode: {within:.2f}\nof the true one"
    )


def _steps(ax: Axes, numbers: Numbers) -> None:
    """The error of the weights against the steps: exact scores as full lines, learned ones dashed."""
    budgets = numbers["budgets"]
    for kind, ls in (("exact", "-"), ("learned", "--")):
        for name, rows in numbers[kind].items():
            color, marker = _LINES[name]
            means, stds = ([rows[str(n)]["weights"][key] for n in budgets] for key in ("mean", "std"))
            ax.errorbar(
                budgets, means, yerr=stds, color=color, marker=marker, ms=8, lw=2.2, ls=ls, capsize=3,
                label=name if kind == "exact" else None,
            )  # fmt: skip
    floor = numbers[EXACT]["weights"]["mean"]
    ax.axhline(floor, color="black", lw=1.5, ls=":")
    ax.text(budgets[0], 0.93 * floor, f"{numbers['chains']:,} draws: {floor:.3f}", va="top", fontsize=12)
    ax.plot([], [], color="0.4", ls="--", lw=2.2, label="the same, learned score")
    ax.set(xscale="log", yscale="log", xlabel="steps, each an evaluation of the score", ylabel="error of mode weights")
    ax.set_xticks(budgets, labels=[str(n) for n in budgets])
    ax.set_yticks([0.01, 0.02, 0.05, 0.1, 0.2, 0.5], labels=["0.01", "0.02", "0.05", "0.1", "0.2", "0.5"])
    ax.minorticks_off()
    ax.set_ylim(0.6 * floor, 3.2)
    ax.set_title("More steps do not mend an approximation", fontweight="bold")
    ax.legend(frameon=False, ncols=2, loc="upper right", fontsize=12)


def _draw_ledger(ax: Axes, numbers: Numbers) -> None:
    """The error of the weights in parts, which add up to the error with learned scores; one may be negative."""
    for k, rows in enumerate(numbers["ledger"].values()):
        up = down = 0.0
        for part in PARTS:
            value = rows[part]["mean"]
            base = up if value >= 0 else down
            ax.bar(k, value, bottom=base, color=_OF_PARTS[part], width=0.62, label=part if k == 0 else None)
            if abs(value) > 0.025:  # there is room for it
                text = "white" if part in ("approximation", "score") else "black"
                ax.text(k, base + value / 2, f"{value:.3f}", ha="center", va="center", color=text, fontsize=12)
            up, down = (up + value, down) if value >= 0 else (up, down + value)
        total = rows["all"]
        ax.errorbar(k, total["mean"], yerr=total["std"], color="black", marker="_", ms=22, capsize=4)
        ax.text(k, max(up, total["mean"] + total["std"]), f"{total['mean']:.3f}", ha="center", va="bottom",
                fontweight="bold")  # fmt: skip
    ax.axhline(0, color="black", lw=1)
    ax.set_xticks(range(len(numbers["ledger"])), list(numbers["ledger"]))
    ax.set_ylim(top=1.3 * ax.get_ylim()[1])
    ax.set(ylabel="error of mode weights", xlabel=f"learned score, {numbers['ledger steps']} steps")
    ax.set_title("Whose error?", fontweight="bold")
    ax.legend(frameon=False, ncols=2, loc="upper right")


def _coverage(ax: Axes, numbers: Numbers) -> None:
    """How often the credible sets hold the truth, with the error bars of as many fair ones."""
    names = [EXACT, *METHODS]
    for k, name in enumerate(names):
        row = numbers[name]
        color = _LINES.get(name, (plotting.NEUTRAL, ""))[0]
        ax.barh(-k, 100 * row["covered"], color=color, height=0.6, alpha=0.85)
        ax.text(2, -k, f"{100 * row['covered']:.1f} %", va="center", color="white", fontweight="bold")
    error = 200 * numbers[EXACT]["standard_error"]
    level = 100 * numbers["level"]
    ax.axvspan(level - error, level + error, color="0.8", zorder=0)
    ax.axvline(level, color="black", lw=2)
    ax.set_yticks([-k for k in range(len(names))], ["the posterior", *METHODS])
    ax.set(xlim=(0, 100), xlabel=f"truth in the {level:.0f} % credible set, of {numbers['measurements']} measurements")
    ax.set_title("Who knows what it does not know?", fontweight="bold")
