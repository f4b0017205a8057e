"""References of many digits for densities, straight from their definitions: they share nothing with toylab."""

import math
from functools import cache

import mpmath
import pytest
import torch
from mpmath.calculus.quadrature import GaussLegendre


@pytest.fixture
def integrated():
    """The function ``integrated(parts, n_scan, widest)``: log p, score and divergence as three or four numbers."""
    return _integrated


@pytest.fixture
def compare():
    """The function ``compare(density, places, sigma, exact, tolerance=1e-9)``."""
    return _compare


@pytest.fixture
def mean_of_parts():
    """The function ``mean_of_parts(weights, log_probs, scores, divergences)``."""
    return _mean_of_parts


@pytest.fixture
def log_derivatives():
    """The function ``log_derivatives(p)``: of log p from p, p', p'', ... in mpmath's numbers."""
    return _log_derivatives


@pytest.fixture
def heat_rates():
    """The function ``heat_rates(L, sigma)``: d L_n / d sigma = sigma (L_(n+2) + n-th derivative of L_1^2)."""
    return _heat_rates


@pytest.fixture
def nth():
    """The function ``nth(y, t, n)``: the n-th derivative of y in t by automatic differentiation."""
    return _nth


def _log_derivatives(p):
    found = [mpmath.log(p[0])]
    for n in range(1, len(p)):
        known = mpmath.fsum(math.comb(n - 1, k) * found[n - k] * p[k] for k in range(1, n))
        found.append((p[n] - known) / p[0])
    return found


def _heat_rates(L, sigma):
    squares = [mpmath.fsum(math.comb(n, k) * L[1 + k] * L[1 + n - k] for k in range(n + 1)) for n in range(len(L) - 2)]
    return [sigma * (L[n + 2] + squares[n]) for n in range(len(L) - 2)]


def _nth(y, t, n):
    for _ in range(n):
        (y,) = torch.autograd.grad(y, t, create_graph=True)
    return y


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


def _integrated(parts, n_scan, widest=mpmath.inf):
    """log p, score and divergence; parts are (term, low, high), term(u) = (log-integrand, score, score, divergence)."""
    with mpmath.workdps(40):
        laid = [(term, *panels(lambda u, f=term: f(u)[0], low, high, n_scan, widest)) for term, low, high in parts]
        top = max(height for *_, height in laid)
        pieces = [(term, edges) for term, edges, height in laid if height > top - 60]
        coarse, fine = (mixed(pieces, degree, top) for degree in (4, 5))
        # with 24 nodes per panel and with 48: the error of the latter is the square of what they differ by
        assert abs(coarse[0] - fine[0]) < 1e-12
        assert mpmath.hypot(coarse[1] - fine[1], coarse[2] - fine[2]) < 1e-12 * mpmath.hypot(fine[1], fine[2])
        assert abs(coarse[3] - fine[3]) < 1e-12 * abs(fine[3])
        return tuple(float(number) for number in fine)


def _compare(density, places, sigma, exact, tolerance=1e-9):
    """Log-density and divergence relative to themselves, score to its norm.

    Zeros are held to 1e-12 of what one unit of noise makes: 1, 1/sigma and 1/sigma^2.
    """
    x = torch.tensor(places, dtype=torch.float64)
    for point, log_p, score, divergence in zip(
        x.tolist(), density.log_prob(x, sigma), density.score(x, sigma), density.divergence(x, sigma), strict=True
    ):
        with mpmath.workdps(60):
            true_log_p, true_score, true_divergence = exact([mpmath.mpf(t) for t in point], mpmath.mpf(sigma))
            true_log_p, true_divergence = float(true_log_p), float(true_divergence)
            true_score = [float(part) for part in true_score]
        where = f"{density!r} at {point}, sigma {sigma}"
        assert float(log_p) == pytest.approx(true_log_p, rel=tolerance, abs=1e-12), where
        norm = math.hypot(*true_score)
        assert math.dist(score.tolist(), true_score) <= tolerance * norm + 1e-12 / sigma, where
        assert float(divergence) == pytest.approx(true_divergence, rel=tolerance, abs=1e-12 / sigma**2), where


def _mean_of_parts(weights, log_probs, scores, divergences):
    """log p, score and divergence of a mixture in mpmath's numbers, from p, p s and p (div s + |s|^2) of its parts."""
    top = max(log_probs)
    masses = [w * mpmath.exp(log_p - top) for w, log_p in zip(weights, log_probs, strict=True)]
    total = mpmath.fsum(masses)
    score = [mpmath.fsum(m * s[i] for m, s in zip(masses, scores, strict=True)) / total for i in (0, 1)]
    laplacian = mpmath.fsum(
        m * (div + s[0] ** 2 + s[1] ** 2) for m, s, div in zip(masses, scores, divergences, strict=True)
    )
    return mpmath.log(total) + top, score, laplacian / total - score[0] ** 2 - score[1] ** 2
