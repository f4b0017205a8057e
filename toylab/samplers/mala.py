"""The Metropolis-adjusted Langevin algorithm: a Langevin step, kept or refused so that p is exactly invariant."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from toylab import checks
from toylab.draws import normal_like, uniform
from toylab.samplers.chains import Chains, Recorder, bar
from toylab.score import Score

LogProb = Callable[[Tensor], Tensor]


class Position(NamedTuple):
    """Where the chains stand: x [n, 2], with log p(x) [n] and s(x) [n, 2] carried along."""

    x: Tensor
    log_prob: Tensor
    score: Tensor


def mala_start(log_prob: LogProb, score: Score, x: Tensor) -> Position:
    """The position of chains at x [n, 2]."""
    return Position(x, log_prob(x), score(x))


def mala_step(
    log_prob: LogProb, score: Score, here: Position, step_size: float, *, generator: torch.Generator | None = None
) -> tuple[Position, Tensor]:
    """Propose y ~ q(. | x) = N(x + eps/2 s(x), eps I); keep it with probability min(1, p(y) q(x|y) / (p(x) q(y|x))).

    Returns:
        The new position, and which proposals were kept, shape [n].
    """

    def log_q(to: Tensor, start: Position) -> Tensor:
        return -(to - start.x - 0.5 * step_size * start.score).square().sum(-1) / (2 * step_size)

    x, s = here.x, here.score
    y = x + 0.5 * step_size * s + step_size**0.5 * normal_like(x, generator)
    there = Position(y, log_prob(y), score(y))
    log_ratio = there.log_prob - here.log_prob + log_q(x, there) - log_q(y, here)
    u = uniform(log_ratio.shape, dtype=x.dtype, device=x.device, generator=generator)
    kept = u.log() < log_ratio  # nan compares false: a proposal that blew up is refused
    column = kept[:, None]
    return Position(
        torch.where(column, there.x, x),
        torch.where(kept, there.log_prob, here.log_prob),
        torch.where(column, there.score, s),
    ), kept


@torch.no_grad()
def mala(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    *,
    step_size: float,
    n_steps: int,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Metropolis-adjusted Langevin: samples p exactly in the long run, at any step size.

    It needs log p (up to a constant) beside the score: a score alone gives it only if the field is a gradient.
    Source: Roberts & Tweedie 1996, section 1.4.

    Args:
        log_prob: log p up to a constant, [n, 2] -> [n].
        score: grad log p; another field still gives the right law, only less well.
        x: where the chains start, shape [n, 2]; log p must be finite there.
        step_size: eps > 0, in the convention x + eps/2 s + sqrt(eps) z.
        n_steps: number of proposals a chain.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains, with each chain's acceptance rate. Ctrl-C returns what is done so far.
    """
    checks.function("log_prob", log_prob, "p.log_prob")
    checks.function("score", score, "p.score")
    checks.cloud("x", x)
    checks.positive("step_size", step_size)
    checks.count("n_steps", n_steps)
    recorder, accepted = Recorder(x, n_steps, keep_every), x.new_zeros(len(x))
    here = mala_start(log_prob, score, x)
    with bar("mala", n_steps, progress) as shown:
        for _ in range(n_steps):
            here, kept = mala_step(log_prob, score, here, step_size, generator=generator)
            accepted += kept
            recorder.see(here.x)
            shown.update()
    return recorder.chains(here.x, accepted)
