"""The check of a loss of a score, from first call to constant."""

from collections.abc import Callable
from typing import Any

from toylab.objectives.objective import Objective
from toylab.testing.contract import check_draws, check_gradient, check_independence, check_levels, check_shape
from toylab.testing.estimate import EXACT
from toylab.testing.evidence import Evidence
from toylab.testing.formula import check_constant, check_minimiser, check_scale
from toylab.testing.report import Finding, Report
from toylab.testing.run import Draws, offset_of, run, traced_losses
from toylab.testing.truth import Losses, Truth


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
    traced_with = traced_losses(objective, truth.score_of, network_of)

    def losses_with(seed: int) -> Losses:
        traced = traced_with(seed)
        return lambda field, x: traced(field, x).detach()

    few, start = draws.points(1000), draws.fresh()
    traced, losses = traced_with(start), losses_with(start)
    contract = [check_shape(objective, traced, density.score, few, "score")]
    if not contract[-1].passed:
        return Report(tuple(contract))
    contract += [check_draws(losses, density.score, few), check_independence(losses, density.score, few)]
    contract.append(check_gradient(traced, density.score, few, "score"))
    if truth.single is None:
        contract.append(check_levels(losses, truth, few))
        if not contract[-1].passed:
            return Report(tuple(contract))
    found, offset = Evidence(truth), offset_of(objective, density)

    def add(n: int) -> None:
        found.add(losses_with(draws.fresh()), draws.points(n), draws.fresh())

    def look() -> list[Finding]:
        tolerance = EXACT * max(found.half_information(), 1e-9)
        slip = found.noise_slip() if found.denoises else 0.0
        constant = check_constant(offset, found.constant(), found.z, tolerance, slip)
        return [check_minimiser(found), check_scale(found), constant]

    return run(contract, found, add, look, n, n_most)
