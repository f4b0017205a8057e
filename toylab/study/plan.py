"""What a study is: its function, its grid, toylab's version; and the key of each cell that follows from them."""

import hashlib
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from toylab._internal.display import short
from toylab.study.printed import printed

Shown: TypeAlias = bool | int | float | str | None
"""A value as a table shows it."""

EXAMPLE = '{"sigma": [0.1, 1.0], "seed": range(5)}'


@dataclass(frozen=True)
class Axis:
    """A name of the grid and its values: as a table shows them, and the hash of how they print."""

    name: str
    shown: tuple[Shown, ...]
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What makes one study differ from another.

    Args:
        function: name of the cell.
        source: its source.
        toylab: version of toylab.
        axes: the grid.
    """

    function: str
    source: str
    toylab: str
    axes: tuple[Axis, ...]

    @property
    def names(self) -> list[str]:
        """The names of the grid, in its order."""
        return [axis.name for axis in self.axes]

    def shown(self) -> Iterator[tuple[Shown, ...]]:
        """The combinations as a table shows them; the last name runs fastest."""
        return itertools.product(*(axis.shown for axis in self.axes))

    def keys(self) -> Iterator[str]:
        """The key of each combination, in the same order: a hash of version, source and values, by name."""
        common = hashlib.sha256(f"{self.toylab}\n{self.source}".encode())
        order = sorted(range(len(self.axes)), key=lambda k: self.axes[k].name)
        for hashes in itertools.product(*(axis.hashes for axis in self.axes)):
            own = common.copy()
            own.update("".join(f"\n{self.axes[k].name}={hashes[k]}" for k in order).encode())
            yield own.hexdigest()[:32]

    def at(self, combination: Mapping[str, Any]) -> "Plan":
        """The study of one combination, told by what a table shows; or raise ValueError if it is not in the grid."""
        axes = []
        for axis in self.axes:
            if axis.name not in combination:
                raise ValueError(f"the combination has no {axis.name}: give {', '.join(self.names)}.")
            value = combination[axis.name]
            if value not in axis.shown:
                raise ValueError(f"{axis.name} is {short(value)}, which is not in the grid: {short(list(axis.shown))}.")
            k = axis.shown.index(value)
            axes.append(Axis(axis.name, axis.shown[k : k + 1], axis.hashes[k : k + 1]))
        return replace(self, axes=tuple(axes))


def seed_of(key: str) -> int:
    """The seed of a cell, 60 bits of its key: neighbours in the grid share no noise."""
    return int(key[:15], 16)


def plan_of(cell: Callable[..., Any], grid: Mapping[str, Any]) -> tuple[Plan, list[tuple[Any, ...]]]:
    """The plan of a study, and the values of each name.

    Raises:
        TypeError, ValueError: unless the cell is a function with a source that takes the names of the grid and
            ``generator``, and every name has values that print, each in another way.
    """
    source = _source(cell)
    axes, values = zip(*(_axis(name, given) for name, given in _items(grid)), strict=True)
    _check_call(cell, [axis.name for axis in axes])
    return Plan(cell.__name__, source, version("toylab"), axes), list(values)


def _source(cell: object) -> str:
    if not inspect.isfunction(cell):
        raise TypeError(
            f"cell is {short(cell)}, a {type(cell).__name__}: give a function written with def, whose source tells one "
            "study from another. What a partial or an object holds goes into the grid, as a list of one value."
        )
    if cell.__name__ == "<lambda>":
        raise TypeError("cell is a lambda, whose source cannot be told from its neighbours': write it with def.")
    try:
        return textwrap.dedent(inspect.getsource(cell))
    except (OSError, TypeError):
        raise ValueError(
            f"the source of cell, {cell.__name__}, cannot be had, and without it an old result cannot be told from a "
            "new one. Write it in a file or in a notebook, not in a string or at the prompt of python."
        ) from None


def _items(grid: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if not isinstance(grid, Mapping):
        raise TypeError(f"grid is a {type(grid).__name__}: give names and their values, such as {EXAMPLE}.")
    if not grid:
        raise ValueError(f"grid has no names: give at least one, such as {EXAMPLE}.")
    for name in grid:
        if not isinstance(name, str) or not name.isidentifier() or name == "generator":
            raise ValueError(
                f"grid has the name {short(name)}: give names of arguments of cell, and not generator, which each cell "
                "gets from its key."
            )
    return list(grid.items())


def _axis(name: str, given: Any) -> tuple[Axis, tuple[Any, ...]]:  # noqa: ANN401
    if isinstance(given, str | bytes) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) != 1:
        raise TypeError(f"grid[{name!r}] is {short(given)}: give a list of values, such as {EXAMPLE}.")
    values = tuple(given.values() if isinstance(given, Mapping) else given)
    if not values:
        raise ValueError(f"grid[{name!r}] is empty: give at least one value.")
    words = [printed(name, value) for value in values]
    if len(set(words)) < len(words):
        twice = next(word for k, word in enumerate(words) if word in words[:k])
        raise ValueError(f"grid[{name!r}] has two values that print as {short(twice)}: give each once.")
    if isinstance(given, Mapping):
        shown: tuple[Shown, ...] = tuple(str(label) for label in given)
        if len(set(shown)) < len(shown):
            raise ValueError(f"grid[{name!r}] has two labels that print alike: give each value a label of its own.")
    else:
        shown = _as_shown(values, words)
    return Axis(name, shown, tuple(hashlib.sha256(word.encode()).hexdigest() for word in words)), values


def _as_shown(values: tuple[Any, ...], words: list[str]) -> tuple[Shown, ...]:
    """Numbers, truth values or texts as they are; of anything else, or of a mixture of them, how it prints."""
    plain = [value.item() if _is_scalar(value) else value for value in values]
    numbers = all(type(value) is float or (type(value) is int and abs(value) < 2**63) for value in plain)
    if numbers or all(type(value) is bool for value in plain) or all(type(value) is str for value in plain):
        return tuple(plain)
    return tuple(value if type(value) is str else word for value, word in zip(plain, words, strict=True))


def _is_scalar(value: object) -> bool:
    return isinstance(value, np.generic) or (isinstance(value, Tensor) and value.ndim == 0)


def _check_call(cell: Callable[..., Any], names: list[str]) -> None:
    try:
        inspect.signature(cell).bind(**dict.fromkeys([*names, "generator"]))
    except TypeError as error:
        raise TypeError(
            f"cell cannot be called as {cell.__name__}({', '.join(f'{name}=...' for name in names)}, generator=g): "
            f"{error}. Give the grid a name for each of its arguments."
        ) from None


def difference(there: Plan, new: Plan) -> str | None:
    """Why the cells of a new plan do not belong with those that are there; None if they do.

    A grid may grow: what is there already stays, and only what is new is computed.
    """
    if there.toylab != new.toylab:
        return f"of toylab {there.toylab}, and this is {new.toylab}"
    if there.source != new.source:
        return f"of another function, {there.function}, or of another source of it"
    if sorted(there.names) != sorted(new.names):
        return f"over {', '.join(there.names)}, and not over {', '.join(new.names)}"
    wanted = {axis.name: {*axis.hashes} for axis in new.axes}
    for axis in there.axes:
        gone = [value for value, hashed in zip(axis.shown, axis.hashes, strict=True) if hashed not in wanted[axis.name]]
        if gone:
            return f"of a grid whose {axis.name} also has {short(gone[0])}"
    return None
