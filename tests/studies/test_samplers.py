"""The study of samplers: what is spent, what a cell computes, how means and errors are made, and what the page says."""

import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylab import metrics, study
from toylab.densities import catalogue, isotropic
from toylab.experiments.budgeted_samplers import FLOWS
from toylab.networks import scale_of
from toylab.samplers import mala
from toylab.studies import priced_samplers, samplers
from toylab.studies.priced_samplers import EVALUATIONS, N_POINTS, SAMPLERS, sde_of, setting_of
from toylab.study.plan import plan_of, seed_of

pd = pytest.importorskip("pandas")

ROOT = Path(__file__).parents[2]
SCORES = (samplers.EXACT, samplers.LEARNED)


@pytest.fixture(scope="module")
def record():
    """The table of the run that the page shows."""
    return pd.read_csv(ROOT / "benchmarks" / "results" / "study_samplers.csv")


@pytest.fixture(scope="module")
def normal():
    """The setting of a normal law with its exact score."""
    g = torch.Generator().manual_seed(0)
    return setting_of(isotropic([[1.0, -2.0]], 0.5), has_density=True, learned=False, generator=g)


class Counted:
    """A density that counts the points at which its log p is asked for."""

    def __init__(self, density):
        self.density, self.n = density, 0

    def log_prob(self, x):
        self.n += len(x)
        return self.density.log_prob(x)


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_sampler_spends_more_than_its_price_nor_much_less(name, normal):
    """Much less would be more than the five of a proposal of HMC's."""
    sampler = SAMPLERS[name]
    if sampler.is_adaptive:
        loose, tight = (sampler.run(normal, tolerance).n_evaluations for tolerance in (1e-1, 1e-5))
        assert 0 < loose < tight
        return
    for n in (16, 64):
        spent = sampler.run(normal, n).n_evaluations
        if name == "random-walk Metropolis":  # it has no score to be counted
            counted = Counted(normal.density)
            sampler.run(replace(normal, density=counted), n)
            spent = (counted.n - 20 * N_POINTS) / N_POINTS  # without the points it may start from
        assert n - 5 <= spent <= n


def test_a_setting_has_the_scale_the_fields_and_the_step_of_its_density(monkeypatch):
    """MALA accepts 0.574 of its proposals from N(m, s^2 I): within six standard errors of tuning and counting."""
    monkeypatch.setattr(priced_samplers, "N_TRAINING_STEPS", 2)
    p, t = isotropic([[1.0, -2.0]], 0.5), torch.tensor(0.3)
    exact, learned = (
        setting_of(p, has_density=True, learned=learned, generator=torch.Generator().manual_seed(0))
        for learned in (False, True)
    )
    assert (exact.middle, exact.std) == (learned.middle, learned.std)
    assert exact.std == pytest.approx(
        scale_of(p.sample((10_000,), generator=torch.Generator().manual_seed(1)))[1], rel=0.05
    )
    g = torch.Generator().manual_seed(2)
    x = p.sample((4000,), generator=g)
    chains = mala(p.log_prob, p.score, x, step_size=exact.step_size, n_steps=20, generator=g, progress=False)
    assert float(chains.acceptance.double().mean()) == pytest.approx(0.574, abs=0.02)
    assert torch.equal(exact.clean_score(x), p.score(x))
    assert torch.equal(exact.velocity(x, t), priced_samplers.PATH.velocity(p, x, t))
    with torch.no_grad():
        assert torch.equal(learned.clean_score(x), learned.score(x, sde_of(learned.std).sigma_min))
    assert (sde_of(2.0).sigma_min, sde_of(2.0).sigma_max) == (0.02, 40.0)


def test_a_setting_without_a_clean_density_has_no_step():
    p = catalogue()["points"].density
    g = torch.Generator().manual_seed(0)
    assert math.isnan(setting_of(p, has_density=False, learned=False, generator=g).step_size)


def test_chains_start_where_the_law_has_a_density():
    """Of the square [-3, 3]^2, with the variance of the start of its Gaussian within it: not one point outside."""
    p, g = catalogue()["square"].density, torch.Generator().manual_seed(0)
    setting = setting_of(p, has_density=True, learned=False, generator=g)
    x = priced_samplers._start(setting)
    assert x.shape == (N_POINTS, 2)
    assert bool((x.abs() < 3).all())


def test_a_tiny_grid_equals_direct_calls(tmp_path, monkeypatch):
    """DDIM at 16 evaluations on six points, by the exact score and a learned one: floor and distance, bit for bit."""
    monkeypatch.setattr(priced_samplers, "N_TRAINING_STEPS", 2)
    monkeypatch.setattr(samplers, "SAMPLERS", {"DDIM": replace(SAMPLERS["DDIM"], at=(16,))})
    grid = {"seed": [0, 1], "density": ["points"], "score": list(SCORES)}
    with ThreadPoolExecutor(1) as one:
        table = study.run(samplers.cell, grid, out=tmp_path, executor=one, progress=False)
    assert list(table.columns) == ["seed", "density", "score", "floor", "DDIM, 16"]
    p = catalogue()["points"].density
    plan, _ = plan_of(samplers.cell, grid)
    for row, key in zip(table.to_dict("records"), plan.keys(), strict=True):
        g = torch.Generator().manual_seed(seed_of(key))
        learned = row["score"] == samplers.LEARNED
        setting = setting_of(p, has_density=False, learned=learned, generator=g)
        truth = p.sample((N_POINTS,), generator=g)
        floor = metrics.two_sample_floor(
            p, N_POINTS, lambda x, y: metrics.wasserstein(x, y, error_bar=False), n_repetitions=4, generator=g
        )  # fmt: skip
        sde = sde_of(setting.std)
        x = sde.prior.sample((N_POINTS,), generator=g)
        found = FLOWS["DDIM"].run(sde, setting.score, x, 16, g).samples
        assert row["floor"] == floor.value
        assert row["DDIM, 16"] == metrics.wasserstein(found, truth, error_bar=False).value
    assert table["DDIM, 16"].nunique() == 4


def test_a_cloud_that_is_not_finite_is_infinitely_far():
    x = torch.zeros(20, 2)
    assert samplers.distance(x, x) == 0
    assert samplers.distance(x.index_fill(0, torch.tensor([3]), math.nan), x) == math.inf


def test_every_density_is_in_one_group():
    assert sorted(name for group in samplers.GROUPS.values() for name in group) == sorted(catalogue())
    assert set(samplers.DEAR) < set(catalogue())


def test_a_missing_number_has_its_reason():
    ddim, mala_, langevin = (SAMPLERS[name] for name in ("DDIM", "MALA", "Langevin"))
    assert samplers.why_not("circle", "exact", mala_, 16) == "no density"
    assert samplers.why_not("circle", "learned", langevin, 16) == "no density"
    assert samplers.why_not("ring", "learned", mala_, 16) == "needs log p"
    assert samplers.why_not("ring", "learned", langevin, 16) is None
    assert samplers.why_not("spiral", "exact", ddim, 256) == "dear"
    assert samplers.why_not("spiral", "exact", ddim, 64) is None
    assert samplers.why_not("spiral", "exact", SAMPLERS["flow, adaptive"], 0.1) == "dear"
    assert samplers.why_not("spiral", "learned", ddim, 256) is None
    assert samplers.why_not("banana", "exact", mala_, 256) is None  # the clean score is cheap


def table_of(distances, floors, name="DDIM, 16", densities=("circle", "points")):
    """A table with one number of each cell, the others made up."""
    rows = []
    for density in densities:
        for seed, (d, f) in enumerate(zip(distances[density], floors[density], strict=True)):
            row = {"seed": seed, "density": density, "score": "exact", "floor": f}
            for other, sampler in SAMPLERS.items():
                for price in sampler.at:
                    row |= {f"{other}, {price:g}": 1.0, f"{other}, {price:g}, spent": 90}
            rows.append({**row, name: d})
    return pd.DataFrame(rows)


def test_means_and_errors_are_those_of_the_formulas():
    """Errors through the gradient of the mean ratio, which is taken by finite differences."""
    distances = {"circle": [1.0, 1.2, 1.7], "points": [2.0, 2.6, 2.9]}
    floors = {"circle": [0.5, 0.6, 0.58], "points": [1.0, 1.1, 1.2]}
    table = table_of(distances, floors)
    found = samplers.means(samplers.entries(table), "exact", ["circle", "points"])["DDIM", 16]
    values = np.array([each[d] for d in ("circle", "points") for each in (distances, floors)])
    mean, error = values.mean(1), values.std(1, ddof=1) / math.sqrt(3)

    def mean_of_ratios(m):
        return (m[0] / m[1] + m[2] / m[3]) / 2

    slopes = [(mean_of_ratios(mean + 1e-6 * e) - mean_of_ratios(mean - 1e-6 * e)) / 2e-6 for e in np.eye(4)]
    assert found.ratio.value == pytest.approx(mean_of_ratios(mean))
    assert found.ratio.standard_error == pytest.approx(math.hypot(*(slopes * error)), rel=1e-6)
    assert (found.n_densities, found.n_diverged, found.words) == (2, 0, "")


@pytest.mark.parametrize("far", [math.inf, 1e5])
def test_a_density_on_which_a_chain_diverged_is_counted_and_not_averaged(far):
    table = table_of({"circle": [1.0, far], "points": [2.0, 2.2]}, {"circle": [1.0, 1.1], "points": [1.0, 1.1]})
    found = samplers.means(samplers.entries(table), "exact", ["circle", "points"])["DDIM", 16]
    assert found.ratio.value == pytest.approx(2.0)
    assert (found.n_densities, found.n_diverged) == (1, 1)
    assert "2.00 ± 0.13 (1 of 2, diverged on 1)" in samplers.summary(table)
    assert "| DDIM | diverged |" in samplers.by_density(table)


def test_one_seed_alone_has_no_error():
    table = table_of({"points": [2.0]}, {"points": [1.0]}, densities=["points"])
    assert "| DDIM | 2.000 ± nan |" in samplers.tables(table)


def test_the_record_has_a_number_or_a_reason_in_every_place(record):
    assert record.groupby(["density", "score"]).ngroups == 2 * len(catalogue())
    assert not record.duplicated(["seed", "density", "score"]).any()
    assert len(record) == record["seed"].nunique() * 2 * len(catalogue())
    for (density, score), rows in record.groupby(["density", "score"]):
        for name, sampler in SAMPLERS.items():
            for price in sampler.at:
                there = rows[f"{name}, {price:g}"].notna()
                assert there.all() if samplers.why_not(density, score, sampler, price) is None else not there.any()


def test_every_number_of_the_record_is_in_the_tables_with_its_error_and_floor(record):
    text = samplers.tables(record)
    for density, score in (("ring", "exact"), ("spiral", "learned")):
        rows = record.query("density == @density and score == @score")
        part = text[text.index(f"**{density}**, floor") :]
        part = part[: part.find("\n\n**")]
        floor = metrics.mean_of(record.query("density == @density")["floor"].to_numpy())
        assert part.startswith(f"**{density}**, floor {floor:.3f}:")
        for name, sampler in SAMPLERS.items():
            for price in sampler.at:
                if samplers.why_not(density, score, sampler, price) is None:
                    assert f"{metrics.mean_of(rows[f'{name}, {price:g}'].to_numpy()):.3f}" in part


def test_the_figure_draws_the_ratios_above_a_floor_in_every_panel(record):
    figure = samplers.draw(record)
    found = samplers.entries(record)
    panels = np.array(figure.axes).reshape(2, len(samplers.GROUPS))
    for row, score in zip(panels, SCORES, strict=True):
        for ax, group in zip(row, samplers.GROUPS.values(), strict=True):
            floor, *rest = ax.get_lines()
            assert set(floor.get_ydata()) == {1.0}
            means = samplers.means(found, score, group)
            drawn = {bars.get_label(): bars.lines[0] for bars in ax.containers}
            for name, line in drawn.items():
                ratios = [means[name, n].ratio.value for n in EVALUATIONS if means[name, n].n_densities]
                assert list(line.get_ydata()) == pytest.approx(ratios)
            assert len(rest) >= len(drawn) >= 5
    plt.close(figure)


def section():
    page = (ROOT / "docs" / "studies.md").read_text()
    return page[page.index("## The samplers") :]


def test_the_page_shows_the_tables_of_the_record(record):
    assert samplers.summary(record) in section()
    assert samplers.by_density(record) in section()


def test_what_the_page_says_comes_out_is_in_the_record(record):
    """Every number of the paragraph, in its order; and the sentences without one."""
    text = re.search(r"\*\*What comes out\*\*.*", section())[0]
    found = samplers.entries(record)
    exact, learned = (samplers.means(found, score, list(catalogue())) for score in SCORES)
    gaussians = samplers.means(found, "exact", samplers.GROUPS["Gaussians"])
    fm, sde, annealed = "flow matching, Heun", "reverse SDE, Euler", "annealed Langevin"
    said = [
        *((exact, name, 16) for name in (fm, sde, "DDIM", "flow, Euler")),
        *((exact, name, 64) for name in (fm, sde, "DDIM")),
        (exact, annealed, 256), (exact, annealed, 64),
        *((learned, name, 64) for name in (fm, sde, "DDIM")),
        *((gaussians, name, n) for name in ("MALA", "parallel tempering") for n in (16, 256)),
    ]  # fmt: skip
    assert re.findall(r"\d+\.\d+ ± \d+\.\d+", text) == [f"{means[name, n].ratio:.2f}" for means, name, n in said]
    assert f"diverges on {learned['Langevin', 256].n_diverged} of 13 densities" in text
    for n in EVALUATIONS:
        for density, lines in ((d, found[d, "exact"]) for d in catalogue()):
            entry = lines["Langevin", n]
            if not isinstance(entry, str):
                assert entry.diverged == (density in samplers.GROUPS["edges"])
    for means in (exact, learned):
        for name in (fm, sde, "DDIM"):  # at the floor, within what 5 seeds can tell
            assert abs(means[name, 64].ratio.value - 1) < 4 * means[name, 64].ratio.standard_error
