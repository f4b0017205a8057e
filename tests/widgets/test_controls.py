"""What holds for the controls of every widget: exact, on the lesson that is set, free of the queue of cells."""

import functools

import ipywidgets
import pytest
import torch

from toylab.densities import two_modes
from toylab.sde import VP
from toylab.widgets import (
    diffusion_film,
    langevin_playground,
    noise_ladder,
    record_film,
    score_explorer,
    training_theatre,
)
from toylab.widgets.frame import CHOOSE, LessonList, exact_slider, level_grid
from toylab.widgets.messages import Message
from toylab.widgets.number_box import NumberBox
from toylab.widgets.rerun import parts

FILM = record_film(
    VP(), {"exact": (two_modes().score, two_modes())}, generator=torch.Generator().manual_seed(0), n_frames=3, n_paths=2
)
WITH_LESSONS = {
    "score_explorer": score_explorer,
    "langevin_playground": lambda: langevin_playground(n_chains=4),
    "noise_ladder": lambda: noise_ladder(n_chains=4),
    "training_theatre": lambda: training_theatre(width=4, n_steps=20),
}
WIDGETS = {**WITH_LESSONS, "diffusion_film": lambda: diffusion_film({"a": lambda g: FILM, "b": lambda g: FILM})}
ROUND_OR_REPLACE = (  # what they are set to, or what is typed
    ipywidgets.widgets.widget_float._Float, ipywidgets.IntText, ipywidgets.BoundedIntText, ipywidgets.Text,
)  # fmt: skip


@functools.cache
def made(name):
    return WIDGETS[name]()


def everything(box):
    return [box, *(inner for part in parts(box) for inner in everything(part))]


def controls(box):
    return [part for part in everything(box) if hasattr(part, "value") and not isinstance(part, Message)]


def the_list(box):
    (lessons,) = (part for part in everything(box) if isinstance(part, LessonList))
    return lessons


@pytest.mark.parametrize("name", WIDGETS)
def test_no_control_rounds_what_it_is_set_to(name):
    for control in controls(made(name)):
        assert not isinstance(control, ROUND_OR_REPLACE), control
        if isinstance(control, ipywidgets.IntSlider):
            assert control.step == 1


@pytest.mark.parametrize("name", WITH_LESSONS)
def test_a_lesson_that_is_chosen_stays_until_something_else_is_set(name):
    box = made(name)
    lessons = the_list(box)
    for text, _ in lessons.options[1:]:
        lessons.set_state({"index": lessons._options_labels.index(text)})
        for control in controls(box):  # the front end reports what it was given
            known = control.get_state()
            control.set_state({key: known[key] for key in ("index", "value", "text") if key in known})
        assert lessons.label == text
    first = next(part for part in controls(box) if isinstance(part, ipywidgets.Dropdown) and part is not lessons)
    kept = first.index
    first.index = (kept + 1) % len(first.options)
    assert (lessons.label, lessons.index) == (CHOOSE, 0)
    first.index = kept
    assert lessons.label == text  # the list is a function of the settings


@pytest.mark.parametrize("name", WIDGETS)
def test_every_control_answers_in_the_subshell_that_the_front_end_names(name):
    for part in everything(made(name)):
        assert part.comm._reply_subshell_for is None


@pytest.mark.parametrize("name", WIDGETS)
def test_a_number_that_is_refused_is_told_in_its_box_alone(name):
    box = made(name)
    for typed in (part for part in everything(box) if isinstance(part, NumberBox)):
        good = typed.text
        typed.text = "1e20"
        assert "is 1e20: give a" in typed.message
        assert f"{good} stays in use" in typed.message
        told = [part.message if part is typed else getattr(part, "message", "") for part in everything(box)]
        assert [text for text in told if isinstance(text, str) and text] == [typed.message]
        assert all(part.value == "" for part in everything(box) if isinstance(part, Message))
        typed.text = good
        assert typed.message == ""


def test_a_list_shows_the_lesson_that_equals_the_settings_and_calls_for_none_that_it_was_shown():
    chosen, lessons = [], LessonList({"one": (1, 2.0), "two": (2, 0.3)})
    lessons.on_choice(chosen.append)
    for settings, label in (((2, 0.3), "two"), ((2, 0.30000001), CHOOSE), (None, CHOOSE), ((1, 2.0), "one")):
        lessons.show(settings)
        assert lessons.label == label
        assert lessons.index is not None
    assert chosen == []
    lessons.index = 2
    lessons.index = 0
    lessons.index = 2
    assert chosen == [(2, 0.3), (2, 0.3)]


def test_a_slider_has_exactly_the_values_it_is_given():
    grid = level_grid(-2, 1)
    assert (grid[0], grid[-1], len(grid)) == (0.01, 10.0, 271)
    assert all(float(f"{value:.2g}") == value for value in grid)
    slider = exact_slider([0.0, *grid], 1 / 3, "noise", 100)
    assert slider.value == 1 / 3
    for value in (0.3, 0.15, 0.0, 10.0):
        slider.value = value
        assert slider.value == value
        assert float(slider.label) == value
    assert [value for _, value in slider.options] == sorted([0.0, *grid, 1 / 3])
