"""The levels of annealed Langevin: how far they overlap, and at which of them the mode weights are decided."""

from collections.abc import Mapping

import ipywidgets

from toylab._internal import validate
from toylab._internal.threads import one_thread
from toylab.densities import GaussianMixture
from toylab.metrics import Extent
from toylab.widgets.frame import (
    LABEL,
    check_mixtures,
    choice,
    generator,
    lesson_list,
    on_choice,
    paused_observers,
    seed_box,
)
from toylab.widgets.messages import message_line, show_errors
from toylab.widgets.noise_descent import EXTENT, Ladder, descend
from toylab.widgets.noise_lessons import DENSITIES, LESSONS
from toylab.widgets.noise_picture import MOST_LEVELS, LadderPicture
from toylab.widgets.rerun import replace_previous
from toylab.widgets.stage import Stage


@one_thread()
def noise_ladder(
    densities: Mapping[str, GaussianMixture] | None = None, *, n_chains: int = 1280, extent: Extent = EXTENT
) -> ipywidgets.VBox:
    """Choose a ladder of noise levels; see how far they overlap; run annealed Langevin down it.

    A bar is a level: 90 % of its noise has a length within it; its tick is sigma. The middle picture has the share of
    the larger mode after each level: it changes while chains still cross, and stays as it is once they stop.
    By keyboard: Tab to a control, arrow keys to move it, Enter on the button.

    Args:
        densities: Gaussian mixtures by name; None takes ready ones.
        n_chains: that run down the ladder.
        extent: the square that is shown, in which the chains start.
    """
    densities = check_mixtures(DENSITIES if densities is None else densities)
    n_chains = validate.count("n_chains", n_chains)
    extent = validate.extent("extent", extent)
    lessons = {text: ladder for text, ladder in LESSONS.items() if ladder.density in densities}
    first = next(iter(lessons.values()), Ladder(next(iter(densities)), 10, 20.0, 1.0))

    def level(value: float, description: str) -> ipywidgets.FloatLogSlider:
        return ipywidgets.FloatLogSlider(
            value=value, base=10, min=-2, max=2, step=0.02, description=description, readout_format=".3g",
            style=LABEL, layout={"width": "400px"},
        )  # fmt: skip

    def number(value: int, most: int, description: str) -> ipywidgets.IntSlider:
        return ipywidgets.IntSlider(
            value, min=1, max=most, description=description, style=LABEL, layout={"width": "400px"}
        )

    lesson = lesson_list(lessons)
    density = choice(list(densities), first.density, "density", 290)
    n, n_steps = number(first.n, MOST_LEVELS, "levels L"), number(first.n_steps, 500, "steps per level")
    largest, smallest = level(first.first, "first level σ₁"), level(first.last, "last level σ_L")
    rate = ipywidgets.FloatText(
        first.rate, step=0.01, description="step size α / σ²", style=LABEL, layout={"width": "200px"}
    )
    run = ipywidgets.Button(description="run", button_style="primary", tooltip=f"{n_chains} chains down the ladder")
    seed, message = seed_box(), message_line()
    controls = (density, n, n_steps, largest, smallest, rate, seed)
    picture = LadderPicture(densities[density.value], extent)
    pictures = {density.value: picture}
    stage = Stage(picture.figure, picture.moving)

    def read_ladder() -> Ladder:
        """The ladder now chosen; ``picture`` becomes that of its density."""
        nonlocal picture
        rate_now = validate.positive("α / σ²", rate.value)
        ladder = Ladder(density.value, n.value, largest.value, smallest.value, n_steps.value, rate_now)
        ladder.sigmas  # noqa: B018  a ladder that does not decrease is refused before anything is drawn
        if density.value not in pictures:
            pictures[density.value] = LadderPicture(densities[density.value], extent)
        picture = pictures[density.value]
        return ladder

    def show_ladder() -> None:
        with show_errors(message):
            ladder = read_ladder()
            stage.alt = picture.show_ladder(ladder)
            stage.put(picture.figure, picture.moving)

    def on_change(_: object) -> None:
        lesson.index = 0  # the settings are no longer those of the lesson
        show_ladder()

    def on_run(_: object) -> None:
        run.disabled = True
        with show_errors(message):
            ladder = read_ladder()
            chains, trace = descend(densities[ladder.density], ladder, n_chains, extent, generator(seed.value))
            stage.alt = f"{picture.show_ladder(ladder)} {picture.show_descent(ladder, chains, trace)}"
            stage.put(picture.figure, picture.moving)
        run.disabled = False

    def set_lesson(ladder: Ladder) -> None:
        with paused_observers(on_change, controls):
            density.value, n.value, n_steps.value = ladder.density, ladder.n, ladder.n_steps
            largest.value, smallest.value, rate.value = ladder.first, ladder.last, ladder.rate
        show_ladder()

    for control in controls:
        control.observe(on_change, "value")
    on_choice(lesson, set_lesson)
    run.on_click(on_run)
    show_ladder()
    box = ipywidgets.VBox(
        [
            ipywidgets.HBox([lesson, density]),
            ipywidgets.HBox([n, n_steps]),
            ipywidgets.HBox([largest, smallest]),
            ipywidgets.HBox([rate, seed, run]),
            stage,
            message,
        ]
    )
    replace_previous("noise_ladder", box)
    return box
