"""How a training went."""

import numpy as np
from matplotlib.axes import Axes

from toylab.plotting.axes import axes_of
from toylab.plotting.style import EXACT, LEARNED
from toylab.training import History

_LINEAR_BELOW = 0.01  # a noisy estimate of a small divergence may be negative: no logarithm there


def loss_curve(history: History, *, label: str | None = None, ax: Axes | None = None) -> Axes:
    """A training on the Fisher axis (mean loss + offset), or as its bare loss where the offset is not known.

    The Fisher axis is logarithmic above 0.01 and linear below, so that all objectives are seen to go down to one floor.
    Where the history has a held-out divergence, exact at each report, it is drawn as well.

    Args:
        history: of a ``Fit``; give ``fit`` a ``held_out`` to have the exact curve.
        label: of the curve in the legend.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if ``history`` is something else.
    """
    if not isinstance(history, History):
        raise TypeError(f"history is a {type(history).__name__}: give that of a training, as in trained.history.")
    if label is not None and not isinstance(label, str):
        raise TypeError(f"label is a {type(label).__name__}: give a text for the legend, or None.")
    ax = axes_of(ax, (6, 4))
    known = not np.isnan(history.fisher_divergence.numpy()).any()
    values = (history.fisher_divergence if known else history.loss).numpy()
    ax.plot(history.steps.numpy(), values, color=LEARNED, lw=2, marker="o", ms=4, label=label or "loss + offset")
    held_out = history.held_out.numpy()
    if not np.isnan(held_out).any() and len(held_out):
        ax.plot(history.steps.numpy(), held_out, color=EXACT, lw=2, label="held out, exact")
        ax.legend(frameon=False)
    elif label:
        ax.legend(frameon=False)
    if known:
        ax.set_yscale("symlog", linthresh=_LINEAR_BELOW)
        ax.axhline(0.0, color="0.8", lw=1, zorder=0)
    ax.set(xlabel="step", ylabel=f"Fisher divergence (linear below {_LINEAR_BELOW:g})" if known else "loss")
    return ax
