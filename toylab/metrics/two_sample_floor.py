"""What a distance gives between two samples of one law: what no sampler can be better than."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab.densities.density import Density
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.points import law


def two_sample_floor(
    p: Density,
    n: int,
    distance: Callable[[Tensor, Tensor], Any],
    *,
    n_repetitions: int = 20,
    generator: torch.Generator | None = None,
) -> Estimate:
    """The mean of distance(X, Y) over independent clouds X and Y of n points of p each: the floor of a distance.

    A sampler is measured by the distance of its n points from n of the law. That is not 0 for points of the law itself,
    and falls slowly with n: a table without this number does not tell how good its entries are.

    The error bar is that of the mean over the repetitions. One distance varies by sqrt(n_repetitions) times as much
    (standard deviation), which is what the single entry of a table is to be held against.

    Args:
        p: the law.
        n: points of each cloud.
        distance: of two clouds [n, 2]: ``metrics.wasserstein``, or any other function that gives a number, or a
            result with a ``value``. What costs time and is not used is best left out, as in
            ``lambda x, y: metrics.wasserstein(x, y, error_bar=False)``.
        n_repetitions: pairs of clouds, at least 2.
        generator: source of randomness for the clouds; None is torch's global stream.

    Raises:
        TypeError: if the distance gives something else than a number.

    >>> from toylab.densities import isotropic
    >>> p, g = isotropic([[0.0, 0.0]], 1.0), torch.Generator().manual_seed(0)
    >>> print(two_sample_floor(p, 100, lambda x, y: (x.mean(0) - y.mean(0)).square().sum(), generator=g))
    0.033 ± 0.006
    """
    p, n = law("p", p), validate.count("n", n)
    distance = validate.function("distance", distance, "metrics.wasserstein", takes=2)
    n_repetitions = validate.count("n_repetitions", n_repetitions, least=2)
    generator = validate.generator(generator)
    values = []
    for _ in range(n_repetitions):
        x, y = (p.sample((n,), generator=generator) for _ in range(2))
        values.append(_value(distance(x, y)))
    return mean_of(torch.tensor(values, dtype=torch.float64, device="cpu"))


def _value(found: Any) -> float:  # noqa: ANN401
    """The number that a distance is, or holds as its ``value``."""
    value = getattr(found, "value", found)
    if not validate.is_number(value):
        raise TypeError(
            f"distance gives {short(found)}: it must give one number, or a result with a value, as metrics.wasserstein "
            "does."
        )
    return float(value)
