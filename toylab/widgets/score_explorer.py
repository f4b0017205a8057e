"""One density, its noised scores, and what the score at a point says about where the point came from."""

from collections.abc import Mapping
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from toylab import plotting
from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.densities import Density, catalogue
from toylab.metrics import Extent, grid_points, posterior_mean
from toylab.widgets.frame import (
    generator,
    lesson_list,
    message_line,
    paused_observers,
    replace_previous,
    seed_box,
    show_errors,
)
from toylab.widgets.stage import Stage, off_screen

EXTENT: Extent = (-5.0, 5.0, -5.0, 5.0)
_CELLS, _ARROWS, _DOTS = 80, 20, 100
_TOO_SLOW = {"fractal_tree", "banana", "funnel", "student_t", "pinwheel", "two_moons", "spiral"}  # over 60 ms a picture


@dataclass(frozen=True)
class View:
    """What is looked at: a density by its name in the list, the noise, and a point."""

    density: str
    sigma: float
    point: tuple[float, float]


PRESETS = {
    "between two far modes: the score says little": View("two_modes", 0.3, (0.0, -1.0)),
    "the same place with noise: now it knows the way": View("two_modes", 4.0, (0.0, -1.0)),
    "a curve: the score grows like 1/σ": View("circle", 0.05, (3.1, 0.0)),
    "a data set: the posterior mean snaps to a point": View("points", 0.15, (2.4, 0.6)),
    "jumps: the score lives at the edges": View("checkerboard", 0.1, (0.3, 1.0)),
    "much noise: all laws look alike": View("ring", 10.0, (3.0, 1.0)),
}


@dataclass(frozen=True)
class Reading:
    """What is known at a point x of the law of X + sigma Z.

    Attributes:
        point: x.
        score: grad log p_sigma(x).
        log_prob: log p_sigma(x).
        mean: E[X | X + sigma Z = x], the posterior mean, by Tweedie's formula.
    """

    point: tuple[float, float]
    score: tuple[float, float]
    log_prob: float
    mean: tuple[float, float]


def reading(density: Density, sigma: float, point: tuple[float, float]) -> Reading:
    """The exact score, log-density and posterior mean at a point.

    Args:
        density: the clean law.
        sigma: standard deviation of the noise, > 0.
        point: where.
    """
    x = torch.tensor(point, dtype=torch.float64)
    score, mean = density.score(x, sigma).tolist(), posterior_mean(density.score, x, sigma).tolist()
    return Reading(point, tuple(score), float(density.log_prob(x, sigma)), tuple(mean))


class Picture:
    """Density, field, noised samples, and the posterior mean of one point as an arrow."""

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self.cells = grid_points(extent, _CELLS, dtype=torch.float64)
        self.arrows_at = grid_points(extent, _ARROWS, dtype=torch.float64)
        self.cell = max(extent[1] - extent[0], extent[3] - extent[2]) / _CELLS
        self.arrow_length = 1.5 * (extent[1] - extent[0]) / _ARROWS
        with plotting.look():
            self.figure = off_screen(7.0, 7.25)
            self.ax = self.figure.add_axes((0.01, 0.05, 0.98, 0.945))
            plotting.density_map(np.zeros((_CELLS, _CELLS)), extent, cmap=plotting.GROUND_MAP, ax=self.ax)
            (self.dots,) = self.ax.plot([], [], "o", color=plotting.NEUTRAL, ms=4, mec="white", mew=0.4)
            self.quiver = plotting.score_field(
                np.zeros((_ARROWS, _ARROWS, 2)), extent, longest=self.arrow_length, ax=self.ax
            ).collections[-1]
            self.arrow = FancyArrowPatch(
                (0, 0), (0, 0), arrowstyle="-|>", mutation_scale=24, color=plotting.LEARNED, lw=3, shrinkA=0, shrinkB=0
            )
            self.ax.add_patch(self.arrow)
            (self.here,) = self.ax.plot([], [], "X", color="black", mec="white", ms=14)
            (self.mean,) = self.ax.plot([], [], "*", color=plotting.LEARNED, mec="white", ms=18)
            self.ax.set(xticks=[], yticks=[])
            self.caption = self.figure.text(0.5, 0.012, "", ha="center")
        self.moving = (self.ax.images[0], self.dots, self.quiver, self.arrow, self.here, self.mean, self.caption)

    def draw(self, density: Density, sigma: float, point: tuple[float, float], clean: Tensor, noise: Tensor) -> Reading:
        """Move everything to this law, noise and point; ``clean`` + sigma ``noise`` are the samples drawn."""
        known = reading(density, sigma, point)
        # a cell shows about its mean: a law finer than the cells would else fall between them
        p = density.log_prob(self.cells, float(np.hypot(sigma, 0.5 * self.cell))).exp().numpy()
        s = density.score(self.arrows_at, sigma).numpy()
        image = self.ax.images[0]
        image.set_data(p)
        image.set_clim(0.0, float(p.max()))
        longest = float(np.linalg.norm(s, axis=-1).max())
        s = s / longest * self.arrow_length
        self.quiver.set_UVC(s[..., 0], s[..., 1])
        samples = (clean + sigma * noise).numpy()
        self.dots.set_data(samples[:, 0], samples[:, 1])
        self.here.set_data([point[0]], [point[1]])
        self.mean.set_data([known.mean[0]], [known.mean[1]])
        self.arrow.set_positions(point, known.mean)
        self.caption.set_text(f"longest arrow: a score of {longest:.3g}; black: density up to {float(p.max()):.2g}")
        return known


def score_explorer(densities: Mapping[str, Density] | None = None, *, extent: Extent = EXTENT) -> ipywidgets.VBox:
    """Drag the noise: density, samples and score move together. Click: the score there, and where it points.

    The star is the posterior mean E[X | x] = x + sigma^2 s(x, sigma), the best guess of the clean point (Tweedie).
    By keyboard: Tab to a control, arrow keys to move it; on the picture they move a cross, and Enter places it.

    Args:
        densities: by name; None takes those of the catalogue that are drawn within a tenth of a second.
        extent: the square that is shown.
    """
    if densities is None:
        densities = {name: example.density for name, example in catalogue().items() if name not in _TOO_SLOW}
    if not densities:
        raise ValueError("densities is empty: give at least one, such as {'two modes': two_modes()}.")
    for name, density in densities.items():
        if not isinstance(density, Density):
            raise TypeError(f"densities[{name!r}] is a {type(density).__name__}: give a density, such as two_modes().")
    left, right, bottom, top = validate.extent("extent", extent)
    presets = {text: view for text, view in PRESETS.items() if view.density in densities}
    first = next(
        iter(presets.values()), View(next(iter(densities)), 0.5, ((3 * left + right) / 4, (3 * bottom + top) / 4))
    )

    label = {"description_width": "initial"}
    preset = lesson_list(presets)
    law = ipywidgets.Dropdown(options=list(densities.items()), value=densities[first.density], description="density",
                              style=label, layout={"width": "260px"})  # fmt: skip
    noise = ipywidgets.FloatLogSlider(
        value=first.sigma, base=10, min=-2, max=1, step=0.02, description="noise σ (standard deviation)",
        readout_format=".3g", style=label, layout={"width": "460px"},
    )  # fmt: skip
    samples = ipywidgets.Checkbox(True, description="samples of p_σ", indent=False, layout={"width": "150px"})
    seed, message, numbers = seed_box(), message_line(), ipywidgets.HTML()
    picture, point = Picture(extent), first.point

    def redraw(_: object = None) -> None:
        with show_errors(message):
            g = generator(seed.value)
            clean = law.value.sample((_DOTS if samples.value else 0,), generator=g).double()
            z = normal_like(clean, g)
            known = picture.draw(law.value, noise.value, point, clean, z)
            numbers.value = _table(known, noise.value)
            stage.alt = (
                f"Density and score field at noise {noise.value:.3g}. At ({known.point[0]:.2f}, {known.point[1]:.2f}) "
                f"the score is ({known.score[0]:.3g}, {known.score[1]:.3g}) and the posterior mean "
                f"({known.mean[0]:.2f}, {known.mean[1]:.2f})."
            )
            stage.show()

    def changed(_: object) -> None:
        preset.index = 0  # it is no longer the lesson of the list
        redraw()

    def placed(_: Axes, x: float, y: float) -> None:
        nonlocal point
        point = (x, y)
        redraw()

    def choose(change: dict) -> None:
        nonlocal point
        view = change["new"]
        if view is None:
            return
        point = view.point
        with paused_observers(changed, (law, noise)):
            law.value, noise.value = densities[view.density], view.sigma
        redraw()

    stage = Stage(picture.figure, picture.moving, placed=placed)
    for control in (law, noise, samples, seed):
        control.observe(changed, "value")
    preset.observe(choose, "value")
    redraw()
    controls = ipywidgets.VBox([preset, ipywidgets.HBox([law, samples, seed]), noise], layout={"overflow": "visible"})
    return replace_previous("score_explorer", ipywidgets.VBox([controls, ipywidgets.HBox([stage, numbers]), message]))


def _table(known: Reading, sigma: float) -> str:
    """The numbers beside the picture."""
    x, s, m = known.point, known.score, known.mean
    rows = [
        ("point x (&#10006;)", f"({x[0]:.3f}, {x[1]:.3f})"),
        ("noise σ", f"{sigma:.3g}"),
        ("log p<sub>σ</sub>(x)", f"{known.log_prob:.3f}"),
        ("score s(x, σ)", f"({s[0]:.4g}, {s[1]:.4g})"),
        ("its size |s|", f"{float(np.hypot(*s)):.4g}"),
        ("posterior mean (&#9733;)<br>x + σ² s", f"({m[0]:.3f}, {m[1]:.3f})"),
    ]
    body = "".join(f"<tr><td style='padding:4px 14px 4px 4px'>{a}</td><td><b>{b}</b></td></tr>" for a, b in rows)
    return f"<table style='font-size:16px; line-height:1.4'>{body}</table>"
