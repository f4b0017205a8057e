"""Curves: segments against the error function, moons and spirals against forty-digit quadrature."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch

from toylab.densities import Segment, Spiral, TwoMoons


def generator(seed):
    return torch.Generator().manual_seed(seed)


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
def test_noised_moons_in_high_precision_out_to_the_far_tails(x, sigma, integrated):
    x = rounded(*x)
    agree(TwoMoons(), x, sigma, integrated(moons(x, sigma), n_scan=60))


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
def test_noised_spiral_in_high_precision_out_to_the_far_tails(x, sigma, integrated):
    x = rounded(*x)
    agree(Spiral(), x, sigma, integrated(winding(Spiral(), x, sigma), n_scan=150))


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("x", [(0.0, 0.0), (1.25, -0.5), FAR[1]])
def test_noised_spiral_of_other_parameters_in_high_precision(x, sigma, integrated):
    """From the origin on, with three turns and a bit."""
    p, x = SPIRALS[1], rounded(*x)
    agree(p, x, sigma, integrated(winding(p, x, sigma), n_scan=250))


@pytest.mark.parametrize(
    ("p", "x", "sigma"),
    [
        (Spiral(), (0.1654, -0.1783), 1e5),  # the spiral is a point from there: the integrand is nearly flat
        (Spiral(0.001, 0.0, 120.0), (0.03, 0.02), 1e-3),  # many turns, two noise levels apart
        (Spiral(10.0, 0.0, 20.0), (0.0, 0.0), 1e-3),
    ],
    ids=repr,
)
def test_flat_and_many_peaked_spirals_in_high_precision(p, x, sigma, integrated):
    x = rounded(*x)
    agree(p, x, sigma, integrated(winding(p, x, sigma), n_scan=400, widest=2))


def test_the_scaled_spiral_of_a_tiny_rate():
    """Spiral().scaled(1e-3) at sigma 100 is N(mean, sigma^2 I) to 1e-9, and its neighbours may not change that."""
    x = torch.tensor([[1.654e-4, -1.783e-4], [60.0, -30.0]], dtype=torch.float64)
    expected = -x.square().sum(-1) / 2e4 - math.log(2 * math.pi * 1e4)
    torch.testing.assert_close(Spiral().scaled(1e-3).log_prob(x, 100.0), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("p", "x"), [(TwoMoons(), (0.0, 0.0)), (TwoMoons(), (1.0, 0.5)), (Spiral(), (0.0, 0.0))], ids=repr
)
@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_derivatives_at_the_centres_where_angles_are_undefined(p, x, sigma):
    x = torch.tensor(x, dtype=torch.float64)
    score, divergence = (lambda y: p.score(y, sigma)), (lambda y: p.divergence(y, sigma))
    hessians = [transform(score)(x) for transform in (torch.func.jacrev, torch.func.jacfwd)]
    hessians.append(torch.func.hessian(lambda y: p.log_prob(y, sigma))(x))
    for hessian in hessians:
        torch.testing.assert_close(hessian, hessian.mT, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(hessian.trace(), divergence(x), rtol=1e-10, atol=0)
    h = 1e-4 * sigma * torch.eye(2, dtype=x.dtype)
    slope = (divergence(x + h) - divergence(x - h)) / (2e-4 * sigma)
    for transform in (torch.func.grad, torch.func.jacfwd):
        torch.testing.assert_close(transform(divergence)(x), slope, rtol=1e-5, atol=1e-5)


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


# Segments: an interval along, a Gaussian across.

AROUND = [(50 * math.cos(a), 50 * math.sin(a)) for a in (0.0, 0.5 * math.pi, 0.3, 1.3, 2.4, 3.3, 4.4, 5.5)]
SEGMENTS = [Segment(), Segment((-3.0, -2.0), (3.0, 2.0)), Segment((0.5, 1.0), (0.4997, 1.0004))]


def exact_segment(segment):
    def exact(x, sigma):
        start, end = ([mpmath.mpf(t) for t in corner] for corner in (segment.start, segment.end))
        length = mpmath.hypot(end[0] - start[0], end[1] - start[1])
        along = [(b - a) / length for a, b in zip(start, end, strict=True)]
        offset = [t - a for t, a in zip(x, start, strict=True)]
        u, v = offset[0] * along[0] + offset[1] * along[1], offset[1] * along[0] - offset[0] * along[1]
        mirrored = u < length / 2  # so that both ends are in the same tail of the error function
        a, b = (length - u - length if mirrored else u - length) / sigma, (length - u if mirrored else u) / sigma
        p = (mpmath.erfc(a / mpmath.sqrt(2)) - mpmath.erfc(b / mpmath.sqrt(2))) / 2
        slope = (mpmath.npdf(b) - mpmath.npdf(a)) / sigma / p
        curvature = (a * mpmath.npdf(a) - b * mpmath.npdf(b)) / sigma**2 / p - slope**2
        slope, pull = -slope if mirrored else slope, -v / sigma**2
        score = [slope * along[0] - pull * along[1], slope * along[1] + pull * along[0]]
        return mpmath.log(p / length) + mpmath.log(mpmath.npdf(v, 0, sigma)), score, curvature - 1 / sigma**2

    return exact


@pytest.mark.parametrize("sigma", LEVELS)
@pytest.mark.parametrize("segment", SEGMENTS, ids=repr)
def test_segments_in_high_precision_out_to_the_far_tails(segment, sigma, compare):
    (a1, a2), (b1, b2) = segment.start, segment.end
    # the ends, the middle, places along it and beyond, some noise levels to the side, and far out
    along = [(a1 + t * (b1 - a1), a2 + t * (b2 - a2)) for t in (0.0, 0.1, 0.5, 1.0, 1.3, -2.0)]
    aside = [(x - 2 * sigma, y + 1.5 * sigma) for x, y in along[:4]]
    compare(segment, [*along, *aside, *AROUND], sigma, exact_segment(segment))


def test_draws_of_a_segment_lie_on_it_evenly():
    """Kolmogorov-Smirnov of 1e5 draws, p > 1e-6."""
    x = Segment((-1.0, 2.0), (3.0, -1.0)).to(torch.float64).sample((100_000,), generator=generator(4))
    along = (x - torch.tensor([-1.0, 2.0])) @ torch.tensor([0.8, -0.6], dtype=torch.float64)
    across = (x - torch.tensor([-1.0, 2.0])) @ torch.tensor([0.6, 0.8], dtype=torch.float64)
    assert float(across.abs().max()) < 1e-14
    assert scipy.stats.kstest((along / 5).numpy(), "uniform").pvalue > 1e-6
