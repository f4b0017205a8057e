"""Replacement, held against its own exact law where it is Gaussian, and against the posterior where it is exact."""

import math

import pytest
import torch

from toylab.densities import GaussianMixture, isotropic
from toylab.samplers import replacement, reverse_sde
from toylab.schedules import karras
from toylab.sde import VE, VP

DOUBLE = torch.float64
QUIET = {"progress": False}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def times(sde, n):
    """At which the level falls as in the grid of Karras et al."""
    ends = (float(sde.sigma(t) / sde.alpha(t)) for t in (1.0, sde.t_min))
    t = sde.time_of(karras(*ends, n + 1).double())
    t[0], t[-1] = 1.0, sde.t_min
    return t


def moments_by_the_steps(covariance, A, y, noise, sde, grid, n_resamplings=1):
    """Mean and covariance at the end, of a law N(0, covariance): each part of a step is linear in x."""
    A, one = torch.tensor(A, dtype=DOUBLE).reshape(-1, 2), torch.eye(2, dtype=DOUBLE)
    U, S, Vt = torch.linalg.svd(A, full_matrices=False)
    mean, spread = torch.zeros(2, dtype=DOUBLE), sde.prior.covariances[0]
    c, tau = (torch.tensor(y, dtype=DOUBLE) @ U) / S, noise / S
    for t, u in zip(grid.tolist(), grid.tolist()[1:], strict=False):
        (alpha_t, sigma_t), (alpha_u, sigma_u) = ((float(sde.alpha(s)), float(sde.sigma(s))) for s in (t, u))
        h, g2 = t - u, float(sde.diffusion(t)) ** 2
        slope = float(sde.drift(torch.ones(1, 2, dtype=DOUBLE), t)[0, 0])
        noised = alpha_t**2 * covariance + sigma_t**2 * one
        step = (1 - h * slope) * one - h * g2 * torch.linalg.inv(noised)
        known = (tau <= sigma_u / alpha_u).double()
        free = one - Vt.T @ known.diag() @ Vt
        extra = alpha_u**2 * known * ((sigma_u / alpha_u) ** 2 - tau**2).clamp(min=0)
        a = alpha_t / alpha_u
        for k in range(n_resamplings):
            if k:
                mean, spread = a * mean, a**2 * spread + (sigma_t**2 - a**2 * sigma_u**2) * one
            mean = free @ (step @ mean) + alpha_u * Vt.T @ (known * c)
            spread = free @ (step @ spread @ step.T + h * g2 * one) @ free + Vt.T @ extra.diag() @ Vt
    return mean, spread


def z_scores(x, mean, covariance):
    """Of means, variances and the product of both coordinates, from n independent normal draws."""
    x, n = x.double() - mean, len(x)
    found = (x[:, :, None] * x[:, None, :]).mean(0)
    errors = ((covariance.diagonal()[:, None] * covariance.diagonal() + covariance**2) / n).sqrt()
    means = x.mean(0) / (covariance.diagonal() / n).sqrt()
    return torch.cat([means, ((found - covariance) / errors).flatten()])


@pytest.mark.parametrize("sde", [VE(0.05, 10.0), VP()], ids=["VE", "VP"])
@pytest.mark.parametrize(
    ("A", "y", "noise", "n_resamplings"),
    [([0.6, 0.8], [1.5], 0.3, 1), ([[1.0, 0.0], [1.0, 2.0]], [1.0, -1.0], 0.5, 1), ([0.0, 2.0], [1.5], 0.3, 3)],
)
def test_of_gaussian_data_it_has_the_moments_of_its_own_steps(sde, A, y, noise, n_resamplings):
    """20,000 chains: six numbers beyond 6.5 standard errors by chance in fewer than 1 of 1e9 runs."""
    p = GaussianMixture([1.0], [[0.0, 0.0]], [[1.0, 0.6], [0.6, 0.8]])
    grid, g = times(sde, 12), seeded()
    x = sde.prior.sample((20_000,), generator=g).double()
    found = replacement(
        sde, p.score, x, grid, torch.tensor(A), torch.tensor(y), noise, n_resamplings=n_resamplings, generator=g,
        **QUIET,
    )  # fmt: skip
    exact = moments_by_the_steps(p.covariances[0], A, y, noise, sde, grid, n_resamplings)
    assert float(z_scores(found.samples, *exact).abs().max()) < 6.5
    assert found.n_evaluations == 12 * n_resamplings


@pytest.mark.parametrize("r", [0.2, 0.8])
def test_the_bias_on_gaussian_data_is_the_one_in_its_docstring(r):
    """By the linear steps, ever smaller: the error is of order 1 in them, and Richardson's rule takes it away."""
    covariance = torch.tensor([[1.0, r], [r, 1.0]], dtype=DOUBLE)
    sde = VE(1e-3, 1e3)
    coarse, fine = (moments_by_the_steps(covariance, [1.0, 0.0], [2.0], 1e-3, sde, times(sde, n)) for n in (400, 800))
    mean, spread = (2 * b - a for a, b in zip(coarse, fine, strict=True))
    assert float(mean[1]) == pytest.approx(2 * (1 - math.sqrt(1 - r**2)) / r, abs=1e-3)
    assert float(spread[1, 1]) == pytest.approx((1 - r**2) / (2 * r) * math.log((1 + r) / (1 - r)), abs=1e-3)
    assert abs(float(mean[1]) - 2 * r) > 0.1  # which is the truth


def test_resampling_takes_from_the_bias():
    covariance, sde = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=DOUBLE), VE(0.05, 30.0)
    errors = [
        1.6 - float(moments_by_the_steps(covariance, [1.0, 0.0], [2.0], 0.05, sde, times(sde, 150), n)[0][1])
        for n in (1, 2, 8)
    ]
    assert errors[0] > 1.4 * errors[1] > 1.4 * errors[2] > 0


def test_where_all_was_measured_it_is_exact():
    covariance, sde = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=DOUBLE), VE(1e-3, 1e2)
    A, y, noise = [[0.6, 0.8], [-0.8, 0.6]], [1.0, -2.0], 0.7
    coarse, fine = (moments_by_the_steps(covariance, A, y, noise, sde, through(sde, noise, n)) for n in (300, 600))
    mean, spread = (2 * b - a for a, b in zip(coarse, fine, strict=True))
    after = torch.linalg.inv(torch.linalg.inv(covariance) + torch.eye(2) / noise**2)
    seen = torch.tensor(A, dtype=DOUBLE).T @ torch.tensor(y, dtype=DOUBLE)
    torch.testing.assert_close(spread, after, rtol=0, atol=1e-3)
    torch.testing.assert_close(mean, after @ seen / noise**2, rtol=0, atol=1e-3)


def through(sde, level, n):
    """A grid that begins at a level, at which everything is replaced, so that what was before does not matter."""
    levels = torch.cat(
        [torch.tensor([sde.sigma_max, (1 + 1e-6) * level]), karras(level, sde.sigma_min, n + 1)[1:]]
    ).double()
    return sde.time_of(levels).clamp(min=0)


def test_a_measurement_too_noisy_for_any_level_leaves_the_reverse_sde():
    p, sde = isotropic([[-2.0, 0.0], [2.0, 1.0]], 0.5), VE(0.1, 5.0)
    x, A, y = sde.prior.sample((50,), generator=seeded()), torch.tensor([0.01, 0.0]), torch.ones(1)
    found = replacement(sde, p.score, x, times(sde, 1), A, y, 1.0, generator=seeded(1), **QUIET)
    plain = reverse_sde(sde, p.score, x, times(sde, 1), generator=seeded(1), **QUIET)
    torch.testing.assert_close(found.samples, plain.samples)


def test_bad_measurements_are_refused_before_any_work():
    def untouched(x, sigma):
        raise AssertionError

    sde, x, A, y = VE(), torch.zeros(4, 2), torch.tensor([0.6, 0.8]), torch.zeros(1)
    run = {"A": A, "y": y, "noise": 1.0}
    for change, message in (
        ({"A": torch.zeros(3, 2)}, "A has shape"),
        ({"y": torch.full((1,), math.nan)}, "y is .*: every entry must be finite"),
        ({"y": torch.zeros(3, 1)}, r"y has shape \[3, 1\] for x of shape \[4, 2\]"),
        ({"noise": 0.0}, "noise is 0.0"),
        ({"n_resamplings": 0}, "n_resamplings is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            replacement(sde, untouched, x, times(sde, 3), **(run | change))
