"""A sampler while it runs: it continues by a few steps at a time, and what it visits is counted."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from toylab.densities import Density
from toylab.metrics import Extent
from toylab.samplers import Chains, hmc, langevin, mala
from toylab.schedules import geometric
from toylab.score import at
from toylab.widgets.regions import Regions

EXTENT: Extent = (-5.0, 5.0, -5.0, 5.0)
LEVELS, STEPS_PER_LEVEL = geometric(5.0, 0.1, 10).tolist(), 40  # of annealed Langevin; then it stays at the last level
CELLS = 50  # per side, of the histogram of what is visited
TRAILS, LONGEST_TRAIL = 12, 8  # chains whose last steps are kept, and how many

Move = Callable[["Run", int], Chains]


@dataclass(eq=False)
class Run:
    """A sampler while it runs: ``advance`` makes steps and counts where they lead.

    Attributes:
        density: the target.
        regions: the parts of the plane whose shares are counted.
        name: of the sampler, as it is shown.
        move: (run, n_steps) -> Chains that go on from ``x``, one frame per step, and make n_steps or fewer: see
            ``MOVES``.
        step_size: eps.
        noise: False leaves the noise out, where a sampler can run without it.
        x: the positions of the chains, shape [n, 2].
        generator: source of randomness.
        extent: the square in which positions are counted.
        n_steps: made so far.
        accepted: sum over these steps of the share of proposals accepted.
        since: when counting began, in words.
        visited: positions counted in each cell of the square, shape [CELLS, CELLS], rows from the bottom.
        in_modes: positions counted in each mode, shape [K].
        squares: sum of their square distances from the mean of their own mode.
        trail: the last places of some of the chains, shape [m, TRAILS, 2].
    """

    density: Density
    regions: Regions
    name: str
    move: Move
    step_size: float
    noise: bool
    x: Tensor
    generator: torch.Generator
    extent: Extent = EXTENT
    n_steps: int = field(init=False, default=0)
    accepted: float = field(init=False, default=0.0)
    since: str = field(init=False)
    visited: np.ndarray = field(init=False)
    in_modes: np.ndarray = field(init=False)
    squares: float = field(init=False)
    trail: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.forget("since the start")
        self.trail = self.x[None, :TRAILS].cpu().numpy()

    def forget(self, since: str) -> None:
        """Count anew from here."""
        self.since, self.squares = since, 0.0
        self.visited = np.zeros((CELLS, CELLS))
        self.in_modes = np.zeros(len(self.regions.shares))

    def advance(self, n_steps: int) -> None:
        """Make n_steps more, by the chains that have not left for ever.

        Raises:
            ValueError: from the sampler, for a step size that it refuses; if no chain is left.
        """
        while n_steps > 0:
            n, there = len(self.x), self.density.score(self.x, _level(self)).isfinite().all(-1)
            if not there.any():
                raise ValueError(f"all {n} chains diverged: take a smaller step_size, and start again.")
            if not there.all():
                self.x = self.x[there]
                self.trail = self.x[None, :TRAILS].cpu().numpy()
            chains = self.move(self, n_steps)
            made = len(chains.path) - 1
            self._count(chains.path[1:].reshape(-1, 2))
            self.accepted += made * float(chains.acceptance.mean())
            self.n_steps += made
            self.x = chains.samples
            self.trail = np.concatenate([self.trail, chains.path[1:, :TRAILS].cpu().numpy()])[-LONGEST_TRAIL:]
            n_steps -= made

    def _count(self, positions: Tensor) -> None:
        finite = positions[positions.isfinite().all(-1)].double()
        left, right, bottom, top = self.extent
        counts, _, _ = np.histogram2d(
            finite[:, 1].cpu().numpy(), finite[:, 0].cpu().numpy(), bins=CELLS, range=[[bottom, top], [left, right]]
        )
        modes = self.regions.part_of(finite)
        self.visited += counts
        self.in_modes += torch.bincount(modes, minlength=len(self.in_modes)).cpu().numpy()
        self.squares += float((finite - self.regions.centres.to(finite)[modes]).square().sum())

    @property
    def weights(self) -> np.ndarray:
        """Share of the positions counted that lies in each mode, shape [K]; nan while there is none."""
        return self.in_modes / self.in_modes.sum() if self.in_modes.any() else np.full(len(self.in_modes), np.nan)

    @property
    def variance(self) -> float:
        """Mean square distance per axis from the mean of its own mode; nan while nothing is counted."""
        return self.squares / (2 * float(self.in_modes.sum())) if self.in_modes.any() else float("nan")

    @property
    def acceptance(self) -> float:
        """Share of the proposals accepted; nan before the first step."""
        return self.accepted / self.n_steps if self.n_steps else float("nan")


def _level(run: Run) -> float:
    """The noise level of the next step: that of its ladder for annealed Langevin, else none."""
    return LEVELS[min(run.n_steps // STEPS_PER_LEVEL, len(LEVELS) - 1)] if run.move is _annealed else 0.0


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
    """Steps at the present level, no more than are left of it; the last level goes on for ever."""
    level, sigma = min(run.n_steps // STEPS_PER_LEVEL, len(LEVELS) - 1), _level(run)
    if run.n_steps == level * STEPS_PER_LEVEL:
        run.forget(f"at σ = {sigma:.2f}")
    if level < len(LEVELS) - 1:
        n_steps = min(n_steps, STEPS_PER_LEVEL - run.n_steps % STEPS_PER_LEVEL)
    return langevin(
        at(run.density.score, sigma), run.x, step_size=run.step_size * (sigma / LEVELS[-1]) ** 2, n_steps=n_steps,
        temperature=float(run.noise), keep_every=1, generator=run.generator, progress=False,
    )  # fmt: skip


ANNEALED = "annealed Langevin"  # needs the noised laws
MOVES: dict[str, Move] = {
    "Langevin": _langevin,
    "MALA": _mala,
    "HMC, 10 leapfrogs": _hmc,
    ANNEALED: _annealed,
}
NOISELESS = ("Langevin", ANNEALED)  # can do without noise; the others are not defined without it
