"""A descent is annealed Langevin down the ladder."""

import pytest
import torch

from toylab.densities import isotropic
from toylab.samplers import annealed_langevin, uniform_start
from toylab.schedules import geometric
from toylab.widgets.noise_descent import EXTENT, Ladder, descend, variance_in_parts
from toylab.widgets.noise_lessons import DENSITIES
from toylab.widgets.regions import regions_of

PAPER = "two far modes, as in the paper"


def test_a_descent_is_annealed_langevin_with_alpha_a_share_of_sigma_squared():
    ladder, density = Ladder(PAPER, 5, 20.0, 0.5, 20, 0.2), DENSITIES[PAPER]
    chains, trace = descend(density, regions_of(density), ladder, 200, EXTENT, torch.Generator().manual_seed(3))
    g = torch.Generator().manual_seed(3)
    x = uniform_start(200, EXTENT, generator=g)
    same = annealed_langevin(
        density.score, x, geometric(20.0, 0.5, 5), step_size=0.2 * 0.5**2, n_steps=20, generator=g, progress=False
    )
    assert chains.samples.equal(same.samples)
    assert len(trace.weights) == 6


def test_the_variance_is_about_the_own_mode():
    density = isotropic([[-5.0, 0.0], [5.0, 0.0]], 1.0)
    x = torch.tensor([[-4.0, 0.0], [5.0, 3.0]])
    assert variance_in_parts(x, regions_of(density)) == pytest.approx((1 + 9) / 4)
