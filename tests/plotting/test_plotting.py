import warnings

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch.distributions import Independent, Uniform

from toylab import plotting
from toylab.densities import GaussianMixture, from_torch, two_modes
from toylab.metrics import ErrorDecomposition, ErrorTerms, Estimate, fisher_divergence, histogram
from toylab.networks import ScoreMLP
from toylab.objectives import Implicit
from toylab.training import fit

EXTENT = (-8.0, 8.0, -8.0, 8.0)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def off_centre() -> GaussianMixture:
    """One narrow Gaussian right of the middle and low: a transposed or flipped picture puts it elsewhere."""
    return GaussianMixture([1.0], [[5.0, -3.0]], [[0.25, 0.0], [0.0, 0.25]])


def brightest(image: np.ndarray, extent: tuple[float, ...]) -> tuple[float, float]:
    row, column = np.unravel_index(image.argmax(), image.shape)
    left, right, bottom, top = extent
    n = len(image)
    return left + (right - left) * (column + 0.5) / n, bottom + (top - bottom) * (row + 0.5) / n


def test_density_and_histogram_are_not_transposed():
    extent = (-8.0, 8.0, -6.0, 10.0)
    p = off_centre()
    drawn = plotting.density_map(p, extent, n=160).images[0]
    assert drawn.origin == "lower"
    assert brightest(np.asarray(drawn.get_array()), extent) == pytest.approx((5, -3), abs=0.06)
    samples = p.sample((20_000,), generator=torch.Generator().manual_seed(0))
    drawn = plotting.sample_histogram(samples, extent, n=16).images[0]
    assert brightest(np.asarray(drawn.get_array()), extent) == pytest.approx((5, -3), abs=0.51)


def test_histogram_is_a_density():
    samples = torch.tensor([[0.1, 0.1], [0.2, 0.3], [-7.9, 3.0], [100.0, 0.0]])  # the last lies outside
    h = histogram(samples, EXTENT, 16)  # cells of area 1
    assert h[8, 8] == pytest.approx(0.5)
    assert h.sum() == pytest.approx(0.75)


def test_arrows_are_the_score_on_one_scale():
    ax = plotting.score_field(two_modes().score, EXTENT, n=8, longest=4.0)
    quiver = ax.findobj(matplotlib.quiver.Quiver)[0]
    x = torch.as_tensor(np.stack([quiver.X, quiver.Y], -1), dtype=torch.float32)
    u = torch.as_tensor(np.stack([quiver.U, quiver.V], -1))
    torch.testing.assert_close(u, two_modes().score(x), check_dtype=False)
    # in units of the axes, a score of 4 is drawn one and a half cells (of 2) long
    assert 4.0 / quiver.scale == pytest.approx(3.0)
    assert (quiver.angles, quiver.scale_units) == ("xy", "xy")


def test_functions_draw_on_the_axes_given_and_leave_the_current_figure_alone():
    mine, (a, b) = plt.subplots(1, 2)
    current = plt.figure()
    x = two_modes().sample((10,), generator=torch.Generator().manual_seed(0))
    history = fit(ScoreMLP(8, 1), Implicit(), two_modes(), n_steps=3, report_every=1, progress=False).history
    for ax in (
        plotting.density_map(two_modes(), EXTENT, n=10, ax=a),
        plotting.score_field(two_modes().score, EXTENT, n=4, ax=a),
        plotting.error_heat_map(ScoreMLP(), EXTENT, density=two_modes(), n=10, ax=a),
        plotting.sample_histogram(x, EXTENT, ax=a),
    ):
        assert ax is a
        assert ax.get_aspect() == 1
    assert plotting.loss_curve(history, label="implicit", ax=b) is b
    assert plt.gcf() is current
    assert current.axes == []
    assert plotting.density_map(two_modes(), EXTENT, n=10).figure not in (mine, current)


def test_loss_curve_is_on_the_fisher_axis():
    history = fit(ScoreMLP(8, 1), Implicit(), two_modes(), n_steps=4, report_every=2, progress=False).history
    line = plotting.loss_curve(history).lines[0]
    assert list(line.get_xdata()) == [2, 4]
    np.testing.assert_allclose(line.get_ydata(), history.loss.numpy() + 1.0, atol=1e-9)  # 1/2 I = 1 for two modes


def test_loss_curve_has_the_exact_curve_beside_where_there_is_one():
    history = fit(
        ScoreMLP(8, 1),
        Implicit(),
        two_modes(),
        n_steps=4,
        report_every=2,
        held_out=lambda s: fisher_divergence(s, two_modes()),
        progress=False,
    ).history
    ax = plotting.loss_curve(history, label="implicit")
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), history.held_out.numpy())
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["implicit", "held out, exact"]
    assert (ax.get_ylabel(), ax.get_yscale()) == ("Fisher divergence (linear below 0.01)", "symlog")


def test_loss_curve_without_a_truth_is_the_bare_loss():
    history = fit(ScoreMLP(8, 1), Implicit(), torch.ones(5, 2), n_steps=2, report_every=1, progress=False).history
    ax = plotting.loss_curve(history)
    assert (ax.get_ylabel(), ax.get_yscale()) == ("loss", "linear")


def test_error_heat_map_asks_for_the_truth():
    with pytest.raises(ValueError, match="density is None"):
        plotting.error_heat_map(ScoreMLP(), EXTENT)


def test_look_gives_the_reader_s_settings_back():
    before = dict(plt.rcParams)
    with plotting.look():
        assert plt.rcParams["font.size"] >= 13
    assert dict(plt.rcParams) == before


def test_look_keeps_what_a_backend_sets_inside_it():
    before = plt.rcParams["interactive"]
    try:
        with plotting.look():
            plt.rcParams["interactive"] = not before
        assert plt.rcParams["interactive"] is not before
    finally:
        plt.rcParams["interactive"] = before


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


@pytest.mark.parametrize("cmap", [plotting.DENSITY_MAP, plotting.GROUND_MAP, plotting.ERROR_MAP])
def test_maps_darken_evenly_from_near_white(cmap):
    L = lightness(cmap(np.linspace(0, 1, 33))[:, :3])
    steps = -np.diff(L)
    assert L[0] > 95
    assert (steps > 0).all()
    assert steps.max() < 2.5 * steps.mean()


def test_colours_of_exact_learned_and_error_differ_in_lightness():
    colours = [matplotlib.colors.to_rgb(c) for c in (plotting.EXACT, plotting.LEARNED, plotting.ERROR)]
    L = sorted(lightness(np.array(colours)))
    assert L[1] - L[0] > 8
    assert L[2] - L[1] > 8


def test_a_loss_curve_of_something_else_is_refused():
    with pytest.raises(TypeError, match=r"history is a dict: give that of a training, as in trained\.history"):
        plotting.loss_curve({})


def field(n=6):
    """Arrows of length 1 to 2, with nan, an infinity, and half a vector in three of them."""
    arrows = torch.randn(n, n, 2, generator=torch.Generator().manual_seed(0)).double()
    arrows = (arrows / arrows.norm(dim=-1, keepdim=True) * torch.linspace(1, 2, n)[:, None, None]).numpy()
    arrows[0, 0], arrows[1, 2, 0], arrows[3, 3, 1] = np.nan, np.inf, np.nan
    return arrows


def note_of(ax):
    return [text.get_text() for text in ax.texts if "nan or inf" in text.get_text()]


def test_arrows_that_are_nan_or_infinite_are_left_out_and_the_rest_drawn():
    """One of them blanked the whole picture: its scale was nan."""
    arrows = field()
    with pytest.warns(RuntimeWarning, match="3 of 36 arrows are nan or inf: they are left out of the picture"):
        ax = plotting.score_field(arrows, EXTENT)
    quiver = ax.findobj(matplotlib.quiver.Quiver)[0]
    finite = np.isfinite(arrows).all(-1)
    assert quiver.scale == pytest.approx(2.0 / (1.5 * 16 / 6))  # the longest that is finite
    np.testing.assert_array_equal(quiver.Umask, ~finite.ravel())
    np.testing.assert_array_equal(np.asarray(quiver.U)[finite.ravel()], arrows[finite][:, 0])
    assert note_of(ax) == ["3 of 36 arrows are nan or inf: left out"]
    ax.figure.canvas.draw()
    drawn = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3].astype(int)
    blue = np.array(matplotlib.colors.to_rgb(plotting.EXACT)) * 255
    assert (np.abs(drawn - blue).max(-1) < 30).sum() > 500


def test_a_field_without_one_finite_arrow_is_an_empty_picture_with_its_reason():
    with pytest.warns(RuntimeWarning, match="16 of 16 arrows"):
        ax = plotting.score_field(np.full((4, 4, 2), np.nan), EXTENT)
    assert note_of(ax) == ["16 of 16 arrows are nan or inf: left out"]
    ax.figure.canvas.draw()
    assert plotting.score_field(np.zeros((4, 4, 2)), EXTENT).findobj(matplotlib.quiver.Quiver)[0].scale > 0


def test_a_law_with_walls_is_drawn_inside_them():
    box = Independent(Uniform(torch.tensor([-4.0, -4.0]), torch.tensor([4.0, 4.0])), 1)
    with pytest.warns(RuntimeWarning, match="48 of 64 arrows"):
        plotting.score_field(from_torch(box).score, EXTENT, n=8)
    image = np.asarray(plotting.density_map(from_torch(box), EXTENT, n=8).images[0].get_array())
    assert image[2:6, 2:6] == pytest.approx(1 / 64)
    assert image.sum() == pytest.approx(1 / 4)


@pytest.mark.parametrize("draw", [plotting.density_map, plotting.error_heat_map])
def test_cells_that_are_nan_or_infinite_are_left_out_and_the_rest_drawn(draw):
    values = np.arange(20.0).reshape(4, 5)
    values[0, 0], values[3, 4], values[1, 1] = np.nan, np.inf, -np.inf
    with pytest.warns(RuntimeWarning, match="3 of 20 cells are nan or inf: they are left out of the picture"):
        ax = draw(values, EXTENT)
    assert ax.images[0].get_clim() == (0.0, 18.0)
    assert ax.images[0].get_array().mask.sum() == 3
    assert note_of(ax) == ["3 of 20 cells are nan or inf: left out"]


@pytest.mark.filterwarnings("ignore:.*nan or inf.*:RuntimeWarning")
def test_the_error_of_a_score_that_is_nan_somewhere_is_drawn_elsewhere():
    def half(x):
        return torch.where(x[..., :1] > 0, torch.nan, -x)

    ax = plotting.error_heat_map(half, EXTENT, density=two_modes(), n=8)
    assert note_of(ax) == ["32 of 64 cells are nan or inf: left out"]
    assert np.isfinite(ax.images[0].get_clim()).all()


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray])
def test_samples_that_are_nan_or_infinite_are_counted(kind):
    samples = np.array([[0.1, 0.1], [np.nan, 0.3], [-7.9, 3.0], [np.inf, 0.0]])
    with pytest.warns(RuntimeWarning, match="2 of 4 samples are nan or inf"):
        ax = plotting.sample_histogram(kind(samples), EXTENT, n=16)
    assert np.asarray(ax.images[0].get_array()).sum() == pytest.approx(0.5)
    assert note_of(ax) == ["2 of 4 samples are nan or inf: left out"]


def test_what_is_finite_is_drawn_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ax in (
            plotting.score_field(two_modes().score, EXTENT, n=4),
            plotting.density_map(two_modes(), EXTENT, n=4),
            plotting.density_map(torch.ones(3, 4), EXTENT),
            plotting.error_heat_map(torch.ones(3, 4), EXTENT),
            plotting.sample_histogram(torch.zeros(3, 2), EXTENT),
        ):
            assert not ax.texts


def test_an_error_that_is_not_finite_is_left_out_of_the_bars():
    zero, bad = Estimate(0.1, 0.01), Estimate(float("nan"), float("nan"))
    good = ErrorTerms(0.0, zero, zero, zero)
    terms = {"exact": good, "learned": ErrorTerms(0.0, zero, bad, bad)}
    with pytest.warns(RuntimeWarning, match="1 of 2 scores are nan or inf"):
        ax = plotting.error_decomposition(ErrorDecomposition(0.0, 0.0, terms))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["exact"]
    with pytest.raises(ValueError, match="decomposition has no finite error"):
        plotting.error_decomposition(ErrorDecomposition(0.0, 0.0, {"learned": terms["learned"]}))


@pytest.mark.parametrize(
    ("draw", "arguments", "error", "said"),
    [
        (plotting.score_field, [lambda x: x[..., 0]], ValueError, r"score gives shape \[20, 20\] for points of shape"),
        (plotting.score_field, [lambda x: x[..., :1]], ValueError, r"score gives shape \[20, 20, 1\]"),
        (plotting.score_field, [lambda x: x.tolist()], (TypeError, ValueError), "score gives a list"),
        (plotting.score_field, [two_modes().log_prob], ValueError, "a log-density"),
        (plotting.score_field, [lambda x, sigma: x], TypeError, r"cannot be called as score\(x\): fix its noise level"),
        (plotting.score_field, [np.zeros((4, 4))], ValueError, r"score has shape \[4, 4\]: give values \[rows"),
        (plotting.score_field, [np.zeros((4, 5, 2))], ValueError, r"give as many rows as columns"),
        (plotting.score_field, [np.zeros((0, 0, 2))], ValueError, r"score has shape \[0, 0, 2\]"),
        (plotting.score_field, [[[1, 2]]], TypeError, r"score is a list: give a score, or its values \["),
        (plotting.density_map, [np.zeros(4)], ValueError, r"density has shape \[4\]: give values \[rows, columns\]"),
        (plotting.density_map, [np.zeros((4, 4, 2))], ValueError, r"density has shape \[4, 4, 2\]"),
        (plotting.density_map, [two_modes().log_prob], TypeError, "density is a method: give a density, or its values"),
        (plotting.density_map, [np.full((2, 2), "a")], TypeError, "density has dtype <U1: give real numbers"),
        (plotting.error_heat_map, [3.0], TypeError, "error is a float: give a score, or its values"),
        (plotting.sample_histogram, [torch.zeros(3)], ValueError, r"samples has shape \[3\]"),
        (plotting.sample_histogram, [np.zeros((3, 3))], ValueError, r"samples has shape \[3, 3\]"),
        (plotting.error_decomposition, [3.0], TypeError, "decomposition is a float: give what metrics.explain returns"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_in_a_sentence(draw, arguments, error, said):
    rest = [] if draw is plotting.error_decomposition else [EXTENT]
    with pytest.raises(error, match=said):
        draw(*arguments, *rest)
    assert plt.get_fignums() == []  # before any figure is made


@pytest.mark.parametrize(
    ("draw", "settings", "said"),
    [
        (plotting.score_field, {"longest": 0.0}, "longest is 0.0: it must be finite and greater than 0"),
        (plotting.score_field, {"longest": float("nan")}, "longest is nan"),
        (plotting.score_field, {"n": 0}, "n is 0"),
        (plotting.density_map, {"vmax": float("nan")}, "vmax is nan"),
        (plotting.density_map, {"vmax": -1.0}, "vmax is -1.0"),
        (plotting.error_heat_map, {"vmax": 0.0}, "vmax is 0.0"),
    ],
)
def test_scales_are_positive_numbers(draw, settings, said):
    p = two_modes()
    first = {plotting.density_map: p, plotting.error_heat_map: p.score, plotting.score_field: p.score}[draw]
    if draw is plotting.error_heat_map:
        settings = settings | {"density": p}
    with pytest.raises(ValueError, match=said):
        draw(first, EXTENT, **settings)
    with pytest.raises(ValueError, match="extent is"):
        plotting.density_map(np.zeros((3, 3)), (1.0, -1.0, 0.0, 1.0))


def test_where_and_in_what_colours_is_refused_in_a_sentence():
    p = two_modes()
    for draw in (
        lambda **given: plotting.density_map(p, EXTENT, n=8, **given),
        lambda **given: plotting.score_field(p.score, EXTENT, n=8, **given),
        lambda **given: plotting.error_heat_map(p.score, EXTENT, density=p, n=8, **given),
        lambda **given: plotting.sample_histogram(p.sample((9,)), EXTENT, n=8, **given),
    ):
        with pytest.raises(TypeError, match=r"ax is a ndarray: give matplotlib Axes, .* or axes\[0\]"):
            draw(ax=plt.subplots(1, 2)[1])
    with pytest.raises(ValueError, match="cmap is 'viridiss': give colours of matplotlib"):
        plotting.density_map(p, EXTENT, n=8, cmap="viridiss")
    assert plotting.density_map(p, EXTENT, n=8, cmap="viridis").images[0].cmap.name == "viridis"
    with pytest.raises(ValueError, match="color is 'blau': give a colour of matplotlib"):
        plotting.score_field(p.score, EXTENT, n=8, color="blau")
    with pytest.raises(TypeError, match="density is a function: give a density"):
        plotting.score_field(p.score, EXTENT, n=8, density=two_modes)


def test_numbers_in_tensors_are_numbers():
    ax = plotting.score_field(two_modes().score, torch.tensor(EXTENT), n=8, longest=torch.tensor(2.0))
    assert ax.get_xlim() == EXTENT[:2]
    assert ax.collections[0].scale == pytest.approx(2.0 / 3.0)


def test_a_network_of_rows_only_is_told_what_to_do():
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2)).eval()
    with pytest.raises(TypeError, match=r"BatchNorm1d takes points \[n, 2\] and here they are \[4, 4, 2\]"):
        plotting.score_field(network, EXTENT, n=4)


def test_the_look_in_large_type():
    """Text, lines and markers of one's own figures, by the same factor; nothing of it stays."""
    before = dict(plt.rcParams)

    def sizes(scale):
        with plotting.look(scale=scale):
            ax = plt.figure().add_subplot()
            (line,) = ax.plot([0, 1], "o-")
            title, label = ax.set_title("title"), ax.set_xlabel("x")
            plt.close(ax.figure)
            return [title.get_fontsize(), label.get_fontsize(), line.get_linewidth(), line.get_markersize()]

    assert sizes(1.5) == pytest.approx([1.5 * size for size in sizes(1.0)])
    assert dict(plt.rcParams) == before
    for wrong in (0, -1, float("inf"), float("nan"), "large"):
        with pytest.raises((ValueError, TypeError), match="scale"), plotting.look(scale=wrong):
            pass
