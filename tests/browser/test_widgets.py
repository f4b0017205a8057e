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

CELLS = {
    "explorer": "from toylab.widgets import score_explorer\nscore_explorer()",
    "playground": "from toylab.widgets import langevin_playground\nlangevin_playground()",
    "theatre": "from toylab.widgets import training_theatre\ntraining_theatre(width=16, n_steps=200)",
    "ladder": "from toylab.widgets import noise_ladder\nnoise_ladder()",
    "film": """
import torch
from toylab.densities import Points
from toylab.experiments.diffusion import target
from toylab.sde import VP
from toylab.widgets import diffusion_film, record_film

def shot(g):
    p = target()
    data = Points(p.sample((24,), generator=g))
    return record_film(VP(), {"exact": (p.score, p), "empirical": (data.score, data)}, n_frames=21, generator=g)

diffusion_film({"one": shot, "other": shot})
""",
}

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
# a fingerprint of the picture, once it is loaded: its address alone changes with every drawing
PICTURE = """async () => {
  const image = document.querySelector('.toylab-stage img');
  if (!image || !image.complete || !image.naturalWidth) return '';
  const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
  let print = 0; for (const byte of bytes) print = (31 * print + byte) | 0;
  return `${bytes.length} ${print}`;
}"""
ALT = "() => { const i = document.querySelector('.toylab-stage img'); return i ? i.alt : ''; }"
MESSAGE = "() => [...document.querySelectorAll('.toylab-message')].map(m => m.innerText).join('')"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab with a notebook a widget, and settings of its own."""
    root = tmp_path_factory.mktemp("lab")
    work = root / "work"
    work.mkdir()
    for name, cell in CELLS.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip())])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, work / f"{name}.ipynb")
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
    assert "Traceback" not in said, said


def on(*widgets):
    """The test is made on the page of each of these widgets."""
    return pytest.mark.parametrize("page", widgets, indirect=True, scope="module")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(request, lab, browser):
    """The notebook of one widget, run; afterwards a screenshot of it, and no error anywhere."""
    page = browser.new_page(viewport={"width": 1250, "height": 1000})
    page.widget, page.failures, page.waits = request.param, [], []
    page.on("pageerror", lambda error: page.failures.append(str(error)))
    page.on("console", lambda line: page.failures.append(line.text) if is_ours(line) else None)
    page.goto(f"{lab}/doc/tree/{request.param}.ipynb?token={TOKEN}&reset")
    page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
    assert page.evaluate(READY)
    run_all(page)
    yield page
    folder = os.environ.get("TOYLAB_SCREENSHOTS")
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{request.param}.png"))
        latency = {"median wait for a picture, ms": round(1000 * statistics.median(page.waits))} if page.waits else {}
        (Path(folder) / f"{request.param}.json").write_text(json.dumps(latency) + "\n")
    page.close()


def is_ours(line):
    """An error in the console that is not JupyterLab's own: it logs some while it starts."""
    return line.type == "error" and ("widget" in line.text.lower() or "toylab" in line.text.lower())


def run_all(page):
    assert page.evaluate(RUN_ALL)
    changed(page, "")


def changed(page, before):
    """The picture once there is one and it is another one, and the seconds until then."""
    start = time.perf_counter()
    picture = page.evaluate(
        """async ([seen, before]) => {
            const picture = eval(seen), deadline = performance.now() + 60000;
            while (performance.now() < deadline) {
                const now = await picture();
                if (now && now !== before) return now;
                await new Promise(done => setTimeout(done, 5));
            }
            throw new Error('the picture has not changed in a minute');
        }""",
        [PICTURE, before],
    )
    return picture, time.perf_counter() - start


def settled(page):
    """The picture when the kernel has answered all that was asked of it."""
    before = page.evaluate(PICTURE)
    while True:
        page.evaluate("""async () => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            await kernel.requestExecute({ code: "pass", silent: true }).done;
        }""")
        page.wait_for_timeout(300)  # what the page itself held back until the answer came
        if (now := page.evaluate(PICTURE)) == before:
            return now
        before = now


def no_errors(page):
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.failures == []


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def choose(page, label, option):
    page.get_by_label(label, exact=True).select_option(label=option)


def click(page, x, y):
    """In the picture, by shares of its width and height."""
    box = page.locator(".toylab-stage img").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


@on("explorer", "ladder", "film")
def test_sliders_move_the_picture_by_keyboard(page):
    page.locator(".noUi-handle").first.focus()
    picture, readout = settled(page), page.locator(".widget-readout").first.inner_text()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
        picture, seconds = changed(page, picture)
        page.waits.append(seconds)
    assert page.locator(".widget-readout").first.inner_text() != readout
    assert page.evaluate(ALT) != ""
    no_errors(page)


@on("explorer", "ladder", "film")
def test_a_drag_by_mouse_ends_where_it_was_let_go_and_draws_nothing_stale(page):
    box = page.locator(".noUi-handle").first.bounding_box()
    before = settled(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate("""() => {
        const image = document.querySelector('.toylab-stage img');
        window.drawn = 0;
        new MutationObserver(() => { window.drawn += 1; }).observe(image, {attributeFilter: ['src']});
    }""")
    page.mouse.move(x, y)
    page.mouse.down()
    for k in range(1, 121):  # faster than anything can be drawn
        page.mouse.move(x + (k if k <= 60 else 120 - k) / 2 + 15 * (k > 100), y)
    page.mouse.up()
    after = settled(page)
    assert after != before
    assert 0 < page.evaluate("window.drawn") < 100  # not a picture a movement
    words = page.evaluate(ALT)
    readout = page.locator(".widget-readout").first.inner_text()
    number = {"explorer": f"at noise {readout}", "ladder": f"Levels: {readout},", "film": f"at time {readout}"}
    assert number[page.widget] in words  # the last value, and not one of those on the way
    no_errors(page)


@on("explorer")
def test_a_click_and_a_key_choose_a_place(page):
    before = settled(page)
    click(page, 0.5, 0.4)
    first, _ = changed(page, before)
    assert "At (0.0" in page.evaluate(ALT) or "At (-0.0" in page.evaluate(ALT)
    page.locator(".toylab-stage").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")  # each 2 % of the picture: 10 / .98 * .02 = .204
    page.keyboard.press("Enter")
    changed(page, first)
    at = float(page.evaluate(ALT).split("At (")[1].split(",")[0])
    assert at == pytest.approx(1.02, abs=0.06)
    assert "posterior mean" in page.locator("table").last.inner_text()
    no_errors(page)


@on("explorer", "playground", "ladder", "theatre")
def test_lessons_and_a_bad_seed(page):
    before = settled(page)
    options = page.get_by_label("lesson", exact=True).locator("option").all_inner_texts()
    choose(page, "lesson", options[2])
    changed(page, before)
    kept = settled(page)
    seed = page.get_by_label("seed", exact=True)
    seed.fill("-1")
    seed.press("Enter")
    page.wait_for_function(f"() => ({MESSAGE})().includes('seed is -1')")
    assert settled(page) == kept
    seed.fill("0")
    seed.press("Enter")
    page.wait_for_function(f"() => ({MESSAGE})() === ''")
    no_errors(page)


@on("playground")
def test_play_pause_step_and_start_again(page):
    choose(page, "lesson", "two far modes: Langevin cannot move the weights")
    begun = settled(page)
    buttons = page.locator(".jupyter-widget-play button, .widget-play button")
    buttons.first.click()
    picture = begun
    for _ in range(8):
        picture, seconds = changed(page, picture)
        page.waits.append(seconds)
    buttons.first.click()
    paused = settled(page)
    made = int(page.evaluate(ALT).split("Langevin after ")[1].split(" ")[0])
    assert made >= 40
    press(page, "step")
    changed(page, paused)
    assert int(page.evaluate(ALT).split("Langevin after ")[1].split(" ")[0]) == made + 1
    weights = page.evaluate(ALT).split("mode weights ")[1].split(";")[0].split(", ")
    assert sum(map(float, weights)) == pytest.approx(1.0, abs=0.011)
    press(page, "start again")
    page.wait_for_function(f"() => ({ALT})().includes('after 0 steps')")
    assert settled(page) == begun
    click(page, 0.15, 0.2)
    placed, _ = changed(page, begun)
    press(page, "start everywhere")
    changed(page, placed)
    assert settled(page) == begun
    no_errors(page)


@on("film")
def test_play_runs_the_film(page):
    picture = settled(page)
    page.locator(".jupyter-widget-play button, .widget-play button").first.click()
    for _ in range(3):
        picture, seconds = changed(page, picture)
        page.waits.append(seconds)
    no_errors(page)


@on("theatre")
def test_a_training_is_seen_and_stopped(page):
    choose(page, "lesson", "sliced matching, from samples alone")
    picture = settled(page)
    press(page, "train")
    for _ in range(3):
        picture, seconds = changed(page, picture)
        page.waits.append(seconds)
    press(page, "stop")
    page.wait_for_function(f"() => ({MESSAGE})().includes('interrupted after')")
    press(page, "train")
    page.wait_for_function(f"() => ({ALT})().startsWith('After 200 steps')", timeout=60_000)
    assert float(page.evaluate(ALT).split("divergence of ")[1].rstrip(".")) < 0.8  # 1.56 for a score of zero
    no_errors(page)


@on("ladder")
def test_a_ladder_is_run(page):
    choose(page, "lesson", "the ladder of the paper")
    before = settled(page)
    press(page, "run")
    changed(page, before)
    page.wait_for_function(f"() => ({ALT})().includes('larger mode')")
    share = float(page.evaluate(ALT).split("larger mode ")[1].split(" ")[0])
    assert share == pytest.approx(0.8, abs=0.084)  # six standard errors of 1,280 chains
    no_errors(page)


@on(*CELLS)
def test_run_again_leaves_one_widget_and_frees_the_rest(page):
    for _ in range(3):
        run_all(page)
        settled(page)
    assert page.locator(".toylab-stage").count() == 1
    counted = page.evaluate("""async () => {
        const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        const code = "import gc; from matplotlib.figure import Figure; gc.collect(); " +
            "print(sum(type(o) is Figure for o in gc.get_objects()))";
        const future = kernel.requestExecute({ code, silent: false, store_history: false });
        let text = '';
        future.onIOPub = message => { if (message.header.msg_type === 'stream') text += message.content.text; };
        await future.done;
        return text;
    }""")
    assert int(counted) == 1
    no_errors(page)
