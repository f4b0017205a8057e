"""Getting MALA right (Geweke 2004, section 3): two ways to draw parameters and data together must give one law.

A parameter t from a mixture and data y ~ N(t, s^2 I) have a joint law whose moments are known. The other way keeps the
data in the loop: t moves by one step of MALA on p(t | y), then y is drawn anew. If MALA keeps every posterior, the
joint law stays; each chain has a posterior of its own, so that the kernel is tried on 100,000 targets a round.
"""

import math

import pytest
import torch

from tests.contracts.test_samplers import MIXTURE, N, mixture
from toylab.samplers import mala

S, EPS, ROUNDS = 0.7, 0.4, 12
TARGET = mixture(MIXTURE)


def posterior(y):
    """log p(t | y) up to a constant, and its score."""

    def log_prob(t):
        return MIXTURE.log_prob(t) - (y - t).square().sum(-1) / (2 * S**2)

    def score(t):
        return MIXTURE.score(t) + (y - t) / S**2

    return log_prob, score


def right(t, y, g):
    log_prob, score = posterior(y)
    return mala(log_prob, score, t, step_size=EPS, n_steps=1, generator=g, progress=False).samples


def proposed(t, score, g):
    return t + 0.5 * EPS * score(t) + EPS**0.5 * torch.randn(t.shape, dtype=t.dtype, generator=g)


def without_a_choice(t, y, g):
    return proposed(t, posterior(y)[1], g)


def kept_by_the_density_alone(t, y, g):
    log_prob, score = posterior(y)
    there = proposed(t, score, g)
    kept = torch.rand(len(t), dtype=t.dtype, generator=g).log() < log_prob(there) - log_prob(t)
    return torch.where(kept[:, None], there, t)


def of_the_prior_alone(t, y, g):
    """It forgets the data."""
    return mala(MIXTURE.log_prob, MIXTURE.score, t, step_size=EPS, n_steps=1, generator=g, progress=False).samples


def worst_z(kernel):
    """The largest |z| of ten moments of (t, y) after the rounds, the chains being independent."""
    g = torch.Generator().manual_seed(1)

    def data(t):
        return t + S * torch.randn(t.shape, dtype=t.dtype, generator=g)

    t = TARGET.sample(N, g)
    y = data(t)
    for _ in range(ROUNDS):
        t = kernel(t, y, g)
        y = data(t)
    t = kernel(t, y, g)  # so that t and y are joined by the kernel, not by the drawing of y
    worst = 0.0
    for i in range(2):
        mean, square, fourth = (TARGET.mean_of(lambda t, i=i, k=k: t[:, i] ** k) for k in (1, 2, 4))
        moments = (
            (t[:, i], mean),
            (y[:, i] ** 2, square + S**2),
            (t[:, i] * y[:, i], square),
            ((y[:, i] - t[:, i]) ** 2, S**2),
            (t[:, i] ** 4, fourth),
        )
        for values, exact in moments:
            worst = max(worst, abs(float(values.mean()) - exact) / (float(values.std()) / math.sqrt(N)))
    return worst


def test_the_joint_law_stays():
    """|z| < 5.4 for ten moments: a false alarm with probability below 7e-7."""
    assert worst_z(right) < 5.4


@pytest.mark.parametrize("kernel", [without_a_choice, kept_by_the_density_alone, of_the_prior_alone])
def test_a_wrong_kernel_is_seen(kernel):
    assert worst_z(kernel) > 10
