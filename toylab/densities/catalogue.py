"""Ready examples of every density, for notebooks, figures and the command line."""

from dataclasses import dataclass

from toylab.densities.banana import Banana
from toylab.densities.boxes import Checkerboard, Square
from toylab.densities.circles import Circle, ConcentricCircles
from toylab.densities.composite import Mixture
from toylab.densities.curves import Segment, Spiral, TwoMoons
from toylab.densities.density import Density
from toylab.densities.funnel import Funnel
from toylab.densities.gaussian_examples import fractal_tree, grid, pinwheel, ring, spiral_of_gaussians, two_modes
from toylab.densities.gaussian_mixture import GaussianMixture
from toylab.densities.heavy_tails import StudentTMixture
from toylab.densities.laplace import Laplace
from toylab.densities.points import Points


@dataclass(frozen=True)
class Example:
    """A density and a one-line description.

    Attributes:
        density: the law; at least 99 % of its mass lies in the square [-5, 5]^2.
        description: one line.
        least_sigma: 0 if the clean law has a density, else a noise level at which to look at it.
    """

    density: Density
    description: str
    least_sigma: float = 0.0


def catalogue() -> dict[str, Example]:
    """Examples by name, in the order of the gallery; each fits the square [-5, 5]^2.

    >>> catalogue()["two_modes"].density
    GaussianMixture(weights=[0.2, 0.8], means=[[-2.5, -2.5], [2.5, 2.5]], \
covariances=[[[0.25, 0.0], [0.0, 0.25]], [[0.25, 0.0], [0.0, 0.25]]])
    """
    correlated = GaussianMixture(
        [0.3, 0.5, 0.2],
        [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
        [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
    )
    plus = [[3.0, 0.0], [0.9, 2.6], [-2.4, 1.8], [-2.4, -1.8], [0.9, -2.6], [0.0, 0.0]]
    tree = Mixture([0.5, 0.5], [fractal_tree(0), fractal_tree(1)])
    student = StudentTMixture([0.5, 0.5], [[-1.5, 0.0], [1.5, 0.0]], [[0.1, 0.0], [0.0, 0.1]], [3.0, 3.0])
    return {
        "two_modes": Example(two_modes().scaled(0.5), "two Gaussians of weights 0.2 and 0.8, far apart"),
        "correlated": Example(correlated, "three Gaussians with correlated coordinates"),
        "ring": Example(ring(), "eight Gaussians around a circle"),
        "grid": Example(grid(spacing=1.6), "25 Gaussians on a lattice"),
        "spiral_of_gaussians": Example(spiral_of_gaussians(), "16 Gaussians along a spiral"),
        "fractal_tree": Example(tree.scaled(3.0), "2,032 Gaussians in two trees, thick and thin branches"),
        "banana": Example(Banana(scale=1.2, width=0.4, bend=0.5), "a Gaussian bent along a parabola"),
        "funnel": Example(Funnel(scale=1.0), "Neal's funnel: one coordinate is the log-variance of the other"),
        "student_t": Example(student, "two Student-t laws of three degrees of freedom: heavy tails"),
        "laplace": Example(Laplace((0.8, 0.8)), "independent Laplace coordinates: a kink along both axes"),
        "square": Example(Square(-3.0, 3.0), "uniform on a square: the density jumps"),
        "checkerboard": Example(Checkerboard(), "uniform on eight squares of a board: many jumps"),
        "pinwheel": Example(pinwheel(), "240 Gaussians along five winding arms"),
        "two_moons": Example(TwoMoons().scaled(2.0).shifted((-1.0, -0.5)), "two half circles, uniform on both", 0.1),
        "spiral": Example(Spiral(), "a spiral curve, denser towards its middle", 0.1),
        "circle": Example(Circle(3.0), "uniform on a circle", 0.1),
        "concentric_circles": Example(ConcentricCircles([1.0, 2.5, 4.0]), "three circles about one centre", 0.1),
        "segment": Example(Segment((-3.0, -2.0), (3.0, 2.0)), "uniform on a straight piece of a line", 0.1),
        "points": Example(Points(plus), "six point masses: a data set, whose noised law is a kernel estimate", 0.1),
    }
