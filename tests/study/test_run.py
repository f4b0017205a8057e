"""What a run computes, keeps and says: the same numbers wherever it is run, and what is bad in a sentence."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from toylab import ToylabWarning, densities, networks, objectives, study, training
from toylab._internal import study_worker
from toylab._internal.folder import write_whole
from toylab.study import folder as folder_module
from toylab.study.plan import plan_of, seed_of

GRID = {"a": [0.5, 2.0], "seed": range(3)}


def cell(a, seed, generator):
    """Sums whose last digits depend on the number of threads; the product is one of MKL's."""
    x = torch.randn(1 << 17, generator=generator)
    y = x.view(256, 512)
    return {"sum": a * x.sum(), "product": float((y @ y.T).sum()), "n": seed, "even": seed % 2 == 0, "y": y[:2, :3]}


def run(cell, grid, out, n=1, **settings):
    """In threads of this process, which take no time to start."""
    with ThreadPoolExecutor(n) as threads:
        return study.run(cell, grid, out=out, executor=threads, progress=False, **settings)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_table_is_the_grid_and_what_the_function_returns(tmp_path):
    table = run(cell, GRID, tmp_path / "out")
    assert [*table.columns] == ["a", "seed", "sum", "product", "n", "even"]
    assert [*table.dtypes.astype(str)] == ["float64", "int64", "float64", "float64", "int64", "bool"]
    plan, _ = plan_of(cell, GRID)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for (_, row), key, (a, seed) in zip(table.iterrows(), plan.keys(), plan.shown(), strict=True):
        expected = cell(a, seed, torch.Generator().manual_seed(seed_of(key)))
        assert {**row} == {"a": a, "seed": seed} | {k: v for k, v in expected.items() if k != "y"}
        found = study.arrays(tmp_path / "out", {"a": a, "seed": seed})
        assert [*found] == ["y"] and np.array_equal(found["y"], expected["y"].numpy())
    torch.set_num_threads(threads)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "table.parquet"), table)


def batched(width, n_seeds, generator):
    """Several networks, trained side by side in one cell."""
    p = densities.two_modes()
    network = networks.ScoreMLP(width, 1, generator=generator)
    fit = training.fit(
        network, objectives.Explicit(p.score), p, n_steps=3, batch_size=8, n_seeds=n_seeds, report_every=3,
        generator=generator, progress=False,
    )  # fmt: skip
    losses = torch.stack([history.loss[-1] for history in fit.histories])
    return {"loss": losses.mean(), "losses": losses}


def test_seeds_ride_inside_a_cell(tmp_path):
    """The losses of the networks of a cell are those of the same training outside of it, each of another network."""
    grid = {"width": [4, 8], "n_seeds": [3]}
    table = run(batched, grid, tmp_path, n=2)
    plan, _ = plan_of(batched, grid)
    for key, width, loss in zip(plan.keys(), grid["width"], table["loss"], strict=True):
        losses = study.arrays(tmp_path, {"width": width, "n_seeds": 3})["losses"]
        expected = batched(width, 3, torch.Generator().manual_seed(seed_of(key)))
        np.testing.assert_allclose(losses, expected["losses"], rtol=1e-6)
        assert losses.shape == (3,) and len({*losses.tolist()}) == 3
        assert loss == pytest.approx(losses.mean(), rel=1e-6)


def test_order_workers_and_threads_of_the_caller_change_no_bit(tmp_path):
    before = torch.get_num_threads()
    run(cell, GRID, tmp_path / "serial")
    torch.set_num_threads(2)
    try:
        run(cell, {"seed": [2, 0, 1], "a": [2.0, 0.5]}, tmp_path / "out", n=2)
        with ThreadPoolExecutor(1) as fresh:
            assert torch.get_num_threads() == fresh.submit(torch.get_num_threads).result() == 2
        run(cell, GRID, tmp_path / "out", n=2)
    finally:
        torch.set_num_threads(before)
    assert files(tmp_path / "out") == files(tmp_path / "serial")


def test_what_is_done_is_not_done_again(tmp_path):
    run(cell, GRID, tmp_path)
    there = files(tmp_path)
    with ThreadPoolExecutor(1) as closed:
        pass
    table = study.run(cell, GRID, out=tmp_path, executor=closed, progress=False)  # which would take nothing more
    assert len(table) == 6
    grown = GRID | {"seed": range(4)}
    with pytest.raises(RuntimeError, match="computes no more cells .*cannot schedule new futures"):
        study.run(cell, grown, out=tmp_path, executor=closed, progress=False)
    assert len(run(cell, grown, tmp_path)) == 8
    assert {path: there[path] for path in there if "cells" in path.parts}.items() <= files(tmp_path).items()


def counted(k, log, generator):
    with open(log, "a") as file:
        file.write(f"{k}\n")
    if k == 2:
        raise ArithmeticError("k is two")
    return {"k2": k * k}


def test_a_cell_that_fails_is_tried_again_and_its_traceback_kept(tmp_path):
    grid = {"k": range(4), "log": [str(tmp_path / "log")]}
    with pytest.warns(ToylabWarning, match="1 of 4 cells failed: study.states"):
        table = run(counted, grid, tmp_path / "out", retries=2)
    assert [*table["k2"]] == [0, 1, 9] and table["k2"].dtype == "int64"
    assert sorted(Path(tmp_path / "log").read_text().split()) == ["0", "1", "2", "2", "2", "3"]
    stands = study.states(tmp_path / "out")
    assert [*stands["state"]] == ["done", "done", "failed", "done"]
    assert stands["failure"][2].startswith("Traceback") and stands["failure"][2].endswith("ArithmeticError: k is two\n")
    assert "study_worker" not in stands["failure"][2] and "if k == 2:" not in stands["failure"][2]

    with pytest.warns(ToylabWarning, match="1 of 4 cells failed"):
        run(counted, grid, tmp_path / "out")
    assert len(Path(tmp_path / "log").read_text().split()) == 6
    with pytest.warns(ToylabWarning, match="1 of 4 cells failed"):
        run(counted, grid, tmp_path / "out", retry_failed=True, retries=0)
    assert len(Path(tmp_path / "log").read_text().split()) == 7


def lazy(k, log, generator):
    if not os.path.exists(log):
        raise ValueError("not yet")
    return {"k2": k * k}


def test_a_failed_cell_that_is_done_later_is_done(tmp_path):
    grid = {"k": [3], "log": [str(tmp_path / "log")]}
    with pytest.warns(ToylabWarning):
        assert len(run(lazy, grid, tmp_path / "out")) == 0
    (tmp_path / "log").touch()
    assert [*run(lazy, grid, tmp_path / "out", retry_failed=True)["k2"]] == [9]
    assert not [*tmp_path.rglob("*.failed")]


def returns(what, generator):
    values = {
        "nothing": None,
        "a number": 3.0,
        "a list": {"x": [1.0, 2.0]},
        "complex": {"x": 1j},
        "a complex tensor": {"x": torch.ones(2, dtype=torch.complex64)},
        "bfloat16": {"x": torch.ones(2, dtype=torch.bfloat16)},
        "objects": {"x": np.array([object()])},
        "a huge number": {"x": 2**63},
        "None": {"x": None},
        "a number for a name": {1: 1.0},
        "a name of the grid": {"what": 1.0},
        "fine": {"x": 1.0},
    }
    if what == "global":
        return {"x": torch.rand(())}
    return values[what]


SAID = {
    "nothing": "the cell returned None: return a dict",
    "a number": "the cell returned 3.0: return a dict",
    "a list": r"x is \[1.0, 2.0\], a list, which cannot be stored",
    "complex": "x is 1j, a complex, which cannot be stored",
    "a complex tensor": "x, an array of complex64, cannot be stored: return real numbers",
    "bfloat16": r"x, a tensor of torch.bfloat16, cannot be stored .*: try .float\(\)",
    "objects": "x, an array of object, cannot be stored",
    "a huge number": "x is 9223372036854775808, a int, which cannot be stored",
    "None": "x is None, a NoneType, which cannot be stored",
    "a number for a name": "the cell returned the name 1: names must be text",
    "a name of the grid": "the cell returned the name what, which the grid has already",
    "global": "the cell drew from torch's global stream",
}


def test_what_cannot_be_stored_is_a_failure_in_a_sentence_and_the_rest_is_kept(tmp_path):
    state = torch.get_rng_state()
    with pytest.warns(ToylabWarning, match=f"{len(SAID)} of {len(SAID) + 1} cells failed"):
        table = run(returns, {"what": [*SAID, "fine"]}, tmp_path)
    torch.set_rng_state(state)
    assert table.to_dict("records") == [{"what": "fine", "x": 1.0}]
    failures = study.states(tmp_path).set_index("what")["failure"]
    for what, said in SAID.items():
        assert pd.Series(failures[what]).str.contains(said).all(), failures[what]
    assert len([*tmp_path.rglob("*.json")]) == 2 and not [*tmp_path.rglob("*.npz")]


def mixed(k, generator):
    return [
        {"x": 1, "t": "a"},
        {"x": 0.5, "only": 2},
        {"x": True, "t": 3},
        {"x": float("nan")},
        {"x": np.float32(0.1)},
    ][k]


def test_columns_are_of_one_kind_and_nan_where_nothing_was_returned(tmp_path):
    table = run(mixed, {"k": range(5)}, tmp_path)
    np.testing.assert_array_equal(table["x"], [1.0, 0.5, 1.0, np.nan, float(np.float32(0.1))])
    np.testing.assert_array_equal(table["only"], [np.nan, 2.0, np.nan, np.nan, np.nan])
    assert table["t"].fillna("").tolist() == ["a", "", "3", "", ""]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), table)


def greedy(k, generator):
    return {"k2": k * k, "x": torch.full((40_000,), float(k))}  # 160 kB


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_a_sentence_and_what_is_done_is_kept(small_disk):
    grid = {"k": range(20)}
    with pytest.raises(OSError, match="it cannot be written to any more .*What was done before is kept") as caught:
        run(greedy, grid, small_disk / "out")
    assert caught.value.errno == errno.ENOSPC
    assert not [*small_disk.rglob("*.part")]
    kept = study.states(small_disk / "out")["state"]
    assert 3 <= (kept == "done").sum() <= 6 and set(kept) == {"done", "missing"}
    for k in kept.index[kept == "done"]:
        assert (study.arrays(small_disk / "out", {"k": k})["x"] == k).all()


def test_a_disk_that_fills_up_is_the_same_everywhere(tmp_path, monkeypatch):
    """The same where nothing may be mounted: the fifth file cannot be written."""
    write, written = Path.write_bytes, []

    def until_full(self, content):
        written.append(self)
        if len(written) > 5:
            write(self, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", until_full)
    with pytest.raises(OSError, match="cannot be written to any more"):
        run(cell, GRID, tmp_path / "out")
    monkeypatch.undo()
    assert not [*tmp_path.rglob("*.part")]
    assert [*study.states(tmp_path / "out")["state"]].count("done") == 2
    assert len(run(cell, GRID, tmp_path / "out")) == 6


@pytest.mark.parametrize("damage", [b"", b'{"numbers": {"su', b"\0" * 100, b"[]", b"{}"])
def test_a_file_that_is_not_whole_counts_as_missing(tmp_path, damage):
    table = run(cell, GRID, tmp_path)
    there = files(tmp_path)
    path = sorted(path for path in there if path.suffix == ".json" and "cells" in path.parts)[1]
    (tmp_path / path).write_bytes(damage)
    assert [*study.states(tmp_path)["state"]].count("missing") == 1
    pd.testing.assert_frame_equal(run(cell, GRID, tmp_path), table)
    (tmp_path / path).with_suffix(".npz").write_bytes(b"")
    assert [*study.states(tmp_path)["state"]].count("missing") == 1
    run(cell, GRID, tmp_path)
    assert files(tmp_path) == there


def test_another_study_in_the_same_folder_is_refused_before_any_work(tmp_path, monkeypatch):
    run(cell, GRID, tmp_path)
    there = files(tmp_path)

    def other(a, seed, generator):
        return {"sum": a}

    for function, grid, why in (
        (other, GRID, "of another function, cell"),
        (cell, {"a": [0.5], "seed": range(3)}, "of a grid whose a also has 2.0"),
    ):
        with pytest.raises(ValueError, match=f"which holds a study {why}.*Give another folder"):
            run(function, grid, tmp_path)
    manifest = json.loads((tmp_path / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps(manifest | {"toylab": "0.0.1"}))
    with pytest.raises(ValueError, match=r"of toylab 0\.0\.1, and this is"):
        run(cell, GRID, tmp_path)
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(ValueError, match="is no manifest of a study"):
        run(cell, GRID, tmp_path)
    (tmp_path / "study.json").write_bytes(there[Path("study.json")])
    assert files(tmp_path) == there


def test_two_runs_share_a_folder(tmp_path):
    run(cell, GRID, tmp_path / "alone")
    tables, together = [], threading.Barrier(2)

    def one():
        together.wait()
        tables.append(run(cell, GRID, tmp_path / "both"))

    runs = [threading.Thread(target=one) for _ in range(2)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    assert len(tables) == 2
    assert files(tmp_path / "both") == files(tmp_path / "alone")


def test_a_file_that_is_written_while_it_is_written_is_whole(tmp_path, monkeypatch):
    write, depth = Path.write_bytes, []

    def twice(self, content):
        n = write(self, content)
        if not depth:
            depth.append(self)
            write_whole(tmp_path, {"a": b"the same"})
        return n

    monkeypatch.setattr(Path, "write_bytes", twice)
    write_whole(tmp_path, {"a": b"the same"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"the same"}


def test_what_a_killed_run_left_half_written_is_swept_away_a_day_later(tmp_path):
    run(cell, GRID, tmp_path)
    shelf = next((tmp_path / "cells").iterdir())
    for name, age in ((".a.part", 25 * 3600), (".b.part", 0)):
        (shelf / name).write_text("half")
        os.utime(shelf / name, (then := (shelf / name).stat().st_mtime - age, then))
    run(cell, GRID, tmp_path)
    assert [path.name for path in shelf.glob(".*")] == [".b.part"]


def test_an_interrupted_run_returns_what_is_done(tmp_path, monkeypatch):
    write, written = folder_module.write_outcome, []

    def interrupted(*what):
        write(*what)
        written.append(what)
        if len(written) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["toylab.study.run"], "write_outcome", interrupted)
    with pytest.warns(ToylabWarning, match="study was interrupted after 3 of 6 cells"):
        assert len(run(cell, GRID, tmp_path)) == 3
    monkeypatch.undo()
    assert [*study.states(tmp_path)["state"]].count("done") == 4
    assert len(run(cell, GRID, tmp_path)) == 6


class Broken(ThreadPoolExecutor):
    """Breaks, or loses its scheduler, at its third cell."""

    def __init__(self, error):
        super().__init__(1)
        self.error, self.asked = error, 0

    def submit(self, function, /, *args, **kwargs):
        self.asked += 1
        if self.asked < 3:
            return super().submit(function, *args, **kwargs)
        future = Future()
        if self.error is None:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize("error", [None, BrokenExecutor("a process died")])
def test_an_executor_that_breaks_is_told_and_what_is_done_kept(tmp_path, error):
    with Broken(error) as broken, pytest.raises(RuntimeError, match="the executor computes no more cells"):
        study.run(cell, GRID, out=tmp_path, executor=broken, progress=False)
    assert len(run(cell, GRID, tmp_path)) == 6


def test_a_worker_that_dies_is_not_held_against_its_cell_at_once(tmp_path):
    class Dying(Broken):
        def submit(self, function, /, *args, **kwargs):
            self.asked += 1
            if self.asked <= self.error:
                future = Future()
                future.set_exception(RuntimeError("the machine was taken away"))
                return future
            return ThreadPoolExecutor.submit(self, function, *args, **kwargs)

    grid = {"a": [1.0], "seed": [0]}
    with Dying(5) as dying:
        assert len(study.run(cell, grid, out=tmp_path / "five", executor=dying, progress=False)) == 1
    with Dying(6) as dying, pytest.warns(ToylabWarning, match="1 of 1 cells failed"):
        study.run(cell, grid, out=tmp_path / "six", executor=dying, progress=False)
    failure = study.states(tmp_path / "six")["failure"][0]
    assert failure == "The worker died 6 times: RuntimeError: the machine was taken away"


def test_a_worker_of_another_version_computes_nothing(tmp_path):
    plan, _ = plan_of(cell, GRID)
    outcome = study_worker.run_cell(b"", {}, 0, "0.0.1", 0)
    assert outcome.failure == f"the worker has toylab {plan.toylab}, the study 0.0.1: install that there."


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"executor": 3}, "executor is 3, a int: give one of concurrent.futures"),
        ({"executor": ThreadPoolExecutor}, "executor is .*: give one of concurrent.futures"),
        ({"workers": 0}, "workers is 0"),
        ({"retries": -1}, "retries is -1"),
        ({"retries": 1.5}, "retries is 1.5"),
        ({"out": 3}, "out is 3, a int: give the name of a folder"),
        ({"grid": {"a": [threading.Lock()], "seed": [0]}}, "prints with its address"),
    ],
    ids=range(7),
)
def test_bad_input_is_told_before_any_work(tmp_path, settings, said):
    with pytest.raises((TypeError, ValueError), match=said):
        study.run(**{"cell": cell, "grid": GRID, "out": tmp_path / "out", "progress": False} | settings)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_pickled_is_told(tmp_path):
    lock = threading.Lock()

    def locked(a, generator):
        with lock:
            return {}

    with pytest.raises(TypeError, match="cell cannot be sent to a worker .*Build in the cell"):
        run(locked, {"a": [1]}, tmp_path)


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="no file can be written there"):
        run(cell, GRID, tmp_path / "file")
    for call in (lambda: study.states(tmp_path), lambda: study.arrays(tmp_path, {"a": 1})):
        with pytest.raises(ValueError, match="holds no study"):
            call()


def test_arrays_are_found_by_what_the_table_shows(tmp_path):
    table = run(cell, GRID, tmp_path)
    assert study.arrays(tmp_path, table.iloc[4][["a", "seed"]].to_dict())["y"].shape == (2, 3)
    for combination, said in (
        ({"a": 0.5}, "has no seed: give a, seed"),
        ({"a": 0.6, "seed": 1}, "a is 0.6, which is not in the grid"),
        (3, "combination is 3: give a value for each of a, seed"),
    ):
        with pytest.raises((ValueError, TypeError), match=said):
            study.arrays(tmp_path, combination)
    shutil.rmtree(tmp_path / "cells")
    with pytest.raises(ValueError, match="is not done: run the study again"):
        study.arrays(tmp_path, {"a": 0.5, "seed": 1})
