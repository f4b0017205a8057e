"""The sliced Wasserstein distance of two clouds: sorting, along many directions."""

import math

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import uniform
from toylab.metrics.estimate import Estimate
from toylab.metrics.jackknife import GROUPS, groupable, jackknife, outside_group
from toylab.metrics.points import PointsLike

_AT_ONCE = 4_000_000  # projected points: 64 MB, sorted


def sliced_wasserstein(
    x: PointsLike,
    y: PointsLike,
    *,
    n_directions: int = 256,
    generator: torch.Generator | None = None,
) -> Estimate:
    """sqrt of the mean over directions of W_2^2 between the projections; exact along each, directions equally spaced.

    A random first angle makes the mean over directions unbiased. For two clouds from one law it is not zero: compare
    with the distance of two fresh samples, the two-sample floor. The error bar is that of the mean distance of clouds
    of this size, by ten groups left out in turn, and so of Student's law with 9 degrees of freedom. Directions are
    taken in blocks, of 0.3 GB at most for up to a million points.
    Source: Rabin et al. 2012; Efron & Stein 1981 for the jackknife.

    Args:
        x: a cloud [n, 2], n >= 10, its order without meaning; or chains.
        y: another [m, 2], m >= 10.
        n_directions: directions in the half-circle.
        generator: source of randomness for the first angle; None is torch's global stream.
    """
    x, y = groupable("x", x), groupable("y", y)
    n_directions = validate.count("n_directions", n_directions)
    first = uniform((), dtype=torch.float64, device=x.device, generator=generator)
    angles = math.pi * (torch.arange(n_directions, dtype=torch.float64, device=x.device) + first) / n_directions
    directions = torch.stack([angles.cos(), angles.sin()])

    whole, left_out = 0.0, [0.0] * GROUPS
    for some in directions.split(max(1, _AT_ONCE // (len(x) + len(y))), 1):
        share, shape = some.shape[1] / n_directions, (some.shape[1], -1)
        # sorted once: what is left of a sorted cloud without some of its points is sorted too
        (a, i), (b, j) = ((some.T @ cloud.to(x.device).double().T).sort(-1) for cloud in (x, y))
        whole += share * _mean_square_gap(a, b)
        for k in range(GROUPS):
            left, right = (values[outside_group(index, k)].view(shape) for values, index in ((a, i), (b, j)))
            left_out[k] += share * _mean_square_gap(left, right)
    return jackknife(math.sqrt(whole), lambda k: math.sqrt(left_out[k]))


def _mean_square_gap(a: Tensor, b: Tensor) -> float:
    """Mean over the rows of W_2^2 between sorted samples [r, n] and [r, m]."""
    if a.shape == b.shape:
        return float((a - b).square().mean())
    # quantile functions are steps: both are constant between the merged jumps
    shares = [torch.arange(1, sample.shape[1] + 1, device=a.device).double() / sample.shape[1] for sample in (a, b)]
    jumps = torch.cat(shares).sort().values
    widths = jumps.diff(prepend=jumps.new_zeros(1))
    middle = jumps - 0.5 * widths
    i, j = ((middle * sample.shape[1]).long().clamp(max=sample.shape[1] - 1) for sample in (a, b))
    return float((widths * (a[:, i] - b[:, j]).square()).sum(-1).mean())
