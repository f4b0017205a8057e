"""The base of all densities: defaults, noise, motion, and the housekeeping of a value object."""

import copy
import math
import pickle
from dataclasses import FrozenInstanceError, dataclass

import pytest
import scipy.stats
import torch

from toylab._internal import validate
from toylab.densities import Affine, Banana, Circle, Density, GaussianMixture, Mixture, Noised, two_modes
from toylab.densities._mixture import mixture

WEIGHTS = [0.3, 0.5, 0.2]
MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [0.0, -3.0]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 1.2]], [[0.3, 0.0], [0.0, 0.4]]], dtype=torch.float64
)
MIXTURE = GaussianMixture(WEIGHTS, MEANS, COVARIANCES)
METHODS = ["log_prob", "score", "divergence"]
WRAPPED = [
    MIXTURE,
    Banana(scale=1.0),
    Circle(center=(1.0, 2.0)),
    Noised(MIXTURE, 0.5),
    Circle().noised(0.5),
    Affine(MIXTURE, factor=2.0),
    Banana().noised(0.3).rotated(1.0).shifted([1.0, 2.0]),
]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(*shape, spread=3.0):
    return spread * torch.randn(*shape, 2, dtype=torch.float64, generator=generator(0))


def rotation(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Plain(Density):
    """N(0, diag(1, 4)) by its log-density and draws alone."""

    def log_prob(self, x, sigma=0.0):
        v1, v2 = 1 + sigma**2, 4 + sigma**2
        return -0.5 * (x[..., 0] ** 2 / v1 + x[..., 1] ** 2 / v2 + torch.log(torch.as_tensor(v1 * v2))) - math.log(
            2 * math.pi
        )

    def sample(self, sample_shape=(), *, generator=None):
        return torch.randn(*sample_shape, 2, generator=generator) * torch.tensor([1.0, 2.0])


def test_density_itself_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Density()


@pytest.mark.parametrize("sigma", [0.0, 1.5, torch.linspace(0, 2, 6, dtype=torch.float64)])
def test_score_by_default_is_the_gradient_of_log_prob(sigma):
    x = points(6)
    variances = torch.stack([torch.as_tensor(v + sigma**2).expand(6) for v in (1, 4)], -1)
    torch.testing.assert_close(Plain().score(x, sigma).detach(), (-x / variances).double())
    with torch.no_grad():
        assert not Plain().score(x, sigma).requires_grad


def test_a_density_without_bounds_says_so():
    with pytest.raises(TypeError, match=r"Plain has no bounds\(sigma\), which quadrature needs"):
        Plain().bounds()
    with pytest.raises(TypeError, match=r"Plain has no length_scale\(sigma\), which quadrature needs"):
        Plain().length_scale()
    with pytest.raises(ValueError, match="the last dimension must be 2"):
        Plain().score(torch.zeros(3, 3))


# Noise.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sigma", [0.0, 0.8, torch.linspace(0, 3, 20, dtype=torch.float64)])
def test_noised_adds_the_variance(method, sigma):
    noisy = GaussianMixture(WEIGHTS, MEANS, COVARIANCES + 0.6**2 * torch.eye(2, dtype=torch.float64))
    x = points(20)
    torch.testing.assert_close(getattr(Noised(MIXTURE, 0.6), method)(x, sigma), getattr(noisy, method)(x, sigma))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("density", [MIXTURE, Banana(scale=1.0), Circle()], ids=["mixture", "banana", "circle"])
def test_noised_twice_adds_variances(density, method):
    x = points(20)
    twice = getattr(density.noised(0.3).noised(0.4), method)(x, 1.2)
    torch.testing.assert_close(twice, getattr(density, method)(x, 1.3), rtol=1e-10, atol=1e-10)


def test_noised_samples_have_the_covariance():
    """z-tests of the second moments of 2e5 draws: sigma for sigma^2 would be at more than 100 standard errors."""
    n, sigma = 200_000, 2.0
    x = Noised(MIXTURE, sigma).sample((n,), generator=generator(1))
    w = torch.tensor(WEIGHTS, dtype=torch.float64)
    mean = w @ MEANS
    offsets = MEANS - mean
    covariance = (w[:, None, None] * (COVARIANCES + offsets[:, :, None] * offsets[:, None, :])).sum(0)
    products = (x - mean)[:, :, None] * (x - mean)[:, None, :] - covariance - sigma**2 * torch.eye(2)
    for statistic in [*(x - mean).unbind(-1), *products.flatten(1).unbind(-1)]:
        assert abs(float(statistic.mean() / statistic.std())) * math.sqrt(n) < 5


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_noised_refuses_a_level_that_is_not_positive(sigma):
    with pytest.raises(ValueError, match=f"sigma is {sigma}: it must be finite and greater than 0"):
        MIXTURE.noised(sigma)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wrapped", [Noised(MIXTURE, 0.5), Affine(MIXTURE, 2.0)], ids=["noised", "moved"])
def test_wrappers_check_points_and_levels(wrapped, method):
    with pytest.raises(ValueError, match="the last dimension must be 2"):
        getattr(wrapped, method)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="sigma is -0.1"):
        getattr(wrapped, method)(torch.zeros(3, 2), -0.1)
    with pytest.raises(ValueError, match=r"sigma has shape \[3, 1\]"):
        getattr(wrapped, method)(torch.zeros(3, 2), torch.ones(3, 1))
    with pytest.raises(TypeError, match=r"Give x.float\(\)"):
        getattr(wrapped, method)(torch.zeros(3, 2, dtype=torch.int64))


# Motion: y = factor R x + shift.

MOTIONS = [(2.0, 0.0, (0.0, 0.0)), (-0.5, 0.0, (0.0, 0.0)), (1.0, 0.9, (0.0, 0.0)), (1.0, 0.0, (3.0, -1.0)),
           (-1.5, 2.5, (1.0, 2.0))]  # fmt: skip
every_motion = pytest.mark.parametrize(("factor", "angle", "shift"), MOTIONS)


@every_motion
@pytest.mark.parametrize("sigma", [0.0, 0.8, torch.linspace(0, 3, 20, dtype=torch.float64)])
def test_moved_is_the_mixture_of_the_moved_components(factor, angle, shift, sigma):
    turn, y = rotation(angle), points(20)
    explicit = GaussianMixture(
        WEIGHTS,
        factor * MEANS @ turn.T + torch.tensor(shift, dtype=torch.float64),
        factor**2 * turn @ COVARIANCES @ turn.T,
    )
    moved = Affine(MIXTURE, factor=factor, angle=angle, shift=shift)
    for method in METHODS:
        torch.testing.assert_close(
            getattr(moved, method)(y, sigma), getattr(explicit, method)(y, sigma), rtol=1e-10, atol=1e-10
        )


@every_motion
def test_moved_by_the_change_of_variables(factor, angle, shift):
    """log p_Y(y) = log p_X(x) - log |det(factor R)| and the chain rule, on a law that is no Gaussian."""
    p, turn, x = Banana(scale=1.0), rotation(angle), points(20)
    y = factor * x @ turn.T + torch.tensor(shift, dtype=torch.float64)
    moved = Affine(p, factor=factor, angle=angle, shift=shift)
    log_det = torch.linalg.slogdet(factor * turn).logabsdet
    torch.testing.assert_close(moved.log_prob(y), p.log_prob(x) - log_det)
    torch.testing.assert_close(moved.score(y), torch.linalg.solve(factor * turn.T, p.score(x).T).T)
    torch.testing.assert_close(moved.divergence(y), p.divergence(x) / factor**2)


@every_motion
def test_moved_samples_are_the_moved_samples(factor, angle, shift):
    p = MIXTURE.to(torch.float64)
    x = p.sample((50,), generator=generator(2))
    y = Affine(p, factor=factor, angle=angle, shift=shift).sample((50,), generator=generator(2))
    torch.testing.assert_close(y, factor * x @ rotation(angle).T + torch.tensor(shift, dtype=torch.float64))


def test_scaled_shifted_and_rotated_are_these_motions():
    p = Banana()
    assert p.scaled(2.0) == Affine(p, factor=2.0)
    assert p.shifted([1, 2]) == p.shifted(torch.tensor([1.0, 2.0])) == Affine(p, shift=(1.0, 2.0))
    assert p.rotated(0.5) == Affine(p, angle=0.5)


def test_rotation_is_anticlockwise():
    quarter = two_modes().shifted([10.0, 0.0]).rotated(math.pi / 2)  # the heavy mode goes from (15, 5) to (-5, 15)
    x = torch.tensor([-5.0, 15.0], dtype=torch.float64)
    assert float(quarter.log_prob(x)) == pytest.approx(math.log(0.8 / (2 * math.pi)))


def test_scaled_then_noised_is_the_kernel_of_a_diffusion():
    """alpha X + sigma Z of one Gaussian: N(alpha m, alpha^2 C + sigma^2 I)."""
    alpha, sigma, x = 0.4, 0.9, points(20)
    m, C = MEANS[0], COVARIANCES[0]
    exact = torch.distributions.MultivariateNormal(alpha * m, alpha**2 * C + sigma**2 * torch.eye(2))
    p = GaussianMixture([1.0], m[None], C).scaled(alpha)
    torch.testing.assert_close(p.noised(sigma).log_prob(x), exact.log_prob(x))
    torch.testing.assert_close(p.log_prob(x, sigma), exact.log_prob(x))


@pytest.mark.parametrize("factor", [0.0, math.inf, math.nan])
def test_a_factor_is_finite_and_not_zero(factor):
    with pytest.raises(ValueError, match="factor"):
        MIXTURE.scaled(factor)


def test_bad_motions_are_refused():
    with pytest.raises(ValueError, match="shift has 3 entries: give 2"):
        MIXTURE.shifted([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="shift is inf"):
        MIXTURE.shifted([1.0, math.inf])
    with pytest.raises(ValueError, match="angle is nan"):
        MIXTURE.rotated(math.nan)
    for wrapper in (lambda p: Affine(p, factor=2.0), lambda p: Noised(p, 1.0)):
        with pytest.raises(TypeError, match="density is a int: give a toylab Density"):
            wrapper(3)


@pytest.mark.parametrize("density", [MIXTURE, Banana(), Circle()], ids=["mixture", "banana", "circle"])
def test_bounds_of_moved_and_noised_hold_their_samples(density):
    moved = density.scaled(-2.0).rotated(0.8).shifted([5.0, -5.0]).noised(0.7)
    low, high = moved.bounds(0.5)
    x = moved.to(torch.float64).noised(0.5).sample((10_000,), generator=generator(3))
    assert bool(((low < x) & (x < high)).all())
    assert moved.length_scale(0.5) == pytest.approx(2 * density.length_scale(math.hypot(0.7, 0.5) / 2))


# The mixture rule.


def test_mixture_rule_by_hand():
    """Two components of weights 1/4 and 3/4 at x: the between term is (1/4)(3/4)|s_1 - s_2|^2."""
    log_joint = torch.tensor([1.0, 3.0], dtype=torch.float64).log()
    scores = torch.tensor([[2.0, 0.0], [-2.0, 3.0]], dtype=torch.float64)
    log_p, s, div = mixture(log_joint, scores, torch.tensor([-1.0, -5.0], dtype=torch.float64))
    assert float(log_p) == pytest.approx(math.log(4))
    assert s.tolist() == pytest.approx([-1.0, 2.25])
    assert float(div) == pytest.approx(-4.0 + 3 / 16 * 25)


def test_mixture_rule_does_not_cancel_in_float32():
    """|s_k| = 1e4 and |s_1 - s_2| = 1: a raw E|s_k|^2 - |s|^2 would be lost in the rounding of 1e8."""
    scores = torch.tensor([[1e4, 0.0], [1e4 + 1, 0.0]])
    _, s, div = mixture(torch.zeros(2), scores, torch.zeros(2))
    torch.testing.assert_close(s, torch.tensor([1e4 + 0.5, 0.0]))
    torch.testing.assert_close(div, torch.tensor(0.25))


# Housekeeping.


@pytest.mark.parametrize("density", WRAPPED, ids=lambda p: type(p).__name__)
def test_copies_are_equal_and_work(density):
    x = points(5)
    expected = density.score(x, 0.5)  # before copying, so that whatever is kept for speed is there to be copied
    for twin in (copy.copy(density), copy.deepcopy(density), pickle.loads(pickle.dumps(density))):
        assert twin == density
        assert hash(twin) == hash(density)
        assert twin.dtype == density.dtype
        assert torch.equal(twin.score(x, 0.5), expected)
        assert torch.equal(twin.sample((3,), generator=generator(4)), density.sample((3,), generator=generator(4)))


@pytest.mark.parametrize("density", WRAPPED, ids=lambda p: type(p).__name__)
def test_to_changes_the_samples_and_nothing_else(density):
    x = points(5)
    for dtype in (torch.float64, torch.float32):
        other = density.to(dtype)
        assert type(other) is type(density)
        assert other.dtype == dtype
        assert other.sample((3,)).dtype == dtype
        assert other.to(density.dtype) == density
        assert torch.equal(other.log_prob(x, 0.5), density.log_prob(x, 0.5))
    assert density.to("cpu") == density
    assert density.to(x).dtype == torch.float64
    with pytest.raises(TypeError, match="dtype is torch.int64"):
        density.to(torch.int64)


def test_equality_is_of_type_parameters_and_dtype():
    assert two_modes() == two_modes()
    assert two_modes() != two_modes().to(torch.float64)
    assert two_modes() != MIXTURE
    assert Circle(1.0) != Circle(2.0)
    assert Circle(1.0) != Banana()
    assert two_modes().noised(1.0) != two_modes().noised(2.0)
    assert two_modes().noised(1.0) != MIXTURE.noised(1.0)
    assert two_modes() != "two modes"


def test_a_density_is_frozen():
    with pytest.raises(FrozenInstanceError):
        two_modes().weights = torch.ones(2)
    with pytest.raises(FrozenInstanceError):
        Circle().radius = 2.0


def test_repr_says_what_the_density_is():
    assert repr(Circle(2.0, (1.0, 0.0))) == "Circle(radius=2.0, center=(1.0, 0.0))"
    assert repr(Banana()) == "Banana(scale=2.0, width=0.5, bend=0.5)"
    assert repr(Circle().noised(0.5)) == "Circle(radius=1.0, center=(0.0, 0.0)).noised(0.5)"
    moved = Circle().scaled(2.0).rotated(0.5).shifted([1.0, 2.0])
    assert repr(moved) == "Circle(radius=1.0, center=(0.0, 0.0)).scaled(2.0).rotated(0.5).shifted((1.0, 2.0))"
    assert repr(two_modes()).startswith("GaussianMixture(weights=[0.2, 0.8], means=[[-5.0, -5.0], [5.0, 5.0]]")
    assert repr(GaussianMixture(torch.full((100,), 0.01), torch.zeros(100, 2), torch.eye(2))) == (
        "GaussianMixture(weights=<tensor [100]>, means=<tensor [100, 2]>, covariances=<tensor [100, 2, 2]>)"
    )


def test_densities_can_be_evaluated_inside_transforms():
    """One point at a time under vmap and jacrev gives the same as a batch."""
    x = points(6)
    for density in (GaussianMixture(WEIGHTS, MEANS, COVARIANCES), Circle().noised(0.5)):
        jacobian = torch.func.vmap(torch.func.jacrev(density.score))(x)
        torch.testing.assert_close(jacobian.diagonal(dim1=-2, dim2=-1).sum(-1), density.divergence(x))
        torch.testing.assert_close(jacobian, jacobian.mT)


def test_divergence_by_default_is_that_of_the_score():
    """N(0, diag(1, 4)) noised by 1 has divergence -1/2 - 1/5 everywhere."""
    x = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Plain().divergence(x, 1.0).detach(), torch.full((6,), -0.7, dtype=torch.float64))


# A log-density alone: a class of one's own.


class Logistic(Density):
    """Independent logistic coordinates: s = -tanh(x / 2), s' = -1 / (2 cosh(x / 2)^2)."""

    def log_prob(self, x, sigma=0.0):
        validate.only_clean(sigma, x, "the logistic density")
        return (-x - 2 * torch.nn.functional.softplus(-x)).sum(-1)


def test_a_log_density_alone_has_score_and_divergence():
    p, x = Logistic(), points(30).view(5, 6, 2)
    torch.testing.assert_close(p.score(x), -(x / 2).tanh(), rtol=1e-12, atol=1e-12)
    expected = (-0.5 / (x / 2).cosh() ** 2).sum(-1)
    torch.testing.assert_close(p.divergence(x), expected, rtol=1e-12, atol=1e-12)
    log_p, s = p.log_prob_and_score(x)
    torch.testing.assert_close(log_p, scipy_logistic(x))
    torch.testing.assert_close(s, p.score(x))
    moved = p.scaled(2.0).shifted((1.0, -1.0))
    y = 2 * x + torch.tensor([1.0, -1.0])
    torch.testing.assert_close(moved.score(y), p.score(x) / 2, rtol=1e-12, atol=1e-12)
    assert (p.event_shape, p.batch_shape, p.dtype) == ((2,), (), torch.get_default_dtype())


def scipy_logistic(x):
    return torch.as_tensor(scipy.stats.logistic.logpdf(x.numpy()).sum(-1))


@pytest.mark.parametrize("method", METHODS)
def test_a_log_density_alone_says_nothing_of_noise(method):
    p, x = Logistic(), torch.zeros(3, 2)
    said = "only the clean law of the logistic density is known, so sigma must be 0. For noised laws take .*uses sigma"
    with pytest.raises(ValueError, match=f"sigma is 0.3: {said}"):
        getattr(p, method)(x, 0.3)
    with pytest.raises(ValueError, match=f"sigma is a tensor with levels above 0: {said}"):
        getattr(p, method)(x, torch.tensor([0.0, 0.0, 0.3]))
    with pytest.raises(ValueError, match="only the clean law of"):
        getattr(p.noised(0.3), method)(x)
    with pytest.raises(ValueError, match="sigma is -1: a noise level is a standard deviation"):
        getattr(p, method)(x, -1)
    with pytest.raises(ValueError, match="the last dimension must be 2"):
        getattr(p, method)(torch.zeros(2, 3))
    assert torch.equal(getattr(p, method)(x, torch.zeros(3)), getattr(p, method)(x))


def test_a_log_density_of_x_alone_is_taken_as_the_clean_one():
    class Plain(Density):
        def log_prob(self, x):
            return (-x - 2 * torch.nn.functional.softplus(-x)).sum(-1)

    p, x = Plain(), points(9)
    for method in METHODS:
        torch.testing.assert_close(getattr(p, method)(x, 0.0), getattr(Logistic(), method)(x))
        with pytest.raises(ValueError, match="sigma is 0.3: only the clean law of Plain is known"):
            getattr(p, method)(x, 0.3)
    with pytest.raises(TypeError, match="Plain has no sample"):
        p.sample((3,))


def test_a_log_prob_that_is_not_summed_is_refused():
    class Unsummed(Density):
        def log_prob(self, x):
            return -x.square() / 2

    with pytest.raises(
        ValueError, match=r"gives shape \[3, 2\] for points .*\[3, 2\]: .*one number per point, .*\[3\]\. .*\.sum\(-1\)"
    ):
        Unsummed().score(torch.zeros(3, 2))


def test_a_sample_of_another_shape_is_refused():
    class One(Density):
        def log_prob(self, x):
            return -x.square().sum(-1) / 2

        def sample(self, sample_shape=(), *, generator=None):
            return torch.zeros(2)

    assert One().sample().shape == (2,)
    with pytest.raises(ValueError, match=r"One\.sample gives \[2\] for the shape \[3\]: it must give points, \[3, 2\]"):
        One().sample((3,))


def test_no_move_is_refused_in_a_sentence():
    with pytest.raises(TypeError, match=r"to\(\[\]\) is no move: give a dtype, a device or both"):
        two_modes().to([])
    with pytest.raises(ValueError, match=r"to\(device='gpu'\) is no move: .*torch says"):
        two_modes().to(device="gpu")


def test_a_part_without_mass_whose_squared_score_overflows_is_left_out():
    """A circle noised by 1e-12 has a score of 1e24 at the points of the other part, and 1e48 is no float32."""
    p = Mixture([0.5, 0.5], [two_modes(), Circle()])
    assert torch.equal(p.divergence(torch.tensor([[5.0, 5.0], [-5.0, -4.0]]), 1e-12), torch.tensor([-2.0, -2.0]))
