"""Steps of an adaptive solver, SciPy's, for a cloud of points: with a bound on its work, and with clear failures."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from toylab._internal import validate


def adaptive_steps(
    rate: Callable[[Tensor, float], Tensor],
    y: Tensor,
    first: float,
    last: float,
    *,
    rtol: float,
    atol: float,
    max_evaluations: int,
) -> Iterator[tuple[float, Tensor]]:
    """Solve dy/dt = rate(y, t) from first to last, by the Runge-Kutta pair of order 8 of Dormand & Prince.

    The whole cloud is one system: a step is accepted when the root mean square over all entries of
    error / (atol + rtol |y|) is below 1.

    Args:
        rate: maps y, like the one given, and a time to dy/dt of the same shape.
        y: the start, any shape.
        first: time of the start.
        last: time of the end, on either side of first.
        rtol: relative tolerance per step.
        atol: absolute tolerance per step.
        max_evaluations: of the rate.

    Yields:
        Time and y after each accepted step, y in the dtype and on the device of the start.

    Raises:
        FloatingPointError: if the rate is nan or inf.
        RuntimeError: if it takes more than ``max_evaluations``, or its steps become too small to change the time.
    """
    from scipy.integrate import DOP853  # slow to load, and needed only here

    spent = 0

    def flat_rate(t: float, values: object) -> object:
        nonlocal spent
        if spent == max_evaluations:
            raise RuntimeError(
                f"the solver is at t = {t:.6g} on the way from {first:g} to {last:g} after max_evaluations = "
                f"{max_evaluations} evaluations: the field is too rough for rtol = {rtol:g}. Raise rtol and atol, or "
                "max_evaluations, or stay away from times where the score explodes."
            )
        spent += 1
        result = rate(torch.from_numpy(values).to(y).view(y.shape), float(t))
        bad = ~result.reshape(len(y), -1).isfinite().all(-1)
        if bool(bad.any()):
            raise FloatingPointError(
                f"the field is nan or inf at {int(bad.sum())} of {len(y)} points, at t = {t:.6g}: look at the score "
                "there. A law without a density, or a network that diverged? Stay away from that time or those points."
            )
        return result.double().cpu().numpy().ravel()

    solver = DOP853(flat_rate, first, y.double().cpu().numpy().ravel(), last, rtol=rtol, atol=atol)
    while solver.status == "running":
        message = solver.step()
        if solver.status == "failed":
            raise RuntimeError(
                f"the solver failed at t = {solver.t:.6g} after {spent} evaluations: {message} Raise rtol and atol, or "
                "stay away from times where the score explodes."
            )
        yield float(solver.t), torch.from_numpy(solver.y).to(y).view(y.shape)


def check_tolerances(x: Tensor, rtol: float, atol: float, max_evaluations: int) -> None:
    """Raise ``ValueError`` unless the tolerances are positive and within reach of the dtype of x."""
    validate.positive("rtol", rtol)
    validate.positive("atol", atol)
    validate.count("max_evaluations", max_evaluations)
    least = 50 * torch.finfo(x.dtype).eps
    if rtol < least:
        raise ValueError(
            f"rtol is {rtol:g}, finer than {x.dtype} can resolve: a solver would take ever smaller steps. Give rtol >= "
            f"{least:.1g}, or points (and a network) in float64, by .double()."
        )
