"""What every sampler returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from toylab._internal import user_functions, validate
from toylab._internal.display import html_table, text_table
from toylab._internal.optional import require
from toylab.score import LogProb

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class Chains:
    """A cloud of n chains, run in parallel.

    Attributes:
        samples: where the chains ended, shape [n, 2].
        path: kept frames, shape [frames, n, 2], the start first; no frame unless ``keep_every`` was given.
        labels: the label of each frame, shape [frames]: the step, the noise level for annealed samplers, or the time
            of an SDE or a path.
        acceptance: share of proposals each chain accepted, shape [n]; all ones for samplers that never refuse.
        diverged: which chains went off to inf or nan, shape [n].
        diverged_at: the step at which each of them did so, 0 for those that did not, shape [n].
        n_evaluations: evaluations of the score, or of the velocity of a flow, per chain, those of an interrupted run
            included.
    """

    samples: Tensor
    path: Tensor
    labels: Tensor
    acceptance: Tensor
    diverged: Tensor
    diverged_at: Tensor
    n_evaluations: int

    def to_arviz(self, log_prob: LogProb | None = None) -> "xarray.DataTree":
        """The recorded path as ArviZ takes it: its functions and its plots are called with what this returns.

        The group ``posterior`` holds x (chain, draw, coordinate), the coordinates being x1 and x2, the group
        ``sample_stats`` the ``acceptance_rate`` of each chain, which chains ``diverged``, and ``lp`` = log p if asked
        for. Draws are numbered, and have the ``label`` of their frame beside the number. The start is draw 0: leave out
        the warm-up, as in ``tree.isel(draw=slice(100, None))``.

        Args:
            log_prob: log p, to be evaluated along the path.

        Raises:
            ValueError: for chains that were not recorded.
            ModuleNotFoundError: without xarray.
        """
        xr = require("xarray", "to_arviz", "study")
        if len(self.path) == 0:
            raise ValueError("the chains hold no path: run the sampler with keep_every=1.")
        draw = {"draw": np.arange(len(self.path)), "label": ("draw", _array(self.labels))}
        axes = {"chain": np.arange(self.path.shape[1]), **draw}
        x = _array(self.path.movedim(0, 1))
        stats: dict[str, Any] = {
            "acceptance_rate": ("chain", _array(self.acceptance)), "diverged": ("chain", _array(self.diverged)),
        }  # fmt: skip
        if log_prob is not None:
            validate.function("log_prob", log_prob, "p.log_prob", takes=1)
            lp = user_functions.call_log_prob("log_prob", log_prob, self.path)
            stats["lp"] = (("chain", "draw"), _array(lp.T))
        posterior = xr.Dataset({"x": (("chain", "draw", "coordinate"), x)}, {**axes, "coordinate": ["x1", "x2"]})
        tree: xarray.DataTree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": xr.Dataset(stats, axes)})
        return tree

    def __repr__(self) -> str:
        return text_table("Chains", self._summary())

    def _repr_html_(self) -> str:
        return html_table(self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        """What to know about them, as rows of name and value."""
        alive = self.samples[~self.diverged].double()
        rows = [("chains", f"{len(self.samples):,}")]
        if len(alive):
            rows.append(("mean", _point(alive.mean(0))))
        if len(alive) > 1:
            rows.append(("standard deviation", _point(alive.std(0))))
        rows.append(("frames", _frames(self.labels)))
        rows.append(("acceptance", _acceptance(self.acceptance)))
        rows.append(("diverged", _diverged(self.diverged, self.diverged_at)))
        rows.append(("evaluations", f"{self.n_evaluations:,} per chain"))
        return rows


def _array(x: Tensor) -> np.ndarray:
    """A copy as an array of NumPy's."""
    return x.detach().cpu().numpy().copy()


def _point(x: Tensor) -> str:
    return f"({', '.join(f'{float(entry):.3g}' for entry in x)})"


def _frames(labels: Tensor) -> str:
    if not len(labels):
        return "none kept"
    return f"{len(labels):,}, labels {float(labels[0]):g} to {float(labels[-1]):g}"


def _acceptance(rates: Tensor) -> str:
    low, high = float(rates.min()), float(rates.max())
    return f"{float(rates.double().mean()):.3f}" + (f", chains from {low:.3f} to {high:.3f}" if low < high else "")


def _diverged(diverged: Tensor, at: Tensor) -> str:
    n = int(diverged.sum())
    return f"{n:,}, the first at step {int(at[diverged].min())}" if n else "none"
