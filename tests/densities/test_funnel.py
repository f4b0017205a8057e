"""The funnel: against its formula and forty-digit arithmetic."""

import math

import mpmath
import pytest
import scipy.stats
import torch

from toylab.densities import Funnel


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(n):
    return 3 * torch.randn(n, 2, dtype=torch.float64, generator=generator(0))


def normal_term(d1, d2, v1, v2):
    """log N((d1, d2); 0, diag(v1, v2)), its score in x where d = mean - x, and its divergence."""
    log_p = -(d1**2 / v1 + d2**2 / v2 + mpmath.log(v1 * v2)) / 2 - mpmath.log(2 * mpmath.pi)
    return log_p, d1 / v1, d2 / v2, -1 / v1 - 1 / v2


def rounded(*x):
    """A point that float32 and float64 both hold exactly, so that one answer serves both."""
    return tuple(torch.tensor(x, dtype=torch.float32).tolist())


def agree(p, x, sigma, truth, lost=0.0):
    """float64 to 1e-9 relative, float32 at the same point to 1e-4; ``lost`` is what cancels in the divergence."""
    log_p, *score, divergence = truth
    for dtype, rel in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        point = torch.tensor(x, dtype=dtype)
        assert float(p.log_prob(point, sigma)) == pytest.approx(log_p, rel=rel)
        assert p.score(point, sigma).tolist() == pytest.approx(score, rel=0, abs=rel * math.hypot(*score))
        assert float(p.divergence(point, sigma)) == pytest.approx(divergence, rel=rel, abs=lost)


EPS = 2.0**-52
SIGMAS = [1e-3, 0.03, 0.3, 3.0, 10.0, 100.0]
FUNNELS = [Funnel(), Funnel(scale=1.0)]


def funnel_parts(p, x, sigma):
    """Y given V = v is N(0, e^v), V is N(0, scale^2)."""
    with mpmath.workdps(40):
        x1, x2, noise, variance = mpmath.mpf(x[0]), mpmath.mpf(x[1]), mpmath.mpf(sigma) ** 2, mpmath.mpf(p.scale) ** 2
        prior = -mpmath.log(2 * mpmath.pi * variance) / 2

        def term(v):
            log_p, s1, s2, divergence = normal_term(v - x1, -x2, noise, mpmath.exp(v) + noise)
            return log_p + prior - v**2 / (2 * variance), s1, s2, divergence

        # each factor pulls v to 0, to x1 or to log x2^2; 40 is where the widest, N(0, 9), is e^-88
        far = 2 * mpmath.log(abs(x2)) if x2 else mpmath.mpf(0)
        return [(term, min(0, x1) - 40, max(0, x1, far) + 40)]


# the middle, the neck, its edge, the mouth, and far out
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize(
    "x", [(0.5, 0.2), (-9.0, 0.001), (6.0, 20.0), (50.0, 0.0), (0.0, 50.0), (-50.0, 0.0), (30.0, 40.0), (-48.0, -14.0)]
)
def test_noised_funnel_in_high_precision_out_to_the_far_tails(x, sigma, integrated):
    p, x = Funnel(), rounded(*x)
    truth = integrated(funnel_parts(p, x, sigma), n_scan=400, widest=4)
    # -1/sigma^2 cancels against the spread of the scores of 96 nodes, each of a weight known to eps
    agree(p, x, sigma, truth, lost=96 * EPS / sigma**2)


@pytest.mark.parametrize("sigma", [1e-3, 0.3, 10.0])
@pytest.mark.parametrize("x", [(0.5, 0.2), (-3.0, 4.0), (-48.0, -14.0)])
def test_noised_funnel_of_another_scale_in_high_precision(x, sigma, integrated):
    p, x = Funnel(scale=1.0), rounded(*x)
    agree(p, x, sigma, integrated(funnel_parts(p, x, sigma), n_scan=400, widest=4), lost=96 * EPS / sigma**2)


@pytest.mark.parametrize("p", FUNNELS, ids=repr)
def test_clean_funnel_is_a_normal_law_and_a_normal_law_given_it(p):
    x = points(200)
    v, y = x.unbind(-1)
    scale = torch.tensor(p.scale, dtype=torch.float64)
    along = torch.distributions.Normal(torch.zeros_like(scale), scale)
    expected = along.log_prob(v) + torch.distributions.Normal(0.0, (v / 2).exp()).log_prob(y)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", FUNNELS, ids=repr)
@pytest.mark.parametrize("x", [(0.3, -0.7), (-9.0, 0.001), (2.0, 0.0), (30.0, -40.0), (-25.0, 0.5), (0.0, 50.0)])
def test_clean_funnel_in_high_precision(p, x):
    x = rounded(*x)
    with mpmath.workdps(50):

        def log_p(v, y):
            along = -(v**2) / (2 * mpmath.mpf(p.scale) ** 2) - mpmath.log(2 * mpmath.pi * p.scale)
            return along - v / 2 - y**2 * mpmath.exp(-v) / 2

        score = [mpmath.diff(log_p, x, order) for order in ((1, 0), (0, 1))]
        divergence = mpmath.diff(log_p, x, (2, 0)) + mpmath.diff(log_p, x, (0, 2))
        truth = tuple(float(number) for number in (log_p(*map(mpmath.mpf, x)), *score, divergence))
    agree(p, x, 0.0, truth)


def test_clean_funnel_is_finite_where_its_factors_overflow():
    # y^2 e^-v with log y = -inf, and with y^2 = 1e40 and e^-v = 1e-40, neither of which float32 holds in full
    x = torch.tensor([[-79.0, 0.0], [-79.0, 1e-20], [80.0, 0.0], [92.0, 1e20]])
    p = Funnel()
    for method in (p.log_prob, p.score, p.divergence):
        single, double = method(x), method(x.double())
        assert single.isfinite().all()
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_samples_of_the_funnel_are_normal_numbers_scaled():
    """V / scale and Y e^(-V/2) are independent normal: Kolmogorov-Smirnov of 1e5, p > 1e-6."""
    n = 100_000
    v, y = Funnel(scale=2.0).to(torch.float64).sample((n,), generator=generator(2)).unbind(-1)
    along, across = v / 2, y * (-v / 2).exp()
    assert scipy.stats.kstest(along.numpy(), "norm").pvalue > 1e-6
    assert scipy.stats.kstest(across.numpy(), "norm").pvalue > 1e-6
    for product in (along * across, along * (across**2 - 1) / math.sqrt(2), (along**2 - 1) * (across**2 - 1) / 2):
        assert abs(float(product.mean())) * math.sqrt(n) < 5


@pytest.mark.parametrize("scale", [0.3, 5.0])
@pytest.mark.parametrize("sigma", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("x", [(250.0, 1e5), (-250.0, 50.0), (0.0, 1e-3)])
def test_funnels_of_other_scales_far_out(scale, x, sigma, integrated):
    p, x = Funnel(scale), rounded(*x)
    agree(p, x, sigma, integrated(funnel_parts(p, x, sigma), n_scan=800, widest=4), lost=96 * EPS / sigma**2)


@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_derivatives_on_the_axis_where_log_y_is_minus_infinity(sigma):
    """At y = 0: by symmetry, and against the values themselves."""
    p, x = Funnel(), torch.zeros(2, dtype=torch.float64)
    hessian = torch.func.jacfwd(lambda y: p.score(y, sigma))(x)
    torch.testing.assert_close(hessian, torch.func.jacrev(lambda y: p.score(y, sigma))(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(hessian.trace(), p.divergence(x, sigma), rtol=1e-12, atol=0)
    assert hessian[0, 1] == hessian[1, 0] == 0
    h = torch.tensor([1e-4, 0.0], dtype=x.dtype)
    slope = (p.divergence(x + h, sigma) - p.divergence(x - h, sigma)) / 2e-4
    for grad in (torch.func.grad, torch.func.jacfwd):
        found = grad(lambda y: p.divergence(y, sigma))(x)
        torch.testing.assert_close(found, torch.stack([slope, torch.zeros_like(slope)]), rtol=1e-6, atol=1e-9)
