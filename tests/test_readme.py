"""What the README claims, checked."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


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


def python_blocks():
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_density_examples_run():
    (code,) = (code for code in python_blocks() if "from_energy" in code)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    x = torch.zeros(3, 2)
    for name in ("p", "kernel", "own"):
        assert names[name].score(x).isfinite().all()


def test_the_wrong_loss_is_named():
    (code,) = (code for code in python_blocks() if "check_objective" in code)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    assert out.getvalue().startswith("converges to -s: sign of the target")


def test_the_likelihood_is_exact_and_the_flow_is_counted():
    (code,) = (code for code in python_blocks() if "log_likelihood" in code)
    out, names = io.StringIO(), {}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(code, "README.md", "exec"), names)
    found, sde, p, x = (names[name] for name in ("found", "sde", "p", "x"))
    alpha, sigma = float(sde.alpha(sde.t_min)), float(sde.sigma(sde.t_min))
    exact = p.scaled(alpha).noised(sigma).log_prob(x)
    log_p = found.log_prob + names["prior_mismatch"](sde, p, found.end)
    assert float((log_p - exact).abs().max()) < 1e-6
    assert out.getvalue().splitlines()[-1] == "200"


def test_the_ledger_blames_the_sampler():
    """Langevin's weight is .3 short with the clean and with the noised score; the kernel's own part is small."""
    (code,) = (code for code in python_blocks() if "explain" in code)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(code, "README.md", "exec"), {})
    rows = {
        line.split()[0]: [float(cell) for cell in re.findall(r"-?\d+\.\d+", line)]
        for line in out.getvalue().splitlines()
    }
    for name in ("clean", "exact", "kernel"):
        noising, sampler, error, score, *_ = rows[name]
        assert abs(noising) < 1e-3
        assert abs(sampler + 0.3) < 5 * error + 0.02
        assert abs(score) < 0.05


def test_speed_of_mixtures_is_the_recorded_one():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "densities.json").read_text())
    numbers = recorded["log_prob and score at 100000 points"]
    round_, correlated = (numbers[name]["times_faster"] for name in ("ring, K = 8", "correlated, K = 8"))
    assert f"is {round_:.0f} times (round ones) and {correlated:.0f} times (correlated ones) as fast" in README


@pytest.mark.slow
def test_ten_lines_do_the_whole_way():
    """J below 0.005; the upper mode near 0.8: within 0.05, over 4 of its standard errors of 0.011."""
    (code,) = (code for code in python_blocks() if "annealed_langevin" in code)
    assert len(code.splitlines()) <= 12
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(code, "README.md", "exec"), {})
    divergence, weights = out.getvalue().splitlines()
    assert float(divergence) <= 0.005
    assert abs(float(re.findall(r"([\d.]+) ±", weights)[1]) - 0.8) <= 0.05


def test_how_fast_the_widgets_answer_is_the_recorded_one():
    rows = json.loads((ROOT / "benchmarks" / "results" / "widgets.json").read_text())
    kinds = [kind for name, row in rows.items() if name != "made with" for kind in row.values()]
    medians = [value for kind in kinds for value in kind.values()]
    assert f"{min(medians):.0f} to {max(medians):.0f} ms in the kernel" in " ".join(README.split())
    assert max(medians) < 100
