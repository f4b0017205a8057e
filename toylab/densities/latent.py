"""Quadrature over a latent: laws that are Gaussian once one number u is known.

p(x) = int w(u) N(x; m(u), C(u)) du is a Gaussian mixture with infinitely many components, and noise only adds
sigma^2 I to C(u). Each point gets nodes of its own, by branch and bound: its window is cut into cells. On a cell of
centre c and half width h the logarithm f of the integrand lies between

    f(c) + f'(c) z + m z^2 / 2   and   f(c) + f'(c) z + M z^2 / 2,   |z| <= h,   where m <= f'' <= M on the cell.

A cell that this proves negligible is dropped, one on which it proves f nearly constant gets Gauss-Legendre nodes, and
any other is cut again. So no peak is missed, wherever it is and however sharp, and no point depends on another.
Everything here is float64, whatever the points are.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from toylab._internal.devices import constant
from toylab._internal.torch_private import is_batched
from toylab._internal.warn import warn
from toylab.densities._mixture import mixture

_DEPTH = 50.0  # a cell is dropped where its mass is proved to be below e^-50 = 2e-22 of what another one has
_ROUNDING = 2e-15  # relative error of f, several units in the last place
_ORDER = 24  # Gauss-Legendre nodes per cell; they integrate exp(f) to 1e-15 while, on the half width of a cell,
_LINEAR, _CONCAVE, _CONVEX = 20.0, 8.0, 6.0  # f' h is at most the first, and f'' h^2 / 2 within the other two
_MOST_PARTS, _MOST_ROUNDS, _MOST_CELLS = 8, 100, 4096  # of a cut; of cuts; per point
_CHUNK, _MOST_AT_ONCE = 4096, 2**17  # points, and cells of all of them
# log((3 + sqrt 3) / (3 - sqrt 3)) and 1 / (12 sqrt 3): see curvature_of_normal
_EXTREME, _LARGEST = math.log(2 + math.sqrt(3)), 1 / (12 * math.sqrt(3))


class Integrand(NamedTuple):
    """f(u) = log w(u) N(x; m(u), C(u) + sigma^2 I) for many points, as functions of u that broadcast to them [...]."""

    log_joint: Callable[[Tensor], Tensor]
    """f itself [...]."""
    change: Callable[[Tensor, Tensor], Tensor]
    """change(u, step) = f(u + step) - f(u), free of the cancellation that this difference has."""
    components: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Score (in x) [..., 2] and its divergence [...] of the Gaussian at u."""
    slope: Callable[[Tensor], Tensor]
    """f'(u) [...]; it only places nodes, and need not be differentiable, like the two below."""
    curvature: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """curvature(a, b) = (m, M) with m <= f'' <= M on [a, b]; they meet as b goes to a."""
    ceiling: Callable[[Tensor, Tensor], Tensor] | None = None
    """ceiling(a, b) >= f on [a, b], where there is something better to say of long intervals."""


class _Cells(NamedTuple):
    """C intervals of u, in the order of the n points that they belong to, of which none has more than K."""

    owner: Tensor
    """The point of each, [C]."""
    centre: Tensor
    """[C, 1]."""
    half: Tensor
    """Half of the width [C, 1]."""
    reference: Tensor
    """The centre of each point's highest cell, [n]."""
    place: Tensor
    """The cells of each point, as places among all of them, [n, K]."""
    inside: Tensor
    """Which of these are meant: the others fill up the row, [n, K]."""


def evaluate(
    integrand: Callable[..., Integrand],
    points: tuple[Tensor, ...],
    low: Tensor,
    high: Tensor,
    *,
    scale: float = math.inf,
) -> tuple[Tensor, Tensor, Tensor]:
    """log p, score and divergence of p(x) = int w(u) N(x; m(u), C(u) + sigma^2 I) du.

    A point that would need more than 4,096 cells, or whose numbers overflow, gets nan, and a warning says so.

    Args:
        integrand: makes the ``Integrand`` of points; tensors come to it in the shape [...] of what it returns.
        points: what it is made of, each of shape [n].
        low: lower end of a window that is proved to hold each point's integrand but for e^-60, shape [n].
        high: its upper end, shape [n].
        scale: length in u over which the integrand changes its nature, if that can be less than its peaks are wide:
            cells are at most three times as long.

    Returns:
        log p [n], score [n, 2], divergence [n].

    Raises:
        TypeError: for tensors batched by ``torch.func.vmap``, as the number of nodes depends on the values.
    """
    if any(is_batched(t) for t in points):
        raise TypeError(
            "x or sigma is batched by torch.func.vmap, and the nodes of this law's integral depend on their values: "
            "densities treat each point by itself, so give the whole batch [n, 2] at once."
        )
    chunks = [(k, min(k + _CHUNK, len(low))) for k in range(0, max(len(low), 1), _CHUNK)][::-1]
    parts, n_failed = [], 0
    while chunks:
        start, stop = chunks.pop()
        part = tuple(t[start:stop] for t in points)
        with torch.no_grad():  # where the nodes lie does not change the integral
            ends = low[start:stop].detach(), high[start:stop].detach()
            cells = _search(integrand, tuple(t.detach() for t in part), *ends, scale)
        if cells is None:
            middle = (start + stop) // 2
            chunks += [(middle, stop), (start, middle)]
            continue
        parts.append(_integrate(integrand, part, cells))
        finite = torch.stack(part).isfinite().all(0)
        n_failed += int((finite & parts[-1][0].detach().isnan()).sum())
    if n_failed:
        warn(
            f"{n_failed} of {len(low)} points are nan: their integral over the latent needs more than {_MOST_CELLS} "
            "pieces, or numbers too large for float64. Take points nearer to the mass, a larger sigma, or parameters "
            "of more similar sizes."
        )
    log_p, score, div = (torch.cat(column) for column in zip(*parts, strict=True))
    return log_p, score, div


def _search(
    integrand: Callable[..., Integrand], points: tuple[Tensor, ...], low: Tensor, high: Tensor, scale: float
) -> _Cells | None:
    """The cells that hold the mass, or None if these are too many to be looked at together."""
    n = len(low)
    owner, centre, half = torch.arange(n, device=low.device), 0.5 * (low + high), 0.5 * (high - low)
    best, failed = torch.full_like(low, -math.inf), torch.zeros(n, dtype=torch.bool, device=low.device)
    found = []
    for _ in range(_MOST_ROUNDS):
        f = integrand(*(t.index_select(0, owner) for t in points))
        first, last, value = centre - half, centre + half, f.log_joint(centre)
        slope, (least, most) = f.slope(centre).abs(), f.curvature(first, last)
        # f falls by at most 3/2 within this distance of the centre
        near = torch.minimum(half, 1 / (slope + (-least).clamp(min=0).sqrt()))
        best.scatter_reduce_(0, owner, value - _ROUNDING * value.abs() + near.log() - 1.5, "amax")
        rise = torch.where(-most * half > slope, -0.5 * slope**2 / most, (slope + 0.5 * most * half) * half)
        top = value + rise if f.ceiling is None else torch.minimum(value + rise, f.ceiling(first, last))
        bend = 0.5 * torch.maximum(-least / _CONCAVE, most / _CONVEX)
        parts = torch.maximum(slope / _LINEAR, bend.clamp(min=0).sqrt()).clamp(min=2 / 3 / scale) * half
        # with nan, and where the centres of the parts would be the same number, nothing is gained by another cut
        whole = ~((parts > 1) & (centre + 0.25 * half != centre))
        mass = top + (2 * half).log() + _ROUNDING * (value.abs() + rise.abs())
        alive = ~(mass < best.index_select(0, owner) - _DEPTH)
        kept = (alive & whole).nonzero()[:, 0]
        found.append(tuple(t.index_select(0, kept) for t in (owner, centre, half, value, mass)))
        cut = (alive & ~whole).nonzero()[:, 0]
        if len(cut) == 0:
            break
        owner, centre, half, parts = (t.index_select(0, cut) for t in (owner, centre, half, parts))
        number = parts.ceil().clamp(max=_MOST_PARTS).long()
        too_many = owner.new_zeros(n).index_add_(0, owner, number) > _MOST_CELLS
        failed |= too_many
        if bool(too_many.any()):
            number = torch.where(too_many.index_select(0, owner), 0, number)
        if int(number.sum()) > _MOST_AT_ONCE and n > 1:
            return None
        ends = number.cumsum(0)
        place = torch.repeat_interleave(number)
        index = torch.arange(len(place), device=low.device) - (ends - number).index_select(0, place)
        number = number.index_select(0, place).to(half)
        owner, centre, half = (t.index_select(0, place) for t in (owner, centre, half))
        half = half / number
        centre = centre + half * (2 * index + 1 - number)
    else:
        failed.index_fill_(0, owner, value=True)
    owner, centre, half, value, mass = (torch.cat(column) for column in zip(*found, strict=True))
    kept = (~(mass < best.index_select(0, owner) - _DEPTH)).nonzero()[:, 0]
    lost = failed.nonzero()[:, 0]  # they get a cell at nan
    nans = torch.full_like(lost, math.nan, dtype=low.dtype)
    owner = torch.cat([owner.index_select(0, kept), lost])
    centre, half, value = (torch.cat([t.index_select(0, kept), nans]) for t in (centre, half, value))
    order = owner.argsort(stable=True)
    owner, centre, half, value = (t.index_select(0, order) for t in (owner, centre, half, value))
    count = owner.new_zeros(n).index_add_(0, owner, torch.ones_like(owner))
    rank = torch.arange(int(count.max()) if n else 1, device=low.device)
    if n > 1 and n * len(rank) > _MOST_AT_ONCE:
        return None
    inside = rank < count[:, None]
    place = torch.where(inside, rank + (count.cumsum(0) - count)[:, None], 0)
    values = value.index_select(0, place.flatten()).view(place.shape)
    highest = torch.where(inside, values, -math.inf).argmax(-1, keepdim=True)
    reference = centre.index_select(0, place.gather(-1, highest)[:, 0])
    return _Cells(owner, centre[:, None], half[:, None], reference, place, inside)


def _integrate(
    integrand: Callable[..., Integrand], points: tuple[Tensor, ...], cells: _Cells
) -> tuple[Tensor, Tensor, Tensor]:
    """The mixture of all nodes: of those of each cell first, and then of the cells of each point."""
    nodes, weights = (constant(part, cells.centre) for part in _rule())
    f = integrand(*(t.index_select(0, cells.owner)[:, None] for t in points))
    reference = cells.reference.index_select(0, cells.owner)[:, None]
    step = cells.half * nodes
    # relative to the reference: f itself loses eps |f|, and would unbalance the nodes
    relative = f.change(reference, cells.centre - reference) + f.change(cells.centre, step)
    scores, divergences = f.components(cells.centre + step)
    parts = mixture(relative + (cells.half * weights).log(), scores, divergences.expand_as(relative))
    log_joint, s, div = (t.index_select(0, cells.place.flatten()).unflatten(0, cells.place.shape) for t in parts)
    log_p, s, div = mixture(torch.where(cells.inside, log_joint, -math.inf), s, div)
    return integrand(*points).log_joint(cells.reference) + log_p, s, div


@cache
def _rule() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights of Gauss-Legendre on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    return tuple(nodes), tuple(weights)


def change_of_normal(z: Tensor, step: Tensor, heat: Tensor) -> Tensor:
    """Change from z to z + step of log N(y; 0, w), w = noise (1 + e^z), heat = y^2 / noise.

    From the smaller of two w to the larger, `more` = larger / smaller - 1 = sigmoid(z) (e^|step| - 1) keeps its digits.
    """
    more = (z + step.clamp(max=0)).sigmoid() * step.abs().expm1()
    return -0.5 * step.sign() * (more.log1p() - heat * more * (-(z + step.clamp(min=0))).sigmoid())


def curvature_of_normal(low: Tensor, high: Tensor, heat: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of the second derivative in z of log N(y; 0, w), w = noise (1 + e^z), on [low, high]; heat = y^2 / noise.

    With g = sigmoid(z) it is -g (1 - g) / 2 - heat g (1 - g) (2 g - 1) / 2. Both parts are monotone between their
    extremes, at g = 1/2 and at g = (3 -+ sqrt 3) / 6, where the second is +- heat / (12 sqrt 3).
    """
    (g1, k1), (g2, k2) = ((z.sigmoid(), (-z).sigmoid()) for z in (low, high))
    normal, cubic = (-0.5 * g1 * k1, -0.5 * g2 * k2), (-0.5 * g1 * k1 * (g1 - k1), -0.5 * g2 * k2 * (g2 - k2))
    least, most = torch.minimum(*normal), torch.maximum(*normal)
    least = torch.where((low < 0) & (high > 0), -0.125, least)
    first, last = torch.minimum(*cubic), torch.maximum(*cubic)
    first = torch.where((low < _EXTREME) & (high > _EXTREME), -_LARGEST, first)
    last = torch.where((low < -_EXTREME) & (high > -_EXTREME), _LARGEST, last)
    return least + heat * first, most + heat * last
