"""The error bar of a distance between two clouds: ten groups of points are left out in turn."""

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from toylab.metrics.estimate import Estimate
from toylab.metrics.points import PointsLike, finite_points

GROUPS = 10


def groupable(name: str, x: PointsLike) -> Tensor:
    """The finite points of a cloud, enough for one in each group, or raise."""
    points = finite_points(name, x)
    if len(points) < GROUPS:
        raise ValueError(f"{name} has {len(points)} points: the error bar needs at least {GROUPS}.")
    return points


def outside_group(index: Tensor, k: int) -> Tensor:
    """Which of the points of these indices stay when group k, every tenth point from the k-th on, is left out."""
    return index % GROUPS != k


def jackknife(distance: float, without: Callable[[int], float]) -> Estimate:
    """The distance, with its standard error from ``without(k)``: the distance without group k of both clouds.

    Source: Efron & Stein 1981.
    """
    spread = float(np.var([without(k) for k in range(GROUPS)])) * (GROUPS - 1)
    return Estimate(distance, math.sqrt(spread))
