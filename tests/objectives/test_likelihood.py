"""The weighting and the levels of maximum likelihood, against the integral over time as the paper writes it."""

import math

import pytest
import scipy.integrate
import scipy.stats
import torch

from toylab.densities import isotropic, two_modes
from toylab.metrics import likelihood_bound
from toylab.objectives import (
    LikelihoodWeighting,
    LogUniform,
    NoiseConditional,
    NoiseConditionalExplicit,
    UniformTimes,
    likelihood_levels,
)
from toylab.sde import VE, VP, SubVP, score_at

SDES = {"VE": VE(0.05, 10.0), "VP": VP(), "sub-VP": SubVP(t_min=0.01)}
every_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
CLOSED_FORMS = {
    "VE": lambda sde, t, level: 2 * math.log(200) * level**2,
    "VP": lambda sde, t, level: (0.1 + 19.9 * t) * (1 + level**2),
    "sub-VP": lambda sde, t, level: 2 * (0.1 + 19.9 * t) * level * (1 + level**2 / 4).sqrt(),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", SDES)
def test_closed_forms_of_the_weighting(name):
    sde = SDES[name]
    t = torch.linspace(sde.t_min, 1.0, 50, dtype=torch.float64)
    level = sde.sigma(t) / sde.alpha(t)
    found = LikelihoodWeighting(sde)(level)
    torch.testing.assert_close(found, CLOSED_FORMS[name](sde, t, level), rtol=1e-9, atol=0)
    in_single = LikelihoodWeighting(sde)(level.float())
    torch.testing.assert_close(in_single, found.float(), rtol=1e-4, atol=0)


@every_sde
def test_it_is_how_fast_the_variance_of_the_noise_grows(sde):
    """d(level^2)/dt by central differences."""
    t, h = torch.linspace(0.05, 0.95, 19, dtype=torch.float64), 1e-5

    def variance(t):
        return (sde.sigma(t) / sde.alpha(t)) ** 2

    slope = (variance(t + h) - variance(t - h)) / (2 * h)
    torch.testing.assert_close(LikelihoodWeighting(sde)(variance(t).sqrt()), slope, rtol=1e-6, atol=0)


def linear(x, sigma):
    """A wrong score of N(0, I): half the true one."""
    column = sigma[..., None] if isinstance(sigma, torch.Tensor) else sigma
    return -0.5 * x / (1 + column**2)


def as_the_paper_has_it(sde):
    """1/2 int g^2 E|s_t - grad log p_t|^2 dt for p = N(0, I) and ``linear``, in x_t: p_t = N(0, (a^2 + s^2) I)."""

    def integrand(t):
        v = float(sde.alpha(t) ** 2 + sde.sigma(t) ** 2)
        point = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        slope = float(score_at(sde, linear, t)(point)[0, 0] + 1 / v)  # of s_t - grad log p_t, linear in x
        return 0.5 * float(sde.diffusion(t)) ** 2 * slope**2 * 2 * v

    return scipy.integrate.quad(integrand, sde.t_min, 1.0, epsabs=1e-11, epsrel=1e-11, limit=200)[0]


@every_sde
def test_both_losses_stand_for_the_integral_of_the_bound(sde):
    """(1 - t_min) times the mean over uniform times, and 2 log(high / low) times that over likelihood levels."""
    p = isotropic([[0.0, 0.0]], 1.0).to(torch.float64)
    expected = as_the_paper_has_it(sde)
    assert likelihood_bound(sde, linear, p).score_error == pytest.approx(expected, abs=1e-9)
    levels = likelihood_levels(sde)
    x = p.sample((400_000,), generator=generator()).double()
    for loss, factor in (
        (NoiseConditionalExplicit(p.score, UniformTimes(sde), LikelihoodWeighting(sde)), 1 - sde.t_min),
        (NoiseConditionalExplicit(p.score, levels), 2 * math.log(levels.high / levels.low)),
    ):
        losses = factor * loss(linear, x, generator=generator(1))
        z = (float(losses.mean()) - expected) / (float(losses.std()) / len(x) ** 0.5)
        assert abs(z) < 5
        assert float(losses.std()) / len(x) ** 0.5 < 0.01 * expected


@every_sde
def test_the_offsets_of_both_are_the_same_nats(sde):
    """factor * offset is int (1/2 I - 1 / l^2) d(l^2) = -log(...) for N(0, I), where 1/2 I = 1 / (1 + l^2)."""
    p, levels = isotropic([[0.0, 0.0]], 1.0), likelihood_levels(sde)
    low, high = levels.low**2, levels.high**2
    expected = math.log((1 + high) / (1 + low)) - math.log(high / low)
    by_times = (1 - sde.t_min) * NoiseConditional(UniformTimes(sde), LikelihoodWeighting(sde)).offset(p)
    by_levels = 2 * math.log(levels.high / levels.low) * NoiseConditional(levels).offset(p)
    assert by_times == pytest.approx(expected, rel=1e-7)
    assert by_levels == pytest.approx(expected, rel=1e-7)


def test_importance_sampling_keeps_the_mean_and_takes_out_noise():
    """For the true score of N(0, I) the loss at a level l is lambda v e, v = 1 / (l^2 (1 + l^2)), e exponential.

    Both losses have the mean 9.1155 nats under VP. One point's standard deviation, from E e^2 = 2, is 54.8 nats at
    uniform times and 15.1 at those of a probability like g^2 / sigma^2: a variance 13.2 times as large.
    """
    sde, p = VP(), isotropic([[0.0, 0.0]], 1.0).to(torch.float64)
    levels, lambda_ = likelihood_levels(sde), LikelihoodWeighting(sde)
    factor = 2 * math.log(levels.high / levels.low)

    def loss_at(y):
        """lambda v at t = e^y, times 1 - t_min."""
        level = float(sde.sigma(math.exp(y)) / sde.alpha(math.exp(y)))
        return (1 - sde.t_min) * float(lambda_(level)) / (level**2 * (1 + level**2))

    def over_times(power):
        low = math.log(sde.t_min)
        found = scipy.integrate.quad(lambda y: math.exp(y) * loss_at(y) ** power, low, 0, epsrel=1e-9, limit=500)[0]
        return found / (1 - sde.t_min)

    def over_levels(power):
        ends = math.log(levels.low), math.log(levels.high)
        found = scipy.integrate.quad(lambda y: (factor / (1 + math.exp(2 * y))) ** power, *ends, epsrel=1e-9)[0]
        return found / (0.5 * factor)

    mean = over_times(1)
    assert over_levels(1) == pytest.approx(mean, rel=1e-9)
    assert mean == pytest.approx(9.1155, abs=1e-4)
    stds = [math.sqrt(2 * over(2) - mean**2) for over in (over_times, over_levels)]
    assert stds == pytest.approx([54.82, 15.10], abs=0.01)
    x = p.sample((400_000,), generator=generator()).double()
    by_times = (1 - sde.t_min) * NoiseConditional(UniformTimes(sde), lambda_)(p.score, x, generator=generator(1))
    by_levels = factor * NoiseConditional(levels)(p.score, x, generator=generator(1))
    for losses, std in zip((by_times, by_levels), stds, strict=True):
        assert abs(float(losses.mean()) - mean) < 5 * std / len(x) ** 0.5
    fourth = 24 * over_levels(4)  # E e^4, of the square of a loss
    second = 2 * over_levels(2)
    assert abs(float(by_levels.square().mean()) - second) < 5 * ((fourth - second**2) / len(x)) ** 0.5


@every_sde
def test_the_levels_are_times_with_a_probability_like_g2_over_sigma2(sde):
    """Kolmogorov-Smirnov of the times of 1e5 draws against int g^2 / sigma^2 dt by SciPy, p > 1e-6."""
    levels = likelihood_levels(sde)
    assert isinstance(levels, LogUniform)
    drawn = levels.draw(torch.empty(100_000, 2, dtype=torch.float64), generator(3))
    t = torch.linspace(sde.t_min, 1.0, 4001, dtype=torch.float64)
    density = (sde.diffusion(t) / sde.sigma(t)).numpy() ** 2
    cdf = scipy.integrate.cumulative_simpson(density, x=t.numpy(), initial=0)
    times = sde.time_of(drawn).numpy()
    assert scipy.stats.kstest(times, lambda u: scipy.interpolate.CubicSpline(t, cdf / cdf[-1])(u)).pvalue > 1e-6


def test_for_ve_both_are_the_same_loss():
    sde, p = VE(0.05, 10.0), two_modes()
    x = p.sample((50,), generator=generator()).double()
    by_times = NoiseConditional(UniformTimes(sde), LikelihoodWeighting(sde))(p.score, x, generator=generator(1))
    by_levels = 2 * math.log(200) * NoiseConditional(likelihood_levels(sde))(p.score, x, generator=generator(1))
    torch.testing.assert_close(by_times, by_levels, rtol=1e-9, atol=1e-9)


class WithoutInverse:
    """An SDE that cannot tell the time of a level."""

    t_min = 0.0
    prior = isotropic([[0.0, 0.0]], 10.0)

    def alpha(self, t):
        return torch.ones_like(torch.as_tensor(t, dtype=torch.float64))

    def sigma(self, t):
        return 10 * torch.as_tensor(t, dtype=torch.float64)

    def drift(self, x, t):
        return torch.zeros_like(x)

    def diffusion(self, t):
        return (20 * self.sigma(t)).sqrt()


def test_what_they_refuse():
    with pytest.raises(TypeError, match="sde is the class VP"):
        LikelihoodWeighting(VP)
    with pytest.raises(TypeError, match=r"without time_of\(level\)"):
        LikelihoodWeighting(WithoutInverse())
    with pytest.raises(ValueError, match=r"noise of level 0.0 at t_min = 0.0.*give t_min > 0"):
        likelihood_levels(WithoutInverse())
    with pytest.raises(ValueError, match="takes no such value for t in"):
        LikelihoodWeighting(VE(0.1, 1.0))(torch.tensor([0.5, 2.0]))
    with pytest.raises(ValueError, match="level is 0.0"):
        LikelihoodWeighting(VE(0.1, 1.0))(0.0)
