"""A film holds the frames, each as drawn, in at most a megabyte."""

import base64
import functools
import io
import json
import math
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.films import FILMS
from toylab.densities import Points, from_energy, ring, two_modes
from toylab.sde import VP
from toylab.widgets import (
    Family,
    animate,
    diffusion_film,
    film,
    langevin_playground,
    noise_ladder,
    record_film,
    score_explorer,
    training_theatre,
)
from toylab.widgets.animate import draw_frame, in_few_colours
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


def frames_of(page, n):
    """The n frames of a page, cut out of its large pictures as its player does."""
    addresses = json.loads(re.search(r"const sheets = (\[.*\])\.map", page)[1])
    sheets = [Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) for address in addresses]
    columns, rows = (int(number) for number in re.search(r"k % \((\d+) \* (\d+)\)", page).groups())
    width, height = (int(re.search(rf"{side}: (\d+)", page)[1]) for side in ("width", "height"))
    found = []
    for k in range(n):
        sheet, place = sheets[k // (columns * rows)], k % (columns * rows)
        left, top = place % columns * width, place // columns * height
        found.append(sheet.crop((left, top, left + width, top + height)))
    return found


def test_html_has_a_player_and_every_frame(moved, tmp_path):
    moving = animate(*moved, 4, interval=50)
    moving.save(tmp_path / "film.html")
    page = (tmp_path / "film.html").read_text()
    assert moving.to_html() in page
    assert moving._repr_html_() == moving.to_html()
    frames = frames_of(page, 4)
    assert [column_of_red(frame) for frame in frames] == pytest.approx([0.1, 0.3, 0.5, 0.7], abs=0.01)
    assert json.loads(re.search(r"const words = (\[.*\]);", page)[1])[3] == "dot at </script> 3"
    assert page.count("</script>") == 1
    assert 'alt="dot at &lt;/script&gt; 0"' in page
    assert 'max="3"' in page
    assert "setInterval(next, 50)" in page
    assert "http" not in page  # no network
    assert not re.search(r"\$[A-Z]+\$", page)


@pytest.mark.parametrize("most", [(8192, 2048), (1100, 1100), (1, 1)])
def test_frames_are_parts_of_large_pictures_however_many_these_hold(moved, monkeypatch, most):
    monkeypatch.setattr(sys.modules["toylab.widgets.animate"], "_SHEET", most)
    moving = animate(*moved, 6)
    for found, frame in zip(frames_of(moving.to_html(), 6), moving.frames, strict=True):
        assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(frame.convert("RGB")))


def test_a_gif_has_every_frame(moved, tmp_path):
    moving = animate(*moved, range(0, 4, 2))
    moving.save(tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames == 2
        assert gif.info["duration"] == 120
        for place, k in enumerate((0, 2)):
            gif.seek(place)
            assert column_of_red(gif) == pytest.approx(0.1 + 0.2 * k, abs=0.01)
            assert np.array_equal(np.asarray(gif.convert("RGB")), np.asarray(moving.frames[place].convert("RGB")))


def test_a_frame_has_the_colours_that_were_drawn():
    """Shades of grey stay grey beside blue arrows, red stays red, and white is white."""
    figure = off_screen(2, 2)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.imshow(np.linspace(0, 1, 256)[None], cmap="gray", aspect="auto", extent=(0, 1, 0, 1))
    ax.quiver(*np.random.default_rng(0).uniform(-1, 1, (4, 300)), color="tab:blue")
    ax.plot([0.5], [0.5], "s", color="red", ms=3)
    ax.set(xlim=(0, 1), ylim=(-1, 1))
    (frame,) = animate(figure, lambda k: None, 1).frames
    found, drawn = (np.asarray(picture.convert("RGB")).astype(int) for picture in (frame, draw_frame(figure)))
    off, tint = np.abs(found - drawn).max(-1), np.ptp(found, axis=-1)
    paper, grey, red = (drawn == 255).all(-1), np.ptp(drawn, axis=-1) == 0, (drawn == (255, 0, 0)).all(-1)
    assert paper.sum() > 1e4 and grey.sum() > 1e4 and red.sum() > 20
    assert off[paper].max() == off[red].max() == 0
    assert tint[grey].max() <= 8  # of 255; in a palette without greys of its own it is 14
    assert off.max() <= 20


@pytest.mark.parametrize(("most", "n"), [(60_000, 128), (51_000, 64), (43_000, 32), (1000, 24)])
def test_what_would_be_too_heavy_has_fewer_colours(monkeypatch, most, n):
    """Noise of 2^k colours has k bits per pixel: on a page 683 k bytes for each of ten frames, and the first again."""
    monkeypatch.setattr(sys.modules["toylab.widgets.animate"], "_MOST", most)
    noise = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
    moving = in_few_colours([Image.fromarray(one) for one in noise], 100, [""] * 10)
    assert n / 2 < colours(moving) <= n


def colours(moving):
    return 1 + max(int(np.asarray(frame).max()) for frame in moving.frames)


def control(box, name):
    return next(
        part
        for part in everything(box)
        if getattr(part, "description", "").startswith(name) and part.has_trait("value")
    )


def everything(box):
    return [box, *(inner for part in getattr(box, "children", ()) for inner in everything(part))]


FEW = {"explorer, small steps on the grid": 24}  # colours, for there is much in it that moves


@pytest.mark.parametrize(
    "name", [n if n == "explorer, least levels" else pytest.param(n, marks=pytest.mark.nightly) for n in FILMS]
)
def test_41_frames_of_a_widget_are_a_megabyte_at_most(name, tmp_path):
    moving = FILMS[name]()
    assert len(moving.frames) == 41
    for path in (tmp_path / "film.gif", tmp_path / "film.html"):
        moving.save(path)
        assert path.stat().st_size <= 1e6
    assert colours(moving) > FEW.get(name, 128) / 2  # so light, and in that many colours


def generator():
    return torch.Generator().manual_seed(0)


def test_a_widget_is_filmed_as_its_control_moves():
    box = score_explorer({"two modes": two_modes()})
    moving = film(box, "noise", [0.1, 1.0], interval=50)
    assert [f"at noise {sigma:.3g}." in words for sigma, words in zip((0.1, 1.0), moving.alt, strict=True)] == [
        True
    ] * 2
    assert different(moving)
    for frame in moving.frames:  # what moves is all there, the caption too: below the axes
        assert (np.asarray(frame.convert("L"))[-24:] < 128).sum() > 200
    chains = film(langevin_playground(n_chains=20), "play", range(2))
    assert different(chains)
    with pytest.raises(ValueError, match=r"control is 'size': give the beginning of one of \[.*noise σ"):
        film(box, "size", [1.0])
    with pytest.raises(ValueError, match="values is empty"):
        film(box, "noise")
    with pytest.raises(TypeError, match="widget is a int"):
        film(1, "noise", [1.0])


RINGS = Family(ring, radius=(0.5, 6.0), n_modes=[2, 4, 8])
SHORT = record_film(VP(), {"exact": two_modes()}, n_frames=3, n_paths=2, generator=torch.Generator().manual_seed(0))
CLEAN = from_energy(lambda x: x.square().sum(-1), (-4.0, 4.0, -4.0, 4.0))
REFUSED = [  # of each kind of control: what it is set to, and what is said
    ("explorer", "noise", 0.302, "0.302: give one of its values, 0.01 to 10.0; nearest are 0.3 and 0.31."),
    ("explorer", "noise", -1.0, "-1.0: give one of its values, 0.01 to 10.0; nearest is 0.01."),
    ("explorer", "noise", math.inf, "inf: give one of its values, 0.01 to 10.0; nearest is 10.0."),
    ("explorer", "noise", "much", "'much': give a number, 0.01 to 10.0."),
    ("explorer", "noise", math.nan, "nan: give a number, 0.01 to 10.0."),
    ("clean law", "noise", 0.1, "0.1: give one of its values, 0.0 alone; nearest is 0.0."),
    ("family", "n_modes", 5, "5: give one of its values, 2 to 8; nearest are 4 and 8."),
    ("recorded", "time", 0.5, "0.5: give one of its values, 0 to 2; nearest are 0 and 1."),
    ("playground", "steps per", 2.5, "2.5: give one of its values, 1 to 50; nearest are 2 and 3."),
    ("playground", "steps per", 51, "51: give one of its values, 1 to 50; nearest is 50."),
    ("playground", "play", -1, "-1: give one of its values, 0 to 100000; nearest is 0."),
    ("playground", "step size", 101, "101: give a number from 1e-06 to 100."),
    ("playground", "step size", None, "None: give a number from 1e-06 to 100."),
    ("playground", "seed", 2.5, "2.5: give a whole number from 0 to 10^12."),
    ("playground", "sampler left", "HMC", "'HMC': give one of ['Langevin', 'MALA',"),
    ("playground", "lesson", "the third", "'the third': give one of ['choose…', 'two far modes"),
    ("playground", "noise", 0, "0: give one of [True, False]."),
]
MAKE = {
    "explorer": lambda: score_explorer({"two modes": two_modes(), "ring": ring()}),
    "clean law": lambda: score_explorer(CLEAN),
    "family": lambda: score_explorer(RINGS),
    "recorded": lambda: diffusion_film(SHORT),
    "playground": langevin_playground,
}
made = functools.cache(lambda name: MAKE[name]())


@pytest.mark.parametrize(("name", "moved", "value", "said"), REFUSED)
def test_a_value_that_a_control_does_not_take_is_refused_with_the_nearest(name, moved, value, said):
    with pytest.raises(ValueError, match=re.escape(f"{moved!r} cannot be set to {said}")):
        film(made(name), moved, [value])


TAKEN = [  # of each kind of control: what it is set to, and what its value is then
    ("explorer", "noise", 0.1 + 0.2, 0.3),
    ("explorer", "noise", torch.tensor(0.7), 0.7),
    ("explorer", "density", "ring", "ring"),
    ("explorer", "samples", np.False_, False),
    ("playground", "steps per", np.int64(7), 7),
    ("playground", "step size", np.float64(0.25), 0.25),
    ("playground", "seed", torch.tensor(3), 3),
]


@pytest.mark.parametrize(("name", "moved", "value", "taken"), TAKEN)
def test_numbers_of_every_kind_and_names_are_taken(name, moved, value, taken):
    film(made(name), moved, [value])
    assert control(made(name), moved).value == taken


def test_a_lesson_is_chosen_by_its_name():
    box = score_explorer()
    lessons = control(box, "lesson").options
    film(box, "lesson", [lessons[3][0]])
    assert control(box, "density").value == lessons[3][1].density == "circle"


def test_a_button_is_no_control():
    with pytest.raises(ValueError, match=r"control is 'run': give the beginning of one of \['density', 'first level"):
        film(noise_ladder(), "run", [1])


def test_what_is_only_to_be_known_stops_no_film():
    """Points are sampled with a little noise, and the widget says so."""
    box = langevin_playground(Points(torch.zeros(1, 2)), n_chains=20)
    for part in everything(box):
        if getattr(part, "description", "").startswith("step size"):
            part.value = 0.001  # at which MALA moves
    assert "no density of its own" in box.children[0].children[1].message.value
    assert len(film(box, "play", range(2)).frames) == 2


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
