"""The result of a comparison: one piece of work done by both sides, and the ratio of what they took."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One piece of work done by us and by a peer, in turns.

    Attributes:
        work: what is done.
        peer: what does it beside ours; or a limit, where there is no peer.
        goal: the most that ours may take, as a share of the peer's.
        ours: what each repeat of ours took, in ``unit``.
        theirs: what each repeat of the peer took; or the limit itself.
        reached: the result of both sides, which shows that they did the same.
        unit: of ``ours`` and ``theirs``.
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


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown: medians, their ratio with its range over the repeats, and whether the goal is met."""
    lines = [
        "| work | beside | ours | theirs | ratio (range) | goal | met | both reach |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.skipped:
            lines.append(f"| {row.work} | {row.peer} | – | – | – | {_two_digits(row.goal)} | – | {row.skipped} |")
            continue
        low, high = row.range
        ours, theirs = (f"{_two_digits(statistics.median(times))} {row.unit}" for times in (row.ours, row.theirs))
        met = "yes" if row.met else f"no, {row.ratio / row.goal:.1f} ×"
        ratio = f"{_two_digits(row.ratio)} ({_two_digits(low)}–{_two_digits(high)})"
        goal = _two_digits(row.goal)
        lines.append(f"| {row.work} | {row.peer} | {ours} | {theirs} | {ratio} | {goal} | {met} | {row.reached} |")
    return "\n".join(lines)


def _two_digits(value: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{float(f'{value:.2g}'):.10g}" if value < 100 else f"{value:.0f}"
