"""What is known of the clean point once the noisy one is seen: its mean and covariance, from the score alone.

Any score of (x, sigma) will do: the exact one (``p.score``), that of the data themselves (``Points(data).score``, an
average over the data), or a network.
"""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.metrics.evaluate import Checked, warn_of_nan
from toylab.metrics.points import PointsLike, noise, points_of
from toylab.samplers import clean_point, denoised
from toylab.score import NoiseConditionalScore, at, value_and_jacobian
from toylab.sde import SDE, plain_noise, require_sde


@torch.no_grad()
def posterior_mean(score: NoiseConditionalScore, x: PointsLike, sigma: Tensor | float) -> Tensor:
    """E[X | X + sigma Z = x] = x + sigma^2 s(x, sigma), shape of x: ``samplers.denoised``, checked.

    Args:
        score: s(x, sigma), exact or learned.
        x: noisy points, shape [..., 2], or chains.
        sigma: standard deviation of the noise, a number or one level per point.

    Source: Robbins 1956 (Tweedie's formula); Efron 2011.
    """
    validate.score("score", score, of_sigma=True)
    points = validate.points("x", points_of(x))
    mean = denoised(Checked(score), points, noise(sigma, points))
    return warn_of_nan("the posterior mean", mean, points)


@torch.no_grad()
def posterior_covariance(score: NoiseConditionalScore, x: PointsLike, sigma: Tensor | float) -> Tensor:
    """Cov[X | X + sigma Z = x] = sigma^2 (I + sigma^2 grad s(x, sigma)), shape [..., 2, 2], by forward mode.

    For a field that is not a gradient it is asymmetric, and for a poor one not positive: no law has such a covariance.

    Args:
        score: s(x, sigma), exact or learned; it must treat each point by itself.
        x: noisy points, shape [..., 2], or chains.
        sigma: standard deviation of the noise, a number or one level per point.

    Source: Efron 2011, the second-order form of Tweedie's formula.

    >>> from toylab.densities import isotropic
    >>> posterior_covariance(isotropic([[5.0, 5.0]], 1.0).score, torch.zeros(2), 1.0)  # 1 / (1/1 + 1/1)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    validate.score("score", score, of_sigma=True)
    points = validate.points("x", points_of(x))
    level = noise(sigma, points)
    _, jacobian = value_and_jacobian(at(Checked(score), level), points)
    variance = level[..., None, None] ** 2 if isinstance(level, Tensor) else level**2
    covariance = variance * (torch.eye(2, dtype=points.dtype, device=points.device) + variance * jacobian)
    return warn_of_nan("the posterior covariance", covariance, points)


@torch.no_grad()
def posterior_mean_at(sde: SDE, score: NoiseConditionalScore, x: PointsLike, t: Tensor | float) -> Tensor:
    """E[x_0 | x_t = x] = (x + sigma^2 s_t(x)) / alpha, shape of x: ``samplers.clean_point``, checked.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact or learned on plain noise.
        x: points at time t, shape [..., 2], or chains.
        t: the time, a number or one per point.
    """
    validate.score("score", score, of_sigma=True)
    points = validate.points("x", points_of(x))
    mean = clean_point(require_sde(sde), Checked(score), points, t)
    return warn_of_nan("the posterior mean", mean, points)


def posterior_covariance_at(sde: SDE, score: NoiseConditionalScore, x: PointsLike, t: Tensor | float) -> Tensor:
    """Cov[x_0 | x_t = x] = sigma^2 / alpha^2 (I + sigma^2 grad s_t(x)), shape [..., 2, 2].

    Arguments as for ``posterior_mean_at``; the score must treat each point by itself.
    """
    return posterior_covariance(score, *plain_noise(require_sde(sde), validate.points("x", points_of(x)), t))
