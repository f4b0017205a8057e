"""Curves: the circle against Bessel functions of thirty digits, the others against forty-digit quadrature."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from mpmath.calculus.quadrature import GaussLegendre

from toylab.densities import Circle, Spiral, TwoMoons


def generator(seed):
    return torch.Generator().manual_seed(seed)


def by_bessel(circle, x, sigma):
    """log p, score and divergence, straight from their formulas in I_0 and I_1, with digits to spare."""
    with mpmath.workdps(60):
        R, s = mpmath.mpf(circle.radius), mpmath.mpf(sigma)
        d = [mpmath.mpf(a) - mpmath.mpf(c) for a, c in zip(x, circle.center, strict=True)]
        r = mpmath.sqrt(d[0] ** 2 + d[1] ** 2)
        kappa = r * R / s**2
        i0, i1 = (mpmath.besseli(order, kappa) for order in (0, 1))
        log_p = -mpmath.log(2 * mpmath.pi * s**2) - (r**2 + R**2) / (2 * s**2) + mpmath.log(i0)
        radial = (R * i1 / i0 - r) / s**2
        score = [radial * a / r if r else mpmath.mpf(0) for a in d]
        divergence = -2 / s**2 + (R / s**2) ** 2 * (1 - (i1 / i0) ** 2)
        return float(log_p), [float(a) for a in score], float(divergence)


# Radii from the centre outwards and noise levels such that kappa = r R / sigma^2 runs from 0 to 5e7, through the
# places where the evaluation changes: 1e-3, 1 and 200.
RADII = [0.0, 1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.999, 1.0, 1.001, 2.0, 50.0]
SIGMAS = [1e-3, 0.05, 0.3, 1.0, 5.0, 100.0]
AT_KAPPA = [
    (k * sigma**2, sigma) for sigma in (0.5, 2.0) for c in (1e-3, 1.0, 200.0) for k in (0.999 * c, c, 1.001 * c)
]


@pytest.mark.parametrize(("r", "sigma"), [(r, sigma) for r in RADII for sigma in SIGMAS] + AT_KAPPA)
@pytest.mark.parametrize("angle", [0.0, 2.5])
def test_against_bessel_functions(r, sigma, angle):
    circle = Circle()
    x = torch.tensor([r * math.cos(angle), r * math.sin(angle)], dtype=torch.float64)
    log_p, score, divergence = by_bessel(circle, x.tolist(), sigma)
    # relative to the terms that are added: x itself is exact here, its length is known to 2e-16, and it is divided by
    # sigma^2, or by sigma^4 in the divergence's exponent of A, where gap ~ 1 / (2 kappa) damps it
    rounding = 8 * 2.3e-16 * max(r, 1.0)
    assert float(circle.log_prob(x, sigma)) == pytest.approx(
        log_p, rel=1e-12, abs=1e-12 + abs(r - 1) * rounding / sigma**2
    )
    assert circle.score(x, sigma).tolist() == pytest.approx(score, rel=1e-11, abs=rounding / sigma**2)
    assert float(circle.divergence(x, sigma)) == pytest.approx(divergence, rel=1e-11, abs=1e-13 / sigma**4)


@pytest.mark.parametrize("sigma", [0.4, 1.5])
def test_radius_and_center(sigma):
    circle = Circle(radius=2.5, center=(3.0, -1.0))
    x = torch.tensor([[3.0, 1.0], [5.0, -2.0], [0.0, 0.0], [-6.0, 4.0]], dtype=torch.float64)
    for point, log_p, score, divergence in zip(
        x, circle.log_prob(x, sigma), circle.score(x, sigma), circle.divergence(x, sigma), strict=True
    ):
        expected = by_bessel(circle, point.tolist(), sigma)
        assert float(log_p) == pytest.approx(expected[0], rel=1e-12)
        assert score.tolist() == pytest.approx(expected[1], rel=1e-12)
        assert float(divergence) == pytest.approx(expected[2], rel=1e-12)


def test_density_is_the_average_of_gaussians_round_the_circle():
    """The definition, without Bessel functions: the mean over 400 equal angles of N(x; c(angle), sigma^2 I)."""
    circle, sigma = Circle(radius=1.5, center=(0.5, 0.0)), 0.4
    x = 2 * torch.randn(20, 2, dtype=torch.float64, generator=generator(0))
    angles = torch.arange(400, dtype=torch.float64) * (2 * math.pi / 400)  # spacing .06 sigma: exact to rounding
    nodes = 1.5 * torch.stack([angles.cos(), angles.sin()], -1) + torch.tensor([0.5, 0.0])
    squares = (x[:, None] - nodes).square().sum(-1)
    expected = (-squares / (2 * sigma**2)).logsumexp(-1) - math.log(400 * 2 * math.pi * sigma**2)
    torch.testing.assert_close(circle.log_prob(x, sigma), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [1e-3, 0.05, 1.0, 100.0])
def test_float32_is_finite_and_close(sigma):
    circle = Circle()
    r = torch.tensor([0.0, 1e-30, 1e-6, 0.01, 0.5, 1.0, 1.01, 50.0, 1e4])
    x = torch.stack([0.6 * r, 0.8 * r], -1)
    for method in (circle.log_prob, circle.score, circle.divergence):
        single, double = method(x, sigma), method(x.double(), sigma)
        assert single.dtype == torch.float32
        assert single.isfinite().all()
        # |x| is known to 1e-7 |x|: that much over sigma^2 in the score, times |r - R| in log p
        size = {
            "log_prob": (r - 1).abs() * r.clamp(min=1),
            "score": r.clamp(min=1)[:, None],
            "divergence": 1 / sigma**2,
        }
        allowed = 3e-7 * size[method.__name__] / sigma**2 + 1e-5 * double.abs() + 1e-5
        assert ((single - double).abs() <= allowed).all(), method.__name__


@pytest.mark.parametrize("method", ["log_prob", "score", "divergence"])
def test_without_noise_there_is_no_density(method):
    x = torch.zeros(2, 2)
    for sigma in (0.0, 0, torch.tensor([1.0, 0.0])):
        with pytest.raises(ValueError, match="sigma is 0: a law on points or on a curve has no density .* sigma > 0"):
            getattr(Circle(), method)(x, sigma)
    with pytest.raises(ValueError, match="sigma > 0"):
        getattr(Circle(), method)(x)
    with pytest.raises(ValueError, match="sigma > 0"):
        getattr(Circle().scaled(2.0), method)(x)
    assert getattr(Circle().noised(0.1), method)(x).isfinite().all()


def test_samples_lie_on_the_circle_at_uniform_angles():
    """Kolmogorov-Smirnov of 1e5 angles, p > 1e-6."""
    x = Circle(radius=2.0, center=(1.0, -1.0)).to(torch.float64).sample((100_000,), generator=generator(1))
    x = x - torch.tensor([1.0, -1.0])
    torch.testing.assert_close(x.norm(dim=-1), torch.full((100_000,), 2.0, dtype=torch.float64))
    turns = torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi) + 0.5
    assert scipy.stats.kstest(turns.numpy(), "uniform").pvalue > 1e-6


def test_bad_parameters_of_the_circle_are_refused():
    for radius in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"radius is {radius}: it must be finite and greater than 0"):
            Circle(radius)
    with pytest.raises(ValueError, match="center has 3 entries: give 2"):
        Circle(1.0, (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="center is nan"):
        Circle(1.0, (0.0, math.nan))


# The oracle: p(x) = sum over parts of int exp(term(u)) du, straight from the definition. It shares nothing with toylab.


@cache
def unit_rule(degree):
    """Gauss-Legendre on [0, 1] with 3 * 2^(degree - 1) nodes."""
    return [((t + 1) / 2, w / 2) for t, w in GaussLegendre(mpmath.mp).calc_nodes(degree, 160)]


def extremes(height, low, high, n_scan):
    """The two ends and all local extremes between, found by a scan and refined by golden section, in order."""
    inner = [(high - low) * k / n_scan for k in range(1, n_scan)]
    near = [(high - low) / (n_scan * mpmath.mpf(2) ** k) for k in range(1, 25)]  # a peak may be close to an end
    grid = [low, *(low + u for u in sorted(inner + near)), *(high - u for u in near), high]
    values = [height(u) for u in grid]
    found, golden = [low, high], (mpmath.sqrt(5) - 1) / 2
    for k in range(1, len(grid) - 1):
        up, down = values[k] - values[k - 1], values[k] - values[k + 1]
        if up * down > 0 or (down == 0 and up != 0):
            a, b = grid[k - 1], grid[k + 1]
            for _ in range(40):  # the bracket shrinks to 1e-8 of itself: panels only need to begin near the top
                c = b - golden * (b - a)
                d = a + golden * (b - a)
                a, b = (a, d) if (height(c) - height(d)) * (1 if up > 0 else -1) > 0 else (c, b)
            found.append((a + b) / 2)
    return sorted(found)


def panels(height, low, high, n_scan):
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
    return edges, top


def mixed(parts, degree, top):
    """log p, score and divergence from all nodes as one Gaussian mixture."""
    rows = []
    for term, pieces in parts:
        for a, b in pieces:
            for t, w in unit_rule(degree):
                log_joint, s1, s2, divergence = term(a + t * (b - a))
                rows.append((abs(b - a) * w * mpmath.exp(log_joint - top), s1, s2, divergence))
    mass = mpmath.fsum(r for r, *_ in rows)
    m1, m2 = mpmath.fsum(r * s1 for r, s1, *_ in rows) / mass, mpmath.fsum(r * s2 for r, _, s2, _ in rows) / mass
    between = mpmath.fsum(r * (d + (s1 - m1) ** 2 + (s2 - m2) ** 2) for r, s1, s2, d in rows) / mass
    return mpmath.log(mass) + top, m1, m2, between


def exact(parts, n_scan):
    """log p, score and divergence; parts are (term, low, high), term(u) = (log-integrand, score, score, divergence)."""
    with mpmath.workdps(40):
        laid = [(term, *panels(lambda u, f=term: f(u)[0], low, high, n_scan)) for term, low, high in parts]
        top = max(height for *_, height in laid)
        pieces = [(term, edges) for term, edges, height in laid if height > top - 60]
        coarse, fine = (mixed(pieces, degree, top) for degree in (4, 5))
        # with 24 nodes a panel and with 48: the error of the latter is the square of what they differ by
        assert abs(coarse[0] - fine[0]) < 1e-12
        assert mpmath.hypot(coarse[1] - fine[1], coarse[2] - fine[2]) < 1e-12 * mpmath.hypot(fine[1], fine[2])
        assert abs(coarse[3] - fine[3]) < 1e-12 * abs(fine[3])
        return tuple(float(number) for number in fine)


def curve(place, weight, x, sigma):
    """term(u) of a curve: the logarithm of weight * N(x; place(u), sigma^2 I), and its score and divergence."""
    noise = mpmath.mpf(sigma) ** 2
    constant = mpmath.log(weight) - mpmath.log(2 * mpmath.pi * noise)

    def term(u):
        y1, y2 = place(u)
        d1, d2 = y1 - x[0], y2 - x[1]
        return constant - (d1**2 + d2**2) / (2 * noise), d1 / noise, d2 / noise, -2 / noise

    return term


def moons(x, sigma):
    """Half of the mass on each, uniform in an angle that runs over pi."""

    def place(c1, c2):
        return lambda u: (c1 + mpmath.cos(u), c2 + mpmath.sin(u))

    with mpmath.workdps(40):
        upper, lower = place(0, 0), place(1, mpmath.mpf(1) / 2)
        weight = 1 / (2 * mpmath.pi)
        return [
            (curve(upper, weight, x, sigma), mpmath.mpf(0), +mpmath.pi),
            (curve(lower, weight, x, sigma), +mpmath.pi, 2 * mpmath.pi),
        ]


def winding(p, x, sigma):
    def place(u):
        return p.rate * u * mpmath.cos(u), p.rate * u * mpmath.sin(u)

    with mpmath.workdps(40):
        start, end = mpmath.mpf(p.start), mpmath.mpf(p.end)
        return [(curve(place, 1 / (end - start), x, sigma), start, end)]


def rounded(*x):
    """A point that float32 and float64 both hold exactly, so that one answer serves both."""
    return tuple(torch.tensor(x, dtype=torch.float32).tolist())


def agree(p, x, sigma, truth):
    """float64 to 1e-9 relative, float32 at the same point to 1e-4."""
    log_p, *score, divergence = truth
    for dtype, rel in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        point = torch.tensor(x, dtype=dtype)
        assert float(p.log_prob(point, sigma)) == pytest.approx(log_p, rel=rel)
        assert p.score(point, sigma).tolist() == pytest.approx(score, rel=0, abs=rel * math.hypot(*score))
        assert float(p.divergence(point, sigma)) == pytest.approx(divergence, rel=rel)


LEVELS = [1e-3, 0.03, 0.3, 3.0, 100.0]
FAR = [(50.0, 0.0), (-35.0, 35.0), (30.0, 40.0), (-14.0, -48.0)]


# Near the two centres of curvature, near a moon, past an end, between the moons, and in the far tails.
@pytest.mark.parametrize("sigma", LEVELS)
@pytest.mark.parametrize("x", [(1e-4, -2e-5), (1.0, 0.75), (0.01, 1.002), (-1.0, -0.02), (0.5, 0.3), *FAR])
def test_noised_moons_in_high_precision_out_to_the_far_tails(x, sigma):
    x = rounded(*x)
    agree(TwoMoons(), x, sigma, exact(moons(x, sigma), n_scan=60))


def half_turn():
    """Nodes and weights on [0, pi]: 16 of Gauss-Legendre on each of 400 panels, each a quarter of the least sigma."""
    t, w = np.polynomial.legendre.leggauss(16)
    width = math.pi / 400
    return (width * (np.arange(400)[:, None] + (t + 1) / 2)).ravel(), np.tile(width * w / 2, 400)


@pytest.mark.parametrize("sigma", [0.03, 0.3, 3.0])
def test_noised_moons_at_the_centres_of_curvature(sigma):
    """All of one moon is equally far from there: no peaks, and a fixed dense rule in float64 is the reference."""
    for x in ((0.0, 0.0), (1.0, 0.5)):
        log_joint, scores = [], []
        t, w = (torch.from_numpy(part) for part in half_turn())
        for center, turn in (((0.0, 0.0), 0.0), ((1.0, 0.5), math.pi)):
            nodes = torch.stack([(t + turn).cos() + center[0], (t + turn).sin() + center[1]], -1)
            offset = nodes - torch.tensor(x, dtype=torch.float64)
            log_joint.append((w / (2 * math.pi)).log() - offset.square().sum(-1) / (2 * sigma**2))
            scores.append(offset / sigma**2)
        log_joint, scores = torch.cat(log_joint), torch.cat(scores)
        r = log_joint.softmax(0)[:, None]
        score = (r * scores).sum(0)
        divergence = -2 / sigma**2 + float((r * (scores - score).square()).sum())
        log_p = float(log_joint.logsumexp(0)) - math.log(2 * math.pi * sigma**2)
        agree(TwoMoons(), x, sigma, (log_p, *score.tolist(), divergence))


SPIRALS = [Spiral(), Spiral(rate=0.1, start=0.0, end=20.0)]


# Near the start of the curve, near its end, on it, between two arms (on the same side of the origin, at a mean radius),
# near the origin, and in the far tails.
@pytest.mark.parametrize("sigma", LEVELS)
@pytest.mark.parametrize("x", [(0.1, 0.4), (-0.02, 3.55), (-0.785, 0.01), (-1.5708, 0.0), (0.01, -0.03), *FAR])
def test_noised_spiral_in_high_precision_out_to_the_far_tails(x, sigma):
    x = rounded(*x)
    agree(Spiral(), x, sigma, exact(winding(Spiral(), x, sigma), n_scan=150))


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("x", [(0.0, 0.0), (1.25, -0.5), FAR[1]])
def test_noised_spiral_of_other_parameters_in_high_precision(x, sigma):
    """From the origin on, with three turns and a bit."""
    p, x = SPIRALS[1], rounded(*x)
    agree(p, x, sigma, exact(winding(p, x, sigma), n_scan=250))


@pytest.mark.parametrize("p", [TwoMoons(), *SPIRALS], ids=repr)
def test_the_other_curves_have_no_density_either(p):
    for method in (p.log_prob, p.score, p.divergence):
        with pytest.raises(ValueError, match="sigma > 0"):
            method(torch.zeros(2, 2))
        with pytest.raises(ValueError, match="sigma > 0"):
            method(torch.zeros(2, 2), torch.tensor([1.0, 0.0]))


def test_samples_lie_on_the_moons_at_uniform_angles():
    """Kolmogorov-Smirnov of 1e5 angles, p > 1e-6; half of them on each moon, to five standard errors."""
    n = 100_000
    x = TwoMoons().to(torch.float64).sample((n,), generator=generator(1))
    to_lower = x - x.new_tensor([1.0, 0.5])
    off_upper, off_lower = (x.norm(dim=-1) - 1).abs(), (to_lower.norm(dim=-1) - 1).abs()
    # on one of the two circles to rounding, and on the right half of it
    assert float(torch.minimum(off_upper, off_lower).max()) < 1e-14
    lower = off_lower < off_upper
    assert float(x[~lower, 1].min()) > -1e-14
    assert float(to_lower[lower, 1].max()) < 1e-14
    upper_turns = torch.atan2(x[~lower, 1], x[~lower, 0]) / math.pi
    lower_turns = torch.atan2(-to_lower[lower, 1], -to_lower[lower, 0]) / math.pi
    for turns in (upper_turns, lower_turns):
        assert scipy.stats.kstest(turns.numpy(), "uniform").pvalue > 1e-6
    assert abs(float(lower.double().mean()) - 0.5) < 5 * 0.5 / math.sqrt(n)


@pytest.mark.parametrize("p", [Spiral().to(torch.float64), Spiral(0.1, 0.0, 20.0).to(torch.float64)], ids=repr)
def test_samples_lie_on_the_spiral_at_uniform_angles(p):
    """The radius tells the angle; Kolmogorov-Smirnov of 1e5, p > 1e-6."""
    x = p.sample((100_000,), generator=generator(1))
    angle = x.norm(dim=-1) / p.rate
    place = p.rate * angle[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    torch.testing.assert_close(x, place, rtol=0, atol=1e-13)
    assert scipy.stats.kstest(((angle - p.start) / (p.end - p.start)).numpy(), "uniform").pvalue > 1e-6


def test_bad_parameters_of_the_spiral_are_refused():
    for rate in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"rate is {rate}: it must be finite and greater than 0"):
            Spiral(rate=rate)
    for name in ("start", "end"):
        with pytest.raises(ValueError, match=f"{name} is inf: it must be a finite number"):
            Spiral(**{name: math.inf})
    for start, end in ((-1.0, 2.0), (2.0, 2.0), (3.0, 2.0)):
        with pytest.raises(ValueError, match=f"start is {start} and end is {end}: give angles with 0 <= start < end"):
            Spiral(start=start, end=end)
