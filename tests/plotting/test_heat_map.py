"""``heat_map``: each number in its cell and on its scale."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylab import plotting
from toylab.metrics import grid_points

EXTENT = (-2.0, 2.0, -2.0, 2.0)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_the_numbers_are_in_their_cells():
    x = grid_points(EXTENT, 8, dtype=torch.float64)
    (image,) = plotting.heat_map(x[..., 0] - 3 * x[..., 1], EXTENT, vmin=-4, vmax=5).images
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == EXTENT
    assert image.get_clim() == (-4, 5)
    drawn = np.asarray(image.get_array())
    assert drawn[0, -1] == pytest.approx(1.75 + 3 * 1.75)  # right and low: x_1 is most, x_2 least
    np.testing.assert_allclose(drawn, x[..., 0] - 3 * x[..., 1])


@pytest.mark.parametrize(
    ("scale", "ends"),
    [
        ({}, "neither"),
        ({"vmin": -2.0, "vmax": 2.0}, "neither"),
        ({"vmin": -0.5}, "min"),
        ({"vmax": 0.5}, "max"),
        ({"vmin": -0.5, "vmax": 0.5}, "both"),
    ],
)
def test_a_named_map_has_a_bar_pointed_where_values_lie_beyond(scale, ends):
    values = np.linspace(-1, 1, 16).reshape(4, 4)
    ax = plotting.heat_map(values, EXTENT, label="log p", cmap="PRGn", **scale)
    _, bar = ax.figure.axes
    assert ax.images[0].colorbar.extend == ends
    assert bar.get_ylabel() == "log p"
    assert len(plotting.heat_map(values, EXTENT, **scale).figure.axes) == 1


def test_cells_that_are_not_finite_are_blank_with_a_word():
    values = np.zeros((3, 3))
    values[0, 0] = np.inf
    with pytest.warns(RuntimeWarning, match="1 of 9 cells are nan or inf"):
        ax = plotting.heat_map(values, EXTENT)
    assert np.isnan(np.ma.filled(ax.images[0].get_array(), np.nan)).sum() == 1


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"values": np.zeros(4)}, ValueError, r"values has shape \[4\]"),
        ({"values": 1.0}, TypeError, "values is a float: give an array"),
        ({"vmin": 1.0, "vmax": 1.0}, ValueError, "vmin is 1 and vmax 1: vmin must be the smaller one"),
        ({"vmin": float("nan")}, ValueError, "vmin is nan"),
        ({"label": 3}, TypeError, "label is a int: give a text"),
        ({"cmap": "viridiss"}, ValueError, "cmap is 'viridiss'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(change, error, said):
    with pytest.raises(error, match=said):
        plotting.heat_map(**{"values": np.zeros((3, 3)), "extent": EXTENT} | change)
    assert plt.get_fignums() == []
