"""Bounded score matching: the weight, the loss, its constant, and the parameters that it returns."""

import itertools
import math

import numpy as np
import pytest
import torch

from toylab.densities import Checkerboard, GaussianMixture, Square, isotropic
from toylab.metrics import expectation
from toylab.objectives import BoundedImplicit, Implicit, WallDistance

INF = math.inf
QUADRANT, HALF_PLANE, BOX = (0.0, INF, 0.0, INF), (-INF, INF, -0.5, INF), (-1.0, 1.5, -0.8, 2.0)
GAUSSIAN = GaussianMixture([1.0], [[0.5, -0.3]], [[1.0, 0.4], [0.4, 0.8]])
CASES = {
    "quadrant, squares": (QUADRANT, 2.0, INF),
    "quadrant, distances": (QUADRANT, 1.0, INF),
    "quadrant, levelled": (QUADRANT, 1.0, 1.0),
    "half-plane": (HALF_PLANE, 1.0, INF),
    "box": (BOX, 1.0, INF),
    "box, levelled squares": (BOX, 2.0, 0.5),
}
every_case = pytest.mark.parametrize(("box", "power", "scale"), CASES.values(), ids=list(CASES))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def field(x):
    """Neither zero nor tangent at a wall, nor the gradient of anything."""
    x1, x2 = x.unbind(-1)
    return torch.stack([torch.sin(x1 * x2) - 0.5 * x1, 1 + torch.cos(x1) - x2], -1)


def test_the_weight_value_by_value():
    x = torch.tensor([[3.0, 0.0], [0.5, 0.5], [0.0, 1.0], [-0.1, 0.0]])
    weight = WallDistance((0.0, INF, -1.0, 1.0))
    expected = torch.tensor([[3.0, 0.5], [0.5, 0.375], [0.0, 0.0], [math.nan, 0.5]])
    torch.testing.assert_close(weight(x), expected, equal_nan=True)
    squared = WallDistance((0.0, INF, -1.0, 1.0), power=2)(x)
    torch.testing.assert_close(squared, expected.square(), equal_nan=True)
    levelled = WallDistance((0.0, INF, -1.0, 1.0), scale=2.0)(x)  # 1/d = 1/3 + 1/2, and 1/1 + 1/1 + 1/2
    torch.testing.assert_close(levelled[0], torch.tensor([1.2, 0.4]))
    torch.testing.assert_close(WallDistance((-INF, INF, -INF, 2.0))(x[0]), torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"box": (1.0, 0.0, 0.0, 1.0)}, "left < right"),
        ({"box": QUADRANT, "power": 0.5}, "infinite at a wall"),
        ({"box": QUADRANT, "power": -1.0}, "greater than 0"),
        ({"box": QUADRANT, "scale": 0.0}, "greater than 0"),
    ],
)
def test_the_weight_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        WallDistance(**arguments)


def test_the_loss_refuses_what_is_no_weight():
    with pytest.raises(TypeError, match="weight"):
        BoundedImplicit(QUADRANT)
    with pytest.raises(ValueError, match="weight gives"):
        BoundedImplicit(lambda x: x.sum())(field, torch.ones(3, 2))


@every_case
def test_the_loss_is_the_divergence_of_h_s_and_half_h_s_squared(box, power, scale):
    weight = WallDistance(box, power, scale)
    x = GAUSSIAN.truncated(box).to(torch.float64).sample((30,), generator=generator(0))
    J = torch.stack([torch.autograd.functional.jacobian(lambda y: weight(y) * field(y), point) for point in x])
    right = J.diagonal(dim1=-2, dim2=-1).sum(-1) + 0.5 * (weight(x) * field(x).square()).sum(-1)
    torch.testing.assert_close(BoundedImplicit(weight)(field, x), right, rtol=1e-12, atol=1e-12)


def test_without_walls_it_is_implicit_matching_and_outside_of_them_nan():
    x = torch.randn(50, 2, dtype=torch.float64, generator=generator(1))
    loss = BoundedImplicit(WallDistance((-INF, INF, -INF, INF)))(field, x)
    torch.testing.assert_close(loss, Implicit()(field, x), rtol=1e-13, atol=1e-13)
    loss = BoundedImplicit(WallDistance(QUADRANT))(field, x)
    assert torch.equal(loss.isnan(), (x < 0).any(-1))


@every_case
def test_loss_and_offset_are_the_weighted_fisher_divergence(box, power, scale):
    """Exactly, by quadrature up to the walls; implicit matching is off by the boundary term."""
    p, weight = GAUSSIAN.truncated(box), WallDistance(box, power, scale)
    objective = BoundedImplicit(weight)
    right = expectation(lambda x: 0.5 * (weight(x) * (field(x) - p.score(x)).square()).sum(-1), p)
    found = expectation(lambda x: objective(field, x), p) + objective.offset(p)
    assert right > 0.1
    assert found == pytest.approx(right, rel=1e-9)
    unweighted = expectation(lambda x: 0.5 * (field(x) - p.score(x)).square().sum(-1), p)
    naive = expectation(lambda x: Implicit()(field, x), p) + Implicit().offset(p)
    assert abs(naive - unweighted) > 0.05


@every_case
def test_mean_loss_of_draws(box, power, scale):
    """The same by draws, within 5 standard errors, of .005 to .02 for differences of order one."""
    p, objective = GAUSSIAN.truncated(box).to(torch.float64), BoundedImplicit(WallDistance(box, power, scale))
    x = p.sample((40_000,), generator=generator(2))
    loss = objective(field, x) - objective(p.score, x)  # that of the truth has a mean of -offset
    right = expectation(lambda y: 0.5 * (objective.weight(y) * (field(y) - p.score(y)).square()).sum(-1), p)
    assert abs(float(loss.mean()) - right) < 5 * float(loss.std()) / len(x) ** 0.5


# Fits of s(x) = b - L x, L symmetric: the loss of each point is quadratic in (b_1, b_2, L_11, L_12, L_22)

PRECISION = torch.linalg.inv(GAUSSIAN.covariances[0])
TRUTH = torch.cat([PRECISION @ GAUSSIAN.means[0], PRECISION[0], PRECISION[1, 1:]])


def linear(b):
    return lambda x: torch.stack(
        [b[0] - b[2] * x[..., 0] - b[3] * x[..., 1], b[1] - b[3] * x[..., 0] - b[4] * x[..., 1]], -1
    )


def quadratic(objective, x, model=linear, n=5):
    """The loss of each point as theta^T A theta / 2 + c^T theta: A [m, n, n] and c [m, n], from its values."""
    axes = torch.eye(n, dtype=x.dtype)

    def value(theta):
        return objective(model(theta), x)

    forwards, backwards = ([value(sign * e) for e in axes] for sign in (1, -1))
    A, c = x.new_empty(len(x), n, n), x.new_empty(len(x), n)
    for i in range(n):
        c[:, i] = 0.5 * (forwards[i] - backwards[i])
        A[:, i, i] = forwards[i] + backwards[i]
    for i, j in itertools.combinations(range(n), 2):
        A[:, i, j] = A[:, j, i] = value(axes[i] + axes[j]) - forwards[i] - forwards[j]
    return A, c


def fit(A, c):
    """The minimiser of the mean loss, and its standard errors: A^-1 Cov(A theta + c) A^-1 / n."""
    inverse = torch.linalg.inv(A.mean(0))
    theta = -inverse @ c.mean(0)
    g = A @ theta + c
    return theta, (inverse @ (g.T @ g / len(g)) @ inverse / len(g)).diagonal().sqrt()


def population(objective, x, mass, model=linear, n=5):
    """The minimiser under a law itself, from the nodes x and probabilities of its quadrature, and its variance.

    That of m draws is this / m: A^-1 E[g g^T] A^-1 with g = A theta + c at the minimiser.
    """
    A, c = quadratic(objective, x, model, n)
    mean_A, mean_c = (torch.tensordot(mass, part, 1) for part in (A, c))
    theta = -torch.linalg.solve(mean_A, mean_c)
    g = A @ theta + c
    inverse = torch.linalg.inv(mean_A)
    return theta, inverse @ (g.T * mass @ g) @ inverse


def nodes(p):
    x, mass = (torch.cat(part) for part in zip(*p.nodes(), strict=True))
    seen = mass > 1e-24
    return x[seen], mass[seen]


@every_case
def test_its_minimiser_is_the_truth(box, power, scale):
    theta, _ = population(BoundedImplicit(WallDistance(box, power, scale)), *nodes(GAUSSIAN.truncated(box)))
    torch.testing.assert_close(theta, TRUTH, rtol=1e-9, atol=1e-9)


@every_case
def test_it_returns_the_parameters_of_a_cut_gaussian_and_implicit_matching_does_not(box, power, scale):
    """20,000 draws, 30 parameters: 6 standard errors is a false alarm of 6e-8. The naive ones are 15 off."""
    p = GAUSSIAN.truncated(box).to(torch.float64)
    x = p.sample((20_000,), generator=generator(3))
    theta, error = fit(*quadratic(BoundedImplicit(WallDistance(box, power, scale)), x))
    assert ((theta - TRUTH).abs() < 6 * error).all()
    assert (error < 0.4).all()
    naive, error = fit(*quadratic(Implicit(), x))
    assert ((naive - TRUTH).abs() / error).max() > 15


@every_case
def test_implicit_matching_returns_the_moments_of_the_cut_law(box, power, scale):
    """Its minimiser is the Gaussian with their mean m and covariance C, C^-1 m and C^-1: not that which was cut."""
    x, mass = nodes(GAUSSIAN.truncated(box))
    m = mass @ x
    precision = torch.linalg.inv((x - m).T * mass @ (x - m))
    moments = torch.cat([precision @ m, precision[0], precision[1, 1:]])
    naive, _ = population(Implicit(), x, mass)
    torch.testing.assert_close(naive, moments, rtol=1e-9, atol=1e-9)
    assert (naive - TRUTH).abs().max() > 0.4


def test_the_precision_of_a_half_normal_law_has_the_variance_of_the_literature():
    """n var = 14/3 for h = x^2 (efficiency 3/7 beside maximum likelihood, 2); 2.8 for h = x, nearer to it.

    With h = x the loss is x^3 L^2 / 2 - 2 x L, hence L = 2 E x / E x^3 = 1 and n var = Var(x^3 - 2 x) / (E x^3)^2,
    which is (15 - 12 + 4) pi / 8 with E x^3 = 2 sqrt(2 / pi).
    """
    p = isotropic([[0.0, 0.0]], 1.0).truncated((0.0, INF, -INF, INF))

    def model(theta):
        return lambda x: torch.stack([-theta[0] * x[..., 0], torch.zeros_like(x[..., 1])], -1)

    for power, variance in ((2.0, 14 / 3), (1.0, (15 - 12 + 4) * math.pi / 8)):
        theta, found = population(BoundedImplicit(WallDistance(p.box, power)), *nodes(p), model, n=1)
        assert float(theta) == pytest.approx(1.0, rel=1e-10)
        assert float(found) == pytest.approx(variance, rel=1e-9)


def uniform(*squares):
    """Gauss-Legendre nodes of squares (left, bottom) of side 2, and the probability of each."""
    t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(16))
    place, mass = torch.cartesian_prod(t, t), torch.outer(w, w).flatten() / 4
    x = torch.cat([torch.tensor(corner, dtype=torch.float64) + 1 + place for corner in squares])
    return x, mass.repeat(len(squares)) / len(squares)


def test_the_square():
    """The slope c of s = -c (x - 1) is 0; implicit matching finds 1 / E (x - 1)^2 = 3, a Gaussian's."""

    def model(theta):
        return lambda x: -theta[0] * (x - 1)

    objective = BoundedImplicit(WallDistance((0.0, 2.0, 0.0, 2.0)))
    assert objective.offset(Square(0.0, 2.0)) == objective.offset(Square().shifted((1.0, 1.0))) == 0
    assert abs(float(population(objective, *uniform((0.0, 0.0)), model, 1)[0])) < 1e-12
    assert float(population(Implicit(), *uniform((0.0, 0.0)), model, 1)[0]) == pytest.approx(3.0, rel=1e-12)


def test_the_checkerboard_needs_a_weight_for_the_walls_inside():
    """Towards the middle of every cell, s = -c (x - middle): 0 with a weight for all walls, not with the board's."""
    board = uniform(*((-4.0 + 2 * i, -4.0 + 2 * j) for i in range(4) for j in range(4) if (i + j) % 2 == 0))
    assert (Checkerboard().log_prob(board[0]) == -math.log(32)).all()

    def model(theta):
        return lambda x: -theta[0] * (x - 2 * (x / 2).floor() - 1)

    all_walls = BoundedImplicit(lambda x: (0.5 * math.pi * x).sin().square())
    assert all_walls.offset(Checkerboard()) == 0
    assert abs(float(population(all_walls, *board, model, 1)[0])) < 1e-12
    outer = BoundedImplicit(WallDistance((-4.0, 4.0, -4.0, 4.0)))
    assert float(population(outer, *board, model, 1)[0]) > 2


def test_a_weight_for_both_coordinates_at_once():
    """One for a disk, 1 - |x|^2, which cuts an isotropic Gaussian: polar nodes, whose minimiser is the truth."""
    t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(24))
    radius, angle = 0.5 * (t + 1), torch.arange(64, dtype=torch.float64) * (2 * math.pi / 64)
    r, a = torch.cartesian_prod(radius, angle).T
    x = torch.stack([r * a.cos(), r * a.sin()], -1)
    mean = torch.tensor([0.4, -0.2], dtype=torch.float64)
    mass = (w * radius).repeat_interleave(64) * torch.exp(-(x - mean).square().sum(-1))
    mass = mass / mass.sum()

    def weight(x):
        return 1 - x.square().sum(-1)

    truth = torch.cat([2 * mean, torch.tensor([2.0, 0.0, 2.0])])  # N(mean, I / 2)
    theta, _ = population(BoundedImplicit(weight), x, mass)
    torch.testing.assert_close(theta, truth, rtol=1e-10, atol=1e-10)
    both = BoundedImplicit(lambda x: weight(x)[..., None].expand(x.shape))
    torch.testing.assert_close(BoundedImplicit(weight)(field, x), both(field, x), rtol=1e-14, atol=1e-14)
    assert (population(Implicit(), x, mass)[0] - truth).abs().max() > 1
