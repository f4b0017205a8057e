"""A ladder of noise levels, and annealed Langevin down it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.metrics import Extent, ModeWeightTrace, mode_weight_trace
from toylab.samplers import Chains, annealed_langevin, uniform_start
from toylab.schedules import geometric

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
    density: GaussianMixture, ladder: Ladder, n_chains: int, extent: Extent, generator: torch.Generator
) -> tuple[Chains, ModeWeightTrace]:
    """Annealed Langevin down the ladder from a uniform start, and the mode weights after each level.

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
    return chains, mode_weight_trace(chains, density)


def variance_in_modes(x: Tensor, density: GaussianMixture) -> float:
    """Mean square distance per axis of points [n, 2] from the mean of their own mode."""
    x = x.double()
    return float((x - density.means[density.posterior(x).argmax(-1)]).square().mean())
