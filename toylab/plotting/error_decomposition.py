"""Whose fault is it? The parts of an error as bars."""

import math

import numpy as np
from matplotlib.axes import Axes

from toylab.metrics import ErrorDecomposition, ErrorTerms
from toylab.plotting.axes import axes_of
from toylab.plotting.finite import note_left_out
from toylab.plotting.style import EXACT, LEARNED, NEUTRAL

_PARTS = (("noising", NEUTRAL), ("discretisation", EXACT), ("estimation", LEARNED))
_LABELS = {
    "noising": "noise: another law was aimed at",
    "discretisation": "sampler: steps too few or too large",
    "estimation": "score: estimated, not exact",
}


def error_decomposition(decomposition: ErrorDecomposition, *, ax: Axes | None = None) -> Axes:
    """One bar per score: the parts of its error stacked from zero, up and down by their sign, and their sum as a dot.

    The dot's bar is two standard errors, which is what the finite number of chains leaves open.

    Args:
        decomposition: from ``metrics.explain``.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if ``decomposition`` is something else.
        ValueError: if no score has a finite error.
    """
    if not isinstance(decomposition, ErrorDecomposition):
        raise TypeError(f"decomposition is a {type(decomposition).__name__}: give what metrics.explain returns.")
    shown = {name: terms for name, terms in decomposition.terms.items() if _is_finite(terms)}
    if not shown:
        raise ValueError("decomposition has no finite error: did all chains diverge? Then take a smaller step_size.")
    ax = axes_of(ax, (6, 4.5))
    names = list(shown)
    up, down = np.zeros(len(names)), np.zeros(len(names))
    for part, color in _PARTS:
        sizes = [getattr(terms, part) for terms in shown.values()]
        values = np.array([float(size) for size in sizes])
        ax.bar(names, values, bottom=np.where(values > 0, up, down), width=0.55, color=color, label=_LABELS[part])
        up, down = up + values.clip(min=0), down + values.clip(max=0)
    totals = [terms.total for terms in shown.values()]
    heights, errors = [t.value for t in totals], [t.standard_error for t in totals]
    ax.errorbar(
        names, heights, yerr=[2 * e for e in errors], fmt="o", color="black", mec="white", ms=9, lw=2, capsize=5,
        label="total ± 2 standard errors: finite chains",
    )  # fmt: skip
    reach = max(float(up.max()), -float(down.min()), *(abs(h) + 2 * e for h, e in zip(heights, errors, strict=True)))
    tops = [max(u, h + 2 * e) for u, h, e in zip(up, heights, errors, strict=True)]
    for i, (top, total) in enumerate(zip(tops, totals, strict=True)):
        text = f"{total.value:+.3f}\n± {total.standard_error:.3f}"
        ax.text(i, top + 0.03 * reach, text, ha="center", va="bottom")
    ax.axhline(0.0, color="black", lw=1)
    ax.set(ylim=(float(down.min()) - 0.12 * reach, max(tops) + 0.3 * reach), ylabel="error of the mean")
    ax.set_xlim(-0.6, len(names) - 0.4)
    note_left_out(ax, len(decomposition.terms) - len(names), len(decomposition.terms), "scores")
    return ax


def _is_finite(terms: ErrorTerms) -> bool:
    """Whether all parts are: they add up to the total."""
    return math.isfinite(terms.total.value) and math.isfinite(terms.total.standard_error)
