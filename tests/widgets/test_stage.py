"""The picture: what moves is drawn, what stands is kept, and a click arrives in the data's units."""

import numpy as np
import pytest

from toylab.widgets.stage import Stage, off_screen


@pytest.fixture
def figure():
    figure = off_screen(4, 2)
    left, right = figure.subplots(1, 2)
    left.set(xlim=(-1, 1), ylim=(0, 10))
    right.set(xlim=(1, 1000), xscale="log", ylim=(-5, 5))
    figure.subplots_adjust(left=0.1, right=0.9, bottom=0.1, top=0.9, wspace=0.25)
    return figure


def test_moving_artists_are_drawn_over_what_stands(figure, seen):
    (dot,) = figure.axes[0].plot([0.0], [5.0], "o", color="red", ms=20)
    stage = Stage(figure, [dot])

    def red():
        pixels = seen(stage)
        rows, columns = np.nonzero((pixels[..., 0] > 0.9) & (pixels[..., 1] < 0.1))
        return rows.mean(), columns.mean(), len(rows)

    assert stage.width == 320
    first = red()
    dot.set_data([0.5], [7.5])
    stage.show()
    moved = red()
    box = figure.axes[0].bbox
    assert moved[0] - first[0] == pytest.approx(-0.25 * box.height, abs=1)
    assert moved[1] - first[1] == pytest.approx(0.25 * box.width, abs=1)
    assert moved[2] == pytest.approx(first[2], rel=0.1)  # the first dot is gone


def test_a_click_arrives_in_the_units_of_its_axes(figure):
    placed = []
    stage = Stage(figure, [], on_click=lambda ax, x, y: placed.append((ax, x, y)))
    for ax, share, expected in (
        (figure.axes[0], (0.75, 0.2), (0.5, 2.0)),
        (figure.axes[1], (1 / 3, 0.9), (10.0, 4.0)),  # a logarithmic axis
    ):
        box = ax.get_position()
        x, y = box.x0 + share[0] * box.width, box.y0 + share[1] * box.height
        stage._handle_custom_msg({"x": x, "y": 1 - y}, [])
        assert placed[-1][0] is ax
        assert placed[-1][1:] == pytest.approx(expected)
    stage._handle_custom_msg({"x": 0.01, "y": 0.01}, [])  # beside the axes
    assert len(placed) == 2


def test_the_cross_starts_within_the_first_axes(figure):
    stage = Stage(figure, [], on_click=lambda *_: None)
    box = figure.axes[0].get_position()
    assert stage.cross == pytest.approx([box.x0 + box.width / 2, 1 - (box.y0 + box.height / 2)])
    assert stage.clickable
    assert not Stage(figure, []).clickable
