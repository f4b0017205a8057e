"""A small network while it learns: its field, its error, and its exact Fisher divergence, live."""

import math
import threading

import ipywidgets
from torch import Tensor, nn

from toylab._internal import validate
from toylab._internal.threads import one_thread
from toylab.densities import Density
from toylab.metrics import Extent
from toylab.networks import ScoreMLP
from toylab.training import Fit
from toylab.widgets.density_controls import DensityControls, Key
from toylab.widgets.frame import (
    Densities,
    LessonList,
    check_densities,
    choice,
    generator,
    lessons_on,
    paused_observers,
)
from toylab.widgets.layout import arrange, row
from toylab.widgets.messages import Field, message_line, show_errors, show_errors_beside, taking_turns
from toylab.widgets.number_box import number_box, seed_box
from toylab.widgets.rerun import replace_previous
from toylab.widgets.stage import Stage
from toylab.widgets.subshell import answer_beside_cells
from toylab.widgets.training_lessons import DENSITIES, LESSONS
from toylab.widgets.training_picture import TrainingPicture
from toylab.widgets.training_task import (
    ACTIVATIONS,
    DATA,
    OBJECTIVES,
    REPORT_EVERY,
    Goal,
    Lesson,
    Task,
    first_objective,
    goal_of,
    prepare,
)

EXTENT: Extent = (-6.0, 6.0, -6.0, 6.0)
_one_training = threading.Lock()  # at a time


class TrainingTheatre(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The box of ``training_theatre``.

    Attributes:
        fit: the result of the last training; None until it ends, and if it diverged.
        training: the thread of the training; None before the first.
    """

    fit: Fit[ScoreMLP] | None = None
    training: threading.Thread | None = None


@one_thread()
def training_theatre(
    densities: Densities | None = None,
    *,
    width: int = 64,
    n_steps: int = 1000,
    extent: Extent = EXTENT,
) -> TrainingTheatre:
    """Choose what is learned and how, press train, and watch; stop keeps what is learned (``box.fit``).

    It trains in the background; the notebook stays free. Under a denoising loss the truth is the noised density.
    By keyboard: Tab to a control, Enter on a button, arrow keys in a list.

    Args:
        densities: by name, or one alone; a ``Family`` has a slider for each parameter; None takes ready ones. They
            should fit the square. Of points, curves and laws with edges the denoising objectives learn the noised law,
            and the others are refused; where that is finer than the picture, the divergence is a mean over draws.
        width: units of each of the two hidden layers.
        n_steps: steps of a training.
        extent: the square that is shown.
    """
    densities = check_densities(DENSITIES if densities is None else densities)
    width = validate.count("width", width)
    n_steps = validate.count("n_steps", n_steps)
    extent = validate.extent("extent", extent)
    lessons = lessons_on(LESSONS, densities)
    first = next(iter(lessons.values()), Lesson(next(iter(densities)), ""))

    lesson = LessonList(lessons)
    density = DensityControls(densities, first.density, 200)
    begun = first.objective or first_objective(density.density(), extent)
    objective = choice(list(OBJECTIVES), begun, "objective", 260)
    objective_field = Field(objective)
    activation = choice(list(ACTIVATIONS), first.activation, "activation", 180)
    data = choice(list(DATA), first.data, "data", 260)
    rate = number_box(first.learning_rate, "learning rate", least=1e-6, most=100.0, step=0.001, width=180)
    train = ipywidgets.Button(description="train", button_style="primary", tooltip="from fresh weights")
    training = Field(train)
    stop = ipywidgets.Button(description="stop", tooltip="keep what is learned", disabled=True)
    seed, message = seed_box(), message_line()
    controls = (*density.controls, objective, activation, data, rate, seed)
    stopped = threading.Event()
    box = TrainingTheatre()
    # by density and objective; of a family the last
    shown: dict[tuple[str, str], tuple[Key, Goal, TrainingPicture]] = {}

    def settings() -> Lesson:
        return Lesson(density.list.value, objective.value, activation.value, data.value, rate.value)

    def look_at(p: Density) -> None:
        """Make the picture of what the objective now chosen learns of the density."""
        goal = goal_of(p, objective.value, extent)
        picture = TrainingPicture(goal.truth, extent, n_steps, goal.draws)
        shown[density.list.value, objective.value] = density.key, goal, picture

    def read_task() -> tuple[Task, TrainingPicture]:
        """The training now chosen, and its picture with the network before its first step."""
        p, names = density.density(), (density.list.value, objective.value)
        with objective_field.judges():
            if names not in shown or shown[names][0] != density.key:
                look_at(p)
        _, goal, picture = shown[names]
        task = prepare(settings(), p, goal, width, generator(seed.value))
        picture.restart(task.data if isinstance(task.data, Tensor) else None)
        picture.append(task.network, 0, math.nan)  # before the first step the loss is not yet computed
        return task, picture

    def show_untrained(_: object = None) -> None:
        lesson.show(settings())
        with show_errors(message):
            if not train.disabled:  # otherwise this change was handled after the click on train
                _, picture = read_task()
                stage.put(picture.figure, picture.moving)
                stage.alt = f"An untrained network, of Fisher divergence {picture.divergences[-1]:.3g}."

    def set_lesson(chosen: Lesson) -> None:
        with paused_observers(show_untrained, controls):
            density.list.value, objective.value, activation.value = chosen.density, chosen.objective, chosen.activation
            data.value, rate.value = chosen.data, chosen.learning_rate
        show_untrained()

    def run(task: Task, picture: TrainingPicture) -> None:
        def report(network: nn.Module) -> float:
            if stopped.is_set() or stage.comm is None:  # the second: its cell was run again
                raise KeyboardInterrupt
            step = min(picture.steps[-1] + REPORT_EVERY, n_steps)
            with taking_turns:
                loss = task.loss(network)
                divergence = picture.append(network, step, loss)
                stage.alt = (
                    f"After {step} steps the learned field has a Fisher divergence of {divergence:.3g}, lowest "
                    f"{min(picture.divergences):.3g}; loss plus its constant {loss:.3g}."
                )
                stage.show()
            return divergence

        try:
            with show_errors_beside(message):
                box.fit = task.train(n_steps, report)
        finally:
            _one_training.release()
            for control in (*controls, lesson, train):
                control.disabled = False
            stop.disabled = True

    def on_train(_: object) -> None:
        with show_errors(message):
            task, picture = read_task()
            with training.judges():
                if not _one_training.acquire(blocking=False):
                    raise ValueError("another training is running: stop that one first.")
            stage.put(picture.figure, picture.moving)
            stopped.clear()
            box.fit = None
            for control in (*controls, lesson, train):
                control.disabled = True
            stop.disabled = False
            box.training = threading.Thread(target=run, args=(task, picture), daemon=True)
            box.training.start()

    look_at(density.density())  # what cannot be learned is an error here, and later a message
    _, picture = read_task()
    stage = Stage(picture.figure, picture.moving)
    for control in controls:
        control.observe(show_untrained, "value")
    lesson.on_choice(set_lesson)
    train.on_click(on_train)
    stop.on_click(lambda _: stopped.set())
    show_untrained()
    rows = [
        row(lesson, training, stop),
        *density.rows,
        row(density.list, objective_field, activation, data, rate, seed),
    ]
    arrange(box, rows, stage, message)
    replace_previous("training_theatre", box)
    answer_beside_cells(box)
    return box
