"""The Kullback-Leibler divergence of a histogram from a density."""

import math

import numpy as np
import torch

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.metrics.estimate import Estimate
from toylab.metrics.grid import Extent, cells_per_side
from toylab.metrics.histogram import cell_counts
from toylab.metrics.points import PointsLike, finite_points, law, level

_MANY = 100  # samples expected in a cell: from there on an expansion in their inverse is exact to 1e-4
_MOST_NODES = 40_000_000  # at which the density is asked for the masses of the cells
_CHUNK = 250_000
_SEEN = 0.05  # of an error bar: what the masses may be off
_OFF = 0.005  # that the masses may be from 1 together: at a jump they are that coarse for few samples
_NOTHING = 1e-100
_FAR = 1e-12  # a cell of such mass is left as the first rule sees it
_PANELS_OF_JUMPS = 8  # of a law whose length_scale is 0: an edge may cut off a narrow strip of a cell
_MOST_PANELS_UNSEEN = 32  # in a cell that the law seems to exclude, though samples hit it
_ALL = 1 - 1e-9


def histogram_divergence(
    samples: PointsLike, density: Density, extent: Extent, *, n: int = 32, sigma: float = 0.0
) -> Estimate:
    """KL(histogram of the samples || the law on the same cells), less its mean for samples from the law itself.

        N KL = sum_b g(n_b),   g(n) = n log(n / lambda_b) - n + lambda_b,   lambda_b = N p_b

    Each count being binomial, its mean is known exactly, and its standard deviation nearly so, also where most cells
    are empty; for many samples in each of B cells they are those of chi-squared with B - 1 degrees of freedom, over
    2 N. The error bar is that of independent samples from the law itself: it tells whether the samples can be such. The
    divergence of another law is known less well. A cell that the samples hit and the law nearly excludes counts as much
    as it should: the divergence is that of the samples.

    Args:
        samples: points [N, 2], N >= 2, or chains; those outside the rectangle are one more cell.
        density: the truth; it must give ``bounds`` and ``length_scale``. Its mass in each cell is found by quadrature,
            refined until no more than a twentieth of an error bar depends on it.
        extent: the rectangle (left, right, bottom, top).
        n: cells per side.
        sigma: noise level of the truth.

    Raises:
        ValueError: if the masses of the cells do not add up, or would need more than 40 million nodes, or if all of the
            law lies in one cell.
    """
    points = finite_points("samples", samples)
    if len(points) < 2:
        raise ValueError("samples holds a single point: give at least 2.")
    extent = validate.extent("extent", extent)
    counts, total = cell_counts(points, extent, cells_per_side(n))
    mass, mean, deviation = _law_on_cells(law("density", density), extent, level(sigma), counts, total)
    share = np.append(counts.ravel(), total - counts.sum()) / total
    hit = share > 0
    divergence = float((share[hit] * np.log(share[hit] / np.maximum(mass[hit], 1e-300))).sum())
    return Estimate(divergence - mean, deviation)


def _law_on_cells(
    density: Density, extent: Extent, sigma: float, counts: np.ndarray, total: int
) -> tuple[np.ndarray, float, float]:
    """The mass of each cell and of what is outside, [n^2 + 1], and mean and standard deviation of KL at the truth."""
    n, (left, right, bottom, top) = len(counts), extent
    low, high = density.bounds(sigma)
    covered = left <= low[0] and bottom <= low[1] and high[0] <= right and high[1] <= top
    side = max(right - left, top - bottom) / n
    scale = density.length_scale(sigma)
    density.log_prob(0.5 * (low + high), sigma)  # a law without a density raises its own message
    panels, order = math.ceil(side / (2 * scale)) if scale > 0 else _PANELS_OF_JUMPS, 4
    cells, inside, hit = np.arange(n * n), np.zeros(n * n), counts.ravel() > 0
    while len(cells):
        if len(cells) * (panels * order) ** 2 > _MOST_NODES:
            raise ValueError(
                f"the density varies too fast for cells of side {side:.3g} (its length_scale is {scale:.3g}): their "
                f"masses would take {len(cells) * (panels * order) ** 2:.2g} nodes. Give a smaller extent, put the "
                "sides of the cells where the density jumps, or raise sigma."
            )
        found, before = _masses(density, extent, n, sigma, cells, panels, order), inside[cells]
        inside[cells] = found
        within = float(inside.sum())
        mass = np.append(inside, 1e-12 if covered else max(1 - within, 1e-12))
        mass /= mass.sum()
        if mass.max() > _ALL:
            raise ValueError(
                f"all of the law lies in one cell of side {side:.3g}: give a smaller extent, or more cells."
            )
        mean, deviation = _at_the_truth(mass, total)
        if order == 4:  # the first time: compared with order 6 where there is anything
            cells, order = np.flatnonzero((inside > _FAR) | hit | (scale == 0)), 6
            continue
        moved = (found - before) ** 2 / np.maximum(found, _NOTHING)  # their sum is chi-squared between the two
        unseen = hit[cells] & (found == 0) & (panels < _MOST_PANELS_UNSEEN)
        allowed = total * (_SEEN * deviation) ** 2
        leaked = not covered and (found - before).sum() ** 2 > allowed * mass[-1]
        cells = cells[unseen | (moved > (0.0 if leaked else allowed / n**2))]
        panels *= 2
    if within > 1 + _OFF or (covered and within < 1 - _OFF):
        raise ValueError(
            f"the density has a mass of {within:.4g} on the cells of extent {extent}: it is not normalised, or "
            f"varies faster than its length_scale, {scale:.3g}, says. Correct these, or raise sigma."
        )
    return mass, mean, deviation


def _masses(
    density: Density, extent: Extent, n: int, sigma: float, cells: np.ndarray, panels: int, order: int
) -> np.ndarray:
    """The mass of these of n x n cells, by Gauss-Legendre panels x panels in each, of order x order nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    places = torch.from_numpy(((np.arange(panels)[:, None] + 0.5 * (1 + nodes)) / panels).ravel())
    shares = torch.from_numpy(np.tile(0.5 * weights / panels, panels))
    left, right, bottom, top = extent
    side = torch.tensor([(right - left) / n, (top - bottom) / n], dtype=torch.float64, device="cpu")
    within = side * torch.stack(torch.meshgrid(places, places, indexing="xy"), -1)
    area = side.prod() * shares[:, None] * shares
    found = []
    for part in torch.from_numpy(cells).split(max(1, _CHUNK // len(places) ** 2)):
        corners = torch.stack([part % n, part // n], -1) * side + torch.tensor(
            [left, bottom], dtype=torch.float64, device="cpu"
        )
        p = density.log_prob(corners[:, None, None] + within, sigma).exp()
        if not bool(p.isfinite().all()):
            raise ValueError(f"density.log_prob is nan or inf at {int((~p.isfinite()).sum())} of {p.numel()} points.")
        found.append((p * area).sum((-2, -1)))
    return torch.cat(found).numpy()


def _at_the_truth(mass: np.ndarray, total: int) -> tuple[float, float]:
    """Mean and standard deviation of KL for counts of ``total`` samples from the law itself.

    Two counts have the covariance of g sum_k (-r_b r_c)^k u_bk u_ck, with r^2 = p / (1 - p) and u_bk = E g P_k, P_k the
    orthonormal polynomials of a binomial count; k = 1 and 2 are kept. Source: Eagleson 1964.
    """
    from scipy.special import gammaln, xlog1py, xlogy  # slow to load

    mass = mass[mass > _NOTHING]
    sparse = total * mass < _MANY
    p = mass[sparse, None]
    few, q, counts, pairs = total * p, 1 - p, np.arange(min(3 * _MANY, total + 1)), math.sqrt(2 * total * (total - 1))
    ways = gammaln(total + 1) - gammaln(counts + 1) - gammaln(total - counts + 1)
    weight, off = np.exp(ways + xlogy(counts, p) + xlog1py(total - counts, -p)), counts - few
    g = xlogy(counts, counts / few) - off
    mean = (weight * g).sum(-1)
    variance = (weight * (g - mean[:, None]) ** 2).sum(-1)
    first = (weight * g * off).sum(-1) / np.sqrt(few * q)[:, 0]
    second = (weight * g * (off**2 - (q - p) * off - few * q)).sum(-1) / (pairs * p * q)[:, 0]
    # of many samples 2 g is a chi-squared number with one degree of freedom times q, but for terms in 1 / lambda
    p, many = mass[~sparse], total * mass[~sparse]
    q = 1 - p
    mean = np.append(mean, 0.5 * q * (1 + (1 + p) / (6 * many)))
    variance = np.append(variance, 0.5 * q**2 * (1 + 1 / (3 * many)))
    first = np.append(first, -(p / 2 + 1 / (12 * many)) * np.sqrt(q / many))
    second = np.append(second, math.sqrt(0.5) * q)
    odds = np.append(mass[sparse], p) / (1 - np.append(mass[sparse], p))
    one, two = np.sqrt(odds) * first, odds * second
    square = variance.sum() - (one.sum() ** 2 - (one**2).sum()) + two.sum() ** 2 - (two**2).sum()
    return float(mean.sum()) / total, math.sqrt(max(float(square), 0.0)) / total
