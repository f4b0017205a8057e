"""The check of a loss of a score, from first call to constant."""

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from toylab.objectives.objective import Objective
from toylab.testing.begin import begin
from toylab.testing.contract import check_levels
from toylab.testing.estimate import EXACT
from toylab.testing.evidence import Evidence
from toylab.testing.formula import check_constant, check_minimiser, check_scale
from toylab.testing.report import Finding, Report
from toylab.testing.run import Draws, offset_of, run
from toylab.testing.score_slips import explain_points, explain_target
from toylab.testing.shared_draws import check_shared
from toylab.testing.truth import Truth

_N_LOOKED_AT = 20_000  # points, once something is wrong


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
    contract.append(check_shared(begun.losses_with, density.score, begun.few, draws, truth))
    if not contract[-1].passed:
        return Report(tuple(contract))
    found, offset = Evidence(truth), offset_of(objective, density)

    @functools.cache
    def looked_at() -> Tensor:
        return Draws(density, draws.seed + 1).points(_N_LOOKED_AT)  # so that all else is as without this look

    @functools.cache
    def of_points() -> str:
        return explain_points(begun.losses, truth, looked_at())

    def of_target() -> str:
        return of_points() or explain_target(begun.losses, truth, looked_at())

    def add(n: int) -> None:
        found.add(begun.losses_with(draws.fresh()), draws.points(n), draws.fresh())

    def look() -> list[Finding]:
        tolerance = EXACT * max(found.half_information(), 1e-9)
        slip = found.noise_slip() if found.denoises else 0.0
        constant = check_constant(offset, found.constant(), found.z, tolerance, slip)
        minimiser = check_minimiser(found, of_target)
        told = not minimiser.passed and not minimiser.undecided
        scale = check_scale(found, (lambda: of_points() and "for the same reason") if told else of_points)
        return [minimiser, scale, constant]

    return run(contract, found, add, look, n, n_most)
