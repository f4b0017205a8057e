"""Threads on a machine that others use, too: a classroom, or a laptop with a browser full of tabs.

torch splits a sum over the cores and waits for the slowest part. It waits by spinning: where other processes want the
cores, the threads that spin keep those that they wait for from running.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_POLICY = "OMP_WAIT_POLICY"


def wait_passively() -> None:
    """Let threads sleep while they wait: for this process, if torch is not loaded yet, and for those it starts.

    Sets the environment variable ``OMP_WAIT_POLICY`` to "passive", which OpenMP reads when it is loaded, unless it is
    set already: ``OMP_WAIT_POLICY=active`` undoes it. Results do not change.
    Source: OpenMP 5.2, section 21.7.
    """
    os.environ.setdefault(WAIT_POLICY, "passive")


class _Depth(threading.local):
    value = 0


_lock, _here = threading.Lock(), _Depth()
_inside, _threads = 0, 1  # blocks of all threads, and torch's number before the first of them


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute on the calling thread alone, where the work is too small to be split.

    After the block it has as many as before it, or, of blocks that overlap, before the first of them: torch tells a new
    thread the number that was set last, by whichever thread.
    """
    import torch

    global _inside, _threads
    with _lock:
        before = torch.get_num_threads()  # asked in every thread: at its first question torch sets what was set last
        if _inside == 0:
            _threads = before
        _inside += 1
        _here.value += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            _here.value -= 1
            if _here.value == 0:
                torch.set_num_threads(_threads)
