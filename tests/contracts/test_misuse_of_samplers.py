"""Whatever is handed to a sampler by mistake ends in an error of ours, at its first evaluation.

A sampler of your own gets these tests by one line in ``RUNS``.
"""

import inspect
import math
import warnings

import pytest
import torch
from torch import nn

from toylab import samplers
from toylab.densities import two_modes
from toylab.metrics import fisher_divergence
from toylab.objectives import Sliced
from toylab.samplers import ancestral_step, annealed_langevin, mala_init, mala_step, prior_mismatch
from toylab.schedules import uniform
from toylab.sde import VE, VP

P, N = two_modes(), 40
SIGMAS, TEMPERATURES = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0])
TIMES = uniform(1.0, 0.1, 6)
MEASURED = ([0.6, 0.8], 1.0, 0.5)  # A, y and the noise
FEW = {"step_size": 0.1, "n_steps": 5}


def score(x, sigma=0.0):
    return -x / (1 + sigma**2)


def log_prob(x):
    return -0.5 * x.square().sum(-1)


def along_times(name):
    return lambda log_prob, score, x, **kw: getattr(samplers, name)(VP(), score, x, TIMES, **kw)


def with_batch(log_prob, score, x, **kw):
    data = torch.zeros(5, 2)
    return samplers.stochastic_gradient_langevin(lambda x, batch: score(x), data, x, batch_size=2, **FEW, **kw)


# One line per sampler: how it is run with a log-density, a score and a start.
RUNS = {
    "langevin": lambda log_prob, score, x, **kw: samplers.langevin(score, x, **FEW, **kw),
    "reflected_langevin": lambda log_prob, score, x, **kw: samplers.reflected_langevin(
        score, x, low=(-999, -999), high=(999, 999), **FEW, **kw
    ),
    "annealed_langevin": lambda log_prob, score, x, **kw: samplers.annealed_langevin(score, x, SIGMAS, **FEW, **kw),
    "stochastic_gradient_langevin": with_batch,
    "scaled_network_langevin": lambda log_prob, score, x, **kw: samplers.scaled_network_langevin(score, N, **kw),
    "mala": lambda log_prob, score, x, **kw: samplers.mala(log_prob, score, x, **FEW, **kw),
    "mala_warm_up": lambda log_prob, score, x, **kw: samplers.mala_warm_up(log_prob, score, x, **FEW, **kw),
    "hmc": lambda log_prob, score, x, **kw: samplers.hmc(log_prob, score, x, n_leapfrog=3, **FEW, **kw),
    "metropolis": lambda log_prob, score, x, **kw: samplers.metropolis(log_prob, x, **FEW, **kw),
    "parallel_tempering": lambda log_prob, score, x, **kw: samplers.parallel_tempering(
        log_prob, score, x, TEMPERATURES, **FEW, **kw
    ),
    "forward_sde": lambda log_prob, score, x, **kw: samplers.forward_sde(VP(), x, TIMES.flip(0), **kw),
    "reverse_sde": along_times("reverse_sde"),
    "reverse_sde_heun": along_times("reverse_sde_heun"),
    "predictor_corrector": along_times("predictor_corrector"),
    "ancestral": along_times("ancestral"),
    "replacement": lambda log_prob, score, x, **kw: samplers.replacement(VP(), score, x, TIMES, *MEASURED, **kw),
    "ddim": along_times("ddim"),
    "probability_flow": along_times("probability_flow"),
    "probability_flow_adaptive": lambda log_prob, score, x, **kw: samplers.probability_flow_adaptive(
        VP(), score, x, 1.0, 0.1, **kw
    ),
    "log_likelihood": lambda log_prob, score, x, **kw: samplers.log_likelihood(
        VE(0.1, 2.0), score, x, rtol=1e-3, atol=1e-3, **kw
    ),
}
STILL = {"ddim", "probability_flow", "probability_flow_adaptive", "log_likelihood"}  # they draw nothing
OF_LOG_PROB = ["mala", "mala_warm_up", "hmc", "metropolis", "parallel_tempering"]
OF_SCORE = [name for name in RUNS if name not in ("metropolis", "forward_sde")]
OF_START = [name for name in RUNS if name != "scaled_network_langevin"]


def generator():
    return torch.Generator().manual_seed(0)


def start(dtype=torch.float64):
    return torch.randn(N, 2, dtype=dtype, generator=generator())


class Told:
    """A function of the user's that counts its calls, and may be changed."""

    def __init__(self, f, change=lambda values: values):
        self.f, self.change, self.calls = f, change, 0

    def __call__(self, x, *sigma):
        self.calls += 1
        return self.change(self.f(x, *sigma))


def refused(name, match, score=score, log_prob=log_prob, x=None, error=(ValueError, TypeError), **settings):
    """The message of the error; the user's functions are asked once."""
    settings = {} if name in STILL else {"generator": generator(), **settings}
    scores, log_probs = Told(score), Told(log_prob)
    with pytest.raises(error, match=match) as raised:
        RUNS[name](log_probs, scores, start() if x is None else x, **settings)
    assert scores.calls <= 1
    assert log_probs.calls <= 1
    return str(raised.value)


OF_A_VELOCITY = {"flow", "flow_adaptive", "flow_log_likelihood"}  # see tests/samplers/test_flow.py


def test_every_sampler_is_here():
    results = {"Chains", "WarmUp", "Likelihood"}
    functions = {name: getattr(samplers, name) for name in samplers.__all__}
    found = {
        name
        for name, f in functions.items()
        if inspect.isfunction(f) and getattr(f.__annotations__["return"], "__name__", "") in results
    }
    assert found - OF_A_VELOCITY == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_what_is_right_is_taken(name):
    settings = {} if name in STILL else {"generator": generator()}
    RUNS[name](log_prob, score, start(), **settings)


@pytest.mark.parametrize("name", OF_SCORE)
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s[..., :1], "shape .* 1.* for points of shape .* one vector per point"),
        (lambda s: s.sum(-1), "one number per point, as a log-density gives"),
        (lambda s: s.sum(), r"shape \[\] for points of shape"),
        (lambda s: s.tolist(), "gives a list: it must give a torch tensor"),
        (lambda s: s.long(), "gives torch.int64 for points of torch.float"),
        (lambda s: s.bfloat16(), "half precision has two or three digits"),
        (lambda s: s.to(torch.complex64), "gives torch.complex64 for points"),
        (lambda s: s.to("meta"), "gives values on meta for points on cpu"),
    ],
    ids=["column", "number", "summed", "list", "integers", "half", "complex", "device"],
)
def test_a_score_of_the_wrong_kind(name, change, match):
    message = refused(name, match, score=Told(score, change))
    assert message.startswith("network" if name == "scaled_network_langevin" else "score")


@pytest.mark.parametrize("name", [name for name in OF_SCORE if name != "scaled_network_langevin"])
def test_a_float32_network_and_float64_points(name):
    """torch's own error names neither; and where the network casts its input, the result is of another dtype."""
    network = torch.nn.Linear(2, 2)
    message = refused(name, "float64", score=lambda x, *sigma: network(x), error=TypeError)
    assert "network.to(torch.float64)" in message
    refused(name, "gives torch.float32 for points of torch.float64", score=lambda x, *sigma: network(x.float()))


@pytest.mark.parametrize("name", OF_SCORE)
def test_autocast_is_told(name):
    network = torch.nn.Linear(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        refused(name, "Leave torch.autocast", score=lambda x, *sigma: network(x), x=start(torch.float32))


@pytest.mark.parametrize("name", OF_SCORE)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_where_chains_start(name, value):
    def broken(x, sigma=0.0):
        return torch.where(torch.arange(x.shape[-2])[:, None] == 3, value, score(x, sigma))

    message = refused(name, "nan or inf at ", score=broken, error=(ValueError, FloatingPointError))
    assert "the first being" in message


@pytest.mark.parametrize("name", OF_LOG_PROB)
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda log_p: log_p[..., None], r"Drop the last dimension by .squeeze\(-1\)"),
        (lambda log_p: log_p.sum(), "It was summed over the points"),
        (lambda log_p: log_p[..., None].expand(*log_p.shape, 2), "log_prob and score may be swapped"),
        (lambda log_p: log_p[:3], "it must give one number per point"),
        (lambda log_p: log_p.tolist(), "gives a list: it must give a torch tensor"),
        (lambda log_p: log_p.float(), "gives torch.float32 for points of torch.float64"),
        (lambda log_p: log_p.to("meta"), "gives values on meta for points on cpu"),
    ],
    ids=["column", "summed", "vector", "few", "list", "dtype", "device"],
)
def test_a_log_density_of_the_wrong_kind(name, change, match):
    assert refused(name, match, log_prob=Told(log_prob, change)).startswith("log_prob")


@pytest.mark.parametrize("name", OF_LOG_PROB)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_start_without_a_density(name, value):
    def broken(x):
        return torch.where(torch.arange(x.shape[-2]) % 20 == 7, value, log_prob(x))

    n = 4 if name == "parallel_tempering" else 2
    message = refused(name, f"log_prob is nan or inf at {n} of ", log_prob=broken)
    x = ", ".join(f"{float(entry):.6g}" for entry in start()[7])
    assert f"7] = ({x}), where it is {value}: " in message


@pytest.mark.parametrize("name", ["mala", "mala_warm_up", "hmc", "parallel_tempering"])
def test_log_p_and_score_in_the_wrong_order(name):
    refused(name, "log_prob and score may be swapped", log_prob=score, score=log_prob)


@pytest.mark.parametrize("name", OF_START)
@pytest.mark.parametrize(
    ("x", "match"),
    [
        (0.0, "x is a float"),
        ([[0.0, 0.0]], "x is a list"),
        (torch.zeros(3, 2).numpy(), "x is a ndarray"),
        (torch.zeros(3, 2, dtype=torch.int64), "x has dtype torch.int64"),
        (torch.zeros(3, 2, dtype=torch.bfloat16), "x is in half precision"),
        (torch.zeros(3, 2, dtype=torch.float16), "x is in half precision"),
        (torch.zeros(3, 3), "x has shape"),
        (torch.zeros(2), "x has shape"),
        (torch.zeros(0, 2), "x has shape"),
        (torch.tensor([[0.0, 0.0], [math.nan, 0.0]]), r"x holds 1 points that are nan or inf, of 2, .* x\[1\]"),
        (torch.tensor([[0.0, 0.0], [0.0, math.inf]]), r"x holds 1 points that are nan or inf, of 2, .* x\[1\]"),
    ],
    ids=lambda value: "",
)
def test_a_start_that_is_no_cloud(name, x, match):
    if name == "parallel_tempering" and getattr(x, "ndim", 0) == 3:
        pytest.skip("it takes a cloud per temperature")
    refused(name, match, x=x)


@pytest.mark.parametrize("name", [name for name in RUNS if name not in STILL])
@pytest.mark.parametrize("seed", [0, 7, "0", True])
def test_a_seed_is_no_generator(name, seed):
    known = seed if seed in (0, 7) and seed is not True else 0
    refused(name, rf"generator is .*: give torch.Generator\(\).manual_seed\({known}\)", generator=seed, error=TypeError)


def test_an_ancestral_step_goes_back():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"u is 0.4 and t is 0.3: a step goes back .* Swap them\?"):
        ancestral_step(VP(), P.score, x, 0.3, 0.4)
    assert ancestral_step(VP(), P.score, x, 0.4, 0.3).isfinite().all()


def test_levels_whose_first_step_no_number_holds_are_refused():
    with pytest.raises(ValueError, match=r"sigmas runs from 1e\+30 to 1.*first step would be of 1e\+59.*torch.float32"):
        annealed_langevin(P.score, torch.zeros(3, 2), torch.tensor([1e30, 1.0]), step_size=0.1, n_steps=1)


def test_a_factor_of_another_dtype_is_cast():
    x, factor = torch.zeros(3, 2), torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    one, other = (
        mala_step(
            P.log_prob, P.score, mala_init(P.log_prob, P.score, x), 0.1, factor=factor.to(dtype),
            generator=torch.Generator().manual_seed(0),
        )[0].x
        for dtype in (torch.float32, torch.float64)
    )  # fmt: skip
    assert torch.equal(one, other)


def test_the_mismatch_of_the_prior_far_out():
    """A difference of two logarithms of which neither is a number in float32."""
    x = torch.tensor([[1e22, 0.0]])
    assert prior_mismatch(VP(), P, x).isfinite().all()
    assert prior_mismatch(VP(), P, x).dtype == torch.float32


def test_a_function_that_changes_its_points_is_refused():
    """The step would go on from the changed ones."""

    def moves(x):
        x -= 1.0
        return -x

    def log_p(x):
        x -= 1.0
        return -x.square().sum(-1) / 2

    start, few = torch.zeros(5, 2), {"step_size": 0.1, "n_steps": 5}
    for run in (
        lambda: samplers.langevin(moves, start, **few),
        lambda: samplers.metropolis(log_p, start, **few),
        lambda: fisher_divergence(moves, P),
        lambda: Sliced()(moves, start),
    ):
        with pytest.raises(ValueError, match="changes the points that it is given, in place"):
            run()
    samplers.langevin(lambda x: moves(x.clone()), start, **few)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(8)])
def test_a_network_in_training_mode_is_told_of_once(layer):
    network = nn.Sequential(nn.Linear(2, 8), layer, nn.Linear(8, 2))
    few = {"step_size": 0.01, "n_steps": 2, "progress": False}
    for run in (
        lambda: samplers.langevin(network, torch.zeros(5, 2), **few),
        lambda: samplers.langevin(network.forward, torch.zeros(5, 2), **few),
        lambda: samplers.mala(log_prob, network, torch.zeros(5, 2), **few),
        lambda: fisher_divergence(network, P),
    ):
        network.train()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
        (one,) = caught
        assert f"score is a network in training mode, with {type(layer).__name__}" in str(one.message)
        assert one.filename == __file__
        network.eval()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run()
