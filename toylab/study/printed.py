"""A value as it prints, which is how a study knows it again: the whole value, in every process and on every day."""

import dataclasses
import functools
import inspect
from types import BuiltinFunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toylab._internal.display import short

ABRIDGED = ("tensor(", "array(")  # torch and NumPy leave digits and rows out
LIBRARIES = ("toylab", "torch")  # whose functions are told by their names


def printed(name: str, value: Any) -> str:  # noqa: ANN401
    """The value in words that hold all of it.

    Numbers of NumPy and tensors without dimensions print as Python's, tensors and arrays with every digit, dataclasses,
    as the objects of the lab are, by what they are built from, functions of toylab and torch by their names, and
    everything else by its ``repr``.

    Raises:
        TypeError: for what prints without its numbers, as a network, or with an address, which is another one in the
            next process.
    """
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.ndim == 0):
        return repr(value.item())
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__}({value.tolist()!r}, {value.dtype})"
    if isinstance(value, nn.Module | torch.distributions.Distribution):
        raise TypeError(_refused(name, value, "prints without its numbers"))
    if isinstance(value, functools.partial):
        return f"partial({printed(name, (value.func, value.args, value.keywords))})"
    if inspect.ismethod(value):
        return f"{printed(name, value.__self__)}.{value.__name__}"
    if (known := _name_in_a_library(value)) is not None:
        return known
    return _by_parts(name, value)


def _by_parts(name: str, value: Any) -> str:  # noqa: ANN401
    kind = type(value).__name__
    if isinstance(value, dict):
        return f"{kind}({[(printed(name, key), printed(name, entry)) for key, entry in value.items()]})"
    if isinstance(value, set | frozenset):
        return f"{kind}({sorted(printed(name, entry) for entry in value)})"
    if isinstance(value, list | tuple):
        return f"{kind}({[printed(name, entry) for entry in value]})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (f"{f.name}={printed(name, getattr(value, f.name))}" for f in dataclasses.fields(value) if f.init)
        return f"{kind}({', '.join(parts)})"
    text = repr(value)
    if not isinstance(value, str | bytes):
        if " at 0x" in text:
            raise TypeError(_refused(name, value, "prints with its address in memory, another one in the next process"))
        if any(word in text for word in ABRIDGED):
            raise TypeError(_refused(name, value, "prints tensors or arrays, which leave digits out"))
    return text


def _name_in_a_library(value: Any) -> str | None:  # noqa: ANN401
    """``torch.square`` or ``toylab.objectives.sliced.rademacher``; None of what is no such function."""
    name = getattr(value, "__name__", "")
    if isinstance(value, BuiltinFunctionType) and getattr(torch, name, None) is value:
        return f"torch.{name}"
    if inspect.isfunction(value) and "<" not in value.__qualname__:
        home = value.__module__ or ""
        if home.partition(".")[0] in LIBRARIES:
            return f"{home}.{value.__qualname__}"
    return None


def _refused(name: str, value: object, why: str) -> str:
    return (
        f"grid[{name!r}] holds a {type(value).__name__} that {why} ({short(value)}): a study would not know it again. "
        "Give a name or a number, and build the object in the cell."
    )
