"""The study of objectives: its cells are plain calls, what it measures is right, and its page is the recorded one."""

import math
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy.stats import norm
from torch.nn import functional

from toylab import study
from toylab.cli import main
from toylab.densities import Checkerboard, Square, catalogue
from toylab.densities.quadrature import fisher_information
from toylab.metrics import fisher_divergence
from toylab.networks import ScoreMLP
from toylab.objectives import ClassConditional, Denoising, NoiseConditional
from toylab.schedules import geometric
from toylab.studies import STUDIES, objectives
from toylab.studies.objectives import BIASED, CLEAN, N_NETWORKS, OBJECTIVES, SIGMA, Recipe
from toylab.study.plan import plan_of, seed_of
from toylab.training import fit

ROOT = Path(__file__).parents[2]
RATE = 1e-7  # of false alarms
DENSITIES = {name: example.density for name, example in catalogue().items()}
WALLS = ("square", "checkerboard")
SHARES = [f"share_{k}" for k in range(N_NETWORKS)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(objectives, "BATCH_SIZE", 16)
    monkeypatch.setattr(objectives, "_N_DATA", 30)
    monkeypatch.setattr(objectives, "_N_POINTS", 40)


def test_a_tiny_grid_of_it_is_a_few_direct_calls(tmp_path, small):
    """The same to the bit as fit and fisher_divergence, called here; in words where there is nothing to call."""
    grid = {"objective": ["denoising", "implicit, bounded"], "density": {"ring": DENSITIES["ring"]}, "n_steps": [2]}
    with ThreadPoolExecutor(1) as threads:
        table = study.run(objectives.cell, grid, out=tmp_path, executor=threads, progress=False)
    plan, _ = plan_of(objectives.cell, grid)
    generator, p = seeded(seed_of(next(iter(plan.keys())))), DENSITIES["ring"]
    networks = fit(
        ScoreMLP(64, activation=functional.silu, generator=generator), Denoising(0.1), p, n_steps=2, batch_size=16,
        learning_rate=0.01, n_seeds=5, generator=generator, progress=False,
    ).networks  # fmt: skip
    expected = [fisher_divergence(network, p, 0.1) / (0.5 * fisher_information(p, 0.1)) for network in networks]
    assert table.loc[0, SHARES].tolist() == expected and table.loc[0, "sigma"] == 0.1
    assert table.loc[1, SHARES].isna().all() and table.loc[1, "words"] == "no walls"
    assert table["objective"].tolist() == grid["objective"]


@pytest.mark.parametrize("name", ["ring", "laplace", "square", "circle"])
@pytest.mark.parametrize("sigma", [0.0, SIGMA])
def test_the_truth_has_nothing_left_to_learn_and_the_trivial_field_all(name, sigma, small):
    p = DENSITIES[name]
    if sigma == 0 and name == "circle":
        assert not objectives._has_score(p)
        return
    made = Recipe(Denoising(SIGMA), ScoreMLP(), sigma)
    share = [objectives._share(made, field, p, seeded()) for field in (lambda x: p.score(x, sigma), torch.zeros_like)]
    assert share == pytest.approx([0.0, 0.0 if (name, sigma) == ("square", 0.0) else 1.0], abs=1e-6)


def test_points_tell_what_a_grid_tells(monkeypatch):
    """Of a field that is wrong by 20 %: 0.04 for any law; and by a constant, against quadrature, at 1e-7.

    The noise is as wide as the modes, so that points without it would tell something else.
    """
    p, made = DENSITIES["ring"].scaled(0.3), Recipe(Denoising(SIGMA), ScoreMLP(), SIGMA)
    off = torch.tensor([0.3, -0.4])
    exact = objectives._share(made, lambda x: p.score(x, SIGMA) + off, p, seeded())
    assert exact == pytest.approx(0.25 / fisher_information(p, SIGMA), rel=1e-5)
    monkeypatch.setattr(objectives, "_MOST_NODES", 0)
    assert objectives._share(made, lambda x: 0.8 * p.score(x, SIGMA), p, seeded()) == pytest.approx(0.04, rel=1e-4)
    squares = p.score(p.noised(SIGMA).sample((100_000,), generator=seeded(1)), SIGMA).square().sum(-1)
    error = float(squares.std() / squares.mean()) / objectives._N_POINTS**0.5
    found = objectives._share(made, lambda x: p.score(x, SIGMA) + off, p, seeded())
    assert found / exact == pytest.approx(1.0, abs=norm.isf(RATE / 2) * error)
    assert found != exact


def test_of_classes_each_score_counts(small):
    """The scores of the classes themselves leave nothing, that of all of them something, and 0 everything."""
    p = DENSITIES["correlated"]
    made = Recipe(ClassConditional(NoiseConditional(geometric(1.0, SIGMA, 3)), p), ScoreMLP(), SIGMA)

    def of_class(x, sigma, label):
        both = torch.stack([p.given_class(k).score(x, sigma) for k in range(3)])
        return both.gather(0, label[None, :, None].expand(1, -1, 2))[0]

    fields = of_class, lambda x, sigma, _: p.score(x, sigma), lambda x, *_: 0 * x
    truth, of_all, none = (objectives._share_of_network(made, field, p, seeded()) for field in fields)
    assert truth == pytest.approx(0.0, abs=1e-9) and none == pytest.approx(1.0)
    assert 0.001 < of_all < 1


def test_what_does_not_apply_is_said():
    quick = ("explicit", "implicit, bounded", "sliced", "contrastive divergence", "denoising", "class-conditional")
    said = {
        (objective, name): made if isinstance(made, str) else made.words
        for objective in quick
        for name, p in DENSITIES.items()
        for made in [OBJECTIVES[objective](p, seeded())]
    }
    without_score = {name for name, example in catalogue().items() if example.least_sigma > 0}
    walls = {name for name, p in DENSITIES.items() if isinstance(p, Square | Checkerboard)}
    assert {name for name in DENSITIES if said["explicit", name]} == without_score
    assert {name for name in DENSITIES if said["contrastive divergence", name]} == without_score
    assert {name for name in DENSITIES if not said["implicit, bounded", name]} == walls
    assert {name for name in DENSITIES if said["sliced", name] == BIASED} == walls
    assert {name for name in DENSITIES if said["sliced", name] == "no score"} == without_score
    assert not any(said["denoising", name] for name in DENSITIES)
    assert {name for name in DENSITIES if not said["class-conditional", name]} == {
        "two_modes", "correlated", "ring", "grid", "spiral_of_gaussians", "fractal_tree", "pinwheel", "points",
    }  # fmt: skip
    assert OBJECTIVES["maximum likelihood"](DENSITIES["student_t"], seeded()) == "no box"
    assert OBJECTIVES["noise-conditional explicit"](DENSITIES["two_moons"], seeded()) == "too slow"


@pytest.mark.nightly
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_on_laws_of_every_kind(objective, small):
    for name in ("ring", "square", "banana", "points"):
        found = objectives.cell(objective, DENSITIES[name], 1, seeded())
        assert all(math.isfinite(found[share]) for share in SHARES if share in found)
        assert found["words"] or len(found) >= N_NETWORKS + 2
        assert (found.get("sigma", 0.0) == 0.0) or objective not in CLEAN


def test_a_training_that_diverges_is_said(monkeypatch, small):
    """Of a loss that is infinite from its tenth call on."""
    calls = iter(range(100))
    made = Recipe(lambda score, x, *, generator=None: score(x).sum(-1) / (next(calls) < 9), ScoreMLP(), SIGMA)
    monkeypatch.setitem(OBJECTIVES, "infinite", lambda *_: made)
    assert objectives.cell("infinite", DENSITIES["ring"], 50, seeded()) == {"sigma": SIGMA, "words": "diverged"}


def table_of(*rows):
    """A table of shares, one per network, of (objective, density, mean, words, floor)."""
    spread = [-2, -1, 0, 1, 2]
    return pd.DataFrame(
        {
            "objective": objective, "density": density, "n_steps": 1, "words": words,
            **{share: mean * (1 + 0.1 * e) for share, e in zip(SHARES, spread, strict=True)}, "floor": floor,
        }
        for objective, density, mean, words, floor in rows
    )  # fmt: skip


def test_the_table_in_words():
    """The standard error of 1 + 0.1 (-2 .. 2) is 0.1 sqrt(10 / 4 / 5) = 0.0707."""
    table = table_of(
        ("sliced", "ring", 0.2, "", math.nan), ("sliced", "circle", math.nan, "no score", math.nan),
        ("implicit", "ring", 5.0, BIASED, 0.1234), ("implicit", "circle", 0.002, None, math.nan),
        ("denoising", "ring", 9e-6, BIASED, math.nan), ("denoising", "circle", 1.1e-5, "", math.nan),
    )  # fmt: skip
    assert objectives.tables(table).splitlines() == [
        "| % | ring | circle |", "|---|---|---|", "| sliced | 20 ± 1 | no score |",
        "| implicit | 500 ± 35 (biased) | 0.20 ± 0.01 |", "| *its minimiser* | 12 |  |",
        "| denoising | <0.001 (biased) | 0.00110 ± 0.00008 |",
    ]  # fmt: skip


def test_the_figure_says_the_same():
    table = table_of(
        ("sliced", "ring", 0.2, "", math.nan), ("sliced", "circle", math.nan, "no score", math.nan),
        ("denoising", "ring", 123.4, BIASED, math.nan), ("denoising", "circle", 0.0021, "", math.nan),
    )  # fmt: skip
    figure = objectives.draw(table)
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["20", "no\nscore", "1e4*", "0.21"]
    assert ax.images[0].get_array().filled(-1).ravel().tolist() == pytest.approx([20, -1, 12340, 0.21])
    assert [line.get_ydata()[0] for line in ax.lines] == [0.5]  # between what is clean and what is noised


def test_the_command_runs_it_by_its_name_and_writes_the_page(tmp_path, monkeypatch, capsys, small):
    one = {"objective": ["denoising"], "density": {"points": DENSITIES["points"]}, "n_steps": [1]}
    monkeypatch.setitem(vars(STUDIES["objectives"]), "grid", one)
    monkeypatch.setattr(sys.modules[study.run.__module__], "Processes", ThreadPoolExecutor)  # which start at once
    monkeypatch.chdir(tmp_path)
    assert main(["study", "objectives", "--out", "out"]) == 0
    written = [Path("out") / name for name in ("table.parquet", "table.md", "figure.png")]
    assert capsys.readouterr().out.split() == [*map(str, written)]
    assert written[1].read_text() == objectives.tables(pd.read_parquet(written[0])) + "\n"
    assert written[2].read_bytes().startswith(b"\x89PNG")
    Path("objectives").write_text("def cell(k, generator): return {'x': k}\ngrid = {'k': [1]}\n")
    assert main(["study", "objectives", "--out", "own"]) == 2  # the file, which is not called .py


def test_every_study_is_named_by_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["study", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in STUDIES)


def recorded():
    return pd.read_csv(ROOT / "benchmarks" / "results" / "study_objectives.csv")


def said(table):
    """What the page says of the table, sentence by sentence, with its numbers."""
    cells = objectives._cells(table)
    smooth = [name for name, example in catalogue().items() if example.least_sigma == 0 and name not in WALLS]

    def median(objective, names=tuple(DENSITIES)):
        shares = [cells[objective, name].share for name in names]
        return f"{100 * statistics.median(share.mean for share in shares if share is not None):.1f} %"

    def share(objective, name):
        return f"{objectives._short(100 * cells[objective, name].share.mean)} %"

    trained = {key: one.share.mean for key, one in cells.items() if one.share is not None}
    trivial = sum(mean >= 1 for mean in trained.values())
    hardest = max(DENSITIES, key=lambda name: min(mean for (_, density), mean in trained.items() if density == name))
    least = min(mean for (_, density), mean in trained.items() if density == hardest)
    return [
        f"Of {len(cells)} combinations {len(trained)} have a number, and {trivial} of these are no better than s = 0.",
        f"On the {len(smooth)} densities with a score and without walls, explicit matching leaves "
        f"{median('explicit', smooth)} (the median over them), implicit {median('implicit', smooth)}, sliced "
        f"{median('sliced', smooth)}, and {median('sliced, plain', smooth)} without variance reduction; contrastive "
        f"divergence {median('contrastive divergence', smooth)}, persistent chains "
        f"{median('persistent chains', smooth)} and noise-contrastive estimation "
        f"{median('noise-contrastive', smooth)}.",
        f"Under noise of 0.1, on all {len(DENSITIES)}, denoising leaves {median('denoising')}, and "
        f"{median('denoising, antithetic')} or {median('denoising, control variate')} when its noise is cancelled; "
        f"noise prediction {median('noise prediction')}, a noise-conditional network {median('noise-conditional')}, "
        f"its energy {median('noise-conditional energy')}, and flow matching {median('flow matching')}.",
        f"Between the walls of the square implicit matching is wrong by {share('implicit', 'square')}, and with a "
        f"weight that vanishes there by {share('implicit, bounded', 'square')}.",
        f"On the concentric circles the noise-conditional energy leaves "
        f"{share('noise-conditional energy', 'concentric_circles')}, and the network of scores "
        f"{share('noise-conditional', 'concentric_circles')}.",
        f"The hardest density is the {hardest.replace('_', ' ')}: no objective gets below {100 * least:.1f} %.",
    ]


def test_the_page_is_the_recorded_one():
    table, page = recorded(), (ROOT / "docs" / "studies.md").read_text()
    assert objectives.tables(table) in page
    assert " ".join(said(table)) in page
    pairs = [*product(objectives.grid["objective"], objectives.grid["density"])]
    assert [*zip(table["objective"], table["density"], strict=True)] == pairs and {*table["n_steps"]} == {1000}
    assert all(one.share is not None or one.words for one in objectives._cells(table).values())
