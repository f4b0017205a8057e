"""The check of a loss, from first call to constant."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.uncalled import refuse_class, refuse_function
from toylab.densities import Density
from toylab.objectives.levels import Levels, Weight
from toylab.objectives.objective import Objective
from toylab.score import NoiseConditionalScore, Score
from toylab.testing.contract import check_draws, check_gradient, check_independence, check_levels, check_shape
from toylab.testing.evidence import Evidence
from toylab.testing.formula import MORE, check_constant, check_minimiser, check_scale
from toylab.testing.report import Finding, Report
from toylab.testing.truth import MIXTURE, Losses, Truth

_FIRST, _BATCH = 50_000, 100_000  # points at a time
_MARGIN = 1.1  # of points over those that should do, as their number is known from fewer


def check_objective(
    objective: Objective[Any],
    *,
    sigma: float | Levels = 0.0,
    weight: Weight | None = None,
    network_of: Callable[[Score], Score] | None = None,
    density: Density = MIXTURE,
    n: int = 400_000,
    n_most: int = 4_000_000,
    seed: int = 0,
) -> Report:
    """Check that the mean of a loss is a Fisher divergence up to a constant, and say in words what is wrong if not.

    On ``density``, whose score s* is known at every noise level, the loss of each point is taken for fields made of s*:
    along a s*, where the minimiser must be a = 1, and at s* +- f for four other fields f. As the loss is quadratic in
    the field, slope and curvature in each direction follow exactly, with the same random numbers on both sides; what
    these numbers do to them is taken out by control variates (``testing.expansion``). Each level of a ladder, and each
    quarter of a continuous law of levels, is tested by itself.

    A pass says how small a slip would have been seen, and points are drawn until that is 5 % in the multiple of s* that
    is learned and in the scale, 10 % along other fields (20 % at one of several levels) and 10 % in the offset, in 98
    of 100 runs. If ``n_most`` points do not suffice, the finding is undecided, and the report has not passed. A right
    loss is rejected less than once in 1e6 runs: the threshold z of the N tests of a run, over all of up to three looks
    at them, solves N 2 (1 - Phi(z)) = 1e-7, and the means of 2,500 or more values each are not quite normal.

    Args:
        objective: called as objective(score, x, generator=g), it gives one loss per point [n]; one from
            ``toylab.objectives`` or your own. Its ``offset(density)``, if it has one, is checked too.
        sigma: the noise level whose score the objective is to learn: 0 for that of the data, a standard deviation, or
            the levels of a noise-conditional loss (a decreasing tensor, ``LogUniform``, ``LogNormal`` or
            ``UniformTimes``).
        weight: what the Fisher divergence is multiplied by: lambda, a number or a function of the level, positive. None
            is 1 at a single sigma, and sigma^2 at levels.
        network_of: what the objective is to be called with for a score, if not the score itself: for a loss of noise
            predictions, ``lambda s: lambda x: -sigma * s(x)``.
        density: the truth. An objective that holds a target of its own (``Explicit``) is checked on the density of its
            target.
        n: number of points at the least, unless the first 50,000 show that something is wrong.
        n_most: number of points at the most.
        seed: of the points and of what the objective draws, so that a report is reproducible.

    Raises:
        TypeError, ValueError: for bad arguments; never for a bad objective, which is reported.
    """
    refuse_class("objective", objective)
    refuse_function("density", density)
    if not isinstance(density, Density):
        raise TypeError(f"density is a {type(density).__name__}: give a density, such as densities.two_modes().")
    validate.function("objective", objective, "objectives.Sliced()")
    validate.count("n", n, least=100)
    validate.count("n_most", n_most)
    validate.count("seed", seed, least=0)
    density = density.to("cpu")  # where all of this is computed
    truth = Truth(density, sigma, weight)
    points, seeds = density.to(torch.float64), torch.Generator().manual_seed(seed)

    def fresh() -> int:
        return int(torch.randint(2**60, (), generator=seeds))

    def traced_with(seed: int) -> Losses:
        """The losses with the same random numbers at every call; a loss may differentiate the score by autograd."""

        def traced(field: NoiseConditionalScore, x: Tensor) -> Tensor:
            score = truth.score_of(field)
            with torch.enable_grad():
                return objective(
                    score if network_of is None else network_of(score),
                    x.detach(),
                    generator=torch.Generator().manual_seed(seed),
                )

        return traced

    def losses_with(seed: int) -> Losses:
        traced = traced_with(seed)
        return lambda field, x: traced(field, x).detach()

    def draw(n: int) -> Tensor:
        return points.sample((n,), generator=torch.Generator().manual_seed(fresh()))

    few, start = draw(1000), fresh()
    traced, losses = traced_with(start), losses_with(start)
    contract = [check_shape(objective, traced, density, few)]
    if not contract[-1].passed:
        return Report(tuple(contract))
    contract += [check_draws(losses, density, few), check_independence(losses, density, few)]
    contract.append(check_gradient(traced, density, few))
    if truth.single is None:
        contract.append(check_levels(losses, truth, few))
        if not contract[-1].passed:
            return Report(tuple(contract))
    found = Evidence(truth)

    def add(n: int) -> None:
        with torch.no_grad():
            found.add(losses_with(fresh()), draw(n), fresh())

    def look() -> list[Finding]:
        with torch.no_grad():
            return [check_minimiser(found), check_scale(found), check_constant(objective, found)]

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
    if _is_wrong(contract + findings):
        findings = [_left_there(finding) for finding in findings]
    return Report(tuple(contract + findings), found.loss_std, found.n)


def _left_there(finding: Finding) -> Finding:
    """Where something else is wrong, what was not examined further counts as it stands: nothing was found."""
    if not finding.undecided:
        return finding
    seen = finding.message.split(": ", 1)[1].removesuffix(f". {MORE}")
    return replace(finding, passed=True, undecided=False, message=f"nothing found in these points; {seen}")


def _is_wrong(findings: list[Finding]) -> bool:
    return any(not finding.passed and not finding.undecided for finding in findings)
