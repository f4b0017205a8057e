"""The instruments of the live lab as widgets in a JupyterLab: side by side, by its theme, and by their own keys."""

import pytest

from tests.browser.pages import RUN_ALL, in_theme, no_errors, visited

WIDGETS = ("first", "second", "by_hand", "learns", "back")  # as the cell of LIVE names them, from above


@pytest.fixture(scope="module")
def notebook(lab, browser):
    """The notebook with all of them, run; afterwards no error was said."""
    page = visited(lab, browser, "live", (1250, 1000))
    page.on("console", lambda line: page.failures.append(line.text) if is_told_by_a_widget(line) else None)
    assert page.evaluate(RUN_ALL)
    page.wait_for_function("() => document.querySelectorAll('.toylab-live').length === 5", timeout=60_000)
    yield page
    no_errors(page)
    page.close()


def is_told_by_a_widget(line):
    """An error or a warning that is not JupyterLab's own: it logs some while it starts."""
    return line.type in {"error", "warning"} and any(word in line.text.lower() for word in ("widget", "toylab"))


def shown(page, name):
    return page.locator(".toylab-live").nth(WIDGETS.index(name))


def kept(page, name):
    """The address as the kernel has it."""
    text = page.evaluate(
        """async (name) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const asked = { code: "", user_expressions: { address: `${name}.address` }, store_history: false };
            const reply = await kernel.requestExecute(asked).done;
            return reply.content.user_expressions.address.data["text/plain"];
        }""",
        name,
    )
    return text.strip("'")


def until_kept(page, name, part):
    """The address in the kernel, once it has this part."""
    for _ in range(100):
        if part in (address := kept(page, name)):
            return address
        page.wait_for_timeout(50)
    raise AssertionError(f"{part} is not in {kept(page, name)}")


def numbers(page, name):
    return shown(page, name).locator(".numbers").first.inner_text()


def test_each_opens_with_what_its_address_sets(notebook):
    assert shown(notebook, "first").get_by_label("density", exact=True).input_value() == "ring"
    assert shown(notebook, "second").get_by_label("density", exact=True).input_value() == "gaussian"
    assert numbers(notebook, "by_hand").startswith("1 mode")
    assert shown(notebook, "learns").get_by_label("seed", exact=True).input_value() == "3"
    assert shown(notebook, "back").get_by_label("seed", exact=True).input_value() == "4"
    for name in WIDGETS:
        assert shown(notebook, name).locator("> .message").inner_text() == ""


def test_two_on_one_page_do_not_disturb_each_other(notebook):
    """One plays and is set otherwise; the other stays as it is, in the browser and in the kernel."""
    others = {name: (numbers(notebook, name), kept(notebook, name)) for name in WIDGETS if name != "first"}
    mine = shown(notebook, "first")
    mine.get_by_role("button", name="play", exact=True).click()
    notebook.wait_for_function("() => parseInt(document.querySelector('.toylab-live .numbers').textContent) > 20")
    mine.get_by_role("button", name="pause", exact=True).click()
    box = mine.get_by_label("chains", exact=True)
    box.fill("60")
    box.press("Enter")
    until_kept(notebook, "first", "n=60")
    assert {name: (numbers(notebook, name), kept(notebook, name)) for name in others} == others
    for attribute in ("id", "aria-describedby"):  # no label and no message of one points into another
        script = f"all => all.map((one) => one.getAttribute('{attribute}')).filter(Boolean)"
        found = notebook.locator(f".toylab-live [{attribute}]").evaluate_all(script)
        assert len(found) == len(set(found)) > 20


def test_addresses_in_the_kernel_follow_the_browser(notebook):
    seed = shown(notebook, "second").get_by_label("seed", exact=True)
    seed.fill("77")
    seed.press("Enter")
    assert "density=gaussian" in until_kept(notebook, "second", "seed=77")
    slider = shown(notebook, "by_hand").get_by_label("noise σ", exact=True)
    slider.focus()
    slider.press("End")
    until_kept(notebook, "by_hand", "sigma=10")
    shown(notebook, "learns").get_by_label("loss", exact=True).select_option("sliced")
    until_kept(notebook, "learns", "objective=sliced")


def test_each_runs(notebook):
    shown(notebook, "second").get_by_role("button", name="step", exact=True).click()
    assert numbers(notebook, "second").startswith("1 step")
    learns = shown(notebook, "learns")
    learns.get_by_role("button", name="train", exact=True).click()
    learns.locator(".numbers").filter(has_not_text="0 steps").wait_for()
    learns.get_by_role("button", name="pause", exact=True).click()
    back = shown(notebook, "back").get_by_label("time t", exact=True)
    back.focus()
    back.press("End")
    until_kept(notebook, "back", "frame=100")
    canvas = shown(notebook, "by_hand").locator("canvas")
    canvas.focus()
    canvas.press("ArrowRight")
    until_kept(notebook, "by_hand", "at=0.2,0")
    for _ in range(12):
        notebook.keyboard.press("ArrowUp")
    until_kept(notebook, "by_hand", "at=0.2,2.4")  # the last of them, though not each is sent


CELLS_AND_PLACE = """() => {
    const { model, activeCellIndex } = window.jupyterapp.shell.currentWidget.content;
    return [[...model.cells].map((cell) => [cell.type, cell.sharedModel.getSource()]), activeCellIndex];
}"""


def test_keys_that_are_typed_in_them_do_not_reach_the_notebook(notebook):
    """In a notebook whose cells are commanded by the same keys: a and b add cells, x and d d take them away."""
    notebook.evaluate("() => window.jupyterapp.commands.execute('notebook:enter-command-mode')")
    before = notebook.evaluate(CELLS_AND_PLACE)
    for selector in ("input[type=range]", "input[type=text]", "select", "button", "canvas.plane[tabindex]", "summary"):
        control = shown(notebook, "first").locator(f"{selector}:visible").first
        control.focus()
        for key in ("a", "b", "x", "m", "ArrowDown", "ArrowUp", "d", "d"):
            notebook.keyboard.press(key)
            assert notebook.evaluate(CELLS_AND_PLACE) == before, (selector, key)
            assert control.evaluate("(control) => control === document.activeElement"), (selector, key)


@pytest.mark.parametrize("theme", ["light", "dark", "light"])
def test_they_are_light_or_dark_with_jupyterlab(notebook, theme):
    in_theme(notebook, theme)
    ground = "rgb(22, 24, 27)" if theme == "dark" else "rgb(255, 255, 255)"
    for name in WIDGETS:
        element = shown(notebook, name).element_handle()
        notebook.wait_for_function(
            "([e, ground]) => getComputedStyle(e).backgroundColor === ground", arg=[element, ground]
        )
