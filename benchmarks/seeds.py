"""Networks side by side against one: python benchmarks/seeds.py [--write].

Medians of interleaved short trainings, a step each. ``one_more`` is what one network more costs among two to four,
whose tensors still fit into the cache: arithmetic alone, in steps of one. With these kernels
eight cost about 1 + 7 of it (repeats differ by 30 %).
``--write`` keeps the table in benchmarks/results/seeds.json.
"""

import argparse
import json
import platform
import statistics
from datetime import date
from pathlib import Path

import torch

import toylab
from toylab.densities import two_modes
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced
from toylab.training import fit

RESULTS = Path(__file__).parent / "results" / "seeds.json"
P, N_STEPS, REPEATS = two_modes(), 100, 7
OBJECTIVES = {"explicit": Explicit(P.score), "denoising": Denoising(0.5), "sliced": Sliced(), "implicit": Implicit()}
SHAPES = {
    "batch 64, width 64": (64, 64),
    "batch 128, width 64": (128, 64),
    "batch 128, width 128": (128, 128),
    "batch 256, width 128": (256, 128),
}


def milliseconds_a_step(objective, n_seeds, batch_size, width):
    g = torch.Generator().manual_seed(0)
    result = fit(ScoreMLP(width, generator=g), objective, P, n_steps=N_STEPS, batch_size=batch_size, n_seeds=n_seeds,
                 generator=g, progress=False)  # fmt: skip
    return 1e3 * float(result.history.seconds[-1]) / N_STEPS


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
    for label, objective in OBJECTIVES.items():
        numbers[label] = {}
        for shape, (batch_size, width) in SHAPES.items():
            rows = [
                [milliseconds_a_step(objective, n, batch_size, width) for n in (1, 2, 4, 8)] for _ in range(REPEATS)
            ]
            one, two, four, eight = (statistics.median(column) for column in zip(*rows, strict=True))
            numbers[label][shape] = {
                "one_ms": one,
                "eight_ms": eight,
                "ratio": eight / one,
                "one_more": (four - two) / 2 / one,
            }
    print(json.dumps(numbers, indent=2))
    if options.write:
        RESULTS.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
