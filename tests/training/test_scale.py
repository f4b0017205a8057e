"""Data of any place and scale are learned as those of the reference are, once the network knows of it."""

import math
import warnings

import pytest
import torch

from toylab.densities import StudentTMixture, isotropic, two_modes
from toylab.metrics import fisher_divergence
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP, scale_of
from toylab.objectives import Denoising, Explicit, Implicit, NoiseConditional, Sliced
from toylab.schedules import geometric
from toylab.score import at, divergence
from toylab.training import fit
from toylab.training.ensemble import Ensemble

KINDS = {"ScoreMLP": ScoreMLP, "EnergyMLP": EnergyMLP, "NoiseConditionalMLP": NoiseConditionalMLP}
every_kind = pytest.mark.parametrize("kind", KINDS)
NORMAL = isotropic([[0.0, 0.0]], 1.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made_for(kind, scale, shift):
    """The network of the given weights, for data ``scale`` times as large, and moved."""
    unit = {"sigma_unit": scale} if kind == "NoiseConditionalMLP" else {}
    settings = {"data_mean": shift, "data_std": 4 * scale, **unit}
    return KINDS[kind](16, **settings, generator=generator()).double()


@every_kind
@pytest.mark.parametrize(("scale", "shift"), [(100.0, (0.0, 0.0)), (0.01, (0.0, 0.0)), (20.0, (300.0, -40.0))])
def test_it_is_the_score_of_the_scaled_law(kind, scale, shift):
    """Where s is that of X, s((x - m) / c, sigma / c) / c is that of c X + m: the change of variables."""
    first, other = KINDS[kind](16, generator=generator()).double(), made_for(kind, scale, shift)
    x = 4 * torch.randn(20, 2, dtype=torch.float64, generator=generator(1))
    y = scale * x + torch.tensor(shift, dtype=torch.float64)
    if kind == "NoiseConditionalMLP":
        first, other = at(first, 0.7), at(other, 0.7 * scale)
    torch.testing.assert_close(scale * other(y), first(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(scale**2 * divergence(other, y), divergence(first, x), rtol=1e-8, atol=1e-8)


@every_kind
def test_side_by_side_too(kind):
    networks = [made_for(kind, 100.0, (300.0, -40.0)).redrawn(generator(k)) for k in range(2)]
    x = 400 * torch.randn(2, 5, 2, dtype=torch.float64, generator=generator(1))
    level = (70.0,) if kind == "NoiseConditionalMLP" else ()
    alone = torch.stack([network(x[k], *level) for k, network in enumerate(networks)])
    torch.testing.assert_close(Ensemble(networks)(x, *level), alone, rtol=1e-10, atol=1e-12)
    if kind == "ScoreMLP":
        slopes = torch.stack([divergence(network, x[k]) for k, network in enumerate(networks)])
        torch.testing.assert_close(divergence(Ensemble(networks), x), slopes, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", [100.0, 0.01, 1e4])
@pytest.mark.parametrize("objective", [Sliced(), Implicit(), "denoising", "explicit"])
def test_training_at_any_scale_is_training_at_the_first(scale, objective):
    """The same weights, to what single precision leaves of them after 30 steps, at the same learning rate."""

    def trained(c):
        p = two_modes().scaled(c)
        loss = {"denoising": Denoising(0.5 * c), "explicit": Explicit(p.score)}.get(objective, objective)
        network = ScoreMLP(16, data_std=4 * c, generator=generator()).double()
        return fit(network, loss, p, n_steps=30, batch_size=64, generator=generator(1), progress=False)

    first, other = trained(1.0), trained(scale)
    for a, b in zip(first.network.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scale**2 * other.history.loss, first.history.loss, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [20.0, 0.02])
def test_so_it_is_over_noise_levels(scale):
    def trained(c):
        network = NoiseConditionalMLP(16, 2, data_std=4 * c, sigma_unit=c, generator=generator()).double()
        objective = NoiseConditional(geometric(20.0 * c, 0.1 * c, 10).double())
        return fit(network, objective, two_modes().scaled(c), n_steps=30, generator=generator(1), progress=False)

    first, other = trained(1.0), trained(scale)
    for a, b in zip(first.network.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)


def test_two_modes_of_another_scale_are_learned():
    """Without it J / (1/2 I) was 24 after 1,000 steps, and .48 at a scale of .01; with it .0015 at both."""
    p = two_modes().scaled(100.0)
    network = ScoreMLP(64, generator=generator()).for_data(p)
    result = fit(network, Sliced(), p, n_steps=400, generator=generator(1), progress=False)
    assert fisher_divergence(result.network, p) < 0.05 * fisher_divergence(torch.zeros_like, p)


def test_for_data_keeps_the_weights_and_draws_from_no_other_stream():
    network, before = ScoreMLP(8, generator=generator()), torch.get_rng_state()
    p = two_modes().scaled(100.0)
    other = network.for_data(p)
    assert torch.equal(torch.get_rng_state(), before)
    assert (network.data_mean, network.data_std) == ((0.0, 0.0), 4.0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    assert other.data_std == pytest.approx(100 * math.sqrt(17), rel=0.1)  # 4 w (1 - w) 5^2 + 1
    assert max(map(abs, other.data_mean)) < 50  # the middle between the modes, whatever their weights
    points = p.sample((1000,), generator=generator(3))
    assert network.for_data(points).data_std == pytest.approx(other.data_std, rel=0.1)
    conditional = NoiseConditionalMLP(8).for_data(p)
    assert conditional.sigma_unit == conditional.data_std / 4
    with pytest.raises(ValueError, match="no scale"):
        network.for_data(torch.ones(5, 2))
    with pytest.raises(TypeError, match="data is a list"):
        network.for_data([[0.0, 1.0]])


def test_scale_of_a_normal_law_and_of_one_with_heavy_tails():
    x = torch.randn(100_000, 2, dtype=torch.float64, generator=generator())
    (a, b), std = scale_of(10 * x + torch.tensor([5.0, -70.0]))
    # without the farthest twentieth the variance along an axis is 1 - (q / 2) .05 / .95 with q = -2 log .05
    assert std == pytest.approx(10 * math.sqrt(1 + math.log(0.05) * 0.05 / 0.95), rel=0.01)
    assert (a, b) == pytest.approx((5.0, -70.0), abs=0.5)
    heavy = StudentTMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]], [1.0])
    assert scale_of(heavy.sample((10_000,), generator=generator()))[1] < 4  # of all of them: several hundred


def caught(network, objective, data, **settings):
    settings = {"n_steps": 1, "generator": generator(1), "progress": False, **settings}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message=".*torch\\.jit.*")
        fit(network, objective, data, **settings)
    return [str(warning.message) for warning in found]


@pytest.mark.parametrize("scale", [100.0, 0.01])
@pytest.mark.parametrize("as_points", [False, True])
def test_another_scale_is_told_with_what_to_pass(scale, as_points):
    p = two_modes().scaled(scale)
    data = p.sample((500,), generator=generator(2)) if as_points else p
    (message,) = caught(ScoreMLP(8, generator=generator()), Sliced(), data)
    assert "data_std=" in message and "network.for_data(data)" in message
    given = float(message.partition("data_std=")[2].partition(" ")[0])
    assert given == pytest.approx(4.1 * scale, rel=0.2)
    assert caught(ScoreMLP(8, data_std=given, generator=generator()), Sliced(), data) == []
    assert caught(ScoreMLP(8, generator=generator()).for_data(data), Sliced(), data) == []


def test_another_scale_is_told_of_every_network_and_objective():
    p, levels = two_modes().scaled(20.0), NoiseConditional(geometric(400.0, 2.0, 5))
    (message,) = caught(NoiseConditionalMLP(8, generator=generator()), levels, p)
    assert "sigma_unit=" in message
    (message,) = caught(EnergyMLP(8, generator=generator()), Sliced(), p)
    assert "data_std=" in message
    own = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    (message,) = caught(own, Sliced(), p)
    assert "* F(" in message and "attribute data_std" in message
    own.data_std = torch.tensor(80.0)  # it says that it knows
    assert caught(own, Sliced(), p) == []
    (message,) = caught(ScoreMLP(8, generator=generator()), Denoising(80.0), two_modes())  # the points that it sees
    assert "deviation of 80" in message
    (message,) = caught(ScoreMLP(8, generator=generator()), Sliced(), NORMAL.shifted((50.0, 0.0)))
    assert "of 0.958 about (49.8" in message


@pytest.mark.parametrize("data", [NORMAL, two_modes(), torch.ones(5, 2), torch.ones(50, 2)])
def test_no_alarm_at_ordinary_scales_nor_of_a_single_point(data):
    assert caught(ScoreMLP(8, generator=generator()), Denoising(0.5), data) == []


def test_worse_than_nothing_is_told_after_the_last_step():
    """A network that says it has standardised but has not: at 100 its J is above 1/2 I."""
    own = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Softplus(), torch.nn.Linear(8, 2))
    own.data_std = 400.0
    for p in own.parameters():
        p.data = torch.randn(p.shape, generator=generator()) / 2
    p = two_modes().scaled(100.0)
    (message,) = caught(own, Denoising(50.0), p, n_steps=100, learning_rate=1e-4)
    assert "worse than s = 0" in message
    assert caught(ScoreMLP(generator=generator()), Denoising(0.5), two_modes(), n_steps=100) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"data_std": 0.0}, ValueError, "data_std is 0.0"),
        ({"data_std": "x"}, TypeError, "data_std"),
        ({"data_mean": (1.0, 2.0, 3.0)}, ValueError, "3 entries"),
        ({"data_mean": math.nan}, ValueError, "data_mean is nan"),
        ({"activation": torch.nn.SiLU}, TypeError, r"class SiLU: give an instance"),
        ({"activation": "relu"}, TypeError, "activation is a str"),
    ],
)
def test_bad_settings_are_refused(kind, setting, error, message):
    with pytest.raises(error, match=message):
        KINDS[kind](8, **setting)
