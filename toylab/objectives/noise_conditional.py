"""Denoising score matching at many noise levels at once: the loss of noise-conditional score networks (NCSN)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import integers, normal, normal_like, uniform
from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, require_sde

Weighting = Callable[[Tensor], Tensor]


def square(sigma: Tensor) -> Tensor:
    """lambda(sigma) = sigma^2, which gives every level a loss of the same size (Song & Ermon 2019, section 4.2)."""
    return sigma**2


@runtime_checkable
class ContinuousLevels(Protocol):
    """A law of noise levels: ``LogUniform``, ``LogNormal``, ``UniformTimes`` of an SDE, or your own."""

    def draw(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One level a point of ``like`` [n, 2], shape [n]."""
        ...

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Levels and weights with which to average over them."""
        ...


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
        validate.positive("low", self.low)
        validate.positive("high", self.high)
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}: low must be less than high.")

    def draw(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One level a point of ``like`` [n, 2], shape [n]."""
        u = uniform(like.shape[:-1], dtype=like.dtype, device=like.device, generator=generator)
        return self.low * (self.high / self.low) ** u

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Levels and weights with which to average over them, by Gauss-Legendre in log(sigma)."""
        t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(_N_NODES))
        return self.low * (self.high / self.low) ** (0.5 * (t + 1)), 0.5 * w


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
        validate.finite("mean", self.mean)
        validate.positive("std", self.std)

    def draw(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One level a point of ``like`` [n, 2], shape [n]."""
        z = normal(like.shape[:-1], dtype=like.dtype, device=like.device, generator=generator)
        return (self.mean + self.std * z).exp()

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Levels and weights with which to average over them, by the trapezoid rule in log(sigma).

        It reaches from 6 std below the mean to 9 above: a weighting sigma^2 moves the mass upwards.
        """
        t = torch.linspace(-6, 9, 41, dtype=torch.float64)
        weights = torch.exp(-0.5 * t**2) * (float(t[1] - t[0]) / math.sqrt(2 * math.pi))
        return (self.mean + self.std * t).exp(), weights


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
        """One level a point of ``like`` [n, 2], shape [n]."""
        return self._at(uniform(like.shape[:-1], dtype=like.dtype, device=like.device, generator=generator))

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Levels and weights with which to average over them, by Gauss-Legendre in t."""
        t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(_N_NODES))
        return self._at(0.5 * (t + 1)), 0.5 * w

    def _at(self, share: Tensor) -> Tensor:
        """The level at that share of the way from t_min to 1."""
        t = self.sde.t_min + (1 - self.sde.t_min) * share
        return self.sde.sigma(t) / self.sde.alpha(t)


_N_NODES = 24
Levels = Tensor | ContinuousLevels


@dataclass(frozen=True)
class NoiseConditional:
    """lambda(sigma) 1/2 |s(x + sigma z, sigma) + z / sigma|^2, with a level sigma drawn for each point.

    Its mean over the draw is the mean over levels of lambda(sigma) times the denoising loss at sigma.
    Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 6; with continuous levels Song et al. 2021 (arXiv:2011.13456),
    eq. 7, and Karras et al. 2022 (arXiv:2206.00364), eq. 8.

    Args:
        sigmas: the levels, equally likely: 1-D, positive, strictly decreasing (``schedules.geometric``); or a law of
            continuous ones, ``LogUniform``, ``LogNormal``, ``UniformTimes`` or another with ``draw`` and ``nodes``.
        weighting: lambda, a function of the levels.
        antithetic: average the losses of z and -z: the same mean with far less noise, since the error 2 s z / sigma
            of a single z cancels. It evaluates the score at two points for each of ``x``.
    """

    sigmas: Levels
    weighting: Weighting = square
    antithetic: bool = False

    def __post_init__(self) -> None:
        _check(self.sigmas, self.weighting)

    def __call__(self, score: NoiseConditionalScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss a point, shape [n], for points x [n, 2]."""
        sigma = _draw(self.sigmas, x, generator)
        z = normal_like(x, generator)
        weight = 0.5 * self.weighting(sigma)
        if not self.antithetic:
            return weight * _residual(score, x, sigma, z)
        both = _residual(score, torch.stack([x, x]), torch.stack([sigma, sigma]), torch.stack([z, -z]))
        return weight * both.mean(0)

    def offset(self, density: Density) -> float:
        """Mean over levels of lambda(sigma) (1/2 E|grad log p_sigma|^2 - 1 / sigma^2) (d = 2), by quadrature."""
        return _mean_over(
            self.sigmas, lambda s: float(self.weighting(s)) * (0.5 * fisher_information(density, float(s)) - 1 / s**2)
        )


@dataclass(frozen=True)
class NoiseConditionalExplicit:
    """lambda(sigma) 1/2 |s(x~, sigma) - t(x~, sigma)|^2 at x~ = x + sigma z, for a target t that is known.

    With ``target=p.score`` it has the same mean as ``NoiseConditional`` but for a constant, and none of the noise of
    its target: what is left between the two is the price of denoising.

    Args:
        target: t, a noise-conditional score.
        sigmas: as in ``NoiseConditional``.
        weighting: lambda, a function of the levels.
    """

    target: NoiseConditionalScore
    sigmas: Levels
    weighting: Weighting = square

    def __post_init__(self) -> None:
        validate.function("target", self.target, "NoiseConditionalExplicit(p.score, sigmas)")
        _check(self.sigmas, self.weighting)

    def __call__(self, score: NoiseConditionalScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss a point, shape [n], for points x [n, 2]."""
        sigma = _draw(self.sigmas, x, generator)
        noisy = x + sigma[..., None] * normal_like(x, generator)
        error = score(noisy, sigma) - self.target(noisy, sigma)
        return 0.5 * self.weighting(sigma) * error.square().sum(-1)

    def offset(self, density: Density) -> float:
        """0: the mean loss is the mean over levels of lambda(sigma) times the Fisher divergence there."""
        return 0.0


def _check(sigmas: Levels, weighting: Weighting) -> None:
    if not isinstance(sigmas, ContinuousLevels):
        validate.levels("sigmas", sigmas)
    validate.function("weighting", weighting, "lambda sigma: sigma**2")


def _draw(sigmas: Levels, x: Tensor, generator: torch.Generator | None) -> Tensor:
    if not isinstance(sigmas, Tensor):
        return sigmas.draw(x, generator)
    # a tensor changed in place is another one, which a tensor of inference mode does not tell
    here = sigmas.to(x) if sigmas.is_inference() else _like(sigmas, sigmas._version, x.dtype, x.device)
    return here[integers(len(sigmas), x.shape[:-1], device=x.device, generator=generator)]


@lru_cache(maxsize=16)
def _like(sigmas: Tensor, version: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The levels where the points are: to copy them there at every step is slow, and no CUDA graph can hold it."""
    with torch.inference_mode(False):
        return sigmas.detach().to(dtype=dtype, device=device, copy=True)


def _mean_over(sigmas: Levels, f: Callable[[Tensor], Tensor | float]) -> float:
    if isinstance(sigmas, Tensor):
        levels, weights = sigmas.double(), torch.full((len(sigmas),), 1 / len(sigmas), dtype=torch.float64)
    else:
        levels, weights = sigmas.nodes()
    return sum(float(w) * float(f(s)) for s, w in zip(levels, weights, strict=True))


def _residual(score: NoiseConditionalScore, x: Tensor, sigma: Tensor, z: Tensor) -> Tensor:
    """|s(x + sigma z, sigma) + z / sigma|^2."""
    column = sigma[..., None]
    return (score(x + column * z, sigma) + z / column).square().sum(-1)
