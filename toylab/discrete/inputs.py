"""What tables and vectors of numbers must be, before any sum over states is taken."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from toylab._internal import devices, validate
from toylab._internal.display import short, why_not_numbers

Vector: TypeAlias = Tensor | Sequence[float]
Matrix: TypeAlias = Tensor | Sequence[Sequence[float]]

_LARGEST = 1e30  # sums of what is larger may overflow in float32


def numbers(name: str, value: Matrix | Vector) -> Tensor:
    """The numbers as a tensor, finite where they can be read."""
    try:
        given = (
            value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.get_default_dtype(), device="cpu")
        )
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(
            f"{name} is {short(value)}: it must be numbers, as a tensor or as lists, {why_not_numbers(value)}."
        ) from None
    check_precision(name, given)
    if validate.readable(given) and not bool((given.abs() <= _LARGEST).all()):  # nan compares false
        raise ValueError(f"{name} is {short(given.tolist())}: every entry must be finite, and at most 1e30.")
    return given


def check_precision(name: str, value: Tensor) -> Tensor:
    """Return ``value``, or raise unless it is dense, in float32 or float64, where there is float64."""
    devices.refuse_without_float64(name, validate.floating(name, value))
    if value.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} is {value.dtype}: sums over all states need more digits. Give {name}.float().")
    return value
