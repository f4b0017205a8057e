"""The result of a comparison: one piece of work done by both sides, what each took, and how near it came."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LIMIT = "limit"
"""The peer of a row that is held against a number: the most that the work may take."""


@dataclass(frozen=True)
class Row:
    """One piece of work done by us and by a peer, in turns.

    Attributes:
        work: what is done.
        peer: what does it beside ours; ``LIMIT``, where ``theirs`` is the most that it may take.
        goal: the most that ours may take, as a share of the peer's.
        ours: what each repeat of ours took, in ``unit``.
        theirs: what each repeat of the peer took; or the limit, once.
        reached: the result of both sides, which shows that they did the same.
        unit: of ``ours``, ``theirs`` and ``floor``.
        skipped: why the row was not measured; "" if it was.
        error: how far the results of a side are from where they should be, at the worst of all repeats; None where the
            row says nothing on it.
        allowed: the most that ``error`` may be; None where the row says nothing on it.
        floor: the least that the hardware needs for this work; 0 where it was not measured.
        whole: whether all of the work was done, to which a limit refers, and not a share of it.
        failed: what went wrong, in one line; "" if nothing did.
    """

    work: str
    peer: str
    goal: float
    ours: tuple[float, ...] = ()
    theirs: tuple[float, ...] = ()
    reached: str = ""
    unit: str = "s"
    skipped: str = ""
    error: float | None = None
    allowed: float | None = None
    floor: float = 0.0
    whole: bool = True
    failed: str = ""

    @property
    def measured(self) -> bool:
        """Whether both sides were measured."""
        return not (self.skipped or self.failed)

    @property
    def ratio(self) -> float:
        """Median of ours over median of theirs: below 1 ours is faster."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest ratio of a repeat of ours to the peer's of the same turn."""
        theirs = self.theirs * len(self.ours) if self.peer == LIMIT else self.theirs
        ratios = [a / b for a, b in zip(self.ours, theirs, strict=True)]
        return min(ratios), max(ratios)

    @property
    def near_enough(self) -> bool:
        """Whether every repeat came as near as it must; an error that was not found, or is nan, did not."""
        return self.allowed is None or (self.error is not None and self.error <= self.allowed)

    @property
    def met(self) -> bool:
        """Whether the goal is met: by the whole work, in time, and near enough."""
        return self.measured and self.whole and self.ratio <= self.goal and self.near_enough


def limit(work: str, most: float, share: float = 1.0, unit: str = "s") -> Row:
    """A row that is still to be measured, held against the most that the work may take, if it is done in full."""
    return Row(work, LIMIT, 1.0, theirs=(most,), unit=unit, whole=share == 1)


def worst(errors: Iterable[float]) -> float:
    """The largest; nan if one of them is, which ``max`` would pass over."""
    known = tuple(errors)
    return math.nan if any(math.isnan(error) for error in known) else max(known)


HEADER = """\
| work | beside | ours | theirs | ratio (range) | goal | met | floor | both reach |
|---|---|---|---|---|---|---|---|---|"""


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown: medians, their ratio with its range over the repeats, and whether the goal is met."""
    return "\n".join([HEADER, *map(line, rows)])


def line(row: Row) -> str:
    """One row of the table."""
    cells = [row.work, row.peer, "–", "–", "–", _goal(row), "–", "–", row.skipped or f"failed: {row.failed}"]
    if row.measured:
        low, high = row.range
        ours, theirs = (amount(statistics.median(times), row.unit) for times in (row.ours, row.theirs))
        cells[2:5] = [ours, "–" if row.peer == LIMIT else theirs, two_digits(row.ratio)]
        cells[4] += f" ({two_digits(low)}–{two_digits(high)})"
        cells[6:] = [_met(row), amount(row.floor, row.unit) if row.floor else "–", _reached(row)]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _goal(row: Row) -> str:
    return f"≤ {amount(row.theirs[0], row.unit)}" if row.peer == LIMIT else two_digits(row.goal)


def _met(row: Row) -> str:
    if not row.near_enough:
        return "no, not reached"
    if not row.whole:
        return "–, a share"
    return "yes" if row.met else f"no, {row.ratio / row.goal:.1f} ×"


def _reached(row: Row) -> str:
    if row.allowed is None:
        return row.reached
    found = "not measured" if row.error is None else f"{row.error:.2g}"
    return f"{row.reached}{'; ' if row.reached else ''}off by {found}, allowed {row.allowed:.3g}"


def amount(value: float, unit: str) -> str:
    """A number and its unit: milliseconds below one of them."""
    return f"{two_digits(1e3 * value)} ms" if unit == "s" and value < 1e-3 else f"{two_digits(value)} {unit}"


def two_digits(value: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{float(f'{value:.2g}'):.10g}" if value < 100 else f"{value:.0f}"
