"""What a loss of an energy does, read off the energies that it asks for, and its known slips.

The gradient of any loss of energies is a sum of grad_theta E over points, each with a weight: positive where the energy
is pushed down, at the data, and negative at the points that stand for the model. The weights are the derivatives of the
mean loss by the values that the energy gave; in what order the points came tells how chains move.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.optimize import brentq
from torch import Tensor

from toylab.testing.energy_truth import CONSTANT, DIRECTIONS, LOG_P, Asked, EnergyTruth
from toylab.testing.estimate import Estimate, estimate
from toylab.testing.gradient_evidence import GradientEvidence, value_and_slope

_SAME = 1e-6  # relative, of numbers that differ by rounding
_SURE = 5.0  # standard errors, of words for what is wrong already
_SLACK = 0.01  # of a slope, as the coefficient is not known exactly
_N_TRIED = 30  # batches in which another coefficient is tried
_CLOSE = 0.03  # of a number to one that has a name
_LOWEST, _HIGHEST = -0.95, 4.0  # temperatures less 1 among which is sought
_FARTHEST = 6.0  # nats, of a constant


@dataclass(frozen=True, eq=False)
class Seen:
    """What a loss did with a batch x at the truth.

    Attributes:
        x: data, shape [n, 2].
        data: weights of their energies, in 1/n, shape [n].
        others: other points [m, 2], and their weights in 1/n, [m], of those that count.
        others_weights: of these.
        beside: the part of the gradient that does not come from the values of E, over all of it.
        steps: the points before and after a step of a chain, where the energy or its score was asked for.
        starts: where the score was asked for first, [m, 2], if it was.
        refuses: whether energies were asked for that do not count, as where steps are accepted or refused.
    """

    x: Tensor
    data: Tensor
    others: Tensor
    others_weights: Tensor
    beside: float
    steps: tuple[Tensor, Tensor] | None
    starts: Tensor | None
    refuses: bool


def look_at_energies(losses: Callable[[Tensor, Tensor, list[Asked]], Tensor], truth: EnergyTruth, x: Tensor) -> Seen:
    """Call the loss once, at the truth, and take down what it asks for."""
    calls: list[Asked] = []
    a = truth.exact.requires_grad_()
    with torch.enable_grad():
        mean = losses(a, x, calls).mean()
        asked_for = [a, *(asked.value for asked in calls)]
        slopes = torch.autograd.grad(mean, asked_for, allow_unused=True)
    whole, *weights = (torch.zeros_like(at) if g is None else g for at, g in zip(asked_for, slopes, strict=True))
    data, others, others_weights = torch.zeros(len(x), dtype=x.dtype, device=x.device), [x[:0]], [x[:0, 0]]
    explicit, refuses = torch.zeros_like(a), False
    for asked, weight in zip(calls, weights, strict=True):
        if asked.score:
            continue
        refuses = refuses or not (asked.differentiated or bool(weight.any()))
        at, counts = asked.x.reshape(-1, 2).to(x), weight.reshape(-1).to(x) * len(x)
        explicit = explicit + counts @ truth.features(at) / len(x)
        for part, of_part in zip(at.split(len(x)), counts.split(len(x)), strict=True):
            if part.shape == x.shape and torch.equal(part, x):
                data = data + of_part
            else:
                others.append(part[of_part != 0])
                others_weights.append(of_part[of_part != 0])
    beside = float((whole - explicit).norm() / whole.norm().clamp(min=1e-300))
    step, start = _first_step(calls, x), _first_start(calls)
    return Seen(x, data, torch.cat(others), torch.cat(others_weights), beside, step, start, refuses)


def _first_step(calls: list[Asked], x: Tensor) -> tuple[Tensor, Tensor] | None:
    """From where the score, or an energy that is differentiated, was asked for to the next points that are not x."""
    for k, asked in enumerate(calls):
        if asked.score or asked.differentiated:
            for later in calls[k + 1 :]:
                if later.x.shape == asked.x.shape and not any(torch.equal(later.x, at) for at in (asked.x, x)):
                    return asked.x.reshape(-1, 2), later.x.reshape(-1, 2)
    return None


def _first_start(calls: list[Asked]) -> Tensor | None:
    return next((asked.x.reshape(-1, 2) for asked in calls if asked.score or asked.differentiated), None)


def explain_energy(seen: Seen, found: GradientEvidence[EnergyTruth]) -> str:
    """The slip in words; empty if it is not a known one."""
    return (
        _explain_phases(seen, found.truth)
        or _explain_noise(seen, found)
        or _explain_chains(seen, found.truth)
        or _explain_temperature(found)
    )


def _explain_phases(seen: Seen, truth: EnergyTruth) -> str:
    """What is wrong with the two sums, over the data and over what stands for the model."""
    if seen.beside > _SAME:
        return (
            "a part of its gradient comes through the points at which E is taken, and not through E: hold the chains "
            "fixed, under torch.no_grad() or by y.detach()"
        )
    if truth.sigma > 0:
        return ""  # the data that are seen are noised
    if not bool(seen.data.any()):
        return "the energies of the data have no part in it"
    if not len(seen.others):
        return (
            "nothing stands against the energies of the data: the normaliser, or the chains, are left out or detached"
        )
    if float(seen.data.mean()) < 0 < float(seen.others_weights.sum()):
        return (
            "the two phases are exchanged, so that the energies of the data are pushed up and those of the model down: "
            "the loss is E(x) - E(y)"
        )
    square = _square(truth, seen.x, seen.data)
    if square:
        return f"a term {square:.3g} E^2 is added to keep energies small, and moves the minimiser: it pulls E to 0"
    if _constant(seen.data) and _constant(seen.others_weights):
        share = -float(seen.others_weights.sum()) / float(seen.data.sum())
        if abs(share - 1) > _SAME:
            return f"the energies of the model count {share:.3g} times as much as those of the data"
    return ""


def _constant(values: Tensor) -> bool:
    return bool((values - values.mean()).abs().max() <= _SAME * values.abs().max())


def _square(truth: EnergyTruth, x: Tensor, weights: Tensor) -> float:
    """alpha, if the weights are b + 2 alpha E exactly; else 0."""
    design = torch.stack([torch.ones_like(weights), -truth.law.log_prob(x)], -1)
    fit = torch.linalg.lstsq(design, weights[:, None]).solution[:, 0]
    exact = bool(torch.linalg.norm(design @ fit - weights) <= _SAME * torch.linalg.norm(weights))
    slope = float(fit[1])
    return 0.5 * slope if exact and abs(slope) > 1e-4 * abs(float(weights.mean())) else 0.0


def _explain_noise(seen: Seen, found: GradientEvidence[EnergyTruth]) -> str:
    """Slips of noise-contrastive estimation, whose weights at the data are s (1 - h), h = 1 / (1 + r q / exp(-E))."""
    weights, truth = seen.data, found.truth
    if _constant(weights) or not bool((weights > 0).all()):
        return ""
    # 1 / weight is (1 + exp(-E) / (r q)) / s; in exp(-E), exactly, only without a q
    inverse, mass = 1 / weights, truth.law.log_prob(seen.x).exp()
    design = torch.stack([torch.ones_like(mass), mass], -1)
    fit = torch.linalg.lstsq(design, inverse[:, None]).solution[:, 0]
    if bool(torch.linalg.norm(design @ fit - inverse) <= _SAME * torch.linalg.norm(inverse)):
        return "the density of the noise is left out of the log-odds, -E(x) - log q(x) - log r"
    shift = _root(found, CONSTANT, (-_FARTHEST, _FARTHEST))
    if shift is None:
        return ""
    ratio = len(seen.others) / len(seen.x)
    if abs(shift - math.log(ratio)) < _CLOSE:
        return (
            f"exp(-E) comes out as the density over {math.exp(shift):.3g}: the log-odds lack - log r, with r = "
            f"{ratio:.3g} draws of noise for each point"
        )
    if abs(shift + math.log(ratio)) < _CLOSE:
        return (
            f"exp(-E) comes out as {math.exp(-shift):.3g} times the density: the log-odds count r = {ratio:.3g} draws "
            "of noise for each point, and the loss takes their mean instead of their sum"
        )
    return f"exp(-E) comes out as {math.exp(-shift):.3g} times the density, and right but for that"


def _explain_chains(seen: Seen, truth: EnergyTruth) -> str:
    """What is wrong with the steps of chains, by their first one: drift b s and noise of variance v."""
    if seen.steps is None or seen.starts is None:
        return ""
    parts = []
    known = torch.isin(seen.starts[:, 0], seen.x[:, 0]).all()
    if not truth.carries and truth.sigma == 0 and not bool(known):
        parts.append("chains do not start at the data, and are too short to come from elsewhere to the model")
    here, there = seen.steps
    s, moved = truth.law.score(here), there - here
    drift = float((moved * s).sum() / s.square().sum())
    noise = float((moved - drift * s).square().mean())
    error = math.sqrt(noise / float(s.square().sum()))
    if drift > _SURE * error and noise > _SAME * float(moved.square().mean()):
        temperature = noise / (2 * drift)
        if abs(temperature - 1) > _SURE * error / drift + _CLOSE:
            parts.append(
                f"chains move by {drift:.2g} s with noise of variance {noise:.2g}, and so have the temperature "
                f"{temperature:.2g}: x + (eps/2) s + sqrt(eps) z has 1"
            )
        elif not parts and not seen.refuses:
            parts.append(
                f"chains are Langevin steps of size {noise:.2g}, which keep another law than exp(-E): take a smaller "
                "step, or accept and reject (MALA)"
            )
    return "; ".join(parts)


def _explain_temperature(found: GradientEvidence[EnergyTruth]) -> str:
    excess = _root(found, LOG_P, (_LOWEST, _HIGHEST))
    return "" if excess is None else f"it learns E = {1 + excess:.2g} (-log p), a law of another temperature"


def _root(found: GradientEvidence[EnergyTruth], name: str, between: tuple[float, float]) -> float | None:
    """The coefficient of a function, all others 0, at which the whole gradient vanishes, if there is one."""
    k = DIRECTIONS.index(name)

    def slopes(coefficient: float) -> list[Estimate]:
        a = found.truth.exact
        a[k] = coefficient
        each = torch.stack([value_and_slope(losses, x, a)[1] for losses, x in found.batches[:_N_TRIED]])
        return [estimate(column, column.new_empty(len(column), 0)) for column in each.T]

    if slopes(between[0])[k].mean * slopes(between[1])[k].mean >= 0:
        return None
    at = float(brentq(lambda coefficient: slopes(coefficient)[k].mean, *between, xtol=1e-3))
    return at if all(abs(part.mean) <= _SURE * part.error + _SLACK for part in slopes(at)) else None
