"""Annealed Langevin with a trained network beside the plain loop of the reference."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.measurement import Measurement
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


def rows(share: float) -> Iterator[Measurement[Row]]:
    """1,280 chains, 10 levels, 100 steps per level, one network on both sides."""
    n_steps = scaled_count(N_STEPS, share)
    work = f"annealed Langevin, a network, {N_CHAINS:,} × 10 × {n_steps}"
    row = Row(work, "the reference's loop", 1 / 2, allowed=weights_apart(N_CHAINS, N_CHAINS))
    alone = Row(f"{work}: its products of matrices alone", "the reference's loop", 1 / 2)

    def measure() -> Iterator[Row]:
        p, g = two_modes(), torch.Generator().manual_seed(0)
        network = a_trained_network(scaled_count(1000, share), "cpu").requires_grad_()  # as an optimiser leaves it
        x = 16 * torch.rand(N_CHAINS, 2, generator=g) - 8
        found = {}

        def ours() -> None:
            own = torch.Generator().manual_seed(1)
            chains = annealed_langevin(
                network, x, SIGMAS, step_size=STEP_SIZE, n_steps=n_steps, generator=own, progress=False
            )
            found["ours"] = chains.samples

        def theirs() -> None:
            found["theirs"] = plain_loop(network, x, SIGMAS, STEP_SIZE, n_steps, torch.Generator().manual_seed(1))

        def products() -> None:
            """The products of matrices of all those evaluations, and nothing else."""
            weights, inputs = [layer.weight.mT for layer in network.layers], [x.new_ones(N_CHAINS, 3)]
            inputs += [x.new_ones(N_CHAINS, w.shape[1]) for w in weights[:-1]]
            for _ in range(len(SIGMAS) * n_steps):
                for points, weight in zip(inputs, weights, strict=True):
                    points @ weight

        own, loop, least = time_in_turns(ours, theirs, products, repeats=scaled_count(5, share, least=2))
        weights = [mode_weights(found[side], p)[1].value for side in ("ours", "theirs")]
        reached, error = "weight of the upper mode {:.3f} and {:.3f}".format(*weights), abs(weights[0] - weights[1])
        yield replace(row, ours=own, theirs=loop, reached=reached, error=error)
        yield replace(alone, ours=least, theirs=loop, reached="no sample")

    yield Measurement((row, alone), measure)


def a_trained_network(n_steps: int, device: torch.device | str) -> NoiseConditionalMLP:
    """The score of two modes at all levels, learned."""
    g = torch.Generator(device).manual_seed(0)
    objective = NoiseConditional(SIGMAS.to(device), antithetic=True)
    start = NoiseConditionalMLP(generator=torch.Generator().manual_seed(0))
    return fit(start, objective, two_modes(), n_steps=n_steps, device=device, generator=g, progress=False).network


def weights_apart(n: int, m: int) -> float:
    """How far the weights of the upper mode, .8, in n and m independent samples may be apart: 5.2 standard errors."""
    return 5.2 * math.sqrt(0.8 * 0.2 * (1 / n + 1 / m))


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
