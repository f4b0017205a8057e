"""The public API as calls that work: every function, class and method with one valid value per argument.

What is called is read off the modules, so that a new name is in it at once; its arguments find their values by their
names. An argument that none of the tables knows is an error here: give it a value.
"""

import functools
import inspect
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from toylab import (
    densities,
    discrete,
    guidance,
    metrics,
    museum,
    networks,
    objectives,
    paths,
    plotting,
    samplers,
    schedules,
    score,
    sde,
    study,
    testing,
    training,
    widgets,
)
from toylab.densities import bandwidth

EXTENT = (-4.0, 4.0, -4.0, 4.0)
P = densities.two_modes()
CLASSES = densities.Mixture([0.4, 0.6], [P, densities.ring()])
VP = sde.VP()
MACHINE = discrete.BoltzmannMachine.from_vector(torch.tensor([0.5, -0.3, 0.2, 0.1, 0.0, -0.4]))
GRID = discrete.GridLaw([[0.1, 0.2, 0.1], [0.3, 0.1, 0.2]])


def points(n: int = 6, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Points of two modes, in torch's default dtype."""
    return P.sample((n,), generator=torch.Generator().manual_seed(0)).to(dtype or torch.get_default_dtype())


def spins() -> torch.Tensor:
    """States of three spins."""
    return discrete.all_spins(3)[:6]


def cells() -> torch.Tensor:
    """Of a grid with two rows and three columns."""
    return GRID.cells


def generator() -> torch.Generator:
    """A generator of its own for each call."""
    return torch.Generator().manual_seed(1)


def energy(x: torch.Tensor) -> torch.Tensor:
    """Of N(0, I)."""
    return 0.5 * x.square().sum(-1)


def bump(t: torch.Tensor) -> torch.Tensor:
    """A latent noise that is gone at both ends."""
    return t * (1 - t)


def network() -> networks.ScoreMLP:
    """A small one."""
    return networks.ScoreMLP(8, 1, generator=generator())


def levels_network() -> networks.NoiseConditionalMLP:
    """A small one of x and sigma, with classes."""
    return networks.NoiseConditionalMLP(8, 1, n_classes=2, generator=generator())


def energy_network() -> networks.EnergyMLP:
    """A small one, with chains."""
    return networks.EnergyMLP(8, 1, generator=generator()).with_chains(points())


def measured() -> guidance.MeasuredScore:
    """Two modes, of which one coordinate was seen."""
    return guidance.tmpd(P.score, torch.tensor([1.0, 0.0]), torch.tensor([4.0]), 0.5)


def chains(keep_every: int | None = None) -> samplers.Chains:
    """Of MALA, which has an acceptance."""
    return samplers.mala(
        P.log_prob, P.score, points(), step_size=0.1, n_steps=20, keep_every=keep_every, generator=generator(),
        progress=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A function and valid arguments for it, each made anew by calling it."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Callable[[], Any]]
    optional: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return self.name


# One valid value per name of an argument
VALUES: dict[str, Callable[[], Any]] = {
    "x": points,
    "y": lambda: points(7) + 0.1,
    "v": lambda: torch.ones(6, 2),
    "sigma": lambda: 0.5,
    "sigmas": lambda: torch.tensor([2.0, 1.0, 0.5]),
    "score": lambda: P.score,
    "target": lambda: P.score,
    "log_prob": lambda: P.log_prob,
    "density": lambda: P,
    "p": lambda: P,
    "q": lambda: densities.ring(),
    "sde": lambda: VP,
    "times": lambda: schedules.uniform(1.0, 0.1, 4),
    "t": lambda: 0.5,
    "u": lambda: 0.4,
    "step_size": lambda: 0.1,
    "n_steps": lambda: 3,
    "n_leapfrog": lambda: 2,
    "n_corrections": lambda: 1,
    "keep_every": lambda: 1,
    "generator": generator,
    "progress": lambda: False,
    "temperature": lambda: 1.0,
    "temperatures": lambda: torch.tensor([1.0, 2.0]),
    "n": lambda: 6,
    "std": lambda: 0.7,
    "extent": lambda: EXTENT,
    "dtype": lambda: torch.float64,
    "device": lambda: "cpu",
    "factor": lambda: -1.5,
    "shift": lambda: (1.0, -2.0),
    "angle": lambda: 0.3,
    "sample_shape": lambda: (3,),
    "weights": lambda: [0.4, 0.6],
    "means": lambda: [[0.0, 1.0], [2.0, 0.0]],
    "covariances": lambda: [[[1.0, 0.2], [0.2, 0.5]], [[0.3, 0.0], [0.0, 0.4]]],
    "locations": lambda: [[0.0, 1.0], [2.0, 0.0]],
    "scales": lambda: [[[1.0, 0.2], [0.2, 0.5]], [[0.3, 0.0], [0.0, 0.4]]],
    "dfs": lambda: [3.0, 5.0],
    "densities": lambda: [P, densities.Circle()],
    "points": lambda: [[0.0, 1.0], [2.0, 0.0]],
    "scale": lambda: 1.5,
    "width": lambda: 0.5,
    "bend": lambda: 0.5,
    "radius": lambda: 1.5,
    "center": lambda: (0.5, 0.0),
    "radii": lambda: [1.0, 2.0],
    "start": lambda: 0.5,
    "end": lambda: 3.0,
    "rate": lambda: 0.25,
    "low": lambda: -1.0,
    "high": lambda: 1.0,
    "energy": lambda: energy,
    "n_cells": lambda: 8,
    "distribution": lambda: torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)),
    "label": lambda: 1,
    "n_side": lambda: 2,
    "spacing": lambda: 2.0,
    "n_arms": lambda: 3,
    "radial_std": lambda: 0.3,
    "tangential_std": lambda: 0.1,
    "n_modes": lambda: 4,
    "turns": lambda: 1.5,
    "inner": lambda: 0.8,
    "outer": lambda: 4.0,
    "data": lambda: points(12),
    "first": lambda: 5.0,
    "last": lambda: 0.1,
    "rho": lambda: 7.0,
    "sigma_min": lambda: 0.01,
    "sigma_max": lambda: 20.0,
    "beta_min": lambda: 0.1,
    "beta_max": lambda: 20.0,
    "t_min": lambda: 1e-3,
    "level": lambda: 0.5,
    "depth": lambda: 1,
    "activation": lambda: torch.nn.functional.silu,
    "gain": lambda: 2.0,
    "data_std": lambda: 4.0,
    "sigma_unit": lambda: 2.0,
    "data_mean": lambda: (0.0, 0.0),
    "antithetic": lambda: True,
    "control_variate": lambda: True,
    "error_bar": lambda: True,
    "variance_reduced": lambda: False,
    "step": lambda: 0.01,
    "n_slices": lambda: 2,
    "projection": lambda: objectives.rademacher,
    "weighting": lambda: torch.square,
    "mean": lambda: -1.0,
    "like": points,
    "objective": lambda: objectives.Sliced(),
    "batch_size": lambda: 4,
    "learning_rate": lambda: 1e-3,
    "average": lambda: 0.9,
    "n_seeds": lambda: 2,
    "held_out": lambda: lambda network: 0.0,
    "report_every": lambda: 2,
    "callback": lambda: lambda step, loss, network: None,
    "state": lambda: True,
    "n_batches": lambda: 2,
    "network": network,
    "warm_up": lambda: 0.1,
    "decay": lambda: 0.9,
    "snr": lambda: 0.1,
    "h": lambda: 0.5,
    "rtol": lambda: 1e-3,
    "atol": lambda: 1e-3,
    "max_evaluations": lambda: 500,
    "trace": lambda: samplers.exact_trace,
    "n_projections": lambda: 2,
    "denoise": lambda: True,
    "target_acceptance": lambda: 0.6,
    "preconditioner": lambda: torch.tensor([[1.0, 0.2], [0.2, 0.5]]),
    "k": lambda: 1,
    "alpha": lambda: 0.1,
    "eta": lambda: 0.05,
    "beta": lambda: torch.tensor([1.0, 0.5]),
    "log_p": lambda: P.log_prob(points()),
    "here": lambda: samplers.mala_init(P.log_prob, P.score, points()),
    "chains": chains,
    "samples": lambda: points(40),
    "f": lambda: lambda x: x[..., 0],
    "mass": lambda: 0.9,
    "n_permutations": lambda: 19,
    "n_directions": lambda: 8,
    "path": lambda: chains(1).path,
    "max_lag": lambda: 3,
    "values": lambda: torch.arange(5.0),
    "bandwidth": lambda: 1.0,
    "score_variance": lambda: 1.0,
    "weight": lambda: 1.0,
    "noise_prediction": lambda: lambda x: -x,
    "network_of": lambda: lambda s: s,
    "seed": lambda: 0,
    "n_most": lambda: 400,
    "ax": lambda: plt.subplots()[1],
    "cmap": lambda: plotting.DENSITY_MAP,
    "vmax": lambda: 1.5,
    "longest": lambda: 2.0,
    "color": lambda: plotting.EXACT,
    "error": lambda: P.score,
    "history": lambda: fitted().history,
    "decomposition": lambda: decomposed(),
    "measure": lambda: lambda network: 0.5,
    "kde": lambda: gaussian_kde(points(9, torch.float64).numpy().T),
    "fitted": lambda: SimpleNamespace(**P.to_sklearn()),
    "kind": lambda: "loss",
    "machine": lambda: MACHINE,
    "truth": lambda: MACHINE,
    "field": lambda: torch.tensor([0.2, -0.1]),
    "n_sweeps": lambda: 2,
    "loss": lambda: discrete.pseudo_likelihood,
    "gradients": lambda: discrete.contrastive_divergence_gradients,
    "family": lambda: discrete.BoltzmannMachine.from_vector,
    "theta": lambda: MACHINE.to_vector(),
    "rows": lambda: 2,
    "columns": lambda: 3,
    "probabilities": lambda: GRID.probabilities,
    "law": lambda: GRID,
    "logits": lambda: GRID.probabilities.log(),
    "ratio": lambda: 2,
    "sigma_0": lambda: 0.5,
    "velocity": lambda: networks.VelocityMLP(8, 1, generator=generator()),
    "x0": lambda: points() + 1.0,
    "x1": points,
    "z": points,
    "source": lambda: P,
    "coupling": lambda: paths.optimal_transport,
    "noise": points,
    "clean": points,
    "box": lambda: (-9.0, float("inf"), -9.0, 9.0),
    "power": lambda: 2.0,
    "n_classes": lambda: 2,
    "labels": lambda: CLASSES,
    "dropout": lambda: 0.1,
    **{name: lambda: P.score for name in ("conditional", "unconditional", "good", "bad", "guided", "plain")},
    "log_probability": lambda: guidance.class_log_probability(P, 1),
    "out": lambda: studied()[0],
    "table": lambda: studied()[1].copy(),
    "over": lambda: "seed",
    "combination": lambda: {"seed": 1},
}

OF_SPINS = (
    "BoltzmannMachine.energy", "BoltzmannMachine.statistics", "BoltzmannMachine.log_prob", "BoltzmannMachine.log_odds",
    "BoltzmannMachine.conditional", "gibbs_sweep", "maximum_likelihood", "pseudo_likelihood", "ratio_matching",
    "concrete_score_matching", "contrastive_divergence",
)  # fmt: skip
OF_CELLS = ("GridLaw.log_prob", "GridLaw.concrete_score", "GridScoreMatching.__call__")

PATHS_OF = ("draw", "clean_to_score", "noise_to_score", "score_to_clean", "score_to_noise", "score_to_velocity",
            "velocity_to_score")  # fmt: skip

MEASURED = {"y": lambda: [0.5], "noise": lambda: 0.5, "A": lambda: [[0.6, 0.8]]}

LEVELS = {"score": lambda: P.score}  # of x and sigma: the same one, since a density's score is both

BOX = (-12.0, 12.0, -12.0, 12.0)  # where two modes have their mass
OF_CHAINS = ("ContrastiveDivergence", "PersistentContrastiveDivergence")
langevin = functools.partial(samplers.langevin_step, step_size=0.1)

# Values of one function that differ from those above
OWN: dict[str, dict[str, Callable[[], Any]]] = {
    **{f"discrete.{name}": {"x": spins} for name in OF_SPINS},
    **{f"discrete.{name}": {"x": cells, "score": lambda: GRID.concrete_score} for name in OF_CELLS},
    "discrete.BoltzmannMachine": {"coupling": lambda: torch.tensor([[0.0, 0.5], [0.5, 0.0]])},
    "discrete.two_spin": {"coupling": lambda: 0.5},
    "discrete.ising_grid": {"coupling": lambda: 0.5, "field": lambda: 0.1},
    "discrete.gibbs_expectation": {"values": lambda: torch.eye(8)},
    "study.run": {
        "cell": lambda: drawn_once, "grid": lambda: {"seed": range(2)}, "out": lambda: Path(tempfile.mkdtemp()),
        "executor": lambda: one_thread(), "workers": lambda: 1, "retries": lambda: 0, "retry_failed": lambda: False,
    },
    "densities.Segment": {"start": lambda: (-1.0, 0.0), "end": lambda: (1.0, 0.5)},
    "densities.Laplace": {"scales": lambda: (0.5, 2.0)},
    "objectives.BoundedImplicit": {"weight": lambda: objectives.WallDistance(EXTENT)},
    "schedules.uniform": {"first": lambda: 1.0},
    **{f"paths.{name}": {"path": paths.Linear, "score": points, "velocity": points} for name in PATHS_OF},
    "score.value_and_vjp": {"v": lambda: torch.ones(2, 6, 2)},
    "guidance.on_interval": {"low": lambda: 0.5},
    **{f"guidance.{name}": MEASURED for name in ("dps", "pigdm", "tmpd")},
    "samplers.replacement": MEASURED | {"n_resamplings": lambda: 2},
    "samplers.smc": {"guided": measured, "n_populations": lambda: 2},
    "paths.GaussianPath": {"alpha": lambda: torch.sin, "sigma": lambda: torch.cos},
    "paths.Interpolant": {"path": paths.Linear, "gamma": lambda: bump},
    "objectives.FlowMatching": {"path": paths.Linear},
    "objectives.ClassConditional": {"objective": lambda: objectives.NoiseConditional(torch.tensor([1.0, 0.5]))},
    "objectives.ClassConditional.__call__": {"score": lambda: levels_network()},
    "objectives.ClassConditional.offset": {"density": lambda: CLASSES},
    "objectives.LogUniform": {"low": lambda: 0.1},
    "objectives.ElboMixture": {"levels": lambda: objectives.LogUniform(0.1, 1.0)},
    "networks.ScoreMLP.with_tangents": {"v": lambda: torch.ones(2, 6, 2)},
    "metrics.flow_kl_divergence": {  # by fewer nodes, and fewer steps
        "density": lambda: densities.isotropic([[0.0, 0.0]], 1.0), "rtol": lambda: 0.1, "atol": lambda: 0.1,
    },
    "samplers.mode_start": {"n": lambda: 4},
    "samplers.mala_warm_up": {"target": lambda: 0.6},
    "samplers.mala_step": {"factor": lambda: torch.eye(2)},
    "samplers.scaled_network_langevin": {"network": lambda: network()},
    "samplers.posterior_score": {
        "prior": lambda: lambda x: -x, "likelihood": lambda: lambda x, y: y.sum(1) - x, "n_data": lambda: 9,
    },
    "samplers.falling_steps": {"gamma": lambda: 0.55},
    "samplers.stochastic_gradient_langevin": {"score": lambda: samplers.kernel_score(0.5)},
    "networks.ScoreMLP": {"width": lambda: 8},
    "networks.EnergyMLP": {"width": lambda: 8},
    "networks.NoiseConditionalMLP": {"width": lambda: 8},
    "networks.NoiseConditionalEnergyMLP": {"width": lambda: 8},
    "networks.VelocityMLP": {"width": lambda: 8},
    "objectives.NoiseContrastive": {"noise": lambda: P},
    "samplers.reflected_langevin": {"low": lambda: (-20.0, -20.0), "high": lambda: (20.0, 20.0)},
    "samplers.reflected_langevin_step": {"low": lambda: (-20.0, -20.0), "high": lambda: (20.0, 20.0)},
    "samplers.forward_sde": {"times": lambda: torch.tensor([0.1, 0.5, 1.0])},
    "samplers.probability_flow_adaptive": {"first": lambda: 1.0},
    "samplers.forward_sde_step": {"u": lambda: 0.6},
    "samplers.euler_step": {"v": lambda: samplers.flow_velocity(VP, P.score)},
    "samplers.heun_step": {"v": lambda: samplers.flow_velocity(VP, P.score)},
    "samplers.rk4_step": {"v": lambda: samplers.flow_velocity(VP, P.score)},
    "samplers.probability_flow": {"step": lambda: samplers.heun_step},
    "samplers.flow": {"step": lambda: samplers.heun_step},
    "samplers.flow_adaptive": {"first": lambda: 1.0},
    "samplers.swap_step": {
        "here": lambda: samplers.mala_init(P.log_prob, P.score, points(12).view(2, 6, 2)),
        "first": lambda: 0,
    },
    "samplers.parallel_tempering": {"keep_every": lambda: 1},
    "samplers.predictor_corrector": {"n_steps": lambda: 1},
    "metrics.explain": {
        "scores": lambda: {"halved": lambda x: 0.5 * P.score(x)},
        "sampler": lambda: lambda score, x, generator: samplers.langevin(
            score, x, step_size=0.1, n_steps=2, generator=generator, progress=False
        ),
        "start": points,
        "exact": lambda: P.score,
        "quantity": lambda: lambda x: x[..., 0],
        "clean": lambda: P.score,
        "sigma": lambda: 0.0,
    },
    "metrics.annealed_langevin_law": {
        "density": lambda: P, "extent": lambda: (-12.0, 12.0, -12.0, 12.0), "step_size": lambda: 0.2,
    },
    "metrics.langevin_law": {
        "density": lambda: P, "extent": lambda: (-8.0, 8.0, -8.0, 8.0), "step_size": lambda: 0.5,
    },
    "metrics.fisher_divergence_by_region": {"n": lambda: 50, "extent": lambda: (-9.0, 9.0, -9.0, 9.0)},
    "metrics.mode_weight_trace": {"chains": lambda: chains(1)},
    "metrics.sliced_wasserstein": {"x": lambda: points(12), "y": lambda: points(14) + 0.1},
    "metrics.two_sample_floor": {
        "n": lambda: 12, "n_repetitions": lambda: 2, "distance": lambda: lambda x, y: (x - y).square().mean(),
    },
    "metrics.wasserstein": {"x": lambda: points(12), "y": lambda: points(12) + 0.1},
    "metrics.convergence": {"path": lambda: chains(1).path},
    "testing.check_discrete_loss": {"n": lambda: 200},
    "testing.check_objective": {"n": lambda: 200, "sigma": lambda: 0.0, "path": lambda: None},
    "testing.check_sampler": {
        "sampler": lambda: lambda p, x, g: langevin(p.score, x, step_size=0.1, n_steps=1, generator=g),
        "claim": lambda: testing.Langevin(0.1), "n": lambda: 1000,
    },
    "training.one_cycle": {"t": lambda: 0.3},
    "training.fit": {"rate": lambda: training.cosine, "resume": lambda: None},
    "training.Fit.save": {"path": lambda: Path(tempfile.gettempdir()) / "toylab-fuzz-fit.pt"},
    "training.save": {"path": lambda: Path(tempfile.gettempdir()) / "toylab-fuzz.pt"},
    "training.load": {"path": lambda: saved()},
    "widgets.animate": {
        "figure": Figure, "draw": lambda: lambda frame: None, "frames": lambda: 3, "interval": lambda: 50,
    },
    "widgets.diffusion_film": {"film": lambda: film()},
    "widgets.film": {
        "widget": lambda: film(), "control": lambda: "", "values": lambda: (), "interval": lambda: 50,
    },
    "widgets.record_film": {"scores": lambda: {"exact": (P.score, P)}, "n_frames": lambda: 3, "n_paths": lambda: 4},
    **{f"widgets.{name}": {"densities": lambda: {"two modes": P}, "n_chains": lambda: 20} for name in (
        "langevin_playground", "noise_ladder", "score_explorer",
    )},
    "widgets.live_editor": {"address": lambda: "#sigma=1"},
    **{f"widgets.{name}": {"densities": lambda: {"two modes": P}, "address": lambda: "#seed=1"} for name in (
        "live_film", "live_playground", "live_trainer",
    )},
    "widgets.training_theatre": {"densities": lambda: {"two modes": P}, "width": lambda: 8, "n_steps": lambda: 10},
    "plotting.curves": {
        "x": lambda: [1.0, 2.0], "measured": lambda: {"found": [1.0, metrics.Estimate(2.0, 0.1)]},
        "exact": lambda: {"known": [1.0, 2.0]}, "truth": lambda: 1.5, "log": lambda: "xy",
        "colors": lambda: [plotting.EXACT],
    },
    "plotting.heat_map": {
        "values": lambda: torch.ones(3, 3), "vmin": lambda: -1.0, "vmax": lambda: 1.0, "label": lambda: "log p",
    },
    "plotting.loss_curve": {"label": lambda: "sliced"},
    **{f"plotting.{name}": {"n": lambda: 12} for name in ("score_field", "density_map", "error_heat_map")},
    "plotting.sample_histogram": {"n": lambda: 12, "vmax": lambda: 0.1},
    "objectives.NoiseConditional": {"sigmas": lambda: torch.tensor([2.0, 0.5])},
    **{f"objectives.{name}": {"step": lambda: langevin} for name in OF_CHAINS},
    **{f"objectives.{name}.__call__": {"score": lambda: energy_network()} for name in (
        "MaximumLikelihood", "NoiseContrastive", *OF_CHAINS,
    )},
    **{f"training.{name}": {
        "network": lambda: energy_network(), "objective": lambda: objectives.MaximumLikelihood(BOX, 4),
        "extent": lambda: BOX, "n_cells": lambda: 24, "n_batches": lambda: 4,
    } for name in ("log_likelihood_gradient", "gradient_bias")},
    "networks.NoiseConditionalMLP.with_tangents": {"sigma": lambda: 0.5},
}  # fmt: skip

# Records that the library makes and users read; and protocols
MADE_BY_THE_LIBRARY = {
    "densities.Density", "densities.Example", "densities.Affine", "densities.FromEnergy", "densities.FromTorch",
    "densities.Conditioned", "densities.Noised", "densities.Truncated",
    "guidance.MeasuredScore", "guidance.Twist",
    "objectives.ContinuousLevels", "objectives.HasOffset", "objectives.Objective",
    "paths.Draw", "paths.NoisePath", "paths.Path", "paths.VelocityField",
    "samplers.Chains", "samplers.Likelihood", "samplers.Particles", "samplers.State", "samplers.WarmUp",
    "score.EnergyScore", "score.LogProb",
    "score.NoiseConditionalScore", "score.Score", "sde.SDE", "testing.Finding", "testing.Report", "training.Fit",
    "training.GradientBias", "training.History", "training.Spread", "training.TrainingDiverged", "metrics.AnnealedLaw",
    "metrics.Autocorrelation", "metrics.Convergence", "metrics.ErrorDecomposition", "metrics.ErrorTerms",
    "metrics.Estimate", "metrics.FisherByRegion", "metrics.LikelihoodBound", "metrics.ModeWeightTrace",
    "metrics.TwoSample", "plotting.look", "widgets.Animation", "widgets.Film", "widgets.TrainingTheatre",
    "widgets.Family",  # made by the user, with parameters of any name: see ``calls``
}  # fmt: skip


# Methods that a base class has only to say that this law has no such thing
WITHOUT_POSTERIOR = (
    "Circle", "ConcentricCircles", "Segment", "Square", "Checkerboard", "TwoMoons", "Spiral", "Banana", "Funnel",
    "StudentTMixture", "Laplace", "Noised", "Affine", "Truncated", "FromEnergy", "FromTorch", "Conditioned",
)  # fmt: skip
# and those whose mass in a box is not to be had: without a density, or with one of kinks, jumps or no known extent
NOT_TO_BE_CUT = (
    "Points", "Circle", "ConcentricCircles", "Segment", "Square", "Checkerboard", "TwoMoons", "Spiral", "Funnel",
    "StudentTMixture", "Laplace", "Mixture", "Affine", "FromTorch", "Conditioned",
)  # fmt: skip
NOT_FOR_THESE = {
    # attributes that hold a function of the user's
    *(f"objectives.{name}.{attribute}" for name, attribute in (
        ("Sliced", "projection"), ("FiniteDifferenceSliced", "projection"), ("NoiseConditional", "weighting"),
        ("NoiseConditionalExplicit", "weighting"), ("Explicit", "target"), ("NoiseConditionalExplicit", "target"),
        ("FlowMatching", "coupling"),
        ("BoundedImplicit", "weight"),
    )),
    *(f"objectives.{name}.step" for name in OF_CHAINS),
    "densities.GaussianMixture.to_scipy", "densities.FromTorch.bounds", "densities.FromTorch.length_scale",
    *(f"densities.{name}.{of}" for name in WITHOUT_POSTERIOR for of in ("posterior", "log_posterior")),
    *(f"densities.{name}.given_class" for name in WITHOUT_POSTERIOR if name != "Truncated"),
    "densities.FromTorch.given", "densities.FromTorch.log_evidence",
    *(f"densities.{name}.truncated" for name in NOT_TO_BE_CUT),
}  # fmt: skip


def drawn_once(seed: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """A cell of a study."""
    return {"x": torch.randn((), generator=generator), "y": torch.randn(2, generator=generator)}


@functools.cache
def one_thread() -> ThreadPoolExecutor:
    """The same for all studies: processes would take seconds to start."""
    return ThreadPoolExecutor(1)


@functools.cache
def studied() -> tuple[Path, pd.DataFrame]:
    """A short study: its folder and its table."""
    out = Path(tempfile.mkdtemp())
    return out, study.run(drawn_once, {"seed": range(3)}, out=out, executor=one_thread(), progress=False)


@functools.cache
def film() -> widgets.Film:
    """A short one."""
    return widgets.record_film(VP, {"exact": (P.score, P)}, n_frames=3, n_paths=4, generator=generator())


def saved() -> Path:
    """A file with a network."""
    path = Path(tempfile.gettempdir()) / "toylab-fuzz.pt"
    training.save(network(), path)
    return path


def fitted() -> training.Fit[networks.ScoreMLP]:
    """A short training."""
    loss = objectives.Explicit(P.score)
    return training.fit(network(), loss, P, n_steps=4, report_every=2, generator=generator(), progress=False)


def decomposed() -> metrics.ErrorDecomposition:
    """Of one step of Langevin's."""
    made = {name: make() for name, make in OWN["metrics.explain"].items()}
    return metrics.explain(P, **made)


CLEAN_ONLY = ("densities.FromEnergy.", "densities.FromTorch.")


def instances() -> dict[str, Any]:
    """Objects whose methods are called."""
    p = densities
    return {
        "densities.GaussianMixture": P,
        "densities.Points": p.Points([[0.0, 1.0], [2.0, 0.0]]),
        "densities.Circle": p.Circle(),
        "densities.ConcentricCircles": p.ConcentricCircles(),
        "densities.Segment": p.Segment(),
        "densities.Square": p.Square(),
        "densities.Checkerboard": p.Checkerboard(),
        "densities.TwoMoons": p.TwoMoons(),
        "densities.Spiral": p.Spiral(),
        "densities.Banana": p.Banana(),
        "densities.Funnel": p.Funnel(),
        "densities.StudentTMixture": p.StudentTMixture([1.0], [[0.0, 1.0]], [[[1.0, 0.2], [0.2, 0.5]]], [3.0]),
        "densities.Laplace": p.Laplace(),
        "densities.Mixture": p.Mixture([0.5, 0.5], [P, p.Circle()]),
        "densities.Noised": p.Circle().noised(0.3),
        "densities.Affine": p.TwoMoons().rotated(0.3),
        "densities.Truncated": P.truncated((-9.0, float("inf"), -9.0, 9.0)),
        "densities.Conditioned": p.Circle().given([0.6, 0.8], 0.5, 0.4),
        "densities.FromEnergy": p.from_energy(energy, (-9.0, 9.0, -9.0, 9.0), n_cells=64),
        "densities.FromTorch": p.from_torch(torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))),
        "samplers.Chains": chains(1),
        "training.Fit": fitted(),
        "training.History": fitted().history,
        "guidance.MeasuredScore": measured(),
        "sde.VE": sde.VE(),
        "sde.VP": VP,
        "sde.SubVP": sde.SubVP(),
        "paths.Linear": paths.Linear(),
        "paths.GaussianPath": paths.cosine(),
        "paths.Interpolant": paths.Interpolant(paths.Linear(), bump),
        "networks.VelocityMLP": networks.VelocityMLP(8, 1, generator=generator()),
        "networks.ScoreMLP": network(),
        "networks.EnergyMLP": energy_network(),
        "networks.NoiseConditionalMLP": levels_network(),
        "networks.NoiseConditionalEnergyMLP": networks.NoiseConditionalEnergyMLP(
            8, 1, n_classes=2, generator=generator()
        ),
        "objectives.Explicit": objectives.Explicit(P.score),
        "objectives.Implicit": objectives.Implicit(),
        "objectives.BoundedImplicit": objectives.BoundedImplicit(objectives.WallDistance((-9.0, 9.0, -9.0, 9.0))),
        "objectives.WallDistance": objectives.WallDistance((-9.0, 9.0, -9.0, 9.0)),
        "objectives.Sliced": objectives.Sliced(),
        "objectives.FiniteDifferenceSliced": objectives.FiniteDifferenceSliced(),
        "objectives.Denoising": objectives.Denoising(0.5, antithetic=True),
        "objectives.NoisePrediction": objectives.NoisePrediction(0.5),
        "objectives.NoiseConditional": objectives.NoiseConditional(torch.tensor([1.0, 0.5])),
        "objectives.ClassConditional": objectives.ClassConditional(
            objectives.NoiseConditional(torch.tensor([1.0, 0.5])), CLASSES
        ),
        "objectives.NoiseConditionalExplicit": objectives.NoiseConditionalExplicit(P.score, torch.tensor([1.0, 0.5])),
        "objectives.MaximumLikelihood": objectives.MaximumLikelihood(BOX, 4),
        "objectives.ContrastiveDivergence": objectives.ContrastiveDivergence(langevin),
        "objectives.PersistentContrastiveDivergence": objectives.PersistentContrastiveDivergence(langevin),
        "objectives.NoiseContrastive": objectives.NoiseContrastive(P),
        "objectives.MultiscaleDenoising": objectives.MultiscaleDenoising(torch.tensor([1.0, 0.5]), 0.5),
        "objectives.FlowMatching": objectives.FlowMatching(paths.Linear()),
        "objectives.LogUniform": objectives.LogUniform(0.1, 1.0),
        "objectives.LogNormal": objectives.LogNormal(),
        "objectives.UniformTimes": objectives.UniformTimes(VP),
        "objectives.LikelihoodWeighting": objectives.LikelihoodWeighting(VP),
        "objectives.ElboMixture": objectives.ElboMixture(torch.square, objectives.LogUniform(0.1, 1.0)),
        "discrete.BoltzmannMachine": MACHINE,
        "discrete.GridLaw": GRID,
        "discrete.GridScoreMatching": discrete.GridScoreMatching(2, 3),
    }


def calls() -> list[Call]:
    """Every public function, class and method."""
    found = [
        _call(f"{module.__name__.removeprefix('toylab.')}.{name}", getattr(module, name))
        for module in (densities, discrete, bandwidth, score, guidance, schedules, sde, paths, networks, objectives,
                       samplers, metrics, testing, training, plotting, widgets)
        for name in _public(module)
    ]  # fmt: skip
    found.append(_call("museum.of_kind", museum.of_kind))
    family = {"make": lambda: densities.ring, "radius": lambda: (0.5, 6.0)}
    found.append(Call("widgets.Family", lambda make, radius: widgets.Family(make, radius=radius), family))
    found += [_call(f"study.{name}", getattr(study, name)) for name in _public(study)]
    found += [_call(f"densities.GaussianMixture.{name}", getattr(densities.GaussianMixture, name)) for name in FROM]
    for made in (discrete.BoltzmannMachine.from_vector, discrete.GridLaw.from_logits):
        found.append(_call(f"discrete.{made.__qualname__}", made))
    for of, instance in instances().items():
        for name, method in inspect.getmembers(type(instance), callable):
            public = name == "__call__" or not name.startswith(("_", "from_"))
            if _is_ours(method) and public and f"{of}.{name}" not in NOT_FOR_THESE and name != "to":
                found.append(_call(f"{of}.{name}", getattr(instance, name)))
        if isinstance(instance, densities.Density):  # whose arguments are those of Tensor.to
            found.append(Call(f"{of}.to(dtype)", _to(instance, "dtype"), {"dtype": VALUES["dtype"]}))
            found.append(Call(f"{of}.to(device)", _to(instance, "device"), {"device": VALUES["device"]}))
    return found


FROM = ("from_torch", "from_sklearn", "from_scipy")


def _to(law: densities.Density, name: str) -> Callable[..., Any]:
    return lambda **given: law.to(given[name])


def _drawn(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of ``plotting``; the figures are closed."""

    @functools.wraps(function)
    def drawn(**arguments: Any) -> Any:
        try:
            axes = function(**arguments)
            axes.figure.canvas.draw()  # much of matplotlib waits for this
            return axes
        finally:
            plt.close("all")

    return drawn


def _is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith("toylab")


def _public(module: Any) -> list[str]:
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    return [
        name
        for name in names
        if callable(value := getattr(module, name))
        and getattr(value, "__module__", "").startswith(module.__name__)
        and f"{module.__name__.removeprefix('toylab.')}.{name}" not in MADE_BY_THE_LIBRARY
    ]


def _call(name: str, function: Callable[..., Any]) -> Call:
    function = _drawn(function) if name.startswith("plotting.") else function
    clean = name.startswith(CLEAN_ONLY) and not name.endswith("noised")
    own = {"sigma": lambda: 0.0} if clean else OWN.get(name, {})
    own = MEASURED if name.endswith((".given", ".log_evidence")) else own
    arguments, optional = {}, set()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name not in own and parameter.name not in VALUES:
            raise LookupError(f"{name} takes {parameter.name!r}: give it a valid value in tests/fuzz/calls.py.")
        arguments[parameter.name] = own.get(parameter.name) or VALUES[parameter.name]
        if parameter.default is None:
            optional.add(parameter.name)
    return Call(name, function, arguments, frozenset(optional))
