"""Processes on this machine as an executor: one that dies loses the cell it was computing, and no other."""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

from toylab._internal.study_worker import READY

# One thread each, also in what counts its threads when it is loaded
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
# -P: the working directory is looked into only if this process does
COMMAND = [sys.executable, "-P", "-c", "from toylab._internal.study_worker import serve; serve()"]
STARTS = 3


class WorkerDied(RuntimeError):
    """A process ended in the middle of a cell."""


class CannotStart(RuntimeError):
    """No process comes up."""


class Processes(Executor):
    """So many processes, each with its own thread here that waits for it; a dead one is replaced for the next cell.

    They are new interpreters, and not forks, which torch's threads do not survive; no module ``__main__`` is run in
    them, so that a script needs no ``if __name__ == "__main__"``. They end with this process, however it ends.
    """

    def __init__(self, n: int) -> None:
        self._threads = ThreadPoolExecutor(n, thread_name_prefix="toylab-study")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":  # noqa: ANN401
        """Ask one of the processes for ``run_cell(*args)``, which is all that they can do."""
        del function, kwargs
        return self._threads.submit(self._ask, args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; what they are computing is lost."""
        del wait, cancel_futures
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            _bury(process)

    def _ask(self, args: tuple[Any, ...]) -> object:
        process = getattr(self._own, "process", None) or self._start()
        self._own.process = process
        try:
            pickle.dump(args, _end(process.stdin))
            _end(process.stdin).flush()
            return pickle.load(_end(process.stdout))
        except (EOFError, OSError, pickle.UnpicklingError):
            self._own.process = None
            raise WorkerDied(f"its process {_how_it_ended(_bury(process))}.") from None

    def _start(self) -> "subprocess.Popen[bytes]":
        for _ in range(STARTS):  # one that is killed on its way up is no fault of the cell's
            with self._lock:
                if self._closed:
                    raise WorkerDied("the study has ended.")
                process = subprocess.Popen(
                    COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
                    start_new_session=True,  # Ctrl-C is for this process, which then ends the others
                )
                self._processes = [other for other in self._processes if other.returncode is None] + [process]
            with suppress(EOFError, OSError, pickle.UnpicklingError):
                if pickle.load(_end(process.stdout)) == READY:
                    return process
            code = _bury(process)
            if code >= 0:
                break
        raise CannotStart(f"no process for cells comes up: the last one {_how_it_ended(code)}; see what it printed.")


def _end(pipe: IO[bytes] | None) -> IO[bytes]:
    """An end of a pipe, which ``Popen`` has where it was asked for one."""
    if pipe is None:
        raise OSError("the process has no pipe.")
    return pipe


def _bury(process: "subprocess.Popen[bytes]") -> int:
    """Close the pipes of a process that is dead, or then ends, and give its exit status."""
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # of what could not be sent any more
            _end(pipe).close()
    with suppress(subprocess.TimeoutExpired):
        return process.wait(10.0)
    process.kill()
    return process.wait()


def _how_it_ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
