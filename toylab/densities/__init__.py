"""Laws on the plane whose density, score and divergence are known exactly, clean and at every noise level."""

from toylab.densities.boxes import Checkerboard, Square
from toylab.densities.catalogue import Example, catalogue
from toylab.densities.composite import Mixture
from toylab.densities.curves import Circle, ConcentricCircles, Points, Segment, Spiral, TwoMoons
from toylab.densities.density import Affine, Density, FromEnergy, Noised
from toylab.densities.gaussian_mixture import (
    GaussianMixture,
    fractal_tree,
    grid,
    isotropic,
    ring,
    spiral_of_gaussians,
    two_modes,
)
from toylab.densities.heavy_tails import Laplace, StudentTMixture
from toylab.densities.torch_distribution import FromTorch, from_torch
from toylab.densities.warped import Banana, Funnel, Pinwheel

__all__ = [
    "Banana",
    "Checkerboard",
    "Circle",
    "ConcentricCircles",
    "Density",
    "Example",
    "FromEnergy",
    "FromTorch",
    "Funnel",
    "GaussianMixture",
    "Laplace",
    "Mixture",
    "Affine",
    "Noised",
    "Pinwheel",
    "Points",
    "Segment",
    "Spiral",
    "Square",
    "StudentTMixture",
    "TwoMoons",
    "catalogue",
    "fractal_tree",
    "from_torch",
    "grid",
    "isotropic",
    "ring",
    "spiral_of_gaussians",
    "two_modes",
]
