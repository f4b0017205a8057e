"""``python -m benchmarks``, and what it writes."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import densities, energies, hardware_limit, machine, memory, row, scaling, seeds, speed
from benchmarks.hardware_limit import HardwareLimit
from benchmarks.measurement import Measurement
from benchmarks.peers import PEERS
from benchmarks.row import Row
from toylab._internal.folder import write_whole
from toylab.densities import two_modes
from toylab.objectives import Explicit

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def test_what_is_written_can_be_read_again():
    rows = (
        Row("one", "peer", 0.5, (1.0, 2.0), (3.0, 4.0), "the same", error=0.1, allowed=0.2, floor=0.3),
        Row("two", "other", 1.0, skipped="absent"),
        Row("three", "other", 1.0, failed="RuntimeError: broken"),
    )
    sweeps = (
        scaling.Sweep("work", "chains", (1, 2), (0.1, 0.2), (0.01, 0.02)),
        scaling.Sweep("other", "steps", failed="RuntimeError: broken"),
    )
    made = machine.made_with(0.5)
    assert {"date", "cpu", "cores", "gpu", "torch", "toylab", *PEERS} <= set(made)
    found = speed.Speed(made)
    for line in (*rows, HardwareLimit(1e-11, 1e-9, 2e-9, 3e-9), *sweeps):
        found = found.with_line(line)
    again = json.loads(json.dumps(found.to_json()))
    assert again["rows"][0]["ratio"] == 1.5 / 3.5
    assert speed.Speed.from_json(again) == found
    assert found.n_failed == 2
    text = speed.tables(found)
    assert row.table(rows) in text and scaling.table(sweeps) in text
    assert "100 GFLOP/s" in text and "2.00 ns per normal" in text
    assert "| other | steps | failed: RuntimeError: broken | – | – |" in text


def test_the_rates_of_a_card_are_legible():
    text = hardware_limit.line(HardwareLimit(1e-13 / 5, 3e-13, 4e-12, 2e-12, 1e-12 / 3))
    assert "50000 GFLOP/s" in text and "0.30 ps per exponential" in text and "3000 GB/s" in text
    assert "RuntimeError: broken" in hardware_limit.line(HardwareLimit(failed="RuntimeError: broken"))


def test_one_comparison_alone(tmp_path, capsys):
    arguments = ["speed", "--only", "densities", "--share", "0.001", "--out", str(tmp_path / "new")]
    assert command.main(arguments) == 0
    table = (tmp_path / "new" / "speed_densities.md").read_text()
    found = speed.Speed.from_json(json.loads((tmp_path / "new" / "speed_densities.json").read_text()))
    assert capsys.readouterr().out.splitlines() == [row.line(r) for r in found.rows]
    assert table == speed.tables(found) + "\n"
    assert [r.work for r in found.rows] == [
        "log p and score, K = 8, 100 points",
        "log p and score, K = 1,016, 100 points",
    ]
    assert found.made["share"] == 0.001
    assert found.sweeps == ()


def two(share):
    """One row that fails, and one that does not."""

    def fails():
        raise RuntimeError("CUDA error:\n  out of memory")

    yield Measurement((Row("first", "peer", 1.0),), fails)
    yield Measurement((Row("second", "peer", 1.0),), lambda: [Row("second", "peer", 1.0, (1.0,), (1.0,))])


def test_a_row_that_fails_is_told_and_the_rest_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(speed.COMPARISONS, "seeds", two)
    there = []
    monkeypatch.setattr(
        command, "write_whole", lambda folder, files: (write_whole(folder, files), there.append(written(tmp_path)))
    )
    assert command.main(["speed", "--only", "seeds", "--out", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert "failed: RuntimeError: CUDA error: out of memory" in first and "| second | peer | 1 s |" in second
    assert "1 failed; 2 rows are in" in err
    assert [[r.work for r in found.rows] for found in there] == [["first"], ["first", "second"]]  # as they come
    assert there[-1].rows[1].met


def written(folder):
    return speed.Speed.from_json(json.loads((folder / "speed_seeds.json").read_text()))


def test_ctrl_c_leaves_what_is_measured(tmp_path):
    """It goes to the whole group of processes, as from a terminal; a training that it reaches would seem to be done."""
    call = [sys.executable, "-m", "benchmarks", "speed", "--only", "seeds", "--share", "0.3", "--out", str(tmp_path)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as a pipe is
    with subprocess.Popen(
        call,
        env=buffered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heard,
        cwd=RESULTS.parents[1],
    ) as process:
        assert "8 networks at once" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; " in err and "Traceback" not in err
    found = written(tmp_path)
    assert 1 <= len(found.rows) < 4 and not found.n_failed
    assert (tmp_path / "speed_seeds.md").read_text() == speed.tables(found) + "\n"


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


RECORDED = ("seeds", "memory", "densities", "energies")


def test_a_recording_of_today_has_the_keys_of_the_recorded_one(monkeypatch):
    """The documentation finds its numbers under them."""
    recorded = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in RECORDED}
    monkeypatch.setattr(seeds, "SHAPES", {"batch 64, width 64": (4, 4)})
    monkeypatch.setattr(seeds, "trained_objectives", lambda: {"explicit": Explicit(two_modes().score)})
    monkeypatch.setattr(memory, "N_CHAINS", 10)
    monkeypatch.setattr(energies, "WIDTH", 4)
    monkeypatch.setattr(energies, "N_STEPS", 2)
    monkeypatch.setattr(energies, "TARGETS", {"two modes": energies.TARGETS["two modes"]})
    monkeypatch.setattr(densities, "in_a_fresh_process", lambda code, n: "0.2 0.3\n")
    monkeypatch.setattr(densities, "catalogue", dict)
    now = {"seeds": seeds.run(0.01), "memory": memory.run(0.001), "densities": densities.run(0.001),
           "energies": energies.run(0.001)}  # fmt: skip
    rows = [found["energies"]["two modes"] for found in (now, recorded)]
    assert rows[0].keys() == rows[1].keys()
    assert all(rows[0][label].keys() == rows[1][label].keys() for label in rows[0] if label != "true weight")
    assert now["memory"].keys() >= recorded["memory"].keys()
    assert list(now["densities"])[-1] == list(recorded["densities"])[-1]
    (first, *_), (same, *_) = (list(found["densities"].values())[1].values() for found in (now, recorded))
    assert first.keys() == same.keys()
    cells = [found["seeds"]["explicit"]["batch 64, width 64"] for found in (now, recorded)]
    assert cells[0].keys() == cells[1].keys()


def test_a_gpu_is_named_with_its_driver_and_the_compiler_of_its_kernels(monkeypatch):
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine.torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr(
        machine.subprocess, "run", lambda ask, **_: subprocess.CompletedProcess(ask, 0, stdout="580.95.05\n580.95.05\n")
    )
    made = machine.made_with(1.0)
    assert (made["gpu"], made["driver"]) == ("NVIDIA H100", "580.95.05")
    assert {"cuda", "triton"} <= set(made)

    def missing(ask, **_):
        raise FileNotFoundError(ask[0])

    monkeypatch.setattr(machine.subprocess, "run", missing)
    assert machine.made_with(1.0)["driver"] == "unknown"
