"""A small network while it learns: its field, its error, and its exact Fisher divergence, live."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toylab import plotting
from toylab._internal import validate
from toylab.densities import Density, isotropic, ring
from toylab.metrics import Extent, grid_points
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced
from toylab.training import Fit, fit
from toylab.widgets.frame import (
    generator,
    lesson_list,
    message_line,
    paused_observers,
    replace_previous,
    seed_box,
    show_errors,
    show_errors_beside,
    taking_turns,
)
from toylab.widgets.stage import Stage, off_screen

EXTENT: Extent = (-6.0, 6.0, -6.0, 6.0)
LAWS: dict[str, Density] = {
    "two modes": isotropic([[-2.0, -2.0], [2.0, 2.0]], 0.8, weights=[0.2, 0.8]),
    "ring of eight": ring(radius=3.0),
    "one Gaussian": isotropic([[0.0, 0.0]], 1.0),
}
# the objective, and the noise of the law whose score it learns
OBJECTIVES: dict[str, Callable[[Density], tuple[Callable, float]]] = {
    "explicit": lambda p: (Explicit(p.score), 0.0),
    "implicit": lambda p: (Implicit(), 0.0),
    "sliced": lambda p: (Sliced(), 0.0),
    "denoising, σ = 0.5": lambda p: (Denoising(0.5), 0.5),
    "denoising, σ = 0.02": lambda p: (Denoising(0.02), 0.02),
}
ACTIVATIONS = {"softplus": functional.softplus, "SiLU": functional.silu, "ReLU": functional.relu}
DATA = {"fresh points at every step": 0, "30 fixed points": 30}
_CELLS, _ARROWS, _FLOOR = 80, 17, 1e-4
_at_work = threading.Lock()  # one training at a time
REPORT_EVERY = 20  # steps from picture to picture


@dataclass(frozen=True)
class Lesson:
    """What is trained: names from the lists of the widget, and Adam's rate."""

    law: str
    objective: str
    activation: str = "softplus"
    data: str = "fresh points at every step"
    learning_rate: float = 0.005


LESSONS = {
    "sliced matching, from samples alone": Lesson("two modes", "sliced"),
    "denoising learns the score of the noised law": Lesson("two modes", "denoising, σ = 0.5"),
    "too little noise: the loss is all noise": Lesson("two modes", "denoising, σ = 0.02"),
    "ReLU under a loss with derivatives learns nothing": Lesson("two modes", "implicit", activation="ReLU"),
    "few data: the loss falls and the truth runs away": Lesson("two modes", "implicit", data="30 fixed points"),
    "a rate far too large": Lesson("two modes", "explicit", learning_rate=3.0),
    "eight narrow modes take longer": Lesson("ring of eight", "sliced"),
}


class Picture:
    """The learned field over the density, its error, and the exact Fisher divergence so far.

    The divergence is the sum over the cells of the error map, 1/2 sum p |s - s*|^2: for smooth laws that fit the square
    it agrees with ``metrics.fisher_divergence``, at a tenth of its time.
    """

    def __init__(self, density: Density, extent: Extent, n_steps: int) -> None:
        cells = grid_points(extent, _CELLS, dtype=torch.float64)
        log_p, self.exact = density.log_prob(cells), density.score(cells)
        self.share = torch.softmax(log_p.flatten(), 0).view_as(log_p)  # of the probability, in each cell
        self.cells, self.arrows_at = grid_points(extent, _CELLS), grid_points(extent, _ARROWS)
        self.longest = float(self.exact.norm(dim=-1).max())
        self.steps: list[int] = []
        self.divergences: list[float] = []
        with plotting.look():
            self.figure = off_screen(11.5, 4.25)
            field, error, curve = self.figure.subplots(1, 3)
            field.set_position((0.005, 0.01, 0.33, 0.9))
            error.set_position((0.345, 0.01, 0.33, 0.9))
            curve.set_position((0.75, 0.15, 0.23, 0.76))
            plotting.density_map(density, extent, cmap=plotting.GROUND_MAP, n=_CELLS, ax=field)
            quiver = plotting.score_field(
                np.zeros((_ARROWS, _ARROWS, 2)), extent, longest=self.longest, color=plotting.LEARNED, ax=field
            ).collections[-1]
            top = self.longest / 2
            image = plotting.error_heat_map(np.zeros((_CELLS, _CELLS)), extent, vmax=top, ax=error).images[0]
            for ax in (field, error):
                ax.set(xticks=[], yticks=[])
            zero = 0.5 * float((self.share * self.exact.square().sum(-1)).sum())
            curve.set(xlim=(0, n_steps), ylim=(_FLOOR, 100 * zero), yscale="log", xlabel="step")
            curve.set_title("Fisher divergence, exact", fontsize=14)
            curve.axhline(zero, color=plotting.NEUTRAL, lw=1.5, ls="--")
            curve.text(n_steps, 1.2 * zero, "if the score were 0", ha="right", color=plotting.NEUTRAL)
            (line,) = curve.plot([], [], color=plotting.LEARNED, lw=2.5)
            words = [ax.text(0.5, 1.02, "", ha="center", transform=ax.transAxes, fontsize=14) for ax in (field, error)]
            number = curve.text(0.97, 0.05, "", ha="right", transform=curve.transAxes, fontsize=15, weight="bold")
        self.quiver, self.image, self.line, self.words, self.number = quiver, image, line, words, number
        self.moving = (quiver, image, line, *words, number)
        self.top, self.ceiling = top, 100 * zero

    def begin(self) -> None:
        """Forget the course so far."""
        self.steps.clear()
        self.divergences.clear()

    def see(self, network: Callable[[Tensor], Tensor], step: int) -> float:
        """Draw the network as it is at this step; returns its Fisher divergence."""
        with torch.no_grad():
            s = network(self.arrows_at).double().numpy()
            error = network(self.cells).double() - self.exact
        divergence = 0.5 * float((self.share * error.square().sum(-1)).sum())
        self.steps.append(step)
        self.divergences.append(divergence)
        size = np.linalg.norm(s, axis=-1, keepdims=True)
        s = s * np.minimum(1.0, self.longest / np.maximum(size, 1e-12))  # longer ones would cover the picture
        self.quiver.set_UVC(s[..., 0], s[..., 1])
        self.image.set_data(error.norm(dim=-1).numpy())
        self.line.set_data(self.steps, np.clip(self.divergences, _FLOOR, self.ceiling))
        self.words[0].set_text(f"learned field, step {step}")
        self.words[1].set_text(f"error |s − s*|, dark: {self.top:.2g} or more")
        self.number.set_text(f"{divergence:.3g}")
        return divergence


class TrainingTheatre(ipywidgets.VBox):
    """The box of ``training_theatre``.

    Attributes:
        fit: the result of the last training, None before its end and where it diverged.
        training: the thread of the training, None before the first.
    """

    fit: Fit | None = None
    training: threading.Thread | None = None


def training_theatre(
    laws: Mapping[str, Density] | None = None, *, width: int = 64, n_steps: int = 1000, extent: Extent = EXTENT
) -> TrainingTheatre:
    """Choose what is learned and how, press train, and watch; stop keeps what is learned (``box.fit``).

    The training runs beside the notebook, which stays free. Under a denoising loss the truth is the noised law.
    By keyboard: Tab to a control, Enter on a button, arrow keys in a list.

    Args:
        laws: by name; None takes ``LAWS``. They should be smooth, and fit the square.
        width: units of each of the two hidden layers.
        n_steps: steps of a training.
        extent: the square that is shown.
    """
    laws = dict(LAWS if laws is None else laws)
    if not laws:
        raise ValueError("laws is empty: give at least one, such as {'two modes': two_modes()}.")
    validate.count("width", width)
    validate.count("n_steps", n_steps)
    validate.extent("extent", extent)
    for name, density in laws.items():
        if not isinstance(density, Density):
            raise TypeError(f"laws[{name!r}] is a {type(density).__name__}: give a density, such as two_modes().")
        if not density.score(grid_points(extent, _CELLS, dtype=torch.float64)).isfinite().all():
            raise ValueError(
                f"laws[{name!r}] has no score in parts of the square: give a smooth law, such as p.noised(0.1)."
            )
    lessons = {text: lesson for text, lesson in LESSONS.items() if lesson.law in laws}
    first = next(iter(lessons.values()), Lesson(next(iter(laws)), "sliced"))

    style = {"description_width": "initial"}

    def choice(options: list[str], value: str, description: str, size: str) -> ipywidgets.Dropdown:
        return ipywidgets.Dropdown(
            options=options, value=value, description=description, style=style, layout={"width": size}
        )

    lesson = lesson_list(lessons)
    law = choice(list(laws), first.law, "law", "200px")
    objective = choice(list(OBJECTIVES), first.objective, "objective", "260px")
    activation = choice(list(ACTIVATIONS), first.activation, "activation", "180px")
    data = choice(list(DATA), first.data, "data", "260px")
    rate = ipywidgets.FloatText(
        first.learning_rate, step=0.001, description="learning rate", style=style,
        layout={"width": "180px"},
    )  # fmt: skip
    train = ipywidgets.Button(description="train", button_style="primary", tooltip="from fresh weights")
    stop = ipywidgets.Button(description="stop", tooltip="keep what is learned", disabled=True)
    seed, message = seed_box(), message_line()
    stopped = threading.Event()
    box = TrainingTheatre()

    def prepared() -> tuple[Picture, Callable[..., Fit]]:
        """The picture of the law that is learned, and the training with all but its reports given."""
        nonlocal picture
        g = generator(seed.value)
        validate.positive("learning rate", rate.value)
        density = laws[law.value]
        loss, sigma = OBJECTIVES[objective.value](density)
        truth = density.noised(sigma) if sigma else density
        network = ScoreMLP(width, activation=ACTIVATIONS[activation.value], generator=g)
        points = density.sample((n,), generator=g) if (n := DATA[data.value]) else density

        def training(held_out: Callable[[nn.Module], float]) -> Fit:
            return fit(
                network, loss, points, n_steps=n_steps, learning_rate=rate.value, report_every=REPORT_EVERY,
                held_out=held_out, generator=g, progress=False,
            )  # fmt: skip

        if (law.value, sigma) not in pictures:
            pictures[law.value, sigma] = Picture(truth, extent, n_steps)
        picture = pictures[law.value, sigma]
        picture.begin()
        picture.see(network, 0)
        return picture, training

    def changed(_: object) -> None:
        lesson.index = 0  # it is no longer that of the list
        shown()

    def shown() -> None:
        """The untrained network under the settings now chosen."""
        with show_errors(message):
            if not train.disabled:  # else this change had its turn after the click on train
                prepared()
                stage.put(picture.figure, picture.moving)
                stage.alt = f"An untrained network, of Fisher divergence {picture.divergences[-1]:.3g}."

    def run(picture: Picture, training: Callable[..., Fit]) -> None:
        def seen(network: nn.Module) -> float:
            if stopped.is_set() or stage.comm is None:  # the second: its cell was run again
                raise KeyboardInterrupt
            step = min(picture.steps[-1] + REPORT_EVERY, n_steps)
            with taking_turns:
                divergence = picture.see(network, step)
                stage.alt = f"After {step} steps the learned field has a Fisher divergence of {divergence:.3g}."
                stage.show()
            return divergence

        try:
            with show_errors_beside(message):
                box.fit = training(seen)
        finally:
            _at_work.release()
            for control in (*controls, lesson, train):
                control.disabled = False
            stop.disabled = True

    def begin(_: object) -> None:
        with show_errors(message):
            picture, training = prepared()
            if not _at_work.acquire(blocking=False):
                raise ValueError("another training is at work: stop that one first.")
            stage.put(picture.figure, picture.moving)
            stopped.clear()
            box.fit = None
            for control in (*controls, lesson, train):
                control.disabled = True
            stop.disabled = False
            box.training = threading.Thread(target=run, args=(picture, training), daemon=True)
            box.training.start()

    def choose(change: dict) -> None:
        if (chosen := change["new"]) is None:
            return
        with paused_observers(changed, controls):
            law.value, objective.value, activation.value = chosen.law, chosen.objective, chosen.activation
            data.value, rate.value = chosen.data, chosen.learning_rate
        shown()

    controls = (law, objective, activation, data, rate, seed)
    picture: Picture
    pictures: dict[tuple[str, float], Picture] = {}  # by law and noise
    prepared()
    stage = Stage(picture.figure, picture.moving)
    for control in controls:
        control.observe(changed, "value")
    lesson.observe(choose, "value")
    train.on_click(begin)
    stop.on_click(lambda _: stopped.set())
    shown()
    box.children = (
        ipywidgets.HBox([lesson, train, stop]),
        ipywidgets.HBox([law, objective, activation]),
        ipywidgets.HBox([data, rate, seed]),
        stage,
        message,
    )
    return replace_previous("training_theatre", box)
