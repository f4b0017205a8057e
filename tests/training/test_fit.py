"""Training: it reaches the truth, its loop is the one in the textbook, and it says what went wrong."""

import copy
import itertools
import math

import pytest
import torch

import toylab
from toylab.densities import (
    Checkerboard,
    Circle,
    Mixture,
    Points,
    Square,
    StudentTMixture,
    TwoMoons,
    isotropic,
    two_modes,
)
from toylab.metrics import fisher_divergence
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import (
    BoundedImplicit,
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    Implicit,
    NoiseConditional,
    Sliced,
    WallDistance,
)
from toylab.schedules import geometric
from toylab.score import at
from toylab.training import Spread, TrainingDiverged, WeightAverage, constant, cosine, fit
from toylab.training.fit import _schedule
from toylab.training.piecewise_linear import is_piecewise_linear

NORMAL = isotropic([[0.0, 0.0]], 1.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(seed=0):
    return ScoreMLP(8, generator=generator(seed))


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("objective", "sigma"),
    [(Sliced(), 0.0), (Denoising(0.5), 0.5)],
    ids=["sliced", "denoising"],
)
def test_learns_two_modes(objective, sigma):
    """Half-Fisher divergence .002 to .003 was measured for this budget, and 1.0 is that of no field at all."""
    result = fit(ScoreMLP(generator=generator()), objective, two_modes(), generator=generator(1), progress=False)
    assert fisher_divergence(result.network, two_modes(), sigma) < 0.005
    assert result.history.steps.tolist() == list(range(100, 1001, 100))


def test_learns_two_modes_at_every_noise_level():
    """Below 5 % of what no field has, at each level; at most 1.5 % was measured for three times the budget."""
    network = NoiseConditionalMLP(generator=generator())
    objective = NoiseConditional(geometric(10.0, 0.3, 10), antithetic=True)
    network = fit(network, objective, two_modes(), n_steps=1000, generator=generator(1), progress=False).network
    for sigma in objective.sigmas.tolist():
        nothing = fisher_divergence(torch.zeros_like, two_modes(), sigma)
        assert fisher_divergence(at(network, sigma), two_modes(), sigma) < 0.05 * nothing


def test_the_loop_is_adam_with_a_rate_and_an_average():
    """Against a loop written out by hand, in float64; one single point of data leaves nothing to chance."""
    start, n_steps = small().double(), 40
    point = torch.tensor([[0.7, -1.2]], dtype=torch.float64)
    objective = Explicit(torch.neg)
    for average in (0.0, 0.6):
        result = fit(
            start,
            objective,
            point,
            n_steps=n_steps,
            batch_size=3,
            learning_rate=0.02,
            rate=cosine,
            average=average,
            report_every=15,
            generator=generator(),
            progress=False,
        )
        network = copy.deepcopy(start)
        optimiser = torch.optim.Adam(network.parameters())
        expected, losses = [p.detach().clone() for p in network.parameters()], []
        for k in range(n_steps):
            optimiser.param_groups[0]["lr"] = 0.02 * 0.5 * (1 + math.cos(math.pi * k / n_steps))
            loss = 0.5 * (network(point) + point).square().sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            d = min(average, k / (k + 10))
            expected = [d * e + (1 - d) * p.detach() for e, p in zip(expected, network.parameters(), strict=True)]
        for p, e in zip(result.network.parameters(), expected, strict=True):
            torch.testing.assert_close(p, e, rtol=1e-8, atol=1e-8)
        # the mean loss since the last report; the last one is short
        assert result.history.steps.tolist() == [15, 30, 40]
        means = [sum(part) / len(part) for part in (losses[:15], losses[15:30], losses[30:])]
        assert result.history.loss.tolist() == pytest.approx(means, rel=1e-6)


def test_history_reads_as_a_fisher_divergence():
    result = fit(small(), Sliced(), two_modes(), n_steps=20, report_every=5, generator=generator(), progress=False)
    history = result.history
    torch.testing.assert_close(history.fisher_divergence, history.loss + Sliced().offset(two_modes()))
    assert history.steps.tolist() == [5, 10, 15, 20]
    assert history.seconds.shape == (4,)
    assert (history.seconds.diff() > 0).all()


@pytest.mark.parametrize(
    ("objective", "data"),
    [
        (Sliced(), torch.ones(5, 2)),  # a set of points
        (lambda score, x, generator=None: score(x).square().sum(-1), two_modes()),  # an objective without offset
        (Sliced(), StudentTMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]], [1.0])),  # tails too far for a grid
    ],
)
def test_history_without_a_truth(objective, data):
    history = fit(small(), objective, data, n_steps=3, generator=generator(), progress=False).history
    assert history.loss.isfinite().all()
    assert history.fisher_divergence.isnan().all()


def test_held_out_is_measured_on_the_averaged_network_at_each_report():
    result = fit(
        small(),
        Sliced(),
        NORMAL,
        n_steps=20,
        report_every=8,
        held_out=lambda s: fisher_divergence(s, NORMAL),
        generator=generator(),
        progress=False,
    )
    assert result.history.held_out.shape == (3,)
    assert float(result.history.held_out[-1]) == pytest.approx(fisher_divergence(result.network, NORMAL), rel=1e-12)
    assert result.history.held_out[0] > result.history.held_out[-1]
    without = fit(small(), Sliced(), NORMAL, n_steps=20, report_every=8, generator=generator(), progress=False)
    assert same_weights(without.network, result.network)  # measuring changes nothing
    assert without.history.held_out.isnan().all()


@pytest.mark.parametrize("density", [Circle(2.0), Points([[0.0, 1.0], [1.0, 0.0]]), TwoMoons()])
@pytest.mark.parametrize("objective", [Implicit(), Sliced(), FiniteDifferenceSliced()])
def test_a_clean_curve_is_refused_by_objectives_that_need_its_score(density, objective):
    with pytest.raises(ValueError, match=r"its loss would fall without bound.*Denoising"):
        fit(small(), objective, density, n_steps=2, generator=generator(), progress=False)


def test_a_clean_curve_serves_denoising():
    assert fit(small(), Denoising(0.5), Circle(2.0), n_steps=2, generator=generator(), progress=False)
    with pytest.raises(ValueError, match="sigma > 0"):
        fit(small(), Explicit(Circle(2.0).score), Circle(2.0), n_steps=2, generator=generator(), progress=False)


def double_backward(score, x, generator=None):
    """A reader's own implicit loss."""
    x = x.requires_grad_()
    s = score(x)
    slope = sum(torch.autograd.grad(s[:, i].sum(), x, create_graph=True)[0][:, i] for i in (0, 1))
    return slope + 0.5 * s.square().sum(-1)


class Plain(torch.nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Linear(2, 4), activation, torch.nn.Linear(4, 2))

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("activation", [torch.relu, torch.nn.functional.leaky_relu])
@pytest.mark.parametrize("objective", [Implicit(), Sliced(), Sliced(variance_reduced=False), double_backward])
def test_a_network_with_kinks_is_warned_of_where_it_is_differentiated(activation, objective):
    network = ScoreMLP(4, activation=activation, generator=generator())
    with pytest.warns(RuntimeWarning, match="piecewise linear") as caught:
        fit(network, objective, NORMAL, n_steps=1, generator=generator(), progress=False)
    (told,) = (one for one in caught if one.category is toylab.ToylabWarning)  # torch warns of its own, the first time
    assert told.filename == __file__
    with pytest.warns(RuntimeWarning, match="piecewise linear"):
        fit(Plain(torch.nn.ReLU()), objective, NORMAL, n_steps=1, generator=generator(), progress=False)


def test_an_energy_with_kinks_is_warned_of_under_every_objective():
    with pytest.warns(RuntimeWarning, match="is the gradient of one"):
        fit(EnergyMLP(4, activation=torch.relu), Explicit(torch.neg), NORMAL, n_steps=1, progress=False,
            generator=generator())  # fmt: skip


CUT = NORMAL.truncated((0.0, math.inf, -1.0, 2.0))
HALF_CUT = Mixture([0.5, 0.5], [NORMAL, CUT.scaled(0.5)])
WALLED = [
    CUT, CUT.shifted((3.0, 0.0)).rotated(0.5), Square(), Checkerboard().scaled(2.0), HALF_CUT, HALF_CUT.rotated(0.5),
    Mixture([0.2, 0.8], [NORMAL, HALF_CUT]), Mixture([0.5, 0.5], [Square().noised(0.2), Square()]),
    NORMAL.noised(0.3).truncated((-1.0, math.inf, -math.inf, math.inf)),
]  # fmt: skip


@pytest.mark.parametrize("objective", [Implicit(), Sliced(), FiniteDifferenceSliced()])
@pytest.mark.parametrize("data", WALLED)
def test_integration_by_parts_at_a_wall_is_warned_of(objective, data):
    network = ScoreMLP(4, generator=generator()).for_data(data)
    with pytest.warns(toylab.ToylabWarning, match=r"Use BoundedImplicit\(WallDistance\(box\)\)") as told:
        fit(network, objective, data, n_steps=1, generator=generator(), progress=False)
    assert [one.filename for one in told if one.category is toylab.ToylabWarning] == [__file__]


@pytest.mark.parametrize(
    ("objective", "data"),
    [
        (BoundedImplicit(WallDistance(CUT.box)), CUT),
        (Denoising(0.5), CUT),
        (Implicit(), CUT.noised(0.5)),
        (Sliced(), Square().noised(0.3).rotated(0.5)),
        (Sliced(), HALF_CUT.noised(0.3)),
        (Implicit(), Mixture([0.5, 0.5], [NORMAL, Square().noised(0.3)])),
        (Implicit(), CUT.sample((100,), generator=generator())),
        (Implicit(), NORMAL.shifted((1.0, 0.0))),
    ],
)
def test_no_warning_of_walls_that_do_no_harm_or_are_not_known(objective, data):
    """Warnings are errors here."""
    network = ScoreMLP(4, generator=generator()).for_data(data)
    fit(network, objective, data, n_steps=1, generator=generator(), progress=False)


@pytest.mark.parametrize("activation", [torch.tanh, torch.nn.functional.silu, torch.nn.functional.softplus])
def test_no_warning_of_a_smooth_network(activation):
    """Warnings are errors here."""
    fit(ScoreMLP(4, activation=activation), Implicit(), NORMAL, n_steps=1, generator=generator(), progress=False)
    fit(Plain(torch.nn.SiLU()), Sliced(), NORMAL, n_steps=1, generator=generator(), progress=False)


@pytest.mark.parametrize("objective", [Explicit(torch.neg), Denoising(0.5), FiniteDifferenceSliced()])
def test_no_warning_of_kinks_where_the_network_is_not_differentiated(objective):
    fit(ScoreMLP(4, activation=torch.relu), objective, NORMAL, n_steps=1, generator=generator(), progress=False)


def test_the_network_given_is_left_alone():
    network = small()
    given = copy.deepcopy(network)
    result = fit(network, Sliced(), NORMAL, n_steps=5, generator=generator(), progress=False)
    assert same_weights(network, given)
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert not same_weights(result.network, given)
    assert not any(p.requires_grad for p in result.network.parameters())


@pytest.mark.parametrize("data", [two_modes(), torch.randn(50, 2, generator=torch.Generator().manual_seed(3))])
def test_same_seed_same_numbers_and_global_stream_untouched(data):
    def run(seed):
        return fit(small(), Sliced(), data, n_steps=5, generator=generator(seed), progress=False)

    before = torch.get_rng_state()
    one, same, other = run(1), run(1), run(2)
    assert same_weights(one.network, same.network)
    assert torch.equal(one.history.loss, same.history.loss)
    assert not same_weights(one.network, other.network)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_stream_is_followed():
    def run():
        return fit(small(), Sliced(), two_modes(), n_steps=3, progress=False).network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        first, second = run(), run()
        torch.manual_seed(11)
        assert same_weights(run(), first)
        assert not same_weights(first, second)


def test_a_set_of_points_is_drawn_from_evenly():
    """Batches hold only its points, in the network's dtype; counts of 5,000 draws of 10 points: sd 21 of 500."""
    data, seen = torch.arange(20, dtype=torch.float64).view(10, 2), []

    def objective(score, x, generator=None):
        seen.append(x)
        return score(x).square().sum(-1)

    fit(small(), objective, data, n_steps=50, batch_size=100, generator=generator(), progress=False)
    drawn = torch.cat([x for x in seen if len(x) == 100])
    assert drawn.dtype == torch.float32
    assert len(drawn) == 5000
    assert torch.equal(drawn[:, 1], drawn[:, 0] + 1)
    counts = torch.bincount((drawn[:, 0] / 2).long(), minlength=10)
    assert (counts - 500).abs().max() < 5 * math.sqrt(5000 * 0.1 * 0.9)


def test_a_density_gives_fresh_points_in_the_dtype_of_the_network():
    seen = []

    def objective(score, x, generator=None):
        seen.append(x)
        return score(x).square().sum(-1)

    fit(small().double(), objective, two_modes(), n_steps=3, batch_size=7, generator=generator(), progress=False)
    batches = [x for x in seen if len(x) == 7]
    assert len(batches) == 3
    assert all(x.dtype == torch.float64 for x in batches)
    assert not torch.equal(batches[0], batches[1])


def failing(step, failure):
    """An objective that does ``failure`` in the given step; it is tried once, on two points, before the first."""
    calls = itertools.count()

    def objective(score, x, generator=None):
        if next(calls) == step:
            return failure(x)
        return (score(x) + x).square().sum(-1)

    return objective


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_is_an_error_that_keeps_the_last_finite_result(value):
    def run(n_steps, objective):
        return fit(
            small(),
            objective,
            NORMAL,
            n_steps=n_steps,
            rate=constant,
            report_every=5,
            learning_rate=3e-3,
            generator=generator(1),
            progress=False,
        )

    with pytest.raises(TrainingDiverged, match=r"at step 12: .* Lower learning_rate \(now 0.003\)") as caught:
        run(20, failing(12, lambda x: torch.full_like(x[:, 0], value, requires_grad=True)))
    assert caught.value.fit.history.steps.tolist() == [5, 10]
    assert same_weights(caught.value.fit.network, run(10, failing(99, None)).network)


def test_divergence_before_the_first_report():
    objective = failing(2, lambda x: torch.full_like(x[:, 0], math.nan, requires_grad=True))
    with pytest.raises(FloatingPointError, match="at step 2") as caught:
        fit(small(), objective, NORMAL, n_steps=5, generator=generator(), progress=False)
    assert caught.value.fit is None


@pytest.mark.parametrize("done", [0, 1, 7])
def test_ctrl_c_returns_what_is_learned(done):
    def interrupt(x):
        raise KeyboardInterrupt

    def run(n_steps, objective):
        return fit(
            small(),
            objective,
            NORMAL,
            n_steps=n_steps,
            rate=constant,
            report_every=3,
            generator=generator(1),
            progress=False,
        )

    with pytest.warns(RuntimeWarning, match=f"interrupted after {done} steps") as caught:
        result = run(50, failing(done + 1, interrupt))
    assert caught[0].filename == __file__
    if done == 0:
        assert same_weights(result.network, small())
        assert result.history.steps.tolist() == []
        return
    whole = run(done, failing(99, None))
    assert same_weights(result.network, whole.network)
    assert torch.equal(result.history.steps, whole.history.steps)
    assert torch.equal(result.history.loss, whole.history.loss)


@pytest.mark.parametrize(("bad", "error"), [(-1.0, ValueError), (math.nan, ValueError), ("fast", TypeError)])
def test_a_rate_that_goes_wrong_late_is_told_before_the_first_step(bad, error):
    objective = failing(1, lambda x: pytest.fail("a step was taken"))
    with pytest.raises(error, match=r"rate\(0.9\)"):
        fit(small(), objective, NORMAL, n_steps=10, rate=lambda t: bad if t == 0.9 else 1.0, generator=generator(),
            progress=False)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rates_and_shares_made_beforehand_are_those_of_each_step(dtype):
    """On the CPU a rate keeps all of its digits, and a share those that an update of the average gives it."""
    averaged, rates = WeightAverage(small().to(dtype), 0.9), [1 / (k + 3) for k in range(200)]
    schedule = _schedule(averaged, rates)
    assert schedule[:, 0].tolist() == rates
    for share in schedule[:, 1].to(dtype):
        assert torch.equal(share, averaged._share(averaged.n_steps))
        averaged.update()


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_networks_hold_their_own_memory_alone(n_seeds):
    """In training all weights lie in one piece; a file of what is returned holds no more than it."""
    result = fit(small(), Sliced(), NORMAL, n_steps=3, n_seeds=n_seeds, generator=generator(), progress=False)
    for network in result.networks:
        assert all(p.untyped_storage().nbytes() == p.numel() * p.element_size() for p in network.parameters())


def test_quiet_without_progress(capfd):
    fit(small(), Sliced(), NORMAL, n_steps=3, generator=generator(), progress=False)
    assert capfd.readouterr() == ("", "")


class Wide(torch.nn.Module):
    """Maps to ``n`` numbers a point."""

    def __init__(self, n):
        super().__init__()
        self.layer = torch.nn.Linear(2, n)

    def forward(self, x):
        return self.layer(x)


BAD = [
    ({"network": two_modes().score}, TypeError, "network has nothing to train"),
    ({"network": torch.nn.Tanh()}, TypeError, "network has nothing to train"),
    ({"network": ScoreMLP(4).requires_grad_(False)}, TypeError, "network has nothing to train"),
    ({"network": ScoreMLP(4).to("meta")}, ValueError, "network is on the device meta"),
    ({"network": ScoreMLP(4).to("meta"), "device": "cpu"}, ValueError, "network is on the device meta"),
    ({"device": "meta"}, ValueError, "device is 'meta'"),
    ({"objective": "sliced"}, TypeError, "objective"),
    (
        {"objective": NoiseConditional(geometric(2.0, 1.0, 3))},
        TypeError,
        r"cannot be called as score\(x, sigma\): give a NoiseC.*, or take an objective at one noise level",
    ),
    (
        {"network": NoiseConditionalMLP(8, 2)},
        TypeError,
        r"as score\(x\): give a ScoreMLP\(\), .* or take an objective over",
    ),
    ({"objective": lambda score, x, generator=None: score(x).square().mean()}, ValueError, "one loss per point"),
    ({"objective": lambda score, x, generator=None: score(x)}, ValueError, "one loss per point"),
    ({"objective": lambda score, x, generator=None: 0.0}, ValueError, "gives float"),
    ({"network": Wide(3), "objective": Explicit(torch.neg)}, ValueError, "Give the last layer 2 outputs"),
    ({"network": Wide(3), "objective": Implicit()}, ValueError, "Give the last layer 2 outputs"),
    ({"network": Wide(1), "objective": Denoising(0.5)}, ValueError, "Give the last layer 2 outputs"),
    ({"held_out": 0.5}, TypeError, "held_out"),
    ({"data": torch.zeros(5)}, ValueError, "data has shape"),
    ({"data": torch.zeros(0, 2)}, ValueError, "data has shape"),
    ({"data": torch.zeros(5, 3)}, ValueError, "data has shape"),
    (
        {"data": torch.tensor([[0.0, 1.0], [math.nan, 0.0], [1.0, math.inf]])},
        ValueError,
        "2 points that are nan or inf, of 3",
    ),
    ({"data": torch.zeros(5, 2, dtype=torch.int64)}, TypeError, "data has dtype"),
    ({"data": [[0.0, 1.0]]}, TypeError, "data is a list"),
    ({"n_steps": 0}, ValueError, "n_steps"),
    ({"n_steps": 1.5}, TypeError, "n_steps"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"report_every": 0}, ValueError, "report_every"),
    ({"learning_rate": 0.0}, ValueError, "learning_rate"),
    ({"learning_rate": math.nan}, ValueError, "learning_rate"),
    ({"rate": 0.5}, TypeError, "rate"),
    ({"average": 1.0}, ValueError, "decay"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_refused(bad, error, message):
    arguments = {"network": small(), "objective": Sliced(), "data": NORMAL, "n_steps": 2, **bad}
    with pytest.raises(error, match=message):
        fit(**arguments, generator=generator(), progress=False)


def test_results_print_in_a_few_lines_and_show_the_same_in_a_notebook():
    result = fit(
        small(), Sliced(), NORMAL, n_steps=20, n_seeds=2, report_every=5, generator=generator(), progress=False
    )
    first, last = (f"{float(result.history.loss[i]):.4f}" for i in (0, -1))
    lines = repr(result).splitlines()
    assert lines[0] == "Fit"
    assert lines[1].split() == ["networks", "2", "ScoreMLP", "of", "114", "weights"]
    assert f"{first} at first, {last} at last" in lines[3]
    assert lines[-1].endswith(str(Spread(tuple(float(history.loss[-1]) for history in result.histories))))
    assert repr(result.history).splitlines()[1:] == lines[2:-1]
    assert "held out" not in repr(result)
    for shown in (result, result.history, result.spread(lambda s: 1.0)):
        assert shown._repr_html_().startswith("<table>")
    assert f"{first} at first, {last} at last" in result._repr_html_()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    result = fit(
        small(),
        Sliced(),
        two_modes(),
        n_steps=50,
        device="cuda",
        generator=torch.Generator("cuda").manual_seed(1),
        progress=False,
    )
    assert next(result.network.parameters()).device.type == "cuda"
    assert result.history.loss.isfinite().all()


@pytest.mark.parametrize(
    ("activation", "expected"),
    [(torch.relu, True), (torch.nn.Identity(), True), (torch.nn.functional.hardtanh, True),
     (torch.tanh, False), (torch.nn.functional.softplus, False), (torch.square, False)],
)  # fmt: skip
def test_kinks_are_told_by_the_second_derivative(activation, expected):
    """That of the identity is 0 without being asked of autograd: a network of it is linear, and learns no more."""
    assert is_piecewise_linear(ScoreMLP(4, activation=activation, generator=generator())) == expected
