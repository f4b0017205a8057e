"""The whole comparison: its rows, its scaling table, and what they were measured with."""

import dataclasses
import os
import platform
from collections.abc import Callable, Iterator
from datetime import date
from importlib import metadata
from pathlib import Path

import torch
from tqdm.auto import tqdm

import toylab
from toylab.bench import annealed, chains, densities, gpu, processes, quality, row, scaling, seeds, step
from toylab.bench.floor import Floor, measured
from toylab.bench.row import Row
from toylab.bench.scaling import Sweep

COMPARISONS: dict[str, Callable[[float], Iterator[Row]]] = {
    "quality": quality.rows,
    "step": step.rows,
    "seeds": seeds.rows,
    "mala": chains.mala_rows,
    "langevin": chains.langevin_rows,
    "annealed": annealed.rows,
    "densities": densities.rows,
    "import": processes.import_rows,
    "figures": processes.figures_rows,
    "gpu": gpu.rows,
}
PEERS = ("torchebm", "blackjax", "jax")


@dataclasses.dataclass(frozen=True)
class Speed:
    """What ``toylab bench speed`` found.

    Attributes:
        made: date, machine and versions.
        rows: our code beside others'.
        floor: what the machine can do; None if no sweep was asked for.
        sweeps: how the time grows with the work.
    """

    made: dict[str, str | int | float]
    rows: tuple[Row, ...]
    floor: Floor | None
    sweeps: tuple[Sweep, ...]

    def to_json(self) -> dict:
        """As JSON holds it; the ratios and goals met beside the measured seconds."""
        rows = [
            dataclasses.asdict(r) | ({} if r.skipped else {"ratio": r.ratio, "range": r.range, "met": r.met})
            for r in self.rows
        ]
        sweeps = [
            dataclasses.asdict(s) | {"overhead_up_to": s.overhead_up_to, "times_the_floor": s.times_the_floor}
            for s in self.sweeps
        ]
        floor = None if self.floor is None else dataclasses.asdict(self.floor)
        return {"made with": self.made, "rows": rows, "floor": floor, "sweeps": sweeps}

    @staticmethod
    def from_json(found: dict) -> "Speed":
        """What ``to_json`` gave."""

        def of(kind: type, values: dict) -> object:
            fields = {field.name for field in dataclasses.fields(kind)}
            return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in fields})

        floor = None if found["floor"] is None else Floor(**found["floor"])
        rows, sweeps = (tuple(of(kind, v) for v in found[key]) for kind, key in ((Row, "rows"), (Sweep, "sweeps")))
        return Speed(found["made with"], rows, floor, sweeps)


def run(*, only: str | None = None, share: float = 1.0, progress: bool = True) -> Speed:
    """Measure every comparison and the scaling, or one of them alone.

    Args:
        only: a name of ``COMPARISONS``, or "scaling"; None is all.
        share: of the steps and repeats, for a quick look; 1 is what the documentation was made with.
        progress: show a progress bar over the comparisons.
    """
    names = [*COMPARISONS, "scaling"] if only is None else [only]
    rows, floor, found = [], None, []
    for name in tqdm(names, desc="speed", unit="comparison", disable=not progress):
        if name == "scaling":
            floor = measured()
            found = scaling.sweeps(share)
        else:
            rows += COMPARISONS[name](share)
    return Speed(made_with(share), tuple(rows), floor, tuple(found))


def made_with(share: float) -> dict[str, str | int | float]:
    """Date, machine and versions."""
    versions = {}
    for peer in PEERS:
        try:
            versions[peer] = metadata.version(peer)
        except metadata.PackageNotFoundError:
            versions[peer] = "not installed"
    return {
        "date": date.today().isoformat(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "toylab": toylab.__version__,
        **versions,
        "share": share,
    }


def _cpu() -> str:
    """The processor's name, on Linux; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def tables(speed: Speed) -> str:
    """Both tables as Markdown, with a line on what they were made with."""
    made = ", ".join(f"{name} {value}" for name, value in speed.made.items())
    parts = [f"Measured with: {made}."]
    if speed.rows:
        parts.append(row.table(speed.rows))
    if speed.floor is not None:
        rates = (
            f"The machine's floor: {1e-9 / speed.floor.flop:.0f} GFLOP/s in products of matrices, "
            f"{1e9 * speed.floor.exp:.2f} ns an exponential, {1e9 * speed.floor.normal:.2f} ns a normal and "
            f"{1e9 * speed.floor.uniform:.2f} ns a uniform number."
        )
        parts += [rates, scaling.table(speed.sweeps)]
    return "\n\n".join(parts)
