"""The explorer: its picture follows the controls, nothing is lost on a bad value."""

import math
import re

import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver

from toylab.densities import Density, catalogue, from_energy, isotropic
from toylab.widgets import score_explorer
from toylab.widgets.score_lessons import LESSONS, ready_densities
from toylab.widgets.score_reading import read_score

P = isotropic([[1.0, -1.0]], 0.5)


def parts(box):
    (lesson, density, _), (noise, samples, _, seed), (stage, numbers) = (row.children for row in box.children[:3])
    message = box.children[3]
    return lesson, density, samples, seed, noise.control, stage, numbers, message


class HalfKnown(Density):
    """N(0, (1 + sigma^2) I) with a score on one side alone."""

    def log_prob(self, x, sigma=0.0):
        v = 1 + sigma**2
        log_p = -x.square().sum(-1) / (2 * v) - math.log(2 * math.pi * v)
        return torch.where(x[..., 0] < 0, log_p, math.nan)

    def score(self, x, sigma=0.0):
        return torch.where(x[..., :1] < 0, -x / (1 + sigma**2), math.nan)

    def sample(self, sample_shape=(), *, generator=None):
        return torch.randn(*sample_shape, 2, generator=generator)


def test_a_field_that_is_nan_in_parts_is_drawn_in_the_others():
    *_, stage, _, message = parts(score_explorer({"half": HalfKnown()}))
    (quiver,) = (artist for artist in stage.figure.axes[0].collections if isinstance(artist, Quiver))
    assert quiver.Umask.sum() == 200  # of 400
    assert 0 < np.abs(np.asarray(quiver.U)[~quiver.Umask]).max() < math.inf
    assert np.isfinite(stage.figure.axes[0].images[0].get_clim()).all()
    assert message.value == ""


def test_a_click_is_read_where_it_was(seen):
    *_, noise, stage, numbers, message = parts(score_explorer({"one": P}))
    noise.value = 0.5
    before = stage.png
    box = stage.figure.axes[0].get_position()
    stage._handle_custom_msg({"x": box.x0 + 0.7 * box.width, "y": 1 - (box.y0 + 0.8 * box.height)}, [])
    assert stage.png != before
    assert "(2.000, 3.000)" in numbers.value
    assert "(-2, -8)" in numbers.value  # (1 - 2, -1 - 3) / 0.5
    assert "(1.500, 1.000)" in numbers.value  # half way to the mean
    assert "posterior mean (1.50, 1.00)" in stage.alt
    here, star = (line.get_data() for line in stage.figure.axes[0].lines[1:3])
    assert [float(x[0]) for x in (*here, *star)] == pytest.approx([2.0, 3.0, 1.5, 1.0])
    (arrow,) = stage.figure.axes[0].patches
    assert np.ravel(arrow._posA_posB) == pytest.approx([2.0, 3.0, 1.5, 1.0])
    assert message.value == ""


def test_the_picture_darkens_where_the_law_is(seen):
    box = score_explorer({"one": P})
    _, _, samples, _, noise, stage, *_ = parts(box)
    samples.value, noise.value = False, 0.3
    box.children[1].children[2].value = False  # the scales follow the noise

    def darkness(x, y):
        box = stage.figure.axes[0].get_position()
        pixels = seen(stage)
        row = round((1 - box.y0 - box.height * (y + 5) / 10) * pixels.shape[0])
        column = round((box.x0 + box.width * (x + 5) / 10) * pixels.shape[1])
        return 1 - np.median(pixels[row - 8 : row + 9, column - 8 : column + 9].mean(-1))

    assert darkness(1, -1) > 0.3
    assert darkness(-3, 3) < 0.02
    noise.value = 10.0
    assert darkness(-3, 3) > 0.3


def test_arrows_are_the_score_and_dots_the_noised_samples():
    *_, noise, stage, _, _ = parts(score_explorer({"one": P}))
    noise.value = 0.01
    ax = stage.figure.axes[0]
    clean = np.column_stack(ax.lines[0].get_data())
    noise.value = 10.0
    noisy = np.column_stack(ax.lines[0].get_data())
    # x0 + 10 z and x0 + .01 z: means (1, -1), variances .25 and 100.25; 200 numbers know a variance to 1 in 10
    assert clean.var() - np.diff(clean.mean(0)).item() ** 2 / 4 == pytest.approx(0.25, rel=0.6)
    assert ((noisy - clean) / 9.99).var() == pytest.approx(1.0, rel=0.6)
    arrows = ax.collections[-1]
    x = np.stack([arrows.X, arrows.Y], -1).reshape(-1, 2)
    shown = np.stack([arrows.U, arrows.V], -1).reshape(-1, 2)
    exact = np.array([1.0, -1.0]) - x  # over v + sigma^2, one scale for all
    ratio = shown / exact
    assert ratio == pytest.approx(np.full_like(ratio, ratio[0, 0]), rel=1e-6)
    assert ratio[0, 0] > 0


def test_the_seed_draws_the_samples_and_a_bad_one_loses_nothing():
    _, _, _, seed, noise, stage, _, message = parts(score_explorer({"one": P}))
    first = stage.png
    seed.value = 1
    other = stage.png
    assert other != first
    seed.text = "-3"
    assert "seed is -3" in seed.message
    assert stage.png == other
    seed.text = "0"
    assert stage.png == first
    assert message.value == ""


def test_lessons_set_density_noise_and_point():
    lesson, density, _, _, noise, stage, numbers, _ = parts(score_explorer())
    densities = ready_densities()
    assert len(lesson.options) == 1 + len(LESSONS)
    for _, view in lesson.options[1:]:
        lesson.value = view
        assert noise.value == view.sigma
        known = read_score(densities[density.value], noise.value, view.point)
        assert f"({known.mean[0]:.3f}, {known.mean[1]:.3f})" in numbers.value
        assert np.isfinite(known.score).all()


def test_a_law_finer_than_the_cells_is_still_seen(seen):
    lesson, _, samples, _, noise, stage, *_ = parts(score_explorer())
    lesson.value = LESSONS["a curve: the score grows like 1/σ"]
    samples.value = False
    noise.value = 0.01
    image = stage.figure.axes[0].images[0].get_array()
    x = torch.linspace(-5, 5, 81)[:-1] + 1 / 16
    radius = (x[:, None] ** 2 + x**2).sqrt()
    on = np.asarray(image)[((radius - 3).abs() < 0.05).numpy()]
    assert on.min() > 0.5 * on.max()


def test_bad_input():
    with pytest.raises(ValueError, match="densities is empty"):
        score_explorer({})
    with pytest.raises(TypeError, match="give a density"):
        score_explorer({"a": 1})
    with pytest.raises(ValueError, match="extent"):
        score_explorer({"one": P}, extent=(5, -5, 0, 1))


def test_the_first_point_lies_in_the_square():
    far = isotropic([[104.0, 107.0]], 1.0)
    *_, stage, _, message = parts(score_explorer({"far": far}, extent=(100.0, 110.0, 100.0, 110.0)))
    assert "At (102.50, 102.50)" in stage.alt
    assert message.value == ""


def test_every_control_is_labelled():
    lesson, density, samples, seed, noise, stage, *_ = parts(score_explorer())
    for control in (lesson, density, samples, seed, noise):
        assert control.description
    assert "standard deviation" in noise.description
    assert re.match("Density and score field", stage.alt)


class CleanAlone(Density):
    """N(0, I), of which no noised law is known."""

    def log_prob(self, x, sigma=0.0):
        if sigma != 0:
            raise ValueError("CleanAlone knows sigma = 0 alone")
        return -x.square().sum(-1) / 2 - math.log(2 * math.pi)

    def score(self, x, sigma=0.0):
        if sigma != 0:
            raise ValueError("CleanAlone knows sigma = 0 alone")
        return -x

    def sample(self, sample_shape=(), *, generator=None):
        return torch.randn(*sample_shape, 2, generator=generator)


OWN = {
    "clean alone": CleanAlone(),
    "energy": from_energy(lambda x: (x**4).sum(-1) / 4, (-4.0, 4.0, -4.0, 4.0)),
    "cut": isotropic([[0.0, 0.0]], 1.0).truncated((0.0, 2.0, -1.0, 1.0)),
    "moved": isotropic([[0.0, 0.0]], 1.0).rotated(0.3).shifted([1.0, 0.0]).scaled(0.5),
    "measured": isotropic([[0.0, 0.0]], 1.0).given([[1.0, 0.0]], [0.5], 0.3),
    **{name: example.density for name, example in catalogue().items()},
}


OFTEN = {"clean alone", "cut", "measured", "ring", "checkerboard", "circle", "points"}  # the others every night


@pytest.mark.parametrize("name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.nightly) for n in OWN])
def test_any_law_opens_and_moves(name):
    """At two levels of noise, or clean where no other is known; the numbers beside it are those of the law."""
    p = OWN[name]
    _, _, _, _, noise, stage, numbers, message = parts(score_explorer(p, extent=(-4.0, 4.0, -4.0, 4.0)))
    pictures = {stage.png}
    for sigma in (0.0,) if noise.disabled else (1.0, 2.0):
        noise.value = next(v for _, v in noise.options if v >= sigma)
        pictures.add(stage.png)
        x = torch.tensor([-2.0, -2.0], dtype=torch.float64)
        assert message.value == ""
        assert f"<b>{float(p.log_prob(x, noise.value)):.3f}</b>" in numbers.value
    assert len(pictures) == (1 if noise.disabled else 3)
    assert noise.disabled == (name in {"clean alone", "energy"})


def test_a_law_known_clean_alone_says_so_beside_the_noise_and_the_next_one_has_it_again():
    box = score_explorer({"clean": CleanAlone(), "mixture": P})
    _, density, _, _, noise, *_, message = parts(box)
    beside = box.children[1].children[0].message
    assert (noise.value, noise.disabled) == (0.0, True)
    assert "only the clean law is known: CleanAlone knows sigma = 0 alone" in beside.value
    density.value = "mixture"
    assert not noise.disabled and noise.value == 0.5 and beside.value == ""
    density.value = "clean"
    assert noise.disabled and message.value == ""


def test_scales_are_held_while_the_noise_moves_and_not_from_law_to_law():
    """Of a Gaussian of variance 1/4 + sigma^2: its longest arrow falls as 1 over that, its darkest grey too."""
    box = score_explorer({"one": isotropic([[0.0, 0.0]], 0.5), "wide": isotropic([[0.0, 0.0]], 5.0)})
    _, density, _, _, noise, stage, _, _ = parts(box)
    hold = box.children[1].children[2]
    image = stage.figure.axes[0].images[0]
    quiver = next(artist for artist in stage.figure.axes[0].collections if isinstance(artist, Quiver))

    def seen():
        return float(np.hypot(quiver.U, quiver.V).max()), image.get_clim()[1], float(image.get_array().max())

    (longest, black, most), value = seen(), noise.value
    assert most == pytest.approx(black)
    noise.value = next(v for _, v in noise.options if v >= 1.5)
    ratio = (0.25 + value**2) / (0.25 + noise.value**2)
    now = seen()
    assert now[0] == pytest.approx(longest * ratio, rel=0.01)
    assert now[1] == black and now[2] == pytest.approx(black * ratio, rel=0.05)
    noise.value = next(v for _, v in noise.options if v >= 0.1)  # longer scores are cut, and said
    assert seen()[0] == pytest.approx(longest) and stage.figure.texts[0].get_text().count("or more") == 2
    assert "longest arrow here" in stage.figure.texts[0].get_text()
    hold.value = False
    assert seen()[0] == pytest.approx(longest) and "or more" not in stage.figure.texts[0].get_text()
    hold.value = True
    density.value = "wide"
    assert seen()[2] == pytest.approx(seen()[1])


def test_a_law_that_cannot_be_drawn_from_is_shown_without_draws():
    class Formula(Density):
        def log_prob(self, x, sigma=0.0):
            v = 1 + sigma**2
            return -x.square().sum(-1) / (2 * v) - math.log(2 * math.pi * v)

        def score(self, x, sigma=0.0):
            return -x / (1 + sigma**2)

    _, _, samples, _, _, stage, numbers, message = parts(score_explorer(Formula()))
    assert "Formula has no sample" in message.value and "<b>" in numbers.value
    assert float(stage.figure.axes[0].images[0].get_array().max()) > 0.1
    samples.value = False
    assert message.value == ""


def test_where_p_is_0_there_is_no_score():
    """Beyond the edge of a law the formula still gives numbers, which are those of no law."""
    edge = from_energy(lambda x: 0.5 * x.square().sum(-1), (-2.0, 2.0, -2.0, 2.0))
    *_, stage, numbers, message = parts(score_explorer(edge))  # the first point is (-2.5, -2.5)
    assert stage.alt.endswith("At (-2.50, -2.50) p is 0, and there is no score.")
    assert "0, and no score" in numbers.value and "|s|" not in numbers.value and message.value == ""
