"""Bounded score matching: the weight, the loss, its constant, and the parameters that it returns."""

import math

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
        BoundedImplicit(lambda x: x.sum(-1))(field, torch.ones(3, 2))


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

    c = torch.stack([0.5 * (value(e) - value(-e)) for e in axes], -1)
    A = torch.stack(
        [torch.stack([0.5 * (value(a + b) + value(-a - b) - value(a - b) - value(b - a)) for b in axes], -1) / 2
         for a in axes], -2,
    )  # fmt: skip
    return A, c


def fit(A, c):
    """The minimiser of the mean loss, and its standard errors: A^-1 Cov(A theta + c) A^-1 / n."""
    inverse = torch.linalg.inv(A.mean(0))
    theta = -inverse @ c.mean(0)
    return theta, (inverse @ torch.cov((A @ theta + c).T) @ inverse / len(c)).diagonal().sqrt()


def population(objective, p, model=linear, n=5):
    """A and c under the law itself, by its quadrature, and the covariance of A theta + c at their minimiser."""
    x, mass = (torch.cat(part) for part in zip(*p.nodes(), strict=True))
    seen = mass > 1e-24
    A, c = quadratic(objective, x[seen], model, n)
    mean_A, mean_c = (torch.tensordot(mass[seen], part, 1) for part in (A, c))
    theta = -torch.linalg.solve(mean_A, mean_c)
    g = A @ theta + c
    inverse = torch.linalg.inv(mean_A)
    return theta, inverse @ (g.T * mass[seen] @ g) @ inverse


@every_case
def test_its_minimiser_is_the_truth(box, power, scale):
    theta, _ = population(BoundedImplicit(WallDistance(box, power, scale)), GAUSSIAN.truncated(box))
    torch.testing.assert_close(theta, TRUTH, rtol=1e-9, atol=1e-9)


@every_case
def test_it_returns_the_parameters_of_a_cut_gaussian_and_implicit_matching_does_not(box, power, scale):
    """50,000 draws, 30 parameters: 6 standard errors is a false alarm of 6e-8; the naive ones are 20 off."""
    p = GAUSSIAN.truncated(box).to(torch.float64)
    x = p.sample((50_000,), generator=generator(3))
    theta, error = fit(*quadratic(BoundedImplicit(WallDistance(box, power, scale)), x))
    assert ((theta - TRUTH).abs() < 6 * error).all()
    assert (error < 0.3).all()
    naive, error = fit(*quadratic(Implicit(), x))
    assert ((naive - TRUTH).abs() / error).max() > 20


def test_the_precision_of_a_half_normal_law_has_the_variance_of_the_literature():
    """n var = 14/3 for h = x^2 (efficiency 3/7 beside maximum likelihood, 2); 2.8 for h = x, nearer to it.

    With h = x the loss is x^3 L^2 / 2 - 2 x L, hence L = 2 E x / E x^3 = 1 and n var = Var(x^3 - 2 x) / (E x^3)^2,
    which is (15 - 12 + 4) pi / 8 with E x^3 = 2 sqrt(2 / pi).
    """
    p = isotropic([[0.0, 0.0]], 1.0).truncated((0.0, INF, -INF, INF))

    def model(theta):
        return lambda x: torch.stack([-theta[0] * x[..., 0], torch.zeros_like(x[..., 1])], -1)

    for power, variance in ((2.0, 14 / 3), (1.0, (15 - 12 + 4) * math.pi / 8)):
        theta, found = population(BoundedImplicit(WallDistance(p.box, power)), p, model, n=1)
        assert float(theta) == pytest.approx(1.0, rel=1e-10)
        assert float(found) == pytest.approx(variance, rel=1e-9)


def uniform(low, high, n=24):
    """Nodes of the middle-point rule on [low, high]^2: fine enough for the polynomials and sines below."""
    axis = low + (high - low) * (torch.arange(n * 40, dtype=torch.float64) + 0.5) / (n * 40)
    return torch.cartesian_prod(axis, axis)


def test_uniform_laws():
    """The slope c of s = -c (x - 1) is 0 under the square, where implicit matching finds 3 / width^2 * 4.

    The walls of a checkerboard run inside the board: the box is no weight for it, one that vanishes at all of them is.
    """

    def model(theta):
        return lambda x: -theta[0] * (x - 1)

    p, x = Square(0.0, 2.0), uniform(0.0, 2.0)
    objective = BoundedImplicit(WallDistance((0.0, 2.0, 0.0, 2.0)))
    assert objective.offset(p) == 0
    assert abs(float(fit(*quadratic(objective, x, model, n=1))[0])) < 1e-5
    assert float(fit(*quadratic(Implicit(), x, model, n=1))[0]) == pytest.approx(3.0, rel=1e-5)

    def within(theta):  # in every cell towards its middle
        return lambda x: theta[0] * torch.sin(math.pi * x)

    board = uniform(-4.0, 4.0)
    board = board[Checkerboard().log_prob(board).isfinite()]
    everywhere = BoundedImplicit(lambda x: (0.5 * math.pi * x).sin().square())
    assert everywhere.offset(Checkerboard()) == 0
    assert abs(float(fit(*quadratic(everywhere, board, within, n=1))[0])) < 1e-5
    slope = BoundedImplicit(WallDistance((-4.0, 4.0, -4.0, 4.0)))

    def tilted(theta):
        return lambda x: theta[0] * (x - 2 * (x / 2).floor() - 1)

    assert abs(float(fit(*quadratic(slope, board, tilted, n=1))[0])) > 0.5
