"""The mean of the clean point given a noisy one, from the score: Tweedie's formula."""

from torch import Tensor

from toylab._internal import validate
from toylab.samplers.step_arguments import check_arguments
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time, plain_noise


@check_arguments
def denoised(score: NoiseConditionalScore, x: Tensor, sigma: Tensor | float) -> Tensor:
    """x + sigma^2 s(x, sigma), with the exact score the mean E[X | X + sigma Z = x] (Tweedie's formula).

    ``sigma`` is a number, or one level per point. ``metrics.posterior_covariance`` is the covariance about this mean.
    Source: Jolicoeur-Martineau et al. 2020 (arXiv:2009.05475), who end annealed Langevin with it.
    """
    sigma = validate.noise_level(sigma, x)
    variance = sigma[..., None] ** 2 if isinstance(sigma, Tensor) else sigma**2
    return x + variance * score(x, sigma)


@check_arguments
def clean_point(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time) -> Tensor:
    """(x + sigma^2 s_t(x)) / alpha, with the exact score the mean E[x_0 | x_t = x] (Tweedie's formula).

    It is that of x / alpha = x_0 + (sigma / alpha) z, a clean point with plain noise: ``denoised``.

    Args:
        sde: gives alpha and sigma.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: points, shape [..., 2].
        t: the time, a number or one per point.
    """
    return denoised(score, *plain_noise(sde, x, t))
