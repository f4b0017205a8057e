"""A score, evaluated where it lives."""

from torch import Tensor

from toylab.densities.density import Density
from toylab.score import Score


def evaluate(score: Score, density: Density, x: Tensor) -> Tensor:
    """A score evaluated in the density's dtype and on its device, where networks live, and returned like ``x``."""
    return score(x.to(dtype=density.dtype, device=density.device)).to(x)
