"""The slip of handing over a class, or a function, where what it makes is wanted: ``Sliced`` for ``Sliced()``."""

import inspect


def refuse_class(name: str, value: object) -> None:
    """Raise ``TypeError`` if ``value`` is a class: an instance of it is meant."""
    if isinstance(value, type):
        raise TypeError(f"{name} is the class {value.__name__}: give an instance, {_call(value)}.")


def refuse_function(name: str, value: object) -> None:
    """Raise ``TypeError`` if ``value`` is a function or a class: what it returns is meant."""
    refuse_class(name, value)
    if inspect.isroutine(value):
        raise TypeError(f"{name} is the function {value.__name__}: give what it returns, {_call(value)}.")


def _call(f: object) -> str:
    """How to call ``f``: with the arguments that have no default."""
    try:
        parameters = inspect.signature(f).parameters.values() if callable(f) else ()
    except ValueError:  # some built-in functions have no signature
        parameters = ()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return f"{getattr(f, '__name__', f)}({', '.join(needed)})"
