"""The score at a time of an SDE, from a score of plain noise."""

from dataclasses import dataclass

from torch import Tensor

from toylab._internal import fields, validate
from toylab.score import NoiseConditionalScore, Score
from toylab.sde.process import SDE, Time, require_sde


def score_at(sde: SDE, score: NoiseConditionalScore, t: Time) -> Score:
    """The score of x_t from a noise-conditional one: s_t(x) = s(x / alpha; sigma / alpha) / alpha.

    x_t / alpha = x_0 + (sigma / alpha) z is the data with plain noise, so that one score, exact or learned on plain
    noise, serves every SDE.

    Args:
        sde: gives alpha and sigma.
        score: s(x, sigma), exact (``p.score``) or learned.
        t: the time, a number or one per point.

    Returns:
        s_t, a function of x [..., 2].

    >>> import torch
    >>> from toylab.densities import two_modes
    >>> from toylab.sde import VP
    >>> score_at(VP(), two_modes().score, 1.0)(torch.tensor([2.0, 1.0]))  # nearly that of N(0, I)
    tensor([-1.9783, -0.9783])
    """
    require_sde(sde)
    validate.field("score", score, fields.LEVEL_SCORE)
    validate.time(t)
    return _ScoreAt(sde, score, t)


@dataclass(frozen=True, eq=False)
class _ScoreAt:  # not a function, which would hide what it calls: a network, and where its weights are
    sde: SDE
    score: NoiseConditionalScore
    t: Time

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.score(*plain_noise(self.sde, x, self.t)) / _column(self.sde.alpha(self.t), self.t, x)


def plain_noise(sde: SDE, x: Tensor, t: Time) -> tuple[Tensor, Tensor | float]:
    """x_t / alpha = x_0 + (sigma / alpha) z as a point with plain noise, and its noise level.

    Args:
        sde: gives alpha and sigma.
        x: points at time t, shape [..., 2].
        t: the time, a number or one per point.

    Returns:
        x / alpha [..., 2], and sigma / alpha: a number if t is one, else of its shape and the dtype of x.
    """
    require_sde(sde)
    validate.times_of(t, validate.points("x", x))
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    level = sigma / alpha
    return x / _column(alpha, t, x), level.to(x) if isinstance(t, Tensor) else float(level)


def _column(values: Tensor, t: Time, x: Tensor) -> Tensor | float:
    """One number per point, or one for all if t is one: a step that is recorded copies nothing to the card."""
    return values.to(x)[..., None] if isinstance(t, Tensor) else float(values)
