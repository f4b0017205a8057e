"""What is trained in the theatre: a small network, an objective, data; and the truth it is compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from toylab._internal import validate
from toylab.densities import Density
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced
from toylab.objectives.objective import HasOffset, Objective
from toylab.score import Score
from toylab.training import Fit, fit

# the objective, and the noise of the density whose score it learns
OBJECTIVES: dict[str, Callable[[Density], tuple[Objective[Score], float]]] = {
    "explicit": lambda p: (Explicit(p.score), 0.0),
    "implicit": lambda p: (Implicit(), 0.0),
    "sliced": lambda p: (Sliced(), 0.0),
    "denoising, σ = 0.5": lambda p: (Denoising(0.5), 0.5),
    "denoising, σ = 0.02": lambda p: (Denoising(0.02), 0.02),
}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": functional.softplus,
    "SiLU": functional.silu,
    "ReLU": functional.relu,
}
DATA = {"fresh points at every step": 0, "30 fixed points": 30}  # how many; 0 is a new batch at every step
REPORT_EVERY = 20  # steps from picture to picture


@dataclass(frozen=True)
class Lesson:
    """What is trained: names from the lists of the theatre, and Adam's rate."""

    density: str
    objective: str
    activation: str = "softplus"
    data: str = "fresh points at every step"
    learning_rate: float = 0.005


@dataclass(frozen=True, eq=False)
class Task:
    """A training that can begin.

    Attributes:
        network: with fresh weights.
        objective: the loss.
        data: a density, or fixed points [N, 2].
        learning_rate: Adam's.
        sigma: noise of the density whose score is learned.
        truth: that density.
        offset: the constant that makes the mean loss the Fisher divergence (``objective.offset``).
        generator: source of randomness.
    """

    network: ScoreMLP
    objective: Objective[Score]
    data: Density | Tensor
    learning_rate: float
    sigma: float
    truth: Density
    offset: float
    generator: torch.Generator

    def loss(self, network: nn.Module) -> float:
        """Mean loss of a network on the fixed points, or on 1,000 of the density, plus the offset.

        The points and all that the loss draws are the same at each call, so that what changes is the network.
        """
        g = torch.Generator().manual_seed(0)
        x = self.data if isinstance(self.data, Tensor) else self.data.sample((1000,), generator=g)
        x = x.repeat(-(-1000 // len(x)), 1)  # with few points the noise of the loss itself is averaged
        with torch.no_grad():
            return float(self.objective(network, x, generator=g).mean()) + self.offset

    def train(self, n_steps: int, report: Callable[[nn.Module], float]) -> Fit[ScoreMLP]:
        """Train; ``report`` is called with the averaged network every ``REPORT_EVERY`` steps."""
        return fit(
            self.network, self.objective, self.data, n_steps=n_steps, learning_rate=self.learning_rate,
            report_every=REPORT_EVERY, held_out=report, generator=self.generator, progress=False,
        )  # fmt: skip


def prepare(lesson: Lesson, densities: Mapping[str, Density], width: int, generator: torch.Generator) -> Task:
    """The training that a lesson describes, of a network with two hidden layers of ``width`` units.

    Raises:
        ValueError: if the learning rate is not positive.
    """
    learning_rate = validate.positive("learning rate", lesson.learning_rate)
    density = densities[lesson.density]
    objective, sigma = OBJECTIVES[lesson.objective](density)
    network = ScoreMLP(width, activation=ACTIVATIONS[lesson.activation], generator=generator)
    n = DATA[lesson.data]
    return Task(
        network=network,
        objective=objective,
        data=density.sample((n,), generator=generator) if n else density,
        learning_rate=learning_rate,
        sigma=sigma,
        truth=density.noised(sigma) if sigma else density,
        offset=objective.offset(density) if isinstance(objective, HasOffset) else 0.0,
        generator=generator,
    )
