"""Gaussian mixtures to and from torch, scikit-learn and scipy."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from torch.distributions import (
    Categorical,
    Independent,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
)

from toylab.densities import GaussianMixture, two_modes

METHODS = ["log_prob", "score", "divergence"]
WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]], dtype=torch.float64
)
MIXTURE = GaussianMixture(WEIGHTS, MEANS, COVARIANCES)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(n, seed=0):
    return 3 * torch.randn(n, 2, dtype=torch.float64, generator=generator(seed))


# Gaussian mixtures and torch.


def test_from_a_multivariate_normal():
    distribution = MultivariateNormal(MEANS[0], COVARIANCES[0])
    p, x = GaussianMixture.from_torch(distribution), points(30)
    assert p.weights.tolist() == [1.0]
    torch.testing.assert_close(p.log_prob(x), distribution.log_prob(x), rtol=1e-12, atol=1e-12)
    wider = MultivariateNormal(MEANS[0], COVARIANCES[0] + 0.49 * torch.eye(2).double())  # it knows the noised law
    torch.testing.assert_close(p.log_prob(x, 0.7), wider.log_prob(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "parts",
    [MultivariateNormal(MEANS, COVARIANCES), Independent(Normal(MEANS, MEANS.abs() + 0.5), 1)],
    ids=["full", "independent"],
)
def test_from_a_mixture_of_torch(parts):
    distribution = MixtureSameFamily(Categorical(WEIGHTS), parts)
    p, x = GaussianMixture.from_torch(distribution), points(30)
    torch.testing.assert_close(p.log_prob(x), distribution.log_prob(x), rtol=1e-12, atol=1e-12)


def test_from_float32_weights_that_sum_to_one_only_roughly():
    distribution = MixtureSameFamily(
        Categorical(torch.full((3,), 1 / 3)), MultivariateNormal(MEANS.float(), torch.eye(2))
    )
    p = GaussianMixture.from_torch(distribution)
    assert float(p.weights.sum()) == pytest.approx(1, abs=1e-15)
    torch.testing.assert_close(p.log_prob(points(9).float()), distribution.log_prob(points(9).float()))


def test_to_torch_and_back():
    distribution, x = MIXTURE.to_torch(), points(30)
    assert isinstance(distribution, MixtureSameFamily)
    torch.testing.assert_close(distribution.log_prob(x), MIXTURE.log_prob(x), rtol=1e-12, atol=1e-12)
    back = GaussianMixture.from_torch(distribution)
    torch.testing.assert_close(back.weights, MIXTURE.weights, rtol=1e-15, atol=0)
    torch.testing.assert_close(back.means, MIXTURE.means, rtol=0, atol=0)
    torch.testing.assert_close(back.covariances, MIXTURE.covariances, rtol=1e-15, atol=1e-16)
    assert MIXTURE.to(torch.float32).to_torch().sample((3,)).dtype == torch.float32


@pytest.mark.parametrize(
    ("distribution", "error", "said"),
    [
        (Independent(StudentT(torch.ones(2)), 1), TypeError, "give a MultivariateNormal, or a MixtureSameFamily"),
        (Independent(LogNormal(MEANS[0], 1.0), 1), TypeError, "there is densities.from_torch"),
        (Normal(0.0, 1.0), TypeError, "give a MultivariateNormal"),
        (3, TypeError, "distribution is 3: give a MultivariateNormal"),
        (MultivariateNormal(torch.zeros(3), torch.eye(3)), ValueError, r"event shape \[3\] and batch shape \[\]"),
        (MultivariateNormal(MEANS, COVARIANCES), ValueError, r"event shape \[2\] and batch shape \[3\]: one law"),
    ],
    ids=["student", "lognormal", "one number", "no law", "three dimensions", "a batch"],
)
def test_what_is_no_gaussian_mixture_is_refused(distribution, error, said):
    with pytest.raises(error, match=said):
        GaussianMixture.from_torch(distribution)


# Gaussian mixtures and scikit-learn, by the names and shapes of its arrays.

TIED = [[1.0, 0.6], [0.6, 0.8]]


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("full", COVARIANCES.numpy(), COVARIANCES.numpy()),
        ("tied", TIED, [TIED] * 3),
        ("diag", [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [np.diag([a, a + 1]) for a in (1.0, 3.0, 5.0)]),
        ("spherical", [0.5, 1.5, 2.5], [a * np.eye(2) for a in (0.5, 1.5, 2.5)]),
    ],
)
@pytest.mark.parametrize("told", [True, False], ids=["told", "by its shape"])
def test_from_each_kind_of_sklearn_mixture(kind, given, expected, told):
    fitted = SimpleNamespace(weights_=WEIGHTS.numpy(), means_=MEANS.numpy(), covariances_=np.array(given))
    if told:
        fitted.covariance_type = kind
    p = GaussianMixture.from_sklearn(fitted)
    torch.testing.assert_close(p.weights, WEIGHTS, rtol=1e-15, atol=0)
    assert p.means.tolist() == MEANS.tolist()
    assert p.covariances.tolist() == np.array(expected).tolist()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("diag", [np.diag([2.0, 0.5]), np.diag([0.5, 3.0])]), ("tied", [[[2.0, 0.5], [0.5, 3.0]]] * 2)],
)
def test_of_two_components_the_kind_must_decide(kind, expected):
    """[2, 2] is one matrix for both, or two variances for each."""
    fitted = SimpleNamespace(
        weights_=[0.5, 0.5], means_=[[0, 1], [2, 3]], covariances_=[[2.0, 0.5], [0.5, 3.0]], covariance_type=kind
    )
    assert GaussianMixture.from_sklearn(fitted).covariances.tolist() == np.array(expected).tolist()


def test_what_was_not_fitted_is_refused():
    with pytest.raises(TypeError, match="fitted is a SimpleNamespace and .*weights_.*: fit the mixture first"):
        GaussianMixture.from_sklearn(SimpleNamespace(covariance_type="full"))


def test_to_sklearn_gives_what_its_score_samples_needs():
    """scikit-learn's own formula: log det from the diagonal of precisions_cholesky_, and |x P - m P|^2."""
    arrays, x = MIXTURE.to_sklearn(), points(30)
    log_joint = []
    for w, m, P in zip(arrays["weights_"], arrays["means_"], arrays["precisions_cholesky_"], strict=True):
        y = x.numpy() @ P - m @ P
        log_joint.append(math.log(w) + np.log(np.diagonal(P)).sum() - 0.5 * (2 * math.log(2 * math.pi) + (y**2).sum(1)))
    expected = torch.as_tensor(scipy.special.logsumexp(log_joint, axis=0))
    torch.testing.assert_close(MIXTURE.log_prob(x), expected, rtol=1e-12, atol=1e-12)
    identity = arrays["precisions_"] @ arrays["covariances_"]
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-14)


def test_to_sklearn_and_back():
    fitted = SimpleNamespace(covariance_type="full", **MIXTURE.to_sklearn())
    fitted.weights_ += 0  # arrays of its own, which may be changed
    back = GaussianMixture.from_sklearn(fitted)
    assert back.means.tolist() == MEANS.tolist()
    assert back.covariances.tolist() == COVARIANCES.tolist()
    fitted.means_ += 1
    assert MIXTURE.means.tolist() == MEANS.tolist()


# Gaussian mixtures and scipy.

DATA = points(40, seed=1) @ torch.tensor([[1.0, 0.4], [0.0, 0.7]], dtype=torch.float64)


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 41.0)], ids=["equal", "weighted"])
@pytest.mark.parametrize("bandwidth", [None, "silverman", 0.3])
def test_from_a_kernel_estimate_and_back(weights, bandwidth):
    kde, x = scipy.stats.gaussian_kde(DATA.T.numpy(), bw_method=bandwidth, weights=weights), points(30)
    p = GaussianMixture.from_scipy(kde)
    expected = torch.as_tensor(kde.logpdf(x.T.numpy()))
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-10, atol=1e-10)
    back = p.to_scipy()
    assert isinstance(back, scipy.stats.gaussian_kde)
    np.testing.assert_allclose(back.logpdf(x.T.numpy()), expected.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(back.covariance, kde.covariance, rtol=1e-12)


def test_what_is_no_kernel_estimate_of_the_plane_is_refused():
    with pytest.raises(TypeError, match="kde is a int and .*: give a scipy.stats.gaussian_kde"):
        GaussianMixture.from_scipy(3)
    in_space = scipy.stats.gaussian_kde(np.random.RandomState(0).randn(3, 20))
    with pytest.raises(ValueError, match=r"means has shape \[20, 3\]: for 20 weights give shape \[20, 2\]"):
        GaussianMixture.from_scipy(in_space)


@pytest.mark.parametrize(
    "p",
    [MIXTURE, two_modes(), GaussianMixture(WEIGHTS, MEANS, torch.eye(2)), GaussianMixture([1.0], MEANS[:1], TIED)],
    ids=["many covariances", "two points", "another covariance", "one point"],
)
def test_what_a_kernel_estimate_cannot_be_is_refused(p):
    with pytest.raises(ValueError, match="gives all its points one covariance, .*: this mixture does not"):
        p.to_scipy()
