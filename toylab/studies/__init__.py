"""Studies of ours, run by ``toylab study NAME``: everything of one kind on every density of the catalogue.

``STUDIES`` lists them all.
"""

from toylab.studies import objectives
from toylab.studies.study import Study

__all__ = ["STUDIES", "Study", "objectives"]

STUDIES = {
    "objectives": Study(
        "every objective on every density of the catalogue, five networks each",
        objectives.cell, objectives.grid, objectives.tables, objectives.draw,
    ),
}  # fmt: skip
"""Every study by the name that ``toylab study`` takes."""
