"""The named mixtures of Gaussians."""

import math

import pytest
import torch

from toylab.densities import grid, isotropic, ring, two_modes


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
