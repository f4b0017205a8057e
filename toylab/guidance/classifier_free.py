"""Classifier-free guidance: away from the unconditional score."""

from dataclasses import dataclass

from torch import Tensor

from toylab._internal import validate
from toylab._internal.user_functions import call_field
from toylab.score import NoiseConditionalScore


def classifier_free(
    conditional: NoiseConditionalScore, unconditional: NoiseConditionalScore, weight: float
) -> NoiseConditionalScore:
    """s = (1 - w) s_u + w s_c, of a conditional score s_c and an unconditional one s_u.

    With w = 0 it is s_u and with w = 1 s_c; w > 1 goes on beyond s_c, away from s_u. At each level it is the score of
    p(x) p(c | x)^w, but these laws at all levels are not one law under noise, so that a sampler ends elsewhere.
    Ho and Salimans write s = (1 + v) s_c - v s_u: v = w - 1. The ``guidance_scale`` of libraries is w.

    Source: Ho & Salimans 2022 (arXiv:2207.12598), eq. 6.

    Args:
        conditional: s_c(x, sigma), such as ``p.densities[k].score`` of a ``Mixture`` p, or ``network.of_class(k)``.
        unconditional: s_u(x, sigma), such as ``p.score``, or the network itself.
        weight: w, any number.

    Raises:
        TypeError: unless both are functions of x and sigma, and the weight is a number.
        ValueError: if the weight is nan or inf.

    >>> import torch
    >>> from toylab.densities import isotropic
    >>> s_c, s_u = isotropic([[0.0, 0.0]], 1.0).score, isotropic([[0.0, 0.0]], 2.0).score
    >>> classifier_free(s_c, s_u, 3.0)(torch.tensor([1.0, 2.0]), 0.0)  # -3 x + 2 x / 4
    tensor([-2.5000, -5.0000])
    """
    validate.score("conditional", conditional, of_sigma=True)
    validate.score("unconditional", unconditional, of_sigma=True)
    return _ClassifierFree(conditional, unconditional, validate.finite("weight", weight))


@dataclass(frozen=True, eq=False)
class _ClassifierFree:  # not a function, which would hide what it calls: networks, and where their weights are
    conditional: NoiseConditionalScore
    unconditional: NoiseConditionalScore
    weight: float

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        s_c = call_field("conditional", self.conditional, x, sigma)
        s_u = call_field("unconditional", self.unconditional, x, sigma)
        return (1 - self.weight) * s_u + self.weight * s_c
