"""What a loss stands for: a density, its levels with their weights, and fields to disturb its score with."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.polynomial import chebyshev
from torch import Tensor

from toylab._internal import validate
from toylab.densities import Density, GaussianMixture
from toylab.densities.quadrature import expectation
from toylab.objectives.levels import ContinuousLevels, Levels, Weight, check_levels, weights_at
from toylab.objectives.noise_conditional import square
from toylab.score import NoiseConditionalScore

MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
"""Three correlated components: the density on which losses are tried."""

TRUTH = "s*"
# x1 and x2 are in units of sqrt(1 + sigma^2), in which a noised density varies
FIRST = "(sin(x1) + cos(x2), 0)"
SECOND = "(0, cos(x1) + sin(2 x2))"
SWIRL = "(tanh(x2), -tanh(x1))"
UNEVEN = "tanh(x1 + x2) s*"  # sees a multiple of the score that is not the same everywhere
Losses = Callable[[NoiseConditionalScore, Tensor], Tensor]  # the losses of a field at points, with the same draws

DIRECTIONS = (TRUTH, FIRST, SECOND, SWIRL, UNEVEN)

_N_BINS = 4  # of a continuous law of levels, equally likely
_MOST_RUNGS = 200
_N_DRAWS = 1_000_000  # of levels: a share of 1/4 is then known to .2 %
_N_NODES = 40  # levels at which E 1/2 |f|^2 is found by quadrature; in between by a series in log(sigma)


@dataclass(frozen=True)
class Group:
    """Levels that are tested by themselves: one rung of a ladder, or a stretch of a continuous law.

    Attributes:
        name: in words, empty if there is one level only.
        low: least level.
        high: largest level.
        share: its probability.
        share_error: standard error of that.
    """

    name: str
    low: float
    high: float
    share: float = 1.0
    share_error: float = 0.0


class Truth:
    """The density, the levels with their weights, and the exact curvature of the loss in each direction.

    Args:
        density: whose score is to be learned.
        sigma: the noise level, or the levels, at which.
        weight: what the Fisher divergence is multiplied by, a number or a function of the level; None is 1 at a single
            sigma, and sigma^2 at levels.
    """

    def __init__(self, density: Density, sigma: float | Levels, weight: Weight | None) -> None:
        self.density = density
        self.levels: Levels | None = None
        self.single: float | None = None
        if isinstance(sigma, Tensor | ContinuousLevels):
            self.levels = check_levels("sigma", sigma)
        else:
            self.single = float(validate.noise_level(sigma, torch.zeros(2, device="cpu")))
        if callable(weight):
            validate.function("weight", weight, "torch.square")
        elif weight is not None:
            weight = validate.positive("weight", weight)
        self.weight: Weight = (1.0 if self.levels is None else square) if weight is None else weight
        self.groups = _groups(self.levels, self.single)
        ends = [group.low for group in self.groups] + [group.high for group in self.groups]
        self.least, self.largest = min(ends), max(ends)
        self.rungs = all(group.low == group.high for group in self.groups)
        for level in ends:
            if self.weights(torch.tensor([level], dtype=torch.float64, device="cpu")).min() <= 0:
                raise ValueError(
                    f"weight is not positive at the level {level:.4g}: a loss that does not count cannot be checked "
                    "there. Leave the level out of sigma."
                )

    def weights(self, levels: Tensor) -> Tensor:
        """lambda at the levels [n], shape [n]."""
        return torch.as_tensor(weights_at(self.weight, levels), dtype=levels.dtype, device=levels.device).expand_as(
            levels
        )

    def group_of(self, levels: Tensor) -> Tensor:
        """The number of the group of each level [n]; -1 for a level that none has."""
        if len(self.groups) == 1 and self.single is not None:
            return torch.zeros_like(levels, dtype=torch.long)
        order = sorted(range(len(self.groups)), key=lambda k: self.groups[k].low)
        lows = torch.tensor([self.groups[k].low for k in order], dtype=levels.dtype, device=levels.device)
        place = (torch.searchsorted(lows, levels, right=True) - 1).clamp(min=0)  # a law's ends are those of a sample
        found = torch.tensor(order, device="cpu")[place]
        foreign = (levels != lows[place]) if self.rungs else levels.isnan()
        return torch.where(foreign, torch.full_like(found, -1), found)

    def named(self, chosen: list[int]) -> str:
        """Where something was found, for the front of a message: empty where there is one level only."""
        return in_words([group.name for group in self.groups], chosen, "level")

    def score_of(self, field: NoiseConditionalScore) -> Callable[..., Tensor]:
        """The field as an objective calls it: with the level where there are several, without where there is one."""

        def score(x: Tensor, *level: Tensor | float) -> Tensor:
            if level:
                if self.single is not None and not _is_level(level[0], self.single):
                    raise ValueError(
                        f"the objective calls score(x, level) at other levels than sigma = {self.single:.4g}: give its "
                        "levels by sigma=, or the path of a velocity v(x, t) by path="
                    )
                return field(x, level[0])
            if self.single is None:
                raise ValueError("the objective calls score(x) without a level, but sigma says there are several")
            return field(x, self.single)

        return score

    def direction(self, name: str) -> NoiseConditionalScore:
        """The field of that name, a function of (x, sigma)."""
        return direction_of(name, self.density, self._centre(name))

    def half_square(self, name: str, levels: Tensor) -> Tensor:
        """E 1/2 |f|^2 under p_sigma at each of the levels [n], f the field of that name."""
        if self.rungs:
            found = torch.empty_like(levels)
            for group in self.groups:
                found[levels == group.low] = mean_half_square(name, self.density, group.low, self._centre(name))
            return found
        middle, half = 0.5 * math.log(self.least * self.largest), 0.5 * math.log(self.largest / self.least)
        series = half_square_series(name, self.density, middle, half, self._centre(name))
        at = ((levels.log() - middle) / half).clamp(-1, 1)
        return torch.as_tensor(np.exp(chebyshev.chebval(at.numpy(), np.array(series))), device="cpu")

    def _centre(self, name: str) -> tuple[float, float]:
        return centre(name, self.density, self.least)


def _is_level(found: Tensor | float, level: float) -> bool:
    return bool(((torch.as_tensor(found, device="cpu") - level).abs() <= 1e-3 * level).all())


def in_words(names: Sequence[str], chosen: Sequence[int], what: str) -> str:
    """Of the names those chosen, for the front of a message; empty where there is a single group without a name."""
    found = [names[k] for k in chosen]
    if not found or not found[0]:
        return ""
    if len(found) == len(names) > 1:
        return f"at every {what}: "
    return f"at {', '.join(found[:5])}{' and others' if len(found) > 5 else ''}: "


def _groups(levels: Levels | None, single: float | None) -> tuple[Group, ...]:
    if levels is None:
        return (Group("", single or 0.0, single or 0.0),)
    if isinstance(levels, Tensor):
        rungs = levels.double().tolist()
        return tuple(Group(f"sigma = {rung:.4g}", rung, rung, 1 / len(rungs)) for rung in rungs)
    draws = levels.draw(torch.zeros(_N_DRAWS, 2, dtype=torch.float64, device="cpu"), torch.Generator().manual_seed(0))
    values, counts = draws.unique(return_counts=True)
    if len(values) <= _MOST_RUNGS:
        shares = (counts / _N_DRAWS).tolist()
        return tuple(
            Group(f"sigma = {rung:.4g}", rung, rung, share, math.sqrt(share * (1 - share) / _N_DRAWS))
            for rung, share in zip(values.tolist(), shares, strict=True)
        )
    edges = np.quantile(draws.numpy(), np.linspace(0, 1, _N_BINS + 1)).tolist()
    share = 1 / _N_BINS
    error = math.sqrt(share * (1 - share) / _N_DRAWS)
    return tuple(
        Group(f"sigma from {low:.3g} to {high:.3g}", low, high, share, error)
        for low, high in zip(edges, edges[1:], strict=False)
    )


def fields(x: Tensor, sigma: Tensor | float) -> dict[str, Tensor]:
    """Three fields to disturb the truth with: one per coordinate, and one that is not a gradient."""
    x1, x2 = (x / _width(x, sigma)).unbind(-1)
    zero = torch.zeros_like(x1)
    return {
        FIRST: torch.stack([x1.sin() + x2.cos(), zero], -1),
        SECOND: torch.stack([zero, x1.cos() + (2 * x2).sin()], -1),
        SWIRL: torch.stack([x2.tanh(), -x1.tanh()], -1),
    }


def _width(x: Tensor, sigma: Tensor | float) -> Tensor:
    """sqrt(1 + sigma^2) at each point, [..., 1]."""
    return torch.as_tensor(1 + sigma**2, device=x.device).to(x).sqrt().expand(x.shape[:-1])[..., None]


def direction_of(name: str, density: Density, middle: tuple[float, float] = (0.0, 0.0)) -> NoiseConditionalScore:
    """The field of that name, a function of (x, sigma), less its mean over clean data.

    A loss with the target -z / sigma sees a constant in a field through all of its noise. At large levels, where fields
    are wide and the mean is another, this does not matter and nothing is subtracted.
    """
    if name == TRUTH:
        return density.score

    def field(x: Tensor, sigma: Tensor | float, /) -> Tensor:
        width = _width(x, sigma)
        if name == UNEVEN:
            f = (x / width).sum(-1, keepdim=True).tanh() * density.score(x, sigma)
        else:
            f = fields(x, sigma)[name]
        return f - x.new_tensor(middle) / width**2

    return field


@lru_cache(maxsize=256)
def centre(name: str, density: Density, sigma: float) -> tuple[float, float]:
    """The mean of a field over clean data, from 200,000 points: any constant would do, and this is near the best."""
    if name == TRUTH:
        return 0.0, 0.0
    x = density.to(torch.float64).sample((200_000,), generator=torch.Generator().manual_seed(0))
    first, second = (direction_of(name, density)(x, sigma).mean(0) * (1 + sigma**2)).tolist()
    return first, second


@lru_cache(maxsize=2048)
def mean_half_square(name: str, density: Density, sigma: float, middle: tuple[float, float]) -> float:
    """E 1/2 |f|^2 over p_sigma, f the field of that name, by quadrature; kept, as one density serves many losses."""
    f = direction_of(name, density, middle)
    return expectation(lambda y: 0.5 * f(y, sigma).square().sum(-1), density, sigma)


@lru_cache(maxsize=64)
def half_square_series(
    name: str, density: Density, middle: float, half: float, constant: tuple[float, float]
) -> tuple[float, ...]:
    """log E 1/2 |f|^2 as a Chebyshev series in log(sigma), about the middle and half a range of it."""
    nodes = chebyshev.chebpts1(_N_NODES)
    values = [mean_half_square(name, density, math.exp(middle + half * float(t)), constant) for t in nodes]
    return tuple(chebyshev.chebfit(nodes, np.log(values), _N_NODES - 1).tolist())
