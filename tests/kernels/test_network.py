"""Chains along a network in one kernel: the same as step by step, with the same normal numbers."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from tests.kernels.numbers import numbers
from toylab._kernels import network as kernel
from toylab._kernels.run import Run
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.samplers.loop import Recorder
from toylab.samplers.packed_network import WIDEST, pack

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SEED = 20240229
ACTIVATIONS = {"softplus": functional.softplus, "silu": functional.silu, "tanh": torch.tanh}


@pytest.fixture(autouse=True)
def quiet():
    """The interpreter computes with NumPy, and the kernel with inf."""
    with np.errstate(all="ignore"):
        yield


def seed():
    return torch.tensor([SEED], device=DEVICE)


def spread(network, factor=3.0):
    """The network with weights so large that its layers bend, on the device of the tests."""
    with torch.no_grad():
        for layer in network.layers:
            layer.weight *= factor
    return network.to(DEVICE)


def score_network(width=32, depth=2, activation=functional.softplus, **kwargs):
    torch.manual_seed(width + depth)
    return spread(ScoreMLP(width, depth, activation, **kwargs))


def conditional_network(width=32, depth=2, activation=functional.silu, **kwargs):
    torch.manual_seed(width + depth)
    return spread(NoiseConditionalMLP(width, depth, activation=activation, **kwargs))


def points(n, scale=3.0):
    return scale * torch.randn(n, 2, generator=torch.Generator().manual_seed(n)).to(DEVICE)


def make_run(x, sizes, temperature=1.0, keep_every=0):
    """What the launches of a run share; frames that are not written are nan."""
    sizes = torch.tensor(sizes, dtype=torch.float64)
    frames = len(sizes) // keep_every + 1 if keep_every else 0
    half, root = (part.float().to(DEVICE) for part in (sizes / 2, (temperature * sizes).sqrt()))
    path = torch.full((frames, len(x), 2), torch.nan, device=DEVICE)
    return Run(seed(), half, root, path, keep_every, x.clone(), torch.zeros(len(x), dtype=torch.int64, device=DEVICE))


def carry(network, x, run, sigmas=None, divisions=None, precision=None):
    """The chains after the steps of the run, taken in one launch or as divided."""
    n_steps = len(run.halves)
    levels = None if sigmas is None else sorted(set(sigmas), reverse=True)
    packed = pack(network, x, levels)
    packed = packed if precision is None else packed._replace(precision=precision)
    of_step = [0] * n_steps if sigmas is None else [levels.index(sigma) for sigma in sigmas]
    of_step, x, first = torch.tensor(of_step, dtype=torch.int32, device=DEVICE), x.clone(), 0
    for n in divisions or [n_steps]:
        kernel.langevin(x, packed, of_step, run, first, n)
        first += n
    assert first == n_steps
    return x


@torch.no_grad()
def step_by_step(network, x, run, sigmas=None, dtype=torch.float64):
    """The chains after each step, by the network itself."""
    network, x, frames = network.to(dtype), x.to(dtype), []
    for step, (half, root) in enumerate(zip(run.halves.to(dtype), run.roots.to(dtype), strict=True)):
        s = network(x) if sigmas is None else network(x, sigmas[step])
        x = x + half * s + root * numbers(seed(), len(x), step, torch.float32, DEVICE)[0].to(dtype)
        frames.append(x.float())
    network.float()
    return frames


def assert_equal_to_rounding(x, expected, factor=1.0):
    tolerance = factor * 3e-6 * expected.abs().amax().item()
    torch.testing.assert_close(x, expected, rtol=0, atol=tolerance)


SIZES = [0.9, 0.7, 0.8, 0.3, 0.2]
SIGMAS = [5.0, 5.0, 1.5, 1.5, 0.4]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("width", "depth"), [(16, 1), (16, 2), (24, 3), (64, 2), (100, 2), (128, 3), (5, 2)])
def test_a_score_network(width, depth, activation):
    network = score_network(width, depth, ACTIVATIONS[activation], data_mean=(1.0, -2.0), data_std=1.7)
    x = points(21)
    run = make_run(x, SIZES, temperature=0.6)
    expected = step_by_step(network, x, run)[-1]
    assert (expected - x).abs().mean() > 0.5
    assert_equal_to_rounding(carry(network, x, run), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("width", "depth"), [(16, 1), (40, 2), (128, 3)])
def test_a_noise_conditional_network(width, depth, activation):
    network = conditional_network(
        width, depth, ACTIVATIONS[activation], data_mean=(-1.0, 0.5), data_std=2.5, gain=1.3, sigma_unit=0.6
    )
    x = points(21)
    run = make_run(x, SIZES)
    assert_equal_to_rounding(carry(network, x, run, SIGMAS), step_by_step(network, x, run, SIGMAS)[-1])


@pytest.mark.parametrize("width", [16, 100, 128])
def test_tensor_cores(width):
    """They take the axes the other way round; elsewhere than on a GPU the numbers are those of float32."""
    network = conditional_network(width, 3)
    x = points(40)
    run = make_run(x, SIZES)
    expected = step_by_step(network, x, run, SIGMAS)[-1]
    factor = 1000.0 if DEVICE.type == "cuda" else 1.0
    assert_equal_to_rounding(carry(network, x, run, SIGMAS, precision="tf32"), expected, factor)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_far_out(activation):
    """Where exponentials overflow, underflow, and past softplus's threshold."""
    network = score_network(16, 1, ACTIVATIONS[activation])
    x = [[1e-6, 0.0], [3.0, -4.0], [60.0, 10.0], [-300.0, 500.0], [1e6, -1e7], [-1e20, 1e19]]
    x = torch.tensor(x, device=DEVICE)
    run = make_run(x, [0.5], temperature=0.0)
    (expected,) = step_by_step(network, x, run)
    torch.testing.assert_close(carry(network, x, run), expected, rtol=2e-6, atol=2e-6)


def test_the_normal_numbers_are_those_of_chain_and_step():
    """Any division of the steps among launches gives the same chains."""
    network, x = conditional_network(), points(37)
    whole, divided = (make_run(x, SIZES, keep_every=2) for _ in range(2))
    a = carry(network, x, whole, SIGMAS)
    b = carry(network, x, divided, SIGMAS, divisions=[1, 3, 1])
    for one, other in [(a, b), *zip(whole[3:], divided[3:], strict=True)]:
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("precision", ["ieee", "tf32"])
def test_a_block_of_any_size(precision, monkeypatch):
    network, x = conditional_network(128, 2), points(70)
    results = []
    for block in (16, 32, 64, 128):
        monkeypatch.setattr(kernel, "shape_of_a_program", lambda *_, block=block: kernel.Shape(block, 4, 32))
        results.append(carry(network, x, make_run(x, SIZES), SIGMAS, precision=precision))
    for result in results[1:]:
        assert_equal_to_rounding(result, results[0], 1000.0 if precision == "tf32" and DEVICE.type == "cuda" else 1.0)


@pytest.mark.parametrize("n", [1, 2, 17, 300])
def test_any_number_of_chains(n):
    network, x = score_network(16), points(n)
    run = make_run(x, [0.5, 0.4], keep_every=1)
    expected = step_by_step(network, x, run)
    assert_equal_to_rounding(carry(network, x, run), expected[-1])
    assert_equal_to_rounding(run.path[1:], torch.stack(expected))
    assert run.steps_alive.tolist() == [2] * n
    assert run.path[0].isnan().all()  # the start is written by the sampler


@pytest.mark.parametrize("divisions", [[7], [2, 4, 1]])
def test_what_is_recorded_where_chains_blow_up(divisions):
    """As ``Recorder.append``, after every step."""
    network = conditional_network(16)
    x = torch.tensor([1.0, 1e8, 1e15, 1e22, 1e29, 1e36, 1e38], device=DEVICE)[:, None] * points(7, 1.0).sign()
    sigmas, keep_every = [4.0] * 7, 2
    run = make_run(x, [4e7] * 7, temperature=0.0, keep_every=keep_every)
    recorder = Recorder(x, 7, keep_every)
    frames = step_by_step(network, x, run, sigmas, dtype=torch.float32)
    for frame in frames:
        recorder.append(frame)
    result = carry(network, x, run, sigmas, divisions)
    alive = recorder.steps_alive + recorder.steps_all_alive
    assert run.steps_alive.tolist() == alive.tolist()
    assert len(set(alive.tolist())) > 4 and alive.max() < 7
    torch.testing.assert_close(run.last, recorder.last, rtol=1e-4, atol=0)
    assert not result.isfinite().all(-1).any()
    shown = recorder.path[1:].isfinite().all(-1)
    assert torch.equal(run.path[1:].isfinite().all(-1), shown) and shown.any() and not shown.all()
    torch.testing.assert_close(run.path[1:][shown], recorder.path[1:][shown], rtol=1e-4, atol=0)


def test_a_chain_that_blows_up_leaves_the_others_alone():
    network, x = score_network(), points(20)
    alone = carry(network, x, make_run(x, SIZES))
    x[7] = torch.nan
    beside = carry(network, x, make_run(x, SIZES))
    others = torch.arange(20) != 7
    assert torch.equal(beside[others], alone[others]) and beside[7].isnan().all()


def test_the_law_of_the_noise():
    """(x' - x - eps/2 s(x)) / sqrt(T eps) is standard normal, and independent from step to step.

    20 averages of 8,192 terms, each within 5.8 of its standard deviations: one in seven million runs would fail by
    chance; sums of squares have somewhat heavier tails than a normal law, a few times as many.
    """
    n, sizes = 8192, [0.5, 0.3]
    network, x = score_network(16), points(n)
    run = make_run(x, sizes, temperature=2.5, keep_every=1)
    carry(network, x, run)
    frames, z = [x, *run.path[1:]], []
    with torch.no_grad():
        for eps, before, after in zip(sizes, frames, frames[1:], strict=False):
            z += ((after - before - eps / 2 * network(before)).double() / (2.5 * eps) ** 0.5).unbind(-1)
    z = torch.stack(z)
    assert ((z.mean(1) * n**0.5).abs() < 5.8).all()
    assert ((z.square().mean(1) - 1) * (n / 2) ** 0.5).abs().max() < 5.8
    assert (z @ z.mT / n**0.5).triu(1).abs().max() < 5.8
    assert (z.square() @ z.square().mT / n - 1).mul(n**0.5 / 8**0.5).triu(1).abs().max() < 5.8


def hooked(network):
    network.register_forward_hook(lambda module, args, s: -s)
    return network


def hooked_before(network):
    network.register_forward_pre_hook(lambda module, args: args)
    return network


def with_own_forward(network):
    network.forward = lambda x: -x
    return network


def parametrized(network):
    parametrize.register_parametrization(network.layers[1], "weight", nn.Tanh())
    return network


def with_other_layer(network):
    network.layers[1] = nn.Sequential(network.layers[1])
    return network


def without_bias(network):
    network.layers[1].bias = None
    return network


def with_one_layer_more(network):
    network.layers.insert(1, nn.Linear(32, 32))
    return network


def stacked(network):
    for layer in network.layers:
        layer.weight = nn.Parameter(layer.weight.expand(3, -1, -1))
    return network


class Subclass(ScoreMLP):
    def forward(self, x):
        return -super().forward(x)


@pytest.mark.parametrize(
    "other",
    [
        hooked, hooked_before, with_own_forward, parametrized,
        with_other_layer, without_bias, with_one_layer_more, stacked,
        lambda network: Subclass(32),
        lambda network: EnergyMLP(32),
        lambda network: NoiseConditionalMLP(32),
        lambda network: torch.compile(network, backend="eager"),
        lambda network: network.forward,
        lambda network: ScoreMLP(32, activation=functional.gelu),
        lambda network: ScoreMLP(32, activation=nn.SiLU()),
        lambda network: ScoreMLP(32, activation=lambda z: functional.softplus(z)),
        lambda network: ScoreMLP(WIDEST + 1),
        lambda network: network.double(),
        lambda network: network.to("meta"),
    ],
)  # fmt: skip
def test_it_leaves_to_the_plain_path_what_it_does_not_do(other):
    network, x = ScoreMLP(32).to(DEVICE), points(3)
    assert pack(network, x) is not None
    network = other(network)
    assert pack(network.to(DEVICE) if isinstance(network, EnergyMLP) else network, x) is None


def test_it_leaves_autocast_and_other_points_to_the_plain_path():
    network, x = ScoreMLP(32).to(DEVICE), points(3)
    assert pack(network, x.double()) is None
    assert pack(network, x, [1.0]) is None  # no noise levels
    assert pack(NoiseConditionalMLP(32).to(DEVICE), x, [1.0]) is not None
    with torch.autocast(DEVICE.type, torch.bfloat16):
        assert pack(network, x) is None
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, s: s)
    try:
        assert pack(network, x) is None
    finally:
        handle.remove()


def test_weights_are_packed_as_they_are_now():
    network, x = score_network(16), points(9)
    first = carry(network, x, make_run(x, SIZES))
    with torch.no_grad():
        network.layers[1].weight *= -1
    run = make_run(x, SIZES)
    second = carry(network, x, run)
    assert (first - second).abs().max() > 0.1
    assert_equal_to_rounding(second, step_by_step(network, x, run)[-1])
    assert not pack(network, x).ends.requires_grad


SETTINGS = """
import torch
from toylab.samplers.packed_network import precision
matmul = torch.backends.cuda.matmul
print(precision())
torch.set_float32_matmul_precision("high")
print(precision())
torch.set_float32_matmul_precision("highest")
print(precision())
matmul.allow_tf32 = True
print(precision())
matmul.allow_tf32 = False
print(precision())
if hasattr(matmul, "fp32_precision"):
    matmul.fp32_precision = "tf32"
else:
    matmul.allow_tf32 = True
print(precision())
"""


def in_a_process(code):
    """The words that the code prints; these settings hold for a whole process, and the interpreter compiles nothing."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_tf32_is_for_the_user_to_allow():
    assert in_a_process(SETTINGS) == ["ieee", "tf32", "ieee", "tf32", "ieee", "tf32"]


COMPILATION = """
import re, subprocess, sys, tempfile
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from tests.kernels.compile_all import narrow
from toylab._kernels import network

capability, precision, width, activation = int({capability}), {precision!r}, {width}, {activation!r}
shape = network.shape_of_a_program(10**6, width, precision, torch.device("cpu"))
constants = dict(
    ACTIVATION=activation, PRECISION=precision, WIDTH=width, CHUNK=shape.chunk, BLOCK=shape.block
)
types = dict.fromkeys(network.SIZES, "i32") | dict(mean1="fp32", mean2="fp32", level_ptr="*i32", seed_ptr="*i64")
types |= dict(alive_ptr="*i64") | dict.fromkeys(constants, "constexpr")
names = network._langevin.arg_names
signature = {{name: types.get(name, "*fp32") for name in names}}
aligned = {{(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")}}
built = triton.compile(
    ASTSource(network._langevin, signature, constants, aligned),
    target=GPUTarget("cuda", capability, 32),
    options=dict(num_warps=shape.warps, num_stages=1, **network.OPTIONS),
)
with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
    file.write(built.asm["cubin"])
    file.flush()
    tool = triton.knobs.nvidia.cuobjdump.path
    usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
wide = shape.block == width or narrow(built.asm["ttir"], shape.block) == 0
print(re.search(r"STACK:(\\d+)", usage)[1], built.metadata.shared, wide, end=" ")
print(*(core in built.asm["ptx"] for core in {cores}))
"""


CORES = ["wgmma", "mma.sync"]  # the instructions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "capability", "width", "activation", "cores"),
    [
        ("ieee", 90, 128, "silu", []),
        ("ieee", 80, 64, "softplus", []),
        ("tf32", 90, 128, "silu", ["wgmma"]),
        ("tf32", 80, 128, "tanh", ["mma.sync"]),
    ],
)
def test_it_fits_into_a_multiprocessor(precision, capability, width, activation, cores, monkeypatch, tmp_path):
    """No registers are spilled, the least shared memory is enough, and tensor cores are used where they may be."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    code = COMPILATION.format(
        capability=capability, precision=precision, width=width, activation=activation, cores=CORES
    )  # fmt: skip
    stack, shared, wide, *used = in_a_process(code)
    assert int(stack) <= 32  # bytes that sin and cos set aside for angles beyond 10^5, which there are none of
    assert int(shared) < 99 * 1024
    assert wide == "True"  # or the addresses of chains would overflow from 2^30 of them on
    assert [name for name, found in zip(CORES, used, strict=True) if found == "True"] == cores
