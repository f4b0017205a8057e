"""What a truncated law is made with: the mass of a law in a box, and the nodes of a quadrature of the box.

The class itself, ``Truncated``, is in ``density``, as ``Density.truncated`` returns it.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

Box = tuple[float, float, float, float]  # left, right, bottom, top: each may be infinitely far

LEAST_MASS = 1e-4  # draws are made by rejection; and laws are known by bounds that leave out 1e-15
_MOST_UNSURE = 1e-6  # relative error of a mass that is accepted
_MOST_NODES = 50_000_000
_CHUNK = 250_000
_FAR = 9.5  # standard deviations, beyond which a normal law has a mass of 2e-21


def gaussian_masses(means: Tensor, covariances: Tensor, determinants: Tensor, box: Box) -> Tensor:
    """P(X in the box) of X ~ N(m_k, C_k), shape [K], to rounding: the bivariate normal integral.

    With X_1 = m_1 + s_1 u it is the integral of phi(u) (Phi(b(u)) - Phi(a(u))), where a and b are the ends of the box
    in standard deviations of X_2 given X_1: by 16 Gauss-Legendre nodes in panels of at most one standard deviation,
    and finer ones where a or b runs through 0. Without correlation it is a product of two normal masses.

    Args:
        means: m, shape [K, 2], float64.
        covariances: C, shape [K, 2, 2].
        determinants: of C, shape [K].
        box: (left, right, bottom, top), which may be infinite.
    """
    left, right, bottom, top = box
    std = covariances[:, 0, 0].sqrt()
    slope = covariances[:, 0, 1] / std  # X_2 = m_2 + slope u + rest z
    rest = determinants.sqrt() / std
    first, last = (((edge - means[:, 0]) / std).clamp(-_FAR, _FAR)[:, None] for edge in (left, right))  # [K, 1]
    steps = torch.linspace(0, 1, math.ceil(2 * _FAR) + 1, dtype=torch.float64)
    edges = [first + (last - first) * steps]
    width = rest / slope.abs()
    for edge in (bottom, top):
        turn = (edge - means[:, 1]) / slope  # where Phi of this end is 1/2
        fine = turn[:, None] + _FAR * width[:, None] * (2 * steps - 1)
        edges.append(torch.where(width[:, None] < 1, fine, first))
    panels = torch.cat(edges, -1).clamp(first, last).sort(-1).values  # [K, E]
    t, w = _gauss_legendre(16)
    half = 0.5 * panels.diff(dim=-1)[..., None]
    u = panels[:, :-1, None] + half * (1 + t)  # [K, E - 1, 16]
    a, b = ((edge - means[:, 1, None, None] - slope[:, None, None] * u) / rest[:, None, None] for edge in (bottom, top))
    density = torch.exp(-0.5 * u.square()) / math.sqrt(2 * math.pi)
    return (half * w * density * _normal_mass(a, b)).sum((-2, -1))


def _normal_mass(a: Tensor, b: Tensor) -> Tensor:
    """Phi(b) - Phi(a) for a <= b, from the tail on the side where the interval lies."""
    a, b = torch.where(a > 0, -b, a), torch.where(a > 0, -a, b)
    mass: Tensor = torch.special.ndtr(b) - torch.special.ndtr(a)
    return mass


def mass_by_quadrature(
    log_prob: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, longest: float
) -> tuple[float, float]:
    """The mass of a law on a rectangle, and an estimate of its relative error: the distance to a coarser rule.

    Args:
        log_prob: log p of points [n, 2] in float64.
        low: lower corner, shape [2].
        high: upper corner, shape [2].
        longest: the longest panel, over which p must be smooth: its ``length_scale``.

    Raises:
        ValueError: if the error is above 1e-6, or the panels would be too many.
    """
    if bool((low >= high).any()):
        return 0.0, 0.0
    fine, coarse = (
        sum(float((weights * log_prob(x).exp()).sum()) for x, weights in nodes(low, high, longest, order))
        for order in (8, 6)
    )
    error = abs(fine - coarse) / fine if fine > 0 else 0.0
    if not error < _MOST_UNSURE:
        raise ValueError(
            f"box holds a mass that is known to {error:.1g} of itself only: the law has kinks or walls in it, or "
            "varies faster than its length_scale says. Correct that, or build the law by densities.from_energy with "
            "the box as its extent."
        )
    return fine, error


def nodes(low: Tensor, high: Tensor, longest: float, order: int = 8) -> Iterator[tuple[Tensor, Tensor]]:
    """Gauss-Legendre nodes [n, 2] of a rectangle and their weights [n], in parts; panels of at most ``longest``."""
    sides = (high - low).tolist()
    n_nodes = math.prod(order * (side / longest + 1) for side in sides) if longest > 0 else math.inf
    if n_nodes > _MOST_NODES:
        raise ValueError(
            f"box meets the law on a rectangle of sides {[round(side, 3) for side in sides]}, and the law varies over "
            f"{longest:.3g}: its mass would need {n_nodes:.2g} nodes. Give a smaller box, or noise the law first."
        )
    (x1, w1), (x2, w2) = (
        _panels(start, side, math.ceil(side / longest), order) for start, side in zip(low.tolist(), sides, strict=True)
    )
    rows = max(1, _CHUNK // len(x2))
    for x, weights in zip(x1.split(rows), w1.split(rows), strict=True):
        yield torch.cartesian_prod(x, x2), torch.outer(weights, w2).flatten()


def _panels(start: float, side: float, n: int, order: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of n equal panels, [n * order] each."""
    t, w = _gauss_legendre(order)
    place = (torch.arange(n, dtype=torch.float64)[:, None] + 0.5 * (t + 1)) / n
    return (start + side * place).flatten(), (0.5 * side / n * w).repeat(n)


def _gauss_legendre(order: int) -> tuple[Tensor, Tensor]:
    t, w = np.polynomial.legendre.leggauss(order)
    return torch.as_tensor(t), torch.as_tensor(w)
