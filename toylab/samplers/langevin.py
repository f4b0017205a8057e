"""Langevin dynamics: a step along the score, and noise."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.samplers import fused
from toylab.samplers.chains import Chains
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.samplers.step_arguments import check_arguments
from toylab.samplers.step_sizes import StepSize, step_sizes
from toylab.score import Score


@check_arguments
def langevin_step(
    score: Score,
    x: Tensor,
    step_size: float | Tensor,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x' = x + eps/2 s(x) + sqrt(T eps) z.  Where a text writes x + tau s + sqrt(2 tau) z: eps = 2 tau, T = 1.

    eps is a number, or a tensor that broadcasts to x.
    """
    if isinstance(step_size, Tensor):
        drifted = torch.addcmul(x, score(x), 0.5 * step_size)
        return drifted.addcmul_(normal_like(x, generator), (temperature * step_size).sqrt())
    drifted = torch.add(x, score(x), alpha=0.5 * step_size)  # one pass over memory per term
    return drifted.add_(normal_like(x, generator), alpha=(temperature * step_size) ** 0.5)


@torch.no_grad()
def langevin(
    score: Score,
    x: Tensor,
    *,
    step_size: StepSize,
    n_steps: int,
    temperature: float = 1.0,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Unadjusted Langevin dynamics, n_steps of x' = x + eps/2 s(x) + sqrt(T eps) z.

    Its law is not quite p^(1/T): on N(m, v) it is N(m, T v / (1 - eps / (4 v))), and it explodes once eps >= 4 v.
    Without noise, T = 0, it is gradient ascent on log p.
    Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 4.

    Args:
        score: s, exact or learned.
        x: where the chains start, shape [n, 2].
        step_size: eps > 0, or a schedule: a function of the step 0, 1, .. n_steps - 1.
        n_steps: number of steps.
        temperature: T >= 0, the law sampled being p^(1/T).
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains. Some may have diverged; a warning says so, and why. Ctrl-C returns what is done so far.
    """
    validate.score("score", score)
    validate.finite_cloud("x", x)
    temperature = validate.temperature(temperature)
    sizes = step_sizes(step_size, n_steps)
    counted, recorder = CountingScore(score), Recorder(x, n_steps, keep_every)

    def step(x: Tensor, eps: float) -> Tensor:
        return langevin_step(counted, x, eps, temperature=temperature, generator=generator)

    carried = fused.langevin(
        counted, x, sizes, recorder, temperature=temperature, generator=generator, progress=progress
    )  # fmt: skip
    if carried is None:
        carried = follow(
            "langevin", [Leg(step, sizes)], x, recorder,
            uses=[score], generator=generator, counter=counted, progress=progress,
        )  # fmt: skip
    return recorder.chains(carried, counted.n, score=counted)
