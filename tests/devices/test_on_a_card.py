"""Everything runs on a card: nothing is made on the wrong device, nothing warns, and what is repeated is recorded.

The card is ``tests/devices/card.py``, so that this is known on any machine; a warning is an error, as in all tests.
"""

import importlib
import json
import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.nn import functional

from benchmarks import annealed, gpu, gpu_figures, gpu_networks, gpu_training, hardware_limit
from benchmarks.measurement import measured
from tests.devices.card import CPU, Card, card
from tests.devices.on_card import on_card
from tests.fuzz.calls import calls
from toylab import cli, museum, paths, plotting, samplers, schedules, training
from toylab._internal import devices
from toylab.densities import (
    Affine,
    Circle,
    FromTorch,
    Mixture,
    _gaussians,
    catalogue,
    from_energy,
    from_torch,
    pinwheel,
    two_modes,
)
from toylab.experiments import (
    EXPERIMENTS,
    bugs,
    diffusion,
    estimation,
    guidance,
    likelihood,
    nats,
    objectives,
    reference,
    setting,
)
from toylab.experiments import samplers as sampler_experiment
from toylab.guidance import tmpd
from toylab.metrics import LikelihoodBound, fisher_divergence_by_region
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import (
    BoundedImplicit,
    ClassConditional,
    ContrastiveDivergence,
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    Implicit,
    LogNormal,
    LogUniform,
    MaximumLikelihood,
    MultiscaleDenoising,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoiseContrastive,
    NoisePrediction,
    PersistentContrastiveDivergence,
    Sliced,
    UniformTimes,
    WallDistance,
)
from toylab.score import at
from toylab.sde import VE, VP, score_at
from toylab.training import fit

CUDA = torch.device("cuda:0")
LESSONS = Path(__file__).parents[2] / "notebooks"
LEVELS = schedules.geometric(5.0, 0.5, 3)


@pytest.fixture
def here() -> Card:
    with card() as one:
        yield one


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator("cuda").manual_seed(seed)


# ------------------------------------------------------------------------------------- every public name, by its name

# What a user makes without thinking of a device, and so leaves on the CPU
SETTINGS = {"sigmas", "times", "temperatures", "beta", "preconditioner"}
# a network or a law of the user's: a function that is no frozen dataclass is not recorded, which is told
TOLD = {"metrics.explain"}


@pytest.mark.parametrize("call", [call for call in calls() if call.name not in TOLD], ids=str)
def test_every_public_call_runs(here, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function = on_card(call.function)
    given = {name: make() for name, make in call.arguments.items()}
    settings = {name for name in SETTINGS & given.keys() if isinstance(given[name], torch.Tensor)}
    for left in [set(), settings] if settings else [set()]:
        arguments = {name: value if name in left else on_card(value) for name, value in given.items()}
        if "device" in arguments:
            arguments["device"] = "cuda"
        result = function(**arguments)
        x = arguments.get("x")
        if isinstance(x, torch.Tensor) and isinstance(result, torch.Tensor):
            assert result.device == CUDA or call.name in ON_THE_CPU


ON_THE_CPU = {"metrics.kept"}


# --------------------------------------------------------------------------------------------------------------- laws

LAWS = {name: (example.density, example.least_sigma) for name, example in catalogue().items()} | {
    "moved and noised": (Affine(two_modes(), 2.0, 0.3, (1.0, 2.0)).noised(0.3), 0.0),
    "a mixture of laws": (Mixture([0.5, 0.5], [two_modes(), Circle(2.0)]).rotated(0.5), 0.1),
    "an energy": (from_energy(lambda x: x.square().sum(-1) / 2, (-9, 9, -9, 9), n_cells=64), None),
    "a distribution of torch": (from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2))), None),
}
# Their quadrature looks where the mass is, and a draw by an energy or by torch's own code is one of the CPU
READ_VALUES = {"banana", "funnel", "student_t", "spiral"}
DRAWN_ON_THE_CPU = {"an energy", "a distribution of torch"}
MIXTURES = {"ring", "pinwheel", "fractal_tree", "points", "moved and noised", "a mixture of laws"}


@pytest.mark.parametrize("name", LAWS)
def test_a_law_is_the_same_there(here, name):
    law, least = LAWS[name]
    there = on_card(law)
    assert there.device == CUDA and there.noised(0.5).device == CUDA
    assert there.to("cpu") == law or isinstance(law, FromTorch)
    x = there.sample((7,), generator=generator())
    assert x.device == CUDA
    levels = [0.0] if least is None else [least, torch.linspace(0.2, 1.0, 7, device="cuda")]
    methods = ("log_prob", "score", "divergence", *(["posterior"] if name in MIXTURES else []))
    for sigma in levels:
        for method in methods:
            found = getattr(there, method)(x, sigma)
            right = getattr(law, method)(x.cpu(), sigma.cpu() if isinstance(sigma, torch.Tensor) else sigma)
            assert found.device == CUDA
            torch.testing.assert_close(found.cpu(), right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", LAWS)
def test_a_law_can_be_recorded(here, name):
    law, least = LAWS[name]
    there = on_card(law)
    x, g = there.sample((7,), generator=generator()), generator()
    if name not in DRAWN_ON_THE_CPU:
        replayed(here, lambda: there.sample((7,), generator=g))
    for sigma in [least or 0.0, *([] if least is None else [0.5, torch.full((7,), 0.5, device="cuda")])]:
        if name in READ_VALUES and (sigma != 0.0) is not False:
            continue
        replayed(here, lambda sigma=sigma: there.log_prob(x, sigma))
        replayed(here, lambda sigma=sigma: there.score(x, sigma))


def replayed(here: Card, step) -> None:
    """Call a step, and once more under the rules of a recording."""
    step()
    with here.in_a_recording():
        step()


def test_gaussians_whose_tensors_are_on_the_card(here):
    """As those of a mixture in a class of one's own: the identity they are compared with was made on the CPU once."""
    p = pinwheel().noised(0.1)
    log_weights, means, covariances = (t.to("cuda") for t in (p.weights.log(), p.means, p.covariances))
    roots = torch.linalg.cholesky(covariances)
    found = _gaussians.Gaussians.of(log_weights, means, covariances, roots)
    assert not found.round and found.c11.device == CUDA


# --------------------------------------------------------------------------------------------------- training

ULA = partial(samplers.langevin_step, step_size=0.1)


def with_chains(width, **settings):
    return EnergyMLP(width, **settings).with_chains(two_modes().sample((5,), generator=torch.Generator()))


TRAININGS = {
    "explicit": (lambda p: Explicit(p.score), ScoreMLP),
    "implicit": (lambda p: Implicit(), ScoreMLP),
    "implicit, forward mode": (lambda p: Implicit(), partial(ScoreMLP, activation=functional.silu)),
    "bounded": (lambda p: BoundedImplicit(WallDistance((-30.0, 30.0, -30.0, 30.0), scale=1.0)), ScoreMLP),
    "implicit, energy": (lambda p: Implicit(), EnergyMLP),
    "sliced": (lambda p: Sliced(), ScoreMLP),
    "sliced, plain": (lambda p: Sliced(2, variance_reduced=False), ScoreMLP),
    "finite differences": (lambda p: FiniteDifferenceSliced(), ScoreMLP),
    "denoising": (lambda p: Denoising(0.5, antithetic=True), ScoreMLP),
    "denoising, control variate": (lambda p: Denoising(0.5, control_variate=True), EnergyMLP),
    "noise prediction": (lambda p: NoisePrediction(0.5), ScoreMLP),
    "noise-conditional": (lambda p: NoiseConditional(LEVELS, antithetic=True), NoiseConditionalMLP),
    "noise-conditional, explicit": (lambda p: NoiseConditionalExplicit(p.score, LEVELS), NoiseConditionalMLP),
    "multiscale denoising": (lambda p: MultiscaleDenoising(LEVELS, 0.5), EnergyMLP),
    "maximum likelihood": (lambda p: MaximumLikelihood((-20.0, 20.0, -20.0, 20.0), 4), EnergyMLP),
    "contrastive divergence": (lambda p: ContrastiveDivergence(ULA, 2), EnergyMLP),
    "persistent chains": (lambda p: PersistentContrastiveDivergence(ULA), with_chains),
    "noise-contrastive": (lambda p: NoiseContrastive(two_modes().noised(2.0)), EnergyMLP),
    "noise-conditional energy": (lambda p: NoiseConditional(LEVELS), NoiseConditionalEnergyMLP),
    "classes": (lambda p: ClassConditional(NoiseConditional(LEVELS), p), partial(NoiseConditionalMLP, n_classes=2)),
    "log-uniform levels": (lambda p: NoiseConditional(LogUniform(0.1, 5.0)), NoiseConditionalMLP),
    "log-normal levels": (lambda p: NoiseConditional(LogNormal()), NoiseConditionalMLP),
    "levels of an SDE": (lambda p: NoiseConditional(UniformTimes(VP())), NoiseConditionalMLP),
}


@pytest.fixture
def without_offsets(monkeypatch):
    """That of a loss is a quadrature on the CPU, which takes seconds."""
    monkeypatch.setattr(importlib.import_module("toylab.training.fit"), "offset_or_nan", lambda *_: math.nan)


@pytest.mark.parametrize("n_seeds", [1, 2])
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_is_recorded(here, without_offsets, name, n_seeds):
    objective, network = TRAININGS[name]
    p = two_modes().to("cuda")
    trained = fit(
        network(16, generator=generator(1)), objective(p), p, n_steps=6, batch_size=8, report_every=3, n_seeds=n_seeds,
        held_out=lambda network: 0.0, generator=generator(), device="cuda", progress=False,
    )  # fmt: skip
    assert here.recorded == 1
    assert {w.device for network in trained.networks for w in network.parameters()} == {CUDA}
    assert trained.history.loss.isfinite().all() and trained.history.loss.device == CPU


def test_a_cut_law_is_drawn_without_reading_a_value(here):
    p = two_modes().truncated((0.0, math.inf, 0.0, math.inf)).to("cuda")
    x = p.sample((200, 10), generator=generator())
    assert x.shape == (200, 10, 2) and x.device == CUDA and bool(p.contains(x).all())
    replayed(here, lambda: p.sample((7,), generator=generator()))


@pytest.mark.parametrize("data", ["a law left on the CPU", "a set of points", "a set of points on the card"])
def test_data_come_to_the_network(here, data):
    given = {
        "a law left on the CPU": lambda: two_modes().noised(0.3),
        "a set of points": lambda: two_modes().sample((30,)),
        "a set of points on the card": lambda: two_modes().to("cuda").sample((30,)),
    }[data]()
    fit(ScoreMLP(16), Sliced(), given, n_steps=6, batch_size=8, generator=generator(), device="cuda", progress=False)
    assert here.recorded == 1


def test_a_training_is_saved_and_read_again(here, tmp_path):
    network = ScoreMLP(16).to("cuda")
    training.save(network, tmp_path / "network.pt")
    for device in ("cpu", "cuda"):
        again = training.load(tmp_path / "network.pt", device=device)
        assert next(again.parameters()).device.type == device
    x = torch.zeros(3, 2, device="cuda")
    assert torch.equal(again(x), network(x))


# --------------------------------------------------------------------------------------------------- samplers


@dataclass(frozen=True, eq=False)
class Along:
    """The exact velocity of the linear path to p."""

    p: object

    def __call__(self, x, t):
        return paths.Linear().velocity(self.p, x, t)


N = {"n_steps": 6, "keep_every": 2, "progress": False}
TIMES = schedules.uniform(1.0, 0.1, 7)
RUNS = {
    "langevin": lambda s, x, g: samplers.langevin(s, x, step_size=0.1, generator=g, **N),
    "decreasing steps": lambda s, x, g: samplers.langevin(s, x, step_size=lambda k: 0.2 / (1 + k), generator=g, **N),
    "annealed_langevin": lambda s, x, g: samplers.annealed_langevin(s, x, LEVELS, step_size=0.1, generator=g, **N),
    "reflected_langevin": lambda s, x, g: samplers.reflected_langevin(
        s, x, low=(-50.0, -50.0), high=(50.0, 50.0), step_size=0.1, generator=g, **N
    ),
    "mala": lambda s, x, g: samplers.mala(P().log_prob, s, x, step_size=0.1, generator=g, **N),
    "mala, preconditioned": lambda s, x, g: samplers.mala(
        P().log_prob, s, x, step_size=0.1, preconditioner=torch.tensor([[1.0, 0.2], [0.2, 0.5]]), generator=g, **N
    ),
    "hmc": lambda s, x, g: samplers.hmc(P().log_prob, s, x, step_size=0.1, n_leapfrog=2, generator=g, **N),
    "metropolis": lambda s, x, g: samplers.metropolis(P().log_prob, x, step_size=0.5, generator=g, **N),
    "reverse_sde": lambda s, x, g: samplers.reverse_sde(VP(), s, x, TIMES, generator=g, progress=False),
    "reverse_sde_heun": lambda s, x, g: samplers.reverse_sde_heun(VE(), s, x, TIMES, generator=g, progress=False),
    "predictor_corrector": lambda s, x, g: samplers.predictor_corrector(VP(), s, x, TIMES, generator=g, progress=False),
    "ancestral": lambda s, x, g: samplers.ancestral(VE(), s, x, TIMES, generator=g, progress=False),
    "replacement": lambda s, x, g: samplers.replacement(
        VP(), s, x, TIMES, [0.6, 0.8], 1.0, 0.5, generator=g, progress=False
    ),
    "reverse_sde, measured": lambda s, x, g: samplers.reverse_sde(
        VE(), tmpd(s, [0.6, 0.8], 1.0, 0.5), x, TIMES, generator=g, progress=False
    ),
    "ddim": lambda s, x, g: samplers.ddim(VP(), s, x, TIMES, progress=False),
    "probability_flow": lambda s, x, g: samplers.probability_flow(VP(), s, x, TIMES, progress=False),
    "flow": lambda s, x, g: samplers.flow(Along(s.__self__), x, TIMES.flip(0), progress=False),
    "forward_sde": lambda s, x, g: samplers.forward_sde(VP(), x, TIMES.flip(0), generator=g, progress=False),
}  # fmt: skip


def P():
    return two_modes().to("cuda")


@pytest.mark.parametrize("name", RUNS)
def test_a_sampler_is_recorded(here, name):
    x = samplers.uniform_start(9, (-8.0, 8.0, -8.0, 8.0), device="cuda", generator=generator())
    found = RUNS[name](P().score, x, generator(1))
    again = RUNS[name](P().score, x, generator(1))
    assert here.recorded >= 2
    assert found.samples.device == found.diverged.device == CUDA
    assert torch.equal(found.samples, again.samples) and found.n_evaluations == again.n_evaluations
    on_the_cpu = RUNS[name](on_the(CPU, P()).score, x.cpu(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(found.samples.cpu(), on_the_cpu.samples, rtol=1e-3, atol=1e-3)


def on_the(device, law):
    return law.to(device)


@pytest.mark.parametrize("name", ["langevin", "annealed_langevin", "reverse_sde"])
def test_a_network_is_recorded_in_a_sampler(here, name):
    plain = name == "langevin"
    network = (ScoreMLP if plain else NoiseConditionalMLP)(16, generator=generator()).to("cuda")
    RUNS[name](network, P().sample((9,), generator=generator()), generator(1))
    assert here.recorded >= 1


# --------------------------------------------------------------------------------------- experiments and pictures

TINY = {
    "gallery": {"n_cells": 4},
    "fields": {},
    "estimation": {"n_training_steps": 6, "n_reference_steps": 2, "n_networks": 3},
    "annealing": {
        "n_chains": 6, "n_repeats": 2, "n_training_steps": 6, "n_steps": 6, "n_steps_per_level": 4, "n_networks": 2,
    },
    "reference": {"n_repeats": 2, "n_chains": 60},
    "bayes": {"n_chains": 6, "n_steps": 200},
    "blame": {"n_chains": 30, "n_data": 5, "n_training_steps": 6, "n_steps": 80, "n_networks": 2},
    "bugs": {"n_chains": 40, "n_steps": 40},
    "samplers": {
        "n_chains": 12, "n_networks": 2, "n_training_steps": 6, "budgets": (12,), "densities": ("ring", "fractal tree"),
    },
    "likelihood": {"n_cells": 2, "n_points": 4, "n_networks": 2, "n_training_steps": 6, "rtol": 1e-1},
    "guidance": {"n_chains": 4, "n_networks": 2, "n_training_steps": 6, "n_cells": 4},
    "nats": {"n_training_steps": 6, "n_networks": 2, "rtol": 1e-1},
    "posterior": {"n_chains": 20, "n_networks": 2, "n_training_steps": 6, "n_repeats": 3, "budgets": (6,)},
    "diffusion": {"n_paths": 4, "n_training_steps": 6, "n_networks": 2, "times": (1.0, 0.1)},
    "anatomy": {"n_training_steps": 6, "n_networks": 2, "n_points": 6, "n_cells": 4},
    "failures": {"n_networks": 2, "share": 0.01},
    "gradients": {"n_training_steps": 6, "n_networks": 2, "n_batches": 2},
    "efficiency": {"n_repeats": 2, "n_points": 20, "n_cells": 2},
    "objectives": {"n_networks": 1, "share": 0.003, "n_cells": 100, "densities": ("two_modes",)},
}  # fmt: skip
UNRECORDED = {"gallery", "fields", "efficiency"}  # nothing is repeated


@pytest.fixture
def shortened(monkeypatch, without_offsets):
    """Grids and counts that an experiment fixes, so that it takes a second."""
    few = lambda make, most: lambda first, last, n: make(first, last, min(n, most))  # noqa: E731
    monkeypatch.setattr(devices, "_PAIRS_ON_A_GPU", 1 << 18)
    for name in ("fisher_divergence", "fisher_information"):  # quadratures, run on a card by "failures"
        monkeypatch.setattr(objectives, name, lambda *_: 1.0)
    monkeypatch.setattr(estimation, "fisher_divergence_by_region", partial(fisher_divergence_by_region, n=100))
    monkeypatch.setattr(bugs, "geometric", few(schedules.geometric, 9))
    monkeypatch.setattr(diffusion, "uniform", few(schedules.uniform, 9))
    monkeypatch.setattr(reference, "SIGMAS", schedules.geometric(20.0, 1.0, 2))
    for name in ("langevin", "annealed_langevin"):
        run = getattr(samplers, name)
        monkeypatch.setattr(
            reference, name, lambda *a, run=run, n_steps, keep_every, **k: run(*a, n_steps=6, keep_every=6, **k)
        )
    monkeypatch.setattr(sampler_experiment, "TOLERANCES", (0.1,))
    monkeypatch.setattr(guidance, "karras", few(schedules.karras, 4))
    monkeypatch.setattr(guidance, "_N_DATA", 50)
    monkeypatch.setattr(nats, "likelihood_bound", lambda *_: LikelihoodBound(1.0, 0.5, 0.0))  # tried there by name
    for name in ("flow_kl_divergence", "fisher_divergence"):
        monkeypatch.setattr(nats, name, lambda *_, **__: 0.5)
    monkeypatch.setattr(likelihood, "DENSITIES", dict(list(likelihood.DENSITIES.items())[:1]))


def run_tiny(name: str, **settings) -> None:
    result = EXPERIMENTS[name].run(device="cuda", progress=False, **{**TINY[name], **settings})
    json.dumps(result.numbers)
    assert all(isinstance(array, np.ndarray) for array in result.arrays.values())


@pytest.mark.parametrize("name", [
    name if experiment.drawn_by_default else pytest.param(name, marks=pytest.mark.nightly)
    for name, experiment in EXPERIMENTS.items()
])  # fmt: skip
def test_an_experiment_runs_there_and_is_recorded(here, shortened, name):
    run_tiny(name)
    assert (here.recorded > 0) == (name not in UNRECORDED)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "density"),
    [("objectives", "ring"), ("samplers", "two modes"), ("samplers", "checkerboard")],
)
def test_the_other_densities_of_an_experiment_run_there(here, shortened, name, density):
    run_tiny(name, densities=(density,))


def test_a_device_of_an_experiment_is_found_first():
    with pytest.raises(ValueError, match="device is 'tpu': torch cannot use it"):
        setting.generator(0, 0, "tpu")
    assert torch.equal(
        torch.rand(3, generator=setting.generator(2, 5)), torch.rand(3, generator=torch.Generator().manual_seed(2005))
    )


def test_the_command_draws_there(here, tmp_path):
    """Drawn, written and labelled with the name of the card, which is chosen where there is one."""
    assert devices.chosen("auto") == "cuda"
    arguments = ["figures", "--only", "fields", "--quick", "--quiet", "--device", "cuda", "--out", str(tmp_path)]
    assert cli.main(arguments) == 0
    made_with = json.loads((tmp_path / "numbers.json").read_text())["fields"]["made with"]
    assert made_with["device"] == torch.cuda.get_device_name()
    assert (tmp_path / "fields.png").exists()


def test_exhibits_of_the_museum_run_there(here):
    p, x = P(), P().sample((9,), generator=generator())
    network = ScoreMLP(8).to("cuda")
    for exhibit in museum.of_kind("loss"):
        loss = exhibit.run(0.5) if isinstance(exhibit.run, type) else exhibit.run
        assert loss(network, x, generator=generator()).device == CUDA
    steps = {"step_size": 0.1, "n_steps": 2, "generator": generator()}
    found = [
        museum.score_replacing_variances(p)(x, 0.5),
        museum.annealed_with_one_noise(p.score, x, LEVELS, **steps),
        museum.langevin_with_uniform_noise(p.score, x, **steps),
        museum.langevin_with_half_missing(p.score, x, **steps),
        *museum.mala_of_two_kernels(p.log_prob, p.score, x, **steps),
        *museum.mala_without_a_choice(p.log_prob, p.score, x, **steps),
        museum.flow_without_the_half(p.score, x, LEVELS),
        museum.langevin_with_noise_drawn_twice(p.score, x, **steps),
        museum.distance_of_the_reference(x, p, torch.cdist, generator=generator()),
        museum.effective_fraction_in_batches(p.log_prob(p.sample((32,), generator=generator()))),
        museum.langevin_with_seeds_a_step_apart(p.score, x, step_size=0.1, n_steps=2, seed=0),
        samplers.scaled_network_langevin(network, 5, n_steps=2, generator=generator(), progress=False).samples,
    ]
    assert {one.device for one in found} == {CUDA}


def test_a_network_there_is_drawn(here):
    network, p = ScoreMLP(8).to("cuda"), P()
    axes = [
        plotting.score_field(network, (-4, 4, -4, 4), n=4),
        plotting.score_field(network, (-4, 4, -4, 4), n=4, density=p),
        plotting.error_heat_map(network, (-4, 4, -4, 4), n=4, density=p),
        plotting.density_map(p, (-4, 4, -4, 4), n=4),
        plotting.sample_histogram(p.sample((9,), generator=generator()), (-8, 8, -8, 8), n=4),
        plotting.cloud(p.sample((9,), generator=generator()), (-8, 8, -8, 8), density=p),
        plotting.heat_map(p.log_prob(p.sample((3, 3), generator=generator())), (-8, 8, -8, 8)),
    ]
    for ax in axes:
        ax.figure.canvas.draw()
    plt.close("all")


@pytest.mark.parametrize("of_a_network", ["at", "score_at", "a noise prediction"])
def test_a_score_that_is_made_of_a_network_is_drawn_and_recorded(here, of_a_network):
    conditional, plain = NoiseConditionalMLP(8).to("cuda"), ScoreMLP(8).to("cuda")
    score = {
        "at": lambda: at(conditional, 0.5),
        "score_at": lambda: score_at(VP(), conditional, 0.5),
        "a noise prediction": lambda: NoisePrediction(0.5).score(plain),
    }[of_a_network]()
    plotting.score_field(score, (-4, 4, -4, 4), n=4).figure.canvas.draw()
    plt.close("all")
    samplers.langevin(score, P().sample((9,), generator=generator()), step_size=0.1, generator=generator(), **N)
    assert here.recorded == 1


# ------------------------------------------------------------------------------------------------------- benchmarks


@pytest.fixture
def small_hardware(monkeypatch):
    """What a card can do at best is found by work that takes the CPU minutes: here by next to none."""
    for name in ("_ROWS", "_EXPONENTIALS", "_NUMBERS", "_BYTES"):
        monkeypatch.setattr(hardware_limit, name, 8)
    monkeypatch.setattr(hardware_limit, "find_spec", lambda name: None)  # rates in registers are measured by kernels
    monkeypatch.setattr(gpu_training, "_REPLAYS", 2)
    monkeypatch.setattr(gpu_figures, "in_a_fresh_process", lambda code, *options: "")  # figures: see above


@pytest.mark.nightly
@pytest.mark.parametrize("part", gpu.PARTS)
@pytest.mark.filterwarnings("ignore:.*the chains have hardly moved:RuntimeWarning")
def test_every_row_of_the_benchmark_is_measured_there(here, small_hardware, part):
    rows = [row for measurement in gpu.PARTS[part](0.0005, "cuda") for row in measured(measurement)]
    assert [row.failed for row in rows if row.failed] == []
    skipped = [row.skipped for row in rows if getattr(row, "skipped", "")]
    assert all("not installed" in why for why in skipped)  # of the peers
    assert (here.recorded > 0) == (part in {"gpu-chains", "gpu-training"})


def test_chains_along_a_network_are_recorded_in_the_benchmark(here):
    network, x = annealed.a_trained_network(2, "cuda"), gpu_networks.starts(9, "cuda")
    for run, n_steps in ((gpu_networks.annealed, 6 * len(annealed.SIGMAS)), (gpu_networks.at_the_last_level, 6)):
        before = here.recorded
        run(network, x, n_steps)
        assert here.recorded > before


# ------------------------------------------------------------------------------------------ where no device is named


def test_nothing_goes_to_a_card_by_itself(here):
    g = torch.Generator().manual_seed(0)
    p = two_modes()
    network = fit(ScoreMLP(8, generator=g), Sliced(), p, n_steps=6, generator=g, progress=False).network
    chains = samplers.langevin(network, p.sample((9,), generator=g), step_size=0.1, generator=g, **N)
    assert chains.samples.device == CPU and next(network.parameters()).device == CPU
    assert here.recorded == 0


@pytest.mark.parametrize("path", sorted(LESSONS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_lesson_names_no_device(path):
    """So it runs on the CPU, wherever it is opened, and its numbers are those that it was written with."""
    cells = json.loads(path.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert not re.search(r"device|cuda|\bmps\b", code)
