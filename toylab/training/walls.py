"""A mistake found before the first step: implicit score matching on data that end at a wall."""

from typing import Any

from torch import Tensor

from toylab._internal.warn import warn
from toylab.densities.density import Density
from toylab.densities.walls import ends_at_a_wall
from toylab.objectives.implicit import Implicit
from toylab.objectives.objective import Objective
from toylab.objectives.sliced import FiniteDifferenceSliced, Sliced


def warn_walls(objective: Objective[Any], data: Density | Tensor) -> None:
    """Warn if an objective that integrates by parts is to learn a density that jumps to 0."""
    if (
        isinstance(objective, Implicit | Sliced | FiniteDifferenceSliced)
        and isinstance(data, Density)
        and ends_at_a_wall(data)
    ):
        warn(
            f"the data end at a wall, where the integration by parts behind {type(objective).__name__} leaves a term "
            "that it leaves out: what it learns is pushed away from the wall, and its loss has no floor. Use "
            "BoundedImplicit(WallDistance(box)), or another weight that is 0 at all walls, or add noise "
            "(data.noised(0.1))."
        )
