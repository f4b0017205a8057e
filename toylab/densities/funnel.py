"""Neal's funnel: one coordinate is the log-variance of the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal
from toylab.densities import latent
from toylab.densities.parts import Parts
from toylab.densities.two_regime import TwoRegimeDensity

_REACH, _STEP, _LEAST = 7.0, 0.7, 0.1  # of V, in scales; of the trapezoid rule; noise, against the unit of V


@dataclass(frozen=True, eq=False, repr=False)
class Funnel(TwoRegimeDensity):
    """Neal's funnel: V ~ N(0, scale^2) and Y given V of variance e^V; a point is x = (v, y).

    log p = -log(2 pi scale) - v^2/(2 scale^2) - v/2 - y^2 e^-v / 2. Noised, it is Gaussian given V: one integral over
    V, done by quadrature (module ``latent``) in float64. Source: Neal 2003, Slice sampling, section 8.

    Args:
        scale: standard deviation of V; 3 in the source.
    """

    scale: float = 3.0

    def __post_init__(self) -> None:
        vars(self).update(scale=validate.positive("scale", self.scale))

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """V, then Y given V."""
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        v = self.scale * z[..., 0]
        return torch.stack([v, (v / 2).exp() * z[..., 1]], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Nine standard deviations of V, and nine of Y at the largest V of these."""
        v = 9 * math.hypot(self.scale, sigma)
        y = 9 * math.hypot(math.exp(4.5 * self.scale), sigma)
        return torch.tensor([-v, -y], dtype=torch.float64, device="cpu"), torch.tensor(
            [v, y], dtype=torch.float64, device="cpu"
        )

    def length_scale(self, sigma: float = 0.0) -> float:
        """The standard deviation of Y at the least V that matters, or the noise level."""
        return math.hypot(math.exp(-4.5 * self.scale), sigma)

    def _as_gaussians(self, sigma: float) -> Parts:
        """The trapezoid rule over V, in steps of 0.7 of what noise of sigma tells of V, and of 1 at most."""
        n = math.ceil(_REACH * self.scale * math.sqrt(1 / sigma**2 + 1 / self.scale**2 + 1) / _STEP)
        v = _REACH * self.scale * torch.linspace(-1, 1, 2 * n + 1, dtype=torch.float64, device="cpu")
        weights = (-0.5 * (v / self.scale) ** 2).exp()
        covariances = torch.stack([torch.zeros_like(v), v.exp()], -1).diag_embed()
        return Parts(weights / weights.sum(), torch.stack([v, torch.zeros_like(v)], -1), covariances, _LEAST)

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        v, y = x.unbind(-1)
        s2, precision = self.scale**2, (-0.5 * v).exp()
        q = (y * precision) ** 2  # y^2 e^-v, which neither of its factors may overflow
        log_p = -math.log(2 * math.pi * self.scale) - v**2 / (2 * s2) - 0.5 * (v + q)
        s = torch.stack([-v / s2 + 0.5 * (q - 1), -y * precision * precision], -1)
        return log_p, s, -1 / s2 - 0.5 * q - (-v).exp()

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Over t = V - x_1, with log w = log(e^V + sigma^2) the log-variance of x_2."""
        s2 = self.scale**2

        def integrand(x1: Tensor, y: Tensor, sigma: Tensor) -> latent.Integrand:
            noise, level = sigma**2, 2 * sigma.log()
            constant = -0.5 * (s2 * noise).log() - 1.5 * math.log(2 * math.pi)

            def log_w(t: Tensor) -> Tensor:
                return torch.logaddexp(x1 + t, level)

            def heat(t: Tensor) -> Tensor:
                return (y * (-0.5 * log_w(t)).exp()) ** 2

            def log_joint(t: Tensor) -> Tensor:
                return constant - 0.5 * ((x1 + t) ** 2 / s2 + t**2 / noise + log_w(t) + heat(t))

            def change(t: Tensor, step: Tensor) -> Tensor:
                quadratic = step * ((2 * (x1 + t) + step) / s2 + (2 * t + step) / noise)
                return latent.change_of_normal(x1 + t - level, step, y**2 / noise) - 0.5 * quadratic

            def components(t: Tensor) -> tuple[Tensor, Tensor]:
                inverse = (-log_w(t)).exp()
                return torch.stack([t / noise, -y * inverse], -1), -1 / noise - inverse

            def slope(t: Tensor) -> Tensor:
                share = (x1 + t - level).sigmoid()  # of e^V in w
                return -(x1 + t) / s2 - t / noise - 0.5 * share * (1 - heat(t))

            def curvature(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
                ends = x1 + first - level, x1 + last - level
                least, most = latent.curvature_of_normal(*ends, y**2 / noise)
                return least - 1 / s2 - 1 / noise, most - 1 / s2 - 1 / noise

            return latent.Integrand(log_joint, change, components, slope, curvature)

        v, y = x.unbind(-1)
        # Without N(y; 0, w) the integrand is a Gaussian in t. That factor is largest where w = max(y^2, sigma^2), and
        # within sqrt 2 of it where e^V is: beyond both this V and the mean the integrand falls like the Gaussian, to
        # e^-80 where the square of the distance to the mean has grown by 160 variances.
        mean = -v * sigma**2 / (s2 + sigma**2)
        std = self.scale * sigma / (s2 + sigma**2).sqrt()
        up = (2 * y.abs().log() - v - mean).clamp(min=0)
        down = (v + mean - 2 * torch.maximum(y.abs(), sigma).log()).clamp(min=0)
        low, high = (torch.hypot(far, math.sqrt(162) * std) for far in (down, up))
        return latent.evaluate(integrand, (v, y, sigma), mean - low, mean + high, scale=1.0)
