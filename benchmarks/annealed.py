"""Annealed Langevin with a trained network beside the plain loop of the reference."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.row import Row
from benchmarks.timing import time_in_turns
from toylab.densities import two_modes
from toylab.experiments.setting import scaled_count
from toylab.metrics import mode_weights
from toylab.networks import NoiseConditionalMLP
from toylab.objectives import NoiseConditional
from toylab.samplers import annealed_langevin
from toylab.schedules import geometric
from toylab.training import fit

SIGMAS, STEP_SIZE, N_CHAINS, N_STEPS = geometric(20.0, 1.0, 10), 0.1, 1280, 100


def rows(share: float) -> Iterator[Row]:
    """1,280 chains, 10 levels, 100 steps per level, one network on both sides."""
    p, n_steps = two_modes(), scaled_count(N_STEPS, share)
    g = torch.Generator().manual_seed(0)
    objective = NoiseConditional(SIGMAS, antithetic=True)
    network = fit(
        NoiseConditionalMLP(generator=g), objective, p, n_steps=scaled_count(1000, share), generator=g, progress=False
    )
    network, trained = network.network, network.network.requires_grad_(True)  # as an optimiser leaves it
    x = 16 * torch.rand(N_CHAINS, 2, generator=g) - 8
    found = {}

    def ours() -> None:
        own = torch.Generator().manual_seed(1)
        chains = annealed_langevin(
            network, x, SIGMAS, step_size=STEP_SIZE, n_steps=n_steps, generator=own, progress=False
        )
        found["ours"] = chains.samples

    def theirs() -> None:
        found["theirs"] = plain_loop(trained, x, SIGMAS, STEP_SIZE, n_steps, torch.Generator().manual_seed(1))

    def products() -> None:
        """The products of matrices of all those evaluations, and nothing else."""
        weights, inputs = [layer.weight.mT for layer in network.layers], [x.new_ones(N_CHAINS, 3)]
        inputs += [x.new_ones(N_CHAINS, w.shape[1]) for w in weights[:-1]]
        for _ in range(len(SIGMAS) * n_steps):
            for points, weight in zip(inputs, weights, strict=True):
                points @ weight

    own, loop, alone = time_in_turns(ours, theirs, products, repeats=scaled_count(5, share, least=2))
    weights = [mode_weights(found[side], p)[1].value for side in ("ours", "theirs")]
    reached = "weight of the upper mode {:.3f} and {:.3f}".format(*weights)
    work = f"annealed Langevin, a network, {N_CHAINS:,} × 10 × {n_steps}"
    yield Row(work, "the reference's loop", 1 / 2, own, loop, reached)
    yield Row(f"{work}: its products of matrices alone", "the reference's loop", 1 / 2, alone, loop, "no sample")


def plain_loop(
    network: nn.Module, x: Tensor, sigmas: Tensor, step_size: float, n_steps: int, generator: torch.Generator
) -> Tensor:
    """The loop as it was written in 2019: the score is detached after it was computed with its graph."""
    for sigma in sigmas.tolist():
        alpha = step_size * (sigma / float(sigmas[-1])) ** 2
        for _ in range(n_steps):
            x = x + alpha / 2 * network(x, sigma).detach()
            x = x + torch.randn(x.shape, generator=generator) * alpha**0.5
    return x
