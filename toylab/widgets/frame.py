"""What every widget has round its picture: a seed, a line for messages, and an end when its cell is run again."""

import html
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import ipywidgets
import torch

from toylab.densities import Density, GaussianMixture

LARGEST_SEED = 10**12
_LABEL = {"description_width": "initial"}
taking_turns = threading.RLock()
_live: dict[tuple[str, str], tuple[int, list[ipywidgets.Widget]]] = {}  # by kind and cell: the run, what it made


def seed_box(seed: int = 0) -> ipywidgets.IntText:
    """A box for the seed."""
    return ipywidgets.IntText(
        seed, description="seed", layout={"width": "130px"}, style=_LABEL, continuous_update=False,
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


def lesson_list(lessons: Mapping[str, object]) -> ipywidgets.Dropdown:
    """A list of lessons by name; its value is None until one is chosen, and ``index = 0`` makes it so again."""
    return ipywidgets.Dropdown(
        options=[("choose…", None), *lessons.items()], index=0, description="lesson", style=_LABEL,
        layout={"width": "460px"},
    )  # fmt: skip


@contextmanager
def paused_observers(call: Callable, controls: Sequence[ipywidgets.Widget]) -> Iterator[None]:
    """Inside the block several controls are set without ``call`` being called for each."""
    for control in controls:
        control.unobserve(call, "value")
    try:
        yield
    finally:
        for control in controls:
            control.observe(call, "value")


def mixtures(laws: Mapping[str, Density]) -> dict[str, GaussianMixture]:
    """The laws, or raise unless there is one and each is a mixture, whose modes can be counted."""
    if not laws:
        raise ValueError("laws is empty: give at least one, such as {'two modes': two_modes()}.")
    for name, density in laws.items():
        if not isinstance(density, GaussianMixture):
            raise TypeError(f"laws[{name!r}] is a {type(density).__name__}: its modes are counted, so give a mixture.")
    return dict(laws)


def message_line() -> ipywidgets.HTML:
    """An empty line for messages, read out by screen readers when it changes."""
    return ipywidgets.HTML(layout={"min_height": "28px"})


@contextmanager
def show_errors(line: ipywidgets.HTML) -> Iterator[None]:
    """Errors of a bad value and warnings inside the block become text in the line; nothing else is lost by them.

    One block at a time: JupyterLab may call the handlers of different controls in threads of their own, and neither a
    picture nor Python's warnings bear two at once.
    """
    with taking_turns, show_errors_beside(line):
        yield


@contextmanager
def show_errors_beside(line: ipywidgets.HTML) -> Iterator[None]:
    """The same for long work in its own thread, beside which others have their turns; one such work at a time.

    Whatever is drawn inside must be drawn ``with taking_turns``.
    """
    recording = warnings.catch_warnings(record=True)
    with taking_turns:  # so that this recording holds those of the others, or is held by one, and never crosses it
        caught = recording.__enter__()
        warnings.simplefilter("always")
    said: list[str] = []
    try:
        yield
    except (ValueError, TypeError, FloatingPointError, RuntimeError) as error:  # the last: torch's own
        said = [str(error)]
    finally:
        with taking_turns:
            recording.__exit__(None, None, None)
            said += [str(warning.message) for warning in caught if issubclass(warning.category, RuntimeWarning)]
    line.value = as_message(" ".join(said[:1]))


def as_message(text: str) -> str:
    """The text as a message: in bold, and after a sign, so that colour is not all that tells."""
    return f'<b role="status" style="color:#661144">&#9888; {html.escape(text)}</b>' if text else ""


def replace_previous(kind: str, box: ipywidgets.Widget) -> ipywidgets.Widget:
    """The box, once those that the same cell made in an earlier run are closed, so that their figures can go."""
    cell, run = _cell()
    if cell is not None:
        last, made = _live.get((kind, cell), (run, []))
        if last != run:
            for old in made:
                close(old)
            made = []
        _live[kind, cell] = (run, [*made, box])
    return box


def close(box: ipywidgets.Widget) -> None:
    """Close a widget and all that is in it, and let go of it: a notebook's history of outputs keeps the box itself."""
    for child in getattr(box, "children", ()):
        close(child)
    box.close()
    if hasattr(box, "children"):
        box.children = ()


def _cell() -> tuple[str | None, int]:
    """Which cell is running, and in which run; None where that is not known."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "get_parent"):
        return None, 0
    return shell.get_parent().get("metadata", {}).get("cellId"), shell.execution_count
