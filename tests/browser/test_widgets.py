"""The widgets in a real browser: what is dragged, clicked, pressed and run."""

import re

import numpy as np
import pytest

from tests.browser.pages import (
    ALT,
    CELLS,
    MESSAGE,
    begin,
    changed,
    choose,
    click,
    drawn,
    everywhere,
    no_errors,
    on,
    press,
    run_all,
    settled,
)
from toylab.metrics import annealed_langevin_law
from toylab.widgets.noise_descent import EXTENT
from toylab.widgets.noise_lessons import DENSITIES, LESSONS


@everywhere
@on("explorer", "ladder", "film")
def test_sliders_move_the_picture_by_keyboard(page):
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("Home")
    picture, readout = settled(page), page.locator(".widget-readout").first.inner_text()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
        picture, seconds = changed(page, picture)
        page.waits.append(seconds)
    assert page.locator(".widget-readout").first.inner_text() != readout
    assert page.evaluate(ALT) != ""
    no_errors(page)


@everywhere
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
        page.mouse.move(x + (k if k <= 60 else 120 - k) / 2 + 40 * (k > 100), y)
    page.mouse.up()
    after = settled(page)
    assert after != before
    assert 0 < page.evaluate("window.drawn") < 100  # not a picture a movement
    words = page.evaluate(ALT)
    readout = page.locator(".widget-readout").first.inner_text()
    number = {"explorer": f"at noise {readout}", "ladder": f"Levels: {readout},", "film": f"at time {readout}"}
    assert number[page.widget] in words  # the last value, and not one of those on the way
    no_errors(page)


@everywhere
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


@everywhere
@on("explorer", "playground", "ladder", "theatre")
def test_lessons_and_a_bad_seed(page):
    options = page.get_by_label("lesson", exact=True).locator("option").all_inner_texts()
    choose(page, "lesson", options[1])
    before = settled(page)
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


@everywhere
@on("playground")
def test_play_pause_step_and_start_again(page):
    begun = begin(page, "two far modes: Langevin cannot move the weights")
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
    assert sum(float(weight.split()[1]) for weight in weights) == pytest.approx(1.0, abs=0.011)
    press(page, "start again")
    page.wait_for_function(f"() => ({ALT})().includes('after 0 steps')")
    assert settled(page) == begun
    click(page, 0.15, 0.2)
    placed, _ = changed(page, begun)
    press(page, "start everywhere")
    changed(page, placed)
    assert settled(page) == begun
    no_errors(page)


@everywhere
@on("playground")
def test_the_way_of_a_chain_is_seen_behind_it_and_bars_have_the_letters_of_their_modes(page):
    """Without noise all chains go the same way: where they began there is green, and none beside it."""
    begun = begin(page, "two far modes: Langevin cannot move the weights")
    page.get_by_label("noise", exact=True).first.uncheck()
    settled(page)
    x, y = 0.06, 0.25  # of the whole picture: far from both modes
    click(page, x, y)
    settled(page)
    for _ in range(3):
        before = settled(page)
        press(page, "step")
        changed(page, before)
    (picture,) = drawn(page)
    height, width, _ = picture.shape
    green = (picture[..., 1] > picture[..., 0] + 40) & (picture[..., 1] > picture[..., 2] + 10)
    row, column = round(y * height), round(x * width)
    assert green[row - 3 : row + 4, column - 3 : column + 4].any()
    beside = column + round(0.03 * width)
    assert not green[row - 3 : row + 4, beside - 3 : beside + 4].any()
    letters = picture[int(0.86 * height) : int(0.92 * height)].min(-1) < 120
    for left in (0.0, 0.5):  # below the bars of each sampler
        columns = letters[:, int((left + 0.372) * width) : int((left + 0.492) * width)].any(0)
        assert (np.diff(columns.astype(int)) == 1).sum() == 2
    assert "mode weights A " in page.evaluate(ALT) and "Exact: A 0.20, B 0.80; 0.25." in page.evaluate(ALT)
    page.get_by_label("noise", exact=True).first.check()
    press(page, "start everywhere")
    assert settled(page) == begun
    no_errors(page)


@everywhere
@on("theatre")
def test_with_few_data_the_loss_falls_and_the_truth_runs_away(page):
    """The points are seen; the loss ends at its least and the divergence above its own, in words and as drawn."""
    begin(page, "few data: the loss falls and the truth runs away")
    (picture,) = drawn(page)
    height, width, _ = picture.shape
    field = picture[int(0.1 * height) : int(0.98 * height), : int(0.33 * width)]
    assert (field.max(-1) < 60).sum() > 30 * 4  # each of the points has some dots
    page.evaluate("""() => {
        const image = document.querySelector('.toylab-stage img');
        window.said = [];
        new MutationObserver(() => window.said.push(image.alt)).observe(image, { attributeFilter: ['alt'] });
    }""")
    press(page, "train")
    page.wait_for_function(f"() => ({ALT})().startsWith('After 200 steps')", timeout=60_000)
    page.locator("button:enabled", has_text="train").wait_for()  # with that the training has ended
    said = [words for words in dict.fromkeys(page.evaluate("() => window.said")) if words.startswith("After")]
    divergences, least, losses = (
        [float(re.split("[,;]|[.]$", words.split(it)[1])[0]) for words in said]
        for it in ("divergence of ", "lowest ", "constant ")
    )
    assert losses[-1] < min(losses[:-1]) and divergences[-1] > 1.2 * least[-1]
    settled(page)
    (picture,) = drawn(page)
    curve = picture[int(0.1 * height) : int(0.7 * height), int(0.75 * width) :]
    line = np.abs(curve - [0x66, 0x11, 0x44]).max(-1) < 60
    highest = [np.nonzero(column)[0].min() for column in line.T if column.any()]
    assert highest[-1] < max(highest) - 3  # in dots: it has turned up again
    no_errors(page)


@everywhere
@on("film")
def test_play_runs_the_film(page):
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("Home")
    picture, play = settled(page), page.locator(".jupyter-widget-play button, .widget-play button").first
    play.click()
    for _ in range(3):
        picture, seconds = changed(page, picture)
        page.waits.append(seconds)
    play.click()
    no_errors(page)


@everywhere
@on("theatre")
def test_a_training_is_seen_and_stopped(page):
    picture = begin(page, "sliced matching, from samples alone")
    press(page, "train")
    for _ in range(3):
        picture, seconds = changed(page, picture)
        page.waits.append(seconds)
    press(page, "stop")
    page.wait_for_function(f"() => ({MESSAGE})().includes('interrupted after')")
    press(page, "train")
    page.wait_for_function(f"() => ({ALT})().startsWith('After 200 steps')", timeout=60_000)
    assert float(page.evaluate(ALT).split("divergence of ")[1].split(",")[0]) < 0.8  # 1.56 for a score of zero
    no_errors(page)


@everywhere
@on("ladder")
def test_a_ladder_is_run(page):
    before = begin(page, "the ladder of the paper")
    press(page, "run")
    changed(page, before)
    page.wait_for_function(f"() => ({ALT})().includes('larger mode')")
    share = float(page.evaluate(ALT).split("larger mode ")[1].split(" ")[0])
    ladder = LESSONS["the ladder of the paper"]
    law = annealed_langevin_law(
        DENSITIES[ladder.density], ladder.sigmas, step_size=ladder.rate, n_steps=ladder.n_steps, extent=EXTENT
    )
    exact = float(law.mode_weights[-1, 1])  # not the law's 0.8, but that of the sampler itself
    assert share == pytest.approx(exact, abs=0.0005 + 5.1 * (0.25 / 1280) ** 0.5)
    no_errors(page)


@everywhere
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
