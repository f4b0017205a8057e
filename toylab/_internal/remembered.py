"""A cache for tensors that CUDA graphs read: a graph goes on reading the memory that they had when it was recorded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_being_recorded: list[list[object]] = []  # what the steps that are recorded just now are to keep, the innermost last


def remembered(maxsize: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """``functools.lru_cache`` for functions that make tensors.

    A graph that was recorded with a result keeps it, also when the cache has forgotten it.
    """

    def decorate(make: Callable[P, R]) -> Callable[P, R]:
        cached = lru_cache(maxsize)(make)

        @wraps(make)
        def found(*args: P.args, **kwargs: P.kwargs) -> R:
            result: R = cached(*args, **kwargs)  # type: ignore[arg-type]  # every argument is one that can be hashed
            if _being_recorded:
                _being_recorded[-1].append(result)
            return result

        return found

    return decorate


@contextmanager
def kept_in(held: list[object]) -> Iterator[None]:
    """While a step is recorded: what remembered functions give goes to ``held`` as well."""
    _being_recorded.append(held)
    try:
        yield
    finally:
        _being_recorded.pop()
