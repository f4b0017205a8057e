"""The picture of the explorer: density, field and noised samples, and what the score at one point says."""

import numpy as np
import torch
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from toylab import plotting
from toylab.densities import Density
from toylab.metrics import Extent, grid_points
from toylab.plotting.finite import longest_of
from toylab.widgets.score_reading import Reading, read_score
from toylab.widgets.stage import empty_field, off_screen

CELLS, _ARROWS = 80, 20


class ScorePicture:
    """Density, field, noised samples, and the posterior mean of one point as an arrow."""

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self.arrows_at = grid_points(extent, _ARROWS, dtype=torch.float64)
        self.longest = self.top = 1.0  # the score of the longest arrow, and the density that is black
        self.arrow_length = 1.5 * (extent[1] - extent[0]) / _ARROWS
        with plotting.look():
            self.figure = off_screen(7.0, 7.25)
            ax = self.figure.add_axes((0.01, 0.05, 0.98, 0.945))
            plotting.density_map(np.zeros((CELLS, CELLS)), extent, cmap=plotting.GROUND_MAP, ax=ax)
            self.image = ax.images[0]
            (self.dots,) = ax.plot([], [], "o", color=plotting.NEUTRAL, ms=4, mec="white", mew=0.4)
            self.quiver = empty_field(extent, _ARROWS, self.arrow_length, plotting.EXACT, ax)
            self.arrow = FancyArrowPatch(
                (0, 0), (0, 0), arrowstyle="-|>", mutation_scale=24, color=plotting.LEARNED, lw=3, shrinkA=0, shrinkB=0
            )
            ax.add_patch(self.arrow)
            (self.here,) = ax.plot([], [], "X", color="black", mec="white", ms=14)
            (self.mean,) = ax.plot([], [], "*", color=plotting.LEARNED, mec="white", ms=18)
            ax.set(xticks=[], yticks=[])
            self.caption = self.figure.text(0.5, 0.012, "", ha="center")
        self.moving = (self.image, self.dots, self.quiver, self.arrow, self.here, self.mean, self.caption)

    def draw(
        self,
        density: Density,
        sigma: float,
        point: tuple[float, float],
        clean: Tensor,
        noise: Tensor,
        *,
        cells: int = CELLS,
        hold: bool = False,
    ) -> Reading:
        """Show this density, noise and point; the samples drawn are ``clean`` + sigma ``noise``.

        Args:
            density: known at ``sigma``.
            sigma: the noise; 0 is the clean law.
            point: where the score is read.
            clean: draws of the clean law.
            noise: draws of N(0, I), as many.
            cells: per side, on which the density is drawn.
            hold: keep the scales of arrows and grey from the last picture, so that growth is seen.
        """
        reading = read_score(density, sigma, point)
        left, right, bottom, top = self.extent
        # each cell shows about its mean: otherwise a density finer than the cells would fall between them
        smear = 0.5 * max(right - left, top - bottom) / cells if sigma > 0 else 0.0
        at = grid_points(self.extent, cells, dtype=torch.float64)
        p = density.log_prob(at, float(np.hypot(sigma, smear))).exp().numpy()
        p = np.where(np.isfinite(p), p, 0.0)
        s = density.score(self.arrows_at, sigma).numpy()
        self.image.set_data(p)
        size, largest = np.linalg.norm(np.nan_to_num(s), axis=-1, keepdims=True), longest_of(s)
        if not hold:
            self.longest, self.top = largest, float(p.max())
        self.image.set_clim(0.0, self.top)
        s = s * np.minimum(1.0, self.longest / np.maximum(size, 1e-300)) / self.longest * self.arrow_length
        self.quiver.set_UVC(s[..., 0], s[..., 1])
        samples = (clean + sigma * noise).numpy()
        self.dots.set_data(samples[:, 0], samples[:, 1])
        self.here.set_data([point[0]], [point[1]])
        self.mean.set_data([reading.mean[0]], [reading.mean[1]])
        self.arrow.set_positions(point, reading.mean)
        cut, darker = largest > 1.001 * self.longest, float(p.max()) > 1.001 * self.top
        self.caption.set_text(
            f"longest arrow here {largest:.3g}; full length: {self.longest:.3g}{' or more' if cut else ''}; "
            f"shades up to p = {self.top:.2g}{' or more' if darker else ''}"
        )
        return reading
