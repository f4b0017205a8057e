"""Means of independent values, made precise by control variates, and what such a mean can and cannot tell."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from scipy.special import stdtrit
from torch import Tensor

FALSE_ALARM = 1e-7  # of a right loss in a whole run, before the skewness of means, for which a factor of 10 is left
EXACT = 1e-3  # an error of a tenth of a percent is no slip: differences of step h, or rounding at 1 / sigma^2
SEEN = 2.0  # standard errors beyond the threshold: a slip of that size is found in 98 % of runs


def threshold(n_tests: int) -> float:
    """Standard errors z at which one of ``n_tests`` tests of a right loss fails with probability 1e-7.

    By the union bound n_tests 2 (1 - Phi(z)) = 1e-7: 5.9 for 30 tests, 6.5 for 1,500.
    """
    return NormalDist().inv_cdf(1 - FALSE_ALARM / (2 * n_tests))


def threshold_of_few(n_tests: int, n: int, n_controls: int = 0) -> float:
    """The same for means of n values whose spread is not known but from themselves: Student's law, n - 1 - k degrees.

    The standard error of ``estimate`` divides by n - 1 whatever the number k of controls, and is made good here.
    """
    freedom = n - 1 - n_controls
    return -float(stdtrit(freedom, FALSE_ALARM / (2 * n_tests))) * math.sqrt((n - 1) / freedom)


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error and the number of values in it."""

    mean: float
    error: float
    n: int

    def is_off(self, expected: float, z: float) -> bool:
        """Whether the mean differs from what is expected by more than z standard errors, and a tenth of a percent."""
        return not abs(self.mean - expected) <= z * self.error + EXACT  # nan is off

    def visible(self, z: float) -> float:
        """The smallest difference that would have been found."""
        return (z + SEEN) * self.error + EXACT


def estimate(values: Tensor, controls: Tensor) -> Estimate:
    """The mean of values [n], less what they have in common with controls [n, k] of mean 0 (least squares).

    The mean stays what it was: the fitted coefficients only decide how much noise goes. Their own error is of order
    k / n and does not count.
    """
    n = len(values)
    if n < 2:
        return Estimate(float(values.sum()) if n else 0.0, math.inf, n)
    if controls.shape[1] == 0:
        return Estimate(float(values.mean()), float(values.std()) / math.sqrt(n), n)
    size = controls.square().mean(0).sqrt()
    usable = size.isfinite() & (controls.std(0) > 0.1 * size)  # what hardly varies has no mean of 0 but by rounding
    design = torch.cat([torch.ones_like(values)[:, None], controls[:, usable] / size[usable]], -1)
    if n <= 10 * design.shape[1]:
        design = design[:, :1]
    normal = design.T @ design / n + 1e-10 * torch.eye(design.shape[1], dtype=values.dtype, device=values.device)
    coefficients = torch.linalg.solve(normal, design.T @ values / n)
    left = values - design[:, 1:] @ coefficients[1:]
    return Estimate(float(left.mean()), float(left.std()) / math.sqrt(n), n)


def together(parts: list[Estimate]) -> Estimate:
    """The mean over all values of several batches."""
    n = sum(part.n for part in parts)
    used = [part for part in parts if part.n > 0]
    if not used:
        return Estimate(0.0, math.inf, 0)
    mean = sum(part.n * part.mean for part in used) / n
    return Estimate(mean, math.sqrt(sum((part.n * part.error) ** 2 for part in used)) / n, n)


def best(parts: list[Estimate]) -> Estimate:
    """The mean that several groups have in common, each counted by its precision."""
    used = [part for part in parts if math.isfinite(part.error)]
    if any(part.error == 0 for part in used) or not used:
        return together(parts)
    precision = sum(part.error**-2 for part in used)
    mean = sum(part.mean * part.error**-2 for part in used) / precision
    return Estimate(mean, precision**-0.5, sum(part.n for part in used))
