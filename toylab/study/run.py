"""Running a study: what is missing in its folder is computed, and the table is made of all that is there."""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from functools import partial
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import torch
from tqdm.auto import tqdm

from toylab._internal import validate
from toylab._internal.display import reason, short
from toylab._internal.folder import write_whole
from toylab._internal.study_worker import Outcome
from toylab._internal.warn import warn
from toylab.study.attempts import Try, outcomes
from toylab.study.folder import TABLE, Cells, open_folder, read_cells, write_outcome, writing
from toylab.study.plan import plan_of
from toylab.study.printed import LIBRARIES
from toylab.study.processes import Processes
from toylab.study.table import parquet, table_of

WINDOW = 4096
"""Cells that an executor of the user's has at once, so that a cluster is never idle and a million are not all sent."""


def run(
    cell: Callable[..., Mapping[str, Any]],
    grid: Mapping[str, Any],
    *,
    out: str | PathLike[str],
    executor: Executor | None = None,
    workers: int | None = None,
    retries: int = 1,
    retry_failed: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Call ``cell(**combination, generator=g)`` for each combination of the grid, and return all results as one table.

    A run that was killed goes on where it was when the same line is run again: each cell that is done is a file in
    ``out``. A cell is known by its key, a hash of its combination, of the source of ``cell`` and of toylab's version,
    and g is seeded by the key alone, so that the results are the same, bit for bit, whatever the executor, the number
    of workers, the order and the interruptions, on machines of one kind.

    What ``cell`` uses from outside of itself, other functions and global or enclosing variables, is not in its source:
    a change there is not noticed. Give such values through the grid, or a new folder after a change.

    Args:
        cell: a plain function, of a file or a notebook, that returns a dict of numbers, texts, tensors and arrays. It
            computes on one thread of torch's, and draws from its ``generator``, on the CPU, alone.
        grid: names of arguments and their values, such as ``{"density": [two_modes(), ring()], "seed": range(5)}``;
            all combinations are run, the last name fastest. Values are known by how they print; long ones can have
            labels, ``{"density": {"two modes": two_modes()}}``, which are what the table shows.
        out: the folder of the study, made if need be. It holds one study: another function or another toylab is
            refused, and so is another grid, but that it may grow. Two runs may share it at the same time.
        executor: anything of ``concurrent.futures``, such as ``dask.distributed.Client(...).get_executor()``, whose
            workers have the same toylab, each computing one cell at a time; it is left open. None is processes on this
            machine.
        workers: how many processes if there is no executor; None is one for each core. On a GPU, few.
        retries: how often a cell that raises is tried again before it counts as failed; one whose worker died, which
            may be no fault of its own, is tried four times more.
        retry_failed: try again those that failed in an earlier run.
        progress: show a progress bar.

    Returns:
        One row for each cell that is done, in the order of the grid: the columns of the grid, then the numbers. The
        same is in ``out`` as ``table.parquet``. Arrays are read by ``study.arrays``, tracebacks by ``study.states``.

    Warns:
        ToylabWarning: if cells failed, or the run was interrupted by Ctrl-C, which returns what is done so far.

    Raises:
        TypeError, ValueError: for bad input, before any work; also if ``out`` holds another study.
        OSError: if ``out`` cannot be written to, as when the disk is full; what is done is kept.
        RuntimeError: if the executor stops working; what is done is kept.
    """
    plan, values = plan_of(cell, grid)
    retries = validate.count("retries", retries, least=0)
    workers = validate.count("workers", _cores() if workers is None else workers)
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor is {short(executor)}, a {type(executor).__name__}: give one of concurrent.futures, such as "
            "client.get_executor() of a client of Dask, or None for processes on this machine."
        )
    function, pickled = _pickled(cell, plan.names, values)
    folder = open_folder(out, plan)
    keys = list(plan.keys())
    cells = read_cells(folder, keys)
    passed_over = set() if retry_failed else cells.failed.copy()
    tries = (
        Try(key, dict(zip(plan.names, combination, strict=True)))
        for key, combination in zip(keys, product(*pickled), strict=True)
        if key not in cells.done and key not in passed_over
    )
    if (n := len(keys) - len(passed_over)) > len(cells.done):
        with _running(executor, workers) as (at_work, window):
            results = outcomes(at_work, function, plan.toylab, tries, retries=retries, window=window)
            _keep(results, folder, cells, n, progress)
    table = table_of(plan, keys, cells.done)
    writing(folder, lambda: write_whole(folder, {TABLE: parquet(table)}))
    if cells.failed:
        warn(
            f"{len(cells.failed)} of {len(keys)} cells failed: study.states({str(folder)!r}) has their tracebacks, and "
            "retry_failed=True (--retry-failed) tries them again."
        )
    return table


def _keep(
    results: Generator[tuple[str, Outcome], None, None], folder: Path, cells: Cells, n: int, progress: bool
) -> None:
    """Write each outcome as it comes, of n cells in all."""
    bar = tqdm(total=n, initial=len(cells.done), desc="study", unit="cell", disable=not progress)
    with bar, closing(results):
        try:
            for key, outcome in results:
                writing(folder, partial(write_outcome, folder, key, outcome))
                if outcome.failure is None:
                    cells.done[key] = outcome.numbers
                    cells.failed.discard(key)
                else:
                    cells.failed.add(key)
                    bar.set_postfix_str(f"{len(cells.failed)} failed")
                bar.update()
        except KeyboardInterrupt:
            warn(f"study was interrupted after {len(cells.done)} of {n} cells: what is done so far is returned.")


@contextmanager
def _running(executor: Executor | None, workers: int) -> Iterator[tuple[Executor, int]]:
    """An executor, and how many cells it may have at once: one that waits beside each that is computed."""
    if executor is None:
        processes = Processes(workers)
        try:
            yield processes, 2 * workers
        finally:
            processes.shutdown()
    else:
        threads = torch.get_num_threads()  # cells may be computed in this process, and set it to one
        try:
            yield executor, WINDOW
        finally:
            torch.set_num_threads(threads)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pickled(
    cell: Callable[..., Any], names: list[str], values: list[tuple[Any, ...]]
) -> tuple[bytes, list[list[bytes]]]:
    """The function and every value in bytes, so that each cell gets values of its own, which it may change."""
    with _by_value(cell.__module__):
        function = _dumped("cell", cell)
        return function, [
            [_dumped(f"grid[{name!r}]", value) for value in axis] for name, axis in zip(names, values, strict=True)
        ]


@contextmanager
def _by_value(module: str) -> Iterator[None]:
    """What is defined beside the cell travels with it: a worker need not be able to import that file."""
    known = module in sys.modules and module.partition(".")[0] not in LIBRARIES
    if not known or module in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(sys.modules[module])
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[module])


def _dumped(name: str, value: object) -> bytes:
    try:
        pickled: bytes = cloudpickle.dumps(value)
    except Exception as error:  # noqa: BLE001  # pickling raises what the objects' own methods raise
        raise TypeError(
            f"{name} cannot be sent to a worker ({type(error).__name__}: {reason(error)}). Build in the cell what "
            "cannot be pickled, such as open files and locks."
        ) from None
    return pickled
