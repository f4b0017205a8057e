"""Is a field the score of one law at all noise levels? It takes the field alone, not the truth."""

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import at_hand, number
from toylab.metrics.evaluate import Checked, warn_of_nan
from toylab.metrics.points import PointsLike, noise, points_of
from toylab.score import NoiseConditionalScore, at, gradient, value_and_divergence


def fokker_planck_residual(score: NoiseConditionalScore, x: PointsLike, sigma: Tensor | float) -> Tensor:
    """d s / d(sigma^2) - grad (1/2 div s + 1/2 |s|^2), shape of x: 0 if s is the score of one law at all noise levels.

    It is the gradient of the heat equation, d log p / d(sigma^2) = 1/2 (div s + |s|^2). It cannot see which law that
    is: the exact noised score of a wrong law obeys it too.
    Source: Lai et al. 2023 (arXiv:2210.04296), the score Fokker-Planck equation, here in sigma^2.

    Args:
        score: s(x, sigma), exact or learned; it must treat each point by itself.
        x: points, shape [..., 2], or chains.
        sigma: standard deviation of the noise, > 0: a number or one level per point.
    """
    validate.score("score", score, of_sigma=True)
    points = validate.points("x", points_of(x))
    level = noise(sigma, points)
    levels = number(level, points).expand(points.shape[:-1])
    if at_hand(levels.device) and bool((levels == 0).any()):
        raise ValueError(
            "sigma is 0: the rate of change with sigma^2 is taken at a noise level above 0. Give sigma > 0."
        )

    checked = Checked(score)

    def half_heat(y: Tensor) -> Tensor:
        s, divergence = value_and_divergence(at(checked, levels), y)
        return 0.5 * (divergence + s.square().sum(-1))

    with torch.inference_mode(False), forward_ad.dual_level():
        v = forward_ad.make_dual(levels.square(), torch.ones_like(levels))
        s, rate = forward_ad.unpack_dual(checked(points, v.sqrt()))
    rate = torch.zeros_like(s) if rate is None else rate  # no tangent: s does not depend on sigma
    return warn_of_nan("the residual", (rate - gradient(half_heat, points)).detach(), points)
