"""Peak memory of 100,000 chains of MALA on the ring, 1,000 steps, no path kept: python benchmarks/memory.py [--write].

The peak is that of the whole process, Python and torch included. ``--write`` keeps it in
benchmarks/results/memory.json.
"""

import argparse
import json
import platform
import re
import time
from datetime import date
from pathlib import Path

import torch

import toylab
from toylab.densities import ring
from toylab.samplers import mala

RESULTS = Path(__file__).parent / "results" / "memory.json"


def peak_gb():
    """The most memory this process has held, on Linux. Its ru_maxrss would begin with that of whoever started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024 / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help=f"keep the numbers in {RESULTS.name}")
    options = parser.parse_args()
    p, g = ring(), torch.Generator().manual_seed(0)
    x = p.sample((options.chains,), generator=g)
    start = time.perf_counter()
    chains = mala(p.log_prob, p.score, x, step_size=0.05, n_steps=options.steps, generator=g)
    numbers = {
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "toylab": toylab.__version__,
        "python": platform.python_version(),
        "cpu_threads": torch.get_num_threads(),
        "chains": options.chains,
        "steps": options.steps,
        "seconds": time.perf_counter() - start,
        "acceptance": float(chains.acceptance.mean()),
        "peak_gb": peak_gb(),
    }
    print(json.dumps(numbers, indent=2))
    if options.write:
        RESULTS.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
