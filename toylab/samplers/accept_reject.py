"""Accept or reject, so that p stays exactly invariant: what MALA, HMC, Metropolis and tempering share."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from toylab._internal import fields, user_functions, validate
from toylab._internal.random import uniform
from toylab.densities.density import Density
from toylab.samplers.diagnosis import Watch
from toylab.samplers.loop import CountingScore
from toylab.score import LogProb, Score

S = TypeVar("S", bound=tuple[Tensor, ...])


class State(NamedTuple):
    """Where chains are: x [n, 2], with log p(x) [n] and s(x) [n, 2] carried along."""

    x: Tensor
    log_prob: Tensor
    score: Tensor


def mala_init(log_prob: LogProb, score: Score, x: Tensor) -> State:
    """The state of chains at x [n, 2], for ``mala_step`` and ``hmc_step``.

    Raises:
        ValueError: unless log p and the score are there, one value and one vector for each point, and finite.
    """
    validate.function("log_prob", log_prob, "p.log_prob")
    validate.field("score", score, fields.SCORE)
    x = validate.points("x", x).contiguous()
    if (both := _both_of_one_density(log_prob, score)) is not None:
        log_p, s = both(x)
        user_functions.log_probs_of("log_prob", log_p, x)
        user_functions.scores_of("score", s, x)
    else:
        log_p = user_functions.call_log_prob("log_prob", log_prob, x)
        user_functions.finite_values("log_prob", log_p, x)
        s = user_functions.call_score("score", score, x)
    user_functions.finite_values("log_prob", log_p, x)
    user_functions.finite_values("score", s, x)
    return State(x, log_p, s)


def accept_reject(
    there: State, here: State, log_ratio: Tensor, generator: torch.Generator | None
) -> tuple[State, Tensor]:
    """Go there with probability min(1, e^log_ratio), else stay; and which chains went, shape [n]."""
    u = uniform(log_ratio.shape, dtype=here.x.dtype, device=here.x.device, generator=generator)
    kept = u.log() < log_ratio  # nan compares false: a proposal that blew up is refused
    return State(
        _where(kept, there.x, here.x),
        torch.where(kept, there.log_prob, here.log_prob),
        _where(kept, there.score, here.score),
    ), kept


def _where(kept: Tensor, there: Tensor, here: Tensor) -> Tensor:
    """torch.where(kept[:, None], there, here) for points [n, 2], as complex numbers: five times as fast."""
    there, here = (torch.view_as_complex(side.contiguous()) for side in (there, here))
    return torch.view_as_real(torch.where(kept, there, here))


def count_accepted(
    step: Callable[[S, float], tuple[S, Tensor]], watch: Watch | None = None
) -> Callable[[tuple[S, Tensor], float], tuple[S, Tensor]]:
    """From a step that returns which proposals were kept, one that also counts how many each chain has kept, [n]."""

    def counting(state: tuple[S, Tensor], step_size: float) -> tuple[S, Tensor]:
        here, accepted = state
        there, kept = step(here, step_size)
        if watch is not None:
            watch.look(here, there)
        return there, accepted + kept.view(torch.uint8)  # from bool it would take six times as long

    return counting


def value_and_score(log_prob: LogProb, score: Score) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """log p and s at x, in one pass where both are of one density, given as ``p.log_prob`` and ``p.score``."""
    return _both_of_one_density(log_prob, score) or (lambda x: (log_prob(x), score(x)))


def _both_of_one_density(log_prob: LogProb, score: Score) -> Callable[[Tensor], tuple[Tensor, Tensor]] | None:
    """The density's own ``log_prob_and_score``, counted if the score is, or None if they are not of one density."""
    p = getattr(log_prob, "__self__", None)
    plain = score.score if isinstance(score, CountingScore) else score
    if not (isinstance(p, Density) and log_prob == p.log_prob and plain == p.score and _has_both_of_one_kind(type(p))):
        return None
    return _counted(p.log_prob_and_score, score) if isinstance(score, CountingScore) else p.log_prob_and_score


def _counted(
    both: Callable[[Tensor], tuple[Tensor, Tensor]], counter: CountingScore[...]
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """``both``, each call counted as one of the score; one that raised is not."""

    def counting(x: Tensor) -> tuple[Tensor, Tensor]:
        found = both(x)
        counter.n += 1
        return found

    return counting


@cache
def _has_both_of_one_kind(kind: type[Density]) -> bool:
    """Whether no subclass of the one that defines ``log_prob_and_score`` redefines log p or the score."""
    home = {name: next(c for c in kind.__mro__ if name in vars(c)) for name in _CALLS}
    return all(issubclass(home["log_prob_and_score"], home[name]) for name in _CALLS)


_CALLS = ("log_prob", "score", "log_prob_and_score")


def check_inputs(log_prob: LogProb, score: Score, x: Tensor) -> None:
    """Raise unless these are a log-density, a score and a cloud to sample with."""
    validate.function("log_prob", log_prob, "p.log_prob")
    validate.score("score", score)
    validate.finite_cloud("x", x)
