"""The check of a loss of a score, from first call to constant."""

from collections.abc import Callable
from typing import Any

from toylab.objectives.objective import Objective
from toylab.testing.begin import begin
from toylab.testing.contract import check_levels
from toylab.testing.estimate import EXACT
from toylab.testing.evidence import Evidence
from toylab.testing.formula import check_constant, check_minimiser, check_scale
from toylab.testing.report import Finding, Report
from toylab.testing.run import Draws, offset_of, run
from toylab.testing.truth import Truth


def check_score_objective(
    objective: Objective[Any],
    truth: Truth,
    network_of: Callable[..., Any] | None,
    draws: Draws,
    n: int,
    n_most: int,
) -> Report:
    """As ``check_objective``, whose arguments these are."""
    density = draws.density
    begun = begin(objective, truth.score_of, network_of, draws, density.score, "score")
    contract = begun.contract
    if not begun.can_be_called:
        return Report(tuple(contract))
    if truth.single is None:
        contract.append(check_levels(begun.losses, truth, begun.few))
        if not contract[-1].passed:
            return Report(tuple(contract))
    found, offset = Evidence(truth), offset_of(objective, density)

    def add(n: int) -> None:
        found.add(begun.losses_with(draws.fresh()), draws.points(n), draws.fresh())

    def look() -> list[Finding]:
        tolerance = EXACT * max(found.half_information(), 1e-9)
        slip = found.noise_slip() if found.denoises else 0.0
        constant = check_constant(offset, found.constant(), found.z, tolerance, slip)
        return [check_minimiser(found), check_scale(found), constant]

    return run(contract, found, add, look, n, n_most)
