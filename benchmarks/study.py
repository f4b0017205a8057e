"""What a study costs beside its cells: rates of the driver, files, memory, and two goals; the page says them."""

import json
import os
import tempfile
import time
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from benchmarks.fresh_process import in_a_fresh_process
from benchmarks.machine import made_with
from benchmarks.row import Row, limit
from toylab._internal.study_worker import Outcome
from toylab.experiments.setting import scaled_count
from toylab.study import run as run_study
from toylab.study.attempts import Try, outcomes
from toylab.study.folder import write_outcome
from toylab.study.plan import plan_of
from toylab.study.processes import Processes
from toylab.study.run import WINDOW

CELL = 0.05  # seconds of a processor
WORKERS = 2
DONE = Outcome({"a": 0.5, "b": 1.5, "c": 2.5}, None, None)

# Each in a process of its own: what is measured are its processor time and the peak of its memory
_RECOGNISED = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from benchmarks.peak import peak_gb
from benchmarks.study import short
from toylab import study
n, out = int(sys.argv[1]), Path(sys.argv[2])
with ThreadPoolExecutor(1) as threads:  # what is loaded once is not counted
    study.run(short, {"k": range(9)}, out=out / "few", executor=threads, progress=False)
before, start = peak_gb(), time.perf_counter()
table = study.run(short, {"k": range(n)}, out=out, progress=False)
if len(table) != n:
    raise RuntimeError(f"{len(table)} cells of {n} were recognised.")
print(json.dumps({"seconds": time.perf_counter() - start, "bytes": 1e9 * (peak_gb() - before), "gb": before}))
"""
_SENT = """
import json, sys
from benchmarks.study import sent
print(json.dumps(sent(int(sys.argv[1]), sys.argv[2])))
"""


def busy(k: int, generator: torch.Generator) -> dict[str, float]:
    """A cell that keeps a processor busy for so long, whatever else the machine does."""
    del k, generator
    start = time.process_time()
    while (spent := time.process_time() - start) < CELL:
        pass
    return {"spent": spent}


def short(k: int, generator: torch.Generator) -> dict[str, float]:
    """A cell that costs nothing, of three numbers."""
    del k, generator
    return {"a": 0.5, "b": 1.5, "c": 2.5}


def run(share: float) -> dict[str, Any]:
    """All rates, and the rows with their goals; ``share`` is of the cells."""
    many, some = scaled_count(10_000, share), scaled_count(2000, share)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        start = time.perf_counter()
        run_study(busy, {"k": range(some)}, out=out / "busy", workers=WORKERS, progress=False)
        seconds = time.perf_counter() - start
        written = _written(out / "done", many)
        found = json.loads(in_a_fresh_process(_RECOGNISED, str(many), str(out / "done")))
        table = (out / "done" / "table.parquet").stat().st_size / many
        sent = {how: json.loads(in_a_fresh_process(_SENT, str(some), how)) for how in ("processes", "dask")}
    rows = [
        limit("2,000 cells of 50 ms in two processes", 1.15 * some * CELL / WORKERS, share),
        limit("10,000 finished cells recognised", 3.0, share),
    ]
    return {
        **made_with(share),
        "load": load,
        "driver_ms": {how: 1e3 * spent for how, spent in sent.items()},
        "written_per_second": written["per_second"],
        "recognised_per_second": many / found["seconds"],
        "bytes_on_disk": written["bytes"],
        "driver_gb": found["gb"],
        "bytes_in_memory": found["bytes"] / many,
        "bytes_of_table": table,
        "rows": [
            _with(row, taken) for row, taken in zip(rows, (seconds, found["seconds"]), strict=True)
        ],
    }  # fmt: skip


def _with(row: Row, seconds: float) -> dict[str, Any]:
    return {"work": row.work, "seconds": seconds, "most": row.theirs[0], "met": row.whole and seconds <= row.theirs[0]}


def _written(out: Path, n: int) -> dict[str, float]:
    """Files of n finished cells per second, as the driver writes them, and what each takes on the disk."""
    plan, _ = plan_of(short, {"k": range(n)})
    keys = list(plan.keys())
    start = time.perf_counter()
    for key in keys:
        write_outcome(out, key, DONE)
    seconds = time.perf_counter() - start
    taken = sum(getattr(file.stat(), "st_blocks", 0) * 512 for file in out.rglob("*.json"))
    return {"per_second": n / seconds, "bytes": taken / n}


def sent(n: int, how: str) -> float:
    """Seconds of this process's processors for each of n cells that it sends to an executor and has the answer of."""
    if how == "processes":
        processes = Processes(WORKERS)
        try:
            return _sent(processes, n, 2 * WORKERS)
        finally:
            processes.shutdown()
    from distributed import Client, LocalCluster  # an extra of the tests

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        return _sent(client.get_executor(), n, WINDOW)


def _sent(executor: Executor, n: int, window: int) -> float:
    """The first cells, for which the workers start, are not counted."""
    first = 4 * WORKERS
    plan, ((*values,),) = plan_of(short, {"k": range(first + n)})
    tries = [Try(key, {"k": cloudpickle.dumps(value)}) for key, value in zip(plan.keys(), values, strict=True)]

    def send(tries: list[Try]) -> float:
        start = time.process_time()
        for _, outcome in outcomes(
            executor, cloudpickle.dumps(short), plan.toylab, iter(tries), retries=0, window=window
        ):
            if outcome.failure is not None:
                raise RuntimeError(outcome.failure)
        return time.process_time() - start

    send(tries[:first])
    return send(tries[first:]) / n


def page(found: dict[str, Any]) -> str:
    """What ``docs/study.md`` says of these numbers, as Markdown."""
    cells = 10**6
    driver, dask = found["driver_ms"]["processes"], found["driver_ms"]["dask"]
    busy, recognised = found["rows"]
    disk, memory = found["bytes_on_disk"], found["bytes_in_memory"]
    half = busy["most"] / 1.15
    return f"""\
Measured on {found["cores"]} cores ({found["cpu"]}) at a load of {found["load"]:.1f} from other work, {found["date"]}, three numbers per cell, Python {found["python"]}, by `python -m benchmarks study`:

| | rate | a million cells |
|---|---|---|
| the driver sends a cell to a process and takes its answer | {driver:.2f} ms of CPU | {_minutes(driver / 1e3 * cells)} of CPU |
| the driver sends it through Dask, whose scheduler is in the same process | {dask:.1f} ms of CPU | {_minutes(dask / 1e3 * cells)} of CPU |
| the driver writes a file | {found["written_per_second"]:,.0f} per second | {_minutes(cells / found["written_per_second"])} |
| finished cells are recognised and read again | {found["recognised_per_second"]:,.0f} per second | {_minutes(cells / found["recognised_per_second"])} |
| files on the disk, in 256 folders | {disk / 1e3:.1f} kB per cell | {disk * cells / 1e9:.1f} GB, a million inodes |
| memory of the driver beyond the {1e3 * found["driver_gb"]:.0f} MB that it begins with | {memory / 1e3:.1f} kB per cell | {memory * cells / 1e9:.1f} GB |
| `table.parquet` | {found["bytes_of_table"]:.0f} bytes per cell | {found["bytes_of_table"] * cells / 1e6:.0f} MB |

Two goals: {busy["work"]} at most 1.15 times half of their work ({busy["seconds"]:.1f} s, {busy["seconds"] / half:.2f} times, the start of the processes included); {recognised["work"]} in at most {recognised["most"]:.0f} s ({recognised["seconds"]:.1f} s).

With cells of a second, a million is 278 hours of work: 200 workers need 1.4 hours and ask for 200 cells per second, for which the driver and Dask's scheduler in one process have to work {200 * dask / 1e3:.2f} s in each second. From some {_rounded(1e3 / dask)} cells per second on they are what limits; let a cell then do more, several seeds in one training, or a whole ladder of levels."""  # noqa: E501


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _rounded(value: float) -> str:
    """One significant digit."""
    return f"{float(f'{value:.1g}'):,.0f}"
