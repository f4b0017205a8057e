"""The levels of annealed Langevin: how far they overlap, and at which of them the mode weights are decided."""

from collections.abc import Mapping
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from toylab import plotting
from toylab._internal import validate
from toylab.densities import GaussianMixture, isotropic, two_modes
from toylab.metrics import Extent, ModeWeightTrace, histogram, mode_weight_trace
from toylab.samplers import Chains, annealed_langevin, uniform_start
from toylab.schedules import geometric, overlap
from toylab.widgets.frame import (
    generator,
    lesson_list,
    message_line,
    mixtures,
    paused_observers,
    replace_previous,
    seed_box,
    show_errors,
)
from toylab.widgets.stage import Stage, off_screen

EXTENT: Extent = (-8.0, 8.0, -8.0, 8.0)
LAWS = {
    "two far modes, as in the paper": two_modes(),
    "two near modes": isotropic([[-1.5, -1.5], [1.5, 1.5]], 1.0, weights=[0.2, 0.8]),
    "a narrow mode and a wide one": GaussianMixture(
        [0.3, 0.7], [[-4.0, -4.0], [3.0, 3.0]], [[[0.04, 0.0], [0.0, 0.04]], [[2.0, 0.0], [0.0, 2.0]]]
    ),
}
N_CHAINS, _CELLS, _MOST = 1280, 48, 30
# 90 % of the noise of a level has a length between these two times sigma (Rayleigh)
_SHORT, _LONG = np.sqrt(-2 * np.log(0.95)), np.sqrt(-2 * np.log(0.05))


@dataclass(frozen=True)
class Ladder:
    """n levels from ``first`` down to ``last``, n_steps at each with alpha_i = rate sigma_i^2."""

    law: str
    n: int
    first: float
    last: float
    n_steps: int = 100
    rate: float = 0.1

    @property
    def sigmas(self) -> Tensor:
        """The levels, shape [n]; of a single one, the last.

        Raises:
            ValueError: if they do not decrease.
        """
        return torch.tensor([self.last]) if self.n == 1 else geometric(self.first, self.last, self.n)


_PAPER = "two far modes, as in the paper"
LESSONS = {
    "the ladder of the paper": Ladder(_PAPER, 10, 20.0, 1.0),
    "the first level too small: the start is never forgotten": Ladder(_PAPER, 10, 2.0, 1.0),
    "the last level too large: blurred": Ladder(_PAPER, 10, 20.0, 4.0),
    "too few levels for the steps": Ladder(_PAPER, 2, 20.0, 0.3, 20),
    "too few steps a level": Ladder(_PAPER, 10, 20.0, 1.0, 3),
    "one level alone: plain Langevin": Ladder(_PAPER, 1, 1.0, 1.0, 500),
    "a narrow mode is found last": Ladder("a narrow mode and a wide one", 12, 20.0, 0.1),
}


def descended(
    density: GaussianMixture, ladder: Ladder, extent: Extent, rng: torch.Generator
) -> tuple[Chains, ModeWeightTrace]:
    """Annealed Langevin down the ladder from a uniform start, and the mode weights after each level."""
    start = uniform_start(N_CHAINS, extent, generator=rng)
    chains = annealed_langevin(
        density.score, start, ladder.sigmas, step_size=ladder.rate * ladder.last**2, n_steps=ladder.n_steps,
        keep_every=ladder.n_steps, generator=rng, progress=False,
    )  # fmt: skip
    if chains.diverged.any():
        raise ValueError(
            f"{int(chains.diverged.sum())} of {N_CHAINS} chains diverged, the first at step "
            f"{int(chains.diverged_at[chains.diverged].min())}: take a smaller step size α / σ²."
        )
    return chains, mode_weight_trace(chains, density)


class Picture:
    """The bands of the levels; the mode weight after each; where the chains ended."""

    def __init__(self, density: GaussianMixture, extent: Extent) -> None:
        self.density, self.extent = density, extent
        self.mode = int(density.weights.argmax())
        self.exact = float(density.weights[self.mode])
        with plotting.look():
            self.figure = off_screen(12.0, 4.7)
            bands, course, ends = self.figure.subplots(1, 3)
            bands.set_position((0.055, 0.14, 0.27, 0.76))
            course.set_position((0.4, 0.14, 0.265, 0.76))
            ends.set_position((0.69, 0.06, 0.305, 0.84))
            bands.set(xscale="log", xlim=(0.01, 200), xlabel="length of the noise |σz|", ylabel="level")
            bands.yaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
            self.bars = bands.barh(range(1, _MOST + 1), 1.0, left=1.0, height=0.7, color=plotting.NEUTRAL, alpha=0.75)
            (self.ticks,) = bands.plot([], [], "|", color="white", ms=7, mew=2)
            course.set(
                xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="level (0: the start)", ylabel="share of the larger mode"
            )
            course.axhline(self.exact, color=plotting.EXACT, lw=2)
            (self.decided,) = course.plot([], [], color=plotting.NEUTRAL, lw=2, ls=":")
            (self.line,) = course.plot([], [], "o-", color=plotting.OTHER, lw=2.5, ms=6)
            plotting.density_map(np.zeros((_CELLS, _CELLS)), extent, ax=ends)
            ends.set(xticks=[], yticks=[])
            self.words = [ax.text(0.5, 1.025, "", ha="center", transform=ax.transAxes) for ax in (bands, course, ends)]
            course.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        self.bands, self.course, self.image = bands, course, ends.images[0]
        self.moving = (
            *self.bars,
            self.ticks,
            bands.yaxis,
            self.decided,
            self.line,
            course.xaxis,
            self.image,
            *self.words,
        )

    def stand(self, ladder: Ladder) -> str:
        """Show the ladder, nothing run on it yet; returns what is seen."""
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
        for text, words in zip(self.words, (shared, "press run", ""), strict=True):
            text.set_text(words)
        span = f"at {ladder.last:.3g}" if ladder.n == 1 else f"from {ladder.first:.3g} to {ladder.last:.3g}"
        return f"Levels: {ladder.n}, {span}. Overlap: {shared}."

    def run(self, ladder: Ladder, chains: Chains, ledger: ModeWeightTrace) -> str:
        """Show the descent; returns what is seen."""
        share, error = ledger.weights[:, self.mode].numpy(), float(ledger.standard_errors[-1, self.mode])
        self.line.set_data(range(len(share)), share)
        decided = int((ledger.moved >= 0.02).nonzero().max()) if (ledger.moved >= 0.02).any() else 0
        self.decided.set_data([decided, decided], [0, 1])
        seen = histogram(chains.samples, self.extent, _CELLS)
        self.image.set_data(seen)
        self.image.set_clim(0.0, float(seen.max()))
        x = chains.samples.double()
        own = self.density.means[self.density.posterior(x).argmax(-1)]
        variance = float((x - own).square().mean())
        aimed_at = float(self.density.covariances.diagonal(dim1=-2, dim2=-1).mean(-1) @ self.density.weights)
        said = (
            f"{share[-1]:.3f} ± {error:.3f}, exact {self.exact:.3f}, by level {decided}",
            f"variance {variance:.2f}, law at σ_L: {aimed_at + ladder.last**2:.2f}",
        )
        self.words[1].set_text(said[0])
        self.words[2].set_text(said[1])
        return f"Share of the larger mode {said[0]}. In a mode: {said[1]}."


def noise_ladder(laws: Mapping[str, GaussianMixture] | None = None, *, extent: Extent = EXTENT) -> ipywidgets.VBox:
    """Choose a ladder of noise levels; see how far they overlap; run annealed Langevin down it.

    A bar is a level: 90 % of its noise has a length within it; its tick is sigma. The middle picture has the share of
    the larger mode after each level: it changes where chains still cross, and what it is when they stop it remains.
    By keyboard: Tab to a control, arrow keys to move it, Enter on the button.

    Args:
        laws: mixtures by name; None takes ``LAWS``.
        extent: the square that is shown, in which the chains start.
    """
    laws = mixtures(LAWS if laws is None else laws)
    validate.extent("extent", extent)
    lessons = {text: ladder for text, ladder in LESSONS.items() if ladder.law in laws}
    first = next(iter(lessons.values()), Ladder(next(iter(laws)), 10, 20.0, 1.0))

    style = {"description_width": "initial"}
    wide = {"width": "400px"}
    lesson = lesson_list(lessons)
    law = ipywidgets.Dropdown(options=list(laws), value=first.law, description="law", style=style,
                              layout={"width": "290px"})  # fmt: skip
    n = ipywidgets.IntSlider(first.n, min=1, max=_MOST, description="levels L", style=style, layout=wide)
    n_steps = ipywidgets.IntSlider(first.n_steps, min=1, max=500, description="steps a level", style=style, layout=wide)
    largest, smallest = (
        ipywidgets.FloatLogSlider(
            value=value,
            base=10,
            min=-2,
            max=2,
            step=0.02,
            description=text,
            readout_format=".3g",
            style=style,
            layout=wide,
        )  # fmt: skip
        for value, text in ((first.first, "first level σ₁"), (first.last, "last level σ_L"))
    )
    rate = ipywidgets.FloatText(
        first.rate, step=0.01, description="step size α / σ²", style=style, layout={"width": "200px"}
    )
    run = ipywidgets.Button(description="run", button_style="primary", tooltip=f"{N_CHAINS} chains down the ladder")
    seed, message = seed_box(), message_line()
    controls = (law, n, n_steps, largest, smallest, rate, seed)
    picture = Picture(laws[law.value], extent)
    pictures = {law.value: picture}
    stage = Stage(picture.figure, picture.moving)

    def chosen() -> Ladder:
        validate.positive("α / σ²", rate.value)
        ladder = Ladder(law.value, n.value, largest.value, smallest.value, n_steps.value, rate.value)
        ladder.sigmas  # noqa: B018  a ladder that does not decrease is told before anything is drawn
        return ladder

    def fitting() -> Ladder:
        """The ladder now chosen, and the picture of its law."""
        nonlocal picture
        ladder = chosen()
        if law.value not in pictures:
            pictures[law.value] = Picture(laws[law.value], extent)
        picture = pictures[law.value]
        return ladder

    def stand() -> None:
        with show_errors(message):
            ladder = fitting()
            stage.alt = picture.stand(ladder)
            stage.put(picture.figure, picture.moving)

    def changed(_: object) -> None:
        lesson.index = 0  # it is no longer that of the list
        stand()

    def descend(_: object) -> None:
        run.disabled = True
        with show_errors(message):
            ladder = fitting()
            outcome = descended(laws[law.value], ladder, extent, generator(seed.value))
            stage.alt = f"{picture.stand(ladder)} {picture.run(ladder, *outcome)}"
            stage.put(picture.figure, picture.moving)
        run.disabled = False

    def choose(change: dict) -> None:
        if (ladder := change["new"]) is None:
            return
        with paused_observers(changed, controls):
            law.value, n.value, n_steps.value = ladder.law, ladder.n, ladder.n_steps
            largest.value, smallest.value, rate.value = ladder.first, ladder.last, ladder.rate
        stand()

    for control in controls:
        control.observe(changed, "value")
    lesson.observe(choose, "value")
    run.on_click(descend)
    stand()
    return replace_previous(
        "noise_ladder",
        ipywidgets.VBox(
            [
                ipywidgets.HBox([lesson, law]),
                ipywidgets.HBox([n, n_steps]),
                ipywidgets.HBox([largest, smallest]),
                ipywidgets.HBox([rate, seed, run]),
                stage,
                message,
            ]
        ),
    )
