"""Random-walk Metropolis: a blind step, kept or refused. The reference sampler that needs no score."""

import torch
from torch import Tensor

from toylab._internal import user_functions, validate
from toylab._internal.random import normal_like, uniform
from toylab.samplers.accept_reject import count_accepted
from toylab.samplers.chains import Chains
from toylab.samplers.diagnosis import Watch
from toylab.samplers.loop import Leg, Recorder, follow
from toylab.samplers.step_arguments import check_arguments
from toylab.samplers.step_sizes import StepSize, step_sizes
from toylab.score import LogProb


@check_arguments
def metropolis_step(
    log_prob: LogProb,
    x: Tensor,
    log_p: Tensor,
    step_size: float | Tensor,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Propose y = x + sqrt(eps) z; keep it with probability min(1, p(y) / p(x)).

    Returns:
        The new points [n, 2], log p there [n], and which proposals were kept [n].
    """
    user_functions.log_probs_of("log_p", log_p, x)
    y = x + step_size**0.5 * normal_like(x, generator)
    log_p_there = log_prob(y)
    kept = uniform(log_p.shape, dtype=x.dtype, device=x.device, generator=generator).log() < log_p_there - log_p
    return torch.where(kept[:, None], y, x), torch.where(kept, log_p_there, log_p), kept


@torch.no_grad()
def metropolis(
    log_prob: LogProb,
    x: Tensor,
    *,
    step_size: StepSize,
    n_steps: int,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Random-walk Metropolis: samples p exactly in the long run, at any step size.

    Source: Metropolis et al. 1953. In the plane it moves farthest at an acceptance of about 0.35 (Roberts, Gelman &
    Gilks 1997, table 1).

    Args:
        log_prob: log p up to a constant, [n, 2] -> [n].
        x: where the chains start, shape [n, 2]; log p must be finite there.
        step_size: eps > 0, the variance of a proposal along an axis; or a schedule: a function of the step 0, 1, ..
            n_steps - 1. Each step keeps p, whatever its size.
        n_steps: number of proposals per chain.
        keep_every: keep every so-many-th frame in ``Chains.path``; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains, with the acceptance rate of each. Ctrl-C returns what is done so far.
    """
    validate.function("log_prob", log_prob, "p.log_prob")
    validate.finite_cloud("x", x)
    sizes, recorder, watch = step_sizes(step_size, n_steps), Recorder(x, n_steps, keep_every), Watch(log_prob, None)

    def step(here: tuple[Tensor, Tensor], eps: float) -> tuple[tuple[Tensor, Tensor], Tensor]:
        x, log_p, kept = metropolis_step(log_prob, *here, eps, generator=generator)
        return (x, log_p), kept

    log_p = user_functions.call_log_prob("log_prob", log_prob, x)
    user_functions.finite_values("log_prob", log_p, x)
    (x, _), accepted = follow(
        "metropolis", [Leg(count_accepted(step, watch), sizes)], ((x, log_p), x.new_zeros(len(x))), recorder,
        uses=[log_prob], generator=generator, progress=progress,
    )  # fmt: skip
    return recorder.chains(x, 0, accepted, watch=watch, step_size=sizes[-1])
