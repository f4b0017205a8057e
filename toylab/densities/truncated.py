"""What a truncated law is made with: the mass of a law in a box, nodes of a quadrature of the box, and noise.

The class itself, ``Truncated``, is in ``density``, as ``Density.truncated`` returns it.

A Gaussian that is cut and then noised, Y = X + sigma Z given that X lies in the box, has the density

    N(y; m, S) R(y) / P(X in box),   S = C + sigma^2 I,   R(y) = P(X in box | Y = y without the cut),

where X given Y = y is normal, too: its mean is m + C S^-1 (y - m), its covariance sigma^2 C S^-1.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from toylab._internal.warn import warn
from toylab.densities import interval, latent

Box = tuple[float, float, float, float]  # left, right, bottom, top: each may be infinitely far

LEAST_MASS = 1e-4  # draws are made by rejection; and laws are known by bounds that leave out 1e-15
_MOST_UNSURE = 1e-6  # relative error of a mass that is accepted
_MOST_NODES = 50_000_000
_CHUNK = 250_000
_LOOK, _LONG_WAIT = 4096, 30.0  # points that tell how long all will take; seconds that are announced
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
    steps = torch.linspace(0, 1, math.ceil(2 * _FAR) + 1, dtype=torch.float64, device="cpu")
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


def noised_gaussian(
    x: Tensor, sigma: Tensor, mean: Tensor, covariance: Tensor, determinant: float, box: Box
) -> tuple[Tensor, Tensor, Tensor]:
    """log N(x; m, S) R(x) of the module, its score and its divergence: in closed form, or by one integral.

    R is a product of normal masses of intervals if X_1 and X_2 are uncorrelated, or if but one of them is cut.

    Args:
        x: points, shape [n, 2], float64.
        sigma: their noise levels, shape [n], > 0.
        mean: m, shape [2].
        covariance: C, shape [2, 2].
        determinant: of C.
        box: (left, right, bottom, top), which may be infinite.
    """
    cut = [-math.inf < low or high < math.inf for low, high in (box[:2], box[2:])]
    if all(cut) and float(covariance[0, 1]) != 0:
        return _noised_in_both(x, sigma, mean, covariance, determinant, box)
    m1, m2, c11, c12, _, c22 = (float(number) for number in (*mean, *covariance.flatten()))
    noise = sigma**2
    det = determinant + noise * (c11 + c22 + noise)
    z1, z2 = x[:, 0] - m1, x[:, 1] - m2
    pull = torch.stack([c12 * z2 - (c22 + noise) * z1, c12 * z1 - (c11 + noise) * z2], -1) / det[:, None]  # -S^-1 z
    log_p = 0.5 * (z1 * pull[:, 0] + z2 * pull[:, 1]) - 0.5 * det.log() - math.log(2 * math.pi)
    div = -(c11 + c22 + 2 * noise) / det
    gain = torch.stack([determinant + noise * c11, c12 * noise, c12 * noise, determinant + noise * c22], -1)
    gain = gain.unflatten(-1, (2, 2)) / det[:, None, None]  # C S^-1
    score = pull
    for axis in (0, 1):
        if cut[axis]:
            row = gain[:, axis]
            place = (m1, m2)[axis] + row[:, 0] * z1 + row[:, 1] * z2
            log_mass, slope, curvature = normal_mass_of(
                place, box[2 * axis], box[2 * axis + 1], sigma * row[:, axis].sqrt()
            )
            log_p, score = log_p + log_mass, score + slope[:, None] * row
            div = div + curvature * row.square().sum(-1)
    return log_p, score, div


def _noised_in_both(
    x: Tensor, sigma: Tensor, mean: Tensor, covariance: Tensor, determinant: float, box: Box
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as an integral over u = X_1, by ``latent``: given u, X_2 is N(m_2 + slope (u - m_1), rest).

    The integrand is N(u; m_1, C_11) N(x_1; u, sigma^2) N(x_2; m_2 + slope (u - m_1), rest + sigma^2) times the mass of
    X_2 given u and x_2 between bottom and top. The logarithm of that mass is concave in the mean of this X_2, with a
    second derivative that is largest in the middle of the box and falls to both sides.
    """
    left, right, bottom, top = box
    m1, m2, c11, c12 = (float(number) for number in (*mean, *covariance[0]))
    slope, rest = c12 / c11, determinant / c11  # variance of X_2 given X_1
    middle = 0.5 * (bottom + top)  # infinitely far, if one of them is

    def integrand(x1: Tensor, x2: Tensor, sigma: Tensor) -> latent.Integrand:
        noise = sigma**2
        across = rest + noise
        constant = -0.5 * (c11 * noise * across).log() - 1.5 * math.log(2 * math.pi)
        drift, gain = slope * noise / across, rest / across  # of the mean of X_2 given u and x_2, in u and in x_2
        std = sigma * gain.sqrt()
        steep = -1 / c11 - 1 / noise - slope**2 / across

        def miss(u: Tensor) -> Tensor:
            return x2 - m2 - slope * (u - m1)

        def place(u: Tensor) -> Tensor:
            return x2 - noise / across * miss(u)

        def mass(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return normal_mass_of(place(u), bottom, top, std)

        def log_joint(u: Tensor) -> Tensor:
            heat = (u - m1) ** 2 / c11 + (x1 - u) ** 2 / noise + miss(u) ** 2 / across
            return constant - 0.5 * heat + mass(u)[0]

        def change(u: Tensor, step: Tensor) -> Tensor:
            heat = (2 * (u - m1) + step) / c11 + (2 * (u - x1) + step) / noise
            heat = heat - slope * (2 * miss(u) - slope * step) / across
            return -0.5 * step * heat + mass(u + step)[0] - mass(u)[0]

        def components(u: Tensor) -> tuple[Tensor, Tensor]:
            _, pull, curvature = mass(u)
            score = torch.stack([(u - x1) / noise, gain * pull - miss(u) / across], -1)
            return score, gain**2 * curvature - 1 / noise - 1 / across

        def rise(u: Tensor) -> Tensor:
            return (m1 - u) / c11 + (x1 - u) / noise + slope * miss(u) / across + drift * mass(u)[1]

        def curvature(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
            ends = place(first), place(last)
            low, high = torch.minimum(*ends), torch.maximum(*ends)
            least = torch.minimum(*(normal_mass_of(end, bottom, top, std)[2] for end in (low, high)))
            nearest = torch.minimum(torch.maximum(low, torch.full_like(low, middle)), high)
            most = normal_mass_of(nearest, bottom, top, std)[2]
            return steep + drift**2 * least, steep + drift**2 * most

        return latent.Integrand(log_joint, change, components, rise, curvature)

    x1, x2 = x.unbind(-1)
    with torch.no_grad():
        # Without its last factor, which is at most 1, the integrand is Gaussian in u. So beyond `reach` it is below
        # e^-80 of what it is at the place in the box that is nearest to the mean of that Gaussian.
        noise = sigma**2
        across = rest + noise
        precision = 1 / c11 + 1 / noise + slope**2 / across
        peak = m1 + ((x1 - m1) / noise + slope * (x2 - m2) / across) / precision
        nearest = peak.clamp(left, right)
        place = x2 - noise / across * (x2 - m2 - slope * (nearest - m1))
        cost = -normal_mass_of(place, bottom, top, (rest * noise / across).sqrt())[0]
        reach = ((nearest - peak).square() + 2 * (cost + 80) / precision).sqrt()
        low, high = (peak - reach).clamp(min=left), (peak + reach).clamp(max=right)
    return latent.evaluate(integrand, (x1, x2, sigma), low, high)


def normal_mass_of(t: Tensor, low: float, high: float, std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log P(low < N(t, std^2) < high), and its two derivatives in t; one end may be infinitely far.

    It is then twelve standard deviations beyond t and the other end, which changes the mass by e^-72 of itself.
    """
    t, std = torch.broadcast_tensors(t, std)
    here, far = t.detach(), 12 * std.detach()
    start = torch.full_like(t, low) if low > -math.inf else here.clamp(max=high) - far
    end = torch.full_like(t, high) if high < math.inf else here.clamp(min=low) + far
    log_density, slope, curvature = interval.evaluate(t, start, end, std)
    return log_density + (end - start).log(), slope, curvature


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
    _announce(log_prob, low, high, longest)
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


def _announce(log_prob: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, longest: float) -> None:
    """Warn if the mass takes long, by the time that the first nodes take."""
    if longest == 0:
        return
    n_nodes = sum(math.prod(order * (side / longest + 1) for side in (high - low).tolist()) for order in (8, 6))
    if n_nodes < 16 * _LOOK or n_nodes > _MOST_NODES:
        return
    x = low + (high - low) * torch.rand(
        _LOOK, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), device="cpu"
    )
    start = time.perf_counter()
    log_prob(x)
    wait = (time.perf_counter() - start) / _LOOK * n_nodes
    if wait > _LONG_WAIT:
        warn(
            f"the mass in the box is a sum over {n_nodes:.2g} points, which takes about {wait:.0f} s: the law is slow. "
            "Cut it first and noise it then, or give a smaller box."
        )


def nodes_between(
    lines: tuple[Sequence[float], Sequence[float]], n_panels: int, order: int = 8
) -> Iterator[tuple[Tensor, Tensor]]:
    """Nodes [n, 2] and their weights [n], in parts: ``n_panels`` between neighbours of the lines x = .. and y = .. ."""
    (x1, w1), (x2, w2) = (
        (
            torch.cat(parts)
            for parts in zip(*(panels(a, b - a, n_panels, order) for a, b in itertools.pairwise(places)), strict=True)
        )
        for places in lines
    )
    yield from _products(x1, w1, x2, w2)


def nodes(low: Tensor, high: Tensor, longest: float, order: int = 8) -> Iterator[tuple[Tensor, Tensor]]:
    """Gauss-Legendre nodes [n, 2] of a rectangle and their weights [n], in parts; panels of at most ``longest``."""
    if longest == 0:
        raise ValueError(
            "box cuts a law with jumps or kinks (its length_scale is 0), whose mass no quadrature finds. Noise the law "
            "first, or build it by densities.from_energy with the box as its extent."
        )
    sides = (high - low).tolist()
    n_nodes = math.prod(order * (side / longest + 1) for side in sides)
    if n_nodes > _MOST_NODES:
        raise ValueError(
            f"box meets the law on a rectangle of sides {[round(side, 3) for side in sides]}, and the law varies over "
            f"{longest:.3g}: its mass would need {n_nodes:.2g} nodes. Give a smaller box, or noise the law first."
        )
    (x1, w1), (x2, w2) = (
        panels(start, side, math.ceil(side / longest), order) for start, side in zip(low.tolist(), sides, strict=True)
    )
    yield from _products(x1, w1, x2, w2)


def _products(x1: Tensor, w1: Tensor, x2: Tensor, w2: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    rows = max(1, _CHUNK // len(x2))
    for x, weights in zip(x1.split(rows), w1.split(rows), strict=True):
        yield torch.cartesian_prod(x, x2), torch.outer(weights, w2).flatten()


def panels(start: float, side: float, n: int, order: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of n equal panels, [n * order] each."""
    t, w = _gauss_legendre(order)
    place = (torch.arange(n, dtype=torch.float64, device="cpu")[:, None] + 0.5 * (t + 1)) / n
    return (start + side * place).flatten(), (0.5 * side / n * w).repeat(n)


def _gauss_legendre(order: int) -> tuple[Tensor, Tensor]:
    t, w = np.polynomial.legendre.leggauss(order)
    return torch.as_tensor(t, device="cpu"), torch.as_tensor(w, device="cpu")
