"""A ladder of noise levels, and annealed Langevin down it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from toylab.densities import Density
from toylab.metrics import Extent, ModeWeightTrace
from toylab.samplers import Chains, annealed_langevin, uniform_start
from toylab.schedules import geometric
from toylab.widgets.regions import Regions

EXTENT: Extent = (-8.0, 8.0, -8.0, 8.0)


@dataclass(frozen=True)
class Ladder:
    """n levels from ``first`` to ``last``, n_steps per level with alpha_i = rate sigma_i^2; the density by its name."""

    density: str
    n: int
    first: float
    last: float
    n_steps: int = 100
    rate: float = 0.1

    @property
    def sigmas(self) -> Tensor:
        """The levels, shape [n]; if there is only one, the last.

        Raises:
            ValueError: if they do not decrease.
        """
        return torch.tensor([self.last], device="cpu") if self.n == 1 else geometric(self.first, self.last, self.n)


def descend(
    density: Density, regions: Regions, ladder: Ladder, n_chains: int, extent: Extent, generator: torch.Generator
) -> tuple[Chains, ModeWeightTrace]:
    """Annealed Langevin down the ladder from a uniform start, and the share of each part after each level.

    Raises:
        ValueError: if chains diverge.
    """
    start = uniform_start(n_chains, extent, generator=generator)
    chains = annealed_langevin(
        density.score, start, ladder.sigmas, step_size=ladder.rate * ladder.last**2, n_steps=ladder.n_steps,
        keep_every=ladder.n_steps, generator=generator, progress=False,
    )  # fmt: skip
    if chains.diverged.any():
        raise ValueError(
            f"{int(chains.diverged.sum())} of {n_chains} chains diverged, the first at step "
            f"{int(chains.diverged_at[chains.diverged].min())}: take a smaller step size α / σ²."
        )
    return chains, shares_by_level(chains, regions)


def shares_by_level(chains: Chains, regions: Regions) -> ModeWeightTrace:
    """The share of each part at each frame, with its binomial error, and how many chains have changed theirs."""
    part, n = regions.part_of(chains.path.double()), chains.path.shape[1]
    weights = functional.one_hot(part, len(regions.shares)).double().mean(1)
    moved = torch.zeros(len(part), dtype=torch.float64, device=part.device)
    moved[1:] = (part[1:] != part[:-1]).double().mean(1)
    smooth = (n * weights + 1) / (n + 2)  # as metrics.mode_weights: an empty part does not claim to be known exactly
    errors = (smooth * (1 - smooth) / n).sqrt()
    return ModeWeightTrace(torch.as_tensor(chains.labels, device="cpu"), weights, errors, moved)


def variance_in_parts(x: Tensor, regions: Regions) -> float:
    """Mean square distance per axis of points [n, 2] from the mean of their own mode, or from the law's middle."""
    x = x.double()
    return float((x - regions.centres[regions.part_of(x)]).square().mean())
