"""HMC, tempering, warm-up and the starts: what is special about each, beside the contract that all share."""

import math

import pytest
import scipy.stats
import torch

from toylab.densities import GaussianMixture, isotropic, two_modes
from toylab.metrics import mode_weights
from toylab.samplers import (
    State,
    annealed_langevin,
    denoised,
    gaussian_start,
    hmc,
    kernel_score,
    langevin,
    mala,
    mala_warm_up,
    metropolis,
    mode_start,
    parallel_tempering,
    scaled_network_langevin,
    stochastic_gradient_langevin,
    swap_step,
    temperature,
    uniform_start,
)
from toylab.samplers.hmc import leapfrog
from toylab.schedules import geometric

NORMAL = isotropic([[0.0, 0.0]], 1.0)
QUIET = {"progress": False}


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def variance_is(values, exact):
    """The variance of n independent normal numbers, to 5 standard errors."""
    n = values.numel()
    assert float(values.double().var()) == pytest.approx(exact, rel=5 * math.sqrt(2 / n))


def test_hmc_with_one_leapfrog_step_is_mala():
    """The same proposals, and the same ratio: |v|^2 / 2 plays the part of log q."""
    p, x = two_modes(), two_modes().sample((500,), generator=g()).double()
    one = mala(p.log_prob, p.score, x, step_size=0.7, n_steps=20, generator=g(1), **QUIET)
    other = hmc(p.log_prob, p.score, x, step_size=0.7, n_leapfrog=1, n_steps=20, generator=g(1), **QUIET)
    torch.testing.assert_close(one.samples, other.samples, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(one.acceptance, other.acceptance)


def test_leapfrog_is_reversible_and_nearly_keeps_the_energy():
    p = two_modes()
    x, v = p.sample((50,), generator=g()).double(), torch.randn(50, 2, dtype=torch.float64, generator=g(1))
    y, s, w = leapfrog(p.score, x, p.score(x), v, 0.1, 25)
    back, _, minus_v = leapfrog(p.score, y, s, -w, 0.1, 25)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(minus_v, -v, rtol=1e-9, atol=1e-9)

    def energy(x, v):
        return -p.log_prob(x) + 0.5 * v.square().sum(-1)

    assert float((energy(y, w) - energy(x, v)).abs().max()) < 0.02
    halved = leapfrog(p.score, x, p.score(x), v, 0.05, 50)
    ratio = (energy(y, w) - energy(x, v)).abs().mean() / (energy(halved[0], halved[2]) - energy(x, v)).abs().mean()
    assert float(ratio) == pytest.approx(4, rel=0.1)  # second order


def test_preconditioned_mala_is_mala_in_other_coordinates():
    """With M = L L^T, x = L u: the chain of u under p(L u) is isotropic MALA with the same noise."""
    c = torch.tensor([[4.0, 1.5], [1.5, 1.0]], dtype=torch.float64)
    p, factor = GaussianMixture([1.0], [[1.0, -1.0]], [c.tolist()]), torch.linalg.cholesky(c)
    x = p.sample((300,), generator=g()).double()
    u = torch.linalg.solve_triangular(factor, x.T, upper=False).T
    one = mala(p.log_prob, p.score, x, step_size=0.9, n_steps=15, preconditioner=c, generator=g(1), **QUIET)
    other = mala(
        lambda u: p.log_prob(u @ factor.T), lambda u: p.score(u @ factor.T) @ factor, u, step_size=0.9, n_steps=15,
        generator=g(1), **QUIET,
    )  # fmt: skip
    torch.testing.assert_close(one.samples, other.samples @ factor.T, rtol=1e-9, atol=1e-9)


def test_preconditioning_pays_on_an_elongated_law():
    c = [[25.0, 0.0], [0.0, 0.04]]
    p = GaussianMixture([1.0], [[0.0, 0.0]], [c])
    x = p.sample((2000,), generator=g()).double()
    settings = {"step_size": 1.2, "n_steps": 10, "generator": g(1), **QUIET}
    plain = mala(p.log_prob, p.score, x, **settings)
    scaled = mala(p.log_prob, p.score, x, preconditioner=torch.tensor(c), **settings)
    assert float(scaled.acceptance.mean()) > 0.7
    assert float(plain.acceptance.mean()) < 0.3


@pytest.mark.parametrize("first", [0.01, 30.0])
@pytest.mark.parametrize("target", [0.574, 0.8])
def test_warm_up_finds_the_step_of_its_target(first, target):
    p, x = two_modes(), two_modes().sample((2000,), generator=g()).double()
    warm = mala_warm_up(p.log_prob, p.score, x, step_size=first, target=target, generator=g(1))
    assert warm.acceptance.shape == (200,)
    frozen = mala(p.log_prob, p.score, warm.samples, step_size=warm.step_size, n_steps=20, generator=g(2), **QUIET)
    assert float(frozen.acceptance.mean()) == pytest.approx(target, abs=0.03)


def test_warm_up_is_its_recursion():
    """log eps moves by 5 (acceptance - 0.574) / k^0.6; what is returned is its mean over the second half."""
    p, x = two_modes(), two_modes().sample((100,), generator=g()).double()
    warm = mala_warm_up(p.log_prob, p.score, x, step_size=0.02, n_steps=30, generator=g(1))
    k = torch.arange(1, 31, dtype=torch.float64)
    log_eps = math.log(0.02) + (5 * (warm.acceptance - 0.574) / k**0.6).cumsum(0)
    assert math.log(warm.step_size) == pytest.approx(float(log_eps[15:].mean()), rel=1e-12)


def test_metropolis_proposes_by_the_root_of_its_step():
    """Where log p is constant, every proposal x + sqrt(eps) z is kept."""
    x = torch.randn(20, 2, dtype=torch.float64, generator=g())
    moved = metropolis(lambda x: torch.zeros(len(x)).double(), x, step_size=0.09, n_steps=1, generator=g(1), **QUIET)
    z = torch.randn(20, 2, dtype=torch.float64, generator=g(1))
    torch.testing.assert_close(moved.samples, x + 0.3 * z, rtol=1e-12, atol=1e-12)


def test_metropolis_accepts_less_at_larger_steps():
    x = NORMAL.sample((2000,), generator=g())
    rates = [
        float(metropolis(NORMAL.log_prob, x, step_size=eps, n_steps=20, generator=g(1), **QUIET).acceptance.mean())
        for eps in (0.01, 1.0, 100.0)
    ]
    assert rates[0] > 0.9 > rates[1] > 0.3 > 0.1 > rates[2]


def test_tempering_takes_longer_steps_where_it_is_hot():
    """Where log p is constant, the proposals at temperature T are x + sqrt(eps T) z."""
    asked, ladder = [], torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64)

    def log_prob(x):
        asked.append(x)
        return x.new_zeros(x.shape[:-1])

    x = torch.zeros(5, 2, dtype=torch.float64)
    parallel_tempering(log_prob, torch.zeros_like, x, ladder, step_size=0.25, n_steps=1, generator=g(1), **QUIET)
    z = torch.randn(15, 2, dtype=torch.float64, generator=g(1)).view(3, 5, 2)
    torch.testing.assert_close(asked[1].view(3, 5, 2), 0.5 * ladder.sqrt()[:, None, None] * z, rtol=1e-12, atol=1e-12)


def test_tempering_crosses_where_mala_cannot():
    """From a start in the lower mode alone: MALA stays there, tempering finds 0.2 and 0.8."""
    p = two_modes()
    x = mode_start(400, p, 0).double()
    stays = mala(p.log_prob, p.score, x, step_size=0.5, n_steps=200, generator=g(), **QUIET)
    assert mode_weights(stays.samples, p)[0].value == 1.0
    ladder = geometric(64.0, 1.0, 7).flip(0)
    crosses = parallel_tempering(p.log_prob, p.score, x, ladder, step_size=0.5, n_steps=1500, generator=g(), **QUIET)
    lower = mode_weights(crosses.samples, p)[0]
    assert abs(lower.value - 0.2) < 5 * lower.standard_error + 0.02  # 0.02 for what is left of the start


def test_a_swap_keeps_the_pairs_and_trades_only_neighbours():
    x = torch.arange(5, dtype=torch.float64)[:, None, None].expand(5, 3, 2).clone()
    here = State(x, torch.arange(5, dtype=torch.float64)[:, None].expand(5, 3).clone(), -x)  # log p rises with k
    beta = torch.tensor([1.0, 0.5, 0.25, 0.125, 0.0625], dtype=torch.float64)
    for first, order in ((0, [1, 0, 3, 2, 4]), (1, [0, 2, 1, 4, 3])):  # a better one moves down for sure
        after, traded = swap_step(here, beta, first, generator=g())
        assert traded.all()
        assert traded.shape == (2, 3)
        assert after.x[:, 0, 0].tolist() == order
        assert after.log_prob[:, 0].tolist() == order
        assert torch.equal(after.score, -after.x)


@pytest.mark.parametrize("t", [0.0, 0.5, 3.0])
def test_langevin_at_a_temperature(t):
    """On N(0, 1): variance T / (1 - eps / 4); at T = 0 it climbs to the mode."""
    start = math.sqrt(t / (1 - 0.1)) * torch.randn(50_000, 2, dtype=torch.float64, generator=g())
    chains = langevin(NORMAL.score, start + (t == 0), step_size=0.4, n_steps=60, temperature=t, generator=g(1), **QUIET)
    if t == 0:
        assert float(chains.samples.abs().max()) < 1e-5
    else:
        variance_is(chains.samples, t / (1 - 0.4 / 4))


def test_the_denoising_step_is_the_posterior_mean():
    """N(0, v) noised by sigma: E[X | y] = v / (v + sigma^2) y."""
    y = torch.randn(9, 2, dtype=torch.float64, generator=g())
    torch.testing.assert_close(denoised(NORMAL.score, y, 0.7), y / 1.49, rtol=1e-12, atol=0)
    settings = {"step_size": 0.1, "n_steps": 5, **QUIET}
    noisy = annealed_langevin(NORMAL.score, y, torch.tensor([1.0, 0.7]), generator=g(1), **settings).samples
    clean = annealed_langevin(
        NORMAL.score, y, torch.tensor([1.0, 0.7]), denoise=True, generator=g(1), **settings
    ).samples
    torch.testing.assert_close(clean, noisy / 1.49, rtol=1e-6, atol=0)


def test_the_published_sampler_has_temperature_an_eighth():
    """A point mass at the origin, sigma = 0.1: variance .00255 (theory), where the noised law has .01."""
    sigma, alpha, eta = 0.1, 0.1, 0.05
    t = temperature(alpha, eta, sigma)
    assert t == pytest.approx(0.125)

    def network(x):
        return sigma * (-x / sigma**2)

    chains = scaled_network_langevin(network, 40_000, n_steps=100, generator=g(), **QUIET)
    before = chains.samples.double().atanh()
    a = alpha * sigma  # the step in front of the score
    exact = sigma**2 * t / (1 - a / (2 * sigma**2))
    assert exact == pytest.approx(0.0025, rel=0.01)
    variance_is(before, exact)
    matched = scaled_network_langevin(network, 40_000, eta=math.sqrt(2 * a), n_steps=100, generator=g(), **QUIET)
    variance_is(matched.samples.double().atanh(), sigma**2 / (1 - a / (2 * sigma**2)))


def test_the_published_sampler_starts_uniformly_on_its_square():
    chains = scaled_network_langevin(torch.neg, 20_000, n_steps=1, keep_every=1, generator=g(), **QUIET)
    for coordinate in chains.path[0].T.numpy():
        assert scipy.stats.kstest(coordinate, scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-6


def test_the_final_tanh_moves_what_came_out():
    chains = scaled_network_langevin(lambda x: 10 * (1.0 - x), 100, eta=1e-6, n_steps=50, generator=g(), **QUIET)
    assert float((chains.samples - math.tanh(1.0)).abs().max()) < 1e-4


@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize("eps", [0.1, 0.4])
def test_stochastic_gradients_widen_the_law_as_they_should(eps, batch_size):
    """v (1 + eps S / (4 B v^2)) / (1 - eps / (4 v)) about the mean of the data."""
    data, v = torch.randn(500, 2, dtype=torch.float64, generator=g()) * 3, 0.5
    exact = [v * (1 + eps * float(data[:, i].var(correction=0)) / (4 * batch_size * v**2)) / (1 - eps / (4 * v))
             for i in (0, 1)]  # fmt: skip
    start = data.mean(0) + torch.tensor(exact, dtype=torch.float64).sqrt() * torch.randn(
        40_000, 2, dtype=torch.float64, generator=g(1)
    )

    def score(x, batch):
        return (batch.mean(1) - x) / v

    chains = stochastic_gradient_langevin(
        score, data, start, step_size=eps, batch_size=batch_size, n_steps=40, generator=g(2), **QUIET
    )
    for i in (0, 1):
        variance_is(chains.samples[:, i], exact[i])


def test_kernel_score_of_all_the_data_is_that_of_the_estimate():
    from toylab.densities import Points

    data = torch.randn(30, 2, dtype=torch.float64, generator=g())
    x = torch.randn(7, 2, dtype=torch.float64, generator=g(1))
    torch.testing.assert_close(
        kernel_score(0.4)(x, data.expand(7, 30, 2)), Points(data).score(x, 0.4), rtol=1e-9, atol=1e-9
    )


def test_starts():
    x = uniform_start(20_000, (-8.0, 4.0, 1.0, 3.0), generator=g())
    assert scipy.stats.kstest(x[:, 0].numpy(), scipy.stats.uniform(-8, 12).cdf).pvalue > 1e-6
    assert scipy.stats.kstest(x[:, 1].numpy(), scipy.stats.uniform(1, 2).cdf).pvalue > 1e-6
    y = gaussian_start(20_000, 3.0, dtype=torch.float64, generator=g())
    assert y.dtype == torch.float64
    assert scipy.stats.kstest(y[:, 0].numpy() / 3, "norm").pvalue > 1e-6
    assert mode_start(3, two_modes(), 1).tolist() == [[5.0, 5.0]] * 3
    assert torch.equal(uniform_start(5, (0, 1, 0, 1), generator=g(2)), uniform_start(5, (0, 1, 0, 1), generator=g(2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniform_start(3, (1.0, 0.0, 0.0, 1.0)), "left < right"),
        (lambda: gaussian_start(0, 1.0), "n is 0"),
        (lambda: gaussian_start(3, 0.0), "std"),
        (lambda: mode_start(3, two_modes(), 2), "components 0 to 1"),
        (lambda: kernel_score(0.0), "h is 0"),
        (lambda: scaled_network_langevin(NORMAL.score, 3, alpha=0.0), "alpha"),
        (lambda: hmc(NORMAL.log_prob, NORMAL.score, torch.zeros(3, 2), step_size=1.0, n_leapfrog=0, n_steps=1), "leap"),
        (lambda: mala_warm_up(NORMAL.log_prob, NORMAL.score, torch.zeros(3, 2), step_size=1.0, target=1.0), "target"),
        (lambda: mala(NORMAL.log_prob, NORMAL.score, torch.zeros(3, 2), step_size=1.0, n_steps=1,
                      preconditioner=torch.eye(3)), "preconditioner"),
        (lambda: mala(NORMAL.log_prob, NORMAL.score, torch.zeros(3, 2), step_size=1.0, n_steps=1,
                      preconditioner=-torch.eye(2)), "positive definite"),
        (lambda: langevin(NORMAL.score, torch.zeros(3, 2), step_size=1.0, n_steps=1, temperature=-1.0), "temperature"),
        (lambda: parallel_tempering(NORMAL.log_prob, NORMAL.score, torch.zeros(3, 2), torch.tensor([2.0, 3.0]),
                                    step_size=1.0, n_steps=1), "starts at 1"),
        (lambda: parallel_tempering(NORMAL.log_prob, NORMAL.score, torch.zeros(3, 2), torch.tensor([1.0, 0.5]),
                                    step_size=1.0, n_steps=1), "rises"),
        (lambda: stochastic_gradient_langevin(kernel_score(1.0), torch.zeros(5), torch.zeros(3, 2), step_size=1.0,
                                              batch_size=2, n_steps=1), "data has shape"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
