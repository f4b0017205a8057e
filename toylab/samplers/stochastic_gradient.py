"""Stochastic-gradient Langevin: the score of a law made of data, estimated from a few of them at each step."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import integers, normal_like
from toylab.samplers.chains import Chains
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.samplers.step_sizes import StepSize, step_sizes

BatchScore = Callable[[Tensor, Tensor], Tensor]
"""s(x, batch): one vector per point x [n, 2], from a batch [n, B, k] for each."""


@torch.no_grad()
def stochastic_gradient_langevin(
    score: BatchScore,
    data: Tensor,
    x: Tensor,
    *,
    step_size: StepSize,
    batch_size: int,
    n_steps: int,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """n_steps of x' = x + eps/2 s(x, batch) + sqrt(eps) z, with a fresh batch of the data for each chain and step.

    The error of s is a second noise, of variance (eps/2)^2 Var s, that nothing corrects: it vanishes beside sqrt(eps) z
    as eps goes to 0, and only then. On the law exp(-mean_i |x - y_i|^2 / (2 v)), the normal law about the mean of the
    data, whose s(x, batch) = -(x - mean of the batch) / v is unbiased, the variance along an axis settles at

        v (1 + eps S / (4 B v^2)) / (1 - eps / (4 v)),    S the variance of the data, B the batch.

    Source: Welling & Teh 2011, eq. 4.

    Args:
        score: s(x, batch), for points [n, 2] and batches [n, B, k]: ``kernel_score``, ``posterior_score``.
        data: N observations, [N, k].
        x: where the chains start, shape [n, 2].
        step_size: eps > 0, or a schedule: a function of the step 0, 1, .. n_steps - 1. With
            sum eps = inf and sum eps^2 < inf, such as ``falling_steps``, both errors die out.
        batch_size: B, drawn with replacement.
        n_steps: number of steps.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.
    """
    validate.batch_score("score", score)
    validate.finite_table("data", data)
    validate.finite_cloud("x", x)
    batch_size = validate.count("batch_size", batch_size)
    sizes, data = step_sizes(step_size, n_steps), data.to(x)
    counted, recorder = CountingScore(score), Recorder(x, n_steps, keep_every)

    def step(x: Tensor, eps: float) -> Tensor:
        batch = data[integers(len(data), (len(x), batch_size), device=x.device, generator=generator)]
        root: float = eps**0.5
        return x + 0.5 * eps * counted(x, batch) + root * normal_like(x, generator)

    x = follow("stochastic_gradient_langevin", [Leg(step, sizes)], x, recorder, progress=progress)
    return recorder.chains(x, counted.n, score=counted)
