"""What VP and sub-VP share: the rate beta(t), linear in time, and its integral B(t)."""

from typing import Protocol

from torch import Tensor

from toylab._internal import validate
from toylab.sde.process import Time
from toylab.sde.times import time_tensor


class Betas(Protocol):
    """An SDE with a rate beta(t) that rises from beta_min to beta_max."""

    @property
    def beta_min(self) -> float: ...

    @property
    def beta_max(self) -> float: ...

    @property
    def t_min(self) -> float: ...


def check_betas(sde: Betas) -> None:
    """Hold the parameters as floats, or raise ``ValueError`` unless 0 < beta_min < beta_max and 0 <= t_min < 1."""
    beta_min, beta_max = validate.positive("beta_min", sde.beta_min), validate.positive("beta_max", sde.beta_max)
    t_min = validate.finite("t_min", sde.t_min)
    if beta_max <= beta_min:
        raise ValueError(
            f"beta_max is {beta_max} and beta_min is {beta_min}: beta grows with time. Give beta_max > beta_min."
        )
    if not 0 <= t_min < 1:
        raise ValueError(f"t_min is {t_min}: it must lie in [0, 1), for example 0.001.")
    vars(sde).update(beta_min=beta_min, beta_max=beta_max, t_min=t_min)


def beta(sde: Betas, t: Time) -> Tensor:
    """The rate at time t, beta_min + t (beta_max - beta_min)."""
    return sde.beta_min + time_tensor(t) * (sde.beta_max - sde.beta_min)


def integral(sde: Betas, t: Time) -> Tensor:
    """Its integral, B(t) = int_0^t beta = beta_min t + (beta_max - beta_min) t^2 / 2."""
    t = time_tensor(t)
    return sde.beta_min * t + 0.5 * (sde.beta_max - sde.beta_min) * t**2


def time_of_integral(sde: Betas, B: Tensor) -> Tensor:
    """The t with B(t) = B, the root of a quadratic in the form that does not cancel."""
    return 2 * B / (sde.beta_min + (sde.beta_min**2 + 2 * (sde.beta_max - sde.beta_min) * B).sqrt())
