"""Points of any dtype, far ones, missing ones, none at all; and numbers that are no numbers: for every density."""

import math

import mpmath
import numpy as np
import pytest
import torch

from toylab.densities import (
    Circle,
    Density,
    GaussianMixture,
    Mixture,
    Points,
    Square,
    catalogue,
    isotropic,
    pinwheel,
    two_modes,
)

METHODS = ["log_prob", "score", "divergence"]
EXAMPLES = catalogue()
every_example = pytest.mark.parametrize("name", EXAMPLES)


def draws(name, n=6):
    """Draws of an example under noise of 0.3, in float64, and that level."""
    g = torch.Generator().manual_seed(0)
    x = EXAMPLES[name].density.to(torch.float64).sample((n,), generator=g)
    return x + 0.3 * torch.randn(n, 2, dtype=torch.float64, generator=g)


@every_example
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_evaluated_in_single(name, half):
    """Right to the rounding of the result; an entry near 0 to that of the largest."""
    x, p = draws(name).to(half), EXAMPLES[name].density
    for sigma in (0.3, torch.full((6,), 0.3, dtype=torch.float64)):
        for method in METHODS:
            found, true = getattr(p, method)(x, sigma), getattr(p, method)(x.double(), sigma)
            assert found.dtype == half
            eps = torch.finfo(half).eps
            torch.testing.assert_close(found.double(), true, rtol=eps, atol=1e-3 * eps * float(true.abs().max()))
    assert all(part.dtype == half for part in p.log_prob_and_score(x, 0.3))


def test_the_posterior_in_half_precision():
    x = torch.tensor([[0.3, -0.2], [4.0, 5.0]], dtype=torch.bfloat16)
    for p in (two_modes(), two_modes().noised(0.3), two_modes().shifted((1.0, 0.0)), Mixture([1.0], [two_modes()])):
        assert p.posterior(x).dtype == torch.bfloat16


def shares(x, centres, sigma):
    """P(centre k | x) of equal Gaussians, in fifty digits."""
    with mpmath.workdps(50):
        squares = [
            mpmath.fsum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(x, c, strict=True)) for c in centres
        ]
        least = min(squares)
        terms = [mpmath.exp(-(q - least) / (2 * mpmath.mpf(sigma) ** 2)) for q in squares]
        return [float(t / mpmath.fsum(terms)) for t in terms]


# x is nearly as far from both centres, and |log p| is 1e2 to 1e9: float32 lost eps of that
TIES = [(1.0, 1.0), (0.01, 0.5), (0.001, 0.25)]


@pytest.mark.parametrize(("sigma", "apart"), TIES)
def test_float32_near_a_tie_of_far_points(sigma, apart):
    centres = [[apart, 1.5], [-apart, 1.5]]
    offset = 0.7 * sigma**2 / (2 * apart)  # of the logit 0.7
    x = torch.tensor([[offset, 33.0], [-offset, -40.0]], dtype=torch.float32)
    laws = [Points(centres), isotropic(centres, 1e-9), Mixture([0.5, 0.5], [Points(centres[:1]), Points(centres[1:])])]
    truth = torch.tensor([shares(point, centres, sigma) for point in x.tolist()], dtype=torch.float64)
    for p in laws:
        torch.testing.assert_close(p.posterior(x, sigma).double(), truth, rtol=1e-5, atol=0)
        means = truth @ torch.tensor(centres, dtype=torch.float64)
        score = (means - x.double()) / sigma**2
        torch.testing.assert_close(p.score(x, sigma).double(), score, rtol=1e-5, atol=0)


@every_example
def test_a_missing_row_is_missing_alone(name):
    x, p = draws(name), EXAMPLES[name].density
    holed = x.clone()
    holed[2, 1] = math.nan
    others = [0, 1, 3, 4, 5]
    for sigma in {EXAMPLES[name].least_sigma, 0.3}:
        for method in METHODS:
            found, true = getattr(p, method)(holed, sigma), getattr(p, method)(x, sigma)
            assert found[2].isnan().any()
            torch.testing.assert_close(found[others], true[others], rtol=1e-12, atol=1e-12, equal_nan=True)


@every_example
@pytest.mark.parametrize("shape", [(0, 2), (3, 0, 2)])
def test_no_points_at_all(name, shape):
    p = EXAMPLES[name].density
    for sigma in (0.3, torch.full(shape[:-1], 0.3)):
        assert p.log_prob(torch.zeros(shape), sigma).shape == shape[:-1]
        assert p.score(torch.zeros(shape), sigma).shape == shape
        assert p.divergence(torch.zeros(shape), sigma).shape == shape[:-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "p",
    [two_modes(), EXAMPLES["correlated"].density, pinwheel(), EXAMPLES["fractal_tree"].density, Circle(), Square()]
    + [EXAMPLES[name].density for name in ("laplace", "checkerboard", "segment", "concentric_circles", "points")],
    ids=lambda p: type(p).__name__,
)
def test_huge_and_infinite_points(p, dtype):
    """log p is -inf or finite and very low, and from afar the score points back, at |x| / sigma^2 or less."""
    x = torch.tensor([[1e30, 0.0], [-1e30, 1e30], [1e18, 2.0]], dtype=dtype)
    infinite = torch.tensor([[math.inf, 0.0], [0.0, -math.inf], [math.inf, math.inf]], dtype=dtype)
    assert (p.log_prob(x, 0.5) < -1e15).all()
    assert not p.score(x, 0.5).isnan().any()
    assert not p.divergence(x, 0.5).isnan().any()
    assert (x[:, 0] * p.score(x, 0.5)[:, 0] < 0).all()
    assert p.log_prob(infinite, 0.5).tolist() == [-math.inf] * 3
    assert p.log_prob_and_score(infinite, 0.5)[0].tolist() == [-math.inf] * 3
    assert p.log_prob(torch.tensor([1.0, math.nan], dtype=dtype), 0.5).isnan()


# Numbers.


@every_example
@pytest.mark.parametrize("sigma", ["1", b"1", True, np.bool_(True), np.ones(2), None, 1j])
def test_a_word_or_a_truth_value_is_no_level(name, sigma):
    p = EXAMPLES[name].density
    for method in METHODS:
        with pytest.raises(TypeError, match=r"sigma (is .*|has shape \[2\]): it must be a number"):
            getattr(p, method)(torch.zeros(2, 2), sigma)


@pytest.mark.parametrize("one", [1, np.float32(1), np.int64(1), np.array(1.0), torch.tensor(1.0), torch.tensor(1)])
def test_numbers_of_numpy_and_of_torch_are_numbers(one):
    x = torch.tensor([[0.3, -0.2]])
    torch.testing.assert_close(two_modes().log_prob(x, one), two_modes().log_prob(x, 1.0))
    assert repr(Circle(one)) == repr(Circle(1.0))
    assert repr(Square(0.0, one)) == "Square(low=0.0, high=1.0)"
    assert two_modes().scaled(one) == two_modes()


@pytest.mark.parametrize("number", ["1", True, torch.tensor(True), np.ones(1)])
def test_what_is_no_number_is_refused_everywhere(number):
    for build in (Circle, two_modes().noised, two_modes().scaled, two_modes().rotated, lambda n: Square(0.0, n)):
        with pytest.raises(TypeError, match="it must be a number"):
            build(number)


# Networks among the attributes.


class Learned(Density):
    """A network as a log-density, up to its normaliser."""

    def __init__(self):
        self.network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))

    def log_prob(self, x):
        return self.network(x)[..., 0]


def test_the_score_carries_the_graph_to_the_parameters_as_log_prob_does():
    p, x = Learned(), torch.tensor([[0.3, -0.2], [1.0, 2.0]])
    for values in (p.log_prob(x), p.score(x), p.divergence(x)):
        gradient, *_ = torch.autograd.grad(values.sum(), list(p.network.parameters()), allow_unused=True)
        assert float(gradient.abs().sum()) > 0
    with torch.no_grad():
        assert not p.score(x).requires_grad
        assert not p.divergence(x).requires_grad


def test_a_network_moves_with_its_density():
    p = Learned()
    q = p.to(torch.float64)
    x = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    assert q.score(x).dtype == torch.float64
    assert p.log_prob(x.float()).dtype == torch.float32  # the first is as it was
    assert p.to(torch.float32).network is p.network


# Transforms of torch.func.


@pytest.mark.parametrize("make", [two_modes, lambda: Points([[0.0, 1.0], [1.0, 0.0]]), Circle, Square])
def test_what_is_kept_from_inside_a_transform_serves_outside(make):
    """In float32, whose parameters are cast at the first call: the cast was a tensor of the transform."""
    x = torch.tensor([[0.3, -0.2], [1.0, 2.0]])
    for transform in (torch.func.jacrev, torch.func.jacfwd, torch.func.hessian):
        p = make()
        inside = torch.func.vmap(transform(lambda y, p=p: p.log_prob(y, 0.5)))(x)
        assert inside.isfinite().all()
        torch.testing.assert_close(p.score(x, 0.5), make().score(x, 0.5), rtol=0, atol=0)


def test_levels_can_be_batched():
    x, sigma = torch.tensor([[0.3, -0.2], [1.0, 2.0]], dtype=torch.float64), torch.tensor([0.5, 0.9]).double()
    correlated = EXAMPLES["correlated"].density
    for p in (two_modes(), correlated, Circle(), Points([[0.0, 1.0], [1.0, 0.0]])):
        for method in METHODS:
            f = getattr(p, method)
            torch.testing.assert_close(torch.func.vmap(f, (None, 0))(x, sigma), torch.stack([f(x, s) for s in sigma]))


def test_a_gradient_in_a_tensor_sigma_of_correlated_mixtures():
    """d log p / d sigma = sigma (div s + |s|^2), for one level and for one a point."""
    p, x = EXAMPLES["correlated"].density, torch.tensor([[0.3, -0.2], [1.0, 2.0]], dtype=torch.float64)
    rate = 0.7 * (p.divergence(x, 0.7) + p.score(x, 0.7).square().sum(-1))
    one, each = torch.tensor(0.7).double().requires_grad_(), torch.full((2,), 0.7).double().requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(p.log_prob(x, one).sum(), one)[0], rate.sum())
    torch.testing.assert_close(torch.autograd.grad(p.log_prob(x, each).sum(), each)[0], rate)


# Covariances as they are given.


@pytest.mark.parametrize("ratio", [1e3, 1e6, 1e7])
@pytest.mark.parametrize("sigma", [0.0, 1e-5])
def test_a_very_elongated_covariance_in_a_turned_frame(ratio, sigma):
    """Of standard deviations 1 and 1 / ratio: c11 c22 - c12^2 kept 16 digits less twice those of the ratio."""
    c, s = math.cos(0.7), math.sin(0.7)
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    covariance = turn @ torch.tensor([1.0, ratio**-2], dtype=torch.float64).diag() @ turn.T
    covariance = 0.5 * (covariance + covariance.T)
    x = torch.tensor([0.3, -0.2], dtype=torch.float64)
    with mpmath.workdps(60):
        noised = mpmath.matrix(covariance.tolist()) + mpmath.mpf(sigma) ** 2 * mpmath.eye(2)
        v = mpmath.matrix(x.tolist())
        heat = (v.T * noised**-1 * v)[0]
        true = float(-heat / 2 - mpmath.log(2 * mpmath.pi) - mpmath.log(mpmath.det(noised)) / 2)
    p = GaussianMixture([1.0], [[0.0, 0.0]], covariance)
    assert float(p.log_prob(x, sigma)) == pytest.approx(true, rel=1e-12)


def test_a_covariance_that_is_singular_by_its_last_digit_is_refused():
    with pytest.raises(ValueError, match="positive definite"):
        GaussianMixture([1.0], [[0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]])
