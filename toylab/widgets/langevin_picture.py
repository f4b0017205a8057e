"""The picture of the playground: two rows of one sampler each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text

from toylab import plotting
from toylab.densities import GaussianMixture
from toylab.metrics import Extent, grid_points
from toylab.widgets.langevin_run import CELLS, Run
from toylab.widgets.stage import off_screen


@dataclass(frozen=True)
class _Row:
    """The parts of one sampler's row that change, and its axes that take clicks."""

    chains: Axes
    dots: Line2D
    visited: AxesImage
    bars: BarContainer
    exact: Line2D
    titles: list[Text]

    @property
    def moving(self) -> tuple[Artist, ...]:
        return (self.dots, self.visited, *self.bars, self.exact, *self.titles)


class LangevinPicture:
    """Two rows, one per sampler: the chains now, all they have visited, and the share of each mode."""

    def __init__(self, density: GaussianMixture, extent: Extent) -> None:
        self.density, self.truth = density, density.weights.numpy()
        with plotting.look():
            self.figure = off_screen(10.8, 7.3)
            axes = self.figure.subplots(2, 3)
            self.rows = [self._row(*axes[k], bottom=0.535 - 0.475 * k, extent=extent) for k in range(2)]
        self.moving = [artist for row in self.rows for artist in row.moving]
        self.area = (extent[1] - extent[0]) * (extent[3] - extent[2]) / CELLS**2
        self.top = 1.2 * float(density.log_prob(grid_points(extent, CELLS)).exp().max())
        self.variance = float(density.covariances.diagonal(dim1=-2, dim2=-1).mean(-1) @ density.weights)

    def _row(self, chains: Axes, visited: Axes, shares: Axes, *, bottom: float, extent: Extent) -> _Row:
        for ax, left, width in ((chains, 0.01, 0.285), (visited, 0.31, 0.285), (shares, 0.665, 0.325)):
            ax.set_position((left, bottom, width, 0.42))
        plotting.density_map(self.density, extent, cmap=plotting.GROUND_MAP, n=80, ax=chains)
        (dots,) = chains.plot([], [], "o", color=plotting.OTHER, ms=4, mec="white", mew=0.3)
        plotting.density_map(np.zeros((CELLS, CELLS)), extent, ax=visited)
        modes = np.arange(len(self.truth))
        bars = shares.bar(modes, 0 * self.truth, width=0.6, color=plotting.OTHER)
        (exact,) = shares.plot(modes, self.truth, "D", color=plotting.EXACT, ms=10, mec="white")
        for ax in (chains, visited):
            ax.set(xticks=[], yticks=[])
        shares.set(ylim=(0, 1.05), xlim=(-0.8, len(self.truth) - 0.2), xticks=[], ylabel="share of a mode (◆ exact)")
        titles = [
            ax.text(0.5, 1.02, "", ha="center", fontsize=12, transform=ax.transAxes) for ax in (chains, visited, shares)
        ]
        return _Row(chains, dots, visited.images[0], bars, exact, titles)

    def draw(self, runs: Sequence[Run]) -> str:
        """Show the two runs as they are now; returns what is seen, in words."""
        for row, run in zip(self.rows, runs, strict=True):
            row.dots.set_data(*run.x.cpu().numpy().T)
            row.visited.set_data(run.visited / max(run.in_modes.sum(), 1.0) / self.area)
            row.visited.set_clim(0.0, self.top)
            for bar, height in zip(row.bars, np.nan_to_num(run.weights), strict=True):
                bar.set_height(height)
            numbers = f"variance {run.variance:.3g}, exact {self.variance:.3g}; accepted {run.acceptance:.0%}"
            row.titles[0].set_text(f"{run.name}, step {run.n_steps:,}")
            row.titles[1].set_text(f"visited {run.since}")
            row.titles[2].set_text(numbers if run.in_modes.any() else "press play")
        return self._describe(runs)

    def _describe(self, runs: Sequence[Run]) -> str:
        rows = (
            f"{run.name} after {run.n_steps} steps: mode weights {', '.join(f'{w:.2f}' for w in run.weights)}; "
            f"variance in a mode {run.variance:.3g}; acceptance {run.acceptance:.2f}."
            for run in runs
        )
        return " ".join([*rows, f"Exact: {', '.join(f'{w:.2f}' for w in self.truth)}; {self.variance:.3g}."])
