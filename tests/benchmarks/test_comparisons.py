"""Both sides of each comparison do the same work; what they take is not tested."""

import inspect
import itertools
import math

import pytest
import torch
from torch import nn

from benchmarks import (
    annealed,
    chains,
    densities,
    flow_matching,
    objective_steps,
    peers,
    processes,
    quality,
    scaling,
    seeds,
    spins,
    step,
)
from benchmarks.fresh_process import in_a_fresh_process
from benchmarks.hardware_limit import HardwareLimit, hardware_limit
from benchmarks.measurement import measured
from benchmarks.peak import peak_gb
from benchmarks.row import Row
from toylab import discrete, objectives
from toylab.densities import fractal_tree, ring, two_modes
from toylab.experiments.setting import generator
from toylab.metrics import fisher_divergence, mean_of
from toylab.networks import ScoreMLP, VelocityMLP
from toylab.objectives import Denoising, FlowMatching, Implicit, NoiseConditional, Sliced
from toylab.paths import Linear, draw
from toylab.samplers import annealed_langevin
from toylab.sde import VP
from toylab.training import fit

N, EPS, V = 20_000, 0.05, 0.09


def rows_of(measurements):
    """All rows; none may fail."""
    rows = [row for measurement in measurements for row in measured(measurement)]
    assert [row.failed for row in rows if row.failed] == []
    return rows


def within_five_errors(samples: torch.Tensor, variance: float) -> bool:
    """Whether the ring's modes have that variance along an axis: by chance not so less than once in 10^6."""
    p = ring()
    error = samples - p.means.to(samples)[p.posterior(samples).argmax(-1)]
    found = float(error.double().square().mean())
    return abs(found - variance) < 5.2 * variance / math.sqrt(len(samples))  # 2 n squares of variance 2 v^2


def start() -> torch.Tensor:
    return ring().sample((N,), generator=torch.Generator().manual_seed(0))


def test_our_mala_keeps_the_ring_and_our_langevin_its_own_law():
    samples, acceptance = chains.our_mala(ring(), start(), EPS, 60)
    assert within_five_errors(samples, V)
    assert 0.9 < acceptance < 0.99
    assert within_five_errors(chains.our_langevin(ring(), start(), EPS, 60)[0], V / (1 - EPS / (4 * V)))


def test_blackjax_samples_the_same_laws_at_the_same_step():
    pytest.importorskip("blackjax")
    samples, acceptance = chains.blackjax_mala(ring(), start(), EPS, 60)()
    assert samples.dtype == torch.float32
    langevin, _ = chains.blackjax_langevin(ring(), start(), EPS, 60)()
    assert within_five_errors(langevin, V / (1 - EPS / (4 * V)))
    assert within_five_errors(samples, V)
    # 1.2 million proposals a side, 60 in a row dependent at most
    assert acceptance == pytest.approx(chains.our_mala(ring(), start(), EPS, 60)[1], abs=5e-3)


def test_draws_by_hand_are_ours():
    x1 = start()
    for ours, by_hand in zip(flow_matching.ours_drawn(x1), flow_matching.drawn_by_hand(x1), strict=True):
        assert torch.equal(ours, by_hand)


def test_the_excess_of_flow_matching_is_the_error_of_the_velocity(monkeypatch):
    """On a law of which the offset takes no time, to five standard errors: wrong in 6e-7 of runs."""
    monkeypatch.setattr(flow_matching, "BOARD", p := two_modes())
    found = flow_matching.mean_loss(3, 0)
    network = fit(
        VelocityMLP(generator=generator(0, 0)), FlowMatching(Linear()), p, n_steps=3, batch_size=1024,
        generator=generator(0, 1), progress=False,
    ).network  # fmt: skip
    here = draw(Linear(), p.sample((500_000,), generator=generator(0, 5)), generator=generator(0, 4))
    with torch.no_grad():
        error = mean_of(0.5 * (network(here.x, here.t) - Linear().velocity(p, here.x, here.t)).square().sum(-1))
    excess = found.value + FlowMatching(Linear()).offset(p)
    assert abs(excess - error.value) < 5 * math.hypot(found.standard_error, error.standard_error)


def test_steps_stand_beside_those_of_denoising_of_a_network_of_the_same_size_and_no_objective_is_left_out(monkeypatch):
    """Networks that differ in their inputs alone, a time, a level or classes, count as of one size."""
    asked, trained, x = [], set(), two_modes().sample((8,), generator=generator(0, 0))

    def noted(network, objective, batch_size, n_steps):
        asked.append((type(objective), sum(p.numel() for p in network.parameters()), batch_size))
        if asked[-1] not in trained:  # each once: it can be
            objective(network, x, generator=generator(0, 1)).mean().backward()
        trained.add(asked[-1])
        return 1.0

    others = {"denoising": Denoising, "denoising at every level": NoiseConditional}
    for module, n in ((objective_steps, len(objective_steps.trained())), (flow_matching, 4)):
        monkeypatch.setattr(module, "step", noted)
        asked.clear()
        found = rows_of(itertools.islice(module.rows(0.01), n))
        assert all(len(row.ours) == len(row.theirs) == 2 and row.work.startswith("one training step") for row in found)
        pairs = list(zip(asked[::2], asked[1::2], strict=True))
        assert len(pairs) == 3 * n  # once unmeasured and twice measured
        for row, (ours, theirs) in zip(found, pairs[::3], strict=True):
            assert theirs[0] is others[row.peer] and ours[0] is not Denoising
            assert abs(ours[1] - theirs[1]) <= 2 * 128 and ours[2] == theirs[2]
    public = [getattr(objectives, name) for name in objectives.__all__]
    losses = {
        one for one in public if isinstance(one, type) and "generator" in inspect.signature(one.__call__).parameters
    }
    assert {kind for kind, *_ in trained} == losses - {objectives.Objective}


def test_weightings_and_mixtures_of_likelihood_have_a_row():
    """What of ``toylab.objectives`` says which levels to draw and how to weigh them, beside those drawn as they are."""
    cases = {name: case.ours.objective for name, case in objective_steps.trained().items()}
    assert isinstance(cases["likelihood weighting, uniform times"].weighting, objectives.LikelihoodWeighting)
    assert isinstance(cases["likelihood weighting, uniform times"].sigmas, objectives.UniformTimes)
    assert cases["likelihood, importance-sampled times"].sigmas == objectives.likelihood_levels(VP())
    weight = cases["mixture of ELBOs"].weighting(torch.tensor([0.5, 10.0]))
    torch.testing.assert_close(weight, torch.tensor([0.25 * 0.2 / (100 / 101), 100.0]))


def test_every_estimator_of_spins_has_a_row_that_a_wrong_one_fails(monkeypatch):
    found = {row.work.removeprefix("one training step of spins, "): row for row in rows_of(spins.rows(0.01))}
    assert all(row.near_enough for row in found.values())
    for name in discrete.__all__:
        first = [*inspect.signature(getattr(discrete, name)).parameters][:2]
        if first == ["machine", "x"] and not name.startswith("gibbs"):
            assert sum(work.startswith(name.replace("_", " ")) for work in found) == 1
    assert any(work.startswith("score matching on a grid") for work in found)

    def without_the_two(machine, x):
        return torch.nn.functional.softplus(-0.5 * machine.log_odds(x)).sum(-1)

    for name in ("maximum_likelihood", "pseudo_likelihood", "ratio_matching", "concrete_score_matching"):
        monkeypatch.setattr(discrete, name, without_the_two)
    gradients = discrete.contrastive_divergence_gradients
    monkeypatch.setattr(discrete, "contrastive_divergence_gradients", lambda machine: 1.01 * gradients(machine) + 0.01)
    monkeypatch.setattr(spins.GridScoreMatching, "offset", lambda self, law: 0.0)
    assert not any(row.near_enough for row in rows_of(spins.rows(0.01)))


def test_torchebm_samples_the_same_law_at_the_same_step():
    pytest.importorskip("torchebm")
    samples, _ = chains.torchebm_langevin(ring(), start(), EPS, 60)()
    assert within_five_errors(samples, V / (1 - EPS / (4 * V)))


@pytest.mark.parametrize(
    ("name", "objective"),
    [("denoising", Denoising(step.SIGMA)), ("sliced", Sliced(variance_reduced=False)), ("implicit", Implicit())],
)
def test_torchebm_has_the_same_loss(name, objective):
    pytest.importorskip("torchebm")
    assert step.gap_between(name, objective) < 1e-5
    other = {"denoising": Denoising(0.4), "sliced": Sliced(), "implicit": Sliced()}[name]
    if name != "implicit":
        assert step.gap_between(name, other) > 1e-3


def test_the_plain_loop_of_annealed_langevin_is_ours():
    p, g = two_modes(), torch.Generator().manual_seed(0)
    x = 16 * torch.rand(50, 2, generator=g) - 8
    own, theirs = (torch.Generator().manual_seed(1) for _ in range(2))
    ours = annealed_langevin(p.score, x, annealed.SIGMAS, step_size=0.1, n_steps=3, generator=own, progress=False)
    torch.testing.assert_close(annealed.plain_loop(p.score, x, annealed.SIGMAS, 0.1, 3, theirs), ours.samples)


def test_a_wrong_law_misses_the_goal_whatever_its_time():
    x = start()
    row = Row("work", "peer", 1.0, (1.0,), (2.0,))
    assert chains.with_laws(row, ring(), {"ours": (x, 1.0), "theirs": (x, 1.0)}, exact=True).met
    wide = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    for found in ({"ours": (wide, 1.0), "theirs": (x, 1.0)}, {"ours": (x, 1.0), "theirs": (wide, 1.0)}):
        missed = chains.with_laws(row, ring(), found, exact=True)
        assert missed.error > missed.allowed and not missed.met
    wide[7] = math.nan
    assert not chains.with_laws(row, ring(), {"ours": (x, 1.0), "theirs": (wide, 1.0)}, exact=True).met
    assert not chains.with_laws(row, ring(), {"ours": (x, 1.0)}, exact=False).met  # Langevin's own is wider


def test_annealed_langevin_is_held_against_the_loop_with_the_same_network(monkeypatch):
    monkeypatch.setattr(annealed, "N_CHAINS", 200)
    row, products = rows_of(annealed.rows(0.01))
    assert row.error < 1e-3 < row.allowed  # the same numbers are drawn on both sides
    assert (row.theirs, products.allowed) == (products.theirs, None)


def test_a_density_that_is_off_misses_the_goal(monkeypatch):
    assert densities.relative_gap(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 4.0])) == 0.5
    right = densities.ours
    monkeypatch.setattr(densities, "ours", lambda p, x: (right(p, x)[0], 1.01 * right(p, x)[1]))
    found = rows_of(densities.rows(0.001))
    assert all(row.error == pytest.approx(0.01, rel=0.02) and not row.met for row in found)


@pytest.mark.parametrize("p", [ring(), fractal_tree()], ids=["ring", "tree"])
def test_the_peer_of_the_densities_is_the_same_law(p):
    x = torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theirs = densities.theirs(p.to(torch.float64).to_torch(), x)
    for a, b in zip(densities.ours(p, x), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * float(b.abs().max()))


@pytest.mark.parametrize(("divergence", "n_steps", "batch_size", "share"), quality.GOALS)
def test_our_settings_reach_the_divergence_they_are_timed_for(divergence, n_steps, batch_size, share):
    gen = generator(7, 0)
    settings = {"n_steps": n_steps, "batch_size": batch_size, "learning_rate": 0.02, "generator": gen}
    network = fit(ScoreMLP(generator=gen), Sliced(), two_modes(), progress=False, **settings).network
    assert fisher_divergence(network, two_modes()) < divergence


def test_quality_holds_ours_against_the_reference():
    found = rows_of(quality.rows(0.002))
    assert [row.goal for row in found] == [1 / 20, 1 / 6]
    assert [row.allowed for row in found] == [0.0114, 0.002]
    assert all(row.error > 0.1 and not row.met for row in found)  # after 1 step instead of hundreds
    assert found[0].theirs == found[1].theirs
    assert found[0].ours != found[1].ours


@pytest.mark.parametrize(
    ("rows", "package", "n"),
    [(step.rows, "torchebm", 6), (chains.mala_rows, "blackjax", 4), (chains.langevin_rows, "torchebm", 2)],
)
def test_an_absent_peer_is_skipped_with_a_line(rows, package, n, monkeypatch):
    def absent(name: str) -> str:
        raise peers.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(peers.metadata, "version", absent)
    found = rows_of(rows(0.01))
    assert len(found) == n
    assert {r.skipped for r in found} == {f'{package} is not installed: pip install -e ".[bench]"'}
    assert all(r.ours == r.theirs == () for r in found)


def test_eight_at_once_stand_beside_eight_in_a_row(monkeypatch):
    asked = []

    def noted(*arguments, n_seeds, **settings):
        asked.append(n_seeds)
        return fit(*arguments, n_seeds=n_seeds, **settings)

    monkeypatch.setattr(seeds, "fit", noted)
    found = rows_of(seeds.rows(0.01))
    assert [r.goal for r in found] == [3 / 8] * 4
    assert asked == [8, *[1] * 8] * (3 * 4)  # once unmeasured and twice measured, for each of four objectives


def test_processes_are_held_against_their_limits(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # an import is timed as that of a user who keeps bytecode
    code = "import sys; from benchmarks.peak import peak_gb; print(sys.argv[1], sys.dont_write_bytecode, peak_gb())"
    word, without_bytecode, peak = in_a_fresh_process(code, "word").split()
    assert (word, without_bytecode) == ("word", "False")
    assert 0.001 < float(peak) < peak_gb()  # nothing is loaded there
    monkeypatch.setattr(processes, "in_a_fresh_process", lambda code, folder: "90.0 1.2\n")
    seconds, peak = rows_of(processes.figures_rows(1.0))
    assert (seconds.ratio, seconds.met) == (1.5, False)
    assert (peak.ratio, peak.met, peak.unit) == (pytest.approx(0.8), True, "GB")


def test_the_limit_of_training_counts_the_products_that_torch_does():
    from torch.utils.flop_counter import FlopCounterMode

    batch_size, width = 32, 48
    network = nn.Sequential(
        nn.Linear(2, width), nn.Softplus(), nn.Linear(width, width), nn.Softplus(), nn.Linear(width, 2)
    )
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(batch_size, 2)).sum().backward()
    only_products = HardwareLimit(flop=1.0, exp=0.0, normal=0.0, uniform=0.0)
    assert scaling.products(batch_size, width, 1, only_products) == counter.get_total_flops()


def test_a_sweep_says_where_overhead_ends_and_how_far_the_limit_is():
    sweep = scaling.Sweep("work", "chains", (10, 100, 1000), (1.0, 1.9, 8.0), (0.02, 0.2, 2.0))
    assert sweep.overhead_up_to == 100
    assert sweep.times_the_limit == 4.0
    assert "| work | chains | 10: 1e+03, 100: 1.9e+03, 1,000: 8e+03 ms | 100 | 4.0 |" in scaling.table([sweep])


def test_the_limit_of_a_chain_counts_what_its_step_must_do():
    """On the ring: eight exponentials and two normal numbers; MALA a uniform one, its logarithm, and that of p."""
    one = {"flop": 0.0, "exp": 0.0, "normal": 0.0, "uniform": 0.0}
    for name, langevin, mala in (("flop", 0, 0), ("exp", 8, 10), ("normal", 2, 2), ("uniform", 0, 1)):
        limit = HardwareLimit(**{**one, name: 1.0})
        assert scaling.langevin_limit(8, limit) == langevin
        assert scaling.mala_limit(8, limit) == mala


def test_the_limit_is_measured():
    limit = hardware_limit(repeats=1)
    assert all(0 < seconds < 1e-3 for seconds in (limit.flop, limit.exp, limit.normal, limit.uniform))
