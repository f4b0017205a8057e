"""The identities between the objectives, by quadrature: no random number, and ten digits.

G3 is the correlated mixture of ``toylab.testing``, and the models are fields that are no gradient.
"""

import math

import numpy as np
import pytest
import torch

from toylab.densities import Points
from toylab.densities.quadrature import expectation, fisher_information
from toylab.objectives import Denoising, Explicit, Implicit, Sliced, denoising
from toylab.testing import MIXTURE as G3

A = torch.tensor([[-0.7, 0.4], [0.1, -1.1]], dtype=torch.float64)
DATA = torch.tensor([[-1.0, 0.3], [0.5, 2.0], [1.5, -0.7], [0.2, 0.1]], dtype=torch.float64)


def model(x):
    return x @ A.T + 0.3 + torch.stack([x[..., 1].sin(), (x[..., 0] + 0.5).cos()], -1)


def other_model(x):
    return -0.2 * x + torch.stack([(x[..., 0] - 0.4).sin() * 0.5, x[..., 1].cos()], -1)


MODELS = pytest.mark.parametrize("s", [model, other_model])


def gauss_hermite(n, d):
    """Nodes [n^d, d] and weights [n^d] with which to average over N(0, I)."""
    t, w = (torch.as_tensor(part) for part in np.polynomial.hermite_e.hermegauss(n))
    weights = torch.cartesian_prod(*[w / math.sqrt(2 * math.pi)] * d).view(-1, d).prod(-1)
    return torch.cartesian_prod(*[t] * d).view(-1, d), weights


def mean_of(objective, s, monkeypatch, n=24):
    """E of a denoising loss over G3 and the noise: Gauss-Hermite in four dimensions, one component at a time."""
    nodes, weights = gauss_hermite(n, 4)
    kept = weights > 1e-22
    nodes, weights = nodes[kept], weights[kept]
    monkeypatch.setattr(denoising, "normal_like", lambda x, generator: nodes[:, 2:])
    total = 0.0
    for w, m, c in zip(G3.weights, G3.means, G3.covariances, strict=True):
        x = m + nodes[:, :2] @ torch.linalg.cholesky(c).T
        total += float(w * (weights * objective(s, x)).sum())
    return total


def explicit(s, sigma):
    loss = Explicit(lambda x: G3.score(x, sigma))
    return expectation(lambda x: loss(s, x), G3, sigma)


def implicit(s, sigma):
    return expectation(lambda x: Implicit()(s, x), G3, sigma)


@MODELS
@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0, 2.0])
def test_denoising_is_explicit_up_to_a_constant(s, sigma, monkeypatch):
    """Vincent's theorem: J_DSM - J_ESM = 1/sigma^2 - I(p_sigma)/2 (d = 2), whatever the model."""
    gap = mean_of(Denoising(sigma), s, monkeypatch) - explicit(s, sigma)
    assert gap == pytest.approx(1 / sigma**2 - 0.5 * fisher_information(G3, sigma), rel=1e-10)
    assert gap == pytest.approx(-Denoising(sigma).offset(G3), rel=1e-10)


@MODELS
@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("options", [{"antithetic": True}, {"control_variate": True}])
def test_the_options_of_denoising_keep_its_mean(s, sigma, options, monkeypatch):
    plain = mean_of(Denoising(sigma), s, monkeypatch)
    assert mean_of(Denoising(sigma, **options), s, monkeypatch) == pytest.approx(plain, rel=1e-10)


@MODELS
@pytest.mark.parametrize("sigma", [0.0, 0.3, 2.0])
def test_implicit_is_explicit_up_to_half_the_fisher_information(s, sigma):
    """Hyvarinen's theorem: J_ISM - J_ESM = -I(p)/2."""
    gap = implicit(s, sigma) - explicit(s, sigma)
    assert gap == pytest.approx(-0.5 * fisher_information(G3, sigma), rel=1e-10)
    if sigma == 0:
        assert gap == pytest.approx(-Implicit().offset(G3), rel=1e-10)


@MODELS
@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0, 2.0])
def test_denoising_is_implicit_on_the_noised_law(s, sigma, monkeypatch):
    """J_DSM(sigma) = J_ISM(p_sigma) + 1/sigma^2 (d = 2), exactly."""
    assert mean_of(Denoising(sigma), s, monkeypatch) == pytest.approx(implicit(s, sigma) + 1 / sigma**2, rel=1e-10)


@MODELS
@pytest.mark.parametrize("variance_reduced", [True, False])
@pytest.mark.parametrize("n", [3, 4, 7])
def test_sliced_is_implicit_in_the_mean_over_directions(s, variance_reduced, n):
    """Directions at n equal angles, of radius sqrt(2): the mean of any quadratic form over them is its trace."""
    angles = 0.1 + 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    v = math.sqrt(2) * torch.stack([angles.cos(), angles.sin()], -1)
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sliced = Sliced(n, lambda x, generator: v[:, None].expand_as(x), variance_reduced)
    torch.testing.assert_close(sliced(s, x), Implicit()(s, x), rtol=1e-12, atol=1e-12)


@MODELS
@pytest.mark.parametrize("h", [0.2, 0.5, 1.0])
def test_explicit_on_a_kernel_estimate_is_denoising_on_the_data(s, h, monkeypatch):
    """J_KDE + C = J_DSM on the empirical law, with h = sigma, C = 1/h^2 - I(kernel estimate)/2."""
    nodes, weights = gauss_hermite(60, 2)
    monkeypatch.setattr(denoising, "normal_like", lambda x, generator: nodes)
    kernel = Points(DATA).noised(h)
    loss = sum(float((weights * Denoising(h)(s, y.expand(len(nodes), 2))).sum()) for y in DATA) / len(DATA)
    against = expectation(lambda x: Explicit(kernel.score)(s, x), kernel)
    assert loss == pytest.approx(against + 1 / h**2 - 0.5 * fisher_information(kernel), rel=1e-12)
    assert loss + Denoising(h).offset(Points(DATA)) == pytest.approx(against, rel=1e-10)
