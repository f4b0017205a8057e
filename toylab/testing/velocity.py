"""The check of a loss of a velocity, from first call to constant."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toylab.objectives.objective import Objective
from toylab.paths import VelocityField
from toylab.testing.begin import begin
from toylab.testing.estimate import EXACT
from toylab.testing.field_evidence import FieldEvidence
from toylab.testing.formula import check_constant
from toylab.testing.report import Finding, Report
from toylab.testing.run import Draws, offset_of, run
from toylab.testing.shared_draws import check_shared
from toylab.testing.velocity_formula import check_source, check_times, check_velocity, check_velocity_scale
from toylab.testing.velocity_slips import look_along
from toylab.testing.velocity_truth import VelocityTruth

_N_TIMES = 20_000  # points whose times are looked at


def check_velocity_objective(
    objective: Objective[Any],
    truth: VelocityTruth,
    network_of: Callable[..., Any] | None,
    draws: Draws,
    n: int,
    n_most: int,
) -> Report:
    """As ``check_objective``, whose arguments these are."""
    begun = begin(objective, _of_times, network_of, draws, truth.exact, "velocity")
    contract, losses, losses_with = begun.contract, begun.losses, begun.losses_with
    if not all(finding.passed for finding in contract):
        return Report(tuple(contract))
    many = draws.points(_N_TIMES)
    seen = look_along(losses, truth, many)
    contract.append(check_times(losses, losses_with(draws.fresh()), truth, many, seen))
    if seen is not None:
        contract.append(check_source(seen))
    if all(finding.passed for finding in contract):
        contract.append(check_shared(losses_with, truth.exact, begun.few, draws))
    if not all(finding.passed for finding in contract):
        return Report(tuple(contract))
    found, offset = FieldEvidence(truth), offset_of(objective, truth.density)

    def add(n: int) -> None:
        generator = torch.Generator().manual_seed(draws.fresh())
        found.add(losses_with(draws.fresh()), draws.points(n), generator)

    def look() -> list[Finding]:
        constant = check_constant(offset, found.constant(), found.z, EXACT * found.size())
        return [check_velocity(found, seen), check_velocity_scale(found, seen), constant]

    return run(contract, found, add, look, n, n_most)


def _of_times(field: VelocityField) -> VelocityField:
    """The field as an objective calls it, with its time as a number, one per point [n], or a column [n, 1]."""

    def velocity(x: Tensor, t: Tensor | float | None = None, /) -> Tensor:
        if t is None:
            raise ValueError("the objective calls velocity(x) without a time, and path says that it learns v(x, t)")
        time = torch.as_tensor(t, device=x.device).to(x)
        time = time[..., 0] if time.ndim == x.ndim and time.shape[-1] == 1 else time
        outside = time[(time < 0) | (time > 1)]
        if outside.numel():
            raise ValueError(
                f"the velocity is asked for at t = {float(outside.flatten()[0]):.4g}, and t runs from 0 to 1. If that "
                "of your network runs otherwise, say so by network_of=, as in lambda v: lambda x, t: v(x, t / 1000)."
            )
        return field(x, time.expand(x.shape[:-1]))

    return velocity
