"""Where on the plane is a score wrong?"""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.metrics.evaluate import evaluate, warn_of_nan
from toylab.metrics.grid import Extent, grid_points
from toylab.metrics.points import law, level
from toylab.score import Score


@torch.no_grad()
def error_map(score: Score, density: Density, extent: Extent, n: int, sigma: float = 0.0) -> Tensor:
    """|s(x) - grad log p_sigma(x)| at the cell centres of ``grid_points``, shape [n, n], float64 on the CPU."""
    validate.score("score", score)
    sigma = level(sigma)
    x = grid_points(extent, n, dtype=torch.float64)
    size: Tensor = (evaluate(score, law("density", density), x) - density.score(x, sigma)).norm(dim=-1)
    return warn_of_nan("the error", size, x)
