"""On a GPU: a step as a CUDA graph beside the same step kernel by kernel, seconds to a quality, a million chains."""

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.chains import STEP_SIZE, our_langevin, our_mala, torchebm_langevin
from benchmarks.hardware_limit import hardware_limit, wait_for
from benchmarks.peers import why_missing
from benchmarks.row import Row
from benchmarks.scaling import langevin_limit, mala_limit
from benchmarks.step import SIGMA, trained_objectives
from benchmarks.timing import time_in_turns
from toylab.densities import fractal_tree, ring, two_modes
from toylab.experiments.setting import scaled_count
from toylab.metrics import fisher_divergence
from toylab.networks import ScoreMLP
from toylab.objectives.objective import Objective
from toylab.training import fit

N_CHAINS, N_STEPS = 1_000_000, 1000
# (n_steps, batch_size) that bring each objective to half-Fisher QUALITY, that of the training on the CPU
QUALITY, TRAININGS = 0.002, {
    "explicit": (300, 512), "denoising": (600, 512), "sliced": (600, 512), "implicit": (600, 512)
}  # fmt: skip


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Row]:
    """Everything measured on ``device``; one line per row that says why not, where torch sees no such device."""
    device = torch.device(device)
    why = "torch sees no CUDA device" if device.type == "cuda" and not torch.cuda.is_available() else ""
    for make in (_steps, _qualities, _chains, _beside_torchebm):
        yield from make(share, device, why)


def _steps(share: float, device: torch.device, why: str) -> Iterator[Row]:
    n_steps = scaled_count(2000, share, least=4)
    for name, objective in trained_objectives().items():
        for n_seeds in (1, 8):
            work = f"training step on a GPU, {name}, batch 128, {n_seeds} at once"
            if why:
                yield Row(work, "kernel by kernel", 1 / 8, skipped=why)
                continue
            times = time_in_turns(
                lambda o=objective, k=n_seeds: seconds_per_step(o, n_steps, device, k),
                lambda o=objective, k=n_seeds: seconds_per_step(without_graph(o), n_steps, device, k),
                repeats=scaled_count(5, share, least=2),
            )
            yield Row(work, "kernel by kernel", 1 / 8, *times, f"{n_steps:,} steps each")


def without_graph(objective: Objective[Any]) -> Objective[Any]:
    """The same objective as a plain function, of which nothing is known, so that it is not recorded."""

    def plain(score: Any, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:  # noqa: ANN401
        return objective(score, x, generator=generator)

    return plain


def seconds_per_step(objective: Objective[Any], n_steps: int, device: torch.device, n_seeds: int = 1) -> float:
    """Of the second half of a training: the graph is recorded in the first."""
    g = torch.Generator(device).manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that of the objective which is not recorded
        history = fit(
            ScoreMLP(generator=g), objective, two_modes(), n_steps=n_steps, batch_size=128, n_seeds=n_seeds,
            report_every=n_steps // 2, generator=g, device=device, progress=False,
        ).history  # fmt: skip
    return float(history.seconds[-1] - history.seconds[0]) / (n_steps - n_steps // 2)


def _qualities(share: float, device: torch.device, why: str) -> Iterator[Row]:
    p = two_modes()
    for name, objective in trained_objectives().items():
        n_steps, batch_size = TRAININGS[name]
        work = f"half-Fisher divergence {QUALITY:g} on a GPU, {name}, {n_steps} × {batch_size}"
        if why:
            yield Row(work, "limit 1 s", 1.0, skipped=why)
            continue
        density = p.noised(SIGMA) if name == "denoising" else p
        seconds, divergences = [], []
        for seed in range(scaled_count(3, share)):
            g = torch.Generator(device).manual_seed(seed)
            found = fit(
                ScoreMLP(generator=g), objective, p, n_steps=scaled_count(n_steps, share, least=10),
                batch_size=batch_size, learning_rate=0.02, generator=g, device=device, progress=False,
            )  # fmt: skip
            seconds.append(float(found.history.seconds[-1]))
            divergences.append(fisher_divergence(found.network.cpu(), density))
        yield Row(
            work, "limit 1 s", 1.0, tuple(seconds), (1.0,) * len(seconds),
            f"at most {max(divergences):.4f}, the recording included",
        )  # fmt: skip


def _chains(share: float, device: torch.device, why: str) -> Iterator[Row]:
    n, n_steps = scaled_count(N_CHAINS, share), scaled_count(N_STEPS, share, least=10)
    few = max(10, n_steps // 50)  # a step of the tree is 127 times one of the ring
    for name, sampler, p, steps, least, limit in (
        ("MALA on the ring", our_mala, ring(), n_steps, mala_limit, 0.5),
        ("Langevin on the ring", our_langevin, ring(), n_steps, langevin_limit, None),
        ("MALA on the tree of 1,016", our_mala, fractal_tree(), few, mala_limit, None),
    ):
        work = f"{name} on a GPU, {n:,} × {steps:,}"
        peer, goal = ("limit 0.5 s", 1.0) if limit else ("its exponentials and random numbers alone", 3.0)
        if why:
            yield Row(work, peer, goal, skipped=why)
            continue
        x = p.to(device).sample((n,), generator=torch.Generator(device).manual_seed(0))
        (seconds,) = time_in_turns(
            lambda f=sampler, p=p, x=x, k=steps: wait_for(f(p, x, STEP_SIZE, k), device), repeats=scaled_count(3, share)
        )
        bound = n * steps * least(len(p.weights), hardware_limit(repeats=5, device=device))
        reached = f"{bound:.3f} s at the card's rate of exponentials and random numbers"
        yield Row(work, peer, goal, seconds, (limit or bound,) * len(seconds), reached)


def _beside_torchebm(share: float, device: torch.device, why: str) -> Iterator[Row]:
    n, n_steps = scaled_count(N_CHAINS, share), scaled_count(N_STEPS, share, least=10)
    work = f"Langevin on the ring on a GPU, {n:,} × {n_steps:,}"
    if why := why or why_missing("torchebm"):
        yield Row(work, "torchebm LangevinDynamics", 1 / 4, skipped=why)
        return
    p = ring()
    x = p.to(device).sample((n,), generator=torch.Generator(device).manual_seed(0))
    times = time_in_turns(
        lambda: wait_for(our_langevin(p, x, STEP_SIZE, n_steps), device),
        lambda: wait_for(torchebm_langevin(p, x, STEP_SIZE, n_steps), device),
        repeats=scaled_count(3, share, least=2),
    )
    yield Row(work, "torchebm LangevinDynamics", 1 / 4, *times, "the same law")
