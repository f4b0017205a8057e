"""When a cell is run again, the widget of its last run is closed and its figure freed."""

import sys

import ipywidgets

_live: dict[tuple[str, str], tuple[int, list[ipywidgets.Widget]]] = {}  # by kind and cell: the run, and its widgets


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
    for child in getattr(box, "children", ()):
        close(child)
    box.close()
    if hasattr(box, "children"):
        box.children = ()


def _cell() -> tuple[str | None, int]:
    """The cell that is running, and the number of its run; None outside a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or not hasattr(shell, "get_parent"):
        return None, 0
    return shell.get_parent().get("metadata", {}).get("cellId"), shell.execution_count
