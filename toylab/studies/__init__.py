"""Studies of ours, run by ``toylab study NAME``: everything of one kind on every density of the catalogue.

``STUDIES`` lists them all.
"""

from toylab.studies import objectives, samplers
from toylab.studies.study import Study

__all__ = ["STUDIES", "Study", "objectives", "samplers"]

STUDIES = {
    "objectives": Study(
        "every objective on every density of the catalogue, five networks each",
        objectives.cell, objectives.grid, objectives.tables, objectives.draw,
    ),
    "samplers": Study(
        "every sampler on every density of the catalogue at several prices, by an exact and a learned score",
        samplers.cell, samplers.grid, samplers.tables, samplers.draw,
    ),
}  # fmt: skip
"""Every study by the name that ``toylab study`` takes."""
