"""The widgets in a real browser: JupyterLab on this machine alone, and the system's Chromium through Playwright.

`make test-browser` installs Playwright (its Python package; no browser is downloaded) and runs this; elsewhere it is
skipped. Nothing here waits for seconds: it waits until the page shows what it should.
"""

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

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make test-browser")
CHROMIUM = os.environ.get("TOYLAB_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)

ROOT = Path(__file__).parents[2]
TOKEN = "toylab-test"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip

FILM = """
import torch
from toylab.densities import Points
from toylab.experiments.diffusion import target
from toylab.sde import VP
from toylab.widgets import diffusion_film, filmed

g = torch.Generator().manual_seed(0)
p = target()
data = Points(p.sample((24,), generator=g))
film = filmed(VP(), {"exact": (p.score, p), "empirical": (data.score, data)}, generator=g)
diffusion_film(film)
"""

READY = """async () => {
  const pause = (ms) => new Promise(done => setTimeout(done, ms));
  const app = window.jupyterapp; await app.restored;
  let shown;
  while (!((shown = app.shell.currentWidget) && shown.context && shown.sessionContext)) await pause(50);
  await shown.context.ready; await shown.sessionContext.ready;
  while (!(shown.sessionContext.session && shown.sessionContext.session.kernel)) await pause(50);
  await shown.sessionContext.session.kernel.info;
  return true;
}"""
RUN_ALL = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); return true; }"
PICTURE = (
    "() => { const i = document.querySelector('.toylab-film'); return i && i.complete && i.naturalWidth ? i.src : ''; }"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab with a notebook a widget, and settings of its own."""
    root = tmp_path_factory.mktemp("lab")
    work = root / "work"
    work.mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(FILM.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, work / "film.ipynb")
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


@pytest.fixture(scope="module")
def page(lab):
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.failures = []
        page.on("pageerror", lambda error: page.failures.append(str(error)))
        page.goto(f"{lab}/doc/tree/film.ipynb?token={TOKEN}&reset")
        page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
        assert page.evaluate(READY)
        assert page.evaluate(RUN_ALL)
        page.wait_for_function(f"() => ({PICTURE})() !== ''", timeout=60_000)
        yield page
        browser.close()


def changed(page, before):
    """The picture once it is another one, and the seconds until then."""
    start = time.perf_counter()
    page.wait_for_function(f"before => {{ const now = ({PICTURE})(); return now && now !== before; }}", arg=before)
    return page.evaluate(PICTURE), time.perf_counter() - start


def no_errors(page):
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.failures == []


def test_the_keyboard_moves_the_film(page):
    handle = page.locator(".noUi-handle, .widget-hslider [role=slider], .slider-container [tabindex='0']").first
    handle.focus()
    picture, readout = page.evaluate(PICTURE), page.locator(".widget-readout").first.inner_text()
    waits = []
    for _ in range(10):
        page.keyboard.press("ArrowRight")
        picture, seconds = changed(page, picture)
        waits.append(seconds)
    assert page.locator(".widget-readout").first.inner_text() != readout
    no_errors(page)
    print(f"median wait for a frame: {1000 * statistics.median(waits):.0f} ms")


def test_the_mouse_drags_it(page):
    box = page.locator(".noUi-handle").first.bounding_box()
    picture = page.evaluate(PICTURE)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 120, y, steps=6)
    page.mouse.up()
    changed(page, picture)
    no_errors(page)


def test_play_runs_it(page):
    picture = page.evaluate(PICTURE)
    page.locator(".jupyter-widget-play button, .widget-play button").first.click()
    for _ in range(3):
        picture, _ = changed(page, picture)
    no_errors(page)


def test_it_is_seen(page, request):
    """A picture for whoever wants to look: TOYLAB_SCREENSHOTS names the folder."""
    folder = os.environ.get("TOYLAB_SCREENSHOTS")
    if folder is None:
        pytest.skip("TOYLAB_SCREENSHOTS names no folder")
    Path(folder).mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(Path(folder) / "film.png"))
