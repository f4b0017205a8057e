"""Contrastive divergence: maximum likelihood with chains in place of the model's own law."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from toylab._internal import user_functions, validate
from toylab.objectives.inputs import check_energy
from toylab.objectives.objective import takes_generator
from toylab.score import EnergyScore

Step = Callable[..., Tensor]  # step(score, x, generator=g): points [n, 2] one step on


@dataclass(frozen=True)
class ContrastiveDivergence:
    """E(x) - E(y), with y = x after k steps of a sampler of exp(-E), held fixed: CD-k.

    The gradient of -log p is the mean of grad_theta E over the data less that over the model; here chains that start at
    the data stand for the model. So short a chain stays near its start, which makes the gradient too small; it vanishes
    where k steps do not change the mean of grad_theta E over the data, and need not be the gradient of any function.
    For E = a x^2/2, data of variance v and Langevin steps of size eps its mean is (per axis)

        1/2 (1 - rho^(2k)) (v - v_eps),    rho = 1 - eps a/2,    v_eps = 1 / (a (1 - eps a/4)),

    instead of 1/2 (v - 1/a): at a small step a share k eps a of it, and zero where the law of the steps, not exp(-E),
    has the variance of the data. With a step that keeps exp(-E), as MALA's does, it vanishes at the truth. The loss has
    no offset: its value says nothing of how good the model is.
    Source: Hinton 2002 (Neural Computation 14, 1771), without the term that goes through the chain.

    Args:
        step: one step of a sampler, called as step(score, x, generator=g), such as
            ``functools.partial(langevin_step, step_size=0.1)``; a function may use ``score.energy``, too.
        n_steps: k.
    """

    step: Step
    n_steps: int = 1

    def __post_init__(self) -> None:
        vars(self).update(n_steps=_check(self.step, self.n_steps))

    def __call__(self, score: EnergyScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]; its gradient is that of CD, its value no divergence."""
        energy = check_energy(score, x, generator)
        return energy(x) - energy(_follow(self.step, self.n_steps, score, x, generator))


@dataclass(frozen=True)
class PersistentContrastiveDivergence:
    """E(x) - mean of E over the chains, which go on from where the last call left them, k steps on, held fixed: PCD.

    The chains are a buffer ``chains`` [m, 2] of the network (``EnergyMLP.with_chains``), as the running means of
    BatchNorm are: ``fit`` begins with those of the network given, trains several networks with chains of their own,
    and returns them as they are at the end. Every call moves them. While theta moves slower than the chains mix, they
    follow exp(-E), and the gradient is that of maximum likelihood, up to the bias of the sampler; it is not where modes
    are further apart than chains can go. Source: Tieleman 2008.

    Args:
        step: as in ``ContrastiveDivergence``.
        n_steps: k, steps between two gradients.
    """

    step: Step
    n_steps: int = 1

    def __post_init__(self) -> None:
        vars(self).update(n_steps=_check(self.step, self.n_steps))

    def __call__(self, score: EnergyScore, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]; ``score.chains`` are moved."""
        energy = check_energy(score, x, generator)
        chains = getattr(score, "chains", None)
        if not isinstance(chains, Tensor):
            raise TypeError(
                f"score is a {type(score).__name__} without chains: give network.with_chains(start), with points "
                "[m, 2] from which they set out, such as samplers.uniform_start(256, extent)."
            )
        y = _follow(self.step, self.n_steps, score, chains, generator)
        with torch.no_grad():
            chains.copy_(y)
        return energy(x) - energy(y).mean(-1, keepdim=True)


def _check(step: Step, n_steps: int) -> int:
    validate.function("step", step, "functools.partial(samplers.langevin_step, step_size=0.1)")
    if not takes_generator(step):
        raise TypeError(
            "step cannot be called as step(score, x, generator=g): give one that fixes what else it takes, such as "
            "functools.partial(samplers.langevin_step, step_size=0.1)."
        )
    return validate.count("n_steps", n_steps)


@torch.no_grad()
def _follow(step: Step, n_steps: int, score: EnergyScore, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Where chains that start at x are after so many steps; nothing is differentiated on the way."""
    one = partial(step, score, generator=generator)
    for _ in range(n_steps):
        x = user_functions.scores_of("step", user_functions.called("step", one, x), x)
    return x
