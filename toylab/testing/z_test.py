"""Whether a mean is what it should be, from independent values."""

import math

from torch import Tensor

Z = 5.0  # standard errors: each of the dozen statistics of a right loss fails with probability 6e-7


def is_mean(values: Tensor, mean: float, slack: float = 0.0) -> bool:
    """A z-test at 5 standard errors; values that do not vary must equal the mean."""
    error = float(values.std()) / math.sqrt(len(values))
    return abs(float(values.mean()) - mean) <= Z * error + slack + 1e-9 * max(1.0, abs(mean))
