"""What was found about a loss, over batches and levels, and whether it is enough."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toylab.objectives.level_mean import mean_inverse_square
from toylab.testing.estimate import EXACT, Estimate, estimate, threshold, together
from toylab.testing.expansion import Expansion, Part, expand
from toylab.testing.truth import DIRECTIONS, TRUTH, Losses, Truth

N_LOOKS = 4  # after the first batch, after the least number of points, after as many as are needed, and once more
MULTIPLE, OTHER, CONSTANT = 0.05, 0.1, 0.1  # slips that must be visible: in the multiple of s*, a field, the offset
OTHER_AT_A_LEVEL = 0.2
_KEPT = 1_000_000  # points whose losses are kept for the constant


@dataclass
class Evidence:
    """What all batches so far have told.

    Attributes:
        truth: what the loss should be.
        parts: of each direction, one list of groups per batch.
        batches: along the true score.
        n: number of points.
        again: a batch about another multiple of the truth along a direction, with the numbers of the first batch.
    """

    truth: Truth
    parts: dict[str, list[list[Part]]] = field(default_factory=lambda: {name: [] for name in DIRECTIONS})
    batches: list[Expansion] = field(default_factory=list)
    n: int = 0
    again: Callable[[str, float], Expansion] | None = None

    def add(self, losses: Losses, x: Tensor, seed: int) -> None:
        """Expand about the truth in all directions: along s* from all of x, along the others from a quarter each."""
        found = expand(losses, self.truth, x, TRUTH, seed)
        self.again = self.again or (lambda name, multiple: expand(losses, self.truth, x, name, seed, multiple))
        self.parts[TRUTH].append(found.parts)
        if self.n < _KEPT:
            self.batches.append(found)
        for name, quarter in zip(DIRECTIONS[1:], x.chunk(4), strict=True):
            self.parts[name].append(expand(losses, self.truth, quarter, name, seed).parts)
        self.n += len(x)

    @property
    def z(self) -> float:
        """Standard errors at which a test fails."""
        n_groups = len(self.truth.groups)
        return threshold(N_LOOKS * (len(DIRECTIONS) * 2 * (n_groups + (n_groups > 1)) + 5 * n_groups + 1))

    def slopes(self, name: str) -> list[Estimate]:
        """By group."""
        return [together([batch[k].slope for batch in self.parts[name]]) for k in range(len(self.truth.groups))]

    def curvatures(self, name: str) -> list[Estimate]:
        """By group, of the points that are there."""
        return [together([batch[k].curvature for batch in self.parts[name]]) for k in range(len(self.truth.groups))]

    def noises(self) -> list[Estimate]:
        """By group."""
        return [together([batch[k].noise for batch in self.parts[TRUTH]]) for k in range(len(self.truth.groups))]

    def constants(self, coordinate: int) -> list[Estimate]:
        """By group."""
        return [
            together([batch[k].constants[coordinate] for batch in self.parts[TRUTH]])
            for k in range(len(self.truth.groups))
        ]

    def shares(self) -> list[Estimate]:
        """How often a group comes up, over how often it should."""
        counts = [part.n for part in self.slopes(TRUTH)]
        return [
            Estimate(
                count / (self.n * group.share),
                math.hypot(
                    math.sqrt((1 - group.share) / (self.n * group.share)), group.share_error / group.share
                ) if group.share < 1 else 0.0,
                count,
            )
            for count, group in zip(counts, self.truth.groups, strict=True)
        ]  # fmt: skip

    def scales(self, name: str) -> list[Estimate]:
        """By group: what the loss counts at those levels, over what it should.

        Where levels come up as often as they should, that is the curvature, and otherwise curvature times share.
        """
        if not self.uneven:
            return self.curvatures(name)
        return [
            Estimate(
                curvature.mean * share.mean,
                math.hypot(curvature.error * share.mean if share.n else 0.0, max(curvature.mean, 1.0) * share.error),
                curvature.n,
            )
            for curvature, share in zip(self.curvatures(name), self.shares(), strict=True)
        ]

    def pulls(self, name: str) -> list[Estimate]:
        """By group: the slope that the loss counts at those levels, as ``scales`` are of the curvature."""
        if not self.uneven:
            return self.slopes(name)
        return [
            Estimate(slope.mean * share.mean, slope.error * share.mean if share.n else math.inf, slope.n)
            for slope, share in zip(self.slopes(name), self.shares(), strict=True)
        ]

    def overall_scale(self, name: str) -> Estimate:
        """Over all groups, each as often as it comes up."""
        return together(self.curvatures(name))

    def slopes_about(self, multiple: float, k: int) -> list[Estimate]:
        """In group k, along the fields that are no multiple of s*, about another multiple of the truth."""
        again = self.again
        return [] if again is None else [again(name, multiple).parts[k].slope for name in DIRECTIONS[1:]]

    @property
    def uneven(self) -> bool:
        """Whether levels come up more or less often than sigma says, which a loss may make good by its weights."""
        return any(share.is_off(1.0, self.z) for share in self.shares())

    @property
    def denoises(self) -> bool:
        """Whether the loss of the field 0 is lambda / sigma^2 at every level, as the noise in denoising is."""
        noises = self.noises()
        return self.truth.least > 0 and not self.uneven and not any(part.is_off(1.0, self.z) for part in noises)

    def noise_slip(self) -> float:
        """The smallest slip in that noise that would have been seen at every level."""
        return max(part.visible(self.z) for part in self.noises())

    def constant(self) -> Estimate:
        """The mean loss of the true score."""
        truth, denoises = self.truth, self.denoises
        expected = mean_inverse_square(truth.weight, truth.levels) if denoises and truth.levels is not None else 0.0
        parts = []
        for batch in self.batches:
            controls = [batch.controls]
            if denoises:
                known = batch.target.levels.clamp(truth.least, truth.largest)
                usual = truth.weights(known) / known**2
                controls.append((batch.target.loss - usual)[:, None])
                if truth.levels is not None:
                    controls.append((usual - expected)[:, None])
            parts.append(estimate(batch.loss, torch.cat(controls, -1)))
        return together(parts)

    def half_information(self) -> float:
        """The mean of lambda E 1/2 |s*|^2 over levels, roughly: the size of what losses are there to learn."""
        levels = self.batches[0].target.levels.nan_to_num(self.truth.least).clamp(self.truth.least, self.truth.largest)
        return float((self.truth.weights(levels) * self.truth.half_square(TRUTH, levels)).mean())

    @property
    def loss_std(self) -> float:
        """Standard deviation of the loss of a point, at the truth."""
        return float(torch.cat([batch.loss for batch in self.batches]).std())

    def needed(self, constant_slip: float) -> float:
        """How many times the points there are would make every slip visible that must be."""
        several = len(self.truth.groups) > 1

        def times(estimate: Estimate, goal: float) -> float:
            return ((estimate.visible(self.z) - EXACT) / (goal - EXACT)) ** 2

        found = [times(share, MULTIPLE) for share in self.shares()]
        for name in DIRECTIONS:
            goal = MULTIPLE if name == TRUTH else OTHER_AT_A_LEVEL if several else OTHER
            found += [times(part, goal) for part in self.pulls(name) + self.scales(name)]
        if not math.isnan(constant_slip):
            found.append((constant_slip / CONSTANT) ** 2)
        return max(found)
