"""A cell that is run again leaves nothing of its last run behind: models are counted, as ipywidgets keeps them."""

import types

import ipywidgets
import pytest
import torch

from toylab.densities import ring, two_modes
from toylab.sde import VP
from toylab.widgets import (
    Family,
    diffusion_film,
    langevin_playground,
    noise_ladder,
    record_film,
    score_explorer,
    training_theatre,
)

KEPT = ipywidgets.widgets.widget._instances  # every open widget, layouts and styles among them


FILM = record_film(
    VP(), {"exact": (two_modes().score, two_modes())}, generator=torch.Generator().manual_seed(0), n_frames=3
)


WIDGETS = {
    "score_explorer": score_explorer,
    "score_explorer, of families": lambda: score_explorer(
        {"a": Family(ring, radius=[1.0, 2.0]), "b": Family(ring, std=[0.2])}
    ),
    "langevin_playground": lambda: langevin_playground(n_chains=20),
    "noise_ladder": lambda: noise_ladder(n_chains=20),
    "training_theatre": lambda: training_theatre(width=8, n_steps=50),
    "diffusion_film": lambda: diffusion_film(FILM),
    "diffusion_film, of several": lambda: diffusion_film({"a": lambda g: FILM, "b": lambda g: FILM}),
}


@pytest.fixture
def run_cell(monkeypatch):
    """Runs a function as a cell of a notebook does, the front end sending a request like this one."""
    request = {}
    shell = types.SimpleNamespace(get_parent=lambda: request, execution_count=1)
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)

    def run(make, metadata, code="widget"):
        request.update(metadata=metadata, content={"code": code}, header={"msg_id": object()})
        return make()

    return run


@pytest.mark.parametrize(
    ("name", "named"), [*((name, True) for name in WIDGETS), ("score_explorer", False), ("diffusion_film", False)]
)
def test_a_cell_run_again_leaves_no_model_of_its_last_run(name, named, run_cell):
    metadata = {"cellId": name} if named else {}
    counts = []
    for _ in range(3):
        run_cell(WIDGETS[name], metadata, name)
        counts.append(len(KEPT))
    assert counts == [counts[0]] * 3
    run_cell(WIDGETS[name], {"cellId": f"another {name}"} if named else {}, f"# another\n{name}")
    assert len(KEPT) > counts[0]  # another cell's are kept


def test_two_widgets_in_one_run_both_live(run_cell):
    def both():
        return score_explorer(), score_explorer()

    first = run_cell(both, {}, "both")
    assert all(box.comm is not None for box in first)
    second = run_cell(both, {}, "both")
    assert all(box.comm is None and box.children == () for box in first)
    assert all(box.comm is not None for box in second)


def test_a_run_is_told_by_its_request_and_not_by_its_number(run_cell):
    """A front end that stores no history leaves the execution count as it is."""
    first, second = (run_cell(score_explorer, {"cellId": "uncounted"}) for _ in range(2))
    assert (first.comm is None, second.comm is None) == (True, False)
