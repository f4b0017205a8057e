"""Point masses against independent sums."""

import math

import mpmath
import pytest
import scipy.stats
import torch

from toylab.densities import Points

SIGMAS = [1e-3, 0.03, 0.3, 3.0, 100.0]
FAR = [(50 * math.cos(a), 50 * math.sin(a)) for a in (0.0, 0.5 * math.pi, 0.3, 1.3, 2.4, 3.3, 4.4, 5.5)]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


CLOUD = [[-1.0, 0.0], [1.0, 0.0], [0.2, 2.5], [-3.1, -1.7], [0.2, 2.5]]  # one of them twice


def exact_points(mean_of_parts):
    def exact(x, sigma):
        scores = [[(mpmath.mpf(c) - t) / sigma**2 for c, t in zip(centre, x, strict=True)] for centre in CLOUD]
        log_probs = [-(sigma**2) * (s[0] ** 2 + s[1] ** 2) / 2 - mpmath.log(2 * mpmath.pi * sigma**2) for s in scores]
        weights, divergences = [mpmath.mpf(1) / len(CLOUD)] * len(CLOUD), [-2 / sigma**2] * len(CLOUD)
        return mean_of_parts(weights, log_probs, scores, divergences)

    return exact


@pytest.mark.parametrize("sigma", SIGMAS)
def test_points_in_high_precision_out_to_the_far_tails(sigma, compare, mean_of_parts):
    # on a point, exactly between two, near one, in the middle of all, and far out
    places = [(1.0, 0.0), (0.0, 0.0), (0.0, 0.4), (1.0 + sigma, 0.0), (0.2, 2.5 - 2 * sigma), (-0.5, -0.9), *FAR]
    compare(Points(CLOUD), places, sigma, exact_points(mean_of_parts))


@pytest.mark.parametrize("sigma", [0.05, 0.4, 2.0])
def test_points_are_a_kernel_density_estimate(sigma):
    """scipy's kernel has the covariance of the data times a factor: data of covariance I make it round."""
    raw = randn(40, 2)
    raw = raw - raw.mean(0)
    root = torch.linalg.cholesky(raw.T @ raw / (len(raw) - 1))
    data = torch.linalg.solve_triangular(root, raw.T, upper=False).T
    kde = scipy.stats.gaussian_kde(data.T.numpy(), bw_method=sigma)
    x = 2 * randn(50, 2, seed=1)
    expected = torch.as_tensor(kde.logpdf(x.T.numpy()))
    torch.testing.assert_close(Points(data).log_prob(x, sigma), expected, rtol=1e-9, atol=1e-9)


def test_points_know_which_one_a_noisy_draw_comes_from():
    """Bayes' rule by hand: log-odds of (1, 0) against (-1, 0) at x are 2 x_1 / sigma^2."""
    x = torch.tensor([[0.1, 7.0], [-0.3, 0.0]], dtype=torch.float64)
    r = Points([[-1.0, 0.0], [1.0, 0.0]]).posterior(x, 0.5)
    torch.testing.assert_close(r[:, 1], torch.sigmoid(2 * x[:, 0] / 0.25))
    torch.testing.assert_close(r.sum(-1), torch.ones(2, dtype=torch.float64))


def test_draws_of_points_are_these_points_equally_often():
    """Chi-square of 1e5 draws, p > 1e-6."""
    cloud = randn(7, 2)
    x = Points(cloud).sample((100_000,), generator=generator(3))
    which = (x[:, None] == cloud).all(-1)
    assert bool((which.sum(-1) == 1).all())
    assert scipy.stats.chisquare(which.sum(0).numpy()).pvalue > 1e-6


def test_draws_of_a_noised_point_are_normal():
    """Kolmogorov-Smirnov of 1e5 draws, p > 1e-6 each; the noise of both coordinates is independent."""
    p, n = Points([[2.0, -1.0]]).to(torch.float64).noised(0.3).noised(0.4), 100_000
    z = (p.sample((n,), generator=generator(10)) - torch.tensor([2.0, -1.0])) / 0.5
    for column in z.unbind(-1):
        assert scipy.stats.kstest(column.numpy(), "norm").pvalue > 1e-6
    assert abs(float(z.prod(-1).mean())) * math.sqrt(n) < 5
