"""What an experiment leaves behind: arrays and numbers, on disk as .npz and .json, drawn again without computing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from toylab.training import Spread


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of an experiment.

    Attributes:
        name: of the experiment.
        numbers: what is said in the figure: nested dictionaries of numbers, lists and strings, as JSON holds them.
        arrays: what is drawn in it.
    """

    name: str
    numbers: dict
    arrays: dict[str, np.ndarray]

    def save(self, folder: str | PathLike) -> None:
        """Write ``folder``/name.json and ``folder``/name.npz."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(self.numbers, indent=2) + "\n")
        np.savez_compressed(folder / f"{self.name}.npz", **self.arrays)

    @staticmethod
    def load(folder: str | PathLike, name: str) -> "Result":
        """Read what ``save`` wrote."""
        numbers = json.loads((Path(folder) / f"{name}.json").read_text())
        with np.load(Path(folder) / f"{name}.npz") as arrays:
            return Result(name, numbers, dict(arrays))


def spread(values: Sequence[float]) -> dict:
    """Mean, standard deviation of one (0 for a single value) and the values, as ``Result.numbers`` holds them."""
    known = Spread(tuple(float(value) for value in values))
    std = known.std if len(known.values) > 1 else 0.0
    return {"mean": known.mean, "std": std, "values": list(known.values)}


def generator(seed: int, stage: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random stream of one stage of an experiment, so that a change in one stage leaves the others as they are.

    On the CPU it gives the same numbers wherever the stage computes; on a GPU others, and many times as fast.
    """
    return torch.Generator(device).manual_seed(1000 * seed + stage)
