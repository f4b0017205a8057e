"""The sampler's own law on a grid: against closed forms, against chains, and against numbers found apart from it."""

import math

import pytest
import torch

from toylab.densities import Circle, GaussianMixture, isotropic, ring, two_modes
from toylab.metrics import annealed_langevin_law, langevin_law, mode_weights, pushforward
from toylab.museum import score_replacing_variances
from toylab.samplers import annealed_langevin, langevin
from toylab.schedules import geometric

SQUARE = (-8.0, 8.0, -8.0, 8.0)


@pytest.mark.parametrize(
    ("first", "last", "n_levels", "step_size", "lower"),
    [(20.0, 0.1, 10, 0.002, 0.221), (20.0, 0.3, 15, 0.018, 0.210), (10.0, 1.0, 10, 0.2, 0.208)],
)
def test_weights_that_were_computed_apart(first, last, n_levels, step_size, lower):
    law = annealed_langevin_law(
        two_modes(), geometric(first, last, n_levels), step_size=step_size, n_steps=100, extent=SQUARE
    )
    assert float(law.mode_weights[-1, 0]) == pytest.approx(lower, abs=6e-4)
    assert law.mode_weights.sum(1).tolist() == pytest.approx([1.0] * n_levels, abs=1e-9)
    h = float(law.grid[1] - law.grid[0])
    assert float(law.density.sum()) * h == pytest.approx(1.0, abs=1e-9)


def test_the_reference_ladder_level_by_level():
    law = annealed_langevin_law(two_modes(), geometric(20.0, 1.0, 10), step_size=0.1, n_steps=100, extent=SQUARE)
    known = [0.417, 0.386, 0.347, 0.303, 0.261, 0.231, 0.220, 0.217, 0.217, 0.217]
    assert law.mode_weights[:, 0].tolist() == pytest.approx(known, abs=1.1e-3)
    assert float(law.variances[-1, 1]) == pytest.approx(2.03, abs=0.005)


def test_one_gaussian_settles_at_its_closed_form():
    """v = 1 + sigma^2, inflated to v / (1 - alpha / (4 v)) at each level."""
    p, sigmas = isotropic([[1.0, 2.0]], 1.0), geometric(4.0, 1.0, 3)
    law = annealed_langevin_law(p, sigmas, step_size=0.4, n_steps=400, extent=(-1.0, 1.0, -1.0, 1.0))
    for sigma, variance in zip(sigmas.tolist(), law.variances[:, 0].tolist(), strict=True):
        alpha, v = 0.4 * sigma**2, 1 + sigma**2
        assert variance == pytest.approx(v / (1 - alpha / (4 * v)), rel=1e-9)
    peak = float(law.density.max())
    assert peak == pytest.approx(1 / math.sqrt(2 * math.pi * float(law.variances[-1, 0])), rel=1e-3)


def test_chains_follow_it():
    """Weights of 20,000 chains at each level, within 5 standard errors."""
    p, sigmas = two_modes(), geometric(20.0, 1.0, 6)
    law = annealed_langevin_law(p, sigmas, step_size=0.2, n_steps=30, extent=SQUARE)
    g = torch.Generator().manual_seed(0)
    start = 16 * torch.rand(20_000, 2, generator=g) - 8
    chains = annealed_langevin(
        p.score, start, sigmas, step_size=0.2, n_steps=30, keep_every=30, generator=g, progress=False
    )
    for frame, expected in zip(chains.path[1:], law.mode_weights[:, 0].tolist(), strict=True):
        weight = mode_weights(frame, p)[0]
        assert abs(weight.value - expected) < 5 * weight.standard_error


def test_one_gaussian_under_the_score_of_its_mean_as_a_point():
    """The score that replaces variances: sigma^2 / (1 - eps / (4 sigma_L^2)), whatever v."""
    p, sigmas = isotropic([[1.0, 2.0]], 1.0), geometric(4.0, 1.0, 3)
    law = annealed_langevin_law(
        p, sigmas, step_size=0.4, n_steps=400, extent=(-1.0, 1.0, -1.0, 1.0), score_variance=0.0
    )
    inflation = 1 / (1 - 0.4 / 4)
    assert law.variances[:, 0].tolist() == pytest.approx([16 * inflation, 4 * inflation, inflation], rel=1e-9)


def test_chains_follow_it_under_the_score_that_replaces_variances():
    p, sigmas, settings = two_modes(), geometric(20.0, 1.0, 4), {"step_size": 0.2, "n_steps": 10}
    law = annealed_langevin_law(p, sigmas, extent=SQUARE, score_variance=0.0, **settings)
    g = torch.Generator().manual_seed(0)
    start = 16 * torch.rand(20_000, 2, generator=g) - 8
    chains = annealed_langevin(score_replacing_variances(p), start, sigmas, generator=g, progress=False, **settings)
    weight = mode_weights(chains.samples, p)[0]
    assert abs(weight.value - float(law.mode_weights[-1, 0])) < 5 * weight.standard_error
    right = annealed_langevin_law(p, sigmas, extent=SQUARE, **settings)
    assert abs(float(right.mode_weights[-1, 0] - law.mode_weights[-1, 0])) < 0.05  # the weights hide it
    assert float(right.variances[-1, 0]) > 1.9 * float(law.variances[-1, 0])  # the variance shows it


def test_langevin_on_one_gaussian_moment_by_moment():
    """From a uniform start: x contracts by 1 - eps / (2 v) a step, the variance relaxes to v / (1 - eps / (4 v))."""
    v, eps, n = 2.0, 0.5, 7
    law = langevin_law(isotropic([[0.0, 0.0]], math.sqrt(v)), step_size=eps, n_steps=n, extent=(-3.0, 3.0, -3.0, 3.0))
    shrink, settled = (1 - eps / (2 * v)) ** (2 * n), v / (1 - eps / (4 * v))
    start = 36 / 12
    assert float(law.variances[0, 0]) == pytest.approx(settled + shrink * (start - settled), rel=1e-9)
    assert law.sigmas.tolist() == [0.0]


def test_langevin_chains_follow_it():
    """A wide start between two near modes, so that chains do cross: n = 40,000."""
    p = GaussianMixture([0.3, 0.7], [[-1.5, 0.0], [1.5, 0.0]], [[[0.5, 0.0], [0.0, 0.5]]] * 2)
    law = langevin_law(p, step_size=0.4, n_steps=15, extent=(-4.0, 4.0, -4.0, 4.0))
    g = torch.Generator().manual_seed(0)
    start = 8 * torch.rand(40_000, 2, generator=g) - 4
    chains = langevin(p.score, start, step_size=0.4, n_steps=15, generator=g, progress=False)
    weight = mode_weights(chains.samples, p)[0]
    assert abs(weight.value - float(law.mode_weights[0, 0])) < 5 * weight.standard_error
    assert abs(float(law.mode_weights[0, 0]) - 0.3) > 10 * weight.standard_error  # not yet the truth
    left = chains.samples[p.posterior(chains.samples).argmax(-1) == 0, 0].double()
    spread = float(((left - left.mean()) ** 2).std()) / math.sqrt(len(left))
    assert abs(float(left.var()) - float(law.variances[0, 0])) < 5 * spread


def test_the_order_of_the_components_does_not_matter():
    a, b = [[-5.0, 1.0], [3.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [-5.0, 1.0], [3.0, 1.0]]
    one = [[0.5, 0.0], [0.0, 0.5]]
    settings = {"step_size": 0.1, "n_steps": 20, "extent": SQUARE}
    first = annealed_langevin_law(GaussianMixture([0.2, 0.3, 0.5], a, [one] * 3), geometric(6.0, 1.0, 4), **settings)
    second = annealed_langevin_law(GaussianMixture([0.5, 0.2, 0.3], b, [one] * 3), geometric(6.0, 1.0, 4), **settings)
    torch.testing.assert_close(first.mode_weights, second.mode_weights[:, [1, 2, 0]], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("density", "settings", "message"),
    [
        (ring(), {}, "not on a line"),
        (GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.2], [0.2, 1.0]]]), {}, "round"),
        (Circle(2.0), {}, "density is a Circle: only a GaussianMixture"),
        (two_modes(), {"step_size": 9.0}, "unstable"),
        (two_modes(), {"step_size": 0.0}, "step_size"),
        (two_modes(), {"n_steps": 0}, "n_steps"),
        (two_modes(), {"score_variance": -1.0}, "score_variance"),
        (two_modes(), {"extent": (-8.0, 8.0, 8.0, -8.0)}, "bottom < top"),
        (two_modes(), {"extent": (-8.0, math.nan, -8.0, 8.0)}, "extent is nan"),
    ],
)
def test_bad_input(density, settings, message):
    arguments = {"step_size": 0.1, "n_steps": 3, "extent": SQUARE, **settings}
    with pytest.raises(ValueError, match=message):
        annealed_langevin_law(density, geometric(4.0, 1.0, 3), **arguments)


def test_mass_is_kept_before_equilibrium():
    """A ladder of four levels and ten steps each, not settled: .969 of the mass was left. Chains follow: n = 20,000."""
    p, sigmas, settings = two_modes(), geometric(50.0, 1.0, 4), {"step_size": 0.02, "n_steps": 10}
    law = annealed_langevin_law(p, sigmas, extent=SQUARE, **settings)
    assert law.mode_weights.sum(1).tolist() == pytest.approx([1.0] * 4, abs=1e-10)
    assert float(law.density.sum() * (law.grid[1] - law.grid[0])) == pytest.approx(1.0, abs=1e-10)
    g = torch.Generator().manual_seed(0)
    start = 16 * torch.rand(20_000, 2, generator=g) - 8
    chains = annealed_langevin(p.score, start, sigmas, generator=g, progress=False, **settings)
    weight = mode_weights(chains.samples, p)[0]
    assert abs(weight.value - float(law.mode_weights[-1, 0])) < 5 * weight.standard_error
    along = chains.samples.double().sum(1) / math.sqrt(2)
    left = along[p.posterior(chains.samples).argmax(-1) == 0]
    error = float(((left - left.mean()) ** 2).std()) / math.sqrt(len(left))
    assert abs(float(left.var()) - float(law.variances[-1, 0])) < 5 * error


def test_steps_near_the_largest_are_followed_by_chains():
    """Where the drift is so steep that the law was .700 for .663: 20,000 chains, z < 5, started in the lower mode."""
    p, sigmas, settings = two_modes(), geometric(20.0, 0.3, 15), {"step_size": 0.3, "n_steps": 100}
    law = annealed_langevin_law(p, sigmas, extent=(-6.0, -4.0, -6.0, -4.0), **settings)
    g = torch.Generator().manual_seed(0)
    start = 2 * torch.rand(20_000, 2, generator=g) - 6
    chains = annealed_langevin(p.score, start, sigmas, generator=g, progress=False, **settings)
    weight = mode_weights(chains.samples, p)[0]
    assert abs(weight.value - float(law.mode_weights[-1, 0])) < 5 * weight.standard_error


NARROW = GaussianMixture(
    [0.2, 0.001, 0.799], [[-5.0, -5.0], [0.0, 0.0], [5.0, 5.0]], 0.01 * torch.eye(2).expand(3, 2, 2)
)


@pytest.mark.parametrize(
    "law",
    [
        lambda: annealed_langevin_law(two_modes(), geometric(50.0, 1.0, 4), step_size=0.02, n_steps=10, extent=SQUARE),
        lambda: langevin_law(two_modes(), step_size=3.9, n_steps=10, extent=SQUARE),
        lambda: langevin_law(NARROW, step_size=0.03, n_steps=5, extent=SQUARE),
    ],
    ids=["a coarse ladder", "near the largest step", "a drift of slope 5,000"],
)
def test_a_finer_quadrature_changes_nothing(monkeypatch, law):
    coarse = law()
    monkeypatch.setattr(pushforward, "_PANEL", pushforward._PANEL / 1.7)
    monkeypatch.setattr(pushforward, "_BEND", pushforward._BEND / 1.7)
    monkeypatch.setattr(pushforward, "REACH", 10.0)
    fine = law()
    torch.testing.assert_close(coarse.mode_weights, fine.mode_weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(coarse.variances, fine.variances, rtol=1e-10, atol=0)


def test_one_step_from_a_uniform_start_in_closed_form():
    """Of x ~ U(a, b), x -> (1 - eps/2 / v) x + sqrt(eps) z: the density is a difference of two normal laws' cdf."""
    eps, v, half = 0.3, 2.0, 3.0
    law = langevin_law(
        isotropic([[0.0, 0.0]], math.sqrt(v)), step_size=eps, n_steps=1, extent=(-half, half, -1e-9, 1e-9)
    )
    shrink = 1 - eps / (2 * v)
    edges = [(law.grid + side * shrink * half) / math.sqrt(eps) for side in (1, -1)]
    exact = (torch.special.ndtr(edges[0]) - torch.special.ndtr(edges[1])) / (2 * half * shrink)
    torch.testing.assert_close(law.density, exact, rtol=0, atol=1e-12)


def test_a_mode_that_is_nowhere_the_most_likely_has_no_mass():
    """A component of weight .001 between two near ones: its share was negative."""
    means = [[-0.1, 0.0], [0.0, 0.0], [0.2, 0.0]]
    p = GaussianMixture([0.5, 0.001, 0.499], means, torch.eye(2).expand(3, 2, 2))
    law = langevin_law(p, step_size=0.1, n_steps=5, extent=SQUARE)
    assert float(law.mode_weights[0, 1]) == 0
    assert float(law.mode_weights.sum()) == pytest.approx(1.0, abs=1e-12)
    assert bool(law.variances[0, 1].isnan())
    assert [e.value for e in mode_weights(p.sample((1000,), generator=torch.Generator().manual_seed(0)), p)][1] == 0


def test_a_matrix_that_would_be_too_large_is_refused_before_it_is_made():
    """A range of 2,800 in steps of 0.001; in steps of 0.1 it is made, and holds the whole mass."""
    wide = (-1e3, 1e3, -1e3, 1e3)
    with pytest.raises(ValueError, match=r"their matrix would take \d+ GB, .* Give a larger step_size"):
        langevin_law(two_modes(), step_size=1e-6, n_steps=3, extent=wide)
    law = langevin_law(two_modes(), step_size=0.1, n_steps=3, extent=wide)
    assert float(law.mode_weights.sum()) == pytest.approx(1.0, abs=1e-10)


def test_mass_is_checked(monkeypatch):
    monkeypatch.setattr(pushforward, "REACH", 2.0)
    with pytest.raises(ValueError, match="the law has a mass of 0.8"):
        langevin_law(two_modes(), step_size=0.1, n_steps=3, extent=SQUARE)


def test_two_components_at_one_place_are_refused():
    p = GaussianMixture([0.5, 0.5], [[1.0, 1.0]] * 2, torch.eye(2).expand(2, 2, 2))
    with pytest.raises(ValueError, match="two components with one mean"):
        langevin_law(p, step_size=0.1, n_steps=3, extent=SQUARE)


def test_an_unstable_step_of_langevin_is_refused():
    with pytest.raises(ValueError, match="unstable"):
        langevin_law(two_modes(), step_size=4.0, n_steps=3, extent=SQUARE)
