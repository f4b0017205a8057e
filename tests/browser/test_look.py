"""How the widgets look in a real browser: on two screens, in both themes, at 150 % and in large type."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.test_controls import SIZES, THEMES
from tests.browser.test_widgets import CELLS, browser, changed, lab, no_errors, on, page, settled

__all__ = ["browser", "lab", "page"]  # the fixtures

IMAGE = ".toylab-stage img"


def on_screen(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    settled(page)


def in_theme(page, theme):
    page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    page.wait_for_function(
        f"() => document.body.dataset.jpThemeLight === '{str(theme.endswith('Light')).lower()}'", timeout=30_000
    )
    settled(page)


def save(page, shots, name):
    if shots:
        page.screenshot(path=f"{shots}/{name}.png")


@pytest.fixture(scope="module")
def shots():
    import os
    from pathlib import Path

    folder = os.environ.get("TOYLAB_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return folder


@on(*CELLS)
@pytest.mark.parametrize("size", SIZES)
def test_the_picture_fills_the_width_or_the_height_and_is_drawn_for_it(page, size, shots):
    """As wide as the output, or as high as leaves the controls on the screen; no wider than drawn, up to the most."""
    on_screen(page, SIZES[size])
    box = page.locator(IMAGE).bounding_box()
    output = page.locator(".jp-OutputArea-output").first.bounding_box()
    high = max(300, SIZES[size][1] - 330)
    wide = min(output["width"], high * box["width"] / box["height"])
    beside = 0.6 if page.widget == "explorer" else 0.9  # its numbers stand beside the picture
    assert box["width"] >= beside * wide
    page.wait_for_function(f"() => document.querySelector('{IMAGE}').naturalWidth >= {0.8 * box['width']}")
    save(page, shots, f"{page.widget}_{size}")
    no_errors(page)


@on("playground")
def test_both_samplers_are_seen_with_their_controls_on_a_small_screen(page):
    on_screen(page, SIZES["laptop"])
    page.evaluate("() => document.querySelector('.toylab-widget').scrollIntoView()")
    box = page.locator(IMAGE).bounding_box()
    assert box["y"] + box["height"] <= SIZES["laptop"][1]
    assert all(row.bounding_box()["y"] >= 0 for row in page.locator(".toylab-row").all())


@on(*CELLS)
def test_controls_are_whole_at_150_percent(page, shots):
    """A window of 1280 x 720 at 150 % has 853 x 480 pixels of the page: rows wrap, and nothing lies over anything."""
    on_screen(page, (853, 480))
    output = page.locator(".jp-OutputArea-output").first.bounding_box()
    boxes = []
    for control in page.locator(".toylab-row > *").all():
        box = control.bounding_box()
        assert box["x"] + box["width"] <= output["x"] + output["width"] + 1, control.inner_text()
        boxes.append(box)
    for k, a in enumerate(boxes):
        for b in boxes[k + 1 :]:
            apart = (
                a["x"] + a["width"] <= b["x"] + 1
                or b["x"] + b["width"] <= a["x"] + 1
                or a["y"] + a["height"] <= b["y"] + 1
                or b["y"] + b["height"] <= a["y"] + 1
            )
            assert apart
    for label in page.locator(".toylab-row label").all():
        assert label.evaluate("(e) => e.scrollWidth <= e.clientWidth + 1"), label.inner_text()
    save(page, shots, f"{page.widget}_150")


@on(*CELLS)
@pytest.mark.parametrize("theme", THEMES)
def test_the_picture_is_dark_in_a_dark_theme_and_hues_stay(page, theme, shots):
    on_screen(page, SIZES["laptop"])
    in_theme(page, theme)
    pixels = np.asarray(Image.open(io.BytesIO(page.locator(IMAGE).screenshot())).convert("RGB")).astype(float)
    paper = np.median(pixels.reshape(-1, 3), axis=0) if page.widget != "theatre" else pixels[3, 3]
    assert (paper.mean() > 200) == theme.endswith("Light")
    assert (paper.mean() < 60) == theme.endswith("Dark")
    save(page, shots, f"{page.widget}_{theme.split()[-1]}")
    in_theme(page, THEMES[0])
    no_errors(page)


@on(*CELLS)
def test_large_type(page, shots):
    on_screen(page, SIZES["projector"])
    page.wait_for_function(f"() => (i => i.naturalWidth >= 0.8 * i.width)(document.querySelector('{IMAGE}'))")
    before = settled(page)
    label = page.locator(".toylab-row label").first
    height = label.bounding_box()["height"]
    switch = page.get_by_role("button", name="large type")
    switch.click()
    changed(page, before)
    page.wait_for_function("() => document.querySelector('.toylab-projected')")
    assert label.bounding_box()["height"] > 1.2 * height
    large = settled(page)
    save(page, shots, f"{page.widget}_large")
    switch.click()
    changed(page, large)
    page.wait_for_function("() => !document.querySelector('.toylab-projected')")
    assert label.bounding_box()["height"] == pytest.approx(height, abs=1)
    no_errors(page)
