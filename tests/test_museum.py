"""Each exhibit shows its symptom to the diagnostic that reveals it, and looks right to those that do not.

The losses are in tests/test_testing.py, where the bench names them.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from toylab import museum
from toylab.densities import isotropic, two_modes
from toylab.experiments import bugs
from toylab.metrics import mode_weights, two_sample_floor, wasserstein
from toylab.samplers import annealed_langevin, langevin
from toylab.schedules import geometric
from toylab.score import divergence
from toylab.testing import MIXTURE, Langevin, check_sampler

P, N, SIGMAS = two_modes(), 4000, geometric(20.0, 1.0, 10)


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def start():
    return 16 * torch.rand(N, 2, generator=g()) - 8


def in_the_upper_mode(x):
    """Weight, mean and variance along an axis; of some 2,000 chains the variance is known to 2.3 %."""
    upper = x[P.posterior(x).argmax(-1) == 1].double()
    return mode_weights(x, P)[1].value, float(upper.mean()), float(upper.var(0).mean())


def variance_is(value, exact, n=2000):
    assert value == pytest.approx(exact, rel=5 * math.sqrt(1 / n))  # two coordinates: 2 n numbers


def test_the_replaced_score_obeys_the_heat_equation_of_another_law():
    """So that this identity does not reveal it: it is the exact noised score of the means as point masses."""
    x, h = MIXTURE.to(torch.float64).sample((50,), generator=g()), 1e-4

    def residual(score):
        """Of the gradient of the heat equation: d s / d sigma^2 = grad (div s + |s|^2) / 2, at sigma = 0.5."""
        rate = (score(x, (0.25 + h) ** 0.5) - score(x, (0.25 - h) ** 0.5)) / (2 * h)

        def right_side(y):
            s = score(y, 0.5)
            return 0.5 * (divergence(lambda z: score(z, 0.5), y) + s.square().sum(-1))

        e = torch.eye(2, dtype=torch.float64) * 1e-4
        slope = torch.stack([(right_side(x + d) - right_side(x - d)) / 2e-4 for d in e], -1)
        return float((rate - slope).abs().max())

    assert residual(MIXTURE.score) < 1e-4
    replaced = museum.score_replacing_variances(MIXTURE)
    assert residual(replaced) < 1e-2
    assert float((replaced(x, 0.5) - MIXTURE.score(x, 0.5)).abs().max()) > 1


def test_the_replaced_score_loses_the_variance_and_not_the_weights():
    run = {"step_size": 0.1, "n_steps": 100, "progress": False}
    wrong = annealed_langevin(museum.score_replacing_variances(P), start(), SIGMAS, generator=g(1), **run).samples
    weight, _, variance = in_the_upper_mode(wrong)
    assert 0.7 < weight < 0.85
    variance_is(variance, 1 / (1 - 0.1 / 4))  # sigma^2 = 1 with Langevin's own bias; 2.03 is right
    right = annealed_langevin(P.score, start(), SIGMAS, generator=g(1), **run).samples
    variance_is(in_the_upper_mode(right)[2], 2.03)


def test_one_noise_at_every_level_empties_a_mode():
    x = museum.annealed_with_one_noise(P.score, start(), SIGMAS, step_size=0.1, n_steps=100, generator=g(1))
    weight, _, variance = in_the_upper_mode(x)
    assert weight > 0.999
    variance_is(variance, 2.03, n=N)


def test_uniform_noise_moves_the_mean_and_not_the_weights():
    x = museum.langevin_with_uniform_noise(P.score, start(), step_size=0.1, n_steps=1000, generator=g(1))
    weight, mean, variance = in_the_upper_mode(x)
    assert abs(weight - 0.5) < 0.05
    assert mean == pytest.approx(5 + math.sqrt(0.1) * 0.5 / 0.05, abs=0.05)  # drift balances the mean of the noise
    variance_is(variance, (1 / 12) / (1 - 0.1 / 4))


def test_the_missing_half_halves_the_temperature():
    x = museum.langevin_with_half_missing(P.score, start(), step_size=0.1, n_steps=1000, generator=g(1))
    weight, _, variance = in_the_upper_mode(x)
    assert abs(weight - 0.5) < 0.05
    variance_is(variance, 0.5 / (1 - 0.1 / 2))


def test_mala_of_two_kernels_is_accepted_and_wrong():
    x, acceptance = museum.mala_of_two_kernels(P.log_prob, P.score, start(), step_size=0.3, n_steps=500, generator=g(1))
    assert float(acceptance.mean()) == pytest.approx(0.97, abs=0.01)
    assert 0.48 < in_the_upper_mode(x)[2] < 0.62


def test_mala_without_a_choice_is_langevin():
    x, acceptance = museum.mala_without_a_choice(
        P.log_prob, P.score, start(), step_size=0.5, n_steps=500, generator=g(1)
    )
    assert (acceptance == 1).all()
    variance_is(in_the_upper_mode(x)[2], 1 / (1 - 0.5 / 4))


def test_the_flow_without_its_half_collapses():
    """A lone Gaussian of variance v would end at v^2 / (v + sigma_1^2), 1 / 101; beside another mode, wider."""
    levels = geometric(10.0, 0.01, 2000)
    x = museum.flow_without_the_half(P.score, 10 * torch.randn(N, 2, generator=g()), levels)
    assert in_the_upper_mode(x)[2] < 0.03


NORMAL = isotropic([[0.0, 0.0]], 1.0).to(torch.float64)
EPS = 0.8
A = 1 - EPS / 2


def moments(cumulants):
    """E x^2, x^4, x^6 and x^8 of a symmetric law with the cumulants of these orders."""
    k2, k4, k6, k8 = cumulants
    return (
        k2,
        k4 + 3 * k2**2,
        k6 + 15 * k4 * k2 + 15 * k2**3,
        k8 + 28 * k6 * k2 + 35 * k4**2 + 210 * k4 * k2**2 + 105 * k2**4,
    )


@pytest.mark.parametrize("right", [True, False])
def test_only_the_fourth_moment_tells_noise_that_was_drawn_twice(right):
    """The cumulants of z z' are (2 m - 1)!, since E exp(t z z') = (1 - t^2)^(-1/2); each step adds eps^m of them.

    Beyond six standard errors of a mean of 120,000 numbers, of which the exact law gives the size, is once in 5e8.
    """
    m = np.arange(1, 5)
    of_a_step = np.array([1.0, 0, 0, 0]) if right else np.array([math.factorial(2 * k - 1) for k in m], dtype=float)
    cumulants = EPS**m * of_a_step / (1 - A ** (2 * m))
    m2, m4, m6, m8 = moments(cumulants)
    excess = cumulants[1] / cumulants[0] ** 2
    assert m2 == pytest.approx(1 / (1 - EPS / 4))  # Langevin's own variance
    assert excess == pytest.approx(0 if right else 6 * (1 - A**2) / (1 + A**2))

    run = {"step_size": EPS, "n_steps": 20, "generator": g(1)}
    start = torch.zeros(60_000, 2, dtype=torch.float64)
    sampler = museum.langevin_with_noise_drawn_twice
    x = langevin(NORMAL.score, start, **run, progress=False).samples if right else sampler(NORMAL.score, start, **run)
    x, n = x.flatten(), x.numel()
    assert float(x.mean()) == pytest.approx(0, abs=6 * math.sqrt(m2 / n))
    assert float(x.square().mean()) == pytest.approx(m2, abs=6 * math.sqrt((m4 - m2**2) / n))
    found = float(x.pow(4).mean() / x.square().mean() ** 2) - 3
    of_ratio = (m8 - m4**2) / m2**4 + 4 * m4**2 * (m4 - m2**2) / m2**6 - 4 * m4 * (m6 - m2 * m4) / m2**5
    assert found == pytest.approx(excess, abs=6 * math.sqrt(of_ratio / n))


def test_a_distance_of_the_reference_does_not_feel_the_samples_move():
    """W2^2 of clouds grows by 2 v . (mean x - mean y) + |v|^2 if one moves by v, whose best matching stays."""
    p = P.to(torch.float64)
    x, v = 0.3 * p.sample((100,), generator=g(1)), torch.tensor([3.0, -1.0], dtype=torch.float64)

    def distance(x, y):
        return wasserstein(x, y, error_bar=False).value

    def right(x):
        return distance(x, p.sample((len(x),), generator=g(2)))

    y = p.sample((len(x),), generator=g(2))
    rise = 2 * float(v @ (x.mean(0) - y.mean(0))) + float(v @ v)
    assert right(x + v) ** 2 - right(x) ** 2 == pytest.approx(rise, rel=1e-9)
    found = [museum.distance_of_the_reference(at, p, distance, generator=g(2)) for at in (x, x + v)]
    assert found[0] == found[1]

    same = g(3)
    pair = [museum.distance_of_the_reference(x, p, distance, generator=same) for _ in range(2)]
    floor = two_sample_floor(p, len(x), distance, n_repetitions=2, generator=g(3))
    assert sum(pair) / 2 == pytest.approx(floor.value, rel=1e-12)


def mean_of_batches(w, share, n=16):
    """The integral of ``effective_fraction_in_batches``, for weights w with these shares of the draws."""

    def integrand(u):  # over u = log t
        decay = np.exp(-np.exp(u) * w**2)
        f0, f1, f2 = (share @ (w**k * decay) for k in range(3))
        return np.exp(u) * f0 ** (n - 2) * (f0 * f2 + (n - 1) * f1**2)

    u = np.linspace(-25, 200, 1801)  # periodic but for its ends, where it is 0: the trapezoid is exact to many digits
    return integrate.trapezoid([integrand(at) for at in u], u)


def test_batches_of_sixteen_hide_how_few_the_effective_ones_are():
    """Weights 1 and c, of which a share q is c: the number of c in a batch is binomial."""
    q, c = 0.02, 30.0
    k = np.arange(17)
    probability = stats.binom.pmf(k, 16, q)
    fraction = (16 - k + c * k) ** 2 / (16 * (16 - k + c**2 * k))
    mean = probability @ fraction
    assert mean == pytest.approx(mean_of_batches(np.array([1.0, c]), np.array([1 - q, q])), rel=1e-6)
    right = (1 - q + q * c) ** 2 / (1 - q + q * c**2)
    assert right < 0.2 < 0.7 < mean

    n = 20_000
    log_weights = math.log(c) * (torch.rand(16 * n, generator=g(), dtype=torch.float64) < q)
    share = log_weights.softmax(0)
    per_batch = math.sqrt(probability @ (fraction - mean) ** 2 / n)
    assert float(museum.effective_fraction_in_batches(log_weights)) == pytest.approx(mean, abs=5 * per_batch)
    assert 1 / (16 * n * float(share.square().sum())) == pytest.approx(right, rel=0.03)

    two_count = torch.zeros(160, dtype=torch.float64)
    two_count[:2] = 40.0  # in one batch
    assert float(museum.effective_fraction_in_batches(two_count)) == pytest.approx((2 / 16 + 9) / 10)
    assert float(museum.effective_fraction_in_batches(two_count[1:17])) == pytest.approx(1 / 16)


def test_the_fractions_of_its_label_are_exact():
    """Weights p of draws uniform on the square, by Gauss and Legendre: 0.075 where 0.012 is right."""
    at, w = np.polynomial.legendre.leggauss(80)
    x = torch.from_numpy(np.stack(np.meshgrid(20 * at, 20 * at), -1).reshape(-1, 2))
    share = np.outer(w, w).ravel() / 4
    p = P.to(torch.float64).log_prob(x).exp().numpy()
    right = (share @ p) ** 2 / (share @ p**2)
    assert right == pytest.approx(4 * math.pi / (1600 * (0.8**2 + 0.2**2)), rel=1e-6)  # 1 / (area * int p^2)
    (symptom,) = (e.symptom for e in museum.EXHIBITS if e.run is museum.effective_fraction_in_batches)
    assert f"{mean_of_batches(p / (share @ p), share):.3f} for draws" in symptom and f"where {right:.3f} is" in symptom


def test_runs_whose_seeds_are_a_step_apart_are_one_chain():
    x, run = P.sample((5,), generator=g()), {"step_size": 0.1}
    seeded = museum.langevin_with_seeds_a_step_apart
    first = seeded(P.score, x, n_steps=1, seed=4, **run)
    assert torch.equal(seeded(P.score, x, n_steps=10, seed=4, **run), seeded(P.score, first, n_steps=9, seed=5, **run))


@pytest.mark.parametrize("right", [True, False])
def test_their_error_bar_is_of_fewer_runs_than_it_says(right):
    """Eight runs of 10,000 chains on N(0, I): the scatter of their ends, chain by chain, against that of their mean.

    They start at zero, of which a^30 = 2e-4 is left. Each number is a mean over 20,000, to six standard errors (once in
    5e8), which of squares and products of normal numbers are at most sqrt(2 / n) of it.
    """
    eps, n_runs, x = 0.5, 8, torch.zeros(10_000, 2, dtype=torch.float64)
    a, run = 1 - eps / 2, {"step_size": eps, "n_steps": 30}
    if right:
        ends = [langevin(NORMAL.score, x, **run, generator=g(k), progress=False).samples for k in range(n_runs)]
    else:
        ends = [museum.langevin_with_seeds_a_step_apart(NORMAL.score, x, **run, seed=k) for k in range(n_runs)]
    ends = torch.stack(ends)
    variance, n, r = 1 / (1 - eps / 4), x.numel(), 0.0 if right else a
    assert ends[0].square().mean() == pytest.approx(variance, rel=6 * math.sqrt(2 / n))  # each run alone is right
    for h in (1, 2):
        correlation = float((ends[0] * ends[h]).mean()) / variance
        assert correlation == pytest.approx(r**h, abs=6 * math.sqrt(2 / n))

    c = 1 + 2 * sum((1 - h / n_runs) * r**h for h in range(1, n_runs))
    of_mean = float(ends.mean(0).square().mean())
    told = float(ends.var(0).mean()) / n_runs
    assert of_mean == pytest.approx(c / n_runs * variance, rel=6 * math.sqrt(2 / n))
    assert of_mean / told == pytest.approx(c * (n_runs - 1) / (n_runs - c), rel=12 * math.sqrt(2 / n))


def test_the_error_bar_of_many_such_runs_is_that_of_the_label():
    n, a = 10**6, 0.95
    c = 1 + 2 * sum((1 - h / n) * a**h for h in range(1, 1000))
    (symptom,) = (e.symptom for e in museum.of_kind("seeding"))
    assert f"{math.sqrt(c):.1f} at eps = 0.1" in symptom
    assert c == pytest.approx((1 + a) / (1 - a), rel=1e-4) == pytest.approx(4 / 0.1 - 1, rel=1e-4)


def test_no_check_of_a_single_run_sees_them():
    def sampler(p, x, g):
        seed = int(torch.randint(2**31, (1,), generator=g))
        return museum.langevin_with_seeds_a_step_apart(p.score, x, step_size=0.3, n_steps=3, seed=seed)

    report = check_sampler(sampler, Langevin(0.3, 3), n=20_000)
    assert report.passed, report


def test_the_symptoms_are_the_recorded_ones():
    """``toylab figures --only bugs`` at full size, as committed."""
    numbers = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / "bugs.json").read_text())
    symptoms = {exhibit.run: exhibit.symptom for exhibit in museum.EXHIBITS}
    for name, said in {
        "variances replaced": "variance of {variance:.1f} in a mode",
        "one noise for all levels": "weight {weight:.3f}",
        "rand for randn": "mean {mean:.1f} where 5 is right, variance {variance:.2f}",
        "half missing": "variance {variance:.1f} where 1",
        "MALA of two kernels": "variance {variance:.2f} where 1",
        "flow without its half": "variance {variance:.2f} where 1 is right, and weight {weight:.2f}",
    }.items():
        values = {what: row["value"] for what, row in numbers[name].items() if isinstance(row, dict)}
        assert said.format(**values) in symptoms[bugs.PANELS[name]], name


def test_every_exhibit_says_what_it_is():
    assert len(museum.EXHIBITS) == 16
    assert sum(len(museum.of_kind(kind)) for kind in ("loss", "score", "sampler", "metric", "seeding")) == 16
    with pytest.raises(ValueError, match="kind is 'bug'"):
        museum.of_kind("bug")
    for exhibit in museum.EXHIBITS:
        assert callable(exhibit.run)
        assert all((exhibit.name, exhibit.seen_in, exhibit.symptom, exhibit.revealed_by, exhibit.hidden_from))
