"""What a check found."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        check: its name.
        passed: whether it is right in this respect, as far as the check can see.
        message: what was measured, and in words what is wrong.
        smallest_slip: the smallest relative error that would have been found, for the checks that are statistics.
        undecided: whether nothing is wrong but so large an error would have been missed that nothing is right either.
    """

    check: str
    passed: bool
    message: str
    smallest_slip: float = math.nan
    undecided: bool = False


@dataclass(frozen=True)
class Report:
    """All that a check found; printed, one line for each thing that was checked.

    Attributes:
        findings: in the order they were made. What cannot be called is not checked further.
        loss_std: standard deviation over points of the loss of the true score: not a fault, but noise in training; nan
            if no loss was checked.
        n: number of points from which the statistics come.
    """

    findings: tuple[Finding, ...]
    loss_std: float = math.nan
    n: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, and everything could be told."""
        return all(finding.passed for finding in self.findings)

    @property
    def undecided(self) -> bool:
        """Whether nothing is wrong, but something could not be told from so few points."""
        missed = [finding for finding in self.findings if not finding.passed]
        return bool(missed) and all(finding.undecided for finding in missed)

    @property
    def smallest_slip(self) -> float:
        """The largest of the findings' own: the smallest relative error that no check would have missed."""
        return max((f.smallest_slip for f in self.findings if not math.isnan(f.smallest_slip)), default=math.nan)

    @property
    def wrong(self) -> str:
        """What is wrong or could not be told, in words; empty if nothing is."""
        return "; ".join(finding.message for finding in self.findings if not finding.passed)

    def __str__(self) -> str:
        lines = [
            f"{'ok   ' if f.passed else '?    ' if f.undecided else 'WRONG'} {f.check}: {f.message}"
            for f in self.findings
        ]
        if not math.isnan(self.loss_std):
            lines.append(f"      standard deviation of the loss of a point, at the truth: {self.loss_std:.3g}")
        return "\n".join(lines)
