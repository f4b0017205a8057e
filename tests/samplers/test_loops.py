"""What all sampler loops share: the record of frames, randomness, interruption, and what they refuse."""

import math

import pytest
import torch

from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.samplers import (
    annealed_langevin,
    hmc,
    langevin,
    mala,
    metropolis,
    parallel_tempering,
    stochastic_gradient_langevin,
)

SIGMAS = torch.tensor([4.0, 2.0])


def log_prob(x):
    return -0.5 * x.square().sum(-1)


def score(x, sigma=0.0):
    return -x / (1 + sigma**2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def start(n=6, dtype=torch.float64):
    return torch.randn(n, 2, dtype=dtype, generator=generator(99))


def run_langevin(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    return langevin(score, x, step_size=step_size, n_steps=n_steps, progress=progress, **kwargs)


def run_mala(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    return mala(log_prob, score, x, step_size=step_size, n_steps=n_steps, progress=progress, **kwargs)


def run_annealed(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    """Two levels, so that half the steps are spent at each."""
    n_steps = n_steps // 2 if isinstance(n_steps, int) else n_steps
    return annealed_langevin(score, x, SIGMAS, step_size=step_size, n_steps=n_steps, progress=progress, **kwargs)


def run_metropolis(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    """It takes no score: here its log p asks for one, once a proposal, so that the same tests serve."""

    def asking(x):
        score(x)
        return log_prob(x)

    return metropolis(asking, x, step_size=step_size, n_steps=n_steps, progress=progress, **kwargs)


def run_hmc(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    return hmc(log_prob, score, x, step_size=step_size, n_leapfrog=1, n_steps=n_steps, progress=progress, **kwargs)


def run_tempering(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    temperatures = torch.tensor([1.0, 3.0])
    return parallel_tempering(
        log_prob, score, x, temperatures, step_size=step_size, n_steps=n_steps, progress=progress, **kwargs
    )


def run_stochastic(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    batch_score = score if score is None else lambda x, batch: score(x) + 0 * batch.mean(1)
    return stochastic_gradient_langevin(
        batch_score,
        torch.zeros(5, 2),
        x,
        step_size=step_size,
        batch_size=2,
        n_steps=n_steps,
        progress=progress,
        **kwargs,
    )


SAMPLERS = {
    "langevin": run_langevin,
    "mala": run_mala,
    "annealed_langevin": run_annealed,
    "metropolis": run_metropolis,
    "hmc": run_hmc,
    "parallel_tempering": run_tempering,
    "stochastic_gradient_langevin": run_stochastic,
}
ASK_AT_THE_START = ("mala", "metropolis", "hmc", "parallel_tempering")
NEVER_REFUSE = ("langevin", "annealed_langevin", "stochastic_gradient_langevin")
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


@every_sampler
def test_no_path_unless_asked(name):
    chains = SAMPLERS[name](start(), generator=generator())
    assert chains.samples.shape == (6, 2)
    assert chains.path.shape == (0, 6, 2)
    assert chains.labels.shape == (0,)


@every_sampler
@pytest.mark.parametrize("keep_every", [1, 3, 5, 10, 11])
def test_path_and_ticks(name, keep_every):
    """Frame k holds the chains after k keep_every steps, the start first: the same as a run of so many steps."""
    x = start()
    chains = SAMPLERS[name](x, keep_every=keep_every, generator=generator(1))
    steps = list(range(0, 11, keep_every))
    assert chains.path.shape == (len(steps), 6, 2)
    assert torch.equal(chains.path[0], x)
    every = SAMPLERS[name](x, keep_every=1, generator=generator(1))
    assert torch.equal(every.path[-1], chains.samples)
    assert torch.equal(every.path[steps], chains.path)
    if name == "annealed_langevin":  # labelled with the level at which the frame was made
        assert chains.labels.tolist() == [4.0 if step <= 5 else 2.0 for step in steps]
    else:
        assert chains.labels.tolist() == steps


@every_sampler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_follows_the_start_which_is_left_alone(name, dtype):
    x = start(dtype=dtype)
    given = x.clone()
    chains = SAMPLERS[name](x, keep_every=2, generator=generator())
    assert chains.samples.dtype == chains.path.dtype == chains.acceptance.dtype == dtype
    assert torch.equal(x, given)
    assert chains.diverged.dtype == torch.bool
    assert not chains.diverged.any()


@pytest.mark.parametrize("name", NEVER_REFUSE)
def test_acceptance_is_one_without_a_refusal(name):
    assert torch.equal(SAMPLERS[name](start(), generator=generator()).acceptance, torch.ones(6, dtype=torch.float64))


@every_sampler
def test_same_seed_same_chains_and_global_stream_untouched(name):
    before = torch.get_rng_state()
    first = SAMPLERS[name](start(), generator=generator(1)).samples
    assert torch.equal(first, SAMPLERS[name](start(), generator=generator(1)).samples)
    assert not torch.equal(first, SAMPLERS[name](start(), generator=generator(2)).samples)
    assert torch.equal(torch.get_rng_state(), before)


@every_sampler
def test_without_a_generator_the_global_stream_is_followed(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        first, second = SAMPLERS[name](start()).samples, SAMPLERS[name](start()).samples
        torch.manual_seed(11)
        assert torch.equal(SAMPLERS[name](start()).samples, first)
        assert not torch.equal(first, second)


@every_sampler
def test_quiet_without_progress(name, capfd):
    SAMPLERS[name](start(), generator=generator(), progress=False)
    assert capfd.readouterr() == ("", "")


@every_sampler
@pytest.mark.parametrize("done", [0, 1, 7])
def test_ctrl_c_returns_what_is_done(name, done):
    """The score is asked once a step, by some once more at the start; Ctrl-C comes in the step after ``done``."""
    calls = 0

    def interrupted(x, sigma=0.0):
        nonlocal calls
        calls += 1
        if calls > done + (name in ASK_AT_THE_START):
            raise KeyboardInterrupt
        return score(x, sigma)

    with pytest.warns(RuntimeWarning, match=f"{name} was interrupted"):
        chains = SAMPLERS[name](start(), score=interrupted, keep_every=1, generator=generator(1))
    whole = SAMPLERS[name](start(), keep_every=1, generator=generator(1))
    assert torch.equal(chains.samples, whole.path[done])
    assert torch.equal(chains.path, whole.path[: done + 1])
    assert torch.equal(chains.labels, whole.labels[: done + 1])
    if name in ("mala", "metropolis", "hmc") and done:
        moved = (whole.path[1 : done + 1] != whole.path[:done]).any(-1).double().mean(0)
        torch.testing.assert_close(chains.acceptance, moved)
    assert chains.acceptance.isfinite().all()


@pytest.mark.parametrize("name", NEVER_REFUSE)
def test_some_chains_diverge(name):
    def half(x, sigma=0.0):
        return torch.where(x[:, :1] > 50, math.inf, -x)

    x = torch.zeros(4, 2)
    x[1] = 100.0
    with pytest.warns(RuntimeWarning, match=r"1 of 4 chains diverged to inf or nan by step 10"):
        chains = SAMPLERS[name](x, score=half, step_size=0.01, generator=generator())
    assert chains.diverged.tolist() == [False, True, False, False]
    assert chains.diverged_at.tolist() == [0, 1, 0, 0]


def test_the_step_at_which_a_chain_leaves():
    """x' = 10 x from 1: from 1e37 the score 9e38 is past the largest float32: step 38."""
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    with pytest.warns(RuntimeWarning, match="1 of 2 chains diverged"):
        chains = langevin(
            lambda x: torch.where(x.abs() > 0.5, 90 * x, -x), x, step_size=0.2, n_steps=60, generator=generator(),
            progress=False, temperature=1e-6,
        )  # fmt: skip
    assert chains.diverged_at.tolist() == [38, 0]


@every_sampler
def test_learned_scores_are_taken_and_leave_no_graph(name):
    network = (
        NoiseConditionalMLP(8, generator=generator())
        if name == "annealed_langevin"
        else ScoreMLP(8, generator=generator())
    )
    chains = SAMPLERS[name](start(dtype=torch.float32), score=network, generator=generator())
    assert not chains.samples.requires_grad
    assert torch.is_grad_enabled()


@every_sampler
def test_the_wrong_kind_of_score_is_a_type_error(name):
    network = (
        ScoreMLP(8, generator=generator())
        if name == "annealed_langevin"
        else NoiseConditionalMLP(8, generator=generator())
    )
    with pytest.raises(TypeError):
        SAMPLERS[name](start(dtype=torch.float32), score=network, generator=generator())


BAD = [
    ({"n_steps": 0}, ValueError, "n_steps"),
    ({"n_steps": -2}, ValueError, "n_steps"),
    ({"n_steps": 2.5}, TypeError, "n_steps"),
    ({"step_size": 0.0}, ValueError, "step_size"),
    ({"step_size": -0.1}, ValueError, "step_size"),
    ({"step_size": math.nan}, ValueError, "step_size"),
    ({"step_size": math.inf}, ValueError, "step_size"),
    ({"step_size": "small"}, TypeError, "step_size"),
    ({"keep_every": 0}, ValueError, "keep_every"),
    ({"keep_every": 1.5}, TypeError, "keep_every"),
    ({"score": None}, TypeError, "score"),
    ({"x": torch.zeros(2)}, ValueError, "x has shape"),
    ({"x": torch.zeros(2, 5)}, ValueError, "x has shape"),
    ({"x": torch.zeros(0, 2)}, ValueError, "x has shape"),
    ({"x": torch.zeros(3, 4, 2)}, ValueError, "x has shape"),
    ({"x": torch.zeros(3, 2, dtype=torch.int64)}, TypeError, "x has dtype"),
    ({"x": [[0.0, 0.0]]}, TypeError, "x is a list"),
]


@every_sampler
@pytest.mark.parametrize(("bad", "error", "message"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_input_is_refused(name, bad, error, message):
    if name == "metropolis" and "score" in bad:
        pytest.skip("it takes no score")
    arguments = {"x": start(), "generator": generator(), **bad}
    with pytest.raises(error, match=message):
        SAMPLERS[name](**arguments)


def test_mala_needs_a_log_density():
    with pytest.raises(TypeError, match="log_prob"):
        mala(None, score, start(), step_size=0.1, n_steps=1, progress=False)


@pytest.mark.parametrize("sigmas", [torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]), 1.0])
def test_bad_levels_are_refused(sigmas):
    with pytest.raises(ValueError, match="sigmas"):
        annealed_langevin(score, start(), sigmas, step_size=0.1, n_steps=1, progress=False)
