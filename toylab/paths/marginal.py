"""Velocity and irreducible loss of every path x_t = alpha(t) x_1 + sigma(t) z with z ~ N(0, I).

As x'_t = alpha' x_1 + sigma' z, the marginal velocity is v(x, t) = alpha' E[x_1 | x_t = x] + sigma' E[z | x_t = x].
Given x_t, x'_t varies with x_1 alone, by the factor alpha' - sigma' alpha / sigma, so that

    1/2 E|x'_t - v|^2 = ((alpha' sigma - sigma' alpha) / alpha)^2 excess(level),   level = sigma / alpha,

where the ``excess``, between 0 and 1, is half the mean variance of x_1 given x_t in units of level^2. For the linear
path the first factor is 1 / t^2.
"""

import math

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.densities.smoothing import excess, variance
from toylab.paths.path import NoisePath, Schedule
from toylab.paths.posterior import posterior
from toylab.paths.times import time_like

_STEP, _SETTLED = 1e-4, 1e-6  # in t, from an end where sigma has an infinite slope; of the product's continuation
NOTHING = 1e-150  # alpha against sigma: one over its square would overflow


def marginal_velocity(path: NoisePath, density: Density, x: Tensor, t: Tensor | float) -> Tensor:
    """alpha' E[x_1 | x] + sigma' E[z | x], shape of x [..., 2].

    Where sigma is 0 and sigma' infinite, as of sqrt(1 - t^2), the second term is the limit -sigma sigma' s(x / alpha) /
    alpha, with s the score of the data.
    """
    time = time_like(t, x)
    alpha, sigma = path.alpha(time), path.sigma(time)
    _, clean, noise, _ = posterior(density, x, alpha, sigma)
    alpha_rate, sigma_rate = path.rates(time)
    steep = (sigma == 0) & ~sigma_rate.isfinite()
    if not validate.readable(steep) or not bool(steep.any()):
        require_finite(time, alpha_rate, sigma_rate)
        return alpha_rate[..., None] * clean + sigma_rate[..., None] * noise
    require_finite(time, alpha_rate, torch.where(steep, 0.0, sigma_rate))
    product = product_at_an_end(lambda s: path.sigma(s) * path.rates(s)[1], time, steep)
    pull = -(product / alpha)[..., None] * density.score(x / alpha[..., None])
    second = torch.where(steep[..., None], pull, sigma_rate[..., None] * noise)
    return alpha_rate[..., None] * clean + second


def unexplained(path: NoisePath, density: Density, t: float) -> float:
    """1/2 E|x'_t - v(x_t, t)|^2, by quadrature."""
    time = time_like(t, torch.zeros(2, dtype=torch.float64, device="cpu"))
    rates = require_finite(time, *path.rates(time))
    alpha, sigma, alpha_rate, sigma_rate = (float(each) for each in (path.alpha(time), path.sigma(time), *rates))
    change = alpha_rate * sigma - sigma_rate * alpha
    if alpha <= NOTHING * sigma:
        return 0.5 * (change / sigma) ** 2 * variance(density)
    return (change / alpha) ** 2 * excess(density, sigma / alpha)


def require_finite(t: Tensor, alpha_rate: Tensor, sigma_rate: Tensor) -> tuple[Tensor, Tensor]:
    """Return both rates at the times t, or raise unless all are finite."""
    finite = alpha_rate.isfinite() & sigma_rate.isfinite()
    if validate.readable(finite) and not bool(finite.all()):
        where = float(t.expand(finite.shape)[~finite].flatten()[0])
        raise ValueError(
            f"alpha or sigma has an infinite slope at t = {where:g}, where points of the path move infinitely fast: "
            "a mean of their squared speed may not exist. Take times inside, or schedules with finite derivatives on "
            "[0, 1]."
        )
    return alpha_rate, sigma_rate


def product_at_an_end(product: Schedule, t: Tensor, steep: Tensor) -> Tensor:
    """sigma sigma' at the ends 0 and 1, where it is 0 times infinity: the cubic through four times inside, [...].

    Args:
        product: maps times to sigma sigma'.
        t: times, shape [...].
        steep: where the product is to be had, and raises if it is not, shape [...].
    """
    inside = torch.where(t > 0.5, -_STEP, _STEP).double()
    values = torch.stack([product(t.double() + k * inside) for k in range(1, 5)], -1)
    cubic = values @ values.new_tensor([4.0, -6.0, 4.0, -1.0])
    square = values @ values.new_tensor([3.0, -3.0, 1.0, 0.0])
    settled = ~steep | ((cubic - square).abs() <= _SETTLED * (1 + cubic.abs()))
    require_finite(t, torch.where(settled, 0.0, math.inf), torch.zeros_like(t))
    return cubic.to(t)
