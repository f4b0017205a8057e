"""``curves``: the numbers drawn are the numbers given, with the bars that the docstring promises."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylab import plotting
from toylab.metrics import Estimate
from toylab.training import Spread

X = [1.0, 2.0, 5.0]
FOUND = {
    "chains": [Estimate(1.0, 0.1), Estimate(2.0, 0.2), Estimate(4.0, 0.5)],
    "networks": [Spread((1.0, 3.0)), Spread((2.0, 2.0)), Spread((5.0, 9.0))],
    "plain": torch.tensor([3.0, 2.0, 1.0]),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_values_and_bars_are_those_given():
    ax = plotting.curves(X, FOUND)
    lines, _, bars = zip(*(container.lines for container in ax.containers), strict=True)
    np.testing.assert_allclose([line.get_xdata() for line in lines], [X] * 3)
    np.testing.assert_allclose([line.get_ydata() for line in lines], [[1, 2, 4], [2, 2, 7], [3, 2, 1]])
    ends = np.array([[segment[:, 1] for segment in bar[0].get_segments()] for bar in bars])
    half = (ends[..., 1] - ends[..., 0]) / 2
    np.testing.assert_allclose(half, [[0.2, 0.4, 1.0], [2**0.5, 0.0, 8**0.5], [0.0, 0.0, 0.0]], atol=1e-12)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(FOUND)


def test_the_exact_values_and_the_truth():
    ax = plotting.curves(X, {}, exact={"square": lambda x: x**2, "at x": [7.0, 8.0, 9.0]}, truth=2.5, log="xy")
    square, at_x, truth = ax.lines
    np.testing.assert_allclose(square.get_ydata(), square.get_xdata() ** 2)
    assert (square.get_xdata()[0], square.get_xdata()[-1]) == pytest.approx((1.0, 5.0))
    np.testing.assert_allclose(np.diff(np.log(square.get_xdata())), np.log(5) / 299)  # even on the axis
    np.testing.assert_allclose(at_x.get_ydata(), [7, 8, 9])
    assert list(truth.get_ydata()) == [2.5, 2.5]
    assert {square.get_color(), at_x.get_color()} == {plotting.EXACT}
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "5"]


def test_marks_are_joined_unless_an_exact_function_leads_between_them():
    def joined(**rest):
        return [container.lines[0].get_linestyle() for container in plotting.curves(X, FOUND, **rest).containers]

    assert joined() == joined(exact={"at x": [1.0, 2.0, 3.0]}) == ["-", "--", "-."]
    assert joined(exact={"square": lambda x: x**2}) == ["None"] * 3


def test_values_over_many_powers_of_ten_are_not_written_on_top_of_each_other():
    far = plotting.curves([1.0, 10.0, 1e4], FOUND, log="x")
    assert [label.get_text() for label in far.get_xticklabels()] != ["1", "10", "10000"]


def test_colours_are_given_one_to_a_curve():
    meant = {plotting.EXACT, plotting.LEARNED, plotting.ERROR}
    assert not meant & {c.lines[0].get_color() for c in plotting.curves(X, FOUND).containers}
    ax = plotting.curves(X, FOUND, colors=[plotting.LEARNED, "black", plotting.OTHER])
    assert [c.lines[0].get_color() for c in ax.containers] == [plotting.LEARNED, "black", plotting.OTHER]


def test_what_is_not_finite_is_left_out_with_a_word():
    with pytest.warns(RuntimeWarning, match="1 of 3 numbers are nan or inf"):
        ax = plotting.curves(X, {"a": [1.0, float("inf"), 3.0]})
    np.testing.assert_equal(ax.containers[0].lines[0].get_ydata(), [1, np.nan, 3])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"x": [[1.0]]}, ValueError, r"x has shape \[1, 1\]"),
        ({"x": "a"}, TypeError, "x is 'a'"),
        ({"measured": [1.0, 2.0, 3.0]}, TypeError, "measured is a list: give a dictionary"),
        ({"measured": {"a": [1.0, 2.0]}}, ValueError, r"measured\['a'\] has 2 values for 3 of x"),
        ({"measured": {"a": 1.0}}, TypeError, r"measured\['a'\] is 1.0: give one number for each x"),
        ({"exact": {"b": lambda x: x[:2]}}, ValueError, r"exact\['b'\] gives shape \[2\]"),
        ({"log": "yx"}, ValueError, "log is 'yx': give '', 'x', 'y' or 'xy'"),
        ({"log": "x", "x": [0.0, 1.0, 2.0]}, ValueError, "x holds 0, which has no logarithm"),
        ({"log": "y", "measured": {"a": [-1.0, 1.0, 2.0]}}, ValueError, r"measured\['a'\] holds -1, which has no log"),
        ({"log": "y", "exact": {"b": [1.0, 0.0, 2.0]}}, ValueError, r"exact\['b'\] holds 0, which has no log"),
        ({"log": "y", "truth": -2.0}, ValueError, "truth holds -2, which has no log"),
        ({"colors": ["black", "red"]}, ValueError, "colors has 2 entries for 1 curves"),
        ({"colors": ["blau"]}, ValueError, "color is 'blau'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(change, error, said):
    with pytest.raises(error, match=said):
        plotting.curves(**{"x": X, "measured": {"a": [1.0, 2.0, 3.0]}} | change)
    assert plt.get_fignums() == []
