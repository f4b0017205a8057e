"""Many seeds at once: each copy is trained as if it were alone."""

import math
from functools import partial

import pytest
import torch

from toylab.densities import two_modes
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import (
    BoundedImplicit,
    ClassConditional,
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    Implicit,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoisePrediction,
    Sliced,
    WallDistance,
)
from toylab.schedules import geometric
from toylab.training import Spread, fit
from toylab.training.ensemble import Ensemble, redrawn

P = two_modes()
SIGMAS = geometric(5.0, 0.2, 6)


class Plain(torch.nn.Module):
    """A reader's own network, which knows nothing of stacked weights."""

    def __init__(self, width, *, generator=None):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Tanh(), torch.nn.Linear(width, 2))
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=generator) / 2

    def forward(self, x):
        return self.inner(x.reshape(-1, 2)).view(x.shape)


class Twisted(ScoreMLP):
    """A reader's subclass whose forward takes points [n, 2] alone."""

    def forward(self, x):
        return super().forward(x.reshape(-1, 2)).view(x.shape)


def with_prelu(width, *, generator=None):
    return ScoreMLP(width, activation=torch.nn.PReLU(init=0.3), generator=generator)


OBJECTIVES = [
    (Twisted, Explicit(P.score)),
    (Twisted, Sliced()),
    (with_prelu, Denoising(0.5)),
    (Plain, Explicit(P.score)),
    (Plain, Implicit()),
    (Plain, Sliced(n_slices=2)),
    (Plain, Denoising(0.5, antithetic=True)),
    (ScoreMLP, Explicit(P.score)),
    (ScoreMLP, Implicit()),
    (ScoreMLP, BoundedImplicit(WallDistance((-30.0, 30.0, -30.0, 30.0), scale=1.0))),
    (ScoreMLP, Sliced()),
    (ScoreMLP, Sliced(n_slices=3, variance_reduced=False)),
    (ScoreMLP, FiniteDifferenceSliced()),
    (ScoreMLP, Denoising(0.5)),
    (ScoreMLP, Denoising(0.5, antithetic=True, control_variate=True)),
    (ScoreMLP, NoisePrediction(0.5)),
    (EnergyMLP, Explicit(P.score)),
    (EnergyMLP, Implicit()),
    (EnergyMLP, Denoising(0.5)),
    (NoiseConditionalMLP, NoiseConditional(SIGMAS)),
    (NoiseConditionalMLP, NoiseConditional(SIGMAS, antithetic=True)),
    (NoiseConditionalMLP, NoiseConditionalExplicit(P.score, SIGMAS)),
    (partial(NoiseConditionalMLP, n_classes=2), ClassConditional(NoiseConditional(SIGMAS, antithetic=True), P, 0.3)),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Each:
    """n separate networks called one after the other: what ``Ensemble`` must agree with."""

    def __init__(self, networks):
        self.networks = networks

    def __call__(self, x, *sigma):
        parts = [
            network(x[..., k, :, :], *(s[..., k, :] if torch.is_tensor(s) and s.ndim else s for s in sigma))
            for k, network in enumerate(self.networks)
        ]
        return torch.stack(parts, -3)


@pytest.mark.parametrize(("kind", "objective"), OBJECTIVES, ids=range(len(OBJECTIVES)))
def test_losses_and_gradients_are_those_of_each_network_alone(kind, objective):
    g = generator()
    networks = [kind(8, generator=g).double() for _ in range(3)]
    copies, x = Ensemble(networks), torch.randn(3, 5, 2, dtype=torch.float64, generator=g)
    together = objective(copies, x, generator=generator(1))
    alone = objective(Each(networks), x, generator=generator(1))
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    one = torch.autograd.grad(together.mean(-1).sum(), list(copies.parameters()), allow_unused=True)
    for k, network in enumerate(networks):
        other = torch.autograd.grad(alone[k].mean(), list(network.parameters()), retain_graph=True, allow_unused=True)
        for a, b in zip(one, other, strict=True):
            assert (a is None) == (b is None)  # an energy's last bias reaches no score
            if a is not None:
                torch.testing.assert_close(a[k], b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (5,), (2, 1)])
def test_tangents_are_those_of_each_network_alone(lead):
    networks = [ScoreMLP(16, generator=torch.Generator().manual_seed(k)).double() for k in range(3)]
    copies, g = Ensemble(networks), torch.Generator().manual_seed(9)
    x, v = (torch.randn(*k, *lead, 3, 7, 2, dtype=torch.float64, generator=g) for k in ((), (4,)))
    s, jvp = copies.with_tangents(x, v)
    assert (s.shape, jvp.shape) == (x.shape, v.shape)
    for k, network in enumerate(networks):
        alone = network.with_tangents(x[..., k, :, :], v[..., k, :, :])
        torch.testing.assert_close((s[..., k, :, :], jvp[..., k, :, :]), alone, rtol=1e-12, atol=1e-12)
    assert Ensemble([ScoreMLP(16, activation=torch.tanh)] * 2).with_tangents(x, v) is None


def test_a_level_for_all_and_a_level_a_point():
    networks = [NoiseConditionalMLP(8, generator=generator(k)).double() for k in range(2)]
    copies, x = Ensemble(networks), torch.randn(2, 5, 2, dtype=torch.float64, generator=generator())
    sigma = torch.rand(2, 5, dtype=torch.float64, generator=generator(1)) + 0.1
    for level in (0.7, torch.tensor(0.7, dtype=torch.float64), sigma):
        torch.testing.assert_close(copies(x, level), Each(networks)(x, level), rtol=1e-12, atol=1e-12)


def test_split_gives_the_networks_back():
    networks = [ScoreMLP(8, generator=generator(k)) for k in range(3)]
    for one, other in zip(Ensemble(networks).split(), networks, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
        assert not any(p.requires_grad for p in one.parameters())


@pytest.mark.parametrize("kind", [ScoreMLP, EnergyMLP, NoiseConditionalMLP, with_prelu, Twisted])
def test_networks_are_redrawn_as_by_themselves(kind):
    """The same numbers from the same generator, in as many networks that share nothing."""
    start = kind(8, generator=generator())
    start.register_forward_hook(lambda *_: None)
    found, g = redrawn(start, 3, generator(1)), generator(1)
    for network in found:
        expected = start.redrawn(g)
        assert type(network) is type(expected)
        assert network.state_dict().keys() == expected.state_dict().keys()
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), expected.parameters(), strict=True))
        assert all(p.requires_grad for p in network.parameters())
    held = {p.untyped_storage().data_ptr() for network in (start, *found) for p in network.parameters()}
    assert len(held) == 4 * len(list(start.parameters()))
    found[0].register_forward_hook(lambda *_: None)
    assert [len(network._forward_hooks) for network in (start, *found)] == [1, 2, 1, 1]


class Shifted(torch.nn.Module):
    """An activation with a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("shift", torch.ones(()))

    def forward(self, x):
        return torch.nn.functional.softplus(x - self.shift)


def test_networks_split_off_share_nothing():
    networks = [ScoreMLP(4, activation=Shifted(), generator=generator(k)) for k in range(3)]
    for k, network in enumerate(networks):
        network.activation.shift.fill_(k)
    parts = Ensemble(networks).split()
    assert [float(part.activation.shift) for part in parts] == [0, 1, 2]
    held = {t.untyped_storage().data_ptr() for part in parts for t in part.state_dict().values()}
    assert len(held) == 3 * len(parts[0].state_dict())
    x = torch.randn(5, 2, generator=generator())
    assert all(torch.equal(part(x), network(x)) for part, network in zip(parts, networks, strict=True))


def test_training_side_by_side_is_training_alone():
    """The same steps for each seed: one training by hand of the second network on its own share of the batches."""
    start, n_steps = ScoreMLP(8, generator=generator()).double(), 30
    settings = {"n_steps": n_steps, "batch_size": 4, "learning_rate": 0.02, "average": 0.5, "report_every": 7}
    result = fit(start, Explicit(P.score), P, n_seeds=3, generator=generator(1), progress=False, **settings)

    g, density = generator(1), P.to(torch.float64)
    density.sample((3, 4), generator=g)  # the batch on which shapes are tried
    networks = [start, start.redrawn(g), start.redrawn(g)]
    density.sample((3, 4), generator=g)  # and that on which the copies are
    batches = torch.stack([density.sample((3, 4), generator=g) for _ in range(n_steps)])
    for k, network in enumerate(networks):
        used = iter(batches[:, k])
        objective = Explicit(P.score)

        def replayed(score, x, generator=None, used=used, objective=objective):
            return objective(score, next(used, x) if len(x) == 4 else x)

        alone = fit(network, replayed, P, generator=generator(9), progress=False, **settings)
        for a, b in zip(result.networks[k].parameters(), alone.network.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(result.histories[k].loss, alone.history.loss, rtol=1e-9, atol=0)


def test_seeds_differ_and_the_first_starts_from_the_weights_given():
    start = ScoreMLP(8, generator=generator())
    result = fit(start, Implicit(), P, n_steps=1, n_seeds=4, learning_rate=1e-9, generator=generator(), progress=False)
    first = [next(network.parameters()) for network in result.networks]
    torch.testing.assert_close(first[0], next(start.parameters()).detach(), atol=1e-6, rtol=0)
    assert all(not torch.allclose(first[0], other, atol=1e-3) for other in first[1:])
    assert result.network is result.networks[0]
    assert result.history is result.histories[0]


def test_seeds_are_reproducible_and_leave_the_global_stream():
    def run():
        start = ScoreMLP(8, generator=generator())
        return fit(start, Sliced(), P, n_steps=5, n_seeds=2, generator=generator(3), progress=False)

    before = torch.get_rng_state()
    one, other = run(), run()
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(one.networks, other.networks, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_spread_is_mean_and_standard_deviation():
    result = fit(ScoreMLP(4, generator=generator()), Sliced(), P, n_steps=2, n_seeds=3, progress=False,
                 generator=generator())  # fmt: skip
    spread = result.spread(lambda network: float(next(network.parameters()).sum()))
    values = torch.tensor(spread.values, dtype=torch.float64)
    assert spread.mean == pytest.approx(float(values.mean()))
    assert spread.std == pytest.approx(float(values.std()))
    assert math.isnan(Spread((1.0,)).std)


def test_a_diverging_seed_is_told_with_its_step():
    def objective(score, x, generator=None):
        objective.calls += 1
        losses = score(x).square().sum(-1)
        return losses * (torch.tensor([[1.0], [math.nan]]) if objective.calls == 6 else 1.0)

    objective.calls = 0  # two of them to try shapes, before the first step
    with pytest.raises(FloatingPointError, match="became nan at step 4") as caught:
        fit(ScoreMLP(4, generator=generator()), objective, P, n_steps=9, n_seeds=2, report_every=2,
            generator=generator(), progress=False)  # fmt: skip
    assert len(caught.value.fit.networks) == 2
    assert caught.value.fit.history.steps.tolist() == [2]


def flattening(score, x, generator=None):
    return score(x.reshape(-1, 2)).square().sum(-1)


def doubling(score, x, generator=None):
    return score(torch.cat([x, x])).square().sum(-1)[: len(x)]


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    ("network", "objective", "n_seeds", "error", "message"),
    [
        (ScoreMLP(4), flattening, 2, ValueError, "Keep the batch dimensions"),
        (ScoreMLP(4), doubling, 2, ValueError, "Keep the batch dimensions"),
        (Own(), Sliced(), 2, TypeError, "no redrawn"),
        (ScoreMLP(4), Sliced(), 0, ValueError, "n_seeds"),
        (ScoreMLP(4), Sliced(), 2.0, TypeError, "n_seeds"),
    ],
)
def test_bad_input_is_refused(network, objective, n_seeds, error, message):
    with pytest.raises(error, match=message):
        fit(network, objective, P, n_steps=2, n_seeds=n_seeds, generator=generator(), progress=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    result = fit(ScoreMLP(8), Sliced(), P, n_steps=20, n_seeds=3, device="cuda",
                 generator=torch.Generator("cuda").manual_seed(1), progress=False)  # fmt: skip
    assert {next(network.parameters()).device.type for network in result.networks} == {"cuda"}
