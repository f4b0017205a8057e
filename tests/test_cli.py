import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import toylab
from toylab.classroom import lab
from toylab.cli import main


def toylab_command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "toylab", *arguments], capture_output=True, text=True, timeout=300)


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


def test_module_is_the_command():
    done = toylab_command("--version")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"toylab {toylab.__version__}", "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["figures", "--help"], ["bench", "--help"], ["lab", "--help"], ["handout", "--help"]]
)
def test_help_has_an_example(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
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
        (["bench"], "what"),
        (["bench", "samplers"], "samplers"),
        (["bench", "objectives", "--seeds", "0"], "0"),
        (["bench", "objectives", "--share", "2"], "2"),
        (["bench", "objectives", "--share", "none"], "none"),
        (["bench", "objectives", "--law", "moon"], "moon"),
        (["lab", "--port", "0"], "0"),
        (["lab", "--port", "web"], "web"),
        (["lab", "no such folder"], "no such folder"),
        (["handout"], "DIR"),
        (["figure"], "figure"),
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
    done = toylab_command("figures", "--out", str(tmp_path / "a_file"))
    assert done.returncode == 2
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


def test_only_keeps_the_numbers_of_the_other_figures_and_quiet_is_quiet(tmp_path, capsys):
    (tmp_path / "numbers.json").write_text(json.dumps({"annealing": {"kept": 1}, "stranger": 2}))
    assert main(["figures", "--only", "fields", "--out", str(tmp_path), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["annealing"] == {"kept": 1}
    assert set(numbers) == {"annealing", "fields"}


def test_interrupted_leaves_nothing(tmp_path, capsys, monkeypatch):
    from toylab.experiments import fields

    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fields, "run", interrupted)
    assert main(["figures", "--only", "fields", "--out", str(tmp_path / "new")]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not Path(tmp_path / "new").exists()


def test_bench_writes_the_table_and_its_numbers(tmp_path, capsys):
    arguments = ["bench", "objectives", "--law", "ring", "--seeds", "1", "--share", "0.002", "--device", "cpu"]
    assert main([*arguments, "--out", str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "objectives.json",
        "objectives.md",
        "objectives.npz",
    ]
    table = (tmp_path / "new" / "objectives.md").read_text()
    assert capsys.readouterr().out.strip() == table.strip()
    numbers = json.loads((tmp_path / "new" / "objectives.json").read_text())
    assert numbers["made with"]["seed"] == 0
    assert set(numbers) == {"ring", "made with"}
    assert all(f"| {label} |" in table for label in numbers["ring"])


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
