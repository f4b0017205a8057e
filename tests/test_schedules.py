"""Schedules against their closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from toylab.schedules import geometric, karras, overlap, uniform


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
        ((0.1, 1.0, 5), "last is 1.0 and first is 0.1: a schedule decreases, .*Swap them"),
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


@pytest.mark.parametrize(("first", "last", "n"), [(1.0, 0.0, 5), (1.0, 1e-3, 501), (20.0, -3.0, 2)])
def test_uniform(float64_by_default, first, last, n):
    times = uniform(first, last, n)
    expected = [first + (last - first) * i / (n - 1) for i in range(n)]
    assert times.tolist() == pytest.approx(expected, rel=1e-13, abs=1e-15)
    assert (times[0], times[-1]) == (first, last)
    assert (times.diff() < 0).all()


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0, 20.0])
@pytest.mark.parametrize(("first", "last", "n"), [(80.0, 0.002, 18), (1.0, 0.0, 5), (3.0, 0.1, 2)])
def test_rho_grid(float64_by_default, first, last, n, rho):
    """Karras et al. 2022, eq. 5, with their own values among the cases (80 to 0.002 in 18 levels, rho = 7)."""
    levels = karras(first, last, n, rho)
    a, b = first ** (1 / rho), last ** (1 / rho)
    assert levels.tolist() == pytest.approx([(a + i / (n - 1) * (b - a)) ** rho for i in range(n)], rel=1e-9)
    assert (levels[0], levels[-1]) == (first, last)
    assert (levels.diff() < 0).all()


def test_the_rho_grid_lies_between_its_limits(float64_by_default):
    """rho = 1 is uniform, a large rho geometric; the default is 7."""
    torch.testing.assert_close(karras(5.0, 0.1, 30, rho=1.0), uniform(5.0, 0.1, 30))
    torch.testing.assert_close(karras(5.0, 0.1, 30, rho=1e7), geometric(5.0, 0.1, 30), rtol=1e-5, atol=1e-5)
    inner = slice(1, -1)
    assert (karras(5.0, 0.1, 30) < uniform(5.0, 0.1, 30))[inner].all()
    assert (karras(5.0, 0.1, 30) > geometric(5.0, 0.1, 30))[inner].all()
    assert torch.equal(karras(5.0, 0.1, 30), karras(5.0, 0.1, 30, rho=7.0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: uniform(0.0, 1.0, 5), "last is 1.0 and first is 0.0: .*Swap them"),
        (lambda: uniform(math.inf, 1.0, 5), "first is inf"),
        (lambda: uniform(1.0, 0.0, 1), "n is 1: it must be at least 2"),
        (lambda: karras(0.1, 1.0, 5), "Swap them"),
        (lambda: karras(1.0, -0.1, 5), "last is -0.1: it must be at least 0"),
        (lambda: karras(1.0, 0.1, 5, rho=0.0), "rho is 0.0"),
        (lambda: karras(0.0, -1.0, 5), "first is 0.0"),
    ],
)
def test_bad_grids_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("schedule", [geometric, uniform, karras])
def test_every_schedule_follows_the_default_dtype(schedule):
    assert schedule(2.0, 1.0, 3).dtype == torch.float32


def test_overlap_is_the_shared_probability_of_two_rayleigh_laws(float64_by_default):
    levels = torch.tensor([30.0, 5.0, 4.0, 3.99, 0.5])
    for shared, wide, narrow in zip(overlap(levels).tolist(), levels.tolist(), levels[1:].tolist(), strict=False):
        distributions = stats.rayleigh(scale=wide), stats.rayleigh(scale=narrow)
        r = np.linspace(0, 12 * wide, 400_001)
        exact = integrate.simpson(np.minimum(distributions[0].pdf(r), distributions[1].pdf(r)), x=r)
        assert shared == pytest.approx(exact, abs=1e-6)
    assert overlap(torch.tensor([1.0])).shape == (0,)
    assert float(overlap(torch.tensor([1.000001, 1.0]))[0]) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(ValueError, match="strictly decrease"):
        overlap(torch.tensor([1.0, 2.0]))
