"""How two sides are timed fairly."""

import time
from collections.abc import Callable, Sequence


def time_in_turns(
    *sides: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[tuple[float, ...]]:
    """Seconds of each repeat of each side, taken in turns, so that whatever else the machine does affects all alike.

    Every side runs once before, unmeasured. A side that measures itself returns its seconds, a float.
    """
    for side in sides:
        side()
    return _timed(sides, repeats, clock)


def _timed(sides: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float]) -> list[tuple[float, ...]]:
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for times, side in zip(seconds, sides, strict=True):
            start = clock()
            own = side()
            times.append(own if isinstance(own, float) else clock() - start)
    return [tuple(times) for times in seconds]


def time_alone(side: Callable[[], object], *, repeats: int) -> tuple[float, tuple[float, ...]]:
    """Seconds of the first call, which compiles and records what there is to, and of each repeat after it."""
    (first, *rest), *_ = _timed([side], 1 + repeats, time.perf_counter)
    return first, tuple(rest)
