"""What a published toy result is held against: the exact value or the floor, and what we measure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from toylab.experiments.setting import Numbers
from toylab.metrics import Estimate

N_ERRORS = 4.0  # error bars beyond which two numbers count as different


@dataclass(frozen=True)
class Line:
    """One published number, or picture, beside the truth.

    Attributes:
        what: what is measured.
        published: as it was published.
        ours: the same, measured here, with its error bar.
        truth: the exact value (of standard error 0), or the mean of what points of the law itself are given.
        is_floor: whether ``truth`` is such a floor, below which there is no number to be reached.
        verdict: what this says of the published result, in words.
    """

    what: str
    published: str
    ours: Estimate
    truth: Estimate
    is_floor: bool
    verdict: str


@dataclass(frozen=True)
class Paper:
    """A published result on toy data.

    Attributes:
        source: authors, year and where to read it.
        settings: what was run, in one line.
        run: its lines; ``seed``, ``share`` of the full size, ``progress``.
    """

    source: str
    settings: str
    run: Callable[..., Sequence[Line]]


def exactly(value: float) -> Estimate:
    """A number known without error."""
    return Estimate(value, 0.0)


def gap(a: Estimate, b: Estimate) -> float:
    """(a - b) in error bars; inf for different numbers that both are exact."""
    error = math.hypot(a.standard_error, b.standard_error)
    difference = a.value - b.value
    if error == 0.0:
        return 0.0 if difference == 0.0 else math.copysign(math.inf, difference)
    return difference / error


def differs(a: Estimate, b: Estimate) -> bool:
    """Whether the two are more than ``N_ERRORS`` error bars apart."""
    return abs(gap(a, b)) > N_ERRORS


def judged(found: Estimate, truth: Estimate) -> str:
    """What a number that was published, or stands for a formula, is in the light of the truth, in a word."""
    return "wrong" if differs(found, truth) else "right"


def of_ours(ours: Estimate, truth: Estimate) -> str:
    """Whether our own number is the true one, in words."""
    if differs(ours, truth):
        return f"ours is {abs(gap(ours, truth)):.0f} error bars from it"
    return "ours agrees with it"


def number(estimate: Estimate) -> str:
    """As a table shows it: the error bar to two digits, the value to as many."""
    if estimate.standard_error == 0.0:
        return f"{estimate.value:.4f}"
    digits = max(0, 1 - _exponent(estimate.standard_error))
    return format(estimate, f".{digits}f")


def _exponent(x: float) -> int:
    return int(f"{x:.0e}".split("e")[1])


def to_json(line: Line) -> Numbers:
    """The line as ``papers.json`` holds it."""
    return asdict(line)


def from_json(line: Numbers) -> Line:
    """The inverse of ``to_json``."""
    return Line(**{**line, "ours": Estimate(**line["ours"]), "truth": Estimate(**line["truth"])})


def table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table."""
    rows = [
        f"| {line.what} | {line.published} | {number(line.ours)} | "
        f"{number(line.truth)}{' (floor)' if line.is_floor else ''} | {line.verdict} |"
        for line in lines
    ]
    return "\n".join(["| | published | ours | exact, or floor | verdict |", "|---|---|---|---|---|", *rows])
