"""Conditioning: against the product of prior and likelihood in many digits, and against quadrature of Bayes' rule."""

import math

import mpmath
import numpy as np
import pytest
import torch

from toylab.densities import GaussianMixture, isotropic, two_modes

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
        alone = p.given_class(1)
        assert alone == GaussianMixture([1.0], p.means[1:2], p.covariances[1:2]).to(torch.float32)
    x = torch.tensor([[0.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
    parts = torch.stack([MIXTURE.given_class(k).log_prob(x, 0.6) for k in range(3)], -1)
    joint = MIXTURE.weights * parts.exp()
    torch.testing.assert_close(MIXTURE.posterior(x, 0.6), joint / joint.sum(-1, keepdim=True), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda p: p.given([1.0, 2.0, 3.0], 1.0, 1.0), ValueError, r"A has shape \[3\]: give one row"),
        (lambda p: p.given([[1.0], [2.0]], 1.0, 1.0), ValueError, r"A has shape \[2, 1\]: give one row"),
        (lambda p: p.given(1.0, 1.0, 1.0), ValueError, r"A has shape \[\]"),
        (lambda p: p.given([math.nan, 1.0], 1.0, 1.0), ValueError, "A is .*: every entry must be finite"),
        (lambda p: p.given("A", 1.0, 1.0), TypeError, "A is 'A': it must be numbers"),
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
