"""The film of a diffusion: its states are the exact ones, its pictures move, and its controls are linked."""

import io

import ipywidgets
import matplotlib.image
import numpy as np
import pytest
import torch

from toylab.densities import Points, isotropic, two_modes
from toylab.metrics import grid_points
from toylab.samplers import probability_flow_adaptive
from toylab.sde import VE, VP, score_at
from toylab.widgets import diffusion_film, record_film

P = isotropic([[0.5, 0.0]], 0.7)
FINE = {"rtol": 1e-8, "atol": 1e-8}


@pytest.fixture(scope="module")
def film():
    data = Points(torch.tensor([[1.0, 1.0], [-1.0, 0.0]]))
    scores = {
        "exact": (P.score, P),
        "empirical": (data.score, data),
        "learned": (lambda x, sigma: -x / (1 + sigma**2), None),
    }
    return record_film(VP(), scores, n_frames=11, n_paths=5, generator=torch.Generator().manual_seed(0))


def test_every_state_is_the_truth_at_its_time(film):
    """x_t ~ N(alpha m, alpha^2 v + sigma^2): density, score, and the flow, which keeps the standardised point."""
    cells, arrows = grid_points(film.extent, 80), grid_points(film.extent, 15)
    first = None
    for t, state in zip(film.times, film.columns["exact"], strict=True):
        alpha, sigma = float(VP().alpha(t)), float(VP().sigma(t))
        p_t = isotropic([[0.5 * alpha, 0.0]], (alpha**2 * 0.49 + sigma**2) ** 0.5)
        np.testing.assert_allclose(state.density, p_t.log_prob(cells).exp().numpy(), rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(state.score, score_at(VP(), P.score, t)(arrows).numpy(), rtol=1e-4, atol=1e-5)
        # Cov[x_0 | x_t] along an axis: v sigma^2 / (alpha^2 v + sigma^2)
        exact = (2 * 0.49 * sigma**2 / (alpha**2 * 0.49 + sigma**2)) ** 0.5
        assert state.spread == pytest.approx(exact, rel=5e-3)
        z = (state.points - p_t.means.numpy()[0]) / (alpha**2 * 0.49 + sigma**2) ** 0.5
        first = z if first is None else first
        np.testing.assert_allclose(z, first, atol=5e-6)  # by one step from frame to frame: 4e-5


def test_a_density_stands_for_its_score_and_itself():
    def states(scores):
        film = record_film(VP(), scores, n_frames=3, n_paths=4, generator=torch.Generator().manual_seed(0))
        return [array for state in film.columns["exact"] for array in (state.density, state.score, state.points)]

    in_full = states({"exact": (P.score, P)})
    for given in (P, {"exact": P}):
        for found, wanted in zip(states(given), in_full, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_a_law_that_is_not_known_has_no_density(film):
    assert np.isnan(film.columns["learned"][0].density).all()
    assert np.isfinite(film.columns["learned"][0].score).all()


def test_the_empirical_flow_ends_on_the_data(film):
    ends = torch.from_numpy(film.columns["empirical"][-1].points)
    data = torch.tensor([[1.0, 1.0], [-1.0, 0.0]])
    assert float(torch.cdist(ends, data).amin(1).max()) < 0.1


def test_the_flow_between_frames_is_fine_enough(film):
    """Against a solve to 1e-8: 6e-7 off halfway, 8e-4 at the end; with one or two steps per frame 1e-5 and more."""
    data = Points(torch.tensor([[1.0, 1.0], [-1.0, 0.0]]))
    states = film.columns["empirical"]
    x = torch.from_numpy(states[0].points).double()
    for k, tolerance in ((5, 4e-6), (10, 2e-3)):
        exact = probability_flow_adaptive(VP(), data.score, x, 1.0, film.times[k], progress=False, **FINE).samples
        np.testing.assert_allclose(states[k].points, exact.numpy(), rtol=0, atol=tolerance)


def test_frames_differ_and_come_again(film):
    box = diffusion_film(film)
    slider, stage = box.children[0].children[1], box.children[1]
    first = stage.png
    slider.value = 10
    last = stage.png
    assert first != last
    slider.value = 0
    assert stage.png == first
    pixels = matplotlib.image.imread(io.BytesIO(last))
    assert pixels.shape[1] == round(stage.figure.bbox.width) > 800
    assert len(np.unique(pixels[::5].reshape(-1, pixels.shape[-1]), axis=0)) > 100


def test_every_frame_shows_its_own_state(film):
    box = diffusion_film(film)
    slider, stage = box.children[0].children[1], box.children[1]
    for k in (0, 6, 10):
        slider.value = k
        for ax, column in zip(stage.figure.axes, film.columns.values(), strict=True):
            state, arrows = column[k], ax.collections[-1]
            shown = np.stack([arrows.U, arrows.V], -1).reshape(state.score.shape)
            scale = np.linalg.norm(shown) / np.linalg.norm(state.score)
            np.testing.assert_allclose(shown, scale * state.score, rtol=1e-5, atol=1e-6)
            tails, points = ax.lines
            np.testing.assert_allclose(np.column_stack(points.get_data()), state.points)
            assert np.isnan(tails.get_xdata()).sum() == len(state.points)
            assert len(tails.get_xdata()) == len(state.points) * (k + 2)
            np.testing.assert_array_equal(ax.images[0].get_array(), np.nan_to_num(state.density))


def test_the_slider_moves_the_picture_and_play_the_slider(film):
    box = diffusion_film(film)
    (play, slider, _), stage = box.children[0].children, box.children[1]
    assert isinstance(play, ipywidgets.Play)
    before = stage.png
    slider.value = 5
    assert stage.png != before
    assert f"time {film.times[5]:.3f}" in stage.alt
    play.value = 10
    assert slider.value == 10
    assert slider.description
    assert [label for label, _ in slider.options][0] == "1.000"


def test_films_by_name_are_made_when_chosen_with_the_seed():
    made = []

    def shot(generator):
        made.append(generator.initial_seed())
        return record_film(VP(), {"exact": (P.score, P)}, n_frames=3, n_paths=4, generator=generator)

    box = diffusion_film({"one": shot, "other": shot})
    (lesson, seed, _), (play, slider) = box.children[0].children, box.children[1].children
    stage, message = box.children[2], box.children[3]
    assert made == [0]
    first = stage.png
    slider.value = 2
    lesson.value = "other"
    assert made == [0, 0]
    assert slider.value == 0
    assert stage.png == first  # the same seed
    seed.value = 7
    assert made[-1] == 7
    assert stage.png != first
    kept = stage.png
    seed.text = "-1"
    assert "seed is -1" in seed.message
    assert stage.png == kept
    seed.value = 0
    assert message.value == ""
    assert stage.png == first
    assert play.max == 2


def test_times_of_a_variance_exploding_sde_and_bad_input():
    film = record_film(VE(0.1, 10.0), {"exact": (two_modes().score, two_modes())}, n_frames=3, n_paths=2)
    assert film.times[0] == 1.0
    with pytest.raises(ValueError, match="scores is empty"):
        record_film(VP(), {})
    with pytest.raises(TypeError, match="sde is a NoneType"):
        record_film(None, {"exact": (P.score, P)})
    with pytest.raises(TypeError, match=r"give \(score, density\)"):
        record_film(VP(), {"exact": P.score})
    with pytest.raises(TypeError, match="scores is a list: give a density p"):
        record_film(VP(), [P])
    with pytest.raises(ValueError, match="film is empty"):
        diffusion_film({})
    with pytest.raises(TypeError, match=r"make a Film by record_film"):
        diffusion_film({"a": lambda g: None})
    with pytest.raises(TypeError, match=r"film\['a'\]"):
        diffusion_film({"a": film})
    with pytest.raises(ValueError, match="n_frames"):
        record_film(VP(), {"exact": (P.score, P)}, n_frames=1)
