"""What a comparison leaves, and how two sides are timed fairly."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Row:
    """One work done by us and by a peer, in turns.

    Attributes:
        work: what is done.
        peer: by what beside ours; or the limit that stands in its place.
        goal: the most that ours may take, as a share of the peer's.
        ours: what each repeat of ours took, in ``unit``.
        theirs: what each repeat of the peer took; the limit itself where there is no peer.
        reached: what both sides came to, which shows that they did the same.
        unit: seconds unless said.
        skipped: why the row was not measured; "" if it was.
    """

    work: str
    peer: str
    goal: float
    ours: tuple[float, ...] = ()
    theirs: tuple[float, ...] = ()
    reached: str = ""
    unit: str = "s"
    skipped: str = ""

    @property
    def ratio(self) -> float:
        """Median of ours over median of theirs: below 1 ours is faster."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest ratio of a repeat of ours to the peer's of the same turn."""
        ratios = [a / b for a, b in zip(self.ours, self.theirs, strict=True)]
        return min(ratios), max(ratios)

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.ratio <= self.goal


def interleaved(
    *sides: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[tuple[float, ...]]:
    """Seconds of each repeat of each side, taken in turns, so that what else the machine does falls on all alike.

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


def missing(package: str) -> str:
    """Why a row beside this package is skipped, in a line; "" if it is installed."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return f'{package} is not installed: pip install -e ".[bench]"'
    return ""


def some(n: int, share: float, least: int = 1) -> int:
    """``share`` of n, rounded, at least ``least``."""
    return max(least, round(share * n))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown: medians, their ratio with its range over the repeats, and whether the goal is met."""
    lines = [
        "| work | beside | ours | theirs | ratio (range) | goal | met | both reach |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.skipped:
            lines.append(f"| {row.work} | {row.peer} | – | – | – | {_said(row.goal)} | – | {row.skipped} |")
            continue
        low, high = row.range
        ours, theirs = (f"{_said(statistics.median(times))} {row.unit}" for times in (row.ours, row.theirs))
        met = "yes" if row.met else f"no, {row.ratio / row.goal:.1f} ×"
        ratio = f"{_said(row.ratio)} ({_said(low)}–{_said(high)})"
        lines.append(
            f"| {row.work} | {row.peer} | {ours} | {theirs} | {ratio} | {_said(row.goal)} | {met} | {row.reached} |"
        )
    return "\n".join(lines)


def _said(value: float) -> str:
    """Two digits that count, without an exponent."""
    return f"{float(f'{value:.2g}'):.10g}" if value < 100 else f"{value:.0f}"
