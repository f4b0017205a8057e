"""Autoguidance: away from a worse version of the same network."""

from dataclasses import dataclass

from torch import Tensor

from toylab._internal import validate
from toylab._internal.user_functions import call_field
from toylab.score import NoiseConditionalScore


def autoguidance(good: NoiseConditionalScore, bad: NoiseConditionalScore, weight: float) -> NoiseConditionalScore:
    """s = (1 - w) s_0 + w s_1, of a good score s_1 and a bad one s_0 of the same law.

    The bad one is of a smaller or less trained network. With w = 1 it is the good one; w > 1 goes on away from the
    errors of the bad one, which are those of the good one, only larger. Two exact scores are the same, and nothing
    changes. In denoisers, D = x + sigma^2 s, it is D = (1 - w) D_0 + w D_1, with the w of the source.

    Source: Karras et al. 2024, Guiding a diffusion model with a bad version of itself (arXiv:2406.02507).

    Args:
        good: s_1(x, sigma), such as ``network.of_class(k)``.
        bad: s_0(x, sigma), of the same class.
        weight: w, any number; the source takes 2 on the fractal tree.

    Raises:
        TypeError: unless both are functions of x and sigma, and the weight is a number.
        ValueError: if the weight is nan or inf.
    """
    validate.score("good", good, of_sigma=True)
    validate.score("bad", bad, of_sigma=True)
    return _Autoguidance(good, bad, validate.finite("weight", weight))


@dataclass(frozen=True, eq=False)
class _Autoguidance:
    good: NoiseConditionalScore
    bad: NoiseConditionalScore
    weight: float

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        s_1, s_0 = call_field("good", self.good, x, sigma), call_field("bad", self.bad, x, sigma)
        return (1 - self.weight) * s_0 + self.weight * s_1
