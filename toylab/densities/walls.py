"""Which laws end at a wall, where their density jumps to 0."""

from toylab.densities.boxes import Checkerboard, Square
from toylab.densities.composite import Mixture
from toylab.densities.density import Affine, Density, Truncated


def ends_at_a_wall(density: Density) -> bool:
    """Whether the clean law jumps at walls that are known: a truncated or uniform one, moved or not, or a part is."""
    if isinstance(density, Affine):
        return ends_at_a_wall(density.density)
    if isinstance(density, Mixture):
        return any(ends_at_a_wall(part) for part in density.densities)
    return isinstance(density, Truncated | Square | Checkerboard)
