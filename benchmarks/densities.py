"""Densities beside torch.distributions, in one process: python benchmarks/densities.py [--write].

Medians of interleaved repeats, so that what else the machine does falls on both sides alike. ``--write`` keeps the
table in benchmarks/results/densities.json.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

import toylab
from toylab.densities import GaussianMixture, catalogue, fractal_tree, ring

N = 100_000
RESULTS = Path(__file__).parent / "results" / "densities.json"
PEAK = """
import torch
from toylab.densities import fractal_tree
def peak():
    return [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
p, x = fractal_tree(), torch.randn({n}, 2)
before = peak()
with torch.no_grad():
    p.log_prob_and_score(x), p.divergence(x)
print(before, peak())
"""


def interleaved(functions, repeats):
    """Median seconds of each function."""
    for function in functions:
        function()
    seconds = [[] for _ in functions]
    for _ in range(repeats):
        for times, function in zip(seconds, functions, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def correlated(n_components, generator):
    weights = torch.rand(n_components, generator=generator) + 0.1
    root = torch.randn(n_components, 2, 2, generator=generator) / 2
    means = 4 * torch.randn(n_components, 2, generator=generator)
    return GaussianMixture(weights / weights.sum(), means, root @ root.mT + 0.2 * torch.eye(2))


def beside_torch(p, x, repeats):
    """log_prob and score: together, one after the other, and by MixtureSameFamily with autograd."""
    weights, means, covariances = p.weights.float(), p.means.float(), p.covariances.float()
    peer = MixtureSameFamily(Categorical(weights), MultivariateNormal(means, covariances))

    @torch.no_grad()
    def together():
        return p.log_prob_and_score(x)

    @torch.no_grad()
    def apart():
        return p.log_prob(x), p.score(x)

    def theirs():
        y = x.clone().requires_grad_()
        log_p = peer.log_prob(y)
        return log_p.detach(), torch.autograd.grad(log_p.sum(), y)[0]

    for ours, reference in zip(together(), theirs(), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-3 * float(reference.abs().max()))
    one, two, three = interleaved([together, apart, theirs], repeats)
    return {"together_ms": 1e3 * one, "apart_ms": 1e3 * two, "torch_ms": 1e3 * three,
            "times_faster": three / one, "times_faster_apart": three / two}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"keep the numbers in {RESULTS.name}")
    options = parser.parse_args()
    g = torch.Generator().manual_seed(0)
    x = 4 * torch.randn(N, 2, generator=g)
    numbers = {
        "made with": {
            "date": date.today().isoformat(),
            "torch": torch.__version__,
            "toylab": toylab.__version__,
            "python": platform.python_version(),
            "cpu_threads": torch.get_num_threads(),
        },
        f"log_prob and score at {N} points": {
            "ring, K = 8": beside_torch(ring(), x, 30),
            "correlated, K = 8": beside_torch(correlated(8, g), x, 30),
            "tree, K = 1016, 10000 points": beside_torch(fractal_tree(), x[:10_000] / 8, 5),
        },
    }
    answer = subprocess.run([sys.executable, "-c", PEAK.format(n=N)], capture_output=True, text=True, check=True)
    before, after = (int(kilobytes) / 1e6 for kilobytes in answer.stdout.split())
    numbers[f"memory of the tree, K = 1016, at {N} points"] = {"before_gb": before, "peak_gb": after}
    microseconds = {}
    for name, example in catalogue().items():
        noisy = example.density.noised(0.3)
        points = noisy.sample((5000,), generator=g)
        (seconds,) = interleaved([lambda law=noisy, at=points: law.score(at)], 3)
        microseconds[name] = 1e6 * seconds / len(points)
    numbers["score at sigma = 0.3, microseconds a point"] = microseconds
    print(json.dumps(numbers, indent=2))
    if options.write:
        RESULTS.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
