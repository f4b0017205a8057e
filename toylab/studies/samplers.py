"""Every sampler on every density at several prices, with the exact score and a learned one, beside the floor.

A sampler spends its evaluations and leaves 500 points. Their distance W_2 from 500 fresh points of the density is held
against that between two clouds of the density itself, the floor that no sampler can be below.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from toylab import plotting
from toylab._internal.warn import ToylabWarning
from toylab.densities.catalogue import catalogue
from toylab.metrics import Estimate, mean_of, two_sample_floor, wasserstein
from toylab.studies.priced_samplers import EVALUATIONS, N_POINTS, SAMPLERS, Needs, PricedSampler, setting_of

if TYPE_CHECKING:
    import pandas

EXACT, LEARNED = "exact", "learned"
N_FLOORS = 4  # pairs of clouds in each cell

DEAR = {"student_t": 16, "fractal_tree": 64, "banana": 64, "funnel": 64, "two_moons": 64, "spiral": 64}
"""The most evaluations that are spent of exact noised scores that take some 0.02 s at 500 points, and 0.2 s the first:
those are sums over 2,032 Gaussians, or integrals."""

GROUPS = {
    "Gaussians": ("two_modes", "correlated", "ring", "grid", "spiral_of_gaussians", "fractal_tree", "pinwheel"),
    "tails and bends": ("banana", "funnel", "student_t", "laplace"),
    "edges": ("square", "checkerboard"),
    "curves and points": ("two_moons", "spiral", "circle", "concentric_circles", "segment", "points"),
}
"""The densities of the catalogue, by what makes them hard."""

_NO_DENSITY = frozenset(name for name, example in catalogue().items() if example.least_sigma > 0)

grid = {"seed": range(5), "density": list(catalogue()), "score": [EXACT, LEARNED]}


def cell(density: str, score: str, seed: int, generator: torch.Generator) -> dict[str, float]:
    """The distance from a density at which every sampler ends, at every price, and the floor.

    Args:
        density: a name of the catalogue.
        score: "exact" or "learned"; what is learned is learned here.
        seed: of the repetition.
        generator: of the cell.

    Returns:
        "floor"; the distance of "{sampler}, {evaluations}", inf if a chain diverged; for the adaptive samplers that of
        "{sampler}, {tolerance}", and "{sampler}, {tolerance}, spent".
    """
    del seed  # the generator's own seed is made of it
    example = catalogue()[density]
    p, has_density = example.density, example.least_sigma == 0
    with warnings.catch_warnings(action="ignore", category=ToylabWarning):  # the table tells which chains diverged
        setting = setting_of(p, has_density=has_density, learned=score == LEARNED, generator=generator)
        truth = p.sample((N_POINTS,), generator=generator)
        found = {"floor": two_sample_floor(p, N_POINTS, distance, n_repetitions=N_FLOORS, generator=generator).value}
        for name, sampler in SAMPLERS.items():
            for price in sampler.at:
                if why_not(density, score, sampler, price) is None:
                    chains = sampler.run(setting, price)
                    found[f"{name}, {price:g}"] = distance(chains.samples, truth)
                    if sampler.is_adaptive:
                        found[f"{name}, {price:g}, spent"] = chains.n_evaluations
    return found


def distance(x: Tensor, y: Tensor) -> float:
    """W_2 of two clouds; inf if a point of x is not finite."""
    return wasserstein(x, y, error_bar=False).value if bool(x.isfinite().all()) else math.inf


def why_not(density: str, score: str, sampler: PricedSampler, price: float) -> str | None:
    """Why there is no number, in words, or None if there is one.

    Args:
        density: a name of the catalogue.
        score: "exact" or "learned".
        sampler: one of ``SAMPLERS``.
        price: evaluations, or a tolerance.
    """
    if sampler.needs is not Needs.LEVELS and density in _NO_DENSITY:
        return "no density"
    if sampler.needs is Needs.LOG_PROB and score == LEARNED:
        return "needs log p"
    dear = sampler.is_adaptive or price > DEAR.get(density, math.inf)
    if score == EXACT and sampler.needs is Needs.LEVELS and density in DEAR and dear:
        return "dear"
    return None


@dataclass(frozen=True)
class Entry:
    """What a sampler reached at one price.

    Attributes:
        distance: W_2, its mean over the seeds; inf if a chain diverged.
        floor: that of the density.
        spent: evaluations; for an adaptive sampler their mean.
    """

    distance: Estimate
    floor: Estimate
    spent: float

    @property
    def ratio(self) -> Estimate:
        """The distance in units of the floor."""
        value = self.distance.value / self.floor.value
        shares = (each.standard_error / each.value for each in (self.distance, self.floor))
        return Estimate(value, value * math.hypot(*shares))

    @property
    def diverged(self) -> bool:
        """Whether points went to infinity, or are on their way: a thousand floors away on average."""
        return not self.distance.value < 1000 * self.floor.value


Lines = dict[tuple[str, float], Entry | str]
"""Entries, or in words why there is none, by the name of the sampler and its price."""


def floors(table: "pandas.DataFrame") -> dict[str, Estimate]:
    """The floor of each density: the mean over all of its cells, the exact ones and the learned."""
    return {name: _mean(rows["floor"]) for name, rows in table.groupby("density", sort=False)}


def entries(table: "pandas.DataFrame") -> dict[tuple[str, str], Lines]:
    """What every sampler reached, by density and score."""
    floor = floors(table)
    return {
        (density, score): _lines(density, score, rows, floor[density])
        for (density, score), rows in table.groupby(["density", "score"], sort=False)
    }


def _lines(density: str, score: str, rows: "pandas.DataFrame", floor: Estimate) -> Lines:
    lines: Lines = {}
    for name, sampler in SAMPLERS.items():
        for price in sampler.at:
            words = why_not(density, score, sampler, price)
            if words is not None:
                lines[name, price] = words
                continue
            spent = rows[f"{name}, {price:g}, spent"].mean() if sampler.is_adaptive else price
            lines[name, price] = Entry(_mean(rows[f"{name}, {price:g}"]), floor, float(spent))
    return lines


def _mean(values: Any) -> Estimate:  # noqa: ANN401
    """Over seeds; of a single one without an error."""
    numbers = torch.tensor(list(values), dtype=torch.float64, device="cpu")
    return mean_of(numbers) if len(numbers) > 1 else Estimate(float(numbers), math.nan)


@dataclass(frozen=True)
class Mean:
    """Ratios of one sampler at one price, on several densities.

    Attributes:
        ratio: their mean.
        n_densities: over how many.
        n_diverged: on how many more a chain diverged.
        spent: evaluations, their mean.
        words: why there is none, where there is none.
    """

    ratio: Estimate
    n_densities: int
    n_diverged: int
    spent: float
    words: str


def mean_ratio(found: Sequence[Entry | str]) -> Mean:
    """Mean of the ratios r_i, with the error sqrt(sum_i error_i^2) / n; those that diverged left out, and counted."""
    numbers = [entry for entry in found if isinstance(entry, Entry)]
    ratios = [entry.ratio for entry in numbers if not entry.diverged]
    words = ", ".join(dict.fromkeys(entry for entry in found if isinstance(entry, str)))
    n, n_diverged = len(ratios), len(numbers) - len(ratios)
    if not ratios:
        return Mean(Estimate(math.nan, math.nan), 0, n_diverged, math.nan, "diverged" if numbers else words)
    ratio = Estimate(sum(r.value for r in ratios) / n, math.hypot(*(r.standard_error for r in ratios)) / n)
    return Mean(ratio, n, n_diverged, sum(entry.spent for entry in numbers) / len(numbers), words)


def means(found: dict[tuple[str, str], Lines], score: str, densities: Iterable[str]) -> dict[tuple[str, float], Mean]:
    """The mean ratio of every sampler at every price over some densities."""
    there = [found[density, score] for density in densities if (density, score) in found]
    return {
        (name, price): mean_ratio([lines[name, price] for lines in there])
        for name, sampler in SAMPLERS.items()
        for price in sampler.at
    }


def tables(table: "pandas.DataFrame") -> str:
    """All densities together, groups of them at 64 evaluations, and each density by itself, in Markdown."""
    return f"{summary(table)}\n\n{by_density(table)}"


def summary(table: "pandas.DataFrame") -> str:
    """Two tables of distances in units of the floor: over all densities, and over each group of them."""
    found = entries(table)
    everything = {score: means(found, score, list(catalogue())) for score in (EXACT, LEARNED)}
    n = len({density for density, _ in found})
    whole = _page({score: {key: _mean_text(m, n) for key, m in ms.items()} for score, ms in everything.items()})
    grouped = []
    for name, sampler in SAMPLERS.items():
        if not sampler.is_adaptive:
            row = [
                _mean_text(means(found, score, group)[name, 64], sum((d, score) in found for d in group))
                for score in (EXACT, LEARNED)
                for group in GROUPS.values()
            ]
            grouped.append(f"| {name} | {' | '.join(row)} |")
    heads = [f"{score}: {group}" for score in (EXACT, LEARNED) for group in GROUPS]
    return "\n".join(
        [
            "Over all densities, for 16, 64 and 256 evaluations:\n", whole,
            "\nOver each group, for 64 evaluations:\n", _head(heads), *grouped,
        ]
    )  # fmt: skip


def by_density(table: "pandas.DataFrame") -> str:
    """A table of distances for each density, with its floor."""
    found, parts = entries(table), []
    for density, floor in floors(table).items():
        texts = {
            score: {key: _text(entry) for key, entry in found[density, score].items()}
            for score in (EXACT, LEARNED)
            if (density, score) in found
        }
        parts.append(f"**{density}**, floor {floor:.3f}:\n\n{_page(texts)}")
    return "\n\n".join(parts)


def _head(columns: Sequence[str]) -> str:
    return f"| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}"


def _page(texts: dict[str, dict[tuple[str, float], str]]) -> str:
    """One row for each sampler, one column for each score and number of evaluations; the adaptive in the last."""
    rows = [_head([f"{score}, {n}" for score in texts for n in EVALUATIONS])]
    for name, sampler in SAMPLERS.items():
        if sampler.is_adaptive:
            for tolerance in sampler.at:
                row = [text for found in texts.values() for text in ("", "", found[name, tolerance])]
                rows.append(f"| {name}, rtol {tolerance:g} | {' | '.join(row)} |")
        else:
            row = [found[name, n] for found in texts.values() for n in EVALUATIONS]
            rows.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(rows)


def _text(entry: Entry | str) -> str:
    if isinstance(entry, str):
        return entry
    if entry.diverged:
        return "diverged"
    return f"{entry.distance:.3f}{_spent(entry.spent)}"


def _spent(spent: float) -> str:
    """How many evaluations, where it is no price of the table."""
    return "" if spent in EVALUATIONS else f" at {spent:.0f}"


def _mean_text(mean: Mean, n: int) -> str:
    """With the number of densities, where it is not all n of them."""
    if mean.n_densities == 0:
        return mean.words
    diverged = f", diverged on {mean.n_diverged}" if mean.n_diverged else ""
    over = "" if mean.n_densities == n else f" ({mean.n_densities} of {n}{diverged})"
    return f"{mean.ratio:.2f}{_spent(mean.spent)}{over}"


_DRAWN = {
    "Langevin": ("#999999", "v"), "MALA": (plotting.NEUTRAL, "s"), "parallel tempering": ("#E69F00", "P"),
    "annealed Langevin": ("#CC79A7", "X"), "reverse SDE, Euler": (plotting.LEARNED, "o"),
    "DDIM": (plotting.OTHER, "^"), "flow, Heun": (plotting.EXACT, "D"), "flow matching, Heun": ("#56B4E9", "*"),
}  # fmt: skip


def draw(table: "pandas.DataFrame") -> Figure:
    """The distance in units of the floor over the evaluations: a column for each group, exact above, learned below."""
    found = entries(table)
    with plotting.look():
        figure, axes = plt.subplots(2, len(GROUPS), figsize=(17, 9), layout="constrained", sharex=True, sharey=True)
        for row, score in zip(axes, (EXACT, LEARNED), strict=True):
            for ax, densities in zip(row, GROUPS.values(), strict=True):
                if any((density, score) in found for density in densities):
                    _draw_panel(ax, means(found, score, densities))
            row[0].set_ylabel(f"{score} score\ndistance / floor")
        for ax, group in zip(axes[0], GROUPS, strict=True):
            ax.set_title(group, fontweight="bold")
        for ax in axes[1]:
            ax.set_xlabel("evaluations")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=15)
    return figure


def _draw_panel(ax: Axes, found: dict[tuple[str, float], Mean]) -> None:
    ax.axhline(1.0, color="black", lw=2, ls="--", label="floor")
    for name, (color, marker) in _DRAWN.items():
        there = [(n, found[name, n].ratio) for n in EVALUATIONS if found[name, n].n_densities]
        n, r = [n for n, _ in there], [ratio for _, ratio in there]
        ax.errorbar(
            n, [ratio.value for ratio in r], yerr=[ratio.standard_error for ratio in r], color=color, marker=marker,
            ms=9, lw=2.2, capsize=3, label=name,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", ylim=(0.8, 12))
    ax.set_xticks(EVALUATIONS, [str(n) for n in EVALUATIONS])
    ax.minorticks_off()
    ax.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
