"""A film holds the frames, each as drawn, in at most a megabyte."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from toylab.densities import two_modes
from toylab.experiments.diffusion import target
from toylab.sde import VP
from toylab.widgets import animate, film, langevin_playground, record_film, score_explorer, training_theatre
from toylab.widgets.diffusion_picture import DiffusionPicture
from toylab.widgets.stage import Stage, off_screen


@pytest.fixture
def moved():
    figure = off_screen(2, 2)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10), ylim=(0, 10))
    ax.set_axis_off()
    (dot,) = ax.plot([], [], "s", color="red", ms=12)
    Stage(figure, [dot])  # shown in a widget as well

    def draw(k):
        dot.set_data([1.0 + 2 * k], [5.0])
        return f"dot at </script> {k}"

    return figure, draw


def column_of_red(image):
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return np.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 80))[1].mean() / pixels.shape[1]


def frames_of(page):
    addresses = json.loads(re.search(r"const frames = (\[.*\]);", page)[1])
    return [Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) for address in addresses]


def test_html_has_a_player_and_every_frame(moved, tmp_path):
    moving = animate(*moved, 4, interval=50)
    moving.save(tmp_path / "film.html")
    page = (tmp_path / "film.html").read_text()
    assert moving.to_html() in page
    assert moving._repr_html_() == moving.to_html()
    frames = frames_of(page)
    assert [column_of_red(frame) for frame in frames] == pytest.approx([0.1, 0.3, 0.5, 0.7], abs=0.01)
    assert json.loads(re.search(r"const words = (\[.*\]);", page)[1])[3] == "dot at </script> 3"
    assert page.count("</script>") == 1
    assert 'alt="dot at &lt;/script&gt; 0"' in page
    assert 'max="3"' in page
    assert "setInterval(next, 50)" in page
    assert "http" not in page  # no network
    assert not re.search(r"\$[A-Z]+\$", page)


def test_a_gif_has_every_frame(moved, tmp_path):
    animate(*moved, range(0, 4, 2)).save(tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames == 2
        assert gif.info["duration"] == 120
        for place, k in enumerate((0, 2)):
            gif.seek(place)
            assert column_of_red(gif) == pytest.approx(0.1 + 0.2 * k, abs=0.01)


def test_a_diffusion_under_three_scores_is_a_megabyte_at_most(tmp_path):
    """The film of lesson 10, of which five of the 41 frames are drawn."""
    p = target()
    recorded = record_film(
        VP(), {name: (p.score, p) for name in ("exact", "empirical", "learned")}, n_frames=5, generator=generator()
    )
    picture = DiffusionPicture(recorded)
    moving = animate(picture.figure, picture.show_frame, 5)
    for name in ("film.gif", "film.html"):
        moving.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size * 41 / 5 < 1e6
    assert moving.alt[0].startswith("Density, score and flow at time 1.000")


def generator():
    return torch.Generator().manual_seed(0)


def test_a_widget_is_filmed_as_its_control_moves():
    box = score_explorer({"two modes": two_modes()})
    moving = film(box, "noise", [0.1, 1.0], interval=50)
    assert [f"at noise {sigma:.3g}." in words for sigma, words in zip((0.1, 1.0), moving.alt, strict=True)] == [
        True
    ] * 2
    assert different(moving)
    chains = film(langevin_playground(n_chains=20), "play", range(2))
    assert different(chains)
    with pytest.raises(ValueError, match=r"control is 'size': give the beginning of one of \[.*noise σ"):
        film(box, "size", [1.0])
    with pytest.raises(ValueError, match="'noise' cannot be set to -1"):
        film(box, "noise", [-1.0])
    with pytest.raises(ValueError, match="give a whole number from 0"):
        film(box, "seed", [-1])
    with pytest.raises(ValueError, match="values is empty"):
        film(box, "noise")
    with pytest.raises(TypeError, match="widget is a int"):
        film(1, "noise", [1.0])


def test_a_training_and_a_recorded_film_are_filmed_whole():
    box = training_theatre(width=8, n_steps=40)
    moving = film(box)
    assert [words[:14] for words in moving.alt] == ["An untrained n", "After 20 steps", "After 40 steps"]
    assert len(box.fit.history.steps) == 2
    assert different(moving)
    recorded = record_film(VP(), {"exact": (two_modes().score, two_modes())}, n_frames=2, generator=generator())
    assert different(film(recorded))


def different(moving):
    return all(
        not np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(moving.frames, moving.frames[1:], strict=False)
    )


def test_bad_input_is_refused(moved, tmp_path):
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
    with pytest.raises(ValueError, match=r"ends in \.gif or \.html"):
        animate(figure, draw, 3).save(tmp_path / "film.mp4")
