"""What a user hands over is tried, and what is wrong with it is said: shapes, dtypes, nan, one thing for another."""

import math

import pytest
import torch

from toylab import metrics
from toylab.densities import Density, Square, isotropic, two_modes
from toylab.metrics import TwoSample, expectation, explain
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.samplers import langevin
from toylab.score import at
from toylab.sde import VE, VP

NORMAL = isotropic([[0.0, 0.0]], 1.0).to(torch.float64)
EXTENT = (-6.0, 6.0, -6.0, 6.0)


def points(n=20):
    return torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def g():
    return torch.Generator().manual_seed(0)


def of_both(score):
    """The same field for every noise level."""
    return lambda x, sigma: score(x)


def path():
    start = NORMAL.sample((4,), generator=g())
    return langevin(NORMAL.score, start, step_size=0.2, n_steps=9, keep_every=1, generator=g(), progress=False).path


def never(score, x, generator):
    raise AssertionError("it ran")


# every metric that takes a score, as a function of that score alone
OF_A_SCORE = {
    "curl": lambda score: metrics.curl(score, points()),
    "error_map": lambda score: metrics.error_map(score, NORMAL, EXTENT, 5),
    "fisher_divergence": lambda score: metrics.fisher_divergence(score, NORMAL),
    "fisher_divergence_by_region": lambda score: metrics.fisher_divergence_by_region(score, NORMAL, EXTENT, n=50),
    "fisher_divergence_monte_carlo": lambda score: metrics.fisher_divergence_monte_carlo(
        score, NORMAL, 9, generator=g()
    ),
    "flow_kl_divergence": lambda score: metrics.flow_kl_divergence(VE(0.1, 1.0), of_both(score), NORMAL, rtol=1e-6),
    "fokker_planck_residual": lambda score: metrics.fokker_planck_residual(of_both(score), points(), 0.5),
    "kernel_stein_discrepancy": lambda score: metrics.kernel_stein_discrepancy(points(), score),
    "likelihood_bound": lambda score: metrics.likelihood_bound(VP(), of_both(score), NORMAL),
    "posterior_covariance": lambda score: metrics.posterior_covariance(of_both(score), points(), 0.5),
    "posterior_covariance_at": lambda score: metrics.posterior_covariance_at(VP(), of_both(score), points(), 0.5),
    "posterior_mean": lambda score: metrics.posterior_mean(of_both(score), points(), 0.5),
    "posterior_mean_at": lambda score: metrics.posterior_mean_at(VP(), of_both(score), points(), 0.5),
}  # fmt: skip
POINT_BY_POINT = {name for name in OF_A_SCORE if name.startswith(("curl", "error_map", "fokker", "posterior"))}

WRONG = {
    "a log-density": (NORMAL.log_prob, ValueError, "one number per point, as a log-density gives"),
    "a column": (lambda x: NORMAL.score(x)[..., :1], ValueError, "it must give one vector per point"),
    "a sum": (lambda x: NORMAL.score(x).sum(), ValueError, r"score gives shape \[\] for points of shape"),
    "an array": (lambda x: NORMAL.score(x.detach()).numpy(), TypeError, "score gives a ndarray: it must give a torch"),
    "half precision": (lambda x: NORMAL.score(x).bfloat16(), TypeError, "gives torch.bfloat16 for points of"),
    "float32 network": (ScoreMLP(8, generator=g()), TypeError, r"give x.to\(torch.float32\), or turn the network into"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("metric", OF_A_SCORE.values(), ids=OF_A_SCORE)
def test_a_score_that_is_none(metric, wrong):
    score, error, message = wrong
    with pytest.raises(error, match=message):
        metric(score)


@pytest.mark.parametrize("name", OF_A_SCORE)
def test_a_score_computed_in_single_precision_is_taken(name):
    exact = OF_A_SCORE[name](lambda x: -1.5 * x)
    found = OF_A_SCORE[name](lambda x: -1.5 * x.float())
    for one, other in zip(*(numbers_of(result) for result in (exact, found)), strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-5)


def numbers_of(result):
    if isinstance(result, torch.Tensor):
        return result.flatten().tolist()
    return [result] if isinstance(result, float) else list(vars(result).values())


@pytest.mark.parametrize("name", OF_A_SCORE)
def test_a_score_that_is_nan_somewhere(name):
    """Where there is a value for each point it is given, with a warning; a mean over nan is refused."""

    def score(x):
        s = NORMAL.score(x)
        return torch.where(x[..., :1] > 0.3, math.nan, 1.0) * s

    if name in POINT_BY_POINT:
        with pytest.warns(RuntimeWarning, match=r"is nan or inf at \d+ of \d+ points"):
            result = OF_A_SCORE[name](score)
        assert 0 < int(result.isfinite().sum()) < result.numel()
    else:
        with pytest.raises(ValueError, match=r"score is nan or inf at \d+ of \d+ points, the first \("):
            OF_A_SCORE[name](score)


def test_every_metric_of_a_score_is_tried():
    import inspect

    of_a_score = {
        name
        for name in metrics.__all__
        if inspect.isfunction(function := getattr(metrics, name)) and "score" in inspect.signature(function).parameters
    }
    assert of_a_score == set(OF_A_SCORE)


WRONG_NUMBERS = {
    "a score": (NORMAL.score, ValueError, r"gives shape \[.*2\] for points of shape"),
    "a column": (lambda x: NORMAL.log_prob(x)[..., None], ValueError, r"gives shape \[.*1\] for points of shape"),
    "a sum": (lambda x: NORMAL.log_prob(x).sum(), ValueError, r"gives shape \[\] for points of shape"),
    "a number": (lambda x: 1.0, TypeError, "gives a float: it must give a"),
}  # fmt: skip
OF_NUMBERS = {
    "convergence": lambda f: metrics.convergence(path(), f),
    "explain": lambda f: explain(NORMAL, {}, never, points(), exact=of_both, quantity=f),
    "expectation": lambda f: expectation(f, NORMAL),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_NUMBERS.values(), ids=WRONG_NUMBERS)
@pytest.mark.parametrize("metric", OF_NUMBERS.values(), ids=OF_NUMBERS)
def test_a_function_that_does_not_give_one_number_per_point(metric, wrong):
    f, error, message = wrong
    with pytest.raises(error, match=message):
        metric(f)


class Walled(Density):
    """Nothing beyond 6, where there was a mass of 4e-9."""

    def log_prob(self, x):
        return torch.where((x.abs() < 6).all(-1), NORMAL.log_prob(x), -math.inf)

    def bounds(self, sigma=0.0):
        return NORMAL.bounds(sigma)

    def length_scale(self, sigma=0.0):
        return NORMAL.length_scale(sigma)


def test_a_log_density_of_minus_infinity_along_the_chains_or_at_the_samples():
    inside = Square(-1.0, 1.0)
    with pytest.raises(ValueError, match=r"log_prob is nan or inf at \d+ of 40 points"):
        metrics.convergence(path(), inside.log_prob)
    with pytest.raises(ValueError, match=r"log p is nan or inf at 1 of 3 points, the first \(7, 0\)"):
        metrics.log_density_calibration(torch.tensor([[0.5, 0.1], [7.0, 0.0], [0.0, 0.0]]), Walled())


class Half(Density):
    """Of mass 1/2, as it should not be."""

    def log_prob(self, x):
        return NORMAL.log_prob(x) - math.log(2)

    def bounds(self, sigma=0.0):
        return NORMAL.bounds(sigma)

    def length_scale(self, sigma=0.0):
        return NORMAL.length_scale(sigma)


class Twice(Half):
    def log_prob(self, x):
        return NORMAL.log_prob(x) + math.log(2)


def test_mass_is_checked_wherever_a_law_is_integrated():
    x, wide = points(), (-9.0, 9.0, -9.0, 9.0)
    for wrong in (Half(), Twice()):
        with pytest.raises(ValueError, match=r"density has a mass of (0.5|2) on the cells"):
            metrics.histogram_divergence(x, wrong, wide)
        with pytest.raises(ValueError, match=r"has mass (0.5|2) on its own bounds"):
            metrics.log_density_calibration(x, wrong)
    with pytest.raises(ValueError, match=r"density has a mass of 2 on 50 x 50 cells"):
        metrics.fisher_divergence_by_region(NORMAL.score, Twice(), wide, n=50)
    with pytest.raises(ValueError, match=r"n is 31: the density varies within a cell .* Give n = 1220"):
        metrics.fisher_divergence_by_region(NORMAL.score, NORMAL.scaled(0.01), (-6.0, 6.2, -6.0, 6.2), n=31)
    with pytest.raises(ValueError, match=r"density varies too fast for cells of side 0.375"):
        metrics.histogram_divergence(x, NORMAL.scaled(1e-5), EXTENT)
    with pytest.raises(ValueError, match=r"all of the law lies in one cell"):
        metrics.histogram_divergence(x, NORMAL.scaled(0.01).shifted((1.0, 1.0)), (-6.0, 6.0, -6.0, 6.0), n=3)


@pytest.mark.parametrize("n", [1, 10_000_000])
def test_sizes_that_cannot_be_are_refused(n):
    if n > 1:
        for call in (
            lambda: metrics.grid_points(EXTENT, n),
            lambda: metrics.histogram(points(), EXTENT, n),
            lambda: metrics.histogram_divergence(points(), NORMAL, EXTENT, n=n),
            lambda: metrics.error_map(NORMAL.score, NORMAL, EXTENT, n),
        ):
            with pytest.raises(ValueError, match=r"n is 10000000: .* would take 1.6e\+06 GB"):
                call()
    else:
        for call in (
            lambda: metrics.histogram_divergence(points(1), NORMAL, EXTENT),
            lambda: metrics.log_density_calibration(points(1), NORMAL),
            lambda: metrics.kernel_stein_discrepancy(points(1), NORMAL.score),
            lambda: metrics.energy_distance(points(1), points(5)),
            lambda: explain(NORMAL, {}, never, points(1), exact=NORMAL.score, quantity=lambda x: x[..., 0]),
        ):  # fmt: skip
            with pytest.raises(ValueError, match="at least 2|from 3 to"):
                call()


@pytest.mark.parametrize(
    "wrong", [two_modes, NORMAL.log_prob, "two_modes", None], ids=["function", "method", "name", "None"]
)
def test_something_else_for_a_density(wrong):
    x = points()
    for call in (
        lambda: metrics.error_map(NORMAL.score, wrong, EXTENT, 5),
        lambda: metrics.fisher_divergence(NORMAL.score, wrong),
        lambda: metrics.fisher_divergence_by_region(NORMAL.score, wrong, EXTENT),
        lambda: metrics.fisher_divergence_monte_carlo(NORMAL.score, wrong, 9),
        lambda: metrics.histogram_divergence(x, wrong, EXTENT),
        lambda: metrics.log_density_calibration(x, wrong),
        lambda: metrics.mode_weights(x, wrong),
        lambda: explain(wrong, {}, never, x, exact=NORMAL.score, quantity=lambda x: x[..., 0]),
    ):
        with pytest.raises(TypeError, match=r"density is .*: give a density, such as densities.two_modes\(\)"):
            call()


def test_noise_conditional_networks_of_another_dtype_name_the_way():
    network = NoiseConditionalMLP(8, generator=g())
    with pytest.raises(TypeError, match=r"give x.to\(torch.float32\), or turn the network into network.to\("):
        metrics.posterior_mean(network, points(), 0.5)
    assert metrics.posterior_mean(network, points().float(), 0.5).dtype == torch.float32
    with pytest.raises(TypeError, match="float64"):
        metrics.curl(at(network, 0.5), points())


def test_clouds_of_two_dtypes_are_compared_in_double_precision():
    x, y = points(30), points(20) + 0.3
    by_hand = metrics.energy_distance(x.float().double(), y, n_permutations=0)
    assert metrics.energy_distance(x.float(), y, n_permutations=0) == by_hand
    assert isinstance(by_hand, TwoSample)
    assert metrics.wasserstein(x.float(), y.repeat(2, 1)[:30]) == metrics.wasserstein(
        x.float().double(), y.repeat(2, 1)[:30]
    )
    assert metrics.wasserstein(x.requires_grad_(), y[:20].repeat(2, 1)[:30]).value > 0
