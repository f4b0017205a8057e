"""How two sides are timed fairly."""

import time
from collections.abc import Callable


def time_in_turns(
    *sides: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[tuple[float, ...]]:
    """Seconds of each repeat of each side, taken in turns, so that whatever else the machine does affects all alike.

    Every side runs once before, unmeasured. A side that measures itself returns its seconds, a float.
    """
    for side in sides:
        side()
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for times, side in zip(seconds, sides, strict=True):
            start = clock()
            own = side()
            times.append(own if isinstance(own, float) else clock() - start)
    return [tuple(times) for times in seconds]
