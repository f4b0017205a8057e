"""The two networks: what they compute, how they are initialised, and how they are differentiated."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional

from toylab.densities import two_modes
from toylab.metrics import fisher_divergence
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP, VelocityMLP
from toylab.objectives import Denoising, Implicit
from toylab.score import at, divergence, value_and_divergence, value_and_jacobian, value_and_jvp
from toylab.training import fit

NETWORKS = {"ScoreMLP": ScoreMLP, "NoiseConditionalMLP": NoiseConditionalMLP}
every_network = pytest.mark.parametrize("kind", NETWORKS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def plain(network, sigma=0.5):
    """A network as a field of x alone."""
    return at(network, sigma) if isinstance(network, NoiseConditionalMLP) else network


def by_hand(network, h):
    for layer in network.layers[:-1]:
        h = network.activation(functional.linear(h, layer.weight, layer.bias))
    return functional.linear(h, network.layers[-1].weight, network.layers[-1].bias)


@every_network
@pytest.mark.parametrize("shape", [(2,), (7, 2), (3, 4, 2), (0, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype(kind, shape, dtype):
    network = NETWORKS[kind](generator=generator()).to(dtype)
    value = plain(network)(torch.zeros(shape, dtype=dtype))
    assert value.shape == shape
    assert value.dtype == dtype


def test_score_mlp_is_what_it_says():
    network = ScoreMLP(width=16, depth=3, generator=generator()).double()
    assert [(layer.in_features, layer.out_features) for layer in network.layers] == [
        (2, 16),
        (16, 16),
        (16, 16),
        (16, 2),
    ]
    x = torch.randn(50, 2, dtype=torch.float64, generator=generator(1))
    torch.testing.assert_close(network(x), by_hand(network, x), rtol=1e-12, atol=1e-12)


def test_reference_network():
    network = ScoreMLP(generator=generator())
    assert [tuple(p.shape) for p in network.parameters()] == [(128, 2), (128,), (128, 128), (128,), (2, 128), (2,)]
    assert network.activation is functional.softplus


@pytest.mark.parametrize("sigma", [0.01, 0.5, 20.0])
def test_noise_conditional_mlp_is_what_it_says(sigma):
    """-x / t^2 + sd / (sigma t) F(gain x / t, log(sigma) / 2), t^2 = sigma^2 + sd^2."""
    network = NoiseConditionalMLP(16, 2, data_std=3.0, gain=1.5, generator=generator()).double()
    x = 4 * torch.randn(50, 2, dtype=torch.float64, generator=generator(1))
    t = math.sqrt(sigma**2 + 9)
    inputs = torch.cat([1.5 * x / t, torch.full((50, 1), math.log(sigma) / 2, dtype=torch.float64)], -1)
    right = -x / t**2 + 3 / (sigma * t) * by_hand(network, inputs)
    torch.testing.assert_close(network(x, sigma), right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("mean", "std"), [((0.0, 0.0), 4.0), ((1.5, -2.0), 4.0), ((0.0, 3.0), 0.5)])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_velocity_mlp_is_what_it_says(mean, std, t):
    """data_mean + F(c (x - t data_mean), t) / c, c = 4 / data_std."""
    network = VelocityMLP(16, 2, data_mean=mean, data_std=std, generator=generator()).double()
    x, m, c = torch.randn(20, 2, dtype=torch.float64, generator=generator(1)), torch.tensor(mean).double(), 4 / std
    time = torch.full((20, 1), t, dtype=torch.float64)
    expected = m + by_hand(network, torch.cat([c * (x - t * m), time], -1)) / c
    torch.testing.assert_close(network(x, t), expected, rtol=1e-12, atol=1e-12)


def test_a_velocity_at_one_time_per_point():
    network, x = (
        VelocityMLP(16, data_mean=(1.0, -2.0), generator=generator()),
        torch.randn(3, 4, 2, generator=generator()),
    )
    t = torch.linspace(0, 1, 12).view(3, 4)
    each = torch.stack([network(y, float(s)) for y, s in zip(x.view(-1, 2), t.view(-1), strict=True)]).view(3, 4, 2)
    torch.testing.assert_close(network(x, t), each)
    torch.testing.assert_close(network(x, t[:1]), network(x, t[:1].expand(3, 4)))
    torch.testing.assert_close(network.double()(x.double(), t), each.double(), rtol=1e-5, atol=1e-5)


def test_a_velocity_far_away_is_learned_like_one_at_home():
    """Data c times as large about m, the network made for them: c F + m of the same F, along the moved path."""
    home, away = (
        VelocityMLP(8, 1, data_mean=m, data_std=s, generator=generator()) for m, s in ((0.0, 4.0), (3.0, 8.0))
    )
    x, t = torch.randn(5, 2, generator=generator(1)), torch.rand(5, generator=generator(2))
    torch.testing.assert_close(away(2 * x + 3 * t[:, None], t), 2 * home(x, t) + 3)
    fitted = VelocityMLP(8).for_data(two_modes())
    assert fitted.data_mean != (0.0, 0.0) and fitted.data_std != 4.0


@pytest.mark.parametrize(
    ("t", "message"),
    [(1.5, "from 0, the source, to 1, the data"), (torch.zeros(3, 1), r"column \[n, 1\]"), (math.nan, "finite")],
)
def test_a_velocity_at_no_time(t, message):
    with pytest.raises(ValueError, match=message):
        VelocityMLP(8)(torch.zeros(3, 2), t)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 20.0])
def test_without_its_last_layer_it_is_the_score_of_a_normal_law(sigma):
    network = NoiseConditionalMLP(8, data_std=3.0, generator=generator()).double()
    for p in network.layers[-1].parameters():
        p.data.zero_()
    x = torch.randn(20, 2, dtype=torch.float64, generator=generator(1))
    torch.testing.assert_close(network(x, sigma), -x / (9 + sigma**2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.1, 20.0])
def test_far_out_the_pull_of_the_normal_law_wins(sigma):
    """With a bounded activation F is bounded, so that t^2 s(x) / |x| -> -x / |x|: at |x| = 1e8 to 1e-3."""
    network = NoiseConditionalMLP(16, activation=torch.tanh, generator=generator()).double()
    direction = torch.tensor([0.6, -0.8], dtype=torch.float64)
    t2 = sigma**2 + 16
    torch.testing.assert_close(t2 * network(1e8 * direction, sigma) / 1e8, -direction, rtol=1e-3, atol=0)


def test_sigma_as_a_number_a_tensor_and_one_level_a_point():
    network = NoiseConditionalMLP(generator=generator()).double()
    x = torch.randn(5, 3, 2, dtype=torch.float64, generator=generator(1))
    sigma = torch.tensor([0.2, 1.0, 9.0], dtype=torch.float64)
    torch.testing.assert_close(network(x, 0.7), network(x, torch.tensor(0.7, dtype=torch.float64)), rtol=0, atol=1e-14)
    torch.testing.assert_close(network(x, 0.7), network(x, torch.full((5, 3), 0.7)), rtol=1e-6, atol=1e-6)
    rows = torch.stack([network(x[:, i], float(sigma[i])) for i in range(3)], 1)
    torch.testing.assert_close(network(x, sigma), rows, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match=r"sigma has shape \[4\] for x of shape \[5, 3, 2\]"):
        network(x, torch.ones(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_over_the_whole_range_of_sigma(dtype):
    network = NoiseConditionalMLP(generator=generator()).to(dtype)
    sigma = torch.logspace(-2, math.log10(20), 50, dtype=dtype)
    x = 40 * torch.randn(200, 1, 2, dtype=dtype, generator=generator(1))
    value = network(x.expand(200, 50, 2), sigma)
    assert value.isfinite().all()


@every_network
def test_initial_weights_follow_torch(kind):
    """Uniform on +-1 / sqrt(inputs), weights and biases alike, as ``torch.nn.Linear`` draws them."""
    network = NETWORKS[kind](width=200, depth=2, generator=generator(2))
    for layer in network.layers:
        bound = 1 / math.sqrt(layer.in_features)
        for p in layer.parameters():
            values = p.detach().double().flatten().numpy()
            assert abs(values).max() <= bound
            assert scipy.stats.kstest(values, scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-6
    reference = torch.nn.Linear(200, 200)
    ours, theirs = (layer.weight.detach().double().flatten().numpy() for layer in (network.layers[1], reference))
    assert scipy.stats.ks_2samp(ours, theirs).pvalue > 1e-6


@every_network
def test_generator_rules(kind):
    def weights(g):
        return torch.cat([p.detach().flatten() for p in NETWORKS[kind](16, generator=g).parameters()])

    before = torch.get_rng_state()
    assert torch.equal(weights(generator(3)), weights(generator(3)))
    assert not torch.equal(weights(generator(3)), weights(generator(4)))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        first, second = weights(None), weights(None)
        torch.manual_seed(5)
        assert torch.equal(weights(None), first)
        assert not torch.equal(first, second)


@every_network
@pytest.mark.parametrize("activation", [functional.softplus, functional.silu, torch.tanh])
def test_forward_mode_is_the_automatic_jacobian(kind, activation):
    network = plain(NETWORKS[kind](16, activation=activation, generator=generator()).double(), sigma=0.3)
    x, v = torch.randn(2, 10, 2, dtype=torch.float64, generator=generator(1))
    J = torch.stack([torch.autograd.functional.jacobian(network, point) for point in x])
    s, jvp = value_and_jvp(network, x, v)
    torch.testing.assert_close(s, network(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(jvp, torch.einsum("nij,nj->ni", J, v), rtol=1e-11, atol=1e-11)
    trace = J.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(divergence(network, x), trace, rtol=1e-11, atol=1e-11)


@every_network
@pytest.mark.parametrize(
    ("setting", "value", "error"), [("width", 0, ValueError), ("depth", 0, ValueError), ("width", 1.5, TypeError)]
)
def test_bad_sizes(kind, setting, value, error):
    with pytest.raises(error, match=setting):
        NETWORKS[kind](**{setting: value})


@pytest.mark.parametrize("setting", ["data_std", "gain"])
def test_bad_scales(setting):
    with pytest.raises(ValueError, match=setting):
        NoiseConditionalMLP(**{setting: 0.0})


def test_the_score_of_an_energy_is_minus_its_gradient():
    """By central differences in float64; and it has no curl, as a free network has."""
    network = EnergyMLP(16, generator=generator(0)).double()
    x, h = torch.randn(20, 2, dtype=torch.float64, generator=generator(1)), 1e-5
    steps = h * torch.eye(2, dtype=torch.float64)
    slopes = torch.stack([network.energy(x + e) - network.energy(x - e) for e in steps], -1) / (2 * h)
    torch.testing.assert_close(network(x).detach(), -slopes.detach(), rtol=1e-8, atol=1e-9)

    def curl(field):
        jacobians = torch.stack([torch.autograd.functional.jacobian(field, point) for point in x])
        return (jacobians[:, 1, 0] - jacobians[:, 0, 1]).abs().max()

    assert curl(network) < 1e-12
    assert curl(ScoreMLP(16, generator=generator(0)).double()) > 1e-3


@pytest.mark.parametrize(
    "objective",
    [Implicit(), Denoising(0.5)],  # differentiated once more, and not
    ids=lambda objective: type(objective).__name__,
)
def test_an_energy_learns(objective):
    """Of 1/2 E|s*|^2 = 1 less than a twentieth is left after 400 steps; the law of sigma = 0.5 for denoising."""
    g = generator(2)
    fitted = fit(EnergyMLP(64, generator=g), objective, two_modes(), n_steps=400, generator=g, progress=False)
    density = two_modes().noised(0.5) if isinstance(objective, Denoising) else two_modes()
    assert float(fisher_divergence(fitted.network, density)) < 0.05


def test_the_density_of_an_energy_is_normalised_and_stays_as_it_was():
    network = EnergyMLP(16, generator=generator(3))
    density = network.density((-2.0, 2.0, -1.0, 1.0))
    t, w = np.polynomial.legendre.leggauss(40)
    x = torch.cartesian_prod(2 * torch.as_tensor(t), torch.as_tensor(t))
    weights = torch.as_tensor(2 * np.outer(w, w)).flatten()
    assert float((weights * density.log_prob(x).exp()).sum()) == pytest.approx(1, abs=1e-6)  # a float32 network
    before = density.log_prob(x)
    with torch.no_grad():
        network.layers[0].weight.zero_()
    assert torch.equal(density.log_prob(x), before)
    torch.testing.assert_close(
        density.score(x[:5]), EnergyMLP(16, generator=generator(3))(x[:5].float()).detach().double()
    )


@pytest.mark.parametrize("network", [ScoreMLP(5, 3), EnergyMLP(4), NoiseConditionalMLP(6, 2, gain=3.0).double()])
def test_redrawn_is_a_network_like_it_drawn_as_at_construction(network):
    given = {name: value.clone() for name, value in network.state_dict().items()}
    other = network.redrawn(generator(1))
    assert type(other) is type(network)
    assert {k: v.shape for k, v in other.state_dict().items()} == {k: v.shape for k, v in given.items()}
    assert all(torch.equal(value, given[name]) for name, value in network.state_dict().items())
    assert not any(torch.equal(value, given[name]) for name, value in other.state_dict().items())
    settings = {name: getattr(network, name) for name in ("width", "depth", "gain") if hasattr(network, name)}
    fresh = type(network)(**settings, generator=generator(1))
    if next(network.parameters()).dtype == torch.float32:
        assert all(torch.equal(a, b) for a, b in zip(other.parameters(), fresh.parameters(), strict=True))
    assert next(other.parameters()).dtype == next(network.parameters()).dtype


class Plain(ScoreMLP):
    """The same network, differentiated by forward mode: its forward might do anything."""

    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize("shape", [(2,), (7, 2), (3, 4, 2), (0, 2)])
@pytest.mark.parametrize("depth", [1, 3])
def test_tangents_by_the_chain_rule_are_those_of_forward_mode(shape, depth):
    fast, slow = (kind(16, depth, generator=generator()).double() for kind in (ScoreMLP, Plain))
    x, v = (5 * torch.randn(shape, dtype=torch.float64, generator=generator(k)) for k in (1, 2))
    assert slow.with_tangents(x, v[None]) is None
    for derivative in (lambda s: value_and_jvp(s, x, v), *(lambda s, d=d: d(s, x) for d in (
        value_and_divergence, value_and_jacobian
    ))):  # fmt: skip
        found, expected = derivative(fast), derivative(slow)
        weight = [torch.randn(part.shape, dtype=torch.float64, generator=generator(3)) for part in found]
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        gradients = [
            torch.autograd.grad(
                sum((w * part).sum() for w, part in zip(weight, parts, strict=True)), list(s.parameters())
            )
            for s, parts in ((fast, found), (slow, expected))
        ]
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_several_directions_at_once():
    network = ScoreMLP(16, generator=generator()).double()
    x, v = torch.randn(7, 2, dtype=torch.float64, generator=generator(1)), torch.eye(2, dtype=torch.float64)
    s, jvp = network.with_tangents(x, v[:, None].expand(2, 7, 2))
    torch.testing.assert_close(jvp.movedim(0, -1), value_and_jacobian(Plain(16, generator=generator()).double(), x)[1])
    torch.testing.assert_close(s, network(x))


def test_other_activations_are_left_to_forward_mode():
    network = ScoreMLP(16, activation=torch.tanh, generator=generator())
    x = torch.ones(3, 2)
    assert network.with_tangents(x, x[None]) is None
    by_steps = (network(x + 1e-2 * x) - network(x - 1e-2 * x)) / 2e-2
    torch.testing.assert_close(value_and_jvp(network, x, x)[1], by_steps, rtol=1e-2, atol=1e-3)
