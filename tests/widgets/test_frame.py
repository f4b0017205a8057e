"""Seeds, messages, and the end of a widget whose cell is run again."""

import gc
import math
import threading
import time
import warnings
import weakref

import ipywidgets
import numpy as np
import pytest
import torch

from toylab.densities import Density, two_modes
from toylab.widgets import score_explorer
from toylab.widgets.frame import check_densities, generator, paused_observers
from toylab.widgets.messages import Field, message_line, show_errors
from toylab.widgets.rerun import replace_previous


def test_a_seed_gives_its_stream_and_a_bad_one_is_refused():
    expected = torch.rand(3, generator=torch.Generator().manual_seed(5))
    assert torch.rand(3, generator=generator(5)).equal(expected)
    for bad in (-1, 10**12 + 1):
        with pytest.raises(ValueError, match=r"give a whole number from 0 to 10\^12"):
            generator(bad)


def test_errors_and_warnings_become_messages_and_go_again():
    line = message_line()
    with show_errors(line):
        raise ValueError("x is <b>: give another")
    assert "x is <b>: give another" in line.value
    with show_errors(line):
        warnings.warn("3 chains diverged", RuntimeWarning, stacklevel=1)
    assert "3 chains diverged" in line.value
    with show_errors(line):
        pass
    assert line.value == ""
    with pytest.raises(ZeroDivisionError), show_errors(line):  # a mistake of ours is not hidden
        raise ZeroDivisionError


def test_an_error_of_a_control_is_shown_beside_it_and_not_under_the_picture():
    line, field, done = message_line(), Field(ipywidgets.IntSlider()), []
    with show_errors(line):
        raise ValueError("the picture's")
    with show_errors(line):
        with field.judges():
            raise ValueError("x is 3: give another")
        done.append("after a refusal")
    assert done == []
    assert "x is 3: give another" in field.message.value
    assert field.message.role == "alert"
    assert line.value == ""
    with show_errors(line):
        with field.judges():
            pass
        raise ValueError("the picture's")
    assert field.message.value == ""
    assert "the picture's" in line.value
    with pytest.raises(ZeroDivisionError), show_errors(line), field.judges():
        raise ZeroDivisionError


def test_a_cell_that_runs_meanwhile_keeps_its_own_warnings():
    """As after Run All: the handler is in a thread of its own, and the cell warns in the main one."""
    line, inside, warned = message_line(), threading.Event(), threading.Event()

    def handler():
        with show_errors(line):
            warnings.warn("the handler's", RuntimeWarning, stacklevel=1)
            inside.set()
            assert warned.wait(60)

    with warnings.catch_warnings(record=True) as of_the_cell:
        thread = threading.Thread(target=handler)
        thread.start()
        assert inside.wait(60)
        warnings.warn("the cell's", RuntimeWarning, stacklevel=1)
        warned.set()
        thread.join()
    assert [str(warning.message) for warning in of_the_cell] == ["the cell's"]
    assert line.value.endswith("the handler's")


def test_handlers_in_threads_take_turns():
    """Forty handlers at once, each on its own thread: none is inside while another is, and each keeps its message."""
    inside, most, lines = 0, 0, [message_line() for _ in range(40)]

    def handler(k):
        nonlocal inside, most
        with show_errors(lines[k]):
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
            if k % 2:
                warnings.warn(f"warning {k}.", RuntimeWarning, stacklevel=1)

    before = list(warnings.filters), warnings.showwarning
    threads = [threading.Thread(target=handler, args=(k,)) for k in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    for k, line in enumerate(lines):
        assert (f"warning {k}." in line.value) == bool(k % 2)
    assert (list(warnings.filters), warnings.showwarning) == before


def test_several_controls_are_set_without_a_call_for_each():
    heard, boxes = [], [ipywidgets.IntText(0), ipywidgets.IntText(0)]
    for box in boxes:
        box.observe(heard.append, "value")
    with paused_observers(heard.append, boxes):
        boxes[0].value = boxes[1].value = 1
    assert heard == []
    boxes[0].value = 2
    assert len(heard) == 1


def test_a_cell_run_again_frees_the_figure_of_its_last_run(monkeypatch):
    cell = ("a", 1)
    monkeypatch.setattr("toylab.widgets.rerun._cell", lambda: cell)
    before = score_explorer()
    figure = weakref.ref(before.children[2].children[0].figure)
    beside = score_explorer()  # a second one in the same run stays
    assert before.comm is not None
    cell = ("a", 2)
    after = score_explorer()
    assert before.comm is None
    assert beside.comm is None
    cell = ("b", 3)
    score_explorer()
    assert after.comm is not None  # another cell's
    gc.collect()
    assert figure() is None


def test_outside_a_notebook_nothing_is_closed():
    first, second = ipywidgets.IntText(0), ipywidgets.IntText(0)
    replace_previous("kind", first)
    replace_previous("kind", second)
    assert first.comm is not None


def test_a_density_alone_has_the_name_of_its_class():
    p = two_modes()
    assert check_densities(p) == {"GaussianMixture": p}
    with pytest.raises(TypeError, match=r"densities is a list: give them by name, such as \{'two modes'"):
        check_densities([p])


class Clean(Density):
    """N(0, I), of which no noised law is given."""

    def log_prob(self, x):
        return -0.5 * x.square().sum(-1) - math.log(2 * math.pi)


class ByNumpy(Density):
    def log_prob(self, x, sigma=0.0):
        return -0.5 * np.square(x.numpy()).sum(-1)


def test_what_no_widget_can_show_is_refused_with_the_reason():
    assert list(check_densities(Clean())) == ["Clean"]
    with pytest.raises(ValueError, match=r"\['Noised'\] cannot be shown: sigma is 0.5: only the clean law of Clean is"):
        check_densities(Clean().noised(0.5))
    with pytest.raises(ValueError, match=r"\['mine'\] cannot be shown: at \(0, 0\) its log_prob or score fails: "):
        check_densities({"mine": ByNumpy()})
    with pytest.raises(TypeError, match=r"densities is the class Clean: call it, Clean\(...\)"):
        check_densities(Clean)
