"""A film saved as a page, in Chromium: played, paused, scrubbed by keyboard, with words for each frame; no network."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from toylab.widgets import animate

N = 6
WORDS = [f"the dot is at <{k}> & moves" for k in range(N)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Six frames of 520 x 390 pixels, of which a large picture holds four, two by two."""
    figure = Figure()
    (dot,) = figure.add_subplot(xlim=(-1, N)).plot([0], [0], "o", ms=40)

    def draw(k):
        dot.set_data([k], [0])
        return WORDS[k]

    path = tmp_path_factory.mktemp("film") / "film.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["toylab.widgets.animate"], "_SHEET", (1100, 800))
        animate(figure, draw, N, interval=60).save(path)
    return path


@pytest.fixture
def opened(browser, saved):
    """Yields what opens the page; afterwards no error was said."""
    contexts, failures = [], []

    def open_with(**settings):
        contexts.append(browser.new_context(offline=True, **settings))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda line: failures.append(line.text))
        page.goto(saved.as_uri())
        if settings.get("java_script_enabled", True):
            picture(page).wait_for()
        return page

    yield open_with
    for context in contexts:
        context.close()
    assert failures == []


def picture(page):
    return page.locator("canvas[role=img]")


def frame(page):
    return int(page.locator("input").input_value())


def test_it_plays_by_itself_and_over_again(opened):
    page = opened()
    seen = set()
    while len(seen) < N:
        seen.add(picture(page).get_attribute("aria-label"))
    assert seen == set(WORDS)
    page.get_by_role("button", name="pause").click()
    k = frame(page)
    page.wait_for_timeout(200)
    assert frame(page) == k
    page.get_by_role("button", name="play").click()
    page.wait_for_function(f"() => document.querySelector('input').value != {k}")


def test_by_keyboard_alone_where_motion_is_not_wanted(opened):
    page = opened(reduced_motion="reduce")
    page.wait_for_timeout(200)
    assert frame(page) == 0 and picture(page).get_attribute("aria-label") == WORDS[0]
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "play"
    page.keyboard.press("Tab")
    slider = page.get_by_role("slider", name="frame")
    for key, k in (("ArrowRight", 1), ("End", N - 1), ("ArrowLeft", N - 2), ("Home", 0)):
        page.keyboard.press(key)
        assert frame(page) == k
        assert picture(page).get_attribute("aria-label") == slider.get_attribute("aria-valuetext") == WORDS[k]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('input').value > 0")
    slider.press("End")  # and so it stands
    page.wait_for_timeout(200)
    assert frame(page) == N - 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_each_frame_is_the_picture_that_was_drawn(opened, scheme, width):
    """The dot lies where its frame has it; the page is as wide as the window."""
    page = opened(reduced_motion="reduce", color_scheme=scheme, viewport={"width": width, "height": 700})
    middles = []
    for k in range(N):
        page.locator("input").fill(str(k))
        dark = page.evaluate(
            """() => {
                const shown = document.querySelector('canvas'), canvas = document.createElement('canvas');
                canvas.width = shown.width;
                canvas.height = shown.height;
                const context = canvas.getContext('2d');
                context.drawImage(shown, 0, 0);
                const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
                const blue = [];
                for (let i = 0; i < data.length; i += 4) {
                  if (data[i + 2] > data[i] + 60) blue.push((i / 4) % canvas.width);
                }
                return blue.reduce((sum, x) => sum + x, 0) / blue.length;
            }"""
        )
        middles.append(dark)
    steps = np.diff(middles)
    assert steps.min() > 0 and np.allclose(steps, steps.mean(), rtol=0.05)
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_without_scripts_the_first_frame_is_there(opened):
    page = opened(java_script_enabled=False)
    first = page.get_by_role("img", name=WORDS[0])
    assert first.is_visible() and first.bounding_box()["width"] == 520
