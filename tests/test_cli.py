import io
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

import toylab
from benchmarks import __main__ as command
from toylab.classroom import lab
from toylab.cli import main
from toylab.experiments import EXPERIMENTS, Experiment, Result


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one line on standard error of a request that is refused with status 2."""
    try:
        status = main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("toylab: ")
    return err


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr() == (f"toylab {toylab.__version__}\n", "")


@pytest.mark.parametrize("command", ["", "figures", "papers", "lab", "handout", "bench", "study"])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    assert "example:\n  toylab " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["figures", "--olny", "fields"], "--olny"),
        (["figures", "--only", "gallerie"], "gallerie"),
        (["figures", "--seed", "-1"], "-1"),
        (["figures", "--seed", "1.5"], "1.5"),
        (["figures", "--device", "tpu"], "tpu"),
        (["figures", "--density", "ring"], "--only"),
        (["figures", "--only", "fields", "--density", "ring"], "--only"),
        (["figures", "--only", "objectives", "--density", "moon"], "give one of two_modes, ring, checkerboard"),
        (["lab", "--port", "0"], "0"),
        (["lab", "--port", "web"], "web"),
        (["lab", "no such folder"], "no such folder"),
        (["handout"], "DIR"),
        (["figure"], "figure"),
        (["bench", "--only", "mala"], "--only"),
        ([], "COMMAND"),
    ],
)
def test_unknown_requests_are_one_line(arguments, said, capsys):
    assert said in refused(capsys, *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda(tmp_path, capsys):
    assert "--device cpu" in refused(capsys, "figures", "--device", "cuda", "--out", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_unwritable_folder(tmp_path, capsys):
    (tmp_path / "a_file").write_text("mine")
    for folder in ("a_file", "a_file/below"):
        assert "cannot write there" in refused(capsys, "figures", "--only", "fields", "--out", str(tmp_path / folder))
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]
    assert (tmp_path / "a_file").read_text() == "mine"


def test_no_traceback_from_the_real_command(tmp_path):
    (tmp_path / "a_file").touch()
    command = [sys.executable, "-m", "toylab", "figures", "--out", str(tmp_path / "a_file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("toylab: --out ")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_figures_writes_pictures_and_numbers(tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    assert main(["figures", "--only", "fields", "--out", str(out), "--seed", "3", "--device", "cpu"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["fields.png", "fields.svg", "numbers.json"]
    assert capsys.readouterr().out.split() == [str(out / n) for n in ("fields.png", "fields.svg", "numbers.json")]
    assert (out / "fields.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (out / "fields.svg").read_bytes()
    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers["fields"]["made with"]["seed"] == 3
    assert numbers["fields"]["two modes"]["half_fisher_information"] == pytest.approx(1.0, abs=1e-9)


def test_interrupted_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(EXPERIMENTS, "fields", replace(EXPERIMENTS["fields"], run=interrupted))
    assert main(["figures", "--only", "fields", "--out", str(tmp_path / "new")]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not Path(tmp_path / "new").exists()


@pytest.fixture
def tiny(monkeypatch):
    """An experiment that costs nothing in place of the objectives; returns the settings that it was run with."""
    asked = {}

    def run(size: str = "full", **settings: object) -> Result:
        asked.update(settings, size=size)
        return Result("objectives", {"one": {"number": 1.0}}, {})

    experiment = Experiment(
        "tiny", run, partial(run, size="quick"), lambda _: plt.figure(), table=lambda _: "| one |", densities=("a", "b")
    )
    monkeypatch.setitem(EXPERIMENTS, "objectives", experiment)
    return asked


def test_a_table_is_written_where_there_is_one(tmp_path, capsys, tiny):
    out = tmp_path / "new"
    assert main(["figures", "--only", "objectives", "--density", "b", "--device", "cpu", "--out", str(out)]) == 0
    names = ["objectives.png", "objectives.svg", "objectives.md", "numbers.json"]
    assert capsys.readouterr().out.split() == [str(out / name) for name in names]
    assert (out / "objectives.md").read_text() == "| one |\n"
    assert tiny == {"seed": 0, "device": "cpu", "progress": True, "densities": ("b",), "size": "full"}
    numbers = json.loads((out / "numbers.json").read_text())["objectives"]
    made_with = {"seed", "device", "toylab", "torch", "python", "cpu_threads", "seconds"}
    assert numbers["one"] == {"number": 1.0}
    assert set(numbers["made with"]) == made_with


def test_a_quick_look_says_that_it_is_one(tmp_path, tiny):
    assert main(["figures", "--only", "objectives", "--quick", "--quiet", "--out", str(tmp_path)]) == 0
    assert (tiny["size"], "densities" in tiny) == ("quick", False)
    assert json.loads((tmp_path / "numbers.json").read_text())["objectives"]["made with"]["quick"] is True


def test_only_keeps_the_numbers_of_the_other_figures_and_quiet_is_quiet(tmp_path, capsys, tiny):
    (tmp_path / "numbers.json").write_text(json.dumps({"annealing": {"kept": 1}, "stranger": 2}))
    assert main(["figures", "--only", "objectives", "--out", str(tmp_path), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["annealing"] == {"kept": 1}
    assert set(numbers) == {"annealing", "objectives"}


def test_every_figure_is_listed(capsys):
    assert main(["figures", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    assert all(line.endswith(e.summary) for line, e in zip(lines, EXPERIMENTS.values(), strict=True))


def test_a_list_needs_no_place_to_write_to_and_no_device(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["figures", "--list", "--out", str(tmp_path / "file" / "figures")]) == 0
    assert "gallery" in capsys.readouterr().out


def test_a_taken_port_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"--port {port}: cannot listen there" in refused(capsys, "lab", "--port", port)


@pytest.fixture
def somebody(monkeypatch):
    """Not root, whoever runs the tests."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)


def test_root_is_not_shared(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    assert "as root" in refused(capsys, "lab", "--share")


@pytest.mark.parametrize("password", ["", "short"])
def test_sharing_without_a_password_starts_nothing(password, somebody, capsys, monkeypatch):
    def started(*_: object, **__: object) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(lab, "prepare", started)
    monkeypatch.setenv(lab.PASSWORD_VARIABLE, password)
    assert main(["lab", "--share"]) == 2
    out, err = capsys.readouterr()
    assert out.strip() == lab.WHAT_SHARING_EXPOSES
    assert err.count("\n") == 1
    assert "password" in err


def test_sharing_without_a_terminal_names_the_variable(somebody, monkeypatch, capsys):
    monkeypatch.delenv(lab.PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["lab", "--share"]) == 2
    assert f"set {lab.PASSWORD_VARIABLE}" in capsys.readouterr().err


def test_no_jupyterlab_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    monkeypatch.delitem(sys.modules, "jupyterlab.labapp", raising=False)
    assert 'pip install "toylab[lab]"' in refused(capsys, "lab")


def test_a_handout_is_written_once(tmp_path, capsys):
    assert main(["handout", str(tmp_path / "class")]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert str(tmp_path / "class" / "00_start_here.ipynb") in listed
    assert all(Path(line).is_file() for line in listed)
    assert "--force" in refused(capsys, "handout", str(tmp_path / "class"))
    assert main(["handout", str(tmp_path / "class"), "--force"]) == 0


def test_a_handout_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "a_file").write_text("mine")
    for folder in ("a_file", "a_file/below"):
        assert "cannot write there" in refused(capsys, "handout", str(tmp_path / folder))
    assert (tmp_path / "a_file").read_text() == "mine"


def test_bench_hands_its_words_to_the_benchmarks_and_their_status_back(monkeypatch):
    heard = []
    monkeypatch.setattr(command, "main", lambda words: heard.append(words) or len(words))
    assert main(["bench", "speed", "--only", "mala", "--share", "0.1"]) == 5
    assert main(["bench", "seeds"]) == 1
    assert heard == [["speed", "--only", "mala", "--share", "0.1"], ["seeds"]]


@pytest.mark.parametrize(("words", "said"), [((), "memory"), (("speed", "--help"), "--share")])
def test_bench_lists_what_can_be_measured_and_its_options(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", *words])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert said in out and out.startswith("usage: python -m benchmarks")


def test_bench_takes_the_benchmarks_of_its_checkout_before_others(tmp_path, monkeypatch):
    for folder, status in (("checkout", 7), ("in the way", 8)):
        (tmp_path / folder / "benchmarks").mkdir(parents=True)
        (tmp_path / folder / "benchmarks" / "__init__.py").touch()
        (tmp_path / folder / "benchmarks" / "__main__.py").write_text(f"def main(words):\n    return {status}\n")
    (tmp_path / "checkout" / "pyproject.toml").touch()
    for module in ("benchmarks", "benchmarks.__main__"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "in the way"), *sys.path])
    monkeypatch.setattr(toylab, "__file__", str(tmp_path / "checkout" / "toylab" / "__init__.py"))
    assert main(["bench", "speed", "--share", "2"]) == 7


@pytest.mark.parametrize("there", [(), ("benchmarks/__main__.py",), ("pyproject.toml",)])
def test_bench_without_a_checkout_says_where_benchmarks_are(there, tmp_path, monkeypatch, capsys):
    """Among installed packages there may be somebody else's ``benchmarks``."""
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(toylab, "__file__", str(tmp_path / "toylab" / "__init__.py"))
    assert "in a checkout of its source" in refused(capsys, "bench", "speed", "--share", "2")
