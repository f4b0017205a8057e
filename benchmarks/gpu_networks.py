"""On a GPU: Langevin and annealed Langevin with a noise-conditional network."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.annealed import SIGMAS, STEP_SIZE, a_trained_network
from benchmarks.floor import network_floor
from benchmarks.hardware_limit import wait_for
from benchmarks.measurement import Measurement
from benchmarks.peers import without_a_device
from benchmarks.row import Row, limit, worst
from benchmarks.timing import time_alone, time_in_turns
from toylab.densities import two_modes
from toylab.experiments.setting import scaled_count
from toylab.networks import NoiseConditionalMLP
from toylab.samplers import annealed_langevin, langevin
from toylab.score import NoiseConditionalScore, at

MANY, FEW, N_STEPS, N_TRAINING = 1_000_000, 1280, 1000, 1000  # the steps are of all levels together
LIMITS = {False: 1.2, True: 0.7}  # seconds of a million chains, with TF32 or without
N_CHECKED = 20_000  # chains that the plain path runs for comparison
Sampler = Callable[[NoiseConditionalScore, Tensor, int], Tensor]
"""Runs so many steps from the points [n, 2] with a score; where the chains end."""


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Measurement[Row]]:
    """A million chains against limits, in float32 and with TF32; 1,280 chains beside the same kernel by kernel."""
    for measurement in _rows(share, torch.device(device)):
        yield replace(measurement, skipped=without_a_device(device) or measurement.skipped)


def _rows(share: float, device: torch.device) -> Iterator[Measurement[Row]]:
    n_steps = scaled_count(N_STEPS, share, least=10) // len(SIGMAS) * len(SIGMAS)
    tenth = max(1, n_steps // 10)
    for name, sampler, steps in (("annealed Langevin", annealed, n_steps), ("Langevin", at_the_last_level, tenth)):
        n = scaled_count(MANY, share, least=100)
        for tf32, most in LIMITS.items():
            work = f"{name} with a network on a GPU, {n:,} × {steps:,}{', TF32' if tf32 else ''}"
            row = limit(work, most * steps / n_steps, share)
            yield _against_a_limit(row, sampler, n, steps, tf32, share, device)
        row = Row(f"{name} with a network on a GPU, {FEW:,} × {steps:,}", "kernel by kernel", 1 / 8)
        yield _kernel_by_kernel(row, sampler, steps, share, device)


def annealed(score: NoiseConditionalScore, x: Tensor, n_steps: int) -> Tensor:
    """Annealed Langevin, ``n_steps`` over all levels."""
    g = torch.Generator(x.device).manual_seed(1)
    return annealed_langevin(
        score, x, SIGMAS, step_size=STEP_SIZE, n_steps=n_steps // len(SIGMAS), generator=g, progress=False
    ).samples


def at_the_last_level(score: NoiseConditionalScore, x: Tensor, n_steps: int) -> Tensor:
    """Langevin at the last level."""
    g, sigma = torch.Generator(x.device).manual_seed(1), float(SIGMAS[-1])
    return langevin(at(score, sigma), x, step_size=STEP_SIZE, n_steps=n_steps, generator=g, progress=False).samples


def kernel_by_kernel(network: NoiseConditionalMLP) -> NoiseConditionalScore:
    """The same score as a plain function, of which nothing is known, so that it is neither fused nor recorded."""

    def score(x: Tensor, sigma: Tensor | float, /) -> Tensor:
        return network(x, sigma)

    return score


@contextlib.contextmanager
def allow_tf32(allowed: bool) -> Iterator[None]:
    """Let torch round the factors of its products to TF32, or not, and leave it as it was."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def starts(n: int, device: torch.device) -> Tensor:
    """Points uniform in the square of ``two_modes``."""
    return 16 * torch.rand(n, 2, device=device, generator=torch.Generator(device).manual_seed(0)) - 8


def run_plainly(sampler: Sampler, network: NoiseConditionalMLP, x: Tensor, n_steps: int) -> Tensor:
    """``sampler`` kernel by kernel, without its warning that it is so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return sampler(kernel_by_kernel(network), x, n_steps)


def _against_a_limit(
    row: Row, sampler: Sampler, n: int, n_steps: int, tf32: bool, share: float, device: torch.device
) -> Measurement[Row]:
    def measure() -> Iterator[Row]:
        network, x, found = a_trained_network(scaled_count(N_TRAINING, share, least=2), device), starts(n, device), {}
        with allow_tf32(tf32):
            first, seconds = time_alone(
                lambda: wait_for(found.update(ours=sampler(network, x, n_steps)), device),
                repeats=scaled_count(3, share),
            )
            floor, kind = network_floor(network, n * n_steps).now(device)
        plain = run_plainly(sampler, network, x[:N_CHECKED], n_steps)
        filled = replace(row, ours=seconds, floor=floor, reached=f"the floor is its {kind}; first call {first:.2g} s")
        yield with_both_laws(filled, found["ours"], plain)

    return Measurement((row,), measure)


def _kernel_by_kernel(row: Row, sampler: Sampler, n_steps: int, share: float, device: torch.device) -> Measurement[Row]:
    def measure() -> Iterator[Row]:
        network, x = a_trained_network(scaled_count(N_TRAINING, share, least=2), device), starts(FEW, device)
        found = {}
        with allow_tf32(False):
            ours, theirs = time_in_turns(
                lambda: wait_for(found.update(ours=sampler(network, x, n_steps)), device),
                lambda: wait_for(found.update(theirs=run_plainly(sampler, network, x, n_steps)), device),
                repeats=scaled_count(5, share, least=2),
            )
            floor, kind = network_floor(network, FEW * n_steps).now(device)
        filled = replace(row, ours=ours, theirs=theirs, floor=floor, reached=f"the floor is its {kind}")
        yield with_both_laws(filled, found["ours"], found["theirs"])

    return Measurement((row,), measure)


def with_both_laws(row: Row, ours: Tensor, theirs: Tensor) -> Row:
    """The row with how far the laws of both samples are apart, in standard errors.

    That is the larger of two distances: of the weight of the upper mode, and of the mean square about the nearest mode.
    """
    p, sides = two_modes(), []
    for samples in (ours.cpu(), theirs.cpu()):
        component = p.posterior(samples).argmax(-1)
        error = samples - p.means.to(samples)[component]
        sides.append((component.double(), error.double().square().sum(-1)))
    apart = [
        float((a.mean() - b.mean()).abs() / (a.var() / len(a) + b.var() / len(b)).sqrt().clamp(min=1e-12))
        for a, b in zip(*sides, strict=True)
    ]
    weights = (float(upper.mean()) for upper, _ in sides)
    said = "weight of the upper mode {:.3f}, {:.3f} kernel by kernel; in standard errors".format(*weights)
    return replace(row, reached=f"{row.reached}; {said}", error=worst(apart), allowed=5.2)
