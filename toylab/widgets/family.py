"""A family of densities: one for each value of its parameters, which the sliders of a widget move."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from toylab._internal import validate
from toylab._internal.display import short
from toylab.densities import Density

_FEWEST = 60  # values of a range; there are at most 2.5 times as many


@dataclass(frozen=True, eq=False, init=False)
class Family:
    """Densities with parameters: a widget that is given one has a slider for each parameter.

    A slider begins at the default of ``make``'s own parameter where its range has that, otherwise in the middle.

    Args:
        make: gives the density; called with each parameter by its name.
        ranges: of each parameter, by its name: (low, high), both included, in round steps, which are whole (int) where
            both ends are; or a list of the values themselves.

    Attributes:
        make: as above.
        values: by parameter, what its slider can be set to, rising.
        start: by parameter, where it begins.

    Raises:
        ValueError: if a range is empty or not finite; if ``make`` fails at the start.
        TypeError: if a range is no pair and no list of numbers; if ``make`` cannot be called with these parameters, or
            gives no density.

    Example, rings whose radius and number of modes can be moved:

        from toylab.densities import ring
        from toylab.widgets import Family, score_explorer

        score_explorer(Family(ring, radius=(0.5, 6.0), n_modes=[2, 4, 8]))
    """

    make: Callable[..., Density]
    values: Mapping[str, tuple[float, ...]]
    start: Mapping[str, float]

    def __init__(self, make: Callable[..., Density], /, **ranges: tuple[float, float] | Sequence[float]) -> None:
        if not callable(make):
            raise TypeError(f"make is a {type(make).__name__}: give what makes a density, such as ring.")
        if not ranges:
            raise ValueError(
                "Family has no parameters: give their ranges, such as radius=(0.5, 6.0); a density without parameters "
                "is given as it is."
            )
        values = {name: _values(name, given) for name, given in ranges.items()}
        defaults, start = _defaults(make, values), {}
        for name, ranged in values.items():
            default = defaults.get(name, math.nan)
            if isinstance(ranges[name], tuple) and ranged[0] < default < ranged[-1]:
                values[name] = tuple(sorted({*ranged, default}))
            start[name] = default if default in values[name] else ranged[len(ranged) // 2]
        for field, value in (("make", make), ("values", values), ("start", start)):
            object.__setattr__(self, field, value)
        self(**start)

    def __call__(self, **parameters: float) -> Density:
        """The density of these parameters.

        Raises:
            ValueError: if ``make`` fails there, with what it says.
            TypeError: if it gives no density.
        """
        there = ", ".join(f"{name} = {value:.6g}" for name, value in parameters.items())
        try:
            density = self.make(**parameters)
        except Exception as error:
            raise ValueError(f"{there}: {error or type(error).__name__}") from error
        if not isinstance(density, Density):
            raise TypeError(f"{there}: make gives a {type(density).__name__}. It must give a density, such as ring().")
        return density


def _values(name: str, given: tuple[float, float] | Sequence[float]) -> tuple[float, ...]:
    """The values of a range, rising."""
    if isinstance(given, str) or not hasattr(given, "__iter__") or (isinstance(given, tuple) and len(given) != 2):
        raise TypeError(f"{name} is {short(given)}: give (low, high), such as (0.5, 6.0), or a list of values.")
    numbers = [_number(name, value) for value in given]
    if not isinstance(given, tuple):
        if not numbers:
            raise ValueError(f"{name} is empty: give its values, such as [2, 4, 8], or (low, high).")
        return tuple(sorted(set(numbers)))
    low, high = numbers
    if not low < high:
        raise ValueError(f"{name} is ({low:g}, {high:g}): give (low, high) with low < high.")
    whole = isinstance(low, int) and isinstance(high, int)
    m, e = _round_step((high - low) / _FEWEST)
    if whole and e < 0:
        m, e = 1, 0
    step = m * 10.0**e
    between = (float(f"{k * m}e{e}") for k in range(math.floor(low / step), math.ceil(high / step) + 1))
    inner = (value for value in between if low < value < high)
    return (low, *(map(int, inner) if whole else inner), high)


def _number(name: str, value: object) -> float:
    """An int as it is, and any other number as a float."""
    n = validate.whole(value) if not isinstance(value, float) else None
    return n if n is not None else validate.finite(name, value)  # type: ignore[arg-type]


def _round_step(most: float) -> tuple[int, int]:
    """(m, e) of the largest m 10^e up to ``most``, m = 1, 2 or 5."""
    e = math.floor(math.log10(most))
    m = next(m for m in (5, 2, 1) if m * 10.0**e <= most or m == 1)
    return m, e


def _defaults(make: Callable[..., Density], parameters: Mapping[str, object]) -> dict[str, float]:
    """Those of ``make``'s own parameters that are numbers.

    Raises:
        TypeError: if it cannot be called with these parameters by name.
    """
    try:
        signature = inspect.signature(make)
    except ValueError:  # of a function written in C it is not known
        return {}
    try:
        signature.bind(**parameters)
    except TypeError as error:
        raise TypeError(
            f"make cannot be called with {', '.join(parameters)}: {error}. Give a range to each parameter of make that "
            "has no default, by its name."
        ) from None
    found = {name: signature.parameters[name].default for name in parameters if name in signature.parameters}
    return {name: default for name, default in found.items() if validate.is_number(default)}
