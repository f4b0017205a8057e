"""The memory of a training, foretold from two points."""

import functools
import importlib
import math
import re

import pytest
import torch

from toylab._internal.torch_private import MemoryTaken
from toylab.densities import two_modes
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, NoiseConditional, Sliced
from toylab.schedules import geometric
from toylab.training import fit, memory
from toylab.training.memory import Memory

FIT = importlib.import_module("toylab.training.fit")  # a function is named like the module
CPU = torch.device("cpu")
POINTS = two_modes().sample((64,), generator=torch.Generator().manual_seed(0))  # a density would be integrated, too
TRAININGS = {
    "denoising": (Denoising(0.5), ScoreMLP),
    "antithetic": (Denoising(0.5, antithetic=True), ScoreMLP),
    "sliced": (Sliced(3), ScoreMLP),
    "implicit": (Implicit(), ScoreMLP),
    "implicit, forward mode": (Implicit(), functools.partial(ScoreMLP, activation=torch.tanh)),
    "explicit": (Explicit(two_modes().score), ScoreMLP),
    "energy": (Implicit(), EnergyMLP),
    "energy, denoising": (Denoising(0.5), EnergyMLP),
    "noise-conditional": (NoiseConditional(geometric(5.0, 0.5, 4)), NoiseConditionalMLP),
}


def train(name="denoising", width=64, **settings):
    objective, network = TRAININGS[name]
    g = torch.Generator().manual_seed(1)
    return fit(network(width, generator=g), objective, POINTS, n_steps=3, report_every=2, generator=g, progress=False,
               **settings)  # fmt: skip


@pytest.mark.parametrize(("n_seeds", "batch_size"), [(1, 500), (4, 500), (16, 2)])
@pytest.mark.parametrize("name", TRAININGS)
def test_the_peak_is_half_to_five_quarters_of_what_is_foretold(name, n_seeds, batch_size, monkeypatch):
    told = []
    monkeypatch.setattr(Memory, "check", lambda self, *sizes: told.append(self.total(*sizes[:2])))
    monkeypatch.setattr(FIT, "keep_freed_memory", lambda: None)  # a block of 32 MB that is never written to
    with MemoryTaken([]) as taken:
        train(name, n_seeds=n_seeds, batch_size=batch_size)
    assert told[0] <= told[1]
    assert 0.5 <= taken.of_points / told[1] <= 1.25


@pytest.mark.parametrize("name", TRAININGS)
def test_what_a_point_takes_does_not_depend_on_how_many_there_are(name, monkeypatch):
    told = []
    monkeypatch.setattr(Memory, "check", lambda self, *sizes: told.append(self))
    for batch_size in (2, 5000):
        train(name, batch_size=batch_size)
    assert told[1] == told[3]


def free_of(monkeypatch, n_bytes):
    monkeypatch.setattr(memory, "free_bytes", lambda device: n_bytes)


def test_too_much_is_refused_with_what_fits(monkeypatch):
    free_of(monkeypatch, 1e7)
    with pytest.raises(ValueError, match=r"n_seeds is 50 and batch_size 256: .* on cpu, where 0.01 GB are") as told:
        train(n_seeds=50, batch_size=256)
    n_seeds, batch_size = (int(most.replace(",", "")) for most in re.findall(r"of at most ([\d,]+)", str(told.value)))
    for fits, too_many in (
        ({"n_seeds": n_seeds, "batch_size": 256}, {"n_seeds": n_seeds + 1, "batch_size": 256}),
        ({"n_seeds": 50, "batch_size": batch_size}, {"n_seeds": 50, "batch_size": batch_size + 1}),
    ):
        assert len(train(**fits).networks) == fits["n_seeds"]
        with pytest.raises(ValueError, match="training takes about"):
            train(**too_many)


def test_a_single_network_too_large_is_told(monkeypatch):
    free_of(monkeypatch, 1e5)
    with pytest.raises(ValueError, match=r"takes about 0.13 MB .*, where 0.10 MB are free. Give a smaller network\."):
        train(batch_size=1)


def test_nothing_is_drawn_of_what_cannot_fit():
    """10^15 points: the first check is before the first draw."""
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="Give batch_size of at most"):
        fit(ScoreMLP(4, generator=torch.Generator()), Sliced(), POINTS, batch_size=10**15, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_free_is_what_the_system_says():
    found = memory.free_bytes(CPU)
    assert found == math.inf or 1e7 < found < 1e15
    assert memory.free_bytes(torch.device("meta")) == math.inf
