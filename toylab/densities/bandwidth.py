"""How wide to make the kernels of a density estimate: rules for the h of ``Points(data).noised(h)``.

The estimate is the mean of N(x_i, h^2 I) over the data x_1 .. x_n: the same h along every direction.
"""

import math

import numpy as np
import scipy  # which loads each of its parts when it is first asked for
import torch
from torch import Tensor

from toylab._internal import validate

_MOST_PAIRS = 50_000_000


def scott(data: Tensor) -> float:
    """h = s n^(-1/(d + 4)), d = 2, with s^2 the mean of the data's variances along the axes.

    The factor is ``scipy.stats.gaussian_kde``'s, which takes the full covariance in place of s^2. It is meant for
    laws with one mode: with several far apart, s is about the distance between them, and h is much too large.
    Source: Scott 1992, *Multivariate Density Estimation*, eq. 6.42.

    Args:
        data: points [n, 2], n >= 3, not all on a line.
    """
    return _scale(data) * float(scipy.stats.gaussian_kde(_array(data).T).scotts_factor())


def silverman(data: Tensor) -> float:
    """h = s (n (d + 2) / 4)^(-1/(d + 4)), which in the plane is Scott's rule: (d + 2) / 4 = 1.

    Source: Silverman 1986, *Density Estimation*, eq. 4.14; the factor is ``scipy.stats.gaussian_kde``'s.

    Args:
        data: points [n, 2], n >= 3, not all on a line.
    """
    return _scale(data) * float(scipy.stats.gaussian_kde(_array(data).T).silverman_factor())


def leave_one_out(data: Tensor) -> float:
    """The h that maximises the likelihood of each point under the estimate from all the others.

        L(h) = mean_i log ( 1/(n - 1) sum_{j != i} N(x_i; x_j, h^2 I) )

    It assumes no shape of the law; it is not robust: far outliers widen it. Found by SciPy, from a scan over log h to
    a relative precision of 1e-6. Source: Habbema, Hermans & van den Broek 1974; Duin 1976.

    Args:
        data: points [n, 2], 3 <= n <= 7,071.

    Raises:
        ValueError: if so many points coincide that L grows without bound as h goes to 0.
    """
    x = _array(data)
    n = len(x)
    if n * n > _MOST_PAIRS:
        raise ValueError(f"data has {n} points: all pairs are held in memory. Give at most {math.isqrt(_MOST_PAIRS)}.")
    squares = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(x, "sqeuclidean"))
    np.fill_diagonal(squares, np.inf)
    nearest, widest = np.sqrt(squares.min(1)), math.sqrt(squares[np.isfinite(squares)].max())
    if not (nearest > 0).all():
        raise ValueError(
            f"{int((nearest == 0).sum())} of {n} points coincide with another: their likelihood grows without bound as "
            "h goes to 0. Leave out the repeated points, or take scott(data)."
        )

    excess = squares - nearest[:, None] ** 2  # so that the largest of each point's terms is 1
    terms = np.empty_like(excess)

    def loss(log_h: float) -> float:
        h2 = math.exp(2 * log_h)
        np.exp(np.multiply(excess, -0.5 / h2, out=terms), out=terms)
        log_p = np.log(terms.sum(1)) - nearest**2 / (2 * h2) - math.log(n - 1)
        return -float(log_p.mean()) + math.log(2 * math.pi * h2)

    scan = np.linspace(math.log(nearest.min() / 2), math.log(2 * widest), 40)
    best = int(np.argmin([loss(log_h) for log_h in scan]))
    around = (scan[max(best - 1, 0)], scan[min(best + 1, len(scan) - 1)])
    found = scipy.optimize.minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x))


def _array(data: Tensor) -> np.ndarray:
    validate.cloud("data", data)
    if len(data) < 3:
        raise ValueError(f"data has {len(data)} points: a bandwidth needs at least 3.")
    if not bool(torch.isfinite(data).all()):
        raise ValueError("data holds points that are nan or inf: remove them first.")
    return data.detach().cpu().double().numpy()


def _scale(data: Tensor) -> float:
    x = _array(data)
    if np.linalg.matrix_rank(x - x.mean(0)) < 2:
        raise ValueError("data lie on a line: SciPy's rule needs a covariance of full rank. Take leave_one_out(data).")
    return math.sqrt(float(x.var(0, ddof=1).mean()))
