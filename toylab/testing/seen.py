"""What a loss does with the points of a batch, read off the points at which it asks for the field.

A loss that asks once is w 1/2 |v(y, t) - u|^2, and tells of each point y, t, w and the target u: the first two as the
arguments of v, the others by constant fields. From two data points x with the same random numbers come the shares of
the data in y = a x + b and in u = A x + B. What is left, b and B, is noise, or comes from a source. The field v is a
velocity and t its time, or a score and t its level.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from toylab._internal.torch_private import differentiated
from toylab.score import NoiseConditionalScore
from toylab.testing.truth import Losses

Call = tuple[Tensor, Tensor]  # the points and times of one call of a field
_SAME = 1e-3  # relative: of rounding in float32, and of the noise of 1e-4 that some texts leave in the data


class Asked(NamedTuple):
    """Of the n points of a batch: y [n, 2], t [n], w [n] and u [n, 2]."""

    points: Tensor
    t: Tensor
    weight: Tensor
    target: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What a loss did with the points x of a batch.

    Attributes:
        t: times or levels, shape [n].
        weight: w, shape [n].
        data: a, shape [n].
        noise: b, shape [n, 2].
        target_data: A, shape [n].
        target_noise: B, shape [n, 2].
    """

    t: Tensor
    weight: Tensor
    data: Tensor
    noise: Tensor
    target_data: Tensor
    target_noise: Tensor


def calls_of(losses: Losses, x: Tensor) -> list[Call]:
    """At which points and times the loss of a batch asks for the field."""
    calls: list[Call] = []

    def field(y: Tensor, t: Tensor | float, /) -> Tensor:
        calls.append((y.detach(), torch.as_tensor(t, device=y.device).detach().to(y).expand(y.shape[:-1])))
        return torch.zeros_like(y)

    losses(field, x)
    return calls


def differentiates(losses: Losses, x: Tensor) -> bool:
    """Whether the loss differentiates the field by its points, as an implicit one does."""
    found: list[bool] = []

    def field(y: Tensor, t: Tensor | float, /) -> Tensor:
        found.append(differentiated(y))
        return 0 * y

    losses(field, x)
    return any(found)


def asked(losses: Losses, x: Tensor) -> Asked | None:
    """What the loss asks of x [n, 2], or None if it does not have the usual form."""
    calls = calls_of(losses, x)
    if len(calls) != 1 or calls[0][0].shape != x.shape:
        return None
    here = losses(_constant(0.0, 0.0), x)
    ends = [(losses(_constant(a, b), x), losses(_constant(-a, -b), x)) for a, b in ((1.0, 0.0), (0.0, 1.0))]
    weights = torch.stack([ahead + behind - 2 * here for ahead, behind in ends], -1)
    if not close(weights[:, 0], weights[:, 1]):
        return None
    slopes = torch.stack([0.5 * (ahead - behind) for ahead, behind in ends], -1)
    return Asked(*calls[0], weights[:, 0], torch.where(weights[:, :1] > 0, -slopes / weights, 0.0))


def look_at(losses: Losses, x: Tensor) -> Seen | None:
    """What the loss did with x [n, 2], or None if it does not have the usual form."""
    step = torch.tensor([1.0, 0.5], dtype=x.dtype, device=x.device)
    here, there = asked(losses, x), asked(losses, x + step)
    if here is None or there is None:
        return None
    shares, target_shares = (there.points - here.points) / step, (there.target - here.target) / step
    if not (torch.equal(here.t, there.t) and close(*shares.unbind(-1)) and close(*target_shares.unbind(-1))):
        return None
    data, target_data = shares[:, 0], target_shares[:, 0]
    noise, target_noise = here.points - data[:, None] * x, here.target - target_data[:, None] * x
    return Seen(here.t, here.weight, data, noise, target_data, target_noise)


def close(values: Tensor, expected: Tensor) -> bool:
    """Whether values are what they should be, all together to a thousandth."""
    off, size = torch.linalg.norm(values - expected), torch.linalg.norm(expected)
    return bool(off <= _SAME * size + 1e-9 * values.numel() ** 0.5)


def unrelated(values: Tensor, expected: Tensor) -> bool:
    """Whether values and what they should be are of one size, and have nothing in common."""
    sizes = float(torch.linalg.norm(values)), float(torch.linalg.norm(expected))
    centred = (values - values.mean(0)) * (expected - expected.mean(0))
    common = abs(float(centred.sum())) / max(sizes[0] * sizes[1], 1e-300)
    return abs(sizes[0] / max(sizes[1], 1e-300) - 1) < 0.1 and common < 0.1


def _constant(a: float, b: float) -> NoiseConditionalScore:
    def field(y: Tensor, t: Tensor | float, /) -> Tensor:
        return y.new_tensor([a, b]) + 0 * y

    return field
