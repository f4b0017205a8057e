"""DDIM: guess the clean point and the noise, and put them together again as at an earlier time."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.samplers.chains import Chains
from toylab.samplers.sde_loop import follow_times
from toylab.samplers.step_arguments import check_arguments
from toylab.samplers.tweedie import clean_point
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time


@check_arguments
def ddim_step(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time) -> Tensor:
    """x_u = alpha_u m + sigma_u e, with m = E[x_0 | x_t] and the noise e = (x_t - alpha_t m) / sigma_t = -sigma_t s."""
    validate.noisy_time(t, sde.sigma(t))
    m = clean_point(sde, score, x, t)
    e = (x - sde.alpha(t).to(x) * m) / sde.sigma(t).to(x)
    return sde.alpha(u).to(x) * m + sde.sigma(u).to(x) * e


@torch.no_grad()
def ddim(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    keep_every: int | None = None,
    progress: bool = True,
) -> Chains:
    """DDIM with eta = 0: back from time to time with the guessed clean point and the guessed noise, none drawn.

    It is Euler's method for the probability flow in other variables: with y = x / alpha and l = sigma / alpha the flow
    is dy/dl = e, and a step is y_u = y_t + (l_u - l_t) e. So it converges to the flow, at order 1.
    Source: Song, Meng & Ermon 2021 (arXiv:2010.02502), eqs. 12 to 14.

    Args:
        sde: such as ``VE()``, ``VP()``; only its alpha and sigma are used.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the chains start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling, in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 51)``.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        progress: show a progress bar when it takes long.

    Returns:
        The chains; one evaluation of the score per step. Some may have diverged; a warning says so. Ctrl-C returns
        what is done so far.
    """
    return follow_times(
        "ddim", ddim_step, sde, score, x, times,
        keep_every=keep_every, progress=progress,
    )  # fmt: skip
