"""What a loss of a function of cells stands for: the concrete score of a law on a grid, and tables about it."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from toylab.discrete import GridLaw
from toylab.discrete.grid_law import BACK, check_cells, neighbours
from toylab.testing.evidence import OTHER_AT_A_LEVEL
from toylab.testing.systematic import systematic

CELLS = GridLaw(
    torch.tensor([[4, 6, 5, 3], [7, 10, 8, 4], [3, 6, 9, 5]], dtype=torch.float64, device="cpu") / 70  # they sum to 70
)
"""Three rows of four cells: the law whose concrete score is to be learned."""

_SIDES = ("above", "below", "left", "right")


class GridTruth:
    """A table c + a of four numbers per cell, c the concrete score: cell by cell, above, below, left and right.

    Numbers for neighbours that are not there are directions, too: a right loss does not know them, or holds them at 0.

    Attributes:
        name: of the true table.
        measure: the divergence whose curvature is compared with.
        field: what the loss is called with.
        n_controls: none, since batches hold every cell as often as they should.

    Args:
        law: the law of the data.
    """

    name, measure, field, n_controls = "the concrete score", "|c - c*|^2", "score", 0

    def __init__(self, law: GridLaw) -> None:
        self.law = GridLaw(law.probabilities.detach().to("cpu", torch.float64))
        self.every = self.law.cells
        self.probabilities = self.law.probabilities.flatten()
        self.there = neighbours(self.every, *self.law.probabilities.shape)[1].flatten()

    @cached_property
    def directions(self) -> tuple[str, ...]:
        """Names of the numbers."""
        return tuple(f"{side} ({row}, {column})" for row, column in self.every.tolist() for side in _SIDES)

    @property
    def exact(self) -> Tensor:
        """No change of the table, zeros [4 * cells]."""
        return torch.zeros(len(self.directions), dtype=torch.float64, device="cpu")

    @cached_property
    def variances(self) -> dict[str, float]:
        """The curvature of E |c - c*|^2 along each number: 2 P(x), and 0 for a neighbour that is not there."""
        curvature = 2 * self.probabilities.repeat_interleave(4) * self.there
        return dict(zip(self.directions, curvature.tolist(), strict=True))

    @cached_property
    def score(self) -> Tensor:
        """c itself, shape [4 * cells]."""
        return self.law.concrete_score(self.every).flatten()

    @cached_property
    def slips(self) -> dict[str, Tensor]:
        """What a loss with a known slip learns instead, in words, shape [4 * cells] each."""
        c, back = self.score, self.score.view(-1, 4)[:, BACK].flatten()
        behind = self.there.view(-1, 4)[:, BACK].flatten()
        ratio = 1 + c
        return {
            "c/2: the linear terms count half against c^2, or c^2 twice": c / 2,
            "2 c: the linear terms count twice against c^2": 2 * c,
            "-c: sign of the linear terms": -c,
            "0: the linear terms are left out": torch.zeros_like(c),
            "-1: the neighbour's own number, - 2 c_back(x_i), is left out": -torch.ones_like(c),
            "the ratio P(x_i) / P(x) = c + 1: the term 2 c_i(x) is left out": ratio,
            "log P(x_i) / P(x) = log(1 + c)": ratio.log(),
            "P(x) / P(x_i) - 1: the ratio is upside down": 1 / ratio - 1,
            "what belongs to the neighbour behind: at x_i take the number that looks back to x, above for below": (
                torch.where(behind, back, -1.0)
            ),
        }

    def model(self, a: Tensor) -> Callable[[Tensor], Tensor]:
        """The table c + a as a function of cells, shape [..., 4]."""
        rows, columns = self.law.probabilities.shape
        table = (self.score + a).view(rows, columns, 4)

        def score(x: Tensor) -> Tensor:
            row, column = check_cells(x, rows, columns).unbind(-1)
            return table[row, column]

        return score

    def controls(self, x: Tensor, seed: int) -> Tensor:
        """None, shape [0]."""
        return self.exact[:0]

    def goal(self, name: str) -> float:
        """The error of a number that must be visible, as at one of several levels."""
        return OTHER_AT_A_LEVEL

    def told(self, visible: dict[str, float]) -> str:
        """In words what would have been seen."""
        return f"an error of {max(visible.values(), default=0.0):.2g} in any number of the table would have been seen"

    def states(self, n: int, seed: int) -> Tensor:
        """n cells, each as often as its probability says, to one, in random order."""
        return self.every[systematic(self.probabilities, n, seed)]
