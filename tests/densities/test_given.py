"""Conditioning: against the product of prior and likelihood in many digits, and against quadrature of Bayes' rule."""

import math
import pickle

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from toylab.densities import (
    Affine,
    Banana,
    Circle,
    Conditioned,
    Density,
    GaussianMixture,
    Mixture,
    Noised,
    Points,
    Segment,
    Square,
    StudentTMixture,
    Truncated,
    TwoMoons,
    from_energy,
    from_torch,
    isotropic,
    two_modes,
)
from toylab.densities.density import class_log_weights

KINDS = ("row", "full", "nearly singular", "rank one", "zero row", "nothing")
MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)


def random_case(kind, rng):
    """A prior, an A of a kind, a y up to forty standard deviations away from all components, and a noise."""
    K = rng.integers(1, 5)
    angle, stds = rng.uniform(0, math.pi, K), 10 ** rng.uniform(-2, 1, (K, 2))
    turn = np.moveaxis(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), -1, 0)
    C = np.einsum("kij,kj,klj->kil", turn, stds**2, turn)
    p = GaussianMixture(rng.dirichlet(np.full(K, 2.0)), 5 * rng.normal(size=(K, 2)), 0.5 * (C + C.swapaxes(1, 2)))
    A = rng.normal(size=(1 if kind in ("row", "nothing") else 2, 2))
    match kind:
        case "nearly singular":
            A[1] = A[0] * [1 + 1e-9, 1]
        case "rank one":
            A[1] = 2 * A[0]
        case "zero row":
            A[1] = 0
        case "nothing":
            A[0] = 0
    noise = 10 ** rng.uniform(-3, 2)
    m, C = p.means[0].numpy(), p.covariances[0].numpy()
    spread = np.sqrt(np.diag(A @ C @ A.T) + noise**2)
    y = A @ m + spread * rng.choice([-40.0, 40.0, rng.normal(), rng.normal()], len(A))
    return p, A, y, noise


def exact(p, A, y, noise):
    """log p(y), and weights, means and covariances, by multiplying Gaussians in x: precisions and pulls add up."""
    with mpmath.workdps(60):
        A, y, parts = mpmath.matrix(A.tolist()), mpmath.matrix(y.tolist()), []
        n2 = mpmath.mpf(noise) ** 2
        for w, m, C in zip(p.weights.tolist(), p.means.tolist(), p.covariances.tolist(), strict=True):
            m, precision = mpmath.matrix(m), mpmath.matrix(C) ** -1
            after = (precision + A.T * A / n2) ** -1
            mean = after * (precision * m + A.T * y / n2)
            heat = ((mean - m).T * precision * (mean - m))[0] + mpmath.norm(y - A * mean) ** 2 / n2
            scale = mpmath.det(after) * mpmath.det(precision) / (2 * mpmath.pi * n2) ** len(y)
            parts.append((mpmath.log(w) + 0.5 * (mpmath.log(scale) - heat), mean, after))
        top = max(part[0] for part in parts)
        masses = [mpmath.exp(part[0] - top) for part in parts]
        total = mpmath.fsum(masses)
        log_evidence = top + mpmath.log(total) - mpmath.log(mpmath.fsum(p.weights.tolist()))
        weights = [float(mass / total) for mass in masses]
        means = [[float(entry) for entry in part[1]] for part in parts]
        covariances = [[[float(part[2][i, j]) for j in (0, 1)] for i in (0, 1)] for part in parts]
        dets = [float(mpmath.det(part[2])) for part in parts]
    return float(log_evidence), *(torch.tensor(t, dtype=torch.float64) for t in (weights, means, covariances, dets))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_is_the_product_of_prior_and_likelihood(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(25):
        p, A, y, noise = random_case(kind, rng)
        found = p.given(A, y, noise)
        log_evidence, weights, means, covariances, dets = exact(p, A, y, noise)
        assert p.log_evidence(A, y, noise) == pytest.approx(log_evidence, rel=1e-11, abs=1e-11)
        torch.testing.assert_close(found.weights, weights, rtol=1e-10, atol=1e-300)
        variances = covariances.diagonal(dim1=-2, dim2=-1)
        # to the last digits of a mean, or of its standard deviation where that is greater; and the least standard
        # deviation, which an entry of the matrix cannot show, by the determinant
        assert ((found.means - means).abs() / torch.maximum(means.abs(), variances.sqrt())).max() < 1e-12
        sizes = (variances[:, :, None] * variances[:, None]).sqrt()
        assert ((found.covariances - covariances).abs() / sizes).max() < 1e-12
        roots = torch.linalg.det(found._roots) ** 2
        torch.testing.assert_close(roots, dets, rtol=1e-12, atol=0.0)


def grid(p, sigma=0.0, per_length=6):
    """Nodes [n, 2] of the trapezoid rule, and their area."""
    low, high = p.bounds(sigma)
    step = p.length_scale(sigma) / per_length
    axes = [torch.arange(float(a), float(b), step, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    return torch.cartesian_prod(*axes), step**2


MEASUREMENTS = [
    ([0.6, 0.8], 1.5, 0.5),
    ([[0.6, 0.8]], [-3.0], 1.0),
    ([[1.0, 0.5], [-0.3, 2.0]], [0.5, -1.0], 0.8),
    ([[1.0, 0.5], [2.0, 1.0]], [0.5, 1.5], 1.2),
    ([[0.0, 0.0], [2.0, 1.0]], [0.5, 1.5], 1.2),
]
every_measurement = pytest.mark.parametrize(("A", "y", "noise"), MEASUREMENTS)


def log_likelihood(x, A, y, noise):
    """log N(y; A x, noise^2 I)."""
    A = torch.tensor(A, dtype=torch.float64).reshape(-1, 2)
    y = torch.tensor(y, dtype=torch.float64).reshape(-1)
    miss = (y - x @ A.mT) / noise
    return -0.5 * miss.square().sum(-1) - len(y) * (math.log(noise) + 0.5 * math.log(2 * math.pi))


@every_measurement
@pytest.mark.parametrize(
    "p", [MIXTURE, MIXTURE.rotated(0.7).scaled(-1.5).noised(0.4).shifted((1.0, -2.0))], ids=["plain", "moved"]
)
def test_a_mixture_is_bayes_rule_by_quadrature(p, A, y, noise):
    u, area = grid(p)
    log_joint = p.log_prob(u) + log_likelihood(u, A, y, noise)
    log_evidence = float(log_joint.logsumexp(0)) + math.log(area)
    assert p.log_evidence(A, y, noise) == pytest.approx(log_evidence, rel=1e-11, abs=1e-11)
    found, x = p.given(A, y, noise), (p.means[:, None] + torch.tensor([[0.0, 0.5], [-1.0, 1.5]])).flatten(0, 1)
    torch.testing.assert_close(
        found.log_prob(x), p.log_prob(x) + log_likelihood(x, A, y, noise) - log_evidence, rtol=1e-11, atol=1e-11
    )
    # the score of the noised posterior is (E[X | x, y] - x) / sigma^2
    sigma = 0.7
    weights = (log_joint - 0.5 * ((x[:, None] - u) / sigma).square().sum(-1)).softmax(-1)
    torch.testing.assert_close(found.score(x, sigma), (weights @ u - x) / sigma**2, rtol=1e-9, atol=1e-9)


def test_it_keeps_dtype_device_order_and_what_it_came_from():
    p = two_modes().to(torch.float64)
    found = p.given([1.0, 0.0], 2.0, 0.5)
    assert (found.dtype, found.device) == (torch.float64, p.device)
    assert p == two_modes().to(torch.float64)
    assert p.given(torch.tensor([1.0, 0.0]), torch.tensor([2.0]), torch.tensor(0.5)) == found
    assert two_modes().given(torch.tensor([1.0, 0.0], dtype=torch.float64), 2.0, 0.5).dtype == torch.float32
    assert found.sample((3,), generator=torch.Generator().manual_seed(0)).dtype == torch.float64


def test_weights_that_underflow_are_kept_at_the_smallest_number():
    p = isotropic([[-50.0, 0.0], [50.0, 0.0]], 1.0).given([1.0, 0.0], 50.0, 1e-2)
    assert p.weights.tolist() == [torch.finfo(torch.float64).tiny, 1.0]
    assert float(p.posterior(torch.tensor([50.0, 0.0]))[0]) < 1e-40


def test_a_class_is_a_component():
    for p in (MIXTURE, MIXTURE.noised(0.3), MIXTURE.given([1.0, 0.0], 0.5, 1.0)):
        assert p.given_class(1) == GaussianMixture([1.0], p.means[1:2], p.covariances[1:2]).to(torch.float32)


class Plain(GaussianMixture):
    """A mixture that does not know that it is one: what it is asked for comes by quadrature."""


@pytest.mark.parametrize(
    ("A", "y", "noise"),
    [
        *MEASUREMENTS,
        ([0.6, 0.8], 1.5, 1e-3),
        ([0.6, 0.8], 40.0, 0.3),
        ([[1.0, 0.5], [-0.3, 2.0]], [0.5, -1.0], 1e-3),
        ([[0.0, 2.0], [-2.0, 0.0]], [0.5, 1.5], 1.2),
        ([[0.0, 2.0], [-2.000001, 0.0]], [0.5, 1.5], 0.01),
        ([[1.0, 1e-9], [1.0, 0.0]], [0.5, 1.5], 0.5),
        ([0.0, 0.0], 1.0, 2.0),
        ([1.0, -1.0], 0.3, 100.0),
    ],
)
def test_the_quadrature_is_right_where_the_closed_form_is_known(A, y, noise):
    plain = Plain(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances)
    found, known = plain.given(A, y, noise), MIXTURE.given(A, y, noise)
    assert isinstance(found, Conditioned)
    assert plain.log_evidence(A, y, noise) == pytest.approx(MIXTURE.log_evidence(A, y, noise), rel=1e-12, abs=1e-12)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, -2.0], [30.0, 20.0]], dtype=torch.float64)
    levels = torch.tensor([1e-3, 0.05, 0.7, 5.0], dtype=torch.float64)
    for points, sigma in ((x, 0.0), (x, 0.05), (x, levels), (x.flip(0), levels)):
        for method in ("log_prob", "score", "divergence"):
            mine, truth = (getattr(law, method)(points, sigma) for law in (found, known))
            torch.testing.assert_close(mine, truth, rtol=1e-10, atol=1e-10, msg=lambda m: f"{method}: {m}")  # noqa: B023


class Coarse(Plain):
    """One that takes itself to be smoother than it is."""

    def length_scale(self, sigma=0.0):
        return 6 * super().length_scale(sigma)


def test_a_length_scale_that_is_too_long_is_found_out():
    coarse = Coarse(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances)
    A, y, noise = [0.6, 0.8], 1.5, 0.5
    assert coarse.log_evidence(A, y, noise) == pytest.approx(MIXTURE.log_evidence(A, y, noise), abs=1e-10)


def legendre(low, high, n):
    """Nodes and weights of Gauss-Legendre."""
    t, w = np.polynomial.legendre.leggauss(n)
    return low + 0.5 * (high - low) * torch.as_tensor(t + 1), torch.as_tensor(0.5 * (high - low) * w)


def nodes_of(law):
    """Points [n, 2] and weights [n] that stand for a clean law in every integral of a smooth function."""
    match law:
        case Circle():
            angle = torch.arange(2000, dtype=torch.float64) * (2 * math.pi / 2000)
            x = law.radius * torch.stack([angle.cos(), angle.sin()], -1) + torch.tensor(law.center)
            return x, torch.full_like(angle, 1 / 2000)
        case Segment():
            u, w = legendre(0.0, 1.0, 400)
            start, end = (torch.tensor(point, dtype=torch.float64) for point in (law.start, law.end))
            return start + u[:, None] * (end - start), w
        case TwoMoons():
            u, w = legendre(0.0, math.pi, 400)
            upper = torch.stack([u.cos(), u.sin()], -1)
            return torch.cat([upper, torch.tensor([1.0, 0.5]) - upper]), torch.cat([w, w]) / (2 * math.pi)
        case Square():
            u, w = legendre(law.low, law.high, 120)
            return torch.cartesian_prod(u, u), torch.outer(w, w).flatten() / (law.high - law.low) ** 2
        case Banana():
            z = torch.cartesian_prod(*(torch.arange(-8.0, 8.0, step, dtype=torch.float64) for step in (0.04, 0.2)))
            x1 = law.scale * z[:, 0]
            x2 = law.bend * (x1**2 - law.scale**2) + law.width * z[:, 1]
            return torch.stack([x1, x2], -1), (-0.5 * z.square().sum(-1)).exp() * 0.04 * 0.2 / (2 * math.pi)


@pytest.mark.parametrize(
    ("A", "y", "noise"), [([0.6, 0.8], 0.4, 0.3), ([1.0, 0.0], 2.5, 0.1), ([[1.0, 0.5], [0.5, 1.0]], [0.2, 0.5], 0.4)]
)
@pytest.mark.parametrize(
    "law",
    [Circle(1.5, (0.5, 0.0)), Segment((-1.0, 0.5), (2.0, 1.0)), TwoMoons(), Square(-1.0, 1.5), Banana(1.0, 0.5, 0.4)],
    ids=lambda law: type(law).__name__,
)
def test_other_laws_are_the_sums_of_their_points(law, A, y, noise):
    """p(x, y) = sum_i w_i N(y; A u_i, noise^2 I) N(x; u_i, sigma^2 I), over points u_i that make up the law."""
    u, w = nodes_of(law)
    log_joint = w.log() + log_likelihood(u, A, y, noise)
    log_evidence, found = float(log_joint.logsumexp(0)), law.given(A, y, noise)
    assert law.log_evidence(A, y, noise) == pytest.approx(log_evidence, rel=1e-9, abs=1e-9)
    assert found.log_normaliser == law.log_evidence(A, y, noise)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 2.0]], dtype=torch.float64)
    for sigma in (0.3, 2.0):
        apart = u - x[:, None]
        terms = log_joint - 0.5 * (apart / sigma).square().sum(-1)
        log_p = terms.logsumexp(-1) - log_evidence - math.log(2 * math.pi * sigma**2)
        r, mean = terms.softmax(-1), (terms.softmax(-1)[..., None] * apart).sum(1)
        spread = (r * (apart - mean[:, None]).square().sum(-1)).sum(-1)
        torch.testing.assert_close(found.log_prob(x, sigma), log_p, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.score(x, sigma), mean / sigma**2, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            found.divergence(x, sigma), spread / sigma**4 - 2 / sigma**2, rtol=1e-8, atol=1e-8 / sigma**2
        )


@pytest.mark.parametrize("df", [0.5, 3.0, 200.0])
def test_heavy_tails_by_scipy(df):
    S, row = torch.tensor([[1.0, 0.2], [0.2, 0.5]], dtype=torch.float64), torch.tensor([0.6, 0.8], dtype=torch.float64)
    p = StudentTMixture([1.0], [[0.0, 1.0]], S, [df])
    number = scipy.stats.t(df, loc=0.8, scale=float(row @ S @ row) ** 0.5)
    for y, noise in ((0.5, 0.5), (20.0, 0.01)):

        def blurred(z, y=y, noise=noise):
            return number.pdf(y - noise * z) * scipy.stats.norm.pdf(z)

        exact = math.log(scipy.integrate.quad(blurred, -12, 12, epsabs=0, epsrel=1e-12, limit=500)[0])
        assert p.log_evidence(row, y, noise) == pytest.approx(exact, abs=1e-10)
        # N(y; t, 2 noise^2)^2 = N(y; t, noise^2) / (noise sqrt(8 pi))
        twice = p.log_evidence([row.tolist()] * 2, [y, y], noise * math.sqrt(2))
        assert twice == pytest.approx(exact - math.log(noise * math.sqrt(8 * math.pi)), abs=1e-10)


RING = Circle(2.0).noised(0.4)
MIXED = Mixture([0.3, 0.7], [Circle(2.0, (1.0, 0.0)), MIXTURE])
EVERY = {
    "noised": RING,
    "moved": RING.rotated(0.7).scaled(-1.5).shifted((1.0, -2.0)),
    "a mixture, moved and noised": MIXED.scaled(-0.8).rotated(0.4).noised(0.5),
    "noised, moved and noised": Circle().noised(0.3).rotated(0.2).shifted((0.5, 1.0)).noised(0.5),
    "points, noised": Points([[0.0, 1.0], [2.0, -1.0], [-2.0, -2.0]], [0.2, 0.3, 0.5]).scaled(0.7).noised(0.5),
    "conditioned": Circle(2.0).noised(0.4).given([1.0, -0.5], 0.3, 0.8),
}


@pytest.mark.parametrize("p", EVERY.values(), ids=EVERY)
@every_measurement
def test_bayes_rule_holds_for_every_law(p, A, y, noise):
    u, area = grid(p, per_length=3)
    log_joint = p.log_prob(u) + log_likelihood(u, A, y, noise)
    log_evidence = float(log_joint.logsumexp(0)) + math.log(area)
    assert p.log_evidence(A, y, noise) == pytest.approx(log_evidence, abs=1e-9)
    found, x = p.given(A, y, noise), torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 2.0]], dtype=torch.float64)
    exact = p.log_prob(x) + log_likelihood(x, A, y, noise) - log_evidence
    torch.testing.assert_close(found.log_prob(x), exact, rtol=1e-9, atol=1e-9)
    weights = (log_joint - 0.5 * ((x[:, None] - u) / 0.6).square().sum(-1)).softmax(-1)
    torch.testing.assert_close(found.score(x, 0.6), (weights @ u - x) / 0.6**2, rtol=1e-8, atol=1e-8)


def test_a_cut_law_is_conditioned_in_its_box():
    p = MIXTURE.truncated((-1.0, math.inf, -2.0, 2.0))
    A, y, noise = [0.6, 0.8], 1.0, 0.5
    found = p.given(A, y, noise)
    assert isinstance(found, Truncated)
    u, w = (torch.cat(column) for column in zip(*p.nodes(), strict=True))
    likelihood = log_likelihood(u, A, y, noise).exp()
    log_evidence = math.log(float((w * likelihood).sum()))
    assert p.log_evidence(A, y, noise) == pytest.approx(log_evidence, abs=1e-10)
    x = u[:: len(u) // 20]
    exact = p.log_prob(x) + log_likelihood(x, A, y, noise) - log_evidence
    torch.testing.assert_close(found.log_prob(x), exact, rtol=1e-10, atol=1e-10)
    weights = w * likelihood * (-0.5 * ((x[:, None] - u) / 0.5).square().sum(-1)).exp()
    mean = weights @ u / weights.sum(-1, keepdim=True)
    torch.testing.assert_close(found.score(x, 0.5), (mean - x) / 0.25, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("law", [MIXTURE, MIXED, Circle(2.0), Points([[0.0, 1.0], [2.0, 0.0]])], ids=repr)
def test_two_measurements_are_one_of_two_rows(law):
    first, second = ([1.0, 0.5], 0.3, 0.4), ([-0.5, 2.0], 1.0, 0.4)
    both = [first[0], second[0]], [first[1], second[1]], 0.4
    after = law.given(*first)
    chain = law.log_evidence(*first) + after.log_evidence(*second)
    assert chain == pytest.approx(law.log_evidence(*both), rel=1e-11)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 2.0]], dtype=torch.float64)
    for part in ("log_prob", "score"):
        one, other = (getattr(p, part)(x, 0.5) for p in (after.given(*second), law.given(*both)))
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_points_are_weighed():
    points = torch.tensor([[0.0, 1.0], [2.0, -1.0], [-2.0, -2.0]], dtype=torch.float64)
    p = Points(points, [0.2, 0.3, 0.5])
    found = p.given([1.0, 0.5], 1.0, 0.7)
    joint = p.weights * log_likelihood(points, [1.0, 0.5], 1.0, 0.7).exp()
    torch.testing.assert_close(found.weights, joint / joint.sum(), rtol=1e-13, atol=0.0)
    assert p.log_evidence([1.0, 0.5], 1.0, 0.7) == pytest.approx(math.log(joint.sum()), rel=1e-13)
    n = 20_000
    x = found.sample((n,), generator=torch.Generator().manual_seed(0))
    counts = [(x == point).all(-1).sum().item() for point in points]
    assert scipy.stats.chisquare(counts, n * found.weights.numpy()).pvalue > 1e-6
    assert p.given_class(2).points.tolist() == [[-2.0, -2.0]]


@pytest.mark.parametrize("law", [MIXED, MIXED.noised(0.3), MIXED.rotated(0.4).scaled(2.0).noised(0.5)], ids=str)
@pytest.mark.parametrize("y", [1.0, 90.0])
def test_classes_keep_their_order_and_their_posterior(law, y):
    """P(k | x_sigma, y) is proportional to w_k p_k(y) p_k(x_sigma | y); far out, one of the weights underflows."""
    A, noise, sigma = [1.0, 0.5], 0.2, 0.6
    found = law.given(A, y, noise)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 2.0]], dtype=torch.float64)
    classes = [law.given_class(k) for k in range(2)]
    joint = [
        math.log(w) + p.log_evidence(A, y, noise) + p.given(A, y, noise).log_prob(x, sigma)
        for w, p in zip(law.weights.tolist(), classes, strict=True)
    ]
    torch.testing.assert_close(found.posterior(x, sigma), torch.stack(joint, -1).softmax(-1), rtol=1e-9, atol=1e-300)
    prior = [math.log(w) + p.log_prob(x, sigma) for w, p in zip(law.weights.tolist(), classes, strict=True)]
    torch.testing.assert_close(law.posterior(x, sigma), torch.stack(prior, -1).softmax(-1), rtol=1e-10, atol=1e-300)
    if y == 90.0:
        assert found.weights.min() < 1e-300
    shared = found.given_class(0).log_prob(x, sigma)
    torch.testing.assert_close(shared, classes[0].given(A, y, noise).log_prob(x, sigma), rtol=1e-12, atol=0.0)


def test_a_class_of_a_cut_law_is_cut():
    p = MIXTURE.truncated((-1.0, math.inf, -2.0, 2.0))
    assert p.given_class(1) == MIXTURE.given_class(1).truncated(p.box)


def test_moved_and_noised_laws_stay_what_they_are():
    p = Points([[0.0, 1.0], [2.0, 0.0]])
    assert isinstance(p.noised(0.3).given([1.0, 0.0], 0.5, 1.0), GaussianMixture)
    assert isinstance(MIXED.noised(0.3).given([1.0, 0.0], 0.5, 1.0), Mixture)
    assert isinstance(MIXED.noised(0.3).rotated(0.3).given([1.0, 0.0], 0.5, 1.0), Affine)
    assert isinstance(Circle().noised(0.3).given([1.0, 0.0], 0.5, 1.0).density, Noised)


def test_an_energy_takes_the_likelihood_in():
    normal = isotropic([[0.0, 0.0]], 1.0)
    p = from_energy(lambda x: 0.5 * x.square().sum(-1), (-9.0, 9.0, -9.0, 9.0), n_cells=32)
    A, y, noise = [0.6, 0.8], 1.5, 1.5
    found, known = p.given(A, y, noise), normal.given(A, y, noise)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    assert found.normaliser_error < 1e-5
    assert p.log_evidence(A, y, noise) == pytest.approx(normal.log_evidence(A, y, noise), abs=found.normaliser_error)
    torch.testing.assert_close(found.score(x), known.score(x), rtol=1e-12, atol=1e-12)
    assert found == p.given(A, y, noise)
    assert found != p.given(A, y, 0.6)


class CleanNormal(Density):
    """N(0, I), known only when clean."""

    def log_prob(self, x):
        return -0.5 * x.square().sum(-1) - math.log(2 * math.pi)

    def bounds(self, sigma=0.0):
        return torch.full((2,), -9.0, dtype=torch.float64), torch.full((2,), 9.0, dtype=torch.float64)

    def length_scale(self, sigma=0.0):
        return 1.0


@every_measurement
def test_a_law_that_knows_itself_only_clean_is_integrated_in_the_plane(A, y, noise):
    p, normal = CleanNormal(), isotropic([[0.0, 0.0]], 1.0)
    found, known = p.given(A, y, noise), normal.given(A, y, noise)
    assert found.normaliser_error < 1e-8
    assert found.log_normaliser == pytest.approx(normal.log_evidence(A, y, noise), abs=1e-9)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(found.log_prob(x), known.log_prob(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.score(x), known.score(x), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="only the clean law of CleanNormal is known"):
        found.score(x, 0.5)


def test_it_is_a_value():
    p = Circle().given([1.0, 0.0], 0.5, 0.3)
    assert repr(p) == "Circle(radius=1.0, center=(0.0, 0.0)).given([[1.0, 0.0]], [0.5], 0.3)"
    assert p == Circle().given([[1.0, 0.0]], [0.5], 0.3) != Circle().given([1.0, 0.0], 0.5, 0.4)
    assert pickle.loads(pickle.dumps(p)) == p
    assert p.to(torch.float64).sample((2,)).dtype == torch.float64
    x = torch.tensor([[0.0, 0.5], [math.inf, 0.0], [math.nan, 0.0]])
    log_p = p.log_prob(x, 0.5)
    assert log_p.dtype == torch.float32 and log_p[1] == -math.inf and log_p[2].isnan()


def test_draws_that_are_too_rare_are_refused():
    with pytest.raises(ValueError, match=r"a share of .* would agree with y = \[3.0\]: it must be 0.0001 or more"):
        Circle().given([1.0, 0.0], 3.0, 0.1).sample((3,))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda p: p.given([1.0, 2.0, 3.0], 1.0, 1.0), ValueError, r"A has shape \[3\]: give one row"),
        (lambda p: p.given([[1.0], [2.0]], 1.0, 1.0), ValueError, r"A has shape \[2, 1\]: give one row"),
        (lambda p: p.given(1.0, 1.0, 1.0), ValueError, r"A has shape \[\]"),
        (lambda p: p.given([math.nan, 1.0], 1.0, 1.0), ValueError, "A is .*: every entry must be finite"),
        (lambda p: p.given("A", 1.0, 1.0), TypeError, "^A is 'A': it must be numbers, and 'A' is a str.$"),
        (lambda p: p.given([1.0, 2.0], [1.0, 2.0], 1.0), ValueError, r"y has shape \[2\] for an A of 1 row"),
        (lambda p: p.given([[1.0, 0.0], [0.0, 1.0]], 1.0, 1.0), ValueError, r"y has shape \[\] for an A of 2 rows"),
        (lambda p: p.given([1.0, 2.0], [[1.0]], 1.0), ValueError, "One measurement at a time"),
        (lambda p: p.given([1.0, 2.0], math.inf, 1.0), ValueError, "y is inf: every entry must be finite"),
        (lambda p: p.given([1.0, 2.0], 1.0, 0.0), ValueError, "noise is 0.0: it must be finite and greater than 0"),
        (lambda p: p.given([1.0, 2.0], 1.0, -1.0), ValueError, "noise is -1.0"),
        (lambda p: p.given([1.0, 2.0], 1.0, math.nan), ValueError, "noise is nan"),
        (lambda p: p.given([1e80, 2e80], 1.0, 1e-80), ValueError, "Give a larger noise"),
        (lambda p: p.log_evidence([1.0, 2.0], 1.0, -1.0), ValueError, "noise is -1.0"),
        (lambda p: p.given_class(-1), ValueError, "k is -1: it must be at least 0"),
        (lambda p: p.given_class(3), ValueError, "k is 3: the law has 3 classes. Give one from 0 to 2"),
        (lambda p: p.given_class(True), TypeError, "k is True: it must be a whole number"),
        (lambda p: p.given_class(1.0), TypeError, "k is 1.0: it must be a whole number"),
    ],
    ids=range(18),
)
def test_what_cannot_be_conditioned_on_is_told(call, kind, message):
    with pytest.raises(kind, match=message):
        call(MIXTURE)


@pytest.mark.parametrize(
    "p", [Circle(), MIXED, Points([[0.0, 1.0]]), RING.rotated(0.3), RING, MIXTURE.truncated((-2.0, 2.0, -2.0, 2.0)),
          from_energy(lambda x: x.square().sum(-1), (-9.0, 9.0, -9.0, 9.0), n_cells=16)], ids=lambda p: type(p).__name__
)  # fmt: skip
def test_every_law_refuses_what_is_no_measurement(p):
    for ask in (p.given, p.log_evidence):
        for A, y, noise in (([1.0], 1.0, 1.0), ([1.0, 0.0], [1.0, 2.0], 1.0), ([1.0, 0.0], 1.0, 0.0)):
            with pytest.raises(ValueError, match="A has shape|y has shape|noise is 0.0"):
                ask(A, y, noise)


@pytest.mark.parametrize("p", [Circle(), MIXED, RING.rotated(0.3)], ids=lambda p: type(p).__name__)
def test_what_is_told_of_a_measurement_is_told_in_our_words(p):
    """An error is a ``ValueError`` or a ``TypeError`` itself, and what is wrong is said of A, y and noise."""
    for A, y, noise, kind, words in (
        ("ab", 1.0, 1.0, TypeError, "A is 'ab': it must be numbers, and 'ab' is a str"),
        (None, 1.0, 1.0, TypeError, "A is None: it must be numbers, and None is a NoneType"),
        ([1.0, "b"], 1.0, 1.0, TypeError, "it must be numbers, and 'b' is a str"),
        ([1.0, 2j], 1.0, 1.0, TypeError, "it must be numbers, and not complex ones"),
        ([[1.0, 2.0], [3.0]], [1.0, 1.0], 1.0, TypeError, "it must be numbers, in rows of one length"),
        ([10**400, 1.0], 1.0, 1.0, TypeError, "none too large for a float"),
        ([1.0, 0.0], "y", 1.0, TypeError, "y is 'y': it must be numbers, and 'y' is a str"),
        ([1.0, 0.0], 1e12, 1e-3, ValueError, "y is far from all that the law can give"),
    ):
        with pytest.raises(kind, match=words) as caught:
            p.given(A, y, noise)
        assert type(caught.value) is kind


@pytest.mark.parametrize("p", [Circle(), MIXED, RING.rotated(0.3), MIXTURE], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-151, 1e-149, 1e-20])
def test_an_A_that_tells_next_to_nothing_leaves_the_law_as_it_was(p, size):
    """log p(y) is then log N(y; 0, noise^2), to a rounding of the noise."""
    y, noise, x = 0.3, 0.1, torch.tensor([[0.5, 0.4], [-1.0, 0.2]], dtype=torch.float64)
    for A in ([size, -size], [[size, 0.0], [0.0, size]]):
        m = 1 if isinstance(A[0], float) else 2
        expected = m * (-0.5 * (y / noise) ** 2 - math.log(noise) - 0.5 * math.log(2 * math.pi))
        assert p.log_evidence(A, [y] * m, noise) == pytest.approx(expected, abs=1e-9)
        torch.testing.assert_close(p.given(A, [y] * m, noise).score(x, 0.7), p.score(x, 0.7), rtol=1e-9, atol=1e-9)


def test_rows_of_one_length_at_right_angles_measure_all_alike():
    """Whichever of two equal gains rounding makes the greater: y = c R x + noise z is x seen with noise / c."""
    p, x = Circle(), torch.tensor([[0.5, 0.4]], dtype=torch.float64)
    right = p.given([[1.0, 0.0], [0.0, 1.0]], [0.6, 0.5], 0.3).score(x, 0.2)
    for k in range(60):
        angle, size = 0.1 * k, 1.1**k
        c, s = size * math.cos(angle), size * math.sin(angle)
        A = [[c, -s], [s, c]]
        y = [0.6 * c - 0.5 * s, 0.6 * s + 0.5 * c]
        torch.testing.assert_close(p.given(A, y, 0.3 * size).score(x, 0.2), right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "A", [torch.ones(2, dtype=torch.complex64), np.ones(2, dtype=np.complex128)], ids=["torch", "numpy"]
)
def test_complex_numbers_do_not_lose_a_part_in_silence(A):
    with pytest.raises(TypeError, match="A is .* it must be numbers, and not complex ones"):
        Circle().given(A, 1.0, 1.0)


@pytest.mark.parametrize(("A", "y", "noise"), MEASUREMENTS)
def test_a_law_given_y_keeps_its_classes(A, y, noise):
    """By Bayes' rule over the classes, as the closed form says; clean, y says no more than x."""
    plain = Plain(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances)
    found, known = plain.given(A, y, noise), MIXTURE.given(A, y, noise)
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, -2.0]], dtype=torch.float64)
    for sigma in (0.0, 0.3, torch.tensor([0.0, 0.05, 5.0], dtype=torch.float64)):
        for law, exact in (
            (found, known),
            (found.rotated(0.4), known.rotated(0.4)),
            (found.noised(0.2), known.noised(0.2)),
        ):
            torch.testing.assert_close(law.log_posterior(x, sigma), exact.log_posterior(x, sigma), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(law.posterior(x, sigma), exact.posterior(x, sigma), rtol=1e-9, atol=1e-12)
        for k in range(3):
            torch.testing.assert_close(
                found.given_class(k).log_prob(x, sigma), known.given_class(k).log_prob(x, sigma), rtol=1e-9, atol=1e-9
            )
    torch.testing.assert_close(class_log_weights(found).exp(), known.weights, rtol=1e-9, atol=1e-12)


def test_a_subclass_has_classes_unless_it_is_another_law():
    class Tilted(GaussianMixture):
        def log_prob(self, x, sigma=0.0):
            return 2 * super().log_prob(x, sigma)

    args = MIXTURE.weights, MIXTURE.means, MIXTURE.covariances
    x = torch.tensor([[0.5, -0.5]], dtype=torch.float64)
    assert torch.equal(Plain(*args).given_class(2).score(x, 0.3), MIXTURE.given_class(2).score(x, 0.3))
    with pytest.raises(TypeError, match="Tilted has no given_class"):
        Tilted(*args).given_class(2)


@pytest.mark.parametrize("p", [Circle(), Circle().noised(0.3), Circle().rotated(0.3)], ids=repr)
def test_a_law_without_classes_says_so(p):
    with pytest.raises(TypeError, match=r"Circle has no given_class\(k\): it is not a mixture of components"):
        p.given_class(0)


def test_what_has_no_extent_says_so():
    p = from_torch(torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)))
    with pytest.raises(TypeError, match=r"FromTorch has no bounds\(sigma\), which quadrature needs"):
        p.given([1.0, 0.0], 0.5, 1.0)
    with pytest.raises(ValueError, match="weights has 1 entries for 2 points"):
        Points([[0.0, 1.0], [1.0, 0.0]], [1.0])
