"""The check of a loss of an energy, from first call to constant."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from toylab.objectives.objective import Objective
from toylab.testing.contract import check_draws, check_shape
from toylab.testing.energy_slips import Seen, explain_energy, look_at_energies
from toylab.testing.energy_truth import Asked, Energy, EnergyTruth, energy_losses, losses_of
from toylab.testing.estimate import EXACT
from toylab.testing.formula import check_constant
from toylab.testing.gradient_evidence import GradientEvidence, ModelLosses, value_and_slope
from toylab.testing.gradient_formula import check_rise, check_vanishing
from toylab.testing.report import Finding, Report
from toylab.testing.run import Draws, offset_of, run

_N_LOOKED_AT = 20_000  # points whose energies are followed through the loss
_N_MOVED = 24  # one after the other


def check_energy_objective(
    objective: Objective[Any],
    truth: EnergyTruth,
    network_of: Callable[..., Any] | None,
    draws: Draws,
    n: int,
    n_most: int,
) -> Report:
    """As ``check_objective``, whose arguments these are."""
    traced_with = energy_losses(objective, truth, network_of)
    many, start = draws.points(_N_LOOKED_AT), draws.fresh()
    few = many[:1000]
    traced = traced_with(start)

    def losses(a: Tensor, x: Tensor) -> Tensor:
        return traced(a, x).detach()

    contract = [check_shape(objective, traced, truth.exact, few, "energy")]
    if not contract[0].passed:
        return Report(tuple(contract))
    contract += [_told_of_chains(check_draws(losses, truth.exact, few)), _check_batch(losses, truth.exact, few)]
    contract.append(_check_gradient(traced, truth.exact, few))
    if not all(finding.passed for finding in contract):
        return Report(tuple(contract))
    first = Energy(truth, truth.exact, len(few), start)
    losses_of(objective, first, network_of, few, start)
    truth.carries = "chains" in vars(first)
    found, offset = GradientEvidence(truth), offset_of(objective, truth.density)

    @cache
    def seen() -> Seen:
        def kept(a: Tensor, x: Tensor, calls: list[Asked]) -> Tensor:
            return losses_of(objective, Energy(truth, a, len(x), start, calls), network_of, x, start)

        return look_at_energies(kept, truth, many)

    def explain() -> str:
        return explain_energy(seen(), found)

    def add(n: int) -> None:
        found.add(traced_with, draws.points(n), draws.fresh)

    def look() -> list[Finding]:
        return [check_vanishing(found, explain), check_rise(found, explain), _check_value(offset, found)]

    return run(contract, found, add, look, n, n_most)


def _told_of_chains(finding: Finding) -> Finding:
    """The finding about random numbers, with the other reason why a loss of an energy may not repeat itself."""
    hint = ", and keep chains in the network (network.with_chains), not in the loss"
    return finding if finding.passed else replace(finding, message=finding.message + hint)


def _check_batch(losses: ModelLosses, exact: Tensor, x: Tensor) -> Finding:
    """The losses of a batch depend on more than one of its points; chains may be shared, or refuse to move."""
    name, x = "every point", x[:_N_MOVED]
    here = losses(exact, x)
    if bool((here == here[0]).all()):
        return Finding(
            name,
            False,
            "all losses of a batch are one number, its mean or the loss of one point: give each point its own",
        )
    moved = torch.eye(len(x), dtype=x.dtype, device=x.device)[..., None]
    counts = [not torch.equal(losses(exact, x + one), here) for one in moved]
    if sum(counts) <= 1:
        return Finding(name, False, "only one point of each batch is used, in the losses of all: take x, not a row")
    return Finding(name, True, "the losses of a batch depend on its points")


def _check_gradient(traced: ModelLosses, exact: Tensor, x: Tensor) -> Finding:
    """The loss has a graph to the energy: its value, of held-fixed chains, says nothing of the gradient."""
    name = "gradient"
    parameters = exact.requires_grad_()
    with torch.enable_grad():
        has_one = traced(parameters, x[:_N_MOVED]).requires_grad
    if not has_one:
        return Finding(name, False, "the loss carries no gradient to the energy: no detach, no no_grad in the loss")
    _, slope = value_and_slope(traced, x, exact.detach())
    if not bool(slope.isfinite().all()):
        return Finding(name, False, "the gradient of the loss of the true energy is nan or inf")
    return Finding(name, True, "reaches the energy")


def _check_value(offset: float | None, found: GradientEvidence[EnergyTruth]) -> Finding:
    """Mean loss + offset must be 0 at the truth; of a likelihood without an offset it is told what its value is."""
    if offset is not None:
        return check_constant(offset, found.constant(), found.z, EXACT * max(abs(found.truth.entropy), 1.0))
    told, x = "not checked: the loss has no offset(density)", torch.cat([x for _, x in found.batches])
    excess = found.losses_at_truth() + found.truth.law.log_prob(x)
    middle = float(excess.mean())
    if float((excess - middle).abs().max()) <= EXACT:
        value = "-log p(x), whose mean is the entropy" if abs(middle) <= EXACT else f"-log p(x) + {middle:.4g}"
        told += f"; its value at the truth is {value}"
    return Finding("constant", True, told)
