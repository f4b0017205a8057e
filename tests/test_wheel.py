"""The wheel, built and installed in a fresh environment outside the checkout, does what it promises there.

Nothing is downloaded: the fresh environment sees the dependencies of the one that runs the tests.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import threading
import time
import urllib.error
import urllib.request
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SOURCES = ("LICENSE", "README.md", "notebooks", "pyproject.toml", "setup.py", "toylab")
LESSON = "09_bug_museum.ipynb"  # the quickest to run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="stops the lab as a POSIX terminal does")]


def run(*command: object, **keywords: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, **keywords)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def status(address: str) -> int:
    """Of the page there, waiting until somebody listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=60) as page:
                return page.status
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """A folder with the source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(ROOT / name, source)
    build = f"import setuptools.build_meta as b; print(b.build_sdist({str(folder)!r}))"
    archive = folder / run(sys.executable, "-c", build, cwd=source).split()[-1]
    wheel = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, archive)
    run(sys.executable, "-m", "pip", *wheel, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The Python of a fresh environment with the wheel in it, and the variables to run it with."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home / "env", symlinks=True)
    python = home / "env" / "bin" / "python"
    install = ("install", "--quiet", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--python", python, *install)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(dependencies))  # adds the folders, and none of their .pth files
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JUPYTER", "TOYLAB", "COV"))}
    jupyter = {
        "JUPYTER_PATH": f"{sys.prefix}/share/jupyter",
        "JUPYTERLAB_DIR": f"{sys.prefix}/share/jupyter/lab",
        **{f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")},
    }
    return python, {**kept, **jupyter, "OMP_NUM_THREADS": "1"}


def test_the_wheel_holds_package_types_and_lessons_and_no_more(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {name for name in names if not name.startswith("toylab-")}
    lessons = {
        path.relative_to(NOTEBOOKS)
        for path in NOTEBOOKS.rglob("*")
        if path.suffix in (".ipynb", ".png", ".gif", ".svg")
    }
    lessons = {path for path in lessons if not path.parts[0].startswith(".")}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "toylab").rglob("*.py")}
    others = {
        path.relative_to(ROOT).as_posix()
        for kind in ("js", "css", "html")
        for path in (ROOT / "toylab").rglob(f"*.{kind}")
    }
    assert inside == modules | others | {"toylab/py.typed"} | {f"toylab/lessons/{path.as_posix()}" for path in lessons}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_distribution_can_be_built_from(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "LICENSE", f"notebooks/{LESSON}", "toylab/py.typed"} <= names


def test_a_figure_is_drawn(fresh, tmp_path):
    python, env = fresh
    find = "import importlib.util; print(importlib.util.find_spec('toylab').origin)"
    where = run(python, "-c", find, cwd=tmp_path, env=env)
    assert Path(where.strip()).is_relative_to(python.parents[1])
    run(python.with_name("toylab"), "figures", "--only", "fields", "--quiet", cwd=tmp_path, env=env)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"fields.png", "fields.svg", "numbers.json"}


@pytest.mark.nightly
def test_the_lab_copies_the_lessons_and_opens_them_and_one_runs(fresh, tmp_path):
    python, env = fresh
    command = [str(python.with_name("toylab")), "lab", "--no-browser"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=tmp_path, env=env)
    give_up = threading.Timer(240, server.kill)
    give_up.start()
    try:
        starting, copied, address = (server.stdout.readline() for _ in range(3))
        assert "token=" in address, starting + copied + address + (tmp_path / "log").read_text()
        folder = tmp_path / "toylab-lessons"
        assert copied.startswith(f"The lessons have been copied to {folder}")
        assert "/lab/tree/00_start_here.ipynb?token=" in address
        assert status(address.split()[-1]) == 200
    finally:
        server.send_signal(signal.SIGINT)
        try:
            assert server.wait(60) == 0
        finally:
            server.kill()
            server.stdout.close()
            give_up.cancel()
    assert {path.name for path in folder.glob("*.ipynb")} == {path.name for path in NOTEBOOKS.glob("*.ipynb")}
    run(python, "-m", "nbconvert", "--to", "notebook", "--execute", "--output", "done", LESSON, cwd=folder, env=env)
    cells = [cell for cell in nbformat.read(folder / "done.ipynb", as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.execution_count for cell in cells)


def test_a_handout_needs_no_checkout(fresh, tmp_path):
    python, env = fresh
    run(python.with_name("toylab"), "handout", "class", cwd=tmp_path, env=env)
    assert len([*(tmp_path / "class").glob("*.ipynb")]) == len([*NOTEBOOKS.glob("*.ipynb")])


def test_benchmarks_are_said_to_be_elsewhere(fresh, tmp_path):
    python, env = fresh
    call = [python.with_name("toylab"), "bench", "speed"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("toylab: bench: the benchmarks are not installed") and done.stderr.count("\n") == 1
