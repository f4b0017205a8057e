"""Our code beside other packages on one machine: its rows, its scaling table, and what they were measured with."""

import dataclasses
from collections.abc import Iterator
from dataclasses import field
from typing import Any, TypeVar

from tqdm.auto import tqdm

from benchmarks import (
    annealed,
    chains,
    densities,
    flow_matching,
    gpu,
    hardware_limit,
    load,
    objective_steps,
    processes,
    quality,
    row,
    scaling,
    seeds,
    spins,
    step,
)
from benchmarks.hardware_limit import HardwareLimit
from benchmarks.row import Row
from benchmarks.scaling import Sweep
from benchmarks.worker import Comparison, Worker

COMPARISONS: dict[str, Comparison] = {
    "quality": quality.rows,
    "step": step.rows,
    "flow": flow_matching.rows,
    "objectives": objective_steps.rows,
    "spins": spins.rows,
    "seeds": seeds.rows,
    "mala": chains.mala_rows,
    "langevin": chains.langevin_rows,
    "annealed": annealed.rows,
    "densities": densities.rows,
    "load": load.rows,
    "import": processes.import_rows,
    "figures": processes.figures_rows,
    "scaling": scaling.sweeps,
}
"""What ``speed`` measures on the CPU; without ``--only``, all of it."""

ON_A_GPU: dict[str, Comparison] = {"gpu": gpu.rows, **gpu.PARTS}
"""What ``--only`` measures on a GPU: all of it, or a part."""

NAMES = (*COMPARISONS, *ON_A_GPU)
Line = Row | Sweep | HardwareLimit
Kind = TypeVar("Kind", Row, Sweep)


@dataclasses.dataclass(frozen=True)
class Speed:
    """What ``python -m benchmarks speed`` found.

    Attributes:
        made: date, machine and versions.
        rows: our code beside others'.
        hardware_limit: what the machine, or its GPU, can do; None if it was not measured.
        sweeps: how the time grows with the work.
    """

    made: dict[str, str | int | float]
    rows: tuple[Row, ...] = ()
    hardware_limit: HardwareLimit | None = None
    sweeps: tuple[Sweep, ...] = field(default=())

    def with_line(self, line: Line) -> "Speed":
        """This, and one thing more."""
        if isinstance(line, HardwareLimit):
            return dataclasses.replace(self, hardware_limit=line)
        if isinstance(line, Sweep):
            return dataclasses.replace(self, sweeps=(*self.sweeps, line))
        return dataclasses.replace(self, rows=(*self.rows, line))

    @property
    def n_failed(self) -> int:
        """How many of its lines could not be measured since something went wrong."""
        lines = (*self.rows, *self.sweeps, *([self.hardware_limit] if self.hardware_limit else []))
        return sum(bool(line.failed) for line in lines)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; the ratios and goals met beside the measured seconds."""
        rows = [
            dataclasses.asdict(r) | ({"ratio": r.ratio, "range": r.range, "met": r.met} if r.measured else {})
            for r in self.rows
        ]
        sweeps = [
            dataclasses.asdict(s)
            | ({} if s.failed else {"overhead_up_to": s.overhead_up_to, "times_the_limit": s.times_the_limit})
            for s in self.sweeps
        ]
        limit = None if self.hardware_limit is None else dataclasses.asdict(self.hardware_limit)
        return {"made with": self.made, "rows": rows, "hardware_limit": limit, "sweeps": sweeps}

    @staticmethod
    def from_json(found: dict[str, Any]) -> "Speed":
        """Read what ``to_json`` returned."""

        def of(kind: type[Kind], values: dict[str, Any]) -> Kind:
            fields = {field.name for field in dataclasses.fields(kind)}
            return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in fields})

        limit = None if found["hardware_limit"] is None else HardwareLimit(**found["hardware_limit"])
        rows = tuple(of(Row, values) for values in found["rows"])
        sweeps = tuple(of(Sweep, values) for values in found["sweeps"])
        return Speed(found["made with"], rows, limit, sweeps)


def run(*, only: str | None = None, share: float = 1.0, progress: bool = True) -> Iterator[Line]:
    """Measure every comparison of the CPU, one of them alone, or those of the GPU; each line as soon as it is there.

    A line that fails says so, and the rest go on.

    Args:
        only: one of ``NAMES``; None is all of ``COMPARISONS``.
        share: of the steps and repeats, for a quick look; 1 is what the documentation was made with.
        progress: show a progress bar over the comparisons.
    """
    chosen = COMPARISONS if only is None else {only: (COMPARISONS | ON_A_GPU)[only]}
    with Worker() as worker:
        for comparison in tqdm(chosen.values(), desc="speed", unit="comparison", disable=not progress):
            for found in worker.rows(comparison, share):
                yield from found


def said(line: Line) -> str:
    """A line as it is printed when it comes."""
    if isinstance(line, HardwareLimit):
        return hardware_limit.line(line)
    return scaling.line(line) if isinstance(line, Sweep) else row.line(line)


def tables(speed: Speed) -> str:
    """Both tables as Markdown, with a line on what they were made with."""
    made = ", ".join(f"{name} {value}" for name, value in speed.made.items())
    parts = [f"Measured with: {made}."]
    if speed.rows:
        parts.append(row.table(speed.rows))
    if speed.hardware_limit is not None:
        parts.append(hardware_limit.line(speed.hardware_limit))
    if speed.sweeps:
        parts.append(scaling.table(speed.sweeps))
    return "\n\n".join(parts)
