"""Which laws end at a wall, where their density jumps to 0."""

from toylab.densities.boxes import Checkerboard, Square
from toylab.densities.density import Affine, Density, Truncated


def ends_at_a_wall(density: Density) -> bool:
    """Whether the clean law jumps at walls that are known: a truncated or uniform one, moved or not."""
    while isinstance(density, Affine):
        density = density.density
    return isinstance(density, Truncated | Square | Checkerboard)
