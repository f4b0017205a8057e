"""The law of the clean point given the noisy one: against closed forms on normal laws, and quadrature on others."""

import pytest
import torch

from toylab.densities import GaussianMixture, Points, ring, two_modes
from toylab.metrics import posterior_covariance, posterior_covariance_at, posterior_mean, posterior_mean_at
from toylab.networks import NoiseConditionalMLP
from toylab.samplers import clean_point, denoised
from toylab.sde import VE, VP, SubVP

COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
NORMAL = GaussianMixture([1.0], MEAN[None], COVARIANCE)
MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
SDES = {"VE": VE(), "VP": VP(), "sub-VP": SubVP()}


def points(n=8):
    return 2 * torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def moments(places, log_weights):
    """Mean [n, 2] and covariance [n, 2, 2] of weighted places [m, 2], log weights [n, m]."""
    w = log_weights.softmax(-1)
    mean = w @ places
    off = places - mean[:, None]
    return mean, torch.einsum("nm,nmi,nmj->nij", w, off, off)


def by_quadrature(p, x, alpha, sigma):
    """Bayes' rule on a fine grid of clean points: p(x_0) N(x; alpha x_0, sigma^2 I), by the trapezoid rule."""
    ticks = torch.linspace(-9, 9, 241, dtype=torch.float64)
    clean = torch.cartesian_prod(ticks, ticks)
    log_kernel = -(x[:, None] - alpha * clean).square().sum(-1) / (2 * sigma**2)
    return moments(clean, p.log_prob(clean) + log_kernel)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 3.0, 20.0])
def test_a_normal_law(sigma):
    """Precisions add: C' = (C^-1 + I / sigma^2)^-1 and the mean is C' (C^-1 m + x / sigma^2)."""
    x, one = points(), torch.eye(2, dtype=torch.float64)
    precision = torch.linalg.inv(COVARIANCE)
    covariance = torch.linalg.inv(precision + one / sigma**2)
    mean = (precision @ MEAN + x / sigma**2) @ covariance
    torch.testing.assert_close(posterior_mean(NORMAL.score, x, sigma), mean, rtol=1e-9, atol=1e-9)
    found = posterior_covariance(NORMAL.score, x, sigma)
    torch.testing.assert_close(found, covariance.expand(8, 2, 2), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p", [MIXTURE, two_modes().scaled(0.4), ring(std=0.4)], ids=["mixture", "two modes", "ring"])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_mixtures_by_quadrature(p, sigma):
    mean, covariance = by_quadrature(p, points(), 1.0, sigma)
    torch.testing.assert_close(posterior_mean(p.score, points(), sigma), mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(posterior_covariance(p.score, points(), sigma), covariance, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
@pytest.mark.parametrize("t", [0.3, 0.6])
def test_at_a_time_of_an_sde(sde, t):
    x = points() * float(sde.alpha(t) + sde.sigma(t)) / 2
    mean, covariance = by_quadrature(MIXTURE, x, float(sde.alpha(t)), float(sde.sigma(t)))
    torch.testing.assert_close(posterior_mean_at(sde, MIXTURE.score, x, t), mean, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(posterior_covariance_at(sde, MIXTURE.score, x, t), covariance, rtol=1e-7, atol=1e-7)


def test_data_are_an_average_over_themselves():
    """The empirical law: weights N(x; x_i, sigma^2 I), and moments of the data under them."""
    data, x, sigma = points(30), points(5), 0.8
    mean, covariance = moments(data, -(x[:, None] - data).square().sum(-1) / (2 * sigma**2))
    torch.testing.assert_close(posterior_mean(Points(data).score, x, sigma), mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(posterior_covariance(Points(data).score, x, sigma), covariance, rtol=1e-10, atol=1e-10)


def test_one_level_a_point_and_one_time_a_point():
    x, levels = points(), torch.linspace(0.2, 3.0, 8, dtype=torch.float64)
    times = torch.linspace(0.1, 1.0, 8, dtype=torch.float64)
    for whole, single in [
        (posterior_mean(MIXTURE.score, x, levels), lambda y, s, t: posterior_mean(MIXTURE.score, y, s)),
        (posterior_covariance(MIXTURE.score, x, levels), lambda y, s, t: posterior_covariance(MIXTURE.score, y, s)),
        (posterior_mean_at(VP(), MIXTURE.score, x, times), lambda y, s, t: clean_point(VP(), MIXTURE.score, y, t)),
        (
            posterior_covariance_at(VP(), MIXTURE.score, x, times),
            lambda y, s, t: posterior_covariance_at(VP(), MIXTURE.score, y, t),
        ),
    ]:
        each = [single(y, float(s), float(t)) for y, s, t in zip(x, levels, times, strict=True)]
        torch.testing.assert_close(whole, torch.stack(each), rtol=1e-9, atol=1e-9)


def test_networks_are_taken_and_leave_no_graph():
    network, x = NoiseConditionalMLP(8, generator=torch.Generator().manual_seed(1)), points().float()
    assert posterior_covariance(network, x, 0.5).shape == (8, 2, 2)
    assert not posterior_covariance(network, x, 0.5).requires_grad
    mean = posterior_mean(network, x, 0.5)
    assert not mean.requires_grad
    torch.testing.assert_close(mean, denoised(network, x, 0.5).detach())


def test_a_field_with_curl_has_no_symmetric_covariance():
    def turning(x, sigma):
        return torch.stack([-x[..., 1], x[..., 0]], -1)

    found = posterior_covariance(turning, points(), 1.0)
    torch.testing.assert_close(found[0], torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("f", [posterior_mean, posterior_covariance])
def test_bad_input_is_refused(f):
    with pytest.raises(ValueError, match="sigma is -1"):
        f(MIXTURE.score, points(), -1.0)
    with pytest.raises(TypeError, match="score is a GaussianMixture: give a function, for example p.score"):
        f(MIXTURE, points(), 1.0)
    with pytest.raises(ValueError, match="x has shape"):
        f(MIXTURE.score, torch.zeros(3), 1.0)


@pytest.mark.parametrize("f", [posterior_mean_at, posterior_covariance_at])
def test_bad_input_at_a_time_is_refused(f):
    with pytest.raises(TypeError, match="sde is the class VP"):
        f(VP, MIXTURE.score, points(), 0.5)
    with pytest.raises(TypeError, match="score is a"):
        f(VP(), None, points(), 0.5)
