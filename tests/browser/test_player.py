"""A film saved as a page, in Chromium: played, paused, scrubbed by keyboard, with words for each frame; no network."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from toylab.widgets import animate

N = 6
WORDS = [f"the dot is at <{k}> & moves" for k in range(N)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    figure = Figure()
    (dot,) = figure.add_subplot(xlim=(-1, N)).plot([0], [0], "o", ms=40)

    def draw(k):
        dot.set_data([k], [0])
        return WORDS[k]

    path = tmp_path_factory.mktemp("film") / "film.html"
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
        return page

    yield open_with
    for context in contexts:
        context.close()
    assert failures == []


def frame(page):
    return int(page.locator("input").input_value())


def test_it_plays_by_itself_and_over_again(opened):
    page = opened()
    seen = set()
    while len(seen) < N:
        seen.add(page.locator("img").get_attribute("alt"))
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
    assert frame(page) == 0 and page.locator("img").get_attribute("alt") == WORDS[0]
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "play"
    page.keyboard.press("Tab")
    slider = page.get_by_role("slider", name="frame")
    for key, k in (("ArrowRight", 1), ("End", N - 1), ("ArrowLeft", N - 2), ("Home", 0)):
        page.keyboard.press(key)
        assert frame(page) == k
        assert page.locator("img").get_attribute("alt") == slider.get_attribute("aria-valuetext") == WORDS[k]
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
        page.wait_for_function("() => document.querySelector('img').complete")
        dark = page.evaluate(
            """() => {
                const image = document.querySelector('img'), canvas = document.createElement('canvas');
                canvas.width = image.naturalWidth;
                canvas.height = image.naturalHeight;
                const context = canvas.getContext('2d');
                context.drawImage(image, 0, 0);
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
