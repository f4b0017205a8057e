"""Is a field a gradient, as every score is? It takes the field alone, not the truth."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.metrics.evaluate import Checked, warn_of_nan
from toylab.metrics.points import PointsLike, points_of
from toylab.score import Score, value_and_jacobian


@torch.no_grad()
def curl(score: Score, x: PointsLike) -> Tensor:
    """d s_2 / d x_1 - d s_1 / d x_2, shape [...], by forward mode: 0 everywhere if and only if s is a gradient.

    Args:
        score: the field s(x), exact or learned; ``at(score, sigma)`` for a noise-conditional one.
        x: points, shape [..., 2], or chains.

    >>> curl(lambda x: torch.stack([-x[..., 1], x[..., 0]], -1), torch.zeros(2))  # a rotation
    tensor(2.)
    """
    validate.score("score", score)
    points = validate.points("x", points_of(x))
    _, jacobian = value_and_jacobian(Checked(score), points)
    return warn_of_nan("the curl", jacobian[..., 1, 0] - jacobian[..., 0, 1], points)
