"""What a user's functions give at points, checked: a score where it lives, and any function of points."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import user_functions, validate
from toylab._internal.warn import warn
from toylab.densities.density import Density
from toylab.score import LogProb, NoiseConditionalScore, Score


@dataclass(frozen=True, eq=False)
class Checked:
    """A score, with or without noise levels, whose results are checked by shape and dtype; called as it is called."""

    score: Score | NoiseConditionalScore

    def __call__(self, x: Tensor, /, *rest: Tensor | float) -> Tensor:
        return call_score(self.score, x, *rest)

    def with_tangents(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor] | None:
        """The score's own derivatives, if it has them."""
        own: Callable[[Tensor, Tensor], tuple[Tensor, Tensor] | None] | None
        own = getattr(self.score, "with_tangents", None)
        return None if own is None else user_functions.called("score", own, x, v)  # type: ignore[return-value]


def callable_with(name: str, f: object, *arguments: str) -> None:
    """Raise ``TypeError`` unless f is a function that can be called with so many arguments."""
    call = ", ".join(arguments)
    called = validate.function(name, f, f"lambda {call}: ...")
    try:
        inspect.signature(called).bind(*arguments)
    except TypeError:
        raise TypeError(f"{name} cannot be called as {name}({call}): give a function of {call}.") from None
    except ValueError:  # of a function written in C: it is found out at the first call
        return


def evaluate(score: Score, density: Density, x: Tensor) -> Tensor:
    """A score evaluated in the density's dtype and on its device, where networks live, and returned like ``x``."""
    return call_score(score, x.to(dtype=density.dtype, device=density.device)).to(x)


def call_score(score: Score | NoiseConditionalScore, x: Tensor, *rest: Tensor | float) -> Tensor:
    """score(x, *rest), checked; in the dtype of x, whether it is computed in single or in double precision."""
    return user_functions.scores_of("score", _single_or_double(user_functions.called("score", score, x, *rest), x), x)


def call_log_prob(log_prob: LogProb, x: Tensor) -> Tensor:
    """log_prob(x), checked, likewise."""
    return user_functions.log_probs_of(
        "log_prob", _single_or_double(user_functions.called("log_prob", log_prob, x), x), x
    )


def _single_or_double(values: object, x: Tensor) -> object:
    if isinstance(values, Tensor) and values.dtype in (torch.float32, torch.float64):
        return values.to(x.dtype)
    return values


def numbers(name: str, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x), or raise unless it is one finite number per point."""
    values = f(x)
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} gives a {type(values).__name__}: it must give a tensor, one number per point.")
    if values.shape != x.shape[:-1]:
        raise ValueError(
            f"{name} gives shape {list(values.shape)} for points of shape {list(x.shape)}: it must give one number per "
            f"point, shape {list(x.shape[:-1])}, as lambda x: x.square().sum(-1) does."
        )
    return finite(name, values, x)


def finite(name: str, values: Tensor, x: Tensor) -> Tensor:
    """Return ``values``, one number or one vector per point of x, or raise if any is nan or inf."""
    fine = _fine(values, x)
    if not bool(fine.all()):
        where = [f"{float(entry):.4g}" for entry in x[~fine][0]]
        raise ValueError(
            f"{name} is nan or inf at {int((~fine).sum())} of {fine.numel()} points, the first ({', '.join(where)}): "
            "a mean over them would be nothing. Mend it there, or leave these points out."
        )
    return values


def warn_of_nan(name: str, values: Tensor, x: Tensor) -> Tensor:
    """Return ``values``, numbers, vectors or matrices per point of x, and warn of those that are nan or inf."""
    fine = _fine(values, x)
    if not bool(fine.all()):
        warn(
            f"{name} is nan or inf at {int((~fine).sum())} of {fine.numel()} points: there the score, or its "
            "derivative, is not finite."
        )
    return values


def _fine(values: Tensor, x: Tensor) -> Tensor:
    """Which points of x have finite values, shape [...]."""
    return values.isfinite()[..., *(None,) * (values.ndim < x.ndim)].flatten(x.ndim - 1).all(-1)
