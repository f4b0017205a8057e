"""What a loss of spins stands for: a Boltzmann machine, and machines about it."""

from functools import cached_property

import torch
from torch import Tensor

from toylab.discrete import BoltzmannMachine
from toylab.testing.evidence import OTHER
from toylab.testing.systematic import systematic

SPINS = BoltzmannMachine.from_vector(torch.tensor([0.5, -0.3, 0.2, 0.1, 0.3, -0.4], dtype=torch.float64, device="cpu"))
"""Three spins with couplings and fields: the machine in which losses are tried."""


class SpinTruth:
    """The parameters of a machine: W_ij for i < j, row by row, then b.

    Attributes:
        name: of the true machine.
        measure: the loss whose curvature is compared with.
        field: what the loss is called with.
        n_controls: none, since batches hold every state as often as they should.

    Args:
        machine: the law of the data.
    """

    name, measure, field, n_controls = "the true couplings and fields", "-log p", "machine", 0

    def __init__(self, machine: BoltzmannMachine) -> None:
        self.theta = machine.to_vector().detach().to("cpu", torch.float64)
        self.machine = self.model(self.exact)
        self.every, self.probabilities = self.machine.states, self.machine.probabilities()

    @cached_property
    def directions(self) -> tuple[str, ...]:
        """Names of the parameters."""
        n = self.machine.n_spins
        i, j = torch.triu_indices(n, n, 1, device="cpu").tolist()
        pairs = [f"W_{a + 1},{b + 1}" for a, b in zip(i, j, strict=True)]
        return (*pairs, *(f"b_{k + 1}" for k in range(n)))

    @property
    def exact(self) -> Tensor:
        """No change of theta, zeros [m]."""
        return torch.zeros_like(self.theta)

    @cached_property
    def variances(self) -> dict[str, float]:
        """Of each statistic: the Fisher information of its parameter."""
        p, f = self.probabilities, self.machine.statistics(self.every)
        return dict(zip(self.directions, (p @ f.square() - (p @ f).square()).tolist(), strict=True))

    def model(self, a: Tensor) -> BoltzmannMachine:
        """The machine of the parameters theta + a."""
        return BoltzmannMachine.from_vector(self.theta + a)

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
        """n states, each as often as its probability says, to one, in random order."""
        return self.every[systematic(self.probabilities, n, seed)]
