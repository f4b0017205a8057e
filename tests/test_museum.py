"""Each exhibit shows its symptom to the diagnostic that reveals it, and looks right to those that do not.

The losses are in tests/test_testing.py, where the bench names them.
"""

import json
import math
from pathlib import Path

import pytest
import torch

from toylab import museum
from toylab.densities import two_modes
from toylab.experiments import bugs
from toylab.metrics import mode_weights
from toylab.samplers import annealed_langevin
from toylab.schedules import geometric
from toylab.score import divergence
from toylab.testing import MIXTURE

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
    assert len(museum.EXHIBITS) == 12
    assert sum(len(museum.of_kind(kind)) for kind in ("loss", "score", "sampler")) == 12
    with pytest.raises(ValueError, match="kind is 'bug'"):
        museum.of_kind("bug")
    for exhibit in museum.EXHIBITS:
        assert callable(exhibit.run)
        assert all((exhibit.name, exhibit.seen_in, exhibit.symptom, exhibit.revealed_by, exhibit.hidden_from))
