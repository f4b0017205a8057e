"""Concrete score matching on a grid: any function of the cells learns the concrete score of their law."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.discrete.grid_law import BACK, GridLaw, neighbours


@dataclass(frozen=True)
class GridScoreMatching:
    """sum_i c_i(x)^2 + 2 c_i(x) - 2 c_back(x_i) over the neighbours x_i of x; c_back(x_i) looks back from x_i to x.

    Mean loss + offset = E |c(x) - c*(x)|^2, without a half, as in the paper, c* the concrete score of the law: for
    E[c_i c*_i] = sum_x c_i(x) (P(x_i) - P(x)), and sum_x P(x_i) c_i(x) is a mean over the neighbour's own draws. This
    is the sum by parts that stands where score matching integrates by parts.
    Source: Meng, Choi, Song & Ermon 2022 (arXiv:2211.00802).

    Args:
        rows: of the grid.
        columns: of the grid.
    """

    rows: int
    columns: int

    def __post_init__(self) -> None:
        vars(self).update(
            rows=validate.count("rows", self.rows),
            columns=validate.count("columns", self.columns),
        )

    def __call__(self, score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """One loss per point, shape [...], for cells x [..., 2] and a score that gives [..., 4] at such cells."""
        validate.function("score", score, "law.concrete_score", takes=1)
        near, there = neighbours(x, self.rows, self.columns)
        c = _four(score(x.long()), x)
        back = _four(score(near), near)[..., range(4), BACK]
        return torch.where(there, c.square() + 2 * c - 2 * back, 0.0).sum(-1)

    def offset(self, law: GridLaw) -> float:
        """E |c*|^2, a sum over all cells."""
        if not isinstance(law, GridLaw):
            raise TypeError(f"law is a {type(law).__name__}: give a GridLaw.")
        if law.probabilities.shape != (self.rows, self.columns):
            given = list(law.probabilities.shape)
            raise ValueError(f"law is on a grid {given}, and the loss on {[self.rows, self.columns]}: give one grid.")
        square = law.concrete_score(law.cells).square().sum(-1)
        return float(law.probabilities.detach().flatten() @ square.detach())


def _four(found: object, x: Tensor) -> Tensor:
    """What the score gave at cells x [..., 2], or an error unless it is four numbers each."""
    if not isinstance(found, Tensor) or found.shape != (*x.shape[:-1], 4) or not found.is_floating_point():
        given = f"{list(found.shape)}, {found.dtype}," if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(
            f"score gives {given} at cells {list(x.shape)}: it must give four numbers per cell, {[*x.shape[:-1], 4]}, "
            "for the neighbours above, below, left and right."
        )
    if found.device != x.device:
        raise ValueError(
            f"score gives numbers on {found.device} for cells on {x.device}: they must be on one device. Give "
            f"x.to({str(found.device)!r}), or a score that follows its cells."
        )
    return found
