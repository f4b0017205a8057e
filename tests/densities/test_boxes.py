"""Blurred intervals, squares and the checkerboard against error functions of sixty digits."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch

from toylab.densities import Checkerboard, Square, interval
from toylab.metrics import posterior_covariance

SIGMAS = [1e-3, 0.03, 0.3, 3.0, 100.0]
METHODS = ["log_prob", "score", "divergence"]
SQUARES = [Square(), Square(-3.0, 3.0), Square(0.25, 0.75)]
every_sigma = pytest.mark.parametrize("sigma", SIGMAS)
every_square = pytest.mark.parametrize("square", SQUARES, ids=repr)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def around(n=8):
    """Points at distance 50 from the origin, in n directions that are no symmetry of a square but for the axes."""
    angles = [0.0, 0.5 * math.pi] + [0.3 + 2 * math.pi * k / (n - 2) for k in range(n - 2)]
    return [(50 * math.cos(a), 50 * math.sin(a)) for a in angles] + [(30.0, 40.0), (-40.0, 30.0)]


def moments(t, low, high, sigma):
    """p, p' and p'' at t of U + sigma Z, U uniform on [low, high], from p(t) = 1/(high - low) int N(t; u, sigma^2) du.

    Call it with digits to spare: in the tails and for narrow intervals the derivatives of log p are differences.
    """
    t, low, high, sigma = (mpmath.mpf(number) for number in (t, low, high, sigma))
    if t < (low + high) / 2:  # the law mirrored, so that both ends are in the lower tail of t
        p, slope, curvature = moments(low + high - t, low, high, sigma)
        return p, -slope, curvature
    a, b = (t - high) / sigma, (t - low) / sigma
    root = mpmath.sqrt(2)
    p = (mpmath.erfc(a / root) - mpmath.erfc(b / root)) / 2
    normal = [mpmath.npdf(end) / sigma for end in (a, b)]
    slope, curvature = normal[1] - normal[0], (a * normal[0] - b * normal[1]) / sigma
    return tuple(part / (high - low) for part in (p, slope, curvature))


def derivatives(terms):
    """log p, score and divergence of a sum of products p(x_1) q(x_2), each given by the ``moments`` of its factors."""
    p, s1, s2, laplacian = (mpmath.fsum(column) for column in zip(*map(product, terms), strict=True))
    score = s1 / p, s2 / p
    return mpmath.log(p), score, laplacian / p - score[0] ** 2 - score[1] ** 2


def product(factors):
    (p, dp, ddp), (q, dq, ddq) = factors
    return p * q, dp * q, p * dq, ddp * q + p * ddq


def exact_square(square, x, sigma):
    with mpmath.workdps(60):
        return floats(derivatives([[moments(t, square.low, square.high, sigma) for t in x]]))


CELLS = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]


def exact_board(x, sigma):
    with mpmath.workdps(60):
        blurred = [[moments(t, -4 + 2 * i, -2 + 2 * i, sigma) for i in range(4)] for t in x]
        log_p, score, divergence = derivatives([[blurred[0][i], blurred[1][j]] for i, j in CELLS])
        return floats((log_p - mpmath.log(8), score, divergence))


def floats(values):
    log_p, score, divergence = values
    return float(log_p), [float(a) for a in score], float(divergence)


def compare(density, points, sigma, exact, dtype, tolerance):
    """Each point against the truth at the very number that the dtype holds.

    Log-density and divergence relative to themselves, score to its norm. What is 0, or on its way there in the middle
    of a flat piece, is held to 1e-12 of what one unit of noise makes: 1, 1/sigma and 1/sigma^2.
    """
    x = torch.tensor(points, dtype=dtype)
    for point, log_p, score, divergence in zip(
        x.tolist(), density.log_prob(x, sigma), density.score(x, sigma), density.divergence(x, sigma), strict=True
    ):
        true_log_p, true_score, true_divergence = exact(point)
        where = f"{density!r} at {point}, sigma {sigma}"
        assert float(log_p) == pytest.approx(true_log_p, rel=tolerance, abs=1e-12), where
        norm = math.hypot(*true_score)
        assert math.dist(score.tolist(), true_score) <= tolerance * norm + 1e-12 / sigma, where
        assert float(divergence) == pytest.approx(true_divergence, rel=tolerance, abs=1e-12 / sigma**2), where


# The interval alone.


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1e-3), (-7.0, 0.5)])
@every_sigma
def test_an_interval_in_high_precision(low, high, sigma):
    """At the ends, a few noise levels to both sides of them, far out, and where the evaluation changes its form."""
    middle, half = (low + high) / 2, (high - low) / 2
    switch = sigma * (2 * sigma / half - 1)  # 2 w / sigma (1 + distance / sigma) = 4
    offsets = [0.0, 0.3 * half, half, 50.0, 100.0] + [c * switch for c in (0.999, 1.001) if 0 < switch < 100]
    offsets += [half + k * sigma for k in (-3.0, -0.5, 0.5, 5.9, 6.1, 30.0)]
    places = [middle + side * offset for offset in offsets for side in (-1, 1)]
    t, sides = torch.tensor(places, dtype=torch.float64), torch.tensor([low, high], dtype=torch.float64)
    results = interval.evaluate(t, *sides, torch.tensor(sigma, dtype=torch.float64))
    for place, log_p, slope, curvature in zip(places, *results, strict=True):
        with mpmath.workdps(60):
            p, dp, ddp = moments(place, low, high, sigma)
            true_log_p, true_slope = float(mpmath.log(p)), float(dp / p)
            true_curvature = float(ddp / p - (dp / p) ** 2)
        assert float(log_p) == pytest.approx(true_log_p, rel=1e-9, abs=1e-12), place
        assert float(slope) == pytest.approx(true_slope, rel=1e-9, abs=1e-12 / sigma), place
        assert float(curvature) == pytest.approx(true_curvature, rel=1e-9, abs=1e-12 / sigma**2), place


def blurred(t, low, high, sigma, n):
    """p, .., p^(n) at t of U + sigma Z: those of the error functions are Hermite polynomials times the Gaussian."""
    a, b = (t - high) / sigma, (t - low) / sigma
    side = -1 if t < (low + high) / 2 else 1
    near, far = (a, b) if side > 0 else (-b, -a)
    found = [(mpmath.erfc(near / mpmath.sqrt(2)) - mpmath.erfc(far / mpmath.sqrt(2))) / 2]
    hermite = {x: [mpmath.mpf(1), x] for x in (a, b)}
    for x, h in hermite.items():
        for k in range(1, n):
            h.append(x * h[k] - k * h[k - 1])
    for k in range(n):
        terms = [h[k] * mpmath.npdf(x) for x, h in hermite.items()]
        found.append((-1) ** k * (terms[1] - terms[0]) / sigma ** (k + 1))
    return [part / (high - low) for part in found]


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1e-3)])
@pytest.mark.parametrize("sigma", [0.01, 0.3, 10.0])
def test_derivatives_of_an_interval_in_high_precision(low, high, sigma, log_derivatives, heat_rates, nth):
    """Of log p, slope and curvature two more in t and one in sigma; relative, or to 1e-9 of a unit of noise."""
    middle, half = (low + high) / 2, (high - low) / 2
    switch = sigma * (2 * sigma / half - 1)
    offsets = [0.0, 0.3 * half, half, half + 5.9 * sigma, half + 6.1 * sigma, half + 30 * sigma, 50.0]
    offsets += [c * switch for c in (0.999, 1.001) if 0 < switch < 100]
    for place in [middle + side * offset for offset in offsets for side in (-1, 1)]:
        t, level = (torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in (place, sigma))
        found = interval.evaluate(t, *torch.tensor([low, high], dtype=torch.float64), level)
        with mpmath.workdps(100):
            L = log_derivatives(blurred(*(mpmath.mpf(number) for number in (place, low, high, sigma)), n=6))
            rates = heat_rates(L, mpmath.mpf(sigma))
            L, rates = [float(part) for part in L], [float(part) for part in rates]
        for order, value in enumerate(found):
            for more in (1, 2):
                allowed = 1e-9 / sigma ** (order + more)
                assert nth(value, t, more).item() == pytest.approx(L[order + more], rel=1e-7, abs=allowed), place
            assert nth(value, level, 1).item() == pytest.approx(
                rates[order], rel=1e-7, abs=1e-9 / sigma ** (order + 1)
            ), place


def test_the_curvature_on_the_midline_is_not_lost():
    """Of the noise on the square: Cov[X | x = 0] = 1 - 2 phi(1) / (Phi(1) - Phi(-1)) on each axis."""
    with mpmath.workdps(30):
        variance = float(1 - 2 * mpmath.npdf(1) / (mpmath.ncdf(1) - mpmath.ncdf(-1)))
    covariance = posterior_covariance(Square().score, torch.zeros(2, dtype=torch.float64), 1.0)
    torch.testing.assert_close(covariance, variance * torch.eye(2, dtype=torch.float64), rtol=1e-12, atol=1e-14)


def test_the_gradient_of_a_wide_square_under_little_noise():
    p = Square(-3.0, 3.0)
    x = p.to(torch.float64).sample((300,), generator=generator(3)).requires_grad_()
    for sigma in (0.01, 0.02):
        (gradient,) = torch.autograd.grad(p.log_prob(x, sigma).sum(), x)
        torch.testing.assert_close(gradient, p.score(x, sigma).detach(), rtol=1e-9, atol=1e-9)


def test_an_interval_is_the_average_of_the_gaussians_in_it():
    """The definition itself, without error functions, at one place of each kind."""
    for t, sigma in [(0.2, 0.3), (1.5, 0.3), (-4.0, 3.0)]:
        with mpmath.workdps(30):
            p = mpmath.quad(lambda u, t=t, sigma=sigma: mpmath.npdf(t, u, sigma), [-1, -0.5, 0, 0.5, 1]) / 2
            assert abs(moments(t, -1, 1, sigma)[0] / p - 1) < 1e-20


# The square.


def places_on(square):
    low, high, middle = square.low, square.high, (square.low + square.high) / 2
    width = high - low
    inside = [(low + 0.3 * width, high - 0.1 * width), (middle, low + 0.45 * width)]
    outside = [(high + 0.2 * width, middle), (low - width, high + 0.7 * width)]
    edges = [(low, middle), (high, low + 0.3 * width), (middle, low), (low + 0.9 * width, high)]
    corners = [(a, b) for a in (low, high) for b in (low, high)]
    return [(middle, middle), *inside, *outside, *edges, *corners, *around()]


@every_sigma
@every_square
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_a_noised_square_in_high_precision(square, sigma, dtype, tolerance):
    compare(square, places_on(square), sigma, lambda x: exact_square(square, x, sigma), dtype, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_square
def test_a_clean_square_is_flat_inside_and_has_no_score_outside(square, dtype):
    middle, width = (square.low + square.high) / 2, square.high - square.low
    inside = torch.tensor([[middle, middle], [square.low + 0.01 * width, square.high - 0.3 * width]], dtype=dtype)
    outside = torch.tensor([[middle, square.high + 0.1], [50.0, middle], [square.low - 2, square.low - 2]], dtype=dtype)
    assert square.log_prob(inside).tolist() == pytest.approx([-math.log(width**2)] * 2, rel=1e-6, abs=1e-7)
    assert square.score(inside).tolist() == [[0.0, 0.0]] * 2
    assert square.divergence(inside).tolist() == [0.0] * 2
    assert square.log_prob(outside).tolist() == [-math.inf] * 3
    assert square.score(outside).isnan().all()
    assert square.divergence(outside).isnan().all()


def test_little_noise_leaves_the_square_as_it_is():
    """Ten noise levels inside the edge the blurred density is the clean one, to the mass beyond ten deviations."""
    x = torch.tensor([[0.0, 0.0], [0.98, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(Square().log_prob(x, 1e-3), Square().log_prob(x), rtol=0, atol=1e-14)


def legendre(low, high, order=64, panels=1):
    """Gauss-Legendre nodes and weights on panels of [low, high]^2."""
    t, w = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(low, high, panels + 1)
    width = (high - low) / panels
    t = torch.as_tensor((edges[:-1, None] + width * (t + 1) / 2).ravel())
    w = torch.as_tensor(np.tile(width * w / 2, panels))
    return torch.cartesian_prod(t, t), torch.cartesian_prod(w, w).prod(-1)


@pytest.mark.parametrize(("sigma", "missing"), [(0.0, 2.0), (0.3, 0.0)])
def test_implicit_score_matching_is_off_by_the_boundary_term_of_the_clean_square(sigma, missing):
    """For s(x) = x, the model of the module's docstring: E[div s + |s|^2/2] - 1/2 E|s - s*|^2 + 1/2 E|s*|^2.

    Clean, s* is 0 and this is 1 a coordinate, the mean of p s over the boundary; noised, there is no boundary.
    """
    p = Square()
    x, weights = legendre(-1.0, 1.0) if sigma == 0 else legendre(-1 - 12 * sigma, 1 + 12 * sigma, panels=4)
    weights = weights * p.log_prob(x, sigma).exp()
    truth = p.score(x, sigma)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    implicit = float((weights * (2 + 0.5 * x.square().sum(-1))).sum())
    explicit = float((weights * 0.5 * (x - truth).square().sum(-1)).sum())
    information = float((weights * 0.5 * truth.square().sum(-1)).sum())
    assert implicit - explicit + information == pytest.approx(missing, abs=1e-10)


def test_samples_fill_the_square_evenly():
    """Chi-square of 1e5 draws on 10 x 10 cells, p > 1e-6."""
    x = Square(-1.0, 3.0).to(torch.float64).sample((100_000,), generator=generator(1)).numpy()
    counts = np.histogram2d(*x.T, bins=10, range=[[-1, 3]] * 2)[0]
    assert counts.sum() == len(x)
    assert scipy.stats.chisquare(counts.ravel()).pvalue > 1e-6


# The checkerboard.

# On a black cell and on a white one, on an edge, where two cells touch by their corners, outside, the centre, far out,
# and on the diagonal where two corners of the board are equally near.
ON_BOARD = [
    (0.0, 0.0), (0.7, 1.2), (0.7, -0.4), (-3.1, -2.5), (2.0, 1.3), (-1.0, 0.0), (2.0, 2.0), (-2.0, 0.0), (4.0, 4.0),
    (-4.0, 4.0), (4.0, 0.5), (-4.7, 3.3), (0.5, -0.5), (50 / math.sqrt(2), 50 / math.sqrt(2)),
    (-50 / math.sqrt(2), 50 / math.sqrt(2)), *around(),
]  # fmt: skip


@every_sigma
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_the_noised_checkerboard_in_high_precision(sigma, dtype, tolerance):
    compare(Checkerboard(), ON_BOARD, sigma, lambda x: exact_board(x, sigma), dtype, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_clean_checkerboard_has_exactly_the_eight_cells_of_even_sum(dtype):
    p = Checkerboard()
    for i in range(-1, 5):
        for j in range(-1, 5):
            x = torch.tensor([-3 + 2 * i, -3 + 2 * j], dtype=dtype)
            x = x + 0.98 * torch.tensor([[0, 0], [1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=dtype)
            if (i, j) in CELLS:
                assert p.log_prob(x).tolist() == pytest.approx([-math.log(32)] * 5)
                assert p.score(x).tolist() == [[0.0, 0.0]] * 5
                assert p.divergence(x).tolist() == [0.0] * 5
            else:
                assert p.log_prob(x).tolist() == [-math.inf] * 5
                assert p.score(x).isnan().all()
                assert p.divergence(x).isnan().all()


def test_samples_fill_the_eight_cells_evenly():
    """Chi-square of 1e5 draws on 3 x 3 parts of each cell, p > 1e-6; not one on a white cell."""
    x = Checkerboard().to(torch.float64).sample((100_000,), generator=generator(2)).numpy()
    counts = np.histogram2d(*x.T, bins=12, range=[[-4, 4]] * 2)[0].reshape(4, 3, 4, 3)
    on_cells = np.stack([counts[i, :, j] for i, j in CELLS])
    assert on_cells.sum() == len(x)
    assert scipy.stats.chisquare(on_cells.ravel()).pvalue > 1e-6


@pytest.mark.parametrize("density", [Square(), Checkerboard()], ids=["square", "checkerboard"])
@pytest.mark.parametrize("method", METHODS)
def test_levels_zero_and_above_in_one_call(density, method):
    x = torch.tensor([[0.3, 0.4], [0.3, 0.4], [9.0, 0.0], [9.0, 0.0]], dtype=torch.float64)
    sigma = torch.tensor([0.0, 0.5, 0.0, 2.0], dtype=torch.float64)
    loop = torch.stack([getattr(density, method)(y, s) for y, s in zip(x, sigma.tolist(), strict=True)])
    torch.testing.assert_close(getattr(density, method)(x, sigma), loop, rtol=1e-12, atol=0, equal_nan=True)


def test_the_divergence_by_autograd_between_the_cells():
    """At (0, 1) under noise of .3 by sixty digits: -7.049, where a lost curvature gave -6.935."""
    x = torch.tensor([0.0, 1.0], dtype=torch.float64)
    by_autograd = torch.func.jacfwd(lambda y: Checkerboard().score(y, 0.3))(x).trace()
    assert float(by_autograd) == pytest.approx(exact_board((0.0, 1.0), 0.3)[2], rel=1e-10)
