"""``check_objective`` of losses of an energy: it accepts them however they are written, and names their mistakes."""

import functools
import math
import re

import pytest
import scipy.stats
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from toylab.densities import Circle, GaussianMixture, isotropic
from toylab.densities.quadrature import expectation
from toylab.objectives import (
    ContrastiveDivergence,
    MaximumLikelihood,
    MultiscaleDenoising,
    NoiseContrastive,
    PersistentContrastiveDivergence,
)
from toylab.paths import Linear
from toylab.samplers import langevin_step, mala_init, mala_step
from toylab.score import gradient
from toylab.testing import check_objective
from toylab.testing.energy_truth import Energy, EnergyTruth, energy_losses
from toylab.testing.estimate import Estimate, threshold, threshold_of_few
from toylab.testing.gradient_evidence import GradientEvidence
from toylab.testing.run import Draws

N = 20_000  # to begin with: a right loss gets as many as its check needs, and a mutant is found in these
ONE = GaussianMixture([1.0], [[1.0, -0.5]], [[[1.0, 0.3], [0.3, 0.5]]])
BOX = (-7.0, 9.0, -7.0, 6.0)
NOISE = isotropic([[0.5, 0.0]], std=1.5)
ULA = functools.partial(langevin_step, step_size=0.3)


def mala(model, x, *, generator=None, step_size=0.5):
    """One step of MALA, as a step of contrastive divergence."""
    log_prob = lambda y: -model.energy(y)  # noqa: E731
    return mala_step(log_prob, model, mala_init(log_prob, model, x), step_size, generator=generator)[0].x


def independent(model, x, *, generator=None):
    """One step of Metropolis with proposals of the noise, which owe nothing to x."""
    y = NOISE.sample((len(x),), generator=generator).to(x)
    log_ratio = model.energy(x) - model.energy(y) + NOISE.log_prob(x) - NOISE.log_prob(y)
    kept = torch.rand(len(x), dtype=x.dtype, generator=generator).log() < log_ratio
    return torch.where(kept[:, None], y, x).detach()


def half_square(v):
    return 0.5 * v.square().sum(-1)


def box_nodes(n=60):
    """Midpoints of n x n cells and the area of a cell."""
    left, right, bottom, top = BOX
    t = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.cartesian_prod(left + (right - left) * t, bottom + (top - bottom) * t), (
        (right - left) * (top - bottom) / n**2
    )


def likelihood(model, x, generator=None):
    """log Z as the integral over midpoints, subtracted from a log-density."""
    nodes, area = box_nodes()
    unnormalised = lambda y: torch.exp(-model.energy(y))  # noqa: E731
    return -torch.log(unnormalised(x) / (area * unnormalised(nodes).sum()))


def one_cloud(model, x, generator=None):
    """Contrastive divergence with one call for data and chains, whose mean is shared by the batch."""
    y = independent(model, x, generator=generator)
    of_data, of_chains = model.energy(torch.cat([x, y])).chunk(2)
    return of_data - of_chains.mean()


def as_classification(log_prob, x, generator=None):
    """Noise-contrastive estimation as logistic regression of a function that gives log p."""
    y = NOISE.sample((len(x),), generator=generator).to(x)
    logits = torch.cat([log_prob(z) - NOISE.log_prob(z) for z in (x, y)])
    labels = torch.cat([torch.ones_like(x[:, 0]), torch.zeros_like(y[:, 0])])
    losses = binary_cross_entropy_with_logits(logits, labels, reduction="none").view(2, -1)
    return losses.mean(0)


def denoised_by_hand(model, x, generator=None):
    """Denoising score matching of an energy that is differentiated here."""
    z = torch.randn(x.shape, dtype=x.dtype, generator=generator)
    y = (x + 0.5 * z).requires_grad_()
    (slope,) = torch.autograd.grad(model.energy(y).sum(), y, create_graph=True)
    return 0.5 * (-slope + z / 0.5).square().sum(-1)


SOUND = {
    "likelihood by midpoints": (likelihood, {}),
    "one cloud": (one_cloud, {}),
    "as classification": (as_classification, {"network_of": lambda model: lambda x: -model.energy(x)}),
    "denoising by hand": (denoised_by_hand, {"sigma": 0.5}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_right_loss_passes(name):
    objective, settings = SOUND[name]
    report = check_objective(objective, density=ONE, n=N, **settings)
    assert report.passed, report
    assert report.smallest_slip <= 0.102
    assert "would have been seen" in str(report)


def energies_of(formula):
    """E(x) - E(y) and the like: ``formula`` of the energies of the data and of the ends of chains."""

    def loss(model, x, *, generator=None):
        return formula(model.energy(x), model.energy(independent(model, x, generator=generator)))

    return loss


def by_steps(step, n_steps=1, start=None):
    """Contrastive divergence with steps of its own, held fixed, from the data or from elsewhere."""

    def loss(model, x, *, generator=None):
        y = x if start is None else start(x, generator)
        with torch.no_grad():
            for _ in range(n_steps):
                y = step(model, y, torch.randn(x.shape, dtype=x.dtype, generator=generator))
        return model.energy(x) - model.energy(y)

    return loss


def through_the_chain(model, x, *, generator=None):
    z = torch.randn(x.shape, dtype=x.dtype, generator=generator)
    y = x + 0.05 * model(x) + 0.1**0.5 * z
    return model.energy(x) - model.energy(y)


def own_gradient(model, x, *, generator=None):
    """Langevin steps along the energy's gradient, which is taken here."""
    y = x
    for _ in range(2):
        y = y.detach().requires_grad_()
        (slope,) = torch.autograd.grad(model.energy(y).sum(), y)
        y = y - 0.2 * slope + 0.4**0.5 * torch.randn(x.shape, dtype=x.dtype, generator=generator)
    return model.energy(x) - model.energy(y.detach())


def gradient_of_a_function(model, x, *, generator=None):
    """The same by torch.func."""
    y = x
    for _ in range(2):
        z = torch.randn(x.shape, dtype=x.dtype, generator=generator)
        y = (y + 0.2 * gradient(lambda y: -model.energy(y), y) + 0.4**0.5 * z).detach()
    return model.energy(x) - model.energy(y)


def contrast(ratio=3, noise=True, count=True, mean=False):
    """Noise-contrastive estimation with a part left out."""

    def loss(model, x, *, generator=None):
        y = NOISE.sample((ratio, len(x)), generator=generator).to(x)

        def log_odds(x):
            return -model.energy(x) - noise * NOISE.log_prob(x) - count * math.log(ratio)

        of_noise = softplus(log_odds(y))
        return softplus(-log_odds(x)) + (of_noise.mean(0) if mean else of_noise.sum(0))

    return loss


def without_a_normaliser(model, x, *, generator=None):
    return model.energy(x)


def detached_normaliser(model, x, *, generator=None):
    nodes, area = box_nodes()
    return model.energy(x) + ((-model.energy(nodes)).logsumexp(0) + math.log(area)).detach()


def first_point(model, x, *, generator=None):
    return energies_of(lambda a, b: a - b)(model, x[:1].expand(len(x), 2), generator=generator)


def any_point(model, x, *, generator=None):
    k = torch.randint(len(x), (1,), generator=generator)
    return ContrastiveDivergence(ULA)(model, x[k].expand(len(x), 2), generator=generator)


def all_detached(model, x, *, generator=None):
    return energies_of(lambda a, b: a - b)(model, x, generator=generator).detach()


def wide_start(x, generator):
    return 6 * torch.rand(x.shape, dtype=x.dtype, generator=generator) - 3


class Buffer:
    """Chains of its own, that go on from call to call."""

    def __init__(self):
        self.chains = torch.zeros(1000, 2, dtype=torch.float64)

    def __call__(self, model, x, *, generator=None):
        self.chains = mala(model, self.chains, generator=generator).detach()
        return model.energy(x) - model.energy(self.chains).mean()


class HalfAnOffset(MaximumLikelihood):
    def offset(self, density):
        return super().offset(density) / 2


MUTANTS = {
    # phases
    "phases exchanged": (energies_of(lambda a, b: b - a), "the two phases are exchanged"),
    "likelihood upside down": (lambda m, x, *, generator=None: -likelihood(m, x), "the two phases are exchanged"),
    "no normaliser": (without_a_normaliser, "nothing stands against the energies of the data"),
    "detached normaliser": (detached_normaliser, "nothing stands against the energies of the data"),
    "chains count half": (energies_of(lambda a, b: a - 0.5 * b), "count 0.5 times as much as those of the data"),
    "alpha E^2": (energies_of(lambda a, b: a - b + 0.1 * (a**2 + b**2)), "a term 0.1 E^2 is added"),
    "the first point": (first_point, "only one point of each batch is used"),
    "any point": (any_point, "only one point of each batch is used"),
    "all detached": (all_detached, "carries no gradient to the energy"),
    "a mean": (lambda m, x, *, generator=None: likelihood(m, x).mean(), "leave out the mean"),
    "an offset": (HalfAnOffset(BOX, n_cells=16), "mean loss + offset = 0 at the truth needs"),
    # chains
    "eps s + sqrt(eps) z": (by_steps(lambda m, y, z: y + 0.1 * m(y) + 0.1**0.5 * z), "the temperature 0.5"),
    "drift alone": (by_steps(lambda m, y, z: y + 0.1 * m(y) + 0.005 * z, 3), "the temperature 0.0001"),
    "half of the drift": (by_steps(lambda m, y, z: y + 0.05 * m(y) + 0.2**0.5 * z), "the temperature 2"),
    "Langevin steps": (ContrastiveDivergence(ULA), "chains are Langevin steps of size 0.3"),
    "persistent Langevin": (PersistentContrastiveDivergence(ULA), "chains are Langevin steps of size 0.3"),
    "its own gradient": (own_gradient, "chains are Langevin steps of size 0.4"),
    "a gradient by torch.func": (gradient_of_a_function, "the gradient does not vanish at E = -log p"),
    "through the chain": (through_the_chain, "comes through the points at which E is taken"),
    "started elsewhere": (
        by_steps(lambda m, y, z: y + 0.05 * m(y) + 0.1**0.5 * z, 3, wide_start), "chains do not start at the data"
    ),
    "a buffer of its own": (Buffer(), "keep chains in the network"),
    # noise-contrastive
    "no noise density": (contrast(noise=False), "the density of the noise is left out of the log-odds"),
    "no ratio": (contrast(count=False), "the log-odds lack - log r, with r = 3 draws"),
    "mean over the noise": (contrast(mean=True), "count r = 3 draws of noise for each point, and the loss takes their"),
    # called otherwise
    "E = model(x)": (lambda m, x, *, generator=None: m(x), "network_of=lambda model: model.energy"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_rejected_by_name(name):
    objective, says = MUTANTS[name]
    report = check_objective(objective, density=ONE, n=N)
    assert not report.passed, report
    assert not report.undecided
    assert says in report.wrong, report


def test_the_score_of_the_model_is_minus_the_gradient_of_its_energy():
    truth, x = EnergyTruth(ONE, 0.3), Draws(ONE, 0).points(20).requires_grad_()
    model = Energy(truth, torch.tensor([0.3, -0.5, 0.7, 0.2, 1.1], dtype=torch.float64), 0, 0)
    (slope,) = torch.autograd.grad(model.energy(x).sum(), x)
    torch.testing.assert_close(model(x.detach()), -slope, rtol=1e-9, atol=1e-9)
    exact = Energy(truth, truth.exact, 0, 0)
    torch.testing.assert_close(exact.energy(x), -ONE.log_prob(x, 0.3), rtol=1e-9, atol=1e-9)
    assert torch.equal(exact(x.detach()), exact(x.detach()))


def test_the_functions_have_no_mean_and_the_variances_that_they_are_said_to_have():
    truth = EnergyTruth(ONE, 0.0)
    for k, (name, variance) in enumerate(truth.variances.items()):
        if variance:
            moments = [expectation(lambda x, k=k, m=m: truth.features(x)[:, k] ** m, ONE) for m in (1, 2)]
            assert moments == pytest.approx([0.0, variance], abs=1e-8), name
    assert truth.variances["log p"] == pytest.approx(1.0)  # of a Gaussian in the plane
    assert truth.entropy == pytest.approx(1 + math.log(2 * math.pi) + 0.5 * math.log(0.5 - 0.09))


def test_the_curvature_of_noise_contrastive_estimation_is_its_fisher_matrix(ratio=3):
    """E f^2 (1 - h) for each function f, h = p / (p + r q), by quadrature, over Var f: to 5 standard errors."""
    truth = EnergyTruth(ONE, 0.0)
    found = GradientEvidence(truth)
    draws = Draws(ONE, 0)
    found.add(energy_losses(NoiseContrastive(NOISE, ratio), truth, None), draws.points(N), draws.fresh)
    for k, (name, part) in enumerate(found.curvatures().items()):

        def integrand(x, k=k):
            noise = ratio * NOISE.log_prob(x).exp()
            return truth.features(x)[:, k].square() * noise / (ONE.log_prob(x).exp() + noise)

        assert abs(part.mean - expectation(integrand, ONE)) < 5 * part.error + 3e-3, name


def test_the_curvature_of_langevin_chains_has_a_closed_form():
    """Of E = (1 + a)(x - m)^T P (x - m) / 2, one step of size e: the slope rises as e/2 tr(P - e/2 P^2), by hand."""
    truth, eps = EnergyTruth(ONE, 0.0), 0.01
    found, draws = GradientEvidence(truth), Draws(ONE, 0)
    step = functools.partial(langevin_step, step_size=eps)
    found.add(energy_losses(ContrastiveDivergence(step), truth, None), draws.points(N), draws.fresh)
    P = torch.linalg.inv(ONE.covariances[0].double())
    expected = 0.5 * eps * float(torch.trace(P - 0.5 * eps * P @ P))
    part = found.curvatures()["log p"]
    assert abs(part.mean - expected) < 5 * part.error + 1e-3 * expected
    assert part.error < 0.02 * expected


def test_a_slip_of_the_size_that_a_pass_rules_out_is_seen():
    """Noise-contrastive estimation of 1.07 E, which then learns 1/1.07 of it; a pass sees 5 %."""

    def loss(log_prob, x, generator=None):
        return as_classification(lambda x: 1.07 * (log_prob(x) + 2.4) - 2.4, x, generator=generator)

    report = check_objective(loss, density=ONE, n=N, n_most=10 * N, network_of=lambda model: lambda x: -model.energy(x))
    assert not report.passed and not report.undecided
    assert "the gradient does not vanish at E = -log p" in report.wrong


def needed(report):
    return int(re.search(r"about ([\d,]+) points would do", report.wrong)[1].replace(",", ""))


def test_what_cannot_be_told_is_no_pass_and_the_points_that_it_takes_are_told():
    """With a fixed seed; a right loss is rejected once in 1e6 runs, and twice the points told suffice by far."""
    report = check_objective(ContrastiveDivergence(mala), density=ONE, n=1000, n_most=1000)
    assert report.undecided, report
    assert "could not tell below" in report.wrong
    assert "let chains go further" in report.wrong and "hardly leave the data" not in report.wrong
    n = needed(report)
    assert check_objective(ContrastiveDivergence(mala), density=ONE, n=1000, n_most=2 * n).passed
    assert check_objective(ContrastiveDivergence(mala), density=ONE, n=1000, n_most=n // 10).undecided


def test_small_steps_are_said_to_need_points_in_inverse_proportion(few=1000):
    """The gradient is of the order of the step and its noise of the root of it, so that n goes as 1 / step."""
    told = {}
    for step_size in (1e-3, 1e-2):
        step = functools.partial(langevin_step, step_size=step_size)
        report = check_objective(ContrastiveDivergence(step), density=ONE, n=few, n_most=few)
        assert report.undecided and "as where chains hardly leave the data" in report.wrong
        told[step_size] = needed(report)
    assert 7 < told[1e-3] / told[1e-2] < 14  # told to one digit


def test_a_report_is_reproducible_and_leaves_the_global_stream():
    before, few = torch.get_rng_state(), {"density": ONE, "n": 1000, "n_most": 1000}
    one, other = (check_objective(contrast(), **few) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (one.findings, one.loss_std) == (other.findings, other.loss_std)


def test_a_value_that_is_no_cross_entropy_is_told():
    """Z without the area of a cell: the gradient does not care, and the value is off by its logarithm."""

    def loss(model, x, generator=None):
        nodes, _ = box_nodes()
        return model.energy(x) + (-model.energy(nodes)).logsumexp(0)

    _, area = box_nodes()
    report = check_objective(loss, density=ONE, n=N)
    assert report.passed
    assert f"its value at the truth is -log p(x) + {-math.log(area):.4g}" in str(report)
    assert "-log p(x), whose mean is the entropy" in str(check_objective(likelihood, density=ONE, n=N))


@pytest.mark.parametrize(
    ("objective", "settings", "message"),
    [
        (MaximumLikelihood(BOX), {"weight": 2.0}, "weight is given for a loss that asks for model.energy"),
        (likelihood, {"density": ONE.truncated((0.0, 2.0, -1.0, 1.0))}, "ends at a wall, where -log p is inf"),
        (likelihood, {"density": Circle(2.0)}, "sigma > 0"),
        (likelihood, {"sigma": -1.0}, "sigma"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(objective, settings, message):
    with pytest.raises(ValueError, match=message):
        check_objective(objective, **{"density": ONE} | settings)


@pytest.mark.parametrize("settings", [{"path": Linear()}, {"sigma": torch.tensor([1.0, 0.5])}])
def test_what_has_several_levels_or_times_hands_no_energy(settings):
    report = check_objective(MaximumLikelihood(BOX), density=ONE, **settings)
    assert "is checked without path= and at a single sigma" in report.wrong


def test_the_threshold_is_that_of_students_law():
    """With one control of 100 values: 2 P(t > z / sqrt(99/98)) = 1e-7 / N; the normal threshold is for many."""
    z = threshold_of_few(44, 100, 1)
    assert 44 * 2 * scipy.stats.t(98).sf(z / math.sqrt(99 / 98)) == pytest.approx(1e-7, rel=1e-6)
    assert threshold_of_few(44, 10**7) == pytest.approx(threshold(44), abs=1e-4)


def test_a_slope_is_off_beyond_its_threshold_and_a_tenth_of_a_percent_of_the_curvature():
    found = GradientEvidence(EnergyTruth(ONE, 0.0))
    assert found.z == threshold_of_few(44, 100, 4)  # four looks at five slopes, five curvatures and the constant
    for beyond, off in ((0.99, []), (1.01, ["log p"])):
        slopes = dict.fromkeys(found.truth.directions, Estimate(0.0, 1.0, 100))
        found.rounds = [slopes | {"log p": Estimate(beyond * (found.z + 1e-3), 1.0, 100)}]
        assert found.off() == off


# -------------------------------------------------------------------- one energy for all levels, which it is not told

LADDER = torch.tensor([1.0, 0.5, 0.3], dtype=torch.float64)


class Multiscale(MultiscaleDenoising):
    """With a factor in front of the target, or of the whole."""

    target, weight = 1.0, 1.0

    def __call__(self, score, x, *, generator=None):
        k = torch.randint(len(LADDER), (len(x),), generator=generator)
        sigma, z = LADDER[k][:, None], torch.randn(x.shape, dtype=x.dtype, generator=generator)
        return self.weight * half_square((score(x + sigma * z) + self.target * sigma * z / self.sigma_0**2) / sigma)


class MinusTheTarget(Multiscale):
    target = -1.0


class Twice(Multiscale):
    weight = 2.0


class NoOffset(MultiscaleDenoising):
    def offset(self, density):
        return 0.9 * super().offset(density)


@pytest.mark.parametrize(
    ("objective", "settings", "says"),
    [
        (MultiscaleDenoising(LADDER, 0.4), {}, ""),
        (Multiscale(LADDER, 0.4), {}, ""),
        (MinusTheTarget(LADDER, 0.4), {}, "the loss is not least at objective.minimiser(density): its target is"),
        (Twice(LADDER, 0.4), {}, "times w 1/2 |s - s*|^2: its weight, or its levels, are others"),
        (NoOffset(LADDER, 0.4), {}, "mean loss + offset = 0 at the truth needs"),
        (MultiscaleDenoising(LADDER, 0.4), {"sigma": 1.3 * LADDER}, "its weight, or its levels, are others"),
    ],
)
def test_a_loss_that_tells_no_level_is_held_to_its_own_minimiser(objective, settings, says):
    report = check_objective(objective, density=ONE, n=N, **settings)
    assert report.passed == (not says), report
    assert says in report.wrong, report
