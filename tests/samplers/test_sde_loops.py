"""What all samplers that run an SDE share: the record of frames, randomness, interruption, and what they refuse."""

import math

import pytest
import torch

from toylab.densities import two_modes
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.samplers import (
    ancestral,
    ddim,
    forward_sde,
    predictor_corrector,
    probability_flow,
    probability_flow_adaptive,
    reverse_sde,
    reverse_sde_heun,
    rk4_step,
)
from toylab.schedules import geometric, uniform
from toylab.sde import VE, VP

STOCHASTIC = {
    "reverse_sde": reverse_sde,
    "reverse_sde_heun": reverse_sde_heun,
    "predictor_corrector": predictor_corrector,
    "ancestral": ancestral,
}
STILL = {"ddim": ddim, "probability_flow": probability_flow}
ALL = STOCHASTIC | STILL
A_STEP = {"reverse_sde_heun": 2, "predictor_corrector": 2, "probability_flow": 2}  # evaluations, where not 1
SDE, TIMES = VP(), uniform(1.0, 0.1, 11)
every_sampler = pytest.mark.parametrize("name", ALL)


def score(x, sigma):
    return -x / (1 + sigma**2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def start(n=6, dtype=torch.float64):
    return torch.randn(n, 2, dtype=dtype, generator=generator(99))


def run(name, x=None, seed=1, times=TIMES, score=score, sde=SDE, **kwargs):
    kwargs = {"progress": False, **kwargs} | ({"generator": generator(seed)} if name in STOCHASTIC else {})
    return ALL[name](sde, score, start() if x is None else x, times, **kwargs)


@every_sampler
@pytest.mark.parametrize("keep_every", [1, 3, 10, 11])
def test_path_and_ticks(name, keep_every):
    """Frame k holds the chains at time k keep_every, the start first; the label is the time."""
    x = start()
    chains = run(name, x, keep_every=keep_every)
    kept = list(range(0, 11, keep_every))
    assert chains.path.shape == (len(kept), 6, 2)
    assert torch.equal(chains.path[0], x)
    every = run(name, x, keep_every=1)
    assert torch.equal(every.path[-1], chains.samples)
    assert torch.equal(every.path[kept], chains.path)
    torch.testing.assert_close(chains.labels, TIMES.double()[kept])
    assert run(name, x).path.shape == (0, 6, 2)


@every_sampler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_follows_the_start_which_is_left_alone(name, dtype):
    x = start(dtype=dtype)
    given = x.clone()
    chains = run(name, x, keep_every=2)
    assert chains.samples.dtype == chains.path.dtype == chains.acceptance.dtype == dtype
    assert torch.equal(x, given)
    assert not chains.diverged.any()
    assert torch.equal(chains.acceptance, torch.ones(6, dtype=dtype))


@pytest.mark.parametrize("name", STOCHASTIC)
def test_same_seed_same_chains_and_global_stream_untouched(name):
    before = torch.get_rng_state()
    assert torch.equal(run(name, seed=1).samples, run(name, seed=1).samples)
    assert not torch.equal(run(name, seed=1).samples, run(name, seed=2).samples)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", STILL)
def test_no_randomness(name):
    before = torch.get_rng_state()
    assert torch.equal(run(name).samples, run(name).samples)
    assert torch.equal(torch.get_rng_state(), before)


@every_sampler
def test_quiet_without_progress(name, capfd):
    run(name)
    assert capfd.readouterr() == ("", "")


@every_sampler
@pytest.mark.parametrize("done", [0, 1, 7])
def test_ctrl_c_returns_what_is_done(name, done):
    calls = 0

    def interrupted(x, sigma):
        nonlocal calls
        calls += 1
        if calls > done * A_STEP.get(name, 1):
            raise KeyboardInterrupt
        return score(x, sigma)

    with pytest.warns(RuntimeWarning, match=f"{name} was interrupted") as caught:
        chains = run(name, score=interrupted, keep_every=1)
    assert caught[0].filename == __file__
    whole = run(name, keep_every=1)
    assert torch.equal(chains.samples, whole.path[done])
    assert torch.equal(chains.path, whole.path[: done + 1])
    assert torch.equal(chains.labels, whole.labels[: done + 1])
    assert chains.n_evaluations == done * A_STEP.get(name, 1)


@every_sampler
def test_some_chains_diverge(name):
    def half(x, sigma):
        return torch.where(x[:, :1] > 50, -1e308, score(x, sigma))

    x = torch.zeros(4, 2, dtype=torch.float64)
    x[1] = 1e308
    with pytest.warns(
        RuntimeWarning, match=r"1 of 4 chains diverged .*Take more times, or end at a later one"
    ) as caught:
        chains = run(name, x, score=half, sde=VE(0.1, 2.0))
    assert caught[0].filename == __file__
    assert chains.diverged.tolist() == [False, True, False, False]
    assert chains.diverged_at.tolist() == [0, 1, 0, 0]


@every_sampler
def test_learned_scores_are_taken_and_leave_no_graph(name):
    chains = run(name, start(dtype=torch.float32), score=NoiseConditionalMLP(8, generator=generator()))
    assert not chains.samples.requires_grad
    assert torch.is_grad_enabled()


@every_sampler
def test_a_score_of_x_alone_is_a_type_error(name):
    with pytest.raises(
        TypeError, match=r"score is a ScoreMLP, which cannot be called as score\(x, sigma\): give a score of every"
    ):
        run(name, start(dtype=torch.float32), score=ScoreMLP(8, generator=generator()))


BAD = [
    ({"times": torch.tensor([1.0, 0.5, 0.0])}, ValueError, r"times lie in \[0.001, 1\]"),
    ({"times": geometric(20.0, 0.1, 5)}, ValueError, "A grid of noise levels"),
    ({"times": torch.tensor([1.0])}, ValueError, "at least 2 times"),
    ({"times": 500}, ValueError, "at least 2 times"),
    ({"times": torch.tensor([1.0, 0.5, 0.7, 0.2])}, ValueError, "does not strictly fall"),
    ({"keep_every": 0}, ValueError, "keep_every"),
    ({"score": None}, TypeError, "score"),
    ({"x": torch.zeros(2)}, ValueError, "x has shape"),
    ({"x": torch.zeros(3, 2, dtype=torch.int64)}, TypeError, "x has dtype"),
    ({"sde": VP}, TypeError, "sde is the class VP"),
    ({"sde": None}, TypeError, "sde is a NoneType"),
]


@every_sampler
@pytest.mark.parametrize(("bad", "error", "message"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_input_is_refused(name, bad, error, message):
    with pytest.raises(error, match=message):
        run(name, **bad)


@pytest.mark.parametrize("name", STOCHASTIC | {"ddim": ddim})
def test_these_run_back_in_time_only(name):
    with pytest.raises(ValueError, match=r"does not strictly fall. Turn a grid round with .flip\(0\)"):
        run(name, times=TIMES.flip(0))


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [({"snr": 0.0}, ValueError, "snr"), ({"n_corrections": 0}, ValueError, "n_corrections")],
)
def test_bad_corrections_are_refused(bad, error, message):
    with pytest.raises(error, match=message):
        run("predictor_corrector", **bad)


def test_the_forward_sde_runs_forth_from_any_time():
    x, times = start(), uniform(1.0, 0.0, 6).flip(0)
    chains = forward_sde(VP(), x, times, keep_every=1, generator=generator(), progress=False)
    torch.testing.assert_close(chains.labels, times.double())
    assert torch.equal(chains.path[0], x)
    with pytest.raises(ValueError, match="does not strictly rise"):
        forward_sde(VP(), x, times.flip(0), progress=False)


def test_the_flow_leads_back_to_where_it_came_from():
    """There and back by 400 steps of RK4: a point has one code, and a code one point."""
    p, sde, times = two_modes(), VE(0.1, 20.0), uniform(1.0, 0.0, 401)
    x = p.to(torch.float64).sample((20,), generator=generator(3))
    there = probability_flow(sde, p.score, x, times.flip(0), step=rk4_step, progress=False)
    back = probability_flow(sde, p.score, there.samples, times, step=rk4_step, progress=False)
    assert float((there.samples - x).norm(dim=-1).min()) > 1
    torch.testing.assert_close(back.samples, x, rtol=0, atol=1e-5)


def test_the_adaptive_flow_is_the_flow():
    """Against 400 steps of RK4, and back again."""
    sde, p, x = VP(), two_modes(), start()
    fine = probability_flow(sde, p.score, x, uniform(1.0, 0.001, 401).double(), step=rk4_step, progress=False).samples
    found = probability_flow_adaptive(sde, p.score, x, 1.0, 0.001, rtol=1e-9, atol=1e-9, progress=False)
    torch.testing.assert_close(found.samples, fine, rtol=1e-7, atol=1e-7)
    assert found.samples.dtype == torch.float64
    back = probability_flow_adaptive(sde, p.score, found.samples, 0.001, 1.0, rtol=1e-9, atol=1e-9, progress=False)
    torch.testing.assert_close(back.samples, x, rtol=1e-6, atol=1e-6)
    single = probability_flow_adaptive(sde, p.score, x.float(), 1.0, 0.001, progress=False)
    assert single.samples.dtype == torch.float32
    torch.testing.assert_close(single.samples.double(), fine, rtol=1e-3, atol=1e-3)


def adaptive(score=score, first=1.0, last=0.1, x=None, **kwargs):
    x = start() if x is None else x
    return probability_flow_adaptive(SDE, score, x, first, last, progress=False, **kwargs)


def test_the_adaptive_flow_stops_at_its_bound():
    with pytest.raises(RuntimeError, match=r"max_evaluations = 30 evaluations: .* Raise rtol and atol"):
        adaptive(two_modes().score, rtol=1e-10, atol=1e-10, max_evaluations=30)


def test_a_rough_field_ends_in_an_error_and_not_in_a_wait():
    def rough(x, sigma):
        return torch.sin(1e9 * x) * 1e6

    with pytest.raises(RuntimeError, match="max_evaluations = 500|the solver failed"):
        adaptive(rough, max_evaluations=500)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_field_that_explodes_is_told(value):
    with pytest.raises(FloatingPointError, match=r"nan or inf at [1-6] of 6 points, at t = "):
        adaptive(lambda x, sigma: torch.where(x[:, :1] > 0, value, -x))


def test_ctrl_c_in_the_adaptive_flow_returns_where_it_is():
    """The last accepted step: a place on the way."""
    calls = 0

    def interrupted(x, sigma):
        nonlocal calls
        calls += 1
        if calls > 40:
            raise KeyboardInterrupt
        return two_modes().score(x, sigma)

    with pytest.warns(RuntimeWarning, match="probability_flow_adaptive was interrupted") as caught:
        chains = adaptive(interrupted)
    assert caught[0].filename == __file__
    assert chains.n_evaluations == 40
    assert chains.samples.isfinite().all()
    assert not torch.equal(chains.samples, start())
    assert not torch.allclose(chains.samples, adaptive(two_modes().score).samples)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"first": 0.5, "last": 0.5}, ValueError, "does not strictly fall"),
        ({"first": 1.5}, ValueError, r"times lie in \[0.001, 1\]"),
        ({"last": 0.0}, ValueError, r"times lie in \[0.001, 1\]"),
        ({"last": math.nan}, ValueError, "last is nan"),
        ({"rtol": 0.0}, ValueError, "rtol is 0"),
        ({"atol": -1.0}, ValueError, "atol is -1"),
        ({"max_evaluations": 0}, ValueError, "max_evaluations is 0"),
        ({"rtol": 1e-8, "x": start(dtype=torch.float32)}, ValueError, "finer than torch.float32 can resolve.*double"),
        ({"score": 3}, TypeError, "score is a int"),
    ],
)
def test_bad_input_to_the_adaptive_flow_is_refused(bad, error, message):
    with pytest.raises(error, match=message):
        adaptive(**bad)
