"""Gibbs sweeps: the exact expectation against the product of site matrices, the draws against the exact rows."""

import numpy as np
import pytest
import scipy.stats
import torch

from tests.discrete.brute_force import law, random_machine, sweep_matrix, table
from toylab.discrete import BoltzmannMachine, gibbs_expectation, gibbs_sweep

FALSE_ALARM = 1e-7


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("n_sweeps", [1, 3])
def test_the_expectation_is_the_power_of_the_transition_matrix(n, n_sweeps):
    machine = random_machine(n, seed=n)
    T = np.linalg.matrix_power(sweep_matrix(law(machine), n), n_sweeps)
    found = gibbs_expectation(machine, torch.eye(2**n, dtype=torch.float64), n_sweeps=n_sweeps)
    np.testing.assert_allclose(found, T, rtol=0, atol=1e-12)
    f = torch.from_numpy(np.random.default_rng(0).normal(size=2**n))
    np.testing.assert_allclose(gibbs_expectation(machine, f, n_sweeps=n_sweeps), T @ f.numpy(), atol=1e-12)


def test_the_law_is_kept():
    machine = random_machine(4, seed=0)
    p, f = machine.probabilities(), machine.statistics(machine.states)
    torch.testing.assert_close(p @ gibbs_expectation(machine, f), p @ f, rtol=0, atol=1e-12)


@pytest.mark.parametrize("start", [0, 5])
def test_draws_from_a_state_have_its_row(start):
    """Chi-squared on 8 states, 50,000 sweeps from each of 2 states; a right sampler fails with probability 2e-7."""
    machine = random_machine(3, seed=7)
    x = machine.states[start].expand(50_000, 3)
    y = gibbs_sweep(machine, x, generator=torch.Generator().manual_seed(start))
    counts = torch.bincount(((y > 0) * torch.tensor([4, 2, 1])).sum(-1), minlength=8)
    row = sweep_matrix(law(machine), 3)[start]
    assert scipy.stats.chisquare(counts, 50_000 * row).pvalue > FALSE_ALARM


def test_a_sweep_leaves_its_start_and_follows_the_generator():
    machine = random_machine(3, seed=1)
    x = machine.states.clone()
    one, same = (gibbs_sweep(machine, x, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(x, machine.states) and torch.equal(one, same)
    assert set(one.unique().tolist()) <= {-1.0, 1.0}


def test_gradients_flow_to_the_machine():
    """Against the central difference, in float64."""
    theta, f = random_machine(3, seed=2).to_vector(), torch.arange(8.0, dtype=torch.float64)
    weights = torch.from_numpy(table(law(random_machine(3, seed=5))))

    def mean(t):
        return weights @ gibbs_expectation(BoltzmannMachine.from_vector(t), f, n_sweeps=2)

    assert torch.autograd.gradcheck(mean, theta.requires_grad_())
