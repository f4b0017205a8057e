"""What a loss stands for: a density, its levels with their weights, and fields to disturb its score with."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import Density, GaussianMixture
from toylab.densities.quadrature import expectation
from toylab.objectives.levels import ContinuousLevels, Levels, check_levels, level_nodes
from toylab.objectives.noise_conditional import square
from toylab.score import NoiseConditionalScore

MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
"""Three correlated components: the density on which losses are tried."""

TRUTH = "s*"
FIRST = "(sin(x1) + cos(x2), 0)"
SECOND = "(0, cos(x1) + sin(2 x2))"
SWIRL = "(tanh(x2), -tanh(x1))"
UNEVEN = "tanh(x1 + x2) s*"  # sees a multiple of the score that is not the same everywhere
DIRECTIONS = (TRUTH, FIRST, SECOND, SWIRL, UNEVEN)


def fields(x: Tensor) -> dict[str, Tensor]:
    """Three fields to disturb the truth with: one per coordinate, and one that is not a gradient."""
    x1, x2 = x.unbind(-1)
    zero = torch.zeros_like(x1)
    return {
        FIRST: torch.stack([x1.sin() + x2.cos(), zero], -1),
        SECOND: torch.stack([zero, x1.cos() + (2 * x2).sin()], -1),
        SWIRL: torch.stack([x2.tanh(), -x1.tanh()], -1),
    }


class Truth:
    """The density, the levels with their weights, and the exact curvature of the loss in each direction.

    Args:
        density: whose score is to be learned.
        sigma: the noise level, or the levels, at which.
        weight: what the Fisher divergence is multiplied by, a number or a function of the level; None is 1 at a single
            sigma, and sigma^2 at levels.
    """

    def __init__(
        self, density: Density, sigma: float | Levels, weight: float | Callable[[Tensor], Tensor] | None
    ) -> None:
        self.density = density
        if isinstance(sigma, Tensor | ContinuousLevels):
            levels, shares = level_nodes(check_levels("sigma", sigma))
            self.single, weight = None, square if weight is None else weight
        else:
            self.single = float(validate.noise_level(sigma, torch.zeros(2)))
            levels, shares = torch.tensor([self.single], dtype=torch.float64), torch.ones(1)
            weight = 1.0 if weight is None else weight
        self.parts = [
            (float(share) * float(weight(level) if callable(weight) else weight), float(level))
            for share, level in zip(shares, levels, strict=True)
        ]

    def score_of(self, field: NoiseConditionalScore) -> Callable[..., Tensor]:
        """The field as an objective calls it: with the level where there are several, without where there is one."""

        def score(x: Tensor, *level: Tensor | float) -> Tensor:
            if level:
                return field(x, level[0])
            if self.single is None:
                raise TypeError("the objective calls score(x) without a level, but sigma says there are several")
            return field(x, self.single)

        return score

    def curvature(self, name: str) -> float:
        """The mean of weight 1/2 |f|^2 over p_sigma and the levels, f the field of that name."""
        return sum(weight * mean_half_square(name, self.density, level) for weight, level in self.parts if weight > 0)


def direction_of(name: str, density: Density) -> NoiseConditionalScore:
    """The field of that name, a function of (x, sigma)."""

    def uneven(x: Tensor, sigma: Tensor | float, /) -> Tensor:
        return x.sum(-1, keepdim=True).tanh() * density.score(x, sigma)

    def of_the_point_alone(x: Tensor, sigma: Tensor | float, /) -> Tensor:
        return fields(x)[name]

    return {TRUTH: density.score, UNEVEN: uneven}.get(name, of_the_point_alone)


@lru_cache(maxsize=1024)
def mean_half_square(name: str, density: Density, sigma: float) -> float:
    """E 1/2 |f|^2 over p_sigma, f the field of that name, by quadrature; kept, as one density serves many losses."""
    f = direction_of(name, density)
    return expectation(lambda y: 0.5 * f(y, sigma).square().sum(-1), density, sigma)
