"""When are the mode weights decided? Their course along a run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.densities.gaussian_mixture import GaussianMixture
from toylab.metrics.estimate import Estimate
from toylab.metrics.modes import mode_weights
from toylab.samplers.chains import Chains


@dataclass(frozen=True, eq=False)
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


def mode_weight_ledger(chains: Chains, density: GaussianMixture) -> ModeWeightTrace:
    """Mode weights along the recorded path of a run, each chain assigned to its likeliest mode of the clean law.

    Of annealed Langevin with ``keep_every=n_steps`` it has one row a noise level.

    Args:
        chains: of a run with ``keep_every``.
        density: the mixture whose modes are counted.

    Raises:
        ValueError: if no path was recorded, or it holds nan or inf.
    """
    if len(chains.path) == 0:
        raise ValueError("chains hold no path: run the sampler with keep_every=..., such as n_steps for a row a level.")
    rows: list[list[Estimate]] = [mode_weights(frame, density) for frame in chains.path]
    at = torch.stack([density.posterior(frame).argmax(-1) for frame in chains.path])
    moved = torch.cat([torch.zeros(1, dtype=torch.float64), (at[1:] != at[:-1]).double().mean(1).cpu()])
    weights, errors = (
        torch.tensor([[getattr(entry, name) for entry in row] for row in rows], dtype=torch.float64)
        for name in ("value", "standard_error")
    )
    return ModeWeightTrace(chains.labels, weights, errors, moved)
