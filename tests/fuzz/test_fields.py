"""A field of the library's of the wrong kind is told before any work, whoever asks for it."""

import functools
import inspect

import pytest
import torch

from tests.fuzz.calls import P, calls, generator, levels_network, network, points
from toylab import networks, paths, samplers, training
from toylab.densities import Density
from toylab.objectives import (
    Denoising,
    FlowMatching,
    Implicit,
    LogUniform,
    MultiscaleDenoising,
    NoiseConditional,
    NoisePrediction,
    Sliced,
)
from toylab.samplers.ode_steps import Velocity
from toylab.samplers.stochastic_gradient import BatchScore
from toylab.score import NoiseConditionalScore, Score

velocity_network = functools.partial(networks.VelocityMLP, 8, 1)
exact_velocity = functools.partial(paths.Linear().velocity, P)

OF_X = [network, lambda: network().forward, functools.partial(networks.EnergyMLP, 8, 1)]
OF_LEVELS = [levels_network, functools.partial(networks.NoiseConditionalEnergyMLP, 8, 1)]
OF_TIMES = [velocity_network, lambda: velocity_network().forward, lambda: exact_velocity]
OF_BATCHES = [lambda: samplers.kernel_score(0.5)]
WRONG = {
    Score: [*OF_LEVELS, *OF_TIMES, *OF_BATCHES],
    NoiseConditionalScore: [*OF_X, *OF_TIMES, *OF_BATCHES],
    paths.VelocityField: [*OF_X, *OF_LEVELS, lambda: P.score, *OF_BATCHES],
    Velocity: [*OF_X, *OF_LEVELS, lambda: P.score, *OF_BATCHES],
    BatchScore: [*OF_X, *OF_LEVELS, *OF_TIMES, lambda: P.score],
}


def fields():
    """(call, name of the argument, its annotation) of every argument that is to be a field."""
    for call in calls():
        for name, parameter in inspect.signature(call.function).parameters.items():
            if (
                parameter.annotation in WRONG and name != "coupling"
            ):  # which has two clouds and looks like a batch score
                yield pytest.param(call, name, WRONG[parameter.annotation], id=f"{call.name}-{name}")


@pytest.mark.parametrize(("call", "name", "wrong"), list(fields()))
def test_a_field_of_another_kind_is_told_before_any_work(call, name, wrong):
    for make in wrong:
        arguments = {key: make() for key, make in call.arguments.items()} | {name: make()}
        with pytest.raises(TypeError) as told:
            call.function(**arguments)
        text = str(told.value)
        assert text.startswith(f"{name} is ") and ": " in text and text.count(". ") == 0, text


OBJECTIVES = {
    "x": [
        Sliced(),
        Denoising(0.5),
        Implicit(),
        NoisePrediction(0.5),
        MultiscaleDenoising(torch.tensor([1.0, 0.5]), 0.5),
    ],
    "sigma": [NoiseConditional(torch.tensor([1.0, 0.5])), NoiseConditional(LogUniform(0.1, 1.0))],
    "t": [FlowMatching(paths.Linear())],
}
NETWORKS = {"x": network, "sigma": levels_network, "t": velocity_network}


@pytest.mark.parametrize("of", OBJECTIVES)
@pytest.mark.parametrize("given", NETWORKS)
def test_a_network_of_another_kind_is_not_trained(of, given):
    """The message names a network for the objective, and an objective for the network."""
    for objective in OBJECTIVES[of]:
        settings = {"n_steps": 1, "batch_size": 4, "generator": generator(), "progress": False}
        if of == given:
            training.fit(NETWORKS[given](), objective, P, **settings)
            continue
        with pytest.raises(TypeError) as told:
            training.fit(NETWORKS[given](), objective, P, **settings)
        named = {"x": "at one noise level", "sigma": "NoiseConditional", "t": "FlowMatching"}[given]
        assert f"{type(NETWORKS[of]()).__name__}()" in str(told.value) and named in str(told.value)


class Halved(networks.VelocityMLP):
    """A user's velocity made from the library's."""

    def forward(self, x, t):
        return 0.5 * super().forward(x, t)


class Law(Density):
    """A user's density."""

    def log_prob(self, x, sigma=0.0):
        return -0.5 * x.square().sum(-1) / (1 + sigma**2)

    def sample(self, sample_shape=(), *, generator=None):
        return torch.zeros(*sample_shape, 2)


class Written(Law):
    """One whose score is written out."""

    def score(self, x, sigma=0.0):
        return -x / (1 + sigma**2)


@pytest.mark.parametrize(
    "field", [Halved(8, 1), Halved(8, 1).forward, functools.partial(Halved(8, 1))], ids=lambda f: type(f).__name__
)
def test_a_velocity_made_from_one_of_the_library_is_known(field):
    with pytest.raises(TypeError, match="whose second argument is a time t and not a noise level sigma"):
        samplers.denoised(field, points(), 0.5)


@pytest.mark.parametrize("law", [Law(), Written()], ids=lambda law: type(law).__name__)
def test_the_score_of_a_density_of_the_user_is_known(law):
    with pytest.raises(TypeError, match=r"velocity is \w+\.score, whose second argument is a noise level sigma"):
        samplers.flow(law.score, points(), torch.linspace(0, 1, 3), progress=False)


def test_functions_of_the_user_may_name_their_arguments_as_they_like():
    """As may those around one of the library's, which are the user's own."""

    @functools.wraps(P.score)
    def around(x, level):
        return P.score(x, level)

    for score in (lambda x, t: P.score(x, t), lambda x, s: P.score(x, s), around):
        torch.testing.assert_close(samplers.denoised(score, points(), 0.5), samplers.denoised(P.score, points(), 0.5))
    for velocity in (lambda x, sigma: -x, lambda x, level: -x):
        samplers.flow(velocity, points(), torch.linspace(0, 1, 3), progress=False)
