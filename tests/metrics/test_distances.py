"""Distances against closed forms and other people's code; p-values against the uniform law."""

import math
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import scipy.stats
import torch

from toylab.densities import GaussianMixture, isotropic, two_modes
from toylab.metrics import (
    TwoSample,
    energy_distance,
    histogram_divergence,
    kernel_stein_discrepancy,
    log_density_calibration,
    maximum_mean_discrepancy,
    sliced_wasserstein,
    two_sample,
    two_sample_floor,
    wasserstein,
)
from toylab.metrics.jackknife import jackknife

NORMAL = isotropic([[0.0, 0.0]], 1.0)


def normal(n, seed, mean=0.0, std=1.0):
    g = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(n, 2, dtype=torch.float64, generator=g)


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def test_energy_distance_of_a_few_points_by_hand():
    x, y = torch.tensor([[0.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [3.0, 4.0]])
    between = np.mean([3, 5, math.sqrt(13), math.sqrt(13)])
    value = energy_distance(x, y, n_permutations=0).value
    assert value == pytest.approx(2 * between - 2 - 4, rel=1e-12)


def test_mmd_of_a_few_points_by_hand():
    x, y = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 3.0]])

    def k(r2):
        return math.exp(-r2 / (2 * 0.7**2))

    expected = k(1) + k(1) - 2 * np.mean([k(4), k(9), k(5), k(10)])
    assert maximum_mean_discrepancy(x, y, bandwidth=0.7, n_permutations=0).value == pytest.approx(expected, rel=1e-12)


def test_mmd_between_normal_laws():
    """E k(X, Y) of N(a, I) and N(b, I), h = 1: exp(-|a - b|^2 / (2 (2 + 1))) / (2 + 1), d = 2."""
    exact = 2 / 3 * (1 - math.exp(-0.5 / 6))
    values = [
        maximum_mean_discrepancy(normal(500, k), normal(500, 100 + k, 0.5), bandwidth=1.0, n_permutations=0).value
        for k in range(60)
    ]
    error = np.std(values, ddof=1) / math.sqrt(60)
    assert abs(np.mean(values) - exact) < 5 * error
    assert exact > 20 * error


@pytest.mark.parametrize("distance", [energy_distance, maximum_mean_discrepancy])
def test_p_values_are_uniform_for_one_law_and_small_for_two(distance):
    """100 pairs of one law: Kolmogorov-Smirnov p > 1e-6; a shift by half a standard deviation is seen every time."""
    p = [distance(normal(60, k), normal(40, 500 + k), n_permutations=199, generator=g(k)).p_value for k in range(100)]
    jitter = torch.rand(100, generator=g(9)).numpy() / 200  # p-values are multiples of 1/200
    assert scipy.stats.kstest(np.array(p) - jitter, "uniform").pvalue > 1e-6
    far = distance(normal(300, 1), normal(300, 2, 0.5), n_permutations=199, generator=g())
    assert far.p_value == 1 / 200
    assert "p = 0.005" in str(far)


def test_the_p_value_of_a_few_points_is_the_share_of_their_relabelings():
    """Of the six ways to take two of four points, two are as far: the clouds as they are, and exchanged; |z| < 5."""
    x, y = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[10.0, 0.0], [11.0, 0.0]])
    p = energy_distance(x, y, n_permutations=4999, generator=g()).p_value
    assert abs(p - 1 / 3) < 5 * math.sqrt(2 / 9 / 5000)


def test_the_bandwidth_of_mmd_is_the_median_distance_of_two_points():
    """Points at no distance from themselves do not count."""
    x, y = normal(20, 0), normal(30, 1, 0.5)
    median = float(torch.nn.functional.pdist(torch.cat([x, y])).median())
    found, given = (maximum_mean_discrepancy(x, y, bandwidth=h, n_permutations=0).value for h in (None, median))
    assert found == pytest.approx(given, rel=1e-9)


@pytest.mark.parametrize("n", [3, 8, 301])
@pytest.mark.parametrize("at_once", [1, 1000, 10**6])
def test_the_median_distance_is_exact_however_many_pairs_are_held(monkeypatch, n, at_once):
    monkeypatch.setattr(two_sample, "_PAIRS_AT_ONCE", at_once)
    monkeypatch.setattr(two_sample, "_PAIRS_KEPT", at_once - 1)
    z = torch.exp(5 * normal(n, 0))
    assert two_sample.median_distance(z) == float(torch.nn.functional.pdist(z).median())


def test_mmd_of_repeated_points():
    """All at one place: 0, and every relabeling is as far. Most at one place: the median of the others' distances."""
    same = torch.ones(30, 2)
    assert maximum_mean_discrepancy(same, same[:20], n_permutations=99, generator=g()) == TwoSample(0.0, 1.0)
    many = torch.cat([torch.zeros(40, 2), normal(5, 0).float()])
    found = maximum_mean_discrepancy(many, many + 1.0, n_permutations=99, generator=g())
    assert math.isfinite(found.value)
    assert found.p_value == 0.01
    assert maximum_mean_discrepancy(many, many, n_permutations=99, generator=g()).p_value > 0.1


@pytest.mark.parametrize("distance", [energy_distance, maximum_mean_discrepancy])
def test_relabelings_that_tie_count_as_as_far(distance):
    """Three points at each of two places: x holds 0, 1, 2 or 3 of the first in 1, 9, 9, 1 of the 20 relabelings.

    As near as can be, all are as far; as far as can be, two are. |z| < 5.
    """
    x, y = (torch.tensor([0.11, 0.77])[i][:, None].expand(-1, 2) for i in ([0, 0, 1], [0, 1, 1]))
    assert distance(x, y, n_permutations=999, generator=g()).p_value == 1.0
    x, y = (torch.tensor([0.11, 0.77])[i][:, None].expand(-1, 2) for i in ([0, 0, 0], [1, 1, 1]))
    p = distance(x, y, n_permutations=4999, generator=g()).p_value
    assert abs(p - 0.1) < 5 * math.sqrt(0.09 / 5000)


def test_ties_are_not_decided_by_rounding():
    """Ten pairs of clouds at three places: the same relabelings counted by sums that are exact but for 1e-12."""
    for seed in range(10):
        z = torch.tensor([0.1, 0.37, 0.73], dtype=torch.float64)[torch.randint(3, (17,), generator=g(seed))]
        z = torch.stack([z, z.square()], -1)
        kernel = -torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")

        def value(inside, kernel=kernel):
            within = [kernel[mask][:, mask].flatten().tolist() for mask in (inside, ~inside)]
            between = math.fsum(kernel[inside][:, ~inside].flatten().tolist())
            return math.fsum(within[0]) / (9 * 8) + math.fsum(within[1]) / (8 * 7) - 2 * between / (9 * 8)

        orders = g(seed)
        relabelled = [value(torch.randperm(17, generator=orders) < 9) for _ in range(99)]
        as_far = sum(found >= value(torch.arange(17) < 9) - 1e-12 for found in relabelled)
        assert energy_distance(z[:9], z[9:], n_permutations=99, generator=g(seed)).p_value == (1 + as_far) / 100


@pytest.mark.parametrize("distance", [energy_distance, maximum_mean_discrepancy])
def test_the_size_of_the_blocks_changes_nothing(monkeypatch, distance):
    x, y = normal(50, 0), normal(31, 1, 0.2)
    whole = distance(x, y, n_permutations=250, generator=g())
    monkeypatch.setattr(two_sample, "_PAIRS_AT_ONCE", 200)
    monkeypatch.setattr(two_sample, "_AT_ONCE", 7)
    monkeypatch.setattr(two_sample, "_RELABELLED_AT_ONCE", 60)
    parts = distance(x, y, n_permutations=250, generator=g())
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.p_value == whole.p_value


def test_sliced_wasserstein_in_blocks_of_directions(monkeypatch):
    x, y = normal(50, 0), normal(31, 1, 0.2)
    whole = sliced_wasserstein(x, y, generator=g())
    monkeypatch.setattr(sys.modules[sliced_wasserstein.__module__], "_AT_ONCE", 200)
    parts = sliced_wasserstein(x, y, generator=g())
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-9)


@pytest.mark.slow
def test_all_pairs_of_12_000_points_take_little_memory():
    """In a process of its own, which reports the most it held: all distances would be 1.2 GB."""
    code = (
        "import resource, torch\nfrom toylab.metrics import maximum_mean_discrepancy\n"
        "z = torch.randn(12_000, 2, generator=torch.Generator().manual_seed(0))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "maximum_mean_discrepancy(z[:6000], z[6000:], n_permutations=1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    held = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert held < 400_000  # kB


@pytest.mark.parametrize("distance", [energy_distance, maximum_mean_discrepancy, wasserstein, sliced_wasserstein])
def test_points_whose_squares_overflow_are_refused(distance):
    far = torch.full((20, 2), 1e200, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"x holds numbers up to 1e\+200, whose squares overflow"):
        distance(far, normal(20, 0))


def test_same_generator_same_p():
    one, other = (energy_distance(normal(30, 0), normal(30, 1), n_permutations=50, generator=g(4)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 75), (13, 400)])
def test_sliced_wasserstein_along_one_direction_is_by_sorting(n, m):
    """Each point repeated until both clouds are of one size: W_2 on a line then pairs the sorted points."""
    x, y = normal(n, 0), normal(m, 1, 1.0)
    big_x, big_y = x.repeat_interleave(m, 0), y.repeat_interleave(n, 0)  # equal sizes: quantiles are sorted points
    seed = g(5)
    angle = math.pi * float(torch.rand((), dtype=torch.float64, generator=g(5)))
    direction = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    by_hand = ((big_x @ direction).sort().values - (big_y @ direction).sort().values).square().mean().sqrt()
    assert sliced_wasserstein(x, y, n_directions=1, generator=seed).value == pytest.approx(float(by_hand), rel=1e-12)


def test_sliced_wasserstein_of_a_shift():
    """A cloud moved by v: W_2 along a direction u is |v.u|, and the mean of its square |v|^2 / 2."""
    x = normal(40, 0)
    v = torch.tensor([3.0, 4.0], dtype=torch.float64)
    found = sliced_wasserstein(x, x + v, generator=g())
    assert found.value == pytest.approx(5 / math.sqrt(2), rel=1e-9)
    assert found.standard_error < 1e-9  # every group moved alike


def test_wasserstein_is_the_least_over_all_matchings():
    import itertools

    x, y = normal(5, 0), normal(5, 1)
    least = min(float((x - y[list(order)]).square().sum(-1).mean()) for order in itertools.permutations(range(5)))
    # each point twice: a doubly stochastic matching is no better than the best permutation
    assert wasserstein(x.repeat(2, 1), y.repeat(2, 1)).value == pytest.approx(math.sqrt(least), rel=1e-12)
    v, x = torch.tensor([3.0, 4.0], dtype=torch.float64), normal(30, 0)
    assert wasserstein(x, x.flip(0) + v).value == pytest.approx(5.0, rel=1e-12)


MATCHING = sys.modules[wasserstein.__module__]


@pytest.mark.parametrize(("n", "m"), [(20, 20), (20, 30), (28, 12)])
def test_the_simplex_is_the_assignment_of_shares(monkeypatch, n, m):
    """Each point repeated until both clouds are of one size: then shares are points, and an assignment matches them."""
    pytest.importorskip("ot")
    x, y = normal(n, 0), normal(m, 1, 0.5, 2.0)
    monkeypatch.setattr(MATCHING, "_MOST_ASSIGNED", 0)
    found = wasserstein(x, y)
    monkeypatch.undo()
    common = math.lcm(n, m)
    by_hand = wasserstein(x.repeat_interleave(common // n, 0), y.repeat_interleave(common // m, 0), error_bar=False)
    assert found.value == pytest.approx(by_hand.value, rel=1e-10)
    if n == m:
        assert found.standard_error == pytest.approx(wasserstein(x, y).standard_error, rel=1e-8)


def test_a_matching_is_solved_by_what_its_size_asks_for(monkeypatch):
    monkeypatch.setattr(MATCHING, "find_spec", lambda name: name)
    assert [MATCHING._solver(*sizes) for sizes in ((2000, 2000), (2001, 2001), (30, 40))] == ["scipy", "ot", "ot"]
    monkeypatch.setattr(MATCHING, "find_spec", lambda name: None)
    assert MATCHING._solver(2001, 2001) == "scipy"
    with pytest.raises(ModuleNotFoundError, match=r'30 and 40 points: .* "toylab\[transport\]", or give equally many'):
        wasserstein(normal(30, 0), normal(40, 0))


def test_a_matching_that_does_not_fit_into_memory_is_refused_with_the_size_that_does(monkeypatch):
    monkeypatch.setattr(MATCHING, "free_bytes", lambda device: 16 * 50**2)
    assert wasserstein(normal(50, 0), normal(50, 1)).value > 0
    with pytest.raises(ValueError, match=r"x and y have 51 and 51 points: .* Give at most 50 points each"):
        wasserstein(normal(51, 0), normal(51, 1))


def test_an_error_bar_that_is_not_wanted_is_not_computed(monkeypatch):
    x, y = normal(30, 0), normal(30, 1)
    whole = wasserstein(x, y)
    monkeypatch.setattr(MATCHING, "jackknife", None)
    alone = wasserstein(x, y, error_bar=False)
    assert alone.value == whole.value
    assert math.isnan(alone.standard_error)


def test_the_floor_of_a_distance_is_that_of_independent_clouds_of_n_points():
    """|mean of X - mean of Y|^2 n / 2 is chi-squared with 2 degrees of freedom: 200 of them, false alarms 1e-6."""
    n, repetitions = 30, 200
    before = torch.get_rng_state()
    found = two_sample_floor(
        NORMAL, n, lambda x, y: (x.mean(0) - y.mean(0)).square().sum(), n_repetitions=repetitions, generator=g()
    )
    assert torch.equal(torch.get_rng_state(), before)
    low, high = scipy.stats.chi2.ppf([5e-7, 1 - 5e-7], 2 * repetitions) * 2 / n / repetitions
    assert low < found.value < high
    assert found.standard_error == pytest.approx(4 / n / math.sqrt(repetitions), rel=0.5)  # 5 of its own errors, 10 %


def test_the_floor_takes_every_distance_of_two_clouds():
    distances = [
        lambda x, y: energy_distance(x, y, n_permutations=0),
        lambda x, y: maximum_mean_discrepancy(x, y, n_permutations=0),
        lambda x, y: sliced_wasserstein(x, y, n_directions=4, generator=g()),
        wasserstein,
    ]
    for distance in distances:
        clouds = g(1)
        pairs = [[NORMAL.sample((12,), generator=clouds) for _ in range(2)] for _ in range(3)]
        values = [distance(x, y).value for x, y in pairs]
        found = two_sample_floor(NORMAL, 12, distance, n_repetitions=3, generator=g(1))
        assert found.value == pytest.approx(np.mean(values), rel=1e-12)
        assert found.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(3), rel=1e-12)
    with pytest.raises(TypeError, match=r"distance gives 'near': it must give one number, or a result with a value"):
        two_sample_floor(NORMAL, 12, lambda x, y: "near")


@pytest.mark.parametrize(
    ("distance", "share"), [(wasserstein, 1.0), (lambda x, y: sliced_wasserstein(x, y, generator=g()), 0.5)]
)
def test_the_error_bar_of_a_distance(distance, share):
    """Clouds of N(0, I) far apart along x: W_2 is the difference of their means along x, of variance 2 / n.

    Sliced, it is sqrt(|difference|^2 / 2). Ten groups know a variance as chi-squared with 9 degrees of freedom does;
    the mean over 40 pairs of clouds has 360, so that it is known to a factor of 0.68 to 1.41 (false alarms: 1e-6).
    """
    n, pairs = 50, 40
    ratios = []
    for k in range(pairs):
        x, y = normal(n, 2 * k), normal(n, 2 * k + 1)
        y[:, 0] += 50.0
        ratios.append(distance(x, y).standard_error ** 2 / (share * 2 / n))
    low, high = scipy.stats.chi2.ppf([5e-7, 1 - 5e-7], 9 * pairs) / (9 * pairs)
    assert low < sum(ratios) / pairs < high


def test_the_jackknife_by_hand():
    """(10 - 1) / 10 times the sum of squares about the mean."""
    found = jackknife(7.0, lambda k: float(k**2))
    left_out = np.arange(10.0) ** 2
    assert found.value == 7.0
    assert found.standard_error == pytest.approx(math.sqrt(0.9 * np.square(left_out - left_out.mean()).sum()))


def stein_by_hand(x, score, c):
    """u(x, y) by automatic differentiation of the kernel."""

    def k(a, b):
        return (c**2 + (a - b).square().sum()) ** -0.5

    total = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            if i == j:
                continue
            a, b = x[i].clone().requires_grad_(), x[j].clone().requires_grad_()
            ga, gb = torch.autograd.grad(k(a, b), (a, b), create_graph=True)
            trace = sum(float(torch.autograd.grad(ga[d], b, retain_graph=True)[0][d]) for d in range(2))
            s, t = score(x[i]), score(x[j])
            total += float(((s @ t) * k(a, b) + s @ gb + t @ ga).detach()) + trace
    return total / (len(x) * (len(x) - 1))


def test_kernel_stein_discrepancy_by_automatic_differentiation():
    x = normal(6, 0)
    p = two_modes()
    assert kernel_stein_discrepancy(x, p.score, scale=1.3).value == pytest.approx(
        stein_by_hand(x, p.score, 1.3), rel=1e-9
    )


def test_kernel_stein_discrepancy_is_zero_for_the_law_and_not_for_another():
    right = kernel_stein_discrepancy(normal(1500, 0), NORMAL.score)
    # degenerate at the truth, of order 1/n: by the eigenvalues of u above 0.01 once in a million clouds
    assert abs(right.value) < 5 * max(right.standard_error, 2e-3)
    wide = kernel_stein_discrepancy(normal(3000, 0, std=1.3), NORMAL.score)
    assert wide.value > 10 * wide.standard_error


def test_the_error_bar_of_the_kernel_stein_discrepancy():
    """200 clouds of N(0, 4 I) under the score of N(0, I): the ratio of variances is known to 10 % (false alarms: 1e-6).

    Were the 2 in front of the error bar missing, it would be 4.
    """
    found = [kernel_stein_discrepancy(normal(150, k, std=2.0), NORMAL.score) for k in range(200)]
    ratio = np.var([e.value for e in found], ddof=1) / np.mean([e.standard_error**2 for e in found])
    low, high = scipy.stats.chi2.ppf([5e-7, 1 - 5e-7], 199) / 199
    assert low < ratio < high


def test_kernel_stein_discrepancy_hardly_sees_mode_weights():
    """Half and half for 0.2 and 0.8: the score is right at every sample."""
    p = two_modes()
    half = GaussianMixture([0.5, 0.5], p.means, p.covariances).sample((1000,), generator=g()).double()
    assert abs(kernel_stein_discrepancy(half, p.score).value) < 0.01
    assert energy_distance(half[:500], p.sample((500,), generator=g(1)).double(), n_permutations=99,
                           generator=g()).p_value == 0.01  # fmt: skip


def test_histogram_divergence():
    """0 within 5 error bars for samples of the law; 2 log 1.2 - 1 + 1/1.44.. for a wider one, to a few percent."""
    p, extent = NORMAL, (-4.0, 4.0, -4.0, 4.0)
    right = histogram_divergence(normal(50_000, 0), p, extent, n=16)
    assert abs(right.value) < 5 * right.standard_error
    wide = histogram_divergence(normal(50_000, 1, std=1.2), p, (-7.0, 7.0, -7.0, 7.0), n=56)
    assert wide.value == pytest.approx(1.44 - 1 - math.log(1.44), rel=0.1)


def test_the_error_bar_of_a_histogram_divergence():
    """Of 1,200 clouds, each 17 cells: chi-squared with 16 degrees of freedom, of variance 32 and kurtosis 3.75.

    The ratio of variances is known to 4.8 %, and held to 5 of these. Were the half in the error bar missing, it would
    be 0.5, 10 of them.
    """
    module, extent = sys.modules[histogram_divergence.__module__], (-2.0, 2.0, -2.0, 2.0)
    law = module._law_on_cells(NORMAL, extent, 0.0, np.ones((4, 4)), 1000)  # the same for all
    with mock.patch.object(module, "_law_on_cells", lambda *_: law):
        found = [histogram_divergence(normal(1000, k), NORMAL, extent, n=4) for k in range(1200)]
    ratio = np.var([e.value for e in found], ddof=1) / found[0].standard_error ** 2
    assert abs(ratio - 1) < 5 * math.sqrt(2.75 / 1200)


def test_log_density_calibration():
    """E log p of N(0, s^2 I) under N(0, I) + entropy = 1 - s^2, d = 2."""
    for std in (0.8, 1.0, 1.3):
        value = log_density_calibration(normal(20_000, 3, std=std), NORMAL)
        assert abs(value.value - (1 - std**2)) < 5 * value.standard_error


BAD = torch.tensor([[0.0, 1.0], [math.nan, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy_distance(BAD, normal(3, 0)), "1 points that are nan"),
        (lambda: maximum_mean_discrepancy(normal(3, 0), BAD), "y holds 1 points"),
        (lambda: energy_distance(normal(1, 0), normal(3, 0)), "at least 2"),
        (lambda: energy_distance(normal(15_000, 0), normal(6000, 0)), "all pairs"),
        (lambda: sliced_wasserstein(BAD, normal(30, 0)), "nan"),
        (lambda: sliced_wasserstein(normal(9, 0), normal(30, 0)), "x has 9 points"),
        (lambda: wasserstein(normal(10**6, 0), normal(10**6, 0)), "a matching looks at all pairs"),
        (lambda: kernel_stein_discrepancy(BAD, NORMAL.score), "nan"),
        (lambda: kernel_stein_discrepancy(normal(9, 0), NORMAL.score, scale=0.0), "scale"),
        (lambda: log_density_calibration(BAD, NORMAL), "nan"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
