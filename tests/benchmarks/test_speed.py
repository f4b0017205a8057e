import json

from toylab import cli
from toylab.bench import row, scaling, speed
from toylab.bench.floor import Floor
from toylab.bench.row import Row


def test_the_command_knows_every_comparison():
    assert (*speed.COMPARISONS, "scaling") == cli._COMPARISONS


def test_what_is_written_can_be_read_again():
    rows = (Row("one", "peer", 0.5, (1.0, 2.0), (3.0, 4.0), "the same"), Row("two", "other", 1.0, skipped="absent"))
    sweeps = (scaling.Sweep("work", "chains", (1, 2), (0.1, 0.2), (0.01, 0.02)),)
    made = speed.made_with(0.5)
    assert {"date", "cpu", "cores", "torch", "toylab", "torchebm", "blackjax", "jax"} <= set(made)
    found = speed.Speed(made, rows, Floor(1e-11, 1e-9, 2e-9, 3e-9), sweeps)
    again = json.loads(json.dumps(found.to_json()))
    assert again["rows"][0]["ratio"] == 1.5 / 3.5
    assert speed.Speed.from_json(again) == found
    text = speed.tables(found)
    assert row.table(rows) in text and scaling.table(sweeps) in text
    assert "100 GFLOP/s" in text and "2.00 ns a normal" in text


def test_one_comparison_alone(tmp_path, capsys):
    arguments = ["bench", "speed", "--only", "densities", "--share", "0.001", "--out", str(tmp_path / "new")]
    assert cli.main(arguments) == 0
    table = (tmp_path / "new" / "speed.md").read_text()
    assert capsys.readouterr().out == table
    found = speed.Speed.from_json(json.loads((tmp_path / "new" / "speed.json").read_text()))
    assert [r.work for r in found.rows] == [
        "log p and score, K = 8, 100 points",
        "log p and score, K = 1,016, 100 points",
    ]
    assert found.made["share"] == 0.001
    assert found.sweeps == ()
