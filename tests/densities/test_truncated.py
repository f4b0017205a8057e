"""Truncated laws: masses, values, draws and expectations."""

import itertools
import math
import pickle

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from toylab.densities import (
    Banana,
    Checkerboard,
    Circle,
    Density,
    Funnel,
    GaussianMixture,
    Laplace,
    Mixture,
    Points,
    Square,
    Truncated,
    TwoMoons,
    from_energy,
    from_torch,
    isotropic,
    two_modes,
)
from toylab.densities import truncated as making
from toylab.metrics import entropy, expectation
from toylab.objectives import Denoising
from toylab.score import at, divergence, gradient

INF = math.inf
CORRELATED = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)
QUADRANT = (0.0, INF, 0.0, INF)
BOXES = [
    QUADRANT,
    (-INF, 0.5, -INF, INF),
    (-INF, INF, -1.0, INF),
    (-1.0, 2.0, -2.0, 1.5),
    (0.1, 0.5, 0.2, 0.3),
    (-INF, INF, -INF, INF),
]
every_box = pytest.mark.parametrize("box", BOXES, ids=str)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def inside(x, box):
    left, right, bottom, top = box
    return (x[..., 0] >= left) & (x[..., 0] <= right) & (x[..., 1] >= bottom) & (x[..., 1] <= top)


def by_scipy(p, box):
    """P(X in box) of a mixture, by SciPy's multivariate normal distribution function."""
    low, high = np.clip(box[0::2], -60, None), np.clip(box[1::2], None, 60)
    parts = zip(p.weights.numpy(), p.means.numpy(), p.covariances.numpy(), strict=True)
    return sum(
        weight
        * scipy.stats.multivariate_normal(mean, covariance, abseps=1e-13, releps=1e-13).cdf(high, lower_limit=low)
        for weight, mean, covariance in parts
    )


@every_box
def test_the_mass_of_a_mixture_is_that_of_scipy(box):
    p = CORRELATED.truncated(box)
    assert math.exp(p.log_mass) == pytest.approx(by_scipy(CORRELATED, box), rel=1e-11)
    assert p.mass_error == 0


@pytest.mark.parametrize("gap", [1.5, 1.0, 0.3, 1e-3, 1e-6, 1e-9])
def test_the_mass_of_a_quadrant_for_any_correlation(gap):
    """1/4 + arcsin(rho) / (2 pi), with rho up to 1 - 1e-9 and down to -1/2."""
    rho = 1 - gap
    p = GaussianMixture([1.0], [[0.0, 0.0]], [[4.0, 6 * rho], [6 * rho, 9.0]]).truncated(QUADRANT)
    assert math.exp(p.log_mass) == pytest.approx(0.25 + math.asin(rho) / (2 * math.pi), rel=1e-12)


def test_a_small_mass_keeps_its_digits():
    """Far out on the right along either axis, where a difference of Phi near 1 would lose three of them."""
    for box in ((3.2, INF, -INF, -0.3), (-INF, -0.3, 3.2, INF)):
        p = isotropic([[0.0, 0.0]], 1.0).truncated(box)
        assert p.log_mass == pytest.approx(scipy.stats.norm.logsf(3.2) + scipy.stats.norm.logsf(0.3), abs=2e-14)


def test_the_mass_of_other_laws():
    """Symmetry, and for the banana one integral over X_1, of which X_2 is a normal law."""
    circle = Circle().noised(0.3).truncated((0.0, INF, -INF, INF))
    assert math.exp(circle.log_mass) == pytest.approx(0.5, rel=1e-12)
    assert 0 <= circle.mass_error < 1e-9
    p = Banana(scale=1.2, width=0.4, bend=0.5)

    def height(t):
        return scipy.stats.norm.pdf(t, scale=1.2) * scipy.stats.norm.sf(0.3, 0.5 * (t**2 - 1.44), 0.4)

    mass = scipy.integrate.quad(height, -0.5, 12, epsabs=1e-13, epsrel=1e-13, limit=200, points=[0.5, 1.5, 3])[0]
    assert math.exp(p.truncated((-0.5, INF, 0.3, INF)).log_mass) == pytest.approx(mass, rel=1e-11)


def test_a_mixture_with_another_density_is_integrated():
    class Halved(GaussianMixture):
        def log_prob(self, x, sigma=0.0):
            return super().log_prob(x, sigma) + math.log(0.5)

    p = Halved([1.0], [[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]).truncated(QUADRANT)
    assert math.exp(p.log_mass) == pytest.approx(0.125, rel=1e-12)


LAWS = {
    "quadrant": CORRELATED.truncated(QUADRANT),
    "half-plane": CORRELATED.truncated((-INF, 0.5, -INF, INF)),
    "box": CORRELATED.truncated((-1.0, 2.0, -2.0, 1.5)),
    "banana": Banana(scale=1.2, width=0.4, bend=0.5).truncated((-1.0, INF, -INF, 0.5)),
    "circle": Circle().noised(0.3).truncated((-0.5, 1.5, 0.0, INF)),
    "square": Square(-1.0, 2.0).truncated((-INF, 0.5, -0.25, INF)),
    "checkerboard": Checkerboard().truncated((-3.0, 1.0, -1.0, 3.0)),
    "laplace": Laplace((0.7, 0.3)).truncated((-0.5, 1.5, -0.4, 0.4)),
    "twice": CORRELATED.truncated(QUADRANT).truncated((-INF, 1.5, 0.2, INF)),
}
every_law = pytest.mark.parametrize("p", LAWS.values(), ids=list(LAWS))


def draws(p, n, seed):
    return p.to(torch.float64).sample((n,), generator=generator(seed))


def cells(p, n):
    """n x n cells of the bounds of p, and their masses by 16 x 16 Gauss-Legendre nodes each."""
    low, high = p.bounds()
    t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(16))
    place = ((torch.arange(n, dtype=torch.float64)[:, None] + 0.5 * (t + 1)) / n).flatten()
    axes = [a + (b - a) * place for a, b in zip(low, high, strict=True)]
    area = float((high - low).prod()) / (2 * n) ** 2
    heights = p.log_prob(torch.cartesian_prod(*axes)).exp().view(n, 16, n, 16)
    edges = [np.linspace(float(a), float(b), n + 1) for a, b in zip(low, high, strict=True)]
    return edges, area * torch.einsum("iajb,a,b->ij", heights, w, w)


@every_law
def test_it_integrates_to_one(p):
    assert float(cells(p, 16)[1].sum()) == pytest.approx(1, abs=1e-9)


@every_law
def test_its_draws_have_the_density(p):
    """Chi-square of 40,000 draws on 16 x 16 cells of all that there is, p > 1e-7."""
    x, (edges, masses) = draws(p, 40_000, 1), cells(p, 16)
    assert inside(x, p.box).all()
    counts = np.histogram2d(*x.T.numpy(), bins=edges)[0].ravel()
    expected = len(x) * masses.numpy().ravel() / float(masses.sum())
    assert counts.sum() == len(x)
    full = expected > 10
    assert counts[expected == 0].sum() == 0
    rest = [expected[~full].sum() > 0]  # whether there is anything beyond the full cells
    counts, expected = (np.append(part[full], np.array([part[~full].sum()])[rest]) for part in (counts, expected))
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-7


@every_law
def test_values_are_those_of_the_law_in_the_box_and_nothing_outside(p):
    x = torch.cat([draws(p, 50, 2), draws(p.density, 200, 3)])
    kept = inside(x, p.box)
    assert kept[:50].all()
    assert not kept.all()
    log_p, s = p.log_prob_and_score(x)
    torch.testing.assert_close(log_p[kept], p.density.log_prob(x[kept]) - p.log_mass, rtol=0, atol=0)
    torch.testing.assert_close(s[kept], p.density.score(x[kept]), rtol=1e-12, atol=1e-12)
    assert (log_p[~kept] == -INF).all()
    assert torch.equal(p.log_prob(x), log_p)
    for found, of_p in ((p.score(x), p.density.score(x)), (p.divergence(x), p.density.divergence(x))):
        torch.testing.assert_close(found[kept], of_p[kept], rtol=1e-12, atol=1e-12)
        assert found[~kept].isnan().all()
    single = p.log_prob(x[kept].float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), log_p[kept], rtol=1e-4, atol=1e-5)


def test_walls_infinity_and_nan():
    p = isotropic([[0.0, 0.0]], 1.0).truncated((0.0, INF, -1.0, 1.0))
    x = torch.tensor([[0.0, 1.0], [INF, 0.0], [math.nan, 0.0], [-1e-6, 0.0]])
    log_p = p.log_prob(x)
    assert log_p[0].isfinite()
    assert (log_p[1], log_p[3]) == (-INF, -INF)
    assert log_p[2].isnan()
    assert p.log_prob(torch.tensor([[0.25, 0.5]], dtype=torch.float16)).dtype == torch.float16


def test_gradients_do_not_bring_back_what_is_outside():
    x = torch.tensor([[0.5, 0.5], [-0.5, 0.5]], requires_grad=True)
    (slope,) = torch.autograd.grad(LAWS["quadrant"].log_prob(x).sum(), x)
    torch.testing.assert_close(slope, torch.cat([CORRELATED.score(x[:1]), torch.zeros(1, 2)]).detach())


@pytest.mark.parametrize("p", [LAWS["banana"], TwoMoons().noised(0.2).truncated((-0.5, 1.0, -0.5, 0.5))], ids=repr)
def test_noise_on_other_laws_is_refused(p):
    x = torch.zeros(2, 2)
    for method in (p.log_prob, p.score, p.divergence, p.log_prob_and_score):
        for sigma in (0.5, torch.tensor([0.0, 0.5])):
            with pytest.raises(ValueError, match="only the clean law is known"):
                method(x, sigma)
    assert torch.equal(p.log_prob(x, torch.zeros(2)), p.log_prob(x))


def convolved(p, y, sigma):
    """log E N(y; X, sigma^2 I) by 16 Gauss-Legendre nodes in panels of one noise level of the box, [n]."""
    low, high = p.bounds()
    t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(16))
    axes = []
    for a, b in zip(low.tolist(), high.tolist(), strict=True):
        n = math.ceil((b - a) / min(sigma, 0.5))
        place = (torch.arange(n, dtype=torch.float64)[:, None] + 0.5 * (t + 1)) / n
        axes.append((a + (b - a) * place.flatten(), (0.5 * (b - a) / n * w).repeat(n)))
    x = torch.cartesian_prod(axes[0][0], axes[1][0])
    log_p = p.log_prob(x) + torch.outer(axes[0][1], axes[1][1]).flatten().log()
    heat = torch.stack([(log_p - 0.5 * (point - x).square().sum(-1) / sigma**2).logsumexp(0) for point in y])
    return heat - math.log(2 * math.pi * sigma**2)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
@every_box
def test_noise_comes_after_the_cut(box, sigma):
    """Against the convolution in two dimensions; and N(y; m, C + sigma^2 I) where nothing is cut."""
    p = CORRELATED.truncated(box)
    y = draws(p, 4, 4)
    y = y + 1.5 * sigma * torch.randn(y.shape, dtype=y.dtype, generator=generator(5))
    torch.testing.assert_close(p.log_prob(y, sigma), convolved(p, y, sigma), rtol=1e-11, atol=1e-11)
    if box == BOXES[-1]:
        torch.testing.assert_close(p.score(y, sigma), CORRELATED.score(y, sigma), rtol=1e-12, atol=1e-12)


STRAIGHT = {  # laws that are straight or exponential between lines x = .. and y = .., and these lines in their boxes
    "square": (LAWS["square"], [-1.0, 0.5], [-0.25, 2.0]),
    "square in the box": (Square().truncated((-3.0, INF, -INF, 3.0)), [-1.0, 1.0], [-1.0, 1.0]),
    "checkerboard": (LAWS["checkerboard"], [-3.0, -2.0, 0.0, 1.0], [-1.0, 0.0, 2.0, 3.0]),
    "laplace": (LAWS["laplace"], [-0.5, 0.0, 1.5], [-0.4, 0.0, 0.4]),
    "laplace, tails": (
        Laplace((0.7, 0.3)).truncated((0.2, INF, -INF, -0.1)), [0.2, 3.0, 9.0, 27.0], [-11.0, -4.0, -1.0, -0.1]
    ),
    "moved": (
        Checkerboard().scaled(-0.5).shifted((0.3, -0.2)).truncated((-1.2, 1.1, -INF, 0.7)),
        [-1.2, -0.7, 0.3, 1.1], [-2.2, -1.2, -0.2, 0.7],
    ),
    "mixed": (
        Mixture([0.2, 0.3, 0.5], [Square(5.0, 6.0), Laplace((0.4, 0.5)), Square(-2.0, 0.0)])
        .truncated((-1.0, 1.0, -2.5, 0.5)),
        [-1.0, 0.0, 1.0], [-2.5, -2.0, 0.0, 0.5],
    ),
}  # fmt: skip
every_straight = pytest.mark.parametrize("name", STRAIGHT)


def between(first, second):
    """Nodes [n, 2] and weights [n] of 8 panels of 12 Gauss-Legendre nodes between neighbours of lines."""
    t, w = np.polynomial.legendre.leggauss(12)
    axes = []
    for lines in (first, second):
        edges = np.unique(np.concatenate([np.linspace(a, b, 9) for a, b in itertools.pairwise(lines)]))
        half = np.diff(edges)[:, None] / 2
        axes.append((torch.tensor(edges[:-1, None] + half * (1 + t)).flatten(), torch.tensor(half * w).flatten()))
    return torch.cartesian_prod(axes[0][0], axes[1][0]), torch.outer(axes[0][1], axes[1][1]).flatten()


@every_straight
def test_a_law_with_edges_or_kinks_integrates_to_one_in_the_box(name):
    p, *lines = STRAIGHT[name]
    x, weights = between(*lines)
    mass = float((weights * p.density.log_prob(x).exp()).sum())
    assert math.exp(p.log_mass) == pytest.approx(mass, rel=1e-12)
    assert p.mass_error == 0
    log_p = p.log_prob(x)
    mean = torch.where(log_p > -INF, weights * log_p.exp() * log_p, 0.0).sum()
    assert entropy(p) == pytest.approx(-float(mean), abs=1e-10)


@pytest.mark.parametrize("sigma", [0.3, 2.0, 40.0])
@every_straight
def test_noise_on_a_law_with_edges_or_kinks(name, sigma):
    """Against the convolution, and score and divergence against derivatives of what they belong to."""
    p, *lines = STRAIGHT[name]
    y = draws(p, 3, 4)
    y = y + 1.5 * sigma * torch.randn(y.shape, dtype=y.dtype, generator=generator(5))
    x, weights = between(*lines)
    log_p = p.log_prob(x) + weights.log()
    heat = torch.stack([(log_p - 0.5 * (point - x).square().sum(-1) / sigma**2).logsumexp(0) for point in y])
    torch.testing.assert_close(p.log_prob(y, sigma), heat - math.log(2 * math.pi * sigma**2), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(p.score(y, sigma), gradient(at(p.log_prob, sigma), y), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(p.divergence(y, sigma), divergence(at(p.score, sigma), y), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("p", [Square(-1.0, 2.0), Checkerboard(), Laplace((0.7, 0.3))], ids=repr)
def test_a_box_around_everything_changes_nothing_under_noise(p, sigma):
    """In the tails, too, and with levels per point; a cut Laplace number loses (sigma / b)^2 last units."""
    y = p.to(torch.float64).sample((20,), generator=generator(6))
    y = y + 5 * sigma * torch.randn(y.shape, dtype=y.dtype, generator=generator(7))
    cut, levels = p.truncated((-INF, INF, -INF, INF)), torch.full((20,), sigma, dtype=torch.float64)
    for method in ("log_prob", "score", "divergence"):
        expected = getattr(p, method)(y, sigma)
        torch.testing.assert_close(getattr(cut, method)(y, levels), expected, rtol=1e-9, atol=1e-9)


def by_one_integral(mean, covariance, box, y, sigma):
    """log N(y; m, S) R(y) in 30 digits: N(u; m_1, c_11) N(y_1; u, sigma^2) N(y_2; b, w) (Phi - Phi) over u."""
    with mpmath.workdps(30):
        (c11, c12), (_, c22) = [[mpmath.mpf(c) for c in row] for row in covariance]
        (m1, m2), (y1, y2), noise = map(mpmath.mpf, mean), map(mpmath.mpf, y), mpmath.mpf(sigma) ** 2
        left, right, bottom, top = map(mpmath.mpf, box)
        slope, rest = c12 / c11, c22 - c12**2 / c11
        std = mpmath.sqrt(rest * noise / (rest + noise))

        def height(u):
            b = m2 + slope * (u - m1)
            place = (b * noise + y2 * rest) / (rest + noise)
            low, high = (bottom - place) / std, (top - place) / std
            low, high = (-high, -low) if low > 0 else (low, high)
            normals = mpmath.npdf(u, m1, mpmath.sqrt(c11)) * mpmath.npdf(y1, u, sigma)
            return normals * mpmath.npdf(y2, b, mpmath.sqrt(rest + noise)) * (mpmath.ncdf(high) - mpmath.ncdf(low))

        low, high = first, last = max(left, -60), min(right, 60)
        for _ in range(120):  # the integrand is log-concave: its peak by trisection, and panels that grow away from it
            a, b = low + (high - low) / 3, high - (high - low) / 3
            low, high = (a, high) if height(a) < height(b) else (low, b)
        edges = {first, last, low} | {low + sign * mpmath.mpf(2) ** k for k in range(-20, 7) for sign in (-1, 1)}
        peak = height(low)  # quad stops at an absolute error
        total = mpmath.quad(lambda u: height(u) / peak, sorted(e for e in edges if first <= e <= last))
        return float(mpmath.log(peak) + mpmath.log(total))


@pytest.mark.parametrize(
    ("covariance", "box", "y", "sigma"),
    [
        ([[1.0, 0.6], [0.6, 0.8]], QUADRANT, (0.3, -0.2), 0.01),
        ([[1.0, 0.6], [0.6, 0.8]], QUADRANT, (-4.0, -3.0), 0.05),  # log p = -5000
        ([[1.0, 0.6], [0.6, 0.8]], (-1.0, 1.5, -0.7, 2.0), (9.0, -30.0), 0.5),
        ([[1.0, -0.99999], [-0.99999, 1.0]], (-1.0, 1.5, -0.7, 2.0), (0.4, 0.8), 0.02),
        ([[1.0, -0.99999], [-0.99999, 1.0]], QUADRANT, (0.4, 0.8), 0.02),
        ([[1.0, 0.6], [0.6, 0.8]], (-INF, 0.5, -0.3, INF), (60.0, -50.0), 30.0),
    ],
)
def test_noise_in_the_tails_and_on_narrow_laws(covariance, box, y, sigma):
    p = GaussianMixture([1.0], [[0.2, -0.1]], covariance).truncated(box)
    found = float(p.log_prob(torch.tensor(y, dtype=torch.float64), sigma))
    expected = by_one_integral((0.2, -0.1), covariance, box, y, sigma) - p.log_mass
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_levels_per_point_and_clean_ones_among_them():
    p = LAWS["box"]
    x = torch.cat([draws(p, 3, 1), draws(p.density, 3, 2) + 2.0])
    sigma = torch.tensor([0.0, 0.3, 1.0, 0.0, 0.3, 2.0], dtype=torch.float64)
    for method in (p.log_prob, p.score, p.divergence):
        one_by_one = torch.stack([method(point, level) for point, level in zip(x, sigma.tolist(), strict=True)])
        torch.testing.assert_close(method(x, sigma), one_by_one, rtol=1e-12, atol=1e-12, equal_nan=True)
        single = method(x.float(), sigma.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), one_by_one, rtol=1e-4, atol=1e-4, equal_nan=True)
    infinite = torch.tensor([[INF, 0.0], [math.nan, 0.0]])
    assert p.log_prob(infinite, 0.3)[0] == -INF
    assert p.log_prob(infinite, 0.3)[1].isnan()


def test_denoising_has_its_constant():
    """1/2 I(p_sigma) - 1 / sigma^2, of N(0, 1) cut at 0 along one axis, by one integral of its noised law."""
    p, sigma = isotropic([[0.0, 0.0]], 1.0).truncated((0.0, INF, -INF, INF)), 0.5
    v = 1 + sigma**2  # p(y) = 2 N(y; 0, v) Phi(y / (sigma sqrt(v)))
    c = 1 / (sigma * math.sqrt(v))

    def height(y):
        mills = math.exp(scipy.stats.norm.logpdf(c * y) - scipy.stats.norm.logcdf(c * y))
        return 2 * scipy.stats.norm.pdf(y, scale=v**0.5) * scipy.stats.norm.cdf(c * y) * (c * mills - y / v) ** 2

    information = scipy.integrate.quad(height, -8, 12, epsabs=1e-13, epsrel=1e-13, limit=200, points=[0.0])[0]
    assert Denoising(sigma).offset(p) == pytest.approx(0.5 * (information + 1 / v) - 1 / sigma**2, rel=1e-10)


@pytest.mark.parametrize("box", [(-1.0, 1.5, -2.0, 2.0), (-INF, -1.0, -INF, INF)], ids=repr)
def test_classes_in_the_box_and_under_noise(box):
    """Under noise by a sum over the box; a class that lies outside of it, and has 1e-15 of the mass, is still one."""
    p = GaussianMixture([0.3, 0.5, 0.2], [[-2.0, 0.0], [1.0, 1.0], [9.0, -3.0]], [[0.8, 0.3], [0.3, 1.1]])
    cut, x = p.truncated(box), torch.tensor([[-1.0, 0.5], [-3.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(cut.posterior(x[:1]), p.posterior(x[:1]), rtol=1e-12, atol=1e-300)
    assert cut.posterior(x[2:]).isnan().all()
    low, high = (torch.tensor(side).clamp(-9.0, 9.0).double() for side in (box[::2], box[1::2]))
    nodes, weights = (torch.tensor(part) for part in np.polynomial.legendre.leggauss(120))
    sides = [a + (b - a) * (nodes + 1) / 2 for a, b in zip(low, high, strict=True)]
    u, mass = torch.cartesian_prod(*sides), torch.outer(weights, weights).flatten()
    for sigma in (0.4, 2.0):
        kernel = (-(x[:, None] - u).square().sum(-1) / (2 * sigma**2)).exp() * mass
        joint = kernel @ (p.posterior(u) * p.log_prob(u).exp()[:, None])
        torch.testing.assert_close(cut.posterior(x, sigma), joint / joint.sum(-1, True), rtol=1e-6, atol=1e-12)
        mixed = torch.tensor([0.0, sigma, sigma], dtype=torch.float64)
        torch.testing.assert_close(cut.log_posterior(x, mixed)[1:], cut.log_posterior(x, sigma)[1:])


def test_a_law_without_classes_has_none_in_the_box():
    with pytest.raises(TypeError, match="Banana has no log_posterior"):
        Banana().truncated((-1.0, 1.0, -1.0, 1.0)).posterior(torch.zeros(2))


def test_moved():
    """The moves of a truncated law are those of any law: -1.5 R X + m, of the points and of the log-density."""
    p = LAWS["quadrant"].to(torch.float64)
    moved = p.rotated(0.7).scaled(-1.5).shifted((1.0, -2.0))
    x = p.sample((100,), generator=generator(4))
    c, s = math.cos(0.7), math.sin(0.7)
    y = -1.5 * x @ torch.tensor([[c, s], [-s, c]], dtype=x.dtype) + torch.tensor([1.0, -2.0])
    torch.testing.assert_close(moved.sample((100,), generator=generator(4)), y)
    torch.testing.assert_close(moved.log_prob(y), p.log_prob(x) - 2 * math.log(1.5), rtol=1e-9, atol=1e-9)
    assert expectation(lambda z: z[:, 0], moved) == pytest.approx(
        -1.5 * expectation(lambda z: c * z[:, 0] - s * z[:, 1], p) + 1, rel=1e-12
    )


def test_expectations_are_taken_up_to_the_walls():
    """Half-normal moments: sqrt(2 / pi) and 1; and of a law between two walls the variance of a cut normal."""
    p = isotropic([[0.0, 0.0]], 1.0)
    half = p.truncated((0.0, INF, -INF, INF))
    assert expectation(lambda x: x[:, 0], half) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-12)
    assert expectation(lambda x: x[:, 0].square(), half) == pytest.approx(1.0, rel=1e-12)
    between = p.truncated((-INF, INF, -0.5, 2.0))
    cut = scipy.stats.truncnorm(-0.5, 2.0)
    assert expectation(lambda x: x[:, 1], between) == pytest.approx(cut.mean(), rel=1e-12)
    assert expectation(lambda x: x[:, 1].square(), between) == pytest.approx(cut.moment(2), rel=1e-12)


def test_sampling_follows_its_generator():
    p = CORRELATED.truncated((0.1, 0.5, 0.2, 0.3))  # four draws of a thousand lie in it
    before = torch.get_rng_state()
    first = p.sample((5, 3), generator=generator(7))
    assert (first.shape, first.dtype) == ((5, 3, 2), torch.float32)
    assert torch.equal(first, p.sample((5, 3), generator=generator(7)))
    assert not torch.equal(first, p.sample((5, 3), generator=generator(8)))
    assert torch.equal(torch.get_rng_state(), before)
    assert p.sample((), generator=generator(0)).shape == (2,)
    assert p.sample((0,)).shape == (0, 2)
    assert p.to(torch.float64).sample((2,)).dtype == torch.float64


def test_it_is_a_value():
    p = LAWS["quadrant"]
    assert p == CORRELATED.truncated(QUADRANT) == pickle.loads(pickle.dumps(p))
    assert hash(p) == hash(CORRELATED.truncated(QUADRANT))
    assert p != CORRELATED.truncated((0.0, INF, 0.0, 9.0))
    assert repr(two_modes().truncated(QUADRANT)).endswith(".truncated((0.0, inf, 0.0, inf))")
    assert LAWS["twice"] == CORRELATED.truncated((0.0, 1.5, 0.2, INF))
    with pytest.raises(ValueError, match="left < right"):
        p.truncated((1.0, 1.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("p", "box", "error", "words"),
    [
        (CORRELATED, (1.0, 0.0, 0.0, 1.0), ValueError, "left < right"),
        (CORRELATED, (0.0, math.nan, 0.0, 1.0), ValueError, "a side is a number, or math.inf"),
        (CORRELATED, (0.0, 1.0, 0.0), ValueError, "left < right"),
        (CORRELATED, 3.0, TypeError, "four numbers"),
        (CORRELATED, (8.0, 9.0, 0.0, 1.0), ValueError, "of the mass: it must hold 0.0001 or more"),
        (CORRELATED, (90.0, 91.0, 0.0, 1.0), ValueError, "of the mass: it must hold 0.0001 or more"),
        (Banana(), (90.0, 91.0, 0.0, 1.0), ValueError, "of the mass: it must hold 0.0001 or more"),
        (Square().rotated(0.3), QUADRANT, ValueError, "jumps or kinks .* Noise the law first"),
        (Points([[0.0, 1.0], [1.0, 0.5]]), QUADRANT, ValueError, "a law on points or on a curve has no density"),
        (Funnel(), QUADRANT, ValueError, "Give a smaller box, or noise the law first"),
        (LAWS["half-plane"].rotated(0.3), QUADRANT, ValueError, "kinks or walls"),
        (LAWS["half-plane"], (1.0, INF, 0.0, 1.0), ValueError, "does not meet"),
        (
            from_torch(torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))),
            QUADRANT,
            TypeError,
            "no bounds",
        ),
    ],
)
def test_what_cannot_be_truncated_says_why(p, box, error, words):
    with pytest.raises(error, match=words):
        p.truncated(box)


def test_the_class_refuses_what_is_no_density():
    with pytest.raises(TypeError, match="toylab Density"):
        Truncated(CORRELATED.score, QUADRANT)
    assert isinstance(Truncated(CORRELATED, QUADRANT), Density)


def test_an_energy_is_cut_where_it_is_smooth():
    p = from_energy(lambda x: x.square().sum(-1) / 2, (-9.0, 9.0, -9.0, 9.0)).truncated((0.3, INF, -INF, INF))
    assert p.log_mass == pytest.approx(scipy.stats.norm.logsf(0.3), abs=1e-9)


def test_a_mass_that_takes_long_is_announced(monkeypatch):
    """The time that is told is that of the first points, times their number: here every wait is a long one."""
    slow, box = Laplace().noised(0.1), (-2.0, 2.0, -2.0, 2.0)
    monkeypatch.setattr(making, "_LONG_WAIT", 0.0)
    with pytest.warns(
        RuntimeWarning, match=r"the mass in the box is a sum over [\d.e+]+ points, which takes about \d+ s"
    ):
        slow.truncated(box)
    monkeypatch.setattr(making, "_LONG_WAIT", math.inf)
    slow.truncated(box)  # and nothing is said of one that is not
