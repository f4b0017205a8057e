"""What every density must satisfy, whatever it is. A new density adds one line to DENSITIES."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats
import torch

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
    grid,
    isotropic,
    pinwheel,
    ring,
    spiral_of_gaussians,
    two_modes,
)


@dataclass(frozen=True)
class Case:
    """A density and the noise level at which it is tested: 0, or one > 0 for laws without a density of their own."""

    name: str
    density: Density
    sigma: float = 0.0
    n: int = 40_000  # draws for the laws of its samples


class Blob(Density):
    """N(mean, std^2 I): a plain class with parameters."""

    def __init__(self, mean, std):
        self.mean = torch.tensor(mean)
        self.std = std

    def log_prob(self, x, sigma=0.0):
        v = torch.as_tensor(self.std**2 + sigma**2, dtype=x.dtype)
        return -(x - self.mean).square().sum(-1) / (2 * v) - (2 * math.pi * v).log()

    def sample(self, sample_shape=(), *, generator=None):
        z = torch.randn(*sample_shape, 2, dtype=self.dtype, device=self.device, generator=generator)
        return self.mean + self.std * z

    def bounds(self, sigma=0.0):
        reach = 9 * math.hypot(self.std, sigma)
        return self.mean.double() - reach, self.mean.double() + reach

    def length_scale(self, sigma=0.0):
        return math.hypot(self.std, sigma)


@dataclass(frozen=True)
class Slanted(Density):
    """N(shift (1, 1), A A^T): a dataclass with a tensor and a number."""

    factor: torch.Tensor
    shift: float

    def log_prob(self, x, sigma=0.0):
        noise = torch.as_tensor(sigma, dtype=x.dtype)[..., None, None] ** 2 * torch.eye(2, dtype=x.dtype)
        precision = torch.linalg.inv((self.factor @ self.factor.mT).to(x) + noise)
        offset = x - self.shift
        heat = torch.einsum("...i,...ij,...j->...", offset, precision, offset)
        return 0.5 * (torch.linalg.slogdet(precision).logabsdet - heat) - math.log(2 * math.pi)

    def sample(self, sample_shape=(), *, generator=None):
        z = torch.randn(*sample_shape, 2, dtype=self.dtype, device=self.device, generator=generator)
        return self.shift + z @ self.factor.mT

    def bounds(self, sigma=0.0):
        reach = 9 * (self.factor.double().norm() ** 2 + sigma**2).sqrt() + abs(self.shift)
        return -reach.expand(2), reach.expand(2)

    def length_scale(self, sigma=0.0):
        return math.hypot(float(torch.linalg.svdvals(self.factor)[-1]), sigma)


CORRELATED = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
HALF_ROUND = GaussianMixture(
    [0.4, 0.6], [[-1.0, 0.0], [1.0, 1.0]], [[[1.0, 0.6], [0.6, 0.8]], [[0.5, 0.0], [0.0, 0.5]]]
)
STUDENT = StudentTMixture([0.4, 0.6], [[-1.0, 0.0], [2.0, 0.5]], [[0.3, 0.1], [0.1, 0.2]], [30.0, 60.0])
MIXED = Mixture([0.2, 0.3, 0.5], [Circle(2.0), Square(-1.0, 1.0), two_modes().scaled(0.3)])
DENSITIES = [
    Case("two modes", two_modes()),
    Case("ring", ring()),
    Case("grid", grid()),
    Case("isotropic", isotropic([[1.0, 0.0], [-1.0, 2.0], [0.0, 0.0]], 0.7, [0.5, 0.2, 0.3])),
    Case("correlated mixture", CORRELATED),
    Case("correlated mixture, noised", CORRELATED.noised(0.6)),
    Case("correlated mixture, moved", CORRELATED.scaled(-1.5).rotated(0.7).shifted([1.0, -2.0])),
    Case("banana", Banana()),
    Case("banana bent down", Banana(scale=1.5, width=0.8, bend=-0.3)),
    Case("banana, noised", Banana(scale=1.0, bend=0.3).noised(0.5), n=4000),  # quadrature: slow a point
    Case("banana, moved", Banana(scale=1.0).rotated(2.0).shifted([0.5, 3.0]).scaled(0.7)),
    Case("spiral of Gaussians", spiral_of_gaussians()),
    Case("funnel", Funnel(scale=0.5)),
    Case("funnel, noised", Funnel(scale=0.5), 0.4, n=4000),
    Case("student t", StudentTMixture([1.0], [[0.5, -0.5]], [[[1.0, 0.4], [0.4, 0.6]]], [40.0])),
    Case("student t, noised", STUDENT, 0.5, n=4000),
    Case("laplace, noised", Laplace((0.7, 0.3)), 0.4),
    Case("square, noised", Square(-1.0, 2.0), 0.3),
    Case("checkerboard, noised", Checkerboard(), 0.3),
    Case("checkerboard, moved and noised", Checkerboard().rotated(0.4).scaled(0.5), 0.3),
    Case("points", Points([[0.0, 1.0], [2.0, -1.0], [-2.0, -2.0]]), 0.4),
    Case("segment", Segment((-1.0, 0.5), (2.0, 1.5)), 0.3),
    Case("two moons", TwoMoons(), 0.3),
    Case("spiral", Spiral(), 0.3, n=10_000),
    Case("concentric circles", ConcentricCircles([0.5, 2.0], [0.3, 0.7]), 0.3),
    Case("pinwheel", pinwheel(n_arms=3), n=10_000),
    Case("mixture of many laws", MIXED, 0.4, n=10_000),
    Case("cut along both axes", HALF_ROUND.truncated((-1.0, math.inf, -2.0, 1.5)), 0.4, n=4000),
    Case("cut along one axis, noised", CORRELATED.truncated((-math.inf, math.inf, -1.0, math.inf)).noised(0.4)),
    Case("cut round mixture, moved", two_modes().truncated((-6.0, 6.0, -4.5, math.inf)).rotated(0.5), 0.3),
    Case("checkerboard, cut", Checkerboard().truncated((-3.2, 1.5, -math.inf, 0.7)), 0.3),
    Case("laplace, cut", Laplace((0.7, 0.3)).truncated((-0.5, math.inf, -0.4, 0.9)), 0.4),
    Case("circle", Circle(), 0.3),
    Case("circle off the origin", Circle(radius=2.0, center=(1.0, -3.0)), 0.4),
    Case("circle, noised", Circle(radius=1.5).noised(0.3)),
    Case("circle, moved", Circle(center=(0.5, 0.0)).shifted([1.0, 2.0]).scaled(2.0).rotated(1.0), 0.5),
    Case("circle, moved and noised", Circle().scaled(0.8).noised(0.4)),
    Case("circle given a measurement", Circle(1.5).given([0.6, 0.8], 0.5, 0.4), 0.3, n=4000),
    Case(
        "moved circle given a measurement of two rows, noised",
        Circle().noised(0.3).rotated(0.4).given([[1.0, 0.5], [0.0, 0.5]], [0.5, 0.2], 0.4).noised(0.3),
        n=4000,
    ),
    Case("a plain class of one's own", Blob([0.5, -1.0], 0.7)),
    Case("a dataclass of one's own", Slanted(torch.tensor([[1.0, 0.0], [0.5, 0.8]]), 0.3)),
    Case(
        "a dataclass of one's own, moved and noised", Slanted(torch.eye(2), -1.0).rotated(0.3).scaled(2.0).noised(0.5)
    ),
]

every_density = pytest.mark.parametrize("case", DENSITIES, ids=lambda case: case.name)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def draws(case, n, seed):
    """n draws of p_sigma in float64."""
    g = generator(seed)
    x = case.density.to(torch.float64).sample((n,), generator=g)
    return x + case.sigma * torch.randn(x.shape, dtype=x.dtype, generator=g)


def test_points(case):
    """Points where the mass is, and points well away from it."""
    near = draws(case, 24, seed=1)
    return torch.cat([near, near + 3 * torch.randn(near.shape, dtype=near.dtype, generator=generator(2))])


test_points.__test__ = False


def gauss_legendre(edges, longest, order=8):
    """Nodes and weights on [edges[0], edges[-1]], in panels no longer than ``longest``, and the cell of each node."""
    t, w = np.polynomial.legendre.leggauss(order)
    nodes, weights, cells = [], [], []
    for cell, (a, b) in enumerate(zip(edges, edges[1:], strict=False)):
        panels = np.linspace(a, b, math.ceil((b - a) / longest) + 1)
        for low, high in zip(panels, panels[1:], strict=False):
            nodes.append(low + (high - low) * (t + 1) / 2)
            weights.append((high - low) * w / 2)
            cells.append(np.full(order, cell))
    return tuple(torch.as_tensor(np.concatenate(part)) for part in (nodes, weights, cells))


@every_density
def test_integrates_to_one(case):
    # Trapezoid rule of step h: its error on a Gaussian of standard deviation w is 2 exp(-2 pi^2 w^2 / h^2), 1e-19 at
    # w = 1.5 h. A wrong factor in the density, or a length_scale wrong by 2, shows.
    low, high = case.density.bounds(case.sigma)
    step = case.density.length_scale(case.sigma) / 1.5
    axes = [
        torch.linspace(float(a), float(b), math.ceil(float(b - a) / step) + 1, dtype=torch.float64)
        for a, b in zip(low, high, strict=True)
    ]
    cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
    mass = sum(
        float(case.density.log_prob(torch.cartesian_prod(rows, axes[1]), case.sigma).exp().sum())
        for rows in axes[0].split(64)
    )
    assert mass * cell == pytest.approx(1, abs=1e-8)


@every_density
def test_noising_is_convolution(case):
    """p_sqrt(s^2 + t^2)(x) = E p_s(x + t z), z normal, by the trapezoid rule over z in [-9, 9]^2.

    The step is at most 0.4 of the narrower of the two factors, for which the rule is exact to rounding; t = 0.3.
    """
    t, x = 0.3, draws(case, 4, seed=6)
    n = math.ceil(18 / (0.4 * min(1.0, case.density.length_scale(case.sigma) / t)))
    axis = torch.linspace(-9, 9, n + 1, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    weights = torch.exp(-0.5 * z.square().sum(-1)) / (2 * math.pi) * (18 / n) ** 2
    convolved = torch.stack([(weights * case.density.log_prob(point + t * z, case.sigma).exp()).sum() for point in x])
    noised = case.density.log_prob(x, math.hypot(case.sigma, t)).exp()
    torch.testing.assert_close(noised, convolved, rtol=1e-9, atol=0.0)


@every_density
def test_score_is_the_gradient_of_log_prob(case):
    x = test_points(case).requires_grad_()
    log_prob = case.density.log_prob(x, case.sigma)
    assert log_prob.shape == x.shape[:-1]
    (by_autograd,) = torch.autograd.grad(log_prob.sum(), x)
    torch.testing.assert_close(case.density.score(x, case.sigma).detach(), by_autograd, rtol=1e-9, atol=1e-9)


@every_density
def test_divergence_is_the_trace_of_the_jacobian(case):
    x = test_points(case).requires_grad_()
    score = case.density.score(x, case.sigma)
    assert score.shape == x.shape
    trace = sum(torch.autograd.grad(score[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))
    divergence = case.density.divergence(x, case.sigma).detach()
    torch.testing.assert_close(divergence, trace, rtol=1e-8, atol=1e-8)


@every_density
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_heat_equation(case, sigma):
    """d log p / d(sigma^2) = (div s + |s|^2) / 2: density, score and divergence agree across noise levels."""
    x = test_points(case)
    p, v = case.density, sigma**2
    h = 2e-3 * v  # five-point rule: truncation (h / v)^4 = 2e-11, rounding eps |log p| v / h = 1e-11, relative to 1 / v
    at = [p.log_prob(x, math.sqrt(v + k * h)) for k in (-2, -1, 1, 2)]
    rate = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    s, div = p.score(x, sigma), p.divergence(x, sigma)
    size = 0.5 * (div.abs() + s.square().sum(-1)) + 1 / v
    assert ((rate - 0.5 * (div + s.square().sum(-1))).abs() / size).max() < 1e-6


@every_density
def test_stein_identity_on_samples(case):
    """E s = 0 and E[(x - a) s^T] = -I for any a; here a is near the mean, where the variance is least."""
    x = draws(case, case.n, seed=3)  # a sign or a factor 2 in the score is at 7 standard errors or more
    s = case.density.score(x, case.sigma)
    centre = draws(case, 1000, seed=4).mean(0)
    products = (x - centre)[:, :, None] * s[:, None, :] + torch.eye(2, dtype=x.dtype)
    for statistic in [*s.unbind(-1), *products.flatten(1).unbind(-1)]:
        z = statistic.mean() / (statistic.std() / math.sqrt(len(statistic)))
        assert abs(float(z)) < 5


@every_density
def test_same_generator_same_draws_and_global_stream_untouched(case):
    before = torch.get_rng_state()
    first = case.density.sample((5, 3), generator=generator(7))
    assert first.shape == (5, 3, 2)
    assert first.dtype == case.density.dtype
    assert torch.equal(first, case.density.sample((5, 3), generator=generator(7)))
    assert not torch.equal(first, case.density.sample((5, 3), generator=generator(8)))
    assert torch.equal(torch.get_rng_state(), before)


@every_density
def test_without_a_generator_draws_follow_the_global_stream(case):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        first, second = case.density.sample((4,)), case.density.sample((4,))
        torch.manual_seed(11)
        assert torch.equal(case.density.sample((4,)), first)
        assert not torch.equal(first, second)


@every_density
def test_samples_have_the_density(case):
    """Chi-square of a histogram on 12 x 12 cells, and the rest of the plane, against masses by quadrature."""
    pilot = draws(case, 2000, seed=5)
    low, high = pilot.quantile(0.005, dim=0).tolist(), pilot.quantile(0.995, dim=0).tolist()
    edges = [np.linspace(a, b, 13) for a, b in zip(low, high, strict=True)]
    longest = 2 * case.density.length_scale(case.sigma)
    (x1, w1, i1), (x2, w2, i2) = (gauss_legendre(e, longest) for e in edges)
    p = case.density.log_prob(torch.cartesian_prod(x1, x2), case.sigma).exp().view(len(x1), len(x2))
    masses = torch.zeros(12, 12, dtype=torch.float64)
    cells = (i1[:, None].expand_as(p), i2[None, :].expand_as(p))
    masses.index_put_(cells, p * w1[:, None] * w2, accumulate=True)

    n = case.n
    counts = np.histogram2d(*draws(case, n, seed=6).T.numpy(), bins=edges)[0].ravel()
    expected = n * masses.numpy().ravel()
    full = expected > 10  # all other cells and the outside are one more cell
    counts, expected = (np.append(part[full], n - part[full].sum()) for part in (counts, expected))
    assert len(expected) > 12
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-6


@every_density
def test_one_noise_level_a_point_is_a_loop_over_points(case):
    x = test_points(case)[::4]
    sigma = torch.linspace(0.2, 3.0, len(x), dtype=torch.float64)
    for method in (case.density.log_prob, case.density.score, case.density.divergence):
        loop = torch.stack([method(point, level) for point, level in zip(x, sigma.tolist(), strict=True)])
        torch.testing.assert_close(method(x, sigma), loop, rtol=1e-12, atol=1e-12)


@every_density
def test_float32_follows_float64(case):
    x = test_points(case).float()
    for method in (case.density.log_prob, case.density.score, case.density.divergence):
        single, double = method(x, case.sigma), method(x.double(), case.sigma)
        assert single.dtype == torch.float32
        # both see the same x; a log-density of size 1e2 to 1e3 carries eps |log p| = 6e-8 * 1e3 into the weights of
        # the components, hence into the score relative to its own largest size
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5 * float(double.abs().max()))
