"""A run that goes wrong ends in one warning, which names the cause from evidence; a run that is right ends in none."""

import linecache
import warnings

import pytest
import torch
from torch.distributions import Independent, Weibull

import toylab
from toylab.densities import Square, StudentTMixture, from_torch, isotropic, two_modes
from toylab.samplers import (
    ancestral,
    annealed_langevin,
    ddim,
    hmc,
    langevin,
    log_likelihood,
    mala,
    mala_warm_up,
    metropolis,
    parallel_tempering,
    predictor_corrector,
    probability_flow,
    probability_flow_adaptive,
    reverse_sde,
    reverse_sde_heun,
    stochastic_gradient_langevin,
)
from toylab.samplers.loop import Recorder
from toylab.schedules import geometric, uniform
from toylab.sde import VE, VP

P, BOX = two_modes(), Square(-1.0, 1.0)
QUIET = {"progress": False}
SMALLER = "Take a smaller step_size"
WRONG_SIGN = "give lambda x: -score"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(n=200, p=P):
    return p.sample((n,), generator=generator(1))


def downhill(x, sigma=0.0):
    """The gradient of the energy -log p, in place of that of log p."""
    return -P.score(x, sigma)


def warned(run):
    """The messages of a run, which was called on a line of this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    assert all(each.category is toylab.ToylabWarning and each.filename == __file__ for each in caught)
    return [str(each.message) for each in caught]


def the_one(run):
    (message,) = warned(run)
    return message


def on_p(sampler, score, n_steps, **settings):
    return lambda: sampler(P.log_prob, score, draws(), n_steps=n_steps, generator=generator(), **settings)


@pytest.mark.parametrize("step_size", [1e-4, 1e-2])
def test_chains_that_walk_out_of_a_box(step_size):
    x = draws(1000, BOX)
    message = the_one(lambda: langevin(BOX.score, x, step_size=step_size, n_steps=300, generator=generator(), **QUIET))
    assert "of 1000 chains diverged" in message
    assert "score is nan at (" in message
    assert "bounded set" in message
    assert SMALLER not in message


@pytest.mark.parametrize("step_size", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("n", [1, 200])
def test_langevin_down_the_hill(step_size, n):
    """Whether the chains have come to infinity by the end or not."""
    n_steps = int(10 / step_size) + 10
    message = the_one(
        lambda: langevin(downhill, draws(n), step_size=step_size, n_steps=n_steps, generator=generator(), **QUIET)
    )
    assert WRONG_SIGN in message
    assert SMALLER not in message


TIMES = uniform(1.0, 0.0, 101)
BACK = {
    "reverse_sde": lambda score, x: reverse_sde(VE(), score, x, TIMES, generator=generator(), **QUIET),
    "reverse_sde_heun": lambda score, x: reverse_sde_heun(VE(), score, x, TIMES, generator=generator(), **QUIET),
    "predictor_corrector": lambda score, x: predictor_corrector(VE(), score, x, TIMES, generator=generator(), **QUIET),
    "ancestral": lambda score, x: ancestral(VE(), score, x, TIMES, generator=generator(), **QUIET),
    "ddim": lambda score, x: ddim(VE(), score, x, TIMES, **QUIET),
    "probability_flow": lambda score, x: probability_flow(VE(), score, x, TIMES, **QUIET),
    "annealed_langevin": lambda score, x: annealed_langevin(
        score, x, geometric(20.0, 0.5, 10), step_size=0.05, n_steps=30, generator=generator(), **QUIET
    ),
}


@pytest.mark.parametrize("name", BACK)
def test_from_noise_down_the_hill_and_up(name):
    x = VE().prior.sample((200,), generator=generator(2))
    message = the_one(lambda: BACK[name](downhill, x))
    assert WRONG_SIGN in message
    assert warned(lambda: BACK[name](P.score, x)) == []


@pytest.mark.parametrize("step_size", [0.01, 0.3, 2.0, 100.0])
def test_samplers_that_refuse_down_the_hill(step_size):
    """What they sample is p all the same; at 100 MALA would accept nothing even with the right sign."""
    runs = {
        "mala": on_p(mala, downhill, 300, step_size=step_size),
        "hmc": on_p(hmc, downhill, 50, step_size=step_size, n_leapfrog=3),
        "warm_up": on_p(mala_warm_up, downhill, 50, step_size=step_size),
        "tempering": lambda: parallel_tempering(
            P.log_prob, downhill, draws(), torch.tensor([1.0, 2.0]), step_size=step_size, n_steps=100,
            generator=generator(),
        ),
    }  # fmt: skip
    for run in runs.values():
        message = the_one(run)
        assert WRONG_SIGN in message
        assert SMALLER not in message


def test_steps_that_are_too_large():
    assert SMALLER in the_one(
        lambda: langevin(P.score, draws(), step_size=9.0, n_steps=500, generator=generator(), **QUIET)
    )
    assert SMALLER in the_one(on_p(mala, P.score, 100, step_size=200.0))
    assert SMALLER in the_one(on_p(hmc, P.score, 100, step_size=50.0, n_leapfrog=5))
    assert SMALLER in the_one(
        lambda: metropolis(P.log_prob, draws(), step_size=1e6, n_steps=100, generator=generator(), **QUIET)
    )


def test_steps_that_are_too_small_and_a_constant():
    for run in (on_p(mala, P.score, 100, step_size=1e-9), on_p(hmc, P.score, 100, step_size=1e-9, n_leapfrog=2)):
        message = the_one(run)
        assert "all 20000 proposals were accepted" in message
        assert "Take a larger step_size" in message
    message = the_one(
        lambda: metropolis(lambda x: 0 * x[:, 0], draws(), step_size=1.0, n_steps=100, generator=generator(), **QUIET)
    )
    assert "log_prob is 0 at every point" in message


def test_accepting_everything_is_right_in_few_steps_and_on_long_paths():
    """Of 0.01 each, 150 leapfrog steps cross a normal law; 15 proposals of that size in a box go nowhere."""
    normal = isotropic([[0.0, 0.0]], 1.0)
    x = draws(100, normal)
    few = {"step_size": 1e-4, "generator": generator(), **QUIET}
    assert warned(lambda: mala(P.log_prob, P.score, draws(), n_steps=9, **few)) == []
    assert warned(lambda: hmc(normal.log_prob, normal.score, x, n_leapfrog=150, n_steps=12, **few)) == []
    message = the_one(lambda: metropolis(BOX.log_prob, torch.zeros(200, 2), n_steps=15, **few))
    assert "too small to explore" in message


def test_a_run_down_the_hill_that_nearly_overflows_is_told():
    """1.05^1000 = 1.5e21 is finite, and the product of that with the score, in float32, is not."""
    message = the_one(
        lambda: langevin(lambda x: x, draws(), step_size=0.1, n_steps=1000, generator=generator(), **QUIET)
    )
    assert "at 200 of 200 chains" in message
    assert WRONG_SIGN in message


def test_a_warm_up_tunes_its_step_so_that_another_one_to_begin_with_mends_nothing():
    """A few chains by a wall refuse every step of the size that suits the others; a higher target makes it smaller."""
    p = from_torch(Independent(Weibull(torch.ones(2), 2 * torch.ones(2)), 1))
    x = torch.full((300, 2), 0.8)
    x[:3] = torch.tensor([0.02, 0.8])
    message = the_one(lambda: mala_warm_up(p.log_prob, p.score, x, step_size=0.3, n_steps=100, generator=generator()))
    assert "of 300 chains never moved" in message
    assert "Take a higher target" in message


def test_a_log_density_that_jumps():
    """Of no use at any step size: a value that has nothing to do with the one next to it."""

    def noise(x):
        return 1e7 * (1e9 * x[:, 0]).sin()

    message = the_one(
        lambda: metropolis(noise, draws().double(), step_size=1.0, n_steps=3000, generator=generator(), **QUIET)
    )
    assert "no step size helps" in message
    assert SMALLER not in message


def test_a_score_of_another_law():
    message = the_one(on_p(mala, lambda x: 40 * P.score(x), 100, step_size=1.0))
    assert "score is not the gradient of log_prob" in message


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_score_is_not_blamed_where_log_prob_is_rounded(dtype):
    """5,000 standard deviations out log p is -1e7, which float32 knows to 1; the score is the exact gradient."""
    p = isotropic([[0.0, 0.0]], 1e-3).to(dtype)
    start = 5 * torch.ones(400, 2, dtype=dtype, device="cpu")
    message = the_one(lambda: mala(p.log_prob, p.score, start, step_size=0.1, n_steps=5, generator=generator()))
    assert "is not the gradient" not in message and "take a smaller step_size." in message.lower()
    assert ("float32 rounds the slope" in message) == (dtype == torch.float32)


def test_chains_that_are_stuck_where_others_move():
    """Far out on a flank whose score throws each proposal over to the other side."""

    def log_prob(x):
        return -x.square().sum(-1) / 2 - x.pow(4).sum(-1)

    def score(x):
        return -x - 4 * x.pow(3)

    x = torch.zeros(50, 2, dtype=torch.float64)
    x[:2] = 30.0
    message = the_one(lambda: mala(log_prob, score, x, step_size=0.1, n_steps=200, generator=generator(), **QUIET))
    assert "2 of 50 chains never moved in 200 proposals, one of them at (30, 30)" in message
    assert SMALLER in message


def test_a_step_that_a_function_fails_at_does_not_lose_the_run():
    """The diagnosis asks far out, where the user's function may raise; what was sampled is returned."""

    def short_sighted(x):
        if x.abs().max() > 1e3:
            raise ArithmeticError
        return 2 * x

    chains = langevin(short_sighted, draws(), step_size=0.1, n_steps=20, generator=generator(), **QUIET)
    assert chains.samples.isfinite().all()


def test_a_run_that_is_short_or_starts_in_a_valley_is_right():
    """They move away from the start, but not without end; those of heavy tails and of T = 0 come back slowly."""
    for x in (torch.zeros(200, 2), torch.full((200, 2), 20.0), torch.zeros(1, 2)):
        for n_steps in (1, 10, 100):
            run = {"step_size": 0.01, "n_steps": n_steps, "generator": generator(), **QUIET}
            assert warned(lambda x=x, run=run: langevin(P.score, x, **run)) == []
            assert warned(lambda x=x, run=run: langevin(P.score, x, temperature=0.0, **run)) == []
    heavy = StudentTMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]], [1.0])
    x = heavy.sample((500,), generator=generator(3))
    assert warned(lambda: langevin(heavy.score, x, step_size=0.1, n_steps=100, generator=generator(), **QUIET)) == []
    assert (
        warned(
            lambda: stochastic_gradient_langevin(
                lambda x, batch: -(x - batch.mean(1)), draws(), draws(), step_size=0.1, batch_size=4, n_steps=20,
                generator=generator(), **QUIET,
            )
        )
        == []
    )  # fmt: skip


# The adaptive solver


def test_every_point_among_many_is_exact():
    """The mean error over all points was bounded, and the worst was 4e-4 at rtol = 1e-5."""
    sde, rtol = VE(0.01, 20.0), 1e-5
    x = sde.prior.sample((20_000,), generator=generator()).double()
    ends, exact = (
        probability_flow_adaptive(sde, P.score, x, 1.0, sde.t_min, rtol=r, atol=r, **QUIET).samples
        for r in (rtol, 1e-10)
    )
    assert float((ends - exact).norm(dim=-1).max()) < 10 * rtol


def test_the_likelihood_of_a_point_does_not_depend_on_its_neighbours():
    sde, rtol = VE(0.01, 20.0), 1e-5
    x = P.sample((200,), generator=generator()).double()
    x[0] = torch.tensor([2.6, 2.4])  # between the modes
    many = log_likelihood(sde, P.score, x, rtol=rtol, atol=rtol).log_prob
    for i in range(2):
        alone = log_likelihood(sde, P.score, x[i : i + 1], rtol=rtol, atol=rtol).log_prob
        assert float((alone[0] - many[i]).abs()) < 10 * rtol


def test_a_derivative_that_is_nan_is_not_blamed_on_the_law():
    """sqrt has a value at 0, and no derivative."""

    def score(x, sigma):
        return -x / (1 + sigma**2) + (0 * x).sqrt()

    x = torch.zeros(3, 2, dtype=torch.float64)
    with pytest.raises(FloatingPointError, match="the field is finite, but its derivative is nan or inf at 3 of 3"):
        log_likelihood(VP(), score, x)
    with pytest.raises(
        FloatingPointError, match="the field is nan or inf at 3 of 3 points, at t = 0.001, .*look at its value there"
    ):
        log_likelihood(VP(), lambda x, sigma: x / 0, x)


def test_points_that_ask_for_a_gradient_are_refused():
    x = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match=r"x requires a gradient, .*Give x.detach\(\)"):
        log_likelihood(VP(), P.score, x)
    with torch.no_grad():
        assert torch.equal(
            log_likelihood(VP(), P.score, x, rtol=1e-3, atol=1e-3).log_prob,
            log_likelihood(VP(), P.score, x.detach(), rtol=1e-3, atol=1e-3).log_prob,
        )


def test_a_step_of_your_own_that_gives_a_wrong_shape_is_told():
    with pytest.raises(ValueError, match=r"step gives shape \[200, 1\] for points of shape \[200, 2\]"):
        probability_flow(VE(), P.score, draws(), TIMES, step=lambda v, x, t, u: v(x, t)[:, :1], **QUIET)


def test_a_path_larger_than_the_memory_is_refused():
    with pytest.raises(ValueError, match=r"a path of 10+1 frames of 200 chains takes .* GiB.*keep_every"):
        Recorder(draws(), 10**14, keep_every=1)


def test_the_line_of_the_warning_is_the_users():
    with pytest.warns(toylab.ToylabWarning) as caught:
        mala(P.log_prob, downhill, draws(), step_size=0.3, n_steps=50, generator=generator(), **QUIET)
    assert linecache.getline(caught[0].filename, caught[0].lineno).strip().startswith("mala(P.log_prob, downhill")
