"""Implicit score matching: integration by parts removes the unknown score."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.objectives.inputs import check_inputs, require_density
from toylab.objectives.squares import half_square
from toylab.score import Score, value_and_divergence


@dataclass(frozen=True)
class Implicit:
    """Div s(x) + 1/2 |s(x)|^2, with the exact divergence tr (grad s)(x) by forward-mode differentiation.

    Holds where p s vanishes at infinity; it misses a boundary term for laws with jumps (see ``BoundedImplicit``).
    Source: Hyvarinen 2005, theorem 1.
    """

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]. Draws nothing."""
        s, divergence = value_and_divergence(check_inputs(score, x, generator), x)
        return divergence + half_square(s)

    def offset(self, density: Density) -> float:
        """1/2 E|grad log p|^2, by quadrature."""
        return 0.5 * fisher_information(require_density(density))
