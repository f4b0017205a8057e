"""A run in parts is the sampler run at once, and its counts are the exact numbers."""

import math

import numpy as np
import pytest
import torch

from toylab.densities import Square, isotropic
from toylab.samplers import annealed_langevin, langevin, uniform_start
from toylab.widgets.langevin_lessons import DENSITIES
from toylab.widgets.langevin_run import EXTENT, LEVELS, MOVES, STEPS_PER_LEVEL, Run
from toylab.widgets.regions import regions_of


def begin(name, density, step_size, n=300, noise=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Run(
        density, regions_of(density), name, MOVES[name], step_size, noise, uniform_start(n, EXTENT, generator=g), g
    )


def test_steps_by_the_frame_are_the_sampler_run_at_once():
    density = DENSITIES["two far modes"]
    run = begin("Langevin", density, 0.05)
    for n in (1, 4, 15):
        run.advance(n)
    g = torch.Generator().manual_seed(0)
    at_once = langevin(density.score, uniform_start(300, EXTENT, generator=g), step_size=0.05, n_steps=20, generator=g)
    assert run.x.equal(at_once.samples)
    assert run.n_steps == 20
    assert run.in_modes.sum() == 20 * 300


def test_annealing_goes_through_its_levels_as_the_sampler_does():
    density = DENSITIES["two far modes"]
    run = begin("annealed Langevin", density, 0.01)
    n_steps = STEPS_PER_LEVEL * len(LEVELS)
    for n in (1, 50, 100, 7, n_steps - 158):  # frames that do not end where a level does
        run.advance(n)
    g = torch.Generator().manual_seed(0)
    x = uniform_start(300, EXTENT, generator=g)
    at_once = annealed_langevin(
        density.score, x, torch.tensor(LEVELS), step_size=0.01, n_steps=STEPS_PER_LEVEL, generator=g, progress=False
    )
    assert run.x.allclose(at_once.samples, atol=1e-4)
    assert run.since == f"at σ = {LEVELS[-1]:.2f}"
    assert run.in_modes.sum() == STEPS_PER_LEVEL * 300  # only those of the last level
    run.advance(10)  # and it goes on there
    assert run.since == f"at σ = {LEVELS[-1]:.2f}"


def test_annealing_asks_the_score_of_its_level_alone():
    """Outside a square the clean law has no score, and the noised law has one everywhere: no chain is given up."""
    run = begin("annealed Langevin", Square(-1.0, 1.0), 0.01)
    outside = int((run.x.abs() > 1).any(-1).sum())
    run.advance(3)
    assert outside > 200 and len(run.x) == 300


@pytest.mark.parametrize("name", ["MALA", "HMC, 10 leapfrogs"])
def test_exact_samplers_show_the_exact_numbers(name):
    """One Gaussian of variance 1, 300 chains: after 200 steps from uniform they have forgotten where they began.

    Variance over 2 x 300 independent values at least: standard error at most sqrt(2 / 600) = 0.058; five of them.
    """
    run = begin(name, DENSITIES["one Gaussian of variance 1"], 0.5)
    run.advance(200)
    run.forget("now")
    run.advance(100)
    assert run.variance == pytest.approx(1.0, abs=0.29)
    assert 0.5 < run.acceptance <= 1
    assert run.weights.tolist() == [1.0]


def test_langevin_shows_its_own_variance():
    """eps = 2 on variance 1: the law has variance 1 / (1 - 2/4) = 2, forgotten in a step (the factor is 0)."""
    run = begin("Langevin", DENSITIES["one Gaussian of variance 1"], 2.0)
    run.advance(5)
    run.forget("now")
    run.advance(100)  # 100 x 600 independent values: standard error 2 sqrt(2 / 60000) = 0.0115
    assert run.variance == pytest.approx(2.0, abs=6 * 0.0115)


def test_without_noise_it_climbs_to_the_peaks():
    density = DENSITIES["ring of eight"]
    run = begin("Langevin", density, 0.05, noise=False)
    run.advance(200)
    assert float(torch.cdist(run.x, density.means.float()).amin(1).max()) < 1e-3


def test_the_histogram_counts_what_is_in_the_square():
    density = isotropic([[0.0, 0.0]], 1.0)
    g = torch.Generator().manual_seed(0)

    def still(run, n_steps):
        return langevin(torch.zeros_like, run.x, step_size=1e-12, n_steps=n_steps, keep_every=1, generator=g)

    run = Run(
        density,
        regions_of(density),
        "still",
        still,
        0.1,
        True,
        torch.tensor([[-4.95, 4.95], [2.0, -3.0], [9.0, 0.0]]),
        g,
    )
    assert math.isnan(run.variance)
    assert np.isnan(run.weights).all()
    run.advance(3)
    assert run.visited.sum() == 6
    assert run.visited[-1, 0] == 3  # rows from the bottom
    assert run.in_modes.sum() == 9
