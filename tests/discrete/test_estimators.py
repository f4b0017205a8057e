"""Each loss against its definition by loops, its divergence, its minimiser; and what n data do to it."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch

from tests.discrete.brute_force import conditional, law, random_machine, site_matrix, sweep_matrix, table, turned
from toylab.discrete import (
    BoltzmannMachine,
    asymptotic_covariance,
    concrete_score_matching,
    contrastive_divergence,
    contrastive_divergence_gradients,
    expected_loss,
    ising_grid,
    loss_gradients,
    maximum_likelihood,
    pseudo_likelihood,
    ratio_matching,
    two_spin,
)

LOSSES = [maximum_likelihood, pseudo_likelihood, ratio_matching, concrete_score_matching]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
GRADIENTS = {loss.__name__: partial(loss_gradients, loss) for loss in LOSSES} | {
    f"CD-{k}": partial(contrastive_divergence_gradients, n_sweeps=k) for k in (1, 3)
}
every_estimator = pytest.mark.parametrize("name", GRADIENTS)
TRUTH, OTHER = random_machine(3, seed=10), random_machine(3, seed=11)


def by_definition(p, loss):
    """{state: loss}, from the table of probabilities."""

    def of(x):
        flips = [(conditional(p, x, i), p[turned(x, i)] / p[x]) for i in range(len(x))]
        return {
            maximum_likelihood: -math.log(p[x]),
            pseudo_likelihood: -sum(math.log(q) for q, _ in flips),
            ratio_matching: sum((1 / (1 + 1 / ratio)) ** 2 for _, ratio in flips),
            # c_i(x)^2 + 2 c_i(x) - 2 c_i(x^i), with c_i(x^i) = p(x) / p(x^i) - 1
            concrete_score_matching: sum((r - 1) ** 2 + 2 * (r - 1) - 2 * (1 / r - 1) for _, r in flips),
        }[loss]

    return {x: of(x) for x in p}


def divergence(p, q, loss):
    """What the loss stands for, of the model p under the law q."""
    total = 0.0
    for x, weight in q.items():
        for i in range(len(x)):
            model, true = conditional(p, x, i), conditional(q, x, i)
            if loss is pseudo_likelihood:
                total += weight * math.log(true / model)
            elif loss is ratio_matching:
                total += weight * (true - model) ** 2
            elif loss is concrete_score_matching:
                total += weight * (p[turned(x, i)] / p[x] - q[turned(x, i)] / q[x]) ** 2
        if loss is maximum_likelihood:
            total += weight * math.log(weight / p[x])
    return total


@every_loss
@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_loss_is_its_definition(loss, n):
    machine = random_machine(n, seed=n)
    expected = by_definition(law(machine), loss)
    np.testing.assert_allclose(loss(machine, machine.states), list(expected.values()), rtol=1e-10, atol=1e-12)


@every_loss
def test_mean_loss_less_that_of_the_truth_is_the_divergence(loss):
    excess = expected_loss(loss, OTHER, TRUTH) - expected_loss(loss, TRUTH, TRUTH)
    assert float(excess) == pytest.approx(divergence(law(OTHER), law(TRUTH), loss), rel=1e-10)
    assert excess > 0.01


@every_loss
def test_the_gradients_are_central_differences(loss):
    theta, h = OTHER.to_vector(), 1e-5
    found = loss_gradients(loss, OTHER)
    for k in range(len(theta)):
        step = h * torch.eye(len(theta), dtype=torch.float64)[k]
        ahead, behind = (loss(BoltzmannMachine.from_vector(theta + s), OTHER.states) for s in (step, -step))
        torch.testing.assert_close(found[:, k], (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7)


def minimiser(loss, truth):
    """Of the expected loss under the truth, from zero couplings and fields, by L-BFGS."""
    theta = torch.zeros_like(truth.to_vector()).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [theta], max_iter=500, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = expected_loss(loss, BoltzmannMachine.from_vector(theta), truth)
        value.backward()
        return value

    optimizer.step(closure)
    return theta.detach()


@every_loss
@pytest.mark.parametrize("truth", [TRUTH, random_machine(4, seed=4, scale=0.4)], ids=["3 spins", "4 spins"])
def test_the_minimiser_of_the_expected_loss_is_the_truth(loss, truth):
    assert float((minimiser(loss, truth) - truth.to_vector()).abs().max()) < 1e-6


def root(gradients, weights, start):
    """Where the weighted mean of the gradients vanishes, by Newton's method of SciPy, and the mean there."""

    def mean(theta):
        return weights @ gradients(BoltzmannMachine.from_vector(torch.from_numpy(theta))).numpy()

    found = scipy.optimize.root(mean, start, tol=1e-12)
    return found.x, np.abs(mean(found.x)).max()


@every_estimator
def test_the_expected_gradient_vanishes_at_the_truth_and_is_zero_nowhere_near(name):
    found, left = root(GRADIENTS[name], table(law(TRUTH)), np.zeros(6))
    np.testing.assert_allclose(found, TRUTH.to_vector(), rtol=0, atol=1e-6)
    assert left < 1e-9


@every_estimator
def test_two_spins_with_free_fields_cannot_tell_the_estimators_apart(name):
    """Three parameters fit any law on four states, so each finds the law of the data itself, whatever it is."""
    counts = np.array([37, 11, 22, 30])
    logs = np.log(counts)
    J, b1, b2 = (0.25 * logs @ signs for signs in ([1, -1, -1, 1], [-1, -1, 1, 1], [-1, 1, -1, 1]))
    found, left = root(GRADIENTS[name], counts / 100, np.zeros(3))
    np.testing.assert_allclose(found, [J, b1, b2], rtol=0, atol=1e-8)
    assert left < 1e-9


@every_estimator
def test_the_covariance_is_the_sandwich_of_central_differences(name):
    gradients, theta, h = GRADIENTS[name], TRUTH.to_vector(), 1e-5
    p, at_truth = table(law(TRUTH)), GRADIENTS[name](TRUTH).numpy()
    H = np.empty((6, 6))
    for k in range(6):
        step = h * torch.eye(6, dtype=torch.float64)[k]
        ahead, behind = (p @ gradients(BoltzmannMachine.from_vector(theta + s)).numpy() for s in (step, -step))
        H[:, k] = (ahead - behind) / (2 * h)
    inverse = np.linalg.inv(H)
    sandwich = inverse @ (at_truth.T * p @ at_truth) @ inverse.T
    np.testing.assert_allclose(asymptotic_covariance(gradients, theta), sandwich, rtol=1e-6, atol=1e-8)


def test_of_maximum_likelihood_it_is_the_inverse_covariance_of_the_statistics():
    f, p = TRUTH.statistics(TRUTH.states).numpy(), table(law(TRUTH))
    information = np.cov(f.T, aweights=p, ddof=0)
    found = asymptotic_covariance(GRADIENTS["maximum_likelihood"], TRUTH.to_vector())
    np.testing.assert_allclose(found, np.linalg.inv(information), rtol=1e-10)


@every_estimator
def test_nothing_beats_maximum_likelihood(name):
    best = asymptotic_covariance(GRADIENTS["maximum_likelihood"], TRUTH.to_vector())
    excess = asymptotic_covariance(GRADIENTS[name], TRUTH.to_vector()) - best
    assert float(torch.linalg.eigvalsh(excess).min()) > -1e-9


def test_a_family_with_one_coupling_is_the_same_model_as_its_statistic():
    """Two spins, J alone: sum x_1 x_2 tells J, with Var(x_1 x_2) = 1 - tanh^2 J, and every estimator knows it."""
    J = torch.tensor([0.8], dtype=torch.float64)
    for gradients in GRADIENTS.values():
        found = asymptotic_covariance(gradients, J, family=lambda t: two_spin(t[0]))
        assert float(found) == pytest.approx(math.cosh(0.8) ** 2, rel=1e-10)


@every_estimator
def test_fits_to_data_have_the_exact_covariance(name):
    """100 fits to 5,000 points each, fixed seed: the sum of their Wald statistics is chi-squared, 6 per fit.

    A right covariance fails with probability 2e-7, where the law of the fits is normal; and the first fit is within
    six standard errors in each parameter, which fails with probability 1.2e-8.
    """
    n, n_fits = 5_000, 100
    truth = random_machine(3, seed=12, scale=0.3)
    theta, p = truth.to_vector().numpy(), table(law(truth))
    covariance = asymptotic_covariance(GRADIENTS[name], truth.to_vector()).numpy() / n
    weights = torch.from_numpy(np.random.default_rng(0).multinomial(n, p, size=n_fits) / n)
    found, newton = truth.to_vector().expand(n_fits, 6), torch.func.vmap(newton_step(GRADIENTS[name]))
    for _ in range(4):
        found = newton(found, weights)
    error = found.numpy() - theta
    assert np.all(np.abs(error[0]) < 6 * np.sqrt(np.diag(covariance)))
    total = (error @ np.linalg.inv(covariance) * error).sum()
    low, high = scipy.stats.chi2(6 * n_fits).ppf([1e-7, 1 - 1e-7])
    assert low < total < high


def newton_step(gradients):
    """theta and weights -> the next theta of Newton's method for a vanishing weighted mean of the gradients."""

    def mean(theta, weights):
        return weights @ gradients(BoltzmannMachine.from_vector(theta))

    def step(theta, weights):
        H = torch.func.jacfwd(mean)(theta, weights)
        return theta - torch.linalg.solve(H, mean(theta, weights))

    return step


@every_loss
def test_draws_are_fitted_within_six_standard_errors(loss):
    """L-BFGS on 5,000 draws of the machine itself, one seed: fails with probability 1.2e-8 if all is right."""
    x = TRUTH.sample((5_000,), generator=torch.Generator().manual_seed(0))
    theta = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(BoltzmannMachine.from_vector(theta), x).mean()
        value.backward()
        return value

    optimizer.step(closure)
    error = theta.detach() - TRUTH.to_vector()
    standard = (asymptotic_covariance(GRADIENTS[loss.__name__], TRUTH.to_vector()).diagonal() / len(x)).sqrt()
    assert float((error / standard).abs().max()) < 6


# --------------------------------------------------------------------------------------------- contrastive divergence


def test_the_exact_gradient_is_the_mean_of_what_is_drawn():
    """5,000 chains from each of 8 states, one seed, 48 means within 6 standard errors: fails with probability 1e-7."""
    n = 5_000
    theta = OTHER.to_vector().requires_grad_()
    machine = BoltzmannMachine.from_vector(theta)
    x = OTHER.states.repeat_interleave(n, 0)
    g = torch.Generator().manual_seed(0)
    loss = contrastive_divergence(machine, x, n_sweeps=2, generator=g)
    exact = contrastive_divergence_gradients(OTHER, n_sweeps=2)
    f = OTHER.statistics(OTHER.states)
    T = np.linalg.matrix_power(sweep_matrix(law(OTHER), 3), 2)
    variance = torch.from_numpy(T @ f.numpy() ** 2 - (T @ f.numpy()) ** 2)
    for k in range(8):
        (drawn,) = torch.autograd.grad(loss[k * n : (k + 1) * n].mean(), theta, retain_graph=True)
        assert bool(((drawn - exact[k]).abs() < 6 * (variance[k] / n).sqrt()).all())


@pytest.mark.parametrize("n_sweeps", [1, 2, 5])
def test_of_two_spins_the_bias_has_a_closed_form(n_sweeps):
    """At b = 0, for data of means m: a sweep maps (m_1, m_2) to (t m_2, t^2 m_2), t = tanh J, and E x_1 x_2 to t."""
    t, data = math.tanh(0.7), two_spin(torch.tensor(0.2, dtype=torch.float64), torch.tensor([0.3, -0.1]).double())
    (m1, m2), both = data.mean(), data.correlation()[0, 1]
    machine = two_spin(torch.tensor(0.7, dtype=torch.float64))
    found = data.probabilities() @ contrastive_divergence_gradients(machine, n_sweeps=n_sweeps)
    expected = [t - both, t ** (2 * n_sweeps - 1) * m2 - m1, (t ** (2 * n_sweeps) - 1) * m2]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    likelihood = data.probabilities() @ loss_gradients(maximum_likelihood, machine)
    np.testing.assert_allclose(likelihood, [t - both, -m1, -m2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_sweeps", [1, 2, 8])
def test_the_bias_is_what_the_chain_has_not_forgotten(n_sweeps):
    """E[gradient of CD-k] - that of the likelihood = sum_x (q T^k - p)(x) f(x), T by loops; the sign stays right."""
    q, f = table(law(TRUTH)), OTHER.statistics(OTHER.states).numpy()
    p, T = table(law(OTHER)), np.linalg.matrix_power(sweep_matrix(law(OTHER), 3), n_sweeps)
    likelihood = q @ loss_gradients(maximum_likelihood, OTHER).numpy()
    found = q @ contrastive_divergence_gradients(OTHER, n_sweeps=n_sweeps).numpy()
    np.testing.assert_allclose(found - likelihood, (q @ T - p) @ f, rtol=0, atol=1e-12)
    assert found @ likelihood > 0


def test_one_spin_drawn_at_random_gives_the_gradient_of_the_pseudo_likelihood():
    """Hyvarinen 2006: of CD-1 with one random site it is 1/n of the pseudo-likelihood's, for every point."""
    p, f = law(OTHER), OTHER.statistics(OTHER.states).numpy()
    one_site = sum(site_matrix(p, 3, i) for i in range(3)) / 3
    np.testing.assert_allclose(one_site @ f - f, loss_gradients(pseudo_likelihood, OTHER).numpy() / 3, atol=1e-12)


def test_only_the_data_s_side_of_the_loss_has_a_gradient_through_the_chain():
    """The end of the chain is held fixed: the gradient is that of the energies alone."""
    theta = OTHER.to_vector().requires_grad_()
    machine, x = BoltzmannMachine.from_vector(theta), OTHER.states
    loss = contrastive_divergence(machine, x, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(loss.sum(), theta)
    counts = gradient + machine.statistics(x).sum(0)  # the sum of the statistics of the ends, whole numbers
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-10)


def test_training_by_contrastive_divergence_ends_at_the_truth():
    """Plain gradient steps with fresh chains, averaged over the last half: within 6 standard errors of CD-1.

    2,000 points, one seed: fails with probability 1.2e-8. The noise of the chains adds to that of the data, 1/150 of
    the variance after the average over 150 steps.
    """
    x = TRUTH.sample((2_000,), generator=torch.Generator().manual_seed(1))
    g, theta, mean = torch.Generator().manual_seed(2), torch.zeros(6, dtype=torch.float64), torch.zeros(6).double()
    for step in range(300):
        theta.requires_grad_()
        loss = contrastive_divergence(BoltzmannMachine.from_vector(theta), x, generator=g).mean()
        (gradient,) = torch.autograd.grad(loss, theta)
        theta = (theta - 0.5 * gradient).detach()
        if step >= 150:
            mean += theta / 150
    standard = (asymptotic_covariance(GRADIENTS["CD-1"], TRUTH.to_vector()).diagonal() / len(x)).sqrt()
    assert float(((mean - TRUTH.to_vector()) / standard).abs().max()) < 6


def test_the_bounds_of_maximum_likelihood_on_a_grid_are_its_information():
    """J and b shared over a 2 x 3 grid: the inverse covariance of the sums over pairs and over spins."""
    theta = torch.tensor([0.3, 0.1], dtype=torch.float64)
    machine = ising_grid(2, 3, theta[0], theta[1])
    x = machine.states
    pairs = 0.5 * ((x @ (machine.coupling != 0).double()) * x).sum(-1)
    f = torch.stack([pairs, x.sum(-1)])
    information = np.cov(f.numpy(), aweights=table(law(machine)), ddof=0)
    found = asymptotic_covariance(GRADIENTS["maximum_likelihood"], theta, family=lambda t: ising_grid(2, 3, t[0], t[1]))
    np.testing.assert_allclose(found, np.linalg.inv(information), rtol=1e-8)
