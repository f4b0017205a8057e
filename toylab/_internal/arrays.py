"""Arrays of NumPy, JAX, pandas and others at the door: their numbers become a tensor, by one rule for all functions.

The rule: whatever has ``__array__`` is read by NumPy, and copied to the CPU in its own precision, so that it may be
read-only, strided or on a GPU of JAX's. Numbers must be floating point, as those of a tensor must.
"""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from toylab._internal.display import reason


class HasArray(Protocol):
    """What NumPy can read: an array of NumPy's, JAX's or xarray's, a table of pandas'."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray: ...  # noqa: ANN401, D105


def is_array(x: object) -> bool:
    """Whether it is an array, and no tensor."""
    return hasattr(x, "__array__") and not isinstance(x, Tensor | type)


def array_of(name: str, x: Any) -> np.ndarray:  # noqa: ANN401
    """The numbers of an array as one of NumPy's, which may share its memory, or raise ``TypeError``."""
    if np.ma.is_masked(x):
        raise TypeError(f"{name} is an array with masked entries: give those that are left, or nan in their place.")
    try:
        return np.asarray(x)
    except Exception as error:  # whatever a package of the user's raises
        raise TypeError(
            f"{name} is a {type(x).__name__}, which NumPy cannot read ({reason(error)}): give a tensor or an array."
        ) from error


def tensor_of(name: str, x: Any) -> Any:  # noqa: ANN401
    """A tensor of the numbers of an array, in memory of its own; anything else is passed on as it is.

    Raises:
        TypeError: for an array of something else than real floating-point numbers.
    """
    if not is_array(x):
        return x
    array = array_of(name, x)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name} is a {type(x).__name__} of {array.dtype}: give floating-point numbers, as {name}.astype(float) "
            "has."
        )
    # native byte order, and no more than double precision: torch has no other
    return torch.from_numpy(np.array(array, dtype=f"f{min(array.dtype.itemsize, 8)}", order="C"))
