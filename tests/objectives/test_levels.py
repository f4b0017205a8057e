"""The constant of a loss over continuous levels, against closed forms on N(0, I), where 1/2 I = 1 / (1 + sigma^2).

With any law of levels and any weighting lambda the offset is then minus the mean of lambda / (sigma^2 (1 + sigma^2)),
which mpmath or SciPy integrates by itself, in a variable of their own.
"""

import math

import mpmath
import pytest
import scipy.integrate
import torch

from toylab.densities import isotropic, two_modes
from toylab.densities.quadrature import fisher_information
from toylab.objectives import LikelihoodWeighting, LogNormal, LogUniform, NoiseConditional, UniformTimes
from toylab.sde import VE, VP, SubVP

NORMAL = isotropic([[0.0, 0.0]], 1.0)


def beta_integral(t):
    return mpmath.mpf("0.1") * t + mpmath.mpf("19.9") * t**2 / 2


# the levels as a function of a number between two ends, and the probability per unit of it; and places to split at
BEFORE = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]
REFERENCES = {
    "VE": (
        UniformTimes(VE(0.01, 20.0)), lambda t: mpmath.mpf("0.01") * 2000**t, lambda t: 1, [k / 8 for k in range(9)],
    ),
    "VP": (
        UniformTimes(VP()), lambda t: mpmath.sqrt(mpmath.expm1(beta_integral(t))), lambda t: 1 / mpmath.mpf("0.999"),
        BEFORE,
    ),
    "sub-VP": (
        UniformTimes(SubVP()), lambda t: 2 * mpmath.sinh(beta_integral(t) / 2), lambda t: 1 / mpmath.mpf("0.999"),
        BEFORE,
    ),
    "log-uniform": (
        LogUniform(1e-3, 50.0), mpmath.exp, lambda y: 1 / mpmath.log(5e4),
        [math.log(1e-3) + k * math.log(5e4) / 8 for k in range(9)],
    ),
    "log-normal": (
        LogNormal(-1.2, 1.2), mpmath.exp, lambda y: mpmath.npdf(y, -1.2, 1.2), list(range(-24, 16, 2)),
    ),
}  # fmt: skip
WEIGHTINGS = {
    "1": lambda s: s**0,
    "sigma^2": lambda s: s**2,
    "1 / sigma^2": lambda s: s**-2,
    "of Karras et al.": lambda s: (s**2 + 0.25) / (0.5 * s) ** 2,
}


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", REFERENCES)
def test_offset_on_a_normal_law_at_any_levels_with_any_weighting(name, weighting):
    levels, sigma, probability, ends = REFERENCES[name]
    weight = WEIGHTINGS[weighting]

    def integrand(y):
        s = sigma(mpmath.mpf(y))
        return weight(s) * probability(y) / (s**2 * (1 + s**2))

    expected = -float(mpmath.quad(integrand, ends))
    assert NoiseConditional(levels, weighting=weight).offset(NORMAL) == pytest.approx(expected, rel=1e-8)


def test_the_values_that_were_wrong():
    """VP with weight 1 was -21.004, sub-VP -31253: Gauss-Legendre in t does not see 1 / sigma^2 at small t."""
    one = torch.ones_like
    assert NoiseConditional(UniformTimes(VP()), weighting=one).offset(NORMAL) == pytest.approx(-23.36560699, abs=1e-7)
    assert NoiseConditional(UniformTimes(SubVP()), weighting=1).offset(NORMAL) == pytest.approx(-61301.67357, abs=1e-4)


def test_a_weighting_with_a_kink():
    """min(5, 1 / sigma^2), SciPy on both sides of the kink."""
    levels = LogUniform(0.01, 20.0)

    def integrand(y):
        s = math.exp(y)
        return min(5.0, s**-2) / (s**2 * (1 + s**2)) / math.log(2000)

    ends = math.log(0.01), -0.5 * math.log(5), math.log(20.0)
    expected = -sum(
        scipy.integrate.quad(integrand, low, high, epsrel=1e-12)[0]
        for low, high in zip(ends, ends[1:], strict=False)
    )  # fmt: skip
    found = NoiseConditional(levels, weighting=lambda s: torch.clamp(s**-2, max=5.0)).offset(NORMAL)
    assert found == pytest.approx(expected, rel=1e-7)


def test_the_likelihood_weighting_of_vp():
    """lambda = g^2 / alpha^2 at the time of the level, Song et al. 2021 (arXiv:2101.09258); 1 / alpha^2 = 1 + s^2."""
    sde = VP(t_min=1e-4)

    def integrand(y):
        s2 = math.expm1(0.1 * math.exp(y) + 9.95 * math.exp(2 * y))
        return math.exp(y) * (0.1 + 19.9 * math.exp(y)) / s2 / (1 - 1e-4)

    expected = -scipy.integrate.quad(integrand, math.log(1e-4), 0.0, epsrel=1e-12, limit=500)[0]
    found = NoiseConditional(UniformTimes(sde), LikelihoodWeighting(sde)).offset(NORMAL)
    assert found == pytest.approx(expected, rel=1e-8)


def test_offset_on_a_mixture_is_the_mean_of_what_each_level_has():
    """Two modes under VP with weight 1, by a Gauss-Legendre rule in log(t) of this file."""
    sde, p = VP(t_min=0.01), two_modes()
    expected = 0.0
    y, w = torch.as_tensor(scipy.special.roots_legendre(64)[0]), scipy.special.roots_legendre(64)[1]
    for at, weight in zip((0.5 * math.log(0.01) * (1 - y)).tolist(), w, strict=True):
        t = math.exp(at)
        s = float(sde.sigma(t) / sde.alpha(t))
        share = weight * 0.5 * -math.log(0.01) * t / 0.99
        expected += share * (0.5 * fisher_information(p, s) - 1 / s**2)
    found = NoiseConditional(UniformTimes(sde), weighting=1.0).offset(p)
    assert found == pytest.approx(expected, rel=1e-8)


def test_a_mean_that_does_not_exist_is_refused():
    """The mean of 1 / sigma^2 over times down to 0 is infinite; with sigma^2 all is well."""
    for sde in (VP(t_min=0.0), SubVP(t_min=0.0)):
        with pytest.raises(ValueError, match=r"does not exist.*t_min > 0"):
            NoiseConditional(UniformTimes(sde), weighting=1.0).offset(NORMAL)

    def integrand(t):
        return math.exp(-0.1 * t - 9.95 * t**2)  # 1 / (1 + sigma^2) = alpha^2

    expected = -scipy.integrate.quad(integrand, 0, 1, epsrel=1e-12)[0]
    assert NoiseConditional(UniformTimes(VP(t_min=0.0))).offset(NORMAL) == pytest.approx(expected, rel=1e-8)


def test_bad_weightings_are_told():
    with pytest.raises(ValueError, match=r"the weighting gives nan at the level"):
        NoiseConditional(LogUniform(0.1, 1.0), weighting=lambda s: s * math.nan).offset(NORMAL)
    with pytest.raises(ValueError, match=r"the weighting gives \[3\] for levels \[4\]: it must give one number per"):
        NoiseConditional(LogUniform(0.1, 1.0), weighting=lambda s: s[:3])(
            lambda x, sigma: x, torch.zeros(4, 2), generator=torch.Generator().manual_seed(0)
        )
    with pytest.raises(TypeError, match=r"the weighting gives a NoneType"):
        NoiseConditional(LogUniform(0.1, 1.0), weighting=lambda s: None).offset(NORMAL)
