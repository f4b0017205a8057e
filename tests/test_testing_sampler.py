"""``check_sampler`` passes the samplers that are what they claim, however written, and rejects every mistake by name.

A mutant comes with the words that the check must find for it. A right sampler is rejected less than once in 1e6 runs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from toylab import museum
from toylab.samplers import (
    ancestral,
    annealed_langevin,
    ddim,
    hmc,
    langevin,
    mala,
    metropolis,
    predictor_corrector,
    probability_flow,
    reverse_sde,
    reverse_sde_heun,
    scaled_network_langevin,
)
from toylab.schedules import geometric
from toylab.score import gradient
from toylab.sde import VE, VP, SubVP, score_at
from toylab.testing import (
    AnnealedLangevin,
    Invariant,
    Langevin,
    ProbabilityFlow,
    ReverseSDE,
    check_sampler,
)

N = 20_000
EPS, LONG = 0.3, 0.8
KEEPS, STEP = Invariant(), Langevin(EPS)
LEVELS = geometric(10.0, 0.5, 5)
ANNEALED = AnnealedLangevin(LEVELS, 0.2, 1)
SDE, EARLY = VP(), SubVP(t_min=0.2)  # where alpha is 0.8
BACK, FLOW = ReverseSDE(SDE), ProbabilityFlow(SDE)
QUIET = {"progress": False}


def normal(x, g, *shape):
    return torch.randn(*(shape or x.shape), dtype=x.dtype, generator=g)


def kept(log_ratio, there, here, g):
    u = torch.rand(len(here), dtype=here.dtype, generator=g)
    return torch.where((u.log() < log_ratio)[:, None], there, here)


def proposed(p, x, g, drift=EPS / 2, spread=EPS):
    return x + drift * p.score(x) + spread**0.5 * normal(x, g)


def log_q(p, to, start, drift=EPS / 2, spread=EPS):
    return -(to - start - drift * p.score(start)).square().sum(-1) / (2 * spread)


# What is right, in ways that are not ours


def in_place(p, x, g):
    x = x.clone()
    for _ in range(3):
        x.add_(p.score(x), alpha=EPS / 2).add_(normal(x, g), alpha=EPS**0.5)
    return x


def in_single_precision(p, x, g):
    x = x.float()
    return x + EPS / 2 * p.score(x) + EPS**0.5 * normal(x, g)


def by_tau(p, x, g):
    tau = EPS / 2
    return x + tau * p.score(x) + (2 * tau) ** 0.5 * normal(x, g)


def noise_in_one_block(p, x, g):
    for z in normal(x, g, 3, *x.shape).flip(0):
        x = x + EPS / 2 * p.score(x) + EPS**0.5 * z
    return x


def score_by_autograd(p, x, g):
    return x + EPS / 2 * gradient(p.log_prob, x) + EPS**0.5 * normal(x, g)


def mala_by_exponentials(p, x, g):
    """The uniform number drawn first; both densities with their constants; a product of ratios."""
    u = torch.rand(len(x), dtype=x.dtype, generator=g)
    y = proposed(p, x, g, LONG / 2, LONG)
    p_ratio = p.log_prob(y).exp() / p.log_prob(x).exp()
    q_ratio = log_q(p, x, y, LONG / 2, LONG).exp() / log_q(p, y, x, LONG / 2, LONG).exp()
    return torch.where((u <= p_ratio * q_ratio)[:, None], y, x)


def mala_as_one_leapfrog(p, x, g):
    v, h = normal(x, g), LONG**0.5
    half = v + h / 2 * p.score(x)
    y = x + h * half
    w = half + h / 2 * p.score(y)
    return kept(p.log_prob(y) - p.log_prob(x) + 0.5 * (v.square() - w.square()).sum(-1), y, x, g)


MASS = torch.tensor([[1.5, 0.6], [0.6, 0.8]], dtype=torch.float64)


def hmc_with_a_mass(p, x, g):
    v, h, inverse = normal(x, g) @ torch.linalg.cholesky(MASS).T, 0.4, torch.linalg.inv(MASS)
    y, w = x, v
    for _ in range(3):
        w = w + h / 2 * p.score(y)
        y = y + h * w @ inverse
        w = w + h / 2 * p.score(y)
    energies = [0.5 * ((m @ inverse) * m).sum(-1) - p.log_prob(at) for at, m in ((x, v), (y, w))]
    return kept(energies[0] - energies[1], y, x, g)


def hmc_by_positions_first(p, x, g):
    """Half a step of the position, a kick, half a step: the other leapfrog, with two kicks."""
    v, h, y = normal(x, g), 0.5, x
    w = v
    for _ in range(2):
        y = y + h / 2 * w
        w = w + h * p.score(y)
        y = y + h / 2 * w
    return kept(p.log_prob(y) - p.log_prob(x) + 0.5 * (v.square() - w.square()).sum(-1), y, x, g)


def barker_acceptance(p, x, g):
    y = x + normal(x, g)
    return torch.where((torch.rand(len(x), generator=g) < torch.sigmoid(p.log_prob(y) - p.log_prob(x)))[:, None], y, x)


def one_coordinate_after_the_other(p, x, g):
    """No detailed balance in the whole, yet p is kept."""
    for axis in torch.eye(2, dtype=x.dtype):
        y = x + 1.5 * normal(x, g, len(x), 1) * axis
        x = kept(p.log_prob(y) - p.log_prob(x), y, x, g)
    return x


def uniform_proposal_with_fewer_numbers(p, x, g):
    """A uniform number is drawn only where the proposal is not kept anyway."""
    y = x + 3 * torch.rand(x.shape, dtype=x.dtype, generator=g) - 1.5
    log_ratio = p.log_prob(y) - p.log_prob(x)
    lower = log_ratio < 0
    u = torch.zeros(len(x), dtype=x.dtype)
    u[lower] = torch.rand(int(lower.sum()), dtype=x.dtype, generator=g)
    return torch.where((u < log_ratio.exp())[:, None], y, x)


def smld_reverse(p, x, times, g):
    """The discretisation of the literature: by differences of sigma^2."""
    sigma = VE().sigma(times)
    for here, there in zip(sigma[:-1].tolist(), sigma[1:].tolist(), strict=True):
        x = x + (here**2 - there**2) * p.score(x, here) + (here**2 - there**2) ** 0.5 * normal(x, g)
    return x


RIGHT = {
    "langevin": (lambda p, x, g: langevin(p.score, x, step_size=EPS, n_steps=1, generator=g, **QUIET), STEP),
    "langevin, seven steps, hot": (
        lambda p, x, g: langevin(p.score, x, step_size=EPS, n_steps=7, temperature=2.0, generator=g, **QUIET),
        Langevin(EPS, 7, 2.0),
    ),
    "in place": (in_place, Langevin(EPS, 3)),
    "in single precision": (in_single_precision, STEP),
    "by tau": (by_tau, STEP),
    "noise in one block": (noise_in_one_block, Langevin(EPS, 3)),
    "score by autograd": (score_by_autograd, STEP),
    "annealed_langevin": (
        lambda p, x, g: annealed_langevin(p.score, x, LEVELS, step_size=0.2, n_steps=1, generator=g, **QUIET),
        ANNEALED,
    ),
    "mala": (lambda p, x, g: mala(p.log_prob, p.score, x, step_size=LONG, n_steps=1, generator=g, **QUIET), KEEPS),
    "metropolis": (lambda p, x, g: metropolis(p.log_prob, x, step_size=1.0, n_steps=2, generator=g, **QUIET), KEEPS),
    "hmc": (
        lambda p, x, g: hmc(p.log_prob, p.score, x, step_size=0.5, n_leapfrog=3, n_steps=1, generator=g, **QUIET),
        KEEPS,
    ),
    "mala by exponentials": (mala_by_exponentials, KEEPS),
    "mala as one leapfrog": (mala_as_one_leapfrog, KEEPS),
    "hmc with a mass": (hmc_with_a_mass, KEEPS),
    "hmc by positions first": (hmc_by_positions_first, KEEPS),
    "barker's acceptance": (barker_acceptance, KEEPS),
    "one coordinate after the other": (one_coordinate_after_the_other, KEEPS),
    "uniform proposal with fewer numbers": (uniform_proposal_with_fewer_numbers, KEEPS),
    "reverse_sde": (lambda p, x, times, g: reverse_sde(SDE, p.score, x, times, generator=g, **QUIET), BACK),
    "reverse_sde_heun": (
        lambda p, x, times, g: reverse_sde_heun(EARLY, p.score, x, times, generator=g, **QUIET),
        ReverseSDE(EARLY),
    ),
    "ancestral": (lambda p, x, times, g: ancestral(SDE, p.score, x, times, generator=g, **QUIET), BACK),
    "by differences of sigma^2": (smld_reverse, ReverseSDE(VE())),
    "probability_flow": (lambda p, x, times, g: probability_flow(SDE, p.score, x, times, **QUIET), FLOW),
    "flow in single precision": (
        lambda p, x, times, g: probability_flow(SDE, p.score, x.float(), times, **QUIET),
        FLOW,
    ),
    "ddim": (lambda p, x, times, g: ddim(SubVP(), p.score, x, times, **QUIET), ProbabilityFlow(SubVP())),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_sampler_passes(name):
    sampler, claim = RIGHT[name]
    n = {ProbabilityFlow: 2000, ReverseSDE: 12_000}.get(type(claim), N)  # the flow knows no statistics
    report = check_sampler(sampler, claim, n=n, seed=1)
    assert report.passed, report
    assert report.wrong == ""
    assert 0 < report.smallest_slip <= 0.1


# What is wrong


def langevin_of(drift, noise, n_steps=1):
    def run(p, x, g):
        for _ in range(n_steps):
            x = x + drift * p.score(x) + noise(x, g)
        return x

    return run


def mutant_of_mala(log_ratio, spread=EPS):
    """With the log ratio as a function of p, y, x."""

    def run(p, x, g):
        y = proposed(p, x, g, spread=spread)
        return kept(log_ratio(p, y, x), y, x, g)

    return run


def rise(p, y, x):
    return p.log_prob(y) - p.log_prob(x)


def back(p, y, x):
    return log_q(p, x, y) - log_q(p, y, x)


def one_uniform_number(p, x, g):
    y = proposed(p, x, g)
    u = torch.rand(1, dtype=x.dtype, generator=g)
    return torch.where((u.log() < rise(p, y, x) + back(p, y, x))[:, None], y, x)


def hmc_mutant(log_ratio, last_kick=True):
    def run(p, x, g):
        v, h, y = normal(x, g), 0.6, x
        w = v
        for _ in range(2):
            w = w + h / 2 * p.score(y)
            y = y + h * w
            w = w + h / 2 * p.score(y) if last_kick else w
        return kept(log_ratio(rise(p, y, x), 0.5 * (v.square() - w.square()).sum(-1)), y, x, g)

    return run


def reverse(drift=1.0, score=1.0, noise=1.0, power=0.5, sde=SDE):
    """x - h [drift f x - score g^2 s] + noise g h^power z; score and noise also functions of g."""

    def run(p, x, times, g):
        for t, u in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            h, rate = t - u, float(sde.diffusion(t))
            a, e = (k(rate) if callable(k) else k for k in (score, noise))
            x = x - h * (drift * sde.drift(x, t) - a * rate**2 * score_at(sde, p.score, t)(x))
            x = x + e * rate * h**power * normal(x, g)
        return x

    return run


@dataclass(frozen=True)
class Mutant:
    sampler: Callable
    claim: object
    words: str


MUSEUM = {
    "annealed Langevin with sqrt(eps) noise at every level": Mutant(
        lambda p, x, g: museum.annealed_with_one_noise(p.score, x, LEVELS, step_size=0.2, n_steps=1, generator=g),
        ANNEALED,
        r"sqrt\(eps\) z is added at every level",
    ),
    "rand for randn": Mutant(
        lambda p, x, g: museum.langevin_with_uniform_noise(p.score, x, step_size=EPS, n_steps=1, generator=g),
        STEP,
        "uniform on .0, 1., rand for randn",
    ),
    "drift eps with noise sqrt(eps)": Mutant(
        lambda p, x, g: museum.langevin_with_half_missing(p.score, x, step_size=EPS, n_steps=1, generator=g),
        STEP,
        "1/2 of the drift is missing.*the temperature is 0.5, where 1",
    ),
    "MALA whose acceptance is of another kernel than its proposal": Mutant(
        lambda p, x, g: museum.mala_of_two_kernels(p.log_prob, p.score, x, step_size=EPS, n_steps=1, generator=g)[0],
        KEEPS,
        r"acceptance is of another kernel than the proposal: it proposes x \+ 0.3 s \+ sqrt\(0.3\) z, and accepts as "
        r"if it had proposed x \+ 0.3 s \+ sqrt\(0.6\) z",
    ),
    "MALA without accept or reject": Mutant(
        lambda p, x, g: museum.mala_without_a_choice(p.log_prob, p.score, x, step_size=EPS, n_steps=1, generator=g)[0],
        KEEPS,
        r"log_prob is never asked for: nothing is accepted or refused, and it takes steps x \+ 0.15 s \+ sqrt\(0.3\) z",
    ),
    "probability flow without its 1/2": Mutant(
        lambda p, x, times, g: museum.flow_without_the_half(p.score, x, VE().sigma(times)),
        ProbabilityFlow(VE()),
        "the 1/2 of g.2 s is missing",
    ),
    "drift and noise that do not match, for a network of sigma times the score": Mutant(
        lambda p, x, g: scaled_network_langevin(
            lambda y: 0.1 * p.score(y), len(x), keep_every=100, generator=g, **QUIET
        ).path[-1],  # before the tanh
        Langevin(2 * 0.1 * 0.1, 100),
        "the starts are not used.*so the temperature is 0.1[23], where 1",
    ),
    "diffusion coefficient that already draws the noise": Mutant(
        lambda p, x, g: museum.langevin_with_noise_drawn_twice(p.score, x, step_size=EPS, n_steps=1, generator=g),
        STEP,
        "^the noise is not normal: its excess kurtosis .* multiplied by a second normal one",
    ),
    "noised score that replaces variances": Mutant(
        lambda p, x, g: annealed_langevin(
            museum.score_replacing_variances(p), x, LEVELS, step_size=0.2, n_steps=1, generator=g, **QUIET
        ),
        ANNEALED,
        r"the variance sigma\^2 in place of C \+ sigma\^2 I",
    ),
}


def test_every_sampler_and_score_of_the_museum_is_here():
    assert set(MUSEUM) == {exhibit.name for kind in ("sampler", "score") for exhibit in museum.of_kind(kind)}


MUTANTS = {
    # steps of Langevin
    "sign of the drift": Mutant(langevin_of(-EPS / 2, lambda x, g: EPS**0.5 * normal(x, g)), STEP, "sign of the drift"),
    "noise of another convention": Mutant(
        langevin_of(EPS / 2, lambda x, g: (2 * EPS) ** 0.5 * normal(x, g)), STEP,
        r"sqrt\(2 eps\) z, which belongs to a drift eps s; so the temperature is 2",
    ),
    "eps z": Mutant(langevin_of(EPS / 2, lambda x, g: EPS * normal(x, g)), STEP, r"eps z, where sqrt\(eps\) z is"),
    "no noise": Mutant(langevin_of(EPS / 2, lambda x, g: 0 * x), STEP, "nothing is drawn.*no noise is added"),
    "no drift": Mutant(langevin_of(0.0, lambda x, g: EPS**0.5 * normal(x, g)), STEP, "score has no part"),
    "two wrongs in five steps": Mutant(
        langevin_of(EPS, lambda x, g: (2 * EPS) ** 0.5 * normal(x, g), 5), Langevin(EPS, 5),
        r"1/2 of the drift is missing.*sqrt\(2 eps\) z",
    ),
    "an odd number": Mutant(
        langevin_of(EPS * 0.4, lambda x, g: EPS**0.5 * normal(x, g)), STEP, "(0.4|0.39.|0.40.) eps s, where 0.5"
    ),
    "no root of the temperature": Mutant(
        langevin_of(EPS / 2, lambda x, g: 3 * EPS**0.5 * normal(x, g)), Langevin(EPS, 1, 3.0), r"T sqrt\(eps\) z"
    ),
    "signs for noise": Mutant(
        langevin_of(EPS / 2, lambda x, g: EPS**0.5 * normal(x, g).sign()), STEP, "a sign, where a normal number"
    ),
    "both coordinates get one number": Mutant(
        langevin_of(EPS / 2, lambda x, g: EPS**0.5 * normal(x, g, len(x), 1)), STEP, "coordinates is correlated, by 1"
    ),
    "the noise of the chain before": Mutant(
        langevin_of(EPS / 2, lambda x, g: (EPS / 2) ** 0.5 * ((z := normal(x, g)) + z.roll(1, 0))), STEP,
        "^the end of a chain depends on the start or the noise of the one before",
    ),
    "a clipped score": Mutant(
        lambda p, x, g: x + EPS / 2 * p.score(x).clamp(-3, 3) + EPS**0.5 * normal(x, g), STEP, "clipped"
    ),
    "noise that grows far out": Mutant(
        lambda p, x, g: x + EPS / 2 * p.score(x) + EPS**0.5 * (1 + 0.1 * x.norm(dim=-1, keepdim=True)) * normal(x, g),
        STEP, "size of the noise depends on where a chain is",
    ),
    "chains in another order": Mutant(
        lambda p, x, g: by_tau(p, x.flip(0), g), STEP, "^chains change places: .* of another's start$"
    ),
    # annealed Langevin
    "equal steps": Mutant(
        lambda p, x, g: equal_steps(p, x, g), ANNEALED, "the step is eps at every level",
    ),
    "rising levels": Mutant(
        lambda p, x, g: levels_in_order(p, x, g, LEVELS.flip(0)), ANNEALED, "the levels rise"
    ),
    "the clean score": Mutant(
        lambda p, x, g: annealed_langevin(lambda y, s: p.score(y), x, LEVELS, step_size=0.2, n_steps=1, generator=g,
                                          **QUIET), ANNEALED, "that of the clean law at every level",
    ),
    # accept and reject
    "without the proposal ratio": Mutant(mutant_of_mala(rise, 1.0), KEEPS, r"leaves out q\(x \| y\) / q\(y \| x\)"),
    "with the proposal ratio turned round": Mutant(
        mutant_of_mala(lambda *a: rise(*a) - back(*a)), KEEPS, r"turns q\(x \| y\) / q\(y \| x\).* round"
    ),
    "inverted": Mutant(
        lambda p, x, g: kept(-rise(p, y := x + normal(x, g), x), y, x, g), KEEPS, r"p\(x\) / p\(y\), where"
    ),
    "half the log ratio": Mutant(
        lambda p, x, g: kept(0.5 * rise(p, y := x + normal(x, g), x), y, x, g), KEEPS,
        "a temperature of 2.*half of log p: a temperature of 2",
    ),
    "a drift that the acceptance does not know": Mutant(
        lambda p, x, g: kept(rise(p, y := x + 0.3 + normal(x, g), x), y, x, g), KEEPS, "the mean moves by"
    ),
    "another kernel": Mutant(
        mutant_of_mala(lambda p, y, x: rise(p, y, x) + log_q(p, x, y, spread=2 * EPS) - log_q(p, y, x, spread=2 * EPS)),
        KEEPS, r"another kernel.*it proposes x \+ 0.15 s \+ sqrt\(0.3\) z, and accepts as if .* sqrt\(0.(5|6)\d?\) z",
    ),
    "all kept": Mutant(
        lambda p, x, g: kept(0 * rise(p, y := proposed(p, x, g), x), y, x, g), KEEPS, "all proposals are kept"
    ),
    "one uniform number for all": Mutant(one_uniform_number, KEEPS, "one uniform number decides for all chains"),
    "hmc without kinetic energy": Mutant(hmc_mutant(lambda p, q: p), KEEPS, "in HMC, the kinetic energy"),
    "hmc with twice the kinetic energy": Mutant(hmc_mutant(lambda p, q: p + 2 * q), KEEPS, "kinetic energy|twice"),
    "hmc without the last kick": Mutant(hmc_mutant(lambda p, q: p + q, last_kick=False), KEEPS, "of another kernel"),
    "langevin in its place": Mutant(by_tau, KEEPS,
        r"plain Langevin in steps of 0.[34].*takes steps x \+ 0.15 s \+ sqrt\(0.3\) z"),
    "it stays where it is": Mutant(lambda p, x, g: x, KEEPS, "no chain moved|nothing is drawn"),
    # back in time
    "half the score": Mutant(reverse(score=0.5), BACK, "g.2 s is halved, as in the flow"),
    "sign of the score": Mutant(reverse(score=-1.0), BACK, "the sign of the score"),
    "sign of f": Mutant(reverse(drift=-1.0), BACK, "the sign of the drift f x"),
    "without f": Mutant(reverse(drift=0.0), BACK, "the drift f x is left out"),
    "g for g^2": Mutant(reverse(score=lambda g: 1 / g), BACK, "g s stands in place of g.2 s"),
    "g^2 in the noise": Mutant(reverse(noise=lambda g: g), BACK, r"noise of a step is g\^2 sqrt\(h\) z"),
    "h in the noise": Mutant(reverse(power=1.0), BACK, "noise of a step is g h z"),
    "without noise": Mutant(reverse(noise=0.0), BACK, "no noise is added: with g.2 s"),
    "more noise": Mutant(reverse(noise=1.25), BACK, "score were (1.0|0.9).* times .*, and the noise 1.2"),
    "a flow that is too fast": Mutant(reverse(score=0.6, noise=0.0), FLOW, "score were 1.20 times what it should be"),
    "the flow": Mutant(
        lambda p, x, times, g: probability_flow(SDE, p.score, x, times, **QUIET), BACK, "it is the probability flow"
    ),
    "the flow, with noise": Mutant(reverse(score=0.5), FLOW, "noise g z is added, as in the SDE"),
    "the SDE": Mutant(reverse(), FLOW, "it is the reverse SDE"),
    "a corrector of its own variance": Mutant(
        lambda p, x, times, g: predictor_corrector(SDE, p.score, x, times, snr=0.4, generator=g, **QUIET), BACK,
        "as if the term of the score were .*, and the noise",
    ),
}  # fmt: skip


def levels_in_order(p, x, g, sigmas):
    for sigma in sigmas.tolist():
        alpha = 0.2 * (sigma / 0.5) ** 2
        x = x + alpha / 2 * p.score(x, sigma) + alpha**0.5 * normal(x, g)
    return x


def equal_steps(p, x, g):
    for sigma in LEVELS.tolist():
        x = x + 0.1 * p.score(x, sigma) + 0.2**0.5 * normal(x, g)
    return x


@pytest.mark.parametrize("name", MUSEUM | MUTANTS)
def test_a_mutant_is_rejected_by_name(name):
    mutant = (MUSEUM | MUTANTS)[name]
    report = check_sampler(mutant.sampler, mutant.claim, n=2000 if mutant.claim in (BACK, FLOW) else N)
    assert not report.passed and not report.undecided
    assert re.search(mutant.words, report.wrong), report.wrong


def seeded_inside(p, x, g):
    return by_tau(p, x, torch.Generator().manual_seed(3))


def of_the_global_stream(p, x, g):
    return x + EPS / 2 * p.score(x) + EPS**0.5 * torch.randn_like(x)  # noqa: NPY002


def moves_what_it_was_handed(p, x, g):
    return x.add_(EPS / 2 * p.score(x)).add_(EPS**0.5 * normal(x, g))


@pytest.mark.parametrize("claim", [STEP, KEEPS], ids=["Langevin", "Invariant"])
@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (lambda p, x, g: None, "gives a NoneType"),
        (lambda p, x, g: (x, 1.0), r"gives a tuple: .*generator=g\)\[0\]"),
        (lambda p, x, g: x[0], r"gives shape \[2\] from starts \[50, 2\]"),
        (lambda p, x, g: x.long(), "gives torch.int64"),
        (lambda p, x, g: x * torch.nan, "ends in nan or inf in 50 of 50 chains"),
        (lambda p, x, g: p.scores(x), r"sampler\(p, x, g\) raises AttributeError"),
        (lambda p, x: x, r"sampler\(p, x, g\) raises TypeError"),
        (seeded_inside, "other generators give the same ends: .* seeds of its own"),
        (of_the_global_stream, "two calls with the same generator differ"),
        (moves_what_it_was_handed, "moves the starts that it was handed in place"),
        (lambda p, x, g: x + EPS / 2 * p.score(x) + EPS**0.5 * normal(x, g, 1, 2), "all chains get one noise"),
    ],
)
def test_a_slip_of_code_is_a_finding(sampler, words, claim):
    report = check_sampler(sampler, claim, n=2000)
    assert re.search(words, report.wrong), report.wrong


def test_what_cannot_be_told_is_undecided():
    """A hundred steps at each level forget what the levels before did; tiny steps of a chain show nothing."""
    claim = AnnealedLangevin(LEVELS, 0.2, 100)
    report = check_sampler(
        lambda p, x, g: annealed_langevin(p.score, x, LEVELS, step_size=0.2, n_steps=100, generator=g, **QUIET),
        claim, n=2000,
    )  # fmt: skip
    assert report.undecided
    assert "nor could it be told whether the step is eps at every level" in report.wrong
    report = check_sampler(
        lambda p, x, g: metropolis(p.log_prob, x, step_size=1e-4, n_steps=1, generator=g, **QUIET), n=2000
    )
    assert report.undecided
    assert "chains hardly move. Take larger steps" in report.wrong


def test_it_can_be_printed_without_a_loss():
    report = check_sampler(*RIGHT["by tau"], n=2000)
    assert "loss" not in str(report)
    assert str(report).startswith("ok    call: one finite point per chain")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: check_sampler(0.5), TypeError, "sampler is"),
        (lambda: check_sampler(by_tau, Invariant), TypeError, r"claim is the class Invariant: give an instance"),
        (lambda: check_sampler(by_tau, 0.3), TypeError, "claim is a float: give what the sampler is to be"),
        (lambda: check_sampler(by_tau, STEP, n=10), ValueError, "n is 10"),
        (lambda: check_sampler(by_tau, STEP, seed=-1), ValueError, "seed is -1"),
        (lambda: Langevin(0.0), ValueError, "step_size is 0.0"),
        (lambda: Langevin(0.1, 0), ValueError, "n_steps is 0"),
        (lambda: Langevin(0.1, temperature=-1.0), ValueError, "temperature is -1"),
        (lambda: AnnealedLangevin(LEVELS.flip(0), 0.1, 1), ValueError, "sigmas"),
        (lambda: AnnealedLangevin(LEVELS, -0.1, 1), ValueError, "step_size is -0.1"),
        (lambda: ReverseSDE(VE), TypeError, "sde is the class VE"),
        (lambda: ProbabilityFlow(0.5), TypeError, "sde is a float"),
    ],
)
def test_bad_arguments_are_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
