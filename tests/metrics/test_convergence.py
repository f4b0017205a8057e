"""Diagnostics of chains whose law is known: an autoregression, and Langevin on a Gaussian."""

import math

import numpy as np
import pytest
import torch
from arviz_stats.base.array import array_stats

from toylab.densities import isotropic, two_modes
from toylab.metrics import acceptance, autocorrelation, convergence, mode_weight_trace
from toylab.samplers import annealed_langevin, langevin, metropolis
from toylab.schedules import geometric

NORMAL = isotropic([[0.0, 0.0]], 1.0)


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def autoregression(rho, frames, n):
    """x_t = rho x_(t-1) + sqrt(1 - rho^2) z, started in its own law N(0, 1)."""
    z = torch.randn(frames, n, 2, dtype=torch.float64, generator=g())
    x = [z[0]]
    for step in z[1:]:
        x.append(rho * x[-1] + math.sqrt(1 - rho**2) * step)
    return torch.stack(x)


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_effective_sample_size_of_an_autoregression(rho):
    """n (1 - rho) / (1 + rho); the estimate has a relative error of some percent at 40 chains of 2,000."""
    found = convergence(autoregression(rho, 2000, 40))
    assert found.n_draws == 80_000
    for ess in found.ess:
        assert ess == pytest.approx(80_000 * (1 - rho) / (1 + rho), rel=0.15)
    assert all(r < 1.01 for r in found.r_hat)
    assert "R-hat" in str(found)


def test_r_hat_sees_chains_that_do_not_agree():
    path = autoregression(0.5, 500, 8)
    path[:, 4:, 0] += 2.0
    found = convergence(path, NORMAL.log_prob)
    assert found.names == ("x1", "x2", "log p")
    assert found.r_hat[0] > 1.2
    assert found.r_hat[1] < 1.02


def test_r_hat_sees_chains_that_agree_in_their_mean_alone():
    """By ranks of the distance from the median; the R-hat of means and variances, not folded, is 1.000 here."""
    path = autoregression(0.0, 500, 8)
    path[:, 4:, 0] *= 3.0
    found = convergence(path)
    assert found.r_hat[0] > 1.1
    assert found.r_hat[1] < 1.02


def test_the_tail_is_beyond_the_5_percent_quantiles():
    """The smaller effective sample size of the two indicators x <= q."""
    path = autoregression(0.6, 200, 8)
    draws = path[..., 0].T.numpy()
    below = [(draws <= np.quantile(draws, q)).astype(float) for q in (0.05, 0.95)]
    by_hand = min(float(array_stats.ess(b, chain_axis=0, draw_axis=1, method="mean")) for b in below)
    assert convergence(path).ess_tail[0] == pytest.approx(by_hand, rel=1e-9)


def test_autocorrelation_by_hand_with_its_error_over_the_chains():
    path = autoregression(0.6, 60, 8)
    x = path - path.mean(0)
    by_chain = torch.stack([(x[lag:] * x[: 60 - lag]).sum(0) / x.square().sum(0) for lag in range(4)])
    found = autocorrelation(path, 3)
    torch.testing.assert_close(found.values, by_chain.mean(1))
    torch.testing.assert_close(found.standard_errors, by_chain.std(1) / math.sqrt(8))


@pytest.mark.parametrize("eps", [0.1, 1.0])
def test_autocorrelation_of_langevin_on_a_gaussian(eps):
    """(1 - eps / 2)^lag for v = 1, to 5 standard errors and what a chain's own mean takes off.

    That is its variance in units of v, (1 + r) / (1 - r) / frames with r = 1 - eps / 2, up to a factor 1 + |r|^lag.
    """
    start = NORMAL.sample((200,), generator=g()).double()
    chains = langevin(NORMAL.score, start, step_size=eps, n_steps=4000, keep_every=1, generator=g(1), progress=False)
    found = autocorrelation(chains.path, 20)
    assert found.values.shape == found.standard_errors.shape == (21, 2)
    r = 1 - eps / 2
    exact = torch.tensor([r**lag for lag in range(21)], dtype=torch.float64)[:, None]
    own_mean = 2 * (1 + r) / (1 - r) / 4001
    assert ((found.values - exact).abs() <= 5 * found.standard_errors + own_mean).all()
    assert (found.standard_errors[1:] > 0).all()
    assert own_mean < 0.03


def test_acceptance_is_a_mean_over_the_chains():
    """A random walk of variance eps in N(0, I): 1 - sqrt(eps / (4 + eps)), at any step, as it stays in its law."""
    eps, n = 1.5, 20_000
    start = NORMAL.sample((n,), generator=g()).double()
    chains = metropolis(NORMAL.log_prob, start, step_size=eps, n_steps=10, generator=g(1), progress=False)
    found = acceptance(chains)
    assert abs(found.value - (1 - math.sqrt(eps / (4 + eps)))) < 5 * found.standard_error
    assert 0.1 / math.sqrt(n) < found.standard_error < 0.5 / math.sqrt(n)


def test_trace_of_annealed_langevin_has_one_row_per_level():
    p, sigmas = two_modes(), geometric(20.0, 0.5, 8)
    start = 16 * torch.rand(2000, 2, generator=g()) - 8
    chains = annealed_langevin(
        p.score, start, sigmas, step_size=0.05, n_steps=40, keep_every=40, generator=g(), progress=False
    )
    trace = mode_weight_trace(chains, p)
    assert trace.weights.shape == trace.standard_errors.shape == (9, 2)
    assert trace.labels[1:].tolist() == pytest.approx(sigmas.tolist())
    assert trace.weights.sum(1).tolist() == pytest.approx([1.0] * 9)
    assert abs(float(trace.weights[0, 0]) - 0.5) < 0.06
    assert abs(float(trace.weights[-1, 0]) - 0.2) < 0.06
    assert float(trace.moved[0]) == 0
    assert float(trace.moved[-1]) == 0  # at small noise nobody crosses
    assert 1.0 < trace.decided_at() < 10.0


def test_bad_input():
    with pytest.raises(ValueError, match=r"path is \[3, 5, 2\]: give chains with 4 frames"):
        convergence(torch.zeros(3, 5, 2))
    with pytest.raises(ValueError, match="max_lag is -5"):
        autocorrelation(torch.zeros(6, 2, 2), -5)
    with pytest.raises(ValueError, match="single chain"):
        autocorrelation(torch.zeros(6, 1, 2))
    with pytest.raises(ValueError, match="nan or inf"):
        convergence(torch.full((6, 5, 2), math.nan))
    still = langevin(NORMAL.score, torch.zeros(3, 2), step_size=0.1, n_steps=2, progress=False, generator=g())
    for needs_a_path in (convergence, autocorrelation, lambda chains: mode_weight_trace(chains, two_modes())):
        with pytest.raises(ValueError, match="the chains hold no path: run the sampler with keep_every=1"):
            needs_a_path(still)
    with pytest.warns(RuntimeWarning, match="a sampler that never refuses, such as langevin, or their step"):
        assert acceptance(still).value == 1
    with pytest.raises(ValueError, match="chains is a single chain: an error bar needs at least 2"):
        acceptance(langevin(NORMAL.score, torch.zeros(1, 2), step_size=0.1, n_steps=2, progress=False, generator=g()))
    with pytest.raises(TypeError, match="chains is a Tensor: give the Chains"):
        acceptance(still.acceptance)


def test_diagnostics_that_chains_cannot_have_are_refused_by_name():
    with pytest.raises(ValueError, match=r"path holds a single chain: R-hat compares chains.*torch.cat\(path.chunk"):
        convergence(autoregression(0.5, 100, 1))
    halves = torch.cat(autoregression(0.5, 100, 1).chunk(2), 1)  # as the message says
    assert convergence(halves).r_hat[0] < 1.2
    still = autoregression(0.5, 100, 4)
    still[..., 1] = still[0, :, 1]
    with pytest.raises(ValueError, match=r"no chain ever moved in x2: R-hat"):
        convergence(still)
    one_still = autoregression(0.5, 100, 4)
    one_still[:, 2] = 1.0
    with pytest.raises(ValueError, match=r"1 of 4 chains never moved in x1"):
        autocorrelation(one_still)
    with pytest.raises(TypeError, match="chains is a Tensor: give the Chains of a run with keep_every"):
        mode_weight_trace(one_still, two_modes())


def test_a_density_in_place_of_its_log_prob_is_refused():
    with pytest.raises(TypeError, match=r"log_prob is a GaussianMixture: give a function, for example p\.log_prob"):
        convergence(torch.zeros(4, 3, 2), two_modes())
