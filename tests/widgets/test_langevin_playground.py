"""The playground: its runs are the samplers', step by step; the two rows share start and seed; clicks place chains."""

import math

import numpy as np
import pytest
import torch

from toylab.densities import Circle, isotropic, two_modes
from toylab.samplers import annealed_langevin, langevin, uniform_start
from toylab.widgets import langevin_playground
from toylab.widgets.langevin_playground import EXTENT, LAWS, LESSONS, LEVELS, MOVES, STEPS_A_LEVEL, Run


def started(name, law, step_size, n=300, noise=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Run(law, name, MOVES[name], step_size, noise, uniform_start(n, EXTENT, generator=g), g)


def parts(box):
    (lesson, law, seed), first, second, tools, stage, message = (
        box.children[0].children, box.children[1].children, box.children[2].children, box.children[3].children,
        box.children[4], box.children[5],
    )  # fmt: skip
    return lesson, law, seed, first, second, tools, stage, message


def test_steps_by_the_frame_are_the_sampler_run_at_once():
    law = LAWS["two far modes"]
    run = started("Langevin", law, 0.05)
    for n in (1, 4, 15):
        run.advance(n)
    g = torch.Generator().manual_seed(0)
    at_once = langevin(law.score, uniform_start(300, EXTENT, generator=g), step_size=0.05, n_steps=20, generator=g)
    assert run.x.equal(at_once.samples)
    assert run.n_steps == 20
    assert run.in_modes.sum() == 20 * 300


def test_annealing_goes_through_its_levels_as_the_sampler_does():
    law = LAWS["two far modes"]
    run = started("annealed Langevin", law, 0.01)
    n_steps = STEPS_A_LEVEL * len(LEVELS)
    for n in (1, 50, 100, 7, n_steps - 158):  # frames that do not end where a level does
        run.advance(n)
    g = torch.Generator().manual_seed(0)
    x = uniform_start(300, EXTENT, generator=g)
    at_once = annealed_langevin(
        law.score, x, torch.tensor(LEVELS), step_size=0.01, n_steps=STEPS_A_LEVEL, generator=g, progress=False
    )
    assert run.x.allclose(at_once.samples, atol=1e-4)
    assert run.since == f"at σ = {LEVELS[-1]:.2f}"
    assert run.in_modes.sum() == STEPS_A_LEVEL * 300  # only those of the last level
    run.advance(10)  # and it goes on there
    assert run.since == f"at σ = {LEVELS[-1]:.2f}"


@pytest.mark.parametrize("name", ["MALA", "HMC, 10 leapfrogs"])
def test_exact_samplers_show_the_exact_numbers(name):
    """One Gaussian of variance 1, 300 chains: after 200 steps from uniform they have forgotten where they began.

    Variance over 2 x 300 independent values at least: standard error at most sqrt(2 / 600) = 0.058; five of them.
    """
    run = started(name, LAWS["one Gaussian of variance 1"], 0.5)
    run.advance(200)
    run.forget("now")
    run.advance(100)
    assert run.variance == pytest.approx(1.0, abs=0.29)
    assert 0.5 < run.acceptance <= 1
    assert run.weights.tolist() == [1.0]


def test_langevin_shows_its_own_variance():
    """eps = 2 on variance 1: the law has variance 1 / (1 - 2/4) = 2, forgotten in a step (the factor is 0)."""
    run = started("Langevin", LAWS["one Gaussian of variance 1"], 2.0)
    run.advance(5)
    run.forget("now")
    run.advance(100)  # 100 x 600 independent values: standard error 2 sqrt(2 / 60000) = 0.0115
    assert run.variance == pytest.approx(2.0, abs=6 * 0.0115)


def test_without_noise_it_climbs_to_the_peaks():
    law = LAWS["ring of eight"]
    run = started("Langevin", law, 0.05, noise=False)
    run.advance(200)
    assert float(torch.cdist(run.x, law.means.float()).amin(1).max()) < 1e-3


def test_the_histogram_counts_what_is_in_the_square():
    law = isotropic([[0.0, 0.0]], 1.0)
    g = torch.Generator().manual_seed(0)
    run = Run(law, "still", lambda run, n: langevin(lambda x: 0 * x, run.x, step_size=1e-12, n_steps=n, keep_every=1,
                                           generator=run.generator, progress=False),
              0.1, True, torch.tensor([[-4.95, 4.95], [2.0, -3.0], [9.0, 0.0]]), g)  # fmt: skip
    assert math.isnan(run.variance)
    assert np.isnan(run.weights).all()
    run.advance(3)
    assert run.visited.sum() == 6
    assert run.visited[-1, 0] == 3  # rows from the bottom
    assert run.in_modes.sum() == 9


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
        return np.column_stack(stage.figure.axes[0].lines[0].get_data())

    assert click(-4.0, 3.0) == pytest.approx(np.tile([-4.0, 3.0], (100, 1)), abs=1e-5)
    dots = click(2.0, 1.0)
    assert sorted({tuple(np.round(dot, 4)) for dot in dots.tolist()}) == [(-4.0, 3.0), (2.0, 1.0)]
    assert (np.round(dots[:, 0]) == 2).sum() == 50
    everywhere.click()
    assert stage.png == begun


def test_bad_values_are_told_and_nothing_is_lost():
    _, _, seed, first, _, (play, *_), stage, message = parts(langevin_playground())
    play.value = 1
    kept = stage.png
    first[1].value = -0.1
    assert "ε is -0.1" in message.value
    assert stage.png == kept
    first[1].value = 0.1
    assert message.value == ""
    seed.value = -1
    assert "seed is -1" in message.value


def test_after_a_refused_value_nothing_runs_under_a_wrong_name():
    _, law, seed, first, _, (play, step, *_), stage, message = parts(langevin_playground())
    kept = stage.png
    seed.value = -1
    first[0].value = "MALA"
    step.click()
    play.value = 1
    assert "seed is -1" in message.value
    assert stage.png == kept
    seed.value = 0
    assert stage.alt.startswith("MALA after 0 steps")
    first[1].value = float("nan")
    law.value = "ring of eight"
    step.click()
    assert "ε is nan" in message.value
    assert "MALA after 0 steps: mode weights nan, nan;" in stage.alt  # the law before
    first[1].value = 0.05
    step.click()
    assert stage.alt.count(",") > 10
    assert "MALA after 1 steps" in stage.alt
    first[0].value, first[1].value = "Langevin", 1e300  # no float32
    step.click()
    assert message.value


def test_bars_and_histograms_are_the_shares_visited():
    *_, first, _, (play, _, _, _, speed), stage, _ = parts(langevin_playground(n_chains=50))
    first[0].value, first[1].value = "MALA", 0.05
    speed.value = 20
    box = stage.figure.axes[0].get_position()
    stage._handle_custom_msg({"x": box.x0 + 0.25 * box.width, "y": 1 - box.y0 - 0.25 * box.height}, [])
    play.value = 1
    _, visited, shares = stage.figure.axes[:3]
    assert [bar.get_height() for bar in shares.patches] == [1.0, 0.0]  # all in the lesser mode, below on the left
    image = np.asarray(visited.images[0].get_array())
    rows, columns = np.nonzero(image)  # rows from the bottom
    assert rows.max() < 25
    assert columns.max() < 25
    assert image.sum() * (10 / 50) ** 2 == pytest.approx(1.0)
    assert shares.lines[0].get_ydata() == pytest.approx([0.2, 0.8])


def test_the_histogram_drawn_is_not_transposed():
    *_, (play, *_), stage, _ = parts(langevin_playground({"above on the left": isotropic([[-2.5, 2.5]], 0.3)}))
    for k in range(1, 60):
        play.value = k
    image = np.asarray(stage.figure.axes[1].images[0].get_array())  # rows from the bottom
    assert image[25:, :25].sum() > 0.9 * image.sum()


def test_a_lesson_left_can_be_chosen_again():
    lesson, _, seed, *_ = parts(langevin_playground())
    lesson.value = lesson.options[1][1]
    seed.value = 3
    assert lesson.value is None
    lesson.value = lesson.options[1][1]
    assert lesson.value is not None


def test_chains_that_leave_are_told():
    *_, first, second, (play, *_), stage, message = parts(langevin_playground({"one": isotropic([[0.0, 0.0]], 0.1)}))
    first[1].value = 5.0  # 4 v = 0.04
    for k in range(1, 30):
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
    lesson, law, _, first, second, (play, step, *_), stage, message = parts(langevin_playground(n_chains=20))
    assert len(lesson.options) == 1 + len(LESSONS)
    for _, chosen in lesson.options[1:]:
        lesson.value = chosen
        assert (law.value, first[0].value, second[0].value) == (chosen.law, chosen.first.sampler, chosen.second.sampler)
        assert (first[1].value, first[2].value) == (chosen.first.step_size, chosen.first.noise)
        step.click()
        assert "after 1 steps" in stage.alt


def test_every_control_is_labelled_and_bad_input_is_told():
    lesson, law, seed, first, second, (_, step, again, everywhere, speed), _, _ = parts(langevin_playground())
    for control in (lesson, law, seed, *first, *second, step, again, everywhere, speed):
        assert control.description
    with pytest.raises(ValueError, match="laws is empty"):
        langevin_playground({})
    with pytest.raises(TypeError, match="give a mixture"):
        langevin_playground({"circle": Circle(1.0)})
    with pytest.raises(ValueError, match="n_chains"):
        langevin_playground({"two": two_modes()}, n_chains=0)
