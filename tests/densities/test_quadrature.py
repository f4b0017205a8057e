"""Expectations by quadrature against closed forms."""

import math
import time
from dataclasses import dataclass

import pytest
import torch

from toylab import ToylabWarning
from toylab.densities import Banana, Circle, Density, Funnel, GaussianMixture, grid, isotropic, two_modes
from toylab.densities.quadrature import expectation, fisher_information, refined_expectation

MIXTURE = GaussianMixture([0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]])


def gaussian(v):
    return GaussianMixture([1.0], [[1.0, -2.0]], [[v, 0.0], [0.0, v]])


@pytest.mark.parametrize("v", [0.01, 1.0, 9.0])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 20.0])
def test_fisher_information_of_a_gaussian(v, sigma):
    """I(p_sigma) = d / (v + sigma^2)."""
    assert fisher_information(gaussian(v), sigma) == pytest.approx(2 / (v + sigma**2), rel=1e-10)
    if sigma:
        assert fisher_information(gaussian(v).noised(sigma)) == pytest.approx(2 / (v + sigma**2), rel=1e-10)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 10.0])
def test_fisher_information_of_a_correlated_gaussian(sigma):
    """I(p_sigma) = tr (C + sigma^2 I)^-1, the trace over the determinant being the inverse's for two rows."""
    p = GaussianMixture([1.0], [[0.0, 0.0]], [[1.0, 0.6], [0.6, 0.8]])
    a, b = 1.0 + sigma**2, 0.8 + sigma**2
    assert fisher_information(p, sigma) == pytest.approx((a + b) / (a * b - 0.36), rel=1e-10)


def test_fisher_information_of_far_modes_is_that_of_one():
    assert fisher_information(grid(2, spacing=10.0, std=0.5)) == pytest.approx(2 / 0.25, rel=1e-10)


def test_fisher_information_of_the_banana():
    """I(p) = E|s|^2 = 1/scale^2 + 1/width^2 + 4 bend^2 scale^2 / width^2."""
    p = Banana(scale=1.0, width=0.8, bend=0.2)
    assert fisher_information(p) == pytest.approx(1 + (1 + 4 * 0.04) / 0.64, rel=1e-9)


@pytest.mark.parametrize("sigma", [0.2, 2.0])
def test_fisher_information_by_parts(sigma):
    """E|s|^2 = -E div s: the two sides share no formula."""
    for p in (two_modes(), MIXTURE, Circle()):
        by_parts = -expectation(lambda x, p=p: p.divergence(x, sigma), p, sigma)
        assert fisher_information(p, sigma) == pytest.approx(by_parts, rel=1e-9)


@pytest.mark.parametrize("sigma", [0.0, 3.0])
def test_moments_of_a_mixture(sigma):
    w, m, C = MIXTURE.weights, MIXTURE.means, MIXTURE.covariances + sigma**2 * torch.eye(2)
    assert expectation(lambda x: torch.ones(len(x)), MIXTURE, sigma) == pytest.approx(1, rel=1e-14)
    assert expectation(lambda x: x[:, 0], MIXTURE, sigma) == pytest.approx(float(w @ m[:, 0]), rel=1e-10)
    second = float((w * (C[:, 0, 1] + m[:, 0] * m[:, 1])).sum())
    assert expectation(lambda x: x[:, 0] * x[:, 1], MIXTURE, sigma) == pytest.approx(second, rel=1e-10, abs=1e-12)


def test_moments_of_the_noised_circle_and_of_the_banana():
    circle = Circle(radius=2.0, center=(1.0, 0.0))
    assert expectation(lambda x: x.square().sum(-1), circle, 0.5) == pytest.approx(4 + 1 + 2 * 0.25, rel=1e-10)
    banana = Banana(scale=1.0, width=0.8, bend=0.5)
    assert expectation(lambda x: x[:, 1], banana) == pytest.approx(0, abs=1e-9)
    assert expectation(lambda x: x[:, 1] ** 2, banana) == pytest.approx(2 * 0.25 + 0.64, rel=1e-9)


def test_values_that_overflow_where_there_is_no_mass_do_no_harm():
    """E exp(|x|^2 / 4) under N(0, I) is 2; log p goes through -inf at the edges of the grid."""
    p = GaussianMixture([1.0], [[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    assert expectation(lambda x: p.log_prob(x), p) == pytest.approx(-1 - math.log(2 * math.pi), rel=1e-10)


def test_a_density_too_narrow_for_a_grid_is_refused():
    narrow = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [100.0, 100.0]], [[1e-6, 0.0], [0.0, 1e-6]])
    with pytest.raises(ValueError, match=r"the density varies over 0.001 .*nodes. Raise sigma, or estimate by Monte"):
        expectation(lambda x: x[:, 0], narrow)


def test_a_law_without_a_density_says_so():
    with pytest.raises(ValueError, match="Give a noise level sigma > 0"):
        fisher_information(Circle(), 0.0)


@dataclass(frozen=True, eq=False)
class Wrong(Density):
    """N(0, I) times a mass, on bounds and with a length scale as given."""

    mass: float = 1.0
    reach: float = 9.0
    length: float = 1.0

    def log_prob(self, x, sigma=0.0):
        return math.log(self.mass / (2 * math.pi)) - 0.5 * x.square().sum(-1)

    def sample(self, sample_shape=(), *, generator=None):
        return torch.randn(*sample_shape, 2, generator=generator)

    def bounds(self, sigma=0.0):
        corner = torch.full((2,), self.reach, dtype=torch.float64)
        return -corner, corner

    def length_scale(self, sigma=0.0):
        return self.length


def test_a_density_that_is_not_normalised_on_its_bounds_is_refused():
    assert expectation(lambda x: x.square().sum(-1), Wrong()) == pytest.approx(2, rel=1e-10)
    for wrong, mass in [(Wrong(mass=1.001), "1.001"), (Wrong(reach=2.0), "0.9"), (Wrong(length=60.0), "")]:
        with pytest.raises(ValueError, match=rf"the density has mass {mass}.* on its own bounds\(sigma=0.0\)"):
            expectation(lambda x: x[:, 0], wrong)


def test_a_grid_is_refined_until_it_resolves_the_function():
    """E cos(k x) under N(0, 1) is e^(-k^2 / 2): of k = 19 a grid of 3 to a standard deviation sees a constant."""
    p = isotropic([[0.0, 0.0]], 1.0)
    assert refined_expectation(lambda x: (3 * x[:, 0]).cos(), p) == pytest.approx(math.exp(-4.5), abs=1e-12)
    for k in (19, 25):
        assert refined_expectation(lambda x, k=k: (k * x[:, 0]).cos() + x[:, 1] ** 2, p) == pytest.approx(1, abs=1e-9)


def test_kinks_and_jumps_along_an_axis_are_found():
    """Of a standard normal, P(x > 0.1) and E|x - 0.1| = 2 phi(0.1) + 0.1 (2 Phi(0.1) - 1)."""
    p = isotropic([[0.0, 0.0]], 1.0)
    above = 0.5 * math.erfc(0.1 / math.sqrt(2))
    assert refined_expectation(lambda x: 1e3 * (x[:, 0] > 0.1), p) == pytest.approx(1e3 * above, rel=1e-7)
    folded = 2 * math.exp(-0.005) / math.sqrt(2 * math.pi) + 0.1 * (1 - 2 * above)
    assert refined_expectation(lambda x: 100 * (x[:, 1] - 0.1).abs(), p) == pytest.approx(100 * folded, rel=1e-7)


def test_a_law_that_is_narrow_against_its_tails():
    """-E log p of the funnel is that of its two normal numbers, and E V^2 = 1; it varies over .011 of 1,600."""
    p = Funnel(1.0)
    assert -refined_expectation(p.log_prob, p) == pytest.approx(1 + math.log(2 * math.pi), rel=1e-9)
    assert refined_expectation(lambda x: x[:, 0].square(), p) == pytest.approx(1.0, rel=1e-8)
    assert refined_expectation(lambda x: (x[:, 0] > 50).log().abs(), p) == math.inf
    with pytest.raises(ValueError, match="f is nan"):
        refined_expectation(lambda x: x[:, 0] * math.nan, p)


def test_what_takes_long_is_announced():
    """By the first 4,096 of some millions of nodes: a fifth of a second for these are more than a minute for all."""
    p = isotropic([[0.0, 0.0], [20.0, 20.0]], 0.4)

    class TooSlow(Exception):
        pass

    calls = []

    def slow(x):
        calls.append(len(x))
        if len(calls) > 1:
            raise TooSlow
        time.sleep(0.2)
        return x[:, 0]

    with pytest.warns(ToylabWarning, match="takes about"), pytest.raises(TooSlow):
        expectation(slow, p, per_length=48)


def test_what_does_not_settle_is_told():
    p = isotropic([[0.0, 0.0]], 1.0)
    with pytest.raises(ValueError, match="the expectation has not settled: .* Raise sigma, or estimate by Monte Carlo"):
        refined_expectation(lambda x: 1e3 * (x.sum(-1) > 0.1), p)
    with pytest.raises(ValueError, match="f is nan"):
        refined_expectation(lambda x: x[:, 0] * math.nan, p)
    assert refined_expectation(lambda x: -x[:, 0].log().nan_to_num(math.inf), p) == -math.inf
