"""What the formula of a loss must be: least at the true score, of the right scale, with the right constant."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from toylab.densities import Density
from toylab.objectives.objective import HasOffset, Objective
from toylab.score import NoiseConditionalScore
from toylab.testing.contract import Losses
from toylab.testing.report import Finding
from toylab.testing.slips import explain_factor, explain_minimiser
from toylab.testing.truth import DIRECTIONS, FIRST, SECOND, TRUTH, Truth, direction_of
from toylab.testing.z_test import Z, is_mean


@dataclass(frozen=True)
class Expansion:
    """A quadratic loss about a field s, loss(s + h f) = loss(s) + h slope(f) + h^2 curvature(f), per point.

    Attributes:
        slopes: of each direction f, shape [n].
        curvatures: likewise.
    """

    slopes: dict[str, Tensor]
    curvatures: dict[str, Tensor]


def expand(losses: Losses, truth: Truth, x: Tensor, multiple: float = 1.0) -> Expansion:
    """About ``multiple`` times the true score, from losses there and at +- f: exact, as the draws are the same."""
    score = truth.density.score

    def losses_at(f: NoiseConditionalScore, h: float) -> Tensor:
        return losses(lambda y, level: multiple * score(y, level) + h * f(y, level), x)

    here = losses_at(score, 0.0) if multiple != 1 else losses(score, x)
    fields = {name: direction_of(name, truth.density) for name in DIRECTIONS}
    ends = {name: (losses_at(f, 1.0), losses_at(f, -1.0)) for name, f in fields.items()}
    return Expansion(
        {name: (ahead - behind) / 2 for name, (ahead, behind) in ends.items()},
        {name: (ahead + behind) / 2 - here for name, (ahead, behind) in ends.items()},
    )


def check_minimiser(found: Expansion, losses: Losses, truth: Truth, x: Tensor) -> Finding:
    """The slope at the truth must be 0 in every direction; if it is not, the minimiser along s* says what is wrong."""
    name, slopes, curvatures = "minimiser", found.slopes, found.curvatures
    off = [direction for direction, slope in slopes.items() if not is_mean(slope, 0.0)]
    if not off:
        return Finding(name, True, "the true score, in all five directions tried")
    curved = 2 * float(curvatures[TRUTH].mean())
    if curved <= 0:
        return Finding(name, False, "the loss falls without bound as the field grows: sign of the |s|^2 term")
    a = 1 - float(slopes[TRUTH].mean()) / curved
    error = float((slopes[TRUTH] + 2 * (a - 1) * curvatures[TRUTH]).std()) / math.sqrt(len(slopes[TRUTH])) / curved
    tolerance = max(Z * error, 0.02)
    why = explain_minimiser(a, tolerance, truth.single)
    slack = tolerance * math.sqrt(curved)  # a is known that well, and the slope along f changes with it
    others = {direction: slope for direction, slope in expand(losses, truth, x, a).slopes.items() if direction != TRUTH}
    multiple = all(
        is_mean(slope, 0.0, slack * math.sqrt(2 * float(curvatures[direction].mean().abs())))
        for direction, slope in others.items()
    )
    if multiple and why:
        return Finding(name, False, f"converges to {why}")
    return Finding(
        name,
        False,
        "the loss is not least at the true score, nor at a multiple of it that is a known slip: its target is another "
        f"field (nearest multiple of s: {a:.2f}; slope where there must be none: {', '.join(off)})",
    )


def check_scale(found: Expansion, truth: Truth) -> Finding:
    """The curvature must be the mean of weight 1/2 |f|^2 in every direction; their ratios say what is wrong."""
    name, curvatures = "scale", found.curvatures
    ratios = {f: float(curvature.mean()) / truth.curvature(f) for f, curvature in curvatures.items()}
    if all(is_mean(curvature, truth.curvature(direction)) for direction, curvature in curvatures.items()):
        return Finding(name, True, "rises from the truth as w 1/2 |s - s*|^2")
    for direction, words in ((FIRST, "first"), (SECOND, "second")):
        if abs(ratios[direction]) < 0.02:
            return Finding(
                name,
                False,
                f"the loss does not see the {words} coordinate of the field: directions must have E v v^T = I, drawn "
                "anew for each point",
            )
    low, high = min(ratios.values()), max(ratios.values())
    if high - low < 0.05 * abs(high):
        ratio = ratios[TRUTH]
        return Finding(name, False, f"is {ratio:.2g} times w 1/2 |s - s*|^2: {explain_factor(ratio, truth.single)}")
    listed = ", ".join(f"{ratio:.2f} along {direction}" for direction, ratio in ratios.items())
    return Finding(
        name,
        False,
        f"the loss does not rise as w 1/2 |s - s*|^2 but by other multiples in different directions ({listed}): the "
        "field is taken at points of another law, as with another noise scale, or is not squared as |s|^2",
    )


def check_constant(objective: Objective[Any], at_truth: Tensor, density: Density) -> Finding:
    """Mean loss + offset must be 0 at the truth."""
    name, needed = "constant", -float(at_truth.mean())
    if not isinstance(objective, HasOffset):
        return Finding(name, True, f"not checked: the loss has no offset(density); {needed:.4g} by Monte Carlo")
    offset = float(objective.offset(density))
    if is_mean(at_truth + offset, 0.0):
        return Finding(name, True, f"mean loss + offset is 0 at the truth (offset {offset:.4g})")
    return Finding(
        name, False, f"offset(density) is {offset:.4g}, and mean loss + offset = 0 at the truth needs {needed:.4g}"
    )
