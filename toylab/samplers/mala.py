"""The Metropolis-adjusted Langevin algorithm: a Langevin step, kept or refused so that p is exactly invariant."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.cuda_graphs import captured
from toylab._internal.random import normal_like, uniform
from toylab.densities.density import Density
from toylab.samplers.chains import Chains, CountingScore, Recorder, progress_bar
from toylab.score import LogProb, Score


class State(NamedTuple):
    """Where the chains stand: x [n, 2], with log p(x) [n] and s(x) [n, 2] carried along."""

    x: Tensor
    log_prob: Tensor
    score: Tensor


def mala_init(log_prob: LogProb, score: Score, x: Tensor) -> State:
    """The position of chains at x [n, 2]."""
    x = x.contiguous()
    return State(x, *value_and_score(log_prob, score)(x))


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
        here: where the chains stand.
        step_size: eps, a number or one a chain [n].
        factor: the lower Cholesky factor L of M = L L^T, shape [2, 2]; None is M = I.
        generator: source of randomness.

    Returns:
        The new position, and which proposals were kept, shape [n].
    """
    root = step_size**0.5
    a = root[:, None] if isinstance(root, Tensor) else root
    # with M = L L^T: y = x + a L (z + a/2 L^T s(x)), and z + h would have led back, h = a/2 L^T (s(x) + s(y))
    pushed, pulled = (_same, _same) if factor is None else (lambda v: v @ factor.T, lambda s: s @ factor)
    z = normal_like(here.x, generator)
    y = _plus(here.x, a, pushed(_plus(z, 0.5 * a, pulled(here.score))))
    there = State(y, *value_and_score(log_prob, score)(y))
    both = pulled(here.score + there.score)
    # log q(x|y) - log q(y|x) = (|z|^2 - |z + h|^2) / 2 = -h . (z + h/2)
    dot = _dot(both, _plus(z, 0.25 * a, both))
    return accept_reject(there, here, _plus(there.log_prob - here.log_prob, -0.5 * root, dot), generator)


def value_and_score(log_prob: LogProb, score: Score) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """log p and s at x, in one pass where both are of one density, given as ``p.log_prob`` and ``p.score``."""
    p = getattr(log_prob, "__self__", None)
    plain = score.score if isinstance(score, CountingScore) else score
    if not (isinstance(p, Density) and log_prob == p.log_prob and plain == p.score and _has_both_of_one_kind(type(p))):
        return lambda x: (log_prob(x), score(x))
    return CountingScore(p.log_prob_and_score, score) if isinstance(score, CountingScore) else p.log_prob_and_score


@cache
def _has_both_of_one_kind(kind: type[Density]) -> bool:
    """Whether no class below that of ``log_prob_and_score`` gives log p or the score anew."""
    home = {name: next(c for c in kind.__mro__ if name in vars(c)) for name in _CALLS}
    return all(issubclass(home["log_prob_and_score"], home[name]) for name in _CALLS)


_CALLS = ("log_prob", "score", "log_prob_and_score")


def _same(v: Tensor) -> Tensor:
    return v


def _plus(x: Tensor, a: float | Tensor, v: Tensor) -> Tensor:
    """x + a v, in one pass over memory."""
    return torch.addcmul(x, a, v) if isinstance(a, Tensor) else torch.add(x, v, alpha=a)


def _dot(v: Tensor, w: Tensor) -> Tensor:
    """v . w [n] of vectors [n, 2]: to sum over an axis of two takes three times as long."""
    return torch.addcmul(v[:, 0] * w[:, 0], v[:, 1], w[:, 1])


def accept_reject(
    there: State, here: State, log_ratio: Tensor, generator: torch.Generator | None
) -> tuple[State, Tensor]:
    """Go there with probability min(1, e^log_ratio), else stay; and which did go, shape [n]."""
    u = uniform(log_ratio.shape, dtype=here.x.dtype, device=here.x.device, generator=generator)
    kept = u.log() < log_ratio  # nan compares false: a proposal that blew up is refused
    return State(
        _where(kept, there.x, here.x),
        torch.where(kept, there.log_prob, here.log_prob),
        _where(kept, there.score, here.score),
    ), kept


def _where(kept: Tensor, there: Tensor, here: Tensor) -> Tensor:
    """torch.where(kept[:, None], there, here) for points [n, 2], as complex numbers: five times as fast."""
    if here.dtype not in (torch.float32, torch.float64):
        return torch.where(kept[:, None], there, here)
    there, here = (torch.view_as_complex(side.contiguous()) for side in (there, here))
    return torch.view_as_real(torch.where(kept, there, here))


@torch.no_grad()
def mala(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    *,
    step_size: float,
    n_steps: int,
    preconditioner: Tensor | None = None,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Metropolis-adjusted Langevin: samples p exactly in the long run, at any step size.

    It needs log p (up to a constant) beside the score: a score alone gives it only if the field is a gradient.
    Source: Roberts & Tweedie 1996, section 1.4; preconditioned, Roberts & Stramer 2002.

    Args:
        log_prob: log p up to a constant, [n, 2] -> [n].
        score: grad log p; another field still gives the right law, only less well.
        x: where the chains start, shape [n, 2]; log p must be finite there.
        step_size: eps > 0, in the convention x + eps/2 M s + sqrt(eps) M^(1/2) z.
        n_steps: number of proposals a chain.
        preconditioner: M, symmetric and positive definite, shape [2, 2], such as the covariance of the target; None is
            the identity.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains, with each chain's acceptance rate. Ctrl-C returns what is done so far.
    """
    check_inputs(log_prob, score, x, step_size, n_steps)
    factor = _factor(preconditioner, x)
    recorder, accepted = Recorder(x, n_steps, keep_every), x.new_zeros(len(x))
    counted = CountingScore(score)

    def proposed(here: State, accepted: Tensor) -> tuple[State, Tensor]:
        here, kept = mala_step(log_prob, counted, here, step_size, factor=factor, generator=generator)
        return here, accepted + kept.view(torch.uint8)  # from bool it would take six times as long

    step = captured(proposed, x.device, generator=generator, uses=[log_prob, score], counter=counted)
    here = mala_init(log_prob, counted, x)
    with progress_bar("mala", n_steps, progress) as shown:
        for _ in range(n_steps):
            here, accepted = step(here, accepted)
            recorder.append(here.x)
            shown.update()
    return recorder.chains(here.x, counted.n, accepted)


@dataclass(frozen=True, eq=False)
class WarmUp:
    """What a warm-up leaves.

    Attributes:
        samples: where the chains stand, shape [n, 2]: a place to start from.
        step_size: the step to freeze.
        acceptance: mean acceptance at each step of the warm-up, shape [n_steps].
    """

    samples: Tensor
    step_size: float
    acceptance: Tensor


@torch.no_grad()
def mala_warm_up(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    *,
    step_size: float,
    n_steps: int = 200,
    target: float = 0.574,
    preconditioner: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> WarmUp:
    """Find the step size at which MALA accepts a share ``target`` of its proposals.

    After step k, log eps <- log eps + 5 (acceptance - target) / k^0.6, with the mean acceptance over all chains: a
    Robbins-Monro iteration. What is returned is the mean of log eps over the second half. A chain whose step still
    changes with its past keeps no law exactly: so the step found here is to be frozen, as in

        warm = mala_warm_up(p.log_prob, p.score, x, step_size=0.5, generator=g)
        mala(p.log_prob, p.score, warm.samples, step_size=warm.step_size, n_steps=1000, generator=g)

    Source: Andrieu & Thoms 2008, section 4.2; 0.574 is the best acceptance of MALA in high dimension (Roberts &
    Rosenthal 1998), and not far from it in the plane.

    Args:
        log_prob: log p up to a constant, [n, 2] -> [n].
        score: grad log p.
        x: where the chains start, shape [n, 2].
        step_size: eps to begin with.
        n_steps: proposals a chain.
        target: share of proposals to accept, between 0 and 1.
        preconditioner: as for ``mala``.
        generator: source of randomness; None is torch's global stream.
    """
    check_inputs(log_prob, score, x, step_size, n_steps)
    if not 0 < target < 1:
        raise ValueError(f"target is {target}: an acceptance lies between 0 and 1, for example 0.574.")
    factor, here, log_eps = _factor(preconditioner, x), mala_init(log_prob, score, x), math.log(step_size)
    acceptance, steps = [], []
    for k in range(1, n_steps + 1):
        here, kept = mala_step(log_prob, score, here, math.exp(log_eps), factor=factor, generator=generator)
        acceptance.append(float(kept.double().mean()))
        log_eps += 5 * (acceptance[-1] - target) / k**0.6
        steps.append(log_eps)
    later = steps[n_steps // 2 :]
    return WarmUp(here.x, math.exp(sum(later) / len(later)), torch.tensor(acceptance, dtype=torch.float64))


def check_inputs(log_prob: LogProb, score: Score, x: Tensor, step_size: float, n_steps: int) -> None:
    """Raise unless these can be sampled with."""
    validate.function("log_prob", log_prob, "p.log_prob")
    validate.function("score", score, "p.score")
    validate.cloud("x", x)
    validate.positive("step_size", step_size)
    validate.count("n_steps", n_steps)


def _factor(preconditioner: Tensor | None, x: Tensor) -> Tensor | None:
    if preconditioner is None:
        return None
    if not isinstance(preconditioner, Tensor) or preconditioner.shape != (2, 2):
        given = list(preconditioner.shape) if isinstance(preconditioner, Tensor) else type(preconditioner).__name__
        raise ValueError(f"preconditioner is {given}: give a tensor [2, 2], such as the covariance of the target.")
    matrix = preconditioner.detach().to(dtype=torch.float64)
    return torch.linalg.cholesky(validate.covariances("preconditioner", matrix[None])[0]).to(x)
