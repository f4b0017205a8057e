"""Published results: what they are held against is right, each runs, and the words follow the numbers."""

import json
import math

import pytest
import torch
from scipy.stats import chi2, norm

from toylab.cli import main
from toylab.metrics import Estimate, entropy
from toylab.objectives import FlowMatching
from toylab.papers import PAPERS, eight_gaussians_to_moons, forty_modes, page, results
from toylab.papers.flow_matching_checkerboard import BOARD
from toylab.papers.paper import Line, exactly, from_json, gap, number, of_ours, table, to_json
from toylab.paths import Linear

RATE = 1e-7  # of false alarms


def test_the_forty_modes_are_the_published_ones():
    """The means that torch's global stream gives after torch.manual_seed(0); softplus(1); an entropy of 6.8595."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        means = (torch.rand(40, 2) - 0.5) * 2 * 40
    p = forty_modes.law()
    assert torch.equal(p.means.float(), means)
    assert p.covariances[0].tolist() == pytest.approx((torch.eye(2) * 1.3132616875**2).tolist())
    assert entropy(p) == pytest.approx(6.8595, abs=5e-5)


def test_the_eight_gaussians_have_the_square_root_of_the_stated_variance():
    """0.1 is passed through a square root to where a covariance is expected."""
    p = eight_gaussians_to_moons.source()
    assert p.covariances[0].tolist() == pytest.approx((torch.eye(2) * math.sqrt(0.1)).tolist())
    assert p.means.norm(dim=-1).tolist() == pytest.approx([5.0] * 8)


@pytest.mark.parametrize("evenly", [True, False])
def test_the_moons_are_moved_along_the_diagonal(evenly):
    """Undone, (x - y) of a moon is that of the half circle, and both coordinates are moved by one number in [0, 0.2].

    The shift is found from the circle's equation: of cos t + u and sin t + u with known difference.
    """
    n = 1000
    x = (eight_gaussians_to_moons.moons(n, torch.Generator().manual_seed(0), evenly=evenly).double() + 1) / 3
    upper, lower = x[: n // 2], torch.tensor([1.0, 0.5], dtype=torch.float64) - x[n // 2 :]
    for moon, sign in ((upper, 1), (lower, -1)):
        half, mean = (moon[:, 0] - moon[:, 1]) / 2, moon.mean(-1)
        root = (0.5 - half.square()).clamp(min=0).sqrt()  # mean of cos and sin, up to its sign
        shifts = torch.stack([sign * (mean - s * root) for s in (1, -1)], -1)
        assert ((shifts > -1e-5) & (shifts < 0.2 + 1e-5)).any(-1).all()
    if not evenly:  # half of a moon is on either side of its middle
        right = int((upper[:, 0] - 0.1 > 0.1).sum() + (lower[:, 0] > 0.1).sum())
        assert 0.3 * n < right < 0.6 * n
