"""Any distribution of torch as a density."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import (
    AffineTransform,
    Beta,
    Categorical,
    CatTransform,
    Chi2,
    ComposeTransform,
    Dirichlet,
    Distribution,
    Exponential,
    ExpTransform,
    FisherSnedecor,
    Gamma,
    HalfCauchy,
    HalfNormal,
    Independent,
    InverseGamma,
    Kumaraswamy,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Pareto,
    Poisson,
    StudentT,
    TransformedDistribution,
    Uniform,
    Weibull,
    constraints,
    identity_transform,
)

from toylab.densities import FromTorch, from_torch
from toylab.samplers import hmc, mala, metropolis, parallel_tempering

METHODS = ["log_prob", "score", "divergence"]
WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]], dtype=torch.float64
)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(n, seed=0):
    return 3 * torch.randn(n, 2, dtype=torch.float64, generator=generator(seed))


def test_a_wrapped_law_has_its_log_prob_and_the_derivatives_of_it():
    distribution = MultivariateNormal(MEANS[0], COVARIANCES[0])
    p, x = from_torch(distribution), points(30)
    precision = torch.linalg.inv(COVARIANCES[0])
    assert torch.equal(p.log_prob(x), distribution.log_prob(x))
    torch.testing.assert_close(p.score(x), (MEANS[0] - x) @ precision, rtol=1e-12, atol=1e-12)
    trace = -torch.trace(precision).expand(30)
    torch.testing.assert_close(p.divergence(x), trace, rtol=1e-12, atol=1e-12)


def test_a_wrapped_student_has_the_derivatives_of_its_formula():
    """Each coordinate: s = -(nu + 1) x / (nu + x^2), s' = -(nu + 1)(nu - x^2) / (nu + x^2)^2."""
    p, x, nu = from_torch(Independent(StudentT(torch.full((2,), 3.0, dtype=torch.float64)), 1)), points(30), 3.0
    torch.testing.assert_close(p.score(x), -(nu + 1) * x / (nu + x**2), rtol=1e-12, atol=1e-12)
    expected = (-(nu + 1) * (nu - x**2) / (nu + x**2) ** 2).sum(-1)
    torch.testing.assert_close(p.divergence(x), expected, rtol=1e-11, atol=1e-12)
    log_p, s = p.log_prob_and_score(x.view(5, 6, 2), 0.0)
    assert (log_p.shape, s.shape) == ((5, 6), (5, 6, 2))
    with torch.no_grad():
        assert not p.score(x).requires_grad


def test_draws_of_a_wrapped_law_are_those_of_the_global_stream_seeded_alike():
    distribution = MixtureSameFamily(Categorical(WEIGHTS), MultivariateNormal(MEANS, COVARIANCES))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = [distribution.sample((4,)), distribution.sample((2, 3))]
        torch.manual_seed(6)
        before = torch.get_rng_state()
        p, g = from_torch(distribution), generator(5)
        assert torch.equal(p.sample((4,), generator=g), expected[0])
        assert torch.equal(p.sample((2, 3), generator=g), expected[1])  # so the generator has moved on
        assert torch.equal(torch.get_rng_state(), before)  # and the global stream has not
        torch.manual_seed(5)
        assert torch.equal(p.sample((4,)), expected[0])
    assert p.sample().shape == (2,)


def test_a_wrapped_law_keeps_its_dtype_until_told_otherwise():
    single = from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2)))
    assert (single.dtype, single.sample().dtype) == (torch.float32, torch.float32)
    assert single.to(torch.float64).sample((3,), generator=generator(0)).dtype == torch.float64
    assert from_torch(MultivariateNormal(MEANS[0], COVARIANCES[0])).dtype == torch.float64
    assert isinstance(single, FromTorch)
    assert single == from_torch(single.distribution)


@pytest.mark.parametrize("method", METHODS)
def test_a_wrapped_law_knows_its_clean_law_alone(method):
    p = from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2)))
    said = "only the clean law of a wrapped torch distribution is known, so sigma must be 0. For noised laws take"
    for sigma in (0.1, torch.tensor([0.0, 0.1, 0.0])):
        with pytest.raises(ValueError, match=f"sigma is .*: {said}"):
            getattr(p, method)(torch.zeros(3, 2), sigma)
        assert getattr(p, method)(torch.zeros(3, 2), 0 * sigma).isfinite().all()
    with pytest.raises(ValueError, match="sigma is 0.5: only the clean law of .* is known"):
        getattr(p.noised(0.5), method)(torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("distribution", "error", "said"),
    [
        (Normal(0.0, 1.0), ValueError, r"event shape \[\] and batch shape \[\]: one law on the plane has \[2\]"),
        (Normal(torch.zeros(2), 1.0), ValueError, r"event shape \[\] and batch shape \[2\].*Independent\(d, 1\)"),
        (MultivariateNormal(torch.zeros(3), torch.eye(3)), ValueError, r"event shape \[3\]"),
        (MultivariateNormal(MEANS, COVARIANCES), ValueError, r"batch shape \[3\]"),
        ("normal", TypeError, "distribution is a str: give a torch Distribution"),
        (Independent(Poisson(torch.ones(2)), 1), ValueError, "Independent of discrete values: .* has .* no density"),
    ],
)
def test_what_is_no_law_on_the_plane_is_not_wrapped(distribution, error, said):
    with pytest.raises(error, match=said):
        from_torch(distribution)


def independent(kind, *parameters):
    return Independent(kind(*(torch.full((2,), value, dtype=torch.float64) for value in parameters)), 1)


def moved(base, *transforms):
    return TransformedDistribution(base, list(transforms))


NORMAL = independent(Normal, 0.0, 1.0)
FLIP = AffineTransform(1.0, -2.0)


def flipped(y):
    """Y = 1 - 2 e^Z, which torch takes for a law on the whole line."""
    return scipy.stats.lognorm(1).logpdf((1 - y) / 2) - math.log(2)


def kumaraswamy(x):
    """1 - (1 - x^2)^3 is the distribution function."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((x > 0) & (x < 1), np.log(6 * x) + 2 * np.log(1 - x**2), -np.inf)


BOUNDED = {  # laws of bounded support, and log p of their two coordinates by another hand
    "uniform": (independent(Uniform, -1.0, 2.0), scipy.stats.uniform(-1, 3).logpdf),
    "gamma": (independent(Gamma, 2.5, 3.0), scipy.stats.gamma(2.5, scale=1 / 3).logpdf),
    "exponential": (independent(Exponential, 2.0), scipy.stats.expon(scale=0.5).logpdf),
    "chi2": (independent(Chi2, 3.0), scipy.stats.chi2(3).logpdf),
    "inverse gamma": (independent(InverseGamma, 3.0, 2.0), scipy.stats.invgamma(3, scale=2).logpdf),
    "F": (independent(FisherSnedecor, 3.0, 4.0), scipy.stats.f(3, 4).logpdf),
    "beta": (independent(Beta, 2.0, 3.0), scipy.stats.beta(2, 3).logpdf),
    "log-normal": (independent(LogNormal, 0.0, 1.0), scipy.stats.lognorm(1).logpdf),
    "half-normal": (independent(HalfNormal, 2.0), scipy.stats.halfnorm(scale=2).logpdf),
    "half-Cauchy": (independent(HalfCauchy, 2.0), scipy.stats.halfcauchy(scale=2).logpdf),
    "Weibull": (independent(Weibull, 2.0, 1.5), scipy.stats.weibull_min(1.5, scale=2).logpdf),
    "Pareto": (independent(Pareto, 1.0, 3.0), scipy.stats.pareto(3).logpdf),
    "Kumaraswamy": (independent(Kumaraswamy, 2.0, 3.0), kumaraswamy),
    "a base with walls": (
        moved(independent(Uniform, 0.0, 1.0), AffineTransform(1.0, 2.0)), scipy.stats.uniform(1, 2).logpdf,
    ),
    "two transforms": (moved(NORMAL, ExpTransform(), FLIP), flipped),
    "a composed transform": (moved(NORMAL, ComposeTransform([ExpTransform(), FLIP])), flipped),
    "a half-plane": (
        moved(NORMAL, CatTransform([ExpTransform(), identity_transform], dim=-1, lengths=[1, 1])),
        scipy.stats.lognorm(1).logpdf, scipy.stats.norm().logpdf,
    ),
    "a rectangle": (
        Independent(Uniform(torch.tensor([-1.0, 0.5]).double(), torch.tensor([1.0, 2.5]).double()), 1),
        scipy.stats.uniform(-1, 2).logpdf, scipy.stats.uniform(0.5, 2).logpdf,
    ),
}  # fmt: skip


def around():
    """Points inside and outside of all of them, mixed: no coordinate is on an edge."""
    axis = torch.tensor([-3.7, -0.9, -0.3, 0.2, 0.45, 0.8, 0.97, 1.3, 2.1, 4.6], dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def slope(log_p, x, step=1e-6):
    return (log_p(x + step) - log_p(x - step)) / (2 * step)


@pytest.mark.parametrize("name", BOUNDED)
def test_outside_its_support_a_law_has_log_p_minus_infinity_and_no_score(name):
    """Inside, beside points that lie outside, log p is scipy's to 1e-12 and the score its slope to 1e-7."""
    distribution, *log_ps = BOUNDED[name]
    p, x = from_torch(distribution), around()
    log_ps = log_ps * 2 if len(log_ps) == 1 else log_ps
    expected = torch.as_tensor(sum(log_p(x[:, k].numpy()) for k, log_p in enumerate(log_ps)))
    inside = expected.isfinite()
    assert 0 < int(inside.sum()) < len(x)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-12, atol=1e-12)
    slopes = torch.stack([torch.as_tensor(slope(f, x[inside, k].numpy())) for k, f in enumerate(log_ps)], -1)
    torch.testing.assert_close(p.score(x)[inside], slopes, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(p.divergence(x)[inside], p.divergence(x[inside]), rtol=1e-12, atol=1e-12)
    assert p.score(x)[~inside].isnan().all()
    assert p.divergence(x)[~inside].isnan().all()
    both = p.log_prob_and_score(x)
    torch.testing.assert_close(both[0], p.log_prob(x), rtol=0, atol=0)
    torch.testing.assert_close(both[1], p.score(x), rtol=0, atol=0, equal_nan=True)
    inner = x[inside]
    assert torch.equal(p.log_prob(inner), distribution.log_prob(inner))


@pytest.mark.parametrize("name", BOUNDED)
def test_points_that_are_nan_or_infinite_stop_nothing(name):
    p = from_torch(BOUNDED[name][0])
    x = p.sample((3,), generator=generator(0))
    x[1, 0] = math.nan
    log_p, s, div = p.log_prob(x), p.score(x), p.divergence(x)
    for found in (log_p, s, div):
        assert found[1].isnan().all()
        assert found[[0, 2]].isfinite().all()
    x[1, 0] = math.inf
    assert float(p.log_prob(x)[1]) == -math.inf


def test_derivatives_through_log_prob_are_those_of_the_points_inside():
    """By reverse mode, in one batch with points outside: d/dx of 1.5 log x - 3 x."""
    x = torch.tensor([[0.5, 1.0], [-1.0, 1.0], [2.0, -0.1], [0.25, 4.0]], dtype=torch.float64, requires_grad=True)
    concentration = torch.full((2,), 2.5, dtype=torch.float64, requires_grad=True)
    log_p = from_torch(Independent(Gamma(concentration, torch.full_like(concentration, 3.0)), 1)).log_prob(x)
    by_x, by_parameter = torch.autograd.grad(log_p[[0, 3]].sum(), (x, concentration))
    torch.testing.assert_close(by_x[[0, 3]], 1.5 / x[[0, 3]] - 3)
    # d/da of a log 3 - log Gamma(a) + (a - 1) log x, at two points
    expected = 2 * (math.log(3) - torch.digamma(torch.tensor(2.5))) + x[[0, 3]].detach().log().sum(0)
    torch.testing.assert_close(by_parameter, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("distribution", "x", "log_p", "score"),
    [
        (independent(Uniform, 0.0, 2.0), 0.0, -math.log(2), 0.0),
        (independent(Uniform, 0.0, 2.0), 2.0, -math.inf, math.nan),  # torch counts the upper edge out
        (independent(Exponential, 2.0), 0.0, math.log(2), -2.0),
        (independent(Gamma, 2.0, 1.0), 0.0, -math.inf, math.nan),
        (independent(LogNormal, 0.0, 1.0), 0.0, -math.inf, math.nan),
        (independent(HalfNormal, 1.0), 0.0, 0.5 * math.log(2 / math.pi), 0.0),
        (independent(Pareto, 1.0, 3.0), 1.0, math.log(3), -4.0),
        (independent(Beta, 2.0, 2.0), 1.0, -math.inf, math.nan),
    ],
)
def test_on_the_edge_log_p_is_that_of_torch_and_the_score_one_sided(distribution, x, log_p, score):
    inner = distribution.mean[1]
    point, p = torch.stack([torch.tensor(x, dtype=torch.float64), inner]), from_torch(distribution)
    assert float(p.log_prob(point)) == pytest.approx(log_p + float(distribution.base_dist.log_prob(inner)[1]))
    assert float(p.score(point)[0]) == pytest.approx(score, nan_ok=True)


def test_components_of_a_mixture_may_have_supports_of_their_own():
    """Two boxes that overlap: torch's own log_prob stops where a point is in only one of them."""
    low = torch.tensor([[-1.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    high = torch.tensor([[0.5, 0.5], [2.0, 2.0]], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    mixture = MixtureSameFamily(Categorical(weights), Independent(Uniform(low, high), 1))
    x = torch.tensor([[0.25, 0.25], [-0.5, 0.0], [1.0, 1.5], [-0.5, 1.5]], dtype=torch.float64)
    p = from_torch(mixture)
    expected = torch.tensor([0.3 / 2.25 + 0.7 / 4, 0.3 / 2.25, 0.7 / 4, 0.0], dtype=torch.float64).log()
    torch.testing.assert_close(p.log_prob(x), expected)
    assert torch.equal(p.score(x)[:3], torch.zeros(3, 2, dtype=torch.float64))
    assert p.score(x)[3].isnan().all()
    gammas = MixtureSameFamily(
        Categorical(weights), moved(Independent(Gamma(2 + low.abs(), high), 1), AffineTransform(low, torch.ones(())))
    )
    y = torch.tensor([[-0.5, 0.5]], dtype=torch.float64)  # in the first alone
    torch.testing.assert_close(from_torch(gammas).score(y), (2 / (y + 1) - 0.5), rtol=1e-12, atol=0)


def test_a_law_on_a_line_has_its_log_p_along_the_line():
    p = from_torch(Dirichlet(torch.tensor([2.0, 3.0], dtype=torch.float64)))
    x = torch.tensor([[0.3, 0.7], [0.3, 0.8]], dtype=torch.float64)
    expected = scipy.stats.beta(2, 3).logpdf(0.3)
    assert p.log_prob(x).tolist() == pytest.approx([expected, -math.inf])
    assert p.score(x)[1].isnan().all()


class Disc(Distribution):
    """Uniform on the unit disc, with a support of a kind that torch does not know."""

    class _Support(constraints.Constraint):
        event_dim = 1

        def check(self, value):
            return value.square().sum(-1) <= 1

    arg_constraints, support = {}, _Support()

    def __init__(self):
        super().__init__(event_shape=torch.Size([2]))

    def log_prob(self, value):
        self._validate_sample(value)
        return (0 * value).sum(-1) - math.log(math.pi)

    def sample(self, sample_shape=()):
        r, angle = torch.rand(sample_shape).sqrt(), 2 * math.pi * torch.rand(sample_shape)
        return torch.stack([r * angle.cos(), r * angle.sin()], -1)


class Anywhere(Disc):
    """One that does not say where it lies."""

    @property
    def support(self):
        raise NotImplementedError

    def log_prob(self, value):
        return -value.square().sum(-1)


def test_a_distribution_of_one_s_own_needs_no_support_that_torch_knows():
    x = torch.tensor([[0.5, 0.5], [1.0, 1.0]])
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        p = from_torch(Disc())
        assert p.log_prob(x).tolist() == pytest.approx([-math.log(math.pi), -math.inf])
        torch.testing.assert_close(p.score(x), torch.tensor([[0.0, 0.0], [math.nan] * 2]), equal_nan=True)
        assert from_torch(Anywhere()).score(x).tolist() == [[-1.0, -1.0], [-2.0, -2.0]]
        assert torch.equal(torch.get_rng_state(), before)


KEPT = {  # a start in the law, a sampler that must leave it there, and scipy's law of a coordinate
    "uniform": (independent(Uniform, -1.0, 2.0), scipy.stats.uniform(-1, 3), 1.0),
    "gamma": (independent(Gamma, 2.5, 3.0), scipy.stats.gamma(2.5, scale=1 / 3), 0.1),
    "beta": (independent(Beta, 2.0, 3.0), scipy.stats.beta(2, 3), 0.05),
    "log-normal": (independent(LogNormal, 0.0, 0.5), scipy.stats.lognorm(0.5), 0.2),
}
HOT = torch.tensor([1.0, 2.0, 4.0])


METROPOLIS = {  # three leapfrog steps go as far as one of the others
    "metropolis": lambda p, x, eps, **s: metropolis(p.log_prob, x, step_size=eps, **s),
    "mala": lambda p, x, eps, **s: mala(p.log_prob, p.score, x, step_size=eps, **s),
    "hmc": lambda p, x, eps, **s: hmc(p.log_prob, p.score, x, step_size=eps / 9, n_leapfrog=3, **s),
}
SAMPLERS = METROPOLIS | {
    "tempering": lambda p, x, eps, **s: parallel_tempering(p.log_prob, p.score, x, HOT, step_size=eps, **s)
}


@pytest.mark.filterwarnings("ignore:.*chains never moved")  # some start at a wall, in 20 steps a few stay there
@pytest.mark.parametrize("sampler", METROPOLIS)
@pytest.mark.parametrize("name", KEPT)
def test_metropolis_samplers_refuse_to_leave_the_support_and_keep_the_law(name, sampler):
    """20,000 chains started in the law: still in it by Kolmogorov and Smirnov (p > 1e-7) in each coordinate."""
    distribution, law, step_size = KEPT[name]
    p, g = from_torch(distribution), generator(1)
    start = p.sample((20_000,), generator=g)
    chains = METROPOLIS[sampler](p, start, step_size, n_steps=20, generator=g, progress=False)
    assert not chains.diverged.any()
    assert 0.2 < float(chains.acceptance.mean()) < 0.99  # some are refused
    assert float((chains.samples != start).double().mean()) > 0.9
    for k in (0, 1):
        assert scipy.stats.kstest(chains.samples[:, k].numpy(), law.cdf).pvalue > 1e-7


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_metropolis_samplers_fill_a_box_from_its_middle(sampler):
    """The uniform law on [-1, 2]^2 from one point: KS of 4,000 chains (p > 1e-7), and the variance 3/4 to 5 errors."""
    distribution, law, _ = KEPT["uniform"]
    p, n = from_torch(distribution), 4_000
    start = torch.full((n, 2), 0.5, dtype=torch.float64)
    chains = SAMPLERS[sampler](p, start, 1.0, n_steps=40, generator=generator(2), progress=False)
    for k in (0, 1):
        x = chains.samples[:, k].numpy()
        assert scipy.stats.kstest(x, law.cdf).pvalue > 1e-7
        # the fourth central moment of the law is 3^4 / 80: Var of (x - m)^2 is 81/80 - 9/16
        assert abs(((x - 0.5) ** 2).mean() - 0.75) < 5 * math.sqrt((81 / 80 - 9 / 16) / n)


@pytest.mark.parametrize("name", ["uniform", "gamma", "beta", "two transforms"])
def test_log_p_and_score_of_a_bounded_law_can_be_batched_by_vmap(name):
    p, x = from_torch(BOUNDED[name][0]), around()
    for f in (p.log_prob, p.score):
        torch.testing.assert_close(torch.func.vmap(f)(x), f(x), rtol=1e-12, atol=1e-12, equal_nan=True)
