"""The live lab in Chromium: its mathematics against this library, and its instruments by mouse and keyboard.

No server and no kernel: the pages are opened from the disk, with the network off.
"""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from tests.browser.live_pages import RUN, address_of, calls, contrast, numbers, opened
from tests.browser.pages import CONTRAST
from toylab import live
from toylab.densities import GaussianMixture, isotropic, ring
from toylab.densities.quadrature import fisher_information
from toylab.metrics import fisher_divergence
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Sliced
from toylab.score import value_and_jvp
from toylab.sde import VP

FALSE_ALARM = 1e-7  # of each statistical test
N = 20_000


@pytest.fixture(scope="module")
def maths(context):
    """Calls JavaScript in which all modules are known."""
    names = "GaussianMixture, Generator, VP, uniform, geometric, newRun, advance, count, weights, varianceInModes"
    yield from calls(context, "playground", names)


def random_mixture(rng):
    K = rng.integers(1, 9)
    roots = rng.normal(size=(K, 2, 2)) * 10 ** rng.uniform(-1, 0.5, size=(K, 1, 1))
    covariances = roots @ roots.transpose(0, 2, 1) + 1e-3 * np.eye(2)
    return GaussianMixture(rng.dirichlet(np.ones(K)), rng.normal(size=(K, 2)) * 4, covariances)


def test_log_prob_score_and_divergence_of_random_mixtures(maths):
    """100 mixtures, 40 points each, the last ones in the far tails; clean, noised, and scaled as by an SDE."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        p, sigma, alpha = (
            random_mixture(rng),
            rng.choice([0.0, 10 ** rng.uniform(-2, 1)]),
            rng.choice([1.0, rng.uniform(0.01, 1)]),
        )
        x = torch.from_numpy(np.concatenate([rng.normal(size=(30, 2)) * 5, rng.normal(size=(10, 2)) * 1e4]))
        found = maths(
            """([mixture, alpha, sigma, x]) => {
                const law = new GaussianMixture(...mixture).moved(alpha, sigma);
                return [law.logProb(x), law.score(x), law.divergence(x)].map((values) => [...values]);
            }""",
            [numbers(p), alpha, sigma, x.flatten().tolist()],
        )
        q = p.scaled(alpha)
        for values, exact in zip(found, (q.log_prob(x, sigma), q.score(x, sigma), q.divergence(x, sigma)), strict=True):
            torch.testing.assert_close(
                torch.tensor(values, dtype=torch.float64).view_as(exact), exact, rtol=1e-6, atol=1e-9
            )


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
def test_the_random_numbers_are_those_of_torch(maths, seed):
    """Drawn in turn, in lengths that torch treats differently: below 16 one by one, above in blocks with a rest."""
    lengths = [1, 3, 15, 16, 17, 40, 2, 1000]
    found = maths(
        """([seed, lengths]) => {
            const g = new Generator(seed);
            const draw = (n, k) => (k % 2 ? g.uniforms(new Float64Array(n)) : g.normals(new Float64Array(n)));
            return lengths.map((n, k) => [...draw(n, k)]);
        }""",
        [seed, lengths],
    )
    g = torch.Generator().manual_seed(seed)
    for k, (n, values) in enumerate(zip(lengths, found, strict=True)):
        exact = (torch.rand if k % 2 else torch.randn)(n, dtype=torch.float64, generator=g)
        torch.testing.assert_close(torch.tensor(values, dtype=torch.float64), exact, rtol=0, atol=1e-14)


def test_the_sde(maths):
    sde, t = VP(), np.linspace(0.001, 1, 50)
    found = maths(
        """(times) => {
            const s = new VP();
            return times.map((t) => [s.alpha(t), s.sigma(t), s.drift(t), s.diffusion(t)]);
        }""",
        t.tolist(),
    )
    unit = torch.ones(2, dtype=torch.float64)
    exact = [
        [float(v) for v in (sde.alpha(u), sde.sigma(u), sde.drift(unit, u)[0], sde.diffusion(u))] for u in t.tolist()
    ]
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_draws_have_the_law_of_the_mixture(maths):
    """Both coordinates against the exact distribution function, and the components that they came from."""
    p = GaussianMixture([0.3, 0.7], [[-1.0, 0.0], [1.0, 2.0]], [[[0.5, 0.2], [0.2, 0.3]], [[1.0, -0.5], [-0.5, 2.0]]])
    x = np.reshape(
        maths("([m, n]) => [...new GaussianMixture(...m).sample(n, new Generator(1), 0.5)]", [numbers(p), N]), (N, 2)
    )
    for axis in (0, 1):
        assert stats.kstest(x[:, axis], lambda v, axis=axis: marginal(p.noised(0.5), axis, v)).pvalue > FALSE_ALARM


def marginal(p, axis, v):
    """The distribution function of one coordinate."""
    parts = zip(p.weights.tolist(), p.means.tolist(), p.covariances.tolist(), strict=True)
    return sum(w * stats.norm.cdf(v, m[axis], C[axis][axis] ** 0.5) for w, m, C in parts)


@pytest.mark.parametrize("sampler", ["mala", "hmc"])
def test_samplers_that_adjust_keep_the_law_at_a_step_that_is_far_too_large(maths, sampler):
    p = isotropic([[-1.0, 0.0], [1.0, 1.0]], 0.6, weights=[0.3, 0.7])
    x = np.reshape(maths(RUN, [numbers(p), {"sampler": sampler, "stepSize": 1.0}, N, 20]), (N, 2))
    for axis in (0, 1):
        assert stats.kstest(x[:, axis], lambda v, axis=axis: marginal(p, axis, v)).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("step_size", "temperature"), [(2.0, 1.0), (0.5, 2.0)])
def test_langevin_keeps_its_own_law(maths, step_size, temperature):
    """N(0, T / (1 - eps/4)) on N(0, I); the squares of N chains in both coordinates are chi-squared with 2N degrees."""
    variance = temperature / (1 - step_size / 4)
    settings = {"sampler": "langevin", "stepSize": step_size, "temperature": temperature, "from": (variance - 1) ** 0.5}
    x = np.array(maths(RUN, [numbers(isotropic([[0.0, 0.0]], 1.0)), settings, N, 20]))
    assert 2 * min(stats.chi2.cdf(s := (x**2).sum() / variance, 2 * N), stats.chi2.sf(s, 2 * N)) > FALSE_ALARM


def test_annealed_langevin_ends_in_the_law_of_its_last_level(maths):
    """On one Gaussian, after 2,000 steps at sigma = 0.1: v / (1 - eps/(4v)) with v = 1.01."""
    x = np.array(
        maths(RUN, [numbers(isotropic([[0.0, 0.0]], 1.0)), {"sampler": "annealed_langevin", "stepSize": 0.01}, N, 2400])
    )
    variance = 1.01 / (1 - 0.01 / (4 * 1.01))
    assert 2 * min(stats.chi2.cdf(s := (x**2).sum() / variance, 2 * N), stats.chi2.sf(s, 2 * N)) > FALSE_ALARM


@pytest.mark.parametrize(("sampler", "noisy"), [("reverse_sde", True), ("probability_flow", False)])
def test_diffusions_end_in_the_law_that_their_steps_have(maths, sampler, noisy):
    """On N(0, v I) each step is linear, so that the variance at the end is known exactly, steps and start included."""
    v, steps = 0.25, 200
    x = np.array(maths(RUN, [numbers(isotropic([[0.0, 0.0]], v**0.5)), {"sampler": sampler, "noise": True}, N, steps]))
    sde, times, variance = VP(), np.linspace(1, 0.001, steps + 1).tolist(), 1.0

    def rate(t, half):  # of the drift: f + c g^2 / (alpha^2 v + sigma^2)
        return float(sde.drift(torch.ones(2, dtype=torch.float64), t)[0]) + half * float(sde.diffusion(t)) ** 2 / (
            v * float(sde.alpha(t)) ** 2 + float(sde.sigma(t)) ** 2
        )

    for t, u in zip(times, times[1:], strict=False):
        h = t - u
        if noisy:
            variance = variance * (1 - h * rate(t, 1)) ** 2 + h * float(sde.diffusion(t)) ** 2
        else:
            a = -h * rate(t, 0.5)
            variance *= (1 + 0.5 * (a - h * rate(u, 0.5) * (1 + a))) ** 2
    assert 2 * min(stats.chi2.cdf(s := (x**2).sum() / variance, 2 * N), stats.chi2.sf(s, 2 * N)) > FALSE_ALARM


def test_weights_and_widths_with_their_errors(maths):
    """Of draws of the law itself: the exact ones within six standard errors, which are those of independent draws."""
    p, n = ring(8, 1.0, 0.5), 4000  # modes that overlap
    found = maths(
        """([mixture, n]) => {
            const density = new GaussianMixture(...mixture), generator = new Generator(3), extent = [-5, 5, -5, 5];
            const settings = { sampler: "langevin", sigma: 0, nTimes: 2, stepSize: 1, temperature: 1 };
            const run = newRun({ ...settings, density, generator, extent }, density.sample(n, generator));
            count(run);
            const seen = run.newer.visited.reduce((sum, one) => sum + one);
            return { weights: weights(run), variance: varianceInModes(run), x: [...run.x], seen };
        }""",
        [numbers(p), n],
    )
    r = p.posterior(torch.tensor(found["x"], dtype=torch.float64).view(n, 2))
    for k, one in enumerate(found["weights"]):
        assert one["value"] == pytest.approx(float(r[:, k].mean()), abs=1e-9)
        assert one["standardError"] == pytest.approx(float(r[:, k].std(correction=0)) / (n - 1) ** 0.5, rel=1e-6)
        assert abs(one["value"] - 1 / 8) < 6 * one["standardError"]
    assert abs(found["variance"]["value"] - 0.25) < 6 * found["variance"]["standardError"]
    assert found["seen"] == n


@pytest.fixture
def playground(context, folder):
    yield from opened(context, folder, "playground")


@pytest.fixture
def editor(context, folder):
    yield from opened(context, folder, "editor")


@pytest.fixture
def trainer(context, folder):
    yield from opened(context, folder, "trainer")


def panel(page, key):
    return page.get_by_label(f"sampler {key}", exact=True).and_(page.locator("section"))


def numbers_of(page, key):
    return panel(page, key).locator(".numbers").inner_text()


def after(page, n_steps):
    page.wait_for_function(f"() => window.toylab().panels.every(({{ run }}) => run.nSteps >= {n_steps})")


ADDRESSES = {  # and after how many steps: HMC's long walks double a rounding error every few of them
    "langevin": ("density=ring&n=500&seed=3&a=langevin:0.05:1&b=langevin:0.05:0.3", 87),
    "mala": ("density=two_near_modes&n=300&seed=4294967295&sigma=0.5&a=mala:0.4:1&b=mala:3:1", 87),
    "hmc": ("density=two_modes&n=300&seed=5&a=hmc:0.1:1&b=hmc:0.02:1", 12),
    "annealed": ("density=two_far_modes&n=200&seed=7&start=1,2;-3,0.5&a=annealed_langevin:0.01:1&b=mala:0.1:1", 87),
    "noised": ("density=two_far_modes&n=200&sigma=0.7&a=annealed_langevin:0.02:1&b=langevin:0.05:0.25", 60),
    "diffusion": ("density=two_modes&n=200&seed=1&a=reverse_sde:120:1&b=probability_flow:90:1", 87),
    "noised diffusion": ("density=ring&n=200&sigma=0.5&a=reverse_sde:50:1&b=probability_flow:40:1", 40),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_lines_of_python_give_the_very_same_chains(playground, name):
    address, n_steps = ADDRESSES[name]
    page = playground(f"#{address}")
    for _ in range(n_steps):
        page.get_by_role("button", name="step", exact=True).click()
    for key, at in (("A", 0), ("B", 1)):
        lines = panel(page, key).locator("pre").text_content().replace(").samples", ", progress=False).samples")
        exec(lines, here := {})
        found = page.evaluate(f"() => [...window.toylab().panels[{at}].run.x]")
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float64).view(-1, 2), here["x"], rtol=0, atol=1e-5)


def test_controls_of_both_samplers_stand_side_by_side(playground):
    page = playground("#a=langevin:0.05:1&b=mala:0.1:1")
    for width in (1280, 900):
        page.set_viewport_size({"width": width, "height": 720})
        a, b = (
            panel(page, key).get_by_label(f"sampler {key}").and_(page.locator("select")).bounding_box() for key in "AB"
        )
        assert a["x"] < b["x"] and a["y"] == b["y"]
    page.set_viewport_size({"width": 1280, "height": 720})


def test_play_pause_and_the_numbers_of_a_lesson(playground):
    page = playground()
    page.get_by_label("lesson").select_option(label="A step too large: which variance has Langevin?")
    page.get_by_role("button", name="play", exact=True).click()
    after(page, 200)
    page.get_by_role("button", name="pause", exact=True).click()
    for key, exact in (("A", 2.0), ("B", 1.0)):
        value, error = map(float, numbers_of(page, key).split("; variance ")[1].split(" (")[0].split(" ± "))
        assert abs(value - exact) < 6 * error + 0.001, key  # a thousandth: as rounded
    made = page.evaluate("() => window.toylab().panels[0].run.nSteps")
    page.get_by_role("button", name="step", exact=True).click()
    assert numbers_of(page, "A").startswith(f"{made + 1} steps")
    page.get_by_role("button", name="start again").click()
    assert numbers_of(page, "B").startswith("0 steps")


def test_the_keyboard_alone(playground):
    page = playground("#density=ring&n=100&a=mala:0.1:1&b=langevin:0.1:1")
    canvas = panel(page, "A").locator("canvas").first
    canvas.focus()
    for key in ["ArrowRight"] * 5 + ["ArrowUp"] * 10 + ["Enter"]:
        page.keyboard.press(key)
    assert page.evaluate("() => window.toylab().state().start") == [[pytest.approx(1.2), pytest.approx(2.4)]]
    page.keyboard.press("Space")
    after(page, 5)
    page.keyboard.press("Space")
    page.get_by_label("noise σ", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => window.toylab().state().sigma === 0.05")
    assert "sigma=0.05" in address_of(page) and "start=1.2,2.4" in address_of(page)


def test_a_start_is_clicked_and_drawn(playground):
    page = playground("#density=gaussian&n=100")
    box = panel(page, "B").locator("canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(x, y)
    (place,) = page.evaluate("() => window.toylab().state().start")
    assert place == pytest.approx([0.0, 0.0], abs=0.05)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 100, y, steps=20)
    page.mouse.up()
    assert len(page.evaluate("() => window.toylab().state().start")) > 10
    page.get_by_role("button", name="start everywhere").click()
    assert page.evaluate("() => window.toylab().state().start") == []


def test_a_state_survives_its_address(playground):
    page = playground(f"#{ADDRESSES['annealed'][0]}")
    state = page.evaluate("() => window.toylab().state()")
    page.get_by_label("seed", exact=True).fill("8")
    page.get_by_label("seed", exact=True).press("Enter")
    again = playground(address_of(page))
    assert again.evaluate("() => window.toylab().state()") == {**state, "seed": 8}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("seed=-1", "seed is “-1”: give a whole number from 0 to 4294967295"),
        ("sigma=1e20&n=1e9", "sigma is “1e20”"),
        (
            "density=<img src=x onerror=alert(1)>",
            "density is “<img src=x onerror=alert(1)>”: give one of two_far_modes",
        ),
        ("a=metropolis:1:1", "a sampler, its step size"),
        ("a=constructor:1:1&__proto__=1", "“__proto__” is nothing that this page knows"),
        ("start=1,2;x,y", "start is “1,2;x,y”"),
        ("start=" + ";".join(["1,1"] * 201), "up to 200 places"),
        ("b=langevin:0:1", "b is “langevin:0:1”"),
        ("a=mala:0.1:0.5", "a temperature from 0 to 2, which is 1 but for langevin"),
        ("start=1,2;x,y", "each from -1000 to 1000"),
        ("modes=1,0,0,1,9,0", "two widths from 0.05 to 5"),
        ("play=yes", "play is “yes”: give 1, or leave it out"),
    ],
)
def test_an_address_edited_by_hand(playground, address, said):
    page = playground(f"#{address}")
    assert said in page.locator(".toylab-live > .message").inner_text()
    assert page.locator("canvas").count() == 6 and page.locator("img").count() == 0
    page.get_by_role("button", name="step", exact=True).click()
    assert numbers_of(page, "A").startswith("1 step")


def test_numbers_are_read_as_meant_or_refused_beside_them(playground):
    page = playground("#density=ring")
    box = panel(page, "A").get_by_label("step size ε")
    for given, meant in (("0,2", 0.2), ("1e-3", 0.001), (" .5 ", 0.5)):
        box.fill(given)
        box.press("Enter")
        assert page.evaluate("() => window.toylab().state().a.stepSize") == meant
    for given in ("", "abc", "1e20", "-1", "0", "nan", "1.2.3"):
        box.fill(given)
        box.press("Enter")
        assert (
            page.locator(f"#{box.get_attribute('aria-describedby')}").inner_text()
            == f"“{given}”: give a number from 0.000001 to 100."
        )
        assert page.evaluate("() => window.toylab().state().a.stepSize") == 0.5
    box.fill("1")
    box.press("Enter")
    assert page.locator(f"#{box.get_attribute('aria-describedby')}").inner_text() == ""


KEYS = {
    "playground": "modes density sigma n seed speed start a b play",
    "trainer": "modes density objective sigma nData width rate seed play",
    "editor": "modes points sigma at",
    "film": "modes density way nData n train seed speed frame play",
}


@pytest.mark.parametrize("name", KEYS)
def test_what_a_refusal_asks_for_is_accepted(context, folder, name):
    """The examples that it gives, the ends of its ranges, and each of its names."""
    for open_at in opened(context, folder, name):

        def refused(address, open_at=open_at):
            return open_at(f"#{address}").locator(".toylab-live > .message").inner_text()

        sentences = refused("&".join(f"{key}=?" for key in KEYS[name].split()))
        for key in KEYS[name].split():
            wanted = sentences.split(f" {key} is “?”: give ")[1].split(" is “?”")[0]
            if "such as" in wanted:
                given = re.findall(r"such as (\S+?)[:,]? ", wanted)
            elif "number from" in wanted:
                given = re.search(r"from (\S+) to ([\d.]*\d)", wanted).groups()
            else:
                given = re.match(r"(?:one of )?(\w+(?:, \w+)*)[;,.]", wanted)[1].split(", ")
            for one in given if key != "play" else given[:1]:
                assert refused(f"{key}={one}") == "", (key, one)


def test_chains_that_have_all_left_are_said_in_words(playground):
    page = playground("#density=ring&n=50&speed=20&a=langevin:50:1&b=langevin:50:1")
    page.get_by_role("button", name="play", exact=True).click()
    page.wait_for_function("() => document.body.innerText.includes('all 50 chains have left for ever')")
    page.get_by_role("button", name="pause", exact=True).click()
    assert "NaN" not in page.locator(".toylab-live").inner_text()
    assert all("NaN" not in one.get_attribute("aria-label") for one in page.locator("canvas").all())


def test_chains_that_leave_are_told(playground):
    page = playground("#density=ring&n=50&speed=20&a=langevin:5:1&b=mala:5:1")
    page.get_by_role("button", name="play", exact=True).click()
    page.wait_for_function("() => window.toylab().panels[0].numbers.textContent.includes('chains have left for ever')")
    page.get_by_role("button", name="pause", exact=True).click()
    assert "left" not in numbers_of(page, "B")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (390, 844)])
def test_it_fits_and_can_be_read(context, folder, scheme, width, height):
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.goto((folder / "playground.html").as_uri())
    page.wait_for_function("() => window.toylab && window.toylab()")
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    if width > 1000:  # both samplers with their pictures on one screen
        bottom = max(box["y"] + box["height"] for box in (c.bounding_box() for c in page.locator("canvas").all()))
        assert bottom <= height
    shown = os.environ.get("TOYLAB_SCREENSHOTS")
    if shown is not None:
        os.makedirs(shown, exist_ok=True)
        page.get_by_role("button", name="play", exact=True).click()
        after(page, 100)
        page.screenshot(path=f"{shown}/playground_{width}_{scheme}.png")
    for selector in ("label", ".question", ".message", "button"):
        assert contrast(page, selector) >= 4.5, selector
    page.close()


def state(page):
    return page.evaluate("() => window.toylab().state()")


def density_of(page):
    """The density that the page's line of Python makes."""
    exec(page.locator("pre").text_content(), here := {})
    return here["p"]


@pytest.mark.parametrize(
    "address",
    [
        "modes=1,0,0,2,0.5,30;0.5,3,-3,0.5,0.7,-80&sigma=0.5&at=2,-1.5",
        "modes=1,0,0,2,0.05,30&sigma=0&at=2,1.1",
        "points=1,2;3,0.5;-2,-2&sigma=0.7&at=1,1",
        "points=1,2;3,0.5;-2,-2&sigma=0&at=1,1.9",
    ],
)
def test_the_numbers_at_the_cross_are_those_of_the_library(editor, address):
    page = editor(f"#{address}")
    p, x = density_of(page), torch.tensor(state(page)["at"][0], dtype=torch.float64)
    said = page.locator(".numbers").inner_text()
    assert float(said.split("log p = ")[1].split(",")[0]) == pytest.approx(float(p.log_prob(x)), rel=6e-4)
    s = [float(v) for v in said.split(" s = (")[1].split(")")[0].split(", ")]
    assert s == pytest.approx(p.score(x).tolist(), rel=6e-3, abs=1e-9)
    sigma = max(state(page)["sigma"], 0.05 if "points" in address else 0)
    guess = [float(v) for v in said.split("x + σ² s = (")[1].split(")")[0].split(", ")]
    assert guess == pytest.approx((x + sigma**2 * p.score(x)).tolist(), rel=6e-3, abs=1e-9)


def on_plane(page, x, y):
    box = page.locator("canvas").bounding_box()
    return box["x"] + (x + 6) / 12 * box["width"], box["y"] + (6 - y) / 12 * box["height"]


def drag(page, start, end):
    page.mouse.move(*on_plane(page, *start))
    page.mouse.down()
    page.mouse.move(*on_plane(page, *end), steps=5)
    page.mouse.up()


def test_a_mode_is_stretched_along_its_angle(editor):
    """Two standard deviations of 2 along 30 degrees, counted from x to y, and 0.5 across."""
    covariance = density_of(editor("#modes=1,0,0,2,0.5,30&sigma=0")).covariances[0]
    along = torch.tensor([3**0.5 / 2, 0.5], dtype=torch.float64)
    across = torch.tensor([-0.5, 3**0.5 / 2], dtype=torch.float64)
    exact = 4 * torch.outer(along, along) + 0.25 * torch.outer(across, across)
    torch.testing.assert_close(covariance, exact, rtol=1e-6, atol=1e-6)


def test_modes_are_dragged_stretched_added_and_removed(editor):
    page = editor("#modes=0.5,-2,0,0.8,0.8,0;0.5,2,0,0.8,0.8,0&sigma=0")
    drag(page, (2, 0), (3, 1))
    moved = state(page)["modes"][1]
    assert (moved["x"], moved["y"]) == pytest.approx((3, 1), abs=0.05)
    drag(page, (3.8, 1), (3, 3))  # the handle of the first width: longer, and turned upwards
    moved = state(page)["modes"][1]
    assert moved["s1"] == pytest.approx(2, abs=0.05) and moved["angle"] == pytest.approx(90, abs=1)
    drag(page, (2.2, 1), (2.7, 1))  # that across it
    assert state(page)["modes"][1]["s2"] == pytest.approx(0.3, abs=0.05)
    covariance = density_of(page).covariances[1]
    assert covariance[0, 0] == pytest.approx(0.09, abs=0.04) and covariance[1, 1] == pytest.approx(4, abs=0.2)
    page.get_by_role("button", name="add a mode").click()
    assert len(state(page)["modes"]) == 3
    page.get_by_role("button", name="remove it").click()
    page.get_by_role("button", name="remove it").click()
    page.get_by_role("button", name="remove it").click()
    assert len(state(page)["modes"]) == 1
    assert "One mode is left" in page.locator(".toylab-live > .message").inner_text()
    for _ in range(12):
        page.get_by_role("button", name="add a mode").click()
    assert len(state(page)["modes"]) == 12
    assert "There are 12 modes" in page.locator(".toylab-live > .message").inner_text()
    assert editor(address_of(page)).evaluate("() => window.toylab().state().modes.length") == 12


def test_the_editor_by_keyboard(editor):
    page = editor("#modes=1,0,0,1,1,0&sigma=0.5&at=0,0")
    page.locator("canvas").focus()
    for key in ["ArrowRight"] * 5 + ["ArrowDown"] * 2 + ["Enter"]:
        page.keyboard.press(key)
    assert state(page)["at"] == [[pytest.approx(1), pytest.approx(-0.4)]]
    assert (state(page)["modes"][0]["x"], state(page)["modes"][0]["y"]) == pytest.approx((1, -0.4))
    weight = page.get_by_label("weight")
    weight.fill("0")
    weight.press("Enter")
    assert (
        "give a number from 0.001 to 1000" in page.locator(f"#{weight.get_attribute('aria-describedby')}").inner_text()
    )
    assert state(page)["modes"][0]["weight"] == 1
    page.get_by_label("noise σ", exact=True).focus()
    page.keyboard.press("End")
    page.wait_for_function("() => window.toylab().state().sigma === 10")


def test_points_are_drawn(editor):
    page = editor("#modes=1,0,0,1,1,0&sigma=0.5")
    page.get_by_role("button", name="draw points").click()
    drag(page, (-3, -3), (3, 3))
    n = len(state(page)["points"])
    assert n >= 5
    p = density_of(page)
    assert p.log_prob(torch.zeros(2, dtype=torch.float64)).isfinite()
    assert editor(address_of(page)).evaluate("() => window.toylab().state().points.length") == n
    page.get_by_role("button", name="back to modes").click()
    assert state(page)["points"] == [] and page.get_by_label("weight").is_visible()


def test_points_are_drawn_by_keyboard(editor):
    page = editor("#modes=1,0,0,1,1,0&sigma=0.5&at=0,0")
    page.get_by_role("button", name="draw points").press("Enter")
    page.locator("canvas").focus()
    for key in ("Enter", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert state(page)["points"] == [[0, 0], [pytest.approx(0.2), 0]]
    assert "Enter draws a point there" in page.locator("canvas").get_attribute("aria-label")


def test_keys_have_the_word_over_a_pointer_that_rests(editor):
    page = editor("#modes=1,0,0,1,1,0&sigma=1&at=0,0")
    page.mouse.move(*on_plane(page, 3, 3))
    page.wait_for_function("() => document.querySelector('.numbers').textContent.includes('at (3.')")
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    assert "at (0.200, 0.00)" in page.locator(".numbers").inner_text()


def test_the_guess_follows_the_pointer(editor):
    """Over the picture it is that at the pointer, elsewhere that at the cross."""
    page = editor("#modes=1,-2,0,0.8,0.8,0;1,2,0,0.5,0.5,0&sigma=1&at=0,0")
    numbers = page.locator(".numbers")
    at_the_cross = numbers.inner_text()
    page.mouse.move(*on_plane(page, 1.5, 2))
    page.wait_for_function("() => document.querySelector('.numbers').textContent.includes('at (1.')")
    text = numbers.inner_text()
    x = torch.tensor([float(v) for v in text.split("at (")[1].split(")")[0].split(", ")], dtype=torch.float64)
    assert x.tolist() == pytest.approx([1.5, 2], abs=0.05)
    p = density_of(page)
    guess = [float(v) for v in text.split("x + σ² s = (")[1].split(")")[0].split(", ")]
    assert guess == pytest.approx((x + p.score(x)).tolist(), rel=0.02)
    page.mouse.move(2, 2)
    page.wait_for_function("(words) => document.querySelector('.numbers').textContent === words", arg=at_the_cross)
    assert state(page)["at"] == [[0, 0]]


def test_a_picture_is_dropped(editor, tmp_path):
    page = editor("#modes=1,0,0,1,1,0&sigma=0.5")
    file = picture(tmp_path / "dark.png", np.where(np.arange(40)[:, None] < 20, 0, 255) * np.ones((1, 40))).read_bytes()
    drop = """([bytes, type]) => {
        const data = new DataTransfer();
        if (bytes) data.items.add(new File([new Uint8Array(bytes)], 'a.png', { type }));
        const canvas = document.querySelector('canvas');
        for (const kind of ['dragover', 'drop']) {
            const event = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
            if (canvas.dispatchEvent(event)) throw new Error(`${kind} is left to the page`);
        }
    }"""
    page.evaluate(drop, [None, ""])
    assert "What was dropped is no file" in page.locator(".toylab-live > .message").inner_text()
    page.evaluate(drop, [list(file), "image/png"])
    page.wait_for_function("() => window.toylab().state().points.length > 300")
    page.evaluate(drop, [list(b"<svg onload='alert(1)'>"), "image/svg+xml"])
    page.wait_for_function("() => document.body.innerText.includes('“a.png” cannot be read as a picture')")


def test_a_picture_keeps_its_proportions(editor, tmp_path):
    """Of four times as many pixels across as down: one dark square in it stays a square, at its place."""
    page = editor("#modes=1,0,0,1,1,0&sigma=0")
    values = np.full((100, 400), 255)
    values[:, 300:] = 0  # the last quarter
    page.get_by_label("a picture as a density").set_input_files(picture(tmp_path / "wide.png", values))
    page.wait_for_function("() => window.toylab().state().points.length > 20")
    x = np.array(state(page)["points"])
    np.testing.assert_allclose(x.min(0), [2.52, -1.08], atol=0.01)  # 40 cells of 0.24 across and 10 down
    np.testing.assert_allclose(x.max(0), [4.68, 1.08], atol=0.01)


def test_what_is_drawn_takes_the_place_of_a_picture(editor, tmp_path):
    page = editor("#modes=1,0,0,1,1,0&sigma=0.5")
    values = np.where(np.arange(80)[:, None] < 60, 0, 255) * np.ones((1, 80))
    page.get_by_label("a picture as a density").set_input_files(picture(tmp_path / "dark.png", values))
    page.wait_for_function("() => window.toylab().state().points.length > 400")
    page.get_by_role("button", name="draw points").click()
    drag(page, (-3, -3), (3, 3))
    n = len(state(page)["points"])
    assert 5 <= n < 400
    p, x = density_of(page), torch.zeros(2, dtype=torch.float64)
    assert f"{n} points" in page.locator(".numbers").inner_text() and p.log_prob(x).isfinite()


def picture(path, values):
    from PIL import Image

    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def test_a_picture_becomes_a_density(editor, tmp_path):
    page = editor("#modes=1,0,0,1,1,0&sigma=0.5")
    values = np.full((80, 80), 255)
    values[:40, :40] = 0  # dark at the top left
    page.get_by_label("a picture as a density").set_input_files(picture(tmp_path / "dark.png", values))
    page.wait_for_function("() => window.toylab().state().points.length > 300")
    p = density_of(page)
    x = torch.tensor([[-2.4, 2.4], [2.4, 2.4], [-2.4, -2.4]], dtype=torch.float64)
    exact = 1 / 4.8**2  # uniform on a square of side 4.8, and 0.5 of noise hardly reaches its middle
    assert p.log_prob(x).exp().tolist() == pytest.approx([exact, 0, 0], rel=0.02, abs=1e-4)
    page.get_by_label("a picture as a density").set_input_files(picture(tmp_path / "plain.png", np.full((9, 9), 200)))
    page.wait_for_function("() => document.body.innerText.includes('The picture is of one shade')")
    (tmp_path / "no.png").write_text("<script>alert(1)</script>")
    page.get_by_label("a picture as a density").set_input_files(tmp_path / "no.png")
    page.wait_for_function("() => document.body.innerText.includes('“no.png” cannot be read as a picture')")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("modes=0,0,0,1,1,0", "modes is “0,0,0,1,1,0”: give 1 to 12 modes"),
        ("modes=" + ";".join(["1,0,0,1,1,0"] * 40), "give 1 to 12 modes"),
        ("modes=1,0,0,1", "give 1 to 12 modes"),
        ("points=" + ";".join(["1,1"] * 401), "up to 400 places"),
        ("at=25,3", "at is “25,3”: give one place such as 1,-0.5, both from -20 to 20"),
        ("sigma=-1", "sigma is “-1”"),
    ],
)
def test_an_address_of_the_editor_edited_by_hand(editor, address, said):
    page = editor(f"#{address}")
    assert said in page.locator(".toylab-live > .message").inner_text()
    assert page.locator(".numbers").inner_text().startswith("2 modes")


def test_from_the_editor_to_the_playground(editor):
    page = editor("#modes=1,0,0,1,0.5,0;2,3,0,0.5,0.5,0&sigma=0")
    p = density_of(page)
    page.get_by_role("link", name="sample it").click()
    page.wait_for_url("**/playground.html*")
    page.get_by_role("button", name="step", exact=True).click()
    assert page.get_by_label("density").input_value() == "own"
    found = page.evaluate(
        "() => { const d = window.toylab().panels[0].run.density; return [d.weights, d.means, d.covariances]; }"
    )
    assert found[0] == pytest.approx(p.weights.tolist())
    np.testing.assert_allclose(found[1], p.means.numpy())
    exec(panel(page, "A").locator("pre").text_content().replace(").samples", ", progress=False).samples"), here := {})
    x = torch.tensor(page.evaluate("() => [...window.toylab().panels[0].run.x]"), dtype=torch.float64).view(-1, 2)
    torch.testing.assert_close(x, here["x"], rtol=0, atol=1e-5)


# numbers of many digits
LONG = "1,1.1314159265,-0.123456789,0.123456,0.7654321,33.3333;0.333333333,-2.00001,1e-7,1,0.51234,0"


def test_the_law_of_an_address_of_many_digits_is_the_same_in_page_address_and_python(context, folder):
    found = {}
    for name, law in {
        "editor": "null", "playground": "panels[0].run.density", "trainer": "run().density", "film": "film().density",
    }.items():  # fmt: skip
        for open_at in opened(context, folder, name):
            page = open_at(f"#modes={LONG}")
            state = page.evaluate("() => window.toylab().state().modes")
            assert [list(one.values()) for one in state] == [[float(v) for v in m.split(",")] for m in LONG.split(";")]
            if name == "editor":
                found["python"] = density_of(page)
            box = page.get_by_label("weight" if name == "editor" else "seed", exact=True)
            box.fill("5")
            box.press("Enter")
            state[0]["weight"] = 5 if name == "editor" else 1
            page.wait_for_function("() => /modes=5|seed=5/.test(location.hash)")
            again = open_at("#" + page.url.split("#")[1])
            assert again.evaluate("() => window.toylab().state().modes") == state
            if name != "editor":
                shown = f"() => {{ const d = window.toylab().{law}; return [d.weights, d.means, d.covariances]; }}"
                found[name] = again.evaluate(shown)
    weights, means, covariances = numbers(found.pop("python"))
    assert len(found) == 3
    for one in found.values():
        assert one == [pytest.approx(weights, rel=1e-15, abs=0), means, covariances]  # they are divided by a sum of 1


@pytest.mark.parametrize(("link", "page"), [("learn its score", "trainer"), ("film its diffusion", "film")])
def test_from_the_editor_to_the_others(editor, link, page):
    editing = editor("#modes=1,0,0,1,0.5,0;2,3,0,0.5,0.5,0&sigma=0")
    p = density_of(editing)
    editing.get_by_role("link", name=link).click()
    editing.wait_for_url(f"**/{page}.html*")
    editing.wait_for_function("() => window.toylab && window.toylab()")
    assert editing.get_by_label("density").input_value() == "own"
    made = "film" if page == "film" else "run"
    weights, means = editing.evaluate(
        f"() => {{ const d = window.toylab().{made}().density; return [d.weights, d.means]; }}"
    )
    assert weights == pytest.approx(p.weights.tolist())
    np.testing.assert_allclose(means, p.means.numpy())
    editing.get_by_label("seed", exact=True).fill("3")
    editing.get_by_label("seed", exact=True).press("Enter")
    address = address_of(editing)
    assert "modes=1,0,0,1,0.5,0;2,3,0,0.5,0.5,0" in address.replace("%3B", ";") and "density=own" in address


@pytest.fixture(scope="module")
def learning(context):
    """Calls JavaScript in which the modules of the training are known."""
    names = "GaussianMixture, Generator, ScoreMLP, Adam, denoising, sliced, newTraining, trainStep, measure"
    names += ", TRAINER_LESSONS, BATCH, nodesOf, roundLevels"
    yield from calls(context, "trainer", names)


def normals(seed, n):
    return torch.randn(2 * n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).view(n, 2)


@pytest.mark.parametrize(("width", "depth"), [(5, 1), (32, 2), (16, 3)])
def test_a_network_is_that_of_the_library_forwards_along_directions_and_backwards(learning, width, depth):
    """Weights of the same seed; s and (grad s) v to 1e-5; derivatives of a loss of both against autograd, to 1e-5."""
    found = learning(
        """([width, depth]) => {
            const normals = (seed) => new Generator(seed).normals(new Float64Array(40));
            const network = new ScoreMLP(width, depth, new Generator(5)), s = network.forward(normals(6), normals(7));
            network.backward(normals(8), normals(9));
            return [[...s], [...network.along], ...network.gradients.map((g) => [...g])];
        }""",
        [width, depth],
    )
    network = ScoreMLP(width, depth, generator=torch.Generator().manual_seed(5)).double()
    s, along = (one[0] for one in value_and_jvp(network, normals(6, 20)[None], normals(7, 20)[None]))
    loss = (s * normals(8, 20)).sum() + (along * normals(9, 20)).sum()
    exact = [s, along, *torch.autograd.grad(loss, list(network.parameters()))]
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(
            torch.tensor(one, dtype=torch.float64), other.detach().flatten(), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(("name", "objective"), [("denoising", Denoising(0.7)), ("sliced", Sliced())])
def test_steps_of_training_are_those_of_torch(learning, name, objective):
    """Five steps of Adam on one batch, with the same noise or directions: losses and weights."""
    call = {"denoising": "denoising(network, x, 0.7, g)", "sliced": "sliced(network, x, g)"}[name]
    found = learning(
        f"""() => {{
            const network = new ScoreMLP(16, 2, new Generator(1)), g = new Generator(3), losses = [];
            const x = new Generator(2).normals(new Float64Array(200)), adam = new Adam(network.parameters, 0.01);
            for (let k = 0; k < 5; k++) {{
                network.forget();
                losses.push({call});
                adam.step(network.gradients);
            }}
            return [losses, ...network.parameters.map((p) => [...p])];
        }}"""
    )
    network = ScoreMLP(16, generator=torch.Generator().manual_seed(1)).double()
    x, g, losses = normals(2, 100), torch.Generator().manual_seed(3), []
    adam = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(5):
        adam.zero_grad()
        loss = objective(network, x, generator=g).mean()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert found[0] == pytest.approx(losses, rel=1e-5)
    for one, other in zip(found[1:], network.parameters(), strict=True):
        torch.testing.assert_close(
            torch.tensor(one, dtype=torch.float64), other.detach().flatten(), rtol=1e-4, atol=1e-6
        )


def mixture(*modes):
    """Of modes (weight, x, y, width along the angle in degrees, width across, angle), as in an address."""
    turns = [np.radians(mode[5]) for mode in modes]
    R = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in turns]
    C = [r @ np.diag([mode[3] ** 2, mode[4] ** 2]) @ r.T for r, mode in zip(R, modes, strict=True)]
    weights = np.array([mode[0] for mode in modes]) / sum(mode[0] for mode in modes)
    return GaussianMixture(weights.tolist(), [list(mode[1:3]) for mode in modes], np.stack(C).tolist())


MIXTURES = {
    "as in the first lesson": live.LAWS["two_near_modes"].density,
    "narrow, and partly out of sight": mixture((1, 6, 6, 1.5, 0.1, 30)),
    "narrow and far apart": mixture((1, -1.5, -1.5, 0.1, 0.1, 0), (3, 1.5, 1.5, 0.2, 0.1, -70)),
    "narrow in a wide one": mixture((1, 0, 0, 1.2, 1.2, 0), (0.05, 1, 0, 0.2, 0.2, 0)),
    "a cross": mixture((1, 0, 0, 1.5, 0.15, 10), (1, 0, 0, 1.5, 0.15, 80)),
    "three that overlap": mixture((1, 0, 0, 1, 0.3, 30), (1, 1, 0, 0.3, 1, 20), (0.3, -1, 1, 0.5, 0.5, 0)),
    "twenty-five": live.LAWS["grid"].density,
}
TRAINED = """([objective, sigma, mixture, steps]) => {
    const density = new GaussianMixture(...mixture);
    const settings = { density, objective, sigma, nData: 0, width: 16, batchSize: 64, learningRate: 0.01 };
    const run = newTraining({ ...settings, seed: 4 });
    for (let k = 0; k < steps; k++) trainStep(run);
    return { offset: run.offset, divergence: measure(run), weights: run.network.parameters.map((w) => [...w]) };
}"""


@pytest.mark.parametrize(("objective", "steps"), [(Denoising(0.05), 0), (Sliced(), 200)], ids=["first", "trained"])
@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.filterwarnings("ignore:a quadrature over")  # it says how long a busy machine takes
def test_the_constant_and_the_divergence_are_exact(learning, name, objective, steps):
    """Of the first network and of a trained one, against this library's quadrature: to 1e-3 of a score of zero's."""
    p, kind = MIXTURES[name].to(torch.float64), type(objective).__name__.lower()
    level = getattr(objective, "sigma", 0.0)
    found = learning(TRAINED, [kind, level, numbers(p), steps])
    network = ScoreMLP(16, generator=torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        for one, other in zip(network.parameters(), found["weights"], strict=True):
            one.copy_(torch.tensor(other, dtype=torch.float64).view_as(one))
    zero = 0.5 * fisher_information(p, level)
    assert found["offset"] == pytest.approx(objective.offset(p), abs=1e-3 * zero)
    assert found["divergence"] == pytest.approx(fisher_divergence(network, p, level), abs=1e-3 * zero)


@pytest.mark.parametrize(
    ("modes", "exact"),
    [
        ([(1, 20, 20, 5, 0.05, 30)], 0.5 * (1 / 0.05**2 + 1 / 5**2)),
        ([(1, -5, -5, 0.05, 0.05, 0), (1, 5, 5, 0.05, 0.05, 0)], 1 / 0.05**2),
        ([(1000, -20, 20, 0.05, 0.05, 0), (0.001, 20, -20, 5, 5, 0)], 1 / 0.05**2),
        (
            [(1, 15 * (k % 3) - 15, 10 * (k // 3) - 15, 0.3, 0.05, 29 * k) for k in range(12)],
            0.5 / 0.3**2 + 0.5 / 0.05**2,
        ),
    ],
)
def test_the_divergence_of_a_score_of_zero_at_the_ends_of_what_an_address_may_say(learning, modes, exact):
    """Modes that share no place: 1/2 E|s*|^2 is the mean of theirs, half the trace of the inverse covariance."""
    found = learning(
        "([mixture]) => 0.5 * nodesOf(new GaussianMixture(...mixture)).information", [numbers(mixture(*modes))]
    )
    assert found == pytest.approx(exact, rel=1e-4)


def test_a_loss_below_zero_is_seen(trainer):
    """Its curve goes down to the foot of the picture, and the axis says what it is."""
    page = trainer()
    page.get_by_label("lesson").select_option("few")
    assert "on an axis that is logarithmic." in page.locator(".toylab-live").inner_text()
    trained(page, 400)
    assert "linear from −0.1 to 0.1 and logarithmic beyond" in page.locator(".toylab-live").inner_text()
    lowest = page.evaluate(
        """() => {
            const canvas = document.querySelector("canvas.curve"), context = canvas.getContext("2d");
            const width = canvas.width - 60, height = canvas.height - 54, seen = [];
            const { data } = context.getImageData(60, 30, width, height);
            for (let i = 0; i < width * height; i++) if (data[4 * i + 3] > 100) seen.push(Math.floor(i / width));
            return Math.max(...seen) / height;
        }"""
    )
    assert lowest > 0.9


def test_what_is_measured_is_measured_by_small_pieces(learning):
    """No more than 400 points at once, so that a wide network does not hold up the page; and J is the same."""
    found = learning(
        """([mixture]) => {
            const density = new GaussianMixture(...mixture), settings = { density, objective: "sliced", sigma: 0.5 };
            const run = newTraining({ ...settings, nData: 0, width: 16, batchSize: 8, learningRate: 0.01, seed: 4 });
            const seen = [], { network } = run, forward = network.forward.bind(network), { x, mass, pull } = run.nodes;
            network.forward = (some) => { seen.push(some.length / 2); return forward(some); };
            const before = measure(run), s = forward(x);
            const whole = mass.reduce((sum, m, i) => sum + m * [0, 1].reduce((all, a) => all
                + 0.5 * s[2 * i + a] ** 2 - s[2 * i + a] * pull[2 * i + a], 0), 0.5 * run.nodes.information);
            return [before, whole, Math.max(...seen), seen.reduce((a, b) => a + b) - mass.length];
        }""",
        [numbers(live.LAWS["grid"].density)],
    )
    assert found[0] == pytest.approx(found[1], rel=1e-12) and found[2] <= 400 and found[3] == 0


def test_a_pause_leaves_what_is_measured_whole(trainer):
    page = trainer("#density=grid&objective=sliced&width=128")
    page.get_by_role("button", name="train", exact=True).click()
    for _ in range(4):
        page.wait_for_function("() => window.toylab().run().isLooking", polling=1)
        page.get_by_role("button", name="pause", exact=True).click()
        steps, measured = page.evaluate(
            "() => [run().nSteps, run().divergences.at(-1)[0]]".replace("run()", "window.toylab().run()")
        )
        assert steps - measured < 20 and not page.evaluate("() => window.toylab().run().isLooking")
        page.get_by_role("button", name="train", exact=True).click()


def divergence(page):
    return page.evaluate("() => window.toylab().run().divergences.at(-1)[1]")


def trained(page, n_steps):
    page.get_by_role("button", name="train", exact=True).click()
    page.wait_for_function(f"() => window.toylab().run().nSteps >= {n_steps}", timeout=60_000)
    page.get_by_role("button", name="pause", exact=True).click()


@pytest.mark.parametrize("objective", ["denoising", "sliced"])
def test_a_training_learns_the_exact_score(trainer, objective):
    page = trainer(f"#density=two_near_modes&objective={objective}&width=32&rate=0.005")
    start = divergence(page)
    trained(page, 600)
    assert divergence(page) < 0.15 * start
    assert (
        f"J = ½E|s − s*|² from the score of p {'at noise σ = 0.5' if objective == 'denoising' else 'itself'}"
        in page.locator(".numbers").inner_text()
    )


def test_few_data_the_loss_falls_and_the_truth_runs_away(trainer):
    page = trainer()
    page.get_by_label("lesson").select_option(label="Few data: the loss falls and the truth runs away")
    trained(page, 400)
    run = page.evaluate(
        "() => { const { divergences, losses } = window.toylab().run(); return { divergences, losses }; }"
    )
    lowest = min(j for _, j in run["divergences"])
    assert run["divergences"][-1][1] > 1.5 * lowest
    assert run["losses"][-1][1] < 0 < run["losses"][0][1]  # below the least that J can be


def test_a_rate_far_too_large_leaves_numbers(trainer):
    """Adam's steps are bounded, so that the weights stay finite: J is large, and said."""
    page = trainer("#rate=10&objective=sliced&width=16")
    start = divergence(page)
    trained(page, 200)
    assert start < divergence(page) < float("inf")


@pytest.mark.parametrize(
    ("address", "said"),
    [("width=0", "width is “0”"), ("objective=mse", "one of denoising, sliced"), ("nData=1.5", "a whole number")],
)
def test_an_address_of_the_training_edited_by_hand(trainer, address, said):
    page = trainer(f"#{address}")
    page.get_by_role("button", name="step", exact=True).click()
    assert page.locator(".numbers").inner_text().startswith("1 step;")


LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TWINS = {
    cell["metadata"]["live"]: path.stem
    for path in LESSONS
    for cell in json.loads(path.read_text())["cells"]
    if "live" in cell["metadata"]
}


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{TWINS[twin]}-{twin.partition('#')[0]}")
def test_a_live_twin_is_set_as_its_lesson_asks(context, folder, twin):
    """No word of the address is refused, and the instrument writes each of them back as it was."""
    name, _, address = twin.partition("#")
    for page in opened(context, folder, name):
        page = page(f"#{address}")
        assert page.locator(".toylab-live > .message").inner_text() == ""
        state = page.evaluate("() => window.toylab().state()")
        asked = dict(part.split("=") for part in address.split("&"))
        assert set(asked) <= set(state)
        for part in ("density", "objective", "way"):
            assert state[part] == asked[part] if part in asked else True
        for part in ("sigma", "n", "nData", "seed", "train", "width", "rate"):
            assert part not in asked or state[part] == float(asked[part])
        for part in {"a", "b"} & set(asked):
            sampler, amount, temperature = asked[part].split(":")
            found = state[part]
            assert found["sampler"] == sampler and found["temperature"] == float(temperature)
            assert float(amount) in (found["stepSize"], found["nTimes"])
        for part, size in (("modes", 6), ("at", 2), ("start", 2)):
            if part in asked:
                places = [[float(v) for v in place.split(",")] for place in asked[part].split(";")]
                found = [list(one.values()) if isinstance(one, dict) else one for one in state[part]]
                assert all(len(place) == size for place in places) and found == places


@pytest.mark.parametrize("name", ["01_scores", "05_noise_levels"])
def test_the_noises_that_a_lesson_asks_for_are_places_of_the_slider(learning, name):
    """Those of the cells that give the answers below its live instruments, and round ones."""
    levels = [0, *learning("() => roundLevels(0.05, 10)")]
    (path,) = (path for path in LESSONS if path.stem == name)
    cells = json.loads(path.read_text())["cells"]
    after = [n for n, cell in enumerate(cells) if "sigma" in cell["metadata"].get("live", "")]
    asked = [re.search(r"for sigma in \(([^)]*)\)", "".join(cells[n + 1]["source"]))[1] for n in after]
    assert asked and {float(sigma) for one in asked for sigma in one.split(", ")} <= set(levels)
    assert {0.05, 0.1, 0.5, *range(11)} <= set(levels) and levels == sorted(set(levels))
    assert all(b <= 1.11 * a for a, b in zip(levels[1:], levels[2:], strict=False))


@pytest.mark.parametrize("sigma", [0, 1, 4, 4.8, 10])
def test_arrows_are_seen_at_any_noise(editor, sigma):
    """Full length is the size that one exact arrow in five has: at the grid of the picture, by this library."""
    page = editor(f"#modes=0.2,-5,-5,1,1,0;0.8,5,5,1,1,0&sigma={sigma}")
    p = live.LAWS["two_modes"].density.to(torch.float64)
    side = (torch.arange(19, dtype=torch.float64) + 0.5) * 12 / 19 - 6
    sizes = p.score(torch.cartesian_prod(side, side), float(sigma)).norm(dim=-1)
    full = float(page.locator(".numbers").inner_text().split("full length: |s| of ")[1].split(" or more")[0])
    assert float((sizes > full).double().mean()) == pytest.approx(0.2, abs=0.03)


# What is pressed so that the numbers of a page are no longer those of its start, and the words that then stand in the
# alternative text of each picture, from the first on
WALKS = {
    "playground": ("step", ["1 step", "to step 1", "exact 0.200, found", "1 step", "to step 1", "exact 0.200, found"]),
    "trainer": ("step", ["learned in 1 step", "in the root mean square", "1 step; Fisher divergence J"]),
    "editor": ("add a mode", ["3 modes at noise σ = 0"]),
    "film": ("to the start", ["t = 1.00", "t = 1.00", "t = 1.00", "over time"]),
}


@pytest.mark.parametrize("name", live.INSTRUMENTS)
def test_a_walk_with_a_screen_reader(context, folder, name):
    """By the browser's tree of what it hands to one: names, values, the numbers of pictures, and what is announced."""
    press, words = WALKS[name]
    for page in opened(context, folder, name):
        page = page()
        page.get_by_role("button", name=press, exact=True).click()
        page.get_by_label("seed" if name != "editor" else "weight", exact=True).fill("x")
        page.get_by_label("seed" if name != "editor" else "weight", exact=True).press("Enter")
        nodes = [node for node in accessible(page) if not node["ignored"]]
        said = [(node["role"]["value"], text_of(node, "name"), text_of(node, "value")) for node in nodes]
        for role, called, value in said:
            if role in {"slider", "textbox", "combobox", "button", "link", "DisclosureTriangle", "region"}:
                assert called, role
            if role in {"slider", "textbox", "combobox"}:
                assert value, called
        for slider in page.get_by_role("slider").all():  # its place in a list is no number to be read
            shown = slider.locator("xpath=following-sibling::output").inner_text()
            assert slider.get_attribute("aria-valuetext") == shown != ""
        pictures = [called for role, called, _ in said if role in {"image", "application"}]
        assert len(pictures) == page.locator("canvas").count() == len(words)
        assert all(word in called for word, called in zip(words, pictures, strict=True)), pictures
        told = page.get_by_role("status").filter(has_text="“x”: give a")
        assert told.count() == 1 and page.get_by_role("status").filter(has_text="?").count() == 1
        order = page.locator(".toylab-live").evaluate(
            """(page) => [...page.querySelectorAll("select, .question, button, canvas")]
                .map((element) => element.className === "question" ? "question" : element.localName)"""
        )
        places = [order.index(kind) for kind in ("select", "question", "button", "canvas")]
        assert places == sorted(places)  # what to choose, the question, what to press, and then what comes of it


def accessible(page):
    """The nodes of the accessibility tree in the order in which they are read."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    known, found = {node["nodeId"]: node for node in nodes}, []

    def walk(node):
        found.append(node)
        for child in node.get("childIds", []):
            if child in known:
                walk(known[child])

    walk(nodes[0])
    return found


def text_of(node, part):
    return str(node.get(part, {}).get("value", "")).strip()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", live.INSTRUMENTS)
def test_all_text_has_a_contrast_of_4_5(context, folder, name, scheme):
    page = context.new_page()
    page.emulate_media(color_scheme=scheme)
    page.goto((folder / f"{name}.html").as_uri() + "#nothing=1")  # which is told in a message
    page.wait_for_function("() => window.toylab && window.toylab()")
    page.evaluate("() => { for (const details of document.querySelectorAll('details')) details.open = true; }")
    written = page.locator(".toylab-live *:visible:not(:disabled)").all()
    found = {}
    for element in written:
        own = "(e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || 'value' in e"
        if element.evaluate(own) and element.get_attribute("type") != "range":
            found[element.evaluate("(e) => e.outerHTML.slice(0, 90)")] = element.evaluate(CONTRAST)
    page.close()
    assert len(found) > 15 and any("message" in text for text in found)
    assert {text: ratio for text, ratio in found.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("name", live.INSTRUMENTS)
def test_nothing_is_cut_off_in_a_lesson_on_a_phone(context, folder, name):
    """Where the frame is 358 pixels wide."""
    page = context.new_page()
    page.set_viewport_size({"width": 358, "height": 736})
    page.goto((folder / f"{name}.html").as_uri())
    page.wait_for_function("() => window.toylab && window.toylab()")
    width = page.evaluate("() => document.documentElement.scrollWidth")
    page.close()
    assert width <= 358


@pytest.mark.parametrize("width", [360, 390, 768, 864, 1280])
@pytest.mark.parametrize("name", live.INSTRUMENTS)
def test_pictures_are_square_on_fine_screens(browser, folder, name, width):
    """Of two dots a pixel: no axis is stretched, and no control lies over a picture."""
    context = browser.new_context(viewport={"width": width, "height": 720}, device_scale_factor=2, offline=True)
    page = context.new_page()
    page.goto((folder / f"{name}.html").as_uri())
    page.wait_for_function("() => window.toylab && window.toylab()")
    page.wait_for_timeout(200)
    controls = [one.bounding_box() for one in page.locator(".field:visible, button:visible").all()]
    for picture in page.locator("canvas.plane").all():
        box = picture.bounding_box()
        assert box["width"] == pytest.approx(box["height"], abs=1) and box["width"] > 100
        for one in controls:
            apart = one["y"] + one["height"] <= box["y"] + 1 or one["y"] >= box["y"] + box["height"] - 1
            assert apart or one["x"] + one["width"] <= box["x"] + 1 or one["x"] >= box["x"] + box["width"] - 1
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    context.close()


@pytest.mark.parametrize("name", ["playground", "trainer", "film"])
def test_nothing_moves_by_itself_where_motion_is_not_wanted(browser, folder, name):
    context = browser.new_context(reduced_motion="reduce", offline=True)
    page = context.new_page()
    page.goto((folder / f"{name}.html").as_uri() + "#play=1")
    page.wait_for_function("() => window.toylab && window.toylab()")
    page.wait_for_timeout(300)
    steps = {"playground": "panels[0].run.nSteps", "trainer": "run().nSteps", "film": "state().frame"}[name]
    assert page.evaluate(f"() => window.toylab().{steps}") == 0
    context.close()


def test_the_trainer_by_keyboard_alone(trainer):
    page = trainer("#density=two_near_modes&width=16&seed=1")
    page.get_by_role("button", name="train", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.toylab().run().nSteps > 20")
    page.keyboard.press("Space")
    steps = page.evaluate("() => window.toylab().run().nSteps")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # a step
    assert page.evaluate("() => window.toylab().run().nSteps") == steps + 1
    page.get_by_label("width", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => window.toylab().state().width === 32")
    page.get_by_label("loss", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => window.toylab().state().objective === 'sliced'")
    state = page.evaluate("() => window.toylab().state()")
    again = trainer(address_of(page))
    assert again.evaluate("() => window.toylab().state()") == state


def test_the_state_of_the_editor_survives_its_address(editor):
    page = editor("#modes=1,-2,0,0.8,0.8,0;1,2,0,0.5,0.5,20&sigma=1&at=0.5,0")
    drag(page, (2, 0), (3, 1))
    now = state(page)
    assert state(editor(address_of(page))) == now


def test_an_empty_drawing_and_a_mode_out_of_sight_are_told(editor):
    page = editor("#modes=1,0,0,1,1,0;1,20,20,1,1,0&sigma=0.5")
    page.get_by_role("button", name="draw points").click()
    page.get_by_role("button", name="stop drawing").click()
    assert "Nothing was drawn: the modes stay." in page.locator(".toylab-live > .message").inner_text()
    page.get_by_label("mode", exact=True).select_option("1")
    assert "mode B lies outside what is shown, ±6" in page.locator(".toylab-live").inner_text()


def test_the_numbers_in_the_questions_of_the_editor(editor):
    page = editor()
    lesson = page.get_by_label("lesson", exact=True)
    lesson.select_option("between")
    assert "the score is (−10, −6)" in page.locator(".question").inner_text()
    assert " s = (-10.0, -6.00)" in page.locator(".numbers").inner_text()
    lesson.select_option("data")
    assert "is (0.36, 0.22)" in page.locator(".question").inner_text()
    assert "x + σ² s = (0.360, 0.216)" in page.locator(".numbers").inner_text()
    lesson.select_option("tweedie")
    assert "At σ = 10 it is at (1.51, 1.51)" in page.locator(".question").inner_text()
    page.get_by_label("noise σ", exact=True).press("End")
    page.wait_for_function("() => document.querySelector('.numbers').textContent.includes('(1.51, 1.51)')")


@pytest.mark.parametrize(
    ("name", "at", "least", "most"),
    [("learns", 1000, 0, 0.142), ("sliced", 1000, 0, 0.261), ("little", 200, 1, 2), ("few", 80, 0.775, 0.785)],
)
def test_the_numbers_in_the_questions_of_the_trainer(learning, name, at, least, most):
    """J after so many steps, and that of a score of zero."""
    found = learning(
        """([name, laws, at]) => {
            const { state } = TRAINER_LESSONS[name], { weights, means, covariances } = laws[state.density];
            const density = new GaussianMixture(weights, means, covariances);
            const run = newTraining({ ...state, density, batchSize: BATCH, learningRate: state.rate });
            for (let k = 0; k < at; k++) trainStep(run);
            return [measure(run), 0.5 * run.information, TRAINER_LESSONS[name].question];
        }""",
        [name, live.laws(), at],
    )
    assert least <= found[0] <= most
    if name in ("learns", "sliced"):
        assert f"{found[1]:.2f}" in found[2] and most == pytest.approx(0.1 * found[1], abs=1e-3)


STAND = {"playground": "step", "trainer": "step", "editor": None, "film": "to the start"}
LOOK = "() => [...document.querySelectorAll('.toylab-live canvas')].map((canvas) => canvas.toDataURL())"


@pytest.mark.parametrize("name", live.INSTRUMENTS)
def test_pictures_that_stand_are_drawn_again_when_the_colours_change(context, folder, name):
    """By the system's scheme and by the attribute that a notebook sets: each canvas, and back to what it was."""
    for page in opened(context, folder, name):
        page = page()
        if name == "film":
            page.wait_for_function("() => window.toylab().film().errors", timeout=60_000)
        if STAND[name]:
            page.get_by_role("button", name=STAND[name], exact=True).click()
        page.wait_for_timeout(300)
        light = page.evaluate(LOOK)
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(100)
        dark = page.evaluate(LOOK)
        assert all(one != other for one, other in zip(light, dark, strict=True))
        page.evaluate("() => { document.querySelector('.toylab-live').dataset.theme = 'light'; }")
        page.wait_for_timeout(100)
        assert page.evaluate(LOOK) == light
        page.evaluate("() => { document.querySelector('.toylab-live').dataset.theme = 'dark'; }")
        page.emulate_media(color_scheme="light")
        page.wait_for_timeout(100)
        assert page.evaluate(LOOK) == dark


def test_a_frame_is_light_or_dark_with_the_page_around_it(context, folder, tmp_path):
    """From the disk, where a frame may not look at its page: by the button of the site, else by the system."""
    script = Path(__file__).parents[2] / "docs" / "_static" / "live_theme.js"
    source = (folder / "editor.html").as_uri()
    text = f'<script src="{script.as_uri()}"></script><body data-theme="auto"><iframe class="live" src="{source}">'
    (tmp_path / "page.html").write_text(text)
    page = context.new_page()
    page.emulate_media(color_scheme="dark")
    page.goto((tmp_path / "page.html").as_uri())
    frame = page.frames[1]
    ground = "(dark) => getComputedStyle(document.querySelector('.toylab-live')).backgroundColor === dark"
    black, white = "rgb(22, 24, 27)", "rgb(255, 255, 255)"
    for theme, colour in (("auto", black), ("light", white), ("dark", black), ("light", white)):
        page.evaluate("(theme) => { document.body.dataset.theme = theme; }", theme)
        frame.wait_for_function(ground, arg=colour)
        body = "(colour) => getComputedStyle(document.body).backgroundColor === colour"
        frame.wait_for_function(body, arg=colour)
    frame.evaluate("() => { location.hash = '#sigma=1'; }")  # it is built anew
    frame.wait_for_function("() => window.toylab().state().sigma === 1")
    assert frame.evaluate(ground, white)
    frame.evaluate("() => window.postMessage('dark', '*')")  # not from the page around it
    page.evaluate("() => document.querySelector('iframe').contentWindow.postMessage('pink', '*')")
    page.wait_for_timeout(100)
    assert frame.evaluate(ground, white) and frame.evaluate("() => document.documentElement.dataset.theme") == "light"
    page.evaluate("() => { document.body.dataset.theme = 'auto'; }")
    frame.wait_for_function(ground, arg=black)
    page.close()
