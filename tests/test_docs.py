"""What the pages under docs claim, checked."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import speed
from toylab import museum
from toylab.densities import two_modes
from toylab.experiments import Result, blame, objectives, reference, samplers
from toylab.experiments.budgeted_samplers import FLOWS, NOISY
from toylab.experiments.setting import BOX
from toylab.metrics import annealed_langevin_law

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_table_of_objectives_is_the_recorded_one():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "objectives.json").read_text())
    page = (ROOT / "docs" / "objectives.md").read_text()
    assert objectives.table(Result("objectives", recorded, {})).strip() in page


def test_the_numbers_of_the_known_failures_are_the_recorded_ones():
    numbers = json.loads((ROOT / "benchmarks" / "results" / "failures.json").read_text())
    page = (ROOT / "docs" / "objectives.md").read_text()
    rows = [numbers["curve"]["loss at the end"], *numbers["100 points"].values()]
    for name in ("kinks", "small sigma", "ring without modes"):
        rows += numbers[name].values()
    for row in rows:
        assert f"{row['mean']:.2g} ± {row['std']:.1g}" in page


def test_the_cost_of_several_seeds_is_the_recorded_one():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "seeds.json").read_text())
    page = (ROOT / "docs" / "objectives.md").read_text()
    for name in ("explicit", "denoising", "sliced", "implicit"):
        cells = " | ".join(f"{row['ratio']:.1f}" for row in recorded[name].values())
        one_more = recorded[name]["batch 256, width 128"]["one_more"]
        assert f"| {name} | {cells} | {one_more:.2f} |" in page
    assert all(recorded[name]["batch 64, width 64"]["ratio"] < 3 for name in recorded if name != "made with")


def test_the_noise_of_gradients_is_the_recorded_one():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "gradients.json").read_text())
    page = (ROOT / "docs" / "objectives.md").read_text()
    for name, row in recorded.items():
        if name != "made with":
            cells = [row[f"variance at sigma = {sigma:g}"] for sigma in (0.05, 0.2, 1.0, 3.0)]
            said = " | ".join(f"{cell['mean']:.2g} ± {cell['std']:.1g}" for cell in cells)
            assert f"| {name} | {row['milliseconds']:.1f} | {said} |" in page


def recorded(name: str) -> dict:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


SAMPLERS_PAGE = (ROOT / "docs" / "samplers.md").read_text()


def test_the_reference_experiment_is_the_recorded_one():
    for name in (reference.PLAIN, reference.REPLACED, reference.CORRECT):
        row = recorded("reference")[name]
        weight, variance, law = row["upper_mode_weight"], row["variance_in_the_upper_mode"], row["law"]
        theirs = " ".join(f"{value:.3f}" for value in reference.MEASURED.get(name, ())) or "–"
        assert (
            f"| {name} | {weight['mean']:.3f} ± {weight['std']:.3f} | {law['upper_mode_weight']:.3f} | {theirs} | "
            f"{variance['mean']:.2f} ± {variance['std']:.2f} | {law['variance_in_the_upper_mode']:.2f} |"
        ) in SAMPLERS_PAGE


def test_the_weights_are_settled_below_the_level_that_is_said():
    settings = {"step_size": 0.1, "n_steps": 100, "extent": BOX}
    law = annealed_langevin_law(two_modes(), reference.SIGMAS, **settings)
    (level,) = [k for k, sigma in enumerate(law.sigmas.tolist()) if f"{sigma:.1f}" == "2.7"]
    assert float((law.mode_weights[level:, 1] - law.mode_weights[-1, 1]).abs().max()) < 0.005
    assert abs(float(law.mode_weights[level - 1, 1] - law.mode_weights[-1, 1])) > 0.005


def test_the_ledger_of_errors_is_the_recorded_one():
    for panel, numbers in recorded("blame").items():
        if panel == "made with":
            continue
        sampler, quantity = panel.split(", ")
        for name, account in numbers["terms"].items():
            parts = [account[part] for part in ("discretisation", "estimation", "total")]
            cells = " | ".join(f"{part['value']:+.3f} ± {part['standard_error']:.3f}" for part in parts)
            label = f"| {blame.SAMPLERS[sampler]} | {blame.QUANTITIES[quantity]} | {name} |"
            assert f"{label} {abs(account['noising']):+.3f} | {cells} |" in SAMPLERS_PAGE


def test_every_exhibit_of_the_museum_is_listed():
    for e in museum.EXHIBITS:
        row = f"| {e.name} | {e.kind} | {e.seen_in} | {e.symptom} | {e.revealed_by} | {e.hidden_from} |"
        assert row in SAMPLERS_PAGE


def test_the_memory_of_a_large_run_is_the_recorded_one():
    memory = recorded("memory")
    said = f"{memory['chains']:,} chains of `mala` on `ring` for {memory['steps']:,} steps peak at"
    assert f"{said} {memory['peak_gb']:.2f} GB" in SAMPLERS_PAGE


DIFFUSION_PAGE = (ROOT / "docs" / "diffusion.md").read_text()


def test_speed_and_quality_are_the_recorded_ones():
    numbers = recorded("samplers")
    for label in (*FLOWS, *NOISY):
        cells = []
        for law in samplers.DENSITIES:
            for budget in (24, 192):
                within = [row for row in numbers[law][label] if row["evaluations"] <= budget]
                best = max(within, key=lambda row: row["evaluations"])
                cells.append(f"{best['mean']:.3f} ± {best['std']:.3f}")
        assert f"| {label} | {' | '.join(cells)} |" in DIFFUSION_PAGE
    floors = [numbers[law]["floor"] for law in samplers.DENSITIES]
    cells = " | ".join(f"– | {floor['mean']:.3f} ± {floor['std']:.3f}" for floor in floors)
    assert f"| two fresh samples | {cells} |" in DIFFUSION_PAGE
    assert f"distance to {numbers['points']:,} fresh samples" in DIFFUSION_PAGE


def test_likelihoods_are_the_recorded_ones():
    for law, row in recorded("likelihood").items():
        if law == "made with":
            continue
        kl = row["kl"]
        assert (
            f"| {law} | {kl['mean']:.3f} ± {kl['std']:.3f} (± {kl['standard_error']:.3f} of the points) | "
            f"{row['prior_mismatch']['mean']:.4f} | {row['solver_error']:.1e} | {row['evaluations']} |"
        ) in DIFFUSION_PAGE
        assert row["solver_error"] < 1e-2


def test_the_ends_of_the_flows_are_the_recorded_ones():
    numbers = recorded("diffusion")
    apart, empirical = numbers["learned"]["distance_to_the_exact_flow"], numbers["empirical"]
    assert f"flow of {numbers['data']} points ends {empirical['distance_to_the_data']:.2g} from" in DIFFUSION_PAGE
    assert f"ends {apart['mean']:.2g} ± {apart['std']:.1g} from where the exact one does" in DIFFUSION_PAGE
    assert f"that of the points {empirical['distance_to_the_exact_flow']:.2g}." in DIFFUSION_PAGE
    assert apart["mean"] < empirical["distance_to_the_exact_flow"]


def test_the_anatomy_is_the_recorded_one():
    numbers = recorded("anatomy")
    for sigma, row in numbers["residual"].items():
        cells = " | ".join(f"{row[key]['mean']:.2g} ± {row[key]['std']:.1g}" for key in ("learned", "error"))
        assert f"| {sigma} | {cells} | {row['exact']:.0e} |" in DIFFUSION_PAGE
        assert 1 / 6 < row["learned"]["mean"] / row["error"]["mean"] < 6
    free, energy = numbers["free network"]["curl"], numbers["energy network"]["curl"]
    free_divergence, divergence = (numbers[f"{kind} network"]["fisher_divergence"] for kind in ("free", "energy"))
    assert divergence["mean"] < free_divergence["mean"] + free_divergence["std"]
    assert f"free {free['mean']:.2g} ± {free['std']:.1g}, energy {energy['mean']:.0e};" in DIFFUSION_PAGE


def test_speed_is_the_recorded_one():
    found = speed.Speed.from_json(recorded("speed"))
    assert speed.tables(found) in (ROOT / "docs" / "speed.md").read_text()
    assert found.made["share"] == 1
    assert found.sweeps and len(found.rows) > 20 and not any(row.skipped for row in found.rows if "GPU" not in row.work)
