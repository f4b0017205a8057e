"""The exports hold the frames, each as drawn."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from toylab.widgets import animate
from toylab.widgets.stage import Stage, off_screen


@pytest.fixture
def moved():
    figure = off_screen(2, 2)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10), ylim=(0, 10))
    ax.set_axis_off()
    (dot,) = ax.plot([], [], "s", color="red", ms=12)
    Stage(figure, [dot])  # shown in a widget as well
    return figure, lambda k: dot.set_data([1.0 + 2 * k], [5.0])


def column_of_red(image):
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return np.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 80))[1].mean() / pixels.shape[1]


def test_html_has_a_player_and_every_frame(moved):
    page = animate(*moved, 4, interval=50).to_jshtml()
    frames = re.findall(r'frames\[(\d+)\] = "data:image/png;base64,([^"]+)"', page.replace("\\\n", ""))
    assert [int(k) for k, _ in frames] == [0, 1, 2, 3]
    for k, data in frames:
        assert column_of_red(Image.open(io.BytesIO(base64.b64decode(data)))) == pytest.approx(
            0.1 + 0.2 * int(k), abs=0.01
        )
    assert "<input" in page


def test_a_gif_has_every_frame(moved, tmp_path):
    animate(*moved, range(0, 4, 2)).save(tmp_path / "film.gif", writer="pillow")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 2
        for place, k in enumerate((0, 2)):
            film.seek(place)
            assert column_of_red(film) == pytest.approx(0.1 + 0.2 * k, abs=0.01)


def test_bad_input_is_refused(moved):
    figure, draw = moved
    with pytest.raises(TypeError, match="draw"):
        animate(figure, None, 3)
    with pytest.raises(ValueError, match="frames"):
        animate(figure, draw, 0)
    with pytest.raises(ValueError, match="frames is empty"):
        animate(figure, draw, [])
    with pytest.raises(TypeError, match="figure is a NoneType"):
        animate(None, draw, 3)
    with pytest.raises(ValueError, match="interval"):
        animate(figure, draw, 3, interval=0)
