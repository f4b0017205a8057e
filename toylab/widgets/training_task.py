"""What is trained in the theatre: a small network, an objective, data; and the truth it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from toylab._internal import validate
from toylab.densities import Density
from toylab.metrics import Extent, grid_points
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced
from toylab.objectives.objective import HasOffset, Objective
from toylab.score import Score
from toylab.training import Fit, fit
from toylab.widgets.known import refusal

DENOISING = "denoising, σ = 0.5"  # learns any law whose noised law is known
# the objective, and the noise of the density whose score it learns
OBJECTIVES: dict[str, Callable[[Density], tuple[Objective[Score], float]]] = {
    "explicit": lambda p: (Explicit(p.score), 0.0),
    "implicit": lambda p: (Implicit(), 0.0),
    "sliced": lambda p: (Sliced(), 0.0),
    DENOISING: lambda p: (Denoising(0.5), 0.5),
    "denoising, σ = 0.02": lambda p: (Denoising(0.02), 0.02),
}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": functional.softplus,
    "SiLU": functional.silu,
    "ReLU": functional.relu,
}
DATA = {"fresh points at every step": 0, "30 fixed points": 30}  # how many; 0 is a new batch at every step
REPORT_EVERY = 20  # steps from picture to picture
CELLS = 80  # per side of the square, on which the truth is drawn and compared
N_DRAWS = 2000  # at which it is compared where it is finer than the cells


@dataclass(frozen=True)
class Lesson:
    """What is trained: names from the lists of the theatre, and Adam's rate."""

    density: str
    objective: str
    activation: str = "softplus"
    data: str = "fresh points at every step"
    learning_rate: float = 0.005


@dataclass(frozen=True, eq=False)
class Goal:
    """What an objective learns of a density.

    Attributes:
        objective: the loss.
        sigma: noise of the density whose score is learned.
        truth: that density.
        offset: the constant that makes the mean loss the Fisher divergence (``objective.offset``).
        draws: of the truth, [n, 2], on the CPU as the network is, where it is finer than the cells of the square; None
            where a sum over them is exact.
    """

    objective: Objective[Score]
    sigma: float
    truth: Density
    offset: float
    draws: Tensor | None


def goal_of(density: Density, objective: str, extent: Extent) -> Goal:
    """What the objective of this name learns of the density.

    Its offset is by draws where the truth is finer than the cells, or a density of one's own has no bounds.

    Raises:
        ValueError: if the density that it learns is not known, or has no score in parts of the square.
    """
    loss, sigma = OBJECTIVES[objective](density)
    truth = density.noised(sigma) if sigma else density
    if sigma and (why := refusal(truth, 0.0)):
        raise ValueError(f"this objective needs the law with noise σ = {sigma:g}: {why}")
    if not has_score(truth, extent):
        with_noise = "" if refusal(density, 0.5) else "choose a denoising objective, which learns it with noise, or "
        raise ValueError(
            f"at σ = {sigma:g} the law has no score in parts of the square: {with_noise}give an extent in which p is "
            "nowhere 0."
        )
    finer = _is_finer_than_cells(truth, extent)
    if not finer and _can_be_integrated(density, sigma):
        return Goal(loss, sigma, truth, loss.offset(density) if isinstance(loss, HasOffset) else 0.0, None)
    g = torch.Generator().manual_seed(0)
    x = density.sample((N_DRAWS if finer else 10 * N_DRAWS,), generator=g).double()
    offset = -float(loss(truth.score, x, generator=g).mean())  # of the exact score, of which the divergence is 0
    return Goal(loss, sigma, truth, offset, truth.sample((N_DRAWS,), generator=g).double().cpu() if finer else None)


def first_objective(density: Density, extent: Extent) -> str:
    """Sliced matching; denoising of a law that has no score without noise, and has one with it."""
    noised_is_known = not refusal(density, 0.5)
    return "sliced" if has_score(density, extent) or not noised_is_known else DENOISING


def has_score(density: Density, extent: Extent) -> bool:
    """Whether the density has a score in all of the square; where p is 0 it has none, whatever its formula gives."""
    at = grid_points(extent, CELLS, dtype=torch.float64)
    if refusal(density, 0.0):
        return False
    return bool(density.log_prob(at).isfinite().all()) and bool(density.score(at).isfinite().all())


def _can_be_integrated(density: Density, sigma: float) -> bool:
    """Whether the density says where quadrature is to look, and how finely."""
    try:
        density.bounds(sigma)
        density.length_scale(sigma)
    except TypeError:
        return False
    return True


def _is_finer_than_cells(density: Density, extent: Extent) -> bool:
    """Whether E|score|^2, as a sum over the cells, is another one over cells half a cell further on."""
    left, right, bottom, top = extent
    cells = grid_points(extent, CELLS, dtype=torch.float64)
    half = torch.tensor([right - left, top - bottom], dtype=torch.float64, device="cpu") / (2 * CELLS)
    here, further = (
        float((torch.softmax(density.log_prob(x), 0) * density.score(x).square().sum(-1)).sum())
        for x in (cells.view(-1, 2), (cells + half).view(-1, 2))
    )
    return not abs(here - further) <= 0.01 * here  # also where one is nan


@dataclass(frozen=True, eq=False)
class Task:
    """A training that can begin.

    Attributes:
        network: with fresh weights.
        goal: what is learned.
        data: a density, or fixed points [N, 2].
        learning_rate: Adam's.
        generator: source of randomness.
    """

    network: ScoreMLP
    goal: Goal
    data: Density | Tensor
    learning_rate: float
    generator: torch.Generator

    def loss(self, network: nn.Module) -> float:
        """Mean loss of a network on the fixed points, or on 1,000 of the density, plus the offset.

        The points and all that the loss draws are the same at each call, so that what changes is the network.
        """
        g = torch.Generator().manual_seed(0)
        x = self.data if isinstance(self.data, Tensor) else self.data.sample((1000,), generator=g)
        x = x.repeat(-(-1000 // len(x)), 1)  # with few points the noise of the loss itself is averaged
        with torch.no_grad():
            return float(self.goal.objective(network, x, generator=g).mean()) + self.goal.offset

    def train(self, n_steps: int, report: Callable[[nn.Module], float]) -> Fit[ScoreMLP]:
        """Train; ``report`` is called with the averaged network every ``REPORT_EVERY`` steps."""
        return fit(
            self.network, self.goal.objective, self.data, n_steps=n_steps, learning_rate=self.learning_rate,
            report_every=REPORT_EVERY, held_out=report, generator=self.generator, progress=False,
        )  # fmt: skip


def prepare(lesson: Lesson, density: Density, goal: Goal, width: int, generator: torch.Generator) -> Task:
    """The training that a lesson describes, of a network with two hidden layers of ``width`` units.

    Raises:
        ValueError: if the learning rate is not positive.
    """
    learning_rate = validate.positive("learning rate", lesson.learning_rate)
    network = ScoreMLP(width, activation=ACTIVATIONS[lesson.activation], generator=generator)
    n = DATA[lesson.data]
    return Task(
        network=network,
        goal=goal,
        data=density.sample((n,), generator=generator) if n else density,
        learning_rate=learning_rate,
        generator=generator,
    )
