"""Geometric noise levels against their closed form."""

import math

import pytest
import torch

from toylab.schedules import geometric


@pytest.fixture
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize(("first", "last", "n"), [(20.0, 1.0, 10), (50, 0.01, 232), (1.0, 0.1, 2), (1e3, 1e-3, 7)])
def test_closed_form(float64_by_default, first, last, n):
    levels = geometric(first, last, n)
    expected = [first * (last / first) ** (i / (n - 1)) for i in range(n)]
    assert levels.tolist() == pytest.approx(expected, rel=1e-13)
    assert (levels[0], levels[-1]) == (first, last)
    assert (levels.diff() < 0).all()


def test_default_dtype_is_followed():
    levels = geometric(20.0, 0.1, 20)
    assert levels.shape == (20,)
    assert levels.dtype == torch.float32
    assert (levels[0], levels[-1]) == (torch.tensor(20.0), torch.tensor(0.1))
    ratio = levels[1:] / levels[:-1]
    torch.testing.assert_close(ratio, torch.full((19,), (0.1 / 20) ** (1 / 19)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0.0, 0.1, 5), "first is 0.0: it must be finite and greater than 0"),
        ((math.inf, 0.1, 5), "first is inf"),
        ((1.0, 0.0, 5), "last is 0.0: it must be finite and greater than 0"),
        ((1.0, -0.1, 5), "last is -0.1"),
        ((1.0, math.nan, 5), "last is nan"),
        ((0.1, 1.0, 5), "last is 1.0 and first is 0.1: levels decrease, .*Swap them"),
        ((1.0, 1.0, 5), "last must be the smaller"),
        ((1.0, 0.1, 1), "n is 1: it must be at least 2"),
    ],
)
def test_bad_values_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        geometric(*arguments)


@pytest.mark.parametrize("n", [2.0, True, "5"])
def test_the_number_of_levels_is_a_whole_number(n):
    with pytest.raises(TypeError, match="n is .*: it must be a whole number"):
        geometric(1.0, 0.1, n)
