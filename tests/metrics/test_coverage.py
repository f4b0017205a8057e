"""At the truth, every error bar covers the true value as often as it says, and every p-value is uniform: 400 runs each.

z = (value - truth) / error bar. |z| > 2 has the probability that the law of z gives, and the number of such runs is
held to its binomial range, with false alarms below 1e-6; the mean of z to five times 1 / sqrt(400). Seeds are fixed.
"""

import dataclasses
import functools
import inspect
import math
import sys
from unittest import mock

import numpy as np
import pytest
import scipy.stats
import torch

from toylab import metrics
from toylab.densities import isotropic, two_modes
from toylab.metrics import Estimate
from toylab.samplers import Chains, langevin, metropolis

RUNS = 400
NORMAL, MODES = isotropic([[0.0, 0.0]], 1.0).to(torch.float64), two_modes().to(torch.float64)
OF_NORMAL = 2 * scipy.stats.norm.sf(2)
OF_TEN_GROUPS = 2 * scipy.stats.t(9).sf(2)


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def clouds(n, density=NORMAL, seed=0):
    """400 clouds [n, 2] of exact samples."""
    return density.sample((RUNS, n), generator=g(seed))


def draws(frames, chains):
    """An autoregression of each of 400 x so many chains, [400, frames, chains, 2]."""
    x = [torch.randn(RUNS, chains, 2, dtype=torch.float64, generator=g())]
    for k in range(1, frames):
        x.append(0.5 * x[-1] + math.sqrt(0.75) * torch.randn(RUNS, chains, 2, dtype=torch.float64, generator=g(k)))
    return torch.stack(x, 1)


def z_of(estimates, truth=None):
    """The truth is the mean over the runs if it is not given: for a value that is biased by its definition."""
    values, errors = torch.tensor([[e.value, e.standard_error] for e in estimates], dtype=torch.float64).T
    return ((values - (values.mean() if truth is None else truth)) / errors).numpy()


def acceptance():
    """A random walk of variance eps in N(0, I), started there, accepts 1 - sqrt(eps / (4 + eps))."""
    eps, n = 1.5, 40
    start = NORMAL.sample((RUNS * n,), generator=g())
    chains = metropolis(NORMAL.log_prob, start, step_size=eps, n_steps=20, generator=g(1), progress=False)
    parts = (dataclasses.replace(chains, acceptance=part) for part in chains.acceptance.split(n))
    return z_of(map(metrics.acceptance, parts), 1 - math.sqrt(eps / (4 + eps)))


def autocorrelation():
    found = [metrics.autocorrelation(path, 1) for path in draws(40, 30)]
    return z_of([Estimate(float(a.values[1, 0]), float(a.standard_errors[1, 0])) for a in found])


@functools.cache
def explained():
    """f = x1 after one step of eps = 0.5 from the truth: 0 with the exact score, eps / 2 with 1 - 1.2 x."""

    def sampler(score, x, generator):
        return langevin(score, x, step_size=0.5, n_steps=1, generator=generator, progress=False)

    return [
        metrics.explain(NORMAL, {"off": lambda x: 1 - 1.2 * x}, sampler, x, exact=NORMAL.score,
                        quantity=lambda x: x[..., 0], seed=seed).terms["off"]
        for seed, x in enumerate(clouds(40))
    ]  # fmt: skip


def explain(part, truth):
    return z_of([getattr(terms, part) for terms in explained()], truth)


def histogram(n, cells):
    """The masses of the cells are found once: they are the same in all runs."""
    module, extent = sys.modules[metrics.histogram_divergence.__module__], (-8.0, 8.0, -8.0, 8.0)
    samples = clouds(n, MODES)
    found = module._law_on_cells(MODES, extent, 0.0, module.cell_counts(samples[0], extent, cells)[0], n)
    with mock.patch.object(module, "_law_on_cells", lambda *_: found):
        return z_of([metrics.histogram_divergence(x, MODES, extent, n=cells) for x in samples], 0.0)


def trace():
    """Frames of independent draws: each is as the mode weights are."""
    x = MODES.sample((RUNS, 2, 200), generator=g())
    ones = torch.ones(200)
    rows = []
    for path in x:
        chains = Chains(path[-1], path, torch.arange(2.0), ones, ones > 1, ones.long(), 1)
        found = metrics.mode_weight_trace(chains, MODES)
        rows.append(Estimate(float(found.weights[1, 0]), float(found.standard_errors[1, 0])))
    return z_of(rows, 0.2)


def of_binomial(n, w):
    """P(|z| > 2) of the share of n, whose error bar is that of (count + 1) / (n + 2)."""
    k = np.arange(n + 1)
    smooth = (k + 1) / (n + 2)
    beyond = np.abs(k / n - w) > 2 * np.sqrt(smooth * (1 - smooth) / n)
    return float(scipy.stats.binom(n, w).pmf(k)[beyond].sum())


# (runs, probability of |z| > 2)
ERROR_BARS = {
    "acceptance": (acceptance, 2 * scipy.stats.t(39).sf(2)),
    "autocorrelation": (autocorrelation, 2 * scipy.stats.t(29).sf(2)),
    "explain, discretisation": (lambda: explain("discretisation", 0.0), 2 * scipy.stats.t(39).sf(2)),
    "explain, estimation": (lambda: explain("estimation", 0.25), 2 * scipy.stats.t(39).sf(2)),
    "explain, total": (lambda: explain("total", 0.25), 2 * scipy.stats.t(39).sf(2)),
    "fisher_divergence_monte_carlo": (
        lambda: z_of(
            [metrics.fisher_divergence_monte_carlo(lambda x: -0.5 * x, MODES, 60, generator=g(k)) for k in range(RUNS)],
            6.5,
        ),
        2 * scipy.stats.t(59).sf(2),
    ),
    "histogram_divergence, full cells": (lambda: histogram(4000, 8), OF_NORMAL),
    "histogram_divergence, sparse cells": (lambda: histogram(500, 32), OF_NORMAL),
    "histogram_divergence, nearly empty cells": (lambda: histogram(50, 32), OF_NORMAL),
    "log_density_calibration": (
        lambda: z_of([metrics.log_density_calibration(x, NORMAL) for x in clouds(300)], 0.0),
        OF_NORMAL,
    ),
    "mode_weights": (
        lambda: z_of([metrics.mode_weights(x, MODES)[0] for x in clouds(200, MODES)], 0.2), of_binomial(200, 0.2)
    ),
    "mode_weight_trace": (trace, of_binomial(200, 0.2)),
    "sliced_wasserstein": (
        lambda: z_of([metrics.sliced_wasserstein(x, y, n_directions=16, generator=g())
                      for x, y in zip(clouds(50), clouds(50, seed=1), strict=True)]),
        OF_TEN_GROUPS,
    ),
    "wasserstein": (
        lambda: z_of([metrics.wasserstein(x, y) for x, y in zip(clouds(50), clouds(50, seed=1), strict=True)]),
        OF_TEN_GROUPS,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("run", "probability"), ERROR_BARS.values(), ids=ERROR_BARS)
def test_an_error_bar_covers_the_truth_as_often_as_it_says(run, probability):
    z = run()
    low, high = scipy.stats.binom.ppf([5e-7, 1 - 5e-7], RUNS, probability)
    assert low <= int((np.abs(z) > 2).sum()) <= high
    assert abs(z.mean()) < 5 / math.sqrt(RUNS)


def test_the_error_bar_of_a_stein_discrepancy_is_too_wide_for_samples_of_the_law_as_it_says():
    """0 is the least value, so that an error bar of the value found is too wide at 0; the value itself is unbiased."""
    found = [metrics.kernel_stein_discrepancy(x, NORMAL.score) for x in clouds(60)]
    z = z_of(found, 0.0)
    assert int((np.abs(z) > 2).sum()) <= scipy.stats.binom.ppf(1 - 5e-7, RUNS, OF_NORMAL)
    values = np.array([e.value for e in found])
    assert abs(values.mean()) < 5 * values.std() / math.sqrt(RUNS)
    assert 0.6 < z.std() < 1


P_VALUES = {"energy_distance": metrics.energy_distance, "maximum_mean_discrepancy": metrics.maximum_mean_discrepancy}


@pytest.mark.parametrize("distance", P_VALUES.values(), ids=P_VALUES)
def test_a_p_value_is_uniform(distance):
    """Kolmogorov-Smirnov p > 1e-6, of 400 p-values that are multiples of 1/100, spread over the hundredth below."""
    pairs = enumerate(zip(clouds(25), clouds(15, seed=1), strict=True))
    p = [distance(x, y, n_permutations=99, generator=g(k)).p_value for k, (x, y) in pairs]
    spread = torch.rand(RUNS, dtype=torch.float64, generator=g()).numpy() / 100
    assert scipy.stats.kstest(np.array(p) - spread, "uniform").pvalue > 1e-6


@pytest.mark.parametrize("distance", P_VALUES.values(), ids=P_VALUES)
def test_a_p_value_of_points_that_tie_is_not_too_small(distance):
    """Points at three places: P(p <= q) <= q at q = .05 and .2, by the binomial range of 400 runs."""
    x, y = (clouds(12, seed=seed).round().clamp(-1, 1) for seed in (0, 1))
    p = np.array([distance(a, b, n_permutations=99, generator=g(k)).p_value for k, (a, b) in enumerate(zip(x, y))])  # noqa: B905
    for q in (0.05, 0.2):
        assert (p <= q).sum() <= scipy.stats.binom.ppf(1 - 5e-7, RUNS, q)


def test_no_metric_with_an_error_bar_or_a_p_value_is_left_out():
    """``mean_of``, and so the floor of independent pairs, is held to Student's law in test_modes_and_maps."""
    kinds = ("Estimate", "TwoSample", "Autocorrelation", "ModeWeightTrace", "ErrorDecomposition")
    found = {
        name
        for name in metrics.__all__
        if inspect.isfunction(function := getattr(metrics, name))
        and any(kind in str(inspect.signature(function).return_annotation) for kind in kinds)
    }
    tried = {name.partition(",")[0] for name in ERROR_BARS} | set(P_VALUES)
    tried |= {"kernel_stein_discrepancy", "mean_of", "two_sample_floor"}
    assert found == tried
