"""The check of a loss, from first call to constant."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.uncalled import refuse_class, refuse_function
from toylab.densities import Density
from toylab.objectives.levels import Levels
from toylab.objectives.objective import Objective
from toylab.score import NoiseConditionalScore, Score
from toylab.testing.contract import check_draws, check_gradient, check_independence, check_shape
from toylab.testing.formula import check_constant, check_minimiser, check_scale, expand
from toylab.testing.report import Report
from toylab.testing.truth import MIXTURE, Truth


def check_objective(
    objective: Objective[Any],
    *,
    sigma: float | Levels = 0.0,
    weight: float | Callable[[Tensor], Tensor] | None = None,
    network_of: Callable[[Score], Score] | None = None,
    density: Density = MIXTURE,
    n: int = 100_000,
    seed: int = 0,
) -> Report:
    """Check that the mean of a loss is a Fisher divergence up to a constant, and say in words what is wrong if not.

    On ``density``, whose score s* is known at every noise level, the loss of n points is taken for fields made of s*:
    along a s*, where the minimiser must be a = 1, and at s* +- f for four other fields f. As the loss is quadratic in
    the field, slope and curvature in each direction follow exactly, with the same random numbers on both sides; each is
    compared with quadrature by a z-test at 5 standard errors. A right loss fails one of them once in 1e5 runs; a wrong
    sign, factor or noise scale is off by far more.

    Args:
        objective: called as objective(score, x, generator=g), it gives one loss per point [n]; one from
            ``toylab.objectives`` or your own. Its ``offset(density)``, if it has one, is checked too.
        sigma: the noise level whose score the objective is to learn: 0 for that of the data, a standard deviation, or
            the levels of a noise-conditional loss (a decreasing tensor, ``LogUniform`` or ``LogNormal``).
        weight: what the Fisher divergence is multiplied by: lambda, a number or a function of the level. None is 1 at
            a single sigma, and sigma^2 at levels.
        network_of: what the objective is to be called with for a score, if not the score itself: for a loss of noise
            predictions, ``lambda s: lambda x: -sigma * s(x)``.
        density: the truth. An objective that holds a target of its own (``Explicit``) is checked on the density of its
            target.
        n: number of points.
        seed: of the points and of what the objective draws, so that a report is reproducible.

    Raises:
        TypeError, ValueError: for bad arguments; never for a bad objective, which is reported.
    """
    refuse_class("objective", objective)
    refuse_function("density", density)
    validate.function("objective", objective, "objectives.Sliced()")
    validate.count("n", n, least=100)
    validate.count("seed", seed, least=0)
    truth = Truth(density, sigma, weight)
    x = density.to(torch.float64).sample((n,), generator=torch.Generator().manual_seed(2 * seed))

    def traced(field: NoiseConditionalScore, x: Tensor) -> Tensor:
        """With the same random numbers at every call; a loss may differentiate the score by autograd."""
        score = truth.score_of(field)
        with torch.enable_grad():
            return objective(
                score if network_of is None else network_of(score),
                x.detach(),
                generator=torch.Generator().manual_seed(2 * seed + 1),
            )

    def losses(field: NoiseConditionalScore, x: Tensor) -> Tensor:
        return traced(field, x).detach()

    findings = [check_shape(traced, density, x)]
    if not findings[-1].passed:
        return Report(tuple(findings))
    findings.append(check_draws(losses, density, x))
    findings.append(check_independence(losses, density, x))
    findings.append(check_gradient(traced, density, x))
    with torch.no_grad():
        at_truth = losses(density.score, x)
        expansion = expand(losses, truth, x)
        findings.append(check_minimiser(expansion, losses, truth, x))
    findings.append(check_scale(expansion, truth))
    findings.append(check_constant(objective, at_truth, density))
    return Report(tuple(findings), float(at_truth.std()))
