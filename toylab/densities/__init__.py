"""Laws on the plane whose density, score and divergence are known exactly, clean and at every noise level."""

from toylab.densities.curves import Circle
from toylab.densities.density import Density, Moved, Noised
from toylab.densities.gaussian_mixture import GaussianMixture, grid, isotropic, ring, two_modes
from toylab.densities.warped import Banana

__all__ = [
    "Banana",
    "Circle",
    "Density",
    "GaussianMixture",
    "Moved",
    "Noised",
    "grid",
    "isotropic",
    "ring",
    "two_modes",
]
