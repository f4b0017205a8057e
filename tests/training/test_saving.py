"""Saved networks come back as they were, and nothing else is taken for one."""

import pickle

import pytest
import torch
from torch.nn import functional

from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP
from toylab.training import load, save


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def networks():
    return [
        ScoreMLP(generator=generator()),
        ScoreMLP(7, 4, torch.tanh, generator=generator()),
        ScoreMLP(5, 1, functional.relu, generator=generator()).double(),
        EnergyMLP(6, 1, functional.silu, generator=generator()),
        NoiseConditionalMLP(generator=generator()),
        NoiseConditionalMLP(
            6, 2, data_std=2.5, gain=3.0, activation=functional.softplus, generator=generator()
        ).double(),
        ScoreMLP(5, data_mean=(3.0, -700.0), data_std=400.0, generator=generator()),
        EnergyMLP(5, data_mean=0.1, data_std=0.03, generator=generator()),
        NoiseConditionalMLP(5, data_mean=(0.0, 2.0), data_std=80.0, sigma_unit=20.0, generator=generator()),
        NoiseConditionalEnergyMLP(5, 2, gain=3.0, sigma_unit=20.0, generator=generator()),
    ]


def test_chains_are_left_out(tmp_path):
    network = EnergyMLP(5, generator=generator()).with_chains(torch.zeros(3, 2))
    save(network, tmp_path / "network.pt")
    again = load(tmp_path / "network.pt")
    assert not hasattr(again, "chains")
    assert torch.equal(again.energy(torch.ones(4, 2)), network.energy(torch.ones(4, 2)))


@pytest.mark.parametrize("network", networks(), ids=range(10))
def test_round_trip(network, tmp_path):
    before = torch.get_rng_state()
    save(network, tmp_path / "network.pt")
    again = load(tmp_path / "network.pt")
    assert torch.equal(torch.get_rng_state(), before)
    assert type(again) is type(network)
    for name in ("width", "depth", "activation", "data_mean", "data_std", "gain", "sigma_unit"):
        assert getattr(again, name, None) == getattr(network, name, None)
    dtype = next(network.parameters()).dtype
    x = torch.randn(20, 2, dtype=dtype, generator=generator(1))
    level = (0.3,) if isinstance(network, NoiseConditionalMLP) else ()
    assert torch.equal(again(x, *level), network(x, *level))
    assert again(x, *level).dtype == dtype


def test_a_path_may_be_text_and_a_loaded_network_is_its_own(tmp_path):
    network = ScoreMLP(4, generator=generator())
    save(network, str(tmp_path / "a.pt"))
    again = load(str(tmp_path / "a.pt"))
    next(again.parameters()).data.zero_()
    assert next(network.parameters()).abs().max() > 0
    assert torch.equal(next(load(tmp_path / "a.pt").parameters()), next(network.parameters()))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.pt")


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is text\n", b"\x80\x02.", b"\x80\x04.", b"PK\x03\x04broken", b"x" * 5000]
)
def test_a_file_of_something_else(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match="not a network saved by toylab"):
        load(tmp_path / "other")


def test_a_pickle_of_something_else(tmp_path):
    (tmp_path / "other").write_bytes(pickle.dumps({"a": 1, "b": [1.5, "c"]}))
    with pytest.raises(ValueError, match="not a network saved by toylab"):
        load(tmp_path / "other")


@pytest.mark.parametrize("content", [{"a": torch.ones(3)}, torch.ones(3), [1, 2], {"format": "another", "version": 1}])
def test_a_torch_file_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="not a network saved by toylab"):
        load(tmp_path / "other.pt")


def test_a_whole_module_is_refused(tmp_path):
    torch.save(ScoreMLP(4, generator=generator()), tmp_path / "module.pt")
    with pytest.raises(ValueError, match="not a network saved by toylab"):
        load(tmp_path / "module.pt")


class Malicious:
    """Pickles as a call that leaves a mark when it is loaded."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_nothing_in_a_file_is_executed(tmp_path):
    mark = tmp_path / "mark"
    torch.save({"format": "toylab network", "version": 1, "weights": Malicious(mark)}, tmp_path / "evil.pt")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Malicious(mark)))
    for name in ("evil.pt", "evil.pkl"):
        with pytest.raises(ValueError, match="not a network saved by toylab"):
            load(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(tmp_path, share):
    save(ScoreMLP(generator=generator()), tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="not a network saved by toylab"):
        load(tmp_path / "a.pt")


def changed(tmp_path, **changes):
    """The file of a small network with some of its entries replaced, or left out (None)."""
    save(ScoreMLP(4, generator=generator()), tmp_path / "a.pt")
    content = {**torch.load(tmp_path / "a.pt", weights_only=True), **changes}
    torch.save({key: value for key, value in content.items() if value is not None}, tmp_path / "a.pt")
    return tmp_path / "a.pt"


def test_a_newer_version(tmp_path):
    with pytest.raises(ValueError, match=r"version 4; this toylab reads versions up to 3\. Update"):
        load(changed(tmp_path, version=4))


def test_an_older_version_had_no_scale(tmp_path):
    again = load(changed(tmp_path, version=1, settings={"width": 4, "depth": 2}))
    x = torch.randn(5, 2, generator=generator(1))
    assert torch.equal(again(x), ScoreMLP(4, generator=generator())(x))


def test_a_device_that_is_not_there(tmp_path):
    save(ScoreMLP(4, generator=generator()), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="device is 'gpu': torch cannot use it"):
        load(tmp_path / "a.pt", device="gpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "OtherMLP"},
        {"kind": None},
        {"activation": "gelu"},
        {"settings": {"width": 5, "depth": 2}},
        {"settings": {"width": 4, "depth": 2, "colour": 1}},
        {"settings": None},
        {"weights": {}},
        {"weights": None},
        {"weights": {"layers.0.weight": torch.ones(4, 2)}},
        {"weights": torch.ones(3)},
    ],
)
def test_a_damaged_file(tmp_path, changes):
    path = changed(tmp_path, **changes)
    with pytest.raises(ValueError, match="damaged toylab network"):
        load(path)


def test_what_cannot_be_saved(tmp_path):
    class Mine(ScoreMLP):
        pass

    for network in (torch.nn.Linear(2, 2), Mine(4, generator=generator())):
        with pytest.raises(TypeError, match="state_dict"):
            save(network, tmp_path / "a.pt")
    with pytest.raises(TypeError, match="activation"):
        save(ScoreMLP(4, activation=functional.gelu, generator=generator()), tmp_path / "a.pt")
    assert not (tmp_path / "a.pt").exists()
