"""A law at every noise level from one evaluation: its density on a grid, made smoother by integrals along each axis.

With x_l = x_1 + l z for x_1 from the law, a grid holds the density p_l of x_l and M_l = p_l (m_l - c), where
m_l(y) = E[x_1 | x_l = y] = y + l^2 grad log p_l(y), and c is the centre of the law. Both become those of a higher level
by the same Gaussian,

    p_l(y) = int p_k(x) N(y; x, (l^2 - k^2) I) dx,   M_l(y) = int M_k(x) N(y; x, (l^2 - k^2) I) dx,

which is a product: two products of matrices, one integral along each axis. An axis is cut into panels of 16
Gauss-Legendre nodes, short where p_l varies fast and long in its tails. Between the nodes p_l is the polynomial through
them, whose integral against a Gaussian is taken to rounding however narrow this is; and it may end where the grid does,
as a truncated law does. Panels are cut until they resolve the law. Each fourfold level has a grid of its own, from
which those between are made.

A law that is a mixture of Gaussians under noise, or of laws with independent coordinates, needs no such grid: see the
modules ``parts`` and ``products``.
"""

import math
import time
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.warn import warn
from toylab.densities.density import Affine, Density, Noised
from toylab.densities.parts import Parts, unknown
from toylab.densities.products import Products, unknown_of_products

_ORDER = 16  # nodes per panel
_SHARES = (0.125, 0.25, 0.5)  # of the bounds of a law, between which its tails are compared
_TAIL = 1e-12  # of the mass: no more is in heavy tails beyond a half of the bounds, which leave out 1e-15
_GROWS = 0.9  # shares of an integral that fall by less with each doubling of the bounds do not add up
_RESOLVED = 1e-9  # of mass and of second moment, that the polynomials of one panel may miss
_TAILS = 0.1  # weight of the second moment, in units of the spread
_ROUGHLY = 1e-4  # of an integral, likewise: Gauss-Legendre is exact to twice the degree
_NEGLIGIBLE = 1e-15  # probability of a node that is left out
_UNSEEN = 1e-15  # of a panel at its densest point, at which the law is not asked for
_MASS = 1e-6  # by which that of a law on its own bounds may differ from 1
_FAR_OUT, _HEAVY = 1e3, 1e-3  # spreads; r^4 p(r) there, in units of the squared spread
_FAR = 9.0  # standard deviations, beyond which a Gaussian has a mass of 2e-19
_LONG = 2.0  # standard deviations of the Gaussian: along a longer panel it is integrated piece by piece
_PIECES, _PER_PIECE = 9, 12  # of two standard deviations or less; nodes
_MOST_PANELS, _MOST_ROUNDS = 100, 60  # of an axis; of cuts
_FIRST_PANELS, _N_DRAWS = 4, 4096  # the first panels hold as many draws each
_LONGEST = 3.0  # length_scales, of a first panel
_PER_SPREAD = 40  # least levels to the spread of a law that has no smooth density
_CONTINUED = (1.0, 1.15, 1.3, 1.5, 1.75)  # times the least level, from which those below are continued
_UNSURE, _HALVINGS = 1e-4, 1  # by which two continuations may differ; of the least level, until they do not
_CANCELS = 0.9998  # level^2 I / 2, beyond which 1 less it has lost too many digits
_RUNG = 4.0  # ratio of the levels of two grids
_NORMAL = Parts(
    torch.ones(1, dtype=torch.float64, device="cpu"),
    torch.zeros(1, 2, dtype=torch.float64, device="cpu"),
    torch.eye(2, dtype=torch.float64, device="cpu")[None],
    0.0,
)
_MOST_HALVINGS, _LOST = 3, 1e-6  # of the least ratio; of what is left, by continuation
_CHUNK = 8192  # points, of which the law is asked at once
_LONG_WAIT = 30.0  # seconds that are announced

Places = tuple[Tensor, Tensor]  # coordinates along both axes, [N_1] and [N_2]: all pairs of them are meant


class Fields(NamedTuple):
    """What is known at all pairs of places."""

    density: Tensor
    """p_l, [N_1, N_2]."""
    moment: Tensor
    """M_l, [2, N_1, N_2]."""
    integrand: Tensor
    """What is to be integrated, and has to be resolved, too, [N_1, N_2]."""


class Sheet(NamedTuple):
    """Fields on the nodes of a grid, fine enough for polynomials between them."""

    level: float
    edges: Places
    """Those of the panels, increasing, [P_1 + 1] and [P_2 + 1]."""
    fields: Fields

    def smoothed(self, places: Places, level: float) -> tuple[Tensor, Tensor]:
        """p_l [N_1, N_2] and M_l [2, N_1, N_2], l = ``level``, at all pairs of places."""
        std = math.sqrt((level - self.level) * (level + self.level))
        a, b = (_smoothing(edges, y, std) for edges, y in zip(self.edges, places, strict=True))
        p, m = self.fields.density, self.fields.moment
        return a @ p @ b.T, torch.stack([a @ part @ b.T for part in m])

    def integral(self, values: Tensor) -> float:
        """Of values [N_1, N_2] at the nodes."""
        return float(_weights(self.edges[0]) @ values @ _weights(self.edges[1]))


class Place(NamedTuple):
    """Where a law lies, by draws of it."""

    quantiles: Tensor
    """Those of both coordinates, between which there are as many draws each, [n, 2]."""
    centre: Tensor
    """c, the medians, [2]."""
    spread: Tensor
    """The distances of the quartiles, [2]."""


class Law(NamedTuple):
    """What is known of a law before it is made smoother."""

    place: Place
    base: Sheet
    """Of the clean law, or of the least level at which it is smooth enough."""
    mean: Tensor
    """[2]."""
    variance: float
    """E|x_1 - E x_1|^2."""
    rungs: dict[int, Sheet]
    """Grids of higher levels, as they are made."""
    excesses: dict[float, float]
    """By level, as they are found."""


def excess(density: Density, level: float) -> float:
    """1/2 E|x_1 - E[x_1 | x_1 + level z]|^2 / level^2: half the mean variance that noise leaves of x_1, in its units.

    It is 1 - level^2 I / 2, I the Fisher information of p_level; where that cancels, half of what the variance of
    E[x_1 | x_1 + level z] lacks of that of x_1, over level^2. At level 0 it is 1 for a law with a smooth density, 1/2
    for a curve.

    Raises:
        ValueError: if the law has not a mass of 1 on its ``bounds``, if its second moment is infinite or nearly so, and
            if no grid resolves it.
    """
    if isinstance(density, Affine):
        return excess(density.density, level / abs(density.factor))
    if isinstance(density, Noised):
        total = math.hypot(level, density.std)
        return (density.std / total) ** 2 + (level / total) ** 2 * excess(density.density, total)
    if (known_parts := left(None, density, level)) is not None:
        return known_parts
    known = law(density)
    least = known.base.level
    if level >= least:
        return _excess(density, known, level)
    return continued(level, least, partial(_excess, density, known))[0]


def variance(density: Density) -> float:
    """E|x_1 - E x_1|^2; raises as ``excess``."""
    if isinstance(density, Affine):
        return density.factor**2 * variance(density.density)
    if (products := density._as_products()) is not None:
        return products.variance
    low, high = density.bounds()
    parts = density._as_gaussians(float((high - low).max()) or 1.0)
    return law(density).variance if parts is None else parts.variance


def left(source: Density | None, density: Density, ratio: float) -> float | None:
    """1/2 E|x_0 - E[x_0 | x_1 + ratio x_0]|^2, x_1 from the density; None if that is no mixture of those below.

    Args:
        source: the law of x_0, a mixture of Gaussians; None is N(0, I).
        density: the law of x_1, made of Gaussians under noise, or of laws with independent coordinates.
        ratio: at least 0.
    """
    if density._as_products() is not None:
        return _left_of_products(source, density, ratio)
    known = _of(density, float(torch.sub(*density.bounds()).abs().max()) or 1.0)
    if known is None:
        return None
    least = _least(source, density) if known.least > 0 else 0.0
    return _left(source, density, ratio) if ratio >= least else _continued_left(source, density, ratio, least)[0]


def _of(density: Density | None, sigma: float) -> Parts | None:
    return _NORMAL if density is None else density._as_gaussians(sigma)


def _both(source: Density | None, density: Density, ratio: float) -> tuple[Parts, Parts]:
    """The source and the law under its noise, of which the parts are known to exist."""
    of_source = cast(Parts, _of(source, 0.0))
    sigma = ratio * float(torch.linalg.eigvalsh(of_source.covariances).min().sqrt())
    return of_source, cast(Parts, density._as_gaussians(sigma or 1.0))


@lru_cache(maxsize=4096)
def _left_of_products(source: Density | None, density: Density, ratio: float) -> float:
    return unknown_of_products(cast(Parts, _of(source, 0.0)), cast(Products, density._as_products()), ratio)


@lru_cache(maxsize=4096)
def _left(source: Density | None, density: Density, ratio: float) -> float:
    return unknown(*_both(source, density, ratio), ratio)


def _continued_left(source: Density | None, density: Density, ratio: float, least: float) -> tuple[float, float]:
    """What is left at ratios below the least one; a law with a density leaves all of the source at 0."""
    of_source, parts = _both(source, density, least)
    at_zero = 0.5 * of_source.variance if parts.has_density else None
    return continued(ratio, least, partial(_left, source, density), at_zero, parts.order)


@lru_cache(maxsize=256)
def _least(source: Density | None, density: Density) -> float:
    """The ratio below which what is left is continued.

    The error of a continuation counts over the ratios up to the least one, against what is left at the ratio at which
    source and data are equally wide.
    """
    of_source, parts = _both(source, density, 1.0)
    least = parts.least / math.sqrt(0.5 * of_source.variance)
    alike = math.sqrt(parts.variance / of_source.variance)
    for _ in range(_MOST_HALVINGS):
        found, error = _continued_left(source, density, 0.25 * least, least)
        if error * least < _LOST * abs(found) * alike:
            break
        least *= 0.5
    return least


def continued(
    level: float, least: float, f: Callable[[float], float], at_zero: float | None = None, order: int = 1
) -> tuple[float, float]:
    """f(level) below the least level, by the polynomial through five larger ones, and its distance from a simpler one.

    Both go through f(0), too, where it is known; they are polynomials in the level to a power, the order.

    For laws that have edges, or lie on a curve: what noise leaves of them, in units of the level, is smooth in the
    level down to 0, with a term for edges, one for corners, ..
    """
    known = [(factor * least, f(factor * least)) for factor in _CONTINUED]
    start = [] if at_zero is None else [(0.0, at_zero)]
    found, simpler = (
        sum(
            value * math.prod((level**order - b**order) / (a**order - b**order) for b, _ in points if b != a)
            for a, value in points
        )
        for points in (start + known, start + known[:-1])
    )
    return found, abs(found - simpler)


def bounds(density: Density, level: float) -> tuple[Tensor, Tensor]:
    """Those of a law under noise, also of one that itself knows its clean law alone."""
    try:
        return density.bounds(level)
    except validate.OnlyClean:
        low, high = density.bounds()
        return low - 9 * level, high + 9 * level


def sheet_below(density: Density, level: float) -> Sheet:
    """The grid from which p_level is made: the base of the law, or one of a level less than four times smaller."""
    return _below(density, law(density), level)


def panel_expectation(f: Callable[[Tensor], Tensor], density: Density, sigma: float) -> float | None:
    """E f(X) under p_sigma by panels that resolve p_sigma and p_sigma f, or None if there are no such panels.

    For laws whose tails are far from their narrowest part, for which no grid of equal steps is affordable, and for f
    with kinks along an axis. Each panel may miss 1e-9 of the value, which is infinite if f is where p is not 0.

    Raises:
        ValueError: if f is nan, or rises so fast in heavy tails of p that the ``bounds`` of p decide the value.
    """
    place = _place(density)
    infinite: list[float] = []

    def fields(edges: Places) -> Fields:
        x = torch.stack(torch.meshgrid(nodes(edges[0]), nodes(edges[1]), indexing="ij"), -1).view(-1, 2)
        p = torch.cat([density.log_prob(part, sigma) for part in x.split(_CHUNK)]).exp()
        weights = (_weights(edges[0])[:, None] * _weights(edges[1])).flatten()
        seen = p * weights > _NEGLIGIBLE**2
        values = torch.zeros_like(p)
        found = f(x[seen]).to(p)
        if bool(found.isnan().any()):
            raise ValueError("f is nan at a point of the grid: its expectation is nothing.")
        infinite.extend(found[found.isinf()][:1].tolist())
        values[seen] = p[seen] * found.nan_to_num(posinf=0.0, neginf=0.0)
        shape = len(nodes(edges[0])), -1
        return Fields(p.view(shape), p.new_zeros(0), values.view(shape))

    first, second = (_with_shares(edges) for edges in _first(density, place, sigma))
    sheet = resolve(fields, (first, second), place, sigma, roughly=_RESOLVED)
    if infinite:
        return infinite[0]
    if sheet is None or not abs((mass := sheet.integral(sheet.fields.density)) - 1) < _MASS:
        return None
    return (sheet.integral(sheet.fields.integrand) + _beyond(sheet)) / mass


def _with_shares(edges: Tensor) -> Tensor:
    """Edges of panels, with those of a half, a quarter and an eighth of the whole about its middle."""
    middle, reach = 0.5 * (edges[-1] + edges[0]), 0.5 * (edges[-1] - edges[0])
    added = (middle[None] + a * reach for share in _SHARES for a in (-share, share))
    found: Tensor = torch.cat([edges, *added]).unique()
    return found


def _beyond(sheet: Sheet) -> float:
    """What the integral has beyond the bounds of a law, by how it falls with each doubling within them.

    Shares of it lie between an eighth and a quarter of the bounds, a quarter and a half, a half and the whole. In a
    tail that is a power each is the same part r of the one before, and so are all beyond; in a lighter tail r itself
    falls, by the same factor each time.
    """
    x = [(2 * nodes(e) - e[0] - e[-1]).abs() / (e[-1] - e[0]) for e in sheet.edges]
    far, values = torch.maximum(x[0][:, None], x[1]), sheet.fields.integrand
    eighth, quarter, half = (sheet.integral(torch.where((a < far) & (far <= 2 * a), values, 0.0)) for a in _SHARES)
    mass = sheet.integral(torch.where(far > _SHARES[-1], sheet.fields.density, 0.0))
    if mass > _TAIL or abs(half) <= _NEGLIGIBLE * max(1.0, abs(sheet.integral(values))):
        return 0.0  # not tails but the law itself, as of modes far from each other; or nothing
    if abs(half) > _GROWS * abs(quarter):
        raise ValueError(
            f"the expectation is infinite, or not known: f rises so fast in the heavy tails of the law that {half:.3g} "
            f"of it lies between the half and the whole of the bounds, and {quarter:.3g} between a quarter and a half. "
            "Raise sigma or change the other law: this mean has no number."
        )
    beyond, share, r = 0.0, half, half / quarter
    falls = min(1.0, abs(r / (quarter / eighth)))
    while abs(share) > _NEGLIGIBLE * abs(half):
        r *= falls
        share *= r
        beyond += share
    return beyond


def resolve(
    fields: Callable[[Places], Fields], edges: Places, place: Place, level: float, *, roughly: float = _ROUGHLY
) -> Sheet | None:
    """The sheet whose panels resolve the fields, or None if it would have more than 100 panels to an axis.

    Args:
        fields: gives those at the nodes of panels with given edges.
        edges: of the panels to begin with.
        place: of the law.
        level: of the sheet.
        roughly: the share of the integral that the last terms of one panel may hold.
    """
    for _ in range(_MOST_ROUNDS):
        sheet = Sheet(level, edges, fields(edges))
        p, _, integrand = sheet.fields
        reach = torch.hypot(place.spread, torch.full_like(place.spread, level))
        first, second = (_TAILS * ((nodes(e) - c) / r) ** 2 for e, c, r in zip(edges, place.centre, reach, strict=True))
        spread = p * (1 + first[:, None] + second)
        rough = roughly * abs(sheet.integral(integrand))
        finer = []
        for axis, c in enumerate(place.centre):
            coarse = (_missed(spread, edges, axis) > _RESOLVED) | (_missed(integrand, edges, axis) > rough)
            finer.append(torch.cat([edges[axis], _middles(edges[axis] - c)[coarse] + c]).sort().values)
        if all(len(new) == len(old) for new, old in zip(finer, edges, strict=True)):
            return sheet
        edges = finer[0], finer[1]
        if max(len(new) for new in edges) > _MOST_PANELS:
            break
    return None


def nodes(edges: Tensor) -> Tensor:
    """Gauss-Legendre nodes of all panels, [16 P]."""
    t, _ = _gauss_legendre(_ORDER)
    return (edges[:-1, None] + edges.diff()[:, None] * (t + 1) / 2).flatten()


def merged(edges: Places, low: Tensor, high: Tensor, least: float) -> Places:
    """The edges inside of a rectangle, less those nearer than ``least`` to the one before, and its sides."""

    def along(old: Tensor, start: float, end: float) -> Tensor:
        kept = [start]
        for edge in old.tolist():
            if edge - kept[-1] > least and end - edge > least:
                kept.append(edge)
        return torch.tensor([*kept, end], dtype=torch.float64, device="cpu")

    first, second = (along(old, float(a), float(b)) for old, a, b in zip(edges, low, high, strict=True))
    return first, second


def over(numerator: Tensor, p: Tensor, edges: Places) -> Tensor:
    """numerator / p [N_1, N_2], and 0 at nodes that are negligible, where p is rounding."""
    seen = p * _weights(edges[0])[:, None] * _weights(edges[1]) > _NEGLIGIBLE
    return torch.where(seen, numerator / torch.where(seen, p, 1.0), 0.0)


@lru_cache(maxsize=64)
def law(density: Density) -> Law:
    """Its first grid, fine enough for what noise leaves of the law to be smooth below its level, and its moments."""
    place = _place(density)
    least, length = float(place.spread.max()) / _PER_SPREAD, density.length_scale()
    if length > 0:
        _refuse_heavy_tails(density, place)
    levels = [0.0] if length > 0 else []
    if length == 0 or length > least:
        levels += [least / 2**k for k in range(_HALVINGS + 1)]
    for level in levels:
        sheet = resolve(_fields(density, place, level), _first(density, place, level), place, level)
        if sheet is None:
            continue
        known = _moments(density, place, sheet)
        if level == 0 or continued(0.0, level, partial(_excess, density, known))[1] < _UNSURE:
            return known
    low, high = density.bounds()
    raise ValueError(
        f"no grid of {_ORDER * _MOST_PANELS} nodes to an axis resolves the law, which varies over "
        f"{length or min(levels):.2g} or less on a rectangle of sides {[round(float(side), 3) for side in high - low]}:"
        " its irreducible loss is not known. Noise it first, p.noised(0.1)."
    )


def _moments(density: Density, place: Place, base: Sheet) -> Law:
    """What its first grid tells of a law."""
    p, m, _ = base.fields
    mass = base.integral(p)
    if not abs(mass - 1) < _MASS:
        raise ValueError(
            f"the density has mass {mass:.7g} on its own bounds(sigma={base.level:.3g}): it is not normalised there. "
            "Correct its log_prob or its bounds."
        )
    first, second = (nodes(edges) - c for edges, c in zip(base.edges, place.centre, strict=True))
    square = p * (first[:, None] ** 2 + second**2)
    total = base.integral(square)
    mean = torch.tensor([base.integral(part) for part in m], dtype=torch.float64, device="cpu")
    return Law(place, base, place.centre + mean, total - 2 * base.level**2 - float(mean.square().sum()), {}, {})


def _refuse_heavy_tails(density: Density, place: Place) -> None:
    """Raise if far out, halfway to its bounds, r^4 p(r) says that the law has no second moment, or hardly one."""
    spread = float(place.spread.max())
    for corner in density.bounds():
        for axis, way in enumerate(torch.eye(2, dtype=torch.float64, device="cpu")):
            r = 0.5 * float((corner - place.centre)[axis])
            p = float(density.log_prob(place.centre + r * way).exp())
            if abs(r) > _FAR_OUT * spread and r**4 * p > _HEAVY * spread**2:
                raise ValueError(
                    "the second moment of the law is infinite, or its bounds do not hold it: then the mean square of "
                    "x_1 - x_0, and with it the mean of the loss, is infinite or not known. Give a law with lighter "
                    "tails, such as Student's t with 2.5 degrees of freedom or more, or truncate it."
                )


def _place(density: Density) -> Place:
    x = density.sample((_N_DRAWS,), generator=torch.Generator(density.device).manual_seed(0)).cpu().double()
    quartiles = x.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64, device="cpu"), 0)
    spread = (quartiles[2] - quartiles[0]).clamp(min=1e-3 * float((quartiles[2] - quartiles[0]).max()))
    low, high = density.bounds()
    spread = torch.where(spread > 0, spread, (high - low).max().clamp(min=1e-12))
    return Place(
        x.quantile(torch.linspace(0, 1, _FIRST_PANELS + 1, dtype=torch.float64, device="cpu"), 0), quartiles[1], spread
    )


def _fields(density: Density, place: Place, level: float) -> Callable[[Places], Fields]:
    """Those of the law itself, at a level of which it has a density."""
    evaluate = _Panels(density, level).evaluate

    def fields(edges: Places) -> Fields:
        p, gradient = evaluate(edges)
        first, second = (nodes(e) - c for e, c in zip(edges, place.centre, strict=True))
        moment = p * torch.stack(torch.meshgrid(first, second, indexing="ij")) + level**2 * gradient
        return Fields(p, moment, over((level**2 or 1.0) * gradient.square().sum(0), p, edges))

    return fields


def _first(density: Density, place: Place, level: float) -> Places:
    """Edges to begin with: at quantiles of the draws, and no farther apart than a law of few details is smooth."""
    low, high = bounds(density, level)
    longest = _LONGEST * density.length_scale(level)

    def finer(edges: Tensor) -> Tensor:
        if float(edges[-1] - edges[0]) > 0.5 * _MOST_PANELS * longest:
            return edges
        counts = (edges.diff() / longest).ceil().int().tolist()
        parts = [
            torch.linspace(float(a), float(b), n + 1, dtype=torch.float64, device="cpu")[1:]
            for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
        return torch.cat([edges[:1], *parts])

    first, second = merged((place.quantiles[:, 0], place.quantiles[:, 1]), low, high, density.length_scale(level))
    return finer(first), finer(second)


def _below(density: Density, known: Law, level: float) -> Sheet:
    base = known.base
    first = _RUNG * base.level if base.level > 0 else density.length_scale()
    if level < first:
        return base
    for n in range(math.floor(math.log(level / first, _RUNG) + 1e-9) + 1):
        rung = first * _RUNG**n
        if n not in known.rungs:
            known.rungs[n] = _smoother(density, known, known.rungs[n - 1] if n else base, rung)
    return known.rungs[n]


def _excess(density: Density, known: Law, level: float) -> float:
    if level == 0:
        return 1.0
    if level not in known.excesses:
        sheet = _smoother(density, known, _below(density, known, level), level)
        p, m, integrand = sheet.fields
        lost = 0.5 * sheet.integral(integrand)  # level^2 I / 2
        mean = known.mean - known.place.centre
        explained = sheet.integral(over(m.square().sum(0), p, sheet.edges)) - float(mean.square().sum())
        left = 1 - lost if lost < _CANCELS else 0.5 * (known.variance - explained) / level**2
        known.excesses[level] = left
    return known.excesses[level]


def _smoother(density: Density, known: Law, source: Sheet, level: float) -> Sheet:
    """The sheet of a level, made from that of a lower one."""
    centre = known.place.centre

    def fields(edges: Places) -> Fields:
        p, m = source.smoothed((nodes(edges[0]), nodes(edges[1])), level)
        return Fields(p, m, over(_pull(p, m, edges, centre).square().sum(0) / level**2, p, edges))

    if level == source.level:
        return source
    found = resolve(fields, merged(source.edges, *bounds(density, level), 1.5 * level), known.place, level)
    if found is None:
        raise ValueError(
            f"no grid of {_ORDER * _MOST_PANELS} nodes to an axis resolves the law with noise of {level:.3g}. Noise it "
            "first, p.noised(0.1)."
        )
    return found


def _pull(p: Tensor, m: Tensor, edges: Places, centre: Tensor) -> Tensor:
    """level^2 p_level grad log p_level = M - p (y - c), [2, N_1, N_2]."""
    first, second = (nodes(e) - c for e, c in zip(edges, centre, strict=True))
    return torch.stack([m[0] - p * first[:, None], m[1] - p * second])


class _Panels:
    """The law itself at the nodes of panels, each asked for once, or not at all if nine points let it be."""

    def __init__(self, density: Density, level: float) -> None:
        self.density, self.level = density, level
        self.known: dict[tuple[float, float, float, float], Tensor] = {}  # log p and score, [3, 16, 16]

    def evaluate(self, edges: Places) -> tuple[Tensor, Tensor]:
        """p [N_1, N_2] and its gradient [2, N_1, N_2]."""
        first, second = ([(float(a), float(b)) for a, b in zip(e[:-1], e[1:], strict=True)] for e in edges)
        keys = [(*one, *other) for one in first for other in second]
        self._learn([key for key in keys if key not in self.known])
        panels = torch.stack([self.known[key] for key in keys]).view(len(first), len(second), 3, _ORDER, _ORDER)
        found = panels.permute(2, 0, 3, 1, 4).reshape(3, len(first) * _ORDER, len(second) * _ORDER)
        return found[0], found[1:]

    def _learn(self, keys: list[tuple[float, float, float, float]]) -> None:
        sides = torch.tensor(keys, dtype=torch.float64, device="cpu").view(-1, 2, 2)  # [n, axis, end]
        t, _ = _gauss_legendre(_ORDER)
        x = sides[..., :1] + (sides[..., 1:] - sides[..., :1]) * (t + 1) / 2  # [n, 2, 16]
        few = x[..., [_ORDER // 8, _ORDER // 2, _ORDER - 1 - _ORDER // 8]]
        log_p, s = _ask(self.density, _pairs(few), self.level)
        widths = sides.diff(dim=-1)[..., 0]
        rise = (s.abs() * widths[:, None, None] / 3).sum(-1).nan_to_num(nan=math.inf)
        seen = (log_p + rise).flatten(1).amax(-1) + widths.log().sum(-1) > math.log(_UNSEEN)
        log_p, s = _ask(self.density, _pairs(x[seen]), self.level)
        found = x.new_zeros(len(keys), 3, _ORDER, _ORDER)
        p = log_p.exp()
        found[seen] = torch.stack([p, *torch.where(p[..., None] > 0, p[..., None] * s, 0.0).unbind(-1)], 1)
        self.known.update(zip(keys, found, strict=True))


def _pairs(x: Tensor) -> Tensor:
    """All points of the coordinates x [n, 2, k], [n, k, k, 2]."""
    k = x.shape[-1]
    return torch.stack([x[:, 0, :, None].expand(-1, k, k), x[:, 1, None].expand(-1, k, k)], -1)


def _ask(density: Density, x: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """log p [...] and its gradient [..., 2] at x [..., 2]; what takes long is announced."""
    parts = x.reshape(-1, 2).split(_CHUNK)
    start, found = time.perf_counter(), []
    for k, part in enumerate(parts):
        found.append(density.log_prob_and_score(part, level))
        wait = (time.perf_counter() - start) / (k + 1) * len(parts)
        if k == 0 and wait > _LONG_WAIT:
            warn(f"the density is slow: its values at {len(parts) * _CHUNK} points take about {wait:.0f} s.")
    log_p, s = (torch.cat(column) for column in zip(*found, strict=True))
    return log_p.view(x.shape[:-1]), s.view(x.shape)


def _middles(edges: Tensor) -> Tensor:
    """Where panels about 0 are cut: in the middle, or in the tails at the geometric mean of their ends."""
    near, far = (pick(edges[:-1].abs(), edges[1:].abs()) for pick in (torch.minimum, torch.maximum))
    tail = (edges[:-1] * edges[1:] > 0) & (far > 4 * near)
    return torch.where(tail, edges[:-1].sign() * (near * far).sqrt(), 0.5 * (edges[:-1] + edges[1:]))


def _missed(values: Tensor, edges: Places, axis: int) -> Tensor:
    """The last two Legendre terms of each panel of an axis, integrated, [P]: about what a polynomial misses."""
    rows = values if axis == 0 else values.T
    last = torch.einsum("di,kij->kdj", _transform()[-2:], rows.reshape(-1, _ORDER, rows.shape[1])).abs().sum(1)
    return edges[axis].diff() * (last @ _weights(edges[1 - axis]))


def _smoothing(edges: Tensor, y: Tensor, std: float) -> Tensor:
    """int L_i(x) N(y; x, std^2) dx at y [M], L_i the Lagrange polynomial of each node, [M, N]; std 0 interpolates."""
    low, high, n_panels = edges[:-1], edges[1:], len(edges) - 1
    matrix = y.new_zeros(len(y), n_panels, _ORDER)
    long = high - low > _LONG * std
    short = ~long
    if bool(short.any()):
        x, w = (part.view(n_panels, _ORDER)[short] for part in (nodes(edges), _weights(edges)))
        matrix[:, short] = w * _normal(y[:, None, None] - x, std)
    reach = _FAR * std
    point, panel = ((y[:, None] > low - reach) & (y[:, None] < high + reach) & long).nonzero(as_tuple=True)
    if len(point) == 0:
        return matrix.flatten(1)
    near, a, b = y[point][:, None], low[panel][:, None], high[panel][:, None]
    if std > 0:
        t, w = _pieces()
        start, end = torch.maximum(near - reach, a), torch.minimum(near + reach, b)
        x = start + (end - start) * t
        weights = (end - start) * w * _normal(near - x, std)
    else:
        x, weights = near, torch.ones_like(near)
    place = (2 * x - a - b) / (b - a)
    legendre = [torch.ones_like(place), place]
    for d in range(2, _ORDER):
        legendre.append(((2 * d - 1) * place * legendre[-1] - (d - 1) * legendre[-2]) / d)
    matrix[point, panel] = torch.stack([(weights * each).sum(-1) for each in legendre], -1) @ _transform()
    return matrix.flatten(1)


def _normal(z: Tensor, std: float) -> Tensor:
    return torch.exp(-0.5 * (z / std) ** 2) / (std * math.sqrt(2 * math.pi))


def _weights(edges: Tensor) -> Tensor:
    """Those of the nodes of all panels, [16 P]."""
    _, w = _gauss_legendre(_ORDER)
    return (edges.diff()[:, None] * w / 2).flatten()


@cache
def _transform() -> Tensor:
    """From values at the nodes on [-1, 1] to Legendre coefficients, [16, 16]."""
    t, w = (part.numpy() for part in _gauss_legendre(_ORDER))
    return torch.as_tensor(
        (np.arange(_ORDER)[:, None] + 0.5) * np.polynomial.legendre.legvander(t, _ORDER - 1).T * w, device="cpu"
    )


@cache
def _pieces() -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1] of nine pieces."""
    t, w = _gauss_legendre(_PER_PIECE)
    steps = torch.arange(_PIECES, dtype=torch.float64, device="cpu")[:, None]
    return ((steps + (t + 1) / 2) / _PIECES).flatten(), (w / (2 * _PIECES)).repeat(_PIECES)


@cache
def _gauss_legendre(order: int) -> tuple[Tensor, Tensor]:
    t, w = np.polynomial.legendre.leggauss(order)
    return torch.as_tensor(t, device="cpu"), torch.as_tensor(w, device="cpu")
