"""How the time grows with the work: where it stops being overhead, and how far from the hardware's limit it ends."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.chains import STEP_SIZE
from benchmarks.hardware_limit import HardwareLimit, hardware_limit, limit_measurement
from benchmarks.measurement import Measurement
from benchmarks.step import SIGMA
from toylab.densities import GaussianMixture, isotropic, ring, two_modes
from toylab.experiments.setting import scaled_count
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Implicit, Sliced
from toylab.objectives.objective import Objective
from toylab.samplers import langevin, mala
from toylab.training import fit


@dataclass(frozen=True)
class Sweep:
    """The time of one unit of work at growing sizes.

    Attributes:
        work: what is timed.
        size: what grows.
        sizes: how large it is.
        seconds: median seconds at each size.
        hardware_limit: the least seconds that the machine needs at each size for the matrix products, exponentials and
            random numbers of the work, if everything else were free.
        failed: what went wrong, in one line; "" if nothing did.
    """

    work: str
    size: str
    sizes: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    hardware_limit: tuple[float, ...] = ()
    failed: str = ""

    @property
    def overhead_up_to(self) -> int:
        """The largest size that takes less than twice as long as the smallest."""
        return max(n for n, t in zip(self.sizes, self.seconds, strict=True) if t < 2 * self.seconds[0])

    @property
    def times_the_limit(self) -> float:
        """At the largest size."""
        return self.seconds[-1] / self.hardware_limit[-1]


def sweeps(share: float) -> Iterator[Measurement[Any]]:
    """The machine's limit, and all sweeps; ``share`` of the repeats, and below 1 without the largest sizes."""
    yield limit_measurement("cpu")
    p = ring()

    def sweep(
        work: str,
        size: str,
        sizes: Sequence[int],
        run: Callable[[int], float],
        least: Callable[[int, HardwareLimit], float],
    ) -> Measurement[Sweep]:
        """``run(n)`` returns the seconds of a unit of work; ``least(n, limit)`` the least that the hardware needs.

        The limit is measured in turns with the work, since the machine's own speed drifts.
        """
        sizes = tuple(sizes if share == 1 else sizes[:-1])

        def measure() -> Iterator[Sweep]:
            seconds, limits = [], []
            for n in sizes:
                turns = [(run(n), least(n, hardware_limit(repeats=5))) for _ in range(scaled_count(3, share))]
                seconds.append(statistics.median(turn[0] for turn in turns))
                limits.append(statistics.median(turn[1] for turn in turns))
            yield Sweep(work, size, sizes, tuple(seconds), tuple(limits))

        return Measurement((Sweep(work, size),), measure)

    chains = (100, 1000, 10_000, 100_000, 1_000_000)
    yield sweep(
        "Langevin on the ring, per step", "chains", chains, lambda n: _langevin(p, n),
        lambda n, limit: n * langevin_limit(8, limit),
    )  # fmt: skip
    yield sweep(
        "MALA on the ring, per step", "chains", chains, lambda n: _mala(p, n),
        lambda n, limit: n * mala_limit(8, limit),
    )  # fmt: skip
    yield sweep(
        "Langevin, 1,280 chains, per step", "components", (1, 10, 100, 1000), lambda k: _langevin(_mixture(k), 1280),
        lambda k, limit: 1280 * langevin_limit(k, limit),
    )  # fmt: skip
    yield sweep(
        "Langevin on the ring, 1,280 chains, per run", "steps", (1, 10, 100, 1000),
        lambda n: n * _langevin(p, 1280, n), lambda n, limit: n * 1280 * langevin_limit(8, limit),
    )  # fmt: skip
    # a forward derivative doubles the points that go through the products, two of them treble them
    for name, objective, passes in (
        ("denoising", Denoising(SIGMA), 1),
        ("sliced", Sliced(), 2),
        ("implicit", Implicit(), 3),
    ):
        yield sweep(
            f"training step, {name}, width 128", "batch", (16, 64, 256, 1024, 4096),
            lambda n, o=objective: _training(o, n, 128), lambda n, limit, k=passes: products(n, 128, k, limit),
        )  # fmt: skip
    yield sweep(
        "training step, sliced, batch 256", "hidden width", (16, 64, 256, 1024),
        lambda n: _training(Sliced(), 256, n), lambda n, limit: products(256, n, 2, limit),
    )  # fmt: skip


def _langevin(p: GaussianMixture, n_chains: int, n_steps: int | None = None) -> float:
    """Seconds per step."""
    g = torch.Generator().manual_seed(0)
    x, n_steps = p.sample((n_chains,), generator=g), n_steps or _steps(n_chains * len(p.weights))
    start = time.perf_counter()
    langevin(p.score, x, step_size=STEP_SIZE, n_steps=n_steps, generator=g, progress=False)
    return (time.perf_counter() - start) / n_steps


def _mala(p: GaussianMixture, n_chains: int) -> float:
    g = torch.Generator().manual_seed(0)
    x, n_steps = p.sample((n_chains,), generator=g), _steps(n_chains * len(p.weights))
    start = time.perf_counter()
    mala(p.log_prob, p.score, x, step_size=STEP_SIZE, n_steps=n_steps, generator=g, progress=False)
    return (time.perf_counter() - start) / n_steps


def _steps(pairs: int) -> int:
    """So many that a run lasts about half a second: 10 ns per pair of chain and component, 0.2 ms of overhead per step.

    At least 100, among which the first evaluation of MALA, which is no step and takes half of one, does not count.
    """
    return max(100, min(1000, round(0.5 / (2e-4 + 1e-8 * pairs))))


def _mixture(n_components: int) -> GaussianMixture:
    g = torch.Generator().manual_seed(0)
    return isotropic((4 * torch.randn(n_components, 2, generator=g)).tolist(), std=0.3)


def _training(objective: Objective[Any], batch_size: int, width: int) -> float:
    g = torch.Generator().manual_seed(0)
    n_steps = max(20, min(60, round(2e6 / (batch_size * width))))
    result = fit(
        ScoreMLP(width, generator=g), objective, two_modes(), n_steps=n_steps, batch_size=batch_size, generator=g,
        progress=False,
    )  # fmt: skip
    return float(result.history.seconds[-1]) / n_steps


def langevin_limit(n_components: int, limit: HardwareLimit) -> float:
    """Seconds of one chain's step on a mixture: one exponential per component, two normal numbers."""
    return n_components * limit.exp + 2 * limit.normal


def mala_limit(n_components: int, limit: HardwareLimit) -> float:
    """On top of that, a uniform number and two logarithms, of it and of p, each at the price of an exponential."""
    return langevin_limit(n_components + 2, limit) + limit.uniform


def products(batch_size: int, width: int, passes: int, limit: HardwareLimit) -> float:
    """Seconds of a training step of a network 2-width-width-2 if nothing but these cost anything.

    Products forwards and, for weights and inputs, backwards, except for the gradient of the points; two exponentials
    per hidden unit: the activation and its derivative. ``passes`` counts the points and their tangents.
    """
    weights = 2 * width + width**2 + 2 * width
    return batch_size * (passes * (6 * weights - 2 * 2 * width) * limit.flop + 4 * width * limit.exp)


HEADER = """\
| work | growing | times | overhead up to | times the limit at the largest |
|---|---|---|---|---|"""


def table(found: Sequence[Sweep]) -> str:
    """The sweeps as Markdown."""
    return "\n".join([HEADER, *map(line, found)])


def line(s: Sweep) -> str:
    """One row of the table."""
    if s.failed:
        return f"| {s.work} | {s.size} | failed: {s.failed} | – | – |"
    times = ", ".join(f"{n:,}: {1e3 * t:.3g}" for n, t in zip(s.sizes, s.seconds, strict=True))
    return f"| {s.work} | {s.size} | {times} ms | {s.overhead_up_to:,} | {s.times_the_limit:.1f} |"
