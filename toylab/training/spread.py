"""How much a number varies over networks trained from different seeds."""

import math
from dataclasses import dataclass

from toylab._internal.display import html_table


@dataclass(frozen=True)
class Spread:
    """A number measured on each of several trained networks: mean and standard deviation over them.

    >>> print(Spread((0.002, 0.003, 0.004)))
    0.0030 ± 0.0010
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the networks."""
        return sum(self.values) / len(self.values)

    @property
    def std(self) -> float:
        """Standard deviation of one network about the mean; nan of a single one."""
        if len(self.values) < 2:
            return math.nan
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (len(self.values) - 1))

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.std:.4f}"

    def _repr_html_(self) -> str:
        return html_table([
            ("mean", f"{self.mean:.6g}"),
            ("standard deviation", f"{self.std:.2g}"),
            ("networks", str(len(self.values))),
        ])  # fmt: skip
