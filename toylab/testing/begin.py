"""How every check of a field begins: the loss is called for the first time, and what its code does is looked at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from toylab.objectives.objective import Objective
from toylab.score import NoiseConditionalScore
from toylab.testing.contract import check_draws, check_gradient, check_independence, check_shape
from toylab.testing.report import Finding
from toylab.testing.run import Draws, traced_losses
from toylab.testing.truth import Losses


@dataclass(frozen=True)
class Beginning:
    """What the first calls told.

    Attributes:
        contract: findings about the code of the loss: of its shape alone if it cannot be called.
        few: the points of these calls, shape [1000, 2].
        losses_with: the losses by seed, without a graph.
        losses: those of the first seed.
    """

    contract: list[Finding]
    few: Tensor
    losses_with: Callable[[int], Losses]
    losses: Losses

    @property
    def can_be_called(self) -> bool:
        """Whether it gave one finite loss per point."""
        return self.contract[0].passed


def begin(
    objective: Objective[Any],
    as_called: Callable[[NoiseConditionalScore], Callable[..., Tensor]],
    network_of: Callable[..., Any] | None,
    draws: Draws,
    exact: NoiseConditionalScore,
    field: str,
) -> Beginning:
    """Call the loss with the exact field, a score or a velocity, as ``field`` says.

    Args:
        objective: the loss.
        as_called: a field as an objective calls it.
        network_of: what the objective is to be called with in its place, if anything.
        draws: where points and seeds come from.
        exact: the truth.
        field: its name in words.
    """
    traced_with = traced_losses(objective, as_called, network_of)

    def losses_with(seed: int) -> Losses:
        traced = traced_with(seed)
        return lambda field, x: traced(field, x).detach()

    few, start = draws.points(1000), draws.fresh()
    traced, losses = traced_with(start), losses_with(start)
    contract = [check_shape(objective, traced, exact, few, field)]
    if contract[0].passed:
        contract += [check_draws(losses, exact, few), check_independence(losses, exact, few)]
        contract.append(check_gradient(traced, exact, few, field))
    return Beginning(contract, few, losses_with, losses)
