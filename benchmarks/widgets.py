"""How long a widget takes from a control that moves to its new picture.

Medians in milliseconds, in the kernel: the handler with all it computes, draws and packs. ``moved`` is a slider that is
dragged or a sampler that plays; ``chosen`` another density, after each has been seen once, or another seed. On top
comes the browser, some tens of milliseconds; `make test-browser` measures the whole way and writes the medians to
TOYLAB_SCREENSHOTS.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import ipywidgets
import torch

from benchmarks.machine import made_with
from toylab.densities import Points
from toylab.experiments.diffusion import target
from toylab.sde import VP
from toylab.widgets import (
    diffusion_film,
    langevin_playground,
    noise_ladder,
    record_film,
    score_explorer,
    training_theatre,
)

Numbers = dict[str, dict[str, float]]


def run(share: float) -> dict[str, Any]:
    """Every widget; always in full, since ``share`` would save nothing."""
    return {
        "made with": made_with(1.0),
        "score explorer": _explorer(),
        "Langevin playground": _playground(),
        "training theatre": _theatre(),
        "noise ladder": _ladder(),
        "diffusion film": _film(),
    }


def _median(move: Callable[[int], object], n: int = 40) -> float:
    """Milliseconds of one of n moves, after three that are not counted."""
    seconds = []
    for k in range(n + 3):
        start = time.perf_counter()
        move(k)
        seconds.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(seconds[3:]), 1)


def control(box: ipywidgets.Widget, name: str) -> Any:  # noqa: ANN401  controls have values of any type
    """The control of a widget whose description begins so; "play" is the player."""
    for part in box.children:
        called = "play" if isinstance(part, ipywidgets.Play) else getattr(part, "description", "")
        if called.startswith(name):
            return part
        if hasattr(part, "children") and (found := control(part, name)) is not None:
            return found
    return None


def _explorer() -> Numbers:
    box = score_explorer()
    density, noise = control(box, "density"), control(box, "noise")
    found = {}
    for name in density.options:
        density.value = name
        found[name] = _median(lambda k: setattr(noise, "index", 90 + 4 * k), 20)  # from 0.1
    two = ["two_modes", "ring"]
    return {"moved": found, "chosen": {"density": _median(lambda k: setattr(density, "value", two[k % 2]))}}


def _playground() -> Numbers:
    box = langevin_playground()
    lesson, density, play = (control(box, name) for name in ("lesson", "density", "play"))
    found = {}
    for name, chosen in lesson.options[1:]:
        lesson.value = chosen
        found[name] = _median(lambda _: setattr(play, "value", play.value + 1))
    return {"moved": found, "chosen": {"density": _median(lambda k: setattr(density, "value", density.options[k % 2]))}}


def _ladder() -> Numbers:
    box = noise_ladder()
    density, n = control(box, "density"), control(box, "levels")
    moved = {"levels L": _median(lambda k: setattr(n, "value", 2 + k % 25))}
    return {"moved": moved, "chosen": {"density": _median(lambda k: setattr(density, "value", density.options[k % 2]))}}


def _theatre() -> Numbers:
    box = training_theatre()
    density, seed = control(box, "density"), control(box, "seed")
    chosen = {
        "density": _median(lambda k: setattr(density, "value", density.options[k % 2])),
        "seed": _median(lambda k: setattr(seed, "value", k)),
    }
    return {"moved": {}, "chosen": chosen}


def _film() -> Numbers:
    p, g = target(), torch.Generator().manual_seed(0)
    data = Points(p.sample((24,), generator=g))
    box = diffusion_film(record_film(VP(), {"exact": (p.score, p), "empirical": (data.score, data)}, generator=g))
    slider = control(box, "time")
    return {"moved": {"time t": _median(lambda k: setattr(slider, "value", k % 41))}, "chosen": {}}
