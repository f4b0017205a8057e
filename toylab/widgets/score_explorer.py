"""One density, its noised scores, and what the score at a point says about where the point came from."""

from math import inf

import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab._internal.threads import one_thread
from toylab.densities import Density
from toylab.metrics import Extent
from toylab.widgets.density_controls import DensityControls
from toylab.widgets.frame import (
    Densities,
    LessonList,
    check_densities,
    exact_slider,
    generator,
    lessons_on,
    level_grid,
    paused_observers,
)
from toylab.widgets.known import affordable_cells, refusal
from toylab.widgets.layout import arrange, row
from toylab.widgets.messages import Field, Note, as_message, message_line, show_errors
from toylab.widgets.number_box import seed_box
from toylab.widgets.rerun import replace_previous
from toylab.widgets.score_lessons import LESSONS, Lesson, ready_densities
from toylab.widgets.score_picture import CELLS, ScorePicture
from toylab.widgets.score_reading import Reading
from toylab.widgets.stage import Stage
from toylab.widgets.subshell import answer_beside_cells

EXTENT: Extent = (-5.0, 5.0, -5.0, 5.0)
_DOTS = 100


@one_thread()
def score_explorer(densities: Densities | None = None, *, extent: Extent = EXTENT) -> ipywidgets.VBox:
    """Drag the noise: density, samples and score move together. Click: the score there, and where it points.

    The star is the posterior mean E[X | x] = x + sigma^2 s(x, sigma), the best guess of the clean point (Tweedie).
    By keyboard: Tab to a control, arrow keys to move it; on the picture they move a cross, and Enter places it.

    Args:
        densities: by name, or one alone, any of them of your own; a ``Family`` has a slider for each parameter; None
            takes the catalogue. Of slow ones the density is drawn in coarser cells. One whose noised law is not known
            is shown clean, and the slider says so.
        extent: the square that is shown.
    """
    densities = check_densities(ready_densities() if densities is None else densities)
    left, right, bottom, top = validate.extent("extent", extent)
    lessons = lessons_on(LESSONS, densities)
    first = next(
        iter(lessons.values()), Lesson(next(iter(densities)), 0.5, ((3 * left + right) / 4, (3 * bottom + top) / 4))
    )

    lesson = LessonList(lessons)
    density = DensityControls(densities, first.density, 260)
    levels = [*level_grid(-2, 1), *(view.sigma for view in lessons.values())]
    noise = exact_slider(levels, first.sigma, "noise σ (standard deviation)", 460)
    options = noise.options
    noise_field = Field(noise, Note())
    samples = ipywidgets.Checkbox(True, description="samples of p_σ", indent=False, layout={"width": "150px"})
    hold = ipywidgets.Checkbox(
        True, description="hold the scales", indent=False, layout={"width": "150px"},
        tooltip="of arrows and grey while the noise or a parameter moves, so that growth is seen",
    )  # fmt: skip
    seed, message, numbers = seed_box(), message_line(), ipywidgets.HTML()
    picture, point = ScorePicture(extent), first.point
    scaled_for = ""  # the density whose scales are held

    def fit_noise(p: Density) -> None:
        """The levels at which the density is known: those of the slider, or none but 0."""
        clean_alone = refusal(p, levels[0]) if not refusal(p, 0.0) else ""
        if bool(clean_alone) != noise.disabled:
            with paused_observers(redraw, (noise,)):
                noise.options = [("0", 0.0)] if clean_alone else options
                noise.value = 0.0 if clean_alone else first.sigma
            noise.disabled = bool(clean_alone)
        noise_field.message.value = as_message(f"only the clean law is known: {clean_alone}") if clean_alone else ""

    def redraw(_: object = None) -> None:
        nonlocal scaled_for
        lesson.show(Lesson(density.list.value, noise.value, point))
        with show_errors(message):
            g = generator(seed.value)
            p = density.density()
            fit_noise(p)
            clean, lacking = _draws(p, _DOTS if samples.value else 0, g)
            reading = picture.draw(
                p,
                noise.value,
                point,
                clean,
                normal_like(clean, g),
                cells=affordable_cells(p, noise.value, extent, CELLS),
                hold=hold.value and scaled_for == density.list.value,
            )
            scaled_for = density.list.value
            numbers.value = _table(reading, noise.value)
            stage.alt = (
                f"Density and score field at noise {noise.value:.3g}. "
                f"At ({reading.point[0]:.2f}, {reading.point[1]:.2f}) "
            ) + (
                f"the score is ({reading.score[0]:.3g}, {reading.score[1]:.3g}) and the posterior mean "
                f"({reading.mean[0]:.2f}, {reading.mean[1]:.2f})."
                if reading.log_prob != -inf
                else "p is 0, and there is no score."
            )
            stage.show()
            if lacking:  # after all that is known was drawn
                raise TypeError(lacking)

    def on_click(_: Axes, x: float, y: float) -> None:
        nonlocal point
        point = (x, y)
        redraw()

    def set_lesson(chosen: Lesson) -> None:
        nonlocal point, scaled_for
        point, scaled_for = chosen.point, ""
        with paused_observers(redraw, (density.list, noise)):
            density.list.value, noise.value = chosen.density, chosen.sigma
        redraw()

    stage = Stage(picture.figure, picture.moving, on_click=on_click)
    for control in (*density.controls, noise, samples, hold, seed):
        control.observe(redraw, "value")
    lesson.on_choice(set_lesson)
    redraw()
    box = ipywidgets.VBox()
    rows = [row(lesson, density.list), *density.rows, row(noise_field, samples, hold, seed)]
    arrange(box, rows, stage, message, beside=numbers)
    replace_previous("score_explorer", box)
    answer_beside_cells(box)
    return box


def _draws(density: Density, n: int, generator: torch.Generator) -> tuple[Tensor, str]:
    """n draws, and "": or none, and what a law says that cannot be drawn from."""
    none = torch.zeros(0, 2, dtype=torch.float64, device="cpu")
    if n == 0:
        return none, ""
    try:
        return density.sample((n,), generator=generator).double(), ""
    except (TypeError, NotImplementedError) as error:
        return none, str(error)


def _table(reading: Reading, sigma: float) -> str:
    """The numbers beside the picture."""
    x, s, m = reading.point, reading.score, reading.mean
    rows = [("point x (&#10006;)", f"({x[0]:.3f}, {x[1]:.3f})"), ("noise σ", f"{sigma:.3g}")]
    if reading.log_prob != -inf:
        rows += [
            ("log p<sub>σ</sub>(x)", f"{reading.log_prob:.3f}"),
            ("score s(x, σ)", f"({s[0]:.4g}, {s[1]:.4g})"),
            ("its size |s|", f"{float(np.hypot(*s)):.4g}"),
            ("posterior mean (&#9733;)<br>x + σ² s", f"({m[0]:.3f}, {m[1]:.3f})"),
        ]
    else:
        rows.append(("p<sub>σ</sub>(x)", "0, and no score"))
    body = "".join(f"<tr><td style='padding:4px 14px 4px 4px'>{a}</td><td><b>{b}</b></td></tr>" for a, b in rows)
    return f"<table style='font-size:16px; line-height:1.4'>{body}</table>"
