"""Two samplers side by side from the same start and seed: chains, all they have visited, and the mode weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from toylab import plotting
from toylab._internal import validate
from toylab.densities import GaussianMixture, isotropic, ring
from toylab.metrics import Extent, grid_points
from toylab.samplers import Chains, hmc, langevin, mala, uniform_start
from toylab.schedules import geometric
from toylab.score import at
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

EXTENT: Extent = (-5.0, 5.0, -5.0, 5.0)
LEVELS, STEPS_A_LEVEL = geometric(5.0, 0.1, 10).tolist(), 40  # of annealed Langevin; then it stays at the last level
LAWS = {
    "two far modes": isotropic([[-2.5, -2.5], [2.5, 2.5]], 0.5, weights=[0.2, 0.8]),
    "two near modes": isotropic([[-1.0, -1.0], [1.0, 1.0]], 0.6, weights=[0.2, 0.8]),
    "ring of eight": ring(),
    "one Gaussian of variance 1": isotropic([[0.0, 0.0]], 1.0),
}
_CELLS = 50

Move = Callable[["Run", int], Chains]


@dataclass(eq=False)
class Run:
    """A sampler on its way: ``advance`` makes steps and counts where they lead.

    Attributes:
        density: the target.
        name: of the sampler, as it is shown.
        move: (run, n_steps) -> Chains that go on from ``x``, a frame a step, and make n_steps or fewer: see ``MOVES``.
        step_size: eps.
        noise: False leaves the noise out, where a sampler can do without.
        x: where the chains stand, shape [n, 2].
        generator: source of randomness.
        extent: the square in which is counted.
    """

    density: GaussianMixture
    name: str
    move: Move
    step_size: float
    noise: bool
    x: Tensor
    generator: torch.Generator
    extent: Extent = EXTENT

    def __post_init__(self) -> None:
        self.n_steps, self.accepted = 0, 0.0
        self.forget("since the start")

    def forget(self, since: str) -> None:
        """Count anew from here."""
        self.since, self.squares = since, 0.0
        self.visited = np.zeros((_CELLS, _CELLS))
        self.in_modes = np.zeros(len(self.density.weights))

    def advance(self, n_steps: int) -> None:
        """Make n_steps more.

        Raises:
            ValueError: from the sampler, for a step size that is none.
        """
        while n_steps > 0:
            chains = self.move(self, n_steps)
            made = len(chains.path) - 1
            self._count(chains.path[1:].reshape(-1, 2))
            self.accepted += made * float(chains.acceptance.mean())
            self.n_steps += made
            self.x = chains.samples
            n_steps -= made

    def _count(self, positions: Tensor) -> None:
        sound = positions[positions.isfinite().all(-1)].double()
        left, right, bottom, top = self.extent
        counts, _, _ = np.histogram2d(
            sound[:, 1].numpy(), sound[:, 0].numpy(), bins=_CELLS, range=[[bottom, top], [left, right]]
        )
        modes = self.density.posterior(sound).argmax(-1)
        self.visited += counts
        self.in_modes += torch.bincount(modes, minlength=len(self.in_modes)).numpy()
        self.squares += float((sound - self.density.means.double()[modes]).square().sum())

    @property
    def weights(self) -> np.ndarray:
        """Share of the positions counted that lies in each mode, shape [K]; nan while there is none."""
        return self.in_modes / self.in_modes.sum() if self.in_modes.any() else np.full(len(self.in_modes), np.nan)

    @property
    def variance(self) -> float:
        """Mean square distance from the mean of the own mode, an axis; nan while nothing is counted."""
        return self.squares / (2 * self.in_modes.sum()) if self.in_modes.any() else float("nan")

    @property
    def acceptance(self) -> float:
        """Share of the proposals accepted; nan before the first step."""
        return self.accepted / self.n_steps if self.n_steps else float("nan")


def _langevin(run: Run, n_steps: int) -> Chains:
    return langevin(
        run.density.score, run.x, step_size=run.step_size, n_steps=n_steps, temperature=float(run.noise),
        keep_every=1, generator=run.generator, progress=False,
    )  # fmt: skip


def _mala(run: Run, n_steps: int) -> Chains:
    return mala(
        run.density.log_prob, run.density.score, run.x, step_size=run.step_size, n_steps=n_steps, keep_every=1,
        generator=run.generator, progress=False,
    )  # fmt: skip


def _hmc(run: Run, n_steps: int) -> Chains:
    return hmc(
        run.density.log_prob, run.density.score, run.x, step_size=run.step_size, n_leapfrog=10, n_steps=n_steps,
        keep_every=1, generator=run.generator, progress=False,
    )  # fmt: skip


def _annealed(run: Run, n_steps: int) -> Chains:
    """Steps at the level at hand, no more than are left of it; the last level goes on for ever."""
    level = min(run.n_steps // STEPS_A_LEVEL, len(LEVELS) - 1)
    sigma = LEVELS[level]
    if run.n_steps == level * STEPS_A_LEVEL:
        run.forget(f"at σ = {sigma:.2f}")
    if level < len(LEVELS) - 1:
        n_steps = min(n_steps, STEPS_A_LEVEL - run.n_steps % STEPS_A_LEVEL)
    return langevin(
        at(run.density.score, sigma), run.x, step_size=run.step_size * (sigma / LEVELS[-1]) ** 2, n_steps=n_steps,
        temperature=float(run.noise), keep_every=1, generator=run.generator, progress=False,
    )  # fmt: skip


MOVES = {"Langevin": _langevin, "MALA": _mala, "HMC, 10 leapfrogs": _hmc, "annealed Langevin": _annealed}
_NOISELESS = (_langevin, _annealed)  # the others are defined with noise alone


@dataclass(frozen=True)
class Setting:
    """A sampler, its step size, and whether its noise is on."""

    sampler: str
    step_size: float
    noise: bool = True


@dataclass(frozen=True)
class Lesson:
    """What is compared: a law, two settings, and where the chains start (None: everywhere)."""

    law: str
    first: Setting
    second: Setting
    start: tuple[float, float] | None = None


LESSONS = {
    "two far modes: Langevin cannot move the weights": Lesson(
        "two far modes", Setting("Langevin", 0.05), Setting("annealed Langevin", 0.01)
    ),
    "all start in the lesser mode": Lesson(
        "two far modes", Setting("MALA", 0.2), Setting("annealed Langevin", 0.01), (-2.5, -2.5)
    ),
    "two near modes: here Langevin does find them": Lesson(
        "two near modes", Setting("Langevin", 0.1), Setting("HMC, 10 leapfrogs", 0.1), (-1.0, -1.0)
    ),
    "step too large: Langevin is too wide, MALA is right": Lesson(
        "one Gaussian of variance 1", Setting("Langevin", 2.0), Setting("MALA", 2.0)
    ),
    "step far too large: Langevin loses the law, MALA hardly moves": Lesson(
        "ring of eight", Setting("Langevin", 0.5), Setting("MALA", 0.5)
    ),
    "without noise: ascent to the peaks, and no law": Lesson(
        "ring of eight", Setting("Langevin", 0.05, noise=False), Setting("Langevin", 0.05)
    ),
}


class Picture:
    """Two rows, a sampler each: the chains now, all they have visited, and the share of each mode."""

    def __init__(self, density: GaussianMixture, extent: Extent) -> None:
        self.density, self.rows, self.truth = density, [], density.weights.numpy()
        modes, truth = np.arange(len(self.truth)), self.truth
        with plotting.look():
            self.figure = off_screen(10.8, 7.3)
            axes = self.figure.subplots(2, 3)
            for row, (now, visited, shares) in enumerate(axes):
                bottom = 0.535 - 0.475 * row
                for ax, left, width in ((now, 0.01, 0.285), (visited, 0.31, 0.285), (shares, 0.665, 0.325)):
                    ax.set_position((left, bottom, width, 0.42))
                plotting.density_map(density, extent, cmap=plotting.GROUND_MAP, n=80, ax=now)
                (dots,) = now.plot([], [], "o", color=plotting.OTHER, ms=4, mec="white", mew=0.3)
                plotting.density_map(np.zeros((_CELLS, _CELLS)), extent, ax=visited)
                bars = shares.bar(modes, 0 * truth, width=0.6, color=plotting.OTHER)
                (exact,) = shares.plot(modes, truth, "D", color=plotting.EXACT, ms=10, mec="white")
                for ax in (now, visited):
                    ax.set(xticks=[], yticks=[])
                shares.set(ylim=(0, 1.05), xlim=(-0.8, len(truth) - 0.2), xticks=[], ylabel="share of a mode (◆ exact)")
                words = [
                    ax.text(0.5, 1.02, "", ha="center", fontsize=12, transform=ax.transAxes)
                    for ax in (now, visited, shares)
                ]
                self.rows.append((now, dots, visited.images[0], bars, exact, words))
        self.moving = [part for row in self.rows for part in (row[1], row[2], *row[3], row[4], *row[5])]
        self.area = (extent[1] - extent[0]) * (extent[3] - extent[2]) / _CELLS**2
        self.top = 1.2 * float(density.log_prob(grid_points(extent, _CELLS)).exp().max())
        self.variance = float(density.covariances.diagonal(dim1=-2, dim2=-1).mean(-1) @ density.weights)

    def draw(self, runs: Sequence[Run]) -> None:
        """The two runs as they stand."""
        for (_, dots, visited, bars, _, words), run in zip(self.rows, runs, strict=True):
            dots.set_data(*run.x.numpy().T)
            visited.set_data(run.visited / max(run.in_modes.sum(), 1.0) / self.area)
            visited.set_clim(0.0, self.top)
            for bar, height in zip(bars, np.nan_to_num(run.weights), strict=True):
                bar.set_height(height)
            found = f"variance {run.variance:.3g}, exact {self.variance:.3g}; accepted {run.acceptance:.0%}"
            said = (
                f"{run.name}, step {run.n_steps:,}",
                f"visited {run.since}",
                found if run.in_modes.any() else "press play",
            )
            for text, shown in zip(words, said, strict=True):
                text.set_text(shown)

    def described(self, runs: Sequence[Run]) -> str:
        """The numbers in words."""
        rows = (
            f"{run.name} after {run.n_steps} steps: mode weights {', '.join(f'{w:.2f}' for w in run.weights)}; "
            f"variance in a mode {run.variance:.3g}; acceptance {run.acceptance:.2f}."
            for run in runs
        )
        return " ".join([*rows, f"Exact: {', '.join(f'{w:.2f}' for w in self.truth)}; {self.variance:.3g}."])


def langevin_playground(
    laws: Mapping[str, GaussianMixture] | None = None, *, n_chains: int = 400, extent: Extent = EXTENT
) -> ipywidgets.VBox:
    """Two samplers on one law from the same start with the same seed: play, pause, step, start again.

    Click in the left pictures: all chains start there, or, after several clicks, in equal parts at each place.
    By keyboard: Tab to a control; on the picture the arrow keys move a cross, and Enter places the start.

    Args:
        laws: mixtures by name; None takes ``LAWS``.
        n_chains: of each sampler.
        extent: the square that is shown, in which the chains start.
    """
    laws = mixtures(LAWS if laws is None else laws)
    validate.count("n_chains", n_chains)
    validate.extent("extent", extent)
    lessons = {text: lesson for text, lesson in LESSONS.items() if lesson.law in laws}
    first = next(iter(lessons.values()), Lesson(next(iter(laws)), Setting("Langevin", 0.1), Setting("MALA", 0.1)))

    style = {"description_width": "initial"}
    lesson = lesson_list(lessons)
    law = ipywidgets.Dropdown(options=list(laws), value=first.law, description="law", style=style,
                              layout={"width": "250px"})  # fmt: skip
    rows = [_Row(place, setting) for place, setting in (("above", first.first), ("below", first.second))]
    speed = ipywidgets.IntSlider(5, min=1, max=50, description="steps a frame", style=style, layout={"width": "300px"})
    play = ipywidgets.Play(min=0, max=100_000, interval=60, show_repeat=False)
    step = ipywidgets.Button(description="step", tooltip="one step of both", layout={"width": "80px"})
    again = ipywidgets.Button(description="start again", tooltip="same start, same seed", layout={"width": "110px"})
    scatter = ipywidgets.Button(description="start everywhere", layout={"width": "140px"})
    seed, message = seed_box(), message_line()
    starts: list[tuple[float, float]] = [] if first.start is None else [first.start]
    picture: Picture
    runs: list[Run] = []
    ready = False  # the settings now chosen are those of the runs

    def start() -> None:
        """Both samplers at step 0 of the law, start and settings now chosen."""
        nonlocal picture, ready
        ready = False
        with show_errors(message):
            begun = []
            for row in rows:
                g = generator(seed.value)
                x = uniform_start(n_chains, extent, generator=g)
                if starts:
                    x = torch.tensor(starts).repeat(-(-n_chains // len(starts)), 1)[:n_chains]
                validate.positive("ε", row.step_size.value, "Give a step size greater than 0")
                name = row.sampler.value if row.noise.value else f"{row.sampler.value} without noise"
                move = MOVES[row.sampler.value]
                begun.append(Run(laws[law.value], name, move, row.step_size.value, row.noise.value, x, g, extent))
            runs[:] = begun
            if law.value not in pictures:
                pictures[law.value] = Picture(laws[law.value], extent)
            picture = pictures[law.value]
            picture.draw(runs)
            stage.alt = picture.described(runs)
            stage.put(picture.figure, picture.moving)
            ready = True

    def advance(n_steps: int) -> None:
        if not ready:  # a value that was refused is refused again
            start()
        if ready:
            with show_errors(message):
                for run in runs:
                    run.advance(n_steps)
                picture.draw(runs)
                stage.alt = picture.described(runs)
                stage.show()

    def changed(_: object) -> None:
        lesson.index = 0  # it is no longer that of the list
        for row in rows:
            row.check()
        start()

    def choose(change: dict) -> None:
        if (chosen := change["new"]) is None:
            return
        play.playing = False
        with paused_observers(changed, controls):
            law.value = chosen.law
            for row, setting in zip(rows, (chosen.first, chosen.second), strict=True):
                row.set(setting)
        starts[:] = [] if chosen.start is None else [chosen.start]
        start()

    def placed(ax: Axes, x: float, y: float) -> None:
        if ax in {row[0] for row in picture.rows}:
            starts.append((x, y))
            start()

    def everywhere(_: object) -> None:
        starts.clear()
        start()

    def from_here(_: object) -> None:
        start()

    picture = Picture(laws[law.value], extent)
    pictures = {law.value: picture}
    stage = Stage(picture.figure, picture.moving, placed=placed)
    controls = [law, seed, *(control for row in rows for control in row.controls)]
    for control in controls:
        control.observe(changed, "value")
    lesson.observe(choose, "value")
    play.observe(lambda change: advance(speed.value) if change["new"] else None, "value")
    step.on_click(lambda _: advance(1))
    again.on_click(from_here)
    scatter.on_click(everywhere)
    start()
    return replace_previous(
        "langevin_playground",
        ipywidgets.VBox(
            [
                ipywidgets.HBox([lesson, law, seed]),
                *(ipywidgets.HBox(row.controls) for row in rows),
                ipywidgets.HBox([play, step, again, scatter, speed]),
                stage,
                message,
            ]
        ),
    )


class _Row:
    """The controls of one sampler."""

    def __init__(self, place: str, setting: Setting) -> None:
        style = {"description_width": "initial"}
        self.sampler = ipywidgets.Dropdown(
            options=list(MOVES), value=setting.sampler, description=f"sampler {place}", style=style,
            layout={"width": "300px"},
        )  # fmt: skip
        self.step_size = ipywidgets.FloatText(
            setting.step_size, description="step size ε", style=style, layout={"width": "170px"},
            step=0.01,
        )  # fmt: skip
        self.noise = ipywidgets.Checkbox(setting.noise, description="noise", indent=False, layout={"width": "90px"})
        self.controls = (self.sampler, self.step_size, self.noise)
        self.check()

    def set(self, setting: Setting) -> None:
        self.sampler.value, self.step_size.value, self.noise.value = setting.sampler, setting.step_size, setting.noise
        self.check()

    def check(self) -> None:
        """Noise can be left out of a Langevin step; a proposal without it is none."""
        self.noise.disabled = MOVES[self.sampler.value] not in _NOISELESS
        if self.noise.disabled:
            self.noise.value = True
