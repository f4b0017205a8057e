"""The check of a loss whose error is taken at known points: on a bounded domain, or over levels that are not told."""

from collections.abc import Callable
from typing import Any

import torch

from toylab.objectives.objective import Objective
from toylab.testing.begin import begin
from toylab.testing.domain_formula import check_domain_minimiser, check_domain_scale
from toylab.testing.domain_slips import explain_domain, explain_domain_weight
from toylab.testing.domain_truth import DomainTruth
from toylab.testing.estimate import EXACT
from toylab.testing.field_evidence import FieldEvidence
from toylab.testing.formula import check_constant
from toylab.testing.level_free import LevelFreeTruth
from toylab.testing.report import Finding, Report
from toylab.testing.run import Draws, offset_of, run
from toylab.testing.shared_draws import check_shared


def check_domain_objective(
    objective: Objective[Any],
    truth: DomainTruth | LevelFreeTruth,
    network_of: Callable[..., Any] | None,
    draws: Draws,
    n: int,
    n_most: int,
) -> Report:
    """As ``check_objective``, whose arguments these are."""
    begun = begin(objective, truth.score_of, network_of, draws, truth.exact, "score")
    if begun.can_be_called:
        begun.contract.append(check_shared(begun.losses_with, truth.exact, begun.few, draws))
    if not begun.can_be_called or not begun.contract[-1].passed:
        return Report(tuple(begun.contract))
    found, offset = FieldEvidence(truth), offset_of(objective, truth.density)

    def explain() -> str:
        return explain_domain(begun.losses, truth, begun.few) if isinstance(truth, DomainTruth) else ""

    def explain_weight() -> str:
        if isinstance(truth, DomainTruth):
            return explain_domain_weight(begun.losses, truth, begun.few)
        return "its weight, or its levels, are others; say so by weight=, a function of sigma, and sigma="

    def add(n: int) -> None:
        generator = torch.Generator().manual_seed(draws.fresh())
        found.add(begun.losses_with(draws.fresh()), draws.points(n), generator)

    def look() -> list[Finding]:
        return [
            check_domain_minimiser(found, explain),
            check_domain_scale(found, explain_weight),
            check_constant(offset, found.constant(), found.z, EXACT * found.size()),
        ]

    return run(begun.contract, found, add, look, n, n_most)
