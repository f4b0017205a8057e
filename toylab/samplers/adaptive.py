"""Steps of an adaptive solver, SciPy's, for a cloud of points: each as exact as alone, with a bound on the work."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab.samplers.chains import Chains
from toylab.samplers.loop import CountingScore, Recorder, progress_bar


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

    The whole cloud takes the same steps. One is accepted when at *every* point the root mean square of
    error / (atol + rtol |y|) over its entries is below 1: as if the point were alone, however many there are.

    Args:
        rate: maps y, like the one given, and a time to dy/dt of the same shape.
        y: the start, shape [n, k]: two coordinates, and what is integrated along with them.
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
                "max_evaluations, or stay away from times where the field explodes."
            )
        spent += 1
        result = rate(torch.from_numpy(values).to(y).view(y.shape), float(t))
        _require_finite(result, torch.from_numpy(values).view(y.shape), float(t))
        return result.double().cpu().numpy().ravel()

    solver = DOP853(flat_rate, first, y.detach().double().cpu().numpy().ravel(), last, rtol=rtol, atol=atol)
    solver._estimate_error_norm = partial(_greatest_error, solver, len(y))  # SciPy's is the mean over all points
    while solver.status == "running":
        message = solver.step()
        if solver.status == "failed":
            raise RuntimeError(
                f"the solver failed at t = {solver.t:.6g} after {spent} evaluations: {message} Raise rtol and atol, or "
                "stay away from times where the field explodes."
            )
        yield float(solver.t), torch.from_numpy(solver.y).to(y).view(y.shape)


def follow_steps(
    name: str,
    steps: Iterator[tuple[float, Tensor]],
    x: Tensor,
    counted: CountingScore[...],
    max_evaluations: int,
    progress: bool,
) -> Chains:
    """The chains from x after all of the steps, or after those that are done when Ctrl-C comes."""
    recorder = Recorder(x, 0, None)
    with progress_bar(name, max_evaluations, progress) as shown:
        for _, x in steps:  # noqa: B020
            recorder.append(x)
            shown.update(counted.n - shown.n)
    return recorder.chains(x, counted.n)


def _greatest_error(solver: Any, n: int, stages: Any, h: float, scale: Any) -> float:  # noqa: ANN401
    """The error of a step at the worst of n points, in units of what is allowed: SciPy's estimate for each by itself.

    h |e5|^2 / sqrt(k (|e5|^2 + |e3|^2 / 100)), e5 and e3 the errors of a point's k entries by two embedded formulas.
    Source: Hairer, Norsett & Wanner 1993, section II.10, of DOP853.
    """
    e5, e3 = (np.square(np.dot(stages.T, weights) / scale).reshape(n, -1) for weights in (solver.E5, solver.E3))
    fifth, third = e5.sum(-1), e3.sum(-1)
    both = np.sqrt((fifth + 0.01 * third) * e5.shape[-1])
    return float(abs(h) * np.divide(fifth, both, out=np.zeros_like(both), where=both > 0).max())


def _require_finite(rate: Tensor, y: Tensor, t: float) -> None:
    """Raise ``FloatingPointError`` unless the field and what is integrated along with it are finite."""
    for what, part, remedy in (
        (
            "the field is",
            rate[:, :2],
            "look at its value there. A network that diverged, or a formula that overflows or divides by 0? Or stay "
            "away from that time or those points.",
        ),
        (
            "the field is finite, but its derivative is",
            rate[:, 2:],
            "a sqrt, a norm or an atan2 has none at 0, nor has a gradient through a torch.where whose other branch is "
            "not finite. Make them safe, or leave those points out.",
        ),
    ):
        bad = ~part.isfinite().all(-1)
        if bool(bad.any()):
            place = ", ".join(f"{float(entry):.6g}" for entry in y[int(bad.nonzero()[0]), :2])
            raise FloatingPointError(
                f"{what} nan or inf at {int(bad.sum())} of {len(y)} points, at t = {t:.6g}, the first being ({place}): "
                f"{remedy}"
            )


def check_tolerances(x: Tensor, rtol: float, atol: float, max_evaluations: int) -> tuple[float, float]:
    """Return rtol and atol as floats, or raise unless they are positive and within reach of the dtype of x."""
    rtol, atol = validate.positive("rtol", rtol), validate.positive("atol", atol)
    validate.count("max_evaluations", max_evaluations)
    least = 50 * torch.finfo(x.dtype).eps
    if rtol < least:
        raise ValueError(
            f"rtol is {rtol:g}, finer than {x.dtype} can resolve: a solver would take ever smaller steps. Give rtol >= "
            f"{least:.1g}, or points (and a network) in float64, by .double()."
        )
    return rtol, atol
