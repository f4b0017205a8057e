"""The flow of a velocity, exact or learned: from the source of a path to the data, and back."""

import torch
from torch import Tensor

from toylab._internal import user_functions, validate
from toylab.paths import VelocityField
from toylab.samplers.adaptive import adaptive_steps, check_tolerances, follow_steps
from toylab.samplers.chains import Chains
from toylab.samplers.loop import CountingScore, Recorder
from toylab.samplers.ode_steps import Step, heun_step
from toylab.samplers.sde_loop import follow_grid, is_rising
from toylab.sde import Time

_ENDS = "The times of a path run from 0, the source, to 1, the data."


@torch.no_grad()
def flow(
    velocity: VelocityField,
    x: Tensor,
    times: Tensor,
    *,
    step: Step = heun_step,
    keep_every: int | None = None,
    progress: bool = True,
) -> Chains:
    """Follow dx/dt = v(x, t) along a grid of times: from the source at t = 0 to the data at t = 1, or back.

    No noise is drawn. With the marginal velocity of a path, E[x'_t | x_t = x], a draw of x_t at the first time becomes
    a draw of x_t at the last, up to the error of the solver.
    Source: Lipman et al. 2023 (arXiv:2210.02747), eq. 1.

    Args:
        velocity: v(x, t), learned (``VelocityMLP``) or exact (``lambda x, t: path.velocity(p, x, t)``).
        x: where the points start, shape [n, 2]: ``path.start(torch.empty(n, 2), g)``.
        times: 1-D, strictly rising (or falling), in [0, 1], such as ``torch.linspace(0, 1, 51)``.
        step: how to go from one time to the next: ``euler_step``, ``heun_step``, ``rk4_step``, or your own.
        keep_every: keep every so-many-th frame in ``Chains.path``, its label the time; None keeps no path.
        progress: show a progress bar when it takes long.

    Returns:
        The chains. Some may have diverged; a warning says so. Ctrl-C returns what is done so far.

    >>> flow(lambda x, t: torch.ones_like(x), torch.zeros(1, 2), torch.linspace(0, 1, 11)).samples.round(decimals=4)
    tensor([[1., 1.]])
    """
    validate.velocity("velocity", velocity)
    validate.function("step", step, "heun_step", takes=4)
    validate.finite_cloud("x", x)
    grid = validate.times(
        "times", times, 0.0, rising=is_rising(times), example="torch.linspace(0, 1, 51)", remedy=_ENDS
    )  # fmt: skip
    counted = CountingScore(velocity, "velocity")
    recorder = Recorder(x, len(grid) - 1, keep_every, label=grid[0], remedy="more times")

    def along_the_flow(x: Tensor, t: Time, u: Time) -> Tensor:
        return user_functions.scores_of("step", step(counted, x, t, u), x)

    x = follow_grid("flow", along_the_flow, x, grid, recorder, counted, uses=(velocity, step), progress=progress)
    return recorder.chains(x, counted.n)


@torch.no_grad()
def flow_adaptive(
    velocity: VelocityField,
    x: Tensor,
    first: float = 0.0,
    last: float = 1.0,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_evaluations: int = 10_000,
    progress: bool = True,
) -> Chains:
    """Follow dx/dt = v(x, t) from time first to time last in steps that an error estimate chooses.

    By the pair of order 8 of Dormand & Prince, SciPy's, in the same steps for the whole cloud: see
    ``probability_flow_adaptive``.

    Args:
        velocity: v(x, t), exact or learned.
        x: where the points start, shape [n, 2].
        first: time of the start, in [0, 1].
        last: time of the end, in [0, 1].
        rtol: relative tolerance per step; from 6e-6 up for points in float32.
        atol: absolute tolerance per step.
        max_evaluations: of the velocity, at each point.
        progress: show a progress bar when it takes long.

    Returns:
        The chains, without a path. Ctrl-C returns them where they are then, at a time between first and last.

    Raises:
        FloatingPointError: if the field is nan or inf.
        RuntimeError: if it takes more than ``max_evaluations``.
    """
    validate.velocity("velocity", velocity)
    validate.finite_cloud("x", x)
    rtol, atol = check_tolerances(x, rtol, atol, max_evaluations)
    first, last = validate.finite("first", first), validate.finite("last", last)
    validate.times(
        "(first, last)", torch.tensor([first, last], device="cpu").double(), 0.0, rising=last > first, remedy=_ENDS
    )
    counted = CountingScore(velocity, "velocity", finite=False)
    steps = adaptive_steps(counted, x, first, last, rtol=rtol, atol=atol, max_evaluations=max_evaluations)
    return follow_steps("flow_adaptive", steps, x, counted, max_evaluations, progress)
