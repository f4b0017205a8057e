"""The levels of annealed Langevin: how far they overlap, and at which of them the mode weights are decided."""

import ipywidgets

from toylab._internal import validate
from toylab._internal.threads import one_thread
from toylab.metrics import Extent
from toylab.widgets.density_controls import DensityControls
from toylab.widgets.frame import (
    LABEL,
    Densities,
    LessonList,
    check_densities,
    exact_slider,
    generator,
    lessons_on,
    level_grid,
    paused_observers,
)
from toylab.widgets.known import refusal
from toylab.widgets.layout import arrange, row
from toylab.widgets.messages import Field, message_line, show_errors
from toylab.widgets.noise_descent import EXTENT, Ladder, descend
from toylab.widgets.noise_lessons import DENSITIES, LESSONS
from toylab.widgets.noise_picture import MOST_LEVELS, LadderPicture
from toylab.widgets.number_box import number_box, seed_box
from toylab.widgets.rerun import replace_previous
from toylab.widgets.stage import Stage
from toylab.widgets.subshell import answer_beside_cells


@one_thread()
def noise_ladder(
    densities: Densities | None = None, *, n_chains: int = 1280, extent: Extent = EXTENT
) -> ipywidgets.VBox:
    """Choose a ladder of noise levels; see how far they overlap; run annealed Langevin down it.

    A bar is a level: 90 % of its noise has a length within it; its tick is sigma. The middle picture has the share of
    the larger mode after each level: it changes while chains still cross, and stays as it is once they stop.
    By keyboard: Tab to a control, arrow keys to move it, Enter on the button.

    Args:
        densities: by name, or one alone, any whose noised laws are known; a ``Family`` has a slider for each parameter;
            None takes ready ones. Of a law that is no mixture the share of its largest quarter is followed.
        n_chains: that run down the ladder.
        extent: the square that is shown, in which the chains start.
    """
    densities = check_densities(DENSITIES if densities is None else densities)
    n_chains = validate.count("n_chains", n_chains)
    extent = validate.extent("extent", extent)
    lessons = lessons_on(LESSONS, densities)
    first = next(iter(lessons.values()), Ladder(next(iter(densities)), 10, 20.0, 1.0))

    def number(value: int, most: int, description: str) -> ipywidgets.IntSlider:
        return ipywidgets.IntSlider(
            value, min=1, max=most, description=description, style=LABEL, layout={"width": "400px"}
        )

    lesson = LessonList(lessons)
    density = DensityControls(densities, first.density, 290)
    density_field = Field(density.list)
    n, n_steps = number(first.n, MOST_LEVELS, "levels L"), number(first.n_steps, 500, "steps per level")
    ends = [sigma for ladder in lessons.values() for sigma in (ladder.first, ladder.last)]
    levels = [*level_grid(-2, 2), *ends]
    largest = exact_slider(levels, first.first, "first level σ₁", 400)
    smallest = exact_slider(levels, first.last, "last level σ_L", 400)
    last_level = Field(smallest)
    rate = number_box(first.rate, "step size α / σ²", least=1e-6, most=100.0, step=0.01, width=200)
    run = ipywidgets.Button(description="run", button_style="primary", tooltip=f"{n_chains} chains down the ladder")
    seed, message = seed_box(), message_line()
    controls = (*density.controls, n, n_steps, largest, smallest, rate, seed)
    picture = LadderPicture(density.density(), extent)
    pictures = {density.list.value: (density.key, picture)}  # of a family the last one
    stage = Stage(picture.figure, picture.moving)

    def settings() -> Ladder:
        return Ladder(density.list.value, n.value, largest.value, smallest.value, n_steps.value, rate.value)

    def read_ladder() -> Ladder:
        """The ladder now chosen; ``picture`` becomes that of its density."""
        nonlocal picture
        ladder = settings()
        with last_level.judges():
            ladder.sigmas  # noqa: B018  a ladder that does not decrease is refused before anything is drawn
        p, name = density.density(), density.list.value
        with density_field.judges():
            if why := refusal(p, ladder.last):
                raise ValueError(f"a ladder needs the noised laws: {why}")
        if name not in pictures or pictures[name][0] != density.key:
            pictures[name] = density.key, LadderPicture(p, extent)
        picture = pictures[name][1]
        return ladder

    def show_ladder(_: object = None) -> None:
        lesson.show(settings())
        with show_errors(message):
            ladder = read_ladder()
            stage.alt = picture.show_ladder(ladder)
            stage.put(picture.figure, picture.moving)

    def on_run(_: object) -> None:
        run.disabled = True
        with show_errors(message):
            ladder = read_ladder()
            chains, trace = descend(picture.density, picture.regions, ladder, n_chains, extent, generator(seed.value))
            stage.alt = f"{picture.show_ladder(ladder)} {picture.show_descent(ladder, chains, trace)}"
            stage.put(picture.figure, picture.moving)
        run.disabled = False

    def set_lesson(ladder: Ladder) -> None:
        with paused_observers(show_ladder, controls):
            density.list.value, n.value, n_steps.value = ladder.density, ladder.n, ladder.n_steps
            largest.value, smallest.value, rate.value = ladder.first, ladder.last, ladder.rate
        show_ladder()

    for control in controls:
        control.observe(show_ladder, "value")
    lesson.on_choice(set_lesson)
    run.on_click(on_run)
    show_ladder()
    box = ipywidgets.VBox()
    rows = [row(lesson, density_field), *density.rows, row(n, n_steps), row(largest, last_level), row(rate, seed, run)]
    arrange(box, rows, stage, message)
    replace_previous("noise_ladder", box)
    answer_beside_cells(box)
    return box
