"""What the tests of the widgets in a browser have in common: the cells, and what is asked of a page.

Nothing here waits for seconds: it waits until the page shows what it should.
"""

import io
import os
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

TOKEN = "toylab-test"
SIZES = {"laptop": (1280, 720), "projector": (1920, 1080)}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
SCREENS = [f"{size}-{theme}" for size in SIZES for theme in THEMES]  # on which all is tested
SIZES["phone"] = (390, 844)
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
# Instruments that ask no kernel; the first is there twice, as two widgets with a state each
LIVE = """
from IPython.display import display
from toylab.widgets import live_editor, live_film, live_playground, live_trainer

first = live_playground(address="#density=ring&n=50&seed=1&a=mala:0.1:1&b=langevin:0.1:1")
second = live_playground(address="#density=gaussian&n=50&seed=2&a=hmc:0.1:1&b=langevin:0.1:1")
by_hand = live_editor(address="#modes=1,0,0,1,1,0&sigma=0.5&at=0,0")
learns = live_trainer(address="#density=two_near_modes&width=16&seed=3")
back = live_film(address="#density=two_far_modes&n=50&train=0&seed=4")
display(first, second, by_hand, learns, back)
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
# what the page has asked of its kernel and the kernel has not finished with, beside its cells or in them
COUNT_ASKED = """() => {
  window.asked = new Set();
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.anyMessage.connect((_, { msg, direction }) => {
    if (direction === 'send' && msg.channel === 'shell') window.asked.add(msg.header.msg_id);
    if (msg.header.msg_type === 'status' && msg.content.execution_state === 'idle') {
      window.asked.delete(msg.parent_header.msg_id);
    }
  });
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
# as many dots as are shown, or the most that are drawn
DRAWN_FOR_ITS_SIZE = """() => {
  const image = document.querySelector('.toylab-stage img'), dots = image.width * devicePixelRatio;
  return Math.abs(image.naturalWidth - dots) <= 3 || (image.naturalWidth * image.naturalHeight > 1.25e6 && dots > 1000);
}"""
ALT = "() => { const i = document.querySelector('.toylab-stage img'); return i ? i.alt : ''; }"
MESSAGE = "() => [...document.querySelectorAll('.toylab-message')].map(m => m.innerText).join('')"
# of an element with what is behind it, by the rule of WCAG 2.2
CONTRAST = """(element) => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = element;
  while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def on(*widgets):
    """The test is made on the page of each of these widgets."""
    return pytest.mark.parametrize("page", widgets, indirect=True, scope="module")


def everywhere(test):
    """The test is made on the page in both sizes and both themes, by the fixture ``screen``."""
    return pytest.mark.parametrize("screen", SCREENS, indirect=True)(pytest.mark.usefixtures("screen")(test))


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
        page.wait_for_function("() => window.asked.size === 0", timeout=60_000)
        page.wait_for_timeout(300)  # what the page itself held back until the answer came
        if (now := page.evaluate(PICTURE)) == before and page.evaluate("() => window.asked.size === 0"):
            return now
        before = now


def no_errors(page):
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.failures == []


def visited(lab, browser, name, size):
    """A page on the notebook of this name, whose kernel answers, in a window of this size."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.failures = []
    page.on("pageerror", lambda error: page.failures.append(str(error)))
    page.on("console", lambda line: page.failures.append(line.text) if is_ours(line) else None)
    page.goto(f"{lab}/doc/tree/{name}.ipynb?token={TOKEN}&reset")
    page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
    assert page.evaluate(READY)
    page.evaluate(COUNT_ASKED)
    return page


def of_cells(*cells):
    """A notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def screenshot(page, name):
    """Save one of this name, where they are asked for."""
    if folder := os.environ.get("TOYLAB_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def drawn(page, selector=".toylab-stage img"):
    """The pictures as they came, each [height, width, 3] from 0 to 255; a theme may show them inverted."""
    page.wait_for_function("(s) => [...document.querySelectorAll(s)].every(i => i.naturalWidth > 0)", arg=selector)
    files = page.evaluate(
        """(selector) => Promise.all([...document.querySelectorAll(selector)].map(async (image) =>
            [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]))""",
        selector,
    )
    return [np.asarray(Image.open(io.BytesIO(bytes(file))).convert("RGB"), dtype=float) for file in files]


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def choose(page, label, option):
    page.get_by_label(label, exact=True).select_option(label=option)


def begin(page, lesson):
    """This lesson as it is when it is chosen, whatever was done in it before."""
    options = page.get_by_label("lesson", exact=True).locator("option").all_inner_texts()
    choose(page, "lesson", next(it for it in options[1:] if it.replace("\xa0", " ") != lesson))
    settled(page)
    choose(page, "lesson", lesson)
    return settled(page)


def click(page, x, y):
    """In the picture, by shares of its width and height."""
    box = page.locator(".toylab-stage img").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def on_screen(page, size):
    """In a window of this size, with the picture drawn for it."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_function(DRAWN_FOR_ITS_SIZE)
    settled(page)


def in_theme(page, theme):
    """In the light or the dark theme of JupyterLab, which keeps it for pages that are opened later."""
    page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", THEMES[theme])
    page.wait_for_function("dark => (document.body.dataset.jpThemeLight === 'false') === dark", arg=theme == "dark")
    settled(page)
