"""What a field is a function of: a score of points alone or of points and a noise level, a velocity of a time.

s(x, sigma) and v(x, t) are called alike, and where noise levels lie in [0, 1], as times do, one would be taken for the
other in silence. A field of this library is known by the name of its second argument: ``sigma``, ``t`` or ``batch``. A
function of the user's may call its arguments what it likes.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Remedy = str | Mapping[str, str] | None

_SECOND = {"sigma": "a noise level sigma", "t": "a time t", "batch": "a batch of data"}


@dataclass(frozen=True)
class Kind:
    """What is wanted: a function of these arguments, what it is in words, an example, and what to give."""

    arguments: tuple[str, ...]
    what: str
    example: str
    such_as: str = ""  # if it is more than the example


SCORE = Kind(("x",), "a score of x alone", "p.score", "a trained ScoreMLP")
LEVEL_SCORE = Kind(
    ("x", "sigma"), "a score of every noise level", "p.score", "p.score or a trained NoiseConditionalMLP"
)
_FLOW = "lambda x, t: path.velocity(p, x, t)"
VELOCITY = Kind(("x", "t"), "a velocity", _FLOW, f"a trained VelocityMLP() or {_FLOW}")
BATCH_SCORE = Kind(("x", "batch"), "a score from a batch of the data", "kernel_score(0.3)")


def refuse_other(name: str, value: object, *wanted: Kind, remedy: Remedy = None) -> None:
    """Raise ``TypeError`` if ``value`` is a field of the library's, and of none of the kinds that are wanted.

    Args:
        name: what messages call it.
        value: anything.
        wanted: the kinds that will do; the message is about the first.
        remedy: what to do, for all or by the name of the second argument that it has, "x" if it has none.
    """
    found = _arguments(value)
    if found is None or any(_will_do(found, kind) for kind in wanted):
        return
    second = found[1][0] if len(found) > 1 else "x"
    raise TypeError(
        refusal(name, value, wanted[0], second, remedy.get(second) if isinstance(remedy, Mapping) else remedy)
    )


def refusal(name: str, value: object, wanted: Kind, second: str = "", remedy: str | None = None) -> str:
    """The sentence that says that a function cannot stand here.

    Args:
        name: of the argument.
        value: the function.
        wanted: what is wanted.
        second: the name of the second argument that it has, if it is known.
        remedy: what to do.
    """
    if second in _SECOND and second not in wanted.arguments and (len(wanted.arguments) > 1 or second != "sigma"):
        no = f" and not {_SECOND[wanted.arguments[1]]}" if len(wanted.arguments) > 1 else ""
        why = f"whose second argument is {_SECOND[second]}{no}"
    else:
        why = f"which cannot be called as {name}({', '.join(wanted.arguments)})"
        if wanted is SCORE:
            remedy = remedy or f"fix its noise level by toylab.score.at({name}, sigma), or give {_give(SCORE)}"
    return f"{name} is {_described(value)}, {why}: {remedy or f'give {_give(wanted)}'}."


def _give(wanted: Kind) -> str:
    return f"{wanted.what}, such as {wanted.such_as or wanted.example}"


def _will_do(found: tuple[tuple[str, bool], ...], wanted: Kind) -> bool:
    """Whether a function of these arguments can be called as wanted, and means the same by the second."""
    n = len(wanted.arguments)
    if len(found) < n or any(required for _, required in found[n:]):
        return False
    return n == 1 or found[1][0] == wanted.arguments[1] or found[1][0] not in _SECOND


def _arguments(field: object) -> tuple[tuple[str, bool], ...] | None:
    """The arguments of a field of the library's by name, and whether it needs them; None of any other."""
    if isinstance(field, functools.partial):
        inner = _arguments(field.func)
        return inner and tuple(pair for pair in inner[len(field.args) :] if pair[0] not in field.keywords)
    if _is_ours(type(field)) and hasattr(field, "__wrapped__"):  # it stands for what it wraps
        return _arguments(field.__wrapped__)
    method = field if inspect.isroutine(field) else getattr(field, "__call__", None)  # noqa: B004
    function, owner = getattr(method, "__func__", method), getattr(method, "__self__", field)
    if not inspect.isfunction(function) or not (_is_ours(function) or _overrides_ours(function.__name__, owner)):
        return None
    return _of_function(function, function is not field)


def _is_ours(value: object) -> bool:
    return str(getattr(value, "__module__", "")).startswith("toylab.")


def _overrides_ours(name: str, owner: object) -> bool:
    """Whether a class of the library's, from which that of the owner is made, has a method of that name."""
    return any(_is_ours(base) and name in vars(base) for base in type(owner).__mro__)


@functools.lru_cache(256)
def _of_function(function: Callable[..., Any], bound: bool) -> tuple[tuple[str, bool], ...] | None:
    parameters = list(inspect.signature(function).parameters.values())[bound:]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple((p.name, p.default is p.empty) for p in positional)


def _described(value: object) -> str:
    """A method by its name, and anything else by that of its class, if it is public."""
    if isinstance(value, functools.partial):
        return f"a partial of {_described(value.func).removeprefix('a ')}"
    if _is_ours(type(value)) and hasattr(value, "__wrapped__"):
        value = value.__wrapped__
    owner = getattr(value, "__self__", None)
    if inspect.isroutine(value) and owner is not None and not inspect.ismodule(owner):
        return f"{type(owner).__name__}.{value.__name__}"
    return f"a {type(value).__name__}" if not type(value).__name__.startswith("_") else "a function"
