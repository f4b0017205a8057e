"""Laws of the live lab that are known on a grid, in Chromium: log p, score and samplers against the laws themselves."""

import numpy as np
import pytest
import torch
from scipy import stats

from tests.browser.live_pages import RUN, calls, opened
from toylab import live

FALSE_ALARM = 1e-7


@pytest.fixture(scope="module")
def maths(context):
    """Calls JavaScript in which the modules of the playground are known."""
    yield from calls(context, "playground", "densityOf, Generator, newRun, advance")


@pytest.mark.parametrize(
    ("alpha", "sigma"),
    [(1, 0), (1, 0.01), (1, 0.09), (1, 0.12), (1, 0.15), (1, 0.17), (1, 0.4), (1, 2), (0.6, 0.8), (0.01, 1)],
)
@pytest.mark.parametrize("name", live.GRID_LAWS)
def test_log_prob_and_score_are_within_the_stated_error(maths, name, alpha, sigma):
    """Clean, noised by less than a cell and by more, and moved as by an SDE; at draws of the law in question."""
    law, known = live.GRID_LAWS[name], live.grid_laws()[name]
    q = law.density.scaled(alpha)
    q = q.noised(sigma) if sigma else q
    x = q.sample((2000,), generator=torch.Generator().manual_seed(1)).double()
    found = maths(
        """([law, alpha, sigma, x]) => {
            const q = densityOf(law).moved(alpha, sigma), logProb = new Float64Array(x.length / 2);
            return [[...q.score(x, new Float64Array(x.length), logProb)], [...logProb]];
        }""",
        [known, alpha, sigma, x.flatten().tolist()],
    )
    s, log_prob = (torch.tensor(part, dtype=torch.float64) for part in found)
    exact = q.score(x)
    error = float((s.view_as(exact) - exact).norm() / exact.norm())
    assert error < known["grid"]["error"]
    assert float((log_prob - q.log_prob(x)).abs().quantile(0.99)) < 2 * known["grid"]["error"] + 1e-5


def test_its_variance_is_that_of_the_law_moved_and_noised(maths):
    """Per axis, of alpha X + sigma Z: alpha^2 v + sigma^2."""
    known = live.grid_laws()["three_circles"]
    moved = maths(
        "([law]) => [densityOf(law).moved(0.5, 1.5), densityOf(law).blurred(1.5).noised(0)].map((q) => q.halfTrace())",
        [known],
    )
    v = (1 + 2.5**2 + 4**2) / 6 + 0.3**2  # circles of equal weight
    assert known["grid"]["variance"] == pytest.approx(v, rel=1e-4)
    assert moved == pytest.approx([0.25 * v + 2.25, v + 2.25], rel=1e-4)


def test_beyond_its_square_it_falls_off(maths):
    """As far as 1,000: finite, and the score leads back."""
    x = np.array([[0.0, 50.0], [-1000.0, 3.0], [700.0, -700.0]])
    found = maths(
        """([law, x]) => {
            const q = densityOf(law).noised(0), logProb = new Float64Array(x.length / 2);
            return [[...q.score(x, new Float64Array(x.length), logProb)], [...logProb]];
        }""",
        [live.grid_laws()["two_moons"], x.flatten().tolist()],
    )
    s, log_prob = np.reshape(found[0], (3, 2)), np.array(found[1])
    assert np.isfinite(s).all() and np.isfinite(log_prob).all() and (log_prob < -500).all()
    assert ((s * x).sum(-1) < 0).all()


@pytest.mark.parametrize("sampler", ["mala", "hmc"])
def test_samplers_that_adjust_keep_the_banana(maths, sampler):
    """The first coordinate is N(0, 1.2^2), and what is left of the second N(0, 0.4^2)."""
    n = 5000
    x = live.GRID_LAWS["banana"].density.sample((n,), generator=torch.Generator().manual_seed(2)).double()
    code = RUN.replace("new GaussianMixture(...mixture)", "densityOf(mixture)").replace(
        "density.sample(n, generator, settings.from)", "Float64Array.from(settings.from)"
    )
    settings = {"sampler": sampler, "stepSize": 0.3, "from": x.flatten().tolist()}
    y = np.reshape(maths(code, [live.grid_laws()["banana"], settings, n, 20]), (n, 2))
    assert not np.array_equal(y, x.numpy())
    left = y[:, 1] - 0.3 * (y[:, 0] ** 2 - 1.2**2)
    assert stats.kstest(y[:, 0] / 1.2, "norm").pvalue > FALSE_ALARM
    assert stats.kstest(left / 0.4, "norm").pvalue > FALSE_ALARM


@pytest.mark.parametrize("name", live.GRID_LAWS)
@pytest.mark.parametrize("pair", ["langevin:0.02:1&b=mala:0.1:1", "annealed_langevin:0.01:1&b=reverse_sde:60:1"])
def test_they_are_played_and_their_error_is_said(context, folder, name, pair):
    opening = opened(context, folder, "playground")
    page = next(opening)(f"#density={name}&n=200&speed=10&a={pair}")
    assert f"within {100 * live.grid_laws()[name]['grid']['error']:.1g} %" in page.locator(".note").inner_text()
    page.get_by_role("button", name="play", exact=True).click()
    page.wait_for_function("() => window.toylab().panels.every(({ run }) => run.nSteps >= 60)")
    page.get_by_role("button", name="pause", exact=True).or_(
        page.get_by_role("button", name="play", exact=True)
    ).click()
    text = page.locator(".toylab-live").inner_text()
    assert "NaN" not in text and "left for ever" not in text
    assert "# The page interpolates log p on a grid" in page.locator("pre").first.text_content()
    assert f"p = {live.GRID_LAWS[name].python}\n" in page.locator("pre").first.text_content()
    page.get_by_label("density").select_option("ring")
    assert page.locator(".note").inner_text() == ""
    next(opening, None)
