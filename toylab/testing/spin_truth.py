"""What a loss of spins stands for: a Boltzmann machine, and machines about it."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from toylab.discrete import BoltzmannMachine
from toylab.objectives.objective import takes_generator
from toylab.testing.evidence import OTHER
from toylab.testing.gradient_evidence import ModelLosses

SPINS = BoltzmannMachine.from_vector(torch.tensor([0.5, -0.3, 0.2, 0.1, 0.3, -0.4], dtype=torch.float64))
"""Three spins with couplings and fields: the machine in which losses are tried."""


class SpinTruth:
    """The parameters of a machine: W_ij for i < j, row by row, then b.

    Attributes:
        name: of the true machine.
        n_controls: none, since batches hold every state as often as they should.

    Args:
        machine: the law of the data.
    """

    name, n_controls = "the true couplings and fields", 0

    def __init__(self, machine: BoltzmannMachine) -> None:
        self.theta = machine.to_vector().detach().to("cpu", torch.float64)
        self.machine = BoltzmannMachine.from_vector(self.theta)

    @cached_property
    def directions(self) -> tuple[str, ...]:
        """Names of the parameters."""
        n = self.machine.n_spins
        i, j = torch.triu_indices(n, n, 1).tolist()
        pairs = [f"W_{a + 1},{b + 1}" for a, b in zip(i, j, strict=True)]
        return (*pairs, *(f"b_{k + 1}" for k in range(n)))

    @property
    def exact(self) -> Tensor:
        """No change of theta, zeros [m]."""
        return torch.zeros_like(self.theta)

    @cached_property
    def variances(self) -> dict[str, float]:
        """Of each statistic: the Fisher information of its parameter."""
        p, f = self.machine.probabilities(), self.machine.statistics(self.machine.states)
        return dict(zip(self.directions, (p @ f.square() - (p @ f).square()).tolist(), strict=True))

    def controls(self, x: Tensor, seed: int) -> Tensor:
        """None, shape [0]."""
        return x.new_empty(0)

    def goal(self, name: str) -> float:
        """The error of a parameter that must be visible."""
        return OTHER

    def told(self, visible: dict[str, float]) -> str:
        """In words what would have been seen."""
        return f"an error of {max(visible.values(), default=0.0):.2g} in any of them would have been seen"

    def states(self, n: int, seed: int) -> Tensor:
        """n states, each as often as its probability says, to one: by systematic sampling, and in random order."""
        g = torch.Generator().manual_seed(seed)
        offset = torch.rand((), dtype=torch.float64, generator=g)
        at = (torch.arange(n, dtype=torch.float64) + offset) / n
        k = torch.searchsorted(self.machine.probabilities().cumsum(0), at).clamp(max=2**self.machine.n_spins - 1)
        return self.machine.states[k[torch.randperm(n, generator=g)]]


def spin_losses(loss: Callable[..., Any], truth: SpinTruth) -> Callable[[int], ModelLosses]:
    """The losses by seed, with the same random numbers at every call."""
    draws = takes_generator(loss)

    def with_seed(seed: int) -> ModelLosses:
        def losses(a: Tensor, x: Tensor) -> Tensor:
            machine = BoltzmannMachine.from_vector(truth.theta + a)
            with torch.enable_grad():
                found: Tensor = (
                    loss(machine, x, generator=torch.Generator().manual_seed(seed)) if draws else loss(machine, x)
                )
                return found

        return losses

    return with_seed
