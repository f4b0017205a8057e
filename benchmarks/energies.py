"""Energies by maximum likelihood and by what stands for it: bias of the gradient, and what is learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.machine import made_with
from toylab.densities import GaussianMixture, isotropic, two_modes
from toylab.densities.quadrature import expectation
from toylab.experiments.setting import Numbers, generator, scaled_count, spread
from toylab.networks import EnergyMLP
from toylab.objectives import (
    ContrastiveDivergence,
    MaximumLikelihood,
    MultiscaleDenoising,
    NoiseContrastive,
    PersistentContrastiveDivergence,
    Sliced,
)
from toylab.objectives.objective import Objective
from toylab.samplers import langevin_step
from toylab.schedules import geometric
from toylab.testing import MIXTURE
from toylab.training import fit, gradient_bias

WIDTH, BATCH, N_CHAINS = 64, 256, 256
N_STEPS = 1000  # after which the chains follow a network
EXACT = "maximum likelihood"


@dataclass(frozen=True)
class Target:
    """What is learned, and with which settings.

    Attributes:
        density: p.
        extent: the box on which the models are normalised.
        n_cells: of the quadrature in training.
        step_size: of the Langevin steps.
        noise_std: of the round Gaussian of noise-contrastive estimation.
        levels: of multiscale denoising, the last one sigma_0.
    """

    density: GaussianMixture
    extent: tuple[float, float, float, float]
    n_cells: int
    step_size: float
    noise_std: float
    levels: tuple[float, float]

    def objectives(self) -> dict[str, Objective[Any]]:
        """By the names of the table."""
        step = partial(langevin_step, step_size=self.step_size)
        noise = isotropic([self.density.sample((10_000,), generator=generator(0, 7)).mean(0).tolist()], self.noise_std)
        return {
            EXACT: MaximumLikelihood(self.extent, self.n_cells),
            "contrastive divergence, 1 step": ContrastiveDivergence(step),
            "contrastive divergence, 10 steps": ContrastiveDivergence(step, 10),
            "persistent chains, 10 steps": PersistentContrastiveDivergence(step, 10),
            "noise-contrastive, ratio 1": NoiseContrastive(noise),
            "noise-contrastive, ratio 8": NoiseContrastive(noise, 8),
            "sliced score matching": Sliced(),
            "multiscale denoising": MultiscaleDenoising(geometric(*self.levels, 5), self.levels[1]),
        }


TARGETS = {
    "two modes": Target(two_modes(), (-12.0, 12.0, -12.0, 12.0), 16, 0.5, 6.0, (2.0, 0.3)),
    "three Gaussians": Target(MIXTURE, (-8.0, 8.0, -8.0, 8.0), 20, 0.1, 2.0, (0.8, 0.2)),
}
WITHOUT_BIAS = ("sliced score matching", "multiscale denoising")  # whose gradient stands for no likelihood


def run(share: float) -> dict[str, Any]:
    """For each density and objective the bias of its gradient, and the divergence and weights of what it learns.

    The bias is measured at networks that maximum likelihood has trained for a short while. Trained networks are
    measured by KL(p | model), by quadrature, and by the mass of the model in the first mode.
    """
    numbers: dict[str, Any] = {"made with": made_with(share)}
    n_steps, n_networks = scaled_count(400, share, least=4), scaled_count(3, share, least=2)
    for name, target in TARGETS.items():
        start = _train(target, EXACT, scaled_count(100, share, least=2), n_networks)
        numbers[name] = {"true weight": float(target.density.weights[0])}
        for label in target.objectives():
            trained = _train(target, label, n_steps, n_networks)
            numbers[name][label] = {
                "divergence": spread([divergence(network, target) for network in trained]),
                "weight": spread([weight(network, target) for network in trained]),
            }
            if label not in WITHOUT_BIAS:
                numbers[name][label] |= _bias(start, target, label, scaled_count(64, share, least=4))
    return numbers


def _network(target: Target) -> EnergyMLP:
    """A fresh one, with chains that start at draws from the data."""
    start = target.density.sample((N_CHAINS,), generator=generator(0, 2))
    return EnergyMLP(WIDTH, generator=generator(0, 1)).for_data(target.density).with_chains(start)


def _train(target: Target, label: str, n_steps: int, n_networks: int) -> Sequence[EnergyMLP]:
    return fit(
        _network(target), target.objectives()[label], target.density, n_steps=n_steps, batch_size=BATCH,
        n_seeds=n_networks, generator=generator(0, 3), progress=False,
    ).networks  # fmt: skip


def divergence(network: EnergyMLP, target: Target) -> float:
    """KL(p | model), by quadrature; beyond the box, where p has no mass to speak of, by the formula of the model."""
    model = network.density(target.extent, n_cells=64)

    def log_ratio(x: torch.Tensor) -> torch.Tensor:
        return target.density.log_prob(x) + model.energy(x) + model.log_normaliser

    return expectation(log_ratio, target.density)


def weight(network: EnergyMLP, target: Target) -> float:
    """The mass of the model where the first component of the density is the likeliest, by quadrature."""
    mass = 0.0
    for x, p in network.density(target.extent, n_cells=64).nodes():
        mass += float(p[target.density.posterior(x).argmax(-1) == 0].sum())
    return mass


def _bias(networks: Sequence[EnergyMLP], target: Target, label: str, n_batches: int) -> Numbers:
    """Of networks whose constant is that of a normalised density, and whose chains follow them."""
    found = []
    for network in networks:
        with torch.no_grad():
            network.layers[-1].bias += network.density(target.extent, n_cells=64).log_normaliser
            chains, g = network.chains, generator(0, 4)
            for _ in range(N_STEPS):
                chains = langevin_step(network, chains, target.step_size, generator=g)
        found.append(
            gradient_bias(
                network.with_chains(chains), target.objectives()[label], target.density, target.extent, n_cells=64,
                n_batches=n_batches, generator=generator(0, 5),
            )
        )  # fmt: skip
    return {
        "along": spread([one.along for one in found]),
        "along_error": max(one.along_error for one in found),
        "squared": spread([one.squared for one in found]),
        "squared_error": max(one.squared_error for one in found),
    }


def table(numbers: dict[str, Any]) -> str:
    """The tables of the documentation, one for each density."""
    lines: list[str] = []
    for name in TARGETS:
        rows = numbers[name]
        lines += [
            f"**{name}**",
            "",
            f"| objective | KL(p ‖ model) | weight, truly {rows['true weight']:.1f} | along the exact gradient | "
            "squared bias |",
            "|---|---|---|---|---|",
        ]
        for label, row in rows.items():
            if label != "true weight":
                cells = [_said(row, key) for key in ("divergence", "weight", "along", "squared")]
                lines.append(f"| {label} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _said(row: Numbers, key: str) -> str:
    if key not in row:
        return "–"
    if key == "weight":
        return f"{row[key]['mean']:.3f} ± {row[key]['std']:.3f}"
    spread_or_error = max(row[key]["std"], row.get(f"{key}_error", 0.0))
    return f"{row[key]['mean']:.2g} ± {spread_or_error:.1g}"
