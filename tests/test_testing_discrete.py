"""``check_discrete_loss``: it accepts every right loss of spins and of cells, and names the mistakes of others."""

import inspect
import re
from functools import partial

import pytest
import torch
from torch.nn.functional import logsigmoid, softplus

from tests.discrete.brute_force import random_machine
from toylab import discrete
from toylab.densities import two_modes
from toylab.discrete import (
    BoltzmannMachine,
    GridLaw,
    GridScoreMatching,
    all_spins,
    concrete_score_matching,
    contrastive_divergence,
    gibbs_sweep,
    maximum_likelihood,
    pseudo_likelihood,
    ratio_matching,
)
from toylab.discrete.grid_law import neighbours
from toylab.testing import CELLS, SPINS, check_discrete_loss, check_objective
from toylab.testing.grid_truth import GridTruth
from toylab.testing.spin_truth import SpinTruth

N = 20_000  # to begin with: a right loss that draws gets as many states as its check needs


def turned(x, i):
    """The states with spin i turned over."""
    return torch.cat([x[:, :i], -x[:, i : i + 1], x[:, i + 1 :]], -1)


def by_conditionals(machine, x):
    """Pseudo-likelihood from the conditional probabilities of bits."""
    up = machine.conditional(x)
    return -torch.where(x > 0, up, 1 - up).log().sum(-1)


def by_energies(machine, x, generator=None):
    """The same from differences of energies; it takes a generator and does not use it."""
    gaps = [machine.energy(turned(x, i)) - machine.energy(x) for i in range(x.shape[-1])]
    return -logsigmoid(torch.stack(gaps, -1)).sum(-1)


def likelihood_of_pairs(machine, x):
    """-log p by a loop over pairs and a sum over all states."""
    W, b, n = machine.coupling, machine.field, machine.n_spins

    def exponent(x):
        pairs = sum(W[i, j] * x[:, i] * x[:, j] for i in range(n) for j in range(i))
        return pairs + x @ b

    return exponent(all_spins(n, dtype=x.dtype)).exp().sum().log() - exponent(x)


def one_random_site(machine, x, generator=None):
    """Contrastive divergence with a single spin, drawn at random, given all others."""
    k = torch.randint(machine.n_spins, (len(x),), generator=generator)
    with torch.no_grad():
        up = machine.conditional(x).gather(-1, k[:, None])
        coin = torch.rand(len(x), 1, dtype=x.dtype, generator=generator)
        y = x.scatter(-1, k[:, None], torch.where(coin < up, 1.0, -1.0).to(x))
    return machine.energy(x) - machine.energy(y)


def shared_chains(machine, x, generator=None):
    return machine.energy(x) - machine.energy(gibbs_sweep(machine, x, generator=generator)).mean()


SOUND = {
    "maximum likelihood": maximum_likelihood,
    "pseudo-likelihood": pseudo_likelihood,
    "ratio matching": ratio_matching,
    "concrete score matching": concrete_score_matching,
    "contrastive divergence": contrastive_divergence,
    "two sweeps": partial(contrastive_divergence, n_sweeps=2),
    "by conditionals": by_conditionals,
    "by energies": by_energies,
    "likelihood of pairs": likelihood_of_pairs,
    "one random site": one_random_site,
    "shared chains": shared_chains,
}


@pytest.mark.parametrize("name", SOUND)
def test_a_right_loss_passes(name):
    report = check_discrete_loss(SOUND[name], n=N)
    assert report.passed, report
    assert report.smallest_slip <= 0.102
    assert "would have been seen" in str(report)


def log_odds(machine, x, factor=2.0):
    return factor * x * (x @ machine.coupling + machine.field)


def chains_of(sweep, formula=lambda a, b: a - b):
    def loss(machine, x, generator=None):
        with torch.no_grad():
            y = sweep(machine, x, generator)
        return formula(machine.energy(x), machine.energy(y))

    return loss


def hot_sweep(machine, x, generator):
    """P(x_i = +1) = 1 / (1 + exp(-(W x + b)_i)), without the 2."""
    return gibbs_sweep(BoltzmannMachine(0.5 * machine.coupling, 0.5 * machine.field), x, generator=generator)


def all_at_once(machine, x, generator):
    coin = torch.rand(x.shape, dtype=x.dtype, generator=generator)
    return torch.where(coin < machine.conditional(x), 1.0, -1.0).to(x)


def pairs_twice(machine, x):
    exponent = lambda x: ((x @ machine.coupling) * x).sum(-1) + x @ machine.field  # noqa: E731
    return exponent(machine.states).logsumexp(0) - exponent(x)


def normaliser_of_the_batch(machine, x):
    return machine.energy(x) + (-machine.energy(x)).logsumexp(0)


MUTANTS = {
    "no 2 in the log-odds": (lambda m, x: softplus(-log_odds(m, x, 1.0)).sum(-1), "learns 2 W and 2 b: turning a spin"),
    "sign of the log-odds": (lambda m, x: softplus(log_odds(m, x)).sum(-1), "learns -1 W and -1 b: sign"),
    "ratio upside down": (lambda m, x: log_odds(m, x).sigmoid().square().sum(-1), "learns -1 W and -1 b: sign"),
    "pairs twice": (pairs_twice, "learns 0.5 W and 1 b: each pair counts twice"),
    "no normaliser": (lambda m, x: m.energy(x), "nothing stands against the energies of the data"),
    "detached normaliser": (
        lambda m, x: m.energy(x) + m.log_normaliser().detach(), "backward gives another gradient than that of the value"
    ),
    "a square left out": (lambda m, x: (-log_odds(m, x)).sigmoid().sum(-1), "learns another law"),
    "cross term": (
        lambda m, x: (torch.expm1(-log_odds(m, x)).square() - 2 * torch.expm1(log_odds(m, x))).sum(-1), "another law"
    ),
    "upside down": (lambda m, x: -maximum_likelihood(m, x), "falls from the truth along W_1,2"),
    "phases exchanged": (
        chains_of(lambda m, x, g: gibbs_sweep(m, x, generator=g), lambda a, b: b - a), "its two parts exchanged"
    ),
    "chains count half": (
        chains_of(lambda m, x, g: gibbs_sweep(m, x, generator=g), lambda a, b: a - 0.5 * b), "learns another machine"
    ),
    "no 2 in the sweep": (chains_of(hot_sweep), "learns 2 W and 2 b: turning a spin over"),
    "all spins at once": (chains_of(all_at_once), "as where all spins are drawn at once"),
    "the batch's normaliser": (normaliser_of_the_batch, "depends on the others of its batch"),
    "a mean": (lambda m, x: maximum_likelihood(m, x).mean(), "leave out the mean"),
    "one number": (lambda m, x: maximum_likelihood(m, x[:1]).expand(len(x)), "all losses of a batch are one number"),
    "all detached": (lambda m, x: maximum_likelihood(m, x).detach(), "carries no gradient to the machine"),
    "global random numbers": (
        lambda m, x, generator=None: contrastive_divergence(m, x), "draw all random numbers from the generator given"
    ),
    "an error": (lambda m, x: m.log_prob(x[:, :2]), "loss(machine, x) raises ValueError: x has shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_rejected_by_name(name):
    loss, says = MUTANTS[name]
    report = check_discrete_loss(loss, n=N)
    assert not report.passed, report
    assert not report.undecided
    assert says in report.wrong, report


def test_every_estimator_is_checked():
    """Those of a machine and states; what else takes both evaluates or samples."""
    others = {"gibbs_sweep", "gibbs_expectation", "loss_gradients", "contrastive_divergence_gradients", "expected_loss"}
    estimators = {
        name
        for name in discrete.__all__
        if [*inspect.signature(getattr(discrete, name)).parameters][:2] == ["machine", "x"] and name not in others
    }
    assert estimators == {
        loss.__name__ for loss in SOUND.values() if getattr(loss, "__module__", "").startswith("toylab")
    }


@pytest.mark.parametrize("n", [1, 2, 5])
def test_other_machines(n):
    truth = random_machine(n, seed=n, scale=0.4)
    for loss in (maximum_likelihood, pseudo_likelihood, ratio_matching, concrete_score_matching):
        assert check_discrete_loss(loss, truth=truth).passed
    assert not check_discrete_loss(lambda m, x: softplus(-log_odds(m, x, 1.0)).sum(-1), truth=truth).passed


def test_the_steepness_is_the_curvature_over_that_of_likelihood():
    """Of the pseudo-likelihood: the Hessian by autograd over the variances of the statistics by the table of states."""
    theta, p = SPINS.to_vector(), SPINS.probabilities()

    def mean(theta):
        return p @ pseudo_likelihood(BoltzmannMachine.from_vector(theta), SPINS.states)

    f = SPINS.statistics(SPINS.states)
    variances = p @ f.square() - (p @ f).square()
    ratios = torch.autograd.functional.hessian(mean, theta).diagonal() / variances
    said = re.search(
        r"is ([\d.]+) \(along .*\) to ([\d.]+) \(along", str(check_discrete_loss(pseudo_likelihood))
    ).groups()
    assert [float(number) for number in said] == [
        pytest.approx(float(v), rel=0.05) for v in (ratios.min(), ratios.max())
    ]


def test_states_come_as_often_as_they_should():
    """Each within one of n p."""
    n = 1000
    for truth in (SpinTruth(SPINS), GridTruth(CELLS)):
        for seed in range(5):
            x = truth.states(n, seed)
            counts = torch.stack([(x == state).all(-1).sum() for state in truth.every])
            assert bool(((counts - n * truth.probabilities).abs() < 1).all())


def test_a_report_is_reproducible_and_leaves_the_global_stream():
    before = torch.get_rng_state()
    one, other = (check_discrete_loss(contrastive_divergence, n=1000, n_most=1000) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (one.findings, one.loss_std) == (other.findings, other.loss_std)
    assert one.undecided and "could not tell below" in one.wrong


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_discrete_loss(3), TypeError, "loss"),
        (lambda: check_discrete_loss(pseudo_likelihood, truth=two_modes()), TypeError, "give a BoltzmannMachine"),
        (lambda: check_discrete_loss(pseudo_likelihood, n=10), ValueError, "n is 10"),
        (lambda: check_discrete_loss(pseudo_likelihood, seed=-1), ValueError, "seed"),
        (lambda: check_objective(pseudo_likelihood, density=SPINS), TypeError, r"check_discrete_loss\(loss, truth="),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------------------------- concrete scores of cells on a grid

STEPS, BACK = [(-1, 0), (1, 0), (0, -1), (0, 1)], [1, 0, 3, 2]


def by_sides(score, x, formula=lambda c, back: c**2 + 2 * c - 2 * back, back=BACK, beyond=None):
    """``formula`` of c_i(x) and the number of the neighbour that looks back, summed over sides, by loops over cells.

    Where there is no neighbour nothing is added, or else that of the cell that ``beyond`` names.
    """
    rows, columns = CELLS.probabilities.shape
    total = torch.zeros(len(x), dtype=torch.float64)
    for i, (down, right) in enumerate(STEPS):
        near = [(row + down, column + right) for row, column in x.tolist()]
        there = [0 <= row < rows and 0 <= column < columns for row, column in near]
        instead = beyond or (lambda row, column: (0, 0))
        near = torch.tensor([at if ok else instead(*at) for at, ok in zip(near, there, strict=True)])
        counts = torch.tensor(there) | (beyond is not None)
        total = total + torch.where(counts, formula(score(x)[:, i], score(near)[:, back[i]]), 0.0)
    return total


def of(formula, **others):
    return partial(by_sides, formula=formula, **others)


def held_at_0_beyond_the_edge(score, x):
    beyond = torch.where(CELLS.concrete_score(x) == 0, score(x), 0.0)  # no two neighbours are as likely as each other
    return by_sides(score, x) + beyond.square().sum(-1)


def to_the_log_ratio(score, x):
    """E[e^c_i(x) - c_i(x) P(x_i) / P(x)], least where e^c is the ratio."""
    return by_sides(score, x, lambda c, back: c.exp() - back)


class GridWithAnOffset(GridScoreMatching):
    def offset(self, law):
        return 0.5 * super().offset(law)


SOUND_ON_A_GRID = {
    "concrete score matching": (GridScoreMatching(3, 4), "rises from the truth as |c - c*|^2 does"),
    "by sides": (by_sides, "rises from the truth as |c - c*|^2 does"),
    "half of it": (of(lambda c, back: c**2 / 2 + c - back), "rises from the truth 0.5 times as steeply"),
    "held at 0 beyond the edge": (held_at_0_beyond_the_edge, "as |c - c*|^2 does"),
}


@pytest.mark.parametrize("name", SOUND_ON_A_GRID)
def test_a_right_loss_of_cells_passes(name):
    loss, says = SOUND_ON_A_GRID[name]
    report = check_discrete_loss(loss, truth=CELLS, n=N)
    assert report.passed, report
    assert says in str(report) and "would have been seen" in str(report)


MUTANTS_ON_A_GRID = {
    "linear terms once": (of(lambda c, back: c**2 + c - back), "learns c/2: the linear terms count half"),
    "half of the square": (of(lambda c, back: c**2 / 2 + 2 * c - 2 * back), "learns 2 c: the linear terms count twice"),
    "signs": (of(lambda c, back: c**2 - 2 * c + 2 * back), "learns -c: sign of the linear terms"),
    "the square alone": (of(lambda c, back: c**2), "learns 0: the linear terms are left out"),
    "no neighbour": (of(lambda c, back: c**2 + 2 * c), "learns -1: the neighbour's own number"),
    "the ratio": (of(lambda c, back: c**2 - 2 * back), "the ratio P(x_i) / P(x) = c + 1: the term 2 c_i(x) is left"),
    "its logarithm": (to_the_log_ratio, "learns log P(x_i) / P(x)"),
    "upside down": (of(lambda c, back: (1 + back) ** 2 - 2 * c), "the ratio is upside down"),
    "not looking back": (of(lambda c, back: c**2 + 2 * c - 2 * back, back=range(4)), "the number that looks back to x"),
    "clamped at the edge": (
        partial(by_sides, beyond=lambda row, column: (min(max(row, 0), 2), min(max(column, 0), 3))),
        "leave out those beyond the edge",
    ),
    "around the edge": (
        partial(by_sides, beyond=lambda row, column: (row % 3, column % 4)), "leave out those beyond the edge"
    ),
    "no square": (of(lambda c, back: 2 * c - 2 * back), "c_i(x)^2 is left out"),
    "the whole": (of(lambda c, back: -(c**2) - 2 * c + 2 * back), "falls from the truth along below (0, 0)"),
    "no edge": (lambda s, x: s(x + 1).sum(-1), "loss(score, x) raises ValueError: x leaves the grid"),
    "detached": (of(lambda c, back: c**2 + 2 * c - 2 * back.detach()), "backward gives another gradient"),
    "an offset": (GridWithAnOffset(3, 4), "offset(law) is"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS_ON_A_GRID)
def test_a_mutant_of_cells_is_rejected_by_name(name):
    loss, says = MUTANTS_ON_A_GRID[name]
    report = check_discrete_loss(loss, truth=CELLS, n=N)
    assert not report.passed, report
    assert says in report.wrong, report


def test_another_law_on_a_grid_and_a_loss_for_another_grid():
    law = GridLaw([[0.2, 0.5, 0.3]])
    assert check_discrete_loss(GridScoreMatching(1, 3), truth=law).passed
    assert "x leaves the grid" in check_discrete_loss(GridScoreMatching(1, 3), truth=CELLS).wrong


@pytest.mark.parametrize(("counts", "says"), [(2, ""), (1, "the gradient does not vanish at the concrete score")])
def test_a_loss_of_cells_that_draws(counts, says):
    """Twice the part of two sides, upright or across, drawn for each cell; and with a neighbour that counts half."""

    def loss(score, x, generator=None):
        near, there = neighbours(x, *law.probabilities.shape)
        back = score(near)[..., range(4), BACK]
        parts = torch.where(there, score(x).square() + 2 * score(x) - counts * back, 0.0).view(-1, 2, 2).sum(-1)
        return 2 * parts.gather(-1, torch.randint(2, (len(x), 1), generator=generator))[:, 0]

    law = GridLaw([[0.3, 0.2], [0.35, 0.15]])
    report = check_discrete_loss(loss, truth=law, n=N)
    assert report.passed == (not says) and says in report.wrong, report
