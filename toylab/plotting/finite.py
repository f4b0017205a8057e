"""What cannot be drawn, nan or inf, is left out of a picture, counted in a warning, and noted in its Axes."""

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from toylab._internal.arrays import array_of, is_array
from toylab._internal.warn import warn
from toylab.plotting.style import NEUTRAL


def field_values(name: str, values: object, instead: str, last: tuple[int, ...] = ()) -> np.ndarray:
    """Values on the cells of a rectangle as an array [rows, columns, *last] of floats, or raise.

    Args:
        name: of the argument.
        values: what was given.
        instead: what else could have been, in words.
        last: the shape of one value.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    elif is_array(values):
        values = array_of(name, values)
    if not isinstance(values, np.ndarray):
        raise TypeError(f"{name} is a {type(values).__name__}: give {instead}, or its values {_shape(last)}.")
    if values.ndim != 2 + len(last) or values.shape[2:] != last or 0 in values.shape:
        raise ValueError(
            f"{name} has shape {list(values.shape)}: give values {_shape(last)} at the points of metrics.grid_points, "
            "row i the i-th from the bottom."
        )
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise TypeError(f"{name} has dtype {values.dtype}: give real numbers.")
    return values.astype(float)


def longest_of(arrows: np.ndarray) -> float:
    """The length of the longest finite arrow of a field [..., 2]; 1 if there is none, or if all are 0."""
    sizes = np.linalg.norm(arrows, axis=-1)
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0)) or 1.0


def note_left_out(ax: Axes, n: int, of: int, what: str, *, told: bool = False) -> None:
    """Say in the Axes, and in a warning unless it was ``told`` before, that n things were not drawn."""
    if n == 0:
        return
    text = f"{n:,} of {of:,} {what} are nan or inf"
    if not told:
        warn(f"{text}: they are left out of the picture.")
    ax.text(
        0.02, 0.02, f"{text}: left out", transform=ax.transAxes, fontsize="small", color=NEUTRAL,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 2},
    )  # fmt: skip


def _shape(last: tuple[int, ...]) -> str:
    return f"[{', '.join(['rows', 'columns', *map(str, last)])}]"
