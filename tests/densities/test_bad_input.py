"""What cannot be is refused where it is handed in: the message says what was given and what to do.

The parameters of Gaussian mixtures and circles and the levels of ``noised`` are in the tests of these; here are all
other densities, and bad points and levels for every one.
"""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from toylab.densities import (
    Banana,
    Circle,
    ConcentricCircles,
    Density,
    Funnel,
    Laplace,
    Mixture,
    Points,
    Segment,
    Spiral,
    Square,
    StudentTMixture,
    catalogue,
    fractal_tree,
    from_energy,
    from_torch,
    pinwheel,
    spiral_of_gaussians,
    two_modes,
)


class Logistic(Density):
    def log_prob(self, x):
        return (-x - 2 * torch.nn.functional.softplus(-x)).sum(-1)


EVERY = {name: example.density for name, example in catalogue().items()} | {
    "noised": Square().noised(0.5),
    "moved": Circle().scaled(2.0).rotated(1.0),
    "by energy": from_energy(lambda x: x.square().sum(-1), (-1.0, 1.0, -1.0, 1.0), n_cells=4),
    "of torch": from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2))),
    "of a user": Logistic(),
}
AUTOMATIC = ("by energy", "of torch", "of a user")  # score and divergence by autograd, and the clean law alone
X = torch.full((3, 2), 0.5)

# Points and levels: the same words from every density and every method.


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("x", "error", "said"),
    [
        ([[0.5, 0.5]], TypeError, r"x is a list: give a torch tensor of shape \[..., 2\]"),
        (X.numpy(), TypeError, "x is a ndarray: give a torch tensor"),
        (X.long(), TypeError, r"x has dtype torch.int64: scores need floating point. Give x.float\(\)"),
        (torch.zeros(3, 3), ValueError, r"x has shape \[3, 3\]: the last dimension must be 2"),
        (torch.zeros(2, 5), ValueError, r"x has shape \[2, 5\]: .* Move it last, for example with x.T"),
        (torch.tensor(0.5), ValueError, r"x has shape \[\]: the last dimension must be 2"),
    ],
    ids=["a list", "an array", "whole numbers", "in space", "transposed", "a number"],
)
def test_every_density_refuses_what_are_no_points(name, x, error, said):
    p = EVERY[name]
    sigma = 0.0 if name in AUTOMATIC else 0.3
    for method in (p.log_prob, p.score, p.divergence, p.log_prob_and_score):
        with pytest.raises(error, match=said):
            method(x, sigma)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("sigma", "error", "said"),
    [
        (-0.1, ValueError, "sigma is -0.1: a noise level is a standard deviation, .*From a variance v take v "),
        (math.nan, ValueError, "sigma is nan: a noise level is .*finite and at least 0"),
        (math.inf, ValueError, "sigma is inf: a noise level is .*finite and at least 0"),
        ("small", TypeError, "sigma is 'small': it must be a number"),
        (None, TypeError, "sigma is None: it must be a number"),
        ([0.1, 0.1, 0.1], TypeError, r"sigma is \[0.1, 0.1, 0.1\]: it must be a number"),
        (torch.tensor([0.1, -0.1, 0.1]), ValueError, "sigma holds a negative or non-finite level: .* at least 0"),
        (torch.tensor([0.1, math.nan, 0.1]), ValueError, "sigma holds a negative or non-finite level"),
        (
            torch.full((3, 1), 0.1),
            ValueError,
            r"sigma has shape \[3, 1\] for x of shape \[3, 2\]: .*take sigma\[:, 0\]",
        ),
        (torch.full((2,), 0.1), ValueError, r"sigma has shape \[2\] for x of shape \[3, 2\]: .*broadcasts to \[3\]"),
        (torch.full((3, 2), 0.1), ValueError, r"sigma has shape \[3, 2\] for x of shape \[3, 2\]: give a number, or"),
    ],
    ids=["negative", "nan", "inf", "a word", "none", "a list", "one negative", "one nan", "a column", "two", "a pair"],
)
def test_every_density_refuses_what_is_no_level(name, sigma, error, said):
    p = EVERY[name]
    for method in (p.log_prob, p.score, p.divergence, p.log_prob_and_score):
        with pytest.raises(error, match=said):
            method(X, sigma)


WITHOUT = [name for name, example in catalogue().items() if example.least_sigma > 0]


@pytest.mark.parametrize("name", WITHOUT)
def test_every_law_without_a_density_asks_for_noise(name):
    p = EVERY[name]
    said = (
        r"sigma is 0: a law on points or on a curve has no density .*sigma > 0, as in p.log_prob\(x, 0.1\) or p.noised"
    )
    for method in (p.log_prob, p.score, p.divergence, p.log_prob_and_score):
        for sigma in (0, 0.0, torch.tensor([0.1, 0.0, 0.1])):
            with pytest.raises(ValueError, match=said):
                method(X, sigma)
        with pytest.raises(ValueError, match=said):
            method(X)


def test_these_are_all_the_laws_without_a_density():
    assert WITHOUT == ["two_moons", "spiral", "circle", "concentric_circles", "segment", "points"]


# Parameters.

ONE = [[1.0, 0.0], [0.0, 1.0]]
TWICE = [[0.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("weights", "locations", "scales", "dfs", "said"),
    [
        ([1.5, -0.5], TWICE, ONE, [3, 3], r"weights is \[1.5, -0.5\]: each must be positive. Leave out empty"),
        ([0.5, 0.6], TWICE, ONE, [3, 3], "weights sum to 1.1: they must sum to 1. Divide them by their sum"),
        ([[1.0]], TWICE, ONE, [3], r"weights has shape \[1, 1\]: give a non-empty list, one per component"),
        ([], [], ONE, [], r"weights has shape \[0\]: give a non-empty list"),
        ([math.nan], TWICE[:1], ONE, [3], "weights is .*nan.*: every entry must be finite"),
        ([1.0], [0.0, 0.0], ONE, [3], r"locations has shape \[2\]: for 1 weights give \[1, 2\]"),
        ([1.0], TWICE, ONE, [3], r"locations has shape \[2, 2\]: for 1 weights give \[1, 2\]"),
        ([1.0], [[0.0, 0.0, 0.0]], ONE, [3], r"locations has shape \[1, 3\]: for 1 weights give \[1, 2\]"),
        ([1.0], TWICE[:1], [1.0, 2.0], [3], r"scales has shape \[2\]: give scale matrices \[1, 2, 2\], or \[2, 2\]"),
        ([0.5, 0.5], TWICE, [ONE] * 3, [3, 3], r"scales has shape \[3, 2, 2\]: give scale matrices \[2, 2, 2\]"),
        ([1.0], TWICE[:1], [[1.0, 0.2], [0.1, 1.0]], [3], r"scales\[0\] is .*0.2.*: it must be symmetric"),
        ([1.0], TWICE[:1], [[1.0, 2.0], [2.0, 1.0]], [3], r"scales\[0\] is .* eigenvalue -1: it must be positive def"),
        ([0.5, 0.5], TWICE, [ONE, [[0.0, 0.0], [0.0, 1.0]]], [3, 3], r"scales\[1\] is .* eigenvalue 0: .*positive def"),
        ([1.0], TWICE[:1], ONE, [0.0], r"dfs is \[0.0\]: give 1 positive degrees of freedom, one per component"),
        ([1.0], TWICE[:1], ONE, [-2.0], r"dfs is \[-2.0\]: give 1 positive degrees of freedom"),
        ([1.0], TWICE[:1], ONE, [3, 3], r"dfs is \[3.0, 3.0\]: give 1 positive degrees of freedom"),
        ([0.5, 0.5], TWICE, ONE, 3.0, "dfs is 3.0: give 2 positive degrees of freedom"),
        ([1.0], TWICE[:1], ONE, [math.inf], r"dfs is \[inf\]: every entry must be finite"),
    ],
)
def test_student_mixtures_refuse(weights, locations, scales, dfs, said):
    with pytest.raises(ValueError, match=said):
        StudentTMixture(weights, locations, scales, dfs)


@pytest.mark.parametrize(
    ("radii", "weights", "said"),
    [
        ([1.0, 0.0], None, r"radii is \[1.0, 0.0\]: give 2 positive radii, one per weight"),
        ([1.0, -2.0], None, r"radii is \[1.0, -2.0\]: give 2 positive radii"),
        ([1.0, 2.0], [1.0], r"radii is \[1.0, 2.0\]: give 1 positive radii"),
        ([[1.0, 2.0]], None, r"radii is \[\[1.0, 2.0\]\]: give a non-empty list of positive radii"),
        ([1.0, math.nan], None, "radii is .*nan.*: every entry must be finite"),
        ([], None, "give a non-empty list"),
        ([1.0, 2.0], [0.5, 0.6], "weights sum to 1.1: they must sum to 1. Divide them by their sum"),
        ([1.0, 2.0], [1.5, -0.5], r"weights is \[1.5, -0.5\]: each must be positive"),
    ],
)
def test_concentric_circles_refuse(radii, weights, said):
    with pytest.raises(ValueError, match=said):
        ConcentricCircles(radii, weights)


@pytest.mark.parametrize(
    ("points", "error", "said"),
    [
        ([[1.0, 2.0, 3.0]], ValueError, r"points has shape \[1, 3\]: the last dimension must be 2"),
        ([1.0, 2.0], ValueError, r"points has shape \[2\]: give a non-empty cloud of shape \[n, 2\]"),
        (torch.zeros(0, 2), ValueError, r"points has shape \[0, 2\]: give a non-empty cloud"),
        (torch.zeros(4, 3, 2), ValueError, r"points has shape \[4, 3, 2\]: give a non-empty cloud"),
        ([[0.0, math.inf]], ValueError, "points is .*inf.*: every entry must be finite"),
        ([[1.0], [1.0, 2.0]], TypeError, r"points is \[\[1.0\], \[1.0, 2.0\]\]: it must be numbers"),
        ("here", TypeError, "points is 'here': it must be numbers"),
    ],
)
def test_points_refuse(points, error, said):
    with pytest.raises(error, match=said):
        Points(points)


@pytest.mark.parametrize(
    ("build", "error", "said"),
    [
        (lambda: Segment((1.0, 2.0), (1, 2)), ValueError, r"both \(1.0, 2.0\): a segment has a length. .* Use Points"),
        (lambda: Segment((1.0, 2.0, 3.0)), ValueError, "start has 3 entries: give 2, one per coordinate"),
        (lambda: Segment(end=(1.0,)), ValueError, "end has 1 entries: give 2, one per coordinate"),
        (lambda: Segment(1.0), TypeError, "start is 1.0: give two numbers, one per coordinate"),
        (lambda: Segment(end=(math.nan, 0.0)), ValueError, "end is nan: it must be a finite number"),
        (lambda: Segment(end=("far", 0.0)), TypeError, "end is 'far': it must be a number"),
        (lambda: Square(1.0, 1.0), ValueError, "low is 1.0 and high is 1.0: low must be less than high"),
        (lambda: Square(2.0, -1.0), ValueError, "low is 2.0 and high is -1.0: low must be less than high"),
        (lambda: Square(low=-math.inf), ValueError, "low is -inf: it must be a finite number"),
        (lambda: Square(high=math.nan), ValueError, "high is nan: it must be a finite number"),
        (lambda: Laplace((1.0, -1.0)), ValueError, "scales is -1.0: it must be finite and greater than 0"),
        (lambda: Laplace((0.0, 1.0)), ValueError, "scales is 0.0: it must be finite and greater than 0"),
        (lambda: Laplace((math.nan, 1.0)), ValueError, "scales is nan: it must be a finite number"),
        (lambda: Laplace((1.0, 1.0, 1.0)), ValueError, "scales has 3 entries: give 2, one per coordinate"),
        (lambda: Laplace(2.0), TypeError, "scales is 2.0: give two numbers, one per coordinate"),
        (lambda: Spiral(start=-1.0), ValueError, "start is -1.0 and end is 14.*: give angles with 0 <= start < end"),
        (lambda: Spiral(start=3.0, end=3.0), ValueError, "start is 3.0 and end is 3.0: give angles with 0 <= start"),
        (lambda: Spiral(end=math.inf), ValueError, "end is inf: it must be a finite number"),
        (lambda: Spiral(start="here"), TypeError, "start is 'here': it must be a number"),
        (lambda: Square().to(torch.int64), TypeError, "dtype is torch.int64: .*Give torch.float32 or torch.float64"),
        (lambda: Circle(1.0, (0.0, 0.0, 0.0)), ValueError, "center has 3 entries: give 2, one per coordinate"),
        (lambda: Banana(bend=math.inf), ValueError, "bend is inf: it must be a finite number"),
    ],
)
def test_shapes_on_the_plane_refuse(build, error, said):
    with pytest.raises(error, match=said):
        build()


@pytest.mark.parametrize(
    ("make", "name"),
    [(Funnel, "scale"), (Spiral, "rate"), (Circle, "radius"), (Banana, "scale"), (Banana, "width")]
    + [(pinwheel, name) for name in ("radial_std", "tangential_std", "rate", "scale")]
    + [(spiral_of_gaussians, name) for name in ("turns", "inner", "outer", "std")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_sizes_must_be_positive_numbers(make, name):
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"{name} is {value}: it must be finite and greater than 0. Give a number"):
            make(**{name: value})
    with pytest.raises(TypeError, match=f"{name} is 'large': it must be a number"):
        make(**{name: "large"})


@pytest.mark.parametrize(("make", "name", "least"), [(pinwheel, "n_arms", 1), (spiral_of_gaussians, "n_modes", 2)])
def test_counts_must_be_whole_and_large_enough(make, name, least):
    for value in (least - 1, -3):
        with pytest.raises(ValueError, match=f"{name} is {value}: it must be at least {least}"):
            make(**{name: value})
    for value in (4.0, True, "4", None):
        with pytest.raises(
            TypeError, match=rf"{name} is {value!r}: it must be a whole number \(int\) of at least {least}"
        ):
            make(**{name: value})
    make(**{name: least})


@pytest.mark.parametrize("label", [2, -1, "left", 0.5])
def test_the_fractal_tree_has_two_classes(label):
    with pytest.raises(ValueError, match=f"label is {label!r}: the tree has the two classes 0 and 1"):
        fractal_tree(label)


@pytest.mark.parametrize(
    ("weights", "parts", "error", "said"),
    [
        ([0.5, 0.5], [Square(), 3], TypeError, "densities holds a int: give toylab densities"),
        (
            [1.0],
            [MultivariateNormal(torch.zeros(2), torch.eye(2))],
            TypeError,
            "densities holds a MultivariateNormal: ",
        ),
        ([], [], ValueError, "densities is empty: give at least one"),
        ([1.0], [Square(), Circle()], ValueError, "weights has 1 entries for 2 densities: give one per density"),
        ([0.5, 0.5], [Square()], ValueError, "weights has 2 entries for 1 densities: give one per density"),
        ([0.5, 0.6], [Square(), Circle()], ValueError, "weights sum to 1.1: they must sum to 1. Divide them by"),
        ([1.5, -0.5], [Square(), Circle()], ValueError, r"weights is \[1.5, -0.5\]: each must be positive. Leave out"),
        ([1.0, 0.0], [Square(), Circle()], ValueError, r"weights is \[1.0, 0.0\]: each must be positive"),
        ([[0.5, 0.5]], [Square(), Circle()], ValueError, r"weights has shape \[1, 2\]: give a non-empty list"),
        ([math.inf, 0.5], [Square(), Circle()], ValueError, "weights is .*inf.*: every entry must be finite"),
        ("equal", [Square(), Circle()], TypeError, "weights is 'equal': it must be numbers"),
    ],
)
def test_mixtures_refuse(weights, parts, error, said):
    with pytest.raises(error, match=said):
        Mixture(weights, parts)


def test_a_mixture_of_bad_points_says_so_in_the_words_of_its_parts():
    p = Mixture([0.5, 0.5], [Square(), two_modes()])
    with pytest.raises(ValueError, match="the last dimension must be 2"):
        p.posterior(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="sigma is -1.0: a noise level"):
        p.posterior(X, -1.0)
