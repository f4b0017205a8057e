"""Known slips in an SDE, by which of its parts would agree if another were changed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.sde import SDE

_H = 2e-4
_N_TIMES = 65
_LIKE = 1e-3  # relative, to be called by the name of a known slip
_OF_VP = "g^2 is beta = -2 f, as in VP, where that of sub-VP has a factor 1 - alpha^4"
_STENCIL = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))


@dataclass(frozen=True, eq=False)
class Rates:
    """Values of an SDE at times, and what they change by, each [n] in float64."""

    t: Tensor
    alpha: Tensor
    sigma: Tensor
    f: Tensor
    g: Tensor
    alpha_rate: Tensor
    sigma_rate: Tensor
    variance_rate: Tensor

    @property
    def f_of_alpha(self) -> Tensor:
        """The f that belongs to alpha."""
        return self.alpha_rate / self.alpha

    @property
    def diffusion_squared(self) -> Tensor:
        """The g^2 that belongs to alpha and sigma."""
        return self.variance_rate - 2 * self.f_of_alpha * self.sigma**2


def rates_of(sde: SDE) -> Rates:
    """At times of [t_min, 1], by central differences of order 4."""
    t = torch.linspace(float(sde.t_min) + 3 * _H, 1 - 3 * _H, _N_TIMES, dtype=torch.float64, device="cpu")

    def rate(part: Callable[[Tensor], Tensor]) -> Tensor:
        values = torch.stack([weight * part(t + k * _H) for k, weight in _STENCIL])
        return values.sum(0) / _H

    f = sde.drift(torch.ones(len(t), 2, dtype=torch.float64, device="cpu"), t)[:, 0]
    return Rates(
        t, sde.alpha(t), sde.sigma(t), f, sde.diffusion(t),
        rate(sde.alpha), rate(sde.sigma), rate(lambda t: sde.sigma(t) ** 2),
    )  # fmt: skip


def explain_drift(rates: Rates) -> str:
    """Why alpha' is not f alpha."""
    told, f, right = "alpha does not belong to the drift", rates.f, rates.f_of_alpha
    for factor, words in (
        (-1.0, "the sign of the drift is turned round"),
        (2.0, "the drift is twice that of alpha: its 1/2 is missing, as in -beta x where -beta/2 x is meant, or alpha "
              "is the root of what is meant"),
        (0.5, "the drift is half of that of alpha: its 1/2 is there twice, or alpha is squared, exp(-B) where "
              "exp(-B/2) is meant"),
        (0.0, "the drift is 0, and alpha is not constant"),
        (-2.0, "sign of the drift, and a factor of 2"),
    ):  # fmt: skip
        if _alike(f, factor * right):
            return f"{told}: {words}"
    if _alike(right, 0 * right):
        return f"{told}: alpha is constant, and the drift is not 0"
    return f"{told}: f is {_at_the_ends(f)} at the first and last time, where alpha' / alpha is {_at_the_ends(right)}"


def explain_diffusion(rates: Rates, drift_is_right: bool) -> str:
    """Why (sigma^2)' is not 2 f sigma^2 + g^2, with the f that belongs to alpha."""
    g, sigma, f, right = rates.g, rates.sigma, rates.f_of_alpha, rates.diffusion_squared
    told, beta = "g does not belong to sigma(t)", -2 * f
    if _alike(g, right):
        return f"{told}: diffusion(t) gives g^2, where g is meant"
    if _alike(g**4, right):
        return f"{told}: diffusion(t) gives the root of g"
    if _alike(rates.sigma_rate - 2 * f * sigma, g**2):
        words = "sigma does not belong to g: sigma(t) gives the variance, where the standard deviation is meant"
        return f"{words}; or, if it is that of sub-VP, {_OF_VP}" if _alike(g**2, beta) else words
    if _alike(4 * sigma**3 * rates.sigma_rate - 2 * f * sigma**4, g**2):
        return "sigma does not belong to g: sigma(t) gives the root of the standard deviation"
    if not drift_is_right and _alike(rates.variance_rate - 2 * rates.f * sigma**2, g**2):
        return "sigma, g and the drift agree, and it is alpha that does not belong to them"
    for factor, words in ((2.0, "twice"), (0.5, "half of")):
        if _alike(g**2, factor * right):
            return f"{told}: g^2 is {words} what it should be"
    if not _alike(f, 0 * f) and _alike(g**2, rates.variance_rate):
        return f"{told}: g^2 is (sigma^2)', and the drift's part, -2 f sigma^2, is left out"
    if _alike(g, rates.sigma_rate):
        return f"{told}: g is sigma', where g^2 = (sigma^2)' is meant, less 2 f sigma^2"
    if _alike(g, sigma):
        return f"{told}: g is sigma, the noise that has come together, where its rate is meant"
    if _alike(g**2, beta):
        return f"{told}: {_OF_VP}"
    if _alike(g, beta):
        return f"{told}: g is beta = -2 f, where sqrt(beta) is that of VP"
    ratio = g**2 / right
    if bool((right > 0).all()) and _alike(ratio, ratio.mean() * torch.ones_like(ratio)):
        return f"{told}: g^2 is {float(ratio.mean()):.4g} times what it should be, at all times"
    return (
        f"{told}: another schedule? g^2 is {_at_the_ends(g**2)} at the first and last time, where "
        f"(sigma^2)' - 2 f sigma^2 is {_at_the_ends(right)}"
    )


def _alike(values: Tensor, expected: Tensor) -> bool:
    return bool(((values - expected).abs() <= _LIKE * expected.abs() + 1e-9).all())


def _at_the_ends(values: Tensor) -> str:
    return f"{float(values[0]):.4g}, {float(values[-1]):.4g}"
