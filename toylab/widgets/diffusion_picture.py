"""The picture of a film: one column per score, moved from frame to frame."""

from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.quiver import Quiver
from matplotlib.text import Text

from toylab import plotting
from toylab.experiments.diffusion import COLUMNS
from toylab.experiments.flow_state import FlowState
from toylab.metrics import Extent
from toylab.plotting.finite import longest_of
from toylab.widgets.diffusion_states import Film
from toylab.widgets.stage import empty_field, off_screen


@dataclass(frozen=True)
class _Column:
    """The parts of one score's column that change, and the size that its arrows are scaled for."""

    image: AxesImage
    tails: Line2D
    arrows: Quiver
    points: Line2D
    caption: Text
    longest: float

    @property
    def moving(self) -> tuple[Artist, ...]:
        return (self.image, self.tails, self.arrows, self.points, self.caption)


class DiffusionPicture:
    """One off-screen figure whose artists are moved, so that a frame costs a drawing and no new figure."""

    def __init__(self, film: Film) -> None:
        self.film = film
        names = list(film.columns)
        with plotting.look():
            self.figure = off_screen(3.9 * len(names), 4.65)
            axes = self.figure.subplots(1, len(names), squeeze=False)[0]
            self.figure.subplots_adjust(left=0.01, right=0.99, bottom=0.135, top=0.925, wspace=0.03)
            self.columns = {
                name: _column(ax, name, film.columns[name][0], film.extent)
                for ax, name in zip(axes, names, strict=True)
            }
        self.moving = [artist for column in self.columns.values() for artist in column.moving]

    def show_frame(self, k: int) -> str:
        """Move to frame k; returns what is seen, in words."""
        for name, column in self.columns.items():
            states = self.film.columns[name]
            now, density = states[k], np.nan_to_num(states[k].density)
            column.image.set_data(density)
            column.image.set_clim(0.0, max(float(density.max()), 1e-12))
            longest = longest_of(now.score)
            arrows = now.score / longest * column.longest
            column.arrows.set_UVC(arrows[..., 0], arrows[..., 1])
            path = np.stack([states[j].points for j in range(k + 1)])
            gaps = np.full((1, *path.shape[1:]), np.nan)
            line = np.concatenate([path, gaps]).transpose(1, 0, 2).reshape(-1, 2)  # each path, then a gap
            column.tails.set_data(line[:, 0], line[:, 1])
            column.points.set_data(now.points[:, 0], now.points[:, 1])
            known = f"x₀ known to ± {now.spread:.2g}" if np.isfinite(now.spread) else "Cov[x₀|x] not positive"
            column.caption.set_text(f"{known}\nlongest arrow {longest:.3g}")
        seen = ", ".join(
            f"{name}: {column.caption.get_text().replace(chr(10), '; ')}" for name, column in self.columns.items()
        )
        return f"Density, score and flow at time {self.film.times[k]:.3f} under several scores. {seen}."


def _column(ax: Axes, name: str, first: FlowState, extent: Extent) -> _Column:
    color = COLUMNS.get(name, plotting.NEUTRAL)
    longest = longest_of(first.score)
    plotting.density_map(np.nan_to_num(first.density), extent, cmap=plotting.GROUND_MAP, ax=ax)
    arrows = empty_field(extent, len(first.score), longest, color, ax)
    (tails,) = ax.plot([], [], color=plotting.NEUTRAL, lw=0.8, alpha=0.6)
    (points,) = ax.plot([], [], "o", color=plotting.NEUTRAL, ms=5, mec="white", mew=0.6)
    caption = ax.text(0.5, -0.03, "", ha="center", va="top", fontsize=12, transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
    ax.set_title(name, color=color, fontweight="bold")
    return _Column(ax.images[0], tails, arrows, points, caption, longest)
