"""What a study of ours is: a cell and its grid, and how its table is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from toylab.experiments.run_and_draw import render

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Study:
    """A grid of trainings or runs, from nothing to the page.

    Attributes:
        summary: what it compares, in one line.
        cell: what is computed for each combination, as ``toylab.study.run`` calls it.
        grid: names and their values.
        tables: makes the table of ``run`` Markdown.
        draw: makes it a figure.
    """

    summary: str
    cell: Callable[..., Mapping[str, Any]]
    grid: Mapping[str, Any]
    tables: Callable[["pandas.DataFrame"], str]
    draw: Callable[["pandas.DataFrame"], Figure]

    def files(self, table: "pandas.DataFrame") -> dict[str, bytes]:
        """The files that ``toylab study`` writes beside the table, by name."""
        figure = self.draw(table)
        files = {"table.md": (self.tables(table) + "\n").encode(), "figure.png": render(figure, "png")}
        plt.close(figure)
        return files
