"""What a sampler of a posterior is tried on: laws, what is measured of them, and the exact law given that."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.sde import SDE


@dataclass(frozen=True, eq=False)
class _Unit:
    """One law and one measurement, in units of the scale; of two noises one is away from 1, where noise is noise^2."""

    prior: GaussianMixture
    A: list[float]
    y: float
    noises: tuple[float, float]


_UNITS = {
    # oblique to A, and elongated, so that no round covariance stands for its own
    "a normal law": _Unit(
        GaussianMixture([1.0], [[2.0, -1.5]], [[[2.312, 2.796], [2.796, 4.488]]]), [0.2, 1.0], 5.0, (0.75, 1.2)
    ),
    # of whose modes along A x = const a Gaussian guess takes the wrong ones
    "a mixture of three": _Unit(
        GaussianMixture(
            [0.2, 0.5, 0.3],
            [[4.0, -0.8], [0.8, 1.8], [-2.7, 3.8]],
            [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.6, 0.0], [0.0, 0.4]]],
        ),
        [0.9, 1.2], -0.9, (0.5, 0.5),
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Problem:
    """One law, and one measurement.

    Attributes:
        name: of the law.
        prior: p.
        A: [1, 2].
        y: [1].
        noise: its standard deviation.
        posterior: the law of X given A X + noise Z = y.
        levels: sigma / alpha at t = 1 and at t_min.
        alpha: at t_min.
    """

    name: str
    prior: GaussianMixture
    A: Tensor
    y: Tensor
    noise: float
    posterior: GaussianMixture
    levels: tuple[float, float]
    alpha: float

    def starts(self, n: int, alpha: float, g: torch.Generator) -> Tensor:
        """Draws of the posterior noised to t = 1, where alpha is that, [n, 2]."""
        return alpha * self.posterior.noised(self.levels[0]).sample((n,), generator=g)

    @property
    def allowance(self) -> float:
        """By how much a right sampler may be off, in the units of ``hermite_functions``: at both ends of the levels.

        Particles are weighted as if they began in p noised, and chains may begin there; of the difference they bring
        along its square, as long as there is noise. At the last level clean points and noised ones are both right.
        """
        q, (first, last) = self.posterior, self.levels
        variances = torch.linalg.eigvalsh(q.covariances)
        least, largest = float(variances.min()), float(variances.max())
        apart = float((q.weights @ q.means - self.prior.weights @ self.prior.means).norm())
        wide = float((q.means - q.weights @ q.means).norm(dim=-1).max()) + math.sqrt(largest)
        shift = (1 - self.alpha) * float(q.means.norm(dim=-1).max()) / math.sqrt(least)
        return apart * wide / first**2 + 2 * last**2 / least + shift


def problems(sde: SDE) -> list[Problem]:
    """A normal law and a mixture of three, as wide as the middle of the levels of the SDE."""
    end = float(sde.t_min)
    first, last = (float(sde.sigma(t)) / float(sde.alpha(t)) for t in (1.0, end))
    scale = math.sqrt(first * last)
    found = []
    for name, unit in _UNITS.items():
        noise = max((scale * part for part in unit.noises), key=lambda noise: abs(math.log(noise)))
        prior = unit.prior.to(torch.float64).scaled(scale)
        A = torch.tensor([unit.A], dtype=torch.float64, device="cpu")
        y = torch.tensor([scale * unit.y], dtype=torch.float64, device="cpu")
        q = prior.given(A, y, noise)
        found.append(Problem(name, prior, A, y, noise, q, (first, last), float(sde.alpha(end))))
    return found
