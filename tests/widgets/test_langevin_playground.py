"""The playground: the two rows share start and seed; clicks place chains; nothing is lost on a bad value."""

import itertools
import re

import numpy as np
import pytest
import torch

from toylab.densities import catalogue, from_energy, isotropic, two_modes
from toylab.widgets import langevin_playground
from toylab.widgets.frame import CHOOSE
from toylab.widgets.langevin_lessons import LESSONS
from toylab.widgets.langevin_run import ANNEALED, MOVES
from toylab.widgets.langevin_target import target_of
from toylab.widgets.regions import regions_of


def parts(box):
    (lesson, density, _), both, (*tools, seed) = (row.children for row in box.children[:3])
    return lesson, density.control, seed, both[:3], both[3:], tools, box.children[3], box.children[4]


def test_two_rows_of_one_setting_are_the_same_and_start_again_is_the_same_again():
    *_, first, second, (play, step, again, *_), stage, _ = parts(langevin_playground())
    for row in (first, second):
        row[0].value, row[1].value = "Langevin", 0.1
    begun = stage.png
    for k in range(1, 4):
        play.value = k
    step.click()
    ended = stage.png
    assert ended != begun
    words = stage.alt.split("exact" if "exact" in stage.alt else "Exact")[0].split("Langevin after ")[1:]
    assert len(words) == 2
    assert words[0].strip().rstrip(".") == words[1].strip().rstrip(".")
    assert "16 steps" in words[0]  # three frames of five, and one
    again.click()
    assert stage.png == begun
    for k in range(4, 7):
        play.value = k
    step.click()
    assert stage.png == ended


def test_clicks_place_the_chains_in_equal_parts():
    *_, (_, step, _, everywhere, _), stage, _ = parts(langevin_playground(n_chains=100))
    begun = stage.png
    box = stage.figure.axes[0].get_position()

    def click(x, y):
        place = {"x": box.x0 + box.width * (x + 5) / 10, "y": 1 - box.y0 - box.height * (y + 5) / 10}
        stage._handle_custom_msg(place, [])
        return np.column_stack(stage.figure.axes[0].lines[1].get_data())

    assert click(-4.0, 3.0) == pytest.approx(np.tile([-4.0, 3.0], (100, 1)), abs=1e-5)
    dots = click(2.0, 1.0)
    assert sorted({tuple(np.round(dot, 4)) for dot in dots.tolist()}) == [(-4.0, 3.0), (2.0, 1.0)]
    assert (np.round(dots[:, 0]) == 2).sum() == 50
    everywhere.click()
    assert stage.png == begun


def test_bad_values_give_messages_and_lose_nothing():
    _, _, seed, first, _, (play, *_), stage, message = parts(langevin_playground())
    play.value = 1
    kept = stage.png
    first[1].text = "-0,1"
    assert "ε is -0,1" in first[1].message
    assert stage.png == kept
    first[1].text = "0,1"
    assert first[1].message == ""
    seed.text = "-1"
    assert "seed is -1" in seed.message
    assert message.value == ""


def test_after_a_refused_value_nothing_runs_under_a_wrong_name():
    _, density, seed, first, _, (play, step, *_), stage, message = parts(langevin_playground())
    kept = stage.png
    seed.text, first[1].text = "-1", "nan"
    first[0].value = "MALA"
    assert stage.png != kept
    step.click()
    play.value = 1
    assert "seed is -1" in seed.message
    assert "ε is nan" in first[1].message
    assert stage.alt.startswith("MALA after 6 steps")
    kept = stage.png
    seed.text, first[1].text = "0", "0.05"  # what was in use all the while
    assert stage.png == kept
    assert seed.message == first[1].message == message.value == ""


def test_bars_and_histograms_are_the_shares_visited():
    """All chains start in the mode above on the left: a histogram flipped or transposed would have them elsewhere."""
    across = isotropic([[-2.5, 2.5], [2.5, -2.5]], 0.5, weights=[0.2, 0.8])
    *_, first, _, (play, _, _, _, speed), stage, _ = parts(langevin_playground({"across": across}, n_chains=50))
    first[0].value, first[1].value = "MALA", 0.05
    speed.value = 20
    box = stage.figure.axes[0].get_position()
    stage._handle_custom_msg({"x": box.x0 + 0.25 * box.width, "y": 1 - box.y0 - 0.75 * box.height}, [])
    play.value = 1
    _, visited, shares = stage.figure.axes[:3]
    assert [bar.get_height() for bar in shares.patches] == [1.0, 0.0]
    image = np.asarray(visited.images[0].get_array())
    rows, columns = np.nonzero(image)  # rows from the bottom
    assert rows.min() >= 25
    assert columns.max() < 25
    assert image.sum() * (10 / 50) ** 2 == pytest.approx(1.0)
    assert shares.lines[1].get_ydata() == pytest.approx([0.2, 0.8])


def test_what_is_visited_is_shaded_by_the_scale_of_the_law():
    """From 0 to the largest p: of a Gaussian of variance 1/4, 2 / pi, less 1.6 % in the middle of the nearest cell."""
    *_, (play, *_), stage, _ = parts(langevin_playground(isotropic([[0.0, 0.0]], 0.5), n_chains=20))
    play.value = 1
    scales = [ax.images[0].get_clim() for ax in stage.figure.axes if ax.images]
    assert scales == [scales[0]] * 4
    assert scales[0] == pytest.approx((0.0, 2 / np.pi), rel=0.02)


def test_a_lesson_left_can_be_chosen_again():
    lesson, _, seed, *_, stage, _ = parts(langevin_playground())
    everywhere = stage.png
    lesson.value = lesson.options[1][1]
    seed.value = 3
    assert lesson.value == lesson.options[1][1]  # a seed is no part of a lesson
    box = stage.figure.axes[0].get_position()
    stage._handle_custom_msg({"x": box.x0 + 0.25 * box.width, "y": 1 - box.y0 - 0.75 * box.height}, [])
    assert lesson.label == CHOOSE
    lesson.value = lesson.options[1][1]
    seed.value = 0
    assert stage.png == everywhere


def test_chains_that_leave_give_a_message():
    *_, first, second, (play, *_), stage, message = parts(langevin_playground({"one": isotropic([[0.0, 0.0]], 0.1)}))
    first[1].value = 5.0  # 4 v = 0.04
    for k in range(1, 7):  # 30 steps, each 249 times as far from 0 as the last
        play.value = k
    assert "chains diverged" in message.value
    assert stage.png


def test_noise_can_be_left_out_of_langevin_alone():
    *_, first, _, _, stage, _ = parts(langevin_playground())
    sampler, _, noise = first
    sampler.value = "Langevin"
    assert not noise.disabled
    noise.value = False
    assert "Langevin without noise" in stage.alt
    sampler.value = "MALA"
    assert noise.disabled
    assert noise.value


def test_every_lesson_starts_and_steps():
    lesson, density, _, first, second, (play, step, *_), stage, message = parts(langevin_playground(n_chains=20))
    assert len(lesson.options) == 1 + len(LESSONS)
    for _, chosen in lesson.options[1:]:
        lesson.value = chosen
        assert (density.value, first[0].value, second[0].value) == (
            chosen.density,
            chosen.first.sampler,
            chosen.second.sampler,
        )
        assert (first[1].value, first[2].value) == (chosen.first.step_size, chosen.first.noise)
        step.click()
        assert "after 1 steps" in stage.alt


def test_every_control_is_labelled_and_bad_input_refused():
    lesson, density, seed, first, second, (_, step, again, everywhere, speed), _, _ = parts(langevin_playground())
    for control in (lesson, density, seed, *first, *second, step, again, everywhere, speed):
        assert control.description
    with pytest.raises(ValueError, match="densities is empty"):
        langevin_playground({})
    with pytest.raises(TypeError, match="give a density"):
        langevin_playground({"circle": 1.0})
    with pytest.raises(ValueError, match="n_chains"):
        langevin_playground({"two": two_modes()}, n_chains=0)


OWN = {
    "energy": from_energy(lambda x: (x**4).sum(-1) / 4, (-4.0, 4.0, -4.0, 4.0)),
    "cut": isotropic([[0.0, 0.0]], 1.0).truncated((0.0, 2.0, -1.0, 1.0)),
    **{name: example.density for name, example in catalogue().items()},
}
CURVES = {name for name, example in catalogue().items() if example.least_sigma > 0}
OFTEN = {"cut", "two_modes", "square", "circle", "points", "laplace"}  # the others every night


@pytest.mark.parametrize("name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.nightly) for n in OWN])
def test_any_law_opens_and_is_sampled(name):
    """Twenty steps of each sampler that can run; what is not known is said beside the law, and stops no other."""
    box = langevin_playground(OWN[name], n_chains=40)
    _, _, _, first, second, (play, *_, speed), stage, message = parts(box)
    speed.value, frames = 20, itertools.count(1)
    second[0].value = "MALA"
    second[1].value = first[1].value = 0.01
    beside = box.children[0].children[1].message.value
    for sampler in MOVES:
        first[0].value = sampler
        refused = "annealed Langevin needs the noised laws" in message.value
        assert refused == (sampler == ANNEALED and name == "energy") or message.value == ""
        play.value = next(frames)
        if not refused:
            assert f"{sampler} after 20 steps" in stage.alt
    assert ("no density of its own" in beside) == (name in CURVES)


def test_a_slow_step_is_told_and_what_is_slow_is_counted():
    """A mixture of K parts in the plane takes at least 2 K numbers per point; a clock would not say so twice."""
    p = isotropic(torch.randn(5000, 2, generator=torch.Generator().manual_seed(0)).tolist(), 0.1)
    words = [target_of(p, n).words for n in (100, 20_000, 20_000)]
    assert words[0] == ""
    assert words[1] == words[2]
    told = re.fullmatch("a step of 20000 chains computes (.*) million numbers, which is slow: .*", words[1])
    numbers = 1e6 * float(told[1].replace(",", ""))
    assert 2 * 5000 * 20_000 <= numbers <= 100 * 5000 * 20_000


def test_quarters_have_the_shares_of_the_law():
    """Of a square each quarter has a quarter, and E|x - middle|^2 / 2 is a twelfth of its side squared."""
    regions = regions_of(catalogue()["square"].density)
    left, right = -3.0, 3.0
    x = catalogue()["square"].density.sample((10_000,), generator=torch.Generator().manual_seed(1))
    side = float((x.amax(0) - x.amin(0)).mean())
    assert regions.shares.tolist() == pytest.approx([0.25] * 4, abs=6 * (0.25 * 0.75 / 100_000) ** 0.5 + 0.005)
    assert regions.variance == pytest.approx(side**2 / 12, rel=0.02)
    assert regions.part_of(torch.tensor([[right, right], [left, right], [left, left], [right, left]])).tolist() == [
        0,
        1,
        2,
        3,
    ]
    p = two_modes()
    assert torch.equal(regions_of(p).shares, p.weights)
    assert regions_of(p).part_of(p.means).tolist() == [0, 1]


def test_bars_of_a_sampler_that_is_right_are_the_shares_of_the_law():
    """MALA on a Laplace law, 60 chains of 600 steps from everywhere: each quarter within six errors of its share."""
    p = catalogue()["laplace"].density
    *_, first, _, (play, *_, speed), stage, _ = parts(langevin_playground(p, n_chains=60))
    first[0].value, first[1].value, speed.value = "MALA", 0.5, 50
    for k in range(1, 13):
        play.value = k
    bars = np.array([bar.get_height() for bar in stage.figure.axes[2].patches])
    shares = regions_of(p).shares.numpy()
    assert abs(bars - shares).max() < 6 * (0.25 / 60) ** 0.5
    assert bars.sum() == pytest.approx(1)


def test_a_click_where_no_chain_can_start_is_told():
    box = langevin_playground(catalogue()["square"].density, n_chains=30)
    *_, (_, _, _, scatter, _), stage, message = parts(box)
    place = stage.figure.axes[0].get_position()
    stage._handle_custom_msg({"x": place.x0 + 0.01 * place.width, "y": 1 - place.y0 - 0.01 * place.height}, [])
    assert "p = 0 at a place that was clicked" in message.value
    scatter.click()
    assert message.value == "" and "nothing is counted yet" in stage.alt and "Of 100,000 draws: A 0.25" in stage.alt
