"""Laws on the plane whose density, score and divergence are known exactly, clean and at every noise level."""

from toylab.densities.banana import Banana
from toylab.densities.boxes import Checkerboard, Square
from toylab.densities.catalogue import Example, catalogue
from toylab.densities.circles import Circle, ConcentricCircles
from toylab.densities.composite import Mixture
from toylab.densities.curves import Segment, Spiral, TwoMoons
from toylab.densities.density import Affine, Conditioned, Density, Noised, Truncated
from toylab.densities.energy import FromEnergy, from_energy
from toylab.densities.funnel import Funnel
from toylab.densities.gaussian_examples import (
    fractal_tree,
    grid,
    isotropic,
    pinwheel,
    ring,
    spiral_of_gaussians,
    two_modes,
)
from toylab.densities.gaussian_mixture import GaussianMixture
from toylab.densities.heavy_tails import StudentTMixture
from toylab.densities.laplace import Laplace
from toylab.densities.points import Points
from toylab.densities.torch_distribution import FromTorch, from_torch

__all__ = [
    "Affine",
    "Banana",
    "Checkerboard",
    "Circle",
    "ConcentricCircles",
    "Conditioned",
    "Density",
    "Example",
    "FromEnergy",
    "FromTorch",
    "Funnel",
    "GaussianMixture",
    "Laplace",
    "Mixture",
    "Noised",
    "Points",
    "Segment",
    "Spiral",
    "Square",
    "StudentTMixture",
    "Truncated",
    "TwoMoons",
    "catalogue",
    "fractal_tree",
    "from_energy",
    "from_torch",
    "grid",
    "isotropic",
    "pinwheel",
    "ring",
    "spiral_of_gaussians",
    "two_modes",
]
