"""A training that was stopped, saved, loaded and gone on with is one that was not stopped, to the last bit."""

import functools
import inspect
import math

import numpy as np
import pytest
import torch
from torch import nn

from toylab import objectives
from toylab.densities import Mixture, ring, two_modes
from toylab.networks import EnergyMLP, NoiseConditionalMLP, ScoreMLP, VelocityMLP
from toylab.paths import Linear
from toylab.samplers import langevin_step
from toylab.score import at
from toylab.sde import VP
from toylab.training import constant, fit, load

P = two_modes()
CLASSES = Mixture([0.4, 0.6], [P, ring()])
BOX = (-12.0, 12.0, -12.0, 12.0)
LEVELS = torch.tensor([1.0, 0.5])
step_of_chains = functools.partial(langevin_step, step_size=0.1)


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def score():
    return ScoreMLP(4, 1, generator=g())


def of_levels(n_classes=0):
    return NoiseConditionalMLP(4, 1, n_classes=n_classes, generator=g())


def energy():
    return EnergyMLP(4, 1, generator=g())


def with_chains():
    return energy().with_chains(torch.zeros(3, 2))


class Normalised(nn.Module):
    """With running means, which training changes besides its weights."""

    def __init__(self):
        super().__init__()
        own = g()
        self.first, self.norm, self.last = nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=own)

    def redrawn(self, generator):
        return Normalised()

    def forward(self, x):
        return self.last(self.norm(self.first(x.reshape(-1, 2)))).view(x.shape)


def plain(score, x, generator=None):
    return (score(x) + x).square().sum(-1)


O = objectives  # noqa: E741
# objective, network and data of every kind
KINDS = {
    "Explicit": (O.Explicit(P.score), score, P),
    "Implicit": (O.Implicit(), score, P),
    "BoundedImplicit": (O.BoundedImplicit(O.WallDistance(BOX)), score, P),
    "Sliced": (O.Sliced(), score, P),
    "FiniteDifferenceSliced": (O.FiniteDifferenceSliced(), score, P),
    "Denoising": (O.Denoising(0.5), score, P),
    "NoisePrediction": (O.NoisePrediction(0.5), score, P),
    "NoiseConditional": (O.NoiseConditional(LEVELS), of_levels, P),
    "NoiseConditionalExplicit": (O.NoiseConditionalExplicit(P.score, LEVELS), of_levels, P),
    "MultiscaleDenoising": (O.MultiscaleDenoising(LEVELS, 0.5), energy, P),
    "ClassConditional": (
        O.ClassConditional(O.NoiseConditional(LEVELS), CLASSES), lambda: of_levels(2), CLASSES,
    ),
    "continuous levels": (O.NoiseConditional(O.LogUniform(0.1, 1.0)), of_levels, P),
    "weighted": (O.NoiseConditional(O.UniformTimes(VP()), O.LikelihoodWeighting(VP())), of_levels, P),
    "FlowMatching": (O.FlowMatching(Linear()), lambda: VelocityMLP(4, 1, generator=g()), P),
    "MaximumLikelihood": (O.MaximumLikelihood(BOX, 4), energy, P),
    "ContrastiveDivergence": (O.ContrastiveDivergence(step_of_chains), energy, P),
    "PersistentContrastiveDivergence": (O.PersistentContrastiveDivergence(step_of_chains), with_chains, P),
    "NoiseContrastive": (O.NoiseContrastive(P), energy, P),
    "a function": (plain, score, P),
    "running means": (O.Denoising(0.5), Normalised, P),
    "points": (O.Denoising(0.5), score, P.sample((40,), generator=g())),
}  # fmt: skip


def run(kind, n_steps=12, **settings):
    objective, network, data = KINDS[kind]
    settings = {"batch_size": 4, "report_every": 5, "generator": g(7), "progress": False} | settings
    return fit(network(), objective, data, n_steps=n_steps, **settings)


def stop_after(n_steps):
    return lambda step, loss, network: step == n_steps


def assert_same(one, other):
    """Weights, buffers and histories, but for the seconds."""
    for a, b in zip(one.networks, other.networks, strict=True):
        for p, q in zip([*a.parameters(), *a.buffers()], [*b.parameters(), *b.buffers()], strict=True):
            assert torch.equal(p, q)
    for a, b in zip(one.histories, other.histories, strict=True):
        for name in ("steps", "loss", "fisher_divergence", "held_out"):
            torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0, equal_nan=True)


def test_every_objective_is_tried():
    found = {
        name
        for name, kind in vars(objectives).items()
        if inspect.isclass(kind) and {"score", "generator"} <= set(inspect.signature(kind.__call__).parameters)
    }
    assert found - {"Objective"} <= set(KINDS)


@pytest.mark.parametrize("n_seeds", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_saved_loaded_and_gone_on_with(kind, n_seeds, tmp_path):
    whole = run(kind, n_seeds=n_seeds)
    part = run(kind, n_seeds=n_seeds, callback=stop_after(7))
    assert part.history.steps.tolist() == [5, 7]
    part.save(tmp_path / "training.pt", state=True)
    assert_same(run(kind, n_seeds=n_seeds, generator=g(99), resume=tmp_path / "training.pt"), whole)


@pytest.mark.parametrize("at", [1, 5, 11, 12])
def test_wherever_it_was_stopped_and_again(at):
    """At a report and not, before the first and at the end; from the fit itself, which is left as it was."""
    whole = run("Sliced", held_out=lambda s: float(s(torch.ones(2)).sum()))
    for settings in ({}, {"callback": stop_after(at)}):
        part = run("Sliced", held_out=lambda s: float(s(torch.ones(2)).sum()), callback=stop_after(at))
        again = run("Sliced", held_out=lambda s: float(s(torch.ones(2)).sum()), resume=part, **settings)
        assert_same(run("Sliced", held_out=lambda s: float(s(torch.ones(2)).sum()), resume=again), whole)
    assert whole.history.seconds.diff().min() >= 0


def test_a_finished_training_is_gone_on_with_at_a_constant_rate_and_with_a_warning_at_another():
    whole, part = (run("Denoising", n_steps, rate=constant) for n_steps in (12, 7))
    assert_same(run("Denoising", 12, rate=constant, resume=part), whole)
    part = run("Denoising", 7)
    with pytest.warns(RuntimeWarning, match=r"the first 7 steps were taken with other learning rates"):
        longer = run("Denoising", 12, resume=part)
    assert longer.history.steps.tolist() == [5, 10, 12]
    assert part.history.steps.tolist() == [5, 7]


def test_time_is_counted_on():
    part = run("Denoising", callback=stop_after(7))
    again = run("Denoising", resume=part)
    assert float(again.history.seconds[0]) == float(part.history.seconds[0])
    assert float(again.history.seconds[1]) > float(part.state.seconds)


OTHERS = {
    "objective": ({"objective": O.Denoising(0.6)}, r"objective is Denoising\(sigma=0.6.*with Denoising\(sigma=0.5"),
    "network": ({"network": ScoreMLP(5, 1, generator=g())}, "network is a ScoreMLP, and resume holds a training with"),
    "scale": ({"network": ScoreMLP(4, 1, data_std=3.0, generator=g())}, "network is a ScoreMLP"),
    "data": ({"data": P.shifted((0.1, 0.0))}, "data is "),
    "points": ({"data": P.sample((9,), generator=g())}, r"data is points \[9, 2\]"),
    "batch_size": ({"batch_size": 5}, "batch_size is 5, and resume holds a training with 4: give the same"),
    "average": ({"average": 0.5}, "average is 0.5"),
    "n_seeds": ({"n_seeds": 2}, "n_seeds is 2"),
    "report_every": ({"report_every": 6}, "report_every is 6"),
    "generator": ({"generator": None}, "generator is torch's global stream, and resume holds a training with a gener"),
    "n_steps": ({"n_steps": 6}, "n_steps is 6, and resume holds a training of 7 steps"),
}


@pytest.mark.parametrize(("other", "message"), OTHERS.values(), ids=OTHERS)
def test_another_training_is_refused(other, message):
    objective, network, data = KINDS["Denoising"]
    part = run("Denoising", callback=stop_after(7))
    settings = {"network": network(), "objective": objective, "data": data, "n_steps": 12, "batch_size": 4,
                "report_every": 5, "generator": g(7), "progress": False}  # fmt: skip
    fit(resume=part, **settings)
    with pytest.raises(ValueError, match=message):
        fit(resume=part, **settings | other)


def test_numbers_are_known_by_their_values():
    part = run("Denoising", callback=stop_after(7), average=0)
    settings = {"n_steps": 12, "batch_size": 4, "report_every": 5, "generator": g(7), "progress": False}
    for average, sigma in ((0.0, np.float32(0.5)), (np.float64(0.0), np.float64(0.5))):
        fit(score(), O.Denoising(sigma), P, resume=part, average=average, **settings)
    with pytest.raises(ValueError, match="objective is Denoising"):
        fit(score(), O.Denoising(np.float32(0.25)), P, resume=part, average=0, **settings)


def test_functions_are_known_by_their_names_and_methods_by_what_they_belong_to():
    part = run("Explicit", callback=stop_after(7))
    settings = {"n_steps": 12, "batch_size": 4, "report_every": 5, "generator": g(7), "progress": False}
    fit(score(), O.Explicit(two_modes().score), two_modes(), resume=part, **settings)
    for target in (P.noised(0.1).score, at(P.score, 0.1), lambda x: -x):
        with pytest.raises(ValueError, match="objective is Explicit"):
            fit(score(), O.Explicit(target), P, resume=part, **settings)


def test_files(tmp_path):
    part = run("Denoising", callback=stop_after(7))
    part.save(tmp_path / "network.pt")
    with pytest.raises(ValueError, match=r"holds a network alone: .* by fit.save\(path, state=True"):
        run("Denoising", resume=tmp_path / "network.pt")
    part.save(tmp_path / "both.pt", state=True)
    x = torch.ones(3, 2)
    assert all(torch.equal(load(tmp_path / name)(x), part.network(x)) for name in ("network.pt", "both.pt"))
    assert {path.name for path in tmp_path.iterdir()} == {"network.pt", "both.pt"}
    content = torch.load(tmp_path / "both.pt", weights_only=True)
    del content["training"]["rows"]
    torch.save(content, tmp_path / "damaged.pt")
    with pytest.raises(ValueError, match="damaged toylab training: .*rows"):
        run("Denoising", resume=tmp_path / "damaged.pt")
    with pytest.raises(FileNotFoundError):
        run("Denoising", resume=tmp_path / "nothing.pt")
    with pytest.raises(TypeError, match="resume is a int: give what fit returned, or the file"):
        run("Denoising", resume=3)

    own = run("running means", callback=stop_after(7))
    with pytest.raises(TypeError, match="state_dict"):
        own.save(tmp_path / "own.pt")
    own.save(tmp_path / "own.pt", state=True)
    with pytest.raises(ValueError, match="the training of a network that is none of toylab.networks"):
        load(tmp_path / "own.pt")
    with pytest.raises(ValueError, match="holds 2 networks, and load reads one"):
        run("Denoising", n_seeds=2).save(tmp_path / "two.pt")


def test_a_training_that_diverged_has_no_state(tmp_path):
    def diverging(score, x, generator=None):
        return plain(score, x) * (math.nan if len(x) == 4 and bool((x.sum() != 0) & (calls.append(0) or len(calls) > 7))
                                  else 1.0)  # fmt: skip

    calls = []
    with pytest.raises(FloatingPointError) as caught:
        fit(score(), diverging, P, n_steps=12, batch_size=4, report_every=5, generator=g(), progress=False)
    assert caught.value.fit.state is None
    with pytest.raises(ValueError, match="resume has no state, as a training that diverged"):
        run("a function", resume=caught.value.fit)
    with pytest.raises(ValueError, match="the fit has no state"):
        caught.value.fit.save(tmp_path / "a.pt", state=True)


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_a_callback_sees_every_step(n_seeds):
    """The losses whose means are the history, and the averaged network, the last of which is returned."""
    seen = []

    def callback(step, loss, network):
        networks = (network,) if n_seeds == 1 else network
        seen.append((step, loss, [float(s(torch.ones(2)).detach()[0]) for s in networks]))
        return 1  # is not True

    result = run("Denoising", n_seeds=n_seeds, callback=callback)
    assert_same(result, run("Denoising", n_seeds=n_seeds))
    assert [step for step, _, _ in seen] == list(range(1, 13))
    losses = torch.stack([loss for _, loss, _ in seen]).view(12, -1)
    for k, (network, history) in enumerate(zip(result.networks, result.histories, strict=True)):
        means = [float(part[:, k].mean()) for part in (losses[:5], losses[5:10], losses[10:])]
        assert history.loss.tolist() == pytest.approx(means, rel=1e-6)
        assert seen[-1][2][k] == pytest.approx(float(network(torch.ones(2))[0]), rel=1e-6)
        assert len({values[k] for _, _, values in seen}) == 12


def test_an_error_of_a_callback_is_not_caught():
    def callback(step, loss, network):
        raise LookupError(f"at step {step}")

    with pytest.raises(LookupError, match="at step 1"):
        run("Denoising", callback=callback)
    with pytest.raises(TypeError, match="callback is a function that does not take 3 arguments"):
        run("Denoising", callback=lambda step: None)
