"""The probability flow: an ordinary differential equation whose points have the law of the SDE at every time."""

import torch
from torch import Tensor

from toylab._internal import fields, user_functions, validate
from toylab.samplers.chains import Chains
from toylab.samplers.ode_steps import Step, Velocity, heun_step
from toylab.samplers.sde_loop import follow_times, is_rising
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time, score_at


def flow_velocity(sde: SDE, score: NoiseConditionalScore) -> Velocity:
    """v(x, t) = f(t) x - 1/2 g(t)^2 s_t(x), a function of points [..., 2] and a time; dx/dt = v carries p_t along.

    The 1/2 is what distinguishes the flow from the reverse SDE without its noise.
    Source: Song et al. 2021 (arXiv:2011.13456), eq. 13.
    """
    validate.field("score", score, fields.LEVEL_SCORE)

    def velocity(x: Tensor, t: Time) -> Tensor:
        return sde.drift(x, t) - 0.5 * sde.diffusion(t).to(x) ** 2 * score_at(sde, score, t)(x)

    return velocity


@torch.no_grad()
def probability_flow(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    times: Tensor,
    *,
    step: Step = heun_step,
    keep_every: int | None = None,
    progress: bool = True,
) -> Chains:
    """Follow dx/dt = f x - 1/2 g^2 s_t(x) along a grid of times: back, from noise to data, or forth, to its code.

    No noise is drawn. With the exact score a draw of p_t at the first time becomes a draw of p_t at the last, up to
    the error of the solver, and the way back leads to the same point. It carries the error of a start in
    ``sde.prior`` to the end undiminished, where the reverse SDE forgets a part: from VE's prior at sigma_max = 20 the
    left mode of ``two_modes``, of weight 0.2, gets 0.254 by the exact flow and 0.221 by the exact reverse SDE.
    Source: Song et al. 2021 (arXiv:2011.13456), section 4.3.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the points start, shape [n, 2]: ``sde.prior.sample((n,), generator=g)``.
        times: 1-D, strictly falling (or rising), in [sde.t_min, 1], such as ``schedules.uniform(1.0, sde.t_min, 51)``.
        step: how to go from one time to the next: ``euler_step``, ``heun_step``, ``rk4_step``, or your own.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        progress: show a progress bar when it takes long.

    Returns:
        The chains. Some may have diverged; a warning says so. Ctrl-C returns what is done so far.
    """
    validate.function("step", step, "heun_step", takes=4)

    def along_the_flow(sde: SDE, score: NoiseConditionalScore, x: Tensor, t: Time, u: Time) -> Tensor:
        return user_functions.scores_of("step", step(flow_velocity(sde, score), x, t, u), x)

    return follow_times(
        "probability_flow", along_the_flow, sde, score, x, times,
        keep_every=keep_every, progress=progress, rising=is_rising(times), uses=(step,),
    )  # fmt: skip
