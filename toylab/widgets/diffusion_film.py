"""One slider through time: the law of x_t, its score and its flow under several scores, side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from toylab import plotting
from toylab._internal import validate
from toylab.densities import Density
from toylab.experiments.diffusion import COLUMNS
from toylab.experiments.flow_state import EXTENT, FlowState, flow_state
from toylab.metrics import Extent
from toylab.samplers import probability_flow, rk4_step
from toylab.schedules import uniform
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, require_sde
from toylab.widgets.frame import generator, message_line, paused_observers, replace_previous, seed_box, show_errors
from toylab.widgets.stage import Stage, off_screen

_STEPS = 4  # of the flow, by RK4, from frame to frame


@dataclass(frozen=True, eq=False)
class Film:
    """What the slider moves through.

    Attributes:
        times: falling from 1, shape [frames].
        columns: by name, the states at these times.
        extent: the square that is shown.
    """

    times: tuple[float, ...]
    columns: dict[str, tuple[FlowState, ...]]
    extent: Extent


Shot = Callable[[torch.Generator], Film]


def filmed(
    sde: SDE,
    scores: Mapping[str, tuple[NoiseConditionalScore, Density | None]],
    *,
    n_frames: int = 41,
    n_paths: int = 60,
    extent: Extent = EXTENT,
    generator: torch.Generator | None = None,
) -> Film:
    """Follow the probability flow from one start under each score, and note the state at each frame.

    Args:
        sde: such as ``VP()``.
        scores: by name, a score s(x, sigma) and the law whose score it is, None if no law is known:
            {"exact": (p.score, p), "empirical": (data.score, data), "learned": (network, None)}.
        n_frames: from t = 1 to ``sde.t_min``, or 0.001 if that is later, evenly in the root of t, so that the end is
            seen slowly.
        n_paths: points that flow.
        extent: the square that is shown.
        generator: draws the start; None is torch's global stream.
    """
    require_sde(sde)
    validate.count("n_frames", n_frames, least=2)
    validate.count("n_paths", n_paths)
    if not scores:
        raise ValueError("scores is empty: give at least one, such as {'exact': (p.score, p)}.")
    for name, pair in scores.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"scores[{name!r}] is {pair!r}: give (score, law), such as (p.score, p) or (network, None)."
            )
        validate.function(f"scores[{name!r}][0]", pair[0], "p.score")
    start: Tensor = sde.prior.sample((n_paths,), generator=generator)
    times = (uniform(1.0, max(sde.t_min, 1e-3) ** 0.5, n_frames).double() ** 2).tolist()
    columns = {}
    for name, (score, density) in scores.items():
        x, states = start, []
        for k, t in enumerate(times):
            if k:
                x = probability_flow(
                    sde, score, x, uniform(times[k - 1], t, _STEPS + 1), step=rk4_step, progress=False
                ).samples
            states.append(flow_state(sde, score, density, x, t, extent))
        columns[name] = tuple(states)
    return Film(tuple(times), columns, extent)


class Picture:
    """One off-screen figure whose artists are moved, so that a frame costs a drawing and no new figure."""

    def __init__(self, film: Film) -> None:
        self.film = film
        names = list(film.columns)
        with plotting.look():
            self.figure = off_screen(3.9 * len(names), 4.4)
            axes = self.figure.subplots(1, len(names), squeeze=False)[0]
            self.figure.subplots_adjust(left=0.01, right=0.99, bottom=0.09, top=0.92, wspace=0.03)
            self.columns = {}
            for ax, name in zip(axes, names, strict=True):
                first, color = film.columns[name][0], COLUMNS.get(name, plotting.NEUTRAL)
                plotting.density_map(np.nan_to_num(first.density), film.extent, cmap=plotting.GROUND_MAP, ax=ax)
                plotting.score_field(first.score, film.extent, color=color, ax=ax)
                (tails,) = ax.plot([], [], color=plotting.NEUTRAL, lw=0.8, alpha=0.6)
                (points,) = ax.plot([], [], "o", color=plotting.NEUTRAL, ms=5, mec="white", mew=0.6)
                words = ax.text(0.5, -0.03, "", ha="center", va="top", fontsize=12, transform=ax.transAxes)
                ax.set(xticks=[], yticks=[])
                ax.set_title(name, color=color, fontweight="bold")
                self.columns[name] = (ax.images[0], tails, ax.collections[-1], points, words)
        self.moving = [artist for column in self.columns.values() for artist in column]

    def at(self, k: int) -> str:
        """Move to frame k; returns what is to be seen."""
        for name, (image, tails, arrows, points, words) in self.columns.items():
            states = self.film.columns[name]
            now, density = states[k], np.nan_to_num(states[k].density)
            image.set_data(density)
            image.set_clim(0.0, max(float(density.max()), 1e-12))
            sizes = np.linalg.norm(now.score, axis=-1).max()
            shown = now.score / max(float(sizes), 1e-12) * self._longest(name)
            arrows.set_UVC(shown[..., 0], shown[..., 1])
            path = np.stack([states[j].points for j in range(k + 1)])
            gaps = np.full((1, *path.shape[1:]), np.nan)
            line = np.concatenate([path, gaps]).transpose(1, 0, 2).reshape(-1, 2)  # each path, then a gap
            tails.set_data(line[:, 0], line[:, 1])
            points.set_data(now.points[:, 0], now.points[:, 1])
            known = f"x₀ known to ± {now.spread:.2g}" if np.isfinite(now.spread) else "Cov[x₀|x] not positive"
            words.set_text(f"{known};  longest arrow {sizes:.3g}")
        seen = ", ".join(f"{name}: {column[-1].get_text()}" for name, column in self.columns.items())
        return f"Density, score and flow at time {self.film.times[k]:.3f} under several scores. {seen}."

    def _longest(self, name: str) -> float:
        """The size that the first frame's arrows were scaled for."""
        return float(np.linalg.norm(self.film.columns[name][0].score, axis=-1).max())


def diffusion_film(film: Film | Mapping[str, Shot]) -> ipywidgets.VBox:
    """A slider and a play button over a film; several films have a list to choose from, and a box for the seed.

    By keyboard: Tab to the slider, then the arrow keys.

    Args:
        film: from ``filmed``; or films by name, each a function of the generator that makes it, such as
            ``lambda g: filmed(VP(), {"exact": (p.score, p)}, generator=g)``. They are made when chosen.
    """
    shots: dict[str, Shot] = {"": lambda _: film} if isinstance(film, Film) else dict(film)
    if not shots:
        raise ValueError("no film: give one from filmed(...), or at least one by name.")
    for name, shot in shots.items():
        validate.function(f"the film {name!r}", shot, "lambda g: filmed(VP(), scores, generator=g)")

    style = {"description_width": "initial"}
    lesson = ipywidgets.Dropdown(options=list(shots), description="film", style=style, layout={"width": "430px"})
    play = ipywidgets.Play(min=0, max=1, interval=120, show_repeat=False)
    slider = ipywidgets.SelectionSlider(
        options=[("1", 0), ("0", 1)], description="time t (1: noise, 0: data)", style=style, layout={"width": "70%"}
    )
    seed, message = seed_box(), message_line()

    def made() -> Picture:
        found = shots[lesson.value](generator(seed.value))
        if not isinstance(found, Film):
            raise TypeError(f"{lesson.value!r} gave a {type(found).__name__}: a film is made by filmed(...).")
        return Picture(found)

    picture = made()
    stage = Stage(picture.figure, picture.moving)

    def redraw(_: object = None) -> None:
        with show_errors(message):
            stage.alt = picture.at(slider.value)
            stage.show()

    def wound() -> None:
        """The slider over the film at hand, at its start."""
        last = len(picture.film.times) - 1
        with paused_observers(redraw, (slider,)):
            play.value, play.max = 0, last
            slider.options = [(f"{t:.3f}", k) for k, t in enumerate(picture.film.times)]
        redraw()

    def make(_: object) -> None:
        nonlocal picture
        message.value = "making the film…"
        with show_errors(message):
            picture = made()
            stage.put(picture.figure, picture.moving)
            wound()

    slider.observe(redraw, names="value")
    ipywidgets.link((play, "value"), (slider, "value"))
    lesson.observe(make, "value")
    seed.observe(make, "value")
    wound()
    rows = [ipywidgets.HBox([play, slider]), stage, message]
    return replace_previous(
        "diffusion_film",
        ipywidgets.VBox(rows if isinstance(film, Film) else [ipywidgets.HBox([lesson, seed]), *rows]),
    )
