"""What every sampler returns."""

from dataclasses import dataclass

from torch import Tensor

from toylab._internal.display import html_table, text_table


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
