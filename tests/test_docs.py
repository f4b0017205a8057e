"""What the pages under docs claim, checked."""

import json
import re
from pathlib import Path

import pytest

from toylab.experiments import Result, objectives

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
