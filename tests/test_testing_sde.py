"""``check_sde`` passes SDEs of one piece, however written, and names what does not belong together in others.

It is deterministic but for the variance of the prior, of 50,000 draws, known to 0.5 % beside a tolerance of 5 %.
"""

import math
import re
from dataclasses import dataclass, field, replace

import pytest
import torch

from toylab.densities import Density, isotropic
from toylab.sde import VE, VP, SubVP
from toylab.testing import check_sde


def times(t):
    return t if isinstance(t, torch.Tensor) else torch.tensor(t, dtype=torch.float64)


def integral(t):
    """B(t) of VP's beta = 0.1 + 19.9 t."""
    return 0.1 * times(t) + 9.95 * times(t) ** 2


def beta(t):
    return 0.1 + 19.9 * times(t)


def column(values, t):
    return values[..., None] if isinstance(t, torch.Tensor) else values


@dataclass(frozen=True)
class Parts:
    """An SDE from its functions of time, as a stranger writes it: f, not the drift."""

    alpha: object = lambda t: (-0.5 * integral(t)).exp()
    sigma: object = lambda t: (1 - (-integral(t)).exp()).sqrt()
    f: object = lambda t: -0.5 * beta(t)
    diffusion: object = lambda t: beta(t).sqrt()
    prior: Density = field(default_factory=lambda: isotropic([[0.0, 0.0]], 1.0))
    t_min: float = 1e-3

    def drift(self, x, t):
        return column(self.f(t), t).to(x) * x


VP_PARTS = Parts()
SUB_VP = replace(
    VP_PARTS,
    sigma=lambda t: 1 - (-integral(t)).exp(),
    diffusion=lambda t: (beta(t) * (1 - (-2 * integral(t)).exp())).sqrt(),
)
GROWTH = math.log(200)


def ve_sigma(t):
    return 0.1 * (GROWTH * times(t)).exp()


VE_PARTS = Parts(
    lambda t: torch.ones_like(times(t)),
    ve_sigma,
    lambda t: torch.zeros_like(times(t)),
    lambda t: ve_sigma(t) * (2 * GROWTH) ** 0.5,
    isotropic([[0.0, 0.0]], 20.0),
    0.0,
)


def cosine_angle(t):
    return math.pi / 2 * 0.98 * times(t) + 0.01


RIGHT = {
    "VE": VE(),
    "VP": VP(),
    "sub-VP, slow": SubVP(0.5, 5.0, t_min=0.01),
    "VP in parts": VP_PARTS,
    "sub-VP in parts": SUB_VP,
    "VE in parts": VE_PARTS,
    "cosine": Parts(
        lambda t: cosine_angle(t).cos() / math.cos(0.01),
        lambda t: (1 - (cosine_angle(t).cos() / math.cos(0.01)) ** 2).sqrt(),
        lambda t: -math.pi / 2 * 0.98 * cosine_angle(t).tan(),
        lambda t: (2 * math.pi / 2 * 0.98 * cosine_angle(t).tan()).sqrt(),
    ),
    "VE of Karras et al., sigma = t, in units of 80": Parts(
        lambda t: torch.ones_like(times(t)), lambda t: 80 * times(t), lambda t: torch.zeros_like(times(t)),
        lambda t: 80 * (2 * times(t)).sqrt(), isotropic([[0.0, 0.0]], 80.0), 2e-3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_an_sde_of_one_piece_passes(name):
    report = check_sde(RIGHT[name])
    assert report.passed, report


WRONG = {
    "drift without its 1/2": (replace(VP_PARTS, f=lambda t: -beta(t)), "^alpha does not belong .* its 1/2 is missing"),
    "drift of the other sign": (replace(VP_PARTS, f=lambda t: 0.5 * beta(t)), "sign of the drift is turned round"),
    "no drift": (replace(VP_PARTS, f=lambda t: 0 * beta(t)), "the drift is 0, and alpha is not constant"),
    "alpha = exp(-B)": (
        replace(VP_PARTS, alpha=lambda t: (-integral(t)).exp()),
        r"alpha is squared, exp\(-B\) .*sigma, g and the drift agree, and it is alpha",
    ),
    "a drift in VE": (
        replace(VE_PARTS, f=lambda t: -0.5 * beta(t)), "alpha is constant, and the drift is not 0"
    ),
    "a drift of another time": (
        replace(VP_PARTS, f=lambda t: -0.5 * beta(1 - times(t))), "f is -9.9.* at the first and last time, where"
    ),
    "g^2 for g": (replace(VP_PARTS, diffusion=beta), r"g does not belong .* diffusion\(t\) gives g\^2, where g"),
    "the root of g": (replace(VP_PARTS, diffusion=lambda t: beta(t) ** 0.25), "gives the root of g"),
    "the variance for sigma": (
        replace(VP_PARTS, sigma=lambda t: 1 - (-integral(t)).exp()), r"sigma\(t\) gives the variance"
    ),
    "the root of sigma": (
        replace(VE_PARTS, sigma=lambda t: ve_sigma(t).sqrt()), r"sigma\(t\) gives the root of the standard deviation"
    ),
    "g of VP in sub-VP": (replace(SUB_VP, diffusion=lambda t: beta(t).sqrt()), "as in VP, where that of sub-VP"),
    "g of another schedule": (
        replace(VP_PARTS, diffusion=lambda t: (0.1 + 9.9 * times(t)).sqrt()), "another schedule"
    ),
    "g^2 = (sigma^2)' alone": (
        replace(VP_PARTS, diffusion=lambda t: (beta(t) * (-integral(t)).exp()).sqrt()), "-2 f sigma.2, is left out"
    ),
    "g = sigma'": (replace(VE_PARTS, diffusion=lambda t: GROWTH * ve_sigma(t)), "g is sigma', where"),
    "g = sigma": (replace(VE_PARTS, diffusion=ve_sigma), "g is sigma, the noise that has come together"),
    "g^2 halved": (replace(VP_PARTS, diffusion=lambda t: (beta(t) / 2).sqrt()), r"g\^2 is half of what it should be"),
    "g without a factor": (
        replace(VE_PARTS, diffusion=lambda t: 2 * ve_sigma(t)), r"g\^2 is 0.3775 times what it should be, at all times"
    ),
    "time reversed": (
        Parts(*(lambda t, part=part: part(1 - times(t)) for part in
                (VP_PARTS.alpha, VP_PARTS.sigma, VP_PARTS.f, VP_PARTS.diffusion))),
        "time is reversed",
    ),
    "a prior by the standard deviation": (
        replace(VE_PARTS, prior=isotropic([[0.0, 0.0]], 20.0**0.5)), "a standard deviation, is passed as a variance"
    ),
    "a prior by the variance": (
        replace(VE_PARTS, prior=isotropic([[0.0, 0.0]], 400.0)), "a variance, is passed as a standard deviation"
    ),
    "the prior of VP": (replace(VE_PARTS, prior=isotropic([[0.0, 0.0]], 1.0)), "that of VP"),
    "a prior with a mean": (replace(VP_PARTS, prior=isotropic([[1.0, 0.0]], 1.0)), r"prior has the mean \((1|0.99)"),
    "t_min of 1": (replace(VP_PARTS, t_min=1.0), "t_min is 1.0: it must lie in"),
    "a number for a tensor": (
        replace(VP_PARTS, alpha=lambda t: math.exp(-0.5 * float(integral(t).mean()))), r"alpha\(t\) gives a float"
    ),
    "single precision": (replace(VP_PARTS, diffusion=lambda t: beta(t).float()), "torch.float32, where t or x are"),
    "one value for all times": (
        replace(VP_PARTS, sigma=lambda t: ve_sigma(t).mean()), r"sigma\(t\) gives shape \[\], where \[3\]"
    ),
    "times scaled by the last one": (
        replace(VP_PARTS, diffusion=lambda t: beta(times(t) / times(t).max()).sqrt()), r"diffusion\(0.5\) is .* among"
    ),
    "nan": (replace(VP_PARTS, diffusion=lambda t: (-beta(t)).sqrt()), r"diffusion\(t\) is nan or inf"),
    "an error": (replace(VP_PARTS, f=lambda t: t.missing), r"raises AttributeError, with times \[3\] or a number"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_belong_together_is_named(name):
    sde, words = WRONG[name]
    report = check_sde(sde)
    assert not report.passed
    assert re.search(words, report.wrong), report.wrong


@dataclass(frozen=True)
class Bent(Parts):
    """A drift that is not linear."""

    def drift(self, x, t):
        return super().drift(x.tanh(), t)


@dataclass(frozen=True)
class Pulled(Parts):
    """A drift towards (1, 1)."""

    def drift(self, x, t):
        return super().drift(x - 1, t)


@dataclass(frozen=True)
class Broadcast(Parts):
    """Of two points, one time per point is taken for one per coordinate."""

    def drift(self, x, t):
        f = self.f(t)
        return (f[:2] if f.ndim else f).to(x) * x


@pytest.mark.parametrize(
    ("sde", "words"),
    [
        (Bent(), "not f.t. x with one f"),
        (Pulled(), "drift at x = 0 is not 0"),
        (Broadcast(), r"use t\[..., None\]"),
    ],
)
def test_a_drift_that_is_not_linear_or_not_of_each_point(sde, words):
    assert re.search(words, check_sde(sde).wrong)


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="sde is the class VP"):
        check_sde(VP)
    with pytest.raises(ValueError, match="seed is -1"):
        check_sde(VP(), seed=-1)
