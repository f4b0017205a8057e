"""The live lab in headless Chromium, drawn by software: frames a second, the longest gap, weight, first frame, memory.

The playground with 2,000 particles a sampler on the ring of eight plays for some seconds, at first alone and then while
its noise slider is dragged; then the film. Afterwards all that move play side by side for ten minutes, and what their
pages hold in memory once the garbage is collected is read each minute. Each row has its goal. It needs Playwright and a
Chromium (`make test-browser`).
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
FILM = "#density=two_far_modes&way=flow&nData=20&n=300&train=0&seed=0&speed=0.1"
MOVING = {
    "playground": (ADDRESS, "play"),
    "trainer": ("#density=two_near_modes&objective=denoising", "train"),
    "film": (FILM.replace("speed=0.1", "speed=1"), "play"),
}
MINUTES = 10
GOALS = {
    "frames a second": 30.0,
    "longest gap, ms": 100.0,
    "page, kB": 500.0,
    "first frame, s": 1.0,
    "memory gained, MB": 1.0,
}
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
  return [frames / seconds, gap];
}"""


def run(share: float) -> dict[str, Any]:
    """Thirty seconds of each and ten minutes of all, or ``share`` of them.

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
        rate, gap = page.evaluate(_COUNT, seconds)
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
        dragged, dragged_gap = page.evaluate("() => window.counted")
        page.goto(pages["film"].as_uri() + FILM)
        page.wait_for_function("() => window.toylab().film().errors")
        page.get_by_role("button", name="play", exact=True).click()
        film, film_gap = page.evaluate(_COUNT, min(seconds, 15.0))  # it lasts 17
        page.close()
        memory = _memory(browser, pages, max(2, round(MINUTES * share)))
        browser.close()
        weights = {name: round(path.stat().st_size / 1e3, 1) for name, path in pages.items()}
    return {
        "made with": made_with(share),
        "seconds": seconds,
        "goals": GOALS,
        "playing": {"frames a second": round(rate, 1), "longest gap, ms": round(gap, 1)},
        "dragged": {"frames a second": round(dragged, 1), "longest gap, ms": round(dragged_gap, 1)},
        "page, kB": weights,
        "film": {"frames a second": round(film, 1), "longest gap, ms": round(film_gap, 1)},
        "first frame, s": round(first, 2),
        "memory, MB, by the minute": memory,
    }


def _memory(browser: Any, pages: dict[str, Path], minutes: int) -> dict[str, list[float]]:  # noqa: ANN401
    """What the page of each instrument holds, in MB, at the end of each minute, without garbage."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    held: dict[str, list[float]] = {name: [] for name in MOVING}
    shown = {}
    for name, (address, button) in MOVING.items():
        shown[name] = page = context.new_page()
        page.goto(pages[name].as_uri() + address)
        page.get_by_role("button", name=button, exact=True).click()
    for _ in range(minutes):
        end = time.perf_counter() + 60
        while time.perf_counter() < end:
            for name, (_, button) in MOVING.items():
                play = shown[name].get_by_role("button", name=button, exact=True)
                if play.count():  # a film that has ended
                    play.click()
            time.sleep(1)
        for name, page in shown.items():
            session = context.new_cdp_session(page)
            session.send("HeapProfiler.collectGarbage")
            held[name].append(round(session.send("Runtime.getHeapUsage")["usedSize"] / 1e6, 2))
            session.detach()
    return held
