"""The variance-exploding SDE."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import GaussianMixture, isotropic
from toylab.sde.process import Time
from toylab.sde.times import in_unit_time, level_tensor, time_tensor


@dataclass(frozen=True)
class VE:
    """Variance exploding: alpha = 1, sigma(t) = sigma_min (sigma_max / sigma_min)^t.

    Hence f = 0 and g = sigma sqrt(2 log(sigma_max / sigma_min)). At t = 0 the data are already noised by sigma_min, so
    t_min = 0. ``prior`` is N(0, sigma_max^2 I): it is wrong by the data's own mean and variance, which sigma_max must
    drown.
    Source: Song et al. 2021, eq. 9 and appendix C.

    Args:
        sigma_min: noise level at t = 0, > 0.
        sigma_max: noise level at t = 1, > sigma_min.

    >>> round(float(VE(0.01, 100.0).sigma(0.5)), 9)
    1.0
    """

    sigma_min: float = 0.01
    sigma_max: float = 20.0

    def __post_init__(self) -> None:
        low, high = validate.positive("sigma_min", self.sigma_min), validate.positive("sigma_max", self.sigma_max)
        if high <= low:
            raise ValueError(
                f"sigma_max is {high} and sigma_min is {low}: the noise must grow with time. "
                "Give sigma_max > sigma_min."
            )
        vars(self).update(sigma_min=low, sigma_max=high)

    @property
    def t_min(self) -> float:
        """0: the noise there is sigma_min."""
        return 0.0

    @property
    def prior(self) -> GaussianMixture:
        """N(0, sigma_max^2 I)."""
        return isotropic([[0.0, 0.0]], self.sigma_max)

    def alpha(self, t: Time) -> Tensor:
        """1, whatever t; shape of t."""
        return torch.ones_like(time_tensor(t))

    def sigma(self, t: Time) -> Tensor:
        """sigma_min (sigma_max / sigma_min)^t; shape of t."""
        return self.sigma_min * (time_tensor(t) * self._log_ratio).exp()

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """0, shape of x."""
        validate.times_of(t, validate.points("x", x))
        return torch.zeros_like(x)

    def diffusion(self, t: Time) -> Tensor:
        """sigma(t) sqrt(2 log(sigma_max / sigma_min)), from g^2 = d sigma^2 / dt; shape of t."""
        growth: float = (2 * self._log_ratio) ** 0.5
        return self.sigma(t) * growth

    def time_of(self, level: Tensor | float) -> Tensor:
        """The t at which sigma(t) / alpha(t) = level: log(level / sigma_min) / log(sigma_max / sigma_min)."""
        return in_unit_time((level_tensor(level) / self.sigma_min).log() / self._log_ratio, level)

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)
