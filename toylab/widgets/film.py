"""A film of a widget: one control is moved, and each picture is kept."""

from collections.abc import Iterable, Iterator

import ipywidgets
import traitlets

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.threads import one_thread
from toylab.widgets.animate import Animation, animate, draw_frame, in_few_colours
from toylab.widgets.diffusion_picture import DiffusionPicture
from toylab.widgets.diffusion_states import Film
from toylab.widgets.messages import Message
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
        values: what it is set to, one per frame. For "play" they are 0, 1, ...: each advances the widget as playing
            does.
        interval: milliseconds from frame to frame.

    Raises:
        ValueError: if there is no such control, or it refuses a value.

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
            moved.value = value
        except traitlets.TraitError as error:
            raise ValueError(f"{control!r} cannot be set to {short(value)}: {error}") from None
        said = next((part.value for part in parts if isinstance(part, Message) and part.value), "")
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
    train = _named("train", list(_parts(widget)))
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
    """The control whose description begins so; those of another family's parameters are not seen."""
    named = {
        "play" if isinstance(part, ipywidgets.Play) else part.description: part
        for part in parts
        if (getattr(part, "description", "") or isinstance(part, ipywidgets.Play)) and part.layout.display != "none"
    }
    found = [description for description in named if name and description.startswith(name)]
    if not isinstance(name, str) or not found:
        raise ValueError(f"control is {name!r}: give the beginning of one of {sorted(named)}.")
    return named[found[0]]
