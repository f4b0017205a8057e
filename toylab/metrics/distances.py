"""How far a cloud of samples is from a law, or from another cloud; each number with an error bar or a p-value."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import permutation, uniform
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.maps import Extent, grid_points
from toylab.score import Score

_MOST_MATCHED = 2000
_MOST_PAIRED = 20_000
_GROUPS = 10


@dataclass(frozen=True)
class TwoSample:
    """A distance between two clouds, and how often two clouds of one law are as far apart.

    Attributes:
        value: the distance.
        p_value: (1 + permutations at least as far) / (1 + permutations).
    """

    value: float
    p_value: float

    def __str__(self) -> str:
        return f"{self.value:.4f} (p = {self.p_value:.3f})"


def energy_distance(
    x: Tensor, y: Tensor, *, n_permutations: int = 999, generator: torch.Generator | None = None
) -> TwoSample:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, zero only for equal laws, with a permutation p-value.

    Unbiased: a point is not paired with itself, so that the value may be slightly negative.
    Source: Szekely & Rizzo 2013.

    Args:
        x: a cloud [n, 2].
        y: another [m, 2]; n + m at most 20,000.
        n_permutations: relabelings of the pooled points; 0 gives p = 1.
        generator: source of randomness for them; None is torch's global stream.
    """
    z = _pooled(x, y)
    return _permuted(-torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist"), len(x), n_permutations, generator)


def maximum_mean_discrepancy(
    x: Tensor,
    y: Tensor,
    *,
    bandwidth: float | None = None,
    n_permutations: int = 999,
    generator: torch.Generator | None = None,
) -> TwoSample:
    """MMD^2 = E k(X, X') + E k(Y, Y') - 2 E k(X, Y) with k = exp(-|x - y|^2 / (2 h^2)), unbiased; permutation p-value.

    Source: Gretton et al. 2012, lemma 6.

    Args:
        x: a cloud [n, 2].
        y: another [m, 2]; n + m at most 20,000.
        bandwidth: h; None is the median distance between the pooled points.
        n_permutations: relabelings of the pooled points; 0 gives p = 1.
        generator: source of randomness for them; None is torch's global stream.
    """
    z = _pooled(x, y)
    distances = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    h = float(distances.median()) if bandwidth is None else validate.positive("bandwidth", bandwidth)
    return _permuted(torch.exp(-(distances**2) / (2 * h * h)), len(x), n_permutations, generator)


def _pooled(x: Tensor, y: Tensor) -> Tensor:
    for name, cloud in (("x", x), ("y", y)):
        _sound(name, cloud)
        if len(cloud) < 2:
            raise ValueError(f"{name} has {len(cloud)} points: give at least 2.")
    if len(x) + len(y) > _MOST_PAIRED:
        raise ValueError(f"x and y have {len(x)} and {len(y)} points: all pairs are held. Give {_MOST_PAIRED} in all.")
    return torch.cat([x, y.to(x)]).double()


def _permuted(kernel: Tensor, n: int, n_permutations: int, generator: torch.Generator | None) -> TwoSample:
    """Mean within x + mean within y - 2 mean between, of a symmetric kernel [N, N] over the pooled points."""
    validate.count("n_permutations", n_permutations, least=0)
    kernel = kernel.clone()
    total, m = len(kernel), len(kernel) - n
    kernel.fill_diagonal_(0.0)

    def value(inside: Tensor) -> Tensor:
        """For indicators of x [N, r]."""
        rows = kernel @ inside
        xx = (inside * rows).sum(0)
        xy = ((1 - inside) * rows).sum(0)
        yy = kernel.sum() - xx - 2 * xy
        return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)

    first = torch.zeros(total, 1, dtype=kernel.dtype, device=kernel.device)
    first[:n] = 1
    observed = float(value(first))
    as_far, done = 0, 0
    while done < n_permutations:
        r = min(100, n_permutations - done)
        orders = torch.stack([permutation(total, device=kernel.device, generator=generator) for _ in range(r)], 1)
        as_far += int((value((orders < n).to(kernel.dtype)) >= observed).sum())
        done += r
    return TwoSample(observed, (1 + as_far) / (1 + n_permutations))


def sliced_wasserstein(
    x: Tensor, y: Tensor, *, n_directions: int = 256, generator: torch.Generator | None = None
) -> Estimate:
    """sqrt of the mean over directions of W_2^2 between the projections; exact along each, directions equally spaced.

    A random first angle makes the mean over directions unbiased. Of two clouds of one law it is not zero: compare with
    the distance of two fresh samples, the two-sample floor. The error bar is that of ten groups left out in turn.
    Source: Rabin et al. 2012; Efron & Stein 1981 for the jackknife.

    Args:
        x: a cloud [n, 2], n >= 10, its order without meaning.
        y: another [m, 2], m >= 10.
        n_directions: directions in the half-circle.
        generator: source of randomness for the first angle; None is torch's global stream.
    """
    _groupable(x, y)
    validate.count("n_directions", n_directions)
    first = uniform((), dtype=torch.float64, device=x.device, generator=generator)
    angles = math.pi * (torch.arange(n_directions, dtype=torch.float64, device=x.device) + first) / n_directions
    directions = torch.stack([angles.cos(), angles.sin()])

    # sorted once: what is left of a sorted cloud without some of its points is sorted too
    (a, i), (b, j) = ((directions.T @ cloud.to(x).double().T).sort(-1) for cloud in (x, y))

    def without(k: int) -> float:
        left = (values[index % _GROUPS != k].view(n_directions, -1) for values, index in ((a, i), (b, j)))
        return _mean_square_gap(*left) ** 0.5

    return _jackknifed(_mean_square_gap(a, b) ** 0.5, without)


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


def wasserstein(x: Tensor, y: Tensor) -> Estimate:
    """The 2-Wasserstein distance of two clouds of one size: sqrt of the least mean |x_i - y_pi(i)|^2, by assignment.

    Of two clouds of one law it is not zero. The error bar is that of ten groups left out in turn, which costs ten
    assignments more.

    Args:
        x: a cloud [n, 2], n from 10 to 2,000, its order without meaning.
        y: another of the same size.
    """
    _groupable(x, y)
    if len(x) != len(y) or len(x) > _MOST_MATCHED:
        raise ValueError(f"x and y have {len(x)} and {len(y)} points: give equally many, at most {_MOST_MATCHED}.")
    from scipy.optimize import linear_sum_assignment  # slow to load, and needed here alone

    def distance(x: Tensor, y: Tensor) -> float:
        gaps = torch.cdist(x.double(), y.to(x).double(), compute_mode="donot_use_mm_for_euclid_dist")
        cost = gaps.square().cpu().numpy()
        rows, columns = linear_sum_assignment(cost)
        return math.sqrt(float(cost[rows, columns].mean()))

    def without(k: int) -> float:
        left = (cloud[torch.arange(len(x), device=cloud.device) % _GROUPS != k] for cloud in (x, y))
        return distance(*left)

    return _jackknifed(distance(x, y), without)


def _jackknifed(distance: float, without: Callable[[int], float]) -> Estimate:
    """The distance, and its standard error from what it becomes without each of ten groups of points of both clouds."""
    spread = float(np.var([without(k) for k in range(_GROUPS)])) * (_GROUPS - 1)
    return Estimate(distance, math.sqrt(spread))


def _groupable(x: Tensor, y: Tensor) -> None:
    for name, cloud in (("x", x), ("y", y)):
        _sound(name, cloud)
        if len(cloud) < _GROUPS:
            raise ValueError(f"{name} has {len(cloud)} points: the error bar needs at least {_GROUPS}.")


@torch.no_grad()
def kernel_stein_discrepancy(x: Tensor, score: Score, *, scale: float = 1.0) -> Estimate:
    """KSD^2 = E u(X, X'), with u made of the score and an inverse multiquadric kernel: no sample of the law is needed.

        u(x, y) = s(x).s(y) k + s(x).grad_y k + s(y).grad_x k + tr grad_x grad_y k,   k = (c^2 + |x - y|^2)^(-1/2)

    It is zero for samples of the law whose score is given. It sees the score where the samples are: mode weights,
    which the score hardly knows between far modes, it hardly sees. The estimate is the unbiased one, its error bar
    the first-order one of a U-statistic. Source: Liu, Lee & Jordan 2016; Gorham & Mackey 2017 for the kernel.

    Args:
        x: samples [n, 2], at most 20,000.
        score: of the law.
        scale: c.
    """
    _sound("x", x)
    n = len(x)
    if n > _MOST_PAIRED:
        raise ValueError(f"x has {n} points: all pairs are held. Give at most {_MOST_PAIRED}.")
    c2 = validate.positive("scale", scale) ** 2
    s, x = score(x).double(), x.double()
    rows = torch.zeros(n, dtype=torch.float64, device=x.device)
    for k in range(0, n, 1000):
        gap = x[k : k + 1000, None] - x
        q = c2 + gap.square().sum(-1)
        base = q**-0.5
        left, right = s[k : k + 1000, None], s[None]
        u = (left * right).sum(-1) * base
        u += ((left - right) * gap).sum(-1) * q**-1.5
        u += 2 * q**-1.5 - 3 * gap.square().sum(-1) * q**-2.5
        u[torch.arange(len(gap)), k + torch.arange(len(gap))] = 0.0
        rows[k : k + 1000] = u.sum(1) / (n - 1)
    mean = mean_of(rows)
    return Estimate(mean.value, 2 * mean.standard_error)


def histogram_divergence(
    samples: Tensor, density: Density, extent: Extent, *, n: int = 32, sigma: float = 0.0
) -> Estimate:
    """KL(histogram of the samples || the law on the same cells), less its mean for samples of the law itself.

    With B cells and N samples of the law itself, 2 N KL is nearly chi-squared with B - 1 degrees of freedom: the mean
    (B - 1) / (2 N) is taken off, and the error bar is the standard deviation of that law. A cell that the samples hit
    and the law nearly excludes counts as much as it should: the divergence is that of the samples.

    Args:
        samples: points [N, 2]; those outside the rectangle are one more cell.
        density: the law; its mass in a cell is taken at 5 x 5 points of it.
        extent: the rectangle.
        n: cells a side.
        sigma: noise level of the law.
    """
    _sound("samples", samples)
    left, right, bottom, top = extent
    fine = grid_points(extent, 5 * n, dtype=torch.float64)
    p = density.log_prob(fine, sigma).exp().view(n, 5, n, 5).mean((1, 3)) * ((right - left) * (top - bottom) / n**2)
    p = torch.cat([p.flatten(), (1 - p.sum()).clamp(min=1e-12)[None]]).numpy()
    points = samples.detach().cpu().double().numpy()
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=n, range=[[bottom, top], [left, right]])
    counts = np.append(counts.ravel(), len(points) - counts.sum())
    share = counts / len(points)
    hit = share > 0
    divergence = float((share[hit] * np.log(share[hit] / np.maximum(p[hit], 1e-300))).sum())
    expected = np.maximum(len(points) * p, 1e-300)
    cells = int((expected > 0.5).sum())  # cells that the law never fills add nothing to the mean
    return Estimate(divergence - (cells - 1) / (2 * len(points)), math.sqrt(max(cells - 1, 1) / 2) / len(points))


@torch.no_grad()
def log_density_calibration(samples: Tensor, density: Density, sigma: float = 0.0) -> Estimate:
    """E log p(X) over the samples + the entropy of p: 0 for samples of p, below it for too wide a cloud.

    Args:
        samples: points [n, 2].
        density: the law; its entropy is found by quadrature.
        sigma: noise level of the law.
    """
    _sound("samples", samples)
    entropy = -expectation(lambda x: density.log_prob(x, sigma), density, sigma)
    mean = mean_of(density.log_prob(samples.double(), sigma))
    return Estimate(mean.value + entropy, mean.standard_error)


def _sound(name: str, x: Tensor) -> None:
    validate.cloud(name, x)
    if not bool(x.isfinite().all()):
        bad = int((~x.isfinite().all(-1)).sum())
        raise ValueError(f"{name} holds {bad} points that are nan or inf: leave out the chains in Chains.diverged.")
