"""What a step is handed, checked by the names that arguments have in every sampler.

A step of a sampler is public: a loop of one's own may call it. Its body is the paper's equation and no more; what it
is called with is looked at here, types and shapes alone, never the values of points.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

from toylab._internal import fields, user_functions, validate
from toylab.densities.density import Density
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.samplers.accept_reject import State
from toylab.samplers.loop import CountingScore
from toylab.score import NoiseConditionalScore, Score
from toylab.sde.process import require_sde

P = ParamSpec("P")
R = TypeVar("R")


def check_arguments(step: Callable[P, R]) -> Callable[P, R]:
    """The same step, which raises ``ValueError`` or ``TypeError`` for an argument that does not belong."""
    parameters = inspect.signature(step).parameters
    names = tuple(parameters)
    kinds = {name: _KINDS[p.annotation] for name, p in parameters.items() if p.annotation in _KINDS}
    kinds |= {"v": fields.VELOCITY} if "v" in parameters else {}

    @functools.wraps(step)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        given: dict[str, Any] = dict(zip(names, args, strict=False))
        if len(args) > len(names) or not given.keys().isdisjoint(kwargs):
            return step(*args, **kwargs)  # Python says what is wrong
        given |= kwargs
        for name, value in given.items():
            if name in kinds:
                given[name] = _field(name, value, kinds[name])
            elif name in _CHECKS:
                given[name] = _CHECKS[name](name, value)
        for name in ("t", "u"):
            if name in given and isinstance(given.get("x"), Tensor):
                validate.times_of(given[name], given["x"])
        if isinstance(factor := given.get("factor"), Tensor) and "here" in given:
            given["factor"] = factor.to(given["here"].x)
        if isinstance(step_size := given.get("step_size"), Tensor) and step_size.ndim > 0:
            _one_per_chain(step_size, given["here"].x if "here" in given else given["x"])
        return step(**given)  # type: ignore[call-arg]  # the arguments of P, by their names

    return checked


def _field(name: str, value: Any, kind: fields.Kind) -> Any:  # noqa: ANN401
    """A field, which says so if what it gives is no field; those of the library are known to be right."""
    if isinstance(value, CountingScore):  # the sampler that counts has looked at it once
        return value
    validate.field(name, value, kind)
    return value if _is_known(value) else functools.partial(user_functions.call_score, name, value)


def _log_prob(name: str, value: Any) -> Any:  # noqa: ANN401
    validate.function(name, value, "p.log_prob")
    return value if _is_known(value) else functools.partial(user_functions.call_log_prob, name, value)


def _is_known(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, functools.partial):  # as made here, by a step that calls another one
        return value.func in (user_functions.call_score, user_functions.call_log_prob)
    known = (CountingScore, ScoreMLP, EnergyMLP, NoiseConditionalMLP)
    return isinstance(value, known) or isinstance(getattr(value, "__self__", None), Density)


def _step_size(name: str, value: Any) -> Any:  # noqa: ANN401
    return validate.floating(name, value) if isinstance(value, Tensor) else validate.positive(name, value)


def _one_per_chain(step_size: Tensor, x: Tensor) -> None:
    if step_size.shape not in {x.shape[:-1], (*x.shape[:-1], 1)}:
        raise ValueError(
            f"step_size has shape {list(step_size.shape)} for points {list(x.shape)}: give one number, or one per "
            f"chain, {list(x.shape[:-1])}."
        )


def _matrix(name: str, value: Any) -> Any:  # noqa: ANN401
    if value is not None and _tensor(name, value).shape != (2, 2):
        raise ValueError(f"{name} has shape {list(value.shape)}: give a matrix [2, 2], or None.")
    return value


def _state(name: str, value: Any) -> State:  # noqa: ANN401
    if not isinstance(value, State):
        raise TypeError(f"{name} is a {type(value).__name__}: give a State, as mala_init(log_prob, score, x) makes.")
    return value


def _tensor(name: str, value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}: give a tensor of floating-point numbers.")
    return validate.floating(name, value)


_KINDS = {Score: fields.SCORE, NoiseConditionalScore: fields.LEVEL_SCORE}
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "x": validate.points,
    "sde": lambda _, value: require_sde(value),
    "log_prob": _log_prob,
    "t": lambda _, value: validate.time(value),
    "u": lambda _, value: validate.time(value),
    "step_size": _step_size,
    "temperature": lambda _, value: validate.temperature(value),
    "n_leapfrog": validate.count,
    "snr": validate.positive,
    "here": _state,
    "factor": _matrix,
    "log_p": _tensor,
    "beta": _tensor,
    "first": lambda name, value: validate.count(name, value, least=0),
    "generator": lambda _, value: validate.generator(value),
}
