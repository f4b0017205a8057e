"""Flows from eight Gaussians to two moons, compared by a distance whose floor has not been printed."""

import math

import torch
from torch import Tensor

from toylab import metrics
from toylab._internal.random import uniform
from toylab.densities import GaussianMixture, ring
from toylab.experiments.setting import generator, scaled_count
from toylab.metrics import Estimate, mean_of
from toylab.networks import VelocityMLP
from toylab.objectives import FlowMatching
from toylab.papers.paper import Line, Paper
from toylab.paths import Coupling, Linear, independent, optimal_transport
from toylab.samplers import flow, rk4_step
from toylab.training import fit

PUBLISHED = {"independent": Estimate(0.120, 0.045), "optimal transport": Estimate(0.050, 0.040)}
"""Mean and standard deviation over ten runs of what is called the 2-Wasserstein distance."""

N_POINTS = 10_000

_COUPLINGS: dict[str, Coupling] = {"independent": independent, "optimal transport": optimal_transport}
_CPU = torch.device("cpu")


def source() -> GaussianMixture:
    """Eight modes at radius 5. Their code passes sqrt(0.1) where a covariance is asked for: that is the variance."""
    return ring(8, radius=5.0, std=0.1**0.25)


def moons(n: int, generator: torch.Generator, *, evenly: bool) -> Tensor:
    """n points, half on each moon, every one moved by a shift that is the same along both axes; times 3, less 1.

    Args:
        n: how many, an even number.
        generator: source of randomness.
        evenly: whether they lie evenly along the moons, as in the published clouds, or anywhere.
    """
    angle = (
        torch.linspace(0, math.pi, n // 2, device=_CPU).repeat(2)
        if evenly
        else math.pi * uniform((n,), dtype=torch.float32, device=_CPU, generator=generator)
    )
    upper = torch.stack([angle.cos(), angle.sin()], -1)
    x = torch.cat([upper[: n // 2], torch.tensor([1.0, 0.5], device=_CPU) - upper[n // 2 :]])
    return 3 * (x + 0.2 * uniform((n, 1), dtype=torch.float32, device=_CPU, generator=generator)) - 1


def run(*, seed: int = 0, share: float = 1.0, progress: bool = True) -> list[Line]:
    """The least mean squared distance of a matching with a cloud as theirs, for flows of both couplings."""
    n, g = 2 * scaled_count(N_POINTS // 2, share, least=50), generator(seed, 0)

    def distance(x: Tensor) -> float:
        return metrics.wasserstein(x, moons(n, g, evenly=True), error_bar=False).value ** 2

    floor = _mean([distance(moons(n, g, evenly=False)) for _ in range(4)])
    data = moons(200_000, g, evenly=False)
    lines = []
    for stage, (name, published) in enumerate(PUBLISHED.items(), start=1):
        path, g_network = Linear(source()), generator(seed, stage)
        networks = fit(
            VelocityMLP(generator=g_network), FlowMatching(path, coupling=_COUPLINGS[name]), data,
            n_steps=scaled_count(5000, share, least=2), batch_size=256, n_seeds=3, generator=g_network,
            progress=progress,
        ).networks  # fmt: skip
        times = torch.linspace(0, 1, 51, device=_CPU)
        starts = (source().sample((n,), generator=g_network) for _ in networks)
        ends = [
            flow(network, x, times, step=rk4_step, progress=progress).samples
            for network, x in zip(networks, starts, strict=True)
        ]
        ours = _mean([distance(x) for x in ends])
        lines.append(
            Line(
                f"squared W₂ of 10,000 points, {name} coupling",
                f"{published.value:.3f} ± {published.standard_error:.3f} (as W₂)", ours, floor, True,
                f"a squared distance, {_above(published, floor)}",
            )
        )  # fmt: skip
    return lines


def _above(published: Estimate, floor: Estimate) -> str:
    """Where a result with its deviation from run to run lies, in words."""
    n = (published.value - floor.value) / published.standard_error
    return f"{abs(n):.1f} of its own deviations {'above' if n > 0 else 'below'} the floor"


def _mean(values: list[float]) -> Estimate:
    return mean_of(torch.tensor(values, dtype=torch.float64, device="cpu"))


PAPER = Paper(
    "Cheng & Schwing 2025, The Curse of Conditions (arXiv:2503.10636), figure 1 without conditions, adaptive solver, "
    "and its code",
    "10,000 points of the flow matched with 10,000 evenly along the moons; ours: three networks, 5,000 steps of 256",
    run,
)
