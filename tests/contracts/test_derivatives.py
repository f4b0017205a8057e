"""Every derivative of every density is right: in x and in sigma, by every mode of torch, of order one to four.

A new density adds one line to CASES. Values themselves are held to references of thirty digits in ``tests/densities``;
here the derivatives of one value are held to the closed form of the next, and beyond the divergence to differences of
the values. The places are draws of the law and those where a formula meets a singularity: midlines, centres, ends,
kinks, ties.
"""

import math
from dataclasses import dataclass, field

import pytest
import torch
import torch.autograd.forward_ad as forward_ad

from toylab.densities import (
    Banana,
    Checkerboard,
    Circle,
    ConcentricCircles,
    Density,
    Funnel,
    GaussianMixture,
    Laplace,
    Mixture,
    Points,
    Segment,
    Spiral,
    Square,
    StudentTMixture,
    TwoMoons,
    from_energy,
    from_torch,
    pinwheel,
    ring,
    two_modes,
)
from toylab.metrics import curl, fokker_planck_residual, posterior_covariance
from toylab.objectives import Implicit, Sliced
from toylab.score import at, divergence, value_and_jacobian


class Logistic(Density):
    """Independent logistic coordinates under no noise: a log-density alone."""

    def log_prob(self, x):
        return (-x - 2 * torch.nn.functional.softplus(-x)).sum(-1)

    def length_scale(self, sigma=0.0):
        return 1.0


class Blob(Density):
    """N(0, diag(1, 4)) at every noise level: a log-density alone."""

    def log_prob(self, x, sigma=0.0):
        v = x.new_tensor([1.0, 4.0]) + torch.as_tensor(sigma, dtype=x.dtype)[..., None] ** 2
        return -0.5 * (x.square() / v + (2 * math.pi * v).log()).sum(-1)

    def sample(self, sample_shape=(), *, generator=None):
        z = torch.randn(*sample_shape, 2, dtype=self.dtype, device=self.device, generator=generator)
        return z * z.new_tensor([1.0, 2.0])

    def length_scale(self, sigma=0.0):
        return math.hypot(1.0, sigma)


@dataclass(frozen=True)
class Case:
    """A density, noise levels, and places where its formulas meet a singularity."""

    name: str
    density: Density
    sigmas: tuple[float, ...]
    singular: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])


CORRELATED = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
SLANTED = GaussianMixture([1.0], [[0.5, 0.0]], [[1.0, 0.6], [0.6, 0.8]])
STUDENT = StudentTMixture([0.5, 0.5], [[-1.5, 0.0], [1.5, 0.0]], [[0.1, 0.0], [0.0, 0.1]], [3.0, 5.0])
PLUS = [[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0], [0.0, -3.0]]
MIXED = Mixture([0.2, 0.3, 0.5], [Circle(2.0), Square(-1.0, 1.0), two_modes().scaled(0.3)])
BETWEEN_CELLS = [(0.0, 1.0), (1.0, 1.0), (-1.0, 0.0), (0.0, 0.0), (2.0, 2.0), (5.0, 0.0)]
CIRCLES_APART = Mixture([0.5, 0.5], [Circle(1.0).shifted((2.0, 0.0)), Circle(1.0).shifted((-2.0, 0.0))])
NORMAL = torch.distributions.MultivariateNormal(
    torch.zeros(2).double(), torch.tensor([[1.0, 0.4], [0.4, 0.6]]).double()
)
SMOOTH, NOISED = (0.0, 0.3), (0.3,)
CASES = [
    Case("two modes", two_modes(), SMOOTH),
    Case("ring", ring(), (0.01,)),
    Case("correlated mixture", CORRELATED, SMOOTH, [(-2.0, 0.0), (0.0, 0.0)]),
    Case("square, noised and moved", Square().noised(0.1).rotated(0.7).shifted((1.0, -2.0)), (0.2,), [(1.0, -2.0)]),
    Case("pinwheel", pinwheel(n_arms=3), (0.0,)),
    Case("points", Points(PLUS), NOISED, [(0.0, 0.0), (3.0, 0.0)]),
    Case("circle", Circle(3.0), (0.01, 0.3, 10.0), [(0.0, 0.0), (1e-9, 0.0), (3.0, 0.0), (-3.0, 0.0)]),
    Case("concentric circles", ConcentricCircles([1.0, 2.5]), NOISED, [(0.0, 0.0), (1.75, 0.0), (0.0, -1.0)]),
    Case("square", Square(), (0.3, 10.0), [(0.0, 0.0), (0.0, 0.4), (1.0, 1.0), (-1.0, 0.0), (3.0, 0.0)]),
    Case("wide square", Square(-3.0, 3.0), (0.02, 0.3), [(0.0, 0.0), (0.0, 0.4), (3.0, 3.0), (-3.0, 0.0), (4.0, 0.0)]),
    Case("thin square", Square(0.0, 1e-2), (0.01,), [(0.005, 0.005), (0.0, 0.01), (0.005, 3.0)]),
    Case("checkerboard", Checkerboard(), NOISED, BETWEEN_CELLS),
    Case("segment", Segment(), NOISED, [(0.0, 0.0), (0.0, 0.5), (1.0, 0.0), (2.0, 0.0)]),
    Case("slanted segment", Segment((-3.0, -2.0), (3.0, 2.0)), (0.01,), [(0.0, 0.0), (-3.0, -2.0), (2.0, -3.0)]),
    Case("laplace", Laplace((0.8, 0.3)), NOISED, [(0.0, 0.0), (0.0, 0.7), (-2.0, 0.0)]),
    Case("narrow laplace", Laplace((0.01, 30.0)), (0.1,), [(0.0, 0.0), (0.0, 0.7), (0.02, 0.0)]),
    Case("banana", Banana(scale=1.2, width=0.4, bend=0.5), SMOOTH, [(0.0, 0.0), (0.0, 1.0), (0.0, -3.0)]),
    Case("funnel", Funnel(scale=0.8), SMOOTH, [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (-2.0, 0.0)]),
    Case("student t", STUDENT, SMOOTH, [(0.0, 0.0), (1.5, 0.0), (0.0, 4.0)]),
    Case("two moons", TwoMoons(), NOISED, [(0.0, 0.0), (1.0, 0.5), (0.5, 0.25), (-1.0, 0.0), (0.0, 1.0)]),
    Case("two moons, moved", TwoMoons().scaled(2.0).shifted((-1.0, -0.5)), (0.3,), [(-1.0, -0.5), (1.0, 0.5)]),
    Case("spiral", Spiral(), (0.1, 0.3, 10.0), [(0.0, 0.0), (0.5, 0.0), (-1.0, 0.0)]),
    Case("mixture of many laws", MIXED, NOISED, [(0.0, 0.0), (1.0, 0.0), (0.0, 2.0)]),
    Case("mixture with a tie", CIRCLES_APART, NOISED),
    Case("cut along both axes", SLANTED.truncated((0.0, math.inf, -0.5, 1.5)), NOISED, [(0.0, 0.5), (-1.0, 3.0)]),
    Case("cut along one axis", SLANTED.truncated((0.0, math.inf, -math.inf, math.inf)), NOISED, [(0.0, 0.5)]),
    Case("cut and round", two_modes().truncated((-6.0, 6.0, -4.5, math.inf)), NOISED, [(6.0, -4.5), (-5.0, -7.0)]),
    Case("a log-density alone", Logistic(), (0.0,)),
    Case("a log-density alone, at every level", Blob(), SMOOTH),
    Case("a log-density alone, moved and noised", Blob().rotated(0.3).scaled(2.0).noised(0.5), (0.0,)),
    Case("an energy", from_energy(lambda x: x.pow(4).sum(-1) / 4, (-4, 4, -4, 4), n_cells=32), (0.0,)),
    Case(
        "a distribution of torch",
        from_torch(NORMAL),
        (0.0,),
    ),
]  # fmt: skip
LEVELS = [pytest.param(case, sigma, id=f"{case.name}, {sigma:g}") for case in CASES for sigma in case.sigmas]
every_level = pytest.mark.parametrize(("case", "sigma"), LEVELS)
every_noise_level = pytest.mark.parametrize(("case", "sigma"), [p for p in LEVELS if p.values[1] > 0])


def places(case, sigma):
    """Three draws of p_sigma, one of them moved off by three lengths, and the singular places."""
    g = torch.Generator().manual_seed(1)
    try:
        x = case.density.to(torch.float64).sample((3,), generator=g)
    except TypeError:  # a log-density alone
        x = torch.randn(3, 2, dtype=torch.float64, generator=g)
    x = x + sigma * torch.randn(x.shape, dtype=x.dtype, generator=g)
    x[2] += 3 * length(case, sigma)
    return torch.cat([x, torch.tensor(case.singular, dtype=torch.float64)])


def length(case, sigma):
    """A length over which log p_sigma changes, which makes derivatives numbers of order one."""
    try:
        return min(case.density.length_scale(sigma), 1.0)
    except TypeError:  # a distribution of torch
        return 0.5


def step(case, sigma):
    """A length to which differences of order 6 are exact: shares of two masses change over sigma^2 / distance."""
    return 1e-2 * length(case, sigma) * min(1.0, 0.25 * length(case, sigma))


def close(found, true, case, sigma, order, rtol=1e-6, atol=1e-7):
    """Derivatives of log p of an order, relative to themselves or to one of length^-order."""
    torch.testing.assert_close(found.detach(), true.detach(), rtol=rtol, atol=atol / length(case, sigma) ** order)


def slope(f, x, h):
    """The derivative of f(x) in x by central differences of order 6 [.., 2], f of points [n, 2]."""
    columns = []
    for axis in torch.eye(2, dtype=x.dtype):
        rows = [c * (f(x + k * h * axis) - f(x - k * h * axis)) for k, c in ((1, 45), (2, -9), (3, 1))]
        columns.append(sum(rows) / (60 * h))
    return torch.stack(columns, -1)


def reverse(f, x):
    """The derivative of f(x) in x by autograd, f of points [n, 2] to [n] or [n, 2]: [n, 2] or [n, 2, 2]."""
    x = x.clone().requires_grad_()
    y = f(x)
    rows = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in (y.T if y.ndim == 2 else [y])]
    return torch.stack(rows, -2) if y.ndim == 2 else rows[0]


def forward(f, x):
    """The same by dual numbers."""
    columns = []
    for axis in torch.eye(2, dtype=x.dtype):
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(x.clone(), axis.expand_as(x).contiguous()))).tangent
        columns.append(tangent)
    return torch.stack(columns, -1)


def functional(f, x):
    """The same by ``torch.func.jvp``."""
    axes = torch.eye(2, dtype=x.dtype)
    return torch.stack([torch.func.jvp(f, (x,), (axis.expand_as(x).contiguous(),))[1] for axis in axes], -1)


def one_by_one(transform, f, x):
    """A transform of ``torch.func`` of f at each of the points."""
    return torch.stack([transform(f)(point) for point in x])


def few(values):
    """Of a draw and of the first singular place."""
    return values[[0, 3]]


@every_level
def test_the_score_is_the_derivative_of_log_prob(case, sigma):
    p, x = case.density, places(case, sigma)
    f, s = at(p.log_prob, sigma), p.score(x, sigma)
    close(s, slope(f, x, step(case, sigma)), case, sigma, 1, rtol=1e-5, atol=1e-5)
    for derivative in (reverse, forward, functional):
        close(derivative(f, x), s, case, sigma, 1)
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        close(one_by_one(transform, f, few(x)), few(s), case, sigma, 1)


@every_level
def test_the_divergence_is_the_trace_of_the_derivative_of_the_score(case, sigma):
    p, x = case.density, places(case, sigma)
    f = at(p.score, sigma)
    jacobian = reverse(f, x)
    close(jacobian, slope(f, x, step(case, sigma)), case, sigma, 2)
    close(jacobian, jacobian.mT, case, sigma, 2)
    close(p.divergence(x, sigma), jacobian.diagonal(dim1=-2, dim2=-1).sum(-1), case, sigma, 2)
    close(divergence(f, x), p.divergence(x, sigma), case, sigma, 2)
    for derivative in (forward, functional):
        close(derivative(f, x), jacobian, case, sigma, 2)
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        close(one_by_one(transform, f, few(x)), few(jacobian), case, sigma, 2)
    close(one_by_one(torch.func.hessian, at(p.log_prob, sigma), few(x)), few(jacobian), case, sigma, 2)
    y = x.clone().requires_grad_()  # twice by reverse mode, from the log-density
    (s,) = torch.autograd.grad(p.log_prob(y, sigma).sum(), y, create_graph=True)
    rows = [torch.autograd.grad(column.sum(), y, retain_graph=True)[0] for column in s.T]
    close(torch.stack(rows, -2), jacobian, case, sigma, 2)


@every_level
def test_two_derivatives_of_the_divergence(case, sigma):
    """The third and fourth derivatives of log p, against differences of its divergence and of its gradient."""
    p, x = case.density, places(case, sigma)
    f, h = at(p.divergence, sigma), step(case, sigma)
    gradient = reverse(f, x)
    close(gradient, slope(f, x, h), case, sigma, 3, atol=1e-6)
    for derivative in (forward, functional):
        close(derivative(f, x), gradient, case, sigma, 3)
    y = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(y).sum(), y, create_graph=True)
    second = torch.stack([torch.autograd.grad(column.sum(), y, retain_graph=True)[0] for column in g.T], -2)
    close(second, slope(lambda y: reverse(f, y), x, h), case, sigma, 4, atol=1e-5)
    close(one_by_one(torch.func.hessian, f, few(x)), few(second), case, sigma, 4, atol=1e-6)


@every_noise_level
def test_derivatives_in_sigma(case, sigma):
    """d log p / d sigma = sigma (div s + |s|^2), of which the derivative of the score is the gradient."""
    p, x = case.density, places(case, sigma)
    levels = torch.full((len(x),), sigma, dtype=x.dtype)

    def rate(y):
        return sigma * (p.divergence(y, sigma) + p.score(y, sigma).square().sum(-1))

    h = 1e-2 * min(length(case, sigma), sigma)
    by_differences = sum(
        c * (p.divergence(x, sigma + k * h) - p.divergence(x, sigma - k * h)) for k, c in ((1, 45), (2, -9), (3, 1))
    ) / (60 * h)
    truths = [(p.log_prob, rate(x), 1), (p.score, reverse(rate, x), 2), (p.divergence, by_differences, 3)]
    for method, true, order in truths:
        level = levels.clone().requires_grad_()
        y = method(x, level)
        columns = [torch.autograd.grad(c.sum(), level, retain_graph=True)[0] for c in (y.T if y.ndim == 2 else [y])]
        by_reverse = torch.stack(columns, -1) if y.ndim == 2 else columns[0]
        tangent = torch.func.jvp(lambda t, f=method: f(x, t), (levels,), (torch.ones_like(levels),))[1]
        close(by_reverse, true, case, sigma, order, atol=1e-6)
        close(tangent, by_reverse, case, sigma, order)
        one = levels[0].clone().requires_grad_()  # one level for all points
        (total,) = torch.autograd.grad(method(x, one).sum(), one)
        close(total, by_reverse.sum(), case, sigma, order)


@every_noise_level
def test_what_is_built_on_derivatives(case, sigma):
    p, x = case.density, places(case, sigma)
    jacobian = reverse(at(p.score, sigma), x)
    variance, size = sigma**2, length(case, sigma)
    covariance = posterior_covariance(p.score, x, sigma)
    expected = variance * (torch.eye(2, dtype=x.dtype) + variance * jacobian)
    torch.testing.assert_close(covariance, expected, rtol=1e-6, atol=1e-7 * variance * max(1, variance / size**2))
    close(curl(at(p.score, sigma), x), torch.zeros(len(x), dtype=x.dtype), case, sigma, 2)
    largest = float(
        reverse(at(p.divergence, sigma), x).abs().max()
        + (jacobian.abs().amax((1, 2)) * p.score(x, sigma).norm(dim=-1)).max()
    )
    residual = fokker_planck_residual(p.score, x, sigma)
    assert float(residual.abs().max()) <= 1e-6 * (largest + 1 / size**3)
    for objective in (Implicit(), Sliced()):
        assert objective(at(p.score, sigma), x, generator=torch.Generator().manual_seed(0)).isfinite().all()


@every_level
def test_points_under_vmap_or_a_sentence(case, sigma):
    """One point at a time under ``torch.func.vmap`` is the batch; a law that cannot be traced says what to do."""
    p, x = case.density, places(case, sigma)
    for method in (p.log_prob, p.score, p.divergence):
        f = at(method, sigma)
        try:
            batched = torch.func.vmap(f)(x)
        except (TypeError, ValueError) as error:
            assert "vmap" in str(error)
            assert str(error).count(". ") <= 2
            continue
        close(batched, f(x), case, sigma, 2, rtol=1e-9, atol=1e-9)
    try:
        jacobian = torch.func.vmap(torch.func.jacrev(at(p.score, sigma)))(x)
    except (TypeError, ValueError) as error:
        assert "vmap" in str(error)
        return
    close(jacobian, value_and_jacobian(at(p.score, sigma), x)[1], case, sigma, 2)
