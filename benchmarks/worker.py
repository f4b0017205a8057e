"""Measurements in a process of their own: one that dies, or leaves the GPU unusable, takes no other with it."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from tqdm.auto import tqdm

from benchmarks.measurement import Measurement, failed, measured, said

Comparison = Callable[[float], Iterator[Measurement[Any]]]
"""A function of the share, at the top of a module: its process finds it there by its name."""


class Worker:
    """A process that measures one after the other, and is replaced after a failure. Use it in a ``with`` block.

    Ctrl-C does not reach it, since a training or a sampler that is interrupted returns what it has, which would be
    taken for the whole of it: it is the end of the block that stops the process, and what it started.
    """

    def __init__(self) -> None:
        self._process: Any = None
        self._connection: Any = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def rows(self, comparison: Comparison, share: float) -> Iterator[tuple[Any, ...]]:
        """The rows of each measurement of the comparison, as they come."""
        for k, measurement in enumerate(comparison(share)):
            if measurement.skipped:
                yield measured(measurement)
                continue
            found = self._measured(comparison, share, k, measurement)
            if any(row.failed for row in found):
                self._stop()  # a kernel that failed leaves its process without a GPU
            yield found

    def _measured(self, comparison: Comparison, share: float, k: int, measurement: Measurement[Any]) -> tuple[Any, ...]:
        if self._process is None:
            context = multiprocessing.get_context("spawn")  # a fork has no GPU
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,))
            self._process.start()
            theirs.close()
        try:
            self._connection.send((comparison, share, k))
            found: tuple[Any, ...] | str = self._connection.recv()
        except (EOFError, OSError):  # it has ended without an answer
            self._process.join()
            return failed(measurement, f"the process that measured it ended with exit code {self._process.exitcode}")
        return failed(measurement, found) if isinstance(found, str) else found

    def _stop(self) -> None:
        if self._process is None:
            return
        if hasattr(os, "killpg"):  # with whatever it has started
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._process = None


def _serve(connection: Connection) -> None:
    """Measure what is asked for until the other end is closed."""
    if hasattr(os, "setsid"):
        os.setsid()  # the terminal's Ctrl-C goes to the group that it left
    tqdm.set_lock(threading.RLock())  # its own is shared between processes, and would outlive one that is killed
    while True:
        try:
            comparison, share, k = connection.recv()
        except EOFError:
            return
        try:
            connection.send(measured(next(islice(comparison(share), k, None))))
        except Exception as error:
            connection.send(said(error))
