"""The live lab under the hand: what a pointer, a finger, a lesson and an address do to its instruments."""

import pytest

from tests.browser.live_pages import address_of, opened


@pytest.fixture
def open_page(context, folder):
    """Opens an instrument by its name, at an address; afterwards no error was said."""
    openings = []

    def open_page(name, address="", where=context):
        openings.append(opened(where, folder, name))
        return next(openings[-1])(address)

    yield open_page
    for opening in openings:
        next(opening, None)


def state(page):
    return page.evaluate("() => window.toylab().state()")


@pytest.fixture(scope="module")
def plain(launch):
    """A browser that drops addresses beyond 200 in 10 s, as those of students do and Playwright's own does not."""
    browser = launch(ignore_default_args=["--disable-ipc-flooding-protection"])
    yield browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    browser.close()


def test_the_address_has_the_last_place_after_many(open_page, plain):
    page = open_page("editor", "#modes=1,0,0,1,1,0&at=0,0", plain)
    page.locator("canvas").focus()
    for k in range(260):
        page.keyboard.press("ArrowRight" if k % 40 < 20 else "ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert state(page)["at"] == [[4, 0.2]]
    page.wait_for_function("() => location.hash.endsWith('at=4,0.2')", timeout=1000)
    page.reload()
    page.wait_for_function("() => window.toylab && window.toylab()")
    assert state(page)["at"] == [[4, 0.2]]


def test_an_address_that_is_asked_for_is_not_written_over(open_page):
    """Where the last state before it is still to be kept."""
    page = open_page("playground", "#density=ring&n=100")
    seed = page.get_by_label("seed", exact=True)
    for value in ("5", "6", "7"):
        seed.fill(value)
        seed.press("Enter")
    page.evaluate("() => { location.hash = '#density=grid&n=50'; }")
    page.wait_for_function("() => window.toylab().state().density === 'grid'")
    assert address_of(page) == "#density=grid&n=50" and state(page)["seed"] == 0


def canvas_of(page):
    return page.locator("canvas.plane").first


def at(page, x, y):
    """The pixel of a place in the editor's picture."""
    box = canvas_of(page).bounding_box()
    return box["x"] + (x + 6) / 12 * box["width"], box["y"] + (6 - y) / 12 * box["height"]


@pytest.fixture(params=[1280, 390])
def sized(context, request):
    """Opens an instrument in a width."""

    def sized(page):
        page.set_viewport_size({"width": request.param, "height": 844})
        page.wait_for_timeout(50)
        return page

    return sized


def test_the_picture_stays_under_the_hand(open_page, sized):
    """A mode that is taken hold of at its middle and moved by 4 pixels is moved by 4 pixels, whatever is said above."""
    page = sized(open_page("editor"))
    for mistake in ("", "x"):  # a message beside the box is taken back once the mode is moved
        page.get_by_label("x", exact=True).fill(mistake or "2.5")
        page.get_by_label("x", exact=True).press("Enter")
        before, pixel = canvas_of(page).bounding_box(), 12 / canvas_of(page).bounding_box()["width"]
        y, (u, v) = state(page)["modes"][1]["y"], at(page, 2.5, state(page)["modes"][1]["y"])
        page.mouse.move(u, v)
        page.mouse.down()
        page.mouse.move(u, v + 4, steps=4)
        assert canvas_of(page).bounding_box() == before
        page.mouse.up()
        mode = state(page)["modes"][1]
        assert mode["y"] == pytest.approx(y - 4 * pixel, abs=0.02) and mode["x"] == pytest.approx(2.5, abs=0.02)


def test_the_picture_stays_where_it_is_when_the_first_point_is_drawn(open_page, sized):
    page = sized(open_page("editor"))
    page.get_by_role("button", name="draw points").click()
    canvas_of(page).scroll_into_view_if_needed()
    before, (u, v) = canvas_of(page).bounding_box(), at(page, 1, -1)
    page.mouse.move(u, v)
    page.mouse.down()
    assert canvas_of(page).bounding_box() == before
    page.mouse.up()
    assert state(page)["points"] == [[pytest.approx(1, abs=0.05), pytest.approx(-1, abs=0.05)]]
    assert canvas_of(page).bounding_box() == before


SETTINGS = {  # of each instrument: a lesson, a box, and what is typed there
    "playground": ("cold", "seed", "7"),
    "trainer": ("few", "seed", "7"),
    "film": ("untrained", "seed", "7"),
    "editor": ("stretched", "weight", "7"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_question_of_a_lesson_stays_while_settings_are_changed(open_page, name):
    """Also in a link; until another lesson, or none, or another law is chosen."""
    lesson, box, value = SETTINGS[name]
    page = open_page(name)
    chosen, question = page.get_by_label("lesson", exact=True), page.locator(".question")
    chosen.select_option(lesson)
    asked, set_by_lesson = question.inner_text(), state(page)
    for given in (value, "8"):
        page.get_by_label(box, exact=True).fill(given)
        page.get_by_label(box, exact=True).press("Enter")
    changed = state(page)
    assert question.inner_text() == asked and chosen.input_value() == lesson and changed != set_by_lesson
    again = open_page(name, address_of(page))
    assert state(again) == changed
    assert again.locator(".question").inner_text() == asked
    assert again.get_by_label("lesson", exact=True).input_value() == lesson
    again.get_by_role("button", name="reset", exact=True).click()
    assert state(again) == set_by_lesson and again.locator(".question").inner_text() == asked
    if name == "editor":
        again.get_by_role("button", name="draw points").click()
    else:
        again.get_by_label("density", exact=True).select_option("grid")
    assert question.inner_text() == asked and again.locator(".question").inner_text() == ""
    assert again.get_by_role("button", name="reset", exact=True).count() == 0
    assert "lesson" not in address_of(again)
    chosen.select_option("")
    assert question.inner_text() == "" and state(page)["lesson"] == ""


@pytest.mark.parametrize("name", SETTINGS)
def test_a_lesson_by_its_address(open_page, name):
    """Its name alone sets all; a name that is none is refused; on another law it asks nothing."""
    lesson, _, _ = SETTINGS[name]
    page = open_page(name, f"#lesson={lesson}")
    page.get_by_role("button", name="reset", exact=True).click()
    assert state(open_page(name, f"#lesson={lesson}")) == state(page) and "?" in page.locator(".question").inner_text()
    page = open_page(name, "#lesson=constructor")
    first = page.get_by_label("lesson").locator("option").nth(1).get_attribute("value")
    words = f"lesson is “constructor”: give one of {first}"
    assert words in page.locator(".toylab-live > .message").inner_text()
    assert page.locator(".question").inner_text() == ""
    if name != "editor":
        assert open_page(name, f"#lesson={lesson}&density=grid").locator(".question").inner_text() == ""


@pytest.mark.parametrize(
    ("name", "play", "lesson"),
    [("playground", "play", "near"), ("trainer", "train", "sliced"), ("film", "play", "rough")],
)
def test_a_lesson_that_is_chosen_stands_at_its_start(open_page, name, play, lesson):
    page = open_page(name)
    page.get_by_role("button", name=play, exact=True).click()
    page.get_by_role("button", name="pause", exact=True).wait_for()
    page.get_by_label("lesson", exact=True).select_option(lesson)
    page.get_by_role("button", name=play, exact=True).wait_for()
    assert "play=1" not in address_of(page) and state(page)["play"] == ""


def test_what_is_drawn_stays_in_the_picture(open_page):
    """However far the pointer goes; the address is read again as it is."""
    page = open_page("playground", "#density=ring&n=100")
    box = canvas_of(page).bounding_box()
    stroke(page, box["x"] + 20, box["y"] + 20, 3000, 3000)
    start = state(page)["start"]
    assert start[-1] == [6, -6] and all(abs(v) <= 6 for place in start for v in place)
    assert state(open_page("playground", address_of(page)))["start"] == start
    page = open_page("editor")
    stroke(page, *at(page, 3, 0), 4000, 0)
    assert state(page)["at"] == [[6, 6]]
    page.get_by_role("button", name="draw points").click()
    stroke(page, *at(page, 3, 0), 4000, 0)
    points = state(page)["points"]
    assert points[-1] == [6, 6] and all(abs(v) <= 6 for place in points for v in place)
    again = open_page("editor", address_of(page))
    assert state(again)["points"] == points and again.locator(".toylab-live > .message").inner_text() == ""


def stroke(page, u, v, to_u, to_v, **button):
    page.mouse.move(u, v)
    page.mouse.down(**button)
    page.mouse.move(to_u, to_v, steps=10)
    page.mouse.up(**button)


def test_what_lies_out_of_sight_is_told(open_page):
    page = open_page("editor", "#points=1,2;7,0;-3,-12&sigma=0.5&at=0,9")
    assert "2 of the points lie, the cross lies outside what is shown, ±6." in page.locator(".numbers").inner_text()
    page = open_page("playground", "#density=two_modes&start=-8,-8;0,0")
    assert page.locator(".note").inner_text() == ""
    page.get_by_label("density", exact=True).select_option("ring")  # which is shown up to 6
    words = "1 of the places where chains start lies outside what is shown."
    assert page.locator(".note").inner_text() == words


def test_only_the_main_button_draws(open_page):
    for name, part in (("playground", "start"), ("editor", "at")):
        page = open_page(name, "#sigma=0.5")
        before, box = state(page), canvas_of(page).bounding_box()
        for button in ("right", "middle"):
            stroke(page, box["x"] + 50, box["y"] + 50, box["x"] + 90, box["y"] + 60, button=button)
        assert state(page) == before
        stroke(page, box["x"] + 50, box["y"] + 50, box["x"] + 90, box["y"] + 60)
        assert state(page)[part] != before[part]


def test_starts_do_not_cover_the_chains(open_page):
    """They are drawn before the first step alone; one mode, so that no letter has their colour."""
    page = open_page(
        "playground",
        "#density=gaussian&n=50&start=" + ";".join(f"{x / 8},{y}" for x in range(-25, 25) for y in (-2, 1)),
    )
    dark = """() => {
        const canvas = document.querySelector("canvas.plane"), copy = new OffscreenCanvas(canvas.width, canvas.height);
        const context = copy.getContext("2d");
        context.drawImage(canvas, 0, 0);
        const { data } = context.getImageData(0, 0, copy.width, copy.height);
        const isInk = (i) => Math.max(data[i], data[i + 1], data[i + 2]) < 60 && data[i + 3] > 100;
        return Array.from({ length: data.length / 4 }, (_, i) => isInk(4 * i)).filter(Boolean).length;
    }"""
    assert page.evaluate(dark) > 100
    page.get_by_role("button", name="step", exact=True).click()
    assert page.evaluate(dark) == 0


@pytest.mark.parametrize(
    ("name", "label", "given", "said"),
    [
        ("playground", "chains", "2,000", "“2,000”: write 2000, or 2 if that is meant."),
        ("playground", "chains", "1.000", "“1.000”: write 1000, or 1 if that is meant."),
        ("trainer", "seed", "2,500", "“2,500”: write 2500."),
        ("film", "steps of training", "1,000", "“1,000”: write 1000, or 1 if that is meant."),
        ("trainer", "learning rate", "1,000", "“1,000”: write 1000, or 1.000 if that is meant."),
        ("editor", "weight", "1.000,5", "“1.000,5”: give a number from 0.001 to 1000."),
    ],
)
def test_a_number_that_can_be_read_in_two_ways_is_refused(open_page, name, label, given, said):
    page = open_page(name)
    before, box = state(page), page.get_by_label(label, exact=True)
    box.fill(given)
    box.press("Enter")
    assert page.locator(f"#{box.get_attribute('aria-describedby')}").inner_text() == said and state(page) == before


def test_numbers_are_read_as_the_widgets_of_the_kernel_read_them(open_page):
    page = open_page("editor")
    box = page.get_by_label("angle °", exact=True)
    for given, meant in (("1,5", 1.5), ("−20", -20), ("1.000", 1), ("0,125", 0.125), ("12,5", 12.5)):
        box.fill(given)
        box.press("Enter")
        assert state(page)["modes"][0]["angle"] == meant


@pytest.fixture(scope="module")
def phone(browser):
    context = browser.new_context(
        viewport={"width": 390, "height": 600}, device_scale_factor=2, has_touch=True, is_mobile=True, offline=True
    )
    yield context
    context.close()


def fingers(page, *paths):
    """Fingers that go along paths of the same length, all at once; what is under them is in sight."""
    send = page.context.new_cdp_session(page).send
    for k, places in enumerate(zip(*paths, strict=True)):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        send("Input.dispatchTouchEvent", {"type": "touchMove" if k else "touchStart", "touchPoints": points})
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(100)


def path(start, end, n=12):
    return [tuple(a + (b - a) * k / n for a, b in zip(start, end, strict=True)) for k in range(n + 1)]


@pytest.mark.parametrize("name", ["playground", "editor"])
def test_a_finger_scrolls_taps_and_draws(open_page, phone, name):
    page = open_page(name, "#sigma=0.5", phone)
    canvas_of(page).scroll_into_view_if_needed()
    part, before, scrolled = {"playground": "start", "editor": "at"}[name], state(page), page.evaluate("() => scrollY")
    box = canvas_of(page).bounding_box()
    u, v = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers(page, path((u, v), (u + 8, v + 100)))
    assert state(page) == before and page.evaluate("() => scrollY") < scrolled - 50
    canvas_of(page).scroll_into_view_if_needed()
    box = canvas_of(page).bounding_box()
    u, v = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers(page, path((u, v), (u + 3, v + 2), 2))
    assert len(state(page)[part]) == 1 and state(page)[part][0] == pytest.approx([0, 0], abs=0.1)
    scrolled = page.evaluate("() => scrollY")
    fingers(page, path((u, v), (u + 90, v + 10)) + path((u + 90, v + 10), (u + 90, v + 100)))  # sideways first
    drawn = state(page)[part]
    assert page.evaluate("() => scrollY") == scrolled
    assert len(drawn) > 10 if name == "playground" else drawn[0][1] < -1


def test_a_finger_holds_a_mode_and_draws_points_in_any_direction(open_page, phone):
    page = open_page("editor", "#modes=1,0,0,1,1,0&sigma=0.5", phone)
    canvas_of(page).scroll_into_view_if_needed()
    scrolled = page.evaluate("() => scrollY")
    fingers(page, path(at(page, 0, 0), at(page, 0, -3)))
    mode = state(page)["modes"][0]
    assert (mode["x"], mode["y"]) == (pytest.approx(0, abs=0.05), pytest.approx(-3, abs=0.1))
    page.get_by_role("button", name="draw points").tap()
    canvas_of(page).scroll_into_view_if_needed()
    fingers(page, path(at(page, 2, 3), at(page, 2, -3)), path(at(page, -4, 3), at(page, -4, -3)))
    points = state(page)["points"]
    assert len(points) > 8 and all(x == pytest.approx(2, abs=0.1) for x, _ in points)  # the second finger draws nothing
    assert page.evaluate("() => scrollY") <= scrolled + 1


def test_two_fingers_place_nothing(open_page, phone):
    page = open_page("playground", "#density=ring&n=50", phone)
    canvas_of(page).scroll_into_view_if_needed()
    box = canvas_of(page).bounding_box()
    u, v = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers(page, path((u, v), (u - 40, v - 40)), path((u + 40, v + 40), (u + 80, v + 80)))
    assert state(page)["start"] == []
