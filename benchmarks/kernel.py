"""What the kernel of a lesson holds in memory when the lesson has run, counted in three ways."""

import json
import statistics
from collections.abc import Sequence
from typing import Any

import psutil
from jupyter_client.manager import start_new_kernel

from benchmarks.classroom import LESSON
from benchmarks.machine import made_with
from toylab.classroom.lessons import source_folder

N_KERNELS = 5  # one after the other: they differ by a twentieth


def run(share: float) -> dict[str, Any]:
    """Medians of kernels that run the first lesson; always in full, since a part of a lesson would tell of another."""
    notebook = json.loads((source_folder() / LESSON).read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    held = [memory_after(cells) for _ in range(N_KERNELS)]
    medians = {f"{kind}, GB": round(statistics.median(one[kind] for one in held), 3) for kind in held[0]}
    return {**made_with(1.0), "lesson": LESSON, "kernels": N_KERNELS, **medians}


def memory_after(cells: Sequence[str]) -> dict[str, float]:
    """GB of a fresh kernel that has run these cells.

    Of its own (USS); that and its part of what it shares, each page divided by the number of processes that hold it
    (PSS); and all that it sees (RSS).

    Raises:
        RuntimeError: if a cell fails.
    """
    manager, client = start_new_kernel(cwd=str(source_folder()))
    try:
        for cell in cells:
            content = client.execute_interactive(cell, output_hook=lambda message: None, timeout=300)["content"]
            if content["status"] != "ok":
                raise RuntimeError(f"{content['ename']}: {content['evalue']} in the cell\n{cell}")
        held = psutil.Process(manager.provisioner.pid).memory_full_info()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return {"USS": held.uss / 1e9, "PSS": held.pss / 1e9, "RSS": held.rss / 1e9}
