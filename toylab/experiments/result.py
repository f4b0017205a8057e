"""What an experiment leaves behind: arrays and numbers, on disk as .npz and .json, drawn again without computing."""

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toylab.experiments.setting import Numbers

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

    @staticmethod
    def load(folder: str | PathLike[str], name: str) -> "Result":
        """Read what ``save`` wrote."""
        numbers = json.loads((Path(folder) / f"{name}.json").read_text())
        with np.load(Path(folder) / f"{name}.npz") as arrays:
            return Result(name, numbers, dict(arrays))
