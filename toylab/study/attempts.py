"""Cells through an executor, tried again where they fail; no scheduler: what waits is one queue."""

import queue
from collections.abc import Generator, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, replace

from toylab._internal.display import reason
from toylab._internal.study_worker import Outcome, run_cell
from toylab.study.plan import seed_of
from toylab.study.processes import CannotStart

DEATHS = 4
"""How much more often a cell is tried whose worker died, which may be no fault of the cell's."""


class ExecutorGone(RuntimeError):
    """The executor takes no more cells, or does not answer for those it has."""


@dataclass(frozen=True)
class Try:
    """A cell that is to be computed: its key, its pickled arguments, and how often it raised and its worker died."""

    key: str
    combination: dict[str, bytes]
    raised: int = 0
    deaths: int = 0


def outcomes(
    executor: Executor, cell: bytes, toylab: str, tries: Iterator[Try], *, retries: int, window: int
) -> Generator[tuple[str, Outcome], None, None]:
    """(key, outcome) of each cell, in the order in which they end; at most ``window`` of them are under way at once.

    Raises:
        ExecutorGone: if the executor is broken, shut down, or has lost its scheduler.
    """
    answers: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
    under_way: dict[Future[Outcome], Try] = {}
    again: list[Try] = []
    try:
        while True:
            while len(under_way) < window and answers.empty():
                if (one := again.pop() if again else next(tries, None)) is None:
                    break
                future = _submit(executor, cell, toylab, one)
                under_way[future] = one
                future.add_done_callback(answers.put)
            if not under_way:
                return
            future = answers.get()
            one = under_way.pop(future)
            outcome, one = _outcome(future, one)
            if outcome.failure is not None and one.raised <= retries and one.deaths <= retries + DEATHS:
                again.append(one)
            else:
                yield one.key, outcome
    finally:
        for future in under_way:
            future.cancel()


def _submit(executor: Executor, cell: bytes, toylab: str, one: Try) -> "Future[Outcome]":
    try:
        return executor.submit(run_cell, cell, one.combination, seed_of(one.key), toylab, one.raised + one.deaths)
    except Exception as error:
        raise ExecutorGone(_gone(error)) from error


def _outcome(future: "Future[Outcome]", one: Try) -> tuple[Outcome, Try]:
    """What a future holds, and the cell with its failure counted."""
    try:
        outcome = future.result()
    except (BrokenExecutor, CancelledError, CannotStart) as error:
        raise ExecutorGone(_gone(error)) from error
    except Exception as error:  # noqa: BLE001  # the worker's end, in the words of its executor
        text = f"The worker died {one.deaths + 1} times: {type(error).__name__}: {error}"
        return Outcome({}, None, text), replace(one, deaths=one.deaths + 1)
    return outcome, one if outcome.failure is None else replace(one, raised=one.raised + 1)


def _gone(error: BaseException) -> str:
    why = f"{type(error).__name__}: {reason(error) if isinstance(error, Exception) else error}"
    return (
        f"the executor computes no more cells ({why}). What was done before is kept: run the same line again, with "
        "an executor that works, to go on."
    )
