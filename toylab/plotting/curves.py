"""Measured numbers over a parameter, beside the exact ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab.metrics import Estimate
from toylab.plotting.axes import axes_of, color_of
from toylab.plotting.finite import note_left_out
from toylab.plotting.style import EXACT, FURTHER, NEUTRAL, OTHER
from toylab.training import Spread

# one number for each x; or a function of x, which is drawn on a fine grid
Values: TypeAlias = Sequence[Estimate | Spread | float] | Tensor | np.ndarray
Curve: TypeAlias = Values | Callable[[Tensor], Tensor]

_COLORS = (NEUTRAL, OTHER, *FURTHER)  # those without a meaning of their own: exact, learned and error have theirs
_MARKS, _LINES = "os^D", ("-", "--", "-.", ":")
_AXES = ("", "x", "y", "xy")
_FINE = 300  # points at which a function is drawn
_NAMED, _DECADES = 8, 3  # so many values of x, within so many powers of ten, are written at a logarithmic axis


def curves(
    x: Sequence[float] | Tensor,
    measured: Mapping[str, Values],
    *,
    exact: Mapping[str, Curve] | None = None,
    truth: float | None = None,
    log: str = "",
    colors: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Measured numbers over a parameter as marks, and the exact ones as blue curves.

    The marks are joined by lines, unless an exact function says how to go between them. An ``Estimate`` has a bar of
    two standard errors up and down, a ``Spread`` one of one standard deviation; other numbers have none. Those that
    are nan or inf are left out, counted in a warning and noted in the Axes.

    Args:
        x: the parameter, n numbers.
        measured: by name, n numbers each, ``Estimate``, ``Spread`` or plain.
        exact: by name, n numbers each, or a function of x: it is given a tensor of 300 values from the least x to
            the greatest, and returns as many.
        truth: drawn as a dashed level line.
        log: which axes are logarithmic: "", "x", "y" or "xy". What is drawn there must be greater than 0.
        colors: of the measured curves, one each; None takes those that have no meaning of their own. What is learned is
            LEARNED.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: for anything but numbers.
        ValueError: for another number of values than x has, and for values of 0 or less at a logarithmic axis.
    """
    at = validate.numbers("x", x).numpy()
    if at.ndim != 1 or len(at) == 0:
        raise ValueError(f"x has shape {list(at.shape)}: give n numbers, shape [n].")
    if log not in _AXES:
        raise ValueError(f"log is {short(log)}: give '', 'x', 'y' or 'xy'.")
    marked = {name: _numbers(f"measured[{name!r}]", values, at) for name, values in _named("measured", measured)}
    smooth = {name: _exact(f"exact[{name!r}]", values, at, log) for name, values in _named("exact", exact or {})}
    level = None if truth is None else validate.finite("truth", truth)
    _positive("x", at, "x" in log)
    for name, (values, _) in marked.items():
        _positive(f"measured[{name!r}]", values, "y" in log)
    for name, (_, values) in smooth.items():
        _positive(f"exact[{name!r}]", values, "y" in log)
    if level is not None:
        _positive("truth", np.array([level]), "y" in log)
    shades = _COLORS if colors is None else tuple(color_of(color) for color in colors)
    if colors is not None and len(shades) != len(marked):
        raise ValueError(f"colors has {len(shades)} entries for {len(marked)} curves: give one each.")

    joined = not any(callable(values) for values in (exact or {}).values())
    ax = axes_of(ax, (7, 4.5))
    for name, (where, values) in smooth.items():
        ax.plot(where, values, color=EXACT, lw=2.5, label=name)
    for k, (name, (values, bars)) in enumerate(marked.items()):
        color, mark = shades[k % len(shades)], _MARKS[k % len(_MARKS)]
        line = _LINES[k % len(_LINES)] if joined else ""
        shown = np.where(np.isfinite(values), values, np.nan)
        ax.errorbar(at, shown, yerr=bars, fmt=mark + line, color=color, lw=2, ms=8, capsize=4, label=name)
    if level is not None:
        ax.axhline(level, color=NEUTRAL, lw=2, ls="--", zorder=0, label="truth")
    _scale(ax, at, log)
    if len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(frameon=False)
    bad = sum(int((~np.isfinite(values)).sum()) for values, _ in marked.values())
    note_left_out(ax, bad, len(at) * len(marked), "numbers")
    return ax


def _named(name: str, given: object) -> list[tuple[str, Any]]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} is a {type(given).__name__}: give a dictionary, such as {{'Langevin': values}}.")
    return [(str(key), values) for key, values in given.items()]


def _numbers(name: str, values: Any, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401
    """The values, and half the length of their bars, each [n]."""
    given = values.detach().cpu() if isinstance(values, Tensor) else values
    try:
        found = np.array([[_value(one), _bar(one)] for one in given], dtype=float)
    except (TypeError, ValueError, AttributeError):
        raise TypeError(f"{name} is {short(values)}: give one number for each x, an Estimate or a Spread.") from None
    if len(found) != len(at):
        raise ValueError(f"{name} has {len(found)} values for {len(at)} of x: give one for each.")
    return found[:, 0], found[:, 1]


def _value(one: Any) -> float:  # noqa: ANN401
    return float(one.mean) if isinstance(one, Spread) else float(one)


def _bar(one: Any) -> float:  # noqa: ANN401
    if isinstance(one, Spread):
        return one.std
    return 2 * one.standard_error if isinstance(one, Estimate) else 0.0


def _exact(name: str, values: Any, at: np.ndarray, log: str) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401
    """Where the exact curve is drawn, and its values there."""
    if not callable(values):
        return at, _numbers(name, values, at)[0]
    _positive("x", at, "x" in log)
    space = np.geomspace if "x" in log else np.linspace
    grid = torch.as_tensor(space(at.min(), at.max(), _FINE), device="cpu")
    found = validate.numbers(name, values(grid)).numpy()
    if found.shape != (_FINE,):
        raise ValueError(f"{name} gives shape {list(found.shape)} for x of shape [{_FINE}]: give one value for each.")
    return grid.numpy(), found


def _positive(name: str, values: np.ndarray, is_log: bool) -> None:
    if is_log and bool((values <= 0).any()):
        raise ValueError(f"{name} holds {values.min():g}, which has no logarithm: leave out the axis in log.")


def _scale(ax: Axes, at: np.ndarray, log: str) -> None:
    if "x" in log:
        ax.set_xscale("log")
        if len(at) <= _NAMED and at.max() < 10**_DECADES * at.min():
            ax.set_xticks(at, labels=[f"{value:g}" for value in at])
            ax.xaxis.minorticks_off()
    if "y" in log:
        ax.set_yscale("log")
