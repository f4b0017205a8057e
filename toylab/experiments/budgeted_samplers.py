"""Every sampler of a variance-exploding SDE as a function of how many evaluations of the score it may spend."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.samplers import (
    Chains,
    ancestral,
    annealed_langevin,
    ddim,
    euler_step,
    heun_step,
    predictor_corrector,
    probability_flow,
    reverse_sde,
    reverse_sde_heun,
    rk4_step,
)
from toylab.schedules import geometric, karras
from toylab.score import NoiseConditionalScore
from toylab.sde import VE


@dataclass(frozen=True)
class BudgetedSampler:
    """A sampler with its price.

    Attributes:
        run: called with SDE, score, start, the number of steps and a generator.
        price: evaluations of the score per step.
    """

    run: Callable[[VE, NoiseConditionalScore, Tensor, int, torch.Generator], Chains]
    price: int


def _times(sde: VE, n_steps: int) -> Tensor:
    """Times at which sigma runs down the grid of Karras et al."""
    levels = karras(sde.sigma_max, sde.sigma_min, n_steps + 1).double()
    times = sde.time_of(levels)
    times[0], times[-1] = 1.0, 0.0
    return times


def _annealed(sde: VE, s: NoiseConditionalScore, x: Tensor, n: int, g: torch.Generator) -> Chains:
    """About five steps of Langevin at each level."""
    sigmas = geometric(sde.sigma_max, sde.sigma_min, max(2, n // 5))
    return annealed_langevin(
        s, x, sigmas, step_size=0.3 * sde.sigma_min**2, n_steps=n // len(sigmas), generator=g, progress=False
    )


def _flow(step: Callable[..., Tensor], price: int) -> BudgetedSampler:
    return BudgetedSampler(
        lambda e, s, x, n, g: probability_flow(e, s, x, _times(e, n), step=step, progress=False), price
    )


FLOWS = {
    "flow, Euler": _flow(euler_step, 1),
    "DDIM": BudgetedSampler(lambda e, s, x, n, g: ddim(e, s, x, _times(e, n), progress=False), 1),
    "flow, Heun": _flow(heun_step, 2),
    "flow, RK4": _flow(rk4_step, 4),
}
"""The samplers without noise."""

NOISY = {
    "reverse SDE, Euler": BudgetedSampler(
        lambda e, s, x, n, g: reverse_sde(e, s, x, _times(e, n), generator=g, progress=False), 1
    ),
    "reverse SDE, Heun": BudgetedSampler(
        lambda e, s, x, n, g: reverse_sde_heun(e, s, x, _times(e, n), generator=g, progress=False), 2
    ),
    "predictor-corrector": BudgetedSampler(
        lambda e, s, x, n, g: predictor_corrector(e, s, x, _times(e, n), generator=g, progress=False), 2
    ),
    "ancestral": BudgetedSampler(
        lambda e, s, x, n, g: ancestral(e, s, x, _times(e, n), generator=g, progress=False), 1
    ),
    "annealed Langevin": BudgetedSampler(_annealed, 1),
}
"""The samplers with noise."""
