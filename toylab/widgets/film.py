"""A film of a widget: one control is moved, and each picture is kept."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import ipywidgets
import numpy as np

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.threads import one_thread
from toylab.widgets.animate import Animation, animate, draw_frame, in_few_colours
from toylab.widgets.diffusion_picture import DiffusionPicture
from toylab.widgets.diffusion_states import Film
from toylab.widgets.messages import Message, Note
from toylab.widgets.number_box import NumberBox
from toylab.widgets.stage import Stage
from toylab.widgets.training_theatre import TrainingTheatre


@one_thread()
def film(
    widget: ipywidgets.Box | Film, control: str = "", values: Iterable[object] = (), *, interval: int = 120
) -> Animation:
    """Move one control of a widget through values, and keep each picture: ``.save("film.gif")`` or ``"film.html"``.

    The other controls stay as they are. A film from ``record_film`` is moved through its times, and a theatre trains,
    with a frame for each picture that it shows; both need no control.

    Args:
        widget: such as ``score_explorer()``, or a film from ``record_film``.
        control: how its description begins, as it is read beside it, such as "noise"; or "play".
        values: what it is set to, one per frame: of a list a name that is in it, of a box to tick True or False, else
            a number; a slider takes those on it alone. For "play" they are 0, 1, ...: each advances the widget as
            playing does.
        interval: milliseconds from frame to frame.

    Raises:
        ValueError: if there is no such control, or it does not take a value; the nearest that it takes are named.

    Example, a noise that grows, chains that move, and a training:

        film(score_explorer(), "noise", [0.1, 0.2, 0.5, 1.0, 2.0]).save("noise.gif")
        film(langevin_playground(), "play", range(40)).save("chains.html")
        film(training_theatre()).save("training.gif")
    """
    interval = validate.count("interval", interval)
    if isinstance(widget, Film):
        picture = DiffusionPicture(widget)
        return animate(picture.figure, picture.show_frame, len(widget.times), interval=interval)
    parts = list(_parts(widget)) if isinstance(widget, ipywidgets.Box) else []
    stages = [part for part in parts if isinstance(part, Stage)]
    if not stages:
        raise TypeError(f"widget is a {type(widget).__name__}: give one of toylab.widgets, such as score_explorer().")
    stage = stages[0]
    if isinstance(widget, TrainingTheatre):
        return _of_training(widget, stage, interval)
    moved = _named(control, parts)
    values = list(values)
    if not values:
        raise ValueError("values is empty: give what the control is set to, one per frame, such as [0.1, 0.5, 1.0].")
    drawn, words = [], []
    for value in values:
        try:
            _set(moved, value)
        except ValueError as error:
            raise ValueError(f"{control!r} cannot be set to {short(value)}: {error}.") from None
        said = next((m.value for m in parts if isinstance(m, Message) and not isinstance(m, Note) and m.value), "")
        if said:
            raise ValueError(f"with {control!r} at {short(value)} the widget says: {said}")
        drawn.append(draw_frame(stage.figure))
        words.append(stage.alt)
    return in_few_colours(drawn, interval, words)


def _of_training(widget: TrainingTheatre, stage: Stage, interval: int) -> Animation:
    """The pictures of one training, with the settings now chosen."""
    drawn, words = [draw_frame(stage.figure)], [stage.alt]

    def keep(_: object) -> None:  # called in the thread of the training, while it takes its turn
        drawn.append(draw_frame(stage.figure))
        words.append(stage.alt)

    before = widget.training
    (train,) = (part for part in _parts(widget) if getattr(part, "description", "") == "train")
    stage.observe(keep, "png")
    try:
        train.click()
        if widget.training is before or widget.training is None:
            raise ValueError("the training did not begin: stop the one that is running, and film again.")
        widget.training.join()
    finally:
        stage.unobserve(keep, "png")
    return in_few_colours(drawn, interval, words)


def _parts(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """A widget and all in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _parts(child)


def _named(name: str, parts: list[ipywidgets.Widget]) -> ipywidgets.Widget:
    """The first control whose description begins so; not a button, and no slider of a family that is not chosen."""
    named: dict[str, ipywidgets.Widget] = {}
    for part in parts:
        description = "play" if isinstance(part, ipywidgets.Play) else getattr(part, "description", "")
        if description and part.has_trait("value") and part.layout.display != "none":
            named.setdefault(description, part)
    found = [description for description in named if name and description.startswith(name)]
    if not isinstance(name, str) or not found:
        raise ValueError(f"control is {name!r}: give the beginning of one of {sorted(named)}.")
    return named[found[0]]


def _set(control: ipywidgets.Widget, value: object) -> None:
    """Set a control to exactly this value; up to the rounding of single precision, as 0.1 + 0.2 is 0.3.

    Raises:
        ValueError: if it does not take that, with what it takes.
    """
    if isinstance(control, NumberBox):
        control.value = float(value) if validate.is_number(value) else math.nan  # type: ignore[arg-type]
    elif isinstance(control, ipywidgets.Dropdown | ipywidgets.SelectionSlider):
        names = {option[0] if isinstance(option, tuple) else option: k for k, option in enumerate(control.options)}
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
        if isinstance(value, str) and value in names:
            control.index = names[value]
        elif validate.is_number(values[0]):
            control.value = _nearest(value, values)
        else:
            control.value = _one_of(value, values, list(names))
    elif isinstance(control, ipywidgets.IntSlider | ipywidgets.Play):  # they would cut off what is outside
        control.value = _nearest(value, range(control.min, control.max + 1))
    else:
        control.value = bool(_one_of(value, [True, False, np.True_, np.False_], [True, False]))


def _nearest(value: object, taken: Sequence[float]) -> float:
    """The one of the rising values that this is."""
    ends = f"{taken[0]} to {taken[-1]}" if len(taken) > 1 else f"{taken[0]} alone"
    if not validate.is_number(value) or math.isnan(number := float(value)):  # type: ignore[arg-type]
        raise ValueError(f"give a number, {ends}")
    k = bisect_left(taken, number)
    near = taken[max(0, k - 1) : k + 1]
    for one in near:
        if math.isclose(one, number, rel_tol=1e-6):
            return one
    are = "is" if len(near) == 1 else "are"
    raise ValueError(f"give one of its values, {ends}; nearest {are} {' and '.join(map(str, near))}")


def _one_of(value: object, taken: Sequence[object], names: Sequence[object]) -> object:
    """The one of the values that this is."""
    for one in taken:
        if type(one) is type(value) and one == value:
            return one
    raise ValueError(f"give one of {names}")
