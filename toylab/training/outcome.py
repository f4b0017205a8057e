"""A look at what was learned, after the last step."""

from typing import Any

import torch
from torch import Tensor, nn

from toylab._internal.warn import warn
from toylab.densities.density import Density
from toylab.objectives.objective import HasOffset, Objective
from toylab.training.batches import batches

_N_POINTS = 2048
_LEAST_STEPS = 100  # before, nothing need have been learned


def warn_no_better_than_zero(
    network: nn.Module, objective: Objective[Any], data: Density | Tensor, n_steps: int
) -> None:
    """Warn if the mean loss of a trained network is above that of s = 0, by more than five standard errors.

    Losses that stand for a divergence differ from it by a constant, their offset, so that this is a divergence above
    that of no field at all. Both are taken at the same points with the same noise, from a generator of their own. Only
    for objectives of toylab: another may count its calls.
    """
    ours = type(objective).__module__.partition(".")[0] == "toylab"
    if n_steps < _LEAST_STEPS or not ours or not isinstance(objective, HasOffset):
        return
    first = next(network.parameters())
    like = torch.empty(0, dtype=first.dtype, device=first.device)
    x = batches(data, like, (_N_POINTS,), torch.Generator(like.device).manual_seed(0))()

    with torch.no_grad():
        learned, nothing = (
            objective(score, x, generator=torch.Generator(like.device).manual_seed(1)).double()
            for score in (network, _Zero())
        )
    excess = learned - nothing
    if float(excess.mean()) > 5 * float(excess.std()) / _N_POINTS**0.5:
        warn(
            f"the trained network is worse than s = 0: its mean loss is {float(learned.mean()):.3g}, that of no field "
            f"at all is {float(nothing.mean()):.3g}. Data of another scale than the network's (take "
            "network.for_data(data)), a learning_rate too large, or too few steps?"
        )


class _Zero:
    """No field at all, the gradient of a constant."""

    def __call__(self, x: Tensor, *sigma: Tensor | float) -> Tensor:
        return torch.zeros_like(x)

    def energy(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[..., 0])
