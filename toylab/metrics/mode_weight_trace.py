"""When are the mode weights decided? Their course along a run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal.display import html_table, text_table
from toylab.densities.density import Density
from toylab.metrics.estimate import Estimate
from toylab.metrics.mode_weights import mode_weights
from toylab.metrics.points import path_of
from toylab.samplers.chains import Chains

_MOST_SHOWN = 10  # modes


@dataclass(frozen=True, eq=False, repr=False)
class ModeWeightTrace:
    """The weight of each mode at each recorded frame of a run.

    Attributes:
        labels: what the frames are labelled with, shape [frames]: steps, or noise levels.
        weights: shape [frames, K].
        standard_errors: binomial, shape [frames, K].
        moved: share of the chains that changed their mode since the frame before, shape [frames]; 0 at the first.
    """

    labels: Tensor
    weights: Tensor
    standard_errors: Tensor
    moved: Tensor

    def decided_at(self, share: float = 0.01) -> float:
        """The label after which less than ``share`` of the chains still change their mode from frame to frame."""
        busy = (self.moved >= share).nonzero()
        return float(self.labels[int(busy[-1])]) if len(busy) else float(self.labels[0])

    def __repr__(self) -> str:
        return text_table("ModeWeightTrace", self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        ends = f"from {float(self.labels[0]):.4g} to {float(self.labels[-1]):.4g}"
        rows = [("frames", f"{len(self.labels)}, {ends}"), ("decided at", f"{self.decided_at():.4g}")]
        for k in range(min(self.weights.shape[1], _MOST_SHOWN)):
            first, last = (Estimate(float(self.weights[i, k]), float(self.standard_errors[i, k])) for i in (0, -1))
            rows.append((f"mode {k}", f"{first} -> {last}"))
        unseen = self.weights.shape[1] - _MOST_SHOWN
        return rows if unseen <= 0 else [*rows, ("...", f"{unseen} more modes")]


def mode_weight_trace(chains: Chains, density: Density) -> ModeWeightTrace:
    """Mode weights along the recorded path of a run, each chain assigned to its likeliest mode of the clean law.

    For annealed Langevin with ``keep_every=n_steps`` it has one row per noise level.

    Args:
        chains: of a run with ``keep_every``.
        density: the mixture whose modes are counted; any density with a ``posterior``.

    Raises:
        ValueError: if no path was recorded, or it holds nan or inf.
    """
    if not isinstance(chains, Chains):
        raise TypeError(f"chains is a {type(chains).__name__}: give the Chains of a run with keep_every.")
    path = path_of(chains)
    rows = [mode_weights(frame, density) for frame in path]
    at = torch.stack([density.posterior(frame).argmax(-1) for frame in path])
    moved = torch.cat([torch.zeros(1, dtype=torch.float64, device="cpu"), (at[1:] != at[:-1]).double().mean(1).cpu()])
    weights = torch.tensor([[estimate.value for estimate in row] for row in rows], dtype=torch.float64, device="cpu")
    errors = torch.tensor(
        [[estimate.standard_error for estimate in row] for row in rows], dtype=torch.float64, device="cpu"
    )
    return ModeWeightTrace(chains.labels, weights, errors, moved)
