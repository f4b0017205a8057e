"""The picture: what moves is drawn, what stands is kept, and a click arrives in the data's units."""

import gc
import io
import weakref

import numpy as np
import pytest
from PIL import Image

from toylab.widgets.stage import MOST_PIXELS, PROJECTED, Stage, off_screen


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

    assert seen(stage).shape[:2] == (160, 320)
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


def test_the_picture_fills_the_room_and_clicks_stay_where_they_are():
    """Drawn at the dots that the browser has, within the most that are sent; places in data units do not move."""
    figure = off_screen(10.0, 4.0)
    ax = figure.add_axes((0.1, 0.1, 0.8, 0.8), xlim=(0, 1), ylim=(0, 1))
    found = []
    stage = Stage(figure, [], on_click=lambda _, x, y: found.append((x, y)))
    sizes = []
    for room in ([0.0, 1.0], [1200.0, 1.0], [600.0, 2.0], [5000.0, 3.0]):
        stage.room = room
        sizes.append(Image.open(io.BytesIO(stage.png)).size)
        stage._handle_custom_msg({"x": 0.5, "y": 0.5}, [])
    assert sizes[:3] == [(800, 320), (1200, 480), (1200, 480)]
    width, height = sizes[3]
    assert MOST_PIXELS * 0.99 < width * height <= MOST_PIXELS * 1.01
    assert stage.aspect == 2.5
    assert found == [pytest.approx((0.5, 0.5), abs=1e-3)] * 4
    assert ax.get_position().width == pytest.approx(0.8)


def test_large_type_is_larger_and_goes_back():
    figure = off_screen(6.0, 3.0)
    ax = figure.add_axes((0.2, 0.2, 0.7, 0.6))
    (line,), text = ax.plot([0, 1], [0, 1], "o-", lw=2.0, ms=6.0), ax.text(0.5, 0.5, "words", fontsize=10)
    stage = Stage(figure, [line])
    plain = stage.png
    stage.projected = True
    assert (text.get_fontsize(), line.get_linewidth(), line.get_markersize()) == pytest.approx(
        (10 * PROJECTED, 2 * PROJECTED, 6 * PROJECTED)
    )
    assert stage.png != plain
    other = off_screen(6.0, 3.0)
    label = other.add_axes((0, 0, 1, 1)).text(0.5, 0.5, "other", fontsize=10)
    stage.put(other, [])  # a figure that is put later is enlarged as well, once
    stage.put(figure, [line])
    stage.put(other, [])
    assert label.get_fontsize() == pytest.approx(10 * PROJECTED)
    stage.put(figure, [line])
    stage.projected = False
    assert text.get_fontsize() == pytest.approx(10) and stage.png == plain


def test_numbers_that_an_axis_makes_later_are_of_the_type_that_is_on():
    figure = off_screen(6.0, 3.0)
    ax = figure.add_axes((0.2, 0.2, 0.7, 0.6), xlim=(0, 3))
    size = ax.get_xticklabels()[0].get_fontsize()
    stage = Stage(figure, [ax.xaxis])
    for projected, scale in ((True, PROJECTED), (False, 1.0)):
        stage.projected = projected
        ax.set_xlim(0, 3 + 20 * projected)
        ax.set_xticks(np.linspace(0, 3, 14 + 9 * projected))
        sizes = [label.get_fontsize() for label in ax.get_xticklabels()]
        assert sizes == pytest.approx([scale * size] * len(sizes))


def test_a_figure_that_is_put_away_is_freed(figure):
    other = off_screen(2.0, 2.0)
    other.add_axes((0, 0, 1, 1))
    stage, gone = Stage(other, []), weakref.ref(other)
    stage.put(figure, [])
    del other
    gc.collect()
    assert gone() is None
