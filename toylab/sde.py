"""Diffusions that turn data into noise: dx = f(t) x dt + g(t) dw, so that x_t | x_0 ~ N(alpha(t) x_0, sigma(t)^2 I).

Both functions determine f and g, and the other way round: alpha' = f alpha and (sigma^2)' = 2 f sigma^2 + g^2. Time
runs from 0, the data, to 1, the noise. The law of x_t is that of ``p.scaled(alpha).noised(sigma)``.

Source: Song et al. 2021 (arXiv:2011.13456), section 3 and appendix B.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import GaussianMixture, isotropic
from toylab.densities.density import Density
from toylab.score import NoiseConditionalScore, Score

Time = Tensor | float  # a number, or a tensor of times


@runtime_checkable
class SDE(Protocol):
    """What the samplers ask of an SDE; VE, VP and SubVP give it, and so may a class of your own.

    Times are numbers, or tensors of them; a number gives a tensor of shape [] in float64.
    """

    @property
    def t_min(self) -> float:
        """The time at which sampling ends and likelihoods begin, 0 <= t_min < 1."""
        ...

    @property
    def prior(self) -> Density:
        """What the reverse runs start from: a law near that of x_1, whatever the data."""
        ...

    def alpha(self, t: Time) -> Tensor:
        """By what x_0 is scaled, > 0; shape of t."""
        ...

    def sigma(self, t: Time) -> Tensor:
        """The standard deviation of the noise in x_t; shape of t."""
        ...

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """f(t) x at the points x [..., 2]; t a number, or one time a point [...]."""
        ...

    def diffusion(self, t: Time) -> Tensor:
        """g(t) >= 0; shape of t."""
        ...


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
        validate.positive("sigma_min", self.sigma_min)
        validate.positive("sigma_max", self.sigma_max)
        if self.sigma_max <= self.sigma_min:
            raise ValueError(
                f"sigma_max is {self.sigma_max} and sigma_min is {self.sigma_min}: the noise must grow with time. "
                "Give sigma_max > sigma_min."
            )

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
        return torch.ones_like(_time(t))

    def sigma(self, t: Time) -> Tensor:
        """sigma_min (sigma_max / sigma_min)^t; shape of t."""
        return self.sigma_min * (_time(t) * self._log_ratio).exp()

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """0, shape of x."""
        return torch.zeros_like(x)

    def diffusion(self, t: Time) -> Tensor:
        """sigma(t) sqrt(2 log(sigma_max / sigma_min)), from g^2 = d sigma^2 / dt; shape of t."""
        return self.sigma(t) * (2 * self._log_ratio) ** 0.5

    def time_of(self, level: Tensor | float) -> Tensor:
        """The t at which sigma(t) / alpha(t) = level: log(level / sigma_min) / log(sigma_max / sigma_min)."""
        return _in_time((_level(level) / self.sigma_min).log() / self._log_ratio, level)

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)


@dataclass(frozen=True)
class VP:
    """Variance preserving: f = -beta/2, g^2 = beta, beta(t) = beta_min + t (beta_max - beta_min).

    With B(t) = int_0^t beta = beta_min t + (beta_max - beta_min) t^2 / 2: alpha = e^(-B/2), sigma^2 = 1 - e^(-B), so
    that data of variance 1 keep it. ``prior`` is N(0, I). At t = 1 sigma / alpha is 152: a learned score must know its
    levels up to there, or runs start later, at ``time_of`` the largest that it knows.
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
        _check_betas(self)

    @property
    def prior(self) -> GaussianMixture:
        """N(0, I)."""
        return isotropic([[0.0, 0.0]], 1.0)

    def alpha(self, t: Time) -> Tensor:
        """e^(-B(t)/2); shape of t."""
        return (-0.5 * _integral(self, t)).exp()

    def sigma(self, t: Time) -> Tensor:
        """sqrt(1 - e^(-B(t))); shape of t."""
        return (-torch.expm1(-_integral(self, t))).sqrt()

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """-beta(t)/2 x, shape of x."""
        return -0.5 * _beta(self, t).to(x)[..., None] * x

    def diffusion(self, t: Time) -> Tensor:
        """sqrt(beta(t)); shape of t."""
        return _beta(self, t).sqrt()

    def time_of(self, level: Tensor | float) -> Tensor:
        """The t at which sigma(t) / alpha(t) = level, that is B(t) = log(1 + level^2); shape of level."""
        return _in_time(_time_of_integral(self, torch.log1p(_level(level) ** 2)), level)


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
        _check_betas(self)

    @property
    def prior(self) -> GaussianMixture:
        """N(0, I)."""
        return isotropic([[0.0, 0.0]], 1.0)

    def alpha(self, t: Time) -> Tensor:
        """e^(-B(t)/2); shape of t."""
        return (-0.5 * _integral(self, t)).exp()

    def sigma(self, t: Time) -> Tensor:
        """1 - e^(-B(t)); shape of t."""
        return -torch.expm1(-_integral(self, t))

    def drift(self, x: Tensor, t: Time) -> Tensor:
        """-beta(t)/2 x, shape of x."""
        return -0.5 * _beta(self, t).to(x)[..., None] * x

    def diffusion(self, t: Time) -> Tensor:
        """sqrt(beta(t) (1 - e^(-2 B(t)))); shape of t."""
        return (-_beta(self, t) * torch.expm1(-2 * _integral(self, t))).sqrt()

    def time_of(self, level: Tensor | float) -> Tensor:
        """The t at which sigma(t) / alpha(t) = 2 sinh(B(t)/2) = level; shape of level."""
        return _in_time(_time_of_integral(self, 2 * torch.asinh(_level(level) / 2)), level)


def score_at(sde: SDE, score: NoiseConditionalScore, t: Time) -> Score:
    """The score of x_t from a noise-conditional one: s_t(x) = s(x / alpha; sigma / alpha) / alpha.

    x_t / alpha = x_0 + (sigma / alpha) z is the data with plain noise, so that one score, exact or learned on plain
    noise, serves every SDE.

    Args:
        sde: gives alpha and sigma.
        score: s(x, sigma), exact (``p.score``) or learned.
        t: the time, a number or one a point.

    Returns:
        s_t, a function of x [..., 2].

    >>> from toylab.densities import two_modes
    >>> score_at(VP(), two_modes().score, 1.0)(torch.tensor([2.0, 1.0]))  # nearly that of N(0, I)
    tensor([-1.9783, -0.9783])
    """

    def score_at_t(x: Tensor, /) -> Tensor:
        return score(*plain_noise(sde, x, t)) / sde.alpha(t).to(x)[..., None]

    return score_at_t


def plain_noise(sde: SDE, x: Tensor, t: Time) -> tuple[Tensor, Tensor | float]:
    """x_t / alpha = x_0 + (sigma / alpha) z as a point with plain noise, and its noise level.

    Args:
        sde: gives alpha and sigma.
        x: points at time t, shape [..., 2].
        t: the time, a number or one a point.

    Returns:
        x / alpha [..., 2], and sigma / alpha: a number if t is one, else of its shape and the dtype of x.
    """
    validate.time(t)
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    level = sigma / alpha
    return x / alpha.to(x)[..., None], level.to(x) if isinstance(t, Tensor) else float(level)


def require_sde(sde: SDE) -> SDE:
    """Return ``sde``, or raise ``TypeError`` unless it has all that samplers ask for."""
    if isinstance(sde, type) or not isinstance(sde, SDE):
        given = f"the class {sde.__name__}" if isinstance(sde, type) else f"a {type(sde).__name__}"
        raise TypeError(
            f"sde is {given}: give an SDE such as VE(), VP() or SubVP(), or an object with alpha, sigma, drift, "
            "diffusion, prior and t_min."
        )
    return sde


def _time(t: Time) -> Tensor:
    return t if isinstance(t, Tensor) else torch.tensor(validate.finite("t", t), dtype=torch.float64)


def _level(level: Tensor | float) -> Tensor:
    if not isinstance(level, Tensor):
        return torch.tensor(validate.positive("level", level), dtype=torch.float64)
    if level.device.type == "cpu" and not bool((level > 0).all()):
        raise ValueError(f"level is {level.tolist()}: noise levels are standard deviations, greater than 0.")
    return level


def _in_time(t: Tensor, level: Tensor | float) -> Tensor:
    """Refuse levels that no time in [0, 1] has; the values of a CUDA tensor are not read."""
    if t.device.type == "cpu" and not bool(((t >= -1e-6) & (t <= 1 + 1e-6)).all()):
        raise ValueError(
            f"level is {level.tolist() if isinstance(level, Tensor) else level}: sigma(t) / alpha(t) takes no such "
            "value for t in [0, 1]. Give a level between those of t = 0 and t = 1."
        )
    return t.clamp(0, 1)


def _check_betas(sde: VP | SubVP) -> None:
    validate.positive("beta_min", sde.beta_min)
    validate.positive("beta_max", sde.beta_max)
    if sde.beta_max <= sde.beta_min:
        raise ValueError(
            f"beta_max is {sde.beta_max} and beta_min is {sde.beta_min}: beta grows with time. "
            "Give beta_max > beta_min."
        )
    if not 0 <= validate.finite("t_min", sde.t_min) < 1:
        raise ValueError(f"t_min is {sde.t_min}: it must lie in [0, 1), for example 0.001.")


def _beta(sde: VP | SubVP, t: Time) -> Tensor:
    """beta(t) = beta_min + t (beta_max - beta_min)."""
    return sde.beta_min + _time(t) * (sde.beta_max - sde.beta_min)


def _integral(sde: VP | SubVP, t: Time) -> Tensor:
    """B(t) = int_0^t beta = beta_min t + (beta_max - beta_min) t^2 / 2."""
    t = _time(t)
    return sde.beta_min * t + 0.5 * (sde.beta_max - sde.beta_min) * t**2


def _time_of_integral(sde: VP | SubVP, B: Tensor) -> Tensor:
    """The t with B(t) = B, the root of a quadratic in the form that does not cancel."""
    return 2 * B / (sde.beta_min + (sde.beta_min**2 + 2 * (sde.beta_max - sde.beta_min) * B).sqrt())
