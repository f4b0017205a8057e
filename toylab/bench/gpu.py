"""On a GPU: a step as a CUDA graph beside the same step launch by launch, seconds to a quality, a million chains."""

import warnings
from collections.abc import Callable, Iterator

import torch

from toylab.bench.chains import STEP_SIZE, our_langevin, our_mala, torchebm_langevin
from toylab.bench.floor import measured, waited_for
from toylab.bench.row import Row, interleaved, missing, some
from toylab.bench.scaling import langevin_floor, mala_floor
from toylab.bench.step import SIGMA
from toylab.densities import fractal_tree, ring, two_modes
from toylab.metrics import fisher_divergence
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced
from toylab.training import fit

N_CHAINS, N_STEPS = 1_000_000, 1000
# (n_steps, batch_size) that bring each objective to half-Fisher QUALITY, that of the training on the CPU
QUALITY, TRAININGS = 0.002, {
    "explicit": (300, 512), "denoising": (600, 512), "sliced": (600, 512), "implicit": (600, 512)
}  # fmt: skip


def rows(share: float, device: torch.device | str = "cuda") -> Iterator[Row]:
    """Everything measured on ``device``; one line a row that says why not, where torch sees no such device."""
    device = torch.device(device)
    why = "torch sees no CUDA device" if device.type == "cuda" and not torch.cuda.is_available() else ""
    for make in (_steps, _qualities, _chains, _beside_torchebm):
        yield from make(share, device, why)


def objectives() -> dict[str, Callable]:
    """Those that are trained with, on ``two_modes``."""
    p = two_modes()
    return {
        "explicit": Explicit(p.score), "denoising": Denoising(SIGMA), "sliced": Sliced(), "implicit": Implicit()
    }  # fmt: skip


def _steps(share: float, device: torch.device, why: str) -> Iterator[Row]:
    n_steps = some(2000, share, least=20)
    for name, objective in objectives().items():
        for n_seeds in (1, 8):
            work = f"training step on a GPU, {name}, batch 128, {n_seeds} at once"
            if why:
                yield Row(work, "launch by launch", 1 / 8, skipped=why)
                continue
            times = interleaved(
                lambda o=objective, k=n_seeds: seconds_a_step(o, n_steps, device, k),
                lambda o=objective, k=n_seeds: seconds_a_step(launched(o), n_steps, device, k),
                repeats=some(5, share, least=2),
            )
            yield Row(work, "launch by launch", 1 / 8, *times, f"{n_steps:,} steps each")


def launched(objective: Callable) -> Callable:
    """The same objective as a plain function, of which nothing is known, and which is not recorded."""
    return lambda score, x, generator=None: objective(score, x, generator=generator)


def seconds_a_step(objective: Callable, n_steps: int, device: torch.device, n_seeds: int = 1) -> float:
    """Of the second half of a training: a recording happens in the first."""
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
    for name, objective in objectives().items():
        n_steps, batch_size = TRAININGS[name]
        work = f"half-Fisher divergence {QUALITY:g} on a GPU, {name}, {n_steps} × {batch_size}"
        if why:
            yield Row(work, "limit 1 s", 1.0, skipped=why)
            continue
        law = p.noised(SIGMA) if name == "denoising" else p
        seconds, divergences = [], []
        for seed in range(some(3, share)):
            g = torch.Generator(device).manual_seed(seed)
            found = fit(
                ScoreMLP(generator=g), objective, p, n_steps=some(n_steps, share, least=10), batch_size=batch_size,
                learning_rate=0.02, generator=g, device=device, progress=False,
            )  # fmt: skip
            seconds.append(float(found.history.seconds[-1]))
            divergences.append(fisher_divergence(found.network.cpu(), law))
        yield Row(
            work, "limit 1 s", 1.0, tuple(seconds), (1.0,) * len(seconds),
            f"at most {max(divergences):.4f}, the recording included",
        )  # fmt: skip


def _chains(share: float, device: torch.device, why: str) -> Iterator[Row]:
    n, n_steps = some(N_CHAINS, share), some(N_STEPS, share, least=10)
    few = max(10, n_steps // 50)  # a step of the tree is 127 times one of the ring
    for name, sampler, p, steps, least, limit in (
        ("MALA on the ring", our_mala, ring(), n_steps, mala_floor, 0.5),
        ("Langevin on the ring", our_langevin, ring(), n_steps, langevin_floor, None),
        ("MALA on the tree of 1,016", our_mala, fractal_tree(), few, mala_floor, None),
    ):
        work = f"{name} on a GPU, {n:,} × {steps:,}"
        peer, goal = ("limit 0.5 s", 1.0) if limit else ("its exponentials and random numbers alone", 3.0)
        if why:
            yield Row(work, peer, goal, skipped=why)
            continue
        x = p.to(device).sample((n,), generator=torch.Generator(device).manual_seed(0))
        (seconds,) = interleaved(
            lambda f=sampler, p=p, x=x, k=steps: waited_for(f(p, x, STEP_SIZE, k), device), repeats=some(3, share)
        )
        floor = n * steps * least(len(p.weights), measured(repeats=5, device=device))
        said = f"{floor:.3f} s at the card's rate of exponentials and random numbers"
        yield Row(work, peer, goal, seconds, (limit or floor,) * len(seconds), said)


def _beside_torchebm(share: float, device: torch.device, why: str) -> Iterator[Row]:
    n, n_steps = some(N_CHAINS, share), some(N_STEPS, share, least=10)
    work = f"Langevin on the ring on a GPU, {n:,} × {n_steps:,}"
    if why := why or missing("torchebm"):
        yield Row(work, "torchebm LangevinDynamics", 1 / 4, skipped=why)
        return
    p = ring()
    x = p.to(device).sample((n,), generator=torch.Generator(device).manual_seed(0))
    times = interleaved(
        lambda: waited_for(our_langevin(p, x, STEP_SIZE, n_steps), device),
        lambda: waited_for(torchebm_langevin(p, x, STEP_SIZE, n_steps), device),
        repeats=some(3, share, least=2),
    )
    yield Row(work, "torchebm LangevinDynamics", 1 / 4, *times, "the same law")
