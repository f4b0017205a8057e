"""Hamiltonian Monte Carlo: a long walk with momentum, kept or refused."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.samplers.accept_reject import State, accept_reject, check_inputs, count_accepted, mala_init
from toylab.samplers.chains import Chains
from toylab.samplers.diagnosis import Watch
from toylab.samplers.loop import CountingScore, Leg, Recorder, follow
from toylab.samplers.step_arguments import check_arguments
from toylab.samplers.step_sizes import StepSize, step_sizes
from toylab.score import LogProb, Score


def leapfrog(score: Score, x: Tensor, s: Tensor, v: Tensor, h: float | Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """n steps of v += h/2 s(x), x += h v, v += h/2 s(x): reversible, and of volume 1.

    Returns:
        x, s(x) and v at the end.
    """
    for _ in range(n):
        v = v + 0.5 * h * s
        x = x + h * v
        s = score(x)
        v = v + 0.5 * h * s
    return x, s, v


@check_arguments
def hmc_step(
    log_prob: LogProb,
    score: Score,
    here: State,
    step_size: float | Tensor,
    n_leapfrog: int,
    *,
    generator: torch.Generator | None = None,
) -> tuple[State, Tensor]:
    """Draw v ~ N(0, I), follow the leapfrog from (x, v) to (y, w), keep y with min(1, e^(H(x, v) - H(y, w))).

    H(x, v) = -log p(x) + |v|^2 / 2, and the leapfrog's step is h = sqrt(eps).

    Returns:
        The new state, and which proposals were kept, shape [n].
    """
    v = normal_like(here.x, generator)
    y, s, w = leapfrog(score, here.x, here.score, v, step_size**0.5, n_leapfrog)
    there = State(y, log_prob(y), s)
    log_ratio = there.log_prob - here.log_prob + 0.5 * (v.square() - w.square()).sum(-1)
    return accept_reject(there, here, log_ratio, generator)


@torch.no_grad()
def hmc(
    log_prob: LogProb,
    score: Score,
    x: Tensor,
    *,
    step_size: StepSize,
    n_leapfrog: int,
    n_steps: int,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Hamiltonian Monte Carlo: samples p exactly in the long run, at any step size.

    With one leapfrog step it is MALA with the same eps: x + eps/2 s + sqrt(eps) z is where the first step arrives.
    Source: Duane et al. 1987; Neal 2011 (arXiv:1206.1901), section 3.

    Args:
        log_prob: log p up to a constant, [n, 2] -> [n].
        score: grad log p; another field still gives the right law, only less efficiently.
        x: where the chains start, shape [n, 2]; log p must be finite there.
        step_size: eps > 0, the square of the leapfrog's step h, so that it compares with Langevin's; the leapfrog is
            stable on a Gaussian of variance v iff eps < 4 v. Or a schedule: a function of the step 0, 1, ..
            n_steps - 1. Each step keeps p, whatever its size.
        n_leapfrog: leapfrog steps per proposal, each an evaluation of the score.
        n_steps: number of proposals per chain.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains, with the acceptance rate of each. Ctrl-C returns what is done so far.
    """
    check_inputs(log_prob, score, x)
    n_leapfrog = validate.count("n_leapfrog", n_leapfrog)
    sizes = step_sizes(step_size, n_steps)
    counted, recorder, watch = CountingScore(score), Recorder(x, n_steps, keep_every), Watch(log_prob, score)

    def step(here: State, eps: float) -> tuple[State, Tensor]:
        return hmc_step(log_prob, counted, here, eps, n_leapfrog, generator=generator)

    state = mala_init(log_prob, counted, x), x.new_zeros(len(x))
    here, accepted = follow(
        "hmc", [Leg(count_accepted(step, watch), sizes)], state, recorder,
        uses=[log_prob, score], generator=generator, counter=counted, progress=progress,
    )  # fmt: skip
    return recorder.chains(here.x, counted.n, accepted, watch=watch, step_size=sizes[-1])
