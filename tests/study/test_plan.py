"""A cell is known by its key: what changes it, what does not, and what is refused since it would not be known again."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.fuzz.calls import instances
from toylab import densities, networks, objectives, samplers, sde
from toylab.study.plan import difference, plan_of, seed_of
from toylab.study.printed import printed


def cell(a, seed=0, generator=None):
    return {"a": a + seed}


def other(a, seed=0, generator=None):
    return {"a": a + seed}


def keys(grid, function=cell):
    return list(plan_of(function, grid)[0].keys())


def test_a_cell_has_one_key_and_one_seed():
    found = keys({"a": range(40), "seed": range(40)})
    assert len({*found}) == len({*map(seed_of, found)}) == 1600
    assert all(0 <= seed_of(key) < 2**60 for key in found)
    seeds = torch.tensor([seed_of(key) for key in found], dtype=torch.float64) / 2**60
    # uniform on [0, 1): each 16-bin count is binomial; six standard deviations, false alarm below 16 x 2e-9
    counts = torch.histc(seeds, 16, 0.0, 1.0)
    assert float((counts - 100).abs().max()) < 6 * (1600 / 16 * 15 / 16) ** 0.5


def test_the_order_of_values_and_names_and_their_spelling_change_no_key():
    found = keys({"a": [0.5, 2.0], "seed": [0, 1]})
    assert keys({"a": [2.0, 0.5], "seed": [0, 1]}) == found[2:] + found[:2]
    assert sorted(keys({"seed": [0, 1], "a": [0.5, 2.0]})) == sorted(found)
    assert keys({"a": np.array([0.5, 2.0]), "seed": torch.arange(2)}) == found
    assert keys({"a": {"half": 0.5, "two": 2.0}, "seed": range(2)}) == found


def test_values_function_and_version_change_it():
    plan, _ = plan_of(cell, {"a": [1.0]})
    others = [
        *keys({"a": [1]}),
        *keys({"a": [1.0 + 2**-52]}),
        *keys({"a": ["1.0"]}),
        *keys({"a": [1.0], "seed": [0]}),
        *keys({"a": [1.0]}, other),
        *replace(plan, toylab="0.0.9").keys(),
    ]
    assert len({*plan.keys(), *others}) == 1 + len(others)


# what holds functions of the user's, networks, distributions of torch's, or what was learned
NOT_KNOWN = {
    "densities.FromEnergy", "densities.FromTorch", "training.Fit", "paths.Interpolant",
    "networks.VelocityMLP", "networks.ScoreMLP",
    "networks.EnergyMLP", "networks.NoiseConditionalMLP", "networks.NoiseConditionalEnergyMLP",
}  # fmt: skip


def test_objects_of_the_lab_are_their_own_keys():
    here, again, refused = instances(), instances(), set()
    for name, thing in here.items():
        try:
            words = printed("a", thing)
        except TypeError:
            refused.add(name)
            continue
        assert (printed("a", again[name]) == words) == (name != "training.History"), name  # whose seconds are measured
    assert refused == NOT_KNOWN


@dataclass(frozen=True)
class Held:
    function: object


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0 + 1e-6])),
        (torch.arange(2000.0), torch.arange(2000.0).index_fill(0, torch.tensor([1000]), 0.5)),
        (np.arange(2000.0), np.where(np.arange(2000) == 1000, 0.5, np.arange(2000.0))),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64)),
        (objectives.Sliced(), objectives.Sliced(n_slices=2)),
        (objectives.Sliced(), objectives.Sliced(projection=objectives.gaussian)),
        (
            objectives.NoiseConditional(torch.tensor([1.0, 0.5])),
            objectives.NoiseConditional(torch.tensor([1.0, 0.5 + 1e-6])),
        ),
        (objectives.Explicit(densities.ring().score), objectives.Explicit(densities.two_modes().score)),
        (functools.partial(samplers.mala_step, step_size=0.1), functools.partial(samplers.mala_step, step_size=0.2)),
        (torch.square, torch.sqrt),
        ([1, (2, 3)], [1, (2, 4)]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (Held(torch.square), Held(torch.sqrt)),
        (sde.VE(sigma_max=20.0), sde.VE(sigma_max=20.000000000000004)),
    ],
    ids=range(15),
)
def test_what_differs_prints_differently(one, another):
    assert printed("a", one) != printed("a", another)


class Abridged:
    def __repr__(self):
        return "Abridged(tensor([1.0000]))"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda x: x, "prints with its address in memory"),
        (object(), "prints with its address in memory"),
        (Held(cell), "prints with its address in memory"),
        ([lambda x: x], "prints with its address in memory"),
        (networks.ScoreMLP(4, generator=torch.Generator()), "prints without its numbers"),
        (objectives.Explicit(networks.ScoreMLP(4, generator=torch.Generator())), "prints without its numbers"),
        (torch.distributions.Normal(0.0, 1.0), "prints without its numbers"),
        (instances()["densities.FromTorch"], "prints without its numbers"),
        (Abridged(), "leave digits out"),
    ],
    ids=range(9),
)
def test_what_would_not_be_known_again_is_refused(value, said):
    with pytest.raises(TypeError, match=rf"grid\['a'\] holds a \w+ that .*{said}"):
        plan_of(cell, {"a": [value]})


class Callable:
    def __call__(self, a, generator):
        return {}


@pytest.mark.parametrize(
    ("function", "grid", "said"),
    [
        (cell, {"a": [0.1, 1 / 10]}, "grid\\['a'\\] has two values that print as '0.1'"),
        (cell, {"a": [densities.ring(), densities.ring()]}, "two values that print as"),
        (cell, {"a": {1: 0.5, "1": 0.6}}, "two labels that print alike"),
        (cell, {"a": []}, "is empty"),
        (cell, {"a": "abc"}, "give a list of values"),
        (cell, {"a": 3}, "give a list of values"),
        (cell, {"a": torch.zeros(2, 2)}, "give a list of values"),
        (cell, {}, "has no names"),
        (cell, [("a", [1])], "grid is a list"),
        (cell, {1: [1]}, "has the name 1"),
        (cell, {"generator": [1]}, "has the name 'generator'"),
        (cell, {"b": [1]}, r"cell cannot be called as cell\(b=..., generator=g\): missing a required argument: 'a'"),
        (lambda a, generator: {}, {"a": [1]}, "cell is a lambda"),
        (functools.partial(cell, seed=1), {"a": [1]}, "a partial: give a function written with def"),
        (Callable(), {"a": [1]}, "a Callable: give a function written with def"),
        (max, {"a": [1]}, "give a function written with def"),
    ],
    ids=range(16),
)
def test_in_one_sentence(function, grid, said):
    with pytest.raises((TypeError, ValueError), match=said):
        plan_of(function, grid)


def test_without_a_source_there_is_no_study():
    names = {}
    exec("def made(a, generator):\n    return {'a': a}", names)
    with pytest.raises(ValueError, match="the source of cell, made, cannot be had"):
        plan_of(names["made"], {"a": [1]})


def test_a_grid_may_grow_and_nothing_else_may_change():
    plan, _ = plan_of(cell, {"a": [1, 2], "seed": range(3)})
    grown, _ = plan_of(cell, {"seed": range(5), "a": [3, 2, 1]})
    assert difference(plan, grown) is None
    assert {*plan.keys()} < {*grown.keys()}
    assert difference(grown, plan) == "of a grid whose seed also has 3"
    assert "another function, cell," in difference(plan, plan_of(other, {"a": [1, 2], "seed": range(3)})[0])
    assert difference(plan, plan_of(cell, {"a": [1, 2]})[0]) == "over a, seed, and not over a"
    assert difference(plan, replace(plan, toylab="9")) == f"of toylab {plan.toylab}, and this is 9"


def test_what_a_table_shows():
    shown = [axis.shown for axis in plan_of(cell, {"a": [1, 2.5], "seed": ["x", "y"]})[0].axes]
    assert shown == [(1, 2.5), ("x", "y")]
    (axis,) = plan_of(cell, {"a": [None, 1, "b", Path("c")]})[0].axes
    assert axis.shown == ("None", "1", "b", repr(Path("c")))
