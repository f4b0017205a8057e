"""One cell of a study, where it is computed: in a process of ours, or wherever an executor of the user's runs it.

It is here and not in ``toylab.study``, so that a worker does not load pandas.
"""

import functools
import io
import os
import pickle
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from toylab._internal.display import short

Number = bool | int | float | str


class Outcome(NamedTuple):
    """What became of a cell: its numbers and the bytes of an npz with its arrays, or why it failed."""

    numbers: dict[str, Number]
    arrays: bytes | None
    failure: str | None


@functools.lru_cache(2)
def _unpickled(cell: bytes) -> Callable[..., Any]:
    """The function, unpickled once in each process and not once for each cell."""
    function: Callable[..., Any] = pickle.loads(cell)
    return function


def run_cell(cell: bytes, combination: dict[str, bytes], seed: int, toylab: str, attempt: int) -> Outcome:
    """Compute a cell on one thread, from its own generator; what it raises is its outcome, and never raised.

    Args:
        cell: the pickled function.
        combination: its arguments, each pickled.
        seed: of its generator.
        toylab: the version that is to compute it.
        attempt: how often it was tried before, so that no scheduler takes two tries for one task.
    """
    del attempt
    if version("toylab") != toylab:
        return Outcome({}, None, f"the worker has toylab {version('toylab')}, the study {toylab}: install that there.")
    torch.set_num_threads(1)  # sums over several threads have other last digits than sums over one
    try:
        function, given = _unpickled(cell), {name: pickle.loads(value) for name, value in combination.items()}
        before = torch.get_rng_state()
        result = function(**given, generator=torch.Generator("cpu").manual_seed(seed))
        if not torch.equal(before, torch.get_rng_state()):
            raise ValueError(
                "the cell drew from torch's global stream, whose numbers depend on what ran before it: let everything "
                "in it draw from its generator, networks included, or draw within torch.random.fork_rng() and a seed."
            )
        return _stored(result, {*given})
    except (Exception, SystemExit) as error:
        here = error.__traceback__
        error.__traceback__ = here.tb_next if here and here.tb_next else here  # from the cell on
        return Outcome({}, None, "".join(traceback.format_exception(error)))


def _stored(result: object, taken: set[str]) -> Outcome:
    """The numbers and the arrays of what a cell returned, under other names than those of its arguments."""
    if not isinstance(result, Mapping):
        raise TypeError(f"the cell returned {short(result)}: return a dict of numbers and arrays, by their names.")
    numbers: dict[str, Number] = {}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in result.items():
        if not isinstance(name, str):
            raise TypeError(f"the cell returned the name {short(name)}: names must be text (str).")
        if name in taken:
            raise ValueError(f"the cell returned the name {name}, which the grid has already: give it another one.")
        array = _as_array(name, value)
        if array is None:
            numbers[name] = value
        elif array.ndim == 0:
            numbers[name] = _as_number(name, array.item())
        else:
            arrays[name] = array
    numbers = {name: _as_number(name, value) for name, value in numbers.items()}
    if not arrays:
        return Outcome(numbers, None, None)
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return Outcome(numbers, file.getvalue(), None)


def _as_array(name: str, value: object) -> np.ndarray[Any, Any] | None:
    """A tensor or an array of numbers as an array; None of anything else."""
    if isinstance(value, Tensor):
        try:
            value = value.detach().cpu().numpy()
        except (TypeError, RuntimeError, ValueError) as error:
            raise TypeError(f"{name}, a tensor of {value.dtype}, cannot be stored ({error}): try .float().") from None
    if not isinstance(value, np.ndarray | np.generic):
        return None
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name}, an array of {value.dtype}, cannot be stored: return real numbers.")
    return np.asarray(value)


def _as_number(name: str, value: object) -> Number:
    if type(value) in (bool, float, str) or (type(value) is int and -(2**63) <= value < 2**63):
        return value  # type: ignore[return-value]
    raise TypeError(
        f"{name} is {short(value)}, a {type(value).__name__}, which cannot be stored: return numbers below 2^63, texts "
        "(str), tensors or arrays."
    )


READY = "ready"


def serve() -> None:
    """Answer requests on standard input until it ends, as it does when the process that asks is gone, killed or not."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a cell prints is no reply
    asked: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, asked), daemon=True).start()
    _reply(replies, READY)
    while True:
        _reply(replies, run_cell(*asked.get()))


def _listen(requests: IO[bytes], asked: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    """Hear the end of the requests at once, in the middle of a cell too: nobody waits for it any more."""
    while True:
        try:
            asked.put(pickle.load(requests))
        except (EOFError, OSError, pickle.UnpicklingError):
            sys.stderr.flush()
            os._exit(0)


def _reply(replies: IO[bytes], what: object) -> None:
    try:
        pickle.dump(what, replies)
        replies.flush()
    except OSError:
        os._exit(0)
