"""The instruments of the live lab as widgets; what they do is tested in a browser."""

import json

import pytest
import torch

from toylab import live
from toylab.densities import Points, two_modes
from toylab.widgets import live_editor, live_film, live_playground, live_trainer

INSTRUMENTS = {"playground": live_playground, "trainer": live_trainer, "editor": live_editor, "film": live_film}


@pytest.mark.parametrize("name", live.INSTRUMENTS)
def test_it_is_the_code_of_the_page(name):
    widget = INSTRUMENTS[name](address="#seed=3")
    assert live.script(name) in widget._esm and widget._css == live.style()
    assert widget.address == "#seed=3"


@pytest.mark.parametrize("name", ["playground", "trainer", "film"])
def test_mixtures_of_ones_own(name):
    p, make = two_modes(), INSTRUMENTS[name]
    widget = make({"mine": p.rotated(0.3)})
    law = widget.laws["mine"]
    assert list(widget.laws) == ["mine"]
    exec("from toylab.densities import GaussianMixture\np = " + law["python"], here := {})
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(here["p"].log_prob(x), p.rotated(0.3).log_prob(x))
    left, right, bottom, top = law["extent"]
    assert right - left == pytest.approx(top - bottom)
    assert all(left + 3 < a < right - 3 and bottom + 3 < b < top - 3 for a, b in law["means"])
    assert make().laws == live.laws()


def test_laws_on_a_grid_are_for_the_playground_alone():
    law = live.GRID_LAWS["banana"]
    assert live_playground({"bent": law}).laws == {"bent": live.grid_laws()["banana"]}
    for make in (live_trainer, live_film):
        with pytest.raises(TypeError, match="'bent' is a GridLaw: the instruments compute in the browser"):
            make({"bent": law})


def test_a_law_on_a_grid_comes_where_the_address_asks_for_it():
    widget = live_playground(address="#n=200&density=banana&seed=3")
    assert widget.laws == {**live.laws(), **live.grid_laws("banana")}
    assert len(json.dumps(widget.laws["banana"])) == pytest.approx(49_000, rel=0.02)  # as its docstring says
    assert live_playground({"mine": two_modes()}, address="#density=banana").laws.keys() == {"mine"}


def test_what_the_browser_does_not_know_is_refused():
    with pytest.raises(TypeError, match="'data' is a Points: the instruments compute in the browser"):
        live_playground({"data": Points([[0.0, 0.0]])})
    with pytest.raises(TypeError, match="give Gaussian mixtures by name"):
        live_trainer(two_modes())
    with pytest.raises(TypeError, match="address is 3: give text"):
        live_editor(address=3)
