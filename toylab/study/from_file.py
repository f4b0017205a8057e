"""What ``toylab study`` needs beside ``run``: the cell and the grid of a file, a cluster by its address, a list."""

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toylab._internal.display import reason
from toylab.study.folder import open_folder
from toylab.study.plan import plan_of
from toylab.study.table import states_of

PATIENCE = 10
"""Seconds that a scheduler has to answer."""


def load(file: Path) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """The ``cell`` and the ``grid`` that a Python file defines.

    Raises:
        ValueError: if there is no such file, it cannot be run, or it lacks one of them.
    """
    if not file.is_file():
        raise ValueError(f"{file}: there is no such file. Give one that defines cell and grid.")
    name = f"study_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    if spec is None or spec.loader is None:
        raise ValueError(f"{file}: it is not Python. Give a file that ends in .py.")
    sys.path.insert(0, str(file.resolve().parent))  # as for a script: what lies beside it can be imported
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001  # whatever the file raises
        raise ValueError(f"{file}: it cannot be run ({type(error).__name__}: {reason(error)}).") from error
    missing = [wanted for wanted in ("cell", "grid") if not hasattr(module, wanted)]
    if missing:
        raise ValueError(f"{file}: it defines no {missing[0]}. A study is a function cell and a mapping grid.")
    return module.cell, module.grid


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The executor of the Dask scheduler at an address.

    Raises:
        ValueError: if it does not answer, or Dask is not installed.
    """
    try:
        from distributed import Client, rpc
    except ModuleNotFoundError:
        raise ValueError("--scheduler needs Dask: pip install distributed") from None

    async def answers() -> None:
        async with rpc(address) as scheduler:
            await scheduler.identity()

    try:  # Dask itself waits for ever for one that listens and says nothing
        asyncio.run(asyncio.wait_for(answers(), PATIENCE))
        client = Client(address, timeout=PATIENCE)
    except Exception as error:  # of sockets, of names, of protocols
        raise ValueError(
            f"--scheduler {address}: no scheduler answers there within {PATIENCE} s ({type(error).__name__}). Give the "
            "address that dask scheduler prints, such as tcp://127.0.0.1:8786."
        ) from None
    with client:
        yield client.get_executor()


def listing(cell: Callable[..., Any], grid: Mapping[str, Any], out: Path) -> list[str]:
    """One line for each cell: its state, its combination, and the last line of why it failed; then how many of each."""
    plan, _ = plan_of(cell, grid)
    table = states_of(open_folder(out, plan, write=False), plan)
    lines = []
    for row in table.to_dict("records"):
        combination = ", ".join(f"{name}={row[name]}" for name in plan.names)
        why = row["failure"].strip().rpartition("\n")[2]
        lines.append(f"{row['state']:<8} {combination}" + (f": {why}" if why else ""))
    counts = table["state"].value_counts()
    return [*lines, ", ".join(f"{counts.get(state, 0)} {state}" for state in ("done", "failed", "missing"))]
