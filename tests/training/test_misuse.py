"""What a user hands over by mistake, or from another corner of torch: it works, or a sentence says what is wrong."""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

from toylab.densities import Density, isotropic
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import Denoising, FiniteDifferenceSliced, Implicit, NoiseConditional, Sliced
from toylab.schedules import geometric
from toylab.training import fit, gradient_noise

NORMAL = isotropic([[0.0, 0.0]], 1.0)
OBJECTIVES = [Sliced(), Implicit(), Denoising(0.5), FiniteDifferenceSliced()]
every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(seed=0):
    return ScoreMLP(8, generator=generator(seed))


def run(network=None, objective=None, data=NORMAL, **settings):
    settings = {"n_steps": 3, "batch_size": 16, "generator": generator(1), "progress": False, **settings}
    return fit(small() if network is None else network, objective or Sliced(), data, **settings)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def sequential():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


# ---- it works


@every_objective
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(objective, dtype):
    for network in (small(), EnergyMLP(8, generator=generator())):
        result = run(network.to(dtype), objective)
        assert {p.dtype for p in result.network.parameters()} == {dtype}
        assert result.history.loss.isfinite().all()


@every_objective
@pytest.mark.parametrize("n_seeds", [1, 2])
def test_autocast(objective, n_seeds):
    """As without, to the three digits of bfloat16."""
    plain = run(objective=objective, n_seeds=n_seeds)
    with torch.autocast("cpu", torch.bfloat16):
        result = run(objective=objective, n_seeds=n_seeds)
    assert {p.dtype for p in result.network.parameters()} == {torch.float32}
    exact = not isinstance(objective, FiniteDifferenceSliced)  # a difference of rounded numbers
    torch.testing.assert_close(result.history.loss, plain.history.loss, rtol=0.02, atol=0.02 if exact else 1.0)


def test_autocast_over_noise_levels():
    with torch.autocast("cpu", torch.bfloat16):
        result = run(NoiseConditionalMLP(8, generator=generator()), NoiseConditional(geometric(5.0, 0.1, 4)))
    assert result.history.loss.isfinite().all()


@every_objective
def test_a_compiled_network_is_trained_uncompiled(objective):
    result = run(torch.compile(small(), backend="eager"), objective)
    assert type(result.network) is ScoreMLP
    assert same(result.network, run(objective=objective).network)


def test_a_parallel_and_a_plain_module():
    plain, parallel = sequential(), nn.DataParallel(sequential())
    parallel.module.load_state_dict(plain.state_dict())
    assert same(run(parallel).network, run(plain).network)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_on_whatever_the_mode_around(mode):
    with mode():
        result = run()
    assert same(result.network, run().network)


def test_points_of_another_dtype_are_cast():
    data = torch.randn(50, 2, dtype=torch.float64, generator=generator())
    assert same(run(data=data).network, run(data=data.float()).network)
    assert run(data=data[:1]).history.loss.isfinite().all()


# ---- it is refused, in a sentence


@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, torch.zeros(4, 2))])
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_network(make):
    with pytest.raises(TypeError, match=r"scripted or traced .* Give the module that it was made from"):
        run(make(sequential()))


class Returning(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.layer, self.what = nn.Linear(2, 2), what

    def forward(self, x):
        return self.what(self.layer, x)


def silent(layer, x):
    with torch.no_grad():
        return layer(x)


BROKEN = small()
nn.init.constant_(BROKEN.layers[0].weight, math.nan)


class Broken(Density):
    def log_prob(self, x):
        return -x.square().sum(-1)

    def sample(self, sample_shape=(), *, generator=None):
        return torch.full((*sample_shape, 2), math.nan)


BAD = {
    "partial": ({"network": functools.partial(small())}, TypeError, "a partial without parameters.* forward of a mod"),
    "closure": ({"network": lambda x, s=BROKEN: s(x)}, TypeError, "is a function without parameters"),
    "method": ({"network": BROKEN.forward}, TypeError, "is a method without parameters"),
    "lazy": ({"network": nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 2))}, TypeError, "lazy layers"),
    "tuple": ({"network": Returning(lambda f, x: (f(x), x))}, ValueError, "the network gives tuple"),
    "one output": ({"network": nn.Linear(2, 1)}, ValueError, r"the network gives \[1, 2, 1\]"),
    "three inputs": ({"network": nn.Linear(3, 2)}, ValueError, r"fails at points \[1, 2, 2\], differentiated"),
    "no_grad": ({"network": Returning(silent), "objective": Denoising(0.5)}, ValueError, "not depend on the weights"),
    "detach": ({"network": Returning(lambda f, x: f(x).detach()), "objective": Denoising(0.5)}, ValueError, "detach"),
    "nan weights": ({"network": BROKEN}, ValueError, "nan, nan.* before the first step"),
    "nan draws": ({"data": Broken()}, ValueError, "data.sample gives points that are nan"),
    "list": ({"data": [[0.0, 1.0]]}, TypeError, r"data is a list.*torch.as_tensor\(data"),
    "array": ({"data": np.zeros((5, 2))}, TypeError, r"data is a ndarray.*torch.as_tensor\(data"),
    "complex": ({"data": torch.zeros(5, 2, dtype=torch.complex64)}, TypeError, "data has dtype torch.complex64"),
    "rate text": ({"rate": lambda t: "a"}, TypeError, r"rate\(0\) is 'a'"),
    "rate nan": ({"rate": lambda t: math.nan if t else 1.0}, ValueError, r"rate\(0.333333\) is nan"),
    "rate negative": ({"rate": lambda t: -1.0}, ValueError, r"rate\(0\) is -1: a share"),
    "learning rate": ({"learning_rate": -0.1}, ValueError, "learning_rate is -0.1"),
    "learning rate text": ({"learning_rate": "a"}, TypeError, "learning_rate is 'a'"),
    "average": ({"average": "a"}, TypeError, "decay is 'a'"),
    "held out None": ({"held_out": lambda s: None}, TypeError, "held_out gives NoneType"),
    "held out shape": ({"held_out": lambda s: torch.zeros(3)}, TypeError, r"held_out gives \[3\]"),
    "device": ({"device": "gpu"}, ValueError, "device is 'gpu': torch cannot use it"),
    "meta": ({"device": "meta"}, ValueError, "device is 'meta'"),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "error", "message"), BAD.values(), ids=BAD)
def test_it_is_refused(bad, error, message):
    with pytest.raises(error, match=message):
        run(**bad)


def test_gradient_noise_of_points():
    with pytest.raises(TypeError, match=r"density is a Tensor: give a density, such as .* Points\(data\)"):
        gradient_noise(small(), Sliced(), torch.zeros(5, 2))


X, CONDITIONAL = torch.zeros(4, 2), NoiseConditionalMLP(8, generator=generator())


@pytest.mark.parametrize(
    ("sigma", "error", "message"),
    [
        (0.0, ValueError, "sigma is 0 for some point: .* least level"),
        (torch.zeros(()), ValueError, "sigma is 0 for some point"),
        (torch.tensor([1.0, 0.0, 1.0, 1.0]), ValueError, "sigma is 0 for some point"),
        (-1.0, ValueError, "sigma is -1.0"),
        (math.nan, ValueError, "sigma is nan"),
        (math.inf, ValueError, "sigma is inf"),
        (torch.tensor(-1.0), ValueError, "negative or non-finite"),
        (torch.tensor([1.0, math.nan, 1.0, 1.0]), ValueError, "negative or non-finite"),
        (torch.ones(4, 1), ValueError, r"sigma has shape \[4, 1\] .* sigma\[:, 0\]"),
        (torch.ones(3), ValueError, r"sigma has shape \[3\]"),
        (None, TypeError, "sigma is None"),
    ],
)
def test_levels_that_are_none(sigma, error, message):
    with pytest.raises(error, match=message):
        CONDITIONAL(X, sigma)


@pytest.mark.parametrize("sigma", [1, torch.tensor(1), torch.ones(4, dtype=torch.int64), np.float64(1.0)])
def test_whole_numbers_are_levels(sigma):
    assert torch.equal(CONDITIONAL(X, sigma), CONDITIONAL(X, 1.0))
    assert CONDITIONAL(torch.zeros(0, 2), torch.zeros(0)).shape == (0, 2)


def test_levels_inside_vmap_are_not_read():
    sigma = torch.tensor([0.5, 1.0, 2.0, 3.0])
    together = torch.func.vmap(lambda x, s: CONDITIONAL(x, s))(X, sigma)
    torch.testing.assert_close(together, CONDITIONAL(X, sigma))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(4, 3), ValueError, "x has shape"),
        (torch.tensor(1.0), ValueError, "x has shape"),
        (torch.zeros(4, 2, dtype=torch.int64), TypeError, r"x has dtype torch.int64.*x.float\(\)"),
        (X.double(), TypeError, r"torch.float64 and the weights .* torch.float32: give x.to\(torch.float32\)"),
        (X.half(), TypeError, "torch.float16 and the weights"),
        ([[0.0, 0.0]], TypeError, r"x is a list.*torch.as_tensor"),
        (np.zeros((4, 2)), TypeError, "x is a ndarray"),
    ],
)
@pytest.mark.parametrize("network", [small(), EnergyMLP(8), CONDITIONAL], ids=lambda n: type(n).__name__)
def test_points_that_are_none(network, x, error, message):
    with pytest.raises(error, match=message):
        network(x, 1.0) if network is CONDITIONAL else network(x)


def test_points_on_another_device():
    with pytest.raises(ValueError, match=r"x is on meta and the weights of the network on cpu"):
        small()(X.to("meta"))


def test_derivatives_are_checked_too():
    with pytest.raises(TypeError, match="the weights of the network are"):
        ScoreMLP(8).with_tangents(X.double(), X.double()[None])


def test_a_measure_of_the_spread_is_a_function_that_gives_a_number():
    trained = run()
    with pytest.raises(TypeError, match="measure is a float"):
        trained.spread(0.5)
    with pytest.raises(TypeError, match="measure gives NoneType: it must give one number per network"):
        trained.spread(lambda network: None)
