"""The uniform law on an interval, blurred by a Gaussian: the factor of every law made of straight pieces.

Reflected to the right of the middle, with y and u the distances from the near and from the far end in units of sigma:

    p_sigma(t) = (Phi(-y) - Phi(-u)) / (high - low) = phi(y) I / (high - low),
    I = int_0^(u-y) e^(-y s - s^2/2) ds.

The difference is never formed where it cancels: beyond the interval I is made of Mills' ratios, and for an interval
that is narrow against sigma it is a sum over nodes. Each of the three forms can be differentiated automatically, any
number of times, in t and in sigma; and since each is evaluated at harmless places where another one is taken, no
derivative meets an overflow there.
"""

import math

import numpy as np
import torch
from torch import Tensor

from toylab._internal.devices import constant
from toylab.densities.mills import FAR, anywhere, tail

_ROOT_2, _ROOT_2_PI = math.sqrt(2), math.sqrt(2 * math.pi)
_NODES, _WEIGHTS = (
    tuple(part / 2 + shift) for part, shift in zip(np.polynomial.legendre.leggauss(24), (0.5, 0.0), strict=True)
)  # on [0, 1]


def evaluate(t: Tensor, low: Tensor, high: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p_sigma(t), its derivative and its second derivative, for the law of U + sigma Z, U uniform on [low, high].

    Args:
        t: places; all four broadcast.
        low: left ends.
        high: right ends.
        sigma: standard deviations, > 0.
    """
    side, w, sigma = torch.broadcast_tensors(t - 0.5 * (low + high), 0.5 * (high - low), sigma)
    mirror = torch.where(side < 0, -1.0, 1.0).to(side)
    distance = mirror * side  # |side|, but with a second derivative at 0: the law is even, and smooth there
    narrow = 2 * w / sigma * (1 + distance / sigma) < 4
    far = ~narrow & ((distance - w) / sigma > FAR)
    # where another form is taken, each is evaluated at a harmless distance and level, in units of w
    log_mass, slope, curvature = _near(*_where(~narrow & ~far, distance, w, sigma, (0.0, 1.0)))
    for form, mask, harmless in ((_far, far, (8.0, 1.0)), (_narrow, narrow, (0.0, 4.0))):
        if anywhere(mask):
            pairs = zip(form(*_where(mask, distance, w, sigma, harmless)), (log_mass, slope, curvature), strict=True)
            log_mass, slope, curvature = (torch.where(mask, here, there) for here, there in pairs)
    return log_mass - (2 * w).log(), mirror * slope, curvature


def _where(
    mask: Tensor, distance: Tensor, w: Tensor, sigma: Tensor, harmless: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.where(mask, distance, harmless[0] * w), w, torch.where(mask, sigma, harmless[1] * w)


def _near(distance: Tensor, w: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log(Phi(-y) - Phi(-u)) and its two derivatives, by error functions."""
    y, u = (distance - w) / sigma, (distance + w) / sigma
    exponent = -2 * (w / sigma) * (distance / sigma)  # of phi(u) / phi(y)
    mass = 0.5 * (torch.erfc(y / _ROOT_2) - torch.erfc(u / _ROOT_2))
    h = (-0.5 * y**2).exp() / (_ROOT_2_PI * mass)
    slope = h * torch.expm1(exponent)
    return mass.log(), slope / sigma, (h * (y - u * exponent.exp()) - slope**2) / sigma**2


def _far(distance: Tensor, w: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same from y = 6 on: all of Mills' tail beyond the near end, less what lies beyond the far one."""
    y, width = (distance - w) / sigma, 2 * w / sigma
    e = (-width * (distance / sigma)).exp()  # phi(u) / phi(y)
    mass, first, second = tail(y)
    if anywhere(e > 1e-40):  # else the far end is not felt
        beyond = tail(y + width)
        mass = mass - e * beyond.mass
        first = first - e * (width * beyond.mass + beyond.first)
        second = second - e * (width**2 * beyond.mass + 2 * width * beyond.first + beyond.second)
    return _from_moments(y, sigma, mass.log(), first / mass, second / mass - (first / mass) ** 2)


def _narrow(distance: Tensor, w: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for an interval over which e^(-y s - s^2/2) changes little: by Gauss-Legendre nodes s."""
    y, width = (distance - w) / sigma, 2 * w / sigma
    nodes, weights = constant(_NODES, w), constant(_WEIGHTS, w)
    s = width[..., None] * nodes
    log_terms = weights.log() - s * (y[..., None] + 0.5 * s)
    r = log_terms.softmax(-1)
    mean = (r * s).sum(-1)
    variance = (r * (s - mean[..., None]).square()).sum(-1)
    return _from_moments(y, sigma, width.log() + log_terms.logsumexp(-1), mean, variance)


def _from_moments(
    y: Tensor, sigma: Tensor, log_integral: Tensor, mean: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """log(phi(y) I), its slope and its curvature, from log I and the mean and variance of s."""
    log_mass = log_integral - 0.5 * y**2 - math.log(_ROOT_2_PI)
    return log_mass, -(y + mean) / sigma, (variance - 1) / sigma**2
