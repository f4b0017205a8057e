"""Scores told of a measurement, held against the exact posterior of Gaussian data and against their own formulas."""

import math

import pytest
import torch

from toylab.densities import GaussianMixture, isotropic, ring
from toylab.guidance import dps, pigdm, tmpd
from toylab.guidance.tmpd import _covariance
from toylab.networks import NoiseConditionalMLP
from toylab.sde import VE

DOUBLE = torch.float64
ONE = torch.eye(2, dtype=DOUBLE)
MEASUREMENTS = {
    "a row": ([0.6, 0.8], [1.3]),
    "a matrix with one row": ([[-0.2, 1.5]], [-0.4]),
    "two rows": ([[1.0, 0.3], [-0.5, 2.0]], [0.7, -1.1]),
    "two rows that say the same": ([[1.0, 0.5], [2.0, 1.0]], [0.7, 1.5]),
}
SIGMAS = (1e-3, 0.1, 1.0, 7.0, 300.0)
MIXTURE = GaussianMixture(
    [0.3, 0.5, 0.2],
    [[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
)


def seeded():
    return torch.Generator().manual_seed(0)


def points(n=40, scale=5.0):
    return scale * torch.randn(n, 2, dtype=DOUBLE, generator=seeded())


def exact_score(mean, covariance, A, y, noise, x, sigma):
    """The score of the noised posterior of N(mean, covariance), by the normal equations."""
    A, y = torch.tensor(A, dtype=DOUBLE).reshape(-1, 2), torch.tensor(y, dtype=DOUBLE)
    precision = torch.linalg.inv(covariance) + A.T @ A / noise**2
    after = torch.linalg.inv(precision)
    center = after @ (torch.linalg.solve(covariance, mean) + A.T @ y / noise**2)
    return torch.linalg.solve(after + sigma**2 * ONE, (center - x).T).T


@pytest.mark.parametrize("name", MEASUREMENTS)
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("noise", [0.05, 1.0, 20.0])
def test_of_gaussian_data_the_two_that_know_its_spread_are_exact(name, sigma, noise):
    A, y = MEASUREMENTS[name]
    mean = torch.tensor([1.0, -2.0], dtype=DOUBLE)
    x = points(scale=3 + sigma)
    slanted = GaussianMixture([1.0], [mean.tolist()], [[[1.0, 0.6], [0.6, 0.8]]])
    round_ = isotropic([mean.tolist()], 1.7)
    for p, guided in ((slanted, tmpd), (round_, tmpd), (round_, lambda *args: pigdm(*args, data_std=1.7))):
        found = guided(p.score, torch.tensor(A, dtype=DOUBLE), torch.tensor(y, dtype=DOUBLE), noise)(x, sigma)
        exact = exact_score(mean, p.covariances[0], A, y, noise, x, sigma)
        scale = float(exact.norm(dim=-1).mean())
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-10 * max(1.0, scale, 1 / sigma))


def moments_of_the_clean_point(p, x, sigma):
    """Mean and covariance of X given X + sigma Z = x of a mixture, component by component."""
    gain = p.covariances @ torch.linalg.inv(p.covariances + sigma**2 * ONE)
    r = p.posterior(x, sigma)
    means = p.means + torch.einsum("kij,nkj->nki", gain, x[:, None] - p.means)
    mean = torch.einsum("nk,nki->ni", r, means)
    within = p.covariances - gain @ p.covariances
    off = means - mean[:, None]
    return mean, torch.einsum("nk,nkij->nij", r, within + off[..., :, None] * off[..., None, :])


@pytest.mark.parametrize("name", MEASUREMENTS)
@pytest.mark.parametrize("sigma", [0.1, 1.0, 7.0])
def test_the_pull_is_the_gradient_of_the_logarithm_of_a_normal_law_with_its_covariance_fixed(name, sigma):
    A, y = (torch.tensor(part, dtype=DOUBLE) for part in MEASUREMENTS[name])
    x, noise, m = points(20, 3.0), 0.7, len(y)
    rows = A.reshape(-1, 2)
    r2 = sigma**2 * 4 / (4 + sigma**2)
    spreads = {
        dps: torch.zeros(20, 2, 2, dtype=DOUBLE),
        lambda *args: pigdm(*args, data_std=2.0): r2 * ONE.expand(20, 2, 2),
        tmpd: moments_of_the_clean_point(MIXTURE, x, sigma)[1],
    }
    for guided, spread in spreads.items():
        R = noise**2 * torch.eye(m, dtype=DOUBLE) + rows @ spread @ rows.T

        def log_q(x, R=R):
            mean = x + sigma**2 * MIXTURE.score(x, sigma)
            return torch.distributions.MultivariateNormal(mean @ rows.T, R).log_prob(y)

        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(log_q(leaf).sum(), leaf)
        twist = guided(MIXTURE.score, A, y, noise).twist(x, sigma)
        torch.testing.assert_close(twist.log_likelihood, log_q(x), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(twist.gradient, slope, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(twist.score, MIXTURE.score(x, sigma))
        torch.testing.assert_close(guided(MIXTURE.score, A, y, noise)(x, sigma), twist.score + twist.gradient)


def test_of_a_score_with_curl_the_pull_is_a_gradient_still():
    """The derivative of the mean of a network is not symmetric, and it is its transpose that pulls back."""
    network = NoiseConditionalMLP(8, 1, generator=seeded()).double()
    A, y, x, sigma = torch.tensor([[0.6, 0.8]], dtype=DOUBLE), torch.ones(1, dtype=DOUBLE), points(10), 2.0
    leaf = x.clone().requires_grad_()
    mean = leaf + sigma**2 * network(leaf, sigma)
    (slope,) = torch.autograd.grad(torch.distributions.Normal(mean @ A.T, 0.7).log_prob(y).sum(), leaf)
    torch.testing.assert_close(dps(network, A, y, 0.7).twist(x, sigma).gradient.detach(), slope)


def test_clean_points_have_the_likelihood_of_the_noise():
    A, y, x = torch.tensor([[1.0, 0.3], [-0.5, 2.0]], dtype=DOUBLE), torch.tensor([0.7, -1.1], dtype=DOUBLE), points()
    found = dps(MIXTURE.score, A, y, 0.3).log_likelihood(x)
    exact = torch.distributions.Normal(x @ A.T, 0.3).log_prob(y).sum(-1)
    torch.testing.assert_close(found, exact)
    torch.testing.assert_close(tmpd(MIXTURE.score, A, y, 0.3).twist(x, 0.0).log_likelihood, exact)


def linear_end(guided, half, noise, n):
    """Mean and variance along the first axis at the end of n steps x' = x + half g^2 h s(x) + noise g sqrt(h) z."""
    sde, pair = VE(1e-4, 1e3), torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=DOUBLE).expand(n, 2, 2)
    levels = 1e3 * (1 - torch.arange(n + 1, dtype=DOUBLE) / n) ** 3
    times = sde.time_of(levels.clamp(min=1e-4))
    t, h = times[:-1], times[:-1] - times[1:]
    at_0, at_1 = guided(pair, sde.sigma(t)[:, None].expand(n, 2))[..., 0].unbind(-1)
    size = h * sde.diffusion(t) ** 2
    rows = torch.stack([1 + half * size * (at_1 - at_0), half * size * at_0, noise * size], -1).tolist()
    mean, variance = 0.0, 1e6
    for factor, shift, kick in rows:
        mean, variance = factor * mean + shift, factor**2 * variance + kick
    return mean, variance


@pytest.mark.parametrize(("v", "noise", "y"), [(1.5, 0.7, 2.0), (1.0, 2.0, -1.0)])
def test_the_bias_of_dps_on_gaussian_data_is_the_one_in_its_docstring(v, noise, y):
    """By the steps themselves, which are linear: their moments are exact, and of order 1 in the step."""
    p, k = isotropic([[0.0, 0.0]], v**0.5), v / noise**2
    guided = dps(p.score, torch.tensor([1.0, 0.0]), torch.tensor([y]), noise)

    def limit(half, noise):
        """Richardson's: twice as many steps halve the error."""
        coarse, fine = (linear_end(guided, half, noise, n) for n in (20_000, 40_000))
        return [2 * b - a for a, b in zip(coarse, fine, strict=True)]

    mean, variance = limit(1.0, 1.0)
    assert mean == pytest.approx(y * (1 - math.exp(-k)), abs=1e-5)
    assert variance == pytest.approx(noise**2 / 2 * (1 - math.exp(-2 * k)), abs=1e-5)
    _, variance = limit(0.5, 0.0)
    assert variance == pytest.approx(v * math.exp(-k), abs=1e-5)


def test_levels_measurements_and_points_may_come_one_by_one():
    A, x = torch.tensor([0.6, 0.8]), points(5)
    sigma, y = torch.tensor([0.1, 0.5, 1.0, 2.0, 9.0], dtype=DOUBLE), torch.arange(5, dtype=DOUBLE)[:, None]
    for guided in (dps, pigdm, tmpd):
        together = guided(MIXTURE.score, A, y, 0.5)(x, sigma)
        for k in range(5):
            alone = guided(MIXTURE.score, A, y[k], 0.5)(x[k], float(sigma[k]))
            torch.testing.assert_close(together[k], alone)


def test_negative_eigenvalues_are_put_to_zero_whatever_their_signs():
    """Against torch's own decomposition: of 2,000 symmetric matrices some are positive, some negative, some mixed."""
    S = torch.randn(2000, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    S = S + S.mT + 0.5 * torch.eye(2, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(S)
    assert {int(n) for n in (values < 0).sum(-1)} == {0, 1, 2} and bool((values.sum(-1) > 0)[values[:, 0] < 0].any())
    expected = vectors @ values.clamp(min=0.0).diag_embed() @ vectors.mT
    torch.testing.assert_close(_covariance(S), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(_covariance(2.0 * torch.eye(2)[None]), 2.0 * torch.eye(2)[None])


def test_learned_scores_in_single_precision_are_taken_and_their_covariance_is_made_one():
    network = NoiseConditionalMLP(8, 1, generator=seeded())
    x, A, y = points().float(), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.zeros(2)
    for guided in (dps, pigdm, tmpd):
        found = guided(network, A, y, 0.01)(x, 3.0)
        assert found.dtype == torch.float32 and found.isfinite().all()

    spread = tmpd(network, A, y, 0.01).spread
    for rows in (
        [[-1.0, 1.0], [0.0, 0.5]],
        [[-2.0, 0.0], [0.0, -2.0]],
        [[-3.0, 1.0], [0.5, -1.0]],
        [[2.0, 1.0], [0.0, 1.0]],
    ):
        jacobian = torch.tensor(rows)
        values, axes = torch.linalg.eigh(1.5 * (jacobian + jacobian.T))
        C = spread(A, jacobian[None], torch.full((1, 1, 1), 3.0))
        torch.testing.assert_close(C[0], axes @ values.clamp(min=0).diag() @ axes.T)
    one = spread(A[:1], torch.tensor([[[-0.5, 2.0]]]), torch.ones(1, 1, 1))
    assert one.tolist() == [[[0.0]]]


def test_a_guided_score_can_be_differentiated():
    """As the likelihood of its flow needs it: by forward mode through forward mode."""
    from toylab.score import divergence

    x, h = points(4, 2.0), 1e-5
    for p in (MIXTURE, ring()):
        guided = tmpd(p.score, torch.tensor([0.6, 0.8]), torch.tensor([1.0]), 0.5)
        found = divergence(lambda x, guided=guided: guided(x, 1.0), x)
        step = h * ONE
        slopes = [(guided(x + step[i], 1.0) - guided(x - step[i], 1.0))[:, i] / (2 * h) for i in range(2)]
        torch.testing.assert_close(found, sum(slopes), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": torch.zeros(3, 2)}, r"A has shape \[3, 2\]: give one row"),
        ({"A": torch.zeros(2, 3)}, r"A has shape \[2, 3\]"),
        ({"A": torch.tensor([1.0, math.nan])}, "A is .*: every entry must be finite"),
        ({"y": torch.tensor([math.inf])}, "y is .*: every entry must be finite"),
        ({"y": torch.zeros(3)}, r"y has shape \[3\] for an A of 1 row"),
        ({"noise": 0.0}, "noise is 0.0: it must be finite and greater than 0"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"noise": math.nan}, "noise is nan"),
    ],
)
@pytest.mark.parametrize("guided", [dps, pigdm, tmpd])
def test_bad_measurements_are_refused_before_any_work(guided, change, message):
    given = {"score": MIXTURE.score, "A": torch.tensor([0.6, 0.8]), "y": torch.tensor([1.0]), "noise": 0.5}
    with pytest.raises(ValueError, match=message):
        guided(**(given | change))


def test_other_mistakes_are_named():
    A, y = torch.tensor([0.6, 0.8]), torch.zeros(1)
    with pytest.raises(TypeError, match="cannot be called as score"):
        dps(lambda x: x, A, y, 1.0)
    with pytest.raises(ValueError, match="data_std is 0"):
        pigdm(MIXTURE.score, A, y, 1.0, data_std=0.0)
    with pytest.raises(ValueError, match=r"y has shape \[3, 1\] for x of shape \[4, 2\]"):
        tmpd(MIXTURE.score, A, torch.zeros(3, 1), 1.0)(points(4), 1.0)
