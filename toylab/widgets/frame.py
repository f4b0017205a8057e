"""The controls that every widget has: lists to choose from, lessons, sliders; and checks of the densities in them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import ipywidgets
import torch

from toylab.densities import Density
from toylab.widgets.family import Family
from toylab.widgets.known import unknown
from toylab.widgets.number_box import LARGEST_SEED


class HasDensity(Protocol):
    """A lesson."""

    @property
    def density(self) -> str:
        """By its name."""
        ...


L = TypeVar("L", bound=HasDensity)
LABEL = {"description_width": "initial"}  # the whole description is shown, however long
CHOOSE = "choose…"


def generator(seed: int) -> torch.Generator:
    """The generator of a seed.

    Raises:
        ValueError: if it is negative or too large.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed is {seed}: give a whole number from 0 to 10^12.")
    return torch.Generator().manual_seed(seed)


def choice(names: Sequence[str], value: str, description: str, width: int) -> ipywidgets.Dropdown:
    """A list to choose one name from, ``width`` pixels wide."""
    return ipywidgets.Dropdown(
        options=list(names), value=value, description=description, style=LABEL, layout={"width": f"{width}px"}
    )


class LessonList(ipywidgets.Dropdown):  # type: ignore[misc]  # ipywidgets has no types
    """A list of lessons by name. It shows the one that is set, and "choose…" where the settings are of none."""

    def __init__(self, lessons: Mapping[str, object]) -> None:
        self._call: Callable[[Any], None] = lambda lesson: None
        # not None, at which ipywidgets would show nothing at all
        options = [(CHOOSE, CHOOSE), *lessons.items()]
        super().__init__(options=options, description="lesson", style=LABEL, layout={"width": "460px"})
        self.observe(self._on_value, "value")

    def on_choice(self, call: Callable[[Any], None]) -> None:
        """Call ``call`` with each lesson that is chosen from the list."""
        self._call = call

    def show(self, settings: object) -> None:
        """Show the lesson that equals these settings."""
        lessons = [lesson for _, lesson in self.options]
        with paused_observers(self._on_value, (self,)):
            self.value = settings if settings in lessons else CHOOSE

    def _on_value(self, change: Mapping[str, object]) -> None:
        if change["new"] != CHOOSE:
            self._call(change["new"])


def level_grid(first: int, last: int) -> list[float]:
    """All numbers of two digits from 10^first to 10^last: 0.01, 0.011, ..., 0.099, 0.1, 0.11, ..."""
    return [float(f"{m}e{k - 1}") for k in range(first, last) for m in range(10, 100)] + [float(f"1e{last}")]


def exact_slider(values: Iterable[float], value: float, description: str, width: int) -> ipywidgets.SelectionSlider:
    """A slider over these numbers and no others: what it shows, to four digits, is what it has.

    A slider with a step would round what it is set to, and report that as a change.
    """
    return ipywidgets.SelectionSlider(
        options=[(f"{v:.4g}", v) for v in sorted({*values, value})], value=value, description=description,
        style=LABEL, layout={"width": f"{width}px"},
    )  # fmt: skip


@contextmanager
def paused_observers(call: Callable[..., None], controls: Sequence[ipywidgets.Widget]) -> Iterator[None]:
    """Inside the block, controls can be set without ``call`` being called for each."""
    for control in controls:
        control.unobserve(call, "value")
    try:
        yield
    finally:
        for control in controls:
            control.observe(call, "value")


Densities = Mapping[str, Density | Family] | Density | Family


def check_densities(densities: Densities) -> dict[str, Density | Family]:
    """The densities and families by name; one alone has the name of its class, or of what makes it.

    Raises:
        ValueError: if there is none, or nothing of one is known, neither clean nor with noise.
        TypeError: if one is neither, or has no name.
    """
    if isinstance(densities, Density):
        densities = {type(densities).__name__: densities}
    if isinstance(densities, type):
        raise TypeError(f"densities is the class {densities.__name__}: call it, {densities.__name__}(...).")
    if isinstance(densities, Family):
        return {getattr(densities.make, "__name__", "family").replace("<lambda>", "family"): densities}
    if not isinstance(densities, Mapping):
        raise TypeError(
            f"densities is a {type(densities).__name__}: give them by name, such as {{'two modes': two_modes()}}."
        )
    if not densities:
        raise ValueError("densities is empty: give at least one, such as {'two modes': two_modes()}.")
    for name, density in densities.items():
        if not isinstance(density, Density | Family):
            raise TypeError(
                f"densities[{name!r}] is a {type(density).__name__}: give a density, such as two_modes(), or a Family."
            )
        if isinstance(density, Density) and (why := unknown(density)):
            raise ValueError(f"densities[{name!r}] cannot be shown: {why}")
    return dict(densities)


def lessons_on(lessons: Mapping[str, L], densities: Mapping[str, Density | Family]) -> dict[str, L]:
    """The lessons, by what they are called, whose density is there; it has no parameters."""
    return {text: lesson for text, lesson in lessons.items() if isinstance(densities.get(lesson.density), Density)}
