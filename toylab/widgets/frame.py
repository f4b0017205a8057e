"""The controls that every widget has: lists to choose from, lessons, a seed; and checks of the densities in them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import ipywidgets
import torch

from toylab.densities import Density, GaussianMixture

LARGEST_SEED = 10**12
LABEL = {"description_width": "initial"}  # the whole description is shown, however long


Lesson = TypeVar("Lesson")


def seed_box(seed: int = 0) -> ipywidgets.IntText:
    """A box for the seed."""
    return ipywidgets.IntText(
        seed, description="seed", layout={"width": "130px"}, style=LABEL, continuous_update=False,
        tooltip="the same seed gives the same numbers",
    )  # fmt: skip


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


def lesson_list(lessons: Mapping[str, object]) -> ipywidgets.Dropdown:
    """A list of lessons by name; its value is None until one is chosen, and ``index = 0`` makes it so again."""
    return ipywidgets.Dropdown(
        options=[("choose…", None), *lessons.items()], index=0, description="lesson", style=LABEL,
        layout={"width": "460px"},
    )  # fmt: skip


def on_choice(lessons: ipywidgets.Dropdown, call: Callable[[Lesson], None]) -> None:
    """Call ``call`` with each lesson that is chosen from the list."""
    lessons.observe(lambda change: None if change["new"] is None else call(change["new"]), "value")


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


def check_densities(densities: Mapping[str, Density]) -> dict[str, Density]:
    """The densities.

    Raises:
        ValueError: if there is none.
        TypeError: if one is not a density, or has no name.
    """
    if not isinstance(densities, Mapping):
        raise TypeError(
            f"densities is a {type(densities).__name__}: give them by name, such as {{'two modes': two_modes()}}."
        )
    if not densities:
        raise ValueError("densities is empty: give at least one, such as {'two modes': two_modes()}.")
    for name, density in densities.items():
        if not isinstance(density, Density):
            raise TypeError(f"densities[{name!r}] is a {type(density).__name__}: give a density, such as two_modes().")
    return dict(densities)


def check_mixtures(densities: Mapping[str, Density]) -> dict[str, GaussianMixture]:
    """The densities, each a Gaussian mixture, whose modes can be counted.

    Raises:
        ValueError: if there is none.
        TypeError: if one is not a Gaussian mixture.
    """
    mixtures = {}
    for name, density in check_densities(densities).items():
        if not isinstance(density, GaussianMixture):
            raise TypeError(
                f"densities[{name!r}] is a {type(density).__name__}: its modes are counted, so give a GaussianMixture."
            )
        mixtures[name] = density
    return mixtures
