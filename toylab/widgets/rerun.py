"""When a cell is run again, the widget of its last run is closed and its figure freed.

ipywidgets keeps every widget, with its layout and its style, until it is closed: without this a kernel fills up with
those of earlier runs.
"""

import sys
from collections.abc import Iterator
from typing import Any

import ipywidgets

_live: dict[tuple[str, str], tuple[object, list[ipywidgets.Widget]]] = {}  # by kind and cell: the run, and its widgets


def replace_previous(kind: str, box: ipywidgets.Widget) -> None:
    """Close the widgets of this kind that the same cell made in an earlier run; remember ``box`` as its new one."""
    cell, run = _cell()
    if cell is None:
        return
    last, made = _live.get((kind, cell), (run, []))
    if last != run:
        for old in made:
            close(old)
        made = []
    _live[kind, cell] = (run, [*made, box])


def close(box: ipywidgets.Widget) -> None:
    """Close a widget and everything in it, and empty it: a notebook's history of outputs keeps the box itself."""
    for part in list(parts(box)):
        close(part)
    box.close()
    if hasattr(box, "children"):
        box.children = ()


def parts(box: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """What a widget holds that is a widget too: its children, its layout, its style."""
    for value in box.trait_values().values():
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, ipywidgets.Widget):
                yield part


def _cell() -> tuple[str | None, object]:
    """The cell that is running, and its run; None outside a notebook.

    Not every front end names its cells; then a cell is known by its code.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or not hasattr(shell, "get_parent"):
        return None, 0
    request: dict[str, Any] = shell.get_parent()
    cell = request.get("metadata", {}).get("cellId") or request.get("content", {}).get("code")
    return cell, request.get("header", {}).get("msg_id", shell.execution_count)
