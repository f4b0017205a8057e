"""One's own laws, pictures and films in JupyterLab: what a widget shows of a law that is not one of ours."""

import numpy as np
import pytest

from tests.browser.pages import ALT, SCREENS, changed, choose, click, drawn, press, run_all, settled
from toylab.densities import GaussianMixture
from toylab.metrics import annealed_langevin_law
from toylab.schedules import geometric

OWN = """
import math
import torch
from toylab.densities import Density

class Own(Density):
    def log_prob(self, x):  # N(0, diag(1, 9/4)); with noise it is not known
        return -0.5 * (x.square() / x.new_tensor([1.0, 2.25])).sum(-1) - math.log(3 * math.pi)

    def sample(self, sample_shape=(), *, generator=None):
        return torch.randn((*sample_shape, 2), generator=generator) * torch.tensor([1.0, 1.5])
"""
MIXTURE = ([0.3, 0.7], [[-1.0, 0.0], [1.0, 0.0]], [[[0.5, 0.0], [0.0, 0.5]]] * 2)  # weights, means, covariances
OF_ONES_OWN = pytest.mark.parametrize("open_cells", SCREENS, indirect=True)


def message(page, words):
    return page.locator(".toylab-message", has_text=words)


@OF_ONES_OWN
def test_a_law_known_clean_alone_opens_at_noise_0_and_shows_its_score(open_cells):
    """The score of N(0, diag(1, 9/4)) is (-x, -y / 2.25), and a clean point is its own posterior mean."""
    page = open_cells(OWN, "from toylab.widgets import score_explorer\nscore_explorer(Own())")
    run_all(page)
    message(page, "only the clean law of Own is known").wait_for()
    assert page.locator(".widget-readout").first.inner_text() == "0"
    before = settled(page)
    click(page, 0.7, 0.2)
    changed(page, before)
    words = page.evaluate(ALT)
    assert words.startswith("Density and score field at noise 0.")
    point, score, mean = (
        np.array([float(number) for number in part.split(")")[0].split(",")]) for part in words.split("(")[1:4]
    )
    assert point[0] > 1 and point[1] > 1
    assert score == pytest.approx(-point / [1, 2.25], abs=0.011)  # of a point rounded to 0.005
    assert (mean == point).all()


@OF_ONES_OWN
def test_scales_are_held_while_the_noise_moves_unless_they_are_let_go(open_cells):
    """The score of N(0, I) with noise σ is -x / (1 + σ²) and its peak 1 / 2π(1 + σ²): from σ = 0.5 to 2 both fall to a
    quarter, and with them the arrows and the grey. On scales of their own both pictures are one."""
    page = open_cells("""
from toylab.densities import isotropic
from toylab.widgets import score_explorer
score_explorer(isotropic([[0.0, 0.0]], 1.0))
""")
    run_all(page)
    page.get_by_label("samples of p_σ").uncheck()
    settled(page)

    def seen():
        (picture,) = drawn(page)
        red, _, blue = picture.transpose(2, 0, 1)
        height, width = red.shape
        beside_the_peak = picture[int(0.40 * height) : int(0.45 * height), int(0.52 * width) : int(0.58 * width)]
        return (blue > red + 60).sum(), 255 - np.median(beside_the_peak)

    arrows, grey = seen()
    page.locator(".noUi-handle").first.focus()
    for _ in range(60):  # 0.5, 0.51, ..., 0.99, 1, 1.1, ..., 2
        page.keyboard.press("ArrowRight")
    settled(page)
    assert page.locator(".widget-readout").first.inner_text() == "2"
    assert "at noise 2." in page.evaluate(ALT)
    held_arrows, held_grey = seen()
    assert held_arrows < 0.6 * arrows  # an arrow's head has a least size
    assert held_grey < 0.5 * grey
    page.get_by_label("hold the scales").uncheck()
    settled(page)
    free_arrows, free_grey = seen()
    assert free_arrows == pytest.approx(arrows, rel=0.05)
    assert free_grey > 1.5 * held_grey


@OF_ONES_OWN
def test_of_a_law_without_modes_the_playground_counts_quarters(open_cells):
    """Shares 1/4 and variance (1 + 9/4) / 2 of 100,000 draws, within 5.1 of their errors and the rounding."""
    page = open_cells(OWN, "from toylab.widgets import langevin_playground\nlangevin_playground(Own())")
    run_all(page)
    begun = settled(page)
    press(page, "step")
    changed(page, begun)
    left, right, draws = page.evaluate(ALT).split("quarter weights ")[1:] + [page.evaluate(ALT).split("draws: ")[1]]
    for shares in (left, right, draws):
        weights = dict(share.split() for share in shares.split(";")[0].split(", "))
        assert list(weights) == ["A", "B", "C", "D"]
        assert sum(map(float, weights.values())) == pytest.approx(1.0, abs=0.021)
    assert list(map(float, weights.values())) == pytest.approx([0.25] * 4, abs=0.005 + 5.1 * (3 / 16 / 1e5) ** 0.5)
    # of |x|^2 / 2 with variances a and b: variance (a^2 + b^2) / 2
    error = ((1 + 2.25**2) / 2 / 1e5) ** 0.5
    assert float(draws.split("; ")[1].rstrip(".")) == pytest.approx(1.625, abs=0.005 + 5.1 * error)
    choose(page, "sampler right", "annealed Langevin")
    message(page, "annealed Langevin needs the noised laws").wait_for()


@OF_ONES_OWN
def test_a_law_of_one_s_own_is_learned(open_cells):
    """A score of 0 would have the divergence 13/18; a denoising loss is refused beside its list."""
    page = open_cells(
        OWN, "from toylab.widgets import training_theatre\ntraining_theatre(Own(), width=16, n_steps=200)"
    )
    run_all(page)
    press(page, "train")
    page.wait_for_function(f"() => ({ALT})().startsWith('After 200 steps')", timeout=60_000)
    assert float(page.evaluate(ALT).split("divergence of ")[1].split(",")[0]) < 13 / 18 / 4
    page.locator("button:enabled", has_text="train").wait_for()  # with that the training has ended
    kept = settled(page)
    choose(page, "objective", "denoising, σ = 0.5")
    refused = message(page, "this objective needs the law with noise σ = 0.5")
    refused.wait_for()
    at, words = page.get_by_label("objective", exact=True).bounding_box(), refused.bounding_box()
    assert 0 <= words["y"] - at["y"] - at["height"] < 12
    assert settled(page) == kept


@OF_ONES_OWN
def test_a_mixture_of_one_s_own_goes_down_the_ladder(open_cells):
    """The share of 1,280 chains is that of annealed Langevin's own law, within 5.1 standard errors and the rounding."""
    page = open_cells(f"""
from toylab.densities import GaussianMixture
from toylab.widgets import noise_ladder
noise_ladder(GaussianMixture(*{MIXTURE}), n_chains=1280, extent=(-5, 5, -5, 5))
""")
    run_all(page)
    before = settled(page)
    press(page, "run")
    changed(page, before)
    page.wait_for_function(f"() => ({ALT})().includes('larger mode')")
    share = float(page.evaluate(ALT).split("larger mode ")[1].split(" ")[0])
    law = annealed_langevin_law(
        GaussianMixture(*MIXTURE), geometric(20.0, 1.0, 10), step_size=0.1, n_steps=100, extent=(-5.0, 5.0, -5.0, 5.0)
    )
    assert share == pytest.approx(float(law.mode_weights[-1, 1]), abs=0.0005 + 5.1 * (0.25 / 1280) ** 0.5)
    assert "Levels: 10, from 20 to 1." in page.evaluate(ALT) and "exact 0.700" in page.evaluate(ALT)


@OF_ONES_OWN
def test_a_picture_for_a_projector_has_letters_of_twice_the_size(open_cells):
    page = open_cells("""
import matplotlib.pyplot as plt
from toylab import plotting
for scale in (1.0, 2.0):
    with plotting.look(scale=scale):
        figure, ax = plt.subplots(figsize=(6, 3))
        ax.axis("off")
        ax.set_title("H")
        plt.show()
""")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".jp-RenderedImage img").nth(1).wait_for()
    heights = []
    for picture in drawn(page, ".jp-RenderedImage img"):
        ink = (picture < 128).all(-1)
        heights.append(np.ptp(np.nonzero(ink.any(1))[0]) + 1)
    assert heights[1] == pytest.approx(2 * heights[0], abs=2)  # a dot each


@OF_ONES_OWN
def test_a_widget_is_filmed_and_its_film_plays_in_the_notebook(open_cells):
    page = open_cells("""
from IPython.display import Image, display
from toylab.densities import two_modes
from toylab.widgets import film, score_explorer
moving = film(score_explorer(two_modes()), "noise", [0.1, 0.5, 1.0, 4.0], interval=100)
moving.save("film.gif")
display(moving, Image("film.gif"))
""")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    player = page.locator(".jp-RenderedHTMLCommon", has=page.locator("input[type=range]"))
    slider = player.get_by_role("slider", name="frame")
    slider.wait_for(timeout=60_000)
    player.get_by_role("button", name="pause").click()
    picture, pictures = player.get_by_role("img"), []
    for key, sigma in (("Home", "0.1"), ("ArrowRight", "0.5"), ("ArrowRight", "1"), ("End", "4"), ("ArrowLeft", "1")):
        slider.press(key)
        assert f"at noise {sigma}." in picture.get_attribute("aria-label")
        pictures.append(picture.screenshot())
    assert pictures[2] == pictures[4] and len(set(pictures)) == 4
    gif = page.locator(".jp-RenderedImage img")
    assert gif.evaluate("image => [image.complete, image.naturalWidth > 300]") == [True, True]
