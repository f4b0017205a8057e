"""What a loss of one score for several levels of noise stands for, when the score is told none of them."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal.random import normal_like
from toylab.densities import Density
from toylab.objectives.levels import Levels, Weight, draw_levels, weights_at
from toylab.score import NoiseConditionalScore, Score
from toylab.testing.domain_truth import directions_about
from toylab.testing.remembered import Remembered
from toylab.testing.truth import TRUTH


class LevelFreeTruth:
    """The field that is least, which is the score of no density, and the points at which it counts.

    Attributes:
        name: of that field.
        names: of stretches, of which there are none.
        least: that field in words.
        rises: the error in words.

    Args:
        density: the law of the data.
        levels: of the noise.
        weight: lambda, a number or a function of the level.
        minimiser: the field.
    """

    name, names = TRUTH, ()
    least, rises = "objective.minimiser(density)", "w 1/2 |s - s*|^2"

    def __init__(self, density: Density, levels: Levels, weight: Weight, minimiser: Score) -> None:
        self.density, self.levels, self.weight = density, levels, weight
        self._minimiser = Remembered(minimiser)

    def exact(self, x: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """s*(x), whatever the level, shape of x [..., 2]."""
        return self._minimiser(x)

    def score_of(self, field: NoiseConditionalScore) -> Callable[..., Tensor]:
        """The field as an objective calls it, without a level."""

        def score(x: Tensor) -> Tensor:
            return field(x, 0.0)

        return score

    def directions(self) -> dict[str, NoiseConditionalScore]:
        """All fields by name: s* and six others."""
        return directions_about(self.exact)

    def half_square(self, x: Tensor, generator: torch.Generator) -> Callable[[NoiseConditionalScore], Tensor]:
        """lambda 1/2 |f(x + sigma z)|^2 [n] of a field f, at levels and noise that owe nothing to a loss."""
        sigma = draw_levels(self.levels, x, generator)
        noisy, weight = x + sigma[:, None] * normal_like(x, generator), weights_at(self.weight, sigma)
        return lambda f: 0.5 * weight * f(noisy, 0.0).square().sum(-1)
