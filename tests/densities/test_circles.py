"""Circles: against Bessel functions of sixty digits."""

import math

import mpmath
import pytest
import scipy.stats
import torch

from toylab.densities import Circle, ConcentricCircles


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


def test_density_is_the_average_of_gaussians_around_the_circle():
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


# Circles about one centre.

FAR = [(50 * math.cos(a), 50 * math.sin(a)) for a in (0.0, 0.5 * math.pi, 0.3, 1.3, 2.4, 3.3, 4.4, 5.5)]


def exact_circles(radii, weights, mean_of_parts):
    def exact(x, sigma):
        r, parts = mpmath.hypot(*x), []
        for R in map(mpmath.mpf, radii):
            kappa = r * R / sigma**2
            i0, i1 = (mpmath.besseli(order, kappa) for order in (0, 1))
            log_p = -mpmath.log(2 * mpmath.pi * sigma**2) - (r**2 + R**2) / (2 * sigma**2) + mpmath.log(i0)
            radial = (R * i1 / i0 - r) / sigma**2
            score = [radial * t / r if r else mpmath.mpf(0) for t in x]
            parts.append((log_p, score, -2 / sigma**2 + (R / sigma**2) ** 2 * (1 - (i1 / i0) ** 2)))
        return mean_of_parts([mpmath.mpf(w) for w in weights], *zip(*parts, strict=True))

    return exact


@pytest.mark.parametrize("sigma", [1e-3, 0.03, 0.3, 3.0, 100.0])
@pytest.mark.parametrize(("radii", "weights"), [([1.0, 2.5, 4.0], [0.5, 0.25, 0.25]), ([0.5, 0.75], [0.125, 0.875])])
def test_concentric_circles_against_bessel_functions(radii, weights, sigma, compare, mean_of_parts):
    on_circles = [(0.6 * R, -0.8 * R) for R in radii]
    between = [(0.5 * (radii[0] + radii[1]), 0.0), (0.0, -0.9 * radii[0]), (0.3 * radii[0], 0.1), (radii[1] + sigma, 0)]
    compare(
        ConcentricCircles(radii, weights),
        [(0.0, 0.0), (1e-7, -1e-7), *on_circles, *between, *FAR],
        sigma,
        exact_circles(radii, weights, mean_of_parts),
    )


def test_concentric_circles_are_equally_likely_unless_told():
    assert ConcentricCircles([1.0, 2.0, 3.0, 4.0]).weights.tolist() == [0.25] * 4
    assert ConcentricCircles([1.0, 2.0]) == ConcentricCircles([1.0, 2.0], [0.5, 0.5])
    x = torch.randn(9, 2, dtype=torch.float64, generator=generator(0))
    torch.testing.assert_close(ConcentricCircles([1.5]).log_prob(x, 0.3), Circle(1.5).log_prob(x, 0.3))


def test_draws_of_concentric_circles_have_the_weights_and_uniform_angles():
    """Chi-square and Kolmogorov-Smirnov of 1e5 draws, p > 1e-6 each."""
    radii = torch.tensor([0.5, 2.0, 2.25], dtype=torch.float64)
    x = ConcentricCircles(radii, [0.2, 0.5, 0.3]).sample((100_000,), generator=generator(5))
    which = (x.norm(dim=-1, keepdim=True) - radii).abs() < 1e-12
    assert bool((which.sum(-1) == 1).all())
    assert scipy.stats.chisquare(which.sum(0).numpy(), [20_000, 50_000, 30_000]).pvalue > 1e-6
    for k in range(3):
        turns = torch.atan2(*x[which[:, k]].flip(-1).unbind(-1)) / (2 * math.pi) + 0.5
        assert scipy.stats.kstest(turns.numpy(), "uniform").pvalue > 1e-6


@pytest.mark.parametrize("sigma", [0.01, 0.3, 10.0])
def test_derivatives_along_the_radius_in_high_precision(sigma, nth):
    """log p along the first axis, with four derivatives; 0 and both sides of where the evaluation changes its form."""
    radius = 1.5
    places = [0.0, 1e-6, 1.5, 4.0] + [c * kappa * sigma**2 / radius for kappa in (1, 30) for c in (0.999, 1.001)]
    for place in [r for r in places if r < 50]:
        t = torch.tensor(place, dtype=torch.float64, requires_grad=True)
        point = torch.stack([t, torch.zeros_like(t)])
        p = Circle(radius)

        def log_p(r):
            kappa = r * radius / mpmath.mpf(sigma) ** 2
            bessel = mpmath.log(mpmath.exp(-kappa) * mpmath.besseli(0, kappa))
            return bessel - (r - radius) ** 2 / (2 * mpmath.mpf(sigma) ** 2)

        with mpmath.workdps(120):
            h = mpmath.mpf(sigma) ** 2 * mpmath.mpf(10) ** -20
            true = [float(mpmath.diff(log_p, mpmath.mpf(place), n, h=h)) for n in range(1, 5)]
        values = (p.log_prob(point, sigma), p.score(point, sigma)[0])
        for order, value in enumerate(values):
            for more in range(1, 5 - order):
                found, allowed = nth(value, t, more).item(), 1e-9 / sigma ** (order + more)
                assert found == pytest.approx(true[order + more - 1], rel=1e-6, abs=allowed), (place, order, more)
