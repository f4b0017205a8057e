"""Langevin dynamics: a step along the score, and noise."""

import torch
from torch import Tensor

from toylab import checks
from toylab.draws import normal_like
from toylab.samplers.chains import Chains, Recorder, bar
from toylab.score import Score


def langevin_step(score: Score, x: Tensor, step_size: float, *, generator: torch.Generator | None = None) -> Tensor:
    """x' = x + eps/2 s(x) + sqrt(eps) z.  Where a text writes x + tau s + sqrt(2 tau) z: eps = 2 tau."""
    return x + 0.5 * step_size * score(x) + step_size**0.5 * normal_like(x, generator)


@torch.no_grad()
def langevin(
    score: Score,
    x: Tensor,
    *,
    step_size: float,
    n_steps: int,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Unadjusted Langevin dynamics, n_steps of x' = x + eps/2 s(x) + sqrt(eps) z.

    Its law is not quite p: on N(m, v) it is N(m, v / (1 - eps / (4 v))), and it explodes once eps >= 4 v.
    Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 4.

    Args:
        score: s, exact or learned.
        x: where the chains start, shape [n, 2].
        step_size: eps > 0.
        n_steps: number of steps.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains. Some may have diverged; a warning says so. Ctrl-C returns what is done so far.
    """
    _checked(score, x, step_size, n_steps)
    recorder = Recorder(x, n_steps, keep_every)
    with bar("langevin", n_steps, progress) as shown:
        for _ in range(n_steps):
            x = langevin_step(score, x, step_size, generator=generator)
            recorder.see(x)
            shown.update()
    return recorder.chains(x)


def _checked(score: Score, x: Tensor, step_size: float, n_steps: int) -> None:
    checks.function("score", score, "p.score")
    checks.cloud("x", x)
    checks.positive("step_size", step_size)
    checks.count("n_steps", n_steps)
