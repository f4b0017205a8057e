"""Laws whose coordinates are independent, and mixtures of such laws: what noise of several Gaussians leaves unknown.

x = x_1 + r x_0, with x_1 from sum_k w_k p_k1(x_1) p_k2(x_2) and x_0 from sum_j v_j N(n_j, D_j), D_j diagonal. Given j
and k the coordinates of x are independent still: along each axis x is a number with noise of the level l = r D_j^1/2,
shifted by r n_j, of the density q_l, and there

    E[x_1 | x, j, k] = x - r n_j + l^2 (log q_l)',   Var(x_1 | x, j, k) = l^2 (1 + l^2 (log q_l)'').

By the law of total variance E tr Cov(x_1 | x) is the mean of these variances, an integral along each axis, and that of
the variance over j and k of E[x_1 | x, j, k]. For this one the fields are summed over j and k on one lattice, by
products of matrices, and nothing cancels in it.

Each axis is cut into panels of 16 Gauss-Legendre nodes: short ones about the places of edges and kinks, where q_l
varies within l, and between these as long as the clean law allows. However small l is, they are as many.

Components whose coordinates are correlated are mixtures of ones whose are not, to rounding: with a, c the variances
and rho the correlation, D = (1 - |rho|) diag(a, c) + |rho| u u^T, u = (a^1/2, +-c^1/2), so that N(n, D) is the mean
over z ~ N(0, 1) of N(n + z |rho|^1/2 u, (1 - |rho|) diag(a, c)): a sum, by the trapezoid rule.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from toylab.densities.parts import Parts

_ORDER = 16  # nodes of a panel
_ALIKE = 1e-12  # a correlation that is none
_LONGEST = 3.0  # of a panel near an edge, in levels
_REACH = 7.0  # levels about an edge, beyond which it is not felt: 3e-12 of its step
_Z_REACH, _Z_STEP = 6.0, 1.0  # of the trapezoid rule in z; in what the noise left tells of z: exact to 5e-9
_MOST_PARTS = 512  # of a source
_AT_ONCE = 2**19  # numbers of one chunk
_NOTHING = 1e-290  # a density

Blurred = tuple[Tensor, Tensor, Tensor]  # log q_l, its slope and its curvature


class Axis(NamedTuple):
    """The law of one coordinate."""

    noised: Callable[[Tensor, Tensor], Blurred]
    """log q_l, its slope and its curvature at places and levels l > 0, which broadcast."""
    edges: tuple[float, ...]
    """Where the law jumps or has a kink."""
    lines: tuple[float, ...]
    """From end to end; between two of them and any edges polynomials follow the density."""
    mean: float
    variance: float
    std: float = 0.0
    """Of the noise that is part of the law."""

    def moved(self, factor: float, shift: float) -> "Axis":
        """The law of factor * x + shift."""

        def noised(t: Tensor, level: Tensor) -> Blurred:
            log_q, slope, curvature = self.noised((t - shift) / factor, level / abs(factor))
            return log_q - math.log(abs(factor)), slope / factor, curvature / factor**2

        edges, lines = (tuple(sorted(factor * t + shift for t in places)) for places in (self.edges, self.lines))
        size = abs(factor)
        return Axis(noised, edges, lines, factor * self.mean + shift, size**2 * self.variance, size * self.std)

    def blurred(self, std: float) -> "Axis":
        """The law of x + std z."""
        return self._replace(
            noised=lambda t, level: self.noised(t, torch.hypot(level, torch.full_like(level, std))),
            variance=self.variance + std**2,
            std=math.hypot(self.std, std),
        )


class Products(NamedTuple):
    """A mixture of laws with independent coordinates, turned about the origin."""

    weights: Tensor
    """w, summing to one, [K]."""
    axes: tuple[tuple[Axis, Axis], ...]
    """The laws of both coordinates, of each of the K."""
    angle: float = 0.0
    """By which all are turned, in radians."""

    @property
    def variance(self) -> float:
        """E|x_1 - E x_1|^2."""
        means, variances = (
            torch.tensor(
                [[getattr(axis, name) for axis in pair] for pair in self.axes], dtype=torch.float64, device="cpu"
            )
            for name in ("mean", "variance")
        )
        return float(self.weights @ ((means - self.weights @ means).square() + variances).sum(-1))

    def moved(self, factor: float, angle: float, shift: Sequence[float]) -> "Products":
        """The law of factor * R x + shift."""
        total = self.angle + angle
        first, second = _turned(torch.tensor(shift, dtype=torch.float64, device="cpu"), -total).tolist()
        axes = tuple((one.moved(factor, first), other.moved(factor, second)) for one, other in self.axes)
        return Products(self.weights, axes, total)

    def blurred(self, std: float) -> "Products":
        """The law of x + std z, z ~ N(0, I)."""
        return self._replace(axes=tuple((one.blurred(std), other.blurred(std)) for one, other in self.axes))


class _Lattice(NamedTuple):
    """What is known along one axis, of all pairs of components, at its nodes."""

    weights: Tensor  # of the nodes, [N]
    density: Tensor  # q_l, [J, K, N]
    mean: Tensor  # E[x_1 | x, j, k] less the point of the law that is nearest to x, [J, K, N]
    within: Tensor  # E Var(x_1 | x, j, k) / r^2, [J, K]


def unknown_of_products(source: Parts, data: Products, ratio: float) -> float:
    """1/2 E|x_0 - E[x_0 | x_1 + ratio x_0]|^2, to about 1e-8; ratio may be 0.

    Raises:
        ValueError: if coordinates of the source are correlated so strongly that it is a mixture of too many parts.
    """
    if ratio == 0:
        return 0.5 * source.variance
    v, n, d = _uncorrelated(source, data.angle)
    first, second = (_along([pair[axis] for pair in data.axes], n[:, axis], d[:, axis], ratio) for axis in (0, 1))
    weights = v[:, None] * data.weights
    within = float((weights * (first.within + second.within)).sum())
    if weights.numel() == 1:
        return 0.5 * within
    return 0.5 * (within + _between(weights.flatten(), first, second) / ratio**2)


def _uncorrelated(source: Parts, angle: float) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [J], means [J, 2] and standard deviations [J, 2] of components without correlation, in turned axes."""
    means, covariances = _turned(source.means, -angle), _turned(_turned(source.covariances, -angle).mT, -angle)
    found = []
    for w, n, D in zip(source.weights, means, covariances, strict=True):
        std = D.diagonal().sqrt()
        rho = float(D[0, 1] / std.prod())
        share = abs(rho) if abs(rho) > _ALIKE else 0.0
        steps = _steps(share)
        if len(steps) > _MOST_PARTS:
            raise ValueError(
                f"source has a component with the covariance {D.tolist()} along the axes of the data, so nearly a line "
                f"that it would take {len(steps)} round ones to make it up. Give one of a correlation below 0.99."
            )
        z_weights = (-0.5 * steps.square()).softmax(0)
        u = torch.stack([std[0], math.copysign(1.0, rho) * std[1]])
        found.append(
            (
                w * z_weights,
                n + math.sqrt(share) * steps[:, None] * u,
                (math.sqrt(1 - share) * std).expand(len(steps), 2),
            )
        )
    v, n, d = (torch.cat(column) for column in zip(*found, strict=True))
    return v, n, d


def _steps(share: float) -> Tensor:
    """Places z of the trapezoid rule for N(0, 1), of which both axes tell (1 + 2 share / (1 - share))^-1/2."""
    if share == 0:
        return torch.zeros(1, dtype=torch.float64, device="cpu")
    n = math.ceil(_Z_REACH / _Z_STEP * math.sqrt(1 + 2 * share / (1 - share)))
    return _Z_REACH * torch.linspace(-1, 1, 2 * n + 1, dtype=torch.float64, device="cpu")


def _along(axes: list[Axis], n: Tensor, d: Tensor, ratio: float) -> _Lattice:
    """One axis: the laws of K parts of the data, and means and standard deviations [J] of the source."""
    shifts, levels = (ratio * n)[:, None], (ratio * d)[:, None]
    x, weights = _nodes(_panels(axes, shifts[:, 0].tolist(), levels[:, 0].tolist()))
    log_q, slope, curvature = (
        torch.stack(column, 1) for column in zip(*(axis.noised(x - shifts, levels) for axis in axes), strict=True)
    )
    q, level = log_q.exp(), levels[:, None]
    low, high = (pick(line for axis in axes for line in axis.lines) for pick in (min, max))
    mean = (x - x.clamp(low, high)) - shifts[:, None] + level**2 * slope
    within = d.square()[:, None] * ((q * (1 + level**2 * curvature)) @ weights)
    return _Lattice(weights, q, mean, within)


def _panels(axes: list[Axis], shifts: list[float], levels: list[float]) -> Tensor:
    """Edges of panels along one axis, no longer than any law under its noise allows."""
    found: set[tuple[float, float, float]] = set()
    for axis in axes:
        for shift, level in set(zip(shifts, levels, strict=True)):
            std = math.hypot(level, axis.std)
            reach = _REACH * std
            found.update((edge + shift - reach, edge + shift + reach, _LONGEST * std) for edge in axis.edges)
            ends = (axis.lines[0] - reach, *axis.lines[1:-1], axis.lines[-1] + reach)
            found.update(
                (a + shift, b + shift, max(b - a, _LONGEST * std)) for a, b in zip(ends, ends[1:], strict=False)
            )
    start, end, longest = np.array(sorted(found)).T
    edges, last = [float(start.min())], float(end.max())
    while edges[-1] < last:
        here = edges[-1]
        length = longest[(start <= here) & (here < end)].min(initial=last - here)
        sooner = start[(start > here) & (start < here + length) & (longest < length)]
        edges.append(float(sooner.min(initial=here + length)))
    return torch.tensor(edges, dtype=torch.float64, device="cpu")


def _between(weights: Tensor, first: _Lattice, second: _Lattice) -> float:
    """The mean over x of the variance over j and k of E[x_1 | x, j, k]; weights of the pairs [J K]."""
    q1, m1, q2, m2 = (part.flatten(0, 1) for part in (first.density, first.mean, second.density, second.mean))
    q1 = (weights[:, None] * q1).T
    m1 = m1.T
    first_moment2, second_moment2 = q2 * m2, q2 * m2 * m2
    total = 0.0
    rows = max(_AT_ONCE // q2.shape[-1], 1)
    for q, m, w in zip(q1.split(rows), m1.split(rows), first.weights.split(rows), strict=True):
        p, moment = q @ q2, q * m
        along, across = moment @ q2, q @ first_moment2
        square = (moment * m) @ q2 + q @ second_moment2
        variance = torch.where(p > _NOTHING, square - (along**2 + across**2) / p.clamp(min=_NOTHING), 0.0)
        total += float(w @ variance @ second.weights)
    return total


def _nodes(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes of all panels and their weights, [16 P] each."""
    t, w = _gauss_legendre()
    side = edges.diff()[:, None]
    return (edges[:-1, None] + side * (t + 1) / 2).flatten(), (side * w / 2).flatten()


@cache
def _gauss_legendre() -> tuple[Tensor, Tensor]:
    t, w = np.polynomial.legendre.leggauss(_ORDER)
    return torch.as_tensor(t, device="cpu"), torch.as_tensor(w, device="cpu")


def _turned(x: Tensor, angle: float) -> Tensor:
    """x [..., 2] turned about the origin."""
    c, s = math.cos(angle), math.sin(angle)
    return x @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64, device="cpu")
