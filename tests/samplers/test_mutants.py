"""Samplers with a mistake in them must not pass the exactness test that the right ones pass.

The test is that of tests/contracts/test_samplers.py: started in the truth, after a few steps the moments 1 to 4 are
still those of the law, at |z| < 5. Each mutant must exceed it by far.
"""

import pytest
import torch

from tests.contracts.test_samplers import MIXTURE, NORMAL, N, biased, hot, mixture, worst_moment

P, EPS = MIXTURE, 0.5
TARGET = mixture(P)


def worst_z(run, target=TARGET):
    """The largest |z| of the contract's moments after the run."""
    g = torch.Generator().manual_seed(1)
    return worst_moment(run(target.sample(N, g), g), target)


def noise(x, g):
    return torch.randn(x.shape, dtype=x.dtype, generator=g)


def kept(log_ratio, there, here, g):
    u = torch.rand(len(here), dtype=here.dtype, generator=g)
    return torch.where((u.log() < log_ratio)[:, None], there, here)


def log_q(to, start, eps=EPS, drift=0.5):
    return -(to - start - drift * eps * P.score(start)).square().sum(-1) / (2 * eps)


def without_the_proposal_ratio(x, g):
    for _ in range(6):
        y = x + 0.5 * EPS * P.score(x) + EPS**0.5 * noise(x, g)
        x = kept(P.log_prob(y) - P.log_prob(x), y, x, g)
    return x


def without_acceptance(x, g):
    for _ in range(6):
        x = x + 0.5 * EPS * P.score(x) + EPS**0.5 * noise(x, g)
    return x


def acceptance_of_another_kernel(x, g):
    """The proposal takes a step eps, its density is written for 2 eps."""
    for _ in range(6):
        y = x + 0.5 * EPS * P.score(x) + EPS**0.5 * noise(x, g)
        ratio = P.log_prob(y) - P.log_prob(x) + log_q(x, y, 2 * EPS) - log_q(y, x, 2 * EPS)
        x = kept(ratio, y, x, g)
    return x


def proposal_ratio_turned_round(x, g):
    for _ in range(6):
        y = x + 0.5 * EPS * P.score(x) + EPS**0.5 * noise(x, g)
        x = kept(P.log_prob(y) - P.log_prob(x) - log_q(x, y) + log_q(y, x), y, x, g)
    return x


def metropolis_inverted(x, g):
    for _ in range(6):
        y = x + EPS**0.5 * noise(x, g)
        x = kept(P.log_prob(x) - P.log_prob(y), y, x, g)
    return x


def metropolis_with_half_the_log(x, g):
    """min(1, sqrt(p(y) / p(x))): the law at T = 2."""
    for _ in range(6):
        y = x + EPS**0.5 * noise(x, g)
        x = kept(0.5 * (P.log_prob(y) - P.log_prob(x)), y, x, g)
    return x


def metropolis_drifting(x, g):
    """A proposal that is not symmetric, accepted as if it were."""
    for _ in range(6):
        y = x + 0.2 + EPS**0.5 * noise(x, g)
        x = kept(P.log_prob(y) - P.log_prob(x), y, x, g)
    return x


def leapfrog_walk(x, v, h, last_kick=True, n=4):
    for _ in range(n):
        v = v + 0.5 * h * P.score(x)
        x = x + h * v
        v = v + 0.5 * h * P.score(x) if last_kick else v
    return x, v


def hmc_without_kinetic_energy(x, g):
    for _ in range(4):
        y, _ = leapfrog_walk(x, noise(x, g), EPS**0.5)
        x = kept(P.log_prob(y) - P.log_prob(x), y, x, g)
    return x


def hmc_without_the_last_kick(x, g):
    for _ in range(4):
        v = noise(x, g)
        y, w = leapfrog_walk(x, v, EPS**0.5, last_kick=False)
        x = kept(P.log_prob(y) - P.log_prob(x) + 0.5 * (v.square() - w.square()).sum(-1), y, x, g)
    return x


def hmc_with_twice_the_kinetic_energy(x, g):
    for _ in range(4):
        v = noise(x, g)
        y, w = leapfrog_walk(x, v, EPS**0.5)
        x = kept(P.log_prob(y) - P.log_prob(x) + (v.square() - w.square()).sum(-1), y, x, g)
    return x


def tempering(ratio):
    """Trades between two temperatures with another rule."""

    def run(x, g):
        hotter = hot(P, len(x), 4.0, g)
        for _ in range(3):
            log_ratio = ratio(0.75 * (P.log_prob(hotter) - P.log_prob(x)))
            u = torch.rand(len(x), dtype=x.dtype, generator=g)
            traded = (u.log() < log_ratio)[:, None]
            x, hotter = torch.where(traded, hotter, x), torch.where(traded, x, hotter)
        return x

    return run


MUTANTS = {
    "MALA without the proposal ratio": without_the_proposal_ratio,
    "MALA without accept or reject": without_acceptance,
    "MALA with the acceptance of another kernel": acceptance_of_another_kernel,
    "MALA with the proposal ratio turned round": proposal_ratio_turned_round,
    "Metropolis inverted": metropolis_inverted,
    "Metropolis with half the log ratio": metropolis_with_half_the_log,
    "Metropolis with a drift": metropolis_drifting,
    "HMC without kinetic energy": hmc_without_kinetic_energy,
    "HMC without the last kick": hmc_without_the_last_kick,
    "HMC with twice the kinetic energy": hmc_with_twice_the_kinetic_energy,
    "tempering that always trades": tempering(torch.zeros_like),
    "tempering with the ratio turned round": tempering(torch.neg),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_rejected(name):
    assert worst_z(MUTANTS[name]) > 10


def test_the_right_rule_for_trades_passes_the_same_test():
    """The samplers themselves do so in the contract; this one is of the mutants' own making."""
    assert worst_z(tempering(lambda log_ratio: log_ratio)) < 5


def langevin_mutant(drift, spread):
    def run(x, g):
        for _ in range(20):
            x = x + drift * 0.5 * NORMAL.score(x) + (spread * 0.5) ** 0.5 * noise(x, g)
        return x

    return run


@pytest.mark.parametrize(("drift", "spread"), [(0.5, 2.0), (1.0, 1.0), (0.5, 0.5), (-0.5, 1.0)])
def test_langevin_with_another_noise_or_drift_is_rejected_by_its_own_law(drift, spread):
    """(1, 1) is the course project's "drift eps with noise sqrt(eps)"; the right one is (0.5, 1)."""
    assert worst_z(langevin_mutant(drift, spread), biased(NORMAL, 0.5)) > 10


def test_the_right_langevin_is_not():
    assert worst_z(langevin_mutant(0.5, 1.0), biased(NORMAL, 0.5)) < 5
