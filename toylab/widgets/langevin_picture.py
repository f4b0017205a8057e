"""The picture of the playground: two samplers side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from toylab import plotting
from toylab.densities import Density
from toylab.metrics import Extent
from toylab.widgets.langevin_run import CELLS, Run
from toylab.widgets.regions import Regions
from toylab.widgets.stage import off_screen


@dataclass(frozen=True)
class _Row:
    """The parts of one sampler's half that change, and its axes that take clicks."""

    chains: Axes
    trails: Line2D
    dots: Line2D
    visited: AxesImage
    bars: BarContainer
    errors: Line2D
    exact: Line2D
    titles: list[Text]

    @property
    def moving(self) -> tuple[Artist, ...]:
        return (self.trails, self.dots, self.visited, *self.bars, self.errors, self.exact, *self.titles)


class LangevinPicture:
    """Side by side, for each sampler: the chains now, all they have visited, and the share of each mode.

    Modes, or the quarters of a law without modes, are named by letters, in the picture and under the bars. A bar's
    error is that of independent chains that stay in one mode each, sqrt(w (1 - w) / n): no more than that, since those
    that cross average over modes.
    """

    def __init__(self, density: Density, regions: Regions, extent: Extent) -> None:
        self.density, self.regions, self.truth = density, regions, regions.shares.double().numpy()
        with plotting.look():
            self.figure = off_screen(12.4, 5.0)
            axes = self.figure.subplots(2, 3)
            self.rows = [self._sampler(*axes[k], left=0.5 * k, extent=extent) for k in range(2)]
        self.moving = [artist for row in self.rows for artist in row.moving]
        self.area = (extent[1] - extent[0]) * (extent[3] - extent[2]) / CELLS**2
        self.top = self.rows[0].chains.images[0].get_clim()[1]  # what is visited is shaded by the scale of the law
        self.variance = regions.variance

    def _sampler(self, chains: Axes, visited: Axes, shares: Axes, *, left: float, extent: Extent) -> _Row:
        chains.set_position((left + 0.004, 0.09, 0.331, 0.82))
        visited.set_position((left + 0.34, 0.53, 0.153, 0.38))
        shares.set_position((left + 0.372, 0.155, 0.12, 0.29))
        plotting.density_map(self.density, extent, cmap=plotting.GROUND_MAP, n=80, ax=chains)
        (trails,) = chains.plot([], [], color=plotting.OTHER, lw=0.8, alpha=0.5)
        (dots,) = chains.plot([], [], "o", color=plotting.OTHER, ms=4, mec="white", mew=0.3)
        plotting.density_map(np.zeros((CELLS, CELLS)), extent, ax=visited)
        modes, K = np.arange(len(self.truth)), len(self.truth)
        bars = shares.bar(modes, 0 * self.truth, width=0.6, color=plotting.OTHER)
        (errors,) = shares.plot([], [], color="black", lw=2)
        (exact,) = shares.plot(modes, self.truth, "D", color=plotting.EXACT, ms=9, mec="white")
        for ax in (chains, visited):
            ax.set(xticks=[], yticks=[])
        names = self.regions.names
        letters = [
            chains.text(x, y, name, ha="center", va="center", weight="bold", clip_on=True)
            for name, (x, y) in zip(names, self.regions.places.tolist(), strict=False)
        ]
        shares.set(ylim=(0, min(1.05, 2.2 * self.truth.max() + 0.05)), xlim=(-0.8, K - 0.2))
        shares.set_xticks(modes if names else [], labels=names or None)
        shares.set_title(f"shares, ◆ {self.regions.known}", fontsize=11, loc="left")
        shares.tick_params(labelsize=11)
        shares.yaxis.set_major_locator(MaxNLocator(2))
        titles = [
            chains.text(0.0, 1.02, "", ha="left", fontsize=13, weight="bold", transform=chains.transAxes),
            visited.text(0.5, 1.03, "", ha="center", fontsize=11, transform=visited.transAxes),
            chains.text(0.0, -0.03, "", ha="left", va="top", fontsize=12, transform=chains.transAxes),
        ]
        return _Row(chains, trails, dots, visited.images[0], bars, errors, exact, [*letters, *titles])

    def draw(self, runs: Sequence[Run]) -> str:
        """Show the two runs as they are now; returns what is seen, in words."""
        for row, run in zip(self.rows, runs, strict=True):
            row.dots.set_data(*run.x.cpu().numpy().T)
            row.visited.set_data(run.visited / max(run.in_modes.sum(), 1.0) / self.area)
            row.visited.set_clim(0.0, self.top)
            row.trails.set_data(*_with_gaps(run.trail))
            weights = np.nan_to_num(run.weights)
            for bar, height in zip(row.bars, weights, strict=True):
                bar.set_height(height)
            n = len(run.x)
            smooth = (n * weights + 1) / (n + 2)  # as metrics.mode_weights: an empty mode is not known exactly
            error = np.sqrt(smooth * (1 - smooth) / n) * run.in_modes.any()
            lines = np.stack([weights - error, weights + error, np.full(len(weights), np.nan)], -1)
            row.errors.set_data(np.repeat(np.arange(len(weights)), 3), lines.ravel())
            numbers = (
                f"variance {run.variance:.3g}, {self.regions.known} {self.variance:.3g}; accepted {run.acceptance:.0%}"
            )
            row.titles[-3].set_text(f"{run.name}, step {run.n_steps:,}")
            row.titles[-2].set_text(f"visited {run.since}")
            row.titles[-1].set_text(numbers if run.in_modes.any() else "press play")
        return self._describe(runs)

    def _describe(self, runs: Sequence[Run]) -> str:
        kind, known = self.regions.kind, self.regions.known
        rows = (
            f"{run.name} after {run.n_steps} steps: "
            + (
                f"{kind} weights {self._named(run.weights)}; variance in a {kind} {run.variance:.3g}; "
                f"acceptance {run.acceptance:.2f}."
                if run.in_modes.any()
                else "nothing is counted yet."
            )
            for run in runs
        )
        return " ".join([*rows, f"{known.capitalize()}: {self._named(self.truth)}; {self.variance:.3g}."])

    def _named(self, shares: np.ndarray) -> str:
        """The shares by the letters of their parts, where these have letters."""
        letters = self.regions.names or ("",) * len(shares)
        return ", ".join(f"{letter} {share:.2f}".strip() for letter, share in zip(letters, shares, strict=True))


def _with_gaps(trail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paths [m, n, 2] as one line with a gap after each."""
    paths = np.concatenate([trail, np.full((1, *trail.shape[1:]), np.nan)]).transpose(1, 0, 2)
    return paths[..., 0].ravel(), paths[..., 1].ravel()
