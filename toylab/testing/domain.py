"""The check of a loss of a score on a bounded domain, from first call to constant."""

from collections.abc import Callable
from typing import Any

import torch

from toylab.objectives.objective import Objective
from toylab.testing.contract import check_draws, check_gradient, check_independence, check_shape
from toylab.testing.domain_formula import check_domain_minimiser, check_domain_scale
from toylab.testing.domain_slips import explain_domain, explain_domain_weight
from toylab.testing.domain_truth import DomainTruth
from toylab.testing.estimate import EXACT
from toylab.testing.field_evidence import FieldEvidence
from toylab.testing.formula import check_constant
from toylab.testing.report import Finding, Report
from toylab.testing.run import Draws, offset_of, run, traced_losses
from toylab.testing.truth import Losses


def check_domain_objective(
    objective: Objective[Any],
    truth: DomainTruth,
    network_of: Callable[..., Any] | None,
    draws: Draws,
    n: int,
    n_most: int,
) -> Report:
    """As ``check_objective``, whose arguments these are."""
    traced_with = traced_losses(objective, truth.score_of, network_of)

    def losses_with(seed: int) -> Losses:
        traced = traced_with(seed)
        return lambda field, x: traced(field, x).detach()

    few, start = draws.points(1000), draws.fresh()
    traced, losses = traced_with(start), losses_with(start)
    contract = [check_shape(objective, traced, truth.exact, few, "score")]
    if not contract[-1].passed:
        return Report(tuple(contract))
    contract += [check_draws(losses, truth.exact, few), check_independence(losses, truth.exact, few)]
    contract.append(check_gradient(traced, truth.exact, few, "score"))
    found, offset = FieldEvidence(truth), offset_of(objective, truth.density)

    def add(n: int) -> None:
        found.add(losses_with(draws.fresh()), draws.points(n), torch.Generator())

    def look() -> list[Finding]:
        return [
            check_domain_minimiser(found, lambda: explain_domain(losses, truth, few)),
            check_domain_scale(found, lambda: explain_domain_weight(losses, truth, few)),
            check_constant(offset, found.constant(), found.z, EXACT * found.size()),
        ]

    return run(contract, found, add, look, n, n_most)
