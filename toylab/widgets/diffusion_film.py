"""One slider through time: the law of x_t, its score and its flow under several scores, side by side."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from toylab import checks, plotting
from toylab.densities import Density
from toylab.experiments.diffusion import COLUMNS, EXTENT, State, state
from toylab.metrics import Extent
from toylab.samplers import probability_flow, rk4_step
from toylab.schedules import uniform
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, checked

_DPI = 72
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
    columns: dict[str, tuple[State, ...]]
    extent: Extent


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
    checked(sde)
    checks.count("n_frames", n_frames, least=2)
    checks.count("n_paths", n_paths)
    if not scores:
        raise ValueError("scores is empty: give at least one, such as {'exact': (p.score, p)}.")
    for name, pair in scores.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"scores[{name!r}] is {pair!r}: give (score, law), such as (p.score, p) or (network, None)."
            )
        checks.function(f"scores[{name!r}][0]", pair[0], "p.score")
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
            states.append(state(sde, score, density, x, t, extent))
        columns[name] = tuple(states)
    return Film(tuple(times), columns, extent)


class Picture:
    """One off-screen figure whose artists are moved, so that a frame costs a drawing and no new figure."""

    def __init__(self, film: Film) -> None:
        self.film = film
        names = list(film.columns)
        with plotting.look():
            self.figure = Figure(figsize=(4.3 * len(names), 4.9), dpi=_DPI)
            self.canvas = FigureCanvasAgg(self.figure)
            axes = self.figure.subplots(1, len(names), squeeze=False)[0]
            self.figure.subplots_adjust(left=0.01, right=0.99, bottom=0.09, top=0.92, wspace=0.03)
            self.artists = {}
            for ax, name in zip(axes, names, strict=True):
                first, color = film.columns[name][0], COLUMNS.get(name, plotting.NEUTRAL)
                plotting.density_map(np.nan_to_num(first.density), film.extent, cmap=plotting.GROUND_MAP, ax=ax)
                plotting.score_field(first.score, film.extent, color=color, ax=ax)
                (tails,) = ax.plot([], [], color=plotting.NEUTRAL, lw=0.8, alpha=0.6)
                (points,) = ax.plot([], [], "o", color=plotting.NEUTRAL, ms=5, mec="white", mew=0.6)
                ax.set(xticks=[], yticks=[])
                ax.set_title(name, color=color, fontweight="bold")
                self.artists[name] = (ax, ax.images[0], ax.collections[-1], tails, points)

    def at(self, k: int) -> bytes:
        """Frame k as a PNG."""
        for name, (ax, image, arrows, tails, points) in self.artists.items():
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
            ax.set_xlabel(f"{known};  longest arrow {sizes:.2g}")
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", pil_kwargs={"compress_level": 1})
        return buffer.getvalue()

    def _longest(self, name: str) -> float:
        """The size that the first frame's arrows were scaled for."""
        return float(np.linalg.norm(self.film.columns[name][0].score, axis=-1).max())


def diffusion_film(film: Film) -> ipywidgets.VBox:
    """A slider and a play button over a film; keyboard: Tab to the slider, then the arrow keys.

    Args:
        film: from ``filmed``.
    """
    picture, last = Picture(film), len(film.times) - 1
    width = round(picture.figure.get_figwidth() * _DPI)  # as drawn, and no larger
    image = ipywidgets.Image(
        value=picture.at(0), format="png", layout={"width": f"{width}px", "max_width": "100%", "height": "auto"}
    )
    image.add_class("toylab-film")
    play = ipywidgets.Play(min=0, max=last, interval=120, description="from noise to data")
    slider = ipywidgets.SelectionSlider(
        options=[(f"{t:.3f}", k) for k, t in enumerate(film.times)], description="time t",
        layout={"width": "60%"}, continuous_update=True,
    )  # fmt: skip

    def redraw(change: dict) -> None:
        image.value = picture.at(change["new"])

    slider.observe(redraw, names="value")
    ipywidgets.link((play, "value"), (slider, "value"))
    return ipywidgets.VBox([ipywidgets.HBox([play, slider]), image])
