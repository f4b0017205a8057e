"""The banana: against its formula, dense quadrature and thirty-digit arithmetic."""

import math

import mpmath
import pytest
import scipy.stats
import torch

from toylab.densities import Banana

BANANAS = [Banana(), Banana(scale=1.0, width=0.3, bend=-0.7), Banana(scale=1.5, width=1.0, bend=0.0)]
every_banana = pytest.mark.parametrize("p", BANANAS, ids=["up", "down", "straight"])


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(n):
    return 3 * torch.randn(n, 2, dtype=torch.float64, generator=generator(0))


@every_banana
def test_clean_density_is_the_product_of_two_normal_laws(p):
    x = points(100)
    x1, x2 = x.unbind(-1)
    scale, width = (torch.tensor(std, dtype=torch.float64) for std in (p.scale, p.width))
    along = torch.distributions.Normal(torch.zeros_like(scale), scale)
    across = torch.distributions.Normal(p.bend * (x1**2 - scale**2), width)
    expected = along.log_prob(x1) + across.log_prob(x2)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-12, atol=1e-12)


@every_banana
@pytest.mark.parametrize("x", [(0.3, -0.7), (2.0, 1.0), (-3.0, 4.0), (50.0, -50.0)])
def test_clean_derivatives_in_high_precision(p, x):
    with mpmath.workdps(50):

        def log_p(a, b):
            v = b - p.bend * (a**2 - mpmath.mpf(p.scale) ** 2)
            return -(a**2) / (2 * mpmath.mpf(p.scale) ** 2) - v**2 / (2 * mpmath.mpf(p.width) ** 2)

        score = [float(mpmath.diff(log_p, x, order)) for order in ((1, 0), (0, 1))]
        divergence = float(mpmath.diff(log_p, x, (2, 0)) + mpmath.diff(log_p, x, (0, 2)))
    x = torch.tensor(x, dtype=torch.float64)
    assert p.score(x).tolist() == pytest.approx(score, rel=1e-12)
    assert float(p.divergence(x)) == pytest.approx(divergence, rel=1e-12)


def by_trapezoid(p, x, sigma, n=400_001):
    """log p, score and divergence at one point: X given X_1 = u is Gaussian, and u runs over a dense fixed grid.

    Two grids: 30 standard deviations of the prior of u, and a window of 40 sigma about x_1, whichever is shorter.
    """
    reach = min(40 * sigma, 30 * p.scale + abs(x[0]))
    u = torch.linspace(max(x[0] - reach, -60 * p.scale), min(x[0] + reach, 60 * p.scale), n, dtype=torch.float64)
    v1, v2 = sigma**2, p.width**2 + sigma**2
    d1, d2 = u - x[0], p.bend * (u**2 - p.scale**2) - x[1]
    log_w = -(u**2) / (2 * p.scale**2) - d1**2 / (2 * v1) - d2**2 / (2 * v2)
    # the ends must not matter
    assert log_w[0] < log_w.max() - 50
    assert log_w[-1] < log_w.max() - 50
    log_p = log_w.logsumexp(0) + (u[1] - u[0]).log() - 0.5 * math.log((2 * math.pi) ** 3 * p.scale**2 * v1 * v2)
    r = log_w.softmax(0)
    s1, s2 = d1 / v1, d2 / v2
    m1, m2 = (r * s1).sum(), (r * s2).sum()
    divergence = -1 / v1 - 1 / v2 + (r * ((s1 - m1) ** 2 + (s2 - m2) ** 2)).sum()
    return log_p, torch.stack([m1, m2]), divergence


@every_banana
@pytest.mark.parametrize("sigma", [1e-3, 0.03, 0.5, 3.0, 100.0])
@pytest.mark.parametrize("x", [(0.0, 0.0), (0.3, -1.7), (2.0, 1.0), (-3.0, 4.0), (6.0, -6.0)])
def test_noised_against_a_dense_trapezoid(p, x, sigma):
    log_p, score, divergence = by_trapezoid(p, x, sigma)
    x = torch.tensor(x, dtype=torch.float64)
    assert float(p.log_prob(x, sigma)) == pytest.approx(float(log_p), rel=1e-9, abs=1e-9)
    # in units of what the components have: 1 / sigma, or 1 / width^2 times a length
    torch.testing.assert_close(p.score(x, sigma), score, rtol=1e-9, atol=1e-9 / max(sigma, 0.1))
    size = float(score.square().sum()) + 1 / (sigma**2 + min(p.width, p.scale) ** 2)
    assert float(p.divergence(x, sigma)) == pytest.approx(float(divergence), rel=1e-8, abs=1e-8 * size)


def by_cubic(p, x, sigma):
    """log p, score and divergence by mpmath; the peaks are among the roots of one cubic in u = X_1."""
    with mpmath.workdps(30):
        scale, width, bend, sigma, x1, x2 = (mpmath.mpf(a) for a in (p.scale, p.width, p.bend, sigma, *x))
        v0, v1, v2 = scale**2, sigma**2, width**2 + sigma**2

        def offset(u):
            return u - x1, bend * (u**2 - v0) - x2

        def exponent(u):
            d1, d2 = offset(u)
            return -(u**2) / (2 * v0) - d1**2 / (2 * v1) - d2**2 / (2 * v2)

        def second(u):
            return -1 / v0 - 1 / v1 - (6 * bend**2 * u**2 - 2 * bend * (bend * v0 + x2)) / v2

        cubic = [2 * bend**2 / v2, 0, 1 / v0 + 1 / v1 - 2 * bend * (bend * v0 + x2) / v2, -x1 / v1]
        roots = mpmath.polyroots(cubic, maxsteps=500, extraprec=200)
        peaks = [mpmath.re(z) for z in roots if abs(mpmath.im(z)) < 1e-15 * abs(z) + mpmath.mpf(10) ** -25]
        top = max(exponent(u) for u in peaks)
        peaks = [u for u in peaks if exponent(u) > top - 90]
        widths = [1 / mpmath.sqrt(max(abs(second(u)), 1 / v0 + 1 / v1)) for u in peaks]
        steps = [-40, -20, -10, -5, -2, 0, 2, 5, 10, 20, 40]
        edges = sorted({u + k * width for u, width in zip(peaks, widths, strict=True) for k in steps})

        def moments(f):
            return mpmath.quad(lambda u: f(*offset(u)) * mpmath.exp(exponent(u) - top), edges)

        mass = moments(lambda d1, d2: mpmath.mpf(1))
        s1, s2 = moments(lambda d1, d2: d1 / v1) / mass, moments(lambda d1, d2: d2 / v2) / mass
        between = moments(lambda d1, d2: (d1 / v1 - s1) ** 2 + (d2 / v2 - s2) ** 2) / mass
        log_p = mpmath.log(mass) + top - mpmath.log((2 * mpmath.pi) ** 3 * v0 * v1 * v2) / 2
        return tuple(float(number) for number in (log_p, s1, s2, between - 1 / v1 - 1 / v2))


def agree(p, x, sigma, truth):
    log_p, *score, divergence = truth
    norm = math.hypot(*score)
    x = torch.tensor(x, dtype=torch.float64)
    assert float(p.log_prob(x, sigma)) == pytest.approx(log_p, rel=1e-9)
    assert p.score(x, sigma).tolist() == pytest.approx(score, rel=1e-9, abs=1e-9 * norm)
    # what cancels in it: -1/sigma^2 and the spread of as many nodes, each of a weight known to eps
    assert float(p.divergence(x, sigma)) == pytest.approx(divergence, rel=1e-9, abs=96 * 2.0**-52 / sigma**2)


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("x", [(0.5, 0.2), (50.0, 0.0), (0.0, 50.0), (0.0, -50.0), (-35.0, 35.0), (30.0, -40.0)])
def test_noised_in_high_precision_out_to_the_far_tails(x, sigma):
    p = Banana(scale=2.0, width=0.5, bend=0.5)
    agree(p, x, sigma, by_cubic(p, x, sigma))


@pytest.mark.parametrize(
    ("p", "x", "sigma"),
    [
        (Banana(), (-125.6, 172.5), 1.056),  # -5158.898730, and a lesser peak at -9346.99
        (Banana(2.0, 0.5, 4.0), (14.5, 10.5), 0.66),  # -168.6875, and a lesser one at -339.24
        (Banana(2.0, 0.05, 25.0), (100.0, 0.0), 1e-3),  # far off a thin and steep parabola
        (Banana(0.1, 0.05, 500.0), (0.0, 5.0), 1.0),  # between two arms
        (Banana(1.0, 5.0, -50.0), (50.0, 50.0), 100.0),
        (Banana(2.0, 0.5, 0.5), (1e6, -1e6), 0.1),  # the arm next to it costs 1e10 times what the other one does
    ],
    ids=repr,
)
def test_no_peak_is_missed(p, x, sigma):
    agree(p, x, sigma, by_cubic(p, x, sigma))


def test_a_sharp_banana_at_its_own_noised_draws():
    """bend * scale = 500, where the peaks are 1e-3 of their distance."""
    p, g = Banana(10.0, 1.0, 50.0).to(torch.float64), generator(3)
    x = p.sample((2,), generator=g)
    for place in (x + 3 * torch.randn(x.shape, dtype=x.dtype, generator=g)).tolist():
        agree(p, place, 3.0, by_cubic(p, place, 3.0))


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_a_straight_banana_is_a_gaussian(sigma):
    p, x = Banana(scale=1.5, width=0.5, bend=0.0), points(50)
    variances = torch.tensor([1.5**2 + sigma**2, 0.5**2 + sigma**2], dtype=torch.float64)
    log_p = -0.5 * (x**2 / variances + variances.log()).sum(-1) - math.log(2 * math.pi)
    torch.testing.assert_close(p.log_prob(x, sigma), log_p, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(p.score(x, sigma), -x / variances, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(p.divergence(x, sigma), -(1 / variances).sum().expand(50), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.0, 1e-3, 1.0, 100.0])
def test_float32_is_finite_and_is_float64_rounded(sigma):
    p = Banana()
    angles = torch.arange(24) * (2 * math.pi / 24)
    ring = torch.stack([angles.cos(), angles.sin()], -1)
    x = torch.cat([0.1 * ring, 3 * ring, 50 * ring])
    for method in (p.log_prob, p.score, p.divergence):
        single, double = method(x, sigma), method(x.double(), sigma)
        assert single.dtype == torch.float32
        assert single.isfinite().all()
        # x - bend (x^2 - scale^2) is rounded at 1e3, over width^2 = 1/4: 1e-6 of the largest
        assert ((single - double).abs() <= 1e-5 * double.abs() + 1e-6 * double.abs().max()).all()


def test_samples_are_the_map_of_normal_numbers():
    """X_1 and the distance to the parabola are independent normal: Kolmogorov-Smirnov of 1e5, p > 1e-6."""
    p, n = Banana(scale=2.0, width=0.3, bend=0.4).to(torch.float64), 100_000
    x1, x2 = p.sample((n,), generator=generator(1)).unbind(-1)
    across = x2 - 0.4 * (x1**2 - 4)
    assert scipy.stats.kstest((x1 / 2).numpy(), "norm").pvalue > 1e-6
    assert scipy.stats.kstest((across / 0.3).numpy(), "norm").pvalue > 1e-6
    assert abs(float((x1 / 2 * across / 0.3).mean())) * math.sqrt(n) < 5
    # X_2 has mean 0 and variance 2 bend^2 scale^4 + width^2
    assert abs(float(x2.mean() / x2.std())) * math.sqrt(n) < 5
    squares = x2**2 - (2 * 0.4**2 * 2**4 + 0.3**2)
    assert abs(float(squares.mean() / squares.std())) * math.sqrt(n) < 5


def test_levels_zero_and_above_in_one_call():
    p, x = Banana(), points(4)
    sigma = torch.tensor([0.0, 0.5, 0.0, 2.0], dtype=torch.float64)
    for method in (p.log_prob, p.score, p.divergence):
        loop = torch.stack([method(y, float(s)) for y, s in zip(x, sigma, strict=True)])
        torch.testing.assert_close(method(x, sigma), loop, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_shapes(shape):
    x = torch.zeros(*shape, 2)
    for sigma in (0.0, 1.0, torch.ones(shape)):
        assert Banana().log_prob(x, sigma).shape == Banana().divergence(x, sigma).shape == shape
        assert Banana().score(x, sigma).shape == (*shape, 2)
    assert Banana().sample(shape).shape == (*shape, 2)
