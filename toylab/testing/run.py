"""The run of a check: points are drawn until something is wrong, or every slip that must be visible is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from toylab.densities import Density
from toylab.objectives import HasOffset, Objective
from toylab.score import NoiseConditionalScore
from toylab.testing.formula import MORE
from toylab.testing.report import Finding, Report
from toylab.testing.truth import Losses

_FIRST, _BATCH = 50_000, 100_000  # points at a time
_MARGIN = 1.1  # of points over those that should do, as their number is known from fewer


@dataclass
class Draws:
    """Points of a density in float64, and seeds for what a loss draws, all from one seed."""

    density: Density
    seed: int
    _seeds: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._seeds = torch.Generator().manual_seed(self.seed)

    def fresh(self) -> int:
        """A seed that was not used before."""
        return int(torch.randint(2**60, (), generator=self._seeds, device="cpu"))

    def points(self, n: int) -> Tensor:
        """Shape [n, 2]."""
        return self.density.to(torch.float64).sample((n,), generator=torch.Generator().manual_seed(self.fresh()))


class Found(Protocol):
    """What batches have told so far: ``Evidence`` or ``FieldEvidence``."""

    n: int

    @property
    def loss_std(self) -> float:
        """Standard deviation of the loss of a point, at the truth."""
        ...

    def needed(self, constant_slip: float) -> float:
        """How many times the points there are would make every slip visible that must be."""
        ...


def traced_losses(
    objective: Objective[Any],
    as_called: Callable[[NoiseConditionalScore], Callable[..., Tensor]],
    network_of: Callable[..., Any] | None,
) -> Callable[[int], Losses]:
    """The losses by seed, with the same random numbers at every call; a loss may differentiate the field by autograd.

    Args:
        objective: the loss.
        as_called: the field as an objective calls it.
        network_of: what the objective is to be called with in its place, if anything.
    """

    def with_seed(seed: int) -> Losses:
        def traced(field: NoiseConditionalScore, x: Tensor) -> Tensor:
            called = as_called(field)
            with torch.enable_grad():
                return objective(
                    called if network_of is None else network_of(called),
                    x.detach(),
                    generator=torch.Generator().manual_seed(seed),
                )

        return traced

    return with_seed


def offset_of(objective: Objective[Any], density: Density) -> float | None:
    """The constant of an objective, if it knows it."""
    return float(objective.offset(density)) if isinstance(objective, HasOffset) else None


def run(
    contract: list[Finding],
    found: Found,
    add: Callable[[int], None],
    look: Callable[[], list[Finding]],
    n: int,
    n_most: int,
) -> Report:
    """Report on a loss after as many points as it takes.

    Args:
        contract: findings about its code.
        found: what is known, nothing at first.
        add: lets the loss tell more, of so many points.
        look: findings about its formula; the last one is about the constant.
        n: number of points at the least, unless the first show that something is wrong.
        n_most: number of points at the most.
    """
    with torch.no_grad():
        add(min(n, _FIRST))
        findings = look()
        # with other random numbers on the two sides, say, no number of points would do
        if not _is_wrong(contract + findings) and found.n < min(n, n_most):
            while found.n < min(n, n_most):
                add(min(_BATCH, max(min(n, n_most) - found.n, 100)))
            findings = look()
        while (
            not _is_wrong(contract + findings)
            and found.n < n_most
            and (times := found.needed(findings[-1].smallest_slip)) > 1
        ):
            goal = min(n_most, int(_MARGIN * times * found.n))
            while found.n < goal:
                add(min(_BATCH, max(goal - found.n, 100)))
            findings = look()
    return Report(tuple(settled(contract, findings)), found.loss_std, found.n)


def settled(contract: list[Finding], findings: list[Finding]) -> list[Finding]:
    """All of them; where something is wrong, what could not be told counts as it stands."""
    return contract + ([_left_there(finding) for finding in findings] if _is_wrong(contract + findings) else findings)


def _left_there(finding: Finding) -> Finding:
    """Where something else is wrong, what was not examined further counts as it stands: nothing was found."""
    if not finding.undecided:
        return finding
    seen = finding.message.split(": ", 1)[1].partition(f" {MORE}")[0].removesuffix(".")
    return replace(finding, passed=True, undecided=False, message=f"nothing found in these points; {seen}")


def _is_wrong(findings: list[Finding]) -> bool:
    return any(not finding.passed and not finding.undecided for finding in findings)
