"""Threads on a machine that others use, too: a classroom, or a laptop with a browser full of tabs.

torch splits a sum over the cores and waits for the slowest part. It waits by spinning: where other processes want the
cores, the threads that spin keep those that they wait for from running.
"""

import os
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


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute on the calling thread alone, where the work is too small to be split."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
