"""The flow of a velocity and its likelihood: closed forms, orders, exact laws, and what they refuse."""

import math

import pytest
import torch
from scipy.stats import chi2

from toylab.densities import Circle, GaussianMixture, TwoMoons, isotropic, ring
from toylab.networks import ScoreMLP, VelocityMLP
from toylab.objectives import FlowMatching
from toylab.paths import Interpolant, Linear, cosine, of_sde, velocity_to_score
from toylab.samplers import (
    euler_step,
    flow,
    flow_adaptive,
    flow_log_likelihood,
    heun_step,
    hutchinson,
    log_likelihood,
    prior_mismatch,
    probability_flow,
    probability_flow_adaptive,
    rk4_step,
)
from toylab.schedules import uniform
from toylab.sde import VE, VP
from toylab.training import fit

MIXTURE = GaussianMixture(
    [0.3, 0.7], [[-3.0, -2.0], [2.0, 4.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]]]
)
SOURCE = GaussianMixture([0.4, 0.6], [[0.0, -2.0], [1.0, 1.0]], [[[0.6, 0.1], [0.1, 0.3]], [[0.5, 0.0], [0.0, 0.4]]])
MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
NORMAL = isotropic([MEAN.tolist()], 3.0)
TIMES = torch.linspace(0, 1, 11, dtype=torch.float64)
QUIET = {"progress": False}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def start(n=6, dtype=torch.float64):
    return torch.randn(n, 2, dtype=dtype, generator=generator(99))


def draws(n):
    return MIXTURE.to(torch.float64).sample((n,), generator=generator())


def exact(path, density):
    return lambda x, t: path.velocity(density, x, t)


def to_normal(x, t):
    """From N(0, I) to N(m, 9 I): points go to m + 3 x."""
    return Linear().velocity(NORMAL, x, t)


@pytest.mark.parametrize(("step", "order", "n"), [(euler_step, 1, 200), (heun_step, 2, 50), (rk4_step, 4, 60)])
def test_order(step, order, n):
    """Twice the steps, 2^-order of the error: the ratio is met to 13 %. From N(0, I) to N(m, I / 4)."""
    x, narrow = start(), isotropic([MEAN.tolist()], 0.5)

    def error(n_steps):
        times = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
        end = flow(exact(Linear(), narrow), x, times, step=step, **QUIET).samples
        return float((end - MEAN - x / 2).abs().max())

    assert error(n) / error(2 * n) == pytest.approx(2**order, rel=0.13)


def test_there_and_back():
    x = start()
    there = flow_adaptive(to_normal, x, rtol=1e-9, atol=1e-9, **QUIET).samples
    torch.testing.assert_close(there, MEAN + 3 * x, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(flow_adaptive(to_normal, there, 1.0, 0.0, rtol=1e-9, atol=1e-9, **QUIET).samples, x)
    fine = torch.linspace(0, 1, 101, dtype=torch.float64)
    there = flow(to_normal, x, fine, step=rk4_step, **QUIET).samples
    back = flow(to_normal, there, fine.flip(0), step=rk4_step, **QUIET).samples
    torch.testing.assert_close(back, x, rtol=1e-6, atol=1e-6)


def test_a_part_of_the_way():
    """From 0 to 1/2 and from there to 1, as from 0 to 1."""
    x = start()
    half = flow_adaptive(to_normal, x, 0.0, 0.5, rtol=1e-9, atol=1e-9, **QUIET).samples
    whole = flow_adaptive(to_normal, half, 0.5, 1.0, rtol=1e-9, atol=1e-9, **QUIET).samples
    torch.testing.assert_close(whole, MEAN + 3 * x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("keep_every", [1, 3, 10, 11])
def test_path_labels_and_evaluations(keep_every):
    x = start()
    chains = flow(to_normal, x, TIMES, keep_every=keep_every, **QUIET)
    kept = list(range(0, 11, keep_every))
    every = flow(to_normal, x, TIMES, keep_every=1, **QUIET)
    assert torch.equal(every.path[0], x) and torch.equal(every.path[-1], chains.samples)
    assert torch.equal(every.path[kept], chains.path)
    torch.testing.assert_close(chains.labels, TIMES[kept])
    assert chains.n_evaluations == 20
    assert flow(to_normal, x, TIMES, step=rk4_step, **QUIET).n_evaluations == 40


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_keeps_the_dtype_of_its_points_and_leaves_no_graph(dtype):
    network, x = VelocityMLP(8, generator=generator()).to(dtype), start(dtype=dtype)
    given = x.clone()
    for chains in (flow(network, x, TIMES, **QUIET), flow_adaptive(network, x, rtol=1e-4, **QUIET)):
        assert chains.samples.dtype == dtype and not chains.samples.requires_grad
    assert torch.equal(x, given) and torch.is_grad_enabled()


@pytest.mark.parametrize("done", [0, 1, 7])
def test_ctrl_c_returns_what_is_done(done):
    calls = 0

    def interrupted(x, t):
        nonlocal calls
        calls += 1
        if calls > 2 * done:
            raise KeyboardInterrupt
        return -x

    with pytest.warns(RuntimeWarning, match="flow was interrupted"):
        chains = flow(interrupted, start(), TIMES, keep_every=1)
    whole = flow(lambda x, t: -x, start(), TIMES, keep_every=1, **QUIET)
    assert torch.equal(chains.path, whole.path[: done + 1])
    assert torch.equal(chains.samples, whole.path[done])


def test_points_that_diverge_are_marked():
    def half(x, t):
        return torch.where(x[:, :1] > 50, 1e308, -x)

    x = torch.zeros(4, 2, dtype=torch.float64)
    x[1] = 1e308
    with pytest.warns(RuntimeWarning, match="1 of 4 chains diverged .*Take more times"):
        assert flow(half, x, TIMES, **QUIET).diverged.tolist() == [False, True, False, False]


# ------------------------------------------------------------------------------------------------ likelihood


BRIDGE = Interpolant(Linear(SOURCE), lambda t: (t * (1 - t)).sqrt())


@pytest.mark.parametrize(
    "path",
    [Linear(), cosine(), Linear(SOURCE), BRIDGE],
    ids=["linear", "cosine", "between mixtures", "with latent noise"],
)
def test_likelihood_is_the_exact_log_density(path):
    """Of draws, and in the tails: there to 1e-6 of log p."""
    tails = torch.tensor([[9.0, 0.0], [0.0, 0.0], [-7.0, 7.0]], dtype=torch.float64)
    x = torch.cat([draws(3), tails])
    source = getattr(path.path if path is BRIDGE else path, "source", None)
    found = flow_log_likelihood(exact(path, MIXTURE), x, source=source)
    truth = MIXTURE.log_prob(x)
    assert float(((found.log_prob - truth) / (1 + truth.abs())).abs().max()) < 1e-6
    torch.testing.assert_close(found.log_prob, found.log_prior + found.divergence)
    prior = isotropic([[0.0, 0.0]], 1.0) if source is None else source
    torch.testing.assert_close(found.log_prior, prior.log_prob(found.end))
    assert torch.equal(found.standard_error, torch.zeros(6, dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("p", [Circle(2.0).noised(0.3), TwoMoons().noised(0.1)], ids=["circle", "two moons"])
def test_from_eight_gaussians_to_a_law_that_is_no_mixture(p):
    source, x = ring(8), p.to(torch.float64).sample((2,), generator=generator())
    found = flow_log_likelihood(exact(Linear(source), p), x, source=source)
    assert float((found.log_prob - p.log_prob(x)).abs().max()) < 1e-6


@pytest.mark.slow
def test_a_trained_flow_from_eight_gaussians_to_two_moons_draws_what_its_likelihood_says():
    """Pearson's test of 20,000 draws in squares of side 1/2, whose masses under q are sums over cells of side 1/10.

    Squares with fewer than 20 draws expected are taken together. A false alarm in 1e-7 of all runs.
    """
    p, source, g, n, h = TwoMoons().noised(0.3), ring(8, radius=2.0), generator(3), 20_000, 0.1
    settings = {"n_steps": 600, "learning_rate": 1e-2, "generator": g, "progress": False}
    network = fit(VelocityMLP(64, 2, generator=g), FlowMatching(Linear(source)), p, **settings).network.double()
    starts = source.to(torch.float64).sample((n,), generator=g)
    ends = flow_adaptive(network, starts, rtol=1e-5, atol=1e-5, **QUIET).samples

    cells = torch.cartesian_prod(torch.arange(-3, 4, h).double() + h / 2, torch.arange(-2.5, 3, h).double() + h / 2)
    q = flow_log_likelihood(network, cells, source=source, rtol=1e-4, atol=1e-4).log_prob.exp()
    assert float(q.sum()) * h**2 == pytest.approx(1, abs=1e-3)

    def square(x):
        return ((2 * x).floor() @ x.new_tensor([100, 1])).long()

    expected = {k: n * h**2 * float(q[square(cells) == k].sum()) for k in square(cells).unique().tolist()}
    large = [k for k, count in expected.items() if count >= 20]
    found = torch.tensor([int((square(ends) == k).sum()) for k in large])
    means = torch.tensor([expected[k] for k in large])
    found, means = (torch.cat([counts, n - counts.sum(0, keepdim=True)]) for counts in (found, means))
    assert chi2.sf(float(((found - means) ** 2 / means).sum()), len(large)) > 1e-7


def test_any_network_has_a_density_that_integrates_to_one():
    """Trapezoid rule, for a smooth density with small tails."""
    network = VelocityMLP(16, 2, data_std=1.0, generator=generator(1)).double()
    ticks = torch.linspace(-8, 8, 81, dtype=torch.float64)
    found = flow_log_likelihood(network, torch.cartesian_prod(ticks, ticks), rtol=1e-7, atol=1e-7)
    assert float(found.log_prob.exp().sum()) * 0.2**2 == pytest.approx(1, abs=1e-5)
    assert not found.log_prob.requires_grad


def test_hutchinson_within_its_standard_error():
    """400 projections at each of 2 points: |z| < 5 for both, wrong in 1e-6 of all runs."""
    x, settings = draws(2), {"rtol": 1e-6, "atol": 1e-6}
    whole = flow_log_likelihood(exact(Linear(), MIXTURE), x, **settings)
    some = flow_log_likelihood(exact(Linear(), MIXTURE), x, trace=hutchinson(400, generator=generator(3)), **settings)
    z = (some.log_prob - whole.log_prob) / some.standard_error
    assert 0.1 < float(z.abs().max()) < 5


# ------------------------------------------------------------------------ a velocity where a score is asked for


@pytest.mark.parametrize("sde", [VE(0.1, 10.0), VP()], ids=["VE", "VP"])
def test_a_velocity_serves_probability_flow_and_log_likelihood_as_they_stand(sde):
    """Along Linear() x_t / t is the data with plain noise of (1 - t) / t: a score for every SDE."""

    def score(x, sigma):
        t = 1 / (1 + torch.as_tensor(sigma, dtype=x.dtype).expand(x.shape[:-1]))
        at = t[..., None] * x
        return t[..., None] * velocity_to_score(Linear(), Linear().velocity(MIXTURE, at, t), at, t)

    x = draws(3)
    torch.testing.assert_close(score(x, 0.7), MIXTURE.score(x, 0.7), rtol=1e-9, atol=1e-9)
    found = log_likelihood(sde, score, x, rtol=1e-6, atol=1e-6)
    law = MIXTURE.scaled(float(sde.alpha(sde.t_min))).noised(float(sde.sigma(sde.t_min)))
    whole = found.log_prob + prior_mismatch(sde, MIXTURE, found.end)
    assert float((whole - law.log_prob(x)).abs().max()) < 1e-5
    noise = sde.prior.to(torch.float64).sample((10,), generator=generator(1))
    times = uniform(1.0, sde.t_min, 11).double()
    ours, theirs = (probability_flow(sde, s, noise, times, step=rk4_step, **QUIET) for s in (score, MIXTURE.score))
    torch.testing.assert_close(ours.samples, theirs.samples, rtol=1e-7, atol=1e-7)


def test_along_of_sde_the_flow_is_the_probability_flow():
    """The velocity of a path made of an SDE carries points as probability_flow does, from its time 1 to t_min."""
    sde = VP(0.5, 5.0, t_min=0.01)
    path, x = of_sde(sde), start()
    ours = flow_adaptive(exact(path, MIXTURE), x, rtol=1e-9, atol=1e-9, **QUIET).samples
    theirs = probability_flow_adaptive(sde, MIXTURE.score, x, 1.0, sde.t_min, rtol=1e-9, atol=1e-9, **QUIET).samples
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)

    def score(x, sigma):  # the score of the data with plain noise, by way of the time at which the SDE has that level
        s = sde.time_of(torch.as_tensor(sigma, dtype=torch.float64))
        t, alpha = ((1 - s) / (1 - sde.t_min)).clamp(0, 1), sde.alpha(s)
        return alpha * velocity_to_score(path, path.velocity(MIXTURE, alpha * x, t), alpha * x, t)

    times = uniform(1.0, sde.t_min, 11).double()
    runs = [probability_flow(sde, s, x, times, step=rk4_step, **QUIET).samples for s in (score, MIXTURE.score)]
    torch.testing.assert_close(*runs, rtol=1e-9, atol=1e-9)


# ----------------------------------------------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"velocity": 1.0}, TypeError, "velocity is a float"),
        ({"velocity": ScoreMLP(8, generator=generator()).double()}, TypeError, r"cannot be called as velocity\(x, t\)"),
        ({"velocity": VelocityMLP}, TypeError, "velocity is the class VelocityMLP"),
        ({"velocity": lambda x, t: x[:, 0]}, ValueError, "velocity gives shape"),
        ({"velocity": lambda x, t: x * math.nan}, ValueError, "velocity is nan or inf at 6 of 6 starts"),
        ({"x": torch.zeros(2)}, ValueError, "x has shape"),
        ({"x": torch.tensor([[math.nan, 0.0]])}, ValueError, "x holds 1 points"),
        ({"times": 20}, ValueError, "torch.linspace"),
        ({"times": torch.tensor([0.0, 2.0])}, ValueError, r"times lie in \[0, 1\].*from 0, the source, to 1"),
        ({"times": torch.tensor([0.0, 0.5, 0.3, 1.0])}, ValueError, "does not strictly rise"),
        ({"keep_every": 0}, ValueError, "keep_every"),
        ({"step": 0.1}, TypeError, "step is a float"),
        ({"step": lambda v, x, t, u: v(x, t)[:, :1]}, ValueError, "step gives shape"),
    ],
    ids=lambda value: "",
)
def test_bad_input_is_refused(bad, error, message):
    arguments = {"velocity": to_normal, "x": start(), "times": TIMES, **QUIET, **bad}
    with pytest.raises(error, match=message):
        flow(arguments.pop("velocity"), arguments.pop("x"), arguments.pop("times"), **arguments)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"last": 1.5}, ValueError, r"times lie in \[0, 1\]"),
        ({"last": 0.0}, ValueError, "does not strictly"),
        ({"rtol": 0.0}, ValueError, "rtol is 0"),
        ({"max_evaluations": 20}, RuntimeError, "max_evaluations = 20"),
        ({"velocity": lambda x, t: x / 0}, FloatingPointError, "nan or inf at 6 of 6"),
    ],
    ids=lambda value: "",
)
def test_bad_input_is_refused_by_the_adaptive_one(bad, error, message):
    with pytest.raises(error, match=message):
        flow_adaptive(**{"velocity": to_normal, "x": start(), "rtol": 1e-9, "atol": 1e-9, **QUIET, **bad})


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"velocity": None}, TypeError, "velocity is a NoneType"),
        ({"source": 1.0}, TypeError, "source is a float"),
        ({"x": torch.zeros(3, 2)}, ValueError, "finer than torch.float32"),
        ({"x": start().requires_grad_()}, ValueError, "flow_log_likelihood cannot give"),
        ({"trace": 8}, TypeError, "trace is a int"),
        ({"max_evaluations": 20}, RuntimeError, "max_evaluations = 20"),
    ],
    ids=lambda value: "",
)
def test_bad_input_is_refused_by_the_likelihood(bad, error, message):
    with pytest.raises(error, match=message):
        flow_log_likelihood(**{"velocity": to_normal, "x": start(), **bad})
