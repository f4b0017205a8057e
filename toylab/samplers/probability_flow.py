"""The probability flow: an ordinary differential equation whose points have the law of the SDE at every time."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.cuda_graphs import captured
from toylab.samplers.adaptive import adaptive_steps, check_tolerances
from toylab.samplers.chains import Chains, CountingScore, Recorder, progress_bar
from toylab.samplers.reverse_sde import begin
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, Time, require_sde, score_at

Velocity = Callable[[Tensor, Time], Tensor]
Step = Callable[[Velocity, Tensor, Time, Time], Tensor]


def flow_velocity(sde: SDE, score: NoiseConditionalScore) -> Velocity:
    """v(x, t) = f(t) x - 1/2 g(t)^2 s_t(x), a function of points [..., 2] and a time; dx/dt = v carries p_t along.

    The 1/2 is what tells the flow from the reverse SDE without its noise.
    Source: Song et al. 2021 (arXiv:2011.13456), eq. 13.
    """

    def velocity(x: Tensor, t: Time) -> Tensor:
        return sde.drift(x, t) - 0.5 * sde.diffusion(t).to(x) ** 2 * score_at(sde, score, t)(x)

    return velocity


def euler_step(v: Velocity, x: Tensor, t: Time, u: Time) -> Tensor:
    """x' = x + h v(x, t), h = u - t: order 1, one evaluation."""
    return x + (u - t) * v(x, t)


def heun_step(v: Velocity, x: Tensor, t: Time, u: Time) -> Tensor:
    """A step of Euler to y, then x' = x + h/2 [v(x, t) + v(y, u)], h = u - t: order 2, two evaluations."""
    h = u - t
    here = v(x, t)
    return x + 0.5 * h * (here + v(x + h * here, u))


def rk4_step(v: Velocity, x: Tensor, t: Time, u: Time) -> Tensor:
    """The classical Runge-Kutta step, x' = x + h/6 (k1 + 2 k2 + 2 k3 + k4), h = u - t: order 4, four evaluations."""
    h, middle = u - t, (t + u) / 2
    k1 = v(x, t)
    k2 = v(x + 0.5 * h * k1, middle)
    k3 = v(x + 0.5 * h * k2, middle)
    k4 = v(x + h * k3, u)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


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

    No noise is drawn: with the exact score a draw of p_t at the first time becomes a draw of p_t at the last, up to
    the error of the solver, and the way back leads to the same point. The error of a start in ``sde.prior`` it carries
    to the end undiminished, where the reverse SDE forgets a part: from VE's prior at sigma_max = 20 the left mode of
    ``two_modes``, of weight 0.2, gets 0.254 by the exact flow and 0.221 by the exact reverse SDE.
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
    validate.function("step", step, "heun_step")
    rising = isinstance(times, Tensor) and times.ndim == 1 and len(times) > 1 and bool(times[-1] > times[0])
    grid, recorder = begin(sde, score, x, times, keep_every, rising=rising)
    counted = CountingScore(score)
    velocity = flow_velocity(sde, counted)
    there = captured(
        lambda x, t, u: step(velocity, x, t, u), x.device, uses=[sde, score, step], counter=counted
    )  # fmt: skip
    with progress_bar("probability_flow", len(grid) - 1, progress) as shown:
        for t, u in zip(grid, grid[1:], strict=False):
            x = there(x, t, u)
            recorder.append(x, u)
            shown.update()
    return recorder.chains(x, counted.n)


@torch.no_grad()
def probability_flow_adaptive(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    first: float,
    last: float,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_evaluations: int = 10_000,
    progress: bool = True,
) -> Chains:
    """Follow the probability flow from time first to time last in steps that an error estimate chooses.

    By the pair of order 8 of Dormand & Prince, SciPy's. The whole cloud is one system and takes the same steps; the
    tolerances bound the root mean square of the error of a step over all points, not the greatest one.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise.
        x: where the points start, shape [n, 2].
        first: time of the start, in [sde.t_min, 1].
        last: time of the end, in [sde.t_min, 1].
        rtol: relative tolerance of a step; from 6e-6 up for points in float32.
        atol: absolute tolerance of a step.
        max_evaluations: of the score, at each point.
        progress: show a progress bar when it takes long.

    Returns:
        The chains, without a path. Ctrl-C returns them where they are then, at a time between first and last.

    Raises:
        FloatingPointError: if the field is nan or inf.
        RuntimeError: if it takes more than ``max_evaluations``.
    """
    require_sde(sde)
    validate.function("score", score, "p.score")
    validate.finite_cloud("x", x)
    check_tolerances(x, rtol, atol, max_evaluations)
    first, last = validate.finite("first", first), validate.finite("last", last)
    validate.times("(first, last)", torch.tensor([first, last]).double(), sde.t_min, rising=last > first)
    score = CountingScore(score)
    recorder, velocity = Recorder(x, 0, None), flow_velocity(sde, score)
    steps = adaptive_steps(velocity, x, first, last, rtol=rtol, atol=atol, max_evaluations=max_evaluations)
    with progress_bar("probability_flow_adaptive", max_evaluations, progress) as shown:
        for _, x in steps:  # noqa: B020
            recorder.append(x)
            shown.update(score.n - shown.n)
    return recorder.chains(x, score.n)
