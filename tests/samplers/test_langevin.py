"""Langevin dynamics on normal laws, where the law of the chain is known exactly at every step."""

import math

import pytest
import torch

from toylab.densities import GaussianMixture
from toylab.samplers import langevin, langevin_step

ONE = torch.eye(2, dtype=torch.float64)
MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
ROUND = ONE
CORRELATED = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)  # eigenvalues .29 and 1.51

# Means are known to .3 % of a standard deviation and variances to sqrt(2 / N) = .45 %: the smallest bias here,
# eps / 4 = 2.5 % of a variance 1 at eps = .1, is at 5.6 SE, every other at more than 10.
N = 100_000


def generator(seed):
    return torch.Generator().manual_seed(seed)


def assert_normal(x, mean, covariance):
    """z-tests of mean and covariance of a sample of N(mean, covariance), with the exact standard errors."""
    n = len(x)
    off = x - mean
    for i in range(2):
        assert abs(float(off[:, i].mean())) < 5 * math.sqrt(float(covariance[i, i]) / n)
        for j in range(i + 1):
            c = float(covariance[i, j])
            error = math.sqrt((float(covariance[i, i] * covariance[j, j]) + c**2) / n)
            assert abs(float((off[:, i] * off[:, j]).mean()) - c) < 5 * error


def run(covariance, x, eps, n_steps, seed=2):
    p = GaussianMixture([1.0], MEAN[None], covariance)
    return langevin(p.score, x, step_size=eps, n_steps=n_steps, generator=generator(seed), progress=False).samples


@pytest.mark.parametrize(
    ("covariance", "eps"),
    [(ROUND, 0.1), (ROUND, 1.5), (ROUND, 3.0), (CORRELATED, 1.0)],
)
def test_keeps_its_own_law(covariance, eps):
    """Per eigenvalue v of the covariance the variance is v / (1 - eps / (4 v)): more steps than in the contract."""
    v, axes = torch.linalg.eigh(covariance)
    stationary = axes @ torch.diag(v / (1 - eps / (4 * v))) @ axes.T
    z = torch.randn(N, 2, dtype=torch.float64, generator=generator(1))
    start = MEAN + z @ torch.linalg.cholesky(stationary).T
    assert_normal(run(covariance, start, eps, 15), MEAN, stationary)


@pytest.mark.parametrize("eps", [0.3, 1.0])
def test_reaches_its_own_law_from_exact_samples(eps):
    """The least contraction per step, 1 - eps / (2 * 1.51), leaves less than 1e-3 of the gap after these steps."""
    v, axes = torch.linalg.eigh(CORRELATED)
    n_steps = math.ceil(math.log(1e-3) / (2 * math.log(1 - eps / (2 * float(v[1])))))
    z = torch.randn(N, 2, dtype=torch.float64, generator=generator(3))
    start = MEAN + z @ torch.linalg.cholesky(CORRELATED).T
    stationary = axes @ torch.diag(v / (1 - eps / (4 * v))) @ axes.T
    assert_normal(run(CORRELATED, start, eps, n_steps), MEAN, stationary)


@pytest.mark.parametrize("n_steps", [1, 2, 7])
@pytest.mark.parametrize("step_size", [0.4, lambda k: 0.8 / (k + 1)], ids=["constant", "a schedule"])
def test_moments_after_a_few_steps_from_a_point(step_size, n_steps):
    """A step is affine: mean <- A mean + b and covariance <- A C A^T + eps I, with A = I - eps/2 C^-1."""
    off, covariance = torch.tensor([3.0, 4.0], dtype=torch.float64) - MEAN, torch.zeros(2, 2, dtype=torch.float64)
    start = (MEAN + off).expand(N, 2)
    for k in range(n_steps):
        eps = step_size(k) if callable(step_size) else step_size
        A = ONE - 0.5 * eps * torch.linalg.inv(CORRELATED)
        off, covariance = A @ off, A @ covariance @ A.T + eps * ONE
    assert_normal(run(CORRELATED, start, step_size, n_steps), MEAN + off, covariance)


def test_drift_is_half_the_step_times_the_score():
    """With the same noise the step with a score and the step without differ by eps/2 s(x)."""
    x = torch.randn(20, 2, dtype=torch.float64, generator=generator(4))
    with_score = langevin_step(lambda x: torch.sin(3 * x) - x, x, 0.3, generator=generator(5))
    without = langevin_step(torch.zeros_like, x, 0.3, generator=generator(5))
    torch.testing.assert_close(with_score - without, 0.15 * (torch.sin(3 * x) - x), rtol=1e-12, atol=1e-12)


def test_noise_has_variance_eps():
    x = torch.zeros(N, 2, dtype=torch.float64)
    for eps in (0.01, 2.0):
        assert_normal(langevin_step(torch.zeros_like, x, eps, generator=generator(6)), x[0], eps * ONE)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.5])
def test_a_step_size_that_is_a_tensor_is_the_number(temperature):
    """One for all points, or one per point, as a column."""
    x = torch.randn(6, 2, dtype=torch.float64, generator=generator(10))
    sizes = torch.tensor([0.1, 0.4, 0.9, 0.1, 0.4, 0.9], dtype=torch.float64)[:, None]

    def step(eps):
        return langevin_step(torch.neg, x, eps, temperature=temperature, generator=generator(11))

    torch.testing.assert_close(step(torch.tensor(0.4, dtype=torch.float64)), step(0.4), rtol=1e-14, atol=1e-14)
    each = torch.where(sizes == 0.1, step(0.1), torch.where(sizes == 0.4, step(0.4), step(0.9)))
    torch.testing.assert_close(step(sizes), each, rtol=1e-14, atol=1e-14)


def test_the_loop_is_the_step_repeated():
    x = torch.randn(5, 2, dtype=torch.float64, generator=generator(7))
    g, y = generator(8), x
    for _ in range(4):
        y = langevin_step(torch.neg, y, 0.2, generator=g)
    chains = langevin(torch.neg, x, step_size=0.2, n_steps=4, generator=generator(8), progress=False)
    assert torch.equal(chains.samples, y)


def test_explodes_from_four_variances_on():
    """At eps = 4 v the chain is x' = -x + noise, a random walk; above it every chain grows without bound."""
    x = torch.ones(100, 2)
    still = langevin(torch.neg, x, step_size=3.9, n_steps=400, generator=generator(9), progress=False)
    assert not still.diverged.any()
    with pytest.warns(RuntimeWarning, match=r"100 of 100 chains diverged .* Take a smaller step_size"):
        gone = langevin(torch.neg, x, step_size=8.0, n_steps=400, generator=generator(9), progress=False)
    assert gone.diverged.all()
