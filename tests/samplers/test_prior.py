"""What a start in the prior costs, known exactly on two modes: the weight of the left one, truly 0.2.

The law depends on u = (x_1 + x_2) / sqrt(2) alone. Along the exact reverse SDE the posterior weight of a mode given
x_t is a martingale, so the left mode gets the mean of its posterior weight at t = 1 over the prior. The flow moves u
monotonically, so that the left mode gets what the prior has below the 0.2-quantile of the law at t = 1.
"""

import math

import pytest
import torch
from torch.distributions import Normal

from toylab.densities import two_modes
from toylab.samplers import probability_flow_adaptive, reverse_sde_heun
from toylab.schedules import uniform
from toylab.sde import VE

P, N, STANDARD = two_modes(), 20_000, Normal(0.0, 1.0)  # a weight is known to 0.003


def left_weight(samples):
    return float((samples.sum(-1) < 0).double().mean())


def z(weight, exact):
    return (weight - exact) / math.sqrt(exact * (1 - exact) / N)


def by_the_reverse_sde(sigma):
    u = torch.linspace(-12, 12, 20001, dtype=torch.float64) * sigma
    prior = STANDARD.log_prob(u / sigma).exp()
    log_odds = math.log(0.2 / 0.8) - 2 * math.sqrt(50) * u / (1 + sigma**2)
    return float((prior * torch.sigmoid(log_odds)).sum() / prior.sum())


def by_the_flow(sigma):
    u = torch.linspace(-12, 12, 200_001, dtype=torch.float64) * sigma
    std, mode = math.sqrt(1 + sigma**2), math.sqrt(50)
    cdf = 0.2 * STANDARD.cdf((u + mode) / std) + 0.8 * STANDARD.cdf((u - mode) / std)
    return float(STANDARD.cdf(u[(cdf < 0.2).sum()] / sigma))


@pytest.mark.parametrize(("sigma", "sde", "flow"), [(20.0, 0.2214, 0.2540), (50.0, 0.2038, 0.2230)])
def test_the_exact_weights(sigma, sde, flow):
    assert by_the_reverse_sde(sigma) == pytest.approx(sde, abs=5e-5)
    assert by_the_flow(sigma) == pytest.approx(flow, abs=5e-5)


@pytest.mark.parametrize("sigma", [20.0, 50.0])
def test_the_samplers_carry_the_error_of_the_prior_and_no_other(sigma):
    """|z| < 5 each. At 20 the two differ by 11 standard errors, and each from 0.2 by 7 and more."""
    sde, g = VE(0.1, sigma), torch.Generator().manual_seed(1)
    x = sde.prior.to(torch.float64).sample((N,), generator=g)
    flow = left_weight(probability_flow_adaptive(sde, P.score, x, 1.0, 0.0, progress=False).samples)
    times = uniform(1.0, 0.0, 201)
    back = left_weight(reverse_sde_heun(sde, P.score, x, times, generator=g, progress=False).samples)
    assert abs(z(flow, by_the_flow(sigma))) < 5
    assert abs(z(back, by_the_reverse_sde(sigma))) < 5
    if sigma == 20:
        assert abs(z(flow, 0.2)) > 5
        assert abs(z(back, 0.2)) > 5
        assert abs(z(back, flow)) > 5
