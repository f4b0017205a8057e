"""The named mixtures of Gaussians."""

import math

import pytest
import torch

from toylab.densities import GaussianMixture, grid, isotropic, pinwheel, ring, two_modes


def test_two_modes():
    p = two_modes()
    assert p.weights.tolist() == [0.2, 0.8]
    assert p.means.tolist() == [[-5.0, -5.0], [5.0, 5.0]]
    assert torch.equal(p.covariances, torch.eye(2, dtype=torch.float64).expand(2, 2, 2))


def test_ring():
    p = ring(6, radius=2.0, std=0.1)
    angles = torch.arange(6, dtype=torch.float64) * math.pi / 3
    torch.testing.assert_close(p.means, 2 * torch.stack([angles.cos(), angles.sin()], -1), rtol=0, atol=1e-14)
    torch.testing.assert_close(p.weights, torch.full((6,), 1 / 6, dtype=torch.float64))
    torch.testing.assert_close(p.covariances, (0.01 * torch.eye(2, dtype=torch.float64)).expand(6, 2, 2))
    assert len(ring().weights) == 8


def test_grid():
    p = grid(3, spacing=1.5, std=0.2)
    expected = {(a, b) for a in (-1.5, 0.0, 1.5) for b in (-1.5, 0.0, 1.5)}
    assert {tuple(m) for m in p.means.tolist()} == expected
    torch.testing.assert_close(p.covariances, (0.04 * torch.eye(2, dtype=torch.float64)).expand(9, 2, 2))
    assert len(grid().weights) == 25


def test_isotropic():
    p = isotropic([[0.0, 1.0], [2.0, 3.0]], 0.5)
    assert p.weights.tolist() == [0.5, 0.5]
    assert p.covariances.tolist() == 2 * [[[0.25, 0.0], [0.0, 0.25]]]
    assert isotropic([[0.0, 1.0], [2.0, 3.0]], 0.5, [0.25, 0.75]).weights.tolist() == [0.25, 0.75]


def test_the_named_mixtures_refuse_nonsense():
    with pytest.raises(ValueError, match="n_modes is 0: it must be at least 1"):
        ring(0)
    with pytest.raises(ValueError, match="radius is -1.0: it must be finite and greater than 0"):
        ring(radius=-1.0)
    with pytest.raises(ValueError, match="std is 0.0"):
        ring(std=0.0)
    with pytest.raises(ValueError, match="n_side is 0"):
        grid(0)
    with pytest.raises(ValueError, match="spacing is 0.0"):
        grid(spacing=0.0)
    with pytest.raises(ValueError, match="std is -1"):
        isotropic([[0.0, 0.0]], -1)


# The pinwheel against the usual one: x = scale * Rot(2 pi k / n_arms + rate * e^rho) (rho, tau).

PINWHEELS = [
    ({}, 1e-4, 0.0013),
    ({"n_arms": 3, "radial_std": 0.2, "tangential_std": 0.2, "rate": 0.4}, 8e-4, 0.005),
]
every_pinwheel = pytest.mark.parametrize(("settings", "ks", "tv"), PINWHEELS, ids=["default", "wide and winding fast"])


def usual_pinwheel(n, n_arms=5, radial_std=0.3, tangential_std=0.1, rate=0.25, scale=2.0):
    """Weights, means and (singular) covariances of the laws given rho, on a fine grid of rho."""
    rho = 1 + radial_std * torch.linspace(-7, 7, n, dtype=torch.float64)
    weights = (-0.5 * ((rho - 1) / radial_std) ** 2).exp()
    arms = 2 * math.pi / n_arms * torch.arange(n_arms, dtype=torch.float64)
    angle = (arms[:, None] + rate * rho.exp()).flatten()
    means = (scale * rho).repeat(n_arms)[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    across = scale * tangential_std * torch.stack([-angle.sin(), angle.cos()], -1)
    return (weights / weights.sum() / n_arms).repeat(n_arms), means, across[:, :, None] * across[:, None, :]


@every_pinwheel
def test_a_coordinate_of_a_pinwheel_has_nearly_the_usual_distribution(settings, ks, tv):
    """Kolmogorov-Smirnov distance, as the docstring states it: 9e-5 at the defaults."""
    p, usual = pinwheel(**settings), usual_pinwheel(4000, **settings)
    t = torch.linspace(-6, 6, 241, dtype=torch.float64)[:, None]

    def cdf(weights, means, covariances, i):
        deviations = (covariances[:, i, i] + 1e-12).sqrt()
        return (weights * torch.special.ndtr((t - means[:, i]) / deviations)).sum(-1)

    for i in (0, 1):
        ours = cdf(p.weights, p.means, p.covariances, i)
        assert float((ours - cdf(*usual, i)).abs().max()) < ks


@every_pinwheel
def test_a_pinwheel_noised_is_nearly_the_usual_one_noised(settings, ks, tv):
    """Total variation distance at sigma = 0.1, as the docstring states it: 0.0012 at the defaults."""
    weights, means, covariances = usual_pinwheel(700, **settings)
    usual = GaussianMixture(weights, means, covariances + 0.01 * torch.eye(2, dtype=torch.float64))
    axis = torch.linspace(-7, 7, 141, dtype=torch.float64)  # steps of sigma
    x = torch.cartesian_prod(axis, axis)
    difference = pinwheel(**settings).log_prob(x, 0.1).exp() - usual.log_prob(x).exp()
    assert 0.5 * float(difference.abs().sum()) * 0.1**2 < tv


def test_a_pinwheel_has_the_mean_and_the_covariance_of_the_usual_one():
    """Rotation symmetry makes the mean 0 and the covariance a multiple of I: scale^2 (1 + variances) / 2."""
    p = pinwheel()
    covariance = (p.weights[:, None, None] * (p.covariances + p.means[:, :, None] * p.means[:, None, :])).sum(0)
    torch.testing.assert_close(p.weights @ p.means, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-14)
    expected = 4 * (1 + 0.3**2 + 0.1**2) / 2 * torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(covariance, expected, rtol=0, atol=3e-5)


def test_a_pinwheel_is_as_large_as_its_scale_and_has_a_clean_density():
    p, x = pinwheel(), torch.tensor([[2.0, 0.5], [-1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(pinwheel(scale=4.0).log_prob(2 * x), p.log_prob(x) - math.log(4))
    turn = p.rotated(2 * math.pi / 5)  # one arm becomes the next
    torch.testing.assert_close(turn.score(x), p.score(x), rtol=1e-9, atol=1e-9)
    assert p.sample((3,)).dtype == torch.float32
