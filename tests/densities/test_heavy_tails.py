"""Mixtures of Student-t laws: clean against scipy, noised against forty-digit arithmetic."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from mpmath.calculus.quadrature import GaussLegendre

from toylab.densities import StudentTMixture


def generator(seed):
    return torch.Generator().manual_seed(seed)


def single(nu, **kwargs):
    """One component, long and thin."""
    return StudentTMixture([1.0], [[0.5, -0.25]], [[[2.0, -1.25], [-1.25, 1.0]]], [nu], **kwargs)


THREE = StudentTMixture(
    [0.5, 0.3, 0.2],
    [[0.0, 0.0], [3.0, 1.0], [-2.0, 2.0]],
    [[[1.0, 0.3], [0.3, 0.5]], [[0.1, 0.0], [0.0, 4.0]], [[2.0, -1.2], [-1.2, 0.8]]],
    [0.7, 3.0, 50.0],
)
LAWS = [single(0.7), single(3.0), single(50.0), THREE]
every_law = pytest.mark.parametrize("p", LAWS, ids=["nu 0.7", "nu 3", "nu 50", "three"])


# The oracle: p(x) = sum_k w_k int Gamma(lambda; nu / 2, nu / 2) N(x; m, S / lambda + sigma^2 I) d lambda, over u = log
# lambda, in the coordinates of x. It shares nothing with toylab, which works in the axes of S.


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

    On each of them Gauss-Legendre converges geometrically.
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


def exactly(numbers):
    """A number, a list of them, or a list of lists."""
    return [exactly(part) for part in numbers] if isinstance(numbers, (list, tuple)) else mpmath.mpf(numbers)


def component(weight, location, scale, nu, x, sigma):
    """log-integrand over u, score and divergence of the Gaussian at u, and where u runs."""
    half, noise = nu / 2, sigma**2
    d1, d2 = location[0] - x[0], location[1] - x[1]
    (s11, s12), (_, s22) = scale
    constant = mpmath.log(weight) + half * mpmath.log(half) - mpmath.loggamma(half) - mpmath.log(2 * mpmath.pi)

    def term(u):
        inverse = mpmath.exp(-u)
        c11, c12, c22 = s11 * inverse + noise, s12 * inverse, s22 * inverse + noise
        det = c11 * c22 - c12**2
        p1, p2 = (c22 * d1 - c12 * d2) / det, (c11 * d2 - c12 * d1) / det
        log_p = constant + half * (u - 1 / inverse) - (mpmath.log(det) + d1 * p1 + d2 * p2) / 2
        return log_p, p1, p2, -(c11 + c22) / det

    # the integrand ends as e^(-nu/2 e^u), and falls to the left at least as e^u beyond log |x|^2 or so
    q = (d1**2 + d2**2) / min(s11, s22, s11 * s22 - s12**2)
    return term, -70 - mpmath.log(1 + q), 6 + mpmath.log(1 + 1 / nu)


def exact(p, x, sigma):
    """log p, score and divergence of the noised law."""
    with mpmath.workdps(40):
        parts = [
            component(*(exactly(part.tolist()) for part in parameters), exactly(x), mpmath.mpf(sigma))
            for parameters in zip(p.weights, p.locations, p.scales, p.dfs, strict=True)
        ]
        laid = [(term, *panels(lambda u, f=term: f(u)[0], low, high, 200, 4)) for term, low, high in parts]
        top = max(height for *_, height in laid)
        pieces = [(term, edges) for term, edges, height in laid if height > top - 60]
        coarse, fine = (mixed(pieces, degree, top) for degree in (4, 5))
        # with 24 nodes a panel and with 48: the error of the latter is the square of what they differ by
        assert abs(coarse[0] - fine[0]) < 1e-12
        assert mpmath.hypot(coarse[1] - fine[1], coarse[2] - fine[2]) < 1e-12 * mpmath.hypot(fine[1], fine[2])
        assert abs(coarse[3] - fine[3]) < 1e-12 * abs(fine[3])
        return tuple(float(number) for number in fine)


def agree(p, x, sigma, truth):
    """float64 to 1e-9 relative, float32 at the same point to 1e-4."""
    log_p, *score, divergence = truth
    for dtype, rel in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        point = torch.tensor(x, dtype=dtype)
        assert float(p.log_prob(point, sigma)) == pytest.approx(log_p, rel=rel)
        assert p.score(point, sigma).tolist() == pytest.approx(score, rel=0, abs=rel * math.hypot(*score))
        assert float(p.divergence(point, sigma)) == pytest.approx(divergence, rel=rel)


# all of these are held exactly by float32 too, so that one answer serves both
NEAR, FAR = [(0.5, 1.5), (-1.0, -1.0)], [(50.0, 0.0), (-35.0, 35.0), (-14.0, -48.0)]


@pytest.mark.parametrize("sigma", [1e-3, 0.03, 0.3, 3.0, 10.0, 100.0])
@pytest.mark.parametrize("nu", [0.7, 3.0, 50.0])
@pytest.mark.parametrize("x", [(0.75, -0.5), FAR[0], FAR[1]])
def test_one_noised_law_in_high_precision_out_to_the_far_tails(nu, x, sigma):
    agree(single(nu), x, sigma, exact(single(nu), x, sigma))


@pytest.mark.parametrize("nu", [200.0, 1000.0, 1e5])
@pytest.mark.parametrize("sigma", [1e-3, 3.0])
def test_nearly_a_gaussian_in_high_precision(nu, sigma):
    x = (1.0, -0.5)
    agree(single(nu), x, sigma, exact(single(nu), x, sigma))


@pytest.mark.parametrize("sigma", [1e-3, 0.03, 0.3, 3.0, 100.0])
@pytest.mark.parametrize("x", [NEAR[0], FAR[1]])
def test_three_noised_laws_in_high_precision(x, sigma):
    agree(THREE, x, sigma, exact(THREE, x, sigma))


@every_law
def test_clean_law_is_that_of_scipy(p):
    x = 3 * torch.randn(100, 2, dtype=torch.float64, generator=generator(0))
    x = torch.cat([x, x.new_tensor(FAR)])
    density = sum(
        w * scipy.stats.multivariate_t.pdf(x.numpy(), m, S, nu)
        for w, m, S, nu in zip(*(part.numpy() for part in (p.weights, p.locations, p.scales, p.dfs)), strict=True)
    )
    torch.testing.assert_close(p.log_prob(x), torch.from_numpy(np.log(density)), rtol=1e-12, atol=1e-12)


@every_law
@pytest.mark.parametrize("x", NEAR + FAR)
def test_clean_law_in_high_precision(p, x):
    with mpmath.workdps(50):

        def density(a, b):
            total = mpmath.mpf(0)
            for w, m, S, nu in zip(*(part.tolist() for part in (p.weights, p.locations, p.scales, p.dfs)), strict=True):
                nu, d1, d2 = mpmath.mpf(nu), a - mpmath.mpf(m[0]), b - mpmath.mpf(m[1])
                (s11, s12), (_, s22) = [[mpmath.mpf(entry) for entry in row] for row in S]
                det = s11 * s22 - s12**2
                q = (s22 * d1**2 - 2 * s12 * d1 * d2 + s11 * d2**2) / det
                total += w / (2 * mpmath.pi * mpmath.sqrt(det)) * (1 + q / nu) ** (-(nu + 2) / 2)
            return total

        def log_p(a, b):
            return mpmath.log(density(a, b))

        score = [mpmath.diff(log_p, x, order) for order in ((1, 0), (0, 1))]
        divergence = mpmath.diff(log_p, x, (2, 0)) + mpmath.diff(log_p, x, (0, 2))
        truth = tuple(float(number) for number in (log_p(*map(mpmath.mpf, x)), *score, divergence))
    agree(p, x, 0.0, truth)


def test_one_scale_matrix_may_serve_all():
    scale = [[1.0, 0.3], [0.3, 0.5]]
    shared = StudentTMixture([0.5, 0.5], [[0.0, 0.0], [3.0, 1.0]], scale, [1.0, 3.0])
    given = StudentTMixture([0.5, 0.5], [[0.0, 0.0], [3.0, 1.0]], [scale, scale], [1.0, 3.0])
    x = torch.randn(20, 2, generator=generator(0))
    for sigma in (0.0, 0.5):
        torch.testing.assert_close(shared.log_prob(x, sigma), given.log_prob(x, sigma), rtol=0, atol=0)


@pytest.mark.parametrize("nu", [0.7, 3.0, 50.0])
def test_samples_have_fisher_distributed_distances_and_uniform_angles(nu):
    """q / 2 ~ F(2, nu), q = |L^-1 (x - m)|^2, whatever the angle is: Kolmogorov-Smirnov of 1e5, p > 1e-6."""
    p, n = single(nu, dtype=torch.float64), 100_000
    offset = p.sample((n,), generator=generator(1)) - p.locations[0]
    z = torch.linalg.solve_triangular(torch.linalg.cholesky(p.scales[0]), offset.T, upper=False)
    half, turns = 0.5 * z.square().sum(0), torch.atan2(z[1], z[0]) / (2 * math.pi) + 0.5
    assert scipy.stats.kstest(half.numpy(), scipy.stats.f(2, nu).cdf).pvalue > 1e-6
    assert scipy.stats.kstest(turns.numpy(), "uniform").pvalue > 1e-6
    # the ranks of independent numbers are uncorrelated, with standard error 1 / sqrt(n)
    assert abs(scipy.stats.spearmanr(half.numpy(), turns.numpy()).statistic) * math.sqrt(n) < 5


def test_samples_choose_components_by_weight():
    """So far apart that the side of 0 tells the component: 1e5 draws, five standard errors."""
    p = StudentTMixture(
        [0.3, 0.7], [[-1e3, 0.0], [1e3, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [20.0, 3.0], dtype=torch.float64
    )
    n = 100_000
    x = p.sample((n,), generator=generator(2))
    right = x[:, 0] > 0
    assert abs(float(right.double().mean()) - 0.7) < 5 * math.sqrt(0.21 / n)
    for side, location, nu in ((~right, -1e3, 20.0), (right, 1e3, 3.0)):
        # a coordinate of a bivariate t is a t with as many degrees of freedom
        assert scipy.stats.kstest((x[side, 0] - location).numpy(), scipy.stats.t(nu).cdf).pvalue > 1e-6


LOCATIONS, SCALES, DFS = [[0.0, 0.0], [3.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], [1.0, 3.0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (([[0.5, 0.5]], LOCATIONS, SCALES, DFS), r"weights has shape \[1, 2\]: give a non-empty list"),
        (([], LOCATIONS, SCALES, DFS), r"weights has shape \[0\]: give a non-empty list"),
        (([1.5, -0.5], LOCATIONS, SCALES, DFS), r"weights is \[1.5, -0.5\]: each must be positive"),
        (([0.5, 0.4], LOCATIONS, SCALES, DFS), "weights sum to 0.9: they must sum to 1"),
        (([0.5, 0.5], LOCATIONS[:1], SCALES, DFS), r"locations has shape \[1, 2\]: for 2 weights give \[2, 2\]"),
        (([0.5, 0.5], [[0.0], [3.0]], SCALES, DFS), r"locations has shape \[2, 1\]: for 2 weights give \[2, 2\]"),
        (([0.5, 0.5], [[0.0, math.nan], [3.0, 1.0]], SCALES, DFS), "locations is .*nan.*: every entry must be finite"),
        (
            ([0.5, 0.5], LOCATIONS, [1.0, 2.0], DFS),
            r"scales has shape \[2\]: give scale matrices \[2, 2, 2\], or \[2, 2\]",
        ),
        (([0.5, 0.5], LOCATIONS, [[[1.0, 0.0], [0.0, 1.0]]] * 3, DFS), r"scales has shape \[3, 2, 2\]"),
        (([0.5, 0.5], LOCATIONS, [[1.0, 0.5], [0.0, 1.0]], DFS), r"scales\[0\] is .*: it must be symmetric"),
        (([0.5, 0.5], LOCATIONS, [[1.0, 2.0], [2.0, 1.0]], DFS), r"scales\[0\] is .*: it must be positive definite"),
        (([0.5, 0.5], LOCATIONS, SCALES, [1.0]), r"dfs is \[1.0\]: give 2 positive degrees of freedom"),
        (([0.5, 0.5], LOCATIONS, SCALES, [1.0, 0.0]), r"dfs is \[1.0, 0.0\]: give 2 positive degrees of freedom"),
        (([0.5, 0.5], LOCATIONS, SCALES, [1.0, math.inf]), r"dfs is \[1.0, inf\]: every entry must be finite"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        StudentTMixture(*parameters)
