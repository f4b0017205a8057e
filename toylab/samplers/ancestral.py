"""Ancestral sampling: guess the clean point, and draw a noisy one at an earlier time."""

from functools import partial

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.samplers.chains import Chains
from toylab.samplers.sde_loop import follow_times
from toylab.samplers.step_arguments import check_arguments
from toylab.samplers.tweedie import clean_point
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time


@check_arguments
def ancestral_step(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time, *, generator: torch.Generator | None = None
) -> Tensor:
    """Draw x_u from the law of x_u given x_t and x_0, with the guess m = E[x_0 | x_t] for x_0.

    With a = alpha_t / alpha_u and c^2 = sigma_t^2 - a^2 sigma_u^2, forwards x_t | x_u ~ N(a x_u, c^2 I), and

        x_u | x_t, x_0 ~ N((a sigma_u^2 x_t + alpha_u c^2 x_0) / sigma_t^2, sigma_u^2 c^2 / sigma_t^2 I).
    """
    validate.noisy_time(t, sde.sigma(t))
    validate.earlier("u", u, t)
    a = sde.alpha(t) / sde.alpha(u)
    to_x, c2 = a * (sde.sigma(u) / sde.sigma(t)) ** 2, sde.sigma(t) ** 2 - (a * sde.sigma(u)) ** 2
    to_clean, std = sde.alpha(u) * c2 / sde.sigma(t) ** 2, sde.sigma(u) * c2.sqrt() / sde.sigma(t)
    return to_x.to(x) * x + to_clean.to(x) * clean_point(sde, score, x, t) + std.to(x) * normal_like(x, generator)


@torch.no_grad()
def ancestral(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Chains:
    """Ancestral sampling: back from time to time by the Gaussian law of x_u given x_t and a guess of the clean point.

    Exact for data at a single point, however few the times; otherwise right to order 1 in the step. Its variance is
    that of the posterior, the smaller of the two choices of DDPM.
    Source: Ho et al. 2020 (arXiv:2006.11239), eqs. 6 and 7, here for any alpha and sigma.

    Args:
        sde: such as ``VE()``, ``VP()``; only its alpha and sigma are used.
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
        "ancestral", partial(ancestral_step, generator=generator), sde, score, x, times,
        keep_every=keep_every, progress=progress, generator=generator,
    )  # fmt: skip
