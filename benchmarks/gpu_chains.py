"""On a GPU: MALA and Langevin on mixtures, a million chains and a few, alone and beside other packages."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.chains import (
    STEP_SIZE,
    Run,
    beside,
    blackjax_langevin,
    blackjax_mala,
    our_langevin,
    our_mala,
    torchebm_langevin,
    with_laws,
)
from benchmarks.floor import Floor, langevin_floor, mala_floor
from benchmarks.measurement import Measurement
from benchmarks.peers import without_a_device
from benchmarks.row import Row, limit
from benchmarks.timing import time_alone
from toylab.densities import GaussianMixture, fractal_tree, ring
from toylab.experiments.setting import scaled_count

MANY, FEW, N_STEPS, ON_THE_TREE = 1_000_000, 1280, 1000, 20  # a step of the tree is 127 times one of the ring
LIMITS = {MANY: 0.03, FEW: 3e-3}  # seconds of 1,000 steps
TREE_STEP = 1e-4  # at which 87 % are accepted; its narrowest branches have a variance of 1.6e-5
Ours = Callable[[GaussianMixture, Tensor, float, int], tuple[Tensor, float]]
PEERS: tuple[tuple[str, float, str, Ours, Callable[..., Run]], ...] = (
    ("MALA", 1.0, "blackjax, compiled before", our_mala, blackjax_mala),
    ("Langevin", 1.0, "blackjax, compiled before", our_langevin, blackjax_langevin),
    ("Langevin", 1 / 4, "torchebm LangevinDynamics", our_langevin, torchebm_langevin),
)


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Measurement[Row]]:
    """Ours against limits, and beside blackjax and torchebm, which has no MALA."""
    for measurement in _rows(share, torch.device(device)):
        yield replace(measurement, skipped=without_a_device(device) or measurement.skipped)


def _rows(share: float, device: torch.device) -> Iterator[Measurement[Row]]:
    n_steps, repeats = scaled_count(N_STEPS, share, least=10), scaled_count(5, share, least=2)
    sizes = {size: size if size == FEW else scaled_count(size, share, least=100) for size in (MANY, FEW)}
    for name, ours, floor in (("MALA", our_mala, mala_floor), ("Langevin", our_langevin, langevin_floor)):
        for size, n in sizes.items():
            row = limit(f"{name} on the ring on a GPU, {n:,} × {n_steps:,}", LIMITS[size], share)
            yield _alone(row, ours, ring(), floor(8, n * n_steps), n, STEP_SIZE, n_steps, repeats, device)
    n, n_steps_there = sizes[MANY], scaled_count(ON_THE_TREE, share, least=2)
    tree = fractal_tree()
    row = Row(f"MALA on the tree of 1,016 on a GPU, {n:,} × {n_steps_there:,}", "its floor", 3.0)
    floor = mala_floor(len(tree.weights), n * n_steps_there)
    yield _alone(row, our_mala, tree, floor, n, TREE_STEP, n_steps_there, repeats, device)
    for name, goal, peer, ours, theirs in PEERS:
        for n in sizes.values():
            row = Row(f"{name} on the ring on a GPU, {n:,} × {n_steps:,}", peer, goal)
            yield beside(row, ours, theirs, n, n_steps, scaled_count(3, share, least=2), device)


def _alone(
    row: Row,
    ours: Ours,
    p: GaussianMixture,
    floor: Floor,
    n: int,
    step_size: float,
    n_steps: int,
    repeats: int,
    device: torch.device,
) -> Measurement[Row]:
    def measure() -> Iterator[Row]:
        q, found = p.to(device), {}
        x = q.sample((n,), generator=torch.Generator(device).manual_seed(0))
        first, seconds = time_alone(lambda: found.update(ours=ours(q, x, step_size, n_steps)), repeats=repeats)
        least, kind = floor.now(device)
        reached = f"the floor is its {kind}; first call {first:.2g} s"
        if ours is our_mala:
            reached += f"; acceptance {found['ours'][1]:.3f}"
        theirs = row.theirs or (least,) * len(seconds)
        filled = replace(row, ours=seconds, theirs=theirs, reached=reached, floor=least)
        if len(p.weights) == 8:
            yield with_laws(filled, p, found, exact=ours is our_mala)
        else:
            yield _with_mean_log_prob(filled, q, x, found["ours"][0])

    return Measurement((row,), measure)


def _with_mean_log_prob(row: Row, p: GaussianMixture, before: Tensor, after: Tensor) -> Row:
    """The row with how far the mean of log p has moved from that of the exact sample at the start.

    Allowed are 5.2 standard errors of the difference of two samples that have nothing to do with each other.
    """
    first, last = (p.log_prob(x).double() for x in (before, after))
    moved, error = float(last.mean() - first.mean()), float(first.std()) * math.sqrt(2 / len(first))
    return replace(row, reached=f"{row.reached}; mean of log p", error=abs(moved), allowed=5.2 * error)
