"""What a loss is called with, looked at before any work: score, points and generator, and what the score gives.

Only types and shapes are read, never a value, so that nothing waits for a GPU.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import TypeVar

import torch
from torch import Tensor

from toylab._internal import fields, user_functions, validate
from toylab._internal.uncalled import refuse_class, refuse_function
from toylab.densities.density import Density
from toylab.score import EnergyScore

AnyScore = TypeVar("AnyScore", bound=Callable[..., Tensor])


def check_inputs(
    score: AnyScore,
    x: Tensor,
    generator: torch.Generator | None,
    kind: fields.Kind = fields.SCORE,
    name: str = "score",
) -> AnyScore:
    """Return the score, made to say so if what it gives does not have the shape of its points, or raise.

    Raises:
        TypeError: if the score cannot be called, or is one of the library's of another kind, or the generator is none.
        ValueError, TypeError: if x is not made of points.
    """  # fmt: skip
    refuse_class(name, score)
    if not callable(score):
        given = f"points {list(score.shape)}" if isinstance(score, Tensor) else f"a {type(score).__name__}"
        raise TypeError(f"{name} is {given}: a loss is called as objective({name}, x, generator=g). Give a function.")
    fields.refuse_other(name, score, kind, remedy=_remedies(kind))
    validate.points("x", x)
    validate.generator(generator)
    return checked(score, name)


@cache
def _remedies(wanted: fields.Kind) -> dict[str, str]:
    """A network for this objective, or an objective for the network that was given, by its second argument."""
    return {second: f"give {_NETWORKS[wanted]}, or take {objective}" for second, objective in _OBJECTIVES.items()}


_NETWORKS = {
    fields.SCORE: "a ScoreMLP(), or a score at one level, as toylab.score.at(p.score, sigma)",
    fields.LEVEL_SCORE: "a NoiseConditionalMLP()",
    fields.VELOCITY: "a VelocityMLP()",
}
_OBJECTIVES = {
    "x": "an objective at one noise level, such as Denoising(sigma)",
    "sigma": "an objective over noise levels, such as NoiseConditional(sigmas)",
    "t": "FlowMatching(path)",
}


def check_energy(score: EnergyScore, x: Tensor, generator: torch.Generator | None) -> Callable[[Tensor], Tensor]:
    """Return the energy E of the score, made to say so if it is not one number per point, or raise.

    Raises:
        TypeError: if the score has no energy, or the generator is none.
        ValueError, TypeError: if x is not made of points.
    """
    check_inputs(score, x, generator)
    if not callable(getattr(score, "energy", None)):
        raise TypeError(
            f"score is a {type(score).__name__}, which has no method energy: this loss is one of E(x), whose gradient "
            "is -score(x). Give an EnergyMLP(), or a module of your own with energy(x) [n] for points [n, 2]."
        )
    return partial(user_functions.call_log_prob, "score.energy", score.energy)


def checked(score: AnyScore, name: str = "score") -> AnyScore:
    """The same function, which raises unless it gives one vector per point; one with tangents of its own as it is."""
    if hasattr(score, "with_tangents"):  # a network of ours, or one that knows its derivatives
        return score

    def evaluate(x: Tensor, /, *level: Tensor | float) -> Tensor:
        return vectors(user_functions.called(name, score, x, *level), x, name, name.replace("_", " "))

    return evaluate  # type: ignore[return-value]  # called just like the score


def vectors(found: object, x: Tensor, name: str, output: str = "score") -> Tensor:
    """Return what ``name`` gave at x [..., 2], or raise unless it is one vector per point."""
    if not isinstance(found, Tensor):
        raise TypeError(
            f"{name} gives a {type(found).__name__} for points {list(x.shape)}: it must give a tensor of their shape. "
            "Of several results return the field alone."
        )
    if found.shape != x.shape:
        raise ValueError(
            f"{name} gives {list(found.shape)} for points {list(x.shape)}: a {output} has the shape of its points. "
            "Give the last layer 2 outputs, and keep the coordinates apart (no sum, no mean)."
        )
    return found


def require_density(density: Density) -> Density:
    """Return ``density``, or raise ``TypeError`` unless it is one: an offset is a mean under it."""
    refuse_function("density", density)
    if not isinstance(density, Density):
        raise TypeError(
            f"density is a {type(density).__name__}: an offset is a mean under a density that is known. Give one, such "
            "as densities.two_modes(); for points alone there is Points(x), at a noise level above 0."
        )
    return density
