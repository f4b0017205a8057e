"""Entropy, cross-entropy and the KL divergence by quadrature, against closed forms and SciPy's own 2-D quadrature."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import torch

from toylab.densities import (
    Banana,
    Checkerboard,
    Circle,
    Funnel,
    GaussianMixture,
    Laplace,
    Mixture,
    Points,
    Square,
    StudentTMixture,
    from_energy,
    isotropic,
    ring,
    two_modes,
)
from toylab.densities.quadrature import refined_expectation
from toylab.metrics import cross_entropy, entropy, fisher_divergence, kl_divergence

NORMAL = isotropic([[0.0, 0.0]], 1.0)
A = GaussianMixture([0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]])
B = GaussianMixture([0.5, 0.5], [[-1.0, 0.5], [1.5, 0.0]], [[[0.8, -0.2], [-0.2, 0.6]], [[1.0, 0.1], [0.1, 0.4]]])


def gaussian(mean, covariance):
    return GaussianMixture([1.0], [mean], [covariance])


def kl_of_gaussians(m, C, n, D):
    """1/2 (tr D^-1 C + (n - m)^T D^-1 (n - m) - 2 + log |D| / |C|)."""
    m, C, n, D = (np.asarray(part) for part in (m, C, n, D))
    inverse, shift = np.linalg.inv(D), n - m
    return 0.5 * (np.trace(inverse @ C) + shift @ inverse @ shift - 2 + math.log(np.linalg.det(D) / np.linalg.det(C)))


@pytest.mark.parametrize("sigma", [0.0, 0.7, 5.0])
def test_gaussians(sigma):
    m, C, n, D = [1.0, -2.0], [[1.0, 0.6], [0.6, 0.8]], [0.0, 0.5], [[0.5, -0.3], [-0.3, 1.2]]
    p, q = gaussian(m, C), gaussian(n, D)
    noise = sigma**2 * np.eye(2)
    expected = kl_of_gaussians(m, C + noise, n, D + noise)
    assert kl_divergence(p, q, sigma) == pytest.approx(expected, rel=1e-10)
    own = 1 + math.log(2 * math.pi) + 0.5 * math.log(np.linalg.det(C + noise))
    assert entropy(p, sigma) == pytest.approx(own, rel=1e-10)
    assert cross_entropy(p, q, sigma) == pytest.approx(own + expected, rel=1e-10)
    if sigma:
        assert kl_divergence(p.noised(sigma), q.noised(sigma)) == pytest.approx(expected, rel=1e-10)


def test_of_a_law_from_itself_it_is_0():
    for p in (A, ring(), two_modes(), Banana()):
        assert kl_divergence(p, p) == 0.0
    assert kl_divergence(A, A, 1.0) == 0.0


def by_scipy(p, q, low, high):
    """KL by adaptive quadrature, one axis inside the other, with formulas of this file."""

    def log_density(law, x, y):
        terms = []
        for w, m, C in zip(law.weights.tolist(), law.means.tolist(), law.covariances.tolist(), strict=True):
            (a, b), (_, c) = C
            u, v, det = x - m[0], y - m[1], C[0][0] * C[1][1] - C[0][1] ** 2
            terms.append(math.log(w / (2 * math.pi * det**0.5)) - 0.5 * (c * u * u - 2 * b * u * v + a * v * v) / det)
        most = max(terms)
        return most + math.log(sum(math.exp(term - most) for term in terms))

    def integrand(y, x):
        log_p = log_density(p, x, y)
        return math.exp(log_p) * (log_p - log_density(q, x, y))

    return scipy.integrate.dblquad(integrand, low, high, low, high, epsabs=1e-9, epsrel=1e-9)[0]


@pytest.mark.parametrize(("p", "q"), [(A, B), (B, A)], ids=["A from B", "B from A"])
def test_mixtures_by_another_quadrature(p, q):
    assert kl_divergence(p, q) == pytest.approx(by_scipy(p, q, -9.0, 9.0), abs=1e-8)


def test_a_log_density_that_varies_faster_than_the_law():
    """The ridge where the nearer of two far narrow modes changes is .002 wide, under a law of width 1.

    Off the ridge log q is that of the nearer mode, |x - m|^2 = x^2 + y^2 + 9 - 6 |x|, and E|x| = sqrt(2 / pi); the
    ridge adds E log(1 + e^(-6 |x| / s^2)), about pi^2 s^2 / 36 p(0) for a narrow one, which SciPy integrates.
    """
    s = 0.1
    q = isotropic([[3.0, 0.0], [-3.0, 0.0]], s)
    nearer = -math.log(2 * 2 * math.pi * s**2) - (11 - 6 * math.sqrt(2 / math.pi)) / (2 * s**2)
    ridge = scipy.integrate.quad(
        lambda x: 2 * math.log1p(math.exp(-6 * x / s**2)) * math.exp(-0.5 * x**2) / math.sqrt(2 * math.pi),
        0, 0.1, epsabs=1e-12,
    )[0]  # fmt: skip
    assert cross_entropy(NORMAL, q) == pytest.approx(-(nearer + ridge), rel=1e-7)


def test_a_log_density_with_kinks():
    """Laplace with scales (b, c): -log q = log(4 b c) + |x| / b + |y| / c. The grid alone would be off by 1e-3."""
    p = isotropic([[0.1, -0.2]], 1.0)
    scales = (0.5, 2.0)
    expected = math.log(4 * math.prod(scales))
    for mean, scale in zip((0.1, -0.2), scales, strict=True):
        folded = math.sqrt(2 / math.pi) * math.exp(-0.5 * mean**2) + mean * math.erf(mean / math.sqrt(2))
        expected += folded / scale
    q = Laplace(scales)
    assert float(q.log_prob(torch.zeros(2, dtype=torch.float64))) == pytest.approx(-math.log(4 * math.prod(scales)))
    assert cross_entropy(p, q) == pytest.approx(expected, abs=1e-5)


def test_a_narrow_model_with_kinks():
    """KL(N(0, I) | Laplace) = log 4 + 2 sqrt(2 / pi) - 1 - log(2 pi), where each halving of the step still tells."""
    expected = math.log(4) + 2 * math.sqrt(2 / math.pi) - 1 - math.log(2 * math.pi)
    assert kl_divergence(NORMAL, Laplace()) == pytest.approx(expected, abs=1e-5)


def test_laws_too_narrow_for_a_grid():
    """Their entropies: of the funnel those of its two normal numbers, of Student's t by the digamma function."""
    assert entropy(Funnel(1.0)) == pytest.approx(1 + math.log(2 * math.pi), rel=1e-9)
    nu, S = 3.0, 0.25
    p = StudentTMixture([1.0], [[1.0, 0.0]], [[S, 0.0], [0.0, S]], [nu])
    digamma = scipy.special.digamma
    expected = math.log(2 * math.pi * S) + 0.5 * (nu + 2) * (digamma(0.5 * nu + 1) - digamma(0.5 * nu))
    assert entropy(p) == pytest.approx(expected, rel=1e-9)
    assert kl_divergence(Funnel(1.0), Square()) == math.inf


@pytest.mark.parametrize("nu", [2.5, 3.0, 5.0])
def test_what_a_heavy_tail_has_beyond_its_bounds_is_counted(nu):
    """H(p, N(0, s^2 I)) = log(2 pi s^2) + E|x|^2 / (2 s^2); at nu = 2.5 a share of 1e-3 of it is out of bounds."""
    p = StudentTMixture([0.5, 0.5], [[-1.5, 0.0], [1.5, 0.0]], [[[0.1, 0.0], [0.0, 0.1]]] * 2, [nu, nu])
    second_moment = 1.5**2 + 2 * 0.1 * nu / (nu - 2)
    exact = math.log(2 * math.pi * 4) + second_moment / 8
    assert cross_entropy(p, isotropic([[0.0, 0.0]], 2.0)) == pytest.approx(exact, rel=1e-8)


def test_a_mean_that_is_infinite_is_told():
    """-log p of a banana rises like x^4, which Student's t with 3 degrees has no mean of."""
    p = StudentTMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]], [3.0])
    with pytest.raises(ValueError, match="the expectation is infinite, or not known: .* heavy tails"):
        kl_divergence(p, Banana(2.0, 0.8, 0.25))


def test_modes_far_apart_are_no_tail():
    """All of this law lies in the outer half of its bounds; too narrow for a grid, it is integrated by panels."""
    p = isotropic([[-5.0, -5.0], [5.0, -5.0], [-5.0, 5.0], [5.0, 5.0]], 0.01)
    exact = math.log(2 * math.pi) + 0.5 * (50.0 + 2 * 0.01**2)
    assert cross_entropy(p, NORMAL) == pytest.approx(exact, rel=1e-9)


def test_a_heavy_tail_as_the_model():
    """Of N(0, I) from Student's t with 3 degrees, by SciPy along the radius; r^2 / 2 is exponential."""
    q = StudentTMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]], [3.0])
    tail = scipy.integrate.quad(lambda u: 2.5 * math.log1p(2 * u / 3) * math.exp(-u), 0, math.inf, epsabs=1e-12)[0]
    assert cross_entropy(NORMAL, q) == pytest.approx(math.log(2 * math.pi) + tail, rel=1e-9)


def test_it_does_not_change_when_both_laws_are_moved():
    expected = kl_divergence(A, B)
    for move in (
        lambda p: p.rotated(0.7),
        lambda p: p.shifted((3.0, -20.0)),
        lambda p: p.scaled(-2.5),
        lambda p: p.scaled(0.01).rotated(2.0).shifted((1.0, 1.0)),
    ):
        assert kl_divergence(move(A), move(B)) == pytest.approx(expected, abs=1e-9)
    assert entropy(A.scaled(3.0)) == pytest.approx(entropy(A) + 2 * math.log(3.0), abs=1e-9)


def test_noise_on_both_laws_makes_them_more_alike():
    """Data processing; and by de Bruijn's identity the slope in sigma^2 is -1/2 E|grad log p - grad log q|^2."""
    values = [kl_divergence(A, B, sigma) for sigma in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)]
    assert all(low < high for high, low in zip(values, values[1:], strict=False))
    assert values[-1] > 0
    h = 1e-3
    p, q = A.to(torch.float64), B.to(torch.float64)
    slope = (kl_divergence(p, q, math.sqrt(1 + h)) - kl_divergence(p, q, math.sqrt(1 - h))) / (2 * h)
    assert slope == pytest.approx(-fisher_divergence(lambda x: q.score(x, 1.0), p, 1.0), rel=1e-6)


def box(half):
    return from_energy(lambda x: 0.5 * x.square().sum(-1), (-half, half, -half, half), n_cells=64)


def test_it_is_infinite_where_the_model_has_no_mass():
    for q in (Square(), box(3.0)):
        assert kl_divergence(two_modes(), q) == math.inf
        assert cross_entropy(two_modes(), q) == math.inf
    assert kl_divergence(box(3.0), Square()) == math.inf
    # but not the other way: the mass of N(0, I) in the box is m, and log p - log q = -log m on it
    m = math.erf(3 / math.sqrt(2)) ** 2
    assert kl_divergence(box(3.0), NORMAL) == pytest.approx(-math.log(m), rel=1e-8)
    # with noise on both there is mass everywhere
    assert kl_divergence(two_modes(), Square(), 3.0) < math.inf


def test_what_has_no_density_is_refused():
    for p, q in (
        (Circle(), NORMAL),
        (NORMAL, Circle()),
        (Points([[0.0, 0.0]]), NORMAL),
        (NORMAL, Points([[0.0, 0.0]])),
    ):
        with pytest.raises(ValueError, match="no density"):
            kl_divergence(p, q)
        assert kl_divergence(p, q, 0.5) > 0
    with pytest.raises(ValueError, match="no density"):
        entropy(Circle())


def test_what_is_no_law_is_refused():
    with pytest.raises(TypeError, match="q is a Tensor: give a density"):
        kl_divergence(NORMAL, torch.zeros(4, 2))
    with pytest.raises(TypeError, match="p is a function: give a density"):
        cross_entropy(NORMAL.log_prob.__func__, NORMAL)
    with pytest.raises(ValueError, match="sigma is -1"):
        entropy(NORMAL, -1.0)


MOVED = {"as it is": lambda p: p, "moved": lambda p: p.rotated(0.7).scaled(1.5).shifted((1.0, -2.0))}
APART = Mixture([0.5, 0.5], [Square(0.0, 1.0), Square(3.0, 5.0)])


@pytest.mark.parametrize("move", MOVED.values(), ids=MOVED)
@pytest.mark.parametrize(
    ("p", "exact", "square"),
    [
        (Square(-3.0, 3.0), math.log(36), 6.0),
        (Checkerboard(), math.log(32), 32 / 3),
        (Laplace((0.8, 0.3)), 2 + math.log(4 * 0.8 * 0.3), 2 * (0.8**2 + 0.3**2)),
        (APART, 0.5 * math.log(2) + 0.5 * math.log(8), 50 / 3),
    ],
)
def test_laws_with_edges_and_kinks_are_integrated_between_them(p, exact, square, move):
    """Entropies: log of the area, or 2 + sum log 2b. With E|X|^2, KL from N(0, I), both moved by the same."""
    grown = 2 * math.log(1.5) if move is MOVED["moved"] else 0.0
    assert entropy(move(p)) == pytest.approx(exact + grown, abs=1e-9)
    expected = math.log(2 * math.pi) + 0.5 * square - exact
    assert kl_divergence(move(p), move(NORMAL)) == pytest.approx(expected, abs=1e-8)


def test_edges_and_kinks_of_two_laws():
    """KL of Laplace laws, whose kinks fall together: sum of log(c / b) + b / c - 1."""
    p, q = Laplace((0.8, 0.3)), Laplace((0.5, 1.0))
    expected = sum(math.log(c / b) + b / c - 1 for b, c in ((0.8, 0.5), (0.3, 1.0)))
    assert kl_divergence(p, q) == pytest.approx(expected, abs=1e-9)
    assert kl_divergence(p, Square()) == math.inf
    assert kl_divergence(Square(-1.0, 1.0), Square(-2.0, 2.0)) == pytest.approx(math.log(4), abs=1e-9)


def test_what_no_panels_resolve_is_refused():
    with pytest.raises(ValueError, match="has not settled"):
        refined_expectation(lambda x: (1e9 * x.square().sum(-1)).sin(), Square(0.0, 1.0))
    with pytest.raises(ValueError, match="nan at a point"):
        refined_expectation(lambda x: x[:, 0] * math.nan, Square())
