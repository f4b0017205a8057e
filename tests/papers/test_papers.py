"""Published results: what they are held against is right, each runs, and the words follow the numbers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest, norm, uniform

from toylab.cli import main
from toylab.metrics import Estimate, entropy
from toylab.papers import PAPERS, eight_gaussians_to_moons, forty_modes, page, results
from toylab.papers.paper import (
    N_ERRORS,
    Line,
    differs,
    exactly,
    from_json,
    gap,
    judged,
    number,
    of_ours,
    table,
    to_json,
)

RATE = 1e-7  # of false alarms
SLOW = ("two_modes", "fractal_tree")


def test_the_forty_modes_are_the_published_ones():
    """The means that torch's global stream gives after torch.manual_seed(0); softplus(1); an entropy of 6.8595."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        means = (torch.rand(40, 2) - 0.5) * 2 * 40
    p = forty_modes.law()
    assert torch.equal(p.means.float(), means)
    assert p.covariances[0].flatten().tolist() == pytest.approx((torch.eye(2) * 1.3132616875**2).flatten().tolist())
    assert entropy(p) == pytest.approx(6.8595, abs=5e-5)


def test_the_eight_gaussians_have_the_square_root_of_the_stated_variance():
    """0.1 is passed through a square root to where a covariance is expected."""
    p = eight_gaussians_to_moons.source()
    assert p.covariances[0].flatten().tolist() == pytest.approx((torch.eye(2) * math.sqrt(0.1)).flatten().tolist())
    assert p.means.norm(dim=-1).tolist() == pytest.approx([5.0] * 8)


def moons_at(angles):
    """Where the two half circles are at these angles, in the published scale, unmoved."""
    upper = torch.stack([angles.cos(), angles.sin()], -1)
    return 3 * torch.cat([upper, torch.tensor([1.0, 0.5]) - upper]) - 1


def test_each_published_point_is_moved_by_one_number_along_both_axes():
    """Between 0 and 0.6, uniformly: by the Kolmogorov-Smirnov test of 2,000 points."""
    n = 2000
    x = eight_gaussians_to_moons.moons(n, torch.Generator().manual_seed(0), evenly=True)
    shift = x - moons_at(torch.linspace(0, math.pi, n // 2))
    assert torch.allclose(shift[:, 0], shift[:, 1], atol=1e-5)
    assert kstest(shift[:, 0].numpy(), uniform(0, 0.6).cdf).pvalue > RATE


def test_points_anywhere_on_the_moons_have_the_same_law():
    """Angles found back from what does not feel the shift, x - y = 3 (cos t - sin t), whose law is known."""
    n = 2000
    x = eight_gaussians_to_moons.moons(n, torch.Generator().manual_seed(0), evenly=False).double()
    upper, lower = ((part[:, 0] - part[:, 1]) / 3 for part in (x[: n // 2], x[n // 2 :]))
    for difference in (upper, 0.5 - lower):  # sqrt 2 cos(t + pi / 4), t + pi / 4 uniform on [pi / 4, 5 pi / 4]
        assert kstest(difference.numpy() / math.sqrt(2), law_of_the_cosine).pvalue > RATE
    assert float(x.mean()) == pytest.approx((0.8 + 0.05) / 2, abs=norm.isf(RATE / 2) * float(x.std()) / n**0.5)


def law_of_the_cosine(c):
    """P(cos u <= c) for u uniform on [pi / 4, 5 pi / 4]."""
    angle = np.arccos(np.clip(c, -1, 1))  # in [0, pi]; its mirror image 2 pi - angle counts where it is in the interval
    return (np.minimum(2 * np.pi - angle, 1.25 * np.pi) - np.maximum(angle, np.pi / 4)) / np.pi


@pytest.mark.filterwarnings("ignore:the irreducible loss is taken")  # said where it takes long
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if name in SLOW else ()) for name in PAPERS]
)
def test_every_paper_runs_and_says_something(name, capsys):
    found = results([name], share=0.003, progress=False)
    lines = [from_json(line) for line in json.loads(json.dumps(found[name]["lines"]))]
    assert [to_json(line) for line in lines] == found[name]["lines"]
    assert lines and found[name]["made with"]["share"] == 0.003
    for line in lines:
        assert math.isfinite(line.ours.value) and line.ours.standard_error > 0 and math.isfinite(line.truth.value)
        assert (line.truth.standard_error > 0) <= line.is_floor
        assert line.verdict in page(found) and "|" not in "".join((line.what, line.published, line.verdict))
    assert capsys.readouterr() == ("", "")


def test_the_variances_of_guidance_are_the_derived_ones():
    """As many points as the page takes, held to the exact law of a variance: 40,000 squares, at 1e-7."""
    flow, sde = PAPERS["classifier_free_guidance"].run(progress=False)
    assert (flow.truth.value, sde.truth.value) == pytest.approx((0.25, 0.3875))
    for line in (flow, sde):
        low, high = (chi2.ppf(q, 40_000) / 40_000 for q in (RATE / 2, 1 - RATE / 2))
        assert low - 0.01 < line.ours.value / line.truth.value < high + 0.01  # 400 steps are off by less than a percent


def test_the_page_is_the_recorded_one():
    """In full; where a truth is exact, and no network has to learn it, ours is it."""
    root = Path(__file__).parents[2]
    found = json.loads((root / "benchmarks" / "results" / "papers.json").read_text())
    assert page(found) in (root / "docs" / "papers.md").read_text()
    assert list(found) == list(PAPERS) and all(of_one["made with"]["share"] == 1 for of_one in found.values())
    for name in ("half_normal", "classifier_free_guidance", "forty_modes"):
        assert all(not differs(line.ours, line.truth) for line in map(from_json, found[name]["lines"]))
    for name, of_one in found.items():
        for line in map(from_json, of_one["lines"]):
            assert gap(line.ours, line.truth) > -N_ERRORS or not line.is_floor, name  # nothing is below its floor


def test_the_fits_of_the_half_normal_law_have_the_derived_variances():
    """20,000 of them, at six standard errors; a variance at n = 1,000 is nearer than one of these to its limit."""
    for line, limit in zip(PAPERS["half_normal"].run(progress=False), (14 / 3, 2.0), strict=True):
        assert line.truth.value == pytest.approx(limit)
        assert abs(gap(line.ours, line.truth)) < 6


def test_what_is_called_a_squared_distance_is_one(monkeypatch):
    """Of clouds that are matched at a distance of 3 the floor is 9."""
    constant = lambda x, y, error_bar: Estimate(3.0, 0.0)  # noqa: E731
    monkeypatch.setattr(eight_gaussians_to_moons.metrics, "wasserstein", constant)
    for line in PAPERS["eight_gaussians_to_moons"].run(share=0.003, progress=False):
        assert (line.ours.value, line.truth.value) == (9.0, 9.0)


def test_words_follow_numbers():
    truth = exactly(2.0)
    assert [judged(Estimate(value, 0.1), truth) for value in (2.3, 2.5)] == ["right", "wrong"]
    assert of_ours(Estimate(2.3, 0.1), truth) == "ours agrees with it"
    assert of_ours(Estimate(2.5, 0.1), truth) == "ours is 5 error bars from it"
    assert gap(Estimate(1.0, 0.3), Estimate(2.0, 0.4)) == pytest.approx(-2.0)
    assert gap(truth, truth) == 0 and gap(exactly(3.0), truth) == math.inf and gap(truth, exactly(3.0)) == -math.inf
    assert [number(e) for e in (truth, Estimate(4.469, 0.2021), Estimate(123.4, 25.0), Estimate(0.5, 0.0004))] == [
        "2.0000", "4.47 ± 0.20", "123 ± 25", "0.50000 ± 0.00040",
    ]  # fmt: skip
    line = Line("W₂", "from 7.4 up", Estimate(4.7, 0.2), Estimate(3.8, 0.2), True, "near")
    assert table([line]).splitlines()[2] == "| W₂ | from 7.4 up | 4.70 ± 0.20 | 3.80 ± 0.20 (floor) | near |"


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    assert main(["papers", "--only", "half_normal", "--out", str(tmp_path), "--seed", "3"]) == 0
    found = json.loads((tmp_path / "papers.json").read_text())
    assert (tmp_path / "papers.md").read_text() == page(found) == capsys.readouterr().out
    assert found["half_normal"]["made with"]["seed"] == 3
    assert main(["papers", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PAPERS)


def test_an_unknown_paper_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["papers", "--only", "five_modes"])
    assert "give one of two_modes, half_normal" in capsys.readouterr().err
