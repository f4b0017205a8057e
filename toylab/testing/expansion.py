"""A quadratic loss about the true score, direction by direction and level by level, with as little noise as possible.

Of loss(s* + h f) = loss(s*) + h slope(f) + h^2 curvature(f), a right loss has slopes of mean 0 and curvatures of mean
lambda E 1/2 |f|^2. With the target -z / sigma a slope is f(x + sigma z) . z / sigma and more, whose standard deviation
grows like 1 / sigma and hides what is wrong. But its large part, f(x) . z / sigma, can be taken away whatever the loss:
the loss of another point x', with the same random numbers and constant fields, tells the z / sigma of each point (T);
and as x is independent of x' and of the random numbers, f(x) . T has the mean E f(X) . E T in every loss, right or
wrong. The fields are chosen with E f(X) = 0 (but for .2 %), and E T = 0 is tested for itself: it is the slope along a
constant field, 0 in every right loss.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.score import NoiseConditionalScore, value_and_jacobian
from toylab.testing.estimate import Estimate, estimate
from toylab.testing.truth import TRUTH, Losses, Truth


@dataclass(frozen=True)
class Target:
    """What a loss of noised data tells of its random numbers, from constant fields at points of their own.

    Attributes:
        loss: of the field 0, shape [n].
        slope: along (1, 0) and (0, 1), shape [n, 2]: z / sigma times lambda in denoising, 0 in an implicit loss.
        levels: at which the score was asked, shape [n].
    """

    loss: Tensor
    slope: Tensor
    levels: Tensor


def target_of(losses: Losses, truth: Truth, x: Tensor) -> Target:
    """From the losses of constant fields: that of one over sqrt(sigma) is curved 1 / sigma times as much."""
    here = losses(_constant(0.0, 0.0), x)
    ends = [(losses(_constant(a, b), x), losses(_constant(-a, -b), x)) for a, b in ((1.0, 0.0), (0.0, 1.0))]
    slope = torch.stack([(ahead - behind) / 2 for ahead, behind in ends], -1)
    if truth.single is not None:
        return Target(here, slope, torch.full_like(here, truth.single))
    ahead, behind = (losses(_constant(a, 0.0, over_root=True), x) for a in (1.0, -1.0))
    levels = (sum(ends[0]) - 2 * here) / (ahead + behind - 2 * here)
    return Target(here, slope, _snapped(levels, truth))


def _snapped(levels: Tensor, truth: Truth) -> Tensor:
    """The levels, freed of rounding where they come from a ladder."""
    if not truth.rungs:
        return levels
    rungs = torch.tensor([group.low for group in truth.groups], dtype=levels.dtype, device=levels.device).sort().values
    nearest = rungs[torch.bucketize(levels, (rungs[1:] * rungs[:-1]).sqrt())]
    return torch.where((levels / nearest - 1).abs() < 1e-3, nearest, levels)


def _constant(a: float, b: float, *, over_root: bool = False) -> NoiseConditionalScore:
    """The field (a, b), or that over sqrt(sigma); a loss may differentiate it."""

    def field(x: Tensor, sigma: Tensor | float, /) -> Tensor:
        value = x.new_tensor([a, b])
        if over_root:
            value = value * torch.as_tensor(sigma, device=x.device).to(x).rsqrt().expand(x.shape[:-1])[..., None]
        return value + 0 * x

    return field


@dataclass(frozen=True)
class Part:
    """What was found along one direction at one group of levels.

    Attributes:
        slope: over lambda 2 sqrt(E 1/2 |f|^2 E 1/2 |s*|^2): the error of the target along f, in units of |s*|.
        curvature: over lambda E 1/2 |f|^2: 1 if all is well.
        noise: loss of the field 0 over lambda / sigma^2: 1 in denoising.
        constants: slope along (1, 0) and (0, 1) over lambda / sigma, in denoising z; where sigma is 0, in units
            of |s*|.
    """

    slope: Estimate
    curvature: Estimate
    noise: Estimate
    constants: tuple[Estimate, Estimate]


@dataclass(frozen=True)
class Expansion:
    """Along one direction, from one batch.

    Attributes:
        parts: by group.
        loss: of the true score, shape [n].
        target: of the same random numbers.
        controls: of the loss of the true score, shape [n, k], of mean 0 in every loss.
    """

    parts: list[Part]
    loss: Tensor
    target: Target
    controls: Tensor


def expand(losses: Losses, truth: Truth, x: Tensor, name: str, seed: int, multiple: float = 1.0) -> Expansion:
    """About ``multiple`` times the true score, from losses there and at +- f: exact, as the draws are the same."""
    score, f = truth.density.score, truth.direction(name)

    def losses_at(h: float) -> Tensor:
        if name == TRUTH or h == 0:
            return losses(lambda y, level: (multiple + h) * score(y, level), x)
        return losses(lambda y, level: multiple * score(y, level) + h * f(y, level), x)

    here, ahead, behind = losses_at(0.0), losses_at(1.0), losses_at(-1.0)
    target = target_of(losses, truth, x.roll(1, 0))
    levels = target.levels
    known = levels.nan_to_num(truth.least).clamp(truth.least, truth.largest)
    weight, m, truth_m = truth.weights(known), truth.half_square(name, known), truth.half_square(TRUTH, known)
    slope = (ahead - behind) / (2 * weight * 2 * (m * truth_m).sqrt())
    curvature = ((ahead + behind) / 2 - here) / (weight * m)
    unit = 1 / known if truth.least > 0 else (2 * truth_m).sqrt()
    noise, constants = target.loss / (weight * unit**2), target.slope / (weight * unit)[:, None]

    z = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(seed), device=x.device)
    own = x + known[:, None] * z  # points of p_sigma that owe nothing to the loss
    own_square = 0.5 * f(own, known).square().sum(-1) / m - 1
    at_x = f(x, known)
    none = deviations = implicit = torch.zeros_like(x[:, :0])
    if name == TRUTH:
        s, jacobian = value_and_jacobian(lambda y: score(y, _like(known, y)), own)
        by_parts = (s.square().sum(-1) + jacobian[:, 0, 0] + jacobian[:, 1, 1]) / (2 * truth_m)  # mean 0, by parts
        deviations, implicit = _without_tails(jacobian.flatten(1) / (2 * truth_m)[:, None]), by_parts[:, None]
    usual = at_x * target.slope / (weight * 2 * (m * truth_m).sqrt())[:, None]
    pairs = (constants[:, :, None] * constants[:, None, :]).flatten(1)  # z z^T: the same at all levels of a group

    parts, group = [], truth.group_of(levels)
    for k in range(len(truth.groups)):
        at = group == k
        controls = [usual[at], implicit[at]]
        if name == TRUTH:
            controls.append(_centred(deviations[at]) * pairs[at])
        parts.append(
            Part(
                estimate(slope[at], torch.cat(controls, -1)),
                estimate(curvature[at], own_square[at, None]),
                estimate(noise[at], none[at]),
                (estimate(constants[at, 0], none[at]), estimate(constants[at, 1], none[at])),
            )
        )
    controls_of_loss = torch.cat([(weight * truth_m * own_square)[:, None], implicit * (weight * truth_m)[:, None]], -1)
    return Expansion(parts, here, target, controls_of_loss)


def _centred(values: Tensor) -> Tensor:
    """Values [n, k] less their mean; 0 where they do not vary, and only rounding would be left."""
    if len(values) < 2:
        return torch.zeros_like(values)
    varies = values.std(0) > 1e-6 * values.abs().amax(0)
    return torch.where(varies, values - values.mean(0), 0.0)


def _without_tails(values: Tensor) -> Tensor:
    """Values [n, k] with the least and the largest percent of each column moved to the rest.

    Between modes a Jacobian is huge, and a few such points would decide a coefficient.
    """
    ordered, cut = values.sort(0).values, len(values) // 100
    return values.clamp(ordered[cut], ordered[-1 - cut])


def _like(levels: Tensor, y: Tensor) -> Tensor:
    """One level per point, also where points are stacked."""
    return levels.expand(y.shape[:-1])
