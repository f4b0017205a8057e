"""On a GPU: log p, score and divergence of mixtures at a million points."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.densities import GAP, beside_autograd, gaps_between, of_the_law
from benchmarks.floor import mixture_floor
from benchmarks.hardware_limit import wait_for
from benchmarks.measurement import Measurement
from benchmarks.peers import without_a_device
from benchmarks.row import Row, limit, worst
from benchmarks.timing import time_alone
from toylab.densities import GaussianMixture, fractal_tree, ring
from toylab.experiments.setting import scaled_count

N_POINTS, AT_ONCE = 1_000_000, 100_000
N_CHECKED = 10_000  # points at which float64 is asked, on the CPU


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Measurement[Row]]:
    """The tree of 1,016 against 3 ms, and both mixtures beside autograd."""
    for measurement in _rows(share, torch.device(device)):
        yield replace(measurement, skipped=measurement.skipped or without_a_device(device))


def _rows(share: float, device: torch.device) -> Iterator[Measurement[Row]]:
    n = scaled_count(N_POINTS, share, least=100)
    for what, f, n_outputs, most in (
        ("log p and score", log_prob_and_score, 3, {"tree": 3e-3, "ring": 0.3e-3}),
        ("divergence", divergence, 1, {"tree": 3e-3, "ring": 0.3e-3}),
    ):
        for name, p, spread in (("tree", fractal_tree(), 0.5), ("ring", ring(), 4.0)):
            row = limit(f"{what} on a GPU, K = {len(p.weights):,}, {n:,} points", most[name], share)
            yield _alone(row, p, f, spread, n, n_outputs, scaled_count(20, share, least=2), device)
    for p, spread in ((fractal_tree(), 0.5), (ring(), 4.0)):
        yield beside_autograd(p, spread, n, scaled_count(5, share, least=2), device, AT_ONCE)


def _alone(
    row: Row,
    p: GaussianMixture,
    f: Callable[[GaussianMixture, Tensor], tuple[Tensor, ...]],
    spread: float,
    n: int,
    n_outputs: int,
    repeats: int,
    device: torch.device,
) -> Measurement[Row]:
    row = replace(row, allowed=GAP)

    def measure() -> Iterator[Row]:
        q = p.to(device)
        x = spread * torch.randn(n, 2, device=device, generator=torch.Generator(device).manual_seed(0))
        first, seconds = time_alone(lambda: wait_for(f(q, x), device), repeats=repeats)
        exact = p.to(torch.float64)
        gaps = gaps_between(lambda x: f(q, x), lambda x: f(exact, x.cpu().double()), (x[:N_CHECKED], of_the_law(p, x)))
        floor, kind = mixture_floor(len(p.weights), n, n_outputs).now(device)
        reached = f"the floor is its {kind}; first call {first:.2g} s; against float64"
        yield replace(row, ours=seconds, reached=reached, error=worst(gaps), floor=floor)

    return Measurement((row,), measure)


@torch.no_grad()
def log_prob_and_score(p: GaussianMixture, x: Tensor) -> tuple[Tensor, Tensor]:
    """Log p [n] and its score [n, 2]."""
    return p.log_prob_and_score(x)


@torch.no_grad()
def divergence(p: GaussianMixture, x: Tensor) -> tuple[Tensor]:
    """The divergence of the score [n]."""
    return (p.divergence(x),)
