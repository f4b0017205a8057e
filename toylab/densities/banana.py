"""A Gaussian bent along a parabola."""

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

_REACH, _STEP = 7.0, 0.6  # of X_1, in scales; of the trapezoid rule
_FLAT, _NEWTON = 1e-6, 20


@dataclass(frozen=True, eq=False, repr=False)
class Banana(TwoRegimeDensity):
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
        vars(self).update(
            scale=validate.positive("scale", self.scale),
            width=validate.positive("width", self.width),
            bend=validate.finite("bend", self.bend),
        )

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
        return torch.tensor(low, dtype=torch.float64, device="cpu"), torch.tensor(
            high, dtype=torch.float64, device="cpu"
        )

    def length_scale(self, sigma: float = 0.0) -> float:
        """The least standard deviation of its parts, narrowed by the slope of the parabola at two scales."""
        slope = 4 * abs(self.bend) * self.scale
        return math.hypot(min(self.scale, self.width / math.hypot(1, slope)), sigma)

    def _as_gaussians(self, sigma: float) -> Parts:
        """One for each of the steps of X_1, half as long as the place of X_1 is known where noise is about the step.

        X_1 = u is known to 1 / sqrt(A + (B u)^2) from both coordinates: the trapezoid rule is in the integral of that
        root, tau(u), found from u by Newton's method.
        """
        B = 2 * abs(self.bend) / math.hypot(self.width, sigma)
        A = 1 / sigma**2 + 1 / self.scale**2 + 3 * B  # with 3 B the nearest singularity is far enough for the rule

        def rate(u: Tensor) -> Tensor:
            return (A + (B * u) ** 2).sqrt()

        def tau(u: Tensor) -> Tensor:
            z = B / math.sqrt(A) * u
            return 0.5 * u * (rate(u) + math.sqrt(A) * torch.where(z.abs() > _FLAT, z.asinh() / z, 1.0))

        end = torch.tensor(_REACH * self.scale, dtype=torch.float64, device="cpu")
        n = math.ceil(float(tau(end)) / _STEP)
        places = tau(end) * torch.linspace(-1, 1, 2 * n + 1, dtype=torch.float64, device="cpu")
        u = places / math.sqrt(A)
        for _ in range(_NEWTON):  # tau is convex for u > 0: the first step goes too far inward, all others fall to it
            u = u - (tau(u) - places) / rate(u)
        weights = (-0.5 * (u / self.scale) ** 2).exp() / rate(u)
        means = torch.stack([u, self.bend * (u**2 - self.scale**2)], -1)
        across = torch.tensor([0.0, self.width**2], dtype=torch.float64, device="cpu").diag()
        return Parts(weights / weights.sum(), means, across.expand(len(u), 2, 2), 2 * self.length_scale(), order=2)

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
        s2, bend = self.scale**2, self.bend

        def integrand(x1: Tensor, x2: Tensor, sigma: Tensor) -> latent.Integrand:
            noise, across = sigma**2, self.width**2 + sigma**2
            constant = -0.5 * (s2 * noise * across).log() - 1.5 * math.log(2 * math.pi)

            def miss(t: Tensor) -> Tensor:
                return x2 - bend * ((x1 + t) ** 2 - s2)

            def log_joint(t: Tensor) -> Tensor:
                return constant - 0.5 * ((x1 + t) ** 2 / s2 + t**2 / noise + miss(t) ** 2 / across)

            def change(t: Tensor, step: Tensor) -> Tensor:
                twice = 2 * (x1 + t) + step
                less = -bend * step * twice  # change of the miss
                return -0.5 * (step * (twice / s2 + (2 * t + step) / noise) + less * (2 * miss(t) + less) / across)

            def components(t: Tensor) -> tuple[Tensor, Tensor]:
                return torch.stack([t / noise, -miss(t) / across], -1), -1 / noise - 1 / across

            def slope(t: Tensor) -> Tensor:
                return -(x1 + t) / s2 - t / noise + 2 * bend * (x1 + t) * miss(t) / across

            def curvature(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
                """With (miss^2 / 2)'' = 6 bend^2 X_1^2 - 2 bend (x_2 + bend scale^2): the square has its least at 0."""
                squares = (x1 + first) ** 2, (x1 + last) ** 2
                nearest = torch.where((x1 + first) * (x1 + last) < 0, 0.0, torch.minimum(*squares))
                flat = 2 * bend * (x2 + bend * s2) / across - 1 / s2 - 1 / noise
                steep = 6 * bend**2 / across
                return flat - steep * torch.maximum(*squares), flat - steep * nearest

            return latent.Integrand(log_joint, change, components, slope, curvature)

        x1, x2 = x.unbind(-1)
        # Without its last factor, which is at most 1, the integrand is Gaussian in t. So beyond `reach` it is below
        # e^-80 of what it is at the mean of that Gaussian, where the factor is e^-cost.
        mean = -x1 * sigma**2 / (s2 + sigma**2)
        std = self.scale * sigma / (s2 + sigma**2).sqrt()
        cost = 0.5 * (x2 - bend * ((x1 + mean) ** 2 - s2)) ** 2 / (self.width**2 + sigma**2)
        reach = std * (2 * (cost + 80)).sqrt()
        return latent.evaluate(integrand, (x1, x2, sigma), mean - reach, mean + reach)
