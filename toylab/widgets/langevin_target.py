"""What the playground samples of a law: the law itself, or where it has no density, the law with a little noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.densities import Density
from toylab.metrics import Extent
from toylab.samplers import uniform_start
from toylab.widgets.known import numbers_of, refusal
from toylab.widgets.regions import Regions, regions_of

LITTLE_NOISE = 0.1  # for points and curves, which have no density of their own
NUMBERS = 1e8  # of a step of all chains, from which on it is told: at 0.3 to 4 ns each, some tenths of a second
_PROBE = 50  # points at which they are counted


@dataclass(frozen=True, eq=False)
class Target:
    """A law that can be sampled.

    Attributes:
        density: with a density and a score at sigma = 0.
        regions: whose shares are counted.
        words: what is to be known about it, "" for nothing.
        not_noised: why its noised laws are not known, "" if they are.
    """

    density: Density
    regions: Regions
    words: str
    not_noised: str


def target_of(density: Density, n_chains: int) -> Target:
    """The law, or with ``LITTLE_NOISE`` where it has no density; ``words`` say where n_chains make a step slowly."""
    words = []
    if refusal(density, 0.0):
        density = density.noised(LITTLE_NOISE)
        words.append(f"the law has no density of its own: it is sampled with noise σ = {LITTLE_NOISE}")
    x = density.sample((_PROBE,), generator=torch.Generator().manual_seed(0))
    density.score(x[:1])  # what is computed once for all points
    # counted, not timed, so that a busy machine says nothing else
    numbers = numbers_of(lambda: density.score(x)) * n_chains / _PROBE
    if numbers > NUMBERS:
        millions = f"{numbers / 1e6:,.0f} million"
        words.append(f"a step of {n_chains} chains computes {millions} numbers, which is slow: give fewer by n_chains=")
    return Target(density, regions_of(density), "; ".join(words), refusal(density, 1.0))


def start_of(target: Target, n: int, extent: Extent, generator: torch.Generator) -> Tensor:
    """n points uniform on the square; where p = 0, draws of the law in their place, for no chain can start there."""
    x = uniform_start(n, extent, generator=generator)
    lost = ~target.density.log_prob(x).isfinite()
    if lost.any():
        x[lost] = target.density.sample((int(lost.sum()),), generator=generator).to(x)
    return x
