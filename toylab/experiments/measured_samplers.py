"""One measurement of 25 modes, and every sampler that knows its posterior by the score of the prior alone."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal.warn import ToylabWarning
from toylab.densities import GaussianMixture, grid
from toylab.guidance import MeasuredScore, dps, pigdm, tmpd
from toylab.samplers import replacement, reverse_sde, smc
from toylab.schedules import karras
from toylab.score import NoiseConditionalScore
from toylab.sde import VE

A, Y, NOISE = (0.6, 0.8), 4.8, 1.0  # y = A x + noise z
SDE = VE(0.05, 100.0)

REPLACEMENT, SMC = "replacement", "SMC"


def prior() -> GaussianMixture:
    """25 modes of unit variance, 8 apart."""
    return grid(5, spacing=8.0, std=1.0)


def data_std() -> float:
    """Of ``prior`` along an axis."""
    p = prior()
    return math.sqrt(float((p.covariances[:, 0, 0] + p.means[:, 0].square()) @ p.weights))


def times(n_steps: int) -> Tensor:
    """Times at which sigma runs down the grid of Karras et al."""
    found = SDE.time_of(karras(SDE.sigma_max, SDE.sigma_min, n_steps + 1).double())
    found[0], found[-1] = 1.0, 0.0
    return found


@dataclass(frozen=True)
class Method:
    """A way to sample the posterior.

    Attributes:
        run: called with the score of the prior, a start, measurements, the number of steps, how many particles make a
            population, for what has such, and a generator, it gives the points at the end.
        bias: what it takes for true that is not, and what comes of it.
    """

    run: Callable[[NoiseConditionalScore, Tensor, Tensor, int, int, torch.Generator], Tensor]
    bias: str

    def points(
        self, score: NoiseConditionalScore, n: int, y: Tensor, n_steps: int, population: int, g: torch.Generator
    ) -> Tensor:
        """Where n chains end, shape [n, 2]; that some go astray in few steps is measured, and no warning."""
        start = SDE.prior.to(g.device).sample((n,), generator=g)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ToylabWarning)
            return self.run(score, start, y, n_steps, population, g)


def reverse_to(score: NoiseConditionalScore, x: Tensor, n_steps: int, g: torch.Generator) -> Tensor:
    """Where the reverse SDE with this score ends."""
    return reverse_sde(SDE, score, x, times(n_steps), generator=g, progress=False).samples


def _guided(guidance: Callable[..., MeasuredScore]) -> Callable[..., Tensor]:
    def run(score: NoiseConditionalScore, x: Tensor, y: Tensor, n_steps: int, _: int, g: torch.Generator) -> Tensor:
        return reverse_to(guidance(score, A, y, NOISE), x, n_steps, g)

    return run


def _replacement(
    score: NoiseConditionalScore, x: Tensor, y: Tensor, n_steps: int, _: int, g: torch.Generator
) -> Tensor:
    return replacement(SDE, score, x, times(n_steps), A, y, NOISE, generator=g, progress=False).samples


def _smc(
    score: NoiseConditionalScore, x: Tensor, y: Tensor, n_steps: int, population: int, g: torch.Generator
) -> Tensor:
    found = smc(SDE, tmpd(score, A, y, NOISE), x, times(n_steps), n_populations=len(x) // population, generator=g,
                progress=False)  # fmt: skip
    return found.chains.samples


METHODS = {
    "DPS": Method(_guided(dps), "x₀ is known, at its mean: the likelihood is too sharp, and modes come out too narrow"),
    "ΠGDM": Method(
        _guided(lambda *args: pigdm(*args, data_std=data_std())),
        "x₀ is as uncertain as data without modes would be: the weights of the modes are too even",
    ),
    "TMPD": Method(_guided(tmpd), "several modes are taken for one wide one: their weights are too even"),
    REPLACEMENT: Method(
        _replacement, "the noise of y is drawn anew at each step: what was not measured hears of y too weakly"
    ),
    SMC: Method(_smc, "none but that of finitely many particles"),
}
"""By name."""
