"""``check_discrete_loss``: it accepts every estimator of a Boltzmann machine, and names the mistakes of its like."""

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
    all_spins,
    concrete_score_matching,
    contrastive_divergence,
    gibbs_sweep,
    maximum_likelihood,
    pseudo_likelihood,
    ratio_matching,
)
from toylab.testing import SPINS, check_discrete_loss, check_objective
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
    truth = SpinTruth(SPINS)
    p, n = SPINS.probabilities(), 1000
    for seed in range(5):
        x = truth.states(n, seed)
        counts = torch.stack([(x == state).all(-1).sum() for state in SPINS.states])
        assert bool(((counts - n * p).abs() < 1).all())


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
