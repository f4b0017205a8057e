"""The check of a loss of spins, or of cells, by sums over all states where the loss draws nothing."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.discrete import BoltzmannMachine, GridLaw
from toylab.discrete.boltzmann_machine import check_machine
from toylab.objectives.objective import takes_generator
from toylab.testing.contract import check_draws, check_losses
from toylab.testing.estimate import EXACT, Estimate
from toylab.testing.formula import check_constant
from toylab.testing.gradient_evidence import GradientEvidence, ModelLosses, curvatures, value_and_slope
from toylab.testing.gradient_formula import check_rise, check_vanishing
from toylab.testing.grid_slips import explain_cells
from toylab.testing.grid_truth import GridTruth
from toylab.testing.report import Finding, Report
from toylab.testing.run import run, settled
from toylab.testing.spin_slips import explain_spins
from toylab.testing.spin_truth import SPINS, SpinTruth

_FEW = 50


def check_discrete_loss(
    loss: Callable[..., Any],
    *,
    truth: BoltzmannMachine | GridLaw = SPINS,
    n: int = 50_000,
    n_most: int = 4_000_000,
    seed: int = 0,
) -> Report:
    """Check that the mean of a loss of spins, or of cells, has its minimum, or its gradient its zero, at the truth.

    The gradient of E loss(machine, x), x from the truth, in every coupling and field must vanish at the truth and lead
    back to it. Of a loss that draws nothing both are sums over all states, exact. Of one that draws, as contrastive
    divergence does, they are means over batches, with a right loss rejected less than once in 1e6 runs, and points are
    drawn until an error of 0.1 in any parameter would be seen. How steep the loss is, beside likelihood, is told. A
    machine in which some parameters cannot be told apart by a loss is no right truth for it.

    With a ``GridLaw`` as the truth, such as ``CELLS``, the loss is called with a function of cells, which gives four
    numbers each; the gradient is taken in all of these, must vanish where they are the concrete score, and if the loss
    draws, an error of 0.2 in any of them would be seen. How steep the loss is, is told beside E |c - c*|^2, and its
    ``offset(law)`` is checked, if it has one.

    Args:
        loss: called as loss(machine, x), or as loss(machine, x, generator=g) if it takes a generator, for states x
            [n, n_spins], it gives one loss per state; of cells, as loss(score, x) for cells x [n, 2] and a score of
            such cells. One from ``toylab.discrete`` or your own.
        truth: the law of the data, with not so many spins that 2^n states are too many for the loss, or not so many
            cells that a table of them is.
        n: number of states at the least, of a loss that draws.
        n_most: number of states at the most.
        seed: of the states and of what the loss draws, so that a report is reproducible.

    Raises:
        TypeError, ValueError: for bad arguments; never for a bad loss, which is reported.

    >>> from toylab.discrete import GridScoreMatching, pseudo_likelihood
    >>> check_discrete_loss(pseudo_likelihood).passed
    True
    >>> check_discrete_loss(GridScoreMatching(2, 2), truth=GridLaw([[0.1, 0.2], [0.3, 0.4]])).passed
    True
    """
    validate.function("loss", loss, "discrete.pseudo_likelihood")
    law = GridTruth(truth) if isinstance(truth, GridLaw) else SpinTruth(check_machine("truth", truth))
    n = validate.count("n", n, least=100)
    n_most = validate.count("n_most", n_most)
    seed = validate.count("seed", seed, least=0)
    seeds = torch.Generator().manual_seed(seed)

    def fresh() -> int:
        return int(torch.randint(2**60, (), generator=seeds, device="cpu"))

    losses_with, few = _discrete_losses(loss, law), law.states(_FEW, fresh())
    losses, others = losses_with(fresh()), losses_with(fresh())
    contract = [check_losses(losses, law.exact, few, f"loss({law.field}, x)", law.field)]
    if not contract[0].passed:
        return Report(tuple(contract))
    contract.append(check_draws(losses, law.exact, few))
    draws = not torch.equal(losses(law.exact, few).detach(), others(law.exact, few).detach())
    contract.append(_check_states(losses, law.exact, few, exactly=not draws))
    contract.append(_check_gradient(losses, law, few, exactly=not draws))
    if not all(finding.passed for finding in contract):
        return Report(tuple(contract))
    found: GradientEvidence[Any] = GradientEvidence(law)

    def explain() -> str:
        return explain_cells(found, draws) if isinstance(law, GridTruth) else explain_spins(found, draws)

    def look() -> list[Finding]:
        return [check_vanishing(found, explain), check_rise(found, explain), *_check_offset(loss, found)]

    if draws:
        return run(contract, found, lambda n: found.add(losses_with, law.states(n, fresh()), fresh), look, n, n_most)
    _sum_over_states(found, losses)
    return Report(tuple(settled(contract, look())), found.loss_std, found.n)


def _discrete_losses(loss: Callable[..., Any], truth: SpinTruth | GridTruth) -> Callable[[int], ModelLosses]:
    """The losses by seed, with the same random numbers at every call."""
    draws = takes_generator(loss)

    def with_seed(seed: int) -> ModelLosses:
        def losses(a: Tensor, x: Tensor) -> Tensor:
            model = truth.model(a)
            with torch.enable_grad():
                found: Tensor = (
                    loss(model, x, generator=torch.Generator().manual_seed(seed)) if draws else loss(model, x)
                )
                return found

        return losses

    return with_seed


def _sum_over_states(found: GradientEvidence[Any], losses: ModelLosses) -> None:
    """The mean gradient and how it changes, without an error."""
    truth = found.truth
    x: Tensor = truth.every
    n = len(x)
    weights: Tensor = n * truth.probabilities

    def weighted(a: Tensor, x: Tensor) -> Tensor:
        return weights * losses(a, x)

    mean, slope = value_and_slope(weighted, x, truth.exact)
    changes = curvatures(weighted, x, truth.exact)
    for kept, values in ((found.rounds, slope), (found.curved, changes)):
        parts = (Estimate(float(value), 0.0, n) for value in values)
        kept.append(dict(zip(truth.directions, parts, strict=True)))
    found.at_truth = [Estimate(float(mean), 0.0, n)]
    found.batches, found.n = [(weighted, x)], n


def _check_offset(loss: Callable[..., Any], found: GradientEvidence[Any]) -> list[Finding]:
    """Mean loss + offset must be 0 at the truth, for a loss of cells that has an offset."""
    truth, offset_of = found.truth, getattr(loss, "offset", None)
    if not isinstance(truth, GridTruth) or offset_of is None:
        return []
    offset = float(offset_of(truth.law))
    return [check_constant(offset, found.constant(), found.z, EXACT * max(abs(offset), 1.0), of="law")]


def _check_states(losses: ModelLosses, exact: Tensor, x: Tensor, *, exactly: bool) -> Finding:
    """The losses are not all one; if nothing is drawn, each belongs to its own state."""
    name, here = "each state by itself", losses(exact, x).detach()
    if bool((here == here[0]).all()):
        return Finding(
            name, False, "all losses of a batch are one number, its mean or the loss of one state: give each its own"
        )
    if exactly and not torch.allclose(losses(exact, x.flip(0)[:-1]).detach(), here.flip(0)[:-1], rtol=1e-9, atol=1e-9):
        return Finding(name, False, "the loss of a state depends on the others of its batch")
    return Finding(name, True, "the loss of a state depends on that state alone" if exactly else "the losses differ")


def _check_gradient(losses: ModelLosses, truth: SpinTruth | GridTruth, x: Tensor, *, exactly: bool) -> Finding:
    """The loss has a graph to the machine, or to the score; if it draws nothing, its gradient is that of its value."""
    name = "gradient"
    with torch.enable_grad():
        has_one = losses(truth.exact.requires_grad_(), x).requires_grad
    if not has_one:
        return Finding(
            name, False, f"the loss carries no gradient to the {truth.field}: no detach, no no_grad in the loss"
        )
    if not exactly:
        return Finding(name, True, f"reaches the {truth.field}")
    h, steps = 1e-4, torch.eye(len(truth.directions), dtype=torch.float64, device="cpu")
    _, slope = value_and_slope(losses, x, truth.exact)
    expected = torch.stack(
        [(losses(h * step, x).detach().mean() - losses(-h * step, x).detach().mean()) / (2 * h) for step in steps]
    )
    if not torch.allclose(slope, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())):
        return Finding(name, False, "backward gives another gradient than that of the value: a part is detached")
    return Finding(name, True, "is that of the loss")
