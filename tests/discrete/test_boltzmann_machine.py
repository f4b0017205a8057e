"""The machine against loops over all states, and two spins against their closed forms."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from tests.discrete.brute_force import conditional, law, random_machine, states, table, turned
from toylab.discrete import BoltzmannMachine, all_spins, ising_grid, two_spin

MACHINES = [random_machine(n, seed=n) for n in (1, 2, 3, 5)]
every_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.n_spins} spins")
FALSE_ALARM = 1e-7


@every_machine
def test_probabilities_are_those_of_the_loop(machine):
    p = law(machine)
    x = torch.tensor(list(p), dtype=torch.float64)
    assert torch.equal(machine.states, x)
    np.testing.assert_allclose(machine.log_prob(x), np.log(table(p)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(machine.probabilities(), table(p), rtol=1e-12)
    assert float(machine.log_prob(x).exp().sum()) == pytest.approx(1, abs=1e-12)


@every_machine
def test_moments_are_those_of_the_loop(machine):
    p = law(machine)
    mean = [sum(q * x[i] for x, q in p.items()) for i in range(machine.n_spins)]
    second = [
        [sum(q * x[i] * x[j] for x, q in p.items()) for j in range(machine.n_spins)] for i in range(machine.n_spins)
    ]
    np.testing.assert_allclose(machine.mean(), mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(machine.correlation(), second, rtol=0, atol=1e-12)


@every_machine
def test_conditionals_and_odds_are_those_of_the_table(machine):
    p = law(machine)
    x = machine.states
    up = [[conditional(p, (*s[:i], 1, *s[i + 1 :]), i) for i in range(machine.n_spins)] for s in p]
    odds = [[math.log(p[s] / p[turned(s, i)]) for i in range(machine.n_spins)] for s in p]
    np.testing.assert_allclose(machine.conditional(x), up, rtol=0, atol=1e-12)
    np.testing.assert_allclose(machine.log_odds(x), odds, rtol=0, atol=1e-12)


@every_machine
def test_the_gradient_of_log_z_is_the_mean_of_the_statistics(machine):
    theta = machine.to_vector().requires_grad_()
    (gradient,) = torch.autograd.grad(BoltzmannMachine.from_vector(theta).log_normaliser(), theta)
    i, j = np.triu_indices(machine.n_spins, 1)
    moments = torch.cat([machine.correlation()[i, j], machine.mean()])
    torch.testing.assert_close(gradient, moments, rtol=0, atol=1e-12)
    torch.testing.assert_close(machine.probabilities() @ machine.statistics(machine.states), moments)


@every_machine
def test_parameters_go_there_and_back(machine):
    theta = machine.to_vector()
    again = BoltzmannMachine.from_vector(theta)
    assert torch.equal(again.coupling, machine.coupling) and torch.equal(again.field, machine.field)
    x = machine.states
    torch.testing.assert_close(machine.energy(x), -machine.statistics(x) @ theta)


@pytest.mark.parametrize(("J", "b"), [(0.7, (0.0, 0.0)), (-1.2, (0.3, -0.5)), (0.0, (1.0, 2.0))])
def test_two_spins_have_the_closed_form(J, b):
    machine = two_spin(torch.tensor(J, dtype=torch.float64), b)
    up, apart = math.cosh(b[0] + b[1]), math.cosh(b[0] - b[1])
    Z = 2 * math.exp(J) * up + 2 * math.exp(-J) * apart
    assert float(machine.log_normaliser()) == pytest.approx(math.log(Z), rel=1e-7)  # b is rounded to float32
    both = 2 * (math.exp(J) * up - math.exp(-J) * apart) / Z
    assert float(machine.correlation()[0, 1]) == pytest.approx(both, abs=1e-7)
    if b == (0.0, 0.0):
        assert pytest.approx(4 * math.cosh(J)) == Z and both == pytest.approx(math.tanh(J))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (2, 3), (3, 3)])
def test_a_grid_couples_each_pair_of_neighbours_once(rows, columns):
    machine = ising_grid(rows, columns, 0.3, -0.2)
    sites = list(itertools.product(range(rows), range(columns)))
    pairs = [(a, b) for a, b in itertools.combinations(sites, 2) if abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1]
    assert len(pairs) == rows * (columns - 1) + columns * (rows - 1)
    for x in states(rows * columns):
        spin = dict(zip(sites, x, strict=True))
        energy = -0.3 * sum(spin[a] * spin[b] for a, b in pairs) + 0.2 * sum(x)
        assert float(machine.energy(torch.tensor(x, dtype=torch.float32))) == pytest.approx(energy, abs=1e-5)


def test_sixteen_spins_without_couplings_are_independent():
    b = torch.linspace(-1, 1, 16, dtype=torch.float64)
    machine = BoltzmannMachine(torch.zeros(16, 16, dtype=torch.float64), b)
    assert float(machine.log_normaliser()) == pytest.approx(float((2 * b.cosh()).log().sum()), rel=1e-12)
    torch.testing.assert_close(machine.mean(), b.tanh())


def test_draws_have_the_law():
    """Chi-squared on the 8 states, 50,000 draws, one seed; a right sampler fails with probability 1e-7."""
    machine = random_machine(3, seed=3)
    x = machine.sample((500, 100), generator=torch.Generator().manual_seed(0)).view(-1, 3)
    index = ((x > 0) * torch.tensor([4, 2, 1])).sum(-1)
    counts = torch.bincount(index, minlength=8)
    assert scipy.stats.chisquare(counts, 50_000 * table(law(machine))).pvalue > FALSE_ALARM


def test_draws_follow_the_generator_and_leave_the_global_stream():
    machine, before = two_spin(0.5), torch.get_rng_state()
    one, same = (machine.sample((50,), generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, same) and torch.equal(torch.get_rng_state(), before)
    assert machine.sample().shape == (2,) and machine.sample((4, 3)).shape == (4, 3, 2)


def test_values_come_in_the_dtype_of_the_points():
    machine = random_machine(3, seed=1)
    x = machine.states.float()
    for values in (machine.energy(x), machine.log_prob(x), machine.log_odds(x), machine.conditional(x)):
        assert values.dtype == torch.float32
    torch.testing.assert_close(machine.log_prob(x), machine.log_prob(x.double()).float())
    assert machine.sample((2,)).dtype == torch.float64 and two_spin(0.5).sample((2,)).dtype == torch.float32


def test_all_spins_count():
    assert all_spins(2).tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert all_spins(3, dtype=torch.float64).dtype == torch.float64


def test_strong_couplings_stay_finite():
    machine = ising_grid(3, 3, 1e4)
    p = machine.probabilities()
    assert float(p.max()) == pytest.approx(0.5) and machine.log_prob(machine.states).isfinite().all()


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_diagonal_is_refused_because_it_leaves_the_law(scale):
    """exp(1/2 y^T W y) / Z with any diagonal is the same law."""
    W = np.array([[scale, 0.4], [0.4, -2 * scale]])
    weights = np.array([math.exp(0.5 * np.array(x) @ W @ np.array(x)) for x in states(2)])
    np.testing.assert_allclose(two_spin(0.4).probabilities(), weights / weights.sum(), rtol=1e-6)
