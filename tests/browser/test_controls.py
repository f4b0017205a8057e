"""The controls in a real browser: exact values, lists that stay, numbers as meant, messages in their place, Run All."""

from pathlib import Path

import nbformat
import pytest

from tests.browser.pages import (
    ALT,
    CELLS,
    CONTRAST,
    SCREENS,
    changed,
    choose,
    everywhere,
    no_errors,
    on,
    press,
    run_all,
    settled,
)

ROOT = Path(__file__).parents[2]
WAIT = """
import time
from ipywidgets.widgets.widget import _instances
from toylab.widgets.stage import Stage
stage = [widget for widget in _instances.values() if isinstance(widget, Stage)][-1]
before, deadline = stage.png, time.monotonic() + 50
while stage.png == before and time.monotonic() < deadline:
    time.sleep(0.01)
print("the widget waits for this cell" if stage.png == before else "the widget has answered")
"""
ASKED = {  # of each widget, something that changes its picture
    "explorer": lambda page: right(page),
    "playground": lambda page: press(page, "start everywhere") or press(page, "step"),
    "theatre": lambda page: choose(page, "activation", "ReLU"),
    "ladder": lambda page: press(page, "run"),
    "film": lambda page: right(page),
}


def right(page):
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")


def box(page, label):
    return page.get_by_label(label, exact=True).first


def type_in(page, label, text):
    box(page, label).fill(text)
    box(page, label).press("Enter")


def told(page, label):
    """The message that the box is described by, for whoever cannot see it."""
    return page.locator(f"#{box(page, label).get_attribute('aria-describedby')}")


def under_the_picture(page):
    return page.locator(".toylab-message[role=status]").last


def lesson(page):
    return page.get_by_label("lesson", exact=True).evaluate("list => list.selectedOptions[0]?.label ?? 'nothing'")


@everywhere
@on("explorer", "playground", "ladder", "theatre")
def test_the_list_stays_on_the_lesson_until_something_is_changed(page):
    settled(page)
    assert lesson(page) != "nothing"
    for option in page.get_by_label("lesson", exact=True).locator("option").all_inner_texts()[1:]:
        choose(page, "lesson", option)
        settled(page)  # and whatever the sliders had to report is reported
        assert lesson(page) == option
    densities = page.get_by_label("density", exact=True).locator("option").all_inner_texts()
    now = page.get_by_label("density", exact=True).evaluate("list => list.selectedIndex")
    choose(page, "density", densities[now - 1])
    handle = page.get_by_label("lesson", exact=True).element_handle()
    page.wait_for_function("([list, was]) => list.selectedOptions[0]?.label !== was", arg=[handle, option])
    assert lesson(page) != "nothing"
    choose(page, "lesson", option)  # the same again
    settled(page)
    assert lesson(page) == option
    no_errors(page)


@everywhere
@on("explorer")
def test_a_slider_has_exactly_what_a_lesson_sets(page):
    curve, data = "a curve: the score grows like 1/σ", "a data set: the posterior mean snaps to a point"
    for option, sigma in ((curve, "0.05"), (data, "0.15")):
        choose(page, "lesson", option)
        page.wait_for_function(f"() => ({ALT})().includes('at noise {sigma}.')")
        settled(page)
        assert page.locator(".widget-readout").first.inner_text() == sigma
        assert f"at noise {sigma}." in page.evaluate(ALT)
    no_errors(page)


@everywhere
@on("playground")
def test_a_number_is_read_as_meant_or_refused_beside_its_box(page):
    width = page.viewport_size["width"]
    label = "step size ε"
    for text, shown in (("1,5", "1.5"), (" 2 ", "2"), ("1e-3", "0.001")):
        type_in(page, label, text)
        page.wait_for_function(f"() => document.activeElement.value === '{shown}'")
        assert told(page, label).inner_text() == ""
        assert box(page, label).get_attribute("aria-invalid") == "false"
    kept = settled(page)
    for text in ("abc", "", "nan", "1e20", "1,000"):
        type_in(page, label, text)
        message = told(page, label)
        arg = [message.element_handle(), f"is {text or 'empty'}:"]
        page.wait_for_function("([message, text]) => message.innerText.includes(text)", arg=arg)
        assert "0.001 stays in use" in message.inner_text()
        assert message.get_attribute("role") == "alert"
        assert box(page, label).get_attribute("aria-invalid") == "true"
        assert message.evaluate(CONTRAST) > 7
        place, words = box(page, label).bounding_box(), message.bounding_box()
        assert 0 <= words["y"] - place["y"] - place["height"] < 12  # right under it
        assert words["x"] < place["x"] + place["width"] and place["x"] < words["x"] + words["width"]
        assert words["x"] + words["width"] <= width
        assert under_the_picture(page).inner_text() == ""
    assert settled(page) == kept
    type_in(page, label, "0,1")
    page.wait_for_function("message => message.innerText === ''", arg=told(page, label).element_handle())
    box(page, label).press("ArrowUp")
    page.wait_for_function("() => document.activeElement.value === '0.11'")
    no_errors(page)


@everywhere
@on("ladder")
def test_messages_are_where_they_belong(page):
    choose(page, "lesson", "the ladder of the paper")
    kept = settled(page)
    page.locator(".noUi-handle").nth(3).focus()
    page.keyboard.press("End")  # the last level is the largest now
    beside = page.locator(".toylab-message[role=alert]", has_text="decreases")
    beside.wait_for()
    slider, words = page.locator(".noUi-target").nth(3).bounding_box(), beside.bounding_box()
    assert 0 <= words["y"] - slider["y"] < 40
    assert words["x"] < slider["x"] + slider["width"] and slider["x"] < words["x"] + words["width"]
    assert under_the_picture(page).inner_text() == ""
    assert settled(page) == kept
    choose(page, "lesson", "too few levels for the steps")
    beside.wait_for(state="detached")
    type_in(page, "step size α / σ²", "100")
    press(page, "run")
    under_the_picture(page).filter(has_text="diverged").wait_for()
    assert under_the_picture(page).bounding_box()["y"] > page.locator(".toylab-stage").bounding_box()["y"] + 100
    assert all(text == "" for text in page.locator(".toylab-message[role=alert]").all_inner_texts())
    no_errors(page)


FOCUS = """() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.activeElement, style = getComputedStyle(element);
  let behind = element.closest('.toylab-row') ?? document.body; // the outline lies around the control
  while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const [a, b] = [style.outlineColor, getComputedStyle(behind).backgroundColor].map(light);
  return {
    kind: element.className.match(/noUi-handle/) ? 'slider' : element.type ?? element.tagName,
    inside: element.closest('.toylab-row') !== null,
    width: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
    contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05),
  };
}"""


@everywhere
@on("explorer", "playground")
def test_the_control_that_has_the_focus_is_seen(page, screen, shot):
    """By Tab from the first control on: an outline of two pixels or more, 3 to 1 against the ground (WCAG 2.2)."""
    page.get_by_label("lesson", exact=True).focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    kinds = set()
    while (focus := page.evaluate(FOCUS))["inside"]:
        assert focus["width"] >= 2 and focus["contrast"] >= 3, focus
        kinds.add(focus["kind"])
        if focus["kind"] == "slider":
            shot(f"focus_{'_'.join(screen)}")
        page.keyboard.press("Tab")
    assert kinds >= {"select-one", "text", "checkbox", "slider"}
    assert "submit" in kinds or "button" in kinds
    no_errors(page)


FAMILY = """
from toylab.densities import ring
from toylab.widgets import Family, score_explorer

def rings(radius, n_modes=8, std=0.3):
    if radius < 1:
        raise ValueError("no ring as small as that")
    return ring(n_modes, radius, std)

score_explorer(Family(rings, radius=(0.5, 6.0), n_modes=[2, 4, 8], std=(0.1, 1.0)))
"""


@pytest.mark.parametrize("open_cells", [*SCREENS, "phone-light", "phone-dark"], indirect=True)
def test_the_sliders_of_a_family_by_keyboard(open_cells):
    page = open_cells(FAMILY)
    run_all(page)
    before = settled(page)
    radius = page.locator(".noUi-handle").first
    radius.focus()
    page.keyboard.press("ArrowRight")
    before, _ = changed(page, before)
    page.keyboard.press("Home")
    message = page.locator(".toylab-message", has_text="no ring as small as that")
    message.wait_for()
    assert settled(page) == before
    widget, words = page.locator(".toylab-widget").bounding_box(), message.bounding_box()
    for slider in page.locator(".widget-slider").all()[:3]:  # all are seen, and the message is below them
        box = slider.bounding_box()
        assert box["x"] + box["width"] <= widget["x"] + widget["width"] + 1
        assert 0 <= words["y"] - box["y"] < 120
    page.keyboard.press("End")
    changed(page, before)
    message.wait_for(state="detached")


@pytest.mark.parametrize("open_cells", SCREENS, indirect=True)
@pytest.mark.parametrize("widget", ASKED)
def test_after_run_all_a_widget_answers_while_cells_run_and_wait(open_cells, widget):
    """The cell after the widget ends when the widget has answered: a widget that waits for the cell never does."""
    page = open_cells(CELLS[widget], WAIT, "print('the last one')")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    changed(page, "")
    ASKED[widget](page)
    said = page.locator(".jp-OutputArea-output pre")
    said.filter(has_text="the widget").wait_for(timeout=60_000)
    assert said.filter(has_text="the widget").inner_text().strip() == "the widget has answered"
    said.filter(has_text="the last one").wait_for()


@pytest.mark.parametrize("open_cells", SCREENS, indirect=True)
def test_the_lesson_of_the_widgets_can_be_used_while_its_later_cells_run(open_cells):
    """Of lesson 10, run whole: the first widget has answered before the last cell has ended."""
    lesson = nbformat.read(ROOT / "notebooks" / "10_playground.ipynb", 4)
    page = open_cells(*(cell.source for cell in lesson.cells if cell.cell_type == "code"))
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    before, _ = changed(page, "")
    right(page)
    changed(page, before)
    last = page.locator(".jp-OutputArea-output pre", has_text="frames of the diffusion")
    assert last.count() == 0
    last.wait_for(timeout=120_000)
    assert page.locator(".toylab-stage img").count() == 5
