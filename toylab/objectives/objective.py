"""What an objective is: one loss per point, and the constant that turns its mean into a Fisher divergence."""

import inspect
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
        """The constant with mean loss + offset = the divergence that the objective stands for, Fisher's mostly."""
        ...


NO_GENERATOR = (
    "takes no argument named generator, from which all of its random numbers must come. "
    "Write def loss(score, x, *, generator=None)."
)


def takes_generator(objective: object) -> bool:
    """Whether ``objective`` can be called as objective(score, x, generator=g), as far as its signature tells."""
    try:
        inspect.signature(objective).bind(None, None, generator=None)  # type: ignore[arg-type]  # it is callable
    except TypeError:
        return False
    except ValueError:  # written in C: it is found out at the first call
        return True
    return True
