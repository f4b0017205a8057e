"""To and from torch, scikit-learn and scipy; laws given by an energy or by a log-density alone."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from torch.distributions import (
    Categorical,
    Independent,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
)

from toylab._internal import validate
from toylab.densities import Density, FromEnergy, FromTorch, GaussianMixture, from_torch, two_modes

METHODS = ["log_prob", "score", "divergence"]
WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]], dtype=torch.float64
)
MIXTURE = GaussianMixture(WEIGHTS, MEANS, COVARIANCES)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(n, seed=0):
    return 3 * torch.randn(n, 2, dtype=torch.float64, generator=generator(seed))


# Gaussian mixtures and torch.


def test_from_a_multivariate_normal():
    law = MultivariateNormal(MEANS[0], COVARIANCES[0])
    p, x = GaussianMixture.from_torch(law), points(30)
    assert p.weights.tolist() == [1.0]
    torch.testing.assert_close(p.log_prob(x), law.log_prob(x), rtol=1e-12, atol=1e-12)
    wider = MultivariateNormal(MEANS[0], COVARIANCES[0] + 0.49 * torch.eye(2).double())  # it knows the noised law
    torch.testing.assert_close(p.log_prob(x, 0.7), wider.log_prob(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "parts",
    [MultivariateNormal(MEANS, COVARIANCES), Independent(Normal(MEANS, MEANS.abs() + 0.5), 1)],
    ids=["full", "independent"],
)
def test_from_a_mixture_of_torch(parts):
    law = MixtureSameFamily(Categorical(WEIGHTS), parts)
    p, x = GaussianMixture.from_torch(law), points(30)
    torch.testing.assert_close(p.log_prob(x), law.log_prob(x), rtol=1e-12, atol=1e-12)


def test_from_float32_weights_that_sum_to_one_only_roughly():
    law = MixtureSameFamily(Categorical(torch.full((3,), 1 / 3)), MultivariateNormal(MEANS.float(), torch.eye(2)))
    p = GaussianMixture.from_torch(law)
    assert float(p.weights.sum()) == pytest.approx(1, abs=1e-15)
    torch.testing.assert_close(p.log_prob(points(9).float()), law.log_prob(points(9).float()))


def test_to_torch_and_back():
    law, x = MIXTURE.to_torch(), points(30)
    assert isinstance(law, MixtureSameFamily)
    torch.testing.assert_close(law.log_prob(x), MIXTURE.log_prob(x), rtol=1e-12, atol=1e-12)
    back = GaussianMixture.from_torch(law)
    torch.testing.assert_close(back.weights, MIXTURE.weights, rtol=1e-15, atol=0)
    torch.testing.assert_close(back.means, MIXTURE.means, rtol=0, atol=0)
    torch.testing.assert_close(back.covariances, MIXTURE.covariances, rtol=1e-15, atol=1e-16)
    assert MIXTURE.to(torch.float32).to_torch().sample((3,)).dtype == torch.float32


@pytest.mark.parametrize(
    ("law", "error", "said"),
    [
        (Independent(StudentT(torch.ones(2)), 1), TypeError, "give a MultivariateNormal, or a MixtureSameFamily"),
        (Independent(LogNormal(MEANS[0], 1.0), 1), TypeError, "there is densities.from_torch"),
        (Normal(0.0, 1.0), TypeError, "give a MultivariateNormal"),
        (3, TypeError, "distribution is 3: give a MultivariateNormal"),
        (MultivariateNormal(torch.zeros(3), torch.eye(3)), ValueError, r"event shape \[3\] and batch shape \[\]"),
        (MultivariateNormal(MEANS, COVARIANCES), ValueError, r"event shape \[2\] and batch shape \[3\]: one law"),
    ],
    ids=["student", "lognormal", "one number", "no law", "three dimensions", "a batch"],
)
def test_what_is_no_gaussian_mixture_is_refused(law, error, said):
    with pytest.raises(error, match=said):
        GaussianMixture.from_torch(law)


# Gaussian mixtures and scikit-learn, by the names and shapes of its arrays.

TIED = [[1.0, 0.6], [0.6, 0.8]]


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("full", COVARIANCES.numpy(), COVARIANCES.numpy()),
        ("tied", TIED, [TIED] * 3),
        ("diag", [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [np.diag([a, a + 1]) for a in (1.0, 3.0, 5.0)]),
        ("spherical", [0.5, 1.5, 2.5], [a * np.eye(2) for a in (0.5, 1.5, 2.5)]),
    ],
)
@pytest.mark.parametrize("told", [True, False], ids=["told", "by its shape"])
def test_from_each_kind_of_sklearn_mixture(kind, given, expected, told):
    fitted = SimpleNamespace(weights_=WEIGHTS.numpy(), means_=MEANS.numpy(), covariances_=np.array(given))
    if told:
        fitted.covariance_type = kind
    p = GaussianMixture.from_sklearn(fitted)
    torch.testing.assert_close(p.weights, WEIGHTS, rtol=1e-15, atol=0)
    assert p.means.tolist() == MEANS.tolist()
    assert p.covariances.tolist() == np.array(expected).tolist()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("diag", [np.diag([2.0, 0.5]), np.diag([0.5, 3.0])]), ("tied", [[[2.0, 0.5], [0.5, 3.0]]] * 2)],
)
def test_of_two_components_the_kind_must_decide(kind, expected):
    """[2, 2] is one matrix for both, or two variances for each."""
    fitted = SimpleNamespace(
        weights_=[0.5, 0.5], means_=[[0, 1], [2, 3]], covariances_=[[2.0, 0.5], [0.5, 3.0]], covariance_type=kind
    )
    assert GaussianMixture.from_sklearn(fitted).covariances.tolist() == np.array(expected).tolist()


def test_what_was_not_fitted_is_refused():
    with pytest.raises(TypeError, match="fitted is a SimpleNamespace and .*weights_.*: fit the mixture first"):
        GaussianMixture.from_sklearn(SimpleNamespace(covariance_type="full"))


def test_to_sklearn_gives_what_its_score_samples_needs():
    """scikit-learn's own formula: log det from the diagonal of precisions_cholesky_, and |x P - m P|^2."""
    arrays, x = MIXTURE.to_sklearn(), points(30)
    log_joint = []
    for w, m, P in zip(arrays["weights_"], arrays["means_"], arrays["precisions_cholesky_"], strict=True):
        y = x.numpy() @ P - m @ P
        log_joint.append(math.log(w) + np.log(np.diagonal(P)).sum() - 0.5 * (2 * math.log(2 * math.pi) + (y**2).sum(1)))
    expected = torch.as_tensor(scipy.special.logsumexp(log_joint, axis=0))
    torch.testing.assert_close(MIXTURE.log_prob(x), expected, rtol=1e-12, atol=1e-12)
    identity = arrays["precisions_"] @ arrays["covariances_"]
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-14)


def test_to_sklearn_and_back():
    fitted = SimpleNamespace(covariance_type="full", **MIXTURE.to_sklearn())
    fitted.weights_ += 0  # arrays of its own, which may be changed
    back = GaussianMixture.from_sklearn(fitted)
    assert back.means.tolist() == MEANS.tolist()
    assert back.covariances.tolist() == COVARIANCES.tolist()
    fitted.means_ += 1
    assert MIXTURE.means.tolist() == MEANS.tolist()


# Gaussian mixtures and scipy.

DATA = points(40, seed=1) @ torch.tensor([[1.0, 0.4], [0.0, 0.7]], dtype=torch.float64)


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 41.0)], ids=["equal", "weighted"])
@pytest.mark.parametrize("bandwidth", [None, "silverman", 0.3])
def test_from_a_kernel_estimate_and_back(weights, bandwidth):
    kde, x = scipy.stats.gaussian_kde(DATA.T.numpy(), bw_method=bandwidth, weights=weights), points(30)
    p = GaussianMixture.from_scipy(kde)
    expected = torch.as_tensor(kde.logpdf(x.T.numpy()))
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-10, atol=1e-10)
    back = p.to_scipy()
    assert isinstance(back, scipy.stats.gaussian_kde)
    np.testing.assert_allclose(back.logpdf(x.T.numpy()), expected.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(back.covariance, kde.covariance, rtol=1e-12)


def test_what_is_no_kernel_estimate_of_the_plane_is_refused():
    with pytest.raises(TypeError, match="kde is a int and .*: give a scipy.stats.gaussian_kde"):
        GaussianMixture.from_scipy(3)
    in_space = scipy.stats.gaussian_kde(np.random.RandomState(0).randn(3, 20))
    with pytest.raises(ValueError, match=r"means has shape \[20, 3\]: for 20 weights give shape \[20, 2\]"):
        GaussianMixture.from_scipy(in_space)


@pytest.mark.parametrize(
    "p",
    [MIXTURE, two_modes(), GaussianMixture(WEIGHTS, MEANS, torch.eye(2)), GaussianMixture([1.0], MEANS[:1], TIED)],
    ids=["many covariances", "two points", "another covariance", "one point"],
)
def test_what_a_kernel_estimate_cannot_be_is_refused(p):
    with pytest.raises(ValueError, match="gives all its points one covariance, a multiple of .*: this mixture is not"):
        p.to_scipy()


# Any law of torch.


def test_a_wrapped_law_has_its_log_prob_and_the_derivatives_of_it():
    law = MultivariateNormal(MEANS[0], COVARIANCES[0])
    p, x = from_torch(law), points(30)
    precision = torch.linalg.inv(COVARIANCES[0])
    assert torch.equal(p.log_prob(x), law.log_prob(x))
    torch.testing.assert_close(p.score(x), (MEANS[0] - x) @ precision, rtol=1e-12, atol=1e-12)
    trace = -torch.trace(precision).expand(30)
    torch.testing.assert_close(p.divergence(x), trace, rtol=1e-12, atol=1e-12)


def test_a_wrapped_student_has_the_derivatives_of_its_formula():
    """Each coordinate: s = -(nu + 1) x / (nu + x^2), s' = -(nu + 1)(nu - x^2) / (nu + x^2)^2."""
    p, x, nu = from_torch(Independent(StudentT(torch.full((2,), 3.0, dtype=torch.float64)), 1)), points(30), 3.0
    torch.testing.assert_close(p.score(x), -(nu + 1) * x / (nu + x**2), rtol=1e-12, atol=1e-12)
    expected = (-(nu + 1) * (nu - x**2) / (nu + x**2) ** 2).sum(-1)
    torch.testing.assert_close(p.divergence(x), expected, rtol=1e-11, atol=1e-12)
    log_p, s = p.log_prob_and_score(x.view(5, 6, 2), 0.0)
    assert (log_p.shape, s.shape) == ((5, 6), (5, 6, 2))
    with torch.no_grad():
        assert not p.score(x).requires_grad


def test_draws_of_a_wrapped_law_are_those_of_the_global_stream_seeded_alike():
    law = MixtureSameFamily(Categorical(WEIGHTS), MultivariateNormal(MEANS, COVARIANCES))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = [law.sample((4,)), law.sample((2, 3))]
        torch.manual_seed(6)
        before = torch.get_rng_state()
        p, g = from_torch(law), generator(5)
        assert torch.equal(p.sample((4,), generator=g), expected[0])
        assert torch.equal(p.sample((2, 3), generator=g), expected[1])  # so the generator has moved on
        assert torch.equal(torch.get_rng_state(), before)  # and the global stream has not
        torch.manual_seed(5)
        assert torch.equal(p.sample((4,)), expected[0])
    assert p.sample().shape == (2,)


def test_a_wrapped_law_keeps_its_dtype_until_told_otherwise():
    single = from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2)))
    assert (single.dtype, single.sample().dtype) == (torch.float32, torch.float32)
    assert single.to(torch.float64).sample((3,), generator=generator(0)).dtype == torch.float64
    assert from_torch(MultivariateNormal(MEANS[0], COVARIANCES[0])).dtype == torch.float64
    assert isinstance(single, FromTorch)
    assert single == from_torch(single.distribution)


@pytest.mark.parametrize("method", METHODS)
def test_a_wrapped_law_knows_its_clean_law_alone(method):
    p = from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2)))
    said = "of a wrapped torch distribution only the clean law is known, so sigma must be 0. For noised laws take"
    for sigma in (0.1, torch.tensor([0.0, 0.1, 0.0])):
        with pytest.raises(ValueError, match=f"sigma is .*: {said}"):
            getattr(p, method)(torch.zeros(3, 2), sigma)
        assert getattr(p, method)(torch.zeros(3, 2), 0 * sigma).isfinite().all()
    with pytest.raises(ValueError, match="sigma is 0.5: .*only the clean law is known"):
        getattr(p.noised(0.5), method)(torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("law", "error", "said"),
    [
        (Normal(0.0, 1.0), ValueError, r"event shape \[\] and batch shape \[\]: one law on the plane has \[2\]"),
        (Normal(torch.zeros(2), 1.0), ValueError, r"event shape \[\] and batch shape \[2\].*Independent\(d, 1\)"),
        (MultivariateNormal(torch.zeros(3), torch.eye(3)), ValueError, r"event shape \[3\]"),
        (MultivariateNormal(MEANS, COVARIANCES), ValueError, r"batch shape \[3\]"),
        ("normal", TypeError, "distribution is a str: give a torch Distribution"),
    ],
)
def test_what_is_no_law_on_the_plane_is_not_wrapped(law, error, said):
    with pytest.raises(error, match=said):
        from_torch(law)


# Laws by their energies.


def bowl(x):
    """A correlated Gaussian: precision [[2, -1], [-1, 3]], so log Z = log 2 pi - log(5) / 2."""
    return x[..., 0] ** 2 + 1.5 * x[..., 1] ** 2 - x[..., 0] * x[..., 1]


def wells(x):
    """Two wells, and a box that cuts through the law."""
    return (x[..., 0] ** 2 - 1) ** 2 + 0.25 * x[..., 1] ** 4 + 0.5 * x[..., 0] * x[..., 1]


WELLS = (-2.0, 1.5, -1.0, 2.5)


def test_the_normaliser_of_a_gaussian_energy():
    p, x = from_energy(bowl, (-9.0, 9.0, -8.0, 8.0), n_cells=64), points(30)
    assert p.log_normaliser == pytest.approx(math.log(2 * math.pi) - 0.5 * math.log(5), abs=1e-12)
    law = MultivariateNormal(
        torch.zeros(2).double(), precision_matrix=torch.tensor([[2.0, -1.0], [-1.0, 3.0]]).double()
    )
    x = x.clamp(-8, 8)
    torch.testing.assert_close(p.log_prob(x), law.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(p.score(x), -x @ law.precision_matrix, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(p.divergence(x), torch.full((30,), -5.0, dtype=torch.float64))


def by_dblquad(energy, extent):
    """log Z, to 1e-11."""
    left, right, bottom, top = extent

    def height(y, x):
        return math.exp(-float(energy(torch.tensor([x, y], dtype=torch.float64))))

    return math.log(scipy.integrate.dblquad(height, left, right, bottom, top, epsabs=1e-11, epsrel=1e-11)[0])


@pytest.mark.parametrize("n_cells", [4, 12, 64])
def test_the_normaliser_of_another_energy_and_the_error_that_it_owns_up_to(n_cells):
    p = from_energy(wells, WELLS, n_cells=n_cells)
    error = abs(p.log_normaliser - by_dblquad(wells, WELLS))
    assert error < 1e-3
    assert error <= p.normaliser_error + 1e-11
    x = torch.tensor([[0.5, 1.0], [-1.0, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(x), -wells(x) - p.log_normaliser, rtol=1e-14, atol=0)


@pytest.mark.parametrize("n_cells", [2, 16, 61])
def test_the_normaliser_error_is_honest_about_a_kink(n_cells):
    """E = 2 |x_1| + |x_2|: Z by hand, and panels of the grid that the kink cuts."""
    extent = (-1.0, 2.0, -0.7, 1.5)
    mass = (2 - math.exp(-2) - math.exp(-4)) / 2 * (2 - math.exp(-0.7) - math.exp(-1.5))
    p = from_energy(lambda x: 2 * x[..., 0].abs() + x[..., 1].abs(), extent, n_cells=n_cells)
    assert abs(p.log_normaliser - math.log(mass)) <= p.normaliser_error + 1e-14


def cell_masses(energy, extent, n, inner=12):
    """Exact masses of n x n cells, by Gauss-Legendre in each: independent of the grid of the density."""
    left, right, bottom, top = extent
    t, w = np.polynomial.legendre.leggauss(inner)
    place = torch.as_tensor((np.arange(n)[:, None] + (t + 1) / 2) / n).flatten()
    x = torch.cartesian_prod(left + (right - left) * place, bottom + (top - bottom) * place)
    heights = (-energy(x)).exp().view(n, inner, n, inner)
    masses = torch.einsum("iajb,a,b->ij", heights, torch.as_tensor(w), torch.as_tensor(w))
    return masses / masses.sum()


def test_draws_by_energy_have_the_masses_of_all_cells():
    """Chi-square of 1e5 draws on 23 x 23 cells, across those of the grid, p > 1e-6."""
    p, n = from_energy(wells, WELLS, n_cells=128).to(torch.float64), 100_000
    x = p.sample((100, 1000), generator=generator(2))
    assert (x.shape, x.dtype) == ((100, 1000, 2), torch.float64)
    edges = [np.linspace(*WELLS[2 * k : 2 * k + 2], 24) for k in (0, 1)]
    counts = np.histogram2d(*x.view(-1, 2).T.numpy(), bins=edges)[0].ravel()
    assert counts.sum() == n
    expected = n * cell_masses(wells, WELLS, 23).numpy().ravel()
    full = expected > 10
    counts, expected = (np.append(part[full], part[~full].sum()) for part in (counts, expected))
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-6
    # two laws at total variation distance d are told apart by some 1 / d^2 draws
    assert p.sampling_error < 1 / math.sqrt(n)


def test_the_sampling_error_is_the_distance_to_the_law_of_the_draws():
    """On a grid so coarse that it shows.

    The law q of the draws, rebuilt: in a cell, its mass times the bilinear interpolant of the corners, normalised. Half
    the integral of |p - q| is P(A) - Q(A) for A = {p > q}, and 1e5 draws fall into A with frequency Q(A), to 5 standard
    errors.
    """
    extent, cells, inner, n = (-3.0, 3.0, -3.0, 3.0), 5, 40, 100_000
    p = from_energy(bowl, extent, n_cells=cells).to(torch.float64)
    masses = cell_masses(bowl, extent, cells)

    def law_of_draws(x):
        place = (x + 3) / 6 * cells
        i, j = place.floor().clamp(0, cells - 1).long().unbind(-1)
        s, t = (place - torch.stack([i, j], -1)).unbind(-1)

        def height(a, b):
            return (-bowl(torch.stack([i + a, j + b], -1) * (6 / cells) - 3)).exp()

        f00, f01, f10, f11 = height(0, 0), height(0, 1), height(1, 0), height(1, 1)
        interpolant = (1 - s) * ((1 - t) * f00 + t * f01) + s * ((1 - t) * f10 + t * f11)
        return masses[i, j] * interpolant / ((f00 + f01 + f10 + f11) / 4) / (6 / cells) ** 2

    middle = torch.as_tensor((np.arange(cells * inner) + 0.5) / (cells * inner) * 6 - 3)
    grid, area = torch.cartesian_prod(middle, middle), (6 / (cells * inner)) ** 2
    density, drawn = p.log_prob(grid).exp(), law_of_draws(grid)
    assert float(drawn.sum()) * area == pytest.approx(1, abs=1e-3)  # midpoints, 1600 a cell
    distance = 0.5 * float((density - drawn).abs().sum()) * area
    assert distance > 0.03
    assert p.sampling_error == pytest.approx(distance, rel=0.1)  # its own sum has 16 nodes a cell and a kink at p = q
    x = p.sample((n,), generator=generator(3))
    frequency = float((p.log_prob(x).exp() > law_of_draws(x)).double().mean())
    above = density > drawn
    expected = float(drawn[above].sum() / drawn.sum())
    assert abs(frequency - expected) < 5 * math.sqrt(expected * (1 - expected) / n) + 1e-3
    assert abs(float(density[above].sum()) * area - frequency - p.sampling_error) < 0.1 * p.sampling_error + 0.01


def test_an_energy_may_be_infinite_where_there_is_no_mass():
    """Half a normal law: Z = pi, and not one draw on the other side."""

    def half(x):
        return torch.where(x[..., 0] > 0, 0.5 * x.square().sum(-1), math.inf)

    p = from_energy(half, (-9.0, 9.0, -9.0, 9.0), n_cells=128)
    assert p.log_normaliser == pytest.approx(math.log(math.pi), abs=1e-9)
    x = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert p.log_prob(x).tolist() == pytest.approx([-math.inf, -0.5 - math.log(math.pi)])
    draws = p.sample((100_000,), generator=generator(4))
    assert float(draws[:, 0].min()) >= 0
    assert scipy.stats.kstest(draws[:, 1].numpy(), "norm").pvalue > 1e-6


def test_outside_its_box_an_energy_law_has_no_density():
    p = from_energy(wells, WELLS, n_cells=16)
    x = torch.tensor([[1.6, 0.0], [-2.1, 0.0], [0.0, 2.6], [0.0, -1.1], [50.0, 50.0]])
    assert p.log_prob(x).tolist() == [-math.inf] * 5
    corners = torch.tensor([[-2.0, -1.0], [1.5, 2.5], [-2.0, 2.5]])
    assert p.log_prob(corners).isfinite().all()
    low, high = p.bounds()
    assert (low.tolist(), high.tolist()) == ([-2.0, -1.0], [1.5, 2.5])
    draws = p.sample((10_000,), generator=generator(5)).double()
    assert bool(((draws >= low) & (draws <= high)).all())


@pytest.mark.parametrize("method", [*METHODS, "bounds", "length_scale"])
def test_an_energy_law_knows_its_clean_law_alone(method):
    p = from_energy(wells, WELLS, n_cells=8)
    arguments = () if method in ("bounds", "length_scale") else (torch.zeros(3, 2),)
    with pytest.raises(ValueError, match="sigma is 0.1: of a law given by its energy only the clean law is known"):
        getattr(p, method)(*arguments, 0.1)


@pytest.mark.parametrize(
    ("energy", "said"),
    [
        (lambda x: x[..., 0] * math.nan, "energy is nan or -inf somewhere on extent"),
        (lambda x: torch.where(x[..., 0] > 0.5, math.nan, x[..., 0]), "energy is nan or -inf somewhere on extent"),
        (lambda x: torch.where(x[..., 0] > 0.5, -math.inf, x[..., 0]), "energy is nan or -inf somewhere on extent"),
        (lambda x: x[..., 0] + math.inf, r"energy is \+inf all over extent: there is no mass on the box"),
        (lambda x: x, r"energy gave shape \[256, 2\], .* it must map points \[n, 2\] to energies \[n\]"),
        (lambda x: x.sum(-1, keepdim=True), r"energy gave shape \[256, 1\]"),
        (lambda x: x[..., 0].long(), "energy gave shape .*, dtype torch.int64"),
    ],
    ids=["nan", "nan in part", "-inf in part", "inf all over", "pairs", "a column", "whole numbers"],
)
def test_an_energy_that_is_none_is_refused(energy, said):
    with pytest.raises(ValueError, match=said):
        from_energy(energy, (-1.0, 1.0, -1.0, 1.0), n_cells=4)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"energy": 3.0}, TypeError, "energy is a float: give a function, for example lambda x: "),
        ({"n_cells": 1}, ValueError, "n_cells is 1: it must be at least 2"),
        ({"n_cells": 8.0}, TypeError, "n_cells is 8.0: it must be a whole number"),
        ({"extent": (1.0, -1.0, -1.0, 1.0)}, ValueError, r"extent is \(1.0, -1.0, -1.0, 1.0\): give x_low, x_high, y_"),
        ({"extent": (-1.0, 1.0, 2.0, 2.0)}, ValueError, "each low below its high"),
        ({"extent": (-1.0, 1.0, -1.0)}, ValueError, "give x_low, x_high, y_low, y_high"),
        ({"extent": (-1.0, 1.0, -1.0, math.inf)}, ValueError, "extent is inf: it must be a finite number"),
        ({"dtype": torch.int64}, TypeError, "dtype is torch.int64: samples are floating point"),
    ],
)
def test_bad_settings_of_an_energy_law_are_refused(arguments, error, said):
    with pytest.raises(error, match=said):
        from_energy(**({"energy": wells, "extent": WELLS, "n_cells": 4} | arguments))


def test_an_energy_law_follows_its_points_and_its_own_dtype():
    p = from_energy(wells, WELLS, n_cells=8)
    assert isinstance(p, FromEnergy)
    for dtype in (torch.float32, torch.float64):
        assert p.log_prob(torch.zeros(3, 2, dtype=dtype)).dtype == dtype
        assert p.score(torch.zeros(0, 2, dtype=dtype)).shape == (0, 2)
        assert p.to(dtype).sample((2, 0, 3)).dtype == dtype
    assert p.to(torch.float64).log_normaliser == p.log_normaliser
    assert torch.equal(p.sample((9,), generator=generator(6)), p.sample((9,), generator=generator(6)))


# A log-density alone: a subclass of Density made by its user.


class Logistic(Density):
    """Independent logistic coordinates: s = -tanh(x / 2), s' = -1 / (2 cosh(x / 2)^2)."""

    def log_prob(self, x, sigma=0.0):
        validate.only_clean(sigma, x, "the logistic law")
        return (-x - 2 * torch.nn.functional.softplus(-x)).sum(-1)


def test_a_log_density_alone_has_score_and_divergence():
    p, x = Logistic(), points(30).view(5, 6, 2)
    torch.testing.assert_close(p.score(x), -(x / 2).tanh(), rtol=1e-12, atol=1e-12)
    expected = (-0.5 / (x / 2).cosh() ** 2).sum(-1)
    torch.testing.assert_close(p.divergence(x), expected, rtol=1e-12, atol=1e-12)
    log_p, s = p.log_prob_and_score(x)
    torch.testing.assert_close(log_p, scipy_logistic(x))
    torch.testing.assert_close(s, p.score(x))
    moved = p.scaled(2.0).shifted((1.0, -1.0))
    y = 2 * x + torch.tensor([1.0, -1.0])
    torch.testing.assert_close(moved.score(y), p.score(x) / 2, rtol=1e-12, atol=1e-12)
    assert (p.event_shape, p.batch_shape, p.dtype) == ((2,), (), torch.get_default_dtype())


def scipy_logistic(x):
    return torch.as_tensor(scipy.stats.logistic.logpdf(x.numpy()).sum(-1))


@pytest.mark.parametrize("method", METHODS)
def test_a_log_density_alone_says_nothing_of_noise(method):
    p, x = Logistic(), torch.zeros(3, 2)
    said = "of the logistic law only the clean law is known, so sigma must be 0. For noised laws take .*uses sigma"
    with pytest.raises(ValueError, match=f"sigma is 0.3: {said}"):
        getattr(p, method)(x, 0.3)
    with pytest.raises(ValueError, match=f"sigma is a tensor with levels above 0: {said}"):
        getattr(p, method)(x, torch.tensor([0.0, 0.0, 0.3]))
    with pytest.raises(ValueError, match="only the clean law is known"):
        getattr(p.noised(0.3), method)(x)
    with pytest.raises(ValueError, match="sigma is -1: a noise level is a standard deviation"):
        getattr(p, method)(x, -1)
    with pytest.raises(ValueError, match="the last dimension must be 2"):
        getattr(p, method)(torch.zeros(2, 3))
    assert torch.equal(getattr(p, method)(x, torch.zeros(3)), getattr(p, method)(x))


def test_a_log_density_of_x_alone_is_taken_as_the_clean_one():
    class Plain(Density):
        def log_prob(self, x):
            return (-x - 2 * torch.nn.functional.softplus(-x)).sum(-1)

    p, x = Plain(), points(9)
    for method in METHODS:
        torch.testing.assert_close(getattr(p, method)(x, 0.0), getattr(Logistic(), method)(x))
        with pytest.raises(ValueError, match="sigma is 0.3: of Plain only the clean law is known"):
            getattr(p, method)(x, 0.3)
    with pytest.raises(TypeError, match="Plain gives no sample"):
        p.sample((3,))
