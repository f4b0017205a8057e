"""A short run of the search, and proof that it finds what is broken on purpose. The long run: ``make search``."""

import json
import math
import random
import warnings

import numpy as np
import pytest
import torch

from tests.truth import cases, reference, search
from toylab import densities


def test_no_counterexample_in_a_short_run():
    report = search.search(0, 200)
    found = [json.dumps(case) for family in report.found.values() for case in family]
    assert not found, "\n".join([report.table(), *found])
    assert sum(report.cases.values()) == 200 and sum(report.unknown.values()) <= 2


def test_every_density_is_searched():
    by_motion = {"Affine", "Conditioned", "Noised", "Truncated"}  # of another law
    by_function = {"FromEnergy", "FromTorch", "Density", "Example", "catalogue"}
    assert {*densities.__all__} - by_motion - by_function == reference._LAWS.keys() - {*cases.MOTIONS}


def flipped_far_out(monkeypatch):
    """The score of a circle points the wrong way from thirty radii on."""
    right = densities.Circle.score

    def wrong(self, x, sigma=0.0):
        s = right(self, x, sigma)
        away = x - x.new_tensor(self.center)
        return torch.where((torch.linalg.vector_norm(away, dim=-1) > 30 * self.radius)[..., None], -s, s)

    monkeypatch.setattr(densities.Circle, "score", wrong)


def lost_peak(monkeypatch):
    """Of two equal points the second is not seen where the first is as near."""
    right = densities.Points.log_prob

    def wrong(self, x, sigma=0.0):
        one = densities.Points(self.points[:1]).log_prob(x, sigma) - math.log(len(self.points))
        both = right(self, x, sigma)
        return torch.where(both - one < 0.7, one, both)

    monkeypatch.setattr(densities.Points, "log_prob", wrong)


def midline(monkeypatch):
    """The curvature of a square is lost at its middle, as by the derivative of an absolute value at 0."""
    right = densities.Square.divergence

    def wrong(self, x, sigma=0.0):
        on_midline = (x == 0.5 * (self.low + self.high)).any(-1)
        return right(self, x, sigma) * torch.where(on_midline, 0.5, 1.0)

    monkeypatch.setattr(densities.Square, "divergence", wrong)


def digits(monkeypatch):
    """A Laplace law whose log-density is right to eight digits only."""
    right = densities.Laplace.log_prob
    monkeypatch.setattr(densities.Laplace, "log_prob", lambda self, x, sigma=0.0: right(self, x, sigma) * (1 + 1e-8))


def neighbour(monkeypatch):
    """A point far out changes the level at which its batch is evaluated."""
    right = densities.Square.divergence

    def wrong(self, x, sigma=0.0):
        return right(self, x, sigma * (1 + 1e-6 * float(x.abs().max() > 50)))

    monkeypatch.setattr(densities.Square, "divergence", wrong)


@pytest.mark.parametrize(
    ("mutant", "family"),
    [
        (flipped_far_out, "Circle"),
        (lost_peak, "Points"),
        (midline, "Square"),
        (digits, "Laplace"),
        (neighbour, "Square"),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_mutant_is_found_within_300_cases(mutant, family, monkeypatch):
    mutant(monkeypatch)
    assert any(search.search(seed, 30, families=(family,)).found[family] for seed in range(10))


def test_an_error_and_a_nan_are_findings(monkeypatch):
    monkeypatch.setattr(densities.Square, "score", lambda self, x, sigma=0.0: x * math.nan)
    (found,) = (f for f in [search.search(0, 10, families=("Square",)).found["Square"][0]])
    assert found["wrong"]["score"] == math.inf and found["got"][1] == "nan"

    def fails(self, x, sigma=0.0):
        raise RuntimeError("no")

    monkeypatch.setattr(densities.Square, "score", fails)
    assert search.search(0, 10, families=("Square",)).found["Square"][0]["error"] == "RuntimeError: no"


def test_nan_with_a_warning_is_a_refusal_only_where_float64_cannot_know_better(monkeypatch):
    def refuses(self, x, sigma=0.0):
        warnings.warn("no", RuntimeWarning, stacklevel=2)
        return x[..., 0] * math.nan

    monkeypatch.setattr(densities.Circle, "log_prob", refuses)
    near, far = (
        search.judge(cases.Batch("", ["Circle", 1.0, [0.0, 0.0]], np.array([[r, 0.0]]), np.array([1e-3]), "float64"))[0]
        for r in (2.0, 5e3)
    )
    assert near.found and not near.refused and far.refused and not far.found


def test_a_case_can_be_written_and_built_again():
    for family in set(cases.FAMILIES) - {"from_torch"}:  # distributions of torch have no equality
        batch = cases.draw(np.random.default_rng(3), family)
        assert cases.build(json.loads(json.dumps(batch.law))) == cases.build(batch.law)


def test_a_seed_fixes_the_cases_and_leaves_the_global_streams_alone():
    before = random.getstate(), torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first, again = (cases.draw(np.random.default_rng([5, 1]), "Mixture") for _ in range(2))
    assert first.law == again.law and np.array_equal(first.x, again.x)
    assert random.getstate() == before[0] and torch.equal(torch.random.get_rng_state(), before[1])
    assert np.array_equal(np.random.get_state()[1], before[2])


def test_what_is_found_is_kept_once(tmp_path):
    report = search.Report()
    found = {"law": ["Square", -1.0, 1.0], "x": [0.0, 0.0], "sigma": 1.0, "wrong": {"div": 3.0}}
    report.found["Square"] = [found, found | {"sigma": 2.0, "wrong": {"div": math.inf}}, found | {"sigma": 3.0}]
    path = tmp_path / "kept.json"
    assert search.keep(report, path, most=2) == 2 and search.keep(report, path, most=2) == 0
    assert [case["sigma"] for case in json.loads(path.read_text())] == [2.0, 1.0]
