"""Mode weights, error maps, grids and estimates."""

import math

import pytest
import scipy.stats
import torch

from toylab.densities import Density, isotropic, ring, two_modes
from toylab.metrics import Estimate, error_map, grid_points, mean_of, mode_weights


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_counts_by_hand():
    samples = torch.tensor([[-5.0, -5.0], [4.0, 6.0], [5.0, 5.0], [-4.0, -7.0], [9.0, 9.0]])
    left, right = mode_weights(samples, two_modes())
    assert left.value == pytest.approx(2 / 5)
    assert right.value == pytest.approx(3 / 5)
    for estimate, count in ((left, 2), (right, 3)):
        w = (count + 1) / 7
        assert estimate.standard_error == pytest.approx(math.sqrt(w * (1 - w) / 5))


def test_order_is_that_of_the_weights():
    """One sample at mode 0, two at mode 1, three at mode 2, ..."""
    p = ring(8)
    samples = p.means.repeat_interleave(torch.arange(1, 9), 0).float()
    assert [e.value for e in mode_weights(samples, p)] == pytest.approx([k / 36 for k in range(1, 9)])


def test_exact_samples_have_the_weights_of_the_law():
    """Modes 14 standard deviations apart: the share is binomial. n = 100,000: SE .0013 for .2."""
    n = 100_000
    for estimate, w in zip(
        mode_weights(two_modes().sample((n,), generator=generator()), two_modes()), (0.2, 0.8), strict=True
    ):
        se = math.sqrt(w * (1 - w) / n)
        assert abs(estimate.value - w) < 5 * se
        # the error bar itself varies by |1 - 2 w| / (2 sqrt(w (1 - w) n)) = .24 % of itself
        assert abs(estimate.standard_error / se - 1) < 5 * abs(1 - 2 * w) / (2 * math.sqrt(w * (1 - w) * n))


def test_an_empty_mode_is_not_known_exactly():
    left, right = mode_weights(torch.full((98, 2), 5.0), two_modes())
    assert (left.value, right.value) == (0.0, 1.0)
    assert left.standard_error == pytest.approx(math.sqrt(0.01 * 0.99 / 98))
    assert right.standard_error == pytest.approx(left.standard_error)


def test_assignment_is_by_posterior_at_the_noise_level():
    """Between unequal modes the border follows weights and sigma: u = -(v / |m|) log(4) / 2, v = 1 + sigma^2."""
    for sigma in (0.0, 3.0):
        u = -(1 + sigma**2) * math.log(4) / (2 * math.sqrt(50))
        points = torch.tensor([[u - 1e-3] * 2, [u + 1e-3] * 2], dtype=torch.float64) / math.sqrt(2)
        assert [e.value for e in mode_weights(points[:1], two_modes(), sigma)] == [1.0, 0.0]
        assert [e.value for e in mode_weights(points[1:], two_modes(), sigma)] == [0.0, 1.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_samples_that_diverged_are_refused(bad):
    samples = torch.zeros(5, 2)
    samples[1, 0] = samples[3, 1] = samples[3, 0] = bad
    with pytest.raises(ValueError, match=r"2 points .* Chains.diverged"):
        mode_weights(samples, two_modes())


def test_samples_of_a_wrong_shape_are_refused():
    for samples in (torch.zeros(0, 2), torch.zeros(5), torch.zeros(2, 3, 2)):
        with pytest.raises(ValueError, match="samples has shape"):
            mode_weights(samples, two_modes())


def test_grid_points():
    """Row i from the bottom, column j from the left, at the centres of the cells."""
    x = grid_points((0.0, 4.0, 10.0, 12.0), 4)
    assert x.shape == (4, 4, 2)
    assert x.dtype == torch.float32
    assert x[0, 0].tolist() == [0.5, 10.25]
    assert x[0, 3].tolist() == [3.5, 10.25]
    assert x[3, 0].tolist() == [0.5, 11.75]
    assert grid_points((0.0, 1.0, 0.0, 1.0), 2, dtype=torch.float64).dtype == torch.float64


@pytest.mark.parametrize("extent", [(1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 1.0, 1.0), (0.0, math.inf, 0.0, 1.0)])
def test_bad_extents(extent):
    with pytest.raises(ValueError, match="extent"):
        grid_points(extent, 3)
    with pytest.raises(ValueError, match="extent"):
        error_map(torch.zeros_like, two_modes(), extent, 3)


def test_grid_needs_cells():
    with pytest.raises(ValueError, match="n is 0"):
        grid_points((0.0, 1.0, 0.0, 1.0), 0)


@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_error_map(sigma):
    """The error of -x + c on N(0, I) at sigma is |x (1/v - 1) + c|: not symmetric, so that orientation shows."""
    p, c = isotropic([[0.0, 0.0]], 1.0), torch.tensor([1.0, 0.0])
    extent = (-1.0, 3.0, 0.0, 2.0)
    values = error_map(lambda x: -x + c, p, extent, 5, sigma)
    x = grid_points(extent, 5, dtype=torch.float64)
    right = (x * (1 / (1 + sigma**2) - 1) + c.double()).norm(dim=-1)
    assert values.shape == (5, 5)
    assert values.dtype == torch.float64
    torch.testing.assert_close(values, right, rtol=1e-5, atol=1e-5)


def test_error_map_of_the_truth_is_zero():
    p = two_modes().to(torch.float64)
    assert float(error_map(p.score, p, (-8.0, 8.0, -8.0, 8.0), 20).max()) < 1e-12


def test_mean_of():
    """Values 1, 2, 3, 6: mean 3, variance 14 / 3."""
    estimate = mean_of(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert estimate.value == pytest.approx(3)
    assert estimate.standard_error == pytest.approx(math.sqrt(14 / 3 / 4))
    for values in (torch.tensor([1.0]), torch.zeros(2, 2), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="at least 2"):
            mean_of(values)


def test_error_bars_of_means_cover():
    """1,000 means of 50 normal numbers: (mean - truth) / SE follows Student's law with 49 degrees of freedom."""
    values = 2 + 3 * torch.randn(1000, 50, dtype=torch.float64, generator=generator(2))
    z = [(e.value - 2) / e.standard_error for e in map(mean_of, values)]
    assert scipy.stats.kstest(z, scipy.stats.t(49).cdf).pvalue > 1e-6


def test_estimate_as_a_number_and_as_text():
    e = Estimate(0.79721, 0.00503)
    assert float(e) == 0.79721
    assert (str(e), f"{e}", repr(e)) == (
        "0.797 ± 0.005",
        "0.797 ± 0.005",
        "Estimate(value=0.79721, standard_error=0.00503)",
    )
    assert f"{e:.1f}|{e:+.2e}|{e:.1%}|{e:7.3f}" == "0.8 ± 0.0|+7.97e-01 ± 5.03e-03|79.7% ± 0.5%|  0.797 ±   0.005"
    assert f"{e:>15}|{e:<15s}|{Estimate(-2.0, 0.1)}" == "  0.797 ± 0.005|0.797 ± 0.005  |-2.000 ± 0.100"


def test_a_density_of_ones_own_has_its_modes_counted_by_its_posterior():
    class Halves(Density):  # what lies left of the axis, and what lies right
        def log_prob(self, x):
            return -x.square().sum(-1) / 2 - math.log(2 * math.pi)

        def posterior(self, x, sigma=0.0):
            right = (x[..., 0] > 0).to(x)
            return torch.stack([1 - right, right], -1)

    samples = torch.tensor([[-1.0, 2.0], [0.5, -2.0], [1.5, 0.0], [2.5, 0.0]])
    assert [e.value for e in mode_weights(samples, Halves())] == [0.25, 0.75]
    assert [e.value for e in mode_weights(samples[1:], Halves())] == [0.0, 1.0]
