"""The widgets in a real browser: JupyterLab on this machine alone, and the system's Chromium through Playwright.

`make test-browser` installs Playwright (its Python package; no browser is downloaded) and runs this; elsewhere it is
skipped.
"""

import functools
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from tests.browser.pages import (
    CELLS,
    LIVE,
    SIZES,
    TOKEN,
    in_theme,
    no_errors,
    of_cells,
    on_screen,
    run_all,
    screenshot,
    visited,
)
from toylab import live

ROOT = Path(__file__).parents[2]
_NUMBER = itertools.count()  # of the notebooks that tests write
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


@pytest.fixture(scope="module")
def launch():
    """Calls what starts a browser."""
    reason = "Playwright is not installed: make test-browser"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    chromium = os.environ.get("TOYLAB_CHROMIUM") or next(filter(None, found), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as runner:
        yield functools.partial(runner.chromium.launch, executable_path=chromium, args=FLAGS, headless=True)


@pytest.fixture(scope="module")
def browser(launch):
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def context(browser):
    """Pages without a network."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    yield context
    context.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pages of the live lab, on the disk."""
    folder = tmp_path_factory.mktemp("pages")
    live.write(folder)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory, browser):  # without a browser none is started
    """A JupyterLab with a notebook a widget, and settings of its own."""
    root = tmp_path_factory.mktemp("lab")
    work = root / "work"
    work.mkdir()
    for name, cell in {**CELLS, "live": LIVE}.items():
        nbformat.write(of_cells(cell), work / f"{name}.ipynb")
    settings = root / "config" / "labconfig"
    settings.mkdir(parents=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (settings / "page_config.json").write_text(json.dumps(quiet))
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "run",
        "IPYTHONDIR": "ip",
    }
    environment = {**os.environ, **{name: str(root / place) for name, place in places.items()}, "PYTHONPATH": str(ROOT)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (root / "lab.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
         f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={work}", "--ServerApp.port_retries=0",
         "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None"],
        env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=1).close()
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline, (root / "lab.log").read_text()
            time.sleep(0.1)
    yield address
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(20)
    log.close()
    said = (root / "lab.log").read_text()  # of the kernels too: an error in a widget's handler is told only there
    # a kernel that is shut down while it sends says so too, in a traceback through its own files alone
    assert not [part for part in said.split("Traceback")[1:] if "/toylab/" in part], said


@pytest.fixture(scope="module")
def page(request, lab, browser):
    """The notebook of one widget, run; afterwards a screenshot of it, and no error anywhere."""
    page = visited(lab, browser, request.param, (1250, 1000))
    page.widget, page.waits = request.param, []
    run_all(page)
    yield page
    screenshot(page, request.param)
    if folder := os.environ.get("TOYLAB_SCREENSHOTS"):
        latency = {"median wait for a picture, ms": round(1000 * statistics.median(page.waits))} if page.waits else {}
        (Path(folder) / f"{request.param}.json").write_text(json.dumps(latency) + "\n")
    page.close()


@pytest.fixture
def screen(page, request):
    """The page in a size and a theme, by their names; afterwards in the light one."""
    size, theme = request.param.split("-")
    on_screen(page, SIZES[size])
    in_theme(page, theme)
    yield size, theme
    in_theme(page, "light")


@pytest.fixture
def open_cells(lab, browser, request):
    """Yields what opens a notebook of cells in a size and a theme, by their names; afterwards no error was said."""
    size, theme = request.param.split("-")
    pages = []

    def open_notebook(*cells):
        name = f"cells_{next(_NUMBER)}"
        body = json.dumps({"type": "notebook", "content": of_cells(*cells)}).encode()
        place = f"{lab}/api/contents/{name}.ipynb?token={TOKEN}"
        urllib.request.urlopen(urllib.request.Request(place, body, method="PUT")).close()
        pages.append(visited(lab, browser, name, SIZES[size]))
        in_theme(pages[-1], theme)
        return pages[-1]

    yield open_notebook
    for page in pages:
        screenshot(page, f"{request.node.name.split('[')[0]}_{size}_{theme}")
        no_errors(page)
        in_theme(page, "light")
        page.close()


@pytest.fixture
def shot(page):
    """Save a screenshot of this name, where they are asked for."""
    return lambda name: screenshot(page, f"{page.widget}_{name}")
