"""The folder of a study: a manifest that says which study it is, and one file for each cell that is done or failed.

    out/study.json            the plan
    out/table.parquet         the table, written at the end of each run
    out/cells/ab/abcd.json    the numbers of a cell, under its key
    out/cells/ab/abcd.npz     its arrays, written before
    out/cells/ab/abcd.failed  the traceback of a cell that failed and was not done since

Files are replaced whole, so that runs may be killed, and two may share a folder. They are not forced to the disk one by
one: after a power cut a file may be there without its content, and counts as missing.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TypeVar

from toylab._internal.display import short
from toylab._internal.folder import require_writable, write_whole
from toylab._internal.study_worker import Number, Outcome
from toylab.study.plan import Axis, Plan, difference

Numbers = dict[str, Number]
Written = TypeVar("Written")

MANIFEST, TABLE = "study.json", "table.parquet"
_FORMAT = "toylab study"
_DAY = 24 * 3600.0


def open_folder(out: str | PathLike[str], plan: Plan, *, write: bool = True) -> Path:
    """The folder of the study, with its manifest; or raise ValueError if it holds another one, OSError if it cannot be.

    Args:
        out: the folder, which is made if need be.
        plan: the study.
        write: whether the manifest is written; otherwise the folder is only looked at.
    """
    folder = path_of(out)
    there = read_plan(folder) if (folder / MANIFEST).exists() else None
    if there is not None and (why := difference(there, plan)) is not None:
        raise ValueError(
            f"out is {folder}, which holds a study {why}. Give another folder; a grid may grow in its own, by more "
            "values of its names."
        )
    if write:
        try:
            require_writable(folder)
        except OSError as error:
            raise type(error)(
                error.errno, f"out is {folder}: no file can be written there ({error.strerror})"
            ) from None
        if there != plan:
            content = json.dumps({"format": _FORMAT, **asdict(plan)}, indent=1)
            writing(folder, lambda: write_whole(folder, {MANIFEST: content.encode()}))
    return folder


def path_of(out: str | PathLike[str]) -> Path:
    """The folder as a path, or raise TypeError."""
    if not isinstance(out, str | PathLike) or not str(out):
        raise TypeError(f"out is {short(out)}, a {type(out).__name__}: give the name of a folder, such as 'study'.")
    return Path(os.fspath(out))


def read_plan(folder: Path) -> Plan:
    """The plan of the study in a folder, or raise ValueError if there is none."""
    try:
        content = json.loads((folder / MANIFEST).read_text())
        if content.pop("format") != _FORMAT:
            raise ValueError
        axes = [Axis(axis["name"], tuple(axis["shown"]), tuple(axis["hashes"])) for axis in content.pop("axes")]
        return Plan(**content, axes=tuple(axes))
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no study: give the folder that study.run was given as out.") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(
            f"{folder / MANIFEST} is no manifest of a study, or is damaged: give another folder."
        ) from None


@dataclass(frozen=True)
class Cells:
    """What is known of the cells of a study.

    Args:
        done: the numbers of those that are done, by key.
        failed: the keys of those that failed.
    """

    done: dict[str, Numbers]
    failed: set[str]


def read_cells(folder: Path, keys: Iterable[str]) -> Cells:
    """Look through the folder once, and read the files of these cells; one that is not whole counts as missing."""
    names = {name for shelf in _shelves(folder) for name in _names(shelf)}
    cells = Cells({}, set())
    for key in keys:
        if f"{key}.json" in names and (numbers := _read_numbers(_shelf(folder, key) / f"{key}.json")) is not None:
            cells.done[key] = numbers
        elif f"{key}.failed" in names:
            cells.failed.add(key)
    return cells


def _shelf(folder: Path, key: str) -> Path:
    return folder / "cells" / key[:2]


def _shelves(folder: Path) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(folder / "cells") if entry.is_dir()]
    except FileNotFoundError:
        return []


def _names(shelf: str) -> list[str]:
    """The files of a shelf; parts that a killed run left are swept away once no run can be writing them any more."""
    names = os.listdir(shelf)
    for name in names:
        part = Path(shelf, name)
        if name.endswith(".part") and time.time() - part.stat().st_mtime > _DAY:
            part.unlink(missing_ok=True)
    return names


def _read_numbers(file: Path) -> Numbers | None:
    try:
        with open(file, "rb") as opened:
            content = json.loads(opened.read())
        if content["array_bytes"] and file.with_suffix(".npz").stat().st_size != content["array_bytes"]:
            return None
        numbers: Numbers = content["numbers"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return numbers


def write_outcome(folder: Path, key: str, outcome: Outcome) -> None:
    """Write what became of a cell; arrays first, since the numbers are what makes it done."""
    shelf = _shelf(folder, key)
    if outcome.failure is not None:
        write_whole(shelf, {f"{key}.failed": outcome.failure.encode()})
        return
    if outcome.arrays is not None:
        write_whole(shelf, {f"{key}.npz": outcome.arrays})
    content = {"numbers": outcome.numbers, "array_bytes": len(outcome.arrays or b"")}
    write_whole(shelf, {f"{key}.json": json.dumps(content).encode()})
    (shelf / f"{key}.failed").unlink(missing_ok=True)


def read_failure(folder: Path, key: str) -> str:
    """The traceback of a cell that failed."""
    return (_shelf(folder, key) / f"{key}.failed").read_text()


def arrays_file(folder: Path, key: str) -> Path:
    """Where the arrays of a cell are, if it is done and returned any."""
    return _shelf(folder, key) / f"{key}.npz"


def writing(folder: Path, write: Callable[[], Written]) -> Written:
    """Write, or raise the OSError in a sentence that says what is kept."""
    try:
        return write()
    except OSError as error:
        raise type(error)(
            error.errno,
            f"out is {folder}: it cannot be written to any more ({error.strerror}). What was done before is kept: make "
            "room, and run the same line again to go on",
        ) from None
