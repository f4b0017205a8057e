"""A warning shows the line that the user wrote."""

import linecache
import warnings

import pytest
import torch

from toylab._internal.warn import warn


def test_a_warning_points_at_the_line_that_called() -> None:
    with pytest.warns(RuntimeWarning, match="look here") as caught:
        warn("look here")
    assert linecache.getline(caught[0].filename, caught[0].lineno).strip() == 'warn("look here")'


def test_decorators_of_torch_are_no_lines_of_the_users() -> None:
    quiet = torch.no_grad()(warn)
    with pytest.warns(RuntimeWarning) as caught:
        quiet("look here")
    assert linecache.getline(caught[0].filename, caught[0].lineno).strip() == 'quiet("look here")'


def test_where_all_is_toylab_it_still_warns() -> None:
    """Such as in an interpreter embedded by nobody: the outermost line is taken."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec("warn('look here')", {"warn": warn, "__name__": "toylab.somewhere"})
    assert [str(each.message) for each in caught] == ["look here"]
