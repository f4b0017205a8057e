"""Rules for the width of a kernel: against SciPy's estimate, and against the likelihood written out."""

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import torch

from toylab.densities import GaussianMixture, Points, bandwidth, two_modes
from toylab.metrics import fisher_divergence
from toylab.objectives import Explicit

RULES = pytest.mark.parametrize("rule", [bandwidth.scott, bandwidth.silverman, bandwidth.leave_one_out])


def normal(n, seed=0):
    return torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [3, 50, 1000])
@pytest.mark.parametrize("method", ["scott", "silverman"])
def test_for_whitened_data_it_is_scipy_s_kernel(n, method):
    x = normal(n)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T * 1.7
    h = getattr(bandwidth, method)(x)
    kde = scipy.stats.gaussian_kde(x.T.numpy(), bw_method=method)
    assert kde.covariance == pytest.approx(h**2 * np.eye(2), rel=1e-10, abs=1e-12)
    at = normal(20, seed=1)
    assert Points(x).log_prob(at, h).tolist() == pytest.approx(kde.logpdf(at.T.numpy()).tolist(), rel=1e-9)


def test_scott_of_any_data():
    x = normal(200) * torch.tensor([3.0, 1.0]).double()
    assert bandwidth.scott(x) == pytest.approx(200 ** (-1 / 6) * math.sqrt(float(x.var(0).mean())), rel=1e-12)


def likelihood(x, h):
    """Each point under the mixture of the others, one mixture per point."""
    total = 0.0
    for i in range(len(x)):
        others = torch.cat([x[:i], x[i + 1 :]])
        n = len(others)
        density = GaussianMixture([1 / n] * n, others, (h**2 * torch.eye(2).double()).expand(n, 2, 2))
        total += float(density.log_prob(x[i]))
    return total / len(x)


@pytest.mark.parametrize("x", [normal(30), normal(30, 1) * 1e-3 + 5, two_modes().sample((30,)).double()])
def test_leave_one_out_is_the_most_likely(x):
    h = bandwidth.leave_one_out(x)
    best = likelihood(x, h)
    assert all(likelihood(x, h * c) < best for c in (0.5, 0.8, 0.999, 1.001, 1.25, 2.0))


def test_leave_one_out_shrinks_as_it_should():
    """For a normal law the best h falls as n^(-1/6): a factor of 10 in n is a factor of 1.47 in h."""
    ratio = bandwidth.leave_one_out(normal(300)) / bandwidth.leave_one_out(normal(3000))
    assert ratio == pytest.approx(10 ** (1 / 6), rel=0.25)


def test_far_modes_defeat_scott_s_rule_and_not_the_likelihood():
    p = two_modes()
    data = p.sample((1000,), generator=torch.Generator().manual_seed(0))
    scott, likely = (
        fisher_divergence(Points(data).noised(rule(data)).score, p)
        for rule in (bandwidth.scott, bandwidth.leave_one_out)
    )
    nothing = fisher_divergence(torch.zeros_like, p)
    assert likely < 0.15 * nothing
    assert scott > 2 * likely


def test_the_kernel_estimate_serves_as_a_target():
    data = normal(100).float()
    kernel = Points(data).noised(bandwidth.leave_one_out(data))
    assert (Explicit(kernel.score)(kernel.score, data) == 0).all()


@RULES
def test_scale_and_shift(rule):
    x = normal(60)
    assert rule(3 * x + 7) == pytest.approx(3 * rule(x), rel=1e-5)


@RULES
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (torch.zeros(2, 2), ValueError, "at least 3"),
        (torch.zeros(5), ValueError, "shape"),
        (torch.tensor([[0.0, 1.0], [math.nan, 0.0], [1.0, 1.0]]), ValueError, "nan or inf"),
        ([[0.0, 1.0]] * 5, TypeError, "tensor"),
    ],
)
def test_bad_input(rule, data, error, message):
    with pytest.raises(error, match=message):
        rule(data)


def test_degenerate_data():
    line = torch.linspace(0, 1, 9)[:, None] * torch.ones(2)
    for rule in (bandwidth.scott, bandwidth.silverman):
        with pytest.raises(ValueError, match="on a line"):
            rule(line)
    assert bandwidth.leave_one_out(line) > 0
    with pytest.raises(ValueError, match="2 of 10 points coincide"):
        bandwidth.leave_one_out(torch.cat([normal(9), normal(9)[:1]]))
    with pytest.raises(ValueError, match="Give at most 7071"):
        bandwidth.leave_one_out(normal(8000))


def test_scipy_is_not_loaded_with_the_package():
    code = "import sys, toylab; print('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
