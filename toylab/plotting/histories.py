"""How a training went."""

import math

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from toylab.plotting.style import EXACT, LEARNED
from toylab.training import History


def loss_curve(
    history: History, *, held_out: float | None = None, label: str | None = None, ax: Axes | None = None
) -> Axes:
    """A training on the Fisher axis (mean loss + offset), or as its bare loss where the offset is not known.

    Args:
        history: of a ``Fit``.
        held_out: the exact Fisher divergence of the result (``metrics.fisher_divergence``), drawn as a line.
        label: of the curve in the legend.
        ax: where to draw; None makes a figure.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    known = not np.isnan(history.fisher_divergence.numpy()).any()
    values = (history.fisher_divergence if known else history.loss).numpy()
    ax.plot(history.steps.numpy(), values, color=LEARNED, lw=2, marker="o", ms=4, label=label)
    if held_out is not None and math.isfinite(held_out):
        ax.axhline(held_out, color=EXACT, lw=2, ls="--", label=f"exact, at the end: {held_out:.4f}")
    ax.set(xlabel="step", ylabel="Fisher divergence (loss + offset)" if known else "loss")
    if label or held_out is not None:
        ax.legend(frameon=False)
    return ax
