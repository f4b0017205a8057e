"""The reference against independent computations: plain quadrature of each law's definition, and finite differences."""

import math

import mpmath as mp
import numpy as np
import pytest
import scipy.stats

from tests.truth import cases, closed_forms, integral, reference
from tests.truth.value import DIGITS

SPIRAL = ["Spiral", 0.25, math.pi / 2, 4.5 * math.pi]
STUDENT = [
    "StudentTMixture",
    [0.4, 0.6],
    [[-1.0, 0.0], [2.0, 1.0]],
    [[[1.0, 0.3], [0.3, 0.5]], [[0.2, 0.0], [0.0, 0.2]]],
]
TWO = ["GaussianMixture", [0.3, 0.7], [[-1.0, 0.0], [1.0, 1.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]]]


def integrate(f, low, high, n=400):
    """Twenty Gauss-Legendre nodes on each of n equal pieces: plain, dense and blind."""
    t, w = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(low, high, n + 1)
    half = np.diff(edges)[:, None] / 2
    return float((f(edges[:-1, None] + half * (1 + t)) * w * half).sum())


def normal(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def around(x, mean, sigma):
    return normal(x[0], mean[0], sigma**2) * normal(x[1], mean[1], sigma**2)


def over_curve(curve, low, high):
    """Uniform on a curve, by quadrature over its parameter."""
    return lambda x, sigma: integrate(lambda t: around(x, curve(t), sigma), low, high) / (high - low)


def banana(x, sigma):
    def joint(u):
        return normal(u, 0, 4) * normal(x[0], u, sigma**2) * normal(x[1], (u**2 - 4) / 2, 0.25 + sigma**2)

    return integrate(joint, -30, 30)


def funnel(x, sigma):
    def joint(v):
        return normal(v, 0, 9) * normal(x[0], v, sigma**2) * normal(x[1], 0, np.exp(v) + sigma**2)

    return integrate(joint, -40, 40)


def student(dfs):
    def density(x, sigma):
        total = 0.0
        for w, m, S, nu in zip(*STUDENT[1:], dfs, strict=True):

            def joint(u, m=m, S=S, nu=nu):
                e = np.exp(u)
                a, b, c = S[0][0] / e + sigma**2, S[0][1] / e, S[1][1] / e + sigma**2
                d1, d2, det = x[0] - m[0], x[1] - m[1], a * c - b * b
                gamma = np.exp(nu / 2 * (u + math.log(nu / 2) - e)) / math.gamma(nu / 2)
                return gamma * np.exp(-(c * d1**2 - 2 * b * d1 * d2 + a * d2**2) / (2 * det)) / (2 * np.pi * det**0.5)

            total += w * integrate(joint, -60, 6)
        return total

    return density


def product(of_one_coordinate):
    return lambda x, sigma: of_one_coordinate(x[0], sigma) * of_one_coordinate(x[1], sigma)


def laplace(t, sigma):
    return integrate(lambda u: np.exp(-abs(u) / 0.5) * normal(t, u, sigma**2), -40, 40)


def moons(x, sigma):
    upper = over_curve(lambda t: (np.cos(t), np.sin(t)), 0, math.pi)
    lower = over_curve(lambda t: (1 + np.cos(t), 0.5 + np.sin(t)), math.pi, 2 * math.pi)
    return (upper(x, sigma) + lower(x, sigma)) / 2


def box(low, high):
    return lambda t, sigma: integrate(lambda u: normal(t, u, sigma**2), low, high) / (high - low)


def board(x, sigma):
    across, up = ([box(low, low + 2)(t, sigma) for low in (-4, -2, 0, 2)] for t in x)
    return sum(across[i] * up[j] for i in range(4) for j in range(4) if (i + j) % 2 == 0) / 8


def circle(radius, center=(0, 0)):
    return over_curve(lambda t: (center[0] + radius * np.cos(t), center[1] + radius * np.sin(t)), 0, 2 * math.pi)


def two_gaussians(x, sigma):
    total = 0.0
    for w, m, C in zip(*TWO[1:], strict=True):
        a, b, c = C[0][0] + sigma**2, C[0][1], C[1][1] + sigma**2
        # given the first coordinate the second one is normal
        total += w * normal(x[0], m[0], a) * normal(x[1], m[1] + b / a * (x[0] - m[0]), c - b * b / a)
    return total


PLAIN = [
    (["Banana", 2.0, 0.5, 0.5], banana),
    (["Funnel", 3.0], funnel),
    ([*STUDENT, [3.0, 0.7]], student([3.0, 0.7])),
    ([*STUDENT, [1.0, 40.0]], student([1.0, 40.0])),
    (["TwoMoons"], moons),
    (SPIRAL, over_curve(lambda t: (t * np.cos(t) / 4, t * np.sin(t) / 4), math.pi / 2, 4.5 * math.pi)),
    (["Circle", 1.5, [0.5, -1.0]], circle(1.5, (0.5, -1.0))),
    (
        ["ConcentricCircles", [0.5, 2.0], [0.25, 0.75]],
        lambda x, sigma: circle(0.5)(x, sigma) / 4 + 3 * circle(2.0)(x, sigma) / 4,
    ),
    (["Segment", [-1.0, 0.0], [2.0, 1.0]], over_curve(lambda t: (3 * t - 1, t), 0, 1)),
    (["Square", -1.0, 2.0], product(box(-1, 2))),
    (["Checkerboard"], board),
    (["Laplace", [0.5, 0.5]], product(laplace)),
    (
        ["Points", [[0.0, 1.0], [2.0, -1.0]]],
        lambda x, sigma: (around(x, (0, 1), sigma) + around(x, (2, -1), sigma)) / 2,
    ),
    (TWO, two_gaussians),
]


@pytest.mark.parametrize(("law", "plain"), PLAIN, ids=lambda part: part[0] if isinstance(part, list) else "")
def test_log_p_is_that_of_plain_quadrature_of_the_definition(law, plain):
    for x, sigma in [((0.3, -0.4), 0.7), ((-2.5, 1.5), 0.4), ((4.0, 6.0), 1.5)]:
        want = math.log(plain(x, sigma))
        assert float(reference.evaluate(law, x, sigma).log_p) == pytest.approx(want, rel=1e-12, abs=1e-12)


MARGINALS = {
    "Normal": lambda a, b: scipy.stats.norm(a, b),
    "Uniform": lambda a, b: scipy.stats.uniform(a, b - a),
    "Gamma": lambda a, b: scipy.stats.gamma(a, scale=1 / b),
    "Beta": lambda a, b: scipy.stats.beta(a, b),
    "LogNormal": lambda a, b: scipy.stats.lognorm(b, scale=math.exp(a)),
}
WELLS = ["from_energy", 2.0, 1.5, 0.3, [2.8, 9.0]]


@pytest.mark.parametrize("name", MARGINALS)
def test_log_p_of_a_torch_distribution_is_that_of_scipy(name):
    law = ["from_torch", name, [0.2, 0.7], [0.9, 3.5]]
    marginals = [MARGINALS[name](a, b) for a, b in zip(*law[2:], strict=True)]
    for x in [(0.3, 0.8), (0.85, 0.95), (-0.5, 0.9), (1.2, 2.0)]:
        with np.errstate(divide="ignore"):
            want = sum(marginal.logpdf(t) for marginal, t in zip(marginals, x, strict=True))
        assert float(reference.evaluate(law, x, 0.0).log_p) == pytest.approx(want, rel=1e-13)


def test_the_normaliser_of_an_energy_is_that_of_plain_quadrature():
    wells, stiff, tilt, (across, up) = WELLS[1:]

    def over_y(t):
        return integrate(lambda u: np.exp(-wells * (t**2 - 1) ** 2 - stiff * u**2 / 2 - tilt * t * u), -up, up, 100)

    z = integrate(np.vectorize(over_y), -across, across, 20)
    log_p = float(reference.evaluate(WELLS, (1.0, 0.5), 0.0).log_p)
    assert log_p == pytest.approx(-stiff * 0.5**2 / 2 - tilt * 0.5 - math.log(z), rel=1e-13)
    assert reference.evaluate(WELLS, (3.0, 0.5), 0.0).log_p == -math.inf


CLEAN = [law for law, _ in PLAIN if law[0] not in cases.WITHOUT_DENSITY]
CLEAN += [["from_torch", name, [0.2, 0.7], [0.9, 3.5]] for name in MARGINALS] + [WELLS]
NOISED = [law for law, _ in PLAIN] + [
    ["scaled", ["Banana", 1.0, 0.1, 20.0], -0.05],
    ["rotated", ["shifted", ["Funnel", 1.0], [2.0, 1.0]], 0.7],
    ["noised", ["Mixture", [0.5, 0.5], [["Circle", 1.0, [0.0, 0.0]], ["rotated", ["Square", -1.0, 1.0], 0.4]]], 0.1],
    ["pinwheel", 1],
]


@pytest.mark.parametrize(
    ("law", "sigma"), [(law, 0.0) for law in CLEAN] + list(zip(NOISED, [0.1, 1.3] * 9, strict=True)), ids=str
)
def test_score_and_divergence_are_the_derivatives_of_log_p(law, sigma):
    x, h = (0.37, 0.81), mp.mpf(1) / 1024
    value = reference.evaluate(law, x, sigma)

    def log_p(dx, dy):
        return reference.evaluate(law, (mp.mpf(x[0]) + dx, mp.mpf(x[1]) + dy), sigma).log_p

    with mp.workdps(40):
        first, second = [], []
        for e1, e2 in ((1, 0), (0, 1)):
            f = {k: log_p(k * h * e1, k * h * e2) if k else value.log_p for k in range(-2, 3)}
            first.append((8 * (f[1] - f[-1]) - f[2] + f[-2]) / (12 * h))
            second.append((16 * (f[1] + f[-1]) - 30 * f[0] - f[2] - f[-2]) / (12 * h**2))
    size = float(max(1, value.D))
    assert math.isclose(float(value.s1), float(first[0]), rel_tol=1e-6, abs_tol=1e-8 * size)
    assert math.isclose(float(value.s2), float(first[1]), rel_tol=1e-6, abs_tol=1e-8 * size)
    assert math.isclose(float(value.div), float(sum(second)), rel_tol=1e-6, abs_tol=1e-6 * size)


@pytest.mark.parametrize(
    ("law", "same"),
    [
        (["shifted", ["scaled", ["Circle", 1.5, [0.0, 0.0]], -2.0], [1.0, 3.0]], ["Circle", 3.0, [1.0, 3.0]]),
        (["rotated", ["Segment", [1.0, 0.0], [2.0, 0.5]], math.pi / 2], ["Segment", [0.0, 1.0], [-0.5, 2.0]]),
        (["scaled", ["Laplace", [1.0, 0.5]], 4.0], ["Laplace", [4.0, 2.0]]),
        (["noised", ["noised", TWO, 0.3], 0.4], ["noised", TWO, 0.5]),
        (
            ["Mixture", [0.5, 0.5], [["Points", [[0.0, 1.0]]], ["Points", [[2.0, 1.0]]]]],
            ["Points", [[0.0, 1.0], [2.0, 1.0]]],
        ),
    ],
)
def test_a_moved_law_is_the_law_with_moved_parameters(law, same):
    for sigma in (0.05, 2.0):
        a, b = (reference.evaluate(each, (1.3, 2.2), sigma) for each in (law, same))
        for one, other in zip((a.log_p, a.s1, a.s2, a.div), (b.log_p, b.s1, b.s2, b.div), strict=True):
            assert float(abs(one - other)) < 1e-13 * max(1, float(abs(other)))


def test_limits_of_closed_forms_far_out_and_at_extreme_levels():
    # 1e5 noise levels above the square p_sigma is a normal tail: score -(t + 1/t) / sigma, t = (y - high) / sigma
    far = reference.evaluate(["Square", -1.0, 1.0], (0.0, 101.0), 1e-3)
    assert float(far.s2) == pytest.approx(-(1e5 + 1e-5) * 1e3, rel=1e-14)
    # seen from far, at a level that swallows it, each law is one point
    for law in (
        ["Laplace", [1e-6, 1e-6]],
        ["Circle", 1e-6, [0.0, 0.0]],
        ["Square", -1e-6, 1e-6],
        ["Segment", [0, 0], [1e-9, 0]],
    ):
        v = reference.evaluate(law, (3.0, 4.0), 2.0)
        assert [float(part) for part in (v.s1, v.s2, v.div)] == pytest.approx([-0.75, -1.0, -0.5], rel=1e-6)


def test_bessel_series_continues_the_function():
    with mp.workdps(DIGITS):
        for kappa in (mp.mpf(301), mp.mpf(1000)):
            log_i0, ratio = closed_forms.bessel(kappa)
            assert abs(log_i0 - (mp.log(mp.besseli(0, kappa)) - kappa)) < mp.mpf(10) ** -50
            assert abs(ratio - mp.besseli(1, kappa) / mp.besseli(0, kappa)) < mp.mpf(10) ** -50


def test_no_peak_is_missed_however_narrow():
    """Two needles of width 1e-9 and of known weight, somewhere in a window of length 2."""
    places, width = np.array([0.1234567, 1.7654321]), 1e-9

    def screen(m, a, b):
        offset = (m[:, None] - places) / width
        exponent = -0.5 * offset**2
        value = np.logaddexp(exponent[:, 0], exponent[:, 1])
        share = np.exp(exponent - value[:, None])
        slope = -(share * offset / width).sum(-1)
        # |g''| <= 1 / width^2 + the variance of the two slopes, which is not 0 only about the middle between them
        apart = (places[1] - places[0]) / width**2
        tie = np.minimum(np.exp(-np.abs((places.mean() - np.clip(places.mean(), a, b)) * apart)), 0.25)
        return integral.Screen(value, slope, 1 / width**2 + tie * apart**2, -value)

    def node(u):
        terms = [mp.exp(-((u - place) ** 2) / (2 * mp.mpf(width) ** 2)) for place in map(float, places)]
        return mp.log(terms[0] + terms[1]), u, mp.mpf(0), mp.mpf(0)

    with mp.workdps(40):
        found = integral.moments(node, integral.cells(screen, 0.0, 2.0))
        assert float(found.log_integral) == pytest.approx(math.log(2 * width * math.sqrt(2 * math.pi)), rel=1e-14)
        assert float(found.mean[0]) == pytest.approx(places.mean(), rel=1e-14)
