"""Two mixtures of Gaussians that are added up: what their sum leaves unknown of one of them.

x = x_1 + r x_0, with x_1 from sum_k w_k N(m_k, C_k) and x_0 from sum_j v_j N(n_j, D_j). Given both components, x is
N(mu, S) with mu = m_k + r n_j and S = C_k + r^2 D_j, and

    E[x_1 | x, j, k] = m_k + C_k S^-1 (x - mu),   Cov(x_1 | x, j, k) = r^2 C_k S^-1 D_j.

By the law of total variance E tr Cov(x_1 | x) is the mean of tr Cov(x_1 | x, j, k), known in closed form, and that of
the variance over j and k of E[x_1 | x, j, k]. Only this is left to integrate, and nothing cancels in it. It is r^2
times as much as is unknown of x_0, since x is known.

The plane is cut into boxes where there is mass, each until it is short against the narrowest component that reaches
it, along each axis by itself: many small ones in the neck of a funnel, few large ones in tails. A box holds 16 x 16
nodes. Where all components have the same width all boxes have one size, and the nodes make up one lattice, on which
the trapezoid rule converges exponentially; otherwise they are those of Gauss and Legendre.

Curves, and laws that are Gaussian given one number, are such mixtures to rounding, if noise blurs the sum that stands
for the integral over that number: as many components as the noise asks for.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_LEFT_OUT = 1e-10  # of the mass and of the second moment
_ORDER = 16  # nodes along a side
_SIDE_OF_A_LATTICE, _SIDE = 4.0, 3.0  # longest sides of boxes, in standard deviations
_ALIKE = 1 + 1e-9  # ratio of standard deviations that are one
_AT_ONCE = 2**19  # numbers of one chunk
_NOTHING = 1e-290  # a density


class Parts(NamedTuple):
    """A mixture of Gaussians that stands for a law under noise; components may have no width."""

    weights: Tensor
    """w, summing to one, [K]."""
    means: Tensor
    """m, [K, 2]."""
    covariances: Tensor
    """C, [K, 2, 2]."""
    least: float
    """The noise level below which what is unknown is smooth in the level: 0 if the law is this mixture at all."""
    order: int = 1
    """In which power of the level it is smooth there: 2 for a smooth density, 1 where edges or ends count."""

    @property
    def has_density(self) -> bool:
        """Whether all of the law has a density: then a little noise leaves unknown all of what it is itself."""
        return bool(self.covariances.diagonal(dim1=-2, dim2=-1).any(-1).all())

    @property
    def variance(self) -> float:
        """E|x_1 - E x_1|^2."""
        spread = (self.means - self.weights @ self.means).square().sum(-1) + _trace(self.covariances)
        return float(self.weights @ spread)


class _Sum(NamedTuple):
    """All pairs of components: x given one is N(mu, S), and E[x_1 | x] is m + gain (x - mu)."""

    weights: Tensor  # [K]
    mu: Tensor  # [K, 2]
    S: Tensor  # [K, 2, 2]
    m: Tensor  # [K, 2]
    gain: Tensor  # [K, 2, 2]
    along: bool  # whether the axes of all S are those of the plane


class _Boxes(NamedTuple):
    """Boxes, and which components reach which of them."""

    low: Tensor  # [B, 2]
    high: Tensor  # [B, 2]
    box: Tensor  # of each pair, in rising order, [P]
    part: Tensor  # the component of each pair, [P]
    lattice: bool  # whether all boxes have one size


def point_parts(points: Tensor, masses: Tensor, least: float = 0.0) -> Parts:
    """Point masses."""
    return Parts(masses, points, points.new_zeros(len(points), 2, 2), least)


def unknown(source: Parts, data: Parts, ratio: float) -> float:
    """1/2 E|x_0 - E[x_0 | x_1 + ratio x_0]|^2, to about 1e-8; ratio may be 0."""
    if ratio == 0:
        widths = data.covariances.diagonal(dim1=-2, dim2=-1).amin(-1)
        return 0.5 * source.variance * float(data.weights[widths > 0].sum())
    j = torch.arange(len(source.weights), device="cpu").repeat_interleave(len(data.weights))
    k = torch.arange(len(data.weights), device="cpu").repeat(len(source.weights))
    C, noise = data.covariances[k], ratio**2 * source.covariances[j]
    S = C + noise
    gain = C @ inverse(S)
    weights, mu = source.weights[j] * data.weights[k], data.means[k] + ratio * source.means[j]
    within = float(weights @ _trace(gain @ noise))
    return 0.5 * (within + spread_of_means(weights, mu, S, data.means[k], gain)) / ratio**2


def spread_of_means(weights: Tensor, mu: Tensor, S: Tensor, m: Tensor, gain: Tensor) -> float:
    """The mean over x of the variance over components of m + gain (x - mu), where x given one of them is N(mu, S).

    Args:
        weights: of the components, summing to one, shape [K].
        mu: shape [K, 2].
        S: shape [K, 2, 2], positive definite.
        m: shape [K, 2].
        gain: shape [K, 2, 2].
    """
    along = not bool(S[:, 0, 1].any() or gain[:, 0, 1].any() or gain[:, 1, 0].any())
    return _between(_Sum(weights, mu, S, m, gain, along))


def _between(of: _Sum) -> float:
    """The mean over x of the variance over components of E[x_1 | x, j, k]."""
    boxes = _cut(of)
    count = torch.bincount(boxes.box, minlength=len(boxes.low))
    first, order = count.cumsum(0) - count, count.argsort(descending=True)
    t, w = (torch.as_tensor(each, device="cpu") for each in _rule(boxes.lattice))
    low, high = of.m.amin(0), of.m.amax(0)
    total, size = 0.0, _ORDER if of.along else _ORDER**2
    while len(order) > 0:
        most = int(count[order[0]])
        chosen, order = order.tensor_split([max(_AT_ONCE // (most * size), 1)])
        rank = torch.arange(most, device="cpu")
        inside = rank < count[chosen, None]
        part = boxes.part[torch.where(inside, first[chosen, None] + rank, 0)]  # [n, most]
        start, side = boxes.low[chosen], boxes.high[chosen] - boxes.low[chosen]
        middle = start + 0.5 * side
        near = middle.clamp(low, high)  # relative to it E[x_1 | x, j, k] keeps its digits
        fields = _along_axes if of.along else _slanted
        weights = torch.where(inside, of.weights[part], 0.0)
        chosen_parts = _Sum(weights, of.mu[part], of.S[part], of.m[part], of.gain[part], of.along)
        p, m, square = fields(chosen_parts, middle, side, near, t - 0.5)
        variance = torch.where(p > _NOTHING, square - m.square().sum(0) / p.clamp(min=_NOTHING), 0.0)
        total += float(side.prod(-1) @ (variance @ w @ w))
    return total


def _along_axes(of: _Sum, middle: Tensor, side: Tensor, near: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """p, p E[x_1 - near | x] and p E|E[x_1 - near | x, j, k]|^2 at the nodes, [n, 16, 16]: products of matrices.

    A Gaussian is a product of one factor along each axis, and each coordinate of its mean depends on one of them.
    """
    S, gain = (each.diagonal(dim1=-2, dim2=-1)[..., None] for each in (of.S, of.gain))
    gap = (middle[:, None] - of.mu)[..., None] + side[:, None, :, None] * t  # x - mu, [n, K, 2, 16]
    factors = torch.exp(-0.5 * gap.square() / S) / (2 * math.pi * S).sqrt()
    first, second = factors.unbind(2)
    first = (of.weights[..., None] * first).transpose(1, 2)
    mean = (of.m - near[:, None])[..., None] + gain * gap
    mean1, mean2 = mean[:, :, 0].transpose(1, 2), mean[:, :, 1]
    moment1, moment2 = first * mean1, second * mean2
    square = (moment1 * mean1) @ second + first @ (moment2 * mean2)
    return first @ second, torch.stack([moment1 @ second, first @ moment2]), square


def _slanted(of: _Sum, middle: Tensor, side: Tensor, near: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for Gaussians in any direction: polynomials in the place in the box, summed by products of matrices."""
    x1, x2 = (each.flatten() for each in torch.meshgrid(t, t, indexing="ij"))
    basis = torch.stack([torch.ones_like(x1), x1, x2, x1 * x1, x1 * x2, x2 * x2])  # [6, 256]
    precision, gap = inverse(of.S), middle[:, None] - of.mu
    pull = (precision @ gap[..., None])[..., 0]
    constant = (of.weights / (2 * math.pi * _determinant(of.S).sqrt())).log() - 0.5 * (gap * pull).sum(-1)
    scale = side[:, None]
    bend = -0.5 * precision * scale[..., None] * scale[..., None, :]
    log_p = _quadratic(constant, -pull * scale, bend)  # [n, K, 6]
    p = (log_p @ basis).exp().transpose(1, 2)  # [n, 256, K]
    c, A = of.m - near[:, None] + (of.gain @ gap[..., None])[..., 0], of.gain * scale[..., None, :]
    square = _quadratic(c.square().sum(-1), 2 * (A.mT @ c[..., None])[..., 0], A.mT @ A)
    found = p @ torch.cat([torch.ones_like(c[..., :1]), c, A.flatten(-2), square], -1)  # [n, 256, 13]
    moments = [found[..., 1 + i] + found[..., 3 + 2 * i] * x1 + found[..., 4 + 2 * i] * x2 for i in (0, 1)]
    shape = len(middle), _ORDER, _ORDER
    squares = (found[..., 7:] * basis.T).sum(-1)
    return found[..., 0].view(shape), torch.stack([each.view(shape) for each in moments]), squares.view(shape)


def _quadratic(constant: Tensor, slope: Tensor, A: Tensor) -> Tensor:
    """The coefficients of c + b x + x A x of 1, x_1, x_2, x_1^2, x_1 x_2 and x_2^2, [..., 6]."""
    cross = A[..., 0, 1] + A[..., 1, 0]
    return torch.stack([constant, *slope.unbind(-1), A[..., 0, 0], cross, A[..., 1, 1]], -1)


def _cut(of: _Sum) -> _Boxes:
    """Boxes short against the components that reach them."""
    wide = of.S.diagonal(dim1=-2, dim2=-1).sqrt()  # the standard deviation of each coordinate, [K, 2]
    narrow = _determinant(of.S).sqrt()[:, None] / wide.flip(-1)  # and given the other one
    heat = (of.mu - of.weights @ of.mu).square().sum(-1)
    share = of.weights * (1 + heat / (of.weights @ (heat + _trace(of.S))))  # of the mass and of the second moment
    reach = (2 * (share * len(wide) / _LEFT_OUT).log()).clamp(min=0).sqrt()
    low, high = (of.mu - reach[:, None] * wide).amin(0)[None], (of.mu + reach[:, None] * wide).amax(0)[None]
    lattice = float(wide.max()) < _ALIKE * float(narrow.min())
    longest = _SIDE_OF_A_LATTICE if lattice else _SIDE
    if lattice:  # halves of halves, all of one size
        side = longest * float(narrow.min())
        high = low + side * 2.0 ** ((high - low) / side).log2().ceil().clamp(min=0)
    part = (reach > 0).nonzero()[:, 0]
    box = torch.zeros_like(part)
    found, n_found = [], 0
    while len(low) > 0:
        narrowest = low.new_full(low.shape, math.inf)
        narrowest.scatter_reduce_(0, box[:, None].expand(-1, 2), narrow[part], "amin")
        excess, axis = ((high - low) / (longest * narrowest)).max(-1)
        reached, long = narrowest[:, 0] < math.inf, excess > _ALIKE
        whole = reached & ~long
        pair, number = _of(whole, box)
        found.append((low[whole], high[whole], number + n_found, part[pair]))
        n_found += int(whole.sum())
        halved = reached & long
        pair, number = _of(halved, box)
        low, high, axis = low[halved], high[halved], axis[halved, None]
        middle = (0.5 * (low + high)).gather(1, axis)
        low, high = (
            torch.cat([low, low.scatter(1, axis, middle)]),
            torch.cat([high.scatter(1, axis, middle), high]),
        )
        box, part = torch.cat([number, number + len(axis)]), part[pair].repeat(2)
        kept = _reaches(of, wide, reach, low[box], high[box], part)
        box, part = box[kept], part[kept]
    low, high, box, part = (torch.cat(column) for column in zip(*found, strict=True))
    order = box.argsort(stable=True)
    return _Boxes(low, high, box[order], part[order], lattice)


def _of(chosen: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs belong to chosen boxes, and the numbers of these boxes among themselves."""
    pair = chosen[box]
    return pair, (chosen.long().cumsum(0) - 1)[box[pair]]


def _reaches(of: _Sum, wide: Tensor, reach: Tensor, low: Tensor, high: Tensor, part: Tensor) -> Tensor:
    """Whether components may have mass in boxes, one of each for each pair, [P]: by bounds of their distance."""
    mu, far = of.mu[part], reach[part]
    gap = torch.maximum(low - mu, mu - high).clamp(min=0) / wide[part]
    if of.along:
        return gap.square().sum(-1) < far**2
    precision = inverse(of.S)[part]
    middle, half = 0.5 * (low + high) - mu, 0.5 * (high - low)
    distance = (middle * (precision @ middle[..., None])[..., 0]).sum(-1).clamp(min=0).sqrt()
    radius = (half * (precision.abs() @ half[..., None])[..., 0]).sum(-1).sqrt()
    return (gap.amax(-1) < far) & (distance - radius < far)


def _rule(lattice: bool) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1]."""
    if lattice:
        return (np.arange(_ORDER) + 0.5) / _ORDER, np.full(_ORDER, 1 / _ORDER)
    t, w = np.polynomial.legendre.leggauss(_ORDER)
    return 0.5 * (t + 1), 0.5 * w


def _trace(A: Tensor) -> Tensor:
    return A.diagonal(dim1=-2, dim2=-1).sum(-1)


def _determinant(A: Tensor) -> Tensor:
    return A[..., 0, 0] * A[..., 1, 1] - A[..., 0, 1] * A[..., 1, 0]


def inverse(A: Tensor) -> Tensor:
    """Of matrices [..., 2, 2], by their adjugates."""
    (a, b), (c, d) = (row.unbind(-1) for row in A.unbind(-2))
    adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    return adjugate / _determinant(A)[..., None, None]
