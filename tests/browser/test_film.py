"""The diffusion film of the live lab in Chromium: its network, training and paths are those of this library."""

import math
import re
from pathlib import Path

import pytest
import torch

from tests.browser.live_pages import address_of, calls, contrast, numbers, opened
from toylab import live
from toylab.densities import Points, ring
from toylab.networks import NoiseConditionalMLP
from toylab.objectives import NoiseConditional, UniformTimes
from toylab.sde import VP, score_at
from toylab.training import fit

ROOT = Path(__file__).parents[2]
TWO = "density=two_far_modes&nData=20&n=50&train=40&seed=3"


@pytest.fixture(scope="module")
def filming(context):
    """Calls JavaScript in which the modules of the film are known."""
    names = "GaussianMixture, Generator, NoiseConditionalMLP, VP, noiseConditional, oneCycle, newFilm, making, errorAt"
    yield from calls(context, "film_run", names)


@pytest.fixture
def film(context, folder):
    yield from opened(context, folder, "film")


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def normals(seed, n):
    return torch.randn(2 * n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).view(n, 2)


@pytest.mark.parametrize(("width", "depth"), [(5, 1), (64, 3)])
def test_a_network_is_that_of_the_library_forwards_and_backwards(filming, width, depth):
    """At levels from 0.01 to 150, those of the diffusion; derivatives of a loss against autograd."""
    sigma = [10 ** (-2 + 4.2 * i / 19) for i in range(20)]
    found = filming(
        """([width, depth, sigma]) => {
            const normals = (seed) => new Generator(seed).normals(new Float64Array(40));
            const network = new NoiseConditionalMLP(width, depth, new Generator(5));
            const s = network.forward(normals(6), sigma);
            network.backward(normals(7));
            return [[...s], ...network.gradients.map((g) => [...g])];
        }""",
        [width, depth, sigma],
    )
    network = NoiseConditionalMLP(width, depth, generator=torch.Generator().manual_seed(5)).double()
    s = network(normals(6, 20), tensor(sigma))
    exact = [s, *torch.autograd.grad((s * normals(7, 20)).sum(), list(network.parameters()))]
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(tensor(one), other.detach().flatten(), rtol=1e-9, atol=1e-9)


def test_the_loss_is_that_of_the_library(filming):
    found = filming(
        """() => {
            const network = new NoiseConditionalMLP(16, 2, new Generator(1)), g = new Generator(3);
            const x = new Generator(2).normals(new Float64Array(200));
            const loss = noiseConditional(network, x, new VP(), g);
            return [[loss], ...network.gradients.map((one) => [...one])];
        }"""
    )
    network = NoiseConditionalMLP(16, 2, generator=torch.Generator().manual_seed(1)).double()
    objective = NoiseConditional(UniformTimes(VP()))
    loss = objective(network, normals(2, 100), generator=torch.Generator().manual_seed(3)).mean()
    exact = [loss, *torch.autograd.grad(loss, list(network.parameters()))]
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(tensor(one), other.detach().flatten(), rtol=1e-9, atol=1e-12)


def test_whole_numbers_are_those_of_torch(filming):
    for high in (1, 7, 20, 200):
        found = filming(
            "([n]) => { const g = new Generator(9); return [...Array(50)].map(() => g.integer(n)); }", [high]
        )
        assert found == torch.randint(high, (50,), generator=torch.Generator().manual_seed(9)).tolist()


def made(page):
    """Wait until the whole film is made."""
    page.wait_for_function("() => window.toylab().film().errors", timeout=60_000)
    page.wait_for_function("() => window.toylab().film().columns.learned.path.length === 101")
    return page


@pytest.mark.parametrize("train", [0, 40])
@pytest.mark.parametrize("way", ["flow", "sde", "flow_forth", "sde_forth"])
def test_the_lines_of_python_give_the_very_same_points(film, way, train):
    """A training and a hundred steps in time later, in each column."""
    page = made(film(f"#{TWO.replace('train=40', f'train={train}')}&way={way}"))
    lines = re.sub(r"\)(?=\.samples|\.network)", ", progress=False)", page.locator("pre").text_content())
    exec(lines, here := {})
    for name, exact in here["ends"].items():
        found = page.evaluate(f"() => [...window.toylab().film().columns.{name}.path[100]]")
        torch.testing.assert_close(tensor(found).view(-1, 2), exact, rtol=0, atol=1e-5)


def test_how_far_the_scores_are_from_the_exact_one(filming):
    """Over the same draws, by this library; in a film forth they are those of the same times."""
    p = ring().to(torch.float64)
    found = filming(
        """([mixture]) => {
            const density = new GaussianMixture(...mixture), all = { density, nData: 10, n: 3, train: 3, seed: 4 };
            let film = newFilm({ ...all, way: "flow" });
            for (const _ of making(film));
            const forth = newFilm({ ...all, way: "sde_forth" }, film), at = [10, 60, 95];
            return {
                data: [...film.data], times: at.map((k) => film.times[k]), same: film.network === forth.network,
                back: at.map((k) => ["empirical", "learned"].map((name) => errorAt(film, name, k))),
                forth: at.map((k) => ["empirical", "learned"].map((name) => errorAt(forth, name, 100 - k))),
            };
        }""",
        [numbers(p)],
    )
    g, sde = torch.Generator().manual_seed(4), VP()
    data = p.sample((10,), generator=g)
    torch.testing.assert_close(tensor(found["data"]).view(-1, 2), data)
    network = NoiseConditionalMLP(64, generator=g).double()
    settings = {"n_steps": 3, "batch_size": 128, "generator": g, "progress": False}
    scores = Points(data).score, fit(network, NoiseConditional(UniformTimes(VP())), data, **settings).network
    g = torch.Generator().manual_seed(6)
    x0, z = p.sample((500,), generator=g), torch.randn(500, 2, dtype=torch.float64, generator=g)
    for t, back, forth in zip(found["times"], found["back"], found["forth"], strict=True):
        x = float(sde.alpha(t)) * x0 + float(sde.sigma(t)) * z
        for score, one, other in zip(scores, back, forth, strict=True):
            difference = score_at(sde, score, t)(x).detach() - score_at(sde, p.score, t)(x)
            e = 0.5 * float(sde.sigma(t)) ** 2 * difference.square().sum(-1)
            assert one["value"] == other["value"] == pytest.approx(float(e.mean()), rel=1e-6)
            assert one["standardError"] == pytest.approx(float(e.std()) / 500**0.5, rel=1e-6)
    assert found["same"]


def panel(page, title):
    return page.get_by_label(title, exact=True).and_(page.locator("section"))


def said(page, title):
    return panel(page, title).locator(".numbers").inner_text()


def test_the_numbers_beside_the_pictures(film):
    """Weights and the way to the nearest datum, at t = 0.18, from the points themselves."""
    page = made(film(f"#{TWO}&frame=60"))
    t = page.evaluate("() => window.toylab().film().times[60]")
    alpha, sigma = float(VP().alpha(t)), float(VP().sigma(t))
    p = live.LAWS["two_far_modes"].density
    data = tensor(page.evaluate("() => [...window.toylab().film().data]")).view(-1, 2)
    titles = {"exact": "the exact score", "empirical": "the score of the data", "learned": "a learned score"}
    for name, title in titles.items():
        x = tensor(page.evaluate(f"() => [...window.toylab().film().columns.{name}.path[60]]")).view(-1, 2)
        text = said(page, title)
        shares = p.scaled(alpha).noised(sigma).posterior(x)[:, 0]
        value, error = map(float, text.split("weights A ")[1].split(" (")[0].split(" ± "))
        of_data = float(p.posterior(data)[:, 0].mean())
        assert ("data" not in text.split("; ")[0]) if name == "exact" else f"(exact 0.200, data {of_data:.3f})" in text
        assert value == pytest.approx(float(shares.mean()), abs=1e-3)
        assert error == pytest.approx(float(shares.std()) / 50**0.5, abs=1e-3)
        near = torch.cdist(x / alpha, data).amin(-1).quantile(0.5)
        assert float(text.split("in the median: ")[1].split(";")[0].rstrip(".")) == pytest.approx(float(near), rel=0.06)


def test_scrubbed_played_and_by_keyboard_alone(film):
    page = made(film(f"#{TWO}&speed=2"))
    time = page.get_by_label("time t")
    time.focus()
    page.keyboard.press("End")
    page.wait_for_function("() => window.toylab().state().frame === 100")
    assert "frame=100" in address_of(page) and "t = 0.00100" in page.locator(".toylab-live > .numbers").inner_text()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => window.toylab().state().frame === 1")
    assert time.get_attribute("aria-valuetext") == f"{(1 - (1 - math.sqrt(0.001)) / 100) ** 2:.3f}"
    page.get_by_role("button", name="play", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.toylab().state().frame === 100")
    page.get_by_role("button", name="play", exact=True).wait_for()  # it has stopped by itself
    assert "at t = 0.00100 under the exact score" in panel(page, "the exact score").locator("canvas").get_attribute(
        "aria-label"
    )
    page.get_by_role("button", name="to the start").click()
    assert page.evaluate("() => window.toylab().state().frame") == 0


@pytest.mark.parametrize("by", ["a click", "a key"])
def test_scrubbed_while_it_plays(film, by):
    """It goes to that frame, and stands there."""
    page = made(film(f"#{TWO}&speed=0.1&play=1"))
    page.wait_for_function("() => window.toylab().state().frame >= 1")
    time = page.get_by_label("time t")
    if by == "a key":
        time.press("End")
    else:
        box = time.bounding_box()
        page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    page.get_by_role("button", name="play", exact=True).wait_for()
    frame = page.evaluate("() => window.toylab().state().frame")
    assert frame == 100 if by == "a key" else 80 <= frame <= 86  # the thumb has a width
    assert (
        int(time.input_value()) == frame and f"frame={frame}" in address_of(page) and "play=1" not in address_of(page)
    )


def test_modes_are_marked(film):
    """By their letters, at their places at that time, in each of the three pictures."""
    page = made(film(f"#{TWO}&frame=60"))
    found = page.evaluate(
        """() => {
            const drawn = [], text = CanvasRenderingContext2D.prototype.fillText;
            CanvasRenderingContext2D.prototype.fillText = function (words, u, v) {
                const { className, width, height } = this.canvas;
                if (className === "plane") drawn.push([words, u / width, v / height]);
                text.call(this, words, u, v);
            };
            document.querySelector(".toylab-live").dataset.theme = "dark";
            const t = window.toylab().film().times[60];
            return new Promise((done) => requestAnimationFrame(() => done([drawn, t])));
        }"""
    )
    drawn, t = found
    alpha = float(VP().alpha(t))
    assert len(drawn) == 6 and [name for name, _, _ in drawn] == list("ABABAB")
    for (_, u, v), sign in zip(drawn, [-1, 1] * 3, strict=True):
        place = (10 * u - 5, 5 - 10 * v)
        assert place == pytest.approx((sign * 2.5 * alpha, sign * 2.5 * alpha), abs=1e-9)


def test_it_plays_while_it_is_made(film):
    """What is not there yet is waited for, and said; no frame is shown before all its points are there."""
    page = film("#density=ring&nData=20&n=300&train=300&seed=0&frame=0&speed=2&play=1")
    seen = page.evaluate(
        """async () => {
            const seen = [], { state, film } = window.toylab();
            while (state().frame < 100) {
                await new Promise(requestAnimationFrame);
                const last = Math.min(...Object.values(film().columns).map(({ path }) => path.length - 1));
                seen.push([state().frame, last, document.body.innerText.includes("of 300 steps")]);
            }
            return seen;
        }"""
    )
    frames = [frame for frame, _, _ in seen]
    assert frames == sorted(frames) and any(waiting for _, _, waiting in seen)
    assert all(frame <= max(last, 0) for frame, last, _ in seen)
    made(page)
    page.get_by_role("button", name="play", exact=True).wait_for()
    assert "play=1" not in address_of(page) and "frame=100" in address_of(page)
    assert "σ²J" in said(page, "a learned score")


def test_an_address_that_is_changed_on_the_page_is_followed(film):
    page = made(film(f"#{TWO}"))
    page.evaluate("() => { location.hash = '#way=sde&train=3&nData=5'; }")
    page.wait_for_function("() => window.toylab().state().way === 'sde'")
    assert page.evaluate("() => [window.toylab().state().train, window.toylab().state().nData]") == [3, 5]
    page.evaluate("() => { location.hash = '#nData=0'; }")
    page.wait_for_function("() => document.querySelector('.toylab-live > .message').textContent.includes('nData')")
    page.get_by_label("lesson").select_option(index=2)
    assert page.locator(".toylab-live > .message").inner_text() == ""


def test_a_state_survives_its_address_and_a_network_its_way(film):
    page = made(film(f"#{TWO}&way=sde&frame=40"))
    state = page.evaluate("() => window.toylab().state()")
    page.evaluate("() => { window.before = window.toylab().film().network; }")
    page.get_by_label("points move").select_option("flow_forth")
    assert page.evaluate("() => window.toylab().film().network === window.before")
    page.get_by_label("data", exact=True).fill("21")
    page.get_by_label("data", exact=True).press("Enter")
    assert page.evaluate("() => window.toylab().film().network !== window.before")
    again = film(address_of(page))
    changed = {"way": "flow_forth", "nData": 21, "frame": 0}
    assert again.evaluate("() => window.toylab().state()") == {**state, **changed}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nData=0", "nData is “0”: give a whole number from 1 to 200"),
        ("way=sideways", "way is “sideways”: give one of flow, sde, flow_forth, sde_forth"),
        ("frame=101&train=-1", "train is “-1”"),
        ("seed=4294967295", "seed is “4294967295”: give a whole number from 0 to 4294967293"),
        ("density=__proto__", "density is “__proto__”"),
    ],
)
def test_an_address_edited_by_hand(film, address, words):
    page = film(f"#{address}")
    assert words in page.locator(".toylab-live > .message").inner_text()
    assert page.locator("canvas").count() == 4


def test_the_numbers_of_its_lessons(film):
    """Those that the page about the live lab tells, and the questions: distances to the nearest datum at the end."""
    text = (ROOT / "docs" / "live.md").read_text()
    page = made(film())
    at_the_end(page)
    near = {title: distance(page, title) for title in ("the exact score", "the score of the data", "a learned score")}
    assert list(near.values()) == ["0.22", "0.012", "0.18"]
    assert "lies 0.22 from the nearest" in text and "0.012 under that of the data" in text and "0.18 under" in text
    assert "is 0.22 from the nearest of the twenty data" in page.locator(".question").inner_text()
    page.get_by_label("lesson").select_option(label="Trained for longer: does it copy now?")
    made(page)
    at_the_end(page)
    assert distance(page, "the exact score") == "0.36" and "where a fresh draw is 0.36 away" in text
    assert distance(page, "a learned score") == "0.13" and "it is 0.13 where" in text


def at_the_end(page):
    page.get_by_label("time t").press("End")
    page.wait_for_function("() => window.toylab().state().frame === 100")


def distance(page, title):
    return said(page, title).split("in the median: ")[1].split(";")[0].rstrip(".")


def test_one_datum_and_one_point(film):
    """All flows of one datum end there."""
    page = made(film("#nData=1&n=1&train=3&frame=100&density=gaussian"))
    x, data = (
        page.evaluate(f"() => [...window.toylab().film().{part}]") for part in ("columns.empirical.path[100]", "data")
    )
    assert x == pytest.approx(data, abs=5 * float(VP().sigma(0.001)))
    assert "NaN" not in page.locator(".toylab-live").inner_text()


def test_small_numbers_are_not_shown_as_zero(film):
    page = made(film(f"#{TWO}&frame=0"))
    exact = page.evaluate("() => window.toylab().film().errors.empirical[0].value")
    shown = said(page, "the score of the data").split("σ²J = ")[1].split(" ±")[0]
    assert 0 < exact < 1e-4 and float(shown) == pytest.approx(exact, rel=0.06)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_it_fits_and_can_be_read(film, scheme, width, height):
    page = film()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    if width > 1000:
        bottom = max(box["y"] + box["height"] for box in (c.bounding_box() for c in page.locator("canvas").all()))
        assert bottom <= height
    for selector in ("label", ".question", ".numbers", "h2", "button"):
        assert contrast(page, selector) >= 4.5, selector
    page.set_viewport_size({"width": 1280, "height": 720})
    page.emulate_media(color_scheme="light")


def test_one_chain_has_no_error_of_its_own(context, folder):
    opening = opened(context, folder, "playground")
    page = next(opening)("#density=two_far_modes&n=1&a=langevin:0.05:1&b=mala:0.1:1")
    page.get_by_role("button", name="step", exact=True).click()
    text = page.locator(".toylab-live").inner_text()
    assert "weights A " in text and "NaN" not in text
    next(opening, None)
