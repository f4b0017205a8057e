"""Laplace laws, noised, against their closed form in eighty digits; clean, against torch.distributions."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Independent
from torch.distributions import Laplace as TorchLaplace

from toylab.densities import Laplace
from toylab.densities.laplace import _blurred_laplace

SIGMAS = [1e-3, 0.03, 0.3, 3.0, 100.0]
DENSITIES = [Laplace(), Laplace((0.05, 2.0)), Laplace((1e-2, 30.0))]
every_density = pytest.mark.parametrize("p", DENSITIES, ids=repr)
every_sigma = pytest.mark.parametrize("sigma", SIGMAS)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def halves(t, b, sigma):
    """The integrals of e^(-|u|/b) / 2b N(t; u, sigma^2) over u > 0 and over u < 0.

    They are e^(sigma^2/2b^2 -+ t/b) Phi(+-t/sigma - sigma/b) / 2b.
    """
    return [
        mpmath.exp(sigma**2 / (2 * b**2) - side * t / b) * mpmath.ncdf(side * t / sigma - sigma / b) / (2 * b)
        for side in (1, -1)
    ]


def exact(p, x, sigma):
    """log p, score and divergence; eighty digits because p - N(t; 0, sigma^2) = b^2 p'' cancels where sigma >> b."""
    total, score, divergence = mpmath.mpf(0), [], mpmath.mpf(0)
    with mpmath.workdps(80):
        for t, b in zip(x, p.scales, strict=True):
            t, b, s = (mpmath.mpf(number) for number in (t, b, sigma))
            above, below = halves(t, b, s)
            density = above + below
            slope = (below - above) / b / density
            total += mpmath.log(density)
            score.append(float(slope))
            divergence += (1 - mpmath.npdf(t, 0, s) / density) / b**2 - slope**2
        return float(total), score, float(divergence)


def places(p, sigma):
    """At the kink and on both axes, near them, far out, and on both sides of where the evaluation changes its form."""
    b1, b2 = p.scales
    angles = [0.0, 0.5 * math.pi, *(0.3 + 2 * math.pi * k / 6 for k in range(6))]
    far = [(50 * math.cos(a), 50 * math.sin(a)) for a in angles]
    near = [(0.0, 0.0), (0.0, 0.7), (-1.3, 0.0), (0.4, -0.2), (b1, -2 * b2), (-3 * sigma, 0.5 * sigma), (1e-9, -1e-5)]
    switch = []
    for c in (0.999, 1.001):
        switch.append([sigma * (c * 0.03 * sigma / b - 1) for b in p.scales])  # b/sigma (1 + t/sigma) = 0.03
        switch.append([sigma**2 / b + c * math.sqrt(50) * sigma for b in p.scales])  # erfcx's argument is -5
    return near + far + [tuple(pair) for pair in switch if math.hypot(*pair) < 100]


@every_sigma
@every_density
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_noised_in_high_precision(p, sigma, dtype, tolerance):
    """Each value relative to itself, the score to its norm, at the very point that the dtype holds.

    Zeros are held to 1e-12 of what one unit of noise makes: 1, 1/sigma and 1/sigma^2.
    """
    x = torch.tensor(places(p, sigma), dtype=dtype)
    for point, log_p, score, divergence in zip(
        x.tolist(), p.log_prob(x, sigma), p.score(x, sigma), p.divergence(x, sigma), strict=True
    ):
        true_log_p, true_score, true_divergence = exact(p, point, sigma)
        assert float(log_p) == pytest.approx(true_log_p, rel=tolerance, abs=1e-12), point
        norm = math.hypot(*true_score)
        assert math.dist(score.tolist(), true_score) <= tolerance * norm + 1e-12 / sigma, point
        assert float(divergence) == pytest.approx(true_divergence, rel=tolerance, abs=1e-12 / sigma**2), point


@pytest.mark.parametrize(("t", "b", "sigma"), [(0.4, 1.0, 0.3), (-2.0, 0.5, 1.0), (0.0, 2.0, 0.7)])
def test_the_closed_form_is_the_average_of_gaussians(t, b, sigma):
    """The oracle itself, by quadrature of the definition."""
    with mpmath.workdps(30):
        cuts = sorted({-mpmath.inf, -10, -2, 0, t, 2, 10, mpmath.inf})
        p = mpmath.quad(lambda u: mpmath.exp(-abs(u) / b) / (2 * b) * mpmath.npdf(t, u, sigma), cuts)
        assert abs(sum(halves(mpmath.mpf(t), b, sigma)) / p - 1) < 1e-15


@every_density
def test_clean_log_prob_and_score_are_those_of_torch(p):
    scales = torch.tensor(p.scales, dtype=torch.float64)
    distribution = Independent(TorchLaplace(torch.zeros_like(scales), scales), 1)
    x = (3 * torch.randn(100, 2, dtype=torch.float64, generator=generator(0))).requires_grad_()
    torch.testing.assert_close(p.log_prob(x), distribution.log_prob(x), rtol=1e-13, atol=1e-13)
    (score,) = torch.autograd.grad(distribution.log_prob(x).sum(), x)
    torch.testing.assert_close(p.score(x).detach(), score, rtol=1e-13, atol=0)
    assert p.divergence(x).tolist() == [0.0] * 100


def test_at_the_kink_the_clean_score_is_zero():
    p, x = Laplace((0.5, 2.0)), torch.tensor([[0.0, 0.0], [0.0, -3.0], [1.0, 0.0]])
    assert p.score(x).tolist() == [[0.0, 0.0], [0.0, 0.5], [-2.0, 0.0]]
    assert p.divergence(x).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("sigma", "boundary"), [(0.0, True), (0.4, False)])
def test_implicit_score_matching_has_the_wrong_sign_on_the_clean_law(sigma, boundary):
    """E[div s + |s|^2/2] of the true score is -E|s|^2/2; the clean law misses its kinks and gives plus the same.

    By Gauss-Legendre on panels that end at the kinks and are no wider than 1.5 noise levels where there is mass.
    """
    p = Laplace((0.8, 1.5))
    t, w = np.polynomial.legendre.leggauss(16)
    positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 12.0, 22.0, 45.0]
    edges = np.array([-edge for edge in positive[:0:-1]] + positive)
    half = np.diff(edges)[:, None] / 2
    nodes, weights = (torch.as_tensor(part.ravel()) for part in (edges[:-1, None] + half * (t + 1), half * w))
    x, weights = torch.cartesian_prod(nodes, nodes), torch.cartesian_prod(weights, weights).prod(-1)
    weights = weights * p.log_prob(x, sigma).exp()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-9)
    squares = float((weights * p.score(x, sigma).square().sum(-1)).sum())
    loss = float((weights * p.divergence(x, sigma)).sum()) + 0.5 * squares
    assert loss == pytest.approx(0.5 * squares if boundary else -0.5 * squares, rel=1e-9)
    if boundary:  # the number of the docstring
        assert loss == pytest.approx(1 / (2 * 0.8**2) + 1 / (2 * 1.5**2), rel=1e-9)


@every_density
def test_samples_have_the_law(p):
    """Kolmogorov-Smirnov of 1e5 draws a coordinate, p > 1e-6 each, and independent quadrants at 5 standard errors."""
    n = 100_000
    x = p.to(torch.float64).sample((n,), generator=generator(1))
    for column, b in zip(x.unbind(-1), p.scales, strict=True):
        assert scipy.stats.kstest(column.numpy(), scipy.stats.laplace(scale=b).cdf).pvalue > 1e-6
    assert abs(float(x.sign().prod(-1).mean())) * math.sqrt(n) < 5
    sizes = (x.abs() / torch.tensor(p.scales) - 1).prod(-1)  # of mean 0 and variance 1 for independent exponentials
    assert abs(float(sizes.mean())) * math.sqrt(n) < 5


def test_samples_are_finite_whatever_the_uniform_numbers_are():
    x = Laplace().sample((1_000_000,), generator=generator(2))
    assert x.dtype == torch.float32
    assert bool(x.isfinite().all())


def blurred(t, b, sigma, n):
    """p, .., p^(n): the half that comes from above obeys u' = -u/b + N/2b, the other one d' = d/b - N/2b."""
    up, down = halves(t, b, sigma)
    z = t / sigma
    hermite = [mpmath.mpf(1), z]
    for k in range(1, n + 1):
        hermite.append(z * hermite[k] - k * hermite[k - 1])
    found = [up + down]
    for k in range(n):
        normal = (-1) ** k * hermite[k] * mpmath.npdf(z) / sigma ** (k + 1)
        up, down = (normal / 2 - up) / b, (down - normal / 2) / b
        found.append(up + down)
    return found


@pytest.mark.parametrize("b", [0.01, 0.3, 1.0, 30.0])
@pytest.mark.parametrize("sigma", [0.01, 0.3, 10.0])
def test_derivatives_in_high_precision(b, sigma, log_derivatives, heat_rates, nth):
    """Of log p, score and divergence two more in x_1 and one in sigma; relative, or to 1e-9 of a unit of noise."""
    ratio = sigma / b
    places = [0.0, 1e-9, 0.3 * sigma, 5 * sigma, -b, 5 * b]
    places += [c * (sigma * abs(ratio - 6)) for c in (0.999, -1.001)]  # where the evaluation changes its form
    for place in [t for t in places if abs(t) < 100]:
        t, level = (torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in (place, sigma))
        slope, curvature = (part[0] for part in _blurred_laplace(t[None], level.new_tensor([b]), level[None])[1:])
        with mpmath.workdps(150):
            L = log_derivatives(blurred(*(mpmath.mpf(number) for number in (place, b, sigma)), n=6))
            rates = heat_rates(L, mpmath.mpf(sigma))
            L, rates = [float(part) for part in L], [float(part) for part in rates]
        for order, value in ((1, slope), (2, curvature)):
            for more in (1, 2):
                allowed = 1e-9 / sigma ** (order + more)
                assert nth(value, t, more).item() == pytest.approx(L[order + more], rel=1e-6, abs=allowed), place
            allowed = 1e-9 / sigma ** (order + 1)
            assert nth(value, level, 1).item() == pytest.approx(rates[order], rel=1e-6, abs=allowed), place
