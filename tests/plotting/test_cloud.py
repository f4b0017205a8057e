"""``cloud`` and ``trajectories``: points and ways where they are, over the density given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylab import plotting
from toylab.densities import isotropic, two_modes
from toylab.metrics import grid_points
from toylab.samplers import langevin

EXTENT = (-8.0, 8.0, -8.0, 8.0)
PATH = torch.arange(24.0).view(4, 3, 2) / 4


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_the_first_points_are_drawn_where_they_are():
    x = torch.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0]])
    (dots,) = plotting.cloud(x, EXTENT, n_most=2, color="black").collections
    np.testing.assert_allclose(dots.get_offsets(), [[1, -2], [3, 4]])


@pytest.mark.parametrize("draw", [lambda **rest: plotting.cloud(PATH[0], EXTENT, **rest),
                                  lambda **rest: plotting.trajectories(PATH, EXTENT, **rest)])  # fmt: skip
def test_the_ground_is_the_density_at_its_level(draw):
    p = isotropic([[5.0, -3.0]], 0.5)
    (image,) = draw(density=p, sigma=1.0).images
    wanted = p.log_prob(grid_points(EXTENT, 200, dtype=torch.float64), 1.0).exp()
    np.testing.assert_allclose(image.get_array(), wanted)
    assert image.get_cmap() is plotting.GROUND_MAP
    assert len(draw().images) == 0
    with pytest.raises(TypeError, match="density is a method: give a density"):
        draw(density=p.log_prob)
    with pytest.raises(ValueError, match="n_most is 0"):
        draw(n_most=0)


def test_each_way_is_a_line_from_its_start_to_its_end():
    ax = plotting.trajectories(PATH, EXTENT, n_most=2)
    np.testing.assert_allclose([line.get_xydata() for line in ax.lines], PATH[:, :2].movedim(1, 0))
    start, end = ax.collections
    np.testing.assert_allclose(start.get_offsets(), PATH[0, :2])
    np.testing.assert_allclose(end.get_offsets(), PATH[-1, :2])


def test_chains_are_drawn_by_what_they_recorded():
    run = {"step_size": 0.1, "n_steps": 3, "generator": torch.Generator().manual_seed(0), "progress": False}
    chains = langevin(two_modes().score, torch.zeros(5, 2), keep_every=1, **run)
    assert len(plotting.trajectories(chains, EXTENT).lines) == 5
    (dots,) = plotting.cloud(chains, EXTENT).collections
    np.testing.assert_allclose(dots.get_offsets(), chains.samples)
    with pytest.raises(ValueError, match="the chains hold no path"):
        plotting.trajectories(langevin(two_modes().score, torch.zeros(5, 2), **run), EXTENT)
    with pytest.raises(ValueError, match=r"path has shape \[3, 2\]"):
        plotting.trajectories(PATH[0], EXTENT)


def test_what_is_not_finite_is_counted():
    broken = PATH.clone()
    broken[1, 0, 0] = float("nan")
    with pytest.warns(RuntimeWarning, match="1 of 12 positions are nan or inf"):
        plotting.trajectories(broken, EXTENT)
    with pytest.warns(RuntimeWarning, match="1 of 3 samples are nan or inf"):
        plotting.cloud(broken[1], EXTENT)
