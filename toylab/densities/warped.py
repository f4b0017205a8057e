"""Gaussians seen through a smooth map of the plane."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab import checks
from toylab.densities import latent
from toylab.densities.density import Density
from toylab.draws import normal


@dataclass(frozen=True, eq=False)
class Banana(Density):
    """X_1 ~ N(0, scale^2) and X_2 = bend (X_1^2 - scale^2) + width Z: a Gaussian bent along a parabola.

    The map has determinant one, so that log p(x) = -log(2 pi scale width) - x_1^2/(2 scale^2) - v^2/(2 width^2)
    with v = x_2 - bend (x_1^2 - scale^2). Noised, it is a Gaussian given X_1: one integral over X_1, done by
    quadrature (module ``latent``) in float64.

    Args:
        scale: standard deviation of X_1.
        width: standard deviation across the parabola.
        bend: curvature of the parabola; X_2 has mean 0 and variance 2 bend^2 scale^4 + width^2.
    """

    scale: float = 2.0
    width: float = 0.5
    bend: float = 0.5

    def __post_init__(self) -> None:
        checks.positive("scale", self.scale)
        checks.positive("width", self.width)
        checks.finite("bend", self.bend)
        self._hold()

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Log-density [...]; closed form at sigma = 0, quadrature above."""
        return self._evaluate(x, sigma)[0]

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Score [..., 2]; closed form at sigma = 0, quadrature above."""
        return self._evaluate(x, sigma)[1]

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Divergence of the score [...]; closed form at sigma = 0, quadrature above."""
        return self._evaluate(x, sigma)[2]

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """The map applied to normal numbers."""
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        x1 = self.scale * z[..., 0]
        return torch.stack([x1, self.bend * (x1**2 - self.scale**2) + self.width * z[..., 1]], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Nine standard deviations of each of its three normal numbers."""
        reach, across = 9 * math.hypot(self.scale, sigma), 9 * math.hypot(self.width, sigma)
        bottom, top = -self.bend * self.scale**2, 80 * self.bend * self.scale**2
        low = [-reach, min(bottom, top) - across]
        high = [reach, max(bottom, top) + across]
        return torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The least standard deviation of its parts, narrowed by the slope of the parabola at two scales."""
        slope = 4 * abs(self.bend) * self.scale
        return math.hypot(min(self.scale, self.width / math.hypot(1, slope)), sigma)

    def _evaluate(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        sigma = checks.noise_level(sigma, checks.points("x", x))
        if not isinstance(sigma, Tensor) and sigma == 0:
            return self._clean(x)
        levels = torch.as_tensor(sigma, dtype=torch.float64, device=x.device).expand(x.shape[:-1])
        # level 0 has its own closed form; 1 stands in for it under the quadrature
        log_p, s, div = self._noised(x.double().reshape(-1, 2), torch.where(levels > 0, levels, 1.0).reshape(-1))
        noised = (log_p.view(x.shape[:-1]).to(x), s.view(x.shape).to(x), div.view(x.shape[:-1]).to(x))
        log_p, s, div = (torch.where(_like(levels > 0, a), a, b) for a, b in zip(noised, self._clean(x), strict=True))
        return log_p, s, div

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x1, x2 = x.unbind(-1)
        v = (x2 - self.bend * (x1**2 - self.scale**2)) / self.width
        pull, slope = v / self.width, 2 * self.bend * x1  # pull = v / width^2 in the formula's v
        log_p = -math.log(2 * math.pi * self.scale * self.width) - 0.5 * ((x1 / self.scale) ** 2 + v**2)
        s = torch.stack([-x1 / self.scale**2 + slope * pull, -pull], -1)
        div = -1 / self.scale**2 + 2 * self.bend * pull - (1 + slope**2) / self.width**2
        return log_p, s, div

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Over t = X_1 - x_1, which keeps its digits when sigma is small."""
        s2 = self.scale**2
        across = self.width**2 + sigma**2

        def components(x: Tensor, sigma: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            across = self.width**2 + sigma**2
            u = x[:, :1] + t
            miss = x[:, 1:] - self.bend * (u**2 - s2)
            log_joint = -0.5 * (u**2 / s2 + (t / sigma) ** 2 + miss**2 / across)
            log_joint = log_joint - 0.5 * (s2 * sigma**2 * across).log() - 1.5 * math.log(2 * math.pi)
            scores = torch.stack([t / sigma**2, -miss / across], -1)
            return log_joint, scores, (-1 / sigma**2 - 1 / across).expand_as(t)

        # Without the last factor t is Gaussian; that factor can only move the integrand as far as its cost at the mean.
        mean = -x[:, 0] * sigma**2 / (s2 + sigma**2)
        std = self.scale * sigma / (s2 + sigma**2).sqrt()
        cost = 0.5 * (x[:, 1] - self.bend * ((x[:, 0] + mean) ** 2 - s2)) ** 2 / across
        reach = std * (2 * (cost + 60)).sqrt()
        return latent.evaluate(components, x, sigma, mean - reach, mean + reach)


def _like(mask: Tensor, a: Tensor) -> Tensor:
    return mask if a.ndim == mask.ndim else mask[..., None]
