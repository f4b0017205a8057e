"""Parallel tempering: copies at rising temperatures trade places, so that the coldest can cross between modes."""

import itertools

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.random import uniform
from toylab.samplers.accept_reject import State, check_inputs, mala_init
from toylab.samplers.chains import Chains
from toylab.samplers.diagnosis import Watch
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.samplers.mala import mala_step
from toylab.samplers.step_arguments import check_arguments
from toylab.samplers.step_sizes import StepSize, step_sizes
from toylab.score import LogProb, Score


@check_arguments
def swap_step(
    here: State, beta: Tensor, first: int, *, generator: torch.Generator | None = None
) -> tuple[State, Tensor]:
    """Neighbours k and k + 1 trade places with probability min(1, (p(x_k+1) / p(x_k))^(b_k - b_k+1)).

    Args:
        here: points [K, n, 2] of n ladders of K temperatures, with their log p [K, n] and scores, untempered.
        beta: inverse temperatures [K], falling from 1.
        first: 0 or 1: the pairs k = first, first + 2, .. try.
        generator: source of randomness.

    Returns:
        The new state, and which pairs were traded, shape [pairs, n].
    """
    if beta.shape != here.x.shape[:1]:
        raise ValueError(
            f"beta has shape {list(beta.shape)} for points {list(here.x.shape)}: give one for each of the K."
        )
    beta = beta.to(here.x.device)
    low = torch.arange(first, len(beta) - 1, 2, device=beta.device)
    gain = here.log_prob[low + 1] - here.log_prob[low]
    log_ratio = (beta[low] - beta[low + 1])[:, None] * gain
    traded = uniform(gain.shape, dtype=gain.dtype, device=gain.device, generator=generator).log() < log_ratio
    place = torch.arange(len(beta), device=beta.device)[:, None].expand(here.log_prob.shape).clone()
    place[low] += traded.long()
    place[low + 1] -= traded.long()
    column = place[..., None].expand_as(here.x)
    return State(here.x.gather(0, column), here.log_prob.gather(0, place), here.score.gather(0, column)), traded


@torch.no_grad()
def parallel_tempering(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    temperatures: Tensor,
    *,
    step_size: StepSize,
    n_steps: int,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """MALA on p^(1/T) at each temperature of a ladder, and after each step trades between neighbours.

    The chain at T = 1 samples p exactly in the long run, and crosses between modes by way of the hot ones. A
    temperature is not a noise level: p^(1/T) changes the weights of the modes, p_sigma does not.
    Source: Geyer 1991; Earl & Deem 2005 (arXiv:physics/0508111).

    Args:
        log_prob: log p up to a constant, [n, 2] -> [n].
        score: grad log p.
        x: where the chains start: [n, 2], the same at all temperatures, or [K, n, 2].
        temperatures: 1-D, 1 = T_1 < T_2 < ...
        step_size: eps > 0 at T = 1, or a schedule: a function of the step 0, 1, .. n_steps - 1. A chain at T takes
            steps eps T.
        n_steps: MALA steps, each followed by one round of trades.
        keep_every: keep every so-many-th frame of the chain at T = 1; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains at T = 1, with the acceptance rate of their MALA steps and the evaluations of the whole ladder.
        Ctrl-C returns what is done so far.
    """
    check_inputs(log_prob, score, x if getattr(x, "ndim", 2) != 3 else x[0])
    sizes, beta = step_sizes(step_size, n_steps), 1 / _ladder(temperatures).to(x)
    if x.ndim == 3 and len(x) != len(beta):
        raise ValueError(
            f"x has shape {list(x.shape)}: give [n, 2], or [{len(beta)}, n, 2], one cloud per temperature."
        )
    x = x.expand(len(beta), *x.shape[-2:])
    k, n = x.shape[:2]
    b = beta[:, None].expand(k, n).reshape(-1)
    counted, recorder, watch = CountingScore(score), Recorder(x[0], n_steps, keep_every), Watch(log_prob, score)

    def tempered(here: State) -> State:
        return State(here.x.reshape(-1, 2), b * here.log_prob.reshape(-1), b[:, None] * here.score.reshape(-1, 2))

    def untempered(here: State) -> State:
        log_p, s = here.log_prob / b, here.score / b[:, None]
        return State(here.x.view(k, n, 2), log_p.view(k, n), s.view(k, n, 2))

    def step(state: tuple[Tensor, State, Tensor], setting: tuple[int, float]) -> tuple[Tensor, State, Tensor]:
        _, here, accepted = state
        first, eps = setting
        at_t = tempered(here)
        moved, kept = mala_step(
            lambda y: b * log_prob(y), lambda y: b[:, None] * counted(y), at_t, eps / b, generator=generator
        )
        watch.look(at_t, moved)
        here, _ = swap_step(untempered(moved), beta, first, generator=generator)
        return here.x[0], here, accepted + kept.view(k, n)[0]

    flat = mala_init(log_prob, counted, x.reshape(-1, 2))
    here = State(flat.x.view(k, n, 2), flat.log_prob.view(k, n), flat.score.view(k, n, 2))
    settings = [(number % 2, eps) for number, eps in enumerate(sizes)]
    x, _, accepted = follow(
        "parallel_tempering", [Leg(step, settings)], (here.x[0], here, x.new_zeros(n)), recorder, progress=progress
    )
    return recorder.chains(x, k * counted.n, accepted, watch=watch, step_size=sizes[-1])


def _ladder(temperatures: Tensor) -> Tensor:
    given: object = temperatures
    if isinstance(temperatures, Tensor) and temperatures.ndim == 1:
        given = values = validate.floating("temperatures", temperatures).tolist()
        if len(values) > 1 and values[0] == 1 and all(a < b for a, b in itertools.pairwise(values)):
            return temperatures
    raise ValueError(
        f"temperatures is {short(given)}: give a 1-D tensor of 2 or more that starts at 1 and strictly rises, such as "
        "schedules.geometric(64, 1, 7).flip(0)."
    )
