"""Independent Laplace coordinates: exponential tails, and a kink along both axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import uniform
from toylab.densities.parameters import Vector
from toylab.densities.two_regime import TwoRegimeDensity


@dataclass(frozen=True, eq=False, repr=False)
class Laplace(TwoRegimeDensity):
    """Independent Laplace coordinates: log p = -sum_i (|x_i| / b_i + log 2 b_i).

    The clean score is -sign(x_i) / b_i, and 0 at the kink x_i = 0; the clean divergence is 0, though the kink holds a
    point mass of -2 / b_i of it. So implicit score matching does not hold at sigma = 0: for the true score
    E[div s + |s|^2/2] comes out as +sum_i 1/(2 b_i^2) where minus that is right. Add noise first.

    Noised, p is a sum of two normal distribution functions times exponentials, in closed form.

    Args:
        scales: b, two positive numbers; the standard deviations are sqrt(2) b.
    """

    scales: tuple[float, float]

    def __init__(self, scales: Vector = (1.0, 1.0)) -> None:
        vars(self).update(scales=validate.pair("scales", scales))
        for b in self.scales:
            validate.positive("scales", b)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """By inversion: -b sign(u) log(1 - |u|), u uniform on (-1, 1)."""
        u = 2 * uniform((*sample_shape, 2), dtype=torch.float64, device=self.device, generator=generator) - 1
        return (-u.new_tensor(self.scales) * u.sign() * torch.log1p(-u.abs().clamp(max=1 - 2**-53))).to(self.dtype)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Where e^(-|x| / b) is 1e-16, and nine noise levels more."""
        reach = 37 * torch.tensor(self.scales, dtype=torch.float64) + 9 * sigma
        return -reach, reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level: the clean law has a kink."""
        return sigma

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b = x.new_tensor(self.scales)
        return -(x.abs() / b + (2 * b).log()).sum(-1), -x.sign() / b, torch.zeros_like(x[..., 0])

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_p, slope, curvature = _blurred_laplace(x, x.new_tensor(self.scales), sigma[:, None])
        return log_p.sum(-1), slope, curvature.sum(-1)


def _blurred_laplace(t: Tensor, b: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p_sigma(t), its first and second derivative, for the law of a Laplace number of scale b plus sigma Z."""
    narrow = b / sigma < 0.1 * (1 - (b / sigma) * (t.abs() / sigma))
    if not bool(narrow.any()):
        return _wide_laplace(t, b, sigma)
    pairs = zip(_narrow_laplace(t, b, sigma), _wide_laplace(t, b, sigma), strict=True)
    log_p, slope, curvature = (torch.where(narrow, near, wide) for near, wide in pairs)
    return log_p, slope, curvature


def _wide_laplace(t: Tensor, b: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The halves of p that come from above and from below: e^(sigma^2/2b^2 -+ t/b) Phi(+-t/sigma - sigma/b) / 2b."""
    z, ratio = t / sigma, sigma / b
    above, below = _log_half(z, ratio), _log_half(-z, ratio)
    log_p = torch.logaddexp(above, below) - (2 * b).log()
    r = (above - below).sigmoid()  # share of the half in which p falls like e^(-t/b)
    s = (below - above).sigmoid()
    log_normal = -0.5 * z**2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    # p - b^2 p'' = N(t; 0, sigma^2)
    return log_p, (s - r) / b, (4 * r * s - (log_normal - log_p).exp()) / b**2


def _log_half(z: Tensor, ratio: Tensor) -> Tensor:
    """log of e^(ratio^2/2 - ratio z) Phi(z - ratio), by erfcx where that exponential could overflow."""
    argument = (ratio - z) / math.sqrt(2)
    scaled = -0.5 * z**2 + (0.5 * torch.special.erfcx(argument.clamp(min=-5))).log()
    direct = ratio * (0.5 * ratio - z) + torch.special.log_ndtr(-math.sqrt(2) * argument.clamp(max=-5))
    return torch.where(argument > -5, scaled, direct)


def _narrow_laplace(t: Tensor, b: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For b much smaller than sigma: by mean and variance of the Laplace number u given t.

    For u > 0 their law is e^(-u (1/b - t/sigma^2)) e^(-u^2/2sigma^2): Gauss-Laguerre nodes in the first exponent. The
    second is close to 1. For u < 0 likewise, with -t.
    """
    nodes, weights = (t.new_tensor(part) for part in np.polynomial.laguerre.laggauss(24))
    tilt = ((b / sigma) * (t / sigma)).clamp(-0.99, 0.99)[..., None]  # below 1 where this form is used
    u = b[..., None] * torch.cat([nodes / (1 - tilt), -nodes / (1 + tilt)], -1)
    log_weights = torch.cat([weights.log() - torch.log1p(-tilt), weights.log() - torch.log1p(tilt)], -1)
    log_terms = log_weights - math.log(2) - 0.5 * (u / sigma[..., None]) ** 2
    r = log_terms.softmax(-1)
    mean = (r * u).sum(-1)
    variance = (r * (u - mean[..., None]).square()).sum(-1)
    log_p = log_terms.logsumexp(-1) - 0.5 * (t / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    return log_p, (mean - t) / sigma**2, (variance / sigma**2 - 1) / sigma**2
