"""``check_sampler`` of samplers told of a measurement: exact ones pass, and each approximation is rejected by name.

A right sampler is rejected less than once in 1e6 runs.
"""

import re

import pytest
import torch

from toylab.guidance import dps, pigdm, tmpd
from toylab.samplers import ancestral, ddim, probability_flow, replacement, reverse_sde, smc
from toylab.score import gradient
from toylab.sde import VE, VP
from toylab.testing import Posterior, check_sampler
from toylab.testing.posterior_check import _depend
from toylab.testing.posterior_truth import problems

SDE = VE(0.01, 100.0)
CLAIM = Posterior(SDE)
QUIET = {"progress": False}
N = 12_000


def told(score_of, sampler=reverse_sde, sde=SDE):
    """A sampler whose score is told of y."""
    noise_of = {probability_flow: lambda g: {}, ddim: lambda g: {}}.get(sampler, lambda g: {"generator": g})
    return lambda p, A, y, noise, x, times, g: sampler(sde, score_of(p, A, y, noise), x, times, **noise_of(g), **QUIET)


def guided_by(guess, **more):
    return told(lambda p, *of: guess(p.score, *of), **more)


def exactly(p, *of):
    return p.given(*of).score


# What is right, in ways that are not ours


def by_bayes(p, *of):
    """The score of p plus the gradient of log p(y | x), as that of a ratio of densities."""
    q = p.given(*of)
    return lambda x, sigma: p.score(x, sigma) + gradient(lambda z: q.log_prob(z, sigma) - p.log_prob(z, sigma), x)


def by_rejection(p, A, y, noise, x, times, g):
    """Draws of p, kept with the probability of their likelihood, in no time at all."""
    kept = x[:0]
    while len(kept) < len(x):
        z = p.sample((20 * len(x),), generator=g)
        likelihood = (-0.5 * ((y - z @ A.T) / noise).square().sum(-1)).exp()
        kept = torch.cat([kept, z[torch.rand(len(z), generator=g) < likelihood]])
    return kept[: len(x)]


def by_conditioning_pairs(p, A, y, noise, x, times, g):
    """A component by its evidence, a draw of it, and Matheron's rule: x + C A^T S^-1 (y - A x - noise z)."""
    S = (A @ p.covariances @ A.T)[:, 0, 0] + noise**2
    log_w = p.weights.log() - 0.5 * S.log() - 0.5 * (y - (p.means @ A.T)[:, 0]) ** 2 / S
    k = torch.multinomial(log_w.softmax(0), len(x), replacement=True, generator=g)
    z, e = torch.randn(len(x), 2, dtype=x.dtype, generator=g), torch.randn(len(x), 1, dtype=x.dtype, generator=g)
    u = p.means[k] + torch.einsum("nij,nj->ni", torch.linalg.cholesky(p.covariances)[k], z)
    return u + (y - u @ A.T - noise * e) * (p.covariances[k] @ A[0]) / S[k, None]


def in_ve_units(p, A, y, noise, x, times, g):
    """An Euler step in x / alpha by the fall of (sigma / alpha)^2, and in single precision; a last step denoises."""
    sde, q = VP(), p.given(A, y, noise).to(torch.float32)
    level = sde.sigma(times) / sde.alpha(times)
    x = x.float() / sde.alpha(1.0)
    for here, there in zip(level[:-1].tolist(), level[1:].tolist(), strict=True):
        fall = here**2 - there**2
        x = x + fall * q.score(x, here) + fall**0.5 * torch.randn(x.shape, generator=g)
    return x + there**2 * q.score(x, there)


RIGHT = {
    "the score of the posterior": (told(exactly), CLAIM, N),
    "ancestral": (told(exactly, ancestral), CLAIM, N),
    "ddim, VE of fewer levels": (told(exactly, ddim, VE()), Posterior(VE()), N),
    "the flow": (told(exactly, probability_flow), Posterior(SDE, 40), N),
    "the score by Bayes' rule": (told(by_bayes), Posterior(SDE, 16), 8000),
    "by rejection": (by_rejection, CLAIM, 20_000),
    "by conditioning pairs": (by_conditioning_pairs, CLAIM, 20_000),
    "in units of VE": (in_ve_units, Posterior(VP()), N),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_sampler_passes(name):
    sampler, claim, n = RIGHT[name]
    report = check_sampler(sampler, claim, n=n, seed=1)
    assert report.passed, report
    assert report.wrong == ""
    assert 0 < report.smallest_slip <= 0.25
    assert report.n == n


# What is wrong


class Weighted:
    """A guided score, by the gradient of log q(y | x) times a number."""

    def __init__(self, guess, weight):
        self.guess, self.weight = guess, weight

    def __call__(self, p, *of):
        twist = self.guess(p.score, *of).twist
        return lambda x, sigma: (found := twist(x, sigma)).score + self.weight * found.gradient


def pull_of(mean_and_direction, variance):
    """s + u (y - A m) / R in which m and u are another's."""

    def score_of(p, A, y, noise):
        def score(x, sigma):
            s = p.score(x, sigma)
            m, u = mean_and_direction(p, A, x, s, float(sigma))
            R = noise**2 + variance(p, A, x, float(sigma))
            return s + u * (y - m @ A.T) / R

        return score

    return score_of


def without_its_slope(p, A, x, s, sigma):
    return x + sigma**2 * s, A


def the_noisy_point(p, A, x, s, sigma):
    return x, A


def of_tmpd(p, A, x, sigma):
    e = A.expand_as(x)
    change = (p.score(x + 1e-4 * e, sigma) - p.score(x - 1e-4 * e, sigma)) / 2e-4
    return sigma**2 * ((A * A).sum() + sigma**2 * (change * e).sum(-1, keepdim=True))


DPS = r"taken for known, at its mean \(C = 0\), as in DPS: the likelihood is too sharp"
OURS = {
    "DPS": (guided_by(dps), f"^[^;]*{DPS}$"),
    "PiGDM": (
        guided_by(pigdm),
        r"as data of variance (0\.[89]|1)\S* would in every direction, as in PiGDM: the variances .* are \(0.4, 6.4\)",
    ),
    "TMPD": (
        guided_by(tmpd),
        r"weights of the modes are .*, where \(0.56, 0.19, 0.25\) is right: .* one Gaussian .*, as in TMPD",
    ),
    "replacement": (
        lambda p, A, y, noise, x, times, g: replacement(SDE, p.score, x, times, A, y, noise, generator=g, **QUIET),
        "replaced by y, noised anew at each level, .* never corrected for it, as in replacement",
    ),
}  # fmt: skip
WRONG = {
    "DPS by the flow": (guided_by(dps, sampler=probability_flow), f"{DPS}; and the flow is followed, without noise"),
    "y is not used": (told(lambda p, *of: p.score), "y has no part in it: the ends are draws of p"),
    "the sign of y": (told(lambda p, A, y, noise: p.given(A, -y, noise).score), "the sign of y"),
    "noise for its variance": (
        told(lambda p, A, y, noise: p.given(A, y, noise**0.5).score), r"the variance of the noise of y, which is"
    ),
    "noise squared": (
        told(lambda p, A, y, noise: p.given(A, y, noise**2).score), "the standard deviation of the noise of y, which is"
    ),
    "without the 1/2": (told(Weighted(tmpd, 2.0)), "counts (2|1.9|2.1) times: is the 1/2 of .y - A m.\\^2 missing"),
    "half of it": (told(Weighted(tmpd, 0.5)), "counts 0.(5|49|51) times$"),
    "DPS at half its weight": (told(Weighted(dps, 0.5)), f"{DPS}; and .* counts 0.5\\d? times"),
    "without dm/dx": (told(pull_of(without_its_slope, of_tmpd)), "^the factor dm/dx is missing"),
    "the noisy point": (
        told(pull_of(the_noisy_point, lambda p, A, x, sigma: sigma**2 * (A * A).sum())),
        "^A x of the noisy point x stands where",
    ),
    "a variance of its own": (
        told(lambda p, *of: lambda x, sigma: 1.3 * exactly(p, *of)(x, sigma)),
        r"the mean is off by .* and the variances are \(0\.\d+, 0\.\d+\) times what they should be",
    ),
}  # fmt: skip


def test_of_our_own_methods_the_approximations_are_rejected_by_name():
    """By day too, all of them; SMC, which is exact, is below."""
    for name, (sampler, words) in OURS.items():
        report = check_sampler(sampler, CLAIM, n=5000)
        assert not report.passed and not report.undecided
        assert re.search(words, report.wrong), (name, report.wrong)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_rejected_by_name(name):
    sampler, words = WRONG[name]
    report = check_sampler(sampler, CLAIM, n=6000)
    assert not report.passed and not report.undecided
    assert re.search(words, report.wrong), report.wrong


def particles(p, A, y, noise, x, times, g):
    return smc(SDE, tmpd(p.score, A, y, noise), x, times, generator=g, **QUIET)


@pytest.mark.nightly
def test_particles_pass_though_they_depend_on_each_other():
    report = check_sampler(particles, Posterior(SDE, 24), n=24_000)
    assert report.passed, report
    report = check_sampler(lambda *args: particles(*args).points, Posterior(SDE, 24), n=24_000)
    assert not report.passed and not report.undecided


def test_of_few_particles_nothing_is_wrong_and_nothing_proved():
    report = check_sampler(particles, Posterior(SDE, 6), n=1000)
    assert report.undecided, report


def test_it_is_seen_which_chains_depend_on_each_other():
    (normal, modes), g = problems(SDE), torch.Generator()
    times = torch.linspace(1.0, 0.0, 9, dtype=torch.float64)
    for problem in (normal, modes):
        x = problem.starts(600, 1.0, g.manual_seed(0))
        of = problem.prior, problem.A, problem.y, problem.noise
        assert _depend(lambda x, g, of=of: particles(*of, x, times, g).chains, x, 0)
        assert _depend(lambda x, g, of=of: by_conditioning_pairs(*of, x, times, g), x, 0)  # it has its own starts
        assert not _depend(lambda x, g, of=of: told(exactly)(*of, x, times, g), x, 0)


@pytest.mark.parametrize("sde", [SDE, VP(), VE()], ids=["VE to 100", "VP", "VE to 20"])
def test_in_the_laws_the_slips_are_far_from_what_is_right(sde):
    """Of noise and its square too: their ends differ by more than 0.25 in the units of the check."""
    for problem in problems(sde):
        assert problem.allowance < 0.05
        q, of = problem.posterior, (problem.prior, problem.A)
        assert float(q.weights.min()) > 0.1
        for y, noise in ((-problem.y, problem.noise), (problem.y, problem.noise**2), (problem.y, problem.noise**0.5)):
            other = of[0].given(of[1], y, noise)
            change = other.covariances[0] @ torch.linalg.inv(q.covariances[0]) - torch.eye(2, dtype=torch.float64)
            shift = torch.linalg.solve(torch.linalg.cholesky(q.covariances[0]), other.means[0] - q.means[0])
            assert max(float(change.diagonal().sum().abs()) / 2, float(shift.norm())) > 0.1


def test_steps_that_are_too_long_leave_it_undecided():
    """The pull of DPS is not stable in eight steps, and a flow of eight is far from its limit."""
    report = check_sampler(guided_by(dps), Posterior(SDE, 8), n=1000)
    assert report.undecided
    assert "give Posterior more steps by n_steps=" in report.wrong
    report = check_sampler(told(exactly), CLAIM, n=1000)
    assert report.undecided
    assert report.wrong.endswith("Give more chains by n=")


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (lambda p, A, y, noise, x, times, g: None, "gives a NoneType"),
        (lambda p, x, g: x, r"sampler\(p, A, y, noise, x, times, g\) raises TypeError"),
        (lambda p, A, y, noise, x, times, g: x / 0, "ends in nan or inf"),
        (
            lambda p, A, y, noise, x, times, g: p.given(A, y, noise).sample((len(x),), generator=g.manual_seed(0)),
            "other generators give the same ends",
        ),
        (
            lambda p, A, y, noise, x, times, g: x + torch.randn(1, 2, generator=g).double(),
            "all chains get one noise",
        ),
    ],
)  # fmt: skip
def test_a_slip_of_code_is_a_finding(sampler, words):
    report = check_sampler(sampler, CLAIM, n=1000)
    assert re.search(words, report.wrong), report.wrong


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: Posterior(VE), TypeError, "sde is the class VE"),
        (lambda: Posterior(SDE, 0), ValueError, "n_steps is 0"),
        (lambda: check_sampler(by_rejection, Posterior), TypeError, "claim is the class Posterior"),
    ],
)
def test_bad_arguments_are_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
