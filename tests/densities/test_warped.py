"""Banana, funnel and pinwheel: against their formulas, dense quadrature and forty-digit arithmetic."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from mpmath.calculus.quadrature import GaussLegendre

from toylab.densities import Banana, Funnel, Pinwheel

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


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("x", [(0.5, 0.2), (50.0, 0.0), (0.0, 50.0), (0.0, -50.0), (-35.0, 35.0), (30.0, -40.0)])
def test_noised_in_high_precision_out_to_the_far_tails(x, sigma):
    p = Banana(scale=2.0, width=0.5, bend=0.5)
    with mpmath.workdps(30):
        v0, v1 = mpmath.mpf(p.scale) ** 2, mpmath.mpf(sigma) ** 2
        v2 = mpmath.mpf(p.width) ** 2 + v1
        x1, x2 = (mpmath.mpf(a) for a in x)

        def exponent(u):
            return -(u**2) / (2 * v0) - (u - x1) ** 2 / (2 * v1) - (x2 - (u**2 - v0) / 2) ** 2 / (2 * v2)

        # all stationary points: the derivative is a cubic in u
        cubic = [-1 / (2 * v2), 0, -1 / v0 - 1 / v1 + (x2 + v0 / 2) / v2, x1 / v1]
        peaks = sorted(
            mpmath.re(z) for z in mpmath.polyroots(cubic, maxsteps=500, extraprec=200) if abs(mpmath.im(z)) < 1e-9
        )
        top = max(exponent(u) for u in peaks)
        curve = 1 / v0 + 1 / v1 + max((3 * u**2 / 2 - x2 - v0 / 2) / v2 for u in peaks)
        width = 1 / mpmath.sqrt(curve)
        edges = sorted({u + k * width for u in peaks for k in (-40, -20, -10, -5, -2, 0, 2, 5, 10, 20, 40)})

        def moments(f):
            return mpmath.quad(lambda u: f(u) * mpmath.exp(exponent(u) - top), edges)

        mass = moments(lambda u: mpmath.mpf(1))
        log_p = mpmath.log(mass) + top - mpmath.log((2 * mpmath.pi) ** 3 * v0 * v1 * v2) / 2
        s1 = moments(lambda u: (u - x1) / v1) / mass
        s2 = moments(lambda u: ((u**2 - v0) / 2 - x2) / v2) / mass
        between = moments(lambda u: ((u - x1) / v1 - s1) ** 2 + (((u**2 - v0) / 2 - x2) / v2 - s2) ** 2) / mass
        divergence = between - 1 / v1 - 1 / v2
    x = torch.tensor(x, dtype=torch.float64)
    assert float(p.log_prob(x, sigma)) == pytest.approx(float(log_p), rel=1e-9)
    norm = float(mpmath.hypot(s1, s2))
    assert p.score(x, sigma).tolist() == pytest.approx([float(s1), float(s2)], rel=1e-9, abs=1e-9 * norm)
    assert float(p.divergence(x, sigma)) == pytest.approx(float(divergence), rel=1e-9)


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


def test_bad_parameters_are_refused():
    for name in ("scale", "width"):
        for value in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match=f"{name} is {value}: it must be finite and greater than 0"):
                Banana(**{name: value})
    with pytest.raises(ValueError, match="bend is inf"):
        Banana(bend=math.inf)


# The oracle: p(x) = sum over parts of int exp(term(u)) du, straight from the definition. It shares nothing with toylab.


@cache
def unit_rule(degree):
    """Gauss-Legendre on [0, 1] with 3 * 2^(degree - 1) nodes."""
    return [((t + 1) / 2, w / 2) for t, w in GaussLegendre(mpmath.mp).calc_nodes(degree, 160)]


def extremes(height, low, high, n_scan):
    """The two ends and all local extremes between, found by a scan and refined by golden section, in order."""
    grid = [low + (high - low) * k / n_scan for k in range(n_scan + 1)]
    values = [height(u) for u in grid]
    found, golden = [low, high], (mpmath.sqrt(5) - 1) / 2
    for k in range(1, n_scan):
        up, down = values[k] - values[k - 1], values[k] - values[k + 1]
        if up * down > 0 or (down == 0 and up != 0):
            a, b = grid[k - 1], grid[k + 1]
            for _ in range(40):  # the bracket shrinks to 1e-8 of itself: panels only need to begin near the top
                c = b - golden * (b - a)
                d = a + golden * (b - a)
                a, b = (a, d) if (height(c) - height(d)) * (1 if up > 0 else -1) > 0 else (c, b)
            found.append((a + b) / 2)
    return sorted(found)


def panels(height, low, high, n_scan, widest):
    """Panels that halve towards each local maximum, from where the integrand is e^-60 of the largest on; and its log.

    On each of them Gauss-Legendre converges geometrically, however sharp the peak or the layer at an end is.
    """
    places = extremes(height, low, high, n_scan)
    values = [height(u) for u in places]
    top, edges = max(values), []
    for a, b, at_a, at_b in zip(places, places[1:], values, values[1:], strict=False):
        start, reach, at_start = (a, b - a, at_a) if at_a > at_b else (b, a - b, at_b)
        if at_start < top - 60:
            continue
        while height(start + reach / 2) < top - 60:
            reach /= 2
        while at_start - height(start + reach) > 1:
            edges.append((start + reach / 2, start + reach))
            reach /= 2
        edges.append((start, start + reach))
    pieces = []
    for a, b in edges:
        n = max(1, int(mpmath.ceil(abs(b - a) / widest)))
        pieces += [(a + (b - a) * k / n, abs(b - a) / n, (b - a) / n) for k in range(n)]
    return pieces, top


def mixed(parts, degree, top):
    """log p, score and divergence from all nodes as one Gaussian mixture."""
    rows = []
    for term, pieces in parts:
        for start, width, step in pieces:
            for t, w in unit_rule(degree):
                log_joint, s1, s2, divergence = term(start + t * step)
                rows.append((width * w * mpmath.exp(log_joint - top), s1, s2, divergence))
    mass = mpmath.fsum(r for r, *_ in rows)
    m1, m2 = mpmath.fsum(r * s1 for r, s1, *_ in rows) / mass, mpmath.fsum(r * s2 for r, _, s2, _ in rows) / mass
    between = mpmath.fsum(r * (d + (s1 - m1) ** 2 + (s2 - m2) ** 2) for r, s1, s2, d in rows) / mass
    return mpmath.log(mass) + top, m1, m2, between


def exact(parts, n_scan, widest=mpmath.inf):
    """log p, score and divergence; parts are (term, low, high), term(u) = (log-integrand, score, score, divergence)."""
    with mpmath.workdps(40):
        laid = [(term, *panels(lambda u, f=term: f(u)[0], low, high, n_scan, widest)) for term, low, high in parts]
        top = max(height for *_, height in laid)
        pieces = [(term, edges) for term, edges, height in laid if height > top - 60]
        coarse, fine = (mixed(pieces, degree, top) for degree in (4, 5))
        # with 24 nodes a panel and with 48: the error of the latter is the square of what they differ by
        assert abs(coarse[0] - fine[0]) < 1e-12
        assert mpmath.hypot(coarse[1] - fine[1], coarse[2] - fine[2]) < 1e-12 * mpmath.hypot(fine[1], fine[2])
        assert abs(coarse[3] - fine[3]) < 1e-12 * abs(fine[3])
        return tuple(float(number) for number in fine)


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
def test_noised_funnel_in_high_precision_out_to_the_far_tails(x, sigma):
    p, x = Funnel(), rounded(*x)
    truth = exact(funnel_parts(p, x, sigma), n_scan=400, widest=4)
    # -1/sigma^2 cancels against the spread of the scores of 96 nodes, each of a weight known to eps
    agree(p, x, sigma, truth, lost=96 * EPS / sigma**2)


@pytest.mark.parametrize("sigma", [1e-3, 0.3, 10.0])
@pytest.mark.parametrize("x", [(0.5, 0.2), (-3.0, 4.0), (-48.0, -14.0)])
def test_noised_funnel_of_another_scale_in_high_precision(x, sigma):
    p, x = Funnel(scale=1.0), rounded(*x)
    agree(p, x, sigma, exact(funnel_parts(p, x, sigma), n_scan=400, widest=4), lost=96 * EPS / sigma**2)


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


def test_bad_parameters_of_the_funnel_are_refused():
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"scale is {value}: it must be finite and greater than 0"):
            Funnel(scale=value)


def pinwheel_parts(p, x, sigma):
    """Given k and rho, x is a Gaussian about scale * rho * e(angle), widened by scale * tangential_std across it."""
    with mpmath.workdps(40):
        x1, x2, noise = mpmath.mpf(x[0]), mpmath.mpf(x[1]), mpmath.mpf(sigma) ** 2
        scale, std, rate = mpmath.mpf(p.scale), mpmath.mpf(p.radial_std), mpmath.mpf(p.rate)
        across = (scale * mpmath.mpf(p.tangential_std)) ** 2 + noise
        prior = -mpmath.log(2 * mpmath.pi) / 2 - mpmath.log(std * p.n_arms)

        def arm(k):
            def term(rho):
                c, s = mpmath.cos_sin(2 * mpmath.pi * k / p.n_arms + rate * mpmath.exp(rho))
                log_p, out, round_, divergence = normal_term(
                    scale * rho - x1 * c - x2 * s, x1 * s - x2 * c, noise, across
                )
                log_p += prior - ((rho - 1) / std) ** 2 / 2
                return log_p, out * c - round_ * s, out * s + round_ * c, divergence

            return term, 1 - 13 * std, 1 + 13 * std  # e^-84 at the ends

        return [arm(k) for k in range(p.n_arms)]


# off the middle, on an arm, between two, and outside
@pytest.mark.parametrize("sigma", [1e-3, 0.03, 0.3, 3.0, 100.0])
@pytest.mark.parametrize("x", [(0.1, -0.05), (-1.25, -1.5), (1.5, 3.0)])
def test_noised_pinwheel_in_high_precision(x, sigma):
    p, x = Pinwheel(n_arms=2), rounded(*x)
    truth = exact(pinwheel_parts(p, x, sigma), n_scan=200)
    # -1/sigma^2 cancels against the spread, 1/sigma, of the scores of nodes whose place is known to eps |x|
    agree(p, x, sigma, truth, lost=EPS * max(1, math.hypot(*x)) / sigma**3)


def by_panels(p, x, sigma):
    """log p, score and divergence of a pinwheel in float64: 16 Gauss-Legendre nodes on each of many short panels.

    Panels are so short that the arm moves by at most two noise levels, as seen from x, on each of them.
    """
    r, direction = math.hypot(*x), math.atan2(x[1], x[0])
    noise, across = sigma**2, (p.scale * p.tangential_std) ** 2 + sigma**2
    # The best angle at each rho bounds the integrand; what is e^-100 of the largest bound is left out.
    rho = np.linspace(1 - 60 * p.radial_std, 1 + 60 * p.radial_std, 20_001)
    u = np.clip(p.scale * rho / r * across / (across - noise), -1, 1)
    miss = (r * u - p.scale * rho) ** 2 / noise + r**2 * (1 - u**2) / across
    bound = -0.5 * (((rho - 1) / p.radial_std) ** 2 + miss)
    kept = rho[bound > bound.max() - 100]
    edges = [np.array([kept.min()])]
    while edges[-1][-1] < kept.max():
        start, end = edges[-1][-1], edges[-1][-1] + 0.25
        speed = 2 / p.radial_std + (p.scale + 0.5 * r * p.rate * math.exp(end)) / sigma
        edges.append(np.linspace(start, end, math.ceil(0.25 * speed) + 2)[1:])
    edges = np.concatenate(edges)
    t, w = np.polynomial.legendre.leggauss(16)
    widths = np.diff(edges)[:, None]
    rho, weights = (edges[:-1, None] + widths * (t + 1) / 2).ravel(), (widths * w / 2).ravel()
    log_joint, s1, s2 = [], [], []
    for k in range(p.n_arms):
        angle = 2 * math.pi * k / p.n_arms + p.rate * np.exp(rho)
        out, round_ = p.scale * rho - r * np.cos(direction - angle), -r * np.sin(direction - angle)
        log_joint.append(-0.5 * (((rho - 1) / p.radial_std) ** 2 + out**2 / noise + round_**2 / across))
        s1.append(out / noise * np.cos(angle) - round_ / across * np.sin(angle))
        s2.append(out / noise * np.sin(angle) + round_ / across * np.cos(angle))
    log_joint, s1, s2 = (np.concatenate(part) for part in (log_joint, s1, s2))
    top = log_joint.max()
    assert top > bound.max() - 40  # so that what was left out is below e^-60
    heights = np.tile(weights, p.n_arms) * np.exp(log_joint - top)
    mass = heights.sum()
    m1, m2 = (heights @ s1) / mass, (heights @ s2) / mass
    between = heights @ ((s1 - m1) ** 2 + (s2 - m2) ** 2) / mass
    constant = math.log(p.n_arms * p.radial_std) + 0.5 * math.log(noise * across) + 1.5 * math.log(2 * math.pi)
    return top + math.log(mass) - constant, m1, m2, between - 1 / noise - 1 / across


DEFAULT = Pinwheel()
WIDE = Pinwheel(n_arms=3, radial_std=0.6, tangential_std=0.5, rate=0.1)
ONE_ARM = Pinwheel(n_arms=1, scale=1.0)


# Far out the arms count as wound all the way round: the default's beyond |x| = 10.3, 10.5 and 13.4 at these sigma, the
# single arm's beyond 6.7. Radii are on both sides of that, and where a harmonic of the angle is last felt.
@pytest.mark.parametrize(
    ("p", "sigma", "radii"),
    [
        (DEFAULT, 0.1, (5.5, 10.0, 10.5)),
        (DEFAULT, 0.3, (0.5, 5.0, 6.5, 9.0, 9.5, 10.25, 10.75, 12.0)),
        (DEFAULT, 0.5, (7.0, 13.25, 13.5)),
        (DEFAULT, 1.0, (5.0, 10.0, 15.0)),
        (DEFAULT, 3.0, (5.0, 15.0)),
        (WIDE, 0.3, (2.0, 10.0, 15.0)),
        (ONE_ARM, 0.1, (2.0, 6.0, 6.5, 7.0)),
        (ONE_ARM, 1.0, (5.0, 9.0)),
    ],
)
def test_noised_pinwheel_near_and_far_against_many_panels(p, sigma, radii):
    for r in radii:
        x = rounded(r * math.cos(r), r * math.sin(r))  # in some direction or other
        agree(p, x, sigma, by_panels(p, x, sigma))


FAR = [(50.0, 0.0), (0.0, 50.0), (-35.0, 35.0), (30.0, -40.0), (-48.0, -14.0)]


@pytest.mark.parametrize("sigma", [1e-3, 0.03, 0.3])
@pytest.mark.parametrize("x", FAR[::2])
def test_far_out_the_angle_of_a_pinwheel_is_uniform(x, sigma):
    """There (rho, tau) scale is normal, turned by an angle that winds hundreds of times: its integral, in mpmath."""
    p, x = Pinwheel(), rounded(*x)
    with mpmath.workdps(40):
        x1, x2, noise = mpmath.mpf(x[0]), mpmath.mpf(x[1]), mpmath.mpf(sigma) ** 2
        along, across = ((mpmath.mpf(p.scale) * mpmath.mpf(std)) ** 2 for std in (p.radial_std, p.tangential_std))

        def term(angle):
            c, s = mpmath.cos_sin(angle)
            log_p, out, round_, divergence = normal_term(
                p.scale - x1 * c - x2 * s, x1 * s - x2 * c, along + noise, across + noise
            )
            return log_p - mpmath.log(2 * mpmath.pi), out * c - round_ * s, out * s + round_ * c, divergence

        low = mpmath.atan2(x2, x1) - mpmath.mpf(3)  # not opposite to x: the two peaks are off the ends
        truth = exact([(term, low, low + 2 * mpmath.pi)], n_scan=60)
    agree(p, x, sigma, truth)


@pytest.mark.parametrize("sigma", [1e-3, 0.03, 0.3, 3.0, 100.0])
@pytest.mark.parametrize("x", FAR)
def test_far_out_a_pinwheel_obeys_the_heat_equation(x, sigma):
    """d log p / d log sigma = sigma^2 (div + |s|^2), where no quadrature can say what p is."""
    p, h, x = Pinwheel(), 0.01, rounded(*x)
    point = torch.tensor(x, dtype=torch.float64)
    up2, up, down, down2 = (float(p.log_prob(point, sigma * math.exp(k * h))) for k in (2, 1, -1, -2))
    slope = (down2 - 8 * down + 8 * up - up2) / (12 * h)
    expected = sigma**2 * float(p.divergence(point, sigma) + p.score(point, sigma).square().sum())
    # The rule is off by h^4 / 30 of the fifth derivative: 2^4 of the first for a multiple of sigma^2, and 4^5 is ample.
    # What it subtracts is rounded by eps log p.
    assert slope == pytest.approx(expected, rel=34 * h**4, abs=4 * EPS * abs(up) / h)
    single = point.float()
    for method in (p.log_prob, p.score, p.divergence):
        assert method(single, sigma).isfinite().all()
        torch.testing.assert_close(method(single, sigma).double(), method(point, sigma), rtol=1e-4, atol=0)


@pytest.mark.parametrize("r", [13.0, 17.0, 25.0])
def test_a_pinwheel_is_finite_between_its_arms_and_the_far_tails(r):
    """Weak noise, and arms not yet wound often enough for their angle to be uniform."""
    p, x = Pinwheel(), torch.tensor([r, 0.0])
    for method in (p.log_prob, p.score, p.divergence):
        assert method(x, 1e-3).isfinite().all()


@pytest.mark.parametrize("method", ["log_prob", "score", "divergence"])
def test_a_pinwheel_has_no_density_of_its_own(method):
    with pytest.raises(ValueError, match="sigma > 0"):
        getattr(Pinwheel(), method)(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="sigma > 0"):
        getattr(Pinwheel(), method)(torch.zeros(2, 2), torch.tensor([1.0, 0.0]))


def test_samples_of_a_pinwheel_are_the_map_of_normal_numbers():
    """Undone as a fixed point: so close to an arm the map is one to one (its determinant is 1 - rate e^rho tau)."""
    p = Pinwheel(n_arms=5, radial_std=0.1, tangential_std=0.05, rate=0.25, scale=2.0, dtype=torch.float64)
    n = 100_000
    x = p.sample((n,), generator=generator(3)) / 2.0
    r, direction = x.norm(dim=-1), torch.atan2(x[:, 1], x[:, 0])
    rho = r.clone()
    for _ in range(50):  # rho^2 + tau^2 = r^2, and tau / rho is the tangent of what the arm's angle leaves over
        arm = ((direction - 0.25 * rho.exp()) / (2 * math.pi / 5)).round()
        left_over = direction - 0.25 * rho.exp() - arm * (2 * math.pi / 5)
        rho = r * left_over.cos()
    tau = r * left_over.sin()
    back = torch.stack([rho, tau], -1)
    angle = 0.25 * rho.exp() + arm * (2 * math.pi / 5)
    c, s = angle.cos(), angle.sin()
    image = torch.stack([rho * c - tau * s, rho * s + tau * c], -1)
    torch.testing.assert_close(image, x, rtol=0, atol=1e-12)  # the fixed point was reached
    along, across = (back[:, 0] - 1) / 0.1, back[:, 1] / 0.05
    assert scipy.stats.kstest(along.numpy(), "norm").pvalue > 1e-6
    assert scipy.stats.kstest(across.numpy(), "norm").pvalue > 1e-6
    for product in (along * across, along * (across**2 - 1) / math.sqrt(2), (along**2 - 1) * (across**2 - 1) / 2):
        assert abs(float(product.mean())) * math.sqrt(n) < 5
    counts = torch.bincount(arm.long().remainder(5), minlength=5)
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-6


def test_bad_parameters_of_a_pinwheel_are_refused():
    for name in ("radial_std", "tangential_std", "rate", "scale"):
        for value in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match=f"{name} is {value}: it must be finite and greater than 0"):
                Pinwheel(**{name: value})
    with pytest.raises(ValueError, match="n_arms is 0: it must be at least 1"):
        Pinwheel(n_arms=0)
    for value in (2.5, True):
        with pytest.raises(TypeError, match=f"n_arms is {value}: it must be a whole number"):
            Pinwheel(n_arms=value)
