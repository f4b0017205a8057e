"""The sub-variance-preserving SDE."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import GaussianMixture, isotropic
from toylab.sde.betas import beta, check_betas, integral, time_of_integral
from toylab.sde.process import Time
from toylab.sde.times import in_unit_time, level_tensor


@dataclass(frozen=True)
class SubVP:
    """The sub-variance-preserving SDE: f = -beta/2 as in VP, g^2 = beta (1 - e^(-2 B)), hence sigma = 1 - e^(-B).

    alpha = e^(-B/2) as in VP, and sigma is that of VP squared: less noise at every time. ``prior`` is N(0, I), and
    sigma / alpha runs up to 152 as there.
    Source: Song et al. 2021, eq. 12 and appendices B and C.

    Args:
        beta_min: beta(0) > 0.
        beta_max: beta(1) > beta_min.
        t_min: where reverse runs end. sigma vanishes at t = 0, and faster than in VP: at 0.001 it is 0.00011.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3

    def __post_init__(self) -> None:
        check_betas(self)

    @property
    def prior(self) -> GaussianMixture:
        """N(0, I)."""
        return isotropic([[0.0, 0.0]], 1.0)

    def alpha(self, t: Time) -> Tensor:
        """e^(-B(t)/2); shape of t."""
        return (-0.5 * integral(self, t)).exp()

    def sigma(self, t: Time) -> Tensor:
        """1 - e^(-B(t)); shape of t."""
        return -torch.expm1(-integral(self, t))

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """-beta(t)/2 x, shape of x."""
        t = validate.times_of(t, validate.points("x", x))
        return -0.5 * beta(self, t).to(x)[..., None] * x

    def diffusion(self, t: Time) -> Tensor:
        """sqrt(beta(t) (1 - e^(-2 B(t)))); shape of t."""
        return (-beta(self, t) * torch.expm1(-2 * integral(self, t))).sqrt()

    def time_of(self, level: Tensor | float) -> Tensor:
        """The t at which sigma(t) / alpha(t) = 2 sinh(B(t)/2) = level; shape of level."""
        return in_unit_time(time_of_integral(self, 2 * torch.asinh(level_tensor(level) / 2)), level)
