"""Mixtures of Student-t laws: clean against scipy, noised against forty-digit arithmetic."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch

from toylab.densities import StudentTMixture


def generator(seed):
    return torch.Generator().manual_seed(seed)


def single(nu):
    """One component, long and thin."""
    return StudentTMixture([1.0], [[0.5, -0.25]], [[[2.0, -1.25], [-1.25, 1.0]]], [nu])


THREE = StudentTMixture(
    [0.5, 0.3, 0.2],
    [[0.0, 0.0], [3.0, 1.0], [-2.0, 2.0]],
    [[[1.0, 0.3], [0.3, 0.5]], [[0.1, 0.0], [0.0, 4.0]], [[2.0, -1.2], [-1.2, 0.8]]],
    [0.7, 3.0, 50.0],
)
DENSITIES = [single(0.7), single(3.0), single(50.0), THREE]
every_density = pytest.mark.parametrize("p", DENSITIES, ids=["nu 0.7", "nu 3", "nu 50", "three"])


# The oracle: p(x) = sum_k w_k int Gamma(lambda; nu / 2, nu / 2) N(x; m, S / lambda + sigma^2 I) d lambda, over u = log
# lambda, in the coordinates of x. It shares nothing with toylab, which works in the axes of S.


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


def parts(p, x, sigma):
    with mpmath.workdps(40):
        return [
            component(*(exactly(part.tolist()) for part in parameters), exactly(x), mpmath.mpf(sigma))
            for parameters in zip(p.weights, p.locations, p.scales, p.dfs, strict=True)
        ]


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
def test_one_noised_law_in_high_precision_out_to_the_far_tails(nu, x, sigma, integrated):
    agree(single(nu), x, sigma, integrated(parts(single(nu), x, sigma), 200, 4))


@pytest.mark.parametrize("nu", [200.0, 1000.0, 1e5])
@pytest.mark.parametrize("sigma", [1e-3, 3.0])
def test_nearly_a_gaussian_in_high_precision(nu, sigma, integrated):
    x = (1.0, -0.5)
    agree(single(nu), x, sigma, integrated(parts(single(nu), x, sigma), 200, 4))


def nearly_gaussian(nu, x, sigma):
    """log p of S = I / 4 to 1e-12: the series of 1 / nu about N(0, S + sigma^2 I), by derivatives in its variance.

    lambda = 1 + d with E d = 0, E d^2 = 2 / nu: 1 / lambda has mean 1 + 2 / nu and variance 2 / nu, up to 1 / nu^2.
    """
    with mpmath.workdps(40):
        q, noise, nu = mpmath.fsum(mpmath.mpf(a) ** 2 for a in x), mpmath.mpf(sigma) ** 2, mpmath.mpf(nu)

        def density(scale):
            v = scale / 4 + noise
            return mpmath.exp(-q / (2 * v)) / (2 * mpmath.pi * v)

        first, second = mpmath.diff(density, 1), mpmath.diff(density, 1, 2)
        return float(mpmath.log(density(1) + (2 * first + second) / nu))


@pytest.mark.parametrize("nu", [1e7, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("sigma", [1e-3, 0.3, 3.0])
def test_so_many_degrees_of_freedom_that_log_gamma_cancels(nu, sigma):
    p, x = StudentTMixture([1.0], [[0.0, 0.0]], [[[0.25, 0.0], [0.0, 0.25]]], [nu]), (0.75, -0.5)
    found = float(p.log_prob(torch.tensor(x, dtype=torch.float64), sigma))
    assert found == pytest.approx(nearly_gaussian(nu, x, sigma), rel=1e-12)


@pytest.mark.parametrize("sigma", [1e-3, 3.0])
@pytest.mark.parametrize("x", [NEAR[0], FAR[0]])
def test_hardly_any_degrees_of_freedom_in_high_precision(sigma, x, integrated):
    agree(single(0.0625), x, sigma, integrated(parts(single(0.0625), x, sigma), 400, 4))


@pytest.mark.parametrize("sigma", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("x", [(3e4, 3e4), (1.0, -1.0)])
def test_a_long_and_thin_law_in_high_precision(sigma, x, integrated):
    """Variances 2e10 and 2 along the diagonals, whose product a rounded eigenvalue would not give."""
    p = StudentTMixture([1.0], [[0.0, 0.0]], [[[1e10 + 1, 1e10 - 1], [1e10 - 1, 1e10 + 1]]], [3.0])
    agree(p, x, sigma, integrated(parts(p, x, sigma), 400, 4))


@pytest.mark.parametrize("sigma", [1e-3, 0.03, 0.3, 3.0, 100.0])
@pytest.mark.parametrize("x", [NEAR[0], FAR[1]])
def test_three_noised_laws_in_high_precision(x, sigma, integrated):
    agree(THREE, x, sigma, integrated(parts(THREE, x, sigma), 200, 4))


@every_density
def test_clean_law_is_that_of_scipy(p):
    x = 3 * torch.randn(100, 2, dtype=torch.float64, generator=generator(0))
    x = torch.cat([x, x.new_tensor(FAR)])
    density = sum(
        w * scipy.stats.multivariate_t.pdf(x.numpy(), m, S, nu)
        for w, m, S, nu in zip(*(part.numpy() for part in (p.weights, p.locations, p.scales, p.dfs)), strict=True)
    )
    torch.testing.assert_close(p.log_prob(x), torch.from_numpy(np.log(density)), rtol=1e-12, atol=1e-12)


@every_density
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
    p, n = single(nu).to(torch.float64), 100_000
    offset = p.sample((n,), generator=generator(1)) - p.locations[0]
    z = torch.linalg.solve_triangular(torch.linalg.cholesky(p.scales[0]), offset.T, upper=False)
    half, turns = 0.5 * z.square().sum(0), torch.atan2(z[1], z[0]) / (2 * math.pi) + 0.5
    assert scipy.stats.kstest(half.numpy(), scipy.stats.f(2, nu).cdf).pvalue > 1e-6
    assert scipy.stats.kstest(turns.numpy(), "uniform").pvalue > 1e-6
    # the ranks of independent numbers are uncorrelated, with standard error 1 / sqrt(n)
    assert abs(scipy.stats.spearmanr(half.numpy(), turns.numpy()).statistic) * math.sqrt(n) < 5


def test_samples_choose_components_by_weight():
    """So far apart that the side of 0 tells the component: 1e5 draws, five standard errors."""
    p = StudentTMixture([0.3, 0.7], [[-1e3, 0.0], [1e3, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [20.0, 3.0]).to(torch.float64)
    n = 100_000
    x = p.sample((n,), generator=generator(2))
    right = x[:, 0] > 0
    assert abs(float(right.double().mean()) - 0.7) < 5 * math.sqrt(0.21 / n)
    for side, location, nu in ((~right, -1e3, 20.0), (right, 1e3, 3.0)):
        # a coordinate of a bivariate t is a t with as many degrees of freedom
        assert scipy.stats.kstest((x[side, 0] - location).numpy(), scipy.stats.t(nu).cdf).pvalue > 1e-6
