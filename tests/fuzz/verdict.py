"""What may come of a call: a result without nan, or an error that the library raises itself, saying what to do."""

import ast
import functools
import gc
import linecache
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

import toylab
from toylab.densities import Checkerboard, FromEnergy, FromTorch, Square, Truncated
from toylab.objectives import BoundedImplicit, WallDistance

LIBRARY = Path(toylab.__file__).parent
HOSTILE = str(Path(__file__).with_name("hostile.py"))
SECONDS = 20
MEMORY = 3 << 30  # bytes more than the process has


class Hangs(BaseException):
    """The call went on for longer than any of these should."""


def complaint(function: Callable[..., Any], arguments: dict[str, Any], hostile: str, *, finite: bool) -> str | None:
    """What is wrong with how the call ends; None if nothing is.

    Args:
        function: what is called.
        arguments: with what.
        hostile: name of the argument that does not belong.
        finite: whether all arguments are finite, so that nan must not come of them in silence.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with _limited():
                result = function(**arguments)
        except Hangs:
            return f"hangs: more than {SECONDS} s"
        except Exception as error:  # noqa: BLE001
            return _foreign(error, hostile)
    # outside of them the score, or the loss, is nan, as documented
    walled = (FromEnergy, FromTorch, Square, Checkerboard, Truncated, WallDistance, BoundedImplicit)
    outside = isinstance(getattr(function, "__self__", None), walled)
    if finite and not caught and not outside and _has_nan(result):
        return "gives nan in silence"
    return None


def _foreign(error: Exception, hostile: str) -> str | None:
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if last.filename == HOSTILE:
        return None  # the user's own function failed, and the traceback ends in it
    if not _is_raised(last.filename, last.lineno or 0):
        return f"ends in an error that is not ours, at {Path(last.filename).name}:{last.lineno}: {text}"
    if len(str(error)) < 25 or not any(mark in str(error) for mark in ":;."):
        return f"says too little: {text}"
    return None


@functools.cache
def _raises(filename: str) -> frozenset[int]:
    """The lines of a file that belong to a raise statement."""
    tree = ast.parse("".join(linecache.getlines(filename)) or "")
    spans = [range(node.lineno, (node.end_lineno or 0) + 1) for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return frozenset(line for span in spans for line in span)


def _is_raised(filename: str, line: int) -> bool:
    return LIBRARY in Path(filename).parents and line in _raises(filename)


def _has_nan(result: Any) -> bool:
    if isinstance(result, torch.Tensor):
        return result.is_floating_point() and result.device.type != "meta" and bool(result.isnan().any())
    if isinstance(result, float):
        return result != result
    if isinstance(result, (tuple, list)):
        return any(_has_nan(part) for part in result)
    if hasattr(result, "samples") or hasattr(result, "log_prob") and is_dataclass(result):
        return any(_has_nan(getattr(result, name, None)) for name in ("samples", "log_prob", "score"))
    if is_dataclass(result) and {field.name for field in fields(result)} >= {"value"}:
        return _has_nan(result.value)
    return False


@contextmanager
def _limited() -> Iterator[None]:
    """Stop what takes too long, and refuse memory beyond a bound."""

    def stop(*_: Any) -> None:
        raise Hangs

    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (pages + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.collect(0)
