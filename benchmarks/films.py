"""How long a film of 41 frames takes to be drawn and written, as a GIF and as a page, and what each weighs.

One time each, in seconds, the training of the theatre included. Each row has its goal.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.machine import made_with
from benchmarks.widgets import control
from toylab.densities import Points
from toylab.experiments.diffusion import target
from toylab.sde import VP
from toylab.widgets import (
    Animation,
    film,
    langevin_playground,
    noise_ladder,
    record_film,
    score_explorer,
    training_theatre,
)

GOALS = {"s": 5.0, "GIF, kB": 1000.0, "page, kB": 1000.0}


def run(share: float) -> dict[str, Any]:
    """Every film; always in full, since ``share`` would save nothing."""
    FILMS["playground"]()  # what is made at the first film of a process
    return {**made_with(1.0), "goals": GOALS, "films": {name: measured(made) for name, made in FILMS.items()}}


def measured(make: Callable[[], Animation]) -> dict[str, float]:
    """Seconds from the widget to both files, and their weights."""
    with TemporaryDirectory() as folder:
        gif, page = Path(folder) / "film.gif", Path(folder) / "film.html"
        begun = time.perf_counter()
        moving = make()
        moving.save(gif)
        moving.save(page)
        seconds = time.perf_counter() - begun
        weights = {"GIF, kB": gif.stat().st_size / 1e3, "page, kB": page.stat().st_size / 1e3}
    return {"s": round(seconds, 1), **{name: round(kB) for name, kB in weights.items()}}


def of_the_explorer(first: int, step: int = 1, density: str = "two_modes") -> Animation:
    """41 of its levels."""
    box = score_explorer()
    control(box, "density").value = density
    levels = [level for _, level in control(box, "noise").options]
    return film(box, "noise", (levels[first:] if first < 0 else levels)[max(first, 0) :: step][:41])


def of_three_scores() -> Animation:
    """The film of lesson 10."""
    p, g = target(), torch.Generator().manual_seed(0)
    data = Points(p.sample((24,), generator=g))
    return film(record_film(VP(), {"exact": p, "empirical": data, "learned": (p.score, None)}, generator=g))


FILMS: dict[str, Callable[[], Animation]] = {
    "explorer, least levels": lambda: of_the_explorer(0),
    "explorer, most levels": lambda: of_the_explorer(-41),
    "explorer, all its levels": lambda: of_the_explorer(0, 6),
    "explorer, small steps": lambda: of_the_explorer(80),
    "explorer, small steps on the grid": lambda: of_the_explorer(80, density="grid"),
    "playground": lambda: film(langevin_playground(), "play", range(41)),
    "ladder": lambda: film(noise_ladder(), "levels", [*range(2, 31), *range(29, 17, -1)]),
    "theatre": lambda: film(training_theatre(n_steps=800)),
    "three scores": of_three_scores,
}
