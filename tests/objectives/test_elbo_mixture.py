"""A weighted loss as a mixture of ELBOs: both sides by quadratures that share no formula."""

import math

import pytest
import scipy.integrate
import torch

from toylab.densities import isotropic
from toylab.metrics import fisher_divergence, likelihood_bound
from toylab.objectives import (
    ElboMixture,
    LikelihoodWeighting,
    LogUniform,
    NoiseConditional,
    UniformTimes,
    likelihood_levels,
)
from toylab.score import at
from toylab.sde import VE, VP, SubVP

LEVELS = LogUniform(0.05, 20.0)
LOW, HIGH = LEVELS.low, LEVELS.high
WEIGHTINGS = {
    "likelihood": 1.0,
    "sigmoid of -log-SNR": lambda s: s**2 / (s**2 + 1),
    "flow matching": lambda s: s,
    "bounded below": lambda s: (s / 3).clamp(0.1, 2.0),
}
every_weighting = pytest.mark.parametrize("w", WEIGHTINGS.values(), ids=WEIGHTINGS)
MIXTURE = isotropic([[-1.0, 0.0], [0.5, 0.5]], 0.7, weights=[0.3, 0.7]).to(torch.float64)


def by_quad(f, low=LOW, high=HIGH):
    """Along log(sigma), in which all of it is smooth but for two kinks."""
    kinks = [math.log(s) for s in (0.3, 6.0) if low < s < high]
    found, _ = scipy.integrate.quad(
        lambda y: math.exp(y) * f(math.exp(y)), math.log(low), math.log(high), epsabs=1e-12, epsrel=1e-12, limit=400,
        points=kinks or None,
    )  # fmt: skip
    return found


def at_level(w, level):
    return float(w(torch.tensor(level, dtype=torch.float64))) if callable(w) else w


def mean_over(mixture, bound):
    """E B(L): the share of L = low, and the density of the rest."""
    return float(mixture.cdf(LOW)) * bound(LOW) + by_quad(lambda s: float(mixture.density(s)) * bound(s))


@every_weighting
def test_in_closed_form(w):
    """Half the true score of N(0, I): J = 1 / 4 / (1 + l^2), B(sigma) = 1/4 log((1 + high^2) / (1 + sigma^2))."""
    direct = by_quad(lambda s: at_level(w, s) * 2 * s * 0.25 / (1 + s**2))
    mixed = mean_over(ElboMixture(w, LEVELS), lambda s: 0.25 * math.log((1 + HIGH**2) / (1 + s**2)))
    assert at_level(w, HIGH) * mixed == pytest.approx(direct, rel=1e-10)


def linear(x, sigma):
    """A wrong score of every law."""
    return -0.8 * x / (1 + sigma**2)


def test_of_a_mixture_by_the_bounds_of_its_noised_laws():
    """The direct side by Fisher divergences at levels, the other by ``likelihood_bound`` from each of them up.

    Rules of Gauss in y = log(sigma) on 0.3 to 5: half the span is 1.4 and 1 + sigma^2 = 0 at y = +-i pi / 2, so that
    twelve nodes are right to some 2.6^-24 = 1e-10.
    """
    levels, w = LogUniform(0.3, 5.0), WEIGHTINGS["sigmoid of -log-SNR"]
    mixture = ElboMixture(w, levels)

    def bound(sigma):
        return likelihood_bound(VE(sigma, levels.high), linear, MIXTURE).score_error

    half = 0.5 * math.log(levels.high / levels.low)
    direct, mixed = 0.0, float(mixture.cdf(levels.low)) * bound(levels.low)
    for t, share in zip(*scipy.special.roots_legendre(12), strict=True):
        s = levels.low * math.exp(half * (1 + t))
        direct += half * share * at_level(w, s) * 2 * s**2 * fisher_divergence(at(linear, s), MIXTURE, s)
        mixed += half * share * s * float(mixture.density(s)) * bound(s)
    assert at_level(w, levels.high) * mixed == pytest.approx(direct, rel=1e-6)
    assert direct > 0.1


@every_weighting
def test_of_the_losses_themselves(w):
    """At the true score of N(0, I) a mean loss is minus its offset, here of the loss that the class names.

    Of one ELBO, w = 1 from sigma up, it is int (1 / l^2 - 1 / (1 + l^2)) d(l^2).
    """
    loss = NoiseConditional(LEVELS, lambda s: s**2 * (w(s) if callable(w) else w))
    mean_loss = -loss.offset(isotropic([[0.0, 0.0]], 1.0))
    mixed = mean_over(ElboMixture(w, LEVELS), lambda s: 2 * math.log(HIGH / s) - math.log((1 + HIGH**2) / (1 + s**2)))
    assert at_level(w, HIGH) * mixed == pytest.approx(2 * math.log(HIGH / LOW) * mean_loss, rel=1e-7)


@pytest.mark.parametrize("sde", [VE(0.05, 10.0), VP(), SubVP(t_min=0.01)], ids=["VE", "VP", "sub-VP"])
def test_the_weight_of_likelihood_is_1(sde):
    """lambda p(sigma) / (2 sigma) for levels of density p: of uniform times with g^2, and of log-uniform with sigma^2.

    p(sigma) of uniform times is by central differences of ``time_of``.
    """
    levels = likelihood_levels(sde)
    sigma = torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64)
    h = 1e-5 * sigma
    p = (sde.time_of(sigma + h) - sde.time_of(sigma - h)) / (2 * h)
    torch.testing.assert_close(
        LikelihoodWeighting(sde)(sigma) * p / (2 * sigma), torch.ones(3).double(), rtol=1e-6, atol=0
    )
    p = 1 / (sigma * math.log(levels.high / levels.low))
    torch.testing.assert_close(
        sigma**2 * p / (2 * sigma) * 2 * math.log(levels.high / levels.low), torch.ones(3).double()
    )


def test_known_laws_of_the_noise():
    """Likelihood is all about the data themselves; flow matching about uniform levels; a sigmoid about logistic ones.

    In the log-SNR, log(1 / sigma^2), w of the source is 1, exp(-log-SNR / 2) and sigmoid(-log-SNR + 2).
    """
    sigma = torch.tensor([0.04, 0.05, 0.3, 2.0, 19.0, 20.0, 21.0], dtype=torch.float64)
    likelihood, uniform = ElboMixture(3.0, LEVELS), ElboMixture(lambda s: s, LEVELS)
    torch.testing.assert_close(likelihood.cdf(sigma), (sigma >= 0.05).double())
    assert float(likelihood.density(sigma).abs().max()) == 0
    torch.testing.assert_close(uniform.cdf(sigma), torch.tensor([0.0, 0.0025, 0.015, 0.1, 0.95, 1, 1]).double())
    torch.testing.assert_close(uniform.density(sigma), torch.tensor([0.0, *[0.05] * 5, 0]).double())
    logistic = ElboMixture(lambda s: torch.sigmoid(2 * s.log() + 2), LEVELS)
    y = 2 * sigma[2:5].log() + 2
    top = scipy.special.expit(2 * math.log(20) + 2)
    torch.testing.assert_close(logistic.cdf(sigma[2:5]), torch.sigmoid(y) / top)
    expected = torch.sigmoid(y) * torch.sigmoid(-y) * 2 / sigma[2:5] / top
    torch.testing.assert_close(logistic.density(sigma[2:5]), expected)


@every_weighting
def test_its_mass_is_1(w):
    mixture = ElboMixture(w, LEVELS)
    assert mean_over(mixture, lambda s: 1.0) == pytest.approx(1, abs=1e-9)
    assert float(mixture.cdf(HIGH)) == 1


def test_what_is_no_mixture_is_told():
    """The plain loss of VP is none: its weight sigma_t^2 / beta falls where noise is already nearly all there is."""
    sde = VP()
    with pytest.raises(
        ValueError, match=r"falls from 0.1011 at the level 1.58\d* to 0.05 at 152.*keep it at its largest"
    ):
        ElboMixture(lambda s: s**2 / LikelihoodWeighting(sde)(s), likelihood_levels(sde))
    for wrong, message in (
        (lambda s: s - 1, r"gives -0.95 at the level 0.05: the shares"),
        (lambda s: 0 * s, r"gives 0 at the level"),
        (lambda s: s.clamp(max=19.0) / (s < 19), r"gives inf at the level 19"),
        (lambda s: s[:3], r"the weighting gives \[3\] for levels"),
    ):
        with pytest.raises(ValueError, match=message):
            ElboMixture(wrong, LEVELS)
    with pytest.raises(TypeError, match="levels is a UniformTimes"):
        ElboMixture(1.0, UniformTimes(sde))


def test_it_follows_what_it_is_given():
    mixture = ElboMixture(lambda s: s**2, LEVELS)
    sigma = torch.full((3, 2), 0.5)
    for found in (mixture.cdf(sigma), mixture.density(sigma)):
        assert found.shape == (3, 2)
        assert found.dtype == torch.float32
        assert not found.requires_grad
    with torch.inference_mode():
        assert float(mixture.density(torch.tensor(0.5))) == pytest.approx(1 / 400)
