"""A warning is shown every time, and shows the line that the user wrote."""

import linecache
import subprocess
import sys
import threading
import warnings

import pytest
import torch

import toylab
from toylab._internal.warn import warn


def line_of(warning):
    return linecache.getline(warning.filename, warning.lineno).strip()


def test_a_warning_points_at_the_line_that_called() -> None:
    with pytest.warns(toylab.ToylabWarning, match="look here") as caught:
        warn("look here")
    assert line_of(caught[0]) == 'warn("look here")'


def test_decorators_of_torch_are_no_lines_of_the_users() -> None:
    quiet = torch.no_grad()(warn)
    with pytest.warns(toylab.ToylabWarning) as caught:
        quiet("look here")
    assert line_of(caught[0]) == 'quiet("look here")'


def test_in_a_thread_of_the_users_it_points_at_the_line_there() -> None:
    def work() -> None:
        torch.no_grad()(warn)("from a thread")

    with pytest.warns(toylab.ToylabWarning) as caught:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert line_of(caught[0]) == 'torch.no_grad()(warn)("from a thread")'


def test_where_all_is_toylab_it_still_warns() -> None:
    """Such as in an interpreter embedded by nobody: the outermost line is taken."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec("warn('look here')", {"warn": warn, "__name__": "toylab.somewhere"})
    assert [str(each.message) for each in caught] == ["look here"]


TWICE = """
import torch
from toylab.samplers import langevin

def run():
    langevin(lambda x: -x, torch.ones(3, 2), step_size=9.0, n_steps=2000, progress=False)

run()
run()
"""


def test_a_second_run_that_goes_wrong_is_told_as_well() -> None:
    """In a process of its own, where by default Python shows a warning once for each line."""
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=300)
    assert done.stderr.count("<string>:6: ToylabWarning: 3 of 3 chains diverged") == 2, done.stderr


def times_shown(set_filters) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        set_filters()
        for _ in range(3):
            warn("again")
    return len(caught)


@pytest.mark.parametrize(
    ("set_filters", "times"),
    [
        (lambda: None, 3),
        (lambda: warnings.simplefilter("ignore"), 0),
        (lambda: warnings.simplefilter("ignore", toylab.ToylabWarning), 0),
        (lambda: warnings.simplefilter("once", RuntimeWarning), 1),
        (lambda: warnings.filterwarnings("ignore", message="agai"), 0),
    ],
)
def test_it_is_shown_every_time_unless_the_user_says_otherwise(set_filters, times) -> None:
    assert times_shown(set_filters) == times


def test_it_can_be_made_an_error() -> None:
    with pytest.raises(toylab.ToylabWarning, match="again"):
        times_shown(lambda: warnings.simplefilter("error", toylab.ToylabWarning))
