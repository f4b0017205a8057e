"""Laws supported on a curve: no density of their own, an exact one at every noise level above 0."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab import checks
from toylab.densities.density import Density
from toylab.draws import uniform


@dataclass(frozen=True, eq=False)
class Circle(Density):
    """The uniform law on the circle of ``radius`` R about ``center``; it has a density only for sigma > 0.

    With r = |x - center|, kappa = r R / sigma^2 and A = I_1(kappa) / I_0(kappa):

        log p_sigma = -log(2 pi sigma^2) - (r - R)^2 / (2 sigma^2) + log(e^-kappa I_0(kappa))
        score       = (R A - r) / sigma^2   along the radius
        divergence  = -2 / sigma^2 + (R / sigma^2)^2 (1 - A^2)

    Args:
        radius: R > 0.
        center: the centre, two numbers.
    """

    radius: float = 1.0
    center: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        checks.positive("radius", self.radius)
        object.__setattr__(self, "center", tuple(float(c) for c in self.center))
        if len(self.center) != 2:
            raise ValueError(f"center has {len(self.center)} entries: give 2, one a coordinate.")
        for c in self.center:
            checks.finite("center", c)
        self._hold()

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Log-density of the noised circle [...]; ``ValueError`` at sigma = 0."""
        x, r, sigma, kappa = self._polar(x, sigma)
        log_bessel = torch.special.i0e(kappa).log()
        return log_bessel - 0.5 * ((r - self.radius) / sigma) ** 2 - 2 * sigma.log() - math.log(2 * math.pi)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Score of the noised circle [..., 2]; ``ValueError`` at sigma = 0."""
        x, r, sigma, kappa = self._polar(x, sigma)
        # away from the centre: the two near-equal lengths R and r are subtracted first
        outer = -((r - self.radius) + self.radius * _one_minus_ratio(kappa)) / r.clamp(min=torch.finfo(r.dtype).tiny)
        # about the centre: A / kappa, which tends to 1/2
        small = kappa.clamp(max=1.0)
        ratio = (1 - _one_minus_ratio(small)) / small.clamp(min=1e-3)
        ratio = torch.where(small < 1e-3, 0.5 - small**2 / 16, ratio)
        inner = -1 + (self.radius / sigma) ** 2 * ratio
        return x * (torch.where(kappa < 1, inner, outer) / sigma**2)[..., None]

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Divergence of the score [...]; ``ValueError`` at sigma = 0."""
        x, r, sigma, kappa = self._polar(x, sigma)
        gap = _one_minus_ratio(kappa)
        return (-2 + (self.radius / sigma) ** 2 * gap * (2 - gap)) / sigma**2

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Angles uniform on [0, 2 pi)."""
        angle = 2 * math.pi * uniform(sample_shape, dtype=self.dtype, device=self.device, generator=generator)
        return self.radius * torch.stack([angle.cos(), angle.sin()], -1) + angle.new_tensor(self.center)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The circle and nine noise levels around it."""
        center = torch.tensor(self.center, dtype=torch.float64)
        reach = self.radius + 9 * sigma
        return center - reach, center + reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _polar(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x - center, r, sigma as a tensor, and kappa."""
        sigma = checks.noise_level(sigma, checks.points("x", x))
        if (bool((sigma == 0).any()) and sigma.device.type == "cpu") if isinstance(sigma, Tensor) else sigma == 0:
            raise ValueError(
                "sigma is 0: a law on a curve has no density of its own. Give a noise level sigma > 0, "
                "as in p.log_prob(x, 0.1) or p.noised(0.1)."
            )
        sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        x = x - x.new_tensor(self.center)
        r = torch.linalg.vector_norm(x, dim=-1)
        return x, r, sigma, (r / sigma) * (self.radius / sigma)


def _one_minus_ratio(kappa: Tensor) -> Tensor:
    """1 - I_1(kappa) / I_0(kappa), which loses all digits if subtracted at large kappa: a series in 1/kappa there."""
    near, z = kappa.clamp(max=200.0), 1 / kappa.clamp(min=200.0)
    i0e = torch.special.i0e(near)
    direct = (i0e - torch.special.i1e(near)) / i0e
    series = z * (1 / 2 + z * (1 / 8 + z * (1 / 8 + z * (25 / 128 + z * (13 / 32 + z * 1073 / 1024)))))
    return torch.where(kappa < 200, direct, series)
