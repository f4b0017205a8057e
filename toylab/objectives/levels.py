"""Noise levels to train at: a ladder of them, or a continuous distribution."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import integers, normal, uniform
from toylab._internal.remembered import remembered
from toylab._internal.torch_private import version
from toylab.sde import SDE, require_sde

_N_NODES = 24


@runtime_checkable
class ContinuousLevels(Protocol):
    """A distribution of noise levels: ``LogUniform``, ``LogNormal``, ``UniformTimes`` of an SDE, or your own."""

    def draw(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One level per point of ``like`` [n, 2], shape [n]."""
        ...

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Levels and weights with which to average over them."""
        ...


@dataclass(frozen=True)
class LevelPath:
    """A distribution of levels as that of a number y, along which level and probability are smooth.

    Attributes:
        low: least y; -inf if there is none.
        high: largest y, or inf.
        level: sigma at y.
        probability: per dy.
        middle: where most of the probability is, from which a path without end is searched.
        width: the scale on which it falls off.
    """

    low: float
    high: float
    level: Callable[[float], float]
    probability: Callable[[float], float]
    middle: float = 0.0
    width: float = 1.0


@dataclass(frozen=True)
class LogUniform:
    """Levels with log(sigma) uniform between two ends: the geometric ladder with infinitely many rungs.

    These are the levels sigma(t) = low (high / low)^t of the variance-exploding SDE at times uniform on [0, 1]
    (Song et al. 2021, arXiv:2011.13456, eq. 30).

    Args:
        low: least level.
        high: largest level.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        vars(self).update(
            low=validate.positive("low", self.low),
            high=validate.positive("high", self.high),
        )
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}: low must be less than high.")

    def draw(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One level per point of ``like`` [n, 2], shape [n]."""
        u = uniform(validate.points("like", like).shape[:-1], dtype=like.dtype, device=like.device, generator=generator)
        return self.low * (self.high / self.low) ** u

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Levels and weights with which to average over them, by Gauss-Legendre in log(sigma)."""
        t, w = (torch.as_tensor(part, device="cpu") for part in np.polynomial.legendre.leggauss(_N_NODES))
        return self.low * (self.high / self.low) ** (0.5 * (t + 1)), 0.5 * w

    def path(self) -> LevelPath:
        """Along y = log(sigma)."""
        low, high = math.log(self.low), math.log(self.high)
        return LevelPath(low, high, math.exp, lambda y: 1 / (high - low))


@dataclass(frozen=True)
class LogNormal:
    """Levels with log(sigma) normal (Karras et al. 2022, arXiv:2206.00364, table 1: mean -1.2, std 1.2).

    Args:
        mean: of log(sigma).
        std: of log(sigma).
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        vars(self).update(
            mean=validate.finite("mean", self.mean),
            std=validate.positive("std", self.std),
        )

    def draw(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One level per point of ``like`` [n, 2], shape [n]."""
        z = normal(validate.points("like", like).shape[:-1], dtype=like.dtype, device=like.device, generator=generator)
        return (self.mean + self.std * z).exp()

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Levels and weights with which to average over them, by the trapezoid rule in log(sigma).

        It reaches from 6 std below the mean to 9 above: a weighting sigma^2 moves the mass upwards.
        """
        t = torch.linspace(-6, 9, 41, dtype=torch.float64, device="cpu")
        weights = torch.exp(-0.5 * t**2) * (float(t[1] - t[0]) / math.sqrt(2 * math.pi))
        return (self.mean + self.std * t).exp(), weights

    def path(self) -> LevelPath:
        """Along y = log(sigma), which has no end."""

        def probability(y: float) -> float:
            return math.exp(-0.5 * ((y - self.mean) / self.std) ** 2) / (self.std * math.sqrt(2 * math.pi))

        return LevelPath(-math.inf, math.inf, math.exp, probability, self.mean, self.std)


@dataclass(frozen=True)
class UniformTimes:
    """Levels sigma(t) / alpha(t) at times uniform on [t_min, 1] of an SDE: those of the loss of a diffusion model.

    With the weighting sigma^2 of ``NoiseConditional`` it is the loss of noise prediction, E|eps_hat - eps|^2 / 2, of
    Ho et al. 2020 (arXiv:2006.11239), eq. 14, in continuous time. For VE it is ``LogUniform(sigma_min, sigma_max)``.

    Args:
        sde: such as ``VP()``.
    """

    sde: SDE

    def __post_init__(self) -> None:
        require_sde(self.sde)

    def draw(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One level per point of ``like`` [n, 2], shape [n]."""
        return self._at(
            uniform(validate.points("like", like).shape[:-1], dtype=like.dtype, device=like.device, generator=generator)
        )

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Levels and weights with which to average over them, by Gauss-Legendre in t."""
        t, w = (torch.as_tensor(part, device="cpu") for part in np.polynomial.legendre.leggauss(_N_NODES))
        return self._at(0.5 * (t + 1)), 0.5 * w

    def path(self) -> LevelPath:
        """Along y = log(t), since levels vanish like a power of t; along t itself where they do not vanish at 0."""
        t_min = self.sde.t_min
        if t_min == 0 and self._at_time(0.0) > 0:
            return LevelPath(0.0, 1.0, self._at_time, lambda t: 1.0)
        low = math.log(t_min) if t_min > 0 else -math.inf
        return LevelPath(low, 0.0, lambda y: self._at_time(math.exp(y)), lambda y: math.exp(y) / (1 - t_min))

    def _at(self, share: Tensor) -> Tensor:
        """The level at that share of the way from t_min to 1."""
        t = self.sde.t_min + (1 - self.sde.t_min) * share
        return self.sde.sigma(t) / self.sde.alpha(t)

    def _at_time(self, t: float) -> float:
        return float(self.sde.sigma(t) / self.sde.alpha(t))


Levels = Tensor | ContinuousLevels  # a tensor is 1-D, positive, strictly decreasing
Weight = Callable[[Tensor], Tensor] | float  # lambda, a function of the levels or a number


def weights_at(weight: Weight, sigma: Tensor) -> Tensor | float:
    """lambda at the levels sigma [n], or raise unless it is one number per level, or one for all."""
    found = weight(sigma) if callable(weight) else weight
    if isinstance(found, Tensor) and found.numel() != 1 and found.shape != sigma.shape:
        raise ValueError(
            f"the weighting gives {list(found.shape)} for levels {list(sigma.shape)}: it must give one number per "
            "level, as lambda sigma: sigma**2 does."
        )
    if not isinstance(found, Tensor) and not validate.is_number(found):
        raise TypeError(
            f"the weighting gives a {type(found).__name__} for levels {list(sigma.shape)}: it must give one number per "
            "level, as lambda sigma: sigma**2 does."
        )
    return found


def weight_at(weight: Weight, level: float) -> float:
    """lambda at one level, or raise ``ValueError`` unless it is one finite number."""
    number = float(weights_at(weight, torch.tensor([level], dtype=torch.float64, device="cpu")))
    if not math.isfinite(number):
        raise ValueError(f"the weighting gives {number} at the level {level:.4g}: it must give a finite number there.")
    return number


def check_levels(name: str, sigmas: Levels) -> Levels:
    """Return ``sigmas``, or raise unless it is a decreasing tensor of levels or a distribution of them."""
    return sigmas if isinstance(sigmas, ContinuousLevels) else validate.levels(name, sigmas)


def check_weighting(weighting: Weight) -> Weight:
    """Return ``weighting``, a number as a float, or raise unless it is one greater than 0 or a function of levels."""
    if validate.is_number(weighting):
        return validate.positive("weighting", weighting)  # type: ignore[arg-type]  # it is a number
    return validate.function("weighting", weighting, "lambda sigma: sigma**2")


def draw_levels(sigmas: Levels, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """One level per point of ``x`` [n, 2], shape [n]; those of a tensor are equally likely."""
    if not isinstance(sigmas, Tensor):
        return sigmas.draw(x, generator)
    # a tensor changed in place is another one; inference tensors have no version counter
    here = sigmas.to(x) if sigmas.is_inference() else _on_device(sigmas, version(sigmas), x.dtype, x.device)
    return here[integers(len(sigmas), x.shape[:-1], device=x.device, generator=generator)]


@remembered(16)
def _on_device(sigmas: Tensor, n_changes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The levels where the points are: copying them there at every step is slow, and no CUDA graph can hold it."""
    with torch.inference_mode(False):
        return sigmas.detach().to(dtype=dtype, device=device, copy=True)


def level_nodes(sigmas: Levels) -> tuple[Tensor, Tensor]:
    """Levels and weights with which to average over them; those of a tensor are equally likely."""
    if not isinstance(sigmas, Tensor):
        return sigmas.nodes()
    return sigmas.double(), torch.full((len(sigmas),), 1 / len(sigmas), dtype=torch.float64, device="cpu")
