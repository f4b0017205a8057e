"""A number with its error bar."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A measured number and its standard error (one standard deviation of the estimate).

    >>> print(Estimate(0.79721, 0.00503))
    0.797 ± 0.005
    """

    value: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.standard_error:.3f}"


def mean_of(values: Tensor) -> Estimate:
    """The mean of independent values [n], n >= 2, with standard error sd / sqrt(n)."""
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values has shape {list(values.shape)}: an error bar needs at least 2 values, shape [n].")
    values = values.double()
    return Estimate(float(values.mean()), float(values.std() / len(values) ** 0.5))
