"""Work of a lesson beside three busy processes: against its share of the machine, and against torch's own waiting."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch

from benchmarks.fresh_process import ROOT
from benchmarks.measurement import Measurement
from benchmarks.row import Row
from toylab._internal.threads import WAIT_POLICY
from toylab.densities import two_modes
from toylab.experiments.setting import scaled_count
from toylab.networks import ScoreMLP
from toylab.objectives import Sliced
from toylab.samplers import mala
from toylab.training import fit

N_BUSY = 3
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SHARE = min(1.0, _CORES / (N_BUSY + 1))
"""What a process gets beside the busy ones, of one core."""

_WARM_UPS = 2
_BUSY = "while True: pass"
_WIDGET = "score explorer, 20 moves of a slider"
_WORK = "import sys; from benchmarks import load; load.answer(sys.argv[1])"


def rows(share: float) -> Iterator[Measurement[Row]]:
    """Each piece of work quiet and loaded, by turns, in processes of their own; ``share`` is of the repeats."""
    for name in WORK:
        yield _beside_busy_ones(name, scaled_count(9, share, least=2))


def _beside_busy_ones(name: str, repeats: int) -> Measurement[Row]:
    work = f"{name}, beside {N_BUSY} busy processes"
    fair = Row(work, f"quiet, over its share of {SHARE:.2g} of a core", 1.3)
    waiting = Row(work, "the same with torch's own waiting", 1.0)

    on_one_thread = name == _WIDGET  # whatever its threads' way of waiting
    made = (fair,) if on_one_thread else (fair, waiting)

    def measure() -> Iterator[Row]:
        with ExitStack() as stack:
            start = stack.enter_context
            passive, as_it_comes = (start(_process(name, policy)) for policy in ("passive", None))
            for _ in range(_WARM_UPS):
                passive(), as_it_comes()
            turns = []
            for _ in range(repeats):
                quiet = passive()
                with _busy():
                    turns.append((quiet / SHARE, passive(), as_it_comes()))
        entitled, ours, theirs = zip(*turns, strict=True)
        yield replace(fair, ours=ours, theirs=entitled)
        if not on_one_thread:
            yield replace(waiting, ours=ours, theirs=theirs)

    return Measurement(made, measure)


def _train(n_steps: int) -> None:
    g = torch.Generator().manual_seed(0)
    fit(ScoreMLP(generator=g), Sliced(), two_modes(), n_steps=n_steps, generator=g, progress=False)


def _sample() -> None:
    p, g = two_modes(), torch.Generator().manual_seed(0)
    x = 16 * torch.rand(1280, 2, generator=g) - 8
    mala(p.log_prob, p.score, x, step_size=0.1, n_steps=200, generator=g, progress=False)


def _drag() -> None:
    from benchmarks.widgets import control
    from toylab.widgets import score_explorer

    noise = control(score_explorer(), "noise")
    for k in range(20):
        noise.index = 90 + 4 * k  # from 0.1


WORK: dict[str, Callable[[], None]] = {
    "200 training steps": lambda: _train(200),
    "1,000 training steps": lambda: _train(1000),
    "MALA, 1,280 chains, 200 steps": _sample,
    _WIDGET: _drag,
}
"""What a lesson does, by name."""


def answer(name: str) -> None:
    """Do the work once for every line that is read, and print its seconds."""
    for _ in sys.stdin:
        start = time.perf_counter()
        WORK[name]()
        print(time.perf_counter() - start, flush=True)


@contextmanager
def _process(name: str, wait_policy: str | None) -> Iterator[Callable[[], float]]:
    """A process with torch's own number of threads; a call does the work there, and gives its seconds."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    environment = others | ({WAIT_POLICY: wait_policy} if wait_policy else {})
    with subprocess.Popen(
        [sys.executable, "-c", _WORK, name], env=environment, cwd=ROOT, text=True, stdin=-1, stdout=-1
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def once() -> float:
            print(file=process.stdin, flush=True)
            return float(process.stdout.readline())

        try:
            yield once
        finally:
            process.stdin.close()  # which ends it


@contextmanager
def _busy() -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(N_BUSY)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
