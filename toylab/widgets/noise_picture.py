"""The picture of the ladder: the bands of its levels, the mode weight after each, and where the chains ended."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from toylab import plotting
from toylab.densities import Density
from toylab.metrics import Extent, ModeWeightTrace, histogram
from toylab.samplers import Chains
from toylab.schedules import overlap
from toylab.widgets.noise_descent import Ladder, variance_in_parts
from toylab.widgets.regions import regions_of
from toylab.widgets.stage import off_screen

MOST_LEVELS = 30
_CELLS = 48
# 90 % of the noise of a level has a length between these two times sigma (Rayleigh)
_SHORT, _LONG = float(np.sqrt(-2 * np.log(0.95))), float(np.sqrt(-2 * np.log(0.05)))


class LadderPicture:
    """The bands of the levels; the mode weight after each; where the chains ended."""

    def __init__(self, density: Density, extent: Extent) -> None:
        self.density, self.extent = density, extent
        self.regions = regions_of(density)
        self.mode = int(self.regions.shares.argmax())
        self.exact = float(self.regions.shares[self.mode])
        self.part = "larger mode" if self.regions.kind == "mode" else f"quarter {self.regions.names[self.mode]}"
        with plotting.look():
            self.figure = off_screen(12.0, 4.7)
            bands, course, ends = self.figure.subplots(1, 3)
            bands.set_position((0.055, 0.14, 0.27, 0.76))
            course.set_position((0.4, 0.14, 0.265, 0.76))
            ends.set_position((0.69, 0.06, 0.305, 0.84))
            bands.set(xscale="log", xlim=(0.01, 200), xlabel="length of the noise |σz|", ylabel="level")
            bands.yaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
            self.bars = bands.barh(
                range(1, MOST_LEVELS + 1), 1.0, left=1.0, height=0.7, color=plotting.NEUTRAL, alpha=0.75
            )
            (self.ticks,) = bands.plot([], [], "|", color="white", ms=7, mew=2)
            course.set(
                xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="level (0: the start)", ylabel=f"share of the {self.part}"
            )
            course.axhline(self.exact, color=plotting.EXACT, lw=2)
            (self.decided,) = course.plot([], [], color=plotting.NEUTRAL, lw=2, ls=":")
            (self.line,) = course.plot([], [], "o-", color=plotting.OTHER, lw=2.5, ms=6)
            plotting.density_map(np.zeros((_CELLS, _CELLS)), extent, ax=ends)
            ends.set(xticks=[], yticks=[])
            self.titles = [ax.text(0.5, 1.025, "", ha="center", transform=ax.transAxes) for ax in (bands, course, ends)]
            course.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        self.bands, self.course, self.image = bands, course, ends.images[0]
        self.moving = (
            *self.bars, self.ticks, bands.yaxis, self.decided, self.line, course.xaxis, self.image, *self.titles,
        )  # fmt: skip

    def show_ladder(self, ladder: Ladder) -> str:
        """Show the ladder before anything is run on it; returns what is seen, in words."""
        sigmas = ladder.sigmas.double().numpy()
        for k, bar in enumerate(self.bars):
            bar.set_visible(k < ladder.n)
            if k < ladder.n:
                bar.set_x(_SHORT * sigmas[k])
                bar.set_width((_LONG - _SHORT) * sigmas[k])
        self.ticks.set_data(sigmas, range(1, ladder.n + 1))
        self.line.set_data([], [])
        self.decided.set_data([], [])
        self.bands.set_ylim(max(ladder.n, 5) + 0.6, 0.4)
        self.course.set_xlim(-0.3, ladder.n + 0.3)
        self.image.set_data(np.zeros((_CELLS, _CELLS)))
        shared = "one level" if ladder.n == 1 else f"neighbours share {float(overlap(ladder.sigmas)[0]):.2f}"
        for title, text in zip(self.titles, (shared, "press run", ""), strict=True):
            title.set_text(text)
        span = f"at {ladder.last:.3g}" if ladder.n == 1 else f"from {ladder.first:.3g} to {ladder.last:.3g}"
        return f"Levels: {ladder.n}, {span}. Overlap: {shared}."

    def show_descent(self, ladder: Ladder, chains: Chains, trace: ModeWeightTrace) -> str:
        """Show the outcome of a descent; returns what is seen, in words."""
        share, error = trace.weights[:, self.mode].cpu().numpy(), float(trace.standard_errors[-1, self.mode])
        self.line.set_data(range(len(share)), share)
        decided = int((trace.moved >= 0.02).nonzero().max()) if (trace.moved >= 0.02).any() else 0
        self.decided.set_data([decided, decided], [0, 1])
        ends = histogram(chains.samples, self.extent, _CELLS)
        self.image.set_data(ends)
        self.image.set_clim(0.0, float(ends.max()))
        variance = variance_in_parts(chains.samples, self.regions)
        weight = f"{share[-1]:.3f} ± {error:.3f}, {self.regions.known} {self.exact:.3f}, by level {decided}"
        width = f"variance {variance:.2f}, law at σ_L: {self.regions.variance + ladder.last**2:.2f}"
        self.titles[1].set_text(weight)
        self.titles[2].set_text(width)
        where = "In a mode" if self.regions.kind == "mode" else "About the middle"
        return f"Share of the {self.part} {weight}. {where}: {width}."
