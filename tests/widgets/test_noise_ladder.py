"""The ladder: its bands are quantiles, what is drawn is what was run, its lessons show what they say."""

import numpy as np
import pytest
import torch
from scipy import stats

from toylab.densities import catalogue, from_energy
from toylab.metrics import mode_weight_trace
from toylab.schedules import geometric, overlap
from toylab.widgets import noise_ladder
from toylab.widgets.noise_descent import EXTENT, Ladder, descend
from toylab.widgets.noise_lessons import DENSITIES, LESSONS
from toylab.widgets.noise_picture import LadderPicture
from toylab.widgets.regions import regions_of


def parts(box):
    (lesson, density, _), (n, n_steps), (largest, last), (rate, seed, run) = (row.children for row in box.children[:4])
    smallest = last.control
    return lesson, density.control, n, n_steps, largest, smallest, rate, seed, run, box.children[4], box.children[5]


def test_bars_are_where_nine_tenths_of_the_noise_are():
    *_, stage, _ = parts(noise_ladder())
    for bar, sigma in zip(stage.figure.axes[0].patches, geometric(20.0, 1.0, 10).tolist(), strict=False):
        length = stats.rayleigh(scale=sigma)
        assert length.cdf(bar.get_x()) == pytest.approx(0.05, rel=1e-4)
        assert length.cdf(bar.get_x() + bar.get_width()) == pytest.approx(0.95, rel=1e-4)
    assert [bar.get_visible() for bar in stage.figure.axes[0].patches].count(True) == 10


def share(stage):
    return float(stage.alt.split("larger mode ")[1].split(" ±")[0])


def test_lessons_show_what_they_say():
    """1,280 chains: a share has a standard error of at most 0.014; six of them are 0.084."""
    lesson, *_, run, stage, message = parts(noise_ladder())
    assert len(lesson.options) == 1 + len(LESSONS)
    shares = {}
    for text, ladder in lesson.options[1:]:
        lesson.value = ladder
        assert "press run" in stage.figure.axes[1].texts[0].get_text()
        run.click()
        assert message.value == "", text
        shares[text] = share(stage)
    lesson.value = LESSONS["the last level too large: blurred"]
    run.click()
    assert float(stage.alt.split("variance ")[1].split(",")[0]) == pytest.approx(17.0, rel=0.2)  # 1 + 4^2; +-2 %
    assert shares["the ladder of the paper"] == pytest.approx(0.8, abs=0.084)
    assert shares["the first level too small: the start is never forgotten"] < 0.8 - 0.084
    assert shares["too few steps per level"] < 0.8 - 0.084
    assert shares["one level alone: plain Langevin"] == pytest.approx(0.5, abs=0.084)
    assert shares["a narrow mode is found last"] == pytest.approx(0.7, abs=0.084)


def test_the_sliders_move_the_bands_and_the_overlap():
    _, _, n, _, largest, smallest, *_, stage, _ = parts(noise_ladder())
    before = stage.png
    n.value = 4
    assert stage.png != before
    assert f"share {float(overlap(geometric(20.0, 1.0, 4))[0]):.2f}" in stage.alt
    largest.value = 50.0
    shown = stage.figure.axes[0].patches[0]
    assert shown.get_x() == pytest.approx(float(np.sqrt(-2 * np.log(0.95))) * largest.value, rel=1e-6)


def test_what_is_drawn_is_what_was_run():
    lesson, *_, seed, run, stage, _ = parts(noise_ladder(n_chains=200))
    chosen = LESSONS["a narrow mode is found last"]
    lesson.value = chosen
    run.click()
    p = DENSITIES[chosen.density]
    chains, trace = descend(p, regions_of(p), chosen, 200, EXTENT, torch.Generator().manual_seed(0))
    bands, course, ends = stage.figure.axes
    assert bands.lines[0].get_xdata() == pytest.approx(chosen.sigmas.numpy())
    drawn = next(line for line in course.lines if len(line.get_xdata()) == chosen.n + 1)
    assert drawn.get_ydata() == pytest.approx(trace.weights[:, 1].numpy())
    image = np.asarray(ends.images[0].get_array())  # rows from the bottom
    x = chains.samples.numpy()
    counts, _, _ = np.histogram2d(x[:, 1], x[:, 0], bins=48, range=[[-8, 8], [-8, 8]])
    assert image == pytest.approx(counts / 200 / (16 / 48) ** 2)
    assert not np.array_equal(image, image.T)


def test_a_descent_that_diverges_says_what_to_change():
    *_, rate, seed, run, stage, message = parts(noise_ladder(n_chains=100))
    kept = stage.png
    rate.value = 100.0
    run.click()
    assert not run.disabled
    assert "take a smaller step size α / σ²" in message.value
    assert stage.png == kept


def test_bad_values_give_messages_and_lose_nothing():
    box = noise_ladder(n_chains=100)
    _, _, n, _, largest, smallest, rate, seed, run, stage, message = parts(box)
    beside = box.children[2].children[1].message
    run.click()
    kept = stage.png
    smallest.value = 30.0
    assert "a schedule decreases" in beside.value
    assert message.value == ""
    assert stage.png == kept
    run.click()
    assert "a schedule decreases" in beside.value
    assert message.value == ""
    assert not run.disabled
    smallest.value = 1.0
    assert beside.value == ""
    rate.text, seed.text = "0", "-1"
    assert "α / σ² is 0" in rate.message
    assert "seed is -1" in seed.message
    assert message.value == ""


def test_the_same_seed_runs_the_same():
    *_, seed, run, stage, _ = parts(noise_ladder(n_chains=100))
    run.click()
    first = stage.png
    seed.value = 1
    run.click()
    assert stage.png != first
    seed.value = 0
    run.click()
    assert stage.png == first


def test_every_control_is_labelled_and_bad_input_refused():
    for control in parts(noise_ladder())[:9]:
        assert control.description
    with pytest.raises(ValueError, match="densities is empty"):
        noise_ladder({})
    with pytest.raises(TypeError, match="give a density"):
        noise_ladder({"circle": 1.0})
    with pytest.raises(ValueError, match="n_chains"):
        noise_ladder(n_chains=0)


OFTEN = {"two_modes", "square", "circle", "points", "laplace"}  # the others every night
LAWS = [n if n in OFTEN else pytest.param(n, marks=pytest.mark.nightly) for n in catalogue()]


@pytest.mark.parametrize("name", LAWS)
def test_any_law_with_noise_runs_down_a_ladder(name):
    """Its largest mode or quarter is followed, and the last share is that of the chains; a curve ends on its noise."""
    p = catalogue()[name].density
    ladder = Ladder(name, 4, 5.0, 0.3, 5, 0.1)
    regions = regions_of(p)
    chains, trace = descend(p, regions, ladder, 60, EXTENT, torch.Generator().manual_seed(0))
    part = regions.part_of(chains.samples.double())
    shares = torch.bincount(part, minlength=len(regions.shares)) / 60
    assert trace.weights[-1].tolist() == pytest.approx(shares.tolist())
    assert trace.weights.sum(-1).tolist() == pytest.approx([1.0] * len(trace.weights))
    words = LadderPicture(p, EXTENT).show_descent(ladder, chains, trace)
    assert f"{regions.known} {float(regions.shares.max()):.3f}" in words


def test_a_law_known_clean_alone_is_refused_beside_the_list_before_it_is_run():
    clean = from_energy(lambda x: (x**4).sum(-1) / 4, (-4.0, 4.0, -4.0, 4.0))
    box = noise_ladder({"clean": clean, "noised": DENSITIES["two near modes"]}, n_chains=20)
    _, density, *_, run, stage, message = parts(box)
    beside = box.children[0].children[1].message
    assert "a ladder needs the noised laws: " in beside.value and "only the clean law of a density" in beside.value
    run.click()
    assert "only the clean law" in beside.value and message.value == "" and "Share" not in stage.alt
    density.value = "noised"
    assert beside.value == ""
    run.click()
    assert "Share" in stage.alt


def test_of_a_mixture_the_shares_by_level_are_the_mode_weights():
    p = DENSITIES["two near modes"]
    chains, trace = descend(p, regions_of(p), Ladder("", 4, 5.0, 0.3, 5), 60, EXTENT, torch.Generator().manual_seed(0))
    exact = mode_weight_trace(chains, p)
    for name in ("labels", "weights", "standard_errors", "moved"):
        torch.testing.assert_close(getattr(trace, name), getattr(exact, name), check_dtype=False)
