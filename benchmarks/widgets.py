"""How long a widget takes from a control that moves to its new picture: python benchmarks/widgets.py [--write].

Medians in milliseconds, in the kernel: the handler with all it computes, draws and packs. On top comes the browser, a
few ten milliseconds; `make test-browser` measures the whole way and leaves the medians in TOYLAB_SCREENSHOTS.
``--write`` keeps the table in benchmarks/results/widgets.json.
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
from toylab.widgets import diffusion_film, filmed, langevin_playground, noise_ladder, score_explorer

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
    law, noise = (box := score_explorer().children[0]).children[1].children[0], box.children[2]
    found = {}
    for name, density in law.options:
        law.value = density
        found[name] = median(lambda k: setattr(noise, "value", 0.1 * 1.1**k), 20)
    return found


def playground():
    box = langevin_playground()
    lesson, play = box.children[0].children[0], box.children[3].children[0]
    found = {}
    for name, chosen in lesson.options[1:]:
        lesson.value = chosen
        found[name] = median(lambda _: setattr(play, "value", play.value + 1))
    return found


def ladder():
    n = noise_ladder().children[1].children[0]
    return {"levels L": median(lambda k: setattr(n, "value", 2 + k % 25))}


def film():
    p, g = target(), torch.Generator().manual_seed(0)
    data = Points(p.sample((24,), generator=g))
    box = diffusion_film(filmed(VP(), {"exact": (p.score, p), "empirical": (data.score, data)}, generator=g))
    slider = box.children[0].children[1]
    return {"time t": median(lambda k: setattr(slider, "value", k % 41))}


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
    for name, measure in {"score explorer": explorer, "Langevin playground": playground, "noise ladder": ladder,
                          "diffusion film": film}.items():  # fmt: skip
        numbers[name] = measure()
    print(json.dumps(numbers, indent=2, ensure_ascii=False))
    if options.write:
        RESULTS.write_text(json.dumps(numbers, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
