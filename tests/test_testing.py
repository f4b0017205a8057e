"""``check_objective`` accepts every objective of ours and rejects, by name, every published mistake.

A mutant is a loss as it was published, in code or in a text, and the words that the check must find for it.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from toylab import museum
from toylab._internal.random import normal_like, uniform
from toylab.densities import GaussianMixture, ring, two_modes
from toylab.objectives import (
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    Implicit,
    LikelihoodWeighting,
    LogNormal,
    LogUniform,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoisePrediction,
    Sliced,
    UniformTimes,
    gaussian,
    sphere,
)
from toylab.schedules import geometric
from toylab.score import divergence, value_and_divergence, value_and_jvp
from toylab.sde import VP
from toylab.testing import MIXTURE, check_objective

SIGMA = 0.3
N = 20_000  # to begin with: a right loss gets as many as its check needs, and a mutant is found in these or says so
SIGMAS = geometric(5.0, 0.2, 3)
CONTINUOUS = LogUniform(0.2, 5.0)
SHORT_VP = VP(beta_max=5.0, t_min=0.1)


def noise_for(score):
    return lambda x: -SIGMA * score(x)


SOUND = {
    "explicit": (Explicit(MIXTURE.score), {}),
    "explicit, of another density": (Explicit(two_modes().score), {"density": two_modes()}),
    "implicit": (Implicit(), {}),
    "sliced": (Sliced(), {}),
    "sliced, plain, three gaussian slices": (Sliced(3, gaussian, False), {}),
    "sliced, sphere": (Sliced(projection=sphere), {}),
    "sliced, finite differences": (FiniteDifferenceSliced(1e-4), {}),
    "denoising": (Denoising(SIGMA), {"sigma": SIGMA}),
    "denoising 0.1": (Denoising(0.1), {"sigma": 0.1}),
    "denoising 2": (Denoising(2.0), {"sigma": 2.0}),
    "denoising, antithetic": (Denoising(SIGMA, antithetic=True), {"sigma": SIGMA}),
    "denoising, control variate": (Denoising(SIGMA, control_variate=True), {"sigma": SIGMA}),
    "noise prediction": (NoisePrediction(SIGMA), {"sigma": SIGMA, "weight": SIGMA**2, "network_of": noise_for}),
    "noise-conditional": (NoiseConditional(SIGMAS), {"sigma": SIGMAS}),
    "noise-conditional, antithetic": (NoiseConditional(SIGMAS, antithetic=True), {"sigma": SIGMAS}),
    "noise-conditional, weight 1": (
        NoiseConditional(SIGMAS, weighting=torch.ones_like),
        {"sigma": SIGMAS, "weight": 1.0},
    ),
    "noise-conditional, log-uniform": (NoiseConditional(CONTINUOUS), {"sigma": CONTINUOUS}),
    "noise-conditional, log-normal": (NoiseConditional(LogNormal(0.0, 0.5)), {"sigma": LogNormal(0.0, 0.5)}),
    "noise-conditional, weighted for likelihood": (
        NoiseConditional(UniformTimes(SHORT_VP), LikelihoodWeighting(SHORT_VP)),
        {"sigma": UniformTimes(SHORT_VP), "weight": LikelihoodWeighting(SHORT_VP)},
    ),
    "noise-conditional, explicit": (NoiseConditionalExplicit(MIXTURE.score, SIGMAS), {"sigma": SIGMAS}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_right_objective_passes(name):
    objective, settings = SOUND[name]
    report = check_objective(objective, n=N, **settings)
    assert report.passed, report
    assert report.wrong == ""


def half_square(v):
    return 0.5 * v.square().sum(-1)


def noised(x, generator, sigma=SIGMA):
    z = normal_like(x, generator)
    return x + sigma * z, z


def over_variance(score, x, *, generator=None):
    y, z = noised(x, generator)
    return half_square(score(y) + z / SIGMA**2)


def gradient_of_the_density(score, x, *, generator=None):
    y, z = noised(x, generator)
    q = torch.exp(-half_square(z)) / (2 * math.pi * SIGMA**2)
    return half_square(score(y) + q[..., None] * z / SIGMA)


def the_noise_itself(score, x, *, generator=None):
    y, z = noised(x, generator)
    return half_square(score(y) - z)


def one_fixed_direction(score, x, *, generator=None):
    v = torch.tensor([1.0, 0.0], dtype=x.dtype).expand_as(x)
    s, jvp = value_and_jvp(score, x, v)
    return (v * jvp).sum(-1) + 0.5 * (v * s).sum(-1).square()


def outer_norm(score, x, *, generator=None):
    v = normal_like(x, generator)
    s, jvp = value_and_jvp(score, x, v)
    return ((v * jvp).sum(-1) + half_square(s)).abs()


def unit_sphere(x, generator=None):
    return sphere(x, generator) / math.sqrt(2)


def without_the_half(score, x, *, generator=None):
    return 2 * Implicit()(score, x)


def over_sigma_once(network, x, *, generator=None):
    """1 / (2 sigma) in place of 1/2 before the error of a predicted noise."""
    y, z = noised(x, generator)
    return (network(y) - z).square().sum(-1) / (2 * SIGMA)


def minus_two_traces(score, x, *, generator=None):
    s, d = value_and_divergence(score, x)
    return s.square().sum(-1) - 2 * d


def noise_of_variance_sigma(score, x, *, generator=None):
    y, z = noised(x, generator, SIGMA**0.5)
    return half_square(score(y) + z / SIGMA)


def uniform_noise(score, x, *, generator=None):
    z = uniform(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return half_square(score(x + SIGMA * z) + z / SIGMA)


def shifted_target(score, x, *, generator=None):
    y, z = noised(x, generator)
    return half_square(score(y) + z / SIGMA - torch.tensor([0.5, 0.0], dtype=x.dtype))


def one_diagonal_entry(score, x, *, generator=None):
    v = torch.tensor([1.0, 0.0], dtype=x.dtype).expand_as(x)
    s, jvp = value_and_jvp(score, x, v)
    return jvp[..., 0] + half_square(s)


def square_without_its_half(score, x, *, generator=None):
    s, d = value_and_divergence(score, x)
    return d + s.square().sum(-1)


def inverted_square(score, x, *, generator=None):
    s, d = value_and_divergence(score, x)
    return d - half_square(s)


def detached(score, x, *, generator=None):
    return divergence(score, x) + half_square(score(x).detach())


def all_detached(score, x, *, generator=None):
    return Implicit()(score, x).detach()


def batch_mean(score, x, *, generator=None):
    return Implicit()(score, x).mean()


def a_loss_per_coordinate(score, x, *, generator=None):
    return (score(x) - MIXTURE.score(x)).square()


def normalised_by_the_batch(score, x, *, generator=None):
    return Explicit(MIXTURE.score)(score, x) / x.std()


def global_stream(score, x, *, generator=None):
    z = torch.randn(x.shape, dtype=x.dtype)
    return half_square(score(x + SIGMA * z) + z / SIGMA)


def no_generator(score, x):
    return Implicit()(score, x)


def a_number(score, x, *, generator=None):
    return float(Implicit()(score, x).mean())


def not_finite(score, x, *, generator=None):
    return Implicit()(score, x) / 0.0


def formula(error):
    """Half the square of error(score, x, z), for normal numbers z [n, 2]."""

    def loss(score, x, *, generator=None):
        return half_square(error(score, x, normal_like(x, generator)))

    return loss


def ladder(error):
    """sigma^2 times half the square of error(score, x, z, sigma), for levels sigma [n, 1] of SIGMAS."""

    def loss(score, x, *, generator=None):
        sigma = SIGMAS.double()[torch.randint(len(SIGMAS), x.shape[:1], generator=generator)][:, None]
        return sigma[:, 0] ** 2 * half_square(error(score, x, normal_like(x, generator), sigma))

    return loss


def not_squared(score, x, *, generator=None):
    y, z = noised(x, generator)
    return (score(y) + z / SIGMA).norm(dim=-1)


def huber(score, x, *, generator=None):
    y, z = noised(x, generator)
    return torch.nn.functional.smooth_l1_loss(score(y), -z / SIGMA, reduction="none").sum(-1)


E1 = torch.tensor([1.0, 0.0], dtype=torch.float64)


class HalfAnOffset(Implicit):
    def offset(self, density):
        return super().offset(density) / 2


class OffsetOfTheCleanLaw(Denoising):
    def offset(self, density):
        return Implicit().offset(density) - 1 / self.sigma**2


@dataclass(frozen=True)
class Mutant:
    source: str
    objective: Callable
    says: str
    settings: dict = field(default_factory=dict)


AT, FIELD = {"sigma": SIGMA}, "its target is another field"
MUTANTS = {
    # peers' code
    "denoising target with the wrong sign": Mutant(
        "torchebm before #333", museum.DenoisingOfWrongSign(SIGMA), "converges to -s: sign", AT
    ),
    "finite-difference trace divided by d": Mutant(
        "torchebm approx", museum.implicit_with_trace_over_d, "a trace divided by d = 2"
    ),
    "target divided by data squared": Mutant(
        "a course project", museum.DenoisingOverDataSquared(SIGMA), "divided by the square of the data, x^2", AT
    ),
    "noised score that replaces variances": Mutant(
        "ncsn", NoiseConditionalExplicit(museum.score_replacing_variances(MIXTURE), SIGMAS),
        "a mixture whose variances are replaced by sigma^2", {"sigma": SIGMAS},
    ),
    # texts
    "z/sigma^2 for z/sigma": Mutant("a blog", over_variance, "converges to s/sigma: the target is z/sigma^2", AT),
    "grad q for grad log q": Mutant("a blog", gradient_of_the_density, "grad q(y | x) where grad log q is meant", AT),
    "the score predicts the noise": Mutant("a blog", the_noise_itself, "-sigma s, the noise itself", AT),
    "+(y - x)/sigma^2": Mutant("a review", museum.DenoisingOfWrongSign(SIGMA), "converges to -s: sign", AT),
    "one fixed direction": Mutant("a review, a poster", one_fixed_direction, "does not see the second coordinate"),
    "an outer norm": Mutant("a poster", outer_norm, "an absolute value or an outer norm"),
    "variance-reduced on the unit sphere": Mutant("a poster", Sliced(projection=unit_sphere), "E v v^T = I/d"),
    "no 1/2": Mutant("a poster", without_the_half, "is 2 times w 1/2 |s - s*|^2: the 1/2 is missing"),
    "1/(2 sigma) for 1/2": Mutant(
        "a tutorial", over_sigma_once, "is 0.3 times w 1/2 |s - s*|^2: a weight sigma",
        {"sigma": SIGMA, "network_of": noise_for},
    ),
    "|s|^2 - 2 tr": Mutant("slides", minus_two_traces, "converges to -s: sign of the target"),
    # usual slips
    "noise of variance sigma": Mutant("a slip", noise_of_variance_sigma, "the noise has the variance sigma", AT),
    "rand for randn": Mutant("a slip", uniform_noise, "uniform on [0, 1), rand for randn", AT),
    "half of the trace": Mutant("a slip", one_diagonal_entry, "d s_1/d x_1 counts 1 times, d s_2/d x_2 0 times"),
    "|s|^2 without its 1/2": Mutant("a slip", square_without_its_half, "|s|^2 has lost its 1/2"),
    "-|s|^2": Mutant("a slip", inverted_square, "falls without bound"),
    "a constant in the target": Mutant("a slip", shifted_target, "a constant is added to the target", AT),
    "a part detached": Mutant("a slip", detached, "detached from the score"),
    "all detached": Mutant("a slip", all_detached, "carries no gradient"),
    "mean over the batch": Mutant("a slip", batch_mean, "leave out the mean"),
    "a loss per coordinate": Mutant("a slip", a_loss_per_coordinate, "sum over coordinates"),
    "divided by the batch's spread": Mutant("a slip", normalised_by_the_batch, "changes when another point moves"),
    "global random numbers": Mutant("a slip", global_stream, "draw all random numbers from the generator", AT),
    "takes no generator": Mutant("a slip", no_generator, "takes no argument named generator"),
    "a number": Mutant("a slip", a_number, "gives a float"),
    "not finite": Mutant("a slip", not_finite, "nan or inf"),
    "half an offset": Mutant("a slip", HalfAnOffset(), "mean loss + offset = 0 at the truth needs"),
    "the clean law's offset": Mutant("a slip", OffsetOfTheCleanLaw(SIGMA), "at the truth needs", AT),
    "another law's target": Mutant("a slip", Explicit(two_modes().score), FIELD),
    "denoising taken for the clean score": Mutant("a slip", Denoising(SIGMA), "at noised points: say so by sigma=0.3"),
    "weighting forgotten": Mutant("a slip", NoisePrediction(SIGMA), "as of a noise prediction; say so by weight=",
                                  {"sigma": SIGMA, "network_of": noise_for}),
    "sigma^2 for sigma": Mutant("a slip", Denoising(SIGMA**2), "sigma squared for sigma: the noise has", AT),
    "sigma^2 for sigma in the noise": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA**2 * z) + z / SIGMA), "sigma^2, but not in the target", AT
    ),
    "sigma^2 for sigma at every level": Mutant(
        "a slip", ladder(lambda s, x, z, sigma: s(x + sigma**2 * z, sigma[:, 0]) + z / sigma**2),
        "sigma squared for sigma: the noise has", {"sigma": SIGMAS},
    ),
    "twice the noise": Mutant("a slip", Denoising(2 * SIGMA), "times its standard deviation, sigma", AT),
    "another level than that of the noise": Mutant(
        "a slip", ladder(lambda s, x, z, sigma: s(x + 2 * z, sigma[:, 0]) + z / sigma), "2 whatever the level",
        {"sigma": SIGMAS},
    ),
    "signs for normal numbers": Mutant(
        "a slip", formula(lambda s, x, z: s(x + 2 * z.sign()) + z.sign() / 2),
        "not normal: its excess kurtosis is -2.00", {"sigma": 2.0},
    ),
    "no noise": Mutant("a slip", formula(lambda s, x, z: s(x) + z / SIGMA), "at x itself: no noise is added", AT),
    "noise in one coordinate": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA * z * E1) + z * E1 / SIGMA), "one coordinate of a point gets", AT
    ),
    "one number for both coordinates": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA * z[:, :1]) + z[:, :1] / SIGMA), "two coordinates is the same", AT
    ),
    "a mean in the noise": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA * (z + 1)) + (z + 1) / SIGMA), "the noise has the mean [", AT
    ),
    "the variance-preserving point": Mutant(
        "a slip", formula(lambda s, x, z: s((1 - SIGMA**2) ** 0.5 * x + SIGMA * z) + z / SIGMA), "holds 0.954 x", AT
    ),
    "another draw in the target": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA * z) + z.flip(0) / SIGMA), "another draw than in the point", AT
    ),
    "the clean point": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA * z) - x), "the loss learns the clean point D(y)", AT
    ),
    "the data in the target": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA * z) + x / SIGMA**2), "the target is -x/sigma^2", AT
    ),
    "the noised point in the target": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA * z) + (x + SIGMA * z) / SIGMA**2), "target is -y/sigma^2", AT
    ),
    "0.75 times the target": Mutant(
        "a slip", formula(lambda s, x, z: s(x + SIGMA * z) + 0.75 * z / SIGMA), "converges to 0.7", AT
    ),
    "not squared": Mutant("a slip", not_squared, "a norm that is not squared", AT),
    "Huber's loss": Mutant("a slip", huber, "the loss is not quadratic in the field", AT),
    "sigma^4 before it": Mutant(
        "a slip", formula(lambda s, x, z: SIGMA**2 * s(x + SIGMA * z) + SIGMA * z), "a weight sigma^4", AT
    ),
    "called without its level": Mutant("a slip", Denoising(SIGMA), "without a level", {"sigma": SIGMAS}),
}  # fmt: skip


def denoising(sigma, *, target=1.0, weight=1.0, clip=math.inf):
    """A denoising loss with a factor in its target, in front, or with its noise clipped."""

    def loss(score, x, *, generator=None):
        z = normal_like(x, generator).clamp(-clip, clip)
        return weight * half_square(score(x + sigma * z) + target * z / sigma)

    return loss


def at_levels(sigmas, at, *, target=1.0, weight=1.0, clip=math.inf):
    """The noise-conditional loss with sigma^2 in front, with a fault at the level of that number only."""
    sigmas = sigmas.double()

    def loss(score, x, *, generator=None):
        k = torch.randint(len(sigmas), x.shape[:1], generator=generator)
        z = normal_like(x, generator)
        here, sigma = (k == at) | (at is None), sigmas[k]
        z = torch.where(here[:, None], z.clamp(-clip, clip), z)
        factor = torch.where(here, target, 1.0)[:, None]
        error = score(x + sigma[:, None] * z, sigma) + factor * z / sigma[:, None]
        return torch.where(here, weight, 1.0) * sigma**2 * half_square(error)

    return loss


@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.05, 1.0, 10.0])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"target": 2.0}, "converges to 2 s"),
        ({"target": -1.0}, "converges to -s"),
        ({"target": 1.2}, "1.2|1.19|1.20|1.21"),
        ({"weight": 1.2}, "is 1.2 times w"),
    ],
)
def test_a_slip_is_seen_at_every_level(sigma, fault, says):
    """What a level of noise hid: a slope varies like 1 / sigma, unless what the random numbers do is taken away."""
    report = check_objective(denoising(sigma, **fault), sigma=sigma, n=N)
    assert not report.passed
    assert not report.undecided
    assert any(words in report.wrong for words in says.split("|")), report


@pytest.mark.parametrize("sigma", [0.001, 1.0])
def test_clipped_noise_is_seen(sigma):
    """Clipped at 2.5, E z^2 is .978: 2 % off in the target where sigma is small, in the points' spread where large."""
    report = check_objective(denoising(sigma, clip=2.5), sigma=sigma)
    assert not report.passed
    assert not report.undecided, report


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"target": -1.0}, r"at sigma = 0\.2.*: converges to -s"),
        ({"target": 2.0}, r"at sigma = 0\.2.*: converges to 2 s"),
        ({"weight": 2.0}, r"at sigma = 0\.2.*: is 2 times w"),
        ({"weight": 0.0}, "does not rise with the square of the field at some level"),
    ],
)
def test_a_fault_at_one_level_of_a_ladder_is_seen_and_named(fault, says):
    assert re.search(says, check_objective(at_levels(SIGMAS, 2, **fault), sigma=SIGMAS).wrong)


def test_levels_that_come_up_too_often_or_are_others_are_told():
    def first_thrice(score, x, *, generator=None):
        ladder = torch.cat([SIGMAS[:1], SIGMAS[:1], SIGMAS])
        k = torch.randint(len(ladder), x.shape[:1], generator=generator)
        sigma, z = ladder.double()[k], normal_like(x, generator)
        return sigma**2 * half_square(score(x + sigma[:, None] * z, sigma) + z / sigma[:, None])

    wrong = check_objective(first_thrice, sigma=SIGMAS).wrong
    assert re.search(r"levels come up 1\.[78]\d, 0\.[56]\d, 0\.[56]\d times as often as sigma says", wrong)
    other = check_objective(NoiseConditional(SIGMAS * 1.05), sigma=SIGMAS).wrong
    assert "which is not among sigma" in other


@pytest.mark.parametrize("sigma", [0.001, 10.0])
def test_a_pass_says_what_it_would_have_seen(sigma):
    report = check_objective(denoising(sigma), sigma=sigma, n=N)
    assert report.passed, report
    assert report.smallest_slip <= 0.051
    assert "would have been seen" in str(report)


def test_what_cannot_be_told_is_no_pass():
    report = check_objective(Denoising(0.3), sigma=0.3, n=1000, n_most=1000)
    assert not report.passed
    assert report.undecided
    assert "could not tell below" in report.wrong
    assert "n_most" in report.wrong
    assert any(line.startswith("?     minimiser") for line in str(report).splitlines())


def test_levels_drawn_unevenly_and_made_good_by_weights_pass():
    """A rung that comes up half as often counts twice as much, and so does its noise."""
    ladder, often = geometric(2.0, 0.05, 5), torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1], dtype=torch.float64)

    def loss(score, x, *, generator=None):
        k = torch.multinomial(often, len(x), replacement=True, generator=generator)
        sigma = ladder.to(x)[k]
        z = torch.randn(x.shape, dtype=x.dtype, generator=generator)
        residual = score(x + sigma[:, None] * z, sigma) + z / sigma[:, None]
        return 0.5 * sigma**2 * 0.2 / often[k] * residual.square().sum(-1)

    report = check_objective(loss, sigma=ladder, n_most=700_000)
    assert report.passed, report


def test_continuous_levels_with_a_steep_weight_pass():
    """VP with weight 1, whose mean loss comes from small times; a fault in the quarter of large levels is seen."""
    levels = UniformTimes(VP())
    report = check_objective(NoiseConditional(levels, weighting=1), sigma=levels, weight=1.0, n=N)
    assert report.passed, report
    heavy = NoiseConditional(levels, weighting=lambda s: torch.where(s > 25.0, 1.3, 1.0))
    assert "times w 1/2" in check_objective(heavy, sigma=levels, weight=1.0).wrong


def test_weights_must_be_positive():
    with pytest.raises(ValueError, match=r"weight is not positive at the level"):
        check_objective(NoiseConditional(SIGMAS), sigma=SIGMAS, weight=lambda s: s - 1)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_rejected_by_name(name):
    mutant = MUTANTS[name]
    report = check_objective(mutant.objective, **{"n": N} | mutant.settings)
    assert not report.passed, report
    assert mutant.says in report.wrong, report


def of_one_draw(draw, error):
    """Half the square of error(score, x, v) with v = draw(x, generator) [k, 2] for all points, in turn."""

    def loss(score, x, *, generator=None):
        v = draw(x, generator)
        return half_square(error(score, x, v[torch.arange(len(x)) % len(v)]))

    return loss


def slices_of(draw, plain=True):
    def loss(score, x, *, generator=None):
        v = draw(x, generator)
        s, jvp = value_and_jvp(score, x, v[torch.arange(len(x)) % len(v)].clone())
        return (v * jvp).sum(-1) + (0.5 * (v * s).sum(-1).square() if plain else half_square(s))

    return loss


def levels_of(n_levels, n_draws):
    """The noise-conditional loss with so many levels and draws of the noise for a batch; None is one for each."""

    def loss(score, x, *, generator=None):
        k = torch.randint(len(SIGMAS), (n_levels or len(x),), generator=generator).expand(len(x))
        z = torch.randn(n_draws or len(x), 2, dtype=x.dtype, generator=generator).expand_as(x)
        sigma = SIGMAS.double()[k]
        return sigma**2 * half_square(score(x + sigma[:, None] * z, sigma) + z / sigma[:, None])

    return loss


def normals(k):
    return lambda x, generator: torch.randn(k, 2, dtype=x.dtype, generator=generator)


def of_pairs(x, generator):
    return torch.randn((len(x) + 1) // 2, 2, dtype=x.dtype, generator=generator)


def right_error(score, x, z):
    return score(x + SIGMA * z) + z / SIGMA


def antithetic_halves(x, generator):
    z = of_pairs(x, generator)
    return torch.cat([z, -z])[: len(x)]


CORNER = MIXTURE.truncated((-1.5, math.inf, -2.0, math.inf))
SHARED = {
    "one z": (of_one_draw(normals(1), right_error), "one draw of the noise z serves all points", AT),
    "one z, wrong": (of_one_draw(normals(1), lambda s, x, z: s(x + SIGMA * z) - z / SIGMA), "one draw of the", AT),
    "eight z": (of_one_draw(normals(8), right_error), "8 draws of the noise z serve all points", AT),
    "z of pairs": (of_one_draw(of_pairs, right_error), "100 draws of the noise z serve all points", AT),
    "one v": (slices_of(normals(1)), "one direction v serves all points", {}),
    "one v, variance-reduced": (slices_of(normals(1), plain=False), "one direction v serves all points", {}),
    "one v of signs": (slices_of(lambda x, g: normals(1)(x, g).sign()), "one direction v serves all points", {}),
    "one v in a box": (
        slices_of(normals(1)), "one set of random numbers serves all points", {"density": CORNER, "weight": 1.0}
    ),
    "one sigma": (levels_of(1, None), "one level sigma serves all points", {"sigma": SIGMAS}),
    "one z at all levels": (levels_of(None, 1), "one draw of the noise z serves all points", {"sigma": SIGMAS}),
    "one sigma, one z": (levels_of(1, 1), "one level sigma and one draw of the noise z serve", {"sigma": SIGMAS}),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_random_numbers_that_serve_several_points_are_named_and_leave_it_undecided(name):
    """Right in the mean over batches, perhaps, but standard errors of independent points would call it wrong."""
    objective, says, settings = SHARED[name]
    report = check_objective(objective, n=N, **settings)
    assert report.undecided, report
    assert says in report.wrong


@pytest.mark.parametrize("draw", [antithetic_halves, lambda x, g: normals(len(x))(x, g).sign()], ids=["z, -z", "signs"])
def test_random_numbers_that_only_look_alike_are_not_taken_for_shared_ones(draw):
    """z for half of a batch and -z for the other, and directions of signs, of which there are two."""
    objective = slices_of(draw, plain=False) if draw is not antithetic_halves else of_one_draw(draw, right_error)
    settings = AT if draw is antithetic_halves else {}
    report = check_objective(objective, n=1000, n_most=1000, **settings)
    assert [finding.message for finding in report.findings if finding.check == "random numbers"] == [
        "each point has its own"
    ]


def test_an_energy_is_checked_over_batches_which_may_share_their_noise():
    def loss(model, x, *, generator=None):
        z = torch.randn(1, 2, dtype=x.dtype, generator=generator)
        y = (x + SIGMA * z).requires_grad_()
        (slope,) = torch.autograd.grad(model.energy(y).sum(), y, create_graph=True)
        return half_square(-slope + z / SIGMA)

    report = check_objective(loss, sigma=SIGMA, n=N, n_most=N)
    assert report.passed or report.undecided, report


def test_the_trap_is_no_mistake():
    """The slice product squared element by element (acids-ircam): every bias check rightly lets it pass."""
    report = check_objective(museum.sliced_by_elements, n=N)
    assert report.passed, report


def test_the_trap_is_the_variance_reduced_form_for_entries_of_size_one():
    g, x = torch.Generator().manual_seed(0), MIXTURE.sample((50,), generator=torch.Generator().manual_seed(1)).double()
    v = torch.where(torch.rand(x.shape, generator=g) < 0.5, -1.0, 1.0).double()
    trap = value_and_jvp(MIXTURE.score, x, v)
    trap = (v * trap[1]).sum(-1) + 0.5 * (v * trap[0]).square().sum(-1)
    torch.testing.assert_close(trap, Sliced(projection=lambda x, g: v[None])(MIXTURE.score, x), rtol=1e-12, atol=1e-12)


def test_a_report_reads_line_by_line():
    report = check_objective(museum.DenoisingOfWrongSign(SIGMA), sigma=SIGMA, n=10_000)
    lines = str(report).splitlines()
    assert lines[0] == "ok    shape: one finite loss per point"
    assert any(line.startswith("WRONG minimiser: converges to -s") for line in lines)
    assert "standard deviation of the loss of a point" in lines[-1]


def test_a_report_is_reproducible_and_leaves_the_global_stream():
    before, few = torch.get_rng_state(), {"sigma": 0.5, "n": 2000, "n_most": 2000}
    one, other = (check_objective(Denoising(0.5), **few) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (one.findings, one.loss_std) == (other.findings, other.loss_std)
    assert check_objective(Denoising(0.5), seed=1, **few).loss_std != one.loss_std


def by_backward_passes(score, x, *, generator=None, graph=True):
    """The implicit loss as it is usually written by hand: one backward pass per coordinate."""
    x = x.requires_grad_()
    s = score(x)
    rows = [torch.autograd.grad(s[:, i].sum(), x, create_graph=graph, retain_graph=True)[0][:, i] for i in range(2)]
    return sum(rows) + 0.5 * s.square().sum(-1)


def test_a_loss_that_differentiates_by_autograd_is_checked_like_any_other():
    assert check_objective(by_backward_passes, n=N).passed

    def forgetful(score, x, *, generator=None):
        return by_backward_passes(score, x, graph=False)

    wrong = check_objective(forgetful, n=N).wrong
    assert "a part of it is detached from the score" in wrong


def test_a_right_loss_of_one_s_own_needs_no_offset():
    def mine(score, x, generator=None):
        z = torch.randn(x.shape, dtype=x.dtype, generator=generator)
        return 0.5 * (score(x + 0.4 * z) + z / 0.4).square().sum(-1)

    report = check_objective(mine, sigma=0.4, n=N)
    assert report.passed, report
    assert "has no offset(density)" in str(report)


@pytest.mark.parametrize("density", [two_modes(), GaussianMixture([1.0], [[0.0, 0.0]], [[[2.0, 0.3], [0.3, 1.0]]])])
def test_other_densities(density):
    assert check_objective(Implicit(), n=N, density=density).passed
    assert not check_objective(museum.implicit_with_trace_over_d, n=N, density=density).passed


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"objective": 3}, TypeError, "objective"),
        ({"n": 10}, ValueError, "n is 10"),
        ({"sigma": -1.0}, ValueError, "sigma"),
        ({"sigma": torch.tensor([1.0, 2.0])}, ValueError, "decrease"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_bad_arguments_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        check_objective(**{"objective": Implicit(), **settings})


@pytest.mark.parametrize("density", [two_modes(), ring(8)], ids=["two modes", "ring"])
def test_far_modes_do_not_mislead_the_control_variates(density):
    """Within modes the Jacobian of the score hardly varies, and between them it is huge at a few points."""
    report = check_objective(Denoising(0.1), sigma=0.1, density=density, n=N)
    assert report.passed, report
    assert "1.2" in check_objective(denoising(0.1, target=1.2), sigma=0.1, density=density, n=N).wrong
