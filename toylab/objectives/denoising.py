"""Denoising score matching: noise the data, and regress on the score of the noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab import checks
from toylab.densities.density import Density
from toylab.densities.quadrature import fisher_information
from toylab.draws import normal_like
from toylab.score import Score


@dataclass(frozen=True)
class Denoising:
    """1/2 |s(x~) - grad log q(x~ | x)|^2 with x~ = x + sigma z, where grad log q(x~ | x) = -z / sigma.

    Its minimiser is the score of p_sigma, not that of p. Source: Vincent 2011, eq. 9.

    Args:
        sigma: standard deviation of the noise, > 0.
    """

    sigma: float

    def __post_init__(self) -> None:
        checks.positive(
            "sigma", self.sigma, "The target -z / sigma divides by it; for clean data use Implicit or Sliced"
        )

    def __call__(self, score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss a point, shape [n], for points x [n, 2]."""
        z = normal_like(x, generator)
        return 0.5 * (score(x + self.sigma * z) + z / self.sigma).square().sum(-1)

    def offset(self, density: Density) -> float:
        """1/2 E|grad log p_sigma|^2 - 1 / sigma^2 (d = 2), by quadrature: minus the mean loss of the true score."""
        return 0.5 * fisher_information(density, self.sigma) - 1 / self.sigma**2
