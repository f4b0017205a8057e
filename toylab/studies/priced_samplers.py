"""Every sampler as a function of what it may spend, with step sizes by one rule for all densities.

**Chains** start from normal points of the middle and the standard deviation of the density. MALA's step is the one at
which it accepts 0.574 of its proposals from the density itself; HMC and parallel tempering take the same, Langevin a
quarter of it. Random-walk Metropolis takes eps = 2.38^2 / 2 std^2, the best for a normal law (Roberts, Gelman & Gilks
1997). The **samplers with noise levels** follow VE from 20 to 0.01 standard deviations; **flow matching** goes from
N(0, I) along the straight path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import nan
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from toylab._internal.random import normal
from toylab.densities import Density
from toylab.experiments.budgeted_samplers import FLOWS, NOISY, BudgetedSampler
from toylab.networks import NoiseConditionalMLP, VelocityMLP, scale_of
from toylab.objectives import FlowMatching, LogUniform, NoiseConditional, Objective
from toylab.paths import Linear, VelocityField
from toylab.samplers import (
    Chains,
    euler_step,
    flow,
    flow_adaptive,
    heun_step,
    hmc,
    langevin,
    mala,
    mala_warm_up,
    metropolis,
    parallel_tempering,
    probability_flow_adaptive,
    rk4_step,
)
from toylab.score import NoiseConditionalScore, at
from toylab.sde import VE
from toylab.training import fit

Network = TypeVar("Network", bound=nn.Module)

N_POINTS = 500
EVALUATIONS = (16, 64, 256)
TOLERANCES = (1e-1, 1e-3)
N_LEAPFROG = 5
TEMPERATURES = (1.0, 4.0, 16.0, 64.0)
PATH = Linear()
LAST_TIME = 0.999  # of flow matching: at 1 the velocity towards points and curves is infinite
WIDTH, BATCH_SIZE, N_TRAINING_STEPS = 64, 256, 2000


@dataclass(frozen=True)
class Setting:
    """What a sampler is given: a density, its scale, and two fields that are exact or learned.

    Attributes:
        density: p.
        middle: of its points, as ``networks.scale_of`` finds it.
        std: of its points along an axis, likewise.
        score: s(x, sigma).
        clean_score: s(x), the score of the clean law, learned at VE's least level.
        velocity: v(x, t), that of flow matching.
        step_size: MALA's; nan where the clean law has no density.
        generator: of the points to start from and of the noise.
    """

    density: Density
    middle: tuple[float, float]
    std: float
    score: NoiseConditionalScore
    clean_score: Callable[[Tensor], Tensor]
    velocity: VelocityField
    step_size: float
    generator: torch.Generator


def sde_of(std: float) -> VE:
    """Variance exploding, from 0.01 to 20 standard deviations of the data."""
    return VE(0.01 * std, 20 * std)


def setting_of(density: Density, *, has_density: bool, learned: bool, generator: torch.Generator) -> Setting:
    """The scale of a density and its fields: its own, or two networks that are trained on it here.

    Args:
        density: p.
        has_density: whether the clean law has one.
        learned: whether the fields are networks.
        generator: draws the points, the weights and the batches.
    """
    middle, std = scale_of(density.sample((10_000,), generator=generator))
    step_size = nan
    if has_density:
        x = density.sample((N_POINTS,), generator=generator)
        step_size = mala_warm_up(
            density.log_prob, density.score, x, step_size=std**2, generator=generator
        ).step_size  # fmt: skip
    if not learned:
        return Setting(
            density, middle, std, density.score, density.score, lambda x, t: PATH.velocity(density, x, t), step_size,
            generator,
        )  # fmt: skip
    sde = sde_of(std)
    score = _trained(
        NoiseConditionalMLP(WIDTH, gain=3.0, generator=generator).for_data(density),
        NoiseConditional(LogUniform(sde.sigma_min, sde.sigma_max), antithetic=True), density, generator,
    )  # fmt: skip
    flow_network = VelocityMLP(WIDTH, generator=generator).for_data(density)
    velocity = _trained(flow_network, FlowMatching(PATH), density, generator)
    return Setting(density, middle, std, score, at(score, sde.sigma_min), velocity, step_size, generator)


def _trained(network: Network, objective: Objective[Network], density: Density, generator: torch.Generator) -> Network:
    def loss(field: Network, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return objective(field, x, generator=generator)  # without the offset, which may take longer than all steps

    return fit(
        network, loss, density, n_steps=N_TRAINING_STEPS, batch_size=BATCH_SIZE, learning_rate=3e-3, average=0.995,
        generator=generator, progress=False,
    ).network  # fmt: skip


class Needs(Enum):
    """What a sampler asks of the law."""

    SCORE = "the score of the clean law"
    LOG_PROB = "log p of the clean law"
    LEVELS = "the score at every noise level, or the velocity at every time"


@dataclass(frozen=True)
class PricedSampler:
    """A sampler, run at several prices.

    Attributes:
        run: called with the setting, and evaluations to be spent at most or a tolerance.
        needs: what it asks of the law.
        at: the evaluations, or the tolerances.
    """

    run: Callable[[Setting, Any], Chains]
    needs: Needs
    at: tuple[float, ...] = EVALUATIONS

    @property
    def is_adaptive(self) -> bool:
        """Whether it is told a tolerance, and chooses its evaluations itself."""
        return self.at == TOLERANCES


def _start(of: Setting) -> Tensor:
    """Normal points of the middle and the width of the density; those where it is 0 are drawn again."""
    z = normal((20 * N_POINTS, 2), dtype=torch.float32, device=torch.device("cpu"), generator=of.generator)
    x = torch.tensor(of.middle, device="cpu") + of.std * z
    return x[of.density.log_prob(x).isfinite()][:N_POINTS]


def _langevin(of: Setting, n: int) -> Chains:
    return langevin(
        of.clean_score, _start(of), step_size=of.step_size / 4, n_steps=n, generator=of.generator, progress=False
    )  # fmt: skip


def _mala(of: Setting, n: int) -> Chains:
    p = of.density
    return mala(
        p.log_prob, p.score, _start(of), step_size=of.step_size, n_steps=n - 1, generator=of.generator, progress=False
    )  # fmt: skip


def _hmc(of: Setting, n: int) -> Chains:
    p = of.density
    return hmc(
        p.log_prob, p.score, _start(of), step_size=of.step_size, n_leapfrog=N_LEAPFROG,
        n_steps=(n - 1) // N_LEAPFROG, generator=of.generator, progress=False,
    )  # fmt: skip


def _metropolis(of: Setting, n: int) -> Chains:
    return metropolis(
        of.density.log_prob, _start(of), step_size=2.38**2 / 2 * of.std**2, n_steps=n - 1, generator=of.generator,
        progress=False,
    )  # fmt: skip


def _tempering(of: Setting, n: int) -> Chains:
    p = of.density
    return parallel_tempering(
        p.log_prob, p.score, _start(of), torch.tensor(TEMPERATURES, device="cpu"), step_size=of.step_size,
        n_steps=n // len(TEMPERATURES) - 1, generator=of.generator, progress=False,
    )  # fmt: skip


def _along_levels(sampler: BudgetedSampler) -> PricedSampler:
    def run(of: Setting, n: int) -> Chains:
        sde = sde_of(of.std)
        x = sde.prior.sample((N_POINTS,), generator=of.generator)
        return sampler.run(sde, of.score, x, n // sampler.price, of.generator)

    return PricedSampler(run, Needs.LEVELS)


def _probability_flow_adaptive(of: Setting, rtol: float) -> Chains:
    sde = sde_of(of.std)
    x = sde.prior.sample((N_POINTS,), generator=of.generator)
    return probability_flow_adaptive(
        sde, of.score, x, 1.0, 0.0, rtol=rtol, atol=rtol * sde.sigma_min, progress=False
    )  # fmt: skip


def _flow_matching(step: Callable[..., Tensor], price: int) -> PricedSampler:
    def run(of: Setting, n: int) -> Chains:
        x = PATH.start(torch.empty(N_POINTS, 2, device="cpu"), of.generator)
        return flow(
            of.velocity, x, torch.linspace(0, LAST_TIME, n // price + 1, device="cpu"), step=step, progress=False
        )

    return PricedSampler(run, Needs.LEVELS)


def _flow_matching_adaptive(of: Setting, rtol: float) -> Chains:
    x = PATH.start(torch.empty(N_POINTS, 2, device="cpu"), of.generator)
    return flow_adaptive(
        of.velocity, x, 0.0, LAST_TIME, rtol=rtol, atol=rtol * 0.01 * of.std, progress=False
    )  # fmt: skip


SAMPLERS: dict[str, PricedSampler] = {
    "Langevin": PricedSampler(_langevin, Needs.SCORE),
    "MALA": PricedSampler(_mala, Needs.LOG_PROB),
    "HMC": PricedSampler(_hmc, Needs.LOG_PROB),
    "random-walk Metropolis": PricedSampler(_metropolis, Needs.LOG_PROB),
    "parallel tempering": PricedSampler(_tempering, Needs.LOG_PROB),
    **{name: _along_levels(sampler) for name, sampler in {**NOISY, **FLOWS}.items()},
    "flow, adaptive": PricedSampler(_probability_flow_adaptive, Needs.LEVELS, TOLERANCES),
    "flow matching, Euler": _flow_matching(euler_step, 1),
    "flow matching, Heun": _flow_matching(heun_step, 2),
    "flow matching, RK4": _flow_matching(rk4_step, 4),
    "flow matching, adaptive": PricedSampler(_flow_matching_adaptive, Needs.LEVELS, TOLERANCES),
}
"""By name."""
