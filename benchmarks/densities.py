"""log p and its score beside ``MixtureSameFamily`` with autograd; their memory, and the price of each density."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MixtureSameFamily

from benchmarks.fresh_process import in_a_fresh_process
from benchmarks.hardware_limit import wait_for
from benchmarks.machine import made_with
from benchmarks.measurement import Measurement
from benchmarks.row import Row, worst
from benchmarks.timing import time_in_turns
from toylab.densities import GaussianMixture, catalogue, fractal_tree, ring
from toylab.experiments.setting import scaled_count

N_POINTS, _AT_ONCE = 100_000, 10_000
GAP = 1e-3  # of float32 from itself or from float64, relative to the largest value; found: up to 1e-4, at the tree
_PEAK = """
import sys, torch
from benchmarks.peak import peak_gb
from toylab.densities import fractal_tree
p, x = fractal_tree(), torch.randn(int(sys.argv[1]), 2)
before = peak_gb()
with torch.no_grad():
    p.log_prob_and_score(x), p.divergence(x)
print(before, peak_gb())
"""


def rows(share: float) -> Iterator[Measurement[Row]]:
    """Eight round components and 1,016 correlated ones at 10^5 points."""
    n = scaled_count(N_POINTS, share, least=100)
    for p, spread, repeats in ((ring(), 4.0, 15), (fractal_tree(), 0.5, 3)):
        yield beside_autograd(p, spread, n, scaled_count(repeats, share, least=2))


def beside_autograd(
    p: GaussianMixture, spread: float, n: int, repeats: int, device: torch.device | str = "cpu", at_once: int = _AT_ONCE
) -> Measurement[Row]:
    """Log p and score at n points of N(0, spread^2 I), beside the peer; both of float32."""
    device = torch.device(device)
    where = "" if device.type == "cpu" else " on a GPU"
    row = Row(f"log p and score{where}, K = {len(p.weights):,}, {n:,} points", "MixtureSameFamily, autograd", 1 / 5)

    def measure() -> Iterator[Row]:
        peer = p.to(device).to_torch()
        x = (spread * torch.randn(n, 2, generator=torch.Generator().manual_seed(0))).to(device)
        times = time_in_turns(
            lambda: wait_for(ours(p, x), device),
            lambda: wait_for(theirs(peer, x, at_once), device),
            repeats=repeats,
        )
        gaps = gaps_between(lambda x: ours(p, x), lambda x: theirs(peer, x, at_once), (x, of_the_law(p, x)))
        reached = "largest gap {:.0e} of log p, {:.0e} of the score".format(*gaps)
        yield replace(row, ours=times[0], theirs=times[1], reached=reached, error=worst(gaps), allowed=GAP)

    return Measurement((row,), measure)


def of_the_law(p: GaussianMixture, like: Tensor, n: int = 1000) -> Tensor:
    """Points of p, where its numbers are of order one: far from it they are so large that they hide an error here."""
    return p.sample((n,), generator=torch.Generator().manual_seed(1)).to(like)


def gaps_between(
    ours: Callable[[Tensor], tuple[Tensor, ...]],
    theirs: Callable[[Tensor], tuple[Tensor, ...]],
    sets: Sequence[Tensor],
) -> list[float]:
    """Of each result the largest gap at any of the sets of points, in units of its largest value at those points."""
    found = [[relative_gap(a.to(b), b) for a, b in zip(ours(x), theirs(x), strict=True)] for x in sets]
    return [worst(gaps) for gaps in zip(*found, strict=True)]


def relative_gap(a: Tensor, b: Tensor) -> float:
    """The largest |a - b|, in units of the largest |b|."""
    return float((a - b).abs().max() / b.abs().max())


@torch.no_grad()
def ours(p: GaussianMixture, x: Tensor) -> tuple[Tensor, Tensor]:
    """Log p [n] and its score [n, 2]."""
    return p.log_prob_and_score(x)


@torch.no_grad()
def ours_apart(p: GaussianMixture, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same in two calls."""
    return p.log_prob(x), p.score(x)


def theirs(peer: MixtureSameFamily, x: Tensor, at_once: int = _AT_ONCE) -> tuple[Tensor, Tensor]:
    """The same by autograd, in parts, since all pairs at once would not fit into memory; it is faster, too."""
    log_probs, scores = [], []
    for part in x.split(at_once):
        y = part.clone().requires_grad_()
        log_p = peer.log_prob(y)
        log_probs.append(log_p.detach())
        scores.append(torch.autograd.grad(log_p.sum(), y)[0])
    return torch.cat(log_probs), torch.cat(scores)


def run(share: float) -> dict[str, Any]:
    """log_prob and score together, one after the other, and by the peer; memory; microseconds per point."""
    g = torch.Generator().manual_seed(0)
    n = scaled_count(N_POINTS, share, least=100)
    x = 4 * torch.randn(n, 2, generator=g)
    few = x[:_AT_ONCE]
    tree = {f"tree, K = 1016, {len(few)} points": _beside_torch(fractal_tree(), few / 8, scaled_count(5, share))}
    before, after = (float(word) for word in in_a_fresh_process(_PEAK, str(n)).split())
    microseconds = {}
    for name, example in catalogue().items():
        noisy = example.density.noised(0.3)
        points = noisy.sample((5000,), generator=g)
        (times,) = time_in_turns(lambda p=noisy, x=points: p.score(x), repeats=3)
        microseconds[name] = 1e6 * statistics.median(times) / len(points)
    return {
        "made with": made_with(share),
        f"log_prob and score at {n} points": {
            "ring, K = 8": _beside_torch(ring(), x, scaled_count(30, share)),
            "correlated, K = 8": _beside_torch(_correlated(8, g), x, scaled_count(30, share)),
            **tree,
        },
        f"memory of the tree, K = 1016, at {n} points": {"before_gb": before, "peak_gb": after},
        "score at sigma = 0.3, microseconds per point": microseconds,
    }


def _beside_torch(p: GaussianMixture, x: Tensor, repeats: int) -> dict[str, float]:
    peer = p.to_torch()
    for mine, reference in zip(ours(p, x), theirs(peer, x), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-3, atol=1e-3 * float(reference.abs().max()))
    times = time_in_turns(lambda: ours(p, x), lambda: ours_apart(p, x), lambda: theirs(peer, x), repeats=repeats)
    together, apart, by_torch = (statistics.median(column) for column in times)
    return {
        "together_ms": 1e3 * together,
        "apart_ms": 1e3 * apart,
        "torch_ms": 1e3 * by_torch,
        "times_faster": by_torch / together,
        "times_faster_apart": by_torch / apart,
    }


def _correlated(n_components: int, generator: torch.Generator) -> GaussianMixture:
    weights = torch.rand(n_components, generator=generator) + 0.1
    root = torch.randn(n_components, 2, 2, generator=generator) / 2
    means = 4 * torch.randn(n_components, 2, generator=generator)
    return GaussianMixture(weights / weights.sum(), means, root @ root.mT + 0.2 * torch.eye(2))
