"""What measurement-conditioned samplers really sample, beside the exact posterior, and whose error is which."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import GaussianMixture
from toylab.experiments.calibration import calibration, error_bars
from toylab.experiments.measured_samplers import (
    METHODS,
    NOISE,
    REPLACEMENT,
    SDE,
    SMC,
    A,
    Method,
    Y,
    data_std,
    prior,
    reverse_to,
)
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator, spread
from toylab.metrics import Extent, grid_points, histogram_divergence
from toylab.networks import NoiseConditionalMLP
from toylab.objectives import LogUniform, NoiseConditional
from toylab.score import NoiseConditionalScore
from toylab.training import fit

BUDGETS = (32, 128, 512)
LEDGER = 128  # steps, of the ledger, the calibration and the pictures
LIMIT = 1024  # steps after which more change nothing: what is then wrong is the approximation

EXACT, IDEAL = "draws of the posterior", "exact posterior score"
PARTS = ("approximation", "discretisation", "score", "finite chains")

_BOX: Extent = (-20.0, 20.0, -20.0, 20.0)
_LOST = 100.0  # from the origin, beyond which a chain is lost; the modes lie within 25
_UNLIKELY = 0.1  # a mode of less weight


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_chains: int = 1000,
    n_networks: int = 5,
    n_training_steps: int = 3000,
    n_repeats: int = 200,
    budgets: tuple[int, ...] = BUDGETS,
    n_reference_steps: int = LIMIT,
) -> Result:
    """Condition 25 modes, 8 apart, on (.6, .8) x + z = 4.8 in every way, and measure what comes out.

    Each method runs in every number of steps with the exact score and with learned ones, beside the reverse SDE with
    the score of the posterior itself, whose error is that of the steps, and beside independent draws of the posterior,
    whose error is that of finitely many chains. The exact scores run in many more steps as well, which leaves the
    approximation alone.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_chains: points per cloud.
        n_networks: networks, and clouds of whatever has the exact score; over them the numbers have their spread.
        n_training_steps: optimiser steps, of 512 points each.
        n_repeats: measurements for the calibration, and runs of SMC with an error bar.
        budgets: steps of the reverse SDE, one evaluation of the score each.
        n_reference_steps: steps that leave the approximation alone.
    """
    p = prior().to(device)
    q = p.given(A, Y, NOISE)
    networks = _networks(p, n_networks, n_training_steps, seed, device, progress)
    scores: dict[str, list[NoiseConditionalScore]] = {"exact": [p.score], "learned": list(networks)}
    y, shown = torch.tensor([Y], device="cpu"), min(budgets, key=lambda n: abs(n - LEDGER))
    truth = _truth(p, q)
    draws = q.sample((n_networks, n_chains), generator=generator(seed, 1, device))
    numbers: Numbers = {
        "truth": truth, "chains": n_chains, "networks": n_networks, "budgets": list(budgets), "ledger steps": shown,
        "limit": n_reference_steps, EXACT: _collect([_measure(cloud, p, q) for cloud in draws]),
    }  # fmt: skip
    arrays: Arrays = {
        "density": q.log_prob(grid_points(_BOX, 200)).exp().numpy().reshape(200, 200), EXACT: draws[0].cpu().numpy(),
    }  # fmt: skip
    ideal = Method(lambda _, x, y, n, population, g: reverse_to(q.score, x, n, g), "")
    jobs = [("exact", IDEAL, ideal), *((kind, name, method) for kind in scores for name, method in METHODS.items())]
    for kind, name, method in tqdm(jobs, desc="posterior", unit="method", disable=not progress):
        rows = numbers.setdefault(kind, {}).setdefault(name, {})
        for n in (*budgets, n_reference_steps) if kind == "exact" else budgets:
            g, each = generator(seed, 2, device), n_networks * n_chains // len(scores[kind])
            points = torch.cat([method.points(score, each, y, n, n_chains, g) for score in scores[kind]])
            clouds = points.view(n_networks, n_chains, 2)
            rows[str(n)] = _collect([_measure(cloud, p, q) for cloud in clouds])
            if n == shown:
                arrays[f"{kind}/{name}"] = clouds[0].cpu().numpy()
    numbers["ledger"] = {
        measure: {name: _ledger(numbers, name, measure) for name in METHODS} for measure in ("weights", "kl")
    }
    numbers["calibration"] = calibration(
        p, scores, budgets, n_repeats=n_repeats, seed=seed, device=device, progress=progress
    )
    numbers["error bars"] = error_bars(p, truth, budgets, n_runs=n_repeats, seed=seed, device=device)
    return Result("posterior", numbers, arrays)


def _networks(
    p: GaussianMixture, n_networks: int, n_steps: int, seed: int, device: torch.device | str, progress: bool
) -> tuple[nn.Module, ...]:
    """Scores of the prior, learned side by side."""
    g = generator(seed, 0, device)
    return fit(
        NoiseConditionalMLP(128, 3, data_std=data_std(), gain=3.0, generator=g),
        NoiseConditional(LogUniform(SDE.sigma_min, SDE.sigma_max)), p, n_steps=n_steps, batch_size=512,
        learning_rate=3e-3, average=0.998, n_seeds=n_networks, generator=g, device=device, progress=progress,
    ).networks  # fmt: skip


def _truth(p: GaussianMixture, q: GaussianMixture) -> Numbers:
    """Of the posterior: the weights of its modes, its moments, and the covariance that all its modes have."""
    mean = q.weights @ q.means
    off = q.means - mean
    covariance = torch.einsum("k,kij->ij", q.weights, q.covariances + off[:, :, None] * off[:, None, :])
    return {
        "weights": q.weights.tolist(),
        "unlikely": float(q.weights[q.weights < _UNLIKELY].sum()),
        "mean": mean.tolist(),
        "variance": covariance.diagonal().tolist(),
        "of a mode": q.covariances[0].tolist(),
        "log evidence": p.log_evidence(A, Y, NOISE),
    }


def _measure(points: Tensor, p: GaussianMixture, q: GaussianMixture) -> Numbers:
    """How far a cloud is from the posterior.

    ``weights`` is half the sum of |share - weight| over the modes, a point belonging to the nearest, and the share
    that is lost, farther out than 100 from the origin; ``unlikely`` the share in modes of less weight than .1; ``kl``
    that of the cloud from the posterior, in nats, on 20 x 20 cells and the rest of the plane. Of the points that are
    not lost, and None where too few are left: ``mean`` the distance of their mean, ``variance`` theirs over the true
    one, both axes together, ``within`` and ``across`` the variance about the mean of their own mode, over the true one,
    along A and across it.
    """
    points = points.cpu().double()
    lost = ~(points.norm(dim=-1) < _LOST)  # nan is lost
    kept = points[~lost]
    p, q = p.to("cpu"), q.to("cpu")
    mode = p.posterior(kept).argmax(-1)
    mean = q.weights @ q.means
    variance = (q.weights @ (q.means - mean).square()).sum() + q.covariances[0].trace()
    counts = torch.bincount(mode, minlength=len(q.weights))
    share, astray = counts / len(points), float(lost.double().mean())
    centres = torch.zeros_like(q.means).index_add(0, mode, kept) / counts.clamp(min=1)[:, None]
    freedom = len(kept) - int((counts > 0).sum())
    moments: dict[str, float | None] = dict.fromkeys(("mean", "variance", "within", "across"))
    if freedom > 0:
        moments["mean"] = float((kept.mean(0) - mean).norm())
        moments["variance"] = float(kept.var(0).sum() / variance)
        for name, row in (("within", A), ("across", (-A[1], A[0]))):
            v = kept.new_tensor(row)
            spread_along = ((kept - centres[mode]) @ v).square().sum() / freedom
            moments[name] = float(spread_along / (v @ q.covariances[0] @ v))
    far = torch.where(lost[:, None], _LOST, points)  # outside the cells, wherever it is
    return {
        "weights": (float((share - q.weights).abs().sum()) + astray) / 2,
        "unlikely": float(share[q.weights < _UNLIKELY].sum()),
        **moments,
        "kl": histogram_divergence(far, q, _BOX, n=20).value,
        "lost": astray,
    }


def _collect(rows: list[Numbers]) -> Numbers:
    """Mean, spread and values of each measure; None where a cloud has none."""
    values = {key: [row[key] for row in rows] for key in rows[0]}
    none = {"mean": None, "std": None}
    return {key: {**none, "values": of} if None in of else spread(of) for key, of in values.items()}


def _ledger(numbers: Numbers, name: str, measure: str) -> Numbers:
    """An error with learned scores in parts, as differences of measured errors, which add up to it.

    finite chains = that of independent draws; approximation = that of the method with the exact score in so many steps
    that more change nothing, less that; discretisation = what fewer steps add; score = what learned scores add.
    """

    def of(kind: str, steps: int) -> np.ndarray:
        return np.array(numbers[kind][name][str(steps)][measure]["values"])

    chains, limit = np.array(numbers[EXACT][measure]["values"]), of("exact", numbers["limit"])
    exact, learned = (of(kind, numbers["ledger steps"]) for kind in ("exact", "learned"))
    parts = (limit - chains, exact - limit, learned - exact, chains)
    return {part: spread(values.tolist()) for part, values in zip((*PARTS, "all"), (*parts, learned), strict=True)}


_LINES = {
    "DPS": ("#56B4E9", "o"), "ΠGDM": ("#CC79A7", "s"), "TMPD": (plotting.OTHER, "^"),
    REPLACEMENT: ("#E69F00", "D"), SMC: (plotting.EXACT, "P"), IDEAL: (plotting.NEUTRAL, "x"),
}  # fmt: skip
_OF_PARTS = dict(zip(PARTS, (plotting.ERROR, plotting.EXACT, plotting.LEARNED, "0.7"), strict=True))
_MARKERS = {"density": "o", "along A": "^", "across A": "s"}
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def draw(result: Result) -> Figure:
    """The clouds of every method on the posterior; their errors against the evaluations; whose errors; calibration."""
    with plotting.look():
        figure = plt.figure(figsize=(21, 16.5), layout="constrained")
        clouds, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 2.6))[:, 0]
        axes = clouds.subplots(1, 1 + len(METHODS))
        for ax, name in zip(axes, (EXACT, *METHODS), strict=True):
            _cloud(ax, result, name)
        (weights, kl), (ledger, calibrated) = below.subplots(2, 2)
        _against_evaluations(weights, result.numbers, "weights")
        weights.set(ylabel="error of the mode weights")
        _against_evaluations(kl, result.numbers, "kl")
        kl.set(ylabel="KL from the posterior, nats (linear below 0.02)")
        _draw_ledger(ledger, result.numbers)
        _draw_calibration(calibrated, result.numbers)
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
    ax.set_xlabel(
        f"weights off by {row['weights']['mean']:.3f}\nin unlikely modes: {100 * row['unlikely']['mean']:.1f} %\n"
        f"variance along A in a mode: {row['within']['mean']:.2f}\nof the true one"
    )


def _against_evaluations(ax: Axes, numbers: Numbers, measure: str) -> None:
    """An error against the steps: exact scores as full lines, learned ones dashed; that of independent draws."""
    for kind, ls in (("exact", "-"), ("learned", "--")):
        for name, rows in numbers[kind].items():
            color, marker = _LINES[name]
            means, stds = ([row[measure][key] for row in rows.values()] for key in ("mean", "std"))
            ax.errorbar(
                [int(n) for n in rows], means, yerr=stds, color=color, marker=marker, ms=8, lw=2.2, ls=ls, capsize=3,
                label=name if kind == "exact" else None,
            )  # fmt: skip
    floor, n = numbers[EXACT][measure], numbers["chains"]
    ax.axhspan(floor["mean"] - floor["std"], floor["mean"] + floor["std"], color="0.85", lw=0)
    ax.axhline(floor["mean"], color="black", lw=1.5, ls=":", label=f"{n:,} draws of the posterior")
    ax.plot([], [], color="0.4", ls="--", lw=2.2, label="the same, learned score")
    steps = [*numbers["budgets"], numbers["limit"]]
    ax.set(xscale="log", xlabel="evaluations of the score", xticks=steps, xticklabels=[str(n) for n in steps])
    if measure == "weights":
        ax.set(yscale="log", ylim=(0.01, 5.0), yticks=_TICKS[:7], yticklabels=[f"{y:g}" for y in _TICKS[:7]])
        ax.legend(frameon=False, ncols=3, loc="upper right", fontsize=12)
        ax.set_title("More steps mend their own error, and no approximation", fontweight="bold")
    else:  # it may be negative, chance being subtracted
        ax.set_yscale("symlog", linthresh=0.02)
        ax.set(ylim=(-0.02, 20), yticks=(0, *_TICKS), yticklabels=[f"{y:g}" for y in (0, *_TICKS)])
        ax.set_title("In nats", fontweight="bold")
    ax.minorticks_off()


def _draw_ledger(ax: Axes, numbers: Numbers) -> None:
    """The error of the weights in parts, which add up to the error with learned scores; one may be negative."""
    of_weights = numbers["ledger"]["weights"]
    chance = next(iter(of_weights.values()))["finite chains"]["mean"]
    labels = {part: part for part in PARTS} | {"finite chains": f"finite chains, {chance:.3f} each"}
    for k, rows in enumerate(of_weights.values()):
        up = down = 0.0
        for part in PARTS:
            value = rows[part]["mean"]
            base = up if value >= 0 else down
            ax.bar(k, value, bottom=base, color=_OF_PARTS[part], width=0.62, label=labels[part] if k == 0 else None)
            if abs(value) > 0.05:  # there is room for it
                text = "white" if part in ("approximation", "score") else "black"
                ax.text(k, base + value / 2, f"{value:.3f}", ha="center", va="center", color=text, fontsize=12)
            up, down = (up + value, down) if value >= 0 else (up, down + value)
        total = rows["all"]
        ax.errorbar(k, total["mean"], yerr=total["std"], color="black", marker="_", ms=22, capsize=4)
        ax.text(k, max(up, total["mean"] + total["std"]), f"{total['mean']:.3f}", ha="center", va="bottom",
                fontweight="bold")  # fmt: skip
    ax.axhline(0, color="black", lw=1)
    ax.set_xticks(range(len(of_weights)), list(of_weights))
    ax.set_ylim(top=1.3 * ax.get_ylim()[1])
    ax.set(ylabel="error of the mode weights", xlabel=f"learned score, {numbers['ledger steps']} steps")
    ax.set_title("Whose error?", fontweight="bold")
    ax.legend(frameon=False, ncols=2, loc="upper right")


def _draw_calibration(ax: Axes, numbers: Numbers) -> None:
    """How often 90 % sets hold the truth: exact scores as full markers, learned ones as open ones."""
    found, steps = numbers["calibration"], str(numbers["ledger steps"])
    names = [EXACT, *METHODS]
    level, error, least = 100 * found["level"], 200 * found["standard error"], 80.0
    ax.axvspan(level - error, level + error, color="0.85", lw=0)
    ax.axvline(level, color="black", lw=1.5, ls=":")
    for k, name in enumerate(names):
        rows = [found["posterior"]] if name == EXACT else [found[kind][name][steps] for kind in ("exact", "learned")]
        color = _LINES.get(name, (plotting.NEUTRAL, ""))[0]
        for row, fill, up in zip(rows, (color, "none"), (0.14, -0.14), strict=False):
            for quantity, marker in _MARKERS.items():
                share = 100 * row[quantity]["covered"]
                least = min(least, share)
                ax.plot(share, up - k, marker, markerfacecolor=fill, color=color, ms=11, mew=2)
        ax.text(101, -k, f"{100 * rows[0]['density']['covered']:.1f} %", va="center")
    ax.text(101, 0.75, "by density", va="center")
    for quantity, marker in _MARKERS.items():
        ax.plot([], [], marker, color="0.4", ms=11, ls="", label=quantity)
    ax.plot([], [], "o", color="0.4", markerfacecolor="none", mew=2, ms=11, ls="", label="learned score")
    ax.set_yticks([-k for k in range(len(names))], ["the posterior", *METHODS])
    ticks = [n for n in (20, 40, 60, 80, 85, 90, 95, 100) if n > least - 2]
    ax.set(
        xlim=(least - 2, 108), xticks=ticks, ylim=(0.5 - len(names), 1.6),
        xlabel=f"truth in the {level:.0f} % set, of {found['measurements']} measurements, {steps} steps",
    )  # fmt: skip
    ax.set_title("Who knows what it does not know?", fontweight="bold")
    ax.legend(frameon=False, ncols=4, loc="upper center", fontsize=12)
