"""Do two clouds come from one law? A distance made of a kernel, with a permutation p-value."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table
from toylab._internal.random import permutation
from toylab.metrics.points import PointsLike, finite_points

MOST_PAIRED = 20_000  # points of which all pairs are compared
_PAIRS_AT_ONCE = 4_000_000  # 32 MB
_AT_ONCE = 100  # relabelings multiplied by the matrix of pairs
_RELABELLED_AT_ONCE = 1000  # for one making of that matrix
_DIGITS = 2**16
_PAIRS_KEPT = 16_000_000  # 128 MB


@dataclass(frozen=True)
class TwoSample:
    """A distance between two clouds, and how often two clouds from one law are as far apart.

    Attributes:
        value: the distance.
        p_value: (1 + permutations at least as far) / (1 + permutations).
    """

    value: float
    p_value: float

    def __str__(self) -> str:
        return f"{self.value:.4f} (p = {self.p_value:.3f})"

    def _repr_html_(self) -> str:
        return html_table([("distance", f"{self.value:.4f}"), ("p-value", f"{self.p_value:.3f}")])


def pool(x: PointsLike, y: PointsLike) -> tuple[Tensor, int]:
    """All points of two clouds, those of x first, in float64 [n + m, 2], and n."""
    x, y = finite_points("x", x), finite_points("y", y)
    for name, cloud in (("x", x), ("y", y)):
        if len(cloud) < 2:
            raise ValueError(f"{name} has {len(cloud)} points: give at least 2.")
    if len(x) + len(y) > MOST_PAIRED:
        raise ValueError(
            f"x and y have {len(x)} and {len(y)} points: all pairs are compared, which takes minutes from "
            f"{MOST_PAIRED} points on. Give {MOST_PAIRED} in all, such as every k-th: x[::k]."
        )
    return torch.cat([x.double(), y.to(x.device).double()]), len(x)


def pairwise_distances(z: Tensor, rows: slice) -> Tensor:
    """|z_i - z_j| [rows, N], each to full precision."""
    return torch.cdist(z[rows], z, compute_mode="donot_use_mm_for_euclid_dist")


def blocks(n: int) -> Iterator[slice]:
    """The rows of the matrix of pairs, so many at once that they take 32 MB."""
    size = max(1, _PAIRS_AT_ONCE // n)
    return (slice(first, min(first + size, n)) for first in range(0, n, size))


def median_distance(z: Tensor) -> float:
    """The median distance between two points at different places; 1 if all are at one place.

    It is found by its leading bits, 16 at a time, since positive numbers are in the order of their bits, until few
    enough pairs share them: all pairs are never held.
    """
    found, rank = 0, -1
    for shift in (48, 32, 16, 0):
        counts = torch.zeros(_DIGITS, dtype=torch.int64, device="cpu")
        for bits in _pairs(z, shift, found):
            counts += torch.bincount(bits >> shift & (_DIGITS - 1), minlength=_DIGITS).cpu()
        below = counts.cumsum(0)
        if shift == 48:
            rank = (int(below[-1]) - 1) // 2
        if rank < 0:
            return 1.0
        digit = int((below <= rank).sum())
        rank -= int(below[digit] - counts[digit])
        found = found << 16 | digit
        if shift and counts[digit] <= _PAIRS_KEPT:
            kept = torch.cat(list(_pairs(z, shift - 16, found)))
            return float(kept.kthvalue(rank + 1).values.view(torch.float64))
    return float(torch.tensor(found, device="cpu").view(torch.float64))


def _pairs(z: Tensor, shift: int, leading: int) -> Iterator[Tensor]:
    """The distances above 0, each pair once, as whole numbers of the same bits, the leading ones being these."""
    for rows in blocks(len(z)):
        distances = torch.cdist(z[rows], z[rows.start :], compute_mode="donot_use_mm_for_euclid_dist")
        bits = distances.triu(1).flatten().view(torch.int64)
        yield bits[(bits > 0) & (bits >> shift >> 16 == leading)]


def permutation_test(
    kernel: Callable[[Tensor], Tensor], z: Tensor, n: int, n_permutations: int, generator: torch.Generator | None
) -> TwoSample:
    """Mean within x + mean within y - 2 mean between, of a function of distance, and the same for relabelled points.

    Unbiased: a point is not paired with itself. Relabelings that give the same value but for rounding count as as far.
    The matrix of pairs is made block by block, once for each thousand relabelings.

    Args:
        kernel: k(|z_i - z_j|), entry by entry.
        z: the pooled points, shape [N, 2].
        n: the first n of them are x, the others y.
        n_permutations: relabelings; 0 gives p = 1.
        generator: source of randomness for them; None is torch's global stream.
    """
    total, m = len(z), len(z) - n

    def values(inside: Tensor) -> tuple[Tensor, float]:
        """For indicators of x [N, r]; and a bound on their rounding."""
        xx = torch.zeros(inside.shape[1], dtype=z.dtype, device=z.device)
        xy, yy, size = xx.clone(), xx.clone(), 0.0
        for rows in blocks(total):
            k = kernel(pairwise_distances(z, rows))
            k.diagonal(rows.start).zero_()
            every, size = k.sum(1, keepdim=True), max(size, float(k.abs().max()))
            for first in range(0, inside.shape[1], _AT_ONCE):
                part = slice(first, first + _AT_ONCE)
                chosen = inside[:, part].to(k.dtype)
                to_x, own = k @ chosen, chosen[rows]
                xx[part] += (own * to_x).sum(0)
                xy[part] += ((1 - own) * to_x).sum(0)
                yy[part] += ((1 - own) * (every - to_x)).sum(0)
        distances = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
        return distances, 1e-13 * size * total / min(n, m)

    n_permutations = validate.count("n_permutations", n_permutations, least=0)
    labels = (torch.arange(total, device=z.device) < n)[:, None]
    observed, as_far, done = None, 0, 0
    while observed is None or done < n_permutations:
        r = min(_RELABELLED_AT_ONCE, n_permutations - done)
        orders = [permutation(total, device=z.device, generator=generator) < n for _ in range(r)]
        found, rounding = values(torch.cat([labels, *(order[:, None] for order in orders)], 1))
        observed = float(found[0]) if observed is None else observed
        as_far += int((found[1:] >= observed - rounding).sum())
        done += r
    return TwoSample(observed, (1 + as_far) / (1 + n_permutations))
