"""The reverse SDE: from noise to data, by small steps back in time."""

from functools import partial

import torch
from torch import Tensor

from toylab._internal.random import normal_like
from toylab.samplers.chains import Chains
from toylab.samplers.sde_loop import follow_times
from toylab.samplers.step_arguments import check_arguments
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time, score_at


@check_arguments
def reverse_drift(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time) -> Tensor:
    """f(t) x - g(t)^2 s_t(x), shape of x: the drift of dx = [..] dt + g dw, back in time."""
    return sde.drift(x, t) - sde.diffusion(t).to(x) ** 2 * score_at(sde, score, t)(x)


@check_arguments
def reverse_sde_step(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time, *, generator: torch.Generator | None = None
) -> Tensor:
    """x' = x - h [f x - g^2 s_t(x)] + g sqrt(h) z, from time t back to u = t - h: a step of Euler-Maruyama."""
    h = t - u
    return x - h * reverse_drift(sde, score, x, t) + h**0.5 * sde.diffusion(t).to(x) * normal_like(x, generator)


@torch.no_grad()
def reverse_sde(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Follow dx = [f x - g^2 s_t(x)] dt + g dw back in time, by Euler-Maruyama.

    With the exact score and a start in the law of x at times[0] it ends in the law at times[-1], which is still noised
    by sigma(t) there, up to an error of order 1 in the step. A start in ``sde.prior`` adds the prior's own.
    Source: Anderson 1982; Song et al. 2021 (arXiv:2011.13456), eq. 6.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the chains start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 501)``.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        generator: source of randomness; None is torch's global stream.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; one evaluation of the score per step. Some may have diverged; a warning says so. Ctrl-C returns
        what is done so far.
    """
    return follow_times(
        "reverse_sde", partial(reverse_sde_step, generator=generator), sde, score, x, times,
        keep_every=keep_every, progress=progress, generator=generator,
    )  # fmt: skip
