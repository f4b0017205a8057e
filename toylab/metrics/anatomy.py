"""What a field must be to be a score: a gradient, and at all noise levels together a solution of one equation.

Neither needs the truth: both are asked of the field itself.
"""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.score import (
    NoiseConditionalScore,
    Score,
    at,
    gradient,
    value_and_divergence,
    value_and_jacobian,
    value_and_jvp,
)


@torch.no_grad()
def curl(score: Score, x: Tensor) -> Tensor:
    """d s_2 / d x_1 - d s_1 / d x_2, shape [...], by forward mode: 0 everywhere if and only if s is a gradient.

    Args:
        score: the field s(x), exact or learned; ``at(score, sigma)`` for a noise-conditional one.
        x: points, shape [..., 2].

    >>> curl(lambda x: torch.stack([-x[..., 1], x[..., 0]], -1), torch.zeros(2))  # a rotation
    tensor(2.)
    """
    validate.function("score", score, "p.score")
    _, jacobian = value_and_jacobian(score, validate.points("x", x))
    return jacobian[..., 1, 0] - jacobian[..., 0, 1]


def fokker_planck_residual(score: NoiseConditionalScore, x: Tensor, sigma: Tensor | float) -> Tensor:
    """d s / d(sigma^2) - grad (1/2 div s + 1/2 |s|^2), shape of x: 0 if s is the score of one law at all noise levels.

    It is the gradient of the heat equation, d log p / d(sigma^2) = 1/2 (div s + |s|^2). What it cannot see is of which
    law: the exact noised score of a wrong law obeys it too.
    Source: Lai et al. 2023 (arXiv:2210.04296), the score Fokker-Planck equation, here in sigma^2.

    Args:
        score: s(x, sigma), exact or learned; it must treat each point by itself.
        x: points, shape [..., 2].
        sigma: standard deviation of the noise, > 0: a number or one level a point.
    """
    validate.function("score", score, "p.score")
    level = validate.noise_level(sigma, validate.points("x", x))
    sigma = torch.as_tensor(level, dtype=x.dtype, device=x.device).expand(x.shape[:-1])
    if sigma.device.type == "cpu" and bool((sigma == 0).any()):
        raise ValueError(
            "sigma is 0: the rate of change with sigma^2 is taken at a noise level above 0. Give sigma > 0."
        )

    def half_heat(y: Tensor) -> Tensor:
        s, divergence = value_and_divergence(at(score, sigma), y)
        return 0.5 * (divergence + s.square().sum(-1))

    variance = sigma**2
    _, rate = value_and_jvp(lambda v: score(x, v.sqrt()), variance, torch.ones_like(variance))
    return (rate - gradient(half_heat, x)).detach()
