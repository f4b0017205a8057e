"""Our code beside other packages on one machine: its rows, its scaling table, and what they were measured with."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tqdm.auto import tqdm

from benchmarks import annealed, chains, densities, gpu, processes, quality, row, scaling, seeds, step
from benchmarks.hardware_limit import HardwareLimit, hardware_limit
from benchmarks.machine import made_with
from benchmarks.row import Row
from benchmarks.scaling import Sweep

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
Kind = TypeVar("Kind", Row, Sweep)


@dataclasses.dataclass(frozen=True)
class Speed:
    """What ``python -m benchmarks speed`` found.

    Attributes:
        made: date, machine and versions.
        rows: our code beside others'.
        hardware_limit: what the machine can do; None if no sweep was asked for.
        sweeps: how the time grows with the work.
    """

    made: dict[str, str | int | float]
    rows: tuple[Row, ...]
    hardware_limit: HardwareLimit | None
    sweeps: tuple[Sweep, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; the ratios and goals met beside the measured seconds."""
        rows = [
            dataclasses.asdict(r) | ({} if r.skipped else {"ratio": r.ratio, "range": r.range, "met": r.met})
            for r in self.rows
        ]
        sweeps = [
            dataclasses.asdict(s) | {"overhead_up_to": s.overhead_up_to, "times_the_limit": s.times_the_limit}
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


def run(*, only: str | None = None, share: float = 1.0, progress: bool = True) -> Speed:
    """Measure every comparison and the scaling, or one of them alone.

    Args:
        only: a name of ``COMPARISONS``, or "scaling"; None is all.
        share: of the steps and repeats, for a quick look; 1 is what the documentation was made with.
        progress: show a progress bar over the comparisons.
    """
    names = [*COMPARISONS, "scaling"] if only is None else [only]
    rows: list[Row] = []
    limit: HardwareLimit | None = None
    sweeps: list[Sweep] = []
    for name in tqdm(names, desc="speed", unit="comparison", disable=not progress):
        if name == "scaling":
            limit = hardware_limit()
            sweeps = scaling.sweeps(share)
        else:
            rows += COMPARISONS[name](share)
    return Speed(made_with(share), tuple(rows), limit, tuple(sweeps))


def tables(speed: Speed) -> str:
    """Both tables as Markdown, with a line on what they were made with."""
    made = ", ".join(f"{name} {value}" for name, value in speed.made.items())
    parts = [f"Measured with: {made}."]
    if speed.rows:
        parts.append(row.table(speed.rows))
    if (limit := speed.hardware_limit) is not None:
        rates = (
            f"The hardware's limit: {1e-9 / limit.flop:.0f} GFLOP/s in products of matrices, "
            f"{1e9 * limit.exp:.2f} ns per exponential, {1e9 * limit.normal:.2f} ns per normal and "
            f"{1e9 * limit.uniform:.2f} ns per uniform number."
        )
        parts += [rates, scaling.table(speed.sweeps)]
    return "\n\n".join(parts)
