"""Quadrature over a latent: laws that are Gaussian once one number u is known.

p(x) = int w(u) N(x; m(u), C(u)) du is a Gaussian mixture with infinitely many components, and noise only adds
sigma^2 I to C(u). Each point gets nodes of its own: its integrand is scanned for peaks, each peak is zoomed in on until
the window holds nothing else, and Gauss-Legendre nodes are laid on the windows. So the same rule serves every noise
level and the far tails. Everything here is float64, whatever the points are.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from toylab.densities._mixture import mixture

# Beyond the depth the integrand is below e^-60 = 1e-26 of its largest value.
_DEPTH, _MOST_ROUNDS, _ZOOM, _LEAST_PANELS, _ORDER, _CHUNK = 60.0, 8, 33, 4, 24, 2048


class Integrand(NamedTuple):
    """log w(u) N(x; m(u), C(u) + sigma^2 I) for n points, as functions of u [n, m, j]."""

    log_joint: Callable[[Tensor], Tensor]
    """The logarithm itself [n, m, j]."""
    change: Callable[[Tensor, Tensor], Tensor]
    """change(u, step) = log_joint(u + step) - log_joint(u), free of the cancellation that this difference has."""
    components: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Score (in x) [n, m, j, 2] and its divergence [n, m, j] of the Gaussian at u."""


def evaluate(
    integrand: Callable[..., Integrand],
    points: tuple[Tensor, ...],
    low: Tensor,
    high: Tensor,
    *,
    n_peaks: int,
    n_scan: int = 129,
    scale: float = math.inf,
) -> tuple[Tensor, Tensor, Tensor]:
    """log p, score and divergence of p(x) = int w(u) N(x; m(u), C(u) + sigma^2 I) du.

    Args:
        integrand: makes the ``Integrand`` of a chunk of points.
        points: what it is made of, each of shape [n]; it is handed on as [n, 1, 1].
        low: lower end of a window that holds each point's integrand, shape [n].
        high: its upper end, shape [n].
        n_peaks: the most peaks that an integrand has.
        n_scan: nodes of the first scan of the window; peaks must be further apart than these.
        scale: length in u over which the integrand changes its nature, if its window can be longer: panels of
            Gauss-Legendre nodes are at most three times as long.

    Returns:
        log p [n], score [n, 2], divergence [n].
    """
    chunks = zip(*(t.split(_CHUNK) for t in (low, high, *points)), strict=True)
    parts = [
        _evaluate(integrand(*(part[:, None, None] for part in chunk)), a[:, None], b[:, None], n_peaks, n_scan, scale)
        for a, b, *chunk in chunks
    ]
    log_p, score, div = (torch.cat(column) for column in zip(*parts, strict=True))
    return log_p, score, div


def _evaluate(
    integrand: Integrand, low: Tensor, high: Tensor, n_peaks: int, n_scan: int, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():  # where the nodes lie does not change the integral
        centre, first, last, alive = _peaks(integrand, low.detach(), high.detach(), n_peaks, n_scan)
        for _ in range(_MOST_ROUNDS):
            before = last - first
            centre, first, last = _zoom(integrand, centre, first, last)
            if not bool((last - first < 0.7 * before).any()):
                break
    width = last - first
    longest = float(torch.where(alive, width, 0.0).amax()) if len(width) else 0.0
    nodes, weights = _unit_rule(max(_LEAST_PANELS, math.ceil(longest / (3 * scale))), low.device)
    step = first + width * nodes
    # relative to the first peak: the logarithm itself loses eps |log p|, and would unbalance the nodes
    first_peak = centre[:, :1]
    relative = integrand.change(first_peak, centre - first_peak) + integrand.change(centre, step)
    log_joint = relative + width.log() + weights.log()
    log_joint = torch.where(alive, log_joint, -math.inf)
    scores, divergences = integrand.components(centre + step)
    log_p, s, div = mixture(log_joint.flatten(1), scores.flatten(1, 2), divergences.expand_as(log_joint).flatten(1))
    return integrand.log_joint(first_peak)[:, 0, 0] + log_p, s, div


def _peaks(
    integrand: Integrand, low: Tensor, high: Tensor, n_peaks: int, n_scan: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The highest peaks of the scan and the valleys on their two sides, relative to them; whether there is one.

    Each [n, n_peaks, 1].
    """
    u = low + (high - low) * torch.linspace(0, 1, n_scan, dtype=low.dtype, device=low.device)
    value = integrand.log_joint(u[:, None])[:, 0]
    edge = torch.full_like(low, -math.inf)
    left, right = torch.cat([edge, value[:, :-1]], -1), torch.cat([value[:, 1:], edge], -1)
    top, index = torch.where((value > left) & (value >= right), value, -math.inf).topk(n_peaks, -1)
    # the last valley before each node, and the first one after it; the ends count as valleys
    is_valley = (value < left) & (value <= right)
    is_valley[:, 0] = is_valley[:, -1] = True
    place = torch.arange(n_scan, device=low.device).expand_as(value)
    before = torch.where(is_valley, place, 0).cummax(-1).values.roll(1, -1)
    before[:, 0] = 0
    after = torch.where(is_valley, place, n_scan - 1).flip(-1).cummin(-1).values.flip(-1).roll(-1, -1)
    after[:, -1] = n_scan - 1
    centre = u.gather(-1, index)
    first, last = (u.gather(-1, bound.gather(-1, index)) - centre for bound in (before, after))
    return centre[..., None], first[..., None], last[..., None], (top > -math.inf)[..., None]


def _zoom(integrand: Integrand, centre: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The window [first, last] about a centre, shrunk to where the integrand is not negligible, about its top."""
    scan = torch.linspace(0, 1, _ZOOM, dtype=centre.dtype, device=centre.device)
    step = first + (last - first) * scan
    value = integrand.change(centre, step)
    top, best = value.max(-1, keepdim=True)
    inside = value > top - _DEPTH
    start = inside.int().argmax(-1, keepdim=True)
    stop = _ZOOM - 1 - inside.flip(-1).int().argmax(-1, keepdim=True)
    peak = step.gather(-1, best)
    first = step.gather(-1, (start - 1).clamp(min=0)) - peak
    last = step.gather(-1, (stop + 1).clamp(max=_ZOOM - 1)) - peak
    return centre + peak, first, last


@cache
def _unit_rule(n_panels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre on equal panels of [0, 1]."""
    t, w = np.polynomial.legendre.leggauss(_ORDER)
    nodes = (np.arange(n_panels)[:, None] + (t + 1) / 2) / n_panels
    weights = np.tile(w / 2 / n_panels, n_panels)
    return torch.as_tensor(nodes.ravel(), device=device), torch.as_tensor(weights, device=device)
