"""A device that is not there, one without float64, two that do not go together: one sentence, never torch's error."""

import contextlib

import matplotlib

matplotlib.use("Agg")
import pytest
import torch
from torch.distributions import MultivariateNormal

from tests.devices.card import card
from tests.devices.on_card import on_card
from tests.fuzz.calls import Call, calls
from tests.fuzz.verdict import complaint
from toylab import cli
from toylab._internal import devices
from toylab.densities import Density, GaussianMixture, Points, from_torch, two_modes
from toylab.experiments import EXPERIMENTS
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.objectives import Sliced
from toylab.samplers import langevin, uniform_start
from toylab.training import fit

CALLS = calls()
NO_FLOAT64 = "Apple's GPU, which has no float64"
FIT = {"n_steps": 2, "progress": False}


class Logistic(Density):
    def __init__(self, scale):
        self.scale = scale

    def log_prob(self, x):
        z = x / self.scale
        return (-z - 2 * torch.log1p(torch.exp(-z))).sum(-1)


def movable(call: Call) -> list[str]:
    """The arguments of a call that live on a device."""
    with card():
        given = {name: make() for name, make in call.arguments.items()}
        plain = (tuple, list, dict, int, float)
        return [name for name, value in given.items()
                if not isinstance(value, plain) and on_card(value) is not value]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("call", [call for call in CALLS if call.arguments], ids=str)
def test_one_argument_elsewhere_is_told_or_moved(call, tmp_path, monkeypatch):
    """Each argument by itself on the card, and by itself on the CPU."""
    monkeypatch.chdir(tmp_path)
    with card():
        for name in movable(call):
            given = {key: make() for key, make in call.arguments.items()}
            assert complaint(call.function, given | {name: on_card(given[name])}, name, finite=False) is None
            given = {key: make() for key, make in call.arguments.items()}
            there = {key: value if key == name else on_card(value) for key, value in given.items()}
            assert complaint(on_card(call.function), there, name, finite=False) is None


@pytest.mark.slow
@pytest.mark.parametrize("call", [call for call in CALLS if call.arguments], ids=str)
def test_what_is_on_apples_gpu_is_told(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = movable(call)
    with card("mps"):
        for name in names:
            given = {key: make() for key, make in call.arguments.items()}
            with contextlib.suppress(TypeError, ValueError):  # there are no laws and no float64 there
                given[name] = on_card(given[name], "mps")
                if given[name] is not None:
                    assert complaint(call.function, given, name, finite=False) is None


WITH_A_DEVICE = [call for call in CALLS if "device" in call.arguments]
NO_DEVICES = ("cuda", "cuda:7", "tpu", "mps", "mps:0", torch.device("mps"), torch.device("cuda", 3), "meta", 5, "", 1.5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there CUDA is a device")
@pytest.mark.parametrize("call", WITH_A_DEVICE, ids=str)
def test_a_device_that_cannot_be_used_is_told(call):
    for device in NO_DEVICES:
        if device in ("meta", 1.5) and call.name.endswith(".to(device)"):  # as torch's own
            continue
        given = {name: make() for name, make in call.arguments.items()}
        with pytest.raises((ValueError, TypeError), match="device"):
            call.function(**given | {"device": device})


def test_the_only_card_has_the_number_0():
    with card(), pytest.raises(ValueError, match=r"device is 'cuda:7': torch cannot use it \(CUDA error: invalid dev"):
        uniform_start(3, (-1, 1, -1, 1), device="cuda:7")


APPLE = {
    "points": lambda: two_modes().score(torch.zeros(3, 2, device="mps")),
    "points, of a law of one's own": lambda: Logistic(2.0).score(torch.zeros(3, 2, device="mps")),
    "points, of chains": lambda: langevin(
        two_modes().score, torch.zeros(3, 2, device="mps"), step_size=0.1, n_steps=2, progress=False
    ),
    "points, of an objective": lambda: Sliced()(ScoreMLP(8), torch.zeros(3, 2, device="mps")),
    "points, of a network": lambda: ScoreMLP(8).to("mps")(torch.zeros(3, 2, device="mps")),
    "points, of a network of levels": lambda: NoiseConditionalMLP(8).to("mps")(torch.zeros(3, 2, device="mps"), 0.5),
    "a law": lambda: two_modes().to("mps"),
    "a law, by its name": lambda: Logistic(2.0).to(device=torch.device("mps")),
    "a law, like a tensor": lambda: two_modes().to(torch.zeros(2, device="mps")),
    "a law made of tensors": lambda: Points(torch.zeros(3, 2, device="mps")),
    "a law of torch's": lambda: GaussianMixture.from_torch(
        MultivariateNormal(torch.zeros(2, device="mps"), torch.eye(2, device="mps"))
    ),
    "a generator": lambda: two_modes().sample((3,), generator=torch.Generator("mps")),
    "a network": lambda: fit(ScoreMLP(8).to("mps"), Sliced(), two_modes(), **FIT),
    "a network and its data": lambda: fit(ScoreMLP(8).to("mps"), Sliced(), torch.zeros(9, 2, device="mps"), **FIT),
    "device=": lambda: fit(ScoreMLP(8), Sliced(), two_modes(), device="mps", **FIT),
    "an experiment": lambda: EXPERIMENTS["fields"].quick(device="mps"),
}


@pytest.mark.parametrize("name", APPLE)
def test_apples_gpu_is_refused_in_one_sentence(name):
    with card("mps"), pytest.raises(ValueError) as told:
        APPLE[name]()
    said = str(told.value)
    assert NO_FLOAT64 in said and "on the command line, --device cpu." in said
    assert "Give " in said and said.count("\n") == 0


def test_apples_gpu_is_refused_where_torch_has_none():
    for refused in (lambda: two_modes().to("mps"), lambda: uniform_start(3, (-1, 1, -1, 1), device="mps:0")):
        with pytest.raises(ValueError, match=NO_FLOAT64):
            refused()


def test_points_come_from_apples_gpu_by_cpu():
    with card("mps"):
        x = torch.zeros(3, 2, device="mps")
        with pytest.raises(ValueError, match=r"x is on mps:0, .* Give x\.cpu\(\)"):
            two_modes().score(x)
        assert two_modes().score(x.cpu()).shape == (3, 2)


def test_the_command_does_not_offer_apples_gpu(capsys):
    with card("mps"):
        assert devices.chosen("auto") == "cpu"
        with pytest.raises(SystemExit):
            cli.main(["figures", "--device", "mps"])
    assert "invalid choice: 'mps' (choose from" in capsys.readouterr().err


@pytest.mark.parametrize("of_generator", ["cpu", "cuda"])
@pytest.mark.parametrize("of_chains", ["cpu", "cuda"])
def test_a_generator_elsewhere_gives_its_own_numbers_and_is_told_where_it_costs(of_chains, of_generator):
    """A CPU generator gives the CPU's numbers on a card, kernel by kernel; that is what the warning says."""
    with card():
        x, p = torch.zeros(5, 2, device=of_chains), two_modes()
        run = {"step_size": 0.1, "n_steps": 3, "progress": False}
        told = of_chains == "cuda" and of_generator == "cpu"
        with pytest.warns(RuntimeWarning, match="generator lives on the cpu") if told else contextlib.nullcontext():
            found = langevin(p.score, x, generator=torch.Generator(of_generator).manual_seed(3), **run).samples
        right = langevin(p.score, x.cpu(), generator=torch.Generator().manual_seed(3), **run).samples
        assert found.device.type == of_chains
        torch.testing.assert_close(found.cpu(), right)


@pytest.mark.parametrize("of_law", ["cpu", "cuda"])
@pytest.mark.parametrize("of_generator", ["cpu", "cuda"])
def test_a_distribution_of_torch_draws_by_the_generator_wherever_that_is(of_law, of_generator):
    """Its draws come from torch's global stream of its device; a generator elsewhere used to be ignored in silence."""
    with card():
        p = from_torch(MultivariateNormal(torch.zeros(2, device=of_law), torch.eye(2, device=of_law)))
        before = torch.get_rng_state(), torch.cuda.get_rng_state()
        g = torch.Generator(of_generator).manual_seed(1)
        first, second = p.sample((4,), generator=g), p.sample((4,), generator=g)
        again = p.sample((4,), generator=torch.Generator(of_generator).manual_seed(1))
        assert torch.equal(first, again) and not torch.equal(first, second)
        assert all(map(torch.equal, (torch.get_rng_state(), torch.cuda.get_rng_state()), before))
        assert first.device.type == of_law


def test_points_where_a_distribution_of_torch_is_not():
    p = from_torch(MultivariateNormal(torch.zeros(2), torch.eye(2)))
    with card():
        for evaluate in (p.log_prob, p.score, p.divergence):
            with pytest.raises(ValueError, match=r"x is on cuda:0 and the distribution on cpu: give x\.to\('cpu'\)"):
                evaluate(torch.zeros(3, 2, device="cuda"))
