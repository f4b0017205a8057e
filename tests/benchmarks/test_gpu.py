"""The measurements of a GPU run; on the CPU here, where nothing is recorded."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import densities, floor, gpu, gpu_chains, gpu_densities, gpu_figures, gpu_networks, gpu_training, peers
from benchmarks.hardware_limit import HardwareLimit, hardware_limit
from benchmarks.measurement import measured
from benchmarks.step import trained_objectives
from toylab._internal.cuda_graphs import changes_nothing
from toylab.densities import fractal_tree, two_modes
from toylab.experiments import EXPERIMENTS
from toylab.metrics import fisher_divergence
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.training import fit

ROOT = Path(__file__).parents[2]
N_ROWS = {
    "gpu-limit": 1,
    "gpu-densities": 6,
    "gpu-chains": 11,
    "gpu-networks": 6,
    "gpu-training": 19,
    "gpu-figures": 16,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # so few steps warn of chains that have not moved
def test_every_row_is_measured_where_there_is_a_device(monkeypatch):
    monkeypatch.setattr(gpu_figures, "in_a_fresh_process", lambda code, *options: "")
    rows = [row for measurement in gpu.rows(0.0005, "cpu") for row in measured(measurement)]
    assert [row.failed for row in rows if row.failed] == []
    limit, *rows = rows
    assert limit.exp > 0
    assert len(rows) == sum(N_ROWS.values()) - 1
    skipped = [row for row in rows if row.skipped]
    assert all("not installed" in row.skipped for row in skipped) and len(skipped) <= 6  # the peers may be missing
    assert all(math.isfinite(row.ratio) and min(row.ours) > 0 for row in rows if not row.skipped)
    assert len({(row.work, row.peer) for row in rows}) == len(rows)
    assert not any(row.met for row in rows if row.peer == "limit")  # a share meets no limit
    # what is evaluated or sampled is right even so; only the trainings are too short
    assert {row.work.split()[0] for row in rows if row.measured and not row.near_enough} == {"half-Fisher"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_without_cuda_every_row_says_so():
    for name, part in gpu.PARTS.items():
        rows = [row for measurement in part(1.0) for row in measured(measurement)]
        assert len(rows) == (0 if name == "gpu-limit" else N_ROWS[name])
        assert {row.skipped for row in rows} <= {"torch sees no CUDA device"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_the_limits_are_the_goals():
    goals = {row.work: row.theirs[0] for m in gpu.rows(1.0) for row in m.rows if row.peer == "limit"}
    assert goals["MALA on the ring on a GPU, 1,000,000 × 1,000"] == 0.03
    assert goals["Langevin on the ring on a GPU, 1,280 × 1,000"] == 0.003
    assert goals["log p and score on a GPU, K = 1,016, 1,000,000 points"] == 0.003
    assert goals["annealed Langevin with a network on a GPU, 1,000,000 × 1,000"] == 1.2
    assert goals["annealed Langevin with a network on a GPU, 1,000,000 × 1,000, TF32"] == 0.7
    assert goals["Langevin with a network on a GPU, 1,000,000 × 100"] == pytest.approx(0.12)
    assert goals["training step on a GPU, denoising, batch 128"] == 0.07e-3
    assert goals["training step on a GPU, implicit, batch 128, 512 at once"] == 0.5e-3
    assert goals["half-Fisher divergence 0.002 on a GPU, denoising, 1000 × 2048"] == 0.2
    assert goals["toylab figures --device cuda"] == 20


def test_the_two_sides_are_one_recorded_and_one_not():
    for objective in trained_objectives().values():
        assert changes_nothing(objective)
        assert not changes_nothing(gpu_training.without_graph(objective))
    network = NoiseConditionalMLP()
    assert changes_nothing(network)
    assert not changes_nothing(gpu_networks.kernel_by_kernel(network))


@pytest.mark.nightly
@pytest.mark.parametrize("name", list(gpu_training.TRAININGS))
def test_each_training_reaches_the_divergence_that_it_is_timed_for(name):
    """Its numbers on a GPU are others of the same law: here another seed than those that it was found with."""
    n_steps, batch_size, learning_rate = gpu_training.TRAININGS[name]
    g, p = torch.Generator().manual_seed(17), two_modes()
    network = fit(
        ScoreMLP(generator=g), trained_objectives()[name], p, n_steps=n_steps, batch_size=batch_size,
        learning_rate=learning_rate, generator=g, progress=False,
    ).network  # fmt: skip
    truth = p.noised(gpu_training.SIGMA) if name == "denoising" else p
    assert fisher_divergence(network, truth) < 0.7 * gpu_training.QUALITY


def test_what_a_step_takes_is_told_apart_from_the_recording():
    reports = torch.tensor([5.0, 7.0])  # 10 steps, of 0.2 s since the fifth, and 4 s more before it
    assert gpu_training._apart(reports, 20) == (pytest.approx(0.2), pytest.approx(3.0))


def test_every_figure_has_a_row():
    default = {name for name, experiment in EXPERIMENTS.items() if experiment.drawn_by_default}
    assert len(default) == 4
    assert sorted({*gpu_figures.OTHERS} | default) == sorted(EXPERIMENTS)
    assert not {*gpu_figures.OTHERS} & default


def test_figures_are_quick_at_a_share_only(monkeypatch):
    calls = []
    monkeypatch.setattr(gpu_figures, "in_a_fresh_process", lambda code, *options: calls.append(options[1:]))
    for share in (1.0, 0.5):
        first, second, *_ = gpu_figures.rows(share, "cpu")
        measured(first), measured(second)
    one = [(), ("--device", "cpu"), *[("--only", "bugs", "--device", "cpu")] * 2]
    assert calls == [*one, (), *[(*call, "--quick") for call in one[1:]]]


def test_a_figure_that_cannot_be_drawn_fails_its_row(monkeypatch):
    monkeypatch.setattr(gpu_figures, "OTHERS", ("moon",))
    *_, last = gpu_figures.rows(0.5, "cpu")
    assert "'moon' is not a figure" in measured(last)[0].failed


def test_a_sample_that_has_left_the_tree_misses_the_goal():
    p, row = fractal_tree(), gpu_chains.limit("work", 1.0)
    x, y = (p.sample((2000,), generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    assert gpu_chains._with_mean_log_prob(row, p, x, y).near_enough
    assert not gpu_chains._with_mean_log_prob(row, p, x, y + 0.02).near_enough


def test_a_network_that_samples_another_law_misses_the_goal():
    p, row = two_modes(), gpu_networks.limit("work", 1.0)
    x, y = (p.sample((2000,), generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    assert gpu_networks.with_both_laws(row, x, y).near_enough
    assert not gpu_networks.with_both_laws(row, x, y.abs()).near_enough  # the weights are wrong
    assert not gpu_networks.with_both_laws(row, x, 1.1 * y).near_enough  # the modes are too wide
    y[0] = math.nan
    assert not gpu_networks.with_both_laws(row, x, y).near_enough


def test_tf32_is_allowed_for_the_row_alone():
    before = torch.backends.cuda.matmul.allow_tf32
    for allowed in (True, False):
        with pytest.raises(RuntimeError, match="stop"), gpu_networks.allow_tf32(allowed):
            assert torch.backends.cuda.matmul.allow_tf32 == allowed
            raise RuntimeError("stop")
        assert torch.backends.cuda.matmul.allow_tf32 == before


def test_jax_without_a_gpu_is_skipped_with_its_remedy(monkeypatch):
    jax = type("jax", (), {"default_backend": staticmethod(lambda: "cpu")})
    monkeypatch.setitem(sys.modules, "jax", jax)
    assert peers.why_on_the_cpu("blackjax, compiled before") == (
        'jax computes on the cpu here: pip install "jax[cuda12]"'
    )
    assert peers.why_on_the_cpu("torchebm LangevinDynamics") == ""
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"  # or torch would be left a quarter of the memory


def test_a_floor_is_what_takes_longest():
    work = floor.Floor(flop=10, exp=3, normal=2, uniform=1, byte=100)
    limit = HardwareLimit(flop=1.0, exp=1.0, normal=1.0, uniform=1.0, byte=0.01)
    assert work.seconds(limit) == (10.0, "products of matrices")
    assert work.seconds(HardwareLimit(flop=0.1, exp=1.0, normal=1.0, uniform=1.0, byte=0.01)) == (3.0, "exponentials")
    assert work.seconds(HardwareLimit(byte=1.0)) == (100.0, "memory")


def test_the_floors_count_what_must_be_done():
    assert floor.langevin_floor(8, 5) == floor.Floor(exp=40, normal=10)
    assert floor.mala_floor(8, 5) == floor.Floor(exp=50, normal=10, uniform=5)
    assert floor.mixture_floor(8, 5, 3) == floor.Floor(exp=40, byte=5 * 4 * (2 + 3))
    network, n = NoiseConditionalMLP(width=16, depth=2), 7
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(n, 2), 1.0)
    hidden = sum(layer.out_features for layer in network.layers[:-1] if isinstance(layer, nn.Linear))
    assert floor.network_floor(network, n) == floor.Floor(flop=counter.get_total_flops(), exp=n * hidden, normal=2 * n)


def test_the_densities_are_held_against_float64(monkeypatch):
    """At points of the law, too: far from the tree log p is -100,000, where an error of .02 is none."""

    def off(p, x):
        return tuple(part + (0.02 if x.dtype == torch.float32 else 0) for part in densities.ours(p, x))

    monkeypatch.setattr(gpu_densities, "log_prob_and_score", off)
    (row,) = measured(next(gpu_densities.rows(0.0005, "cpu")))
    assert row.error > row.allowed and not row.near_enough


def test_the_rates_in_registers_are_of_what_they_say():
    """Under Triton's interpreter: the kernels' numbers are normal, uniform, and the fixed point of 2^-x."""
    pytest.importorskip("triton")
    code = (
        "import torch; from benchmarks.register_rates import *; x = torch.empty(2048)\n"
        "for f in (exponentials, normals, uniforms): f(x, 60 if f is exponentials else 8); print(x.mean(), x.std())"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code.replace("x.mean(), x.std()", "float(x.mean()), float(x.std())")],
        capture_output=True, text=True, check=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    fixed, normal, uniform = ([float(word) for word in line.split()] for line in done.stdout.splitlines())
    assert fixed == [pytest.approx(0.641186, abs=1e-5), pytest.approx(0, abs=1e-5)]
    assert normal == [pytest.approx(0, abs=0.02), pytest.approx(32**-0.5, rel=0.1)]  # the mean of 32 each
    assert uniform == [pytest.approx(0.5, abs=0.01), pytest.approx((12 * 32) ** -0.5, rel=0.1)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_limit_of_a_gpu():
    limit = hardware_limit(repeats=2, device="cuda")
    assert all(0 < seconds < 1e-8 for seconds in (limit.flop, limit.exp, limit.normal, limit.uniform, limit.byte))
