"""The Metropolis-adjusted Langevin algorithm: a Langevin step, kept or refused so that p is exactly invariant."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.samplers import fused
from toylab.samplers.accept_reject import State, accept_reject, check_inputs, count_accepted, mala_init, value_and_score
from toylab.samplers.chains import Chains
from toylab.samplers.diagnosis import Watch
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.samplers.step_arguments import check_arguments
from toylab.samplers.step_sizes import StepSize, step_sizes
from toylab.score import LogProb, Score


@check_arguments
def mala_step(
    log_prob: LogProb,
    score: Score,
    here: State,
    step_size: float | Tensor,
    *,
    factor: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[State, Tensor]:
    """Propose y ~ q(. | x) = N(x + eps/2 M s(x), eps M); keep it with probability min(1, p(y) q(x|y) / (p(x) q(y|x))).

    Args:
        log_prob: log p up to a constant.
        score: grad log p.
        here: the state of the chains (``mala_init``).
        step_size: eps, a number or one per chain [n].
        factor: the lower Cholesky factor L of M = L L^T, shape [2, 2]; None is M = I.
        generator: source of randomness.

    Returns:
        The new state, and which proposals were kept, shape [n].
    """
    root = step_size**0.5
    a = root[:, None] if isinstance(root, Tensor) and root.ndim else root
    z = normal_like(here.x, generator)
    # with M = L L^T: y = x + a L (z + a/2 L^T s(x)), and z + h would have led back, h = a/2 L^T (s(x) + s(y))
    y = _plus(here.x, a, _push(_plus(z, 0.5 * a, _pull(here.score, factor)), factor))
    there = State(y, *value_and_score(log_prob, score)(y))
    both = _pull(here.score + there.score, factor)
    # log q(x|y) - log q(y|x) = (|z|^2 - |z + h|^2) / 2 = -h . (z + h/2)
    dot = _dot(both, _plus(z, 0.25 * a, both))
    return accept_reject(there, here, _plus(there.log_prob - here.log_prob, -0.5 * root, dot), generator)


def _push(v: Tensor, factor: Tensor | None) -> Tensor:
    """L v for vectors [n, 2]."""
    return v if factor is None else v @ factor.T


def _pull(s: Tensor, factor: Tensor | None) -> Tensor:
    """L^T s for vectors [n, 2]."""
    return s if factor is None else s @ factor


def _plus(x: Tensor, a: float | Tensor, v: Tensor) -> Tensor:
    """x + a v, in one pass over memory."""
    return torch.addcmul(x, a, v) if isinstance(a, Tensor) else torch.add(x, v, alpha=a)


def _dot(v: Tensor, w: Tensor) -> Tensor:
    """v . w [n] of vectors [n, 2]: summing over an axis of two takes three times as long."""
    return torch.addcmul(v[:, 0] * w[:, 0], v[:, 1], w[:, 1])


@torch.no_grad()
def mala(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    *,
    step_size: StepSize,
    n_steps: int,
    preconditioner: Tensor | None = None,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Metropolis-adjusted Langevin: samples p exactly in the long run, at any step size.

    It needs log p (up to a constant) besides the score: a score alone determines it only if the field is a gradient.
    Source: Roberts & Tweedie 1996, section 1.4; preconditioned, Roberts & Stramer 2002.

    Args:
        log_prob: log p up to a constant, [n, 2] -> [n].
        score: grad log p; another field still gives the right law, only less efficiently.
        x: where the chains start, shape [n, 2]; log p must be finite there.
        step_size: eps > 0, in the convention x + eps/2 M s + sqrt(eps) M^(1/2) z; or a schedule: a function of the
            step 0, 1, .. n_steps - 1. Each step keeps p, whatever its size.
        n_steps: number of proposals per chain.
        preconditioner: M, symmetric and positive definite, shape [2, 2], such as the covariance of the target; None is
            the identity.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains, with the acceptance rate of each. Ctrl-C returns what is done so far.
    """
    check_inputs(log_prob, score, x)
    sizes, factor = step_sizes(step_size, n_steps), cholesky_factor(preconditioner, x)
    counted, recorder, watch = CountingScore(score), Recorder(x, n_steps, keep_every), Watch(log_prob, score)

    def step(here: State, eps: float) -> tuple[State, Tensor]:
        return mala_step(log_prob, counted, here, eps, factor=factor, generator=generator)

    state = mala_init(log_prob, counted, x), x.new_zeros(len(x))
    here, accepted = fused.mala(
        log_prob, counted, state, sizes, recorder, factor=factor, generator=generator, progress=progress
    ) or follow(
        "mala", [Leg(count_accepted(step, watch), sizes)], state, recorder,
        uses=[log_prob, score], generator=generator, counter=counted, progress=progress,
    )  # fmt: skip
    return recorder.chains(here.x, counted.n, accepted, watch=watch, step_size=sizes[-1])


def cholesky_factor(preconditioner: Tensor | None, x: Tensor) -> Tensor | None:
    """The lower L of M = L L^T [2, 2], of the kind of x; raise unless M is symmetric and positive definite."""
    if preconditioner is None:
        return None
    if not isinstance(preconditioner, Tensor) or preconditioner.shape != (2, 2):
        given = list(preconditioner.shape) if isinstance(preconditioner, Tensor) else type(preconditioner).__name__
        raise ValueError(f"preconditioner is {given}: give a tensor [2, 2], such as the covariance of the target.")
    matrix = preconditioner.detach().cpu().to(dtype=torch.float64)
    factor: Tensor = torch.linalg.cholesky(validate.covariances("preconditioner", matrix[None])[0])
    return factor.to(x).contiguous()
