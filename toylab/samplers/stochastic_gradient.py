"""Stochastic-gradient Langevin: the score of a law made of data, estimated from a few of them at each step."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import integers, normal_like
from toylab.samplers.chains import Chains, CountingScore, Recorder, progress_bar

BatchScore = Callable[[Tensor, Tensor], Tensor]


def kernel_score(h: float) -> BatchScore:
    """The score of a kernel estimate from a batch: grad log mean_j N(x; y_j, h^2 I), a batch [B, 2] a chain.

    With all the data it is the score of ``Points(data).noised(h)``. From a part of them it is *not* unbiased, being
    a ratio of means: what it samples is an average of kernel estimates of the parts.
    """
    validate.positive("h", h)

    def score(x: Tensor, batch: Tensor) -> Tensor:
        gap = batch - x[:, None]
        share = (-gap.square().sum(-1) / (2 * h * h)).softmax(-1)
        return (share[..., None] * gap).sum(1) / h**2

    return score


@torch.no_grad()
def stochastic_gradient_langevin(
    score: BatchScore,
    data: Tensor,
    x: Tensor,
    *,
    step_size: float,
    batch_size: int,
    n_steps: int,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """n_steps of x' = x + eps/2 s(x, batch) + sqrt(eps) z, with a fresh batch of the data for each chain and step.

    The error of s is a second noise, of variance (eps/2)^2 Var s, that nobody subtracts: it vanishes beside sqrt(eps) z
    as eps goes to 0, and only then. On the law exp(-mean_i |x - y_i|^2 / (2 v)), the normal law about the mean of the
    data, whose s(x, batch) = -(x - mean of the batch) / v is unbiased, the variance along an axis settles at

        v (1 + eps S / (4 B v^2)) / (1 - eps / (4 v)),    S the variance of the data, B the batch.

    Source: Welling & Teh 2011, eq. 4, at a constant step.

    Args:
        score: s(x, batch), for points [n, 2] and batches [n, B, 2].
        data: points [N, 2].
        x: where the chains start, shape [n, 2].
        step_size: eps > 0.
        batch_size: B, drawn with replacement.
        n_steps: number of steps.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.
    """
    validate.function("score", score, "kernel_score(0.3)")
    validate.cloud("data", data)
    validate.cloud("x", x)
    validate.positive("step_size", step_size)
    validate.count("batch_size", batch_size)
    validate.count("n_steps", n_steps)
    recorder, score, data = Recorder(x, n_steps, keep_every), CountingScore(score), data.to(x)
    with progress_bar("stochastic_gradient_langevin", n_steps, progress) as shown:
        for _ in range(n_steps):
            batch = data[integers(len(data), (len(x), batch_size), device=x.device, generator=generator)]
            x = x + 0.5 * step_size * score(x, batch) + step_size**0.5 * normal_like(x, generator)
            recorder.append(x)
            shown.update()
    return recorder.chains(x, score.n)
