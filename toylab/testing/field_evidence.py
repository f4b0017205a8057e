"""What was found about a loss that asks for a field at known points, over batches, and whether it is enough.

Of loss(s* + h f) = loss(s*) + h slope(f) + h^2 curvature(f), a right loss has slopes of mean 0 and curvatures of the
mean of w 1/2 |f|^2: over points of a path for a velocity v*, at each stretch of time and at all times together; over
points of the law, one weight per coordinate, for the score s* on a bounded domain. That mean is taken here, over the
same data. In this file v* stands for both.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from toylab.paths import VelocityField
from toylab.testing.estimate import EXACT, Estimate, estimate, threshold, together
from toylab.testing.evidence import CONSTANT, MULTIPLE, N_LOOKS, OTHER
from toylab.testing.truth import Losses


class FieldTruth(Protocol):
    """What a loss should be: ``VelocityTruth`` or ``DomainTruth``."""

    @property
    def name(self) -> str:
        """Of the exact field."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of the stretches that the exact field is cut to, if it is."""
        ...

    def exact(self, x: Tensor, t: Tensor | float) -> Tensor:
        """v*(x, t)."""
        ...

    def directions(self) -> dict[str, VelocityField]:
        """All fields by name: v*, or its stretches, and others."""
        ...

    def half_square(self, x: Tensor, generator: torch.Generator) -> Callable[[VelocityField], Tensor]:
        """w 1/2 |f|^2 [n] of a field f, on the data x [n, 2]."""
        ...


AnyTruth = TypeVar("AnyTruth", bound=FieldTruth)


@dataclass(frozen=True)
class _Raw:
    """Along one direction, from one batch."""

    slope: Estimate
    excess: Estimate  # of the curvature over what it should be
    half_square: Estimate  # what it should be


@dataclass
class FieldEvidence(Generic[AnyTruth]):
    """What all batches so far have told.

    Attributes:
        truth: what the loss should be.
        raw: of each direction, one entry per batch.
        at_truth: mean loss of the exact field, one per batch.
        n: number of points.
    """

    truth: AnyTruth
    raw: dict[str, list[_Raw]] = field(default_factory=dict)
    at_truth: list[Estimate] = field(default_factory=list)
    n: int = 0

    def add(self, losses: Losses, x: Tensor, generator: torch.Generator) -> None:
        """Expand about the exact field along every other, with the same random numbers."""
        v, expected = self.truth.exact, self.truth.half_square(x, generator)
        here = losses(v, x)
        self.at_truth.append(_mean(here))
        cut = [f"{self.truth.name}, {name}" for name in self.truth.names]
        totals = [torch.zeros_like(here) for _ in range(3)]
        for name, f in self.truth.directions().items():
            ahead, behind = (losses(_sum(v, h, f), x) for h in (1.0, -1.0))
            half_square = expected(f)
            values = [0.5 * (ahead - behind), 0.5 * (ahead + behind) - here - half_square, half_square]
            self._append(name, values)
            if name in cut:
                totals = [total + part for total, part in zip(totals, values, strict=True)]
        if cut:
            self._append(self.truth.name, totals)
        self.n += len(x)

    def _append(self, name: str, values: list[Tensor]) -> None:
        self.raw.setdefault(name, []).append(_Raw(*map(_mean, values)))

    @property
    def z(self) -> float:
        """Standard errors at which a test fails."""
        return threshold(N_LOOKS * (2 * (len(self.truth.directions()) + bool(self.truth.names)) + 1))

    def slopes(self) -> dict[str, Estimate]:
        """Over 2 sqrt(E w 1/2 |f|^2 E w 1/2 |v*|^2): the error of the target along f, in units of |v*|.

        Within a stretch both means are over its times alone.
        """
        found = {}
        for name, raw in self.raw.items():
            size = self._half_square(name)
            unit = 2 * (size if name.startswith(self.truth.name) else math.sqrt(size * self.size()))
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
        """The mean loss of the exact field."""
        return together(self.at_truth)

    def size(self) -> float:
        """The mean of w 1/2 |v*|^2: the size of what there is to learn."""
        return self._half_square(self.truth.name)

    @property
    def loss_std(self) -> float:
        """Standard deviation of the loss of a point, at the truth."""
        return self.constant().error * math.sqrt(self.n)

    def goal(self, name: str) -> float:
        """The slip along a direction that must be visible."""
        return MULTIPLE if name == self.truth.name else OTHER

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
