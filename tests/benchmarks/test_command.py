"""``python -m benchmarks``, and what it writes."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import densities, machine, memory, row, scaling, seeds, speed
from benchmarks.hardware_limit import HardwareLimit
from benchmarks.row import Row
from toylab.densities import two_modes
from toylab.objectives import Explicit

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def test_what_is_written_can_be_read_again():
    rows = (Row("one", "peer", 0.5, (1.0, 2.0), (3.0, 4.0), "the same"), Row("two", "other", 1.0, skipped="absent"))
    sweeps = (scaling.Sweep("work", "chains", (1, 2), (0.1, 0.2), (0.01, 0.02)),)
    made = machine.made_with(0.5)
    assert {"date", "cpu", "cores", "torch", "toylab", "torchebm", "blackjax", "jax"} <= set(made)
    found = speed.Speed(made, rows, HardwareLimit(1e-11, 1e-9, 2e-9, 3e-9), sweeps)
    again = json.loads(json.dumps(found.to_json()))
    assert again["rows"][0]["ratio"] == 1.5 / 3.5
    assert speed.Speed.from_json(again) == found
    text = speed.tables(found)
    assert row.table(rows) in text and scaling.table(sweeps) in text
    assert "100 GFLOP/s" in text and "2.00 ns per normal" in text


def test_one_comparison_alone(tmp_path, capsys):
    arguments = ["speed", "--only", "densities", "--share", "0.001", "--out", str(tmp_path / "new")]
    assert command.main(arguments) == 0
    table = (tmp_path / "new" / "speed.md").read_text()
    assert capsys.readouterr().out == table
    found = speed.Speed.from_json(json.loads((tmp_path / "new" / "speed.json").read_text()))
    assert [r.work for r in found.rows] == [
        "log p and score, K = 8, 100 points",
        "log p and score, K = 1,016, 100 points",
    ]
    assert found.made["share"] == 0.001
    assert found.sweeps == ()


def test_other_measurements_write_their_numbers(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(command.MEASURED, "memory", ("it", lambda share: {"share": share}))
    assert command.main(["memory", "--share", "0.5", "--out", str(tmp_path), "--quiet"]) == 0
    assert json.loads((tmp_path / "memory.json").read_text()) == {"share": 0.5}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "NAME"),
        (["samplers"], "samplers"),
        (["speed", "--share", "2"], "2"),
        (["memory", "--share", "none"], "none"),
        (["speed", "--only", "moon"], "moon"),
        (["seeds", "--out", __file__], "cannot write there"),
    ],
)
def test_unknown_requests_are_refused(arguments, named, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert named in capsys.readouterr().err


def test_a_recording_of_today_has_the_keys_of_the_recorded_one(monkeypatch):
    """The documentation finds its numbers under them."""
    recorded = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in ("seeds", "memory", "densities")}
    monkeypatch.setattr(seeds, "SHAPES", {"batch 64, width 64": (4, 4)})
    monkeypatch.setattr(seeds, "trained_objectives", lambda: {"explicit": Explicit(two_modes().score)})
    monkeypatch.setattr(memory, "N_CHAINS", 10)
    monkeypatch.setattr(densities, "in_a_fresh_process", lambda code, n: "0.2 0.3\n")
    monkeypatch.setattr(densities, "catalogue", dict)
    now = {"seeds": seeds.run(0.01), "memory": memory.run(0.001), "densities": densities.run(0.001)}
    assert now["memory"].keys() >= recorded["memory"].keys()
    assert list(now["densities"])[-1] == list(recorded["densities"])[-1]
    (first, *_), (same, *_) = (list(found["densities"].values())[1].values() for found in (now, recorded))
    assert first.keys() == same.keys()
    cells = [found["seeds"]["explicit"]["batch 64, width 64"] for found in (now, recorded)]
    assert cells[0].keys() == cells[1].keys()
