"""Uniform laws on squares: a density with jumps when clean, a smooth one under any noise.

Inside, the clean score is 0; at a jump it is undefined, and outside, where the density is 0, it is nan (as is its
divergence). Implicit score matching does not hold for such laws: its integration by parts leaves a boundary term. For
the uniform law on [-1, 1] and s(x) = x, E[s' + s^2/2] = 7/6 where 1/2 E|s - 0|^2 = 1/6: off by exactly 1, the mean of
p s over the boundary. Add noise first, or take a weight that vanishes there: ``objectives.BoundedImplicit``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import constant
from toylab._internal.random import integers, uniform
from toylab.densities import interval
from toylab.densities._mixture import mixture
from toylab.densities.products import Axis, Products
from toylab.densities.truncated import Box
from toylab.densities.two_regime import TwoRegimeDensity

# the columns and the rows of the squares of a board
_BLACK = tuple(zip(*((i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0), strict=True))

_LINES = (-4.0, -2.0, 0.0, 2.0, 4.0)


@dataclass(frozen=True, eq=False, repr=False)
class Square(TwoRegimeDensity):
    """The uniform law on [low, high]^2; noised, a product of two blurred intervals (module ``interval``).

    Clean, the log-density is -2 log(high - low) inside and -inf outside; the score is 0 inside and nan outside. Its
    jump makes implicit score matching wrong at sigma = 0 (see the module).

    Args:
        low: least coordinate.
        high: largest coordinate.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        vars(self).update(low=validate.finite("low", self.low), high=validate.finite("high", self.high))
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}: low must be less than high.")

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Two uniform numbers."""
        u = uniform((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        return self.low + (self.high - self.low) * u

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The square and nine noise levels around it."""
        low, high = (
            torch.full((2,), self.low, dtype=torch.float64, device="cpu"),
            torch.full((2,), self.high, dtype=torch.float64, device="cpu"),
        )
        return low - 9 * sigma, high + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level: the clean law jumps."""
        return sigma

    def _smooth_between(self) -> tuple[Sequence[float], Sequence[float]]:
        return (self.low, self.high), (self.low, self.high)

    def _as_products(self) -> Products:
        side = _intervals((self.low,), self.high - self.low)
        return Products(torch.ones(1, dtype=torch.float64, device="cpu"), ((side, side),))

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inside = ((x >= self.low) & (x <= self.high)).all(-1)
        return _flat(x, inside, -2 * math.log(self.high - self.low))

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low, high = constant(self.low, x), constant(self.high, x)
        log_p, slope, curvature = interval.evaluate(x, low, high, sigma[:, None])
        return log_p.sum(-1), slope, curvature.sum(-1)

    def _mass_in(self, box: Box) -> tuple[float, float]:
        """The share of the area, to rounding."""
        widths = [_meet((self.low, self.high), side) for side in (box[:2], box[2:])]
        return math.prod(high - low for low, high in widths) / (self.high - self.low) ** 2, 0.0

    def _noised_in(self, box: Box, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rectangle where square and box meet, blurred."""
        ends = zip(*(_meet((self.low, self.high), side) for side in (box[:2], box[2:])), strict=True)
        low, high = (constant(corner, x) for corner in ends)
        log_p, slope, curvature = interval.evaluate(x, low, high, sigma[:, None])
        return log_p.sum(-1) + math.log(self._mass_in(box)[0]), slope, curvature.sum(-1)


@dataclass(frozen=True, eq=False, repr=False)
class Checkerboard(TwoRegimeDensity):
    """The uniform law on eight squares of side 2 in [-4, 4]^2: cells (i, j), i and j in 0..3, with i + j even.

    Cell (i, j) is [-4 + 2i, -2 + 2i] x [-4 + 2j, -2 + 2j]. Clean, the log-density is -log 32 on the cells and -inf
    elsewhere; the score is 0 on the cells and nan elsewhere. Its jumps make implicit score matching wrong at sigma = 0
    (see the module). Noised, it is a mixture of eight products of blurred intervals.
    """

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A cell, then a point of it."""
        cell = integers(8, sample_shape, device=self.device, generator=generator)
        i = cell // 2
        j = 2 * (cell % 2) + i % 2
        u = uniform((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        return -4 + 2 * (torch.stack([i, j], -1) + u)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The board and nine noise levels around it."""
        reach = torch.full((2,), 4 + 9 * sigma, dtype=torch.float64, device="cpu")
        return -reach, reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level: the clean law jumps."""
        return sigma

    def _smooth_between(self) -> tuple[Sequence[float], Sequence[float]]:
        return _LINES, _LINES

    def _as_products(self) -> Products:
        """Of the columns 0 and 2 with the rows 0 and 2, and of the others: each a product."""
        even, odd = _intervals((-4.0, 0.0), 2.0), _intervals((-2.0, 2.0), 2.0)
        return Products(torch.full((2,), 0.5, dtype=torch.float64, device="cpu"), ((even, even), (odd, odd)))

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        on_board = ((x >= -4) & (x < 4)).all(-1)
        i, j = ((x + 4) / 2).floor().unbind(-1)
        black = (i + j) % 2 == 0
        return _flat(x, on_board & black, -math.log(32))

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low = constant((-4.0, -2.0, 0.0, 2.0), x)
        log_p, slope, curvature = interval.evaluate(x[:, :, None], low, low + 2, sigma[:, None, None])  # [n, 2, 4]
        i, j = (constant(index, x, torch.int64) for index in _BLACK)
        log_joint = log_p[:, 0, i] + log_p[:, 1, j] - math.log(8)
        return mixture(
            log_joint, torch.stack([slope[:, 0, i], slope[:, 1, j]], -1), curvature[:, 0, i] + curvature[:, 1, j]
        )

    def _mass_in(self, box: Box) -> tuple[float, float]:
        """The share of the area of the cells, to rounding."""
        return sum(mass for _, _, mass in _cells_in(box)), 0.0

    def _noised_in(self, box: Box, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A mixture of the rectangles where cells and box meet, blurred."""
        lows, highs, masses = zip(*_cells_in(box), strict=True)
        log_p, slope, curvature = interval.evaluate(
            x[:, None], constant(lows, x), constant(highs, x), sigma[:, None, None]
        )  # [n, K, 2]
        return mixture(log_p.sum(-1) + constant(masses, x).log(), slope, curvature.sum(-1))


def _cells_in(box: Box) -> list[tuple[tuple[float, float], tuple[float, float], float]]:
    """Of each cell of the board that a box meets: lower and upper corner of what they have in common, and its mass."""
    found = []
    for column, row in zip(*_BLACK, strict=True):
        (left, right), (bottom, top) = (
            _meet((_LINES[place], _LINES[place + 1]), side) for place, side in ((column, box[:2]), (row, box[2:]))
        )
        if left < right and bottom < top:
            found.append(((left, bottom), (right, top), (right - left) * (top - bottom) / 32))
    return found


def _meet(one: tuple[float, float], other: tuple[float, ...]) -> tuple[float, float]:
    """What two intervals have in common; of length 0 if that is nothing."""
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return low, max(low, high)


def _intervals(lows: tuple[float, ...], width: float) -> Axis:
    """The uniform law on intervals of one width."""

    def noised(t: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low = constant(lows, t)
        log_q, slope, curvature = interval.evaluate(t[..., None], low, low + width, level[..., None])
        scores = torch.stack([slope, torch.zeros_like(slope)], -1)
        log_q, scores, curvature = mixture(log_q - math.log(len(lows)), scores, curvature)
        return log_q, scores[..., 0], curvature

    ends = tuple(end for low in lows for end in (low, low + width))
    mean = sum(lows) / len(lows) + 0.5 * width
    spread = sum((low + 0.5 * width - mean) ** 2 for low in lows) / len(lows)
    return Axis(noised, ends, ends, mean, spread + width**2 / 12)


def _flat(x: Tensor, inside: Tensor, log_height: float) -> tuple[Tensor, Tensor, Tensor]:
    """A constant density: its log, score and divergence, at points inside and outside."""
    zero = torch.zeros_like(x[..., 0])
    flat = torch.where(inside, zero, math.nan)
    outside = torch.where(x.isnan().any(-1), math.nan, -math.inf).to(x)
    return torch.where(inside, zero + log_height, outside), flat[..., None].expand(x.shape).clone(), flat
