"""The live lab in headless Chromium, drawn by software: frames a second, the longest gap, weight, and the first frame.

The playground with 2,000 particles a sampler on the ring of eight plays for some seconds, at first alone and then while
its noise slider is dragged; each row has its goal. It needs Playwright and a Chromium (`make test-browser`).
"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import made_with
from toylab import live

ADDRESS = "#density=ring&n=2000&a=langevin:0.05:1&b=mala:0.05:1"
GOALS = {"frames a second": 30.0, "longest gap, ms": 100.0, "page, kB": 500.0, "first frame, s": 1.0}
_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_COUNT = """async (seconds) => {
  let frames = 0, gap = 0, last = performance.now();
  const begun = last;
  while (performance.now() - begun < 1000 * seconds) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gap = Math.max(gap, now - last);
    last = now;
    frames += 1;
  }
  return [frames / seconds, gap, performance.memory ? performance.memory.usedJSHeapSize / 1e6 : null];
}"""


def run(share: float) -> dict[str, Any]:
    """Thirty seconds of each, or ``share`` of them.

    Raises:
        SystemExit: where there is no Playwright or no Chromium.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        raise SystemExit("live needs Playwright: make test-browser installs it.") from None
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = os.environ.get("TOYLAB_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        raise SystemExit("live needs a Chromium: install one, or name it in TOYLAB_CHROMIUM.")
    seconds = max(2.0, 30.0 * share)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as runner:
        pages = {path.stem: path for path in live.write(Path(folder))}
        browser = runner.chromium.launch(executable_path=chromium, args=_FLAGS, headless=True)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.context.set_offline(True)
        begun = time.perf_counter()
        page.goto(pages["playground"].as_uri() + ADDRESS)
        page.wait_for_function("() => window.toylab && window.toylab()")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        first = time.perf_counter() - begun
        page.get_by_role("button", name="play", exact=True).click()
        rate, gap, memory = page.evaluate(_COUNT, seconds)
        box = page.get_by_label("noise σ", exact=True).bounding_box()
        x, y = box["x"] + 4, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.evaluate(f"() => {{ window.counted = ({_COUNT})({seconds}); }}")
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for k in (*range(40), *range(40, 0, -1)):
                page.mouse.move(x + 3 * k, y)
        page.mouse.up()
        dragged, dragged_gap, _ = page.evaluate("() => window.counted")
        page.get_by_role("button", name="start again").click()
        _, _, after = page.evaluate(_COUNT, seconds)
        browser.close()
        weights = {name: round(path.stat().st_size / 1e3, 1) for name, path in pages.items()}
    return {
        "made with": made_with(share),
        "seconds": seconds,
        "goals": GOALS,
        "playing": {"frames a second": round(rate, 1), "longest gap, ms": round(gap, 1)},
        "dragged": {"frames a second": round(dragged, 1), "longest gap, ms": round(dragged_gap, 1)},
        "page, kB": weights,
        "first frame, s": round(first, 2),
        "memory, MB": [memory and round(memory, 1), after and round(after, 1)],
    }
