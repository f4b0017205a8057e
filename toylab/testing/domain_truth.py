"""What a loss on a bounded domain stands for: 1/2 E sum_i h_i (s_i - s*_i)^2, the score of a law that ends at a wall.

Nothing here integrates by parts, which at a wall needs a weight h that is 0 there: what is wanted of the loss is taken
over the data themselves.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import Density
from toylab.densities.density import Truncated
from toylab.objectives.bounded import weights_in
from toylab.objectives.levels import Weight
from toylab.score import NoiseConditionalScore
from toylab.testing.truth import FIRST, SECOND, SWIRL, TRUTH, UNEVEN, fields
from toylab.testing.velocity_truth import TO_THE_RIGHT, UPWARDS

_N_TRIED = 10_000  # points at which the weight is looked at


class DomainTruth:
    """The exact score of a law, and the weights of its coordinates.

    Attributes:
        name: of the exact score.
        names: of stretches, of which there are none.
        least: the exact score in words.
        rises: the error in words.

    Args:
        density: the law, which may end at a wall.
        weight: h, a positive number or a function of points [n, 2], one weight per coordinate [n, 2] or one for both
            [n]; None is 1.
    """

    name, names = TRUTH, ()
    least, rises = "the exact score", "1/2 sum_i h_i (s_i - s*_i)^2"

    def __init__(self, density: Density, weight: Weight | None) -> None:
        self.density = density
        self.weight: Weight = 1.0
        if callable(weight):
            self.weight = validate.function("weight", weight, "objectives.WallDistance(box)")
        elif weight is not None:
            self.weight = validate.positive("weight", weight)
        x = density.to(torch.float64).sample((_N_TRIED,), generator=torch.Generator().manual_seed(0))
        h = self.weights(x)
        if not bool(((h >= 0) & h.isfinite()).all() & (h > 0).any()):
            raise ValueError(
                "weight is negative or nan at points of the density, or 0 at all of them. Give a density in its "
                "domain, as density=testing.MIXTURE.truncated(box) for WallDistance(box), or a weight that is positive "
                "between the walls."
            )
        if not bool(self.exact(x).abs().max() > 0):
            raise ValueError(
                f"the score of {density!r} is 0, and no error is a share of it: give a law that is not flat, as "
                "density=testing.MIXTURE.truncated((-1, 1, -1, 1))."
            )

    def weights(self, x: Tensor) -> Tensor:
        """The weights h [n, 2] at points x [n, 2]."""
        return weights_in(self.weight, x) if callable(self.weight) else torch.full_like(x, self.weight)

    def exact(self, x: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """s*(x) of the clean law, shape of x [..., 2]."""
        return self.density.score(x)

    def score_of(self, field: NoiseConditionalScore) -> Callable[..., Tensor]:
        """The field as an objective calls it, without a level."""

        def score(x: Tensor, *level: Tensor | float) -> Tensor:
            if level:
                raise ValueError(
                    "the objective calls score(x, level), and on a bounded domain the score of the clean data is "
                    "learned: give its levels by sigma=, or the path of a velocity v(x, t) by path="
                )
            return field(x, 0.0)

        return score

    def directions(self) -> dict[str, NoiseConditionalScore]:
        """All fields by name: s* and six others."""
        return directions_about(self.exact)

    def half_square(self, x: Tensor, generator: torch.Generator) -> Callable[[NoiseConditionalScore], Tensor]:
        """1/2 sum_i h_i f_i^2 [n] of a field f at the data x [n, 2]; nothing is drawn."""
        h = self.weights(x)
        return lambda f: 0.5 * (h * f(x, 0.0).square()).sum(-1)

    def open_walls(self, x: Tensor) -> list[str]:
        """At which walls of a truncated law the weight is not 0, for points x [n, 2] that are moved there."""
        if not isinstance(self.density, Truncated):
            return []
        inside, found = self.weights(x), []
        for k, wall in enumerate(self.density.box):
            if math.isfinite(wall):
                axis, there = k // 2, x.clone()
                there[:, axis] = wall
                if not float(self.weights(there)[:, axis].abs().max()) <= 1e-3 * float(inside[:, axis].max()):
                    found.append(f"x{axis + 1} = {wall:g}")
        return found


def directions_about(exact: NoiseConditionalScore) -> dict[str, NoiseConditionalScore]:
    """All fields by name: the exact one and six others."""

    def of(name: str) -> NoiseConditionalScore:
        def field(x: Tensor, level: Tensor | float, /) -> Tensor:
            if name == TRUTH:
                return exact(x, level)
            if name == UNEVEN:
                return x.sum(-1, keepdim=True).tanh() * exact(x, level)
            if name in (TO_THE_RIGHT, UPWARDS):
                return x.new_tensor([1.0, 0.0] if name == TO_THE_RIGHT else [0.0, 1.0]) + 0 * x
            return fields(x, level)[name]

        return field

    return {name: of(name) for name in (TRUTH, FIRST, SECOND, SWIRL, UNEVEN, TO_THE_RIGHT, UPWARDS)}
