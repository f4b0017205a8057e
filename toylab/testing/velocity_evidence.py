"""What was found about a flow-matching loss, over batches and stretches of time, and whether it is enough.

Of loss(v* + h f) = loss(v*) + h slope(f) + h^2 curvature(f), a right loss has slopes of mean 0 and curvatures of the
mean of w 1/2 |f(x_t, t)|^2 over points of the path. That mean is taken over points drawn here, with the same x_1.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toylab.paths import VelocityField
from toylab.testing.estimate import EXACT, Estimate, estimate, threshold, together
from toylab.testing.evidence import CONSTANT, MULTIPLE, N_LOOKS, OTHER
from toylab.testing.truth import Losses
from toylab.testing.velocity_truth import VELOCITY, VelocityTruth


@dataclass(frozen=True)
class _Raw:
    """Along one direction, from one batch."""

    slope: Estimate
    excess: Estimate  # of the curvature over what it should be
    half_square: Estimate  # what it should be


@dataclass
class VelocityEvidence:
    """What all batches so far have told.

    Attributes:
        truth: what the loss should be.
        raw: of each direction, one entry per batch.
        at_truth: mean loss of the exact velocity, one per batch.
        n: number of points.
    """

    truth: VelocityTruth
    raw: dict[str, list[_Raw]] = field(default_factory=dict)
    at_truth: list[Estimate] = field(default_factory=list)
    n: int = 0

    def add(self, losses: Losses, x: Tensor, generator: torch.Generator) -> None:
        """Expand about the exact velocity along every field, with the same random numbers."""
        v = self.truth.velocity
        here, (t, own) = losses(v, x), self.truth.draw(x, generator)
        self.at_truth.append(_mean(here))
        weight, totals = self.truth.weights(t), [torch.zeros_like(here) for _ in range(3)]
        cut = [f"v*, {name}" for name in self.truth.names]
        for name, f in self.truth.directions().items():
            ahead, behind = (losses(_sum(v, h, f), x) for h in (1.0, -1.0))
            half_square = 0.5 * weight * f(own, t).square().sum(-1)
            values = [0.5 * (ahead - behind), 0.5 * (ahead + behind) - here - half_square, half_square]
            self._append(name, values)
            if name in cut:
                totals = [total + part for total, part in zip(totals, values, strict=True)]
        self._append(VELOCITY, totals)
        self.n += len(x)

    def _append(self, name: str, values: list[Tensor]) -> None:
        self.raw.setdefault(name, []).append(_Raw(*map(_mean, values)))

    @property
    def z(self) -> float:
        """Standard errors at which a test fails."""
        return threshold(N_LOOKS * (2 * (len(self.truth.directions()) + 1) + 1))

    def slopes(self) -> dict[str, Estimate]:
        """Over 2 sqrt(E w 1/2 |f|^2 E w 1/2 |v*|^2): the error of the target along f, in units of |v*|.

        Within a stretch both means are over its times alone.
        """
        found = {}
        for name, raw in self.raw.items():
            size = self._half_square(name)
            unit = 2 * (size if name.startswith(VELOCITY) else math.sqrt(size * self.size()))
            found[name] = _over(unit, together([part.slope for part in raw]))
        return found

    def scales(self) -> dict[str, Estimate]:
        """Curvature over what it should be, 1 if all is well."""
        found = {}
        for name, raw in self.raw.items():
            part = _over(self._half_square(name), together([part.excess for part in raw]))
            found[name] = Estimate(1 + part.mean, part.error, part.n)
        return found

    def constant(self) -> Estimate:
        """The mean loss of the exact velocity."""
        return together(self.at_truth)

    def size(self) -> float:
        """The mean of w 1/2 |v*|^2: the size of what there is to learn."""
        return self._half_square(VELOCITY)

    @property
    def loss_std(self) -> float:
        """Standard deviation of the loss of a point, at the truth."""
        return self.constant().error * math.sqrt(self.n)

    def goal(self, name: str) -> float:
        """The slip along a direction that must be visible."""
        return MULTIPLE if name == VELOCITY else OTHER

    def needed(self, constant_slip: float) -> float:
        """How many times the points there are would make every slip visible that must be."""
        found = [0.0] if math.isnan(constant_slip) else [(constant_slip / CONSTANT) ** 2]
        for parts in (self.slopes(), self.scales()):
            found += [((part.visible(self.z) - EXACT) / (self.goal(name) - EXACT)) ** 2 for name, part in parts.items()]
        return max(found)

    def _half_square(self, name: str) -> float:
        return together([part.half_square for part in self.raw[name]]).mean


def _mean(values: Tensor) -> Estimate:
    return estimate(values, values.new_empty(len(values), 0))


def _over(unit: float, part: Estimate) -> Estimate:
    return Estimate(part.mean / unit, part.error / unit, part.n)


def _sum(v: VelocityField, h: float, f: VelocityField) -> VelocityField:
    return lambda x, t: v(x, t) + h * f(x, t)
