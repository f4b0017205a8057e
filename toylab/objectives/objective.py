"""What an objective is: one loss per point, and the constant that turns its mean into a Fisher divergence."""

from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from toylab.densities.density import Density

AnyScore = TypeVar("AnyScore", contravariant=True)


class Objective(Protocol[AnyScore]):
    """``objective(score, x, generator=g)``: one loss per point.

    An ``Objective[Score]`` calls score(x), an ``Objective[NoiseConditionalScore]`` score(x, sigma).
    """

    def __call__(self, score: AnyScore, x: Tensor, /, *, generator: torch.Generator | None = None) -> Tensor:
        """One loss per point, shape [n], for points x [n, 2]."""
        ...


@runtime_checkable
class HasOffset(Protocol):
    """An objective that knows its constant."""

    def offset(self, density: Density) -> float:
        """The constant with mean loss + offset = the Fisher divergence that the objective stands for."""
        ...
