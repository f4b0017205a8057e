"""The theatre: what is seen is the training that fit makes, its divergence the exact one, and stop keeps it."""

import math
import re
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from toylab.densities import Checkerboard, Density, GaussianMixture, Points, from_energy, isotropic
from toylab.metrics import fisher_divergence, grid_points
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Sliced
from toylab.training import fit
from toylab.widgets import training_theatre
from toylab.widgets.training_lessons import DENSITIES, LESSONS
from toylab.widgets.training_picture import TrainingPicture
from toylab.widgets.training_task import DENOISING, OBJECTIVES, REPORT_EVERY, Lesson, goal_of, prepare

SQUARE = (-6.0, 6.0, -6.0, 6.0)


def parts(box):
    first, *_, second = (row.children for row in box.children[:-2])  # between them the sliders of a family
    (lesson, train, stop, _), (density, objective, activation, data, rate, seed) = first, second
    controls = (lesson, train.control, stop, density, objective.control, activation, data, rate, seed)
    return *controls, box.children[-2], box.children[-1]


def task_of(lesson, density, width):
    goal = goal_of(density, lesson.objective, SQUARE)
    return prepare(lesson, density, goal, width, torch.Generator().manual_seed(0))


def trained(box):
    parts(box)[1].click()
    box.training.join(120)
    assert not box.training.is_alive()
    return box.fit


@pytest.mark.parametrize(("name", "sigma"), [*((name, 0.0) for name in DENSITIES), ("two modes", 0.5)])
def test_the_divergence_of_the_map_is_the_exact_one(name, sigma):
    density = DENSITIES[name].noised(sigma) if sigma else DENSITIES[name]
    network = ScoreMLP(16, generator=torch.Generator().manual_seed(0))
    picture = TrainingPicture(density, (-6.0, 6.0, -6.0, 6.0), 10)
    assert picture.append(network, 0, 1.0) == pytest.approx(fisher_divergence(network, density), rel=2e-3)


def test_it_is_the_training_that_fit_makes():
    box = training_theatre(width=16, n_steps=3 * REPORT_EVERY)
    result = trained(box)
    g = torch.Generator().manual_seed(0)
    network = ScoreMLP(16, activation=functional.softplus, generator=g)
    same = fit(network, Sliced(), DENSITIES["two modes"], n_steps=3 * REPORT_EVERY, generator=g, progress=False)
    for ours, theirs in zip(result.network.parameters(), same.network.parameters(), strict=True):
        assert ours.equal(theirs)
    steps, curve = parts(box)[9].figure.axes[2].lines[-1].get_data()
    assert list(steps) == [0, 20, 40, 60]
    assert list(curve[1:]) == pytest.approx(result.history.held_out.tolist(), rel=1e-12)
    assert "After 60 steps" in parts(box)[9].alt


def test_field_and_error_map_are_those_of_the_network():
    network = ScoreMLP(16, generator=torch.Generator().manual_seed(0))
    density = DENSITIES["two modes"]
    picture = TrainingPicture(density, (-6.0, 6.0, -6.0, 6.0), 10)
    picture.append(network, 0, 1.0)
    field, error, _ = picture.figure.axes
    arrows = field.collections[-1]
    x = torch.tensor(np.stack([arrows.X, arrows.Y], -1), dtype=torch.float32).view(-1, 2)
    with torch.no_grad():
        s = network(x).numpy()
        cells = grid_points((-6.0, 6.0, -6.0, 6.0), 80)
        exact = (network(cells) - density.score(cells)).norm(dim=-1).numpy()
    assert np.stack([arrows.U, arrows.V], -1).reshape(-1, 2) == pytest.approx(s, abs=1e-5)
    assert np.asarray(error.images[0].get_array()) == pytest.approx(exact, abs=1e-4)


def test_a_training_that_breaks_lets_go():
    class Broken(type(DENSITIES["two modes"])):
        def sample(self, sample_shape=(), *, generator=None):
            raise RuntimeError("out of points")

    p = DENSITIES["two modes"]
    box = training_theatre({"broken": Broken(p.weights, p.means, p.covariances)}, width=8, n_steps=20)
    assert trained(box) is None
    assert "out of points" in parts(box)[-1].value
    assert not parts(box)[1].disabled
    assert trained(training_theatre(width=8, n_steps=20)) is not None  # another one may begin


def test_a_late_change_does_not_hide_a_training():
    box = training_theatre(width=8, n_steps=10**6)
    _, train, stop, *_, rate, _, stage, _ = parts(box)
    moved, said = threading.Event(), []
    stage.observe(lambda _: moved.set(), "alt")
    train.click()
    assert moved.wait(60)  # the first picture of the training
    stage.observe(lambda change: said.append(change["new"]), "alt")
    rate.value = 0.02
    moved.clear()
    assert moved.wait(60)
    stop.click()
    box.training.join(60)
    assert said
    assert all(words.startswith("After") for words in said)


def test_a_denoising_loss_is_held_against_the_noised_law():
    box = training_theatre(width=8, n_steps=REPORT_EVERY)
    parts(box)[4].value = "denoising, σ = 0.5"
    result = trained(box)
    exact = fisher_divergence(result.network, DENSITIES["two modes"].noised(0.5))
    assert float(result.history.held_out[-1]) == pytest.approx(exact, rel=2e-3)


def test_stop_keeps_what_is_learned():
    box = training_theatre(width=8, n_steps=10**6)
    _, train, stop, density, *_, stage, message = parts(box)
    first = stage.png
    moved = threading.Event()
    stage.observe(lambda _: moved.set(), "png")
    train.click()
    moved.clear()
    assert moved.wait(60)
    assert train.disabled
    assert density.disabled
    stop.click()
    box.training.join(60)
    assert not box.training.is_alive()
    assert not train.disabled
    assert not density.disabled
    assert stop.disabled
    assert "interrupted after" in message.value
    assert 0 < len(box.fit.history.steps) < 10**6 / REPORT_EVERY
    assert stage.png != first


def test_a_closed_theatre_stops_by_itself():
    box = training_theatre(width=8, n_steps=10**6)
    _, train, *_, stage, _ = parts(box)
    train.click()
    stage.close()
    box.training.join(60)
    assert not box.training.is_alive()


def test_two_trainings_do_not_run_at_once():
    first, second = training_theatre(width=8, n_steps=10**6), training_theatre(width=8, n_steps=REPORT_EVERY)
    parts(first)[1].click()
    parts(second)[1].click()
    assert "another training is running" in second.children[0].children[1].message.value
    assert parts(second)[-1].value == ""
    assert second.training is None
    parts(first)[2].click()
    first.training.join(60)
    assert trained(second) is not None


def test_a_diverged_training_gives_a_message(monkeypatch):
    def far_too_fast(lesson, *rest):
        return prepare(replace(lesson, learning_rate=1e30), *rest)

    monkeypatch.setattr(sys.modules["toylab.widgets.training_theatre"], "prepare", far_too_fast)
    box = training_theatre({"wide": isotropic([[0.0, 0.0]], 1.0)}, width=8, n_steps=200)
    *_, rate, _, stage, message = parts(box)
    parts(box)[4].value = "explicit"
    assert trained(box) is None
    assert "training diverged" in message.value
    rate.text = "0"
    assert "learning rate is 0" in rate.message
    assert rate.value == 0.005


def test_a_lesson_sets_the_controls():
    lesson, _, _, density, objective, activation, data, rate, *_ = parts(training_theatre(width=8))
    assert len(lesson.options) == 1 + len(LESSONS)
    for _, chosen in lesson.options[4:]:  # among them they set every control
        lesson.value = chosen
        assert (density.value, objective.value, activation.value) == (
            chosen.density, chosen.objective, chosen.activation,
        )  # fmt: skip
        assert (data.value, rate.value) == (chosen.data, chosen.learning_rate)


def divergences(name):
    """Of the lesson, every 20 steps of 600, without drawing."""
    task = task_of(LESSONS[name], DENSITIES[LESSONS[name].density], 32)
    cells = grid_points((-6.0, 6.0, -6.0, 6.0), 80)
    share, exact = (
        torch.softmax(task.goal.truth.log_prob(cells).flatten(), 0).view(80, 80),
        task.goal.truth.score(cells),
    )
    return task.train(600, lambda s: float((share * (s(cells) - exact).square().sum(-1)).sum()) / 2).history.held_out


def test_lessons_show_what_they_say():
    """The good ones beat the bad by far more than trainings differ from seed to seed (half as much)."""
    good = float(divergences("sliced matching, from samples alone")[-1])
    with pytest.warns(RuntimeWarning, match="piecewise linear"):
        assert divergences("ReLU under a loss with derivatives learns nothing")[-1] > 5 * good
    few = divergences("few data: the loss falls and the truth runs away")
    assert few[-1] > 1.5 * few.min()
    assert divergences("too little noise: the loss is all noise")[-1] > 5 * good
    assert divergences("a rate far too large")[-1] > 5 * good


def test_every_control_is_labelled_and_bad_input_refused():
    for control in parts(training_theatre())[:9]:
        assert control.description
    assert set(OBJECTIVES) >= {lesson.objective for lesson in LESSONS.values()}
    with pytest.raises(ValueError, match="densities is empty"):
        training_theatre({})
    with pytest.raises(TypeError, match="give a density"):
        training_theatre({"a": 1})
    with pytest.raises(ValueError, match="width"):
        training_theatre(width=0)
    with pytest.raises(ValueError, match="n_steps"):
        training_theatre(n_steps=0)


def test_a_density_of_ones_own_is_learned():
    own = isotropic([[1.0, 0.0]], 0.9)
    result = trained(training_theatre(own, width=8, n_steps=REPORT_EVERY))
    exact = fisher_divergence(result.network, own)
    assert float(result.history.held_out[-1]) == pytest.approx(exact, rel=2e-3)


class OfOnesOwn(Density):
    """N(0, diag(1, 9/4)), as a student writes it: how far it reaches and how fine it is, it does not say."""

    def log_prob(self, x):
        return -0.5 * (x.square() / x.new_tensor([1.0, 2.25])).sum(-1) - math.log(3 * math.pi)

    def sample(self, sample_shape=(), *, generator=None):
        z = torch.randn((*sample_shape, 2), generator=generator, device="cpu")
        return z * torch.tensor([1.0, 1.5], device="cpu")


def test_a_density_of_ones_own_needs_neither_bounds_nor_noise():
    """The constant, 13/18, is a mean of 20,000 draws of variance 97/162: 5.1 standard errors are rarer than 1e-6."""
    goal = goal_of(OfOnesOwn(), "implicit", SQUARE)
    assert abs(goal.offset - 13 / 18) < 5.1 * (97 / 162 / 20_000) ** 0.5
    assert goal.draws is None  # the divergence is the sum over the cells
    box = training_theatre(OfOnesOwn(), width=8, n_steps=REPORT_EVERY)
    exact = fisher_divergence(trained(box).network, GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 2.25]]]))
    assert float(box.fit.history.held_out[-1]) == pytest.approx(exact, rel=2e-3)


class OfOneQuarter(Density):
    """exp(-x - y) where both are positive: its formula has a score of 0 outside, where there is none."""

    def log_prob(self, x):
        return torch.where((x > 0).all(-1), -x.sum(-1), -math.inf)

    def sample(self, sample_shape=(), *, generator=None):
        return -torch.rand((*sample_shape, 2), generator=generator, device="cpu").log()


def test_a_law_with_an_edge_has_no_score_beyond_it():
    with pytest.raises(ValueError, match="no score in parts of the square: give an extent in which p is nowhere 0"):
        training_theatre(OfOneQuarter())


def test_few_data_the_loss_falls_below_zero_and_the_truth_runs_away():
    """Loss plus its constant would be the divergence on ever new data; on 30 fixed points it leaves it and goes on."""
    box = training_theatre(n_steps=600)
    lesson, train, *_, stage, _ = parts(box)
    lesson.value = lesson.options[1 + list(LESSONS).index("few data: the loss falls and the truth runs away")][1]
    train.click()
    box.training.join(120)
    field, _, curve = stage.figure.axes
    assert len(field.lines[-1].get_xdata()) == 30  # the data are seen
    loss, divergence = (line.get_ydata() for line in curve.lines[-2:])
    assert divergence[-1] > 1.2 * min(divergence)
    assert loss[-1] == np.nanmin(loss)
    assert curve.get_yscale() == "linear"
    assert curve.get_ylim()[0] < loss[-1] < 0  # seen below zero, not cut off
    lowest, last = map(float, re.search(r"lowest (\S+); loss plus its constant (\S+)\.$", stage.alt).groups())
    assert lowest == pytest.approx(min(divergence), rel=5e-3) and last == pytest.approx(loss[-1], rel=5e-3)


def test_loss_and_constant_are_the_divergence_on_new_data():
    """Of a network at the start, over 1,000 points: within six standard errors of denoising matching's loss."""
    p = DENSITIES["two modes"]
    task = task_of(Lesson("two modes", "denoising, σ = 0.5"), p, 16)
    x = p.sample((1000,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        losses = Denoising(0.5)(task.network, x, generator=torch.Generator().manual_seed(1))
    error = float(losses.std()) / 1000**0.5
    assert abs(task.loss(task.network) - fisher_divergence(task.network, p.noised(0.5))) < 6 * error


@pytest.mark.parametrize(
    "law", [Points([[-2.0, 1.0], [2.0, 0.0], [0.0, -2.0]]), pytest.param(Checkerboard(), marks=pytest.mark.nightly)]
)
def test_a_law_without_a_score_is_learned_at_the_noise_at_which_it_has_one(law):
    """It opens with denoising; losses of the clean score are refused beside the list, and the picture stays."""
    box = training_theatre(law, width=8, n_steps=REPORT_EVERY)
    objective, stage = parts(box)[4], parts(box)[9]
    beside = box.children[1].children[1].message
    assert objective.value == DENOISING and beside.value == parts(box)[-1].value == ""
    kept = stage.png
    objective.value = "sliced"
    assert "at σ = 0 the law has no score in parts of the square: choose a denoising" in beside.value
    assert stage.png == kept and parts(box)[-1].value == ""
    objective.value = DENOISING
    assert stage.png == kept and beside.value == ""
    result = trained(box)
    exact = fisher_divergence(result.network, law.noised(0.5))
    assert float(result.history.held_out[-1]) == pytest.approx(exact, rel=2e-3)


def test_a_law_known_clean_alone_is_learned_clean():
    quartic = from_energy(lambda x: (x**4).sum(-1) / 4, (-4.0, 4.0, -4.0, 4.0))
    with pytest.raises(ValueError, match="has no score in parts of the square: give an extent in which"):
        training_theatre(quartic)
    box = training_theatre(quartic, width=8, n_steps=20, extent=(-3.0, 3.0, -3.0, 3.0))
    assert parts(box)[4].value == "sliced"
    parts(box)[4].value = DENOISING
    assert "needs the law with noise σ = 0.5" in box.children[1].children[1].message.value


def test_where_the_truth_is_finer_than_the_picture_the_divergence_and_the_loss_are_means_over_draws():
    """One point at m with noise s: of the score 0 the divergence is E|x - m|^2 / (2 s^4) = 1 / s^2, over 2,000 draws.

    |x - m|^2 / s^2 is chi-squared of 2 degrees, of standard deviation 2: six standard errors are 0.13 / s^2. The cells
    of the picture, 0.15 wide, would give another number.
    """
    law, s = Points([[1.03, 0.52]]), 0.02
    goal = goal_of(law, "denoising, σ = 0.02", SQUARE)
    assert goal_of(law, DENOISING, SQUARE).draws is None
    picture = TrainingPicture(goal.truth, SQUARE, 10, goal.draws)
    assert picture.append(torch.zeros_like, 0, 1.0) == pytest.approx(1 / s**2, rel=0.14)
    assert re.match(r"J of 2,000 draws: 2\S+ ± 5\d", picture.legend[0].get_text())
    assert picture.append(lambda x: goal.truth.score(x.double()), 1, 1.0) == pytest.approx(0.0, abs=1e-6 / s**2)
    ground = picture.figure.axes[0].images[0].get_array()
    assert float(ground.sum()) * (12 / 80) ** 2 == pytest.approx(1.0, rel=0.05)  # the point is seen, between the cells
    # the loss of the exact score of one point is 0, and so is the constant: E|score|^2 / 2 - 1 / s^2
    assert goal.offset == pytest.approx(0.0, abs=1e-9 / s**2)
