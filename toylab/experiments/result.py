"""What an experiment leaves behind: arrays and numbers, on disk as .npz and .json, drawn again without computing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toylab._internal.optional import require
from toylab.experiments.setting import Numbers

if TYPE_CHECKING:
    import pandas

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of an experiment.

    Attributes:
        name: of the experiment.
        numbers: what the figure states: nested dictionaries of numbers, lists and strings, as JSON holds them.
        arrays: what it draws.
    """

    name: str
    numbers: Numbers
    arrays: Arrays

    def save(self, folder: str | PathLike[str]) -> None:
        """Write ``folder``/name.json and ``folder``/name.npz."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(self.numbers, indent=2) + "\n")
        named: dict[str, Any] = dict(self.arrays)
        np.savez_compressed(folder / f"{self.name}.npz", **named)

    def to_pandas(self) -> "pandas.DataFrame":
        """The numbers, one a row: the column ``name`` has its keys, joined by dots, ``value`` what it is."""
        frame: pandas.DataFrame = require("pandas", "to_pandas", "study").DataFrame(
            list(_rows("", self.numbers)), columns=["name", "value"]
        )
        return frame

    @staticmethod
    def load(folder: str | PathLike[str], name: str) -> "Result":
        """Read what ``save`` wrote."""
        numbers = json.loads((Path(folder) / f"{name}.json").read_text())
        with np.load(Path(folder) / f"{name}.npz") as arrays:
            return Result(name, numbers, dict(arrays))


def _rows(name: str, value: object) -> Iterator[tuple[str, object]]:
    """The keys and the value of every number in nested dictionaries and lists."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from _rows(f"{name}.{key}" if name else str(key), part)
    else:
        yield name, value
