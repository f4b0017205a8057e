"""Guidance at some noise levels only."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.user_functions import call_field
from toylab.score import NoiseConditionalScore


def on_interval(
    guided: NoiseConditionalScore, plain: NoiseConditionalScore, low: float, high: float
) -> NoiseConditionalScore:
    """s = guided where low <= sigma <= high, and plain elsewhere.

    A level that is a number costs an evaluation of the one score that is due; levels per point cost both.

    Source: Kynkaanniemi et al. 2024, Applying guidance in a limited interval (arXiv:2404.07724).

    Args:
        guided: a guided score of x and sigma, such as ``classifier_free(s_c, s_u, 3.0)``.
        plain: the score at the other levels, such as s_c.
        low: least noise level with guidance; 0 for no end.
        high: largest; ``math.inf`` for no end. Under an SDE with a scale the level is sigma(t) / alpha(t).

    Raises:
        TypeError: unless both are functions of x and sigma.
        ValueError: unless 0 <= low < high.

    >>> import torch
    >>> s = on_interval(lambda x, sigma: -3 * x, lambda x, sigma: -x, 0.5, 2.0)
    >>> s(torch.ones(3, 2), torch.tensor([0.1, 1.0, 10.0]))
    tensor([[-1., -1.],
            [-3., -3.],
            [-1., -1.]])
    """
    validate.score("guided", guided, of_sigma=True)
    validate.score("plain", plain, of_sigma=True)
    low = validate.finite("low", low)
    high = high if isinstance(high, float) and high == math.inf else validate.finite("high", high)
    if not 0 <= low < high:
        raise ValueError(f"low is {low} and high is {high}: noise levels with 0 <= low < high. Swap them?")
    return _OnInterval(guided, plain, low, high)


@dataclass(frozen=True, eq=False)
class _OnInterval:
    guided: NoiseConditionalScore
    plain: NoiseConditionalScore
    low: float
    high: float

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        if not isinstance(sigma, Tensor):
            inside = self.low <= sigma <= self.high
            return call_field("guided" if inside else "plain", self.guided if inside else self.plain, x, sigma)
        chosen = ((self.low <= sigma) & (sigma <= self.high))[..., None]
        return torch.where(
            chosen, call_field("guided", self.guided, x, sigma), call_field("plain", self.plain, x, sigma)
        )
