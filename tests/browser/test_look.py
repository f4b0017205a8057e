"""How the widgets look in a real browser: on two screens, in both themes, at 150 %, in large type."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.pages import (
    ALT,
    CELLS,
    CONTRAST,
    DRAWN_FOR_ITS_SIZE,
    SIZES,
    changed,
    click,
    everywhere,
    no_errors,
    on,
    on_screen,
    settled,
)
from toylab import plotting

IMAGE = ".toylab-stage img"
WORDS = ".toylab-row label, .toylab-row button, .widget-readout, .toylab-words td, .toylab-message:not(:empty)"
COLOURS = (plotting.EXACT, plotting.LEARNED, plotting.ERROR, plotting.OTHER, plotting.NEUTRAL)
# of each colour and of white as the browser shows them in the picture: red, green, blue
SHOWN = """(colours) => {
  const brush = document.createElement('canvas').getContext('2d');
  brush.filter = getComputedStyle(document.querySelector('.toylab-stage img')).filter;
  return [...colours, '#ffffff'].map(colour => {
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 9, 9);
    return [...brush.getImageData(4, 4, 1, 1).data].slice(0, 3);
  });
}"""


def in_view(page):
    """The boxes of the widget, its picture and the part of the page that is seen, from the top of the widget."""
    page.evaluate("() => document.querySelector('.toylab-widget').scrollIntoView()")
    return (page.locator(it).first.bounding_box() for it in (".toylab-widget", IMAGE, ".jp-WindowedPanel-outer"))


def controls_are_whole(page):
    """No control is cut off, lies over another, or has a label that is cut."""
    widget = page.locator(".toylab-widget").bounding_box()
    boxes = [control.bounding_box() for control in page.locator(".toylab-row > *").all()]
    for k, a in enumerate(boxes):
        assert a["x"] + a["width"] <= widget["x"] + widget["width"] + 1
        for b in boxes[k + 1 :]:
            beside = a["x"] + a["width"] <= b["x"] + 1 or b["x"] + b["width"] <= a["x"] + 1
            assert beside or a["y"] + a["height"] <= b["y"] + 1 or b["y"] + b["height"] <= a["y"] + 1
    for words in page.locator(".toylab-row label, .toylab-row .widget-readout, .toylab-row button").all():
        assert words.evaluate("words => words.scrollWidth <= words.clientWidth + 1"), words.inner_text()
        if (box := words.bounding_box()) is not None:
            assert box["x"] + box["width"] <= widget["x"] + widget["width"] + 1, words.inner_text()


def light(colour):
    """Relative luminance of WCAG 2.2, of red, green, blue in 0 to 255."""
    c = np.asarray(colour) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def hue(colour):
    """In degrees."""
    r, g, b = np.asarray(colour, dtype=float)
    return np.degrees(np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b))


@everywhere
@on(*CELLS)
def test_the_picture_fills_the_width_or_the_height_and_its_controls_are_on_the_same_screen(page, screen, shot):
    shot("_".join(screen))
    widget, picture, seen = in_view(page)
    assert widget["height"] <= seen["height"]
    beside = sum(
        words.bounding_box()["width"] for words in page.locator("*:has(> .toylab-stage) ~ .toylab-words").all()
    )
    free = widget["width"] - beside * (page.widget == "explorer")
    assert picture["width"] >= 0.95 * free or widget["height"] >= 0.93 * seen["height"]
    assert picture["width"] <= widget["width"]
    controls_are_whole(page)
    no_errors(page)


@on("explorer")
def test_a_click_is_at_the_same_place_at_every_size(page):
    places = []
    for size in (SIZES["laptop"], SIZES["projector"], (853, 480)):
        on_screen(page, size)
        before = settled(page)
        click(page, 0.3, 0.25)
        places.append(page.evaluate(ALT).split("At ")[1].split(" the")[0] if changed(page, before) else "")
        click(page, 0.6, 0.7)
        settled(page)
    points = [[float(number) for number in place.strip("()").split(",")] for place in places]
    assert points == pytest.approx(np.tile(points[0], (3, 1)), abs=0.05)  # a dot or two


@everywhere
@on(*CELLS)
def test_at_150_percent_controls_are_whole_and_the_picture_is_sharp(page, screen, shot):
    """As a browser zooms: 1280 x 720 dots are 853 x 480 pixels of the page, of 1.5 dots each; the files take 340."""
    width, height = (int(side / 1.5) for side in SIZES[screen[0]])
    width -= 340
    browser = page.context.new_cdp_session(page)
    zoomed = {"width": width, "height": height, "deviceScaleFactor": 1.5, "mobile": False}
    browser.send("Emulation.setDeviceMetricsOverride", zoomed)
    page.wait_for_function("() => window.devicePixelRatio === 1.5")
    page.wait_for_function(DRAWN_FOR_ITS_SIZE)
    settled(page)
    controls_are_whole(page)
    assert page.locator(IMAGE).bounding_box()["width"] > 280
    shot(f"zoomed_{'_'.join(screen)}")
    browser.send("Emulation.clearDeviceMetricsOverride")
    no_errors(page)


@everywhere
@on(*CELLS)
def test_in_both_themes_the_picture_is_on_the_page_s_ground_and_all_is_legible(page, screen, shot):
    dark = screen[1] == "dark"
    seed, message = page.get_by_label("seed", exact=True), page.locator(".toylab-message", has_text="seed is -1")
    seed.fill("-1")
    seed.press("Enter")
    message.wait_for()
    shot(f"refused_{'_'.join(screen)}")
    for words in page.locator(WORDS).all():
        assert words.is_disabled() or words.evaluate(CONTRAST) >= 4.5, words.inner_text()
    seed.fill("0")
    seed.press("Enter")
    message.wait_for(state="detached")
    picture = np.asarray(Image.open(io.BytesIO(page.locator(IMAGE).screenshot())).convert("RGB"), dtype=float)
    ground = page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim()")
    grey = int(ground.lstrip("#")[:2], 16) if ground.startswith("#") else {"white": 255, "black": 0}[ground]
    assert np.abs(picture[2:5, 8:-8] - grey).max(axis=(1, 2)).min() < 12  # a row of paper, at its edge: no slab
    *colours, paper = page.evaluate(SHOWN, list(COLOURS))
    assert (np.mean(paper) < 40) == dark
    for name, shown in zip(COLOURS, colours, strict=True):
        real = [int(name[i : i + 2], 16) for i in (1, 3, 5)]
        bright, dim = sorted([light(shown), light(paper)], reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 3.0  # what WCAG asks of graphics
        assert name == plotting.NEUTRAL or abs((hue(shown) - hue(real) + 180) % 360 - 180) < 10
    no_errors(page)


@everywhere
@on(*CELLS)
def test_large_type_by_keyboard(page, screen, shot):
    before = settled(page)
    label, switch = page.locator(".toylab-row label").first, page.get_by_role("button", name="large type")
    height = label.bounding_box()["height"]
    switch.press("Enter")
    large, _ = changed(page, before)
    page.locator(".toylab-projected").wait_for()
    page.wait_for_function(DRAWN_FOR_ITS_SIZE)
    large = settled(page)
    shot(f"large_{'_'.join(screen)}")
    assert label.bounding_box()["height"] > 1.2 * height
    controls_are_whole(page)
    switch.press("Enter")
    changed(page, large)
    page.locator(".toylab-projected").wait_for(state="detached")
    assert label.bounding_box()["height"] == pytest.approx(height, abs=1)
    no_errors(page)
