"""Histories and results as tables of pandas."""

import sys

import numpy as np
import pytest
import torch

from toylab.densities import two_modes
from toylab.experiments import Result
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising
from toylab.training import fit


def trained(n_seeds=1):
    g = torch.Generator().manual_seed(0)
    return fit(ScoreMLP(4, generator=g), Denoising(0.5), two_modes(), n_steps=7, report_every=3, n_seeds=n_seeds,
               generator=g, progress=False)  # fmt: skip


def test_a_history_has_a_row_per_report_and_a_column_per_attribute():
    pytest.importorskip("pandas")
    history = trained().history
    frame = history.to_pandas()
    assert list(frame) == ["steps", "loss", "fisher_divergence", "held_out", "seconds"]
    for name in frame:
        np.testing.assert_array_equal(frame[name], getattr(history, name))
    assert frame["steps"].tolist() == [3, 6, 7]
    frame.loc[0, "loss"] = 0.0
    assert float(history.loss[0]) != 0


def test_the_histories_of_several_networks_are_one_table():
    pytest.importorskip("pandas")
    result = trained(n_seeds=2)
    frame = result.to_pandas()
    assert frame["seed"].tolist() == [0, 0, 0, 1, 1, 1]
    for seed, history in enumerate(result.histories):
        assert frame[frame["seed"] == seed]["loss"].tolist() == history.loss.tolist()
    assert frame.groupby("seed")["steps"].max().tolist() == [7, 7]


def test_a_result_has_a_row_per_number():
    pytest.importorskip("pandas")
    numbers = {"seed": 0, "two modes": {"J": 0.25, "times": [1.0, 2.5]}, "device": "cpu"}
    frame = Result("made", numbers, {}).to_pandas()
    assert frame["name"].tolist() == ["seed", "two modes.J", "two modes.times.0", "two modes.times.1", "device"]
    assert frame["value"].tolist() == [0, 0.25, 1.0, 2.5, "cpu"]


@pytest.mark.parametrize("make", [lambda: trained().history, trained, lambda: Result("made", {}, {})])
def test_without_pandas_it_is_said_how_to_get_it(make, monkeypatch):
    made = make()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r'to_pandas needs pandas: pip install "toylab\[study\]"'):
        made.to_pandas()
