"""Two samplers side by side from the same start and seed: chains, all they have visited, and the mode weights."""

import ipywidgets
import torch
from matplotlib.axes import Axes

from toylab._internal import validate
from toylab._internal.threads import one_thread
from toylab.metrics import Extent
from toylab.widgets.density_controls import DensityControls, Key
from toylab.widgets.frame import (
    LABEL,
    Densities,
    LessonList,
    check_densities,
    choice,
    generator,
    lessons_on,
    paused_observers,
)
from toylab.widgets.langevin_lessons import DENSITIES, LESSONS, Lesson, Setting
from toylab.widgets.langevin_picture import LangevinPicture
from toylab.widgets.langevin_run import ANNEALED, EXTENT, MOVES, NOISELESS, Run
from toylab.widgets.langevin_target import Target, start_of, target_of
from toylab.widgets.layout import arrange, row
from toylab.widgets.messages import Field, Note, as_message, message_line, show_errors
from toylab.widgets.number_box import number_box, seed_box
from toylab.widgets.rerun import replace_previous
from toylab.widgets.stage import Stage
from toylab.widgets.subshell import answer_beside_cells


class _SamplerControls:
    """The controls of one sampler."""

    def __init__(self, place: str, setting: Setting) -> None:
        self.sampler = choice(list(MOVES), setting.sampler, f"sampler {place}", 270)
        self.step_size = number_box(setting.step_size, "step size ε", least=1e-6, most=100.0, step=0.01, width=170)
        self.noise = ipywidgets.Checkbox(setting.noise, description="noise", indent=False, layout={"width": "90px"})
        self.all = (self.sampler, self.step_size, self.noise)
        self.check()

    def set(self, setting: Setting) -> None:
        self.sampler.value, self.step_size.value, self.noise.value = setting.sampler, setting.step_size, setting.noise
        self.check()

    def read(self) -> Setting:
        return Setting(self.sampler.value, self.step_size.value, self.noise.value)

    def check(self) -> None:
        """Noise can be left out of a Langevin step, but not of a proposal."""
        self.noise.disabled = self.sampler.value not in NOISELESS
        if self.noise.disabled:
            self.noise.value = True


@one_thread()
def langevin_playground(
    densities: Densities | None = None, *, n_chains: int = 400, extent: Extent = EXTENT
) -> ipywidgets.VBox:
    """Two samplers on one density from the same start with the same seed: play, pause, step, start again.

    Click in the left pictures: all chains start there, or, after several clicks, in equal parts at each place.
    By keyboard: Tab to a control; on the picture the arrow keys move a cross, and Enter places the start.

    Args:
        densities: by name, or one alone, any of them of your own; a ``Family`` has a slider for each parameter; None
            takes ready ones. Of a Gaussian mixture the shares of its modes are shown, of another law those of its four
            quarters. Points and curves are sampled with a little noise.
        n_chains: of each sampler.
        extent: the square that is shown, in which the chains start.
    """
    densities = check_densities(DENSITIES if densities is None else densities)
    n_chains = validate.count("n_chains", n_chains)
    extent = validate.extent("extent", extent)
    lessons = lessons_on(LESSONS, densities)
    first = next(iter(lessons.values()), Lesson(next(iter(densities)), Setting("Langevin", 0.1), Setting("MALA", 0.1)))

    lesson = LessonList(lessons)
    density = DensityControls(densities, first.density, 250)
    samplers = [_SamplerControls("left", first.first), _SamplerControls("right", first.second)]
    speed = ipywidgets.IntSlider(
        5, min=1, max=50, description="steps per frame", style=LABEL, layout={"width": "300px"}
    )
    play = ipywidgets.Play(min=0, max=100_000, interval=60, show_repeat=False)
    step = ipywidgets.Button(description="step", tooltip="one step of both", layout={"width": "80px"})
    again = ipywidgets.Button(description="start again", tooltip="same start, same seed", layout={"width": "110px"})
    scatter = ipywidgets.Button(description="start everywhere", layout={"width": "140px"})
    seed, message = seed_box(), message_line()
    starts: list[tuple[float, float]] = [] if first.start is None else [first.start]
    runs: list[Run] = []
    shown: dict[str, tuple[Key, Target, LangevinPicture]] = {}  # by density, once it was chosen; of a family the last
    density_field = Field(density.list, Note())
    picture: LangevinPicture
    ready = False  # the settings now chosen are those of the runs

    def law_and_picture() -> tuple[Target, LangevinPicture]:
        """The law now chosen, and its picture."""
        p, name = density.density(), density.list.value
        if name not in shown or shown[name][0] != density.key:
            target = target_of(p, n_chains)
            shown[name] = density.key, target, LangevinPicture(target.density, target.regions, extent)
        return shown[name][1:]

    def begin(controls: _SamplerControls, target: Target) -> Run:
        """One sampler at step 0 of the density, start and settings now chosen."""
        g = generator(seed.value)
        x = start_of(target, n_chains, extent, g)
        if starts:
            places = torch.tensor(starts, device="cpu")
            if not target.density.log_prob(places).isfinite().all():
                raise ValueError("p = 0 at a place that was clicked, where no chain can start: press start everywhere.")
            x = places.repeat(-(-n_chains // len(starts)), 1)[:n_chains]
        chosen = controls.read()
        if chosen.sampler == ANNEALED and target.not_noised:
            raise ValueError(f"annealed Langevin needs the noised laws: {target.not_noised}")
        name = chosen.sampler if chosen.noise else f"{chosen.sampler} without noise"
        move = MOVES[chosen.sampler]
        return Run(target.density, target.regions, name, move, chosen.step_size, chosen.noise, x, g, extent)

    def start(_: object = None) -> None:
        nonlocal picture, ready
        ready = False
        first, second = (controls.read() for controls in samplers)
        several = len(starts) > 1  # as in no lesson
        lesson.show(None if several else Lesson(density.list.value, first, second, *starts))
        with show_errors(message):
            target, picture = law_and_picture()
            density_field.message.value = as_message(target.words)
            runs[:] = [begin(controls, target) for controls in samplers]
            stage.alt = picture.draw(runs)
            stage.put(picture.figure, picture.moving)
            ready = True

    def advance(n_steps: int) -> None:
        if not ready:  # a value that was refused is refused again
            start()
        if ready:
            with show_errors(message):
                for run in runs:
                    run.advance(n_steps)
                stage.alt = picture.draw(runs)
                stage.show()

    def on_change(_: object) -> None:
        for controls in samplers:
            controls.check()
        start()

    def set_lesson(chosen: Lesson) -> None:
        play.playing = False
        with paused_observers(on_change, observed):
            density.list.value = chosen.density
            for controls, setting in zip(samplers, (chosen.first, chosen.second), strict=True):
                controls.set(setting)
        starts[:] = [] if chosen.start is None else [chosen.start]
        start()

    def on_click(ax: Axes, x: float, y: float) -> None:
        if ax in {row.chains for row in picture.rows}:
            starts.append((x, y))
            start()

    def start_everywhere(_: object) -> None:
        starts.clear()
        start()

    _, picture = law_and_picture()
    stage = Stage(picture.figure, picture.moving, on_click=on_click)
    observed = [*density.controls, seed, *(control for controls in samplers for control in controls.all)]
    for control in observed:
        control.observe(on_change, "value")
    lesson.on_choice(set_lesson)
    play.observe(lambda change: advance(speed.value) if change["new"] else None, "value")
    step.on_click(lambda _: advance(1))
    again.on_click(start)
    scatter.on_click(start_everywhere)
    start()
    box = ipywidgets.VBox()
    both = [control for controls in samplers for control in controls.all]
    tools = row(play, step, again, scatter, speed, seed)
    arrange(box, [row(lesson, density_field), *density.rows, row(*both), tools], stage, message)
    replace_previous("langevin_playground", box)
    answer_beside_cells(box)
    return box
