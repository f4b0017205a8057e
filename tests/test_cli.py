import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import toylab
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


@pytest.mark.parametrize("arguments", [["--help"], ["figures", "--help"], ["bench", "--help"]])
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
