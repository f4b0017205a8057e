"""A law on the cells of a grid, and its concrete score: what a score is where there is no gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from toylab._internal import devices, validate
from toylab._internal.devices import constant
from toylab._internal.random import categorical
from toylab.discrete.inputs import Matrix, check_precision, numbers

STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))  # to the neighbour above, below, left, right
BACK = (1, 0, 3, 2)  # which of them leads back


@dataclass(frozen=True, eq=False)
class GridLaw:
    """P(x) for the cells x = (row, column) of a grid; the edges are free, so that a cell at one has fewer neighbours.

    Args:
        probabilities: of the cells, shape [rows, columns], positive, of sum 1. Gradients flow to them.
    """

    probabilities: Tensor

    def __init__(self, probabilities: Matrix) -> None:
        given = numbers("probabilities", probabilities)
        if given.ndim != 2 or given.numel() == 0:
            raise ValueError(f"probabilities has shape {list(given.shape)}: give a table [rows, columns].")
        if validate.readable(given):
            total = float(given.detach().sum())
            if not bool((given > 0).all()):
                raise ValueError(
                    "probabilities holds 0 or a negative number: every cell must have a positive one, since the "
                    "concrete score divides by it."
                )
            if abs(total - 1) > 1e-5:
                raise ValueError(f"probabilities sum to {total:.7g}: divide them by their sum.")
        vars(self).update(probabilities=given)

    @classmethod
    def from_logits(cls, logits: Tensor) -> Self:
        """The law of the logits [rows, columns]: P = exp(logits) / sum exp(logits)."""
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            given = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise TypeError(f"logits is {given}: give a tensor [rows, columns].")
        return cls(check_precision("logits", logits).flatten().softmax(0).view_as(logits))

    @property
    def cells(self) -> Tensor:
        """All cells, shape [rows * columns, 2], dtype int64, row by row."""
        return torch.ones_like(self.probabilities).nonzero()

    def log_prob(self, x: Tensor) -> Tensor:
        """log P(x), shape [...], for cells x [..., 2]."""
        row, column = check_cells(x, *self.probabilities.shape).unbind(-1)
        return self.probabilities.to(x.device)[row, column].log()

    def concrete_score(self, x: Tensor) -> Tensor:
        """P(neighbour) / P(x) - 1 for the neighbours above, below, left and right, shape [..., 4]; 0 if there is none.

        Source: Meng, Choi, Song & Ermon 2022 (arXiv:2211.00802).
        """
        near, there = neighbours(x, *self.probabilities.shape)
        return torch.where(there, torch.expm1(self.log_prob(near) - self.log_prob(x)[..., None]), 0.0)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Independent draws, cells [*sample_shape, 2], dtype int64."""
        validate.shape("sample_shape", sample_shape)
        p = self.probabilities.detach().flatten()
        return self.cells[categorical(p, sample_shape, generator=generator)]


def neighbours(x: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The four neighbours of cells x [..., 2], shape [..., 4, 2], and whether there is one [..., 4], else x itself."""
    x = check_cells(x, rows, columns)[..., None, :]
    near = x + constant(STEPS, x)
    there = ((near >= 0) & (near < constant((rows, columns), x))).all(-1)
    return torch.where(there[..., None], near, x), there


def check_cells(x: Tensor, rows: int, columns: int) -> Tensor:
    """Return ``x`` in int64, or raise unless it holds cells of the grid; its values are read where they can be."""
    if not isinstance(x, Tensor) or x.dtype not in (torch.int64, torch.int32) or x.layout is not torch.strided:
        given = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x is {given}: give cells, a tensor of int64 with the row and the column, [..., 2].")
    devices.refuse_without_float64("x", x)
    if x.ndim == 0 or x.shape[-1] != 2:
        raise ValueError(f"x has shape {list(x.shape)}: give cells [..., 2], the row and the column.")
    if validate.readable(x) and bool(((x < 0) | (x >= constant((rows, columns), x))).any()):
        raise ValueError(f"x leaves the grid: rows run from 0 to {rows - 1} and columns from 0 to {columns - 1}.")
    return x.long()
