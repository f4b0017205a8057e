"""The uniform law on an interval, blurred by a Gaussian: the factor of every law made of straight pieces.

p_sigma(t) = (Phi(A) - Phi(B)) / (high - low) with, after reflecting t to the right of the middle,
A = (w - |t - mid|) / sigma and B = -(w + |t - mid|) / sigma, w the half width. The difference is never formed: it
cancels in the tails, and everywhere when the interval is narrow against sigma.
"""

import math

import numpy as np
import torch
from torch import Tensor

_ROOT_2 = math.sqrt(2)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


def evaluate(t: Tensor, low: Tensor, high: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p_sigma(t), its derivative and its second derivative, for the law of U + sigma Z, U uniform on [low, high].

    Args:
        t: places; all four broadcast.
        low: left ends.
        high: right ends.
        sigma: standard deviations, > 0.
    """
    w, side = 0.5 * (high - low), t - 0.5 * (low + high)
    distance = side.abs()
    narrow = 2 * w / sigma * (1 + distance / sigma) < 4
    log_p, slope, curvature = _wide(distance, w, sigma)
    if bool(narrow.any()):
        pairs = zip(_narrow(distance, w, sigma), (log_p, slope, curvature), strict=True)
        log_p, slope, curvature = (torch.where(narrow, near, wide) for near, wide in pairs)
    return log_p, torch.where(side < 0, -slope, slope), curvature


def _wide(distance: Tensor, w: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By the ratio rho = Phi(B) / Phi(A), with y = -A, u = -B and e = exp((A^2 - B^2) / 2)."""
    y, u = (distance - w) / sigma, (distance + w) / sigma
    exponent = -2 * (w / sigma) * (distance / sigma)
    e, scaled = exponent.exp(), torch.special.erfcx(y / _ROOT_2)
    rho = e * torch.special.erfcx(u / _ROOT_2) / scaled
    rest = (1 - rho).clamp(min=torch.finfo(rho.dtype).tiny)  # 0 only where the narrow form is used
    mills = math.sqrt(2 / math.pi) / scaled
    h = mills / rest
    log_p = torch.special.log_ndtr(-y) + torch.log1p(-rho) - (2 * w).log()
    gap = _mills_minus(y, mills) + h * rho  # h - y
    curvature = -h * (gap + u * e - h * e * (2 - e)) / sigma**2
    return log_p, h * torch.expm1(exponent) / sigma, curvature


def _mills_minus(y: Tensor, mills: Tensor) -> Tensor:
    """The inverse Mills ratio less its argument, which cancels far out: Laplace's continued fraction from 6 on."""
    far = y.clamp(min=6.0)
    fraction = torch.zeros_like(far)
    for k in range(40, 0, -1):
        fraction = k / (far + fraction)
    return torch.where(y < 6, mills - y, fraction)


def _narrow(distance: Tensor, w: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By the mean and variance of U given the place, over Gauss-Legendre nodes on the interval."""
    nodes, weights = (torch.as_tensor(part, dtype=w.dtype, device=w.device) for part in (_NODES, _WEIGHTS))
    u = w[..., None] * nodes
    # exp(-(t - u)^2 / 2) less what does not depend on u, in units of sigma
    tilt = u / sigma[..., None] * ((distance[..., None] - 0.5 * u) / sigma[..., None])
    log_terms = tilt + (weights / 2).log()
    r = log_terms.softmax(-1)
    mean = (r * u).sum(-1)
    variance = (r * (u - mean[..., None]).square()).sum(-1)
    log_p = log_terms.logsumexp(-1) - 0.5 * (distance / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    return log_p, (mean - distance) / sigma**2, (variance / sigma**2 - 1) / sigma**2
