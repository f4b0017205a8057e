"""Denoising score matching at one noise level and at many: the formula, its minimiser, and known identities."""

import math

import pytest
import scipy.integrate
import scipy.stats
import torch

from toylab.densities import two_modes
from toylab.objectives import (
    Denoising,
    LogNormal,
    LogUniform,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoisePrediction,
    UniformTimes,
)
from toylab.schedules import geometric
from toylab.score import at
from toylab.sde import VE, VP, SubVP, score_at
from toylab.testing import check_objective

SIGMAS = torch.tensor([4.0, 1.0, 0.25, 0.1], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def field(x, sigma=0.0):
    return torch.stack([torch.sin(x[..., 1]) - x[..., 0], x[..., 0] * 0.5 - 1.0], -1)


class Recorder:
    """A score that remembers where it was asked."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, sigma=None):
        self.calls.append((x, sigma))
        return field(x)


def cloud(n, seed=1):
    return two_modes().to(torch.float64).sample((n,), generator=generator(seed))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_formula(sigma):
    """The noise that was added is seen by the score; the target is -z / sigma, with z standard normal."""
    x, score = cloud(20_000), Recorder()
    loss = Denoising(sigma)(score, x, generator=generator())
    ((noisy, _),) = score.calls
    z = (noisy - x) / sigma
    torch.testing.assert_close(loss, 0.5 * (field(noisy) + z / sigma).square().sum(-1), rtol=1e-9, atol=1e-9)
    for coordinate in z.T.numpy():
        assert scipy.stats.kstest(coordinate, "norm").pvalue > 1e-6
    assert abs(float((z[:, 0] * z[:, 1]).mean())) < 5 / math.sqrt(len(z))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_the_best_multiple_of_the_noised_score_is_one(sigma):
    """c minimises the mean loss of c s: E[s . (c s + z / sigma)] = 0 at c = 1.

    s . s has mean 2 / (1 + sigma^2) or more, and the statistic a standard deviation of about sqrt(2 I) / sigma:
    at sigma .1 SE .06 for a mean of -2 if the sign were wrong, -18 if the target were z / sigma^2.
    """
    x, kept = cloud(100_000), []
    truth = at(two_modes().score, sigma)

    def multiple(y):
        kept.append(y)
        return truth(y)

    Denoising(sigma)(multiple, x, generator=generator(3))
    s, z = truth(kept[0]), (kept[0] - x) / sigma
    slope = (s * (s + z / sigma)).sum(-1)
    assert abs(float(slope.mean())) < 5 * float(slope.std()) / math.sqrt(len(slope))

    # and the loss itself: its central difference in c is that slope
    h = 1e-4
    up, down = (Denoising(sigma)(lambda y, c=c: c * truth(y), x, generator=generator(3)).mean() for c in (1 + h, 1 - h))
    assert float(up - down) / (2 * h) == pytest.approx(float(slope.mean()), abs=1e-6)


def test_noise_conditional_formula():
    x, score = cloud(4000), Recorder()
    loss = NoiseConditional(SIGMAS)(score, x, generator=generator())
    ((noisy, sigma),) = score.calls
    assert sigma.shape == (4000,)
    z = (noisy - x) / sigma[:, None]
    right = 0.5 * sigma**2 * (field(noisy) + z / sigma[:, None]).square().sum(-1)
    torch.testing.assert_close(loss, right, rtol=1e-8, atol=1e-8)
    for coordinate in z.T.numpy():
        assert scipy.stats.kstest(coordinate, "norm").pvalue > 1e-6
    counts = [int((sigma == level).sum()) for level in SIGMAS]
    assert sum(counts) == 4000
    assert scipy.stats.chisquare(counts).pvalue > 1e-6


def test_antithetic_averages_both_signs():
    x, score = cloud(1000), Recorder()
    loss = NoiseConditional(SIGMAS, antithetic=True)(score, x, generator=generator())
    ((noisy, sigma),) = score.calls
    plus, minus = noisy
    assert torch.equal(sigma[0], sigma[1])
    torch.testing.assert_close((plus + minus) / 2, x, rtol=1e-12, atol=1e-12)
    level = sigma[0, :, None]
    z = (plus - x) / level
    both = [(field(y) + sign * z / level).square().sum(-1) for y, sign in ((plus, 1), (minus, -1))]
    torch.testing.assert_close(loss, 0.25 * sigma[0] ** 2 * (both[0] + both[1]), rtol=1e-8, atol=1e-8)


def test_antithetic_noise_cancels_the_cross_term():
    """With one small level the noise of s . z / sigma is gone; what is left, |z|^2 / 2, is the same for every model."""
    x, sigmas = cloud(20_000), torch.tensor([0.1], dtype=torch.float64)
    spread = []
    for antithetic in (False, True):
        objective = NoiseConditional(sigmas, antithetic=antithetic)
        difference = objective(field, x, generator=generator(2)) - objective(
            two_modes().score, x, generator=generator(2)
        )
        spread.append(float(difference.std()))
    assert spread[1] < 0.5 * spread[0]


def test_weighting():
    """lambda scales each level's loss and its term of the offset."""
    x, density = cloud(500), two_modes()
    plain = NoiseConditional(SIGMAS, weighting=torch.ones_like)
    weighted = NoiseConditional(SIGMAS, weighting=lambda sigma: 3 * sigma)
    score = Recorder()
    a, b = (objective(score, x, generator=generator(4)) for objective in (plain, weighted))
    torch.testing.assert_close(b, 3 * score.calls[0][1] * a)
    offsets = [Denoising(sigma).offset(density) for sigma in SIGMAS.tolist()]
    assert plain.offset(density) == pytest.approx(sum(offsets) / 4, rel=1e-9)
    right = sum(3 * s * o for s, o in zip(SIGMAS.tolist(), offsets, strict=True)) / 4
    assert weighted.offset(density) == pytest.approx(right, rel=1e-9)


def test_levels_follow_the_dtype_of_the_points():
    score = Recorder()
    NoiseConditional(geometric(2.0, 0.5, 3))(score, torch.zeros(5, 2, dtype=torch.float64), generator=generator())
    assert score.calls[0][0].dtype == score.calls[0][1].dtype == torch.float64


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_denoising_refuses(sigma):
    with pytest.raises(ValueError, match="sigma"):
        Denoising(sigma)


@pytest.mark.parametrize(
    ("sigmas", "reason"),
    [
        (torch.tensor([0.1, 1.0]), "decrease"),
        (torch.tensor([1.0, 1.0]), "decrease"),
        (torch.tensor([1.0, 0.0]), "greater than 0"),
        (torch.tensor([math.nan]), "greater than 0"),
        (torch.tensor([]), "1-D"),
        (torch.ones(2, 2), "1-D"),
        ([2.0, 1.0], "1-D"),
    ],
)
def test_noise_conditional_refuses(sigmas, reason):
    with pytest.raises(ValueError, match=reason):
        NoiseConditional(sigmas)


def test_refused_kinds():
    with pytest.raises(TypeError, match="sigma"):
        Denoising("large")
    with pytest.raises(TypeError, match="weighting"):
        NoiseConditional(SIGMAS, weighting="square")
    with pytest.raises(ValueError, match=r"weighting is -1.0: it must be finite and greater than 0"):
        NoiseConditional(SIGMAS, weighting=-1.0)


def test_what_the_options_take_from_the_noise():
    """Standard deviations of the loss of one point at sigma = 0.1, for the true score of a mixture.

    Plain it is that of |z|^2 / (2 sigma^2), which is 1 / sigma^2 = 100, but for a few percent. Without that term about
    10 are left, those of s(x + sigma z).z / sigma less its mean; antithetic these cancel but for second order.
    """
    p, sigma = two_modes(), 0.1
    x = p.to(torch.float64).sample((100_000,), generator=generator(1))

    def std(**options):
        return float(Denoising(sigma, **options)(at(p.score, sigma), x, generator=generator(2)).std())

    plain, control, both = std(), std(control_variate=True), std(antithetic=True, control_variate=True)
    assert plain == pytest.approx(1 / sigma**2, rel=0.05)
    assert control < plain / 5
    assert both < plain / 25


def test_the_options_keep_the_gradient_unbiased():
    """Of the loss in the multiple c of a field, at c = 0.7: z-test at 5 standard errors against the plain one."""
    p, sigma = two_modes(), 0.5
    x = p.to(torch.float64).sample((100_000,), generator=generator(1))
    noised = at(p.score, sigma)

    def slopes(objective, seed, h=1e-3):
        # quadratic in c: the central difference is exact
        losses = [objective(lambda y, c=c: c * noised(y), x, generator=generator(seed)) for c in (0.7 - h, 0.7 + h)]
        return (losses[1] - losses[0]) / (2 * h)

    plain = slopes(Denoising(sigma), 3)
    for options in ({"antithetic": True}, {"control_variate": True}, {"antithetic": True, "control_variate": True}):
        other = slopes(Denoising(sigma, **options), 4)
        error = math.sqrt(float(plain.var() + other.var()) / len(x))
        assert abs(float(plain.mean() - other.mean())) < 5 * error


def test_noise_prediction_is_denoising_after_scaling():
    """sigma^2 times the denoising loss of -e / sigma, point by point."""
    x, objective = torch.randn(50, 2, dtype=torch.float64, generator=generator(0)), NoisePrediction(0.3)
    predicted = objective(field, x, generator=generator(1))
    denoising = Denoising(0.3)(objective.score(field), x, generator=generator(1))
    torch.testing.assert_close(predicted, 0.3**2 * denoising, rtol=1e-12, atol=1e-12)


def test_the_temperature_of_a_step_along_predicted_noise():
    """x' = x - a e + b z on a point mass at 0, where e = x / sigma: variance b^2 / (1 - (1 - a / sigma)^2) exactly.

    At temperature T = b^2 / (2 a sigma) Langevin's would be T sigma^2 / (1 - a / (2 sigma)). With a = 0.1, b = 0.05 and
    sigma = 0.1, settings in print, T is 0.125 and not 1; a / (2 sigma) is 1/2.
    """
    a, b, sigma = 0.1, 0.05, 0.1
    temperature = b**2 / (2 * a * sigma)
    assert temperature == pytest.approx(0.125)
    stationary = b**2 / (1 - (1 - a / sigma) ** 2)
    assert stationary == pytest.approx(temperature * sigma**2 / (1 - a / (2 * sigma)))


class LevelsOf:
    """The law of sigma(t) / alpha(t) at uniform times, by the inverse in closed form."""

    def __init__(self, sde):
        self.sde = sde

    def cdf(self, level):
        t = self.sde.time_of(torch.as_tensor(level)).numpy()
        return (t - self.sde.t_min) / (1 - self.sde.t_min)

    def ppf(self, u):
        t = self.sde.t_min + (1 - self.sde.t_min) * u
        return float(self.sde.sigma(t) / self.sde.alpha(t))


@pytest.mark.parametrize(
    ("levels", "distribution"),
    [
        (UniformTimes(VE(0.2, 5.0)), scipy.stats.loguniform(0.2, 5.0)),
        (UniformTimes(VP()), LevelsOf(VP())),
        (UniformTimes(SubVP(t_min=0.01)), LevelsOf(SubVP(t_min=0.01))),
        (LogUniform(0.2, 5.0), scipy.stats.loguniform(0.2, 5.0)),
        (LogNormal(-1.2, 1.2), scipy.stats.lognorm(1.2, scale=math.exp(-1.2))),
    ],
    ids=["VE", "VP", "sub-VP", "log-uniform", "log-normal"],
)
def test_continuous_levels_have_their_law(levels, distribution):
    """Kolmogorov-Smirnov of 1e5 draws, p > 1e-6; the nodes have its mean of 1 / (1 + sigma^2), by SciPy."""
    sigma = levels.draw(torch.empty(100_000, 2, dtype=torch.float64), generator(5))
    assert sigma.shape == (100_000,)
    assert scipy.stats.kstest(sigma.numpy(), distribution.cdf).pvalue > 1e-6
    nodes, weights = levels.nodes()
    expected = scipy.integrate.quad(lambda u: 1 / (1 + distribution.ppf(u) ** 2), 0, 1, epsabs=1e-10)[0]
    assert float((weights / (1 + nodes**2)).sum()) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("sde", [VE(0.05, 20.0), VP(), SubVP()], ids=["VE", "VP", "sub-VP"])
def test_noise_prediction_at_random_times_is_denoising_at_their_levels(sde):
    """|eps_hat - eps|^2 / 2 with x_t = alpha x_0 + sigma eps and eps_hat = -sigma s_t(x_t), point by point."""
    p, score = two_modes(), two_modes().score
    x = p.sample((500,), generator=generator(1)).double()
    found = NoiseConditional(UniformTimes(sde))(score, x, generator=generator(2))
    g = generator(2)
    t = sde.t_min + (1 - sde.t_min) * torch.rand(500, dtype=torch.float64, generator=g)
    noise = torch.randn(500, 2, dtype=torch.float64, generator=g)
    sigma = sde.sigma(t)[:, None]
    predicted = -sigma * score_at(sde, score, t)(sde.alpha(t)[:, None] * x + sigma * noise)
    torch.testing.assert_close(found, 0.5 * (predicted - noise).square().sum(-1), rtol=1e-8, atol=1e-8)


def test_continuous_levels_refuse():
    with pytest.raises(TypeError, match="sde is the class VP"):
        UniformTimes(VP)
    with pytest.raises(ValueError, match=r"low is 2.0 and high is 1.0: low must be less than high"):
        LogUniform(2.0, 1.0)
    with pytest.raises(ValueError, match=r"low is 0.0: it must be finite and greater than 0"):
        LogUniform(0.0, 1.0)
    with pytest.raises(ValueError, match=r"std is -1.0: it must be finite and greater than 0"):
        LogNormal(0.0, -1.0)
    with pytest.raises(TypeError, match="target is a float: give a function"):
        NoiseConditionalExplicit(1.0, LogUniform(0.1, 1.0))


def test_explicit_at_every_level_is_denoising_without_its_noise():
    """The same minimiser: with the truth for the score the loss is 0 at every point."""
    p = two_modes()
    x = p.to(torch.float64).sample((100,), generator=generator(1))
    assert (
        float(NoiseConditionalExplicit(p.score, LogUniform(0.1, 10.0))(p.score, x, generator=generator(2)).max()) == 0
    )


class TwoLevels:
    """A reader's own law of levels: 0.5 and 1, one as likely as the other."""

    def draw(self, like, generator=None):
        coin = torch.rand(like.shape[:-1], dtype=like.dtype, generator=generator)
        return torch.where(coin < 0.5, torch.full_like(coin, 0.5), torch.ones_like(coin))

    def nodes(self):
        return torch.tensor([0.5, 1.0]).double(), torch.tensor([0.5, 0.5]).double()


def test_levels_of_one_s_own_are_those_of_a_ladder():
    ladder = NoiseConditional(torch.tensor([1.0, 0.5]))
    assert NoiseConditional(TwoLevels()).offset(two_modes()) == pytest.approx(ladder.offset(two_modes()), rel=1e-12)
    assert check_objective(NoiseConditional(TwoLevels()), sigma=TwoLevels(), n=20_000).passed


@pytest.mark.parametrize("inference", [False, True])
def test_levels_changed_in_place_are_the_new_ones(inference):
    """The levels are kept where the points are; the loss of a score s = 0 is lambda |z|^2 / (2 sigma^2)."""
    with torch.inference_mode(inference):
        sigmas = torch.tensor([2.0, 1.0])
    loss = NoiseConditional(sigmas, weighting=lambda sigma: sigma)
    x = torch.zeros(500, 2)

    def found():
        return loss(lambda x, sigma: torch.zeros_like(x), x, generator=torch.Generator().manual_seed(0))

    before = found()
    with torch.inference_mode(inference):
        sigmas *= 10
    torch.testing.assert_close(found(), before / 10)
