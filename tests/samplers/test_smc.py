"""The particle filter: unbiased for the discretised model, whose evidence and posterior are known for Gaussian data."""

import math

import pytest
import torch

from toylab.densities import GaussianMixture
from toylab.guidance import Twist, dps, pigdm, tmpd
from toylab.samplers import reverse_sde, smc
from toylab.samplers.smc import _resampled, systematic
from toylab.schedules import karras
from toylab.sde import VE, VP, plain_noise

DOUBLE = torch.float64
QUIET = {"progress": False}
P = GaussianMixture([1.0], [[0.5, -0.2]], [[[1.0, 0.6], [0.6, 0.8]]])
A, Y, NOISE = torch.tensor([0.6, 0.8], dtype=DOUBLE), torch.tensor([1.5], dtype=DOUBLE), 0.4
SDES = {"VE": VE(0.1, 5.0), "VP": VP()}
GUESSES = {  # each with a noise; the weights of dps have no variance where the measurement is precise
    "tmpd": (tmpd, NOISE),
    "pigdm": (pigdm, NOISE),
    "pigdm, data taken for wide": (lambda *args: pigdm(*args, data_std=5.0), NOISE),
    "dps": (dps, 1.5),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def times(sde, n, highest=None, lowest=None):
    """At which the level falls as in the grid of Karras et al."""
    first, last = (float(sde.sigma(t) / sde.alpha(t)) for t in (1.0, sde.t_min))
    return sde.time_of(karras(highest or first, lowest or last, n + 1).double()).clamp(sde.t_min, 1.0)


def law_at_the_end(sde, grid, start):
    """Mean and covariance of x / alpha at the end of the reverse SDE without guidance, step by step, from a start."""
    one, (m,), (C,) = torch.eye(2, dtype=DOUBLE), P.means, P.covariances
    mean, spread = start.means[0], start.covariances[0]
    for t, u in zip(grid.tolist(), grid.tolist()[1:], strict=False):
        h, g2, alpha = t - u, float(sde.diffusion(t)) ** 2, float(sde.alpha(t))
        slope = float(sde.drift(torch.ones(1, 2, dtype=DOUBLE), t)[0, 0])
        inverse = torch.linalg.inv(alpha**2 * C + float(sde.sigma(t)) ** 2 * one)
        step = (1 - h * slope) * one - h * g2 * inverse
        mean, spread = step @ mean + h * g2 * inverse @ (alpha * m), step @ spread @ step.T + h * g2 * one
    alpha = float(sde.alpha(grid[-1]))
    return mean / alpha, spread / alpha**2


def log_normal(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + math.log(2 * math.pi * variance))


def start_of(sde, t):
    """N(0, sigma(t)^2 I), which VP begins with at 1 as well."""
    return GaussianMixture([1.0], [[0.0, 0.0]], [[[float(sde.sigma(t)) ** 2, 0.0], [0.0, float(sde.sigma(t)) ** 2]]])


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("name", SDES)
def test_evidence_and_moments_of_gaussian_data_are_without_bias(name, guess):
    """Six means over 3,000 populations beyond 6 standard errors: by chance in fewer than 1 of 1e7 runs.

    Populations of 4 and few steps, which end at a level of .8: none has to be many, or low. Z times the weighted mean
    of f is unbiased for Z E f.
    """
    sde, g, populations, N = SDES[name], seeded(), 3000, 4
    grid = times(sde, 8, highest=5.0, lowest=0.8)
    start = start_of(sde, float(grid[0]))
    x = start.sample((populations * N,), generator=g).double()
    guided, noise = GUESSES[guess]
    found = smc(sde, guided(P.score, A, Y, noise), x, grid, n_populations=populations, generator=g, **QUIET)
    mean, spread = law_at_the_end(sde, grid, start)
    S = float(A @ spread @ A) + noise**2
    off = float(Y[0] - A @ mean)
    evidence = math.exp(-0.5 * off**2 / S) / math.sqrt(2 * math.pi * S)
    gain = spread @ A / S
    after, rest = mean + gain * off, spread - S * gain[:, None] * gain
    second = rest + after[:, None] * after
    alpha = float(sde.alpha(grid[-1]))
    Z = found.log_evidence.exp() / evidence
    points, w = found.points.view(populations, N, 2) / alpha, found.weights.view(populations, N)
    drawn = found.chains.samples.view(populations, N, 2) / alpha
    for values, truth in (
        (Z, 1.0),
        (Z * (w * points[..., 0]).sum(-1), float(after[0])),
        (Z * (w * points[..., 1]).sum(-1), float(after[1])),
        (Z * (w * points.prod(-1)).sum(-1), float(second[0, 1])),
        (Z * drawn[..., 1].mean(-1), float(after[1])),
        (Z * drawn.square()[..., 0].mean(-1), float(second[0, 0])),
    ):
        error = float(values.std()) / math.sqrt(populations)
        assert abs(float(values.mean()) - truth) < 6 * error
        assert error < 0.2 * max(1.0, abs(truth))  # or nothing would have been measured
    assert found.chains.n_evaluations == 8
    assert found.effective_size.shape == (8, populations)


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("name", SDES)
def test_the_weight_of_a_path_is_the_ratio_of_its_kernels_times_the_likelihood(name, guess):
    """Exactly, point by point: the evidence of a population of one is the weight of its only path.

    With it the mean of the weights times f is that of the unguided paths whatever the guess, and the bias of a weighted
    mean falls as 1 / particles.
    """
    sde, n = SDES[name], 40
    grid = times(sde, 6, highest=5.0, lowest=0.8)
    x = start_of(sde, float(grid[0])).sample((n,), generator=seeded()).double()
    guided, noise = GUESSES[guess]
    guided = guided(P.score, A, Y, noise)
    found = smc(sde, guided, x, grid, n_populations=n, keep_every=1, generator=seeded(1), **QUIET)
    path = found.chains.path
    log_w = log_normal(path[-1] @ A / float(sde.alpha(grid[-1])), Y, noise**2)
    for k, (t, u) in enumerate(zip(grid.tolist(), grid.tolist()[1:], strict=False)):
        h, g2, alpha = t - u, float(sde.diffusion(t)) ** 2, float(sde.alpha(t))

        def log_kernel(score, k=k, t=t, h=h, g2=g2, alpha=alpha):
            s = score(*plain_noise(sde, path[k], t)) / alpha
            mean = path[k] - h * sde.drift(path[k], t) + h * g2 * s
            return log_normal(path[k + 1], mean, h * g2).sum(-1)

        log_w = log_w + log_kernel(P.score) - log_kernel(guided)
    torch.testing.assert_close(found.log_evidence, log_w, rtol=1e-9, atol=1e-9)
    assert float(log_w.std()) > 0.1  # they differ, or nothing would have been weighed


def test_of_a_mixture_it_has_the_law_of_the_weighted_reverse_sde():
    """Two independent estimates of four means within 6 of their errors: chance is fewer than 1 of 1e8 runs."""
    p = GaussianMixture(
        [0.3, 0.5, 0.2],
        [[-4.0, 0.0], [1.0, 3.0], [0.0, -4.0]],
        [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]],
    )
    sde, g = SDES["VE"], seeded()
    grid = times(sde, 10)
    guided = tmpd(p.score, A, Y, 1.0)
    plain = reverse_sde(sde, p.score, sde.prior.sample((200_000,), generator=g).double(), grid, generator=g, **QUIET)
    weight, x = guided.log_likelihood(plain.samples).exp(), plain.samples
    found = smc(sde, guided, sde.prior.sample((20_000,), generator=g).double(), grid, n_populations=500, generator=g,
                **QUIET)  # fmt: skip
    Z = found.log_evidence.exp()

    def estimates(f):
        weighted = Z * (found.weights * f(found.points)).view(500, -1).sum(-1)
        drawn = Z * f(found.chains.samples).view(500, -1).mean(-1)
        return [(float(v.mean()), float(v.std()) / math.sqrt(len(v))) for v in (weight * f(x), weighted, drawn)]

    for f in (torch.ones_like, lambda x: x, lambda x: x.flip(-1), torch.square):
        (theirs, other), *ours = estimates(lambda x, f=f: f(x)[:, 0])
        for value, error in ours:
            assert abs(value - theirs) < 6 * math.hypot(error, other)
            assert error < 0.1 * max(abs(theirs), float(Z.mean()))


def test_an_exact_guess_leaves_the_weights_to_the_steps():
    """Of Gaussian data that of TMPD is exact, and twice as many steps leave it less than two thirds to correct.

    With VP, whose prior is the law of the data at t = 1 up to .7 %.
    """
    sde, N = SDES["VP"], 500
    x = start_of(sde, 1.0).sample((N,), generator=seeded())
    lost = []
    for n in (50, 100):
        found = smc(sde, tmpd(P.score, A, Y, NOISE), x, times(sde, n), generator=seeded(1), **QUIET)
        lost.append(float((1 - found.effective_size / N).mean()))
    assert lost[1] < 2 / 3 * lost[0]


def test_only_populations_whose_weights_differ_are_drawn_anew():
    """Sizes 1 / (.9^2 + .1^2) = 1.22 and 1 / (.4^2 + 3 .2^2) = 3.57, of 4: the first is below a half."""
    w = torch.tensor([[0.9, 0.1, 0.0, 0.0], [0.4, 0.2, 0.2, 0.2]], dtype=DOUBLE)
    x = torch.arange(16, dtype=DOUBLE).view(8, 2)
    log_w, sizes = (3 * w).log().view(-1), []
    after, twist, log_after, log_z = _resampled(
        (x, Twist(x, x[:, 0], x), log_w, torch.zeros(2, dtype=DOUBLE)), 2, sizes, seeded()
    )
    torch.testing.assert_close(sizes[0], torch.tensor([1 / 0.82, 1 / 0.28], dtype=DOUBLE))
    assert set(after[:4, 0].tolist()) <= {0.0, 2.0} and torch.equal(after[4:], x[4:])
    assert torch.equal(twist.score, after) and torch.equal(twist.log_likelihood, after[:, 0])
    torch.testing.assert_close(log_after, torch.cat([torch.zeros(4, dtype=DOUBLE), log_w[4:]]))
    torch.testing.assert_close(log_z, torch.tensor([math.log(3 / 4), 0.0], dtype=DOUBLE))


def test_populations_do_not_mix_and_each_may_have_its_own_measurement():
    sde, g = SDES["VE"], seeded()
    y = torch.tensor([-6.0, 6.0], dtype=DOUBLE).repeat_interleave(500)[:, None]
    x = sde.prior.sample((1000,), generator=g)
    found = smc(sde, tmpd(P.score, A, y, NOISE), x, times(sde, 20), n_populations=2, generator=g, **QUIET)
    ends = (found.chains.samples.double() @ A).view(2, -1)
    assert float(ends[0].max()) < 0 < float(ends[1].min())
    assert float((found.weights.view(2, -1).sum(-1) - 1).abs().max()) < 1e-5


def test_systematic_resampling_takes_each_as_often_as_it_weighs_rounded():
    w = torch.rand(200, 37, dtype=DOUBLE, generator=seeded())
    w = w / w.sum(-1, keepdim=True)
    counts = torch.stack([torch.bincount(row, minlength=37) for row in systematic(w, seeded(1))]).double()
    assert bool(((counts - 37 * w).abs() < 1 + 1e-9).all())
    assert bool((counts.sum(-1) == 37).all())
    # its mean is the weight itself: at u and u + 1 - w, .., over the whole unit interval
    one = w[:1].expand(4000, 37)
    counts = torch.zeros(37, dtype=DOUBLE)
    for row in systematic(one, seeded(2)):
        counts += torch.bincount(row, minlength=37)
    error = 0.5 / math.sqrt(4000)  # of a count that is one of two neighbouring numbers, at most
    assert float((counts / 4000 - 37 * w[0]).abs().max()) < 6 * error


def test_particles_without_weight_die():
    w = torch.tensor([[0.0, 0.5, 0.0, 0.5]], dtype=DOUBLE)
    for seed in range(20):
        assert systematic(w, seeded(seed)).tolist() == [[1, 1, 3, 3]]


def test_a_path_is_kept_and_the_record_tells_what_it_is():
    sde, g = SDES["VE"], seeded()
    x = sde.prior.sample((100,), generator=g)
    found = smc(sde, tmpd(P.score, A, Y, NOISE), x, times(sde, 20), keep_every=5, generator=g, **QUIET)
    assert found.chains.path.shape == (5, 100, 2)
    assert torch.equal(found.chains.path[0], x)
    assert "100 in 1 population" in repr(found)


def test_bad_input_is_refused_before_any_work():
    def untouched(x, sigma):
        raise AssertionError

    sde, x, grid = VE(), torch.zeros(4, 2), times(VE(), 3)
    with pytest.raises(
        TypeError, match=r"guided is a method: give a score with its measurement, such as guidance\.tmpd"
    ):
        smc(sde, P.score, x, grid)
    guided = tmpd(untouched, A, Y, NOISE)
    with pytest.raises(ValueError, match="n_populations is 3 for 4 particles"):
        smc(sde, guided, x, grid, n_populations=3)
    with pytest.raises(ValueError, match="n_populations is 0"):
        smc(sde, guided, x, grid, n_populations=0)
    several = tmpd(P.score, A, torch.tensor([[1.0], [2.0], [1.0], [2.0]], dtype=DOUBLE), NOISE)
    with pytest.raises(ValueError, match="y differs within a population of 2 particles"):
        smc(sde, several, x, grid, n_populations=2)
    with pytest.raises(ValueError, match="does not strictly fall"):
        smc(sde, guided, x, grid.flip(0))
