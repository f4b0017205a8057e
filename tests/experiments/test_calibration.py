"""Ranks and intervals that are known to be right or wrong come out as such."""

import math

import pytest
import torch
from scipy.stats import binom, chisquare, t

from toylab.experiments import calibration, posterior
from toylab.experiments.measured_samplers import NOISE, A, Y, prior

DOUBLE = torch.float64


def test_even_ranks_cover_as_often_as_they_say():
    ranks = torch.arange(20).repeat(7)
    for quantity in calibration.QUANTITIES:
        found = calibration.calibrated(ranks, quantity)
        assert (found["covered"], found["p"], found["ranks"]) == (pytest.approx(0.9), 1.0, [7] * 20)


def test_sets_leave_out_the_lowest_densities_and_both_ends_of_a_coordinate():
    """And the p-value is that of scipy."""
    counts = torch.tensor([40, 30, *[20] * 16, 25, 15])
    ranks = torch.arange(20).repeat_interleave(counts)
    n = int(counts.sum())
    density, along = (calibration.calibrated(ranks, name) for name in ("density", "along A"))
    assert density["covered"] == pytest.approx(1 - 70 / n)
    assert along["covered"] == pytest.approx(1 - 55 / n)
    assert density["p"] == along["p"] == pytest.approx(chisquare(counts.numpy()).pvalue)


def test_draws_of_the_posterior_are_calibrated():
    """Three p-values above 1e-7, where 1,000 measurements leave fewer by chance in 1 of 3e6 runs."""
    found = calibration.calibration(prior(), {}, (), n_repeats=1000, seed=0, device="cpu", progress=False)
    for row in found["posterior"].values():
        assert row["p"] > 1e-7
        assert sum(row["ranks"]) == 1000
    assert found["standard error"] == pytest.approx(math.sqrt(0.9 * 0.1 / 1000))


def test_a_ratio_has_the_error_of_its_terms():
    """With all weights alike it is a mean, and what all terms agree on has no error."""
    g = torch.Generator().manual_seed(0)
    f = torch.randn(3, 12, 2, dtype=DOUBLE, generator=g)
    w = torch.rand(3, 12, 1, dtype=DOUBLE, generator=g)
    value, error = calibration.ratio(0.3 * f, torch.full_like(w, 0.3))
    torch.testing.assert_close(value, f.mean(1))
    torch.testing.assert_close(error, f.std(1) / math.sqrt(12))
    value, error = calibration.ratio(5 * w, w)
    torch.testing.assert_close(value, torch.full_like(value, 5.0))
    torch.testing.assert_close(error, torch.zeros_like(error), atol=1e-12, rtol=0)
    # one term in many: the derivative of the ratio, times the deviation of that term
    w, f = torch.ones(1, 1000, 1, dtype=DOUBLE), torch.zeros(1, 1000, 1, dtype=DOUBLE)
    w[0, 0], f[0, 0] = 3.0, 2.0
    _, error = calibration.ratio(w * f, w)
    off = 3.0 * (2.0 - 6.0 / 1002.0) / 1.002
    assert float(error) == pytest.approx(off / 1000, rel=2e-3)


def test_the_intervals_of_exact_particles_hold_the_truth_as_often_as_they_say():
    """In 64 steps at least as many of 24 as 95 % leave out by chance in 1 of 1e7 runs; and of a wrong truth none."""
    p = prior()
    truth = posterior._truth(p, p.given(A, Y, NOISE))
    least = binom.ppf(1e-7, 24, calibration.INTERVAL) / 24
    found = calibration.error_bars(p, truth, (64,), n_runs=24, seed=0, device="cpu")["64"]
    assert all(least <= found[name] <= 1 for name in ("weights", "mean", "evidence"))
    wrong = {**truth, "log evidence": 1.0, "mean": [100.0, 100.0], "weights": [1.0] * 25}
    assert not any(calibration.error_bars(p, wrong, (8,), n_runs=2, seed=0, device="cpu")["8"].values())


def test_an_interval_is_that_of_student():
    quantile = t.ppf(0.975, calibration.POPULATIONS - 1)
    error = torch.ones(2, dtype=DOUBLE)
    off = torch.tensor([quantile - 1e-9, quantile + 1e-9], dtype=DOUBLE)
    assert calibration._held(off, error, torch.zeros(2)).tolist() == [1.0, 0.0]
