"""Gaussian mixtures against torch.distributions, automatic differentiation and finite differences."""

import copy
import math
import pickle
import subprocess
import sys

import pytest
import scipy.stats
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from toylab.densities import Affine, GaussianMixture, Noised, fractal_tree, two_modes

SIGMAS = [0.0, 0.05, 1.0, 20.0]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def random_mixture(n_components, seed=0, dtype=torch.float64):
    """Weights, means and full covariances with eigenvalues from about .2 to 5."""
    g = generator(100 * n_components + seed)
    weights = torch.rand(n_components, dtype=torch.float64, generator=g) + 0.1
    root = torch.randn(n_components, 2, 2, dtype=torch.float64, generator=g)
    return GaussianMixture(
        (weights / weights.sum()).tolist(),
        (4 * torch.randn(n_components, 2, dtype=torch.float64, generator=g)).tolist(),
        (root @ root.mT + 0.2 * torch.eye(2)).tolist(),
    ).to(dtype)


def oracle(p, sigma=0.0):
    """torch's own distribution of X + sigma Z."""
    covariances = p.covariances + sigma**2 * torch.eye(2, dtype=torch.float64)
    return MixtureSameFamily(Categorical(p.weights), MultivariateNormal(p.means, covariances))


def points(n, spread=5.0, seed=0):
    return spread * torch.randn(n, 2, dtype=torch.float64, generator=generator(seed))


every_mixture = pytest.mark.parametrize("n_components", [1, 3, 8])
every_sigma = pytest.mark.parametrize("sigma", SIGMAS)


@every_mixture
@every_sigma
def test_log_prob_is_that_of_torch_distributions(n_components, sigma):
    p, x = random_mixture(n_components), points(200)
    torch.testing.assert_close(p.log_prob(x, sigma), oracle(p, sigma).log_prob(x), rtol=1e-12, atol=1e-12)


@every_mixture
@every_sigma
def test_score_and_divergence_are_the_derivatives_of_torch_distributions(n_components, sigma):
    p, x = random_mixture(n_components), points(50).requires_grad_()
    (s,) = torch.autograd.grad(oracle(p, sigma).log_prob(x).sum(), x, create_graph=True)
    trace = sum(torch.autograd.grad(s[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))
    torch.testing.assert_close(p.score(x, sigma).detach(), s.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(p.divergence(x, sigma).detach(), trace, rtol=1e-9, atol=1e-9)


@every_mixture
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_score_and_divergence_are_central_differences_of_torch_distributions(n_components, sigma):
    p, x, h = random_mixture(n_components), points(50), 1e-3
    log_prob = oracle(p, sigma).log_prob
    steps = h * torch.eye(2, dtype=torch.float64)
    # five-point rules: truncation h^4 = 1e-12 times derivatives of order 1e2; rounding of |log p| = 1e2: 1e-14 / h^2
    values = [torch.stack([log_prob(x + k * e) for e in steps], -1) for k in (-2, -1, 0, 1, 2)]
    first = (values[0] - 8 * values[1] + 8 * values[3] - values[4]) / (12 * h)
    second = (-values[0] + 16 * values[1] - 30 * values[2] + 16 * values[3] - values[4]) / (12 * h**2)
    torch.testing.assert_close(p.score(x, sigma), first, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(p.divergence(x, sigma), second.sum(-1), rtol=1e-5, atol=1e-5)


@every_mixture
def test_one_noise_level_a_point(n_components):
    p, x = random_mixture(n_components), points(12).view(3, 4, 2)
    sigma = torch.linspace(0, 5, 12, dtype=torch.float64).view(3, 4)
    expected = torch.stack([oracle(p, s).log_prob(y) for y, s in zip(x.view(-1, 2), sigma.view(-1), strict=True)])
    torch.testing.assert_close(p.log_prob(x, sigma), expected.view(3, 4), rtol=1e-12, atol=1e-12)
    for method in (p.log_prob, p.score, p.divergence, p.posterior):
        loop = torch.stack([method(y, float(s)) for y, s in zip(x.view(-1, 2), sigma.view(-1), strict=True)])
        torch.testing.assert_close(method(x, sigma), loop.view(3, 4, *loop.shape[1:]), rtol=1e-13, atol=1e-13)
        broadcast = method(x, sigma[:, :1])  # one level per row
        torch.testing.assert_close(broadcast[1], method(x[1], float(sigma[1, 0])), rtol=1e-13, atol=1e-13)


@every_sigma
def test_posterior_is_bayes_rule(sigma):
    p, x = random_mixture(3), points(50)
    components = oracle(p, sigma).component_distribution
    joint = p.weights.log() + components.log_prob(x[:, None, :])
    torch.testing.assert_close(p.posterior(x, sigma), (joint - joint.logsumexp(-1, keepdim=True)).exp())


@every_sigma
def test_heat_equation(sigma):
    p, x, v, h = random_mixture(3), points(50), sigma**2 + 1.0, 1e-2
    at = [p.log_prob(x, math.sqrt(v + k * h)) for k in (-2, -1, 1, 2)]
    rate = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    s, div = p.score(x, math.sqrt(v)), p.divergence(x, math.sqrt(v))
    torch.testing.assert_close(rate, 0.5 * (div + s.square().sum(-1)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("size", [1.0, 1e2, 1e4])
def test_float32_is_finite_and_close_far_out(sigma, size):
    g = generator(1)
    angles = 2 * math.pi * torch.rand(100, generator=g)
    x = size * torch.stack([angles.cos(), angles.sin()], -1)
    for n_components in (1, 2, 8):
        p = random_mixture(n_components)
        values = {"score": p.score(x, sigma), "divergence": p.divergence(x, sigma), "log_prob": p.log_prob(x, sigma)}
        for value in values.values():
            assert value.dtype == torch.float32
            assert value.isfinite().all()
        if n_components > 1:
            # log-weights carry eps |log p|, so that near a boundary between components float32 cannot know them
            certain = p.posterior(x.double(), sigma).amax(-1) > 1 - 1e-9
            runner_up = p.posterior(x.double(), sigma).log().topk(2).values + p.log_prob(x.double(), sigma)[:, None]
            certain &= (runner_up[:, 0] - runner_up[:, 1]) > 1e-5 * runner_up[:, 0].abs() + 25
        else:
            certain = torch.ones(len(x), dtype=torch.bool)
        for name, value in values.items():
            true = getattr(p, name)(x.double(), sigma)
            # some ten roundings of 6e-8, each relative to a term of the size of the vector or of log p
            size_of = true.norm(dim=-1, keepdim=True) if name == "score" else true.abs() + (name == "log_prob")
            assert (((value - true).abs() / size_of)[certain] < 1e-5).all(), name


def test_float32_divergence_far_out_does_not_cancel():
    """Equal components of a score of 1e4: a raw E|s_k|^2 - |s|^2 in float32 has no digits left."""
    p = GaussianMixture([0.3, 0.7], [[0.0, 0.0], [0.0, 0.0]], [[1e-4, 0.0], [0.0, 1e-4]])
    divergence = p.divergence(torch.tensor([[1.0, 0.0], [0.0, -30.0]]))
    torch.testing.assert_close(divergence, torch.tensor([-2e4, -2e4]))


def test_a_level_of_no_dimension_is_one_level_for_all():
    """Also for more points than are worked off at a time."""
    p, x = fractal_tree(), points(400)
    for method in (p.log_prob, p.score, p.divergence, p.posterior):
        found = method(x, torch.tensor(0.3, dtype=torch.float64))
        torch.testing.assert_close(found, method(x, 0.3), rtol=1e-14, atol=0)
        torch.testing.assert_close(found, method(x, torch.full((400,), 0.3, dtype=x.dtype)), rtol=1e-10, atol=1e-10)


def test_mode_weights_between_two_modes():
    """At x = (t, t) the log-odds of the right mode are log 4 + 20 t / (1 + sigma^2), by hand."""
    t = torch.linspace(-0.5, 0.5, 11, dtype=torch.float64)
    x = torch.stack([t, t], -1)
    r = torch.sigmoid(math.log(4) + 20 * t / (1 + 0.7**2))  # (|x - m_1|^2 - |x - m_2|^2) / 2 = 2 x . (5, 5) = 20 t
    along = (10 * r - 5 - t) / (1 + 0.7**2)
    torch.testing.assert_close(two_modes().posterior(x, 0.7)[:, 1], r)
    torch.testing.assert_close(two_modes().score(x, 0.7), torch.stack([along, along], -1))


@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3), (2, 0, 3)])
def test_shapes(shape):
    p = random_mixture(3, dtype=torch.float32)
    x = torch.zeros(*shape, 2)
    for sigma in (0.0, 1.0, torch.ones(shape)):
        assert p.log_prob(x, sigma).shape == shape
        assert p.score(x, sigma).shape == (*shape, 2)
        assert p.divergence(x, sigma).shape == shape
        assert p.posterior(x, sigma).shape == (*shape, 3)
    assert p.sample(shape).shape == (*shape, 2)
    assert p.sample(torch.Size(shape)).shape == (*shape, 2)


# Laws of the samples: n = 2e5 draws, z-tests at 5 standard errors, p-values above 1e-6.


@every_mixture
def test_samples_have_the_mean_and_covariance(n_components):
    p, n = random_mixture(n_components), 200_000
    x = p.sample((n,), generator=generator(3))
    mean = p.weights @ p.means
    offsets = p.means - mean
    covariance = (p.weights[:, None, None] * (p.covariances + offsets[:, :, None] * offsets[:, None, :])).sum(0)
    products = (x - mean)[:, :, None] * (x - mean)[:, None, :] - covariance
    for statistic in [*(x - mean).unbind(-1), *products.flatten(1).unbind(-1)]:
        assert abs(float(statistic.mean() / statistic.std())) * math.sqrt(n) < 5


def test_samples_have_the_weights_of_the_modes():
    n = 200_000
    left = (two_modes().sample((n,), generator=generator(4)).sum(-1) < 0).double().mean()
    # a standard error of .0009, and crossing the diagonal costs 5 sqrt(2) standard deviations: 1e-12
    assert abs(float(left) - 0.2) / math.sqrt(0.2 * 0.8 / n) < 5


@every_mixture
@pytest.mark.parametrize("angle", [0.0, 1.0, 2.0])
def test_samples_along_a_line_have_the_exact_distribution(n_components, angle):
    p = random_mixture(n_components)
    e = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    means, stds = (p.means @ e).numpy(), (e @ p.covariances @ e).sqrt().numpy()

    def cdf(t):
        return (p.weights.numpy() * scipy.stats.norm.cdf((t[:, None] - means) / stds)).sum(-1)

    projected = p.sample((200_000,), generator=generator(5)) @ e
    assert scipy.stats.kstest(projected.numpy(), cdf).pvalue > 1e-6


def test_samples_about_one_mean_are_normal_in_every_direction():
    """Whitened by the Cholesky factor, |z|^2 is exponential of mean 2 and the angle uniform."""
    p = random_mixture(1)
    x = p.sample((200_000,), generator=generator(6)) - p.means[0]
    whitened = torch.linalg.solve(torch.linalg.cholesky(p.covariances[0]), x.T)
    assert scipy.stats.kstest(whitened.square().sum(0).numpy(), scipy.stats.chi2(2).cdf).pvalue > 1e-6
    angle = torch.atan2(whitened[1], whitened[0]) / (2 * math.pi) + 0.5
    assert scipy.stats.kstest(angle.numpy(), "uniform").pvalue > 1e-6


@pytest.fixture
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_parameters_are_held_in_float64_as_they_were_written():
    p = GaussianMixture([0.1, 0.9], [[0.1, 0.2], [0.3, 0.7]], [[0.1, 0.0], [0.0, 0.3]])
    assert p.weights.tolist() == [0.1, 0.9]
    assert p.means.tolist() == [[0.1, 0.2], [0.3, 0.7]]
    assert p.covariances.tolist() == 2 * [[[0.1, 0.0], [0.0, 0.3]]]
    assert p.weights.dtype == p.means.dtype == p.covariances.dtype == torch.float64


def test_samples_come_in_the_dtype_of_the_tensors_given():
    weights, means, covariance = [1.0], [[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    assert GaussianMixture(weights, means, covariance).sample().dtype == torch.float32
    assert GaussianMixture(weights, torch.tensor(means).double(), covariance).sample().dtype == torch.float64
    assert GaussianMixture(weights, torch.tensor(means), torch.tensor(covariance)).sample().dtype == torch.float32
    mixed = GaussianMixture(weights, torch.tensor(means), torch.tensor(covariance).double())
    assert mixed.sample().dtype == torch.float64
    assert GaussianMixture([1], torch.tensor([[0, 0]]), covariance).sample().dtype == torch.float32


def test_samples_come_in_the_default_dtype(float64_by_default):
    assert two_modes().sample().dtype == torch.float64


def test_evaluation_follows_the_points_and_sampling_the_density():
    p = two_modes()
    q = p.to(torch.float64)
    assert (p.dtype, q.dtype) == (torch.float32, torch.float64)
    assert (p.sample().dtype, q.sample().dtype) == (torch.float32, torch.float64)
    for density in (p, q):
        for dtype in (torch.float32, torch.float64):
            x = torch.zeros(3, 2, dtype=dtype)
            for method in (density.log_prob, density.score, density.divergence):
                assert method(x).dtype == method(x, 0.5).dtype == dtype
                assert method(x, torch.ones(3, dtype=torch.float64)).dtype == dtype


def test_a_density_keeps_its_own_copy_of_the_parameters():
    means = torch.zeros(1, 2, dtype=torch.float64)
    p = GaussianMixture([1.0], means, torch.eye(2, dtype=torch.float64))
    means += 1
    assert p.means.tolist() == [[0.0, 0.0]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_evaluation_and_samples_on_the_gpu():
    p, x = random_mixture(3), points(20)
    for method in (p.log_prob, p.score, p.divergence):
        assert method(x.cuda(), 0.3).device.type == "cuda"
        torch.testing.assert_close(method(x.cuda(), 0.3).cpu(), method(x, 0.3))
    q = p.to("cuda")
    assert q.sample((3,)).device.type == "cuda"
    torch.testing.assert_close(q.sample((9,), generator=generator(1)).cpu(), p.sample((9,), generator=generator(1)))


ONE = ([1.0], [[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "said"),
    [
        ([], [], ONE[2], r"weights has shape \[0\]: give a non-empty list"),
        (1.0, ONE[1], ONE[2], r"weights has shape \[\]"),
        ([[1.0]], ONE[1], ONE[2], r"weights has shape \[1, 1\]"),
        ([1.5, -0.5], [[0.0, 0.0]] * 2, ONE[2], r"weights is \[1.5, -0.5\]: each must be positive"),
        ([1.0, 0.0], [[0.0, 0.0]] * 2, ONE[2], "each must be positive. Leave out empty components"),
        ([0.5, 0.6], [[0.0, 0.0]] * 2, ONE[2], "weights sum to 1.1: they must sum to 1. Divide them by their sum"),
        ([math.nan], ONE[1], ONE[2], "weights is .*nan.*: every entry must be finite"),
        ([1.0], [0.0, 0.0], ONE[2], r"means has shape \[2\]: for 1 weights give shape \[1, 2\]"),
        ([1.0], [[0.0, 0.0]] * 2, ONE[2], r"means has shape \[2, 2\]: for 1 weights give shape \[1, 2\]"),
        ([1.0], [[0.0, 0.0, 0.0]], ONE[2], r"means has shape \[1, 3\]"),
        ([1.0], [[0.0, math.inf]], ONE[2], "means is .*inf.*: every entry must be finite"),
        ([1.0], ONE[1], 1.0, r"covariances has shape \[\]: give \[1, 2, 2\], or \[2, 2\] for one shared by all"),
        ([0.5, 0.5], [[0.0, 0.0]] * 2, [ONE[2]], r"covariances has shape \[1, 2, 2\]: give \[2, 2, 2\]"),
        ([1.0], ONE[1], [[math.nan, 0.0], [0.0, 1.0]], "covariances is .*nan.*: every entry must be finite"),
        ([1.0], ONE[1], [[1.0, 0.5], [0.4, 1.0]], r"covariances\[0\] is .*: it must be symmetric"),
        ([1.0], ONE[1], [[1.0, 2.0], [2.0, 1.0]], r"covariances\[0\] is .*, with eigenvalue -1: .*positive definite"),
        ([1.0], ONE[1], [[0.0, 0.0], [0.0, 0.0]], "positive definite. A point mass"),
        ([0.5, 0.5], [[0.0, 0.0]] * 2, [ONE[2], [[1.0, 0.0], [0.0, -2.0]]], r"covariances\[1\] is .*eigenvalue -2"),
    ],
)
def test_bad_parameters_are_refused(weights, means, covariances, said):
    with pytest.raises(ValueError, match=said):
        GaussianMixture(weights, means, covariances)


def test_parameters_that_are_not_numbers_are_refused():
    with pytest.raises(TypeError, match="means is 'here': it must be numbers"):
        GaussianMixture([1.0], "here", ONE[2])
    with pytest.raises(TypeError, match="dtype is torch.int64: samples are floating point"):
        GaussianMixture(*ONE).to(torch.int64)


@pytest.mark.parametrize("method", ["log_prob", "score", "divergence", "posterior"])
@pytest.mark.parametrize(
    ("x", "sigma", "error", "said"),
    [
        (torch.zeros(3, 2), -0.1, ValueError, "sigma is -0.1: a noise level is a standard deviation"),
        (torch.zeros(3, 2), math.nan, ValueError, "sigma is nan"),
        (torch.zeros(3, 2), math.inf, ValueError, "sigma is inf"),
        (torch.zeros(3, 2), torch.tensor([1.0, -1.0, 1.0]), ValueError, "sigma holds a negative or non-finite level"),
        (torch.zeros(3, 2), torch.tensor([1.0, math.nan, 1.0]), ValueError, "sigma holds a negative or non-finite"),
        (torch.zeros(3, 2), torch.ones(3, 1), ValueError, r"sigma has shape \[3, 1\] .*take sigma\[:, 0\]"),
        (torch.zeros(3, 2), torch.ones(2), ValueError, r"sigma has shape \[2\] for x of shape \[3, 2\]"),
        (torch.zeros(3, 2), "small", TypeError, "sigma is 'small': it must be a number"),
        (torch.zeros(2, 3), 0.0, ValueError, r"x has shape \[2, 3\]: the last dimension must be 2"),
        (torch.tensor(0.0), 0.0, ValueError, r"x has shape \[\]: the last dimension must be 2"),
        (torch.zeros(3, 2, dtype=torch.int64), 0.0, TypeError, r"x has dtype torch.int64: .*Give x.float\(\)"),
        ([[0.0, 0.0]], 0.0, TypeError, "x is a list: give a torch tensor"),
    ],
)
def test_bad_points_and_levels_are_refused(method, x, sigma, error, said):
    with pytest.raises(error, match=said):
        getattr(two_modes(), method)(x, sigma)


# Noised and moved, a mixture of Gaussians is one: against the wrappers, which transform points instead of parameters.

MOTIONS = {
    "noised": (lambda p: p.noised(0.6), lambda p: Noised(p, 0.6)),
    "scaled": (lambda p: p.scaled(-1.5), lambda p: Affine(p, factor=-1.5)),
    "shifted": (lambda p: p.shifted((3.0, -1.0)), lambda p: Affine(p, shift=(3.0, -1.0))),
    "rotated": (lambda p: p.rotated(2.5), lambda p: Affine(p, angle=2.5)),
    "all of these": (
        lambda p: p.scaled(0.3).rotated(-0.4).shifted((1.0, 2.0)).noised(0.1),
        lambda p: Noised(Affine(p, 0.3, -0.4, (1.0, 2.0)), 0.1),
    ),
}
every_motion = pytest.mark.parametrize(("move", "wrap"), MOTIONS.values(), ids=list(MOTIONS))


@every_motion
@pytest.mark.parametrize("size", [1.0, 1e-6])
def test_moved_it_is_a_gaussian_mixture_and_the_law_is_the_same(move, wrap, size):
    """Also for covariances of 1e-12: to 1e-9 of the largest score that is compared."""
    p = random_mixture(3)
    p = GaussianMixture(p.weights, p.means, size**2 * p.covariances)
    q, wrapped = move(p), wrap(p)
    assert isinstance(q, GaussianMixture)
    assert torch.equal(q.weights, p.weights)
    length = wrapped.length_scale()
    x = q.means[:, None] + 3 * length * points(10, spread=1.0)
    for sigma in (0.0, length):
        for method in ("log_prob", "score", "divergence", "posterior"):
            ours, theirs = getattr(q, method)(x, sigma), getattr(wrapped, method)(x, sigma)
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9 * float(theirs.abs().max()))


@every_motion
def test_moved_its_samples_are_those_of_the_wrapper_in_law(move, wrap):
    """Kolmogorov-Smirnov of 1e5 draws of each in three directions, p > 1e-6: a std for a variance is at p = 0."""
    ours, theirs = (
        way(random_mixture(3)).sample((100_000,), generator=generator(k)) for k, way in ((1, move), (2, wrap))
    )
    for angle in (0.0, 1.0, 2.0):
        e = ours.new_tensor([math.cos(angle), math.sin(angle)])
        assert scipy.stats.ks_2samp((ours @ e).numpy(), (theirs @ e).numpy()).pvalue > 1e-6


@pytest.mark.parametrize("name", ["scaled", "shifted", "rotated"])
def test_moved_its_draws_are_the_moved_draws(name):
    move, wrap = MOTIONS[name]
    ours, theirs = (way(random_mixture(3)).sample((50,), generator=generator(1)) for way in (move, wrap))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("ratio", [1e6, 1e10])
def test_moved_a_very_elongated_one_keeps_its_digits(ratio):
    """The entries of C carry eps * ratio of its small eigenvalue, 1e-6 of it here: the moved one carries 1e-9."""
    short = ratio**-0.5
    p = GaussianMixture([1.0], [[0.5, -0.2]], [[1.0, 0.0], [0.0, short**2]])
    moved = p.rotated(0.3).scaled(0.7).rotated(-0.8).shifted((0.1, 0.2))
    wrapped = Affine(Affine(Affine(Affine(p, angle=0.3), 0.7), angle=-0.8), shift=(0.1, 0.2))
    twins = [moved, copy.copy(moved), pickle.loads(pickle.dumps(moved)), moved.to(torch.float64).to(torch.float32)]
    pairs = [(q, wrapped) for q in twins] + [(p.rotated(0.3).noised(short), Affine(p.noised(short), angle=0.3))]
    for q, exact in pairs:
        assert q.length_scale() == pytest.approx(exact.length_scale(), rel=1e-9)
        x = exact.to(torch.float64).sample((100,), generator=generator(1))
        for method in ("log_prob", "score", "divergence"):
            ours, theirs = getattr(q, method)(x), getattr(exact, method)(x)
            assert (ours - theirs).abs().max() < 1e-9 * theirs.abs().max(), method


def test_a_mixture_thinner_than_its_entries_can_tell_is_moved_all_the_same():
    """Of standard deviations 1 and 1e-9 and turned, the entries alone have a determinant of any sign."""
    p = GaussianMixture([1.0], [[0.0, 0.0]], [[1.0, 0.0], [0.0, 1e-18]]).to(torch.float64)
    for angle in (0.3, 1.0, 2.0, 2.6):
        q = p.rotated(angle)
        assert q.length_scale() == pytest.approx(1e-9, rel=1e-6)
        across = q.sample((1000,), generator=generator(1)) @ q.means.new_tensor([-math.sin(angle), math.cos(angle)])
        assert float(across.std()) == pytest.approx(1e-9, rel=0.2)
        assert q.log_prob(q.means).item() == pytest.approx(p.log_prob(p.means).item(), rel=1e-9)


def test_a_moved_subclass_keeps_what_it_changes():
    class Tilted(GaussianMixture):
        def score(self, x, sigma=0.0):
            return 2 * super().score(x, sigma)

    p = random_mixture(3)
    tilted, x = Tilted(p.weights, p.means, p.covariances), points(5)
    for move, _ in MOTIONS.values():
        torch.testing.assert_close(move(tilted).score(x), 2 * move(p).score(x))
        torch.testing.assert_close(move(tilted).posterior(x), move(p).posterior(x))


def test_moved_it_keeps_its_dtype_and_round_components_stay_round():
    for dtype in (torch.float32, torch.float64):
        q = two_modes().to(dtype).scaled(3.0).rotated(0.3).shifted((1.0, 2.0)).noised(0.1)
        assert q.dtype == q.sample((3,)).dtype == dtype
    assert two_modes().scaled(0.5) == GaussianMixture([0.2, 0.8], [[-2.5, -2.5], [2.5, 2.5]], 0.25 * torch.eye(2))
    assert torch.equal(q.covariances, q.covariances[0, 0, 0] * torch.eye(2).double().expand(2, 2, 2))
    back = random_mixture(3).rotated(0.7).rotated(-0.7)
    torch.testing.assert_close(back.covariances, random_mixture(3).covariances, rtol=1e-14, atol=1e-14)


def test_bad_motions_are_refused():
    p = two_modes()
    for factor in (0.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="factor"):
            p.scaled(factor)
    with pytest.raises(ValueError, match="sigma is 0.0: it must be finite and greater than 0"):
        p.noised(0.0)
    with pytest.raises(ValueError, match="shift has 3 entries: give 2"):
        p.shifted([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="angle is nan"):
        p.rotated(math.nan)


@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_bounds_hold_the_mass_and_length_scale_is_the_least_deviation(sigma):
    p = random_mixture(3)
    low, high = p.bounds(sigma)
    assert low.dtype == high.dtype == torch.float64
    covariances = p.covariances + sigma**2 * torch.eye(2, dtype=torch.float64)
    for i in range(2):
        stds = covariances[:, i, i].sqrt().numpy()
        outside = scipy.stats.norm.cdf((float(low[i]) - p.means[:, i].numpy()) / stds)
        outside += scipy.stats.norm.sf((float(high[i]) - p.means[:, i].numpy()) / stds)
        assert (p.weights.numpy() * outside).sum() < 1e-15
    assert p.length_scale(sigma) == pytest.approx(float(torch.linalg.eigvalsh(covariances).min()) ** 0.5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_a_thousand_components_at_a_hundred_thousand_points_fit_in_memory():
    """Peak memory of the whole process below 1.5 GB; all pairs at once would take 0.4 GB a plane in float32."""
    code = (
        "import torch\n"
        "from toylab.densities import fractal_tree\n"
        "p, x = fractal_tree(), torch.randn(100_000, 2)\n"
        "with torch.no_grad():\n"
        "    assert p.score(x).isfinite().all() and p.divergence(x).isfinite().all()\n"
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) * 1024 < 1.5e9
