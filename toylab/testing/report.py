"""What a check found."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        check: its name.
        passed: whether the loss is right in this respect.
        message: what was measured, and in words what is wrong.
    """

    check: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Report:
    """All that ``check_objective`` found; printed, one line per check.

    Attributes:
        findings: in the order they were made. A loss that cannot be called is not checked further.
        loss_std: standard deviation over points of the loss of the true score: not a fault, but noise in training.
    """

    findings: tuple[Finding, ...]
    loss_std: float = math.nan

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.passed for finding in self.findings)

    @property
    def wrong(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        return "; ".join(finding.message for finding in self.findings if not finding.passed)

    def __str__(self) -> str:
        lines = [f"{'ok   ' if f.passed else 'WRONG'} {f.check}: {f.message}" for f in self.findings]
        return "\n".join(
            [*lines, f"      standard deviation of the loss of a point, at the truth: {self.loss_std:.3g}"]
        )
