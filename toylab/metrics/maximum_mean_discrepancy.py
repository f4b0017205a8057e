"""The maximum mean discrepancy of two clouds."""

import torch

from toylab._internal import validate
from toylab.metrics.points import PointsLike
from toylab.metrics.two_sample import TwoSample, median_distance, permutation_test, pool


def maximum_mean_discrepancy(
    x: PointsLike,
    y: PointsLike,
    *,
    bandwidth: float | None = None,
    n_permutations: int = 999,
    generator: torch.Generator | None = None,
) -> TwoSample:
    """MMD^2 = E k(X, X') + E k(Y, Y') - 2 E k(X, Y) with k = exp(-|x - y|^2 / (2 h^2)), unbiased; permutation p-value.

    The p-value is that of independent points. Pairs are compared block by block, in less than 0.3 GB.
    Source: Gretton et al. 2012, lemma 6.

    Args:
        x: a cloud [n, 2], or chains.
        y: another [m, 2]; n + m at most 20,000.
        bandwidth: h; None is the median distance between pooled points at different places.
        n_permutations: relabelings of the pooled points; 0 gives p = 1.
        generator: source of randomness for them; None is torch's global stream.
    """
    z, n = pool(x, y)
    h = median_distance(z) if bandwidth is None else validate.positive("bandwidth", bandwidth)
    return permutation_test(lambda distance: torch.exp(-0.5 * (distance / h) ** 2), z, n, n_permutations, generator)
