"""Whose fault is a wrong sample? Langevin and annealed Langevin with four scores, and their error in parts."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Points, two_modes
from toylab.experiments.result import Result
from toylab.experiments.setting import BOX, Numbers, generator
from toylab.metrics import ErrorDecomposition, ErrorTerms, Estimate, explain
from toylab.metrics.explain import Sampler
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.objectives import Denoising, NoiseConditional
from toylab.samplers import Chains, annealed_langevin, langevin, uniform_start
from toylab.schedules import geometric
from toylab.score import NoiseConditionalScore, Score, at
from toylab.training import fit

SIGMA = 0.5

SAMPLERS = {"langevin": "Langevin", "annealed": "annealed Langevin"}
QUANTITIES = {"weight": "weight of the upper mode", "variance": "variance in a mode"}


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_chains: int = 5000,
    n_data: int = 200,
    n_training_steps: int = 2000,
    n_steps: int = 1000,
    n_networks: int = 3,
) -> Result:
    """Sample ``two_modes`` with exact, kernel and learned scores, and split what is wrong with the result.

    Langevin takes steps of 0.5 on the density noised by 0.5; annealed Langevin goes down to that level from 20. The
    kernel estimate has 200 points and a width of 0.5, so that it too estimates the noised density.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_chains: chains per run.
        n_data: points of the kernel estimate.
        n_training_steps: optimiser steps for each network.
        n_steps: steps of Langevin; annealed Langevin takes as many, over its 20 levels.
        n_networks: networks of each kind, each with its own error terms, so that their spread is seen.
    """
    density, sigmas = two_modes().to(device), geometric(20.0, SIGMA, 20)
    gen = generator(seed, 0, device)
    train = partial(
        fit, n_steps=n_training_steps, batch_size=256, n_seeds=n_networks, generator=gen, device=device,
        progress=progress,
    )  # fmt: skip
    kernel = Points(density.sample((n_data,), generator=generator(seed, 3, device)))
    if progress:
        tqdm.write("blame: networks")
    networks = train(
        ScoreMLP(activation=functional.silu, generator=gen), Denoising(SIGMA, antithetic=True), density
    ).networks
    conditional = train(
        NoiseConditionalMLP(generator=gen), NoiseConditional(sigmas, antithetic=True), density, learning_rate=3e-3
    ).networks

    def plain(score: Score, x: Tensor, gen: torch.Generator) -> Chains:
        return langevin(score, x, step_size=0.5, n_steps=n_steps, generator=gen, progress=progress)

    def annealed(score: NoiseConditionalScore, x: Tensor, gen: torch.Generator) -> Chains:
        return annealed_langevin(
            score, x, sigmas, step_size=0.05, n_steps=max(1, n_steps // len(sigmas)), generator=gen, progress=progress
        )

    def weight(x: Tensor) -> Tensor:
        return density.posterior(x)[..., 1]

    def variance(x: Tensor) -> Tensor:
        """The mean square distance along an axis, each mode by its posterior probability."""
        square = (x[..., None, :] - density.means.to(x)).square().sum(-1) / 2
        return (density.posterior(x) * square).sum(-1)

    plain_once, annealed_once = _once(plain), _once(annealed)
    noised, at_kernel = at(density.score, SIGMA), at(kernel.score, SIGMA)
    start = uniform_start(n_chains, BOX, device=device, generator=generator(seed, 1, device))
    numbers: Numbers = {}
    quantities: dict[str, Callable[[Tensor], Tensor]] = {"weight": weight, "variance": variance}
    for name, quantity in quantities.items():
        decompositions = {
            "langevin": explain(
                density, {"kernel": at_kernel, **_by_name(networks)}, plain_once, start,
                exact=noised, quantity=quantity, sigma=SIGMA, clean=density.score, seed=seed,
            ),
            "annealed": explain(
                density, {"kernel": kernel.score, **_by_name(conditional)}, annealed_once, start,
                exact=density.score, quantity=quantity, sigma=SIGMA, seed=seed,
            ),
        }  # fmt: skip
        for sampler, decomposition in decompositions.items():
            numbers[f"{sampler}, {name}"] = asdict(decomposition)
    return Result("blame", numbers, {})


def _once(sampler: Sampler) -> Sampler:
    """The same sampler, but run once per score: both quantities are measured on the same chains."""
    done: dict[Any, Chains] = {}

    def sample(score: Any, x: Tensor, gen: torch.Generator) -> Chains:  # noqa: ANN401
        if score not in done:
            done[score] = sampler(score, x, gen)
        return done[score]

    return sample


def _by_name(networks: tuple[nn.Module, ...]) -> dict[str, nn.Module]:
    return {f"learned {k}": network for k, network in enumerate(networks, start=1)}


def decomposition_of(numbers: Numbers) -> ErrorDecomposition:
    """An ``ErrorDecomposition`` from the numbers of one panel."""
    terms = {}
    for name, found in numbers["terms"].items():
        parts = (Estimate(**found[part]) for part in ("discretisation", "estimation", "total"))
        terms[name] = ErrorTerms(found["noising"], *parts)
    return ErrorDecomposition(numbers["truth"], numbers["sigma"], terms)


def draw(result: Result) -> Figure:
    """One panel per sampler and quantity."""
    with plotting.look():
        figure, axes = plt.subplots(2, 2, figsize=(17, 10), layout="constrained", width_ratios=(6, 5), sharey="row")
        for row, (quantity, label) in zip(axes, QUANTITIES.items(), strict=True):
            limits = []
            for ax, (sampler, name) in zip(row, SAMPLERS.items(), strict=True):
                found = decomposition_of(result.numbers[f"{sampler}, {quantity}"])
                limits.append(plotting.error_decomposition(found, ax=ax).get_ylim())
                ax.set_title(f"{name}: {label}", fontweight="bold")
                labels = {
                    "clean": "exact,\nclean",
                    "exact": f"exact,\nσ = {found.sigma:g}",
                    "kernel": "kernel\nestimate",
                }
                ax.set_xticks(
                    range(len(found.terms)),
                    labels=[labels.get(key, key.replace(" ", "\n")) for key in found.terms],
                )
            row[0].set_ylabel(f"error (truth {found.truth:.3g})")
            row[1].set_ylabel("")
            row[0].set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return figure
