"""Annealed Langevin: its exact moments on a normal law, its exact mode weights on two modes, by transfer operator."""

import math

import pytest
import torch

from toylab.densities import GaussianMixture, two_modes
from toylab.metrics import mode_weights
from toylab.samplers import annealed_langevin, langevin
from toylab.schedules import geometric

ONE = torch.eye(2, dtype=torch.float64)


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("first", "last", "n_levels", "n_steps", "eps"),
    [(5.0, 0.5, 4, 3, 0.3), (20.0, 0.1, 20, 5, 0.01), (3.0, 1.0, 2, 1, 1.5)],
)
def test_exact_moments_on_a_normal_law(first, last, n_levels, n_steps, eps):
    """At level i a step is affine, A = I - alpha_i/2 (C + sigma_i^2 I)^-1, alpha_i = eps sigma_i^2 / sigma_L^2.

    n = 1e5: means to .3 % of a standard deviation, variances to .45 %. From a start ten units off.
    """
    n = 100_000
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    C = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
    sigmas = geometric(first, last, n_levels).double()
    off, covariance = torch.tensor([10.0, -4.0], dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    start = (mean + off).expand(n, 2)
    for sigma in sigmas:
        alpha = eps * (sigma / sigmas[-1]) ** 2
        A = ONE - 0.5 * alpha * torch.linalg.inv(C + sigma**2 * ONE)
        for _ in range(n_steps):
            off, covariance = A @ off, A @ covariance @ A.T + alpha * ONE
    p = GaussianMixture([1.0], mean[None], C)
    chains = annealed_langevin(
        p.score, start, sigmas, step_size=eps, n_steps=n_steps, generator=generator(1), progress=False
    )
    x = chains.samples - mean - off
    for i in range(2):
        assert abs(float(x[:, i].mean())) < 5 * math.sqrt(float(covariance[i, i]) / n)
        for j in range(i + 1):
            c = float(covariance[i, j])
            error = math.sqrt((float(covariance[i, i] * covariance[j, j]) + c**2) / n)
            assert abs(float((x[:, i] * x[:, j]).mean()) - c) < 5 * error


def test_one_level_is_langevin_on_the_noised_law():
    x = torch.randn(30, 2, dtype=torch.float64, generator=generator(2))
    one = annealed_langevin(
        two_modes().score, x, torch.tensor([0.7]), step_size=0.2, n_steps=5, generator=generator(3), progress=False
    )
    density = two_modes().noised(float(torch.tensor(0.7)))
    other = langevin(density.score, x, step_size=0.2, n_steps=5, generator=generator(3), progress=False)
    torch.testing.assert_close(one.samples, other.samples, rtol=1e-12, atol=1e-12)


def test_levels_and_steps_in_their_order():
    """Every level is visited n_steps times, from the largest to the smallest."""
    seen = []

    def score(x, sigma):
        seen.append(sigma)
        return -x

    annealed_langevin(
        score,
        torch.zeros(3, 2),
        torch.tensor([4.0, 2.0, 1.0]),
        step_size=0.01,
        n_steps=2,
        progress=False,
        generator=generator(0),
    )
    assert seen == [4.0, 4.0, 2.0, 2.0, 1.0, 1.0]


def left_weight(sigmas, n_steps, eps, start_std):
    """The share of the left mode of ``two_modes`` after annealed Langevin from N(0, start_std^2 I), exactly.

    The posterior depends on u = (x_1 + x_2) / sqrt(2) alone, and so does the chain: its law is carried along a grid.
    Smooth kernels of standard deviation sqrt(alpha) >= 2 grid steps: the trapezoid rule is exact to 1e-12.
    """
    step = 0.5 * eps**0.5
    u = torch.arange(-80, 80 + step, step, dtype=torch.float64)
    means, weights = torch.tensor([-(50.0**0.5), 50.0**0.5], dtype=torch.float64), torch.tensor([0.2, 0.8]).double()

    def posterior(v):
        return (weights.log() - 0.5 * (u[:, None] - means) ** 2 / v).softmax(-1)

    p = torch.exp(-0.5 * (u / start_std) ** 2) * (step / (start_std * math.sqrt(2 * math.pi)))
    for sigma in sigmas.tolist():
        v, alpha = 1 + sigma**2, eps * (sigma / float(sigmas[-1])) ** 2
        score = (posterior(v) * (means - u[:, None]) / v).sum(-1)
        to = u + 0.5 * alpha * score
        kernel = torch.exp(-0.5 * (u[None, :] - to[:, None]) ** 2 / alpha) * (step / math.sqrt(2 * math.pi * alpha))
        for _ in range(n_steps):
            p = p @ kernel
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)
    return float(p[posterior(1.0)[:, 0] > 0.5].sum())


@pytest.mark.parametrize("n_steps", [3, 20])
def test_mode_weights_against_the_transfer_operator(n_steps):
    """Few steps leave much of the start's weights, many little: both are the algorithm's own, and known.

    n = 40,000 chains: SE of the share .0022; the two answers differ by more than ten of them, from .2 and from .5.
    """
    sigmas, eps, n = geometric(10.0, 0.5, 10).double(), 0.1, 40_000
    exact = left_weight(sigmas, n_steps, eps, start_std=10.0)
    start = 10 * torch.randn(n, 2, dtype=torch.float64, generator=generator(4))
    chains = annealed_langevin(
        two_modes().score, start, sigmas, step_size=eps, n_steps=n_steps, generator=generator(5), progress=False
    )
    share = mode_weights(chains.samples, two_modes())[0].value
    assert abs(share - exact) < 5 * math.sqrt(exact * (1 - exact) / n)
    assert abs(exact - 0.5) > 0.02


def test_a_step_beyond_the_bound_diverges():
    """Stable at the last level iff eps < 4 (v + sigma_L^2) = 4.04 on N(0, I)."""
    sigmas, x = torch.tensor([0.2, 0.1]), torch.ones(10, 2)
    p = GaussianMixture([1.0], [[0.0, 0.0]], ONE)
    with pytest.warns(RuntimeWarning, match="diverged"):
        chains = annealed_langevin(
            p.score, x, sigmas, step_size=40.0, n_steps=100, generator=generator(6), progress=False
        )
    assert chains.diverged.all()
