"""``toylab study``, and clusters of Dask."""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from distributed import Client, LocalCluster

from toylab import study
from toylab.cli import main
from toylab.study import from_file

SWEEP = """
import torch
import beside

def cell(k, seed, generator):
    if k == 2 and beside.FAILS.exists():
        raise ArithmeticError("two")
    return {"x": k * torch.randn((), generator=generator)}

grid = {"k": [1, 2], "seed": range(3)}
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    (tmp_path / "sweep.py").write_text(SWEEP)
    (tmp_path / "beside.py").write_text("from pathlib import Path\nFAILS = Path(__file__).with_name('fails')\n")
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    return tmp_path / "sweep.py"


@pytest.fixture(scope="module")
def cluster():
    """In threads of this process, but spoken to by a socket."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0"
    ) as local:
        yield local


def refused(capsys, *arguments):
    assert main(["study", *map(str, arguments)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("toylab: ") and err.count("\n") == 1
    return err


def test_a_cluster_computes_what_a_thread_does_and_is_left_open(sweep, cluster, tmp_path, capsys):
    assert main(["study", str(sweep), "--out", str(tmp_path / "dask"), "--scheduler", cluster.scheduler_address]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'dask' / 'table.parquet'}\n"
    with ThreadPoolExecutor(1) as threads:
        study.run(*from_file.load(sweep), out=tmp_path / "one", executor=threads, progress=False)
    assert (tmp_path / "dask" / "table.parquet").read_bytes() == (tmp_path / "one" / "table.parquet").read_bytes()
    with Client(cluster) as client:
        executor = client.get_executor()
        study.run(*from_file.load(sweep), out=tmp_path / "two", executor=executor, progress=False)
        assert executor.submit(sum, [1, 2]).result(60) == 3
    assert (tmp_path / "two" / "table.parquet").read_bytes() == (tmp_path / "one" / "table.parquet").read_bytes()


def test_what_failed_is_listed_and_tried_again_when_asked_to(sweep, cluster, tmp_path, capsys):
    line = (sweep, "--out", tmp_path / "out")
    assert main(["study", *map(str, line), "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 done, 0 failed, 6 missing"
    assert not (tmp_path / "out").exists()

    (tmp_path / "fails").touch()
    there = ("--scheduler", cluster.scheduler_address, "--quiet")
    assert "3 of 6 cells failed. --list says why" in refused(capsys, *line, *there)
    assert "3 of 6 cells failed" in refused(capsys, *line, *there)
    assert main(["study", *map(str, line), "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[0] == "done     k=1, seed=0" and listed[3] == "failed   k=2, seed=0: ArithmeticError: two"
    assert listed[-1] == "3 done, 3 failed, 0 missing"

    (tmp_path / "fails").unlink()
    assert main(["study", *map(str, (*line, *there)), "--retry-failed"]) == 0
    assert [*study.states(tmp_path / "out")["state"]] == 6 * ["done"]


@pytest.mark.parametrize("moment", ["between cells", "before the first"])
def test_ctrl_c_is_130_and_the_same_line_goes_on(sweep, cluster, tmp_path, capsys, monkeypatch, moment):
    line = ["study", str(sweep), "--out", str(tmp_path / "out"), "--scheduler", cluster.scheduler_address, "--quiet"]
    run_module = sys.modules["toylab.study.run"]
    write, written = run_module.write_outcome, []

    def interrupted(*what):
        written.append(what)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(*what)

    def before(*what, **how):
        raise KeyboardInterrupt

    between = moment == "between cells"
    monkeypatch.setattr(run_module, *(("write_outcome", interrupted) if between else ("outcomes", before)))
    assert main(line) == 130
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert ("interrupted with 4 of 6 cells missing" if between else "interrupted. What is done is kept") in err
    monkeypatch.undo()
    assert main(line) == 0
    assert [*study.states(tmp_path / "out")["state"]] == 6 * ["done"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such file"),
        ("1 +", "it cannot be run (SyntaxError"),
        ("raise KeyError('x')", "it cannot be run (KeyError"),
        ("grid = {}", "it defines no cell"),
        ("def cell(generator): return {}", "it defines no grid"),
        ("def cell(generator): return {}\ngrid = {}", "grid has no names"),
        ("def cell(k): return {}\ngrid = {'k': [1]}", "cell cannot be called as"),
    ],
)
def test_a_file_that_is_no_study_is_one_line(tmp_path, capsys, text, said, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path])
    if text is not None:
        (tmp_path / "bad.py").write_text(text)
    assert said in refused(capsys, tmp_path / "bad.py", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_study_in_the_folder_is_one_line(sweep, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text("{}")
    assert "is no manifest of a study" in refused(capsys, sweep, "--out", tmp_path / "out")
    (tmp_path / "file").touch()
    assert "no file can be written there" in refused(capsys, sweep, "--out", tmp_path / "file")


def test_a_scheduler_that_does_not_answer_is_one_line(sweep, tmp_path, capsys, monkeypatch):
    """Nobody listens there, somebody listens who says nothing, and what is no address."""
    monkeypatch.setattr(from_file, "PATIENCE", 0.5)
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        for where in (
            f"tcp://127.0.0.1:{silent.getsockname()[1]}",
            f"tcp://127.0.0.1:{closed.getsockname()[1]}",
            "ftp://x",
        ):
            err = refused(capsys, sweep, "--out", tmp_path / "out", "--scheduler", where)
            assert f"--scheduler {where}: no scheduler answers there within 0.5 s" in err
    assert not (tmp_path / "out").exists()
