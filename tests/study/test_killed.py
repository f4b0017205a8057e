"""Killed at any moment, worker or driver, a study goes on where it was, and its folder is that of a calm run."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

from toylab import study
from toylab.study import from_file
from toylab.study.processes import Processes, WorkerDied

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL is one of POSIX")

SWEEP = """
import os, signal, time
from pathlib import Path
import torch

def cell(a, seed, generator):
    x = torch.randn(20_000, generator=generator)
    time.sleep(float(os.environ.get("CELL_SECONDS", 0)))
    for victim, number in ((a, os.getpid()), (10 * a, os.getppid())):  # a worker and a driver, once each
        mark = Path("killed", f"{victim}-{seed}")
        if mark.exists():
            mark.unlink()
            os.kill(number, signal.SIGKILL)
            time.sleep(60)
    return {"sum": (a * x).sum(), "n": seed, "x": x[:7]}

grid = {"a": [1, 2, 3, 4, 5, 6], "seed": range(10)}
"""


@pytest.fixture
def sweep(tmp_path):
    """A file with a study of sixty cells, and its folder as one calm run of one thread leaves it."""
    file = tmp_path / "sweep.py"
    file.write_text(SWEEP)
    with ThreadPoolExecutor(1) as threads:
        study.run(*from_file.load(file), out=tmp_path / "calm", executor=threads, progress=False)
    return file


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_as_calm(file):
    """No cell is lost, none is there twice, and every byte is the same, but for parts that a killed run left."""
    found = {path: content for path, content in files(file.parent / "out").items() if path.suffix != ".part"}
    calm = files(file.parent / "calm")
    assert len(calm) == 2 + 2 * 60
    return found == calm


def driver(file, *options, seconds=0.0):
    command = [sys.executable, "-m", "toylab", "study", file, "--out", file.parent / "out", "--quiet", *options]
    environment = os.environ | {
        "CELL_SECONDS": str(seconds), "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return subprocess.Popen([*map(str, command)], cwd=file.parent, env=environment, stderr=subprocess.DEVNULL)


def gone(process):
    """Whether a process has ended within a minute."""
    try:
        psutil.Process(process).wait(60)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_a_worker_and_then_the_driver_are_killed(sweep):
    (sweep.parent / "killed").mkdir()
    for mark in ("1-3", "20-5"):  # in the fourth cell, and in the sixteenth
        (sweep.parent / "killed" / mark).touch()
    killed = driver(sweep, "--workers", "1")
    assert killed.wait(300) == -signal.SIGKILL
    assert not [*(sweep.parent / "killed").iterdir()]
    assert [*study.states(sweep.parent / "out")["state"]].count("done") == 15
    with ThreadPoolExecutor(2) as threads:
        study.run(*from_file.load(sweep), out=sweep.parent / "out", executor=threads, progress=False)
    assert same_as_calm(sweep)


def workers_of(process):
    """The processes for cells of a driver that is running."""
    try:
        found = psutil.Process(process.pid).children()
        return [child.pid for child in found if "serve()" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_workers_and_drivers_are_killed_at_twenty_moments(sweep, kind, monkeypatch):
    """Each moment is a number of finished cells, and some time after it; a worker or the driver, by chance."""
    stream = random.Random(0)
    moments = sorted(stream.sample(range(58), 20))
    victims = [stream.choice(["worker", "worker", "driver"]) for _ in moments]
    assert {*victims} == {"worker", "driver"}
    monkeypatch.setenv("CELL_SECONDS", "0.3")
    local = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") if kind == "dask" else nullcontext()
    left = set()
    with local as cluster, Client(cluster) if cluster else nullcontext() as client:
        options = ["--scheduler", cluster.scheduler_address] if cluster else ["--workers", "2"]
        going = driver(sweep, *options, seconds=0.3)
        for moment, victim in zip(moments, victims, strict=True):
            while len([*(sweep.parent / "out").glob("cells/*/*.json")]) < moment:
                assert going.poll() is None
                time.sleep(0.02)
            time.sleep(stream.uniform(0, 0.3))
            if victim == "worker":
                deadline = time.monotonic() + 120
                while not (pids := _pids(client) if client else workers_of(going)):
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                os.kill(stream.choice(sorted(pids)), signal.SIGKILL)
            else:
                left |= {*workers_of(going)}
                going.kill()
                going.wait()
                going = driver(sweep, *options, seconds=0.3)
        assert going.wait(600) == 0
    assert same_as_calm(sweep)
    assert all(gone(pid) for pid in left)


def _pids(client):
    """Of the workers of a cluster that answer."""
    return [info["pid"] for info in client.run(_pid, on_error="ignore").values()]


def _pid():
    return {"pid": os.getpid()}


def test_no_process_outlives_its_executor():
    processes = Processes(1)
    future = processes.submit(print, b"", {}, 0, "0.0.1", 0)
    deadline = time.monotonic() + 60
    while not processes._processes:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (process,) = processes._processes
    processes.shutdown()
    assert process.returncode == -signal.SIGKILL
    assert isinstance(future.exception(60), WorkerDied)


def test_a_process_that_cannot_start_is_told_and_not_tried_for_ever(sweep, monkeypatch):
    monkeypatch.setattr("toylab.study.processes.COMMAND", [sys.executable, "-c", "raise SystemExit(3)"])
    cell, grid = from_file.load(sweep)
    with pytest.raises(RuntimeError, match="no process for cells comes up: the last one ended with status 3"):
        study.run(cell, grid, out=sweep.parent / "out", workers=2, progress=False)
    monkeypatch.setattr("toylab.study.processes.COMMAND", ["/bin/sh", "-c", "kill -9 $$"])
    with pytest.raises(RuntimeError, match="no process for cells comes up: the last one was ended by signal 9"):
        study.run(cell, grid, out=sweep.parent / "out", workers=2, progress=False)
    assert Path(sweep.parent / "out" / "study.json").exists()
