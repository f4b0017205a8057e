"""Expectations under a density as sums on a grid."""

import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from toylab._internal.warn import warn
from toylab.densities.density import Affine, Density, Truncated
from toylab.densities.energy import FromEnergy
from toylab.densities.smoothing import panel_expectation
from toylab.densities.truncated import nodes_between

# The trapezoid rule on a smooth function that vanishes at the edges converges exponentially: with six nodes to the
# narrowest standard deviation the rule itself is exact to rounding for a Gaussian, and for the squared score of a
# law on a curve, which varies faster, to about 1e-9.
_NODES_PER_LENGTH = 6
_MOST_NODES = 50_000_000
_MOST_REFINED = 16_000_000
_MOST_PER_LENGTH = 192
_SETTLED, _NEARLY_SETTLED = 1e-8, 3e-5  # change by half the step, of max(1, |value|): to stop at; to accept at the end
_CHUNK = 250_000
_ORDER = 8  # nodes of a panel that ends at edges or kinks
_NEGLIGIBLE = 1e-24  # a node of such probability adds nothing, whatever f is there
_MOST_UNSURE = 4e-2  # error of the normaliser that is accepted of a law that integrates itself
_LOOK, _LONG_WAIT = 64, 30.0  # blocks that tell how long many will take, about; seconds that are announced
_BLOCK = 8  # nodes along the side of a block, which is left out as a whole if it is negligible


def expectation(
    f: Callable[[Tensor], Tensor], density: Density, sigma: float = 0.0, *, per_length: int = _NODES_PER_LENGTH
) -> float:
    """E f(X) under p_sigma, for a smooth f, by the trapezoid rule on a grid that covers all of p_sigma.

    A density made by ``from_energy``, which may have kinks and walls, is integrated by its own quadrature instead, to
    about its own ``normaliser_error``; so is a truncated one, by panels that end at its walls.

    Args:
        f: maps points [n, 2] (float64) to values [n].
        density: p; it must define ``bounds`` and ``length_scale``.
        sigma: noise level of the law.
        per_length: nodes to a ``length_scale``; 3 will do for an f that is smoother than the squared score.

    Returns:
        The expectation, normalised by the mass that the grid sees.

    Raises:
        ValueError: if the density is so narrow against its extent that the grid would be too large, if the grid does
            not see a mass of 1 to 1e-6, or if a density made by ``from_energy`` does not know its own to 1e-2.
    """
    return _expectation(f, density, sigma, per_length)


def refined_expectation(f: Callable[[Tensor], Tensor], density: Density, sigma: float = 0.0) -> float:
    """E f(X) under p_sigma, for an f that may vary faster than the law, as the log-density of another law does.

    It is ``expectation`` on grids of 3, 6, 12 .. nodes to a ``length_scale``, until the value changes by less than 1e-8
    (of it, where it is greater than 1). Where 192 nodes, or 16 million together, are not enough for that, as where f
    has kinks, a change below 3e-5 will do: the error is then about a third of it, below 1e-5. f may be infinite: so is
    the value. A law too narrow against its extent for two such grids is integrated by panels that resolve p f, to 1e-8;
    so is a clean law with edges or kinks along its axes, such as ``Square``, by panels that end at these.

    Raises:
        ValueError: as ``expectation``, if f is nan, if the value does not settle, and if the law itself is so narrow
            that there is no second grid to tell.
    """
    pieces = _by_pieces(f, density) if sigma == 0 else None
    if pieces is not None:
        return pieces
    per_length = _NODES_PER_LENGTH // 2
    panels = density.length_scale(sigma) > 0 and not _has_nodes(density, sigma)
    if panels and _n_nodes(density, sigma, 2 * per_length) > _MOST_REFINED:
        value = panel_expectation(lambda x: _one_per_point(f(x), x), density, sigma)
        if value is not None:
            return value
    before = _expectation(f, density, sigma, per_length)
    change = 0.0 if math.isinf(before) else math.inf
    while change > _SETTLED:
        per_length *= 2
        if per_length > _MOST_PER_LENGTH or _n_nodes(density, sigma, per_length) > _MOST_REFINED:
            break
        value = _expectation(f, density, sigma, per_length)
        if math.isinf(value):
            return value
        change, before = abs(value - before) / max(1.0, abs(value)), value
    if math.isnan(before):
        raise ValueError("f is nan at a point of the grid, or both inf and -inf: its expectation is nothing.")
    if math.isfinite(change) and change > _NEARLY_SETTLED and panels:
        value = panel_expectation(lambda x: _one_per_point(f(x), x), density, sigma)
        if value is not None:
            return value
    if math.isinf(change):
        low, high = density.bounds(sigma)
        raise ValueError(
            f"the expectation is not known: the law varies over {density.length_scale(sigma):.3g} on a rectangle of "
            f"sides {[round(float(side), 3) for side in high - low]}, and of {_n_nodes(density, sigma, per_length):.2g}"
            " nodes there is no grid to tell whether it has settled. Raise sigma, to which alone the walls of a law "
            "that is cut, and curves, are blurred, or estimate by Monte Carlo."
        )
    if change > _NEARLY_SETTLED:
        raise ValueError(
            f"the expectation has not settled: {before:.8g} still changes by {change * max(1.0, abs(before)):.1g} on a "
            f"grid of {per_length // 2} nodes to the length_scale of the law, {density.length_scale(sigma):.3g}, since "
            "f varies much faster there. Raise sigma, or estimate by Monte Carlo."
        )
    return before


def _by_pieces(f: Callable[[Tensor], Tensor], density: Density) -> float | None:
    """E f(X) of a clean law with edges or kinks along its axes, by Gauss panels that end at these; else None."""
    moves = []
    while isinstance(density, Affine):
        moves.append(density)
        density = density.density
    lines = density._smooth_between()
    if lines is None:
        return None
    n_panels, before, change = 1, math.nan, math.inf
    while change > _SETTLED and math.prod(_ORDER * n_panels * (len(along) - 1) for along in lines) < _MOST_REFINED:
        value = 0.0
        for x, weights in nodes_between(lines, n_panels, _ORDER):
            p = weights * density.log_prob(x).exp()
            x, p = x[p > _NEGLIGIBLE], p[p > _NEGLIGIBLE]
            for move in reversed(moves):
                x = move.forward(x)
            value += float((p * _one_per_point(f(x), x).to(p)).sum())
        if math.isinf(value):
            return value
        if math.isnan(value):
            raise ValueError("f is nan at a point of the grid, or both inf and -inf: its expectation is nothing.")
        change, before, n_panels = abs(value - before) / max(1.0, abs(value)), value, 2 * n_panels
        change = math.inf if math.isnan(change) else change
    if change > _NEARLY_SETTLED:
        raise ValueError(
            f"the expectation has not settled: {before:.8g} still changes by {change * max(1.0, abs(before)):.1g}, "
            "since f varies much faster than the law. Raise sigma, or estimate by Monte Carlo."
        )
    return before


def _expectation(f: Callable[[Tensor], Tensor], density: Density, sigma: float, per_length: int) -> float:
    mass = total = 0.0
    for x, p in _nodes(density, sigma, per_length):
        mass += float(p.sum())
        seen = p > _NEGLIGIBLE
        if not bool(seen.any()):
            continue
        total += float((p[seen] * _one_per_point(f(x[seen]), x[seen]).to(p)).sum())
    if not abs(mass - 1) < 1e-6:
        raise ValueError(
            f"the density has mass {mass:.7g} on its own bounds(sigma={sigma}): it is not normalised there, or varies "
            f"faster than its length_scale(sigma={sigma}) says. Correct these, or raise sigma. A density with kinks or "
            "walls? Build it by densities.from_energy, which integrates them."
        )
    return total / mass


def _one_per_point(values: object, x: Tensor) -> Tensor:
    """Return ``values``, or raise unless they are one number per point of x."""
    if not isinstance(values, Tensor):
        raise TypeError(f"f gives a {type(values).__name__}: it must give a tensor, one number per point.")
    if values.shape != x.shape[:-1]:
        raise ValueError(
            f"f gives shape {list(values.shape)} for points of shape {list(x.shape)}: it must give one number per "
            f"point, shape {list(x.shape[:-1])}, as lambda x: x.square().sum(-1) does."
        )
    return values


def fisher_information(density: Density, sigma: float = 0.0) -> float:
    """I(p_sigma) = E|grad log p_sigma(X)|^2 under p_sigma itself, by quadrature (``expectation``)."""
    return expectation(lambda x: density.score(x, sigma).square().sum(-1), density, sigma)


def _has_nodes(density: Density, sigma: float) -> bool:
    """Whether a law brings its own quadrature."""
    while isinstance(density, Affine):
        density = density.density
    return isinstance(density, FromEnergy | Truncated) and sigma == 0


def _nodes(density: Density, sigma: float, per_length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Points [n, 2] and the probabilities [n] that they stand for, in parts: the law's own, if it has them."""
    inner, moves = density, []
    while isinstance(inner, Affine):
        moves.append(inner)
        inner = inner.density
    if not isinstance(inner, FromEnergy | Truncated) or sigma != 0:
        yield from _grid(density, sigma, per_length)
        return
    if isinstance(inner, FromEnergy) and inner.normaliser_error > _MOST_UNSURE:
        raise ValueError(
            f"the density has a normaliser_error of {inner.normaliser_error:.2g} with n_cells={inner.n_cells}: its "
            "energy has kinks or walls across cells. Choose extent and n_cells so that these run along the sides of "
            "cells, or take more cells."
        )
    for x, p in inner.nodes():
        for move in reversed(moves):
            x = move.forward(x)
        yield x, p


def _n_nodes(density: Density, sigma: float, per_length: int) -> float:
    """How many nodes the grid has, negligible ones included; inf of a law that jumps."""
    low, high = density.bounds(sigma)
    step = density.length_scale(sigma) / per_length
    return math.prod(float(side) / step + 1 for side in high - low) if step > 0 else math.inf


def _grid(density: Density, sigma: float, per_length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of the grid: points [n, 2] and their probabilities [n]."""
    low, high = density.bounds(sigma)
    step = density.length_scale(sigma) / per_length
    n_nodes = _n_nodes(density, sigma, per_length)
    if n_nodes > _MOST_NODES:
        density.log_prob(0.5 * (low + high), sigma)  # a law without a density raises its own message
        raise ValueError(
            f"the density varies over {step * per_length:.3g} on a rectangle of sides "
            f"{[round(float(side), 3) for side in high - low]}: a grid would need {n_nodes:.2g} nodes. "
            "Raise sigma, or estimate by Monte Carlo."
        )
    sides = [math.ceil(float(side) / step) + 1 for side in high - low]
    axes = [
        torch.linspace(float(a), float(b), n, dtype=torch.float64, device="cpu")
        for a, b, n in zip(low, high, sides, strict=True)
    ]
    cell = math.prod(float((b - a) / (n - 1)) for a, b, n in zip(low, high, sides, strict=True))
    first, second = (torch.arange(0, n, _BLOCK, device="cpu") for n in sides)
    within = torch.cartesian_prod(torch.arange(_BLOCK, device="cpu"), torch.arange(_BLOCK, device="cpu"))
    blocks = torch.cartesian_prod(first, second).split(_CHUNK // _BLOCK)
    kept = torch.cat([corners[_matters(corners, axes, density, sigma, cell)] for corners in blocks])
    start, total = time.perf_counter(), len(kept) * _BLOCK**2
    first_look = torch.arange(len(kept), device="cpu") % max(len(kept) // _LOOK, 1) == 0
    many = total > _CHUNK // 4
    parts = [kept[first_look], *kept[~first_look].split(_CHUNK // _BLOCK**2)] if many else [kept]
    for k, corners in enumerate(parts):
        if k == 1 and (wait := (time.perf_counter() - start) / len(parts[0]) * len(kept)) > _LONG_WAIT:
            warn(f"a quadrature over {total} points, at which the law or the field is slow, takes about {wait:.0f} s.")
        nodes = (corners[:, None] + within).reshape(-1, 2)
        nodes = nodes[(nodes < torch.tensor(sides, device="cpu")).all(-1)]
        for part in nodes.split(_CHUNK):
            x = torch.stack([axis[index] for axis, index in zip(axes, part.unbind(-1), strict=True)], -1)
            yield x, cell * density.log_prob(x, sigma).exp()


def _matters(corners: Tensor, axes: list[Tensor], density: Density, sigma: float, cell: float) -> Tensor:
    """Whether a block of nodes can hold one that is not negligible, judged by log p and its slope at its middle.

    The slope is counted twice, for it may grow on the way, and e^10 is allowed on top.
    """
    middle = [
        axis[(index + _BLOCK // 2).clamp(max=len(axis) - 1)]
        for axis, index in zip(axes, corners.unbind(-1), strict=True)
    ]
    log_p, score = density.log_prob_and_score(torch.stack(middle, -1), sigma)
    reach = 0.5 * _BLOCK * math.hypot(*(float(axis[1] - axis[0]) for axis in axes))
    matters: Tensor = log_p + math.log(cell) + 2 * reach * torch.linalg.vector_norm(score, dim=-1) + 10 > math.log(
        _NEGLIGIBLE
    )
    return matters
