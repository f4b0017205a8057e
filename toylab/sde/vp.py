"""The variance-preserving SDE."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import GaussianMixture, isotropic
from toylab.sde.betas import beta, check_betas, integral, time_of_integral
from toylab.sde.process import Time
from toylab.sde.times import in_unit_time, level_tensor


@dataclass(frozen=True)
class VP:
    """Variance preserving: f = -beta/2, g^2 = beta, beta(t) = beta_min + t (beta_max - beta_min).

    With B(t) = int_0^t beta = beta_min t + (beta_max - beta_min) t^2 / 2: alpha = e^(-B/2), sigma^2 = 1 - e^(-B), so
    that data of variance 1 keep it. ``prior`` is N(0, I). At t = 1 sigma / alpha is 152: a learned score must know its
    levels up to there, or else start runs later, at ``time_of`` the largest level that it knows.
    Source: Song et al. 2021, eq. 11 and appendix C.

    Args:
        beta_min: beta(0) > 0.
        beta_max: beta(1) > beta_min.
        t_min: where reverse runs end. sigma vanishes at t = 0, and a score may explode there: at 0.001 it is 0.0105.

    >>> VP().alpha(1.0)
    tensor(0.0066, dtype=torch.float64)
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
        """sqrt(1 - e^(-B(t))); shape of t."""
        return (-torch.expm1(-integral(self, t))).sqrt()

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """-beta(t)/2 x, shape of x."""
        t = validate.times_of(t, validate.points("x", x))
        return -0.5 * beta(self, t).to(x)[..., None] * x

    def diffusion(self, t: Time) -> Tensor:
        """sqrt(beta(t)); shape of t."""
        return beta(self, t).sqrt()

    def time_of(self, level: Tensor | float) -> Tensor:
        """The t at which sigma(t) / alpha(t) = level, that is B(t) = log(1 + level^2); shape of level."""
        return in_unit_time(time_of_integral(self, torch.log1p(level_tensor(level) ** 2)), level)
