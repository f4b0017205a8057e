"""What all sampler loops share: frames, randomness, step schedules, interruption, and what they refuse."""

import linecache
import math
from xml.etree import ElementTree

import pytest
import torch

from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.samplers import (
    annealed_langevin,
    exact_trace,
    hmc,
    hutchinson,
    langevin,
    log_likelihood,
    mala,
    mala_warm_up,
    metropolis,
    parallel_tempering,
    reflected_langevin,
    scaled_network_langevin,
    stochastic_gradient_langevin,
)
from toylab.samplers.loop import CountingScore
from toylab.sde import VE

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


def run_reflected(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    walls = {"low": (-999, -999), "high": (math.inf, math.inf)}  # 3e38 is a start, too
    return reflected_langevin(score, x, **walls, step_size=step_size, n_steps=n_steps, progress=progress, **kwargs)


def run_annealed(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    """Two levels, so that half the steps are spent at each."""
    n_steps = n_steps // 2 if isinstance(n_steps, int) else n_steps
    return annealed_langevin(score, x, SIGMAS, step_size=step_size, n_steps=n_steps, progress=progress, **kwargs)


def run_metropolis(x, n_steps=10, score=score, step_size=0.2, progress=False, **kwargs):
    """It takes no score: here its log p asks for one, once per proposal, so that the same tests serve."""

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
    "reflected_langevin": run_reflected,
    "mala": run_mala,
    "annealed_langevin": run_annealed,
    "metropolis": run_metropolis,
    "hmc": run_hmc,
    "parallel_tempering": run_tempering,
    "stochastic_gradient_langevin": run_stochastic,
}
ASK_AT_THE_START = ("mala", "metropolis", "hmc", "parallel_tempering")
NEVER_REFUSE = ("langevin", "reflected_langevin", "annealed_langevin", "stochastic_gradient_langevin")
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
    """The score is asked once per step, by some once more at the start; Ctrl-C comes in the step after ``done``."""
    calls = 0

    def interrupted(x, sigma=0.0):
        nonlocal calls
        calls += 1
        if calls > done + (name in ASK_AT_THE_START):
            raise KeyboardInterrupt
        return score(x, sigma)

    with pytest.warns(RuntimeWarning, match=f"{name} was interrupted") as caught:
        chains = SAMPLERS[name](start(), score=interrupted, keep_every=1, generator=generator(1))
    assert caught[0].filename == __file__
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
        return torch.where(x[:, :1] > 50, 3e38, -x)

    x = torch.zeros(4, 2)
    x[1] = 3e38
    with pytest.warns(RuntimeWarning, match=r"1 of 4 chains diverged to inf or nan by step 10") as caught:
        chains = SAMPLERS[name](x, score=half, step_size=0.5, generator=generator())
    assert caught[0].filename == __file__
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
    ({"n_steps": 0}, ValueError, "n_steps is 0"),
    ({"n_steps": 2.5}, TypeError, "n_steps is 2.5"),
    ({"step_size": 0.0}, ValueError, r"step_size is 0.0: .* or a function of the step 0, 1, .. n_steps - 1"),
    ({"step_size": "small"}, TypeError, "step_size is 'small'"),
    ({"step_size": torch.tensor([0.3, 0.1])}, TypeError, r"step_size is a Tensor of several .* lambda k: sizes\[k\]"),
    ({"step_size": [0.3, 0.1]}, TypeError, "step_size is a list of several numbers"),
    ({"step_size": lambda k: 0.3 - 0.1 * k}, ValueError, r"step_size\(3\) is .*greater than 0"),
    ({"step_size": lambda k: None}, TypeError, r"step_size\(0\) is None"),
    ({"keep_every": 0}, ValueError, "keep_every"),
    ({"score": None}, TypeError, "score"),
    ({"x": torch.zeros(2, 5)}, ValueError, "x has shape"),
    ({"x": torch.zeros(3, 4, 2)}, ValueError, "x has shape"),
    ({"x": [[0.0, 0.0]]}, TypeError, "x is a list"),
]


@every_sampler
@pytest.mark.parametrize(("bad", "error", "message"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_input_is_refused(name, bad, error, message):
    """Before any work is done: the score is not asked."""

    def never(x, sigma=0.0):
        raise AssertionError("asked before the inputs are checked")

    if name == "metropolis" and "score" in bad:
        message, bad = "log_prob", {"log_prob": None, "x": start(), "step_size": 0.1, "n_steps": 1}
        with pytest.raises(error, match=message):
            metropolis(**bad)
        return
    arguments = {"x": start(), "score": never, "generator": generator(), **bad}
    with pytest.raises(error, match=message):
        SAMPLERS[name](**arguments)


def test_mala_needs_a_log_density():
    with pytest.raises(TypeError, match="log_prob"):
        mala(None, score, start(), step_size=0.1, n_steps=1, progress=False)


@pytest.mark.parametrize("sigmas", [torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]), 1.0])
def test_bad_levels_are_refused(sigmas):
    with pytest.raises(ValueError, match="sigmas"):
        annealed_langevin(score, start(), sigmas, step_size=0.1, n_steps=1, progress=False)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_a_step_size_is_finite_and_positive(bad):
    for step_size in (bad, lambda k: bad):
        with pytest.raises(ValueError, match="must be finite and greater than 0"):
            run_langevin(start(), step_size=step_size)


@every_sampler
def test_a_schedule_that_never_changes_is_the_number(name):
    """Bit for bit."""
    one = SAMPLERS[name](start(), step_size=0.3, keep_every=1, generator=generator(1))
    other = SAMPLERS[name](start(), step_size=lambda k: 0.3, keep_every=1, generator=generator(1))
    assert torch.equal(one.path, other.path)
    assert torch.equal(one.acceptance, other.acceptance)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "annealed_langevin"])
def test_a_schedule_that_changes_midway_is_two_runs_in_a_row(name):
    whole = SAMPLERS[name](start(), step_size=lambda k: 0.5 if k < 6 else 0.1, generator=generator(1)).samples
    g = generator(1)
    halfway = SAMPLERS[name](start(), step_size=0.5, n_steps=6, generator=g).samples
    if name == "parallel_tempering":  # the hot chains go on too, which a second run cannot know
        early = SAMPLERS[name](start(), step_size=lambda k: 0.5 if k < 6 else 0.1, n_steps=6, generator=generator(1))
        assert torch.equal(early.samples, halfway)
        assert not torch.equal(whole, SAMPLERS[name](start(), step_size=0.5, generator=generator(1)).samples)
        return
    assert torch.equal(whole, SAMPLERS[name](halfway, step_size=0.1, n_steps=4, generator=g).samples)


def test_a_schedule_of_annealed_langevin_starts_anew_at_every_level():
    """Step k at level sigma is eps(k) (sigma / sigma_L)^2: as many runs of a single step, here at levels 4 and 2."""
    found = run_annealed(start(), n_steps=6, step_size=lambda k: 0.4 / (k + 1), generator=generator(1)).samples
    x, g = start(), generator(1)
    for sigma, ratio in ((SIGMAS[:1], 4.0), (SIGMAS[1:], 1.0)):
        for k in range(3):
            eps = 0.4 / (k + 1) * ratio
            x = annealed_langevin(score, x, sigma, step_size=eps, n_steps=1, generator=g, progress=False).samples
    assert torch.equal(found, x)


def test_a_warning_shows_the_line_that_was_called():
    def line_of(warning):
        return linecache.getline(warning.filename, warning.lineno).strip()

    with pytest.warns(RuntimeWarning, match="diverged") as caught:
        langevin(lambda x: 90 * x, start(), step_size=9.0, n_steps=200, generator=generator())
    assert line_of(caught[0]).startswith("langevin(lambda x: 90 * x")

    def stop(x):
        raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="interrupted") as caught:
        scaled_network_langevin(stop, 3, generator=generator())
    assert line_of(caught[0]) == "scaled_network_langevin(stop, 3, generator=generator())"


def cells(found):
    """The rows that a result shows in a notebook, which are also those that it prints."""
    rows = {row.find("th").text: row.find("td").text for row in ElementTree.fromstring(found._repr_html_()).iter("tr")}
    lines = repr(found).splitlines()
    assert lines[0] == type(found).__name__
    assert [line.split(maxsplit=1)[0] for line in lines[1:]] == [name.split()[0] for name in rows]
    assert all(line.endswith(value) for line, value in zip(lines[1:], rows.values(), strict=True))
    return rows


def test_chains_print_in_a_few_telling_lines():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    chains = langevin(torch.zeros_like, x, step_size=1e-12, n_steps=10, keep_every=5, generator=generator())
    assert cells(chains) == {
        "chains": "2",
        "mean": "(2, 3)",
        "standard deviation": "(1.41, 1.41)",
        "frames": "3, labels 0 to 10",
        "acceptance": "1.000",
        "diverged": "none",
        "evaluations": "10 per chain",
    }
    chains = run_mala(start(100), step_size=3.0, generator=generator())
    assert cells(chains)["frames"] == "none kept"
    low, high = float(chains.acceptance.min()), float(chains.acceptance.max())
    assert cells(chains)["acceptance"] == f"{float(chains.acceptance.mean()):.3f}, chains from {low:.3f} to {high:.3f}"


def test_chains_that_diverged_say_so():
    with pytest.warns(RuntimeWarning, match="diverged"):
        chains = langevin(lambda x: 3e38 * x, torch.ones(3, 2), step_size=9.0, n_steps=4, generator=generator())
    assert cells(chains)["diverged"] == "3, the first at step 1"
    assert "mean" not in cells(chains)


def test_a_warm_up_prints_its_step():
    warm = mala_warm_up(log_prob, score, start(50), step_size=0.5, n_steps=20, generator=generator())
    assert cells(warm)["step size"] == f"{warm.step_size:.4g}"
    assert cells(warm)["acceptance"] == f"{float(warm.acceptance[10:].mean()):.3f} over the second half"


@pytest.mark.parametrize(
    ("trace", "error"),
    [
        (exact_trace, "0, the divergences are exact"),
        (hutchinson(1, generator=generator()), "unknown from a single projection"),
        (hutchinson(2, generator=generator()), "at most "),
    ],
)
def test_a_likelihood_prints_how_sure_it_is(trace, error):
    def tilted(x, sigma):
        return torch.stack([-x[..., 0] + x[..., 1], -x[..., 1]], -1) / (1 + sigma**2)

    found = log_likelihood(VE(0.1, 2.0), tilted, start(), rtol=1e-3, atol=1e-3, trace=trace)
    rows = cells(found)
    assert rows["points"] == "6"
    assert rows["log q"].startswith(f"mean {float(found.log_prob.mean()):.4g}, from ")
    assert rows["standard error"].startswith(error)
    assert rows["evaluations"] == f"{found.n_evaluations} per point"


def test_a_counted_score_lets_go_of_its_last_points_before_it_is_asked_again():
    held = []
    counted = CountingScore(lambda x: (held.append(counted.last), -x)[1])
    for _ in range(3):
        counted(torch.zeros(4, 2))
    assert held == [None, None, None] and counted.n == 3
