"""The live lab under the hand: what a pointer, a finger, a lesson and an address do to its instruments."""

import pytest

from tests.browser.live_pages import link, opened
from toylab import live


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
    assert link(page) == "#density=grid&n=50" and state(page)["seed"] == 0
