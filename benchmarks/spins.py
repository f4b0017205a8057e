"""One step of every estimator of ``toylab.discrete`` beside one of maximum likelihood: nine spins, and a grid."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.measurement import Measurement
from benchmarks.row import Row
from benchmarks.timing import time_in_turns
from toylab import discrete
from toylab.discrete import BoltzmannMachine, GridLaw, GridScoreMatching
from toylab.experiments.setting import generator, scaled_count

BATCH, SIDE = 256, 8
ROUNDING = 1e-12  # of means over all states, in float64
LIKELIHOOD = "maximum likelihood"
Loss = Callable[[Tensor, Tensor], Tensor]
"""Of the parameters, which start at 0, and of points: one number per point."""


@dataclass(frozen=True)
class Case:
    """An estimator and what its step stands beside.

    Attributes:
        ours: its loss.
        peer: name of what stands beside it.
        theirs: the loss of that.
        goal: the most that a step may take, in steps of the peer.
        law: of the points.
        shape: of the parameters.
        error: how far it is from what ``reached`` says.
        reached: what holds of a right one, exactly.
    """

    ours: Loss
    peer: str
    theirs: Loss
    goal: float
    law: BoltzmannMachine | GridLaw
    shape: tuple[int, ...]
    error: Callable[[], float]
    reached: str


def cases() -> dict[str, Case]:
    """By the names of the rows. A Gibbs sweep turns one spin after the other; Z is a sum over 512 states."""
    truth = discrete.ising_grid(3, 3, *torch.tensor([0.3, 0.1], dtype=torch.float64))
    theta, x = truth.to_vector(), truth.sample((BATCH,), generator=generator(0, 1))
    likelihood = _of_vector(discrete.maximum_likelihood)
    plain = partial(likelihood_by_hand, truth.states)

    def beside_likelihood(loss: Loss, slope: Callable[[], Tensor], goal: float) -> Case:
        def error() -> float:
            return float((truth.probabilities() @ slope()).abs().max())

        return Case(loss, LIKELIHOOD, likelihood, goal, truth, theta.shape, error, "a slope of 0 at the truth")

    found = {
        LIKELIHOOD: Case(
            likelihood, "the formula in plain torch", plain, 2.0, truth, theta.shape,
            lambda: float((likelihood(theta, x) - plain(theta, x)).abs().max()), "the same loss",
        )
    }  # fmt: skip
    for name in ("pseudo_likelihood", "ratio_matching", "concrete_score_matching"):
        loss = getattr(discrete, name)
        slope = partial(discrete.loss_gradients, loss, truth)
        found[name.replace("_", " ")] = beside_likelihood(_of_vector(loss), slope, 1.0)
    chain = _of_vector(partial(discrete.contrastive_divergence, generator=generator(0, 2)))
    slope = partial(discrete.contrastive_divergence_gradients, truth)
    return found | {
        "contrastive divergence, 1 sweep": beside_likelihood(chain, slope, 2.0),
        "score matching on a grid": _on_a_grid(),
    }


def _on_a_grid() -> Case:
    """Four numbers for each cell, beside the logits of the cells."""
    law = GridLaw.from_logits(torch.rand(SIDE, SIDE, dtype=torch.float64, generator=generator(0, 3)))
    matching = GridScoreMatching(SIDE, SIDE)

    def ours(table: Tensor, x: Tensor) -> Tensor:
        return matching(lambda y: table[y[..., 0], y[..., 1]], x)

    def theirs(table: Tensor, x: Tensor) -> Tensor:
        return -GridLaw.from_logits(table[..., 0]).log_prob(x)

    def error() -> float:
        mean = law.probabilities.flatten() @ matching(law.concrete_score, law.cells)
        return abs(float(mean) + matching.offset(law))

    return Case(ours, LIKELIHOOD, theirs, 2.5, law, (SIDE, SIDE, 4), error, "an error of 0 at the truth")


def rows(share: float) -> Iterator[Measurement[Row]]:
    """A step is all of it: the batch drawn, the loss, its gradient, Adam."""
    n_steps, repeats = scaled_count(50, share, least=2), scaled_count(11, share, least=2)
    for name, case in cases().items():
        yield _in_turns(name, case, n_steps, repeats)


def _in_turns(name: str, case: Case, n_steps: int, repeats: int) -> Measurement[Row]:
    row = Row(f"one training step of spins, {name}, batch {BATCH}", case.peer, case.goal, allowed=ROUNDING)

    def measure() -> Iterator[Row]:
        ours, theirs = time_in_turns(
            lambda: step(case, case.ours, n_steps), lambda: step(case, case.theirs, n_steps), repeats=repeats
        )
        yield replace(row, ours=ours, theirs=theirs, reached=case.reached, error=case.error())

    return Measurement((row,), measure)


def step(case: Case, loss: Loss, n_steps: int) -> float:
    """Seconds per step."""
    theta = torch.zeros(case.shape, dtype=torch.float64, requires_grad=True)
    optimiser, g = torch.optim.Adam([theta], lr=0.01), generator(0, 1)
    start = time.perf_counter()
    for _ in range(n_steps):
        value = loss(theta, case.law.sample((BATCH,), generator=g)).mean()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return (time.perf_counter() - start) / n_steps


def likelihood_by_hand(states: Tensor, theta: Tensor, x: Tensor) -> Tensor:
    """-log p(x), shape [n], of the machine theta, for x [n, spins] and a table of all states."""
    i, j = torch.triu_indices(x.shape[-1], x.shape[-1], 1)

    def exponent(y: Tensor) -> Tensor:
        return torch.cat([y[:, i] * y[:, j], y], -1) @ theta

    return exponent(states).logsumexp(0) - exponent(x)


def _of_vector(loss: Callable[[BoltzmannMachine, Tensor], Tensor]) -> Loss:
    return lambda theta, x: loss(BoltzmannMachine.from_vector(theta), x)
