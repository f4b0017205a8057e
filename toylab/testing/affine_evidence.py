"""What chains on a normal law tell of the affine map that moved them, by least squares, and of the noise left over."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from toylab.testing.affine_law import AffineLaw
from toylab.testing.estimate import EXACT, SEEN

N_TESTS = 40  # a bit more than all that is compared in a run


@dataclass(frozen=True, eq=False)
class Measured:
    """Means and their standard errors, of one shape."""

    mean: Tensor
    error: Tensor

    def is_off(self, expected: float, z: float, exact: float = EXACT) -> Tensor:
        """Which differ by more than z standard errors, and ``exact``; nan does."""
        return ~((self.mean - expected).abs() <= z * self.error + exact)


@dataclass(frozen=True, eq=False)
class AffineEvidence:
    """x' = slope x + noise of n chains, in coordinates along the axes.

    Attributes:
        map: slope [2, 2], value at the centre of the starts [2] and covariance of the noise [2, 2] as one vector [10].
        allowance: by how much the map may differ from its limit, as its steps are not infinitely small, [10].
        spread: standard deviations of the starts, [2].
        centre: of the starts, [2].
        shape: of the noise in the plane's own coordinates: means of He_3 and He_4, [4].
        others: how the start of a chain, and its noise, move the next, [6].
        bent: how the noise and its size depend on the start, [12].
    """

    map: Measured
    allowance: Tensor
    spread: Tensor
    centre: Tensor
    shape: Measured
    others: Measured
    bent: Measured

    def vector(self, law: AffineLaw) -> Tensor:
        """A law in the form of ``map``, [10]."""
        value = law.slope * self.centre + law.shift
        return torch.cat([law.slope.diag().flatten(), value, law.noise.diag().flatten()])

    def tolerance(self, law: AffineLaw, z: float, exact: float = EXACT) -> Tensor:
        """By how much the map may differ from a law, [10]: z standard errors, and a share of what is moved."""
        noise = law.noise.sqrt()
        out = (law.slope**2 * self.spread**2 + law.noise).sqrt()
        noises = torch.outer(noise, noise) + 1e-6 * torch.outer(out, out)
        size = torch.cat([(out[:, None] / self.spread).flatten(), out, noises.flatten()])
        return z * self.map.error + exact * size + self.allowance

    def off(self, law: AffineLaw, z: float, exact: float = EXACT) -> Tensor:
        """In which entries the map is not that of a law, [10]."""
        return ~((self.map.mean - self.vector(law)).abs() <= self.tolerance(law, z, exact))

    def closest(self, law_of: Callable[[float], AffineLaw]) -> tuple[float, float]:
        """So many times the drift, and the size of the noise, as fit best; ``law_of`` gives the law of a drift."""
        best = (math.inf, 1.0, 1.0)
        for drift in torch.linspace(-2, 4, 121, dtype=torch.float64, device="cpu").tolist():
            law = law_of(drift)
            noise = (self.map.mean[[6, 9]] / law.noise.clamp(min=1e-300)).mean().clamp(min=0).sqrt()
            scaled = replace(law, noise=law.noise * noise**2)
            gap = (self.map.mean - self.vector(scaled)) / self.tolerance(scaled, 1.0, 0.01)
            best = min(best, (float(gap.square().sum()), drift, float(noise)))
        return best[1:]

    def without_slopes(self) -> "AffineEvidence":
        """The same, as if nothing were known of how ends depend on starts."""
        error = self.map.error.clone()
        error[:4] = torch.inf
        return replace(self, map=Measured(self.map.mean, error))

    @property
    def silent(self) -> bool:
        """Whether there is no noise but rounding."""
        out = (self.map.mean[[0, 3]].abs() * self.spread + 1e-300) ** 2 + self.map.mean[[6, 9]]
        return bool((self.map.mean[[6, 9]] < 1e-10 * out).all())

    def distance(self, law: AffineLaw, other: AffineLaw, z: float) -> float:
        """How far two laws are apart, in units of what would be found in 98 % of runs."""
        seen = self.tolerance(law, z + SEEN)
        return float(((self.vector(law) - self.vector(other)).abs() / seen).max())


def fit(x: Tensor, y: Tensor, axes: Tensor) -> AffineEvidence:
    """The map from starts x [n, 2] to ends y [n, 2]."""
    n, u, v = len(x), x @ axes, y @ axes
    centre, spread = u.mean(0), u.std(0)
    w = (u - centre) / spread
    design = torch.cat(
        [torch.ones(n, 1, dtype=w.dtype, device=w.device), w, w.roll(1, 0)], -1
    )  # and the start of the chain before
    gram = design.T @ design
    coefficients = torch.linalg.solve(gram, design.T @ v)  # [5, 2]
    left = v - design @ coefficients
    noise = left.T @ left / n
    errors = torch.linalg.inv(gram).diagonal().sqrt()[:, None] * noise.diagonal().sqrt()
    products = left[:, :, None] * left[:, None, :]
    mean, error = torch.zeros(10, dtype=w.dtype, device=w.device), torch.zeros(10, dtype=w.dtype, device=w.device)
    mean[:4], error[:4] = (coefficients[1:3].T / spread).flatten(), (errors[1:3].T / spread).flatten()
    mean[4:6], error[4:6] = coefficients[0], errors[0]
    mean[6:], error[6:] = noise.flatten(), products.std(0).flatten() / math.sqrt(n)
    size = noise.diagonal().sqrt()
    e = left / size.clamp(min=1e-7 * v.std(0).clamp(min=1e-300))  # rounding, where there is no noise, is nothing
    plane = left @ axes.T
    plane = plane / plane.std(0).clamp(min=1e-300)
    before = e.roll(1, 0)
    others = torch.cat([e * before, e * before.flip(-1)], -1)
    relative = coefficients[3:].T.diagonal() / v.std(0).clamp(min=1e-300)
    relative_error = errors[3:].T.diagonal() / v.std(0).clamp(min=1e-300)
    pulled = _measure(others)
    bends = torch.cat([_he3(w)[:, :, None] * e[:, None, :], (w**2 - 1)[:, :, None] * e[:, None, :]], 1).flatten(1)
    sizes = ((w**2 - 1)[:, :, None] * (e**2 - 1)[:, None, :]).flatten(1)
    return AffineEvidence(
        map=Measured(mean, error),
        allowance=torch.zeros(10, dtype=w.dtype, device=w.device),
        spread=spread,
        centre=centre,
        shape=_measure(torch.cat([_he3(plane), plane**4 - 6 * plane**2 + 3], -1)),
        others=Measured(torch.cat([relative, pulled.mean]), torch.cat([relative_error, pulled.error])),
        bent=_measure(torch.cat([bends, sizes], -1)),
    )


def extrapolated(coarse: AffineEvidence, fine: AffineEvidence) -> AffineEvidence:
    """The map in the limit of small steps, from some and from four times as many: (4 fine - coarse) / 3, for order 1.

    What is left of an error of order 1, 2 or 4 is a third of the difference of the two at the most.
    """
    error = (16 * fine.map.error**2 + coarse.map.error**2).sqrt() / 3
    limit = Measured((4 * fine.map.mean - coarse.map.mean) / 3, error)
    return replace(fine, map=limit, allowance=0.5 * (fine.map.mean - coarse.map.mean).abs())


def _he3(w: Tensor) -> Tensor:
    return w**3 - 3 * w


def _measure(values: Tensor) -> Measured:
    return Measured(values.mean(0), values.std(0) / math.sqrt(len(values)))
