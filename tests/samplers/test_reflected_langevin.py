"""Reflected Langevin dynamics on boxes: exact on uniform laws, and on others the law of its own kernel."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Exponential, Independent

from toylab import ToylabWarning
from toylab.densities import Square, from_torch
from toylab.samplers import reflected_langevin, reflected_langevin_step

LOW, HIGH = (-1.0, 0.5), (1.0, 4.5)
INF = math.inf


def generator(seed):
    return torch.Generator().manual_seed(seed)


def flat(x):
    return torch.zeros_like(x)


def run(score, x, eps, n_steps, low=LOW, high=HIGH, seed=1, **settings):
    settings |= {"step_size": eps, "n_steps": n_steps, "generator": generator(seed), "progress": False}
    return reflected_langevin(score, x, low=low, high=high, **settings)


def bounce(y, low, high):
    """One reflection after the other."""
    while not low <= y <= high:
        y = 2 * low - y if y < low else 2 * high - y
    return y


def test_a_step_is_that_of_langevin_and_reflected_as_often_as_it_takes():
    """At a step of 30 most points are folded several times."""
    x = torch.tensor(LOW).double() + torch.rand(200, 2, dtype=torch.float64, generator=generator(0)) * 2
    z = torch.randn(200, 2, dtype=torch.float64, generator=generator(1))
    y = reflected_langevin_step(torch.neg, x, 30.0, low=LOW, high=HIGH, generator=generator(1))
    free = x - 15 * x + math.sqrt(30) * z
    assert float(((free - torch.tensor([0.0, 2.5])).abs() > torch.tensor([3.0, 6.0])).double().mean()) > 0.3
    expected = [[bounce(float(free[i, k]), LOW[k], HIGH[k]) for k in (0, 1)] for i in range(200)]
    torch.testing.assert_close(y, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_what_does_not_cross_a_wall_is_langevin_s_step_to_the_last_digit():
    x, z = torch.zeros(50, 2), torch.randn(50, 2, generator=generator(1))
    y = reflected_langevin_step(flat, x, 0.01, low=(-9, -9), high=(9, 9), generator=generator(1))
    assert torch.equal(y, x + z * 0.01**0.5)


@pytest.mark.parametrize("eps", [0.1, 3.0, 100.0])
def test_the_uniform_law_stays_uniform_at_any_step_size(eps):
    """40,000 chains from the law: Kolmogorov and Smirnov (p > 1e-7), and the variance side^2 / 12 to 5 errors."""
    n = 40_000
    start = torch.tensor(LOW).double() + torch.rand(n, 2, dtype=torch.float64, generator=generator(0)) * torch.tensor(
        [2.0, 4.0]
    )
    x = run(flat, start, eps, 10).samples
    assert not torch.isclose(x, start).any(-1).double().mean() > 0.01
    for k, (low, side) in enumerate(((-1.0, 2.0), (0.5, 4.0))):
        assert scipy.stats.kstest(x[:, k].numpy(), scipy.stats.uniform(low, side).cdf).pvalue > 1e-7
        square = (x[:, k] - low - side / 2) ** 2
        assert abs(float(square.mean()) - side**2 / 12) < 5 * side**2 * math.sqrt(1 / 180 / n)
    assert float(torch.corrcoef(x.T)[0, 1]) == pytest.approx(0, abs=5 / math.sqrt(n))


def test_from_one_corner_it_fills_the_box():
    """20,000 chains of 400 steps of 0.1; by then the slowest wave, of length 8, has e^(-.5 (pi/4)^2 40) = 4e-6 left."""
    x = run(flat, torch.tensor(LOW).expand(20_000, 2).double(), 0.1, 400).samples
    for k, (low, side) in enumerate(((-1.0, 2.0), (0.5, 4.0))):
        assert scipy.stats.kstest(x[:, k].numpy(), scipy.stats.uniform(low, side).cdf).pvalue > 1e-7


def kept(slope, side, eps, n=300):
    """The law that the chain keeps on [0, side], by its kernel at Gauss nodes, from the images of a normal law."""
    t, w = np.polynomial.legendre.leggauss(n)
    x, w = (t + 1) * side / 2, w * side / 2
    reached = x + eps / 2 * slope(x)
    images = [sign * x + 2 * k * side for k in range(-9, 10) for sign in (1, -1)]
    kernel = sum(scipy.stats.norm.pdf(image[None], reached[:, None], math.sqrt(eps)) for image in images) * w
    p = np.full(n, 1 / n)
    for _ in range(12):  # p K^(2^12)
        kernel = kernel @ kernel
    p = p @ kernel
    return x, p / p.sum()


def moments(x, p):
    mean = (p * x).sum()
    return mean, (p * (x - mean) ** 2).sum(), (p * (x - mean) ** 4).sum()


TARGETS = {  # the slope of log p on [0, 1.5], and log p
    "exponential": (lambda x: -2 + 0 * x, lambda x: -2 * x),
    "normal": (lambda x: 0.9 - 3 * x, lambda x: 0.9 * x - 1.5 * x**2),
}


@pytest.mark.parametrize("eps", [0.1, 0.4])
@pytest.mark.parametrize("name", TARGETS)
def test_on_another_law_it_keeps_the_law_of_its_own_kernel(name, eps):
    """100,000 chains: mean and variance to 5 errors; those of the target are off by more than 10 of them at 0.4."""
    slope, log_p = TARGETS[name]
    n, side = 100_000, 1.5
    nodes, weights = kept(slope, side, eps)
    mean, variance, fourth = moments(nodes, weights)
    # draws from the target, and steps until the law is the chain's own
    cumulated = np.cumsum(p := np.exp(log_p(grid := np.linspace(0, side, 10_001)))) / p.sum()
    u = np.random.default_rng(0).random((n, 2))
    start = torch.as_tensor(np.interp(u, cumulated, grid))
    x = run(slope, start, eps, round(4 / eps), low=(0, 0), high=(side, side)).samples
    errors = math.sqrt(variance / n), math.sqrt((fourth - variance**2) / n)
    for k in (0, 1):
        assert abs(float(x[:, k].mean()) - mean) < 5 * errors[0]
        assert abs(float(x[:, k].var()) - variance) < 5 * errors[1]
    true = moments(grid, p / p.sum())
    if eps == 0.4:
        assert max(abs(true[0] - mean) / errors[0], abs(true[1] - variance) / errors[1]) > 10


@pytest.mark.parametrize("name", TARGETS)
def test_its_bias_vanishes_like_the_step_size(name):
    """The mean of its own law less that of the target, at steps halved: order 1 (projecting has order 1/2)."""
    slope, log_p = TARGETS[name]
    t, w = np.polynomial.legendre.leggauss(300)
    x = (t + 1) * 0.75
    p = w * np.exp(log_p(x))
    true = moments(x, p / p.sum())[0]
    biases = [moments(*kept(slope, 1.5, eps))[0] - true for eps in (0.05, 0.025, 0.0125)]
    for coarse, fine in zip(biases, biases[1:], strict=False):
        assert math.log2(coarse / fine) == pytest.approx(1, abs=0.1)


def test_a_side_may_have_no_wall():
    """Exponentials on [0, inf): its own law's mean is within eps of 1/2; the mirror image on (-inf, 0] the same."""
    p = from_torch(Independent(Exponential(torch.full((2,), 2.0, dtype=torch.float64)), 1))
    start, eps, n = p.sample((10_000,), generator=generator(0)), 0.04, 10_000
    right = run(p.score, start, eps, 60, low=(0.0, 0.0), high=(INF, INF)).samples
    left = run(lambda x: -p.score(-x), -start, eps, 60, low=(-INF, -INF), high=(0.0, 0.0)).samples
    for x in (right, -left):
        assert bool((x >= 0).all())
        assert (x.mean(0) - 0.5).abs().max() < 5 * 0.5 / math.sqrt(n) + eps
    free = torch.randn(50, 2, generator=generator(2))
    y = reflected_langevin_step(torch.neg, free, 0.1, low=(-INF, -INF), high=(INF, INF), generator=generator(3))
    z = torch.randn(50, 2, generator=generator(3))
    torch.testing.assert_close(y, 0.95 * free + 0.1**0.5 * z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_rounding_takes_a_point_out_of_the_box(dtype):
    """At walls that no float holds; the score of a square is nan outside, and would spread."""
    p, side = Square(0.1, 0.7), torch.tensor([0.1, 0.7], dtype=dtype)
    x = p.to(dtype).sample((20_000,), generator=generator(0)).clamp(*side)
    chains = run(p.score, x, 5.0, 30, low=(0.1, 0.1), high=(0.7, 0.7))
    assert chains.samples.dtype == dtype
    assert not chains.diverged.any()
    assert bool(((chains.samples >= side[0]) & (chains.samples <= side[1])).all())


def test_a_score_that_is_nan_marks_its_chains():
    def nowhere(x):
        return torch.where(x[:, :1] > 0, math.nan, 0.0) + flat(x)

    with pytest.warns(RuntimeWarning, match="diverged"):
        chains = run(nowhere, torch.zeros(100, 2), 0.1, 20, low=(-1, -1), high=(1, 1))
    assert bool((chains.diverged == chains.samples.isnan().any(-1)).all())
    assert chains.diverged.any()


def test_a_box_that_is_wider_than_the_law_is_told():
    """Smaller steps would lead out of the law as well."""
    with pytest.warns(ToylabWarning, match="give low and high between which it is defined") as told:
        run(Square().score, torch.zeros(100, 2), 0.1, 100, low=(-2, -2), high=(2, 2))
    assert "step_size" not in str(told[0].message)


def test_a_score_that_pushes_against_a_wall_is_no_fault():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chains = run(lambda x: torch.full_like(x, 3.0), torch.zeros(100, 2), 0.01, 300, low=(-1, -1), high=(1, 1))
    assert bool((chains.samples.mean(0) > 0.5).all())


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        (
            {"low": (1.0, 0.5)},
            ValueError,
            r"low is \(1.0, 0.5\) and high is \(1.0, 4.5\): each entry of low must be les",
        ),
        ({"low": (math.nan, 0.5)}, ValueError, "low is .*nan"),
        ({"low": (-1.0, 0.5, 0.0)}, ValueError, "low has 3 entries: give 2, one per coordinate"),
        ({"high": 4.0}, TypeError, "high is 4.0: give two numbers, one per coordinate"),
        ({"high": ("a", 1.0)}, TypeError, "high is .*: give two numbers"),
        ({"x": torch.tensor([[0.0, 1.0], [0.0, 5.0], [-1.1, 1.0]])}, ValueError, "x holds 2 points outside the box"),
        ({"x": torch.tensor([[0.0, 1.0], [math.nan, 1.0]])}, ValueError, "x holds 1 points that are nan or inf"),
        ({"low": torch.zeros(2, device="meta")}, TypeError, "low is .*: give two numbers"),
        ({"x": torch.zeros(3)}, ValueError, r"x has shape \[3\]"),
        ({"score": 3.0}, TypeError, "score is a float: give a function"),
        ({"step_size": -0.1}, ValueError, "step_size is -0.1"),
        ({"n_steps": 0}, ValueError, "n_steps is 0"),
    ],
)
def test_bad_input_is_refused_before_any_work(settings, error, said):
    asked = []
    given = {"score": lambda x: asked.append(x) or flat(x), "x": torch.tensor([[0.0, 1.0]]), "low": LOW, "high": HIGH}
    given |= {"step_size": 0.1, "n_steps": 3} | settings
    with pytest.raises(error, match=said):
        reflected_langevin(given.pop("score"), given.pop("x"), **given)
    assert asked == []


def test_a_wall_beyond_the_range_of_a_dtype_is_infinitely_far():
    free = run(torch.neg, torch.zeros(5, 2), 0.5, 5, low=(-INF, -INF), high=(INF, INF)).samples
    assert torch.equal(run(torch.neg, torch.zeros(5, 2), 0.5, 5, low=(-1e300, -3e38), high=(1e38, 1e300)).samples, free)


def test_corners_may_be_tensors():
    x = torch.tensor([[0.0, 1.0]])
    found = run(flat, x, 1.0, 5, low=torch.tensor(LOW), high=torch.tensor(HIGH)).samples
    assert torch.equal(found, run(flat, x, 1.0, 5).samples)
