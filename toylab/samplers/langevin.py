"""Langevin dynamics: a step along the score, and noise."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.cuda_graphs import captured
from toylab._internal.random import normal_like
from toylab.samplers.chains import Chains, CountingScore, Recorder, progress_bar
from toylab.score import Score


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
    drifted = torch.add(x, score(x), alpha=0.5 * step_size)  # one pass over memory a term
    return drifted.add_(normal_like(x, generator), alpha=(temperature * step_size) ** 0.5)


@torch.no_grad()
def langevin(
    score: Score,
    x: Tensor,
    *,
    step_size: float | Callable[[int], float],
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
        The chains. Some may have diverged; a warning says so. Ctrl-C returns what is done so far.
    """
    validate.function("score", score, "p.score")
    validate.cloud("x", x)
    validate.count("n_steps", n_steps)
    if validate.finite("temperature", temperature) < 0:
        raise ValueError(f"temperature is {temperature}: it must be at least 0; 1 samples p itself.")
    steps = [validate.positive("step_size", step_size(k) if callable(step_size) else step_size) for k in range(n_steps)]
    recorder, counted = Recorder(x, n_steps, keep_every), CountingScore(score)
    step = captured(
        lambda x, eps: langevin_step(counted, x, eps, temperature=temperature, generator=generator),
        x.device, generator=generator, uses=[score], counter=counted,
    )  # fmt: skip
    with progress_bar("langevin", n_steps, progress) as shown:
        for eps in steps:
            x = step(x, eps)
            recorder.append(x)
            shown.update()
    return recorder.chains(x, counted.n)
