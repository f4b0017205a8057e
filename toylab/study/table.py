"""The table of a study, and what is read off it: means over seeds, and xarray's axes."""

import io
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from toylab._internal.display import short
from toylab.study.folder import (
    Numbers,
    arrays_file,
    path_of,
    read_cells,
    read_failure,
    read_plan,
)
from toylab.study.plan import Plan, Shown

GRID = "grid"
"""Under which attribute a table keeps the names of its grid."""


def table_of(plan: Plan, keys: list[str], done: Mapping[str, Numbers]) -> pd.DataFrame:
    """One row for each cell that is done, in the order of the grid: its combination, then what it returned."""
    rows = [(shown, done[key]) for shown, key in zip(plan.shown(), keys, strict=True) if key in done]
    columns = {name: _column([shown[k] for shown, _ in rows]) for k, name in enumerate(plan.names)}
    for name in dict.fromkeys(name for _, numbers in rows for name in numbers):
        columns[name] = _column([numbers.get(name) for _, numbers in rows])
    table = pd.DataFrame(columns)
    table.attrs[GRID] = plan.names
    return table


def _column(values: list[Shown]) -> "pd.Series[Any]":
    """Of one kind: texts where one is a text, else numbers, of which a missing one is nan."""
    kinds = {type(value) for value in values}
    if str in kinds:
        return pd.Series([None if value is None else str(value) for value in values], dtype="str")
    if len(kinds) > 1:
        return pd.Series([np.nan if value is None else value for value in values], dtype="float64")
    return pd.Series(values, dtype=None if kinds else "float64")


def parquet(table: pd.DataFrame) -> bytes:
    """The table as a Parquet file, the same bytes for the same table."""
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()


def states(out: str | PathLike[str]) -> pd.DataFrame:
    """Where a study stands: one row for each cell, with its ``state``, done, failed or missing, and its ``failure``.

    Args:
        out: the folder that ``run`` was given.

    Returns:
        The columns of the grid, ``state``, and ``failure``: the traceback of a cell that failed, else an empty text.
        ``print(states(out).query("state == 'failed'").failure.iloc[0])`` shows the first.

    Raises:
        ValueError: if the folder holds no study.
    """
    folder = path_of(out)
    return states_of(folder, read_plan(folder))


def states_of(folder: PathLike[str], plan: Plan) -> pd.DataFrame:
    """The same of a plan whose folder may be empty."""
    folder = path_of(folder)
    keys = list(plan.keys())
    cells = read_cells(folder, keys)
    columns = {name: _column([shown[k] for shown in plan.shown()]) for k, name in enumerate(plan.names)}
    state = ["done" if key in cells.done else "failed" if key in cells.failed else "missing" for key in keys]
    failure = [read_failure(folder, key) if is_ == "failed" else "" for key, is_ in zip(keys, state, strict=True)]
    return pd.DataFrame(columns).assign(state=state, failure=failure)


def arrays(out: str | PathLike[str], combination: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays that one cell returned, by their names.

    Args:
        out: the folder that ``run`` was given.
        combination: a value for each name of the grid, as the table shows it, such as ``{"sigma": 0.1, "seed": 3}``.

    Raises:
        ValueError: if the combination is not in the grid, or the cell is not done.
    """
    folder = path_of(out)
    plan = read_plan(folder)
    if not isinstance(combination, Mapping):
        raise TypeError(f"combination is {short(combination)}: give a value for each of {', '.join(plan.names)}.")
    (key,) = plan.at(combination).keys()
    if key not in read_cells(folder, [key]).done:
        raise ValueError(f"the cell {short(dict(combination))} is not done: run the study again to compute it.")
    file = arrays_file(folder, key)
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as found:
        return dict(found)


def summary(table: pd.DataFrame, over: str = "seed") -> pd.DataFrame:
    """Mean and standard error of each number over one name of the grid, for each combination of the others.

    With n values x_i of a group: mean = sum_i x_i / n,  error = sqrt(sum_i (x_i - mean)^2 / (n (n - 1))).

    Args:
        table: from ``run``, or its ``table.parquet``.
        over: the name to average over.

    Returns:
        One row for each combination of the other names, in the order of the table: these names, ``n_{over}``, the
        number of cells that are done, and for each number ``x`` its mean ``x`` and ``x_error``; nan if one of them is
        nan, and the error also of one value. Texts are left out.
    """
    names = _grid(table)
    if over not in names:
        raise ValueError(f"over is {short(over)}: give a name of the grid, one of {', '.join(names)}.")
    others = [name for name in names if name != over]
    for name in table.columns:
        if f"{name}_error" in table.columns:
            raise ValueError(
                f"the table has {name}_error, the name that the standard error of {name} is to have: rename it, as in "
                f'table.rename(columns={{"{name}_error": "{name}_own_error"}}).'
            )
    results = [name for name in table.columns if name not in names and pd.api.types.is_numeric_dtype(table[name])]
    rows = []
    for index, group in _groups(table, others):
        x = group[results].to_numpy(dtype=float)
        n = len(group)
        mean = x.mean(0)
        error = np.sqrt(((x - mean) ** 2).sum(0) / (n * (n - 1))) if n > 1 else np.full(len(results), np.nan)
        means = {
            name: value
            for k, name in enumerate(results)
            for name, value in ((name, mean[k]), (f"{name}_error", error[k]))
        }
        rows.append({**dict(zip(others, index, strict=True)), f"n_{over}": n, **means})
    found = pd.DataFrame(rows)
    found.attrs[GRID] = others
    return found


def _groups(table: pd.DataFrame, names: list[str]) -> Any:  # noqa: ANN401
    return table.groupby(names, sort=False, dropna=False) if names else [((), table)]


def to_xarray(table: pd.DataFrame) -> xr.Dataset:
    """The same numbers on the axes of the grid: one dimension for each name, in its order; nan where no cell is done.

    Args:
        table: from ``run``, its ``table.parquet``, or from ``summary``.
    """
    names = _grid(table)
    if not names:
        raise ValueError("the table has no name of a grid left to be an axis: give one from run.")
    axes = {name: list(dict.fromkeys(table[name])) for name in names}
    data: xr.Dataset = table.set_index(names).to_xarray()
    return data.reindex(axes)


def _grid(table: pd.DataFrame) -> list[str]:
    names = table.attrs.get(GRID) if isinstance(table, pd.DataFrame) else None
    if names is None or not set(names) <= set(table.columns):
        raise TypeError(
            f"table is a {type(table).__name__} that does not tell its grid: give the table from run, or read its "
            "table.parquet with pandas.read_parquet."
        )
    return list(names)
