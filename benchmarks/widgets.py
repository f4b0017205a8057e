"""How long a widget takes from a control that moves to its new picture: python benchmarks/widgets.py [--write].

Medians in milliseconds, in the kernel: the handler with all it computes, draws and packs. ``moved`` is a slider that is
dragged or a sampler that plays; ``chosen`` another law, after each has been seen once, or another seed. On top comes
the browser, a few ten milliseconds; `make test-browser` measures the whole way and leaves the medians in
TOYLAB_SCREENSHOTS. ``--write`` keeps the table in benchmarks/results/widgets.json.
"""

import argparse
import json
import platform
import statistics
import time
from datetime import date
from pathlib import Path

import torch

import toylab
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

RESULTS = Path(__file__).parent / "results" / "widgets.json"


def median(move, n=40):
    """Of n moves, after three that are not counted."""
    seconds = []
    for k in range(n + 3):
        start = time.perf_counter()
        move(k)
        seconds.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(seconds[3:]), 1)


def explorer():
    density, noise = (box := score_explorer().children[0]).children[1].children[0], box.children[2]
    found = {}
    for name in density.options:
        density.value = name
        found[name] = median(lambda k: setattr(noise, "value", 0.1 * 1.1**k), 20)
    two = ["two_modes", "ring"]
    return {"moved": found, "chosen": {"density": median(lambda k: setattr(density, "value", two[k % 2]))}}


def playground():
    box = langevin_playground()
    (lesson, density, _), play = box.children[0].children, box.children[3].children[0]
    found = {}
    for name, chosen in lesson.options[1:]:
        lesson.value = chosen
        found[name] = median(lambda _: setattr(play, "value", play.value + 1))
    return {"moved": found, "chosen": {"density": median(lambda k: setattr(density, "value", density.options[k % 2]))}}


def ladder():
    box = noise_ladder()
    density, n = box.children[0].children[1], box.children[1].children[0]
    moved = {"levels L": median(lambda k: setattr(n, "value", 2 + k % 25))}
    return {"moved": moved, "chosen": {"density": median(lambda k: setattr(density, "value", density.options[k % 2]))}}


def theatre():
    box = training_theatre()
    density, seed = box.children[1].children[0], box.children[2].children[2]
    chosen = {
        "density": median(lambda k: setattr(density, "value", density.options[k % 2])),
        "seed": median(lambda k: setattr(seed, "value", k)),
    }
    return {"moved": {}, "chosen": chosen}


def film():
    p, g = target(), torch.Generator().manual_seed(0)
    data = Points(p.sample((24,), generator=g))
    box = diffusion_film(record_film(VP(), {"exact": (p.score, p), "empirical": (data.score, data)}, generator=g))
    slider = box.children[0].children[1]
    return {"moved": {"time t": median(lambda k: setattr(slider, "value", k % 41))}, "chosen": {}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"keep the numbers in {RESULTS.name}")
    options = parser.parse_args()
    numbers = {
        "made with": {
            "date": date.today().isoformat(),
            "torch": torch.__version__,
            "toylab": toylab.__version__,
            "python": platform.python_version(),
            "cpu_threads": torch.get_num_threads(),
        }
    }
    widgets = {
        "score explorer": explorer,
        "Langevin playground": playground,
        "training theatre": theatre,
        "noise ladder": ladder,
        "diffusion film": film,
    }
    for name, measure in widgets.items():
        numbers[name] = measure()
    print(json.dumps(numbers, indent=2, ensure_ascii=False))
    if options.write:
        RESULTS.write_text(json.dumps(numbers, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
