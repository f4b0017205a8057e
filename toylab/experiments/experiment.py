"""What an experiment is: a recipe that computes a result, and one that draws it."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from toylab.experiments.result import Result


@dataclass(frozen=True)
class Experiment:
    """A figure, from nothing to the page.

    Attributes:
        summary: what it shows, in one line.
        run: computes it in full; every ``run`` takes ``seed``, ``device`` and ``progress``, and settings of its own.
        quick: the same at a size that takes seconds: complete, but not to be quoted.
        draw: makes a result a figure.
        drawn_by_default: whether ``toylab figures`` draws it without ``--only``.
        table: makes a result a Markdown table, where the figure does not hold all of it.
        densities: names that ``run`` takes as ``densities``, where it can run on some of them only.
    """

    summary: str
    run: Callable[..., Result]
    quick: Callable[..., Result]
    draw: Callable[[Result], Figure]
    drawn_by_default: bool = False
    table: Callable[[Result], str] | None = None
    densities: tuple[str, ...] = ()
