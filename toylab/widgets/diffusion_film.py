"""One slider through time: the density of x_t, its score and its flow under several scores, side by side."""

from collections.abc import Callable, Mapping

import ipywidgets
import torch

from toylab._internal import validate
from toylab._internal.threads import one_thread
from toylab.widgets.diffusion_picture import DiffusionPicture
from toylab.widgets.diffusion_states import Film
from toylab.widgets.frame import LABEL, choice, generator, paused_observers
from toylab.widgets.layout import arrange, row
from toylab.widgets.messages import message_line, show_errors
from toylab.widgets.number_box import seed_box
from toylab.widgets.rerun import close, replace_previous
from toylab.widgets.stage import Stage
from toylab.widgets.subshell import answer_beside_cells

MakeFilm = Callable[[torch.Generator], Film]


@one_thread()
def diffusion_film(film: Film | Mapping[str, MakeFilm]) -> ipywidgets.VBox:
    """A slider and a play button over a film; several films have a list to choose from, and a box for the seed.

    By keyboard: Tab to the slider, then the arrow keys.

    Args:
        film: from ``record_film``; or films by name, each a function of the generator that makes it, such as
            ``lambda g: record_film(VP(), {"exact": (p.score, p)}, generator=g)``. They are made when chosen.
    """
    if not isinstance(film, Film | Mapping):
        raise TypeError(
            f"film is a {type(film).__name__}: give one from record_film(...), or a dict of several by name."
        )
    makers: dict[str, MakeFilm] = {"": lambda _: film} if isinstance(film, Film) else dict(film)
    if not makers:
        raise ValueError("film is empty: give one from record_film(...), or at least one by name.")
    for name, make in makers.items():
        validate.function(f"film[{name!r}]", make, "lambda g: record_film(VP(), scores, generator=g)")

    which = choice(list(makers), next(iter(makers)), "film", 430)
    play = ipywidgets.Play(min=0, max=1, interval=120, show_repeat=False)
    slider = ipywidgets.SelectionSlider(
        options=[("1", 0), ("0", 1)], description="time t (1: noise, 0: data)", style=LABEL, layout={"width": "70%"}
    )
    seed, message = seed_box(), message_line()

    def make_picture() -> DiffusionPicture:
        made = makers[which.value](generator(seed.value))
        if not isinstance(made, Film):
            raise TypeError(f"film[{which.value!r}] gave a {type(made).__name__}: make a Film by record_film(...).")
        return DiffusionPicture(made)

    picture = make_picture()

    def redraw(_: object = None) -> None:
        with show_errors(message):
            stage.alt = picture.show_frame(slider.value)
            stage.show()

    def rewind() -> None:
        """Put the slider over the present film, at its start."""
        with paused_observers(redraw, (slider,)):
            play.value, play.max = 0, len(picture.film.times) - 1
            slider.options = [(f"{t:.3f}", k) for k, t in enumerate(picture.film.times)]
        redraw()

    def on_change(_: object) -> None:
        nonlocal picture
        message.value = "making the film…"
        with show_errors(message):
            picture = make_picture()
            stage.put(picture.figure, picture.moving)
            rewind()

    stage = Stage(picture.figure, picture.moving)
    slider.observe(redraw, names="value")
    ipywidgets.link((play, "value"), (slider, "value"))
    which.observe(on_change, "value")
    seed.observe(on_change, "value")
    rewind()
    rows = [row(play, slider)]
    if isinstance(film, Film):  # there is nothing to choose
        for control in (which, seed):
            close(control)
    else:
        rows = [row(which, seed), *rows]
    box = ipywidgets.VBox()
    arrange(box, rows, stage, message)
    replace_previous("diffusion_film", box)
    answer_beside_cells(box)
    return box
