"""What the README claims, checked."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_it_is_short_and_has_its_two_commands():
    assert len(README.splitlines()) <= 120
    commands = re.findall(r"^make \w+", README, flags=re.MULTILINE)
    assert commands == ["make figures", "make test"]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {command.split()[1] for command in commands} < {*targets}


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_table_is_the_recorded_numbers():
    rows = {}
    for line in README.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5:
            rows[cells[0]] = cells[1:]
    for seed in (0, 1, 2):
        numbers = json.loads((ROOT / "benchmarks" / "results" / f"figures_seed_{seed}.json").read_text())
        two, reference = (numbers["estimation"][name] for name in ("two modes", "reference settings, two modes"))
        fisher = rows["half-Fisher divergence of the learned score, `two_modes`"]
        assert fisher[seed] == f"{two['fisher_divergence']:.4f}"
        assert f"{reference['fisher_divergence']:.4f}" in fisher[3]
        share = rows["its training time, as a share of the reference settings'"]
        assert share[seed] == f"1/{1 / reference['our_share_of_its_time']:.0f}"
        for name, panel in numbers["annealing"].items():
            if f"upper-mode weight, {name}" in rows:
                assert rows[f"upper-mode weight, {name}"][seed] == f"{panel['upper_mode_weight']:.3f}"
    assert sum(name.startswith("upper-mode weight") for name in rows) == 4


@pytest.mark.slow
def test_ten_lines_do_the_whole_way():
    """J below 0.005; the upper mode near 0.8: within 0.05, over 4 of its standard errors of 0.011."""
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(code.splitlines()) <= 12
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(code, "README.md", "exec"), {})
    divergence, weights = out.getvalue().splitlines()
    assert float(divergence) <= 0.005
    assert abs(float(re.findall(r"([\d.]+) ±", weights)[1]) - 0.8) <= 0.05
