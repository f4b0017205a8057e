"""The Wasserstein distance of two clouds: the best of all matchings."""

import math

import torch
from torch import Tensor

from toylab.metrics.estimate import Estimate
from toylab.metrics.jackknife import groupable, jackknife, outside_group
from toylab.samplers.chains import Chains

_MOST_MATCHED = 2000


def wasserstein(x: Tensor | Chains, y: Tensor | Chains) -> Estimate:
    """The 2-Wasserstein distance of two clouds of one size: sqrt of the least mean |x_i - y_pi(i)|^2, by assignment.

    For two clouds from one law it is not zero: the error bar is that of the mean distance of clouds of this size, not
    of their laws. It is that of ten groups left out in turn, at the cost of ten more assignments, and so of Student's
    law with 9 degrees of freedom: the truth is beyond two error bars in 8 of 100 cases.

    Args:
        x: a cloud [n, 2], n from 10 to 2,000, its order without meaning; or chains.
        y: another of the same size.
    """
    x, y = groupable("x", x), groupable("y", y)
    if len(x) != len(y) or len(x) > _MOST_MATCHED:
        raise ValueError(f"x and y have {len(x)} and {len(y)} points: give equally many, at most {_MOST_MATCHED}.")
    index = torch.arange(len(x), device=x.device)
    y = y.to(x)

    def without(k: int) -> float:
        kept = outside_group(index, k)
        return _distance(x[kept], y[kept])

    return jackknife(_distance(x, y), without)


def _distance(x: Tensor, y: Tensor) -> float:
    from scipy.optimize import linear_sum_assignment  # slow to load, and needed only here

    gaps = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")
    cost = gaps.square().cpu().numpy()
    rows, columns = linear_sum_assignment(cost)
    return math.sqrt(float(cost[rows, columns].mean()))
