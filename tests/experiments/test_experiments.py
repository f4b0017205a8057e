"""The reference figures: small runs are drawn, and the recorded full runs keep what the README says of them."""

import json
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylab.densities import catalogue
from toylab.experiments import (
    Result,
    anatomy,
    annealing,
    blame,
    bugs,
    diffusion,
    estimation,
    failures,
    fields,
    gallery,
    gradients,
    likelihood,
    objectives,
    reference,
    samplers,
)
from toylab.metrics import grid_points

RECORDED = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def small() -> dict[str, Result]:
    """Each experiment at a size that takes seconds."""
    return {
        "gallery": gallery.run(n_pixels=20),
        "fields": fields.run(),
        "estimation": estimation.run(progress=False, n_steps=60, n_reference_steps=60),
        "annealing": annealing.run(
            progress=False, n_chains=100, n_repeats=2, n_training_steps=50, n_steps=50, n_steps_a_level=5
        ),
        "blame": blame.run(progress=False, n_chains=100, n_points=20, n_training_steps=20, n_steps=40, n_networks=2),
        "bugs": bugs.run(progress=False, n_chains=200, n_steps=50),
        "reference": reference.run(progress=False, n_seeds=2, n_chains=100),
        "samplers": samplers.run(
            progress=False, n_points=60, n_networks=2, n_training_steps=20, budgets=(48,), only=("two modes", "ring")
        ),
        "likelihood": likelihood.run(
            progress=False, n_cells=8, n_points=20, n_networks=2, n_training_steps=20, rtol=1e-4
        ),
        "diffusion": diffusion.run(
            progress=False, n_paths=9, n_training_steps=20, n_networks=2, times=(1.0, 0.3, 0.1, 0.01)
        ),
        "anatomy": anatomy.run(progress=False, n_training_steps=20, n_networks=2, n_points=50),
        "failures": failures.run(progress=False, n_seeds=2, share=0.01),
        "gradients": gradients.run(progress=False, n_seeds=2, n_batches=3),
        "objectives": objectives.run(progress=False, n_seeds=2, share=0.004, only=("two_modes",)),
    }


def texts(figure: plt.Figure) -> str:
    """Everything that is written in a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@pytest.mark.parametrize(
    "recipe",
    [
        gallery,
        fields,
        estimation,
        annealing,
        blame,
        bugs,
        reference,
        samplers,
        likelihood,
        diffusion,
        anatomy,
        failures,
        gradients,
        objectives,
    ],
    ids=lambda module: module.__name__.split(".")[-1],
)
def test_drawn_again_from_disk_without_computing(recipe, small, tmp_path):
    result = small[recipe.__name__.split(".")[-1]]
    result.save(tmp_path)
    again = Result.load(tmp_path, result.name)
    assert again.numbers == json.loads(json.dumps(result.numbers))
    assert all(np.array_equal(again.arrays[key], result.arrays[key], equal_nan=True) for key in result.arrays)
    figure = recipe.draw(again)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 100  # not blank
    figure.savefig(tmp_path / "figure.svg")


def test_gallery_shows_every_density_at_every_level(small):
    """Under each panel stands the size of its longest arrow, which the exact score has somewhere on the grid."""
    result = small["gallery"]
    assert list(result.numbers) == list(catalogue())
    written = texts(gallery.draw(result))
    x = grid_points((-5.0, 5.0, -5.0, 5.0), 15, dtype=torch.float64)
    for name, example in catalogue().items():
        assert name.replace("_", " ") in written
        for sigma in gallery.SIGMAS:
            if sigma < example.least_sigma:
                assert f"{name}/points" in result.arrays
                continue
            longest = result.numbers[name]["longest_arrow"][str(sigma)]
            label = "clean" if sigma == 0 else f"σ = {sigma:g}"
            assert f"{label}: |s| to {longest:.3g}" in written
            sizes = example.density.score(x, sigma).norm(dim=-1)
            assert longest == 0 or float((sizes / longest - 1).abs().nan_to_num(1.0).min()) < 1e-9


def test_fields_states_the_scale_of_its_arrows(small):
    numbers = small["fields"].numbers
    written = texts(fields.draw(small["fields"]))
    assert len(numbers) >= 4
    for panel in numbers.values():
        assert f"|s| = {panel['longest_arrow']:.1f}" in written
    # closed forms: two unit Gaussians far apart have 1/2 I = 1 up to e^-25; the banana's E|s|^2 by hand
    assert numbers["two modes"]["half_fisher_information"] == pytest.approx(1.0, abs=1e-9)
    scale, width, bend = 2.0, 0.8, 0.25
    banana = 0.5 * (1 / scale**2 + (1 + (2 * bend * scale) ** 2) / width**2)
    assert numbers["banana"]["half_fisher_information"] == pytest.approx(banana, rel=1e-9)


def test_estimation_writes_its_numbers_in_the_panels(small):
    written = texts(estimation.draw(small["estimation"]))
    for name in estimation.targets():
        panel = small["estimation"].numbers[name]
        assert f"Fisher divergence: {panel['fisher_divergence']:.4f}" in written
        assert f"{panel['fisher_divergence_where_95_percent_of_the_mass_is']:.4f}" in written
        assert f"{panel['fisher_divergence_on_the_rest_of_the_square']:.4f}" in written


def test_estimation_arrows_share_one_scale_down_each_column(small):
    figure = estimation.draw(small["estimation"])
    quivers = [ax.findobj(matplotlib.quiver.Quiver) for ax in figure.axes]
    scales = [found[0].scale for found in quivers if found]
    assert len(scales) == 9
    for column in range(3):
        assert len({scales[3 * row + column] for row in range(3)}) == 1


def test_annealing_writes_both_weights_with_their_error(small):
    written = texts(annealing.draw(small["annealing"]))
    for name in annealing.PANELS:
        panel = small["annealing"].numbers[name]
        for mode in ("lower", "upper"):
            assert f"{panel[f'{mode}_mode_weight']:.3f} ± {panel['standard_error']:.3f}" in written
        assert panel["upper_mode_weight"] == pytest.approx(np.mean(panel["upper_mode_weight_by_repeat"]))
        assert panel["lower_mode_weight"] + panel["upper_mode_weight"] == pytest.approx(1)


def test_annealing_histograms_are_densities_on_the_density_s_own_scale(small):
    cell = (16 / 48) ** 2
    for name in annealing.PANELS:
        mass = small["annealing"].arrays[name].sum() * cell
        assert 0.5 < mass <= 1 + 1e-12
    figure = annealing.draw(small["annealing"])
    scales = [image.get_clim() for image in figure.findobj(matplotlib.image.AxesImage)]
    assert len(scales) == 5
    assert len(set(scales)) == 1


def test_same_seed_same_numbers_and_the_global_stream_untouched():
    def run(seed: int) -> dict:
        result = annealing.run(
            seed=seed, progress=False, n_chains=50, n_repeats=1, n_training_steps=5, n_steps=5, n_steps_a_level=1
        )
        return {name: result.arrays[name] for name in annealing.PANELS}

    before = torch.random.get_rng_state()
    first, again, other = run(4), run(4), run(5)
    assert torch.equal(before, torch.random.get_rng_state())
    for name in annealing.PANELS:
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_trained_numbers_are_drawn_with_their_spread(small):
    over = small["estimation"].numbers["banana"]["fisher_divergence_over_seeds"]
    assert len(over["values"]) == 3
    assert over["mean"] == pytest.approx(np.mean(over["values"]))
    assert over["std"] == pytest.approx(np.std(over["values"], ddof=1))
    assert over["values"][0] == small["estimation"].numbers["banana"]["fisher_divergence"]
    assert f"3 trainings: {over['mean']:.4f} ± {over['std']:.4f}" in texts(estimation.draw(small["estimation"]))

    panel = small["annealing"].numbers["annealed Langevin, learned score"]
    by_network = panel["upper_mode_weight_by_network"]
    assert len(by_network["values"]) == 3
    assert by_network["std"] == pytest.approx(np.std(by_network["values"], ddof=1))
    said = f"upper mode, 3 networks: {by_network['mean']:.3f} ± {by_network['std']:.3f}"
    assert said in texts(annealing.draw(small["annealing"]))

    written = texts(failures.draw(small["failures"]))
    for name in ("kinks", "small sigma", "ring without modes"):
        for label, row in small["failures"].numbers[name].items():
            assert label in written
            assert f" {row['mean']:.2g} ± {row['std']:.1g}" in written


def test_gradients_have_an_error_bar_and_a_price(small):
    result = small["gradients"]
    assert result.arrays["sigma/denoising"].shape == (len(gradients._SIGMAS), 3)  # sigma, and two networks
    assert all((rows[:, 1:] > 0).all() for rows in result.arrays.values())
    written = texts(gradients.draw(result))
    for label, row in result.numbers.items():
        assert f"{label} ({row['milliseconds']:.1f} ms)" in written


def test_objectives_table_has_every_number(small):
    result = small["objectives"]
    rows = result.numbers["two_modes"]
    assert len(rows) == 11
    table = objectives.table(result)
    for label, row in rows.items():
        assert len(row["fisher_divergence"]) == len(row["seconds"]) == 2
        assert row["fisher_divergence"][0] != row["fisher_divergence"][1]
        relative = 100 * np.mean(row["fisher_divergence"]) / row["half_fisher_information"]
        (line,) = (line for line in table.splitlines() if line.startswith(f"| {label} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert float(cells[2].split(" ± ")[0]) == pytest.approx(relative, rel=0.06)
    assert "two modes" in table
    written = texts(objectives.draw(result))
    ends = rows["implicit"]["fisher_divergence"]
    assert f"2 seeds: {np.mean(ends):.2g} ± {np.std(ends, ddof=1):.1g}" in written
    assert "checkerboard" not in table


def test_blame_draws_every_account_and_its_parts_add_up(small):
    result = small["blame"]
    written = texts(blame.draw(result))
    assert list(result.numbers) == [
        f"{sampler}, {quantity}" for quantity in blame.QUANTITIES for sampler in blame.SAMPLERS
    ]
    for panel, numbers in result.numbers.items():
        names = ["exact", "kernel", "learned 1", "learned 2"]
        assert list(numbers["terms"]) == (["clean", *names] if panel.startswith("langevin") else names)
        for account in numbers["terms"].values():
            parts = account["noising"] + account["discretisation"]["value"] + account["estimation"]["value"]
            assert account["total"]["value"] == pytest.approx(parts, abs=1e-9)
            assert f"{account['total']['value']:+.3f}\n± {account['total']['standard_error']:.3f}" in written
    # the noise adds nothing to the weights, and its variance to the variance: the modes are far apart
    assert result.numbers["annealed, weight"]["terms"]["exact"]["noising"] == pytest.approx(0.0, abs=1e-6)
    assert result.numbers["annealed, variance"]["terms"]["exact"]["noising"] == pytest.approx(0.25, abs=1e-6)


def test_reference_writes_spread_and_law(small):
    result = small["reference"]
    written = texts(reference.draw(result))
    for name in (reference.PLAIN, reference.REPLACED, reference.CORRECT):
        panel = result.numbers[name]
        for what, digits in (("upper_mode_weight", 3), ("variance_in_the_upper_mode", 2)):
            found = panel[what]
            assert found["mean"] == pytest.approx(np.mean(found["values"]))
            assert f"{found['mean']:.{digits}f} ± {found['std']:.{digits}f}\nits law" in written


def test_samplers_writes_a_row_a_sampler_and_the_floor(small):
    result = small["samplers"]
    for law in ("two modes", "ring"):
        rows = result.numbers[law]
        for label in (*samplers.FLOWS, *samplers.NOISY):
            (row,) = rows[label]
            assert 40 <= row["evaluations"] <= 48
            assert len(row["values"]) == 2
        assert len(rows[samplers.ADAPTIVE]) == len(samplers.TOLERANCES)
        assert rows["floor"]["mean"] > 0
        assert f"two fresh samples: {rows['floor']['mean']:.3f}" in texts(samplers.draw(result))
        # with the exact score both families end near the law even now
        for label in ("flow, Heun", "reverse SDE, Heun"):
            assert rows[f"exact score, {label}"]["mean"] < 10 * rows["floor"]["mean"]


def test_likelihood_tells_the_prior_from_the_solver(small):
    for numbers in small["likelihood"].numbers.values():
        assert numbers["solver_error"] < 0.05
        assert numbers["kl"]["mean"] > 0.1  # hardly trained
        assert numbers["prior_mismatch"]["least"] < numbers["prior_mismatch"]["most"]
    written = texts(likelihood.draw(small["likelihood"]))
    kl = small["likelihood"].numbers["ring"]["kl"]
    assert f"KL(p ‖ learned) {kl['mean']:.3f} ± {kl['std']:.3f} (2 networks)" in written


def test_diffusion_of_a_few_points_ends_on_them(small):
    numbers = small["diffusion"].numbers
    assert numbers["empirical"]["distance_to_the_data"] < 0.1
    spreads = numbers["exact"]["spread"]
    assert spreads == sorted(spreads, reverse=True)  # the clean point is known better and better
    written = texts(diffusion.draw(small["diffusion"]))
    for spread in spreads:
        assert f"x₀ known to ± {spread:.2g}" in written


def test_anatomy_energy_networks_have_no_curl_and_exact_scores_no_residual(small):
    numbers = small["anatomy"].numbers
    assert numbers["energy network"]["curl"]["mean"] < 1e-12
    assert numbers["free network"]["curl"]["mean"] > 1e-4
    assert all(row["exact"] < 1e-9 for row in numbers["residual"].values())
    assert all(row["learned"]["mean"] > 1e-4 for row in numbers["residual"].values())
    assert f"{numbers['free network']['curl']['mean']:.2g} ±" in texts(anatomy.draw(small["anatomy"]))


def test_bugs_writes_each_number_and_what_is_right(small):
    written = texts(bugs.draw(small["bugs"]))
    for name in bugs.PANELS:
        assert name in written
        for what in ("weight", "mean", "variance"):
            row = small["bugs"].numbers[name][what]
            assert f"{what} {row['value']:.3g} ± {row['standard_error']:.1g} ({row['right']:.3g})" in written


def test_what_gives_each_bug_away_and_what_does_not():
    """As recorded at full size; in the words of ``museum.EXHIBITS``."""
    numbers = json.loads((RECORDED / "bugs.json").read_text())
    seen = {name: {what for what, row in numbers[name].items() if isinstance(row, dict) and row["seen"]}
            for name in bugs.PANELS}  # fmt: skip
    assert seen == {
        "variances replaced": {"variance"},
        "one noise for all levels": {"weight"},
        "rand for randn": {"mean", "variance"},
        "half missing": {"variance"},
        "MALA of two kernels": {"variance"},
        "MALA without a choice": {"variance"},
        "flow without its half": {"weight", "mean", "variance"},
    }
    assert numbers["MALA of two kernels"]["acceptance"] == pytest.approx(0.97, abs=0.005)


def holds_the_reference(numbers: dict, n_seeds: int) -> None:
    """Our weights and variances follow the samplers' exact laws, and the reference's runs lie among ours.

    A weight of n chains has the standard deviation sqrt(w (1 - w) / n); the mean of the seeds is held to 5 standard
    errors of it (6e-7), the reference's three single runs to 5 standard deviations of one.
    """
    for name in (reference.PLAIN, reference.REPLACED, reference.CORRECT):
        panel = numbers[name]
        weight, law = panel["upper_mode_weight"], panel["law"]
        assert len(weight["values"]) == n_seeds
        one = math.sqrt(law["upper_mode_weight"] * (1 - law["upper_mode_weight"]) / numbers["chains"])
        assert abs(weight["mean"] - law["upper_mode_weight"]) < 5 * one / math.sqrt(n_seeds)
        for theirs in reference.MEASURED.get(name, ()):
            assert abs(theirs - law["upper_mode_weight"]) < 5 * one
            assert min(weight["values"]) - one < theirs < max(weight["values"]) + one
        # of about 640 or 1,000 chains in the mode, along two axes
        n = 2 * numbers["chains"] * law["upper_mode_weight"] * n_seeds
        variance = law["variance_in_the_upper_mode"]
        assert panel["variance_in_the_upper_mode"]["mean"] == pytest.approx(variance, rel=5 * math.sqrt(2 / n))
    assert numbers[reference.REPLACED]["law"]["variance_in_the_upper_mode"] == pytest.approx(1.026, abs=0.001)
    assert numbers[reference.CORRECT]["law"]["variance_in_the_upper_mode"] == pytest.approx(2.03, abs=0.005)
    assert numbers[reference.CORRECT]["law"]["upper_mode_weight"] == pytest.approx(0.783, abs=0.001)


def test_the_recorded_reference_experiment():
    holds_the_reference(json.loads((RECORDED / "reference.json").read_text()), 20)


@pytest.mark.slow
def test_the_reference_experiment_now():
    """In its exact settings, over 20 other seeds; ten to twenty seconds."""
    holds_the_reference(reference.run(seed=1, progress=False).numbers, 20)


RECORDED_OBJECTIVES = json.loads((RECORDED / "objectives.json").read_text())

# Relative divergence in percent that trainings of a few seconds reached when this was planned
TWO_MODES_GOAL, RING_GOAL = (
    {"implicit": 0.27, "sliced, variance-reduced": 0.22, "sliced, plain": 0.24, "denoising 0.5": 0.24},
    {"implicit": 3.0, "sliced, variance-reduced": 2.5, "sliced, plain": 7.0, "denoising 0.2": 2.0},
)


@pytest.mark.parametrize(("law", "goals"), [("two_modes", TWO_MODES_GOAL), ("ring", RING_GOAL)])
def test_recorded_objectives_reach_the_known_divergences_in_time(law, goals):
    """As committed: ``toylab bench objectives`` at full size, five seeds."""
    for label, goal in goals.items():
        row = RECORDED_OBJECTIVES[law][label]
        assert len(row["fisher_divergence"]) == 5
        assert 100 * np.mean(row["fisher_divergence"]) / row["half_fisher_information"] <= goal
    assert all(np.mean(row["seconds"]) <= 10 for row in RECORDED_OBJECTIVES[law].values())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_recorded_runs_meet_their_goals(seed):
    """The goals were set beforehand; these are runs of ``toylab figures --seed N`` at full size, as committed."""
    numbers = json.loads((RECORDED / f"figures_seed_{seed}.json").read_text())
    assert numbers["estimation"]["made with"]["seed"] == seed
    assert numbers["estimation"]["two modes"]["fisher_divergence"] <= 0.005
    assert numbers["estimation"]["reference settings, two modes"]["our_share_of_its_time"] <= 0.1
    annealed = numbers["annealing"]
    for score in ("exact noised score", "learned score"):
        panel = annealed[f"annealed Langevin, {score}"]
        assert len(panel["upper_mode_weight_by_repeat"]) == 5
        assert abs(panel["upper_mode_weight"] - 0.8) <= 0.03
    assert 0.45 <= annealed["MALA, exact score"]["upper_mode_weight"] <= 0.57


@pytest.mark.slow
def test_estimation_reaches_its_goal_now():
    """Two modes at full size: J <= 0.005, against 0.0022 to 0.0024 in the recorded runs."""
    result = estimation.run(seed=1, progress=False, n_reference_steps=1)
    assert result.numbers["two modes"]["fisher_divergence"] <= 0.005


@pytest.mark.slow
def test_annealing_recovers_the_weights_now():
    """Full size: both annealed runs within 0.03 of 0.8, MALA between 0.45 and 0.57.

    The standard error is 0.005 and the sampler's own law 0.791: 0.03 is over 4 standard errors from it.
    """
    numbers = annealing.run(seed=1, progress=False).numbers
    assert abs(numbers["annealed Langevin, exact noised score"]["upper_mode_weight"] - 0.8) <= 0.03
    assert abs(numbers["annealed Langevin, learned score"]["upper_mode_weight"] - 0.8) <= 0.03
    assert 0.45 <= numbers["MALA, exact score"]["upper_mode_weight"] <= 0.57
