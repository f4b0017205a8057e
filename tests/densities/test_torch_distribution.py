"""Any distribution of torch as a density."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal, StudentT

from toylab.densities import FromTorch, from_torch

METHODS = ["log_prob", "score", "divergence"]
WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]], dtype=torch.float64
)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(n, seed=0):
    return 3 * torch.randn(n, 2, dtype=torch.float64, generator=generator(seed))


def test_a_wrapped_law_has_its_log_prob_and_the_derivatives_of_it():
    distribution = MultivariateNormal(MEANS[0], COVARIANCES[0])
    p, x = from_torch(distribution), points(30)
    precision = torch.linalg.inv(COVARIANCES[0])
    assert torch.equal(p.log_prob(x), distribution.log_prob(x))
    torch.testing.assert_close(p.score(x), (MEANS[0] - x) @ precision, rtol=1e-12, atol=1e-12)
    trace = -torch.trace(precision).expand(30)
    torch.testing.assert_close(p.divergence(x), trace, rtol=1e-12, atol=1e-12)


def test_a_wrapped_student_has_the_derivatives_of_its_formula():
    """Each coordinate: s = -(nu + 1) x / (nu + x^2), s' = -(nu + 1)(nu - x^2) / (nu + x^2)^2."""
    p, x, nu = from_torch(Independent(StudentT(torch.full((2,), 3.0, dtype=torch.float64)), 1)), points(30), 3.0
    torch.testing.assert_close(p.score(x), -(nu + 1) * x / (nu + x**2), rtol=1e-12, atol=1e-12)
    expected = (-(nu + 1) * (nu - x**2) / (nu + x**2) ** 2).sum(-1)
    torch.testing.assert_close(p.divergence(x), expected, rtol=1e-11, atol=1e-12)
    log_p, s = p.log_prob_and_score(x.view(5, 6, 2), 0.0)
    assert (log_p.shape, s.shape) == ((5, 6), (5, 6, 2))
    with torch.no_grad():
        assert not p.score(x).requires_grad


def test_draws_of_a_wrapped_law_are_those_of_the_global_stream_seeded_alike():
    distribution = MixtureSameFamily(Categorical(WEIGHTS), MultivariateNormal(MEANS, COVARIANCES))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = [distribution.sample((4,)), distribution.sample((2, 3))]
        torch.manual_seed(6)
        before = torch.get_rng_state()
        p, g = from_torch(distribution), generator(5)
        assert torch.equal(p.sample((4,), generator=g), expected[0])
        assert torch.equal(p.sample((2, 3), generator=g), expected[1])  # so the generator has moved on
        assert torch.equal(torch.get_rng_state(), before)  # and the global stream has not
        torch.manual_seed(5)
        assert torch.equal(p.sample((4,)), expected[0])
    assert p.sample().shape == (2,)


def test_a_wrapped_law_keeps_its_dtype_until_told_otherwise():
    single = from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2)))
    assert (single.dtype, single.sample().dtype) == (torch.float32, torch.float32)
    assert single.to(torch.float64).sample((3,), generator=generator(0)).dtype == torch.float64
    assert from_torch(MultivariateNormal(MEANS[0], COVARIANCES[0])).dtype == torch.float64
    assert isinstance(single, FromTorch)
    assert single == from_torch(single.distribution)


@pytest.mark.parametrize("method", METHODS)
def test_a_wrapped_law_knows_its_clean_law_alone(method):
    p = from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2)))
    said = "only the clean law of a wrapped torch distribution is known, so sigma must be 0. For noised laws take"
    for sigma in (0.1, torch.tensor([0.0, 0.1, 0.0])):
        with pytest.raises(ValueError, match=f"sigma is .*: {said}"):
            getattr(p, method)(torch.zeros(3, 2), sigma)
        assert getattr(p, method)(torch.zeros(3, 2), 0 * sigma).isfinite().all()
    with pytest.raises(ValueError, match="sigma is 0.5: only the clean law of .* is known"):
        getattr(p.noised(0.5), method)(torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("distribution", "error", "said"),
    [
        (Normal(0.0, 1.0), ValueError, r"event shape \[\] and batch shape \[\]: one law on the plane has \[2\]"),
        (Normal(torch.zeros(2), 1.0), ValueError, r"event shape \[\] and batch shape \[2\].*Independent\(d, 1\)"),
        (MultivariateNormal(torch.zeros(3), torch.eye(3)), ValueError, r"event shape \[3\]"),
        (MultivariateNormal(MEANS, COVARIANCES), ValueError, r"batch shape \[3\]"),
        ("normal", TypeError, "distribution is a str: give a torch Distribution"),
    ],
)
def test_what_is_no_law_on_the_plane_is_not_wrapped(distribution, error, said):
    with pytest.raises(error, match=said):
        from_torch(distribution)
