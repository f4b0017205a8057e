"""Samplers choose the kernel for networks by themselves, and with the same random numbers it is their plain run."""

import sys

import pytest
import torch
from torch.nn import functional

from tests.kernels.numbers import Replayed
from toylab._kernels import network as network_kernel
from toylab._kernels.random import draw_seed
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.samplers import annealed_langevin, fused, langevin
from toylab.schedules import geometric
from toylab.score import at


def made(kind, **settings):
    return kind(width=16, generator=torch.Generator().manual_seed(0), **settings)


RUNS = {
    "langevin": lambda x, **k: langevin(made(ScoreMLP, data_std=2.0).to(x), x, step_size=0.1, n_steps=6, **k),
    "langevin at a level": lambda x, **k: langevin(
        at(made(NoiseConditionalMLP).to(x), 0.7), x, step_size=lambda i: 0.1 / (1 + i), n_steps=6, temperature=0.5, **k
    ),
    "annealed": lambda x, **k: annealed_langevin(
        made(NoiseConditionalMLP, data_std=2.0, activation=torch.tanh).to(x), x, geometric(4.0, 0.5, 3),
        step_size=0.05, n_steps=2, denoise=True, **k,
    ),
}  # fmt: skip


@pytest.fixture
def small(kernels, monkeypatch):
    """Programs of few chains, and the names of the kernels launched."""
    launched, own = [], network_kernel.langevin
    monkeypatch.setattr(network_kernel, "langevin", lambda *args: launched.append(args[-1]) or own(*args))
    return launched


def start(device, n=40):
    return 2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(1)).to(device)


@pytest.mark.parametrize("name", RUNS)
def test_it_is_the_plain_run(kernels, small, without_kernels, monkeypatch, name):
    x = start(kernels)
    ours = RUNS[name](x, keep_every=2, generator=torch.Generator(kernels).manual_seed(5), progress=False)
    assert small == [6]
    without_kernels()
    numbers = Replayed(draw_seed(kernels, torch.Generator(kernels).manual_seed(5)))
    monkeypatch.setattr(sys.modules[langevin.__module__], "normal_like", numbers.normal_like)
    plain = RUNS[name](x, keep_every=2, generator=torch.Generator(kernels), progress=False)
    assert small == [6]
    assert float((ours.path - plain.path).abs().max()) < 1e-4  # some hundred roundings
    assert float((ours.samples - plain.samples).abs().max()) < 1e-4
    assert torch.equal(ours.labels, plain.labels)
    assert ours.n_evaluations == plain.n_evaluations


def test_others_take_the_plain_path_without_a_word(kernels, small):
    x = start(kernels, 3)
    kept = {"step_size": 0.01, "n_steps": 2, "generator": torch.Generator(kernels), "progress": False}
    langevin(made(EnergyMLP).to(x), x, **kept)
    langevin(made(ScoreMLP).to(x).double(), x.double(), **kept)
    langevin(made(ScoreMLP, activation=functional.gelu).to(x), x, **kept)
    langevin(lambda x: made(ScoreMLP).to(x)(x), x, **kept)
    langevin(at(made(NoiseConditionalMLP).to(x), torch.full((3,), 0.5, device=kernels)), x, **kept)
    assert small == []


def test_the_cause_of_a_divergence_is_told_as_on_the_plain_path(kernels, small, without_kernels):
    score = made(ScoreMLP)
    with torch.no_grad():
        for p in score.parameters():
            p.zero_()
        # softplus is the identity far out: s(x) = 4 x there
        score.layers[0].weight[:4] = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        score.layers[1].weight[:4, :4] = torch.eye(4)
        score.layers[2].weight[:, :4] = 4 * torch.tensor([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    score = score.to(kernels)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="chains diverged to inf or nan.*score points away from the start"):
            langevin(score, start(kernels), step_size=1.0, n_steps=120, generator=torch.Generator(kernels))
        with pytest.warns(RuntimeWarning, match="score points away from the start at .* chains, and so it does"):
            langevin(score, start(kernels), step_size=0.5, n_steps=20, generator=torch.Generator(kernels))
        without_kernels()
    assert small == [120, 20]


def test_long_runs_are_divided(kernels, small, monkeypatch):
    x = start(kernels)
    whole = RUNS["annealed"](x, generator=torch.Generator(kernels).manual_seed(5), progress=False).samples
    monkeypatch.setattr(fused, "_AT_ONCE", 4 * len(x) * (2 * 16**2 + 6 * 16))
    monkeypatch.setattr(fused, "_FEWEST", 1)
    monkeypatch.setattr(fused, "wait_for", lambda device: None)
    parts = RUNS["annealed"](x, generator=torch.Generator(kernels).manual_seed(5), progress=False).samples
    assert small == [6, 4, 2]
    assert torch.equal(whole, parts)


def test_ctrl_c_while_the_kernel_is_compiled_returns_the_start(kernels, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(network_kernel, "langevin", interrupted)
    x = start(kernels)
    for name in RUNS:
        with pytest.warns(RuntimeWarning, match="langevin was interrupted"):
            chains = RUNS[name](x, keep_every=2, generator=torch.Generator(kernels), progress=False)
        assert chains.labels.tolist() == [4.0 if name == "annealed" else 0.0]
        if name != "annealed":  # which is denoised in the end
            assert torch.equal(chains.samples, x)
