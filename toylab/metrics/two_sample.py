"""Do two clouds come from one law? A distance made of a kernel, with a permutation p-value."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table
from toylab._internal.random import permutation
from toylab.metrics.points import finite_points
from toylab.samplers.chains import Chains

MOST_PAIRED = 20_000  # points of which all pairs are held in memory
_AT_ONCE = 100  # permutations


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


def pool(x: Tensor | Chains, y: Tensor | Chains) -> tuple[Tensor, int]:
    """All points of two clouds, those of x first, in float64 [n + m, 2], and n."""
    x, y = finite_points("x", x), finite_points("y", y)
    for name, cloud in (("x", x), ("y", y)):
        if len(cloud) < 2:
            raise ValueError(f"{name} has {len(cloud)} points: give at least 2.")
    if len(x) + len(y) > MOST_PAIRED:
        raise ValueError(f"x and y have {len(x)} and {len(y)} points: all pairs are held. Give {MOST_PAIRED} in all.")
    return torch.cat([x, y.to(x)]).double(), len(x)


def pairwise_distances(z: Tensor) -> Tensor:
    """|z_i - z_j| [N, N], each to full precision."""
    return torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")


def permutation_test(kernel: Tensor, n: int, n_permutations: int, generator: torch.Generator | None) -> TwoSample:
    """Mean within x + mean within y - 2 mean between, of a symmetric kernel, and the same for relabelled points.

    Unbiased: a point is not paired with itself.

    Args:
        kernel: k(z_i, z_j) over the pooled points, shape [N, N].
        n: the first n of them are x, the others y.
        n_permutations: relabelings; 0 gives p = 1.
        generator: source of randomness for them; None is torch's global stream.
    """
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
        r = min(_AT_ONCE, n_permutations - done)
        orders = torch.stack([permutation(total, device=kernel.device, generator=generator) for _ in range(r)], 1)
        as_far += int((value((orders < n).to(kernel.dtype)) >= observed).sum())
        done += r
    return TwoSample(observed, (1 + as_far) / (1 + n_permutations))
