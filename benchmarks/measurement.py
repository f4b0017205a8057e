"""A piece of a comparison that is measured in one go, and what becomes of its rows if that fails."""

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

Line = TypeVar("Line", bound=Any)
"""A ``Row``, or another frozen record with a field ``failed``."""


@dataclass(frozen=True)
class Measurement(Generic[Line]):
    """Rows that are measured together, later.

    Attributes:
        rows: what is to be measured, still without its numbers.
        measure: measures it, and returns the same rows with their numbers.
        skipped: why it is not to be measured; "" if it is.
    """

    rows: tuple[Line, ...]
    measure: Callable[[], Iterable[Line]]
    skipped: str = ""


def measured(measurement: Measurement[Line]) -> tuple[Line, ...]:
    """Its rows with their numbers; or with why they were skipped, or what went wrong, as all but Ctrl-C may."""
    if measurement.skipped:
        return tuple(replace(row, skipped=measurement.skipped) for row in measurement.rows)
    try:
        return tuple(measurement.measure())
    except Exception as error:  # whatever it is: the other rows go on
        return failed(measurement, said(error))


def failed(measurement: Measurement[Line], why: str) -> tuple[Line, ...]:
    """Its rows, each with what went wrong."""
    return tuple(replace(row, failed=why) for row in measurement.rows)


def said(error: Exception) -> str:
    """Type and message in one line; of a process, the last line that it wrote to standard error."""
    message = str(error)
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        message = f"exit status {error.returncode}, {error.stderr.strip().splitlines()[-1]}"
    return f"{type(error).__name__}: {' '.join(message.split())[:300]}"
