import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylab import plotting
from toylab.densities import GaussianMixture, two_modes
from toylab.metrics import fisher_divergence, histogram
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
    assert ax.get_yscale() == "symlog"


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
