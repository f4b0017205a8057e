"""What was found about a loss by its gradient, over batches, and whether it is enough: of an energy, or of spins.

A loss may draw one set of chains for all points of a batch, so that only batches are independent of each other. Each
gives one gradient of its mean loss at the truth; what is known of it whatever the loss is taken out by control
variates. How the gradient changes from there is a central difference, with the same random numbers on both sides.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from toylab.testing.estimate import EXACT, SEEN, Estimate, estimate, threshold_of_few, together
from toylab.testing.evidence import CONSTANT, N_LOOKS

_N_BATCHES = 100  # of each round: for the slopes, by Student's law of some 95 degrees of freedom
_N_CURVED = 20  # for the curvatures, which hardly vary
_N_TRIED = 12  # batches for a guess of what is learned instead
_SURE = 5.0  # standard errors, of words for what is wrong already
_STEP = 0.05  # in a coefficient: of likelihood, whose curvature is a variance, that is right to .3 %
ModelLosses = Callable[[Tensor, Tensor], Tensor]  # of the model of coefficients a [k] at points, with the same draws


class ModelTruth(Protocol):
    """What a loss should be least at: ``EnergyTruth``, ``SpinTruth`` or ``GridTruth``."""

    @property
    def name(self) -> str:
        """Of the true model."""
        ...

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the k directions in which the model is disturbed."""
        ...

    @property
    def exact(self) -> Tensor:
        """The coefficients of the true model, zeros [k]."""
        ...

    @property
    def variances(self) -> dict[str, float]:
        """The curvature of ``measure`` along each direction."""
        ...

    @property
    def measure(self) -> str:
        """The loss that others are compared with: likelihood, or the divergence of concrete scores."""
        ...

    @property
    def n_controls(self) -> int:
        """How many control variates there are."""
        ...

    def controls(self, x: Tensor, seed: int) -> Tensor:
        """What is known to have the mean 0 over batches x with that seed, shape [n_controls]."""
        ...

    def goal(self, name: str) -> float:
        """The error of a coefficient that must be visible."""
        ...

    def told(self, visible: dict[str, float]) -> str:
        """In words what would have been seen."""
        ...


AnyTruth = TypeVar("AnyTruth", bound=ModelTruth)


@dataclass
class GradientEvidence(Generic[AnyTruth]):
    """What all batches so far have told.

    Attributes:
        truth: what the loss should be least at.
        rounds: slopes by direction, one entry per round.
        curved: how each slope changes along its direction, one entry per round, until that is known.
        at_truth: mean loss at the truth, one per round.
        n: number of points.
        batches: those of the first round, with the losses they were tried in.
    """

    truth: AnyTruth
    rounds: list[dict[str, Estimate]] = field(default_factory=list)
    curved: list[dict[str, Estimate]] = field(default_factory=list)
    at_truth: list[Estimate] = field(default_factory=list)
    n: int = 0
    batches: list[tuple[ModelLosses, Tensor]] = field(default_factory=list)

    def add(self, losses_with: Callable[[int], ModelLosses], x: Tensor, seed: Callable[[], int]) -> None:
        """A round of ``_N_BATCHES`` batches, made of the points x."""
        drawn = [(losses_with(number), part, number) for part in x.tensor_split(_N_BATCHES) for number in [seed()]]
        found = [value_and_slope(losses, part, self.truth.exact) for losses, part, _ in drawn]
        values, slopes = (torch.stack(parts) for parts in zip(*found, strict=True))
        controls = torch.stack([self.truth.controls(part, number) for _, part, number in drawn])
        self.batches = self.batches or [(losses, part) for losses, part, _ in drawn]
        self.at_truth.append(_of_points(estimate(values, controls), x))
        self.rounds.append(
            {name: _of_points(estimate(slopes[:, k], controls), x) for k, name in enumerate(self.truth.directions)}
        )
        if not self.off() and self._times_for_curvatures() > 1:
            again = [curvatures(losses_with(seed()), part, self.truth.exact) for part in x.tensor_split(_N_CURVED)]
            changes = torch.stack(again)
            none = changes.new_empty(len(changes), 0)
            self.curved.append(
                {name: _of_points(estimate(changes[:, k], none), x) for k, name in enumerate(self.truth.directions)}
            )
        self.n += len(x)

    @property
    def z(self) -> float:
        """Standard errors at which the test of a slope, or of the constant, fails."""
        return threshold_of_few(self._n_tests, _N_BATCHES, self.truth.n_controls)

    @property
    def z_of_curvature(self) -> float:
        """The same of a curvature."""
        return threshold_of_few(self._n_tests, _N_CURVED)

    @property
    def _n_tests(self) -> int:
        return N_LOOKS * (2 * len(self.truth.directions) + 1)

    def slopes(self) -> dict[str, Estimate]:
        """The mean gradient at the truth along each direction."""
        return {name: together([found[name] for found in self.rounds]) for name in self.truth.directions}

    def curvatures(self) -> dict[str, Estimate]:
        """How the slope along each direction changes along it: for likelihood the variance of the function.

        Not known where the gradient was found not to vanish in the first round.
        """
        return {name: together([found[name] for found in self.curved]) for name in self.truth.directions}

    def ratios(self) -> dict[str, Estimate]:
        """Curvature over that of the truth's measure, which may not know a direction."""
        return {
            name: Estimate(part.mean / variance, part.error / variance, part.n)
            for name, part in self.curvatures().items()
            if (variance := self.truth.variances[name]) > 0
        }

    def slopes_at(self, a: Tensor) -> list[Estimate]:
        """The mean gradient at other coefficients a, from one batch if nothing is drawn."""
        each = torch.stack([value_and_slope(losses, x, a)[1] for losses, x in self.batches[:_N_TRIED]])
        if len(each) == 1:
            return [Estimate(float(value), 0.0, 1) for value in each[0]]
        return [estimate(column, column.new_empty(len(column), 0)) for column in each.T]

    def off(self) -> list[str]:
        """Along which directions the mean gradient is not 0."""
        slopes, scales = self.slopes(), self._scales()
        least = 1e-9 * max(scales.values())  # of rounding
        return [
            d for d, part in slopes.items() if not abs(part.mean) <= self.z * part.error + max(EXACT * scales[d], least)
        ]

    def _scales(self) -> dict[str, float]:
        """The size of each curvature; before it is known, that of likelihood."""
        known = {name: abs(part.mean) for name, part in self.curvatures().items()} if self.curved else {}
        return {name: known.get(name, self.truth.variances[name]) for name in self.truth.directions}

    def free(self) -> list[str]:
        """Along which directions the loss does not change at all, as along a constant in likelihood."""
        slopes, curvatures = self.slopes(), self.curvatures()
        largest = max(max(abs(part.mean) for part in curvatures.values()), 1e-30)
        return [
            name
            for name in self.truth.directions
            if max(abs(slopes[name].mean), slopes[name].error, abs(curvatures[name].mean)) <= 1e-9 * largest
        ]

    def visible(self) -> dict[str, float]:
        """The smallest error of a coefficient that would have been found, by direction; the free ones are left out."""
        free, slopes, curvatures = self.free(), self.slopes(), self.curvatures()
        found: dict[str, float] = {}
        for name in self.truth.directions:
            if name not in free:
                least = curvatures[name].mean - SEEN * curvatures[name].error
                slip = (slopes[name].visible(self.z) - EXACT) / least if least > 0 else math.inf
                found[name] = slip + EXACT
        return found

    def constant(self) -> Estimate:
        """The mean loss at the truth."""
        return together(self.at_truth)

    def losses_at_truth(self) -> Tensor:
        """Of the points of the first round."""
        return torch.cat([losses(self.truth.exact, x).detach() for losses, x in self.batches])

    @property
    def loss_std(self) -> float:
        """Standard deviation of the loss of a point, at the truth."""
        return float(self.losses_at_truth().std())

    def needed(self, constant_slip: float) -> float:
        """How many times the points there are would make every slip visible that must be."""
        found = [self._times_for_curvatures()]
        if not math.isnan(constant_slip):
            found.append((constant_slip / CONSTANT) ** 2)
        for name, slip in self.visible().items():
            if math.isfinite(slip):
                found.append(((slip - EXACT) / (self.truth.goal(name) - EXACT)) ** 2)
        return max(found)

    def _times_for_curvatures(self) -> float:
        """How many times the points there are would tell that the loss rises, if it does."""
        if not self.curved:
            return math.inf
        free = self.free()
        parts = [part for name, part in self.curvatures().items() if name not in free and part.mean != 0]
        return max((((self.z_of_curvature + SEEN) * part.error / part.mean) ** 2 for part in parts), default=0.0)


def _of_points(part: Estimate, x: Tensor) -> Estimate:
    """A mean over batches, which counts beside other rounds by its points."""
    return replace(part, n=len(x))


def vanishes(slopes: list[Estimate], slack: list[float]) -> bool:
    """Whether a guess is right: all slopes are 0, up to noise and what each may be off."""
    return all(abs(part.mean) <= _SURE * part.error + most for part, most in zip(slopes, slack, strict=True))


def value_and_slope(losses: ModelLosses, x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """The mean loss of the points x at coefficients a, and its gradient [k]."""
    with torch.enable_grad():
        a = a.clone().requires_grad_()
        mean = losses(a, x).mean()
        (slope,) = torch.autograd.grad(mean, a, allow_unused=True)
    return mean.detach(), torch.zeros_like(a) if slope is None else slope.detach()


def curvatures(losses: ModelLosses, x: Tensor, a: Tensor) -> Tensor:
    """The change of each slope along its own direction, shape [k]."""
    steps = _STEP * torch.eye(len(a), dtype=a.dtype, device=a.device)
    ends = [[value_and_slope(losses, x, a + h * step)[1][k] for h in (1.0, -1.0)] for k, step in enumerate(steps)]
    return torch.stack([(ahead - behind) / (2 * _STEP) for ahead, behind in ends])
