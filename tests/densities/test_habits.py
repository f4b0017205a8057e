"""Densities keep the habits of torch.distributions, and those of every value object; all of the catalogue does."""

import copy
import math
import pickle
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Uniform
from torch.distributions import Laplace as TorchLaplace

from toylab import densities
from toylab.densities import (
    Affine,
    Circle,
    ConcentricCircles,
    Density,
    GaussianMixture,
    Laplace,
    Mixture,
    Noised,
    Points,
    Segment,
    Square,
    StudentTMixture,
    catalogue,
    ring,
    two_modes,
)
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising
from toylab.training import fit

METHODS = ["log_prob", "score", "divergence"]
CATALOGUE = catalogue()
every_example = pytest.mark.parametrize("name", CATALOGUE)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def ring_of(radius, n=12, dtype=torch.float64):
    """n points round the origin, in directions that are no symmetry of anything but for the axes."""
    angles = torch.cat([torch.arange(4) * math.pi / 2, 0.3 + torch.arange(n - 4) * (2 * math.pi / (n - 4))]).double()
    x = radius * torch.stack([angles.cos(), angles.sin()], -1)
    return x.to(dtype)


# Side by side with torch's own laws.

WEIGHTS = torch.tensor([0.25, 0.75], dtype=torch.float64)
MEANS = torch.tensor([[-1.0, 0.5], [2.0, 0.0]], dtype=torch.float64)
COVARIANCES = torch.tensor([[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.2], [-0.2, 0.8]]], dtype=torch.float64)
SCALES = torch.tensor([0.5, 2.0], dtype=torch.float64)
ZERO, ONE = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
SIDE_BY_SIDE = {
    "gaussian": (GaussianMixture([1.0], MEANS[:1], COVARIANCES[0]), MultivariateNormal(MEANS[0], COVARIANCES[0])),
    "mixture": (
        GaussianMixture(WEIGHTS, MEANS, COVARIANCES),
        MixtureSameFamily(Categorical(WEIGHTS), MultivariateNormal(MEANS, COVARIANCES)),
    ),
    "laplace": (Laplace(SCALES).to(torch.float64), Independent(TorchLaplace(ZERO, SCALES), 1)),
    "square": (Square(-1.0, 3.0).to(torch.float64), Independent(Uniform(-ONE, 3 * ONE), 1)),
}
every_pair = pytest.mark.parametrize(("p", "theirs"), SIDE_BY_SIDE.values(), ids=list(SIDE_BY_SIDE))


@every_pair
def test_event_and_batch_shape_are_those_of_torch(p, theirs):
    assert p.event_shape == theirs.event_shape
    assert p.batch_shape == theirs.batch_shape
    assert type(p.event_shape) is type(p.batch_shape) is torch.Size


@every_pair
@pytest.mark.parametrize("shape", [(), (3,), torch.Size([]), torch.Size([2, 3]), (0,), (2, 0, 3), [4]], ids=repr)
def test_samples_have_the_shape_and_dtype_of_torch(p, theirs, shape):
    ours = p.sample(shape, generator=generator(0))
    assert ours.shape == (*shape, 2)
    if 0 not in shape:  # a mixture of torch stumbles over no draws at all
        other = theirs.sample(torch.Size(shape))
        assert ours.shape == other.shape
        assert ours.dtype == other.dtype == torch.float64
    assert p.sample().shape == theirs.sample().shape


@every_pair
@pytest.mark.parametrize("shape", [(2,), (0, 2), (5, 2), (3, 4, 2)])
def test_log_probs_have_the_shape_dtype_and_values_of_torch(p, theirs, shape):
    x = torch.rand(shape, dtype=torch.float64, generator=generator(1)) * 2 - 0.9  # inside the square
    ours = p.log_prob(x)
    assert ours.shape == shape[:-1]
    if 0 not in shape:  # torch reshapes to -1, which no points at all leave open
        other = theirs.log_prob(x)
        assert ours.dtype == other.dtype
        torch.testing.assert_close(ours, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("nu", [1.0, 3.0, 40.0])
def test_student_t_is_the_one_of_scipy(nu):
    shape = [[0.6, 0.2], [0.2, 0.3]]
    p = StudentTMixture([1.0], [[0.5, -1.0]], [shape], [nu])
    theirs = scipy.stats.multivariate_t([0.5, -1.0], shape, df=nu)
    x = torch.cat([3 * torch.randn(50, 2, dtype=torch.float64, generator=generator(2)), ring_of(1e3)])
    torch.testing.assert_close(p.log_prob(x), torch.as_tensor(theirs.logpdf(x.numpy())), rtol=1e-12, atol=1e-12)


# Dtypes and devices: evaluation follows the points, samples the density.


@every_example
@pytest.mark.parametrize("shape", [(2,), (0, 2), (5, 2), (3, 4, 2)])
def test_evaluation_follows_the_points_in_shape_and_dtype(name, shape):
    p = CATALOGUE[name].density
    for dtype in (torch.float32, torch.float64):
        x = torch.full(shape, 0.25, dtype=dtype)
        for sigma in (0.3, torch.full(shape[:-1], 0.3, dtype=torch.float64)):
            log_p, s, div = (getattr(p, method)(x, sigma) for method in METHODS)
            assert log_p.shape == div.shape == shape[:-1]
            assert s.shape == shape
            assert {log_p.dtype, s.dtype, div.dtype} == {dtype}


@every_example
def test_samples_follow_the_density_in_shape_and_dtype(name):
    p = CATALOGUE[name].density
    assert p.dtype == torch.get_default_dtype()
    for shape in [(), (3,), torch.Size([2, 3]), (0,), (2, 0, 3)]:
        for density in (p, p.to(torch.float64), p.noised(0.1), p.to(torch.float64).noised(0.1)):
            x = density.sample(shape, generator=generator(3))
            assert x.shape == (*shape, 2)
            assert x.dtype == density.dtype
    assert p.to(torch.float64).dtype == p.to(dtype=torch.float64).dtype == torch.float64
    assert p.to(torch.float64) != p
    assert p.to("cpu") == p.to(torch.device("cpu")) == p
    assert p.to(torch.zeros(1, dtype=torch.float64)) == p.to("cpu", torch.float64) == p.to(torch.float64)


@pytest.fixture
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_built_of_floats_samples_come_in_the_default_dtype(float64_by_default):
    for name, example in catalogue().items():
        assert example.density.sample((2,), generator=generator(4)).dtype == torch.float64, name


@pytest.mark.parametrize(
    "build",
    [
        lambda like: Points(torch.zeros(3, 2).to(like)),
        lambda like: ConcentricCircles(torch.ones(2).to(like)),
        lambda like: StudentTMixture([1.0], torch.zeros(1, 2).to(like), [[1.0, 0.0], [0.0, 1.0]], [3.0]),
        lambda like: GaussianMixture(torch.ones(1).to(like), [[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]),
        lambda like: Mixture([1.0], [Points(torch.zeros(3, 2).to(like))]),
    ],
    ids=["points", "circles", "student", "gaussians", "mixture"],
)
def test_built_of_tensors_samples_come_in_their_dtype(build):
    for dtype in (torch.float32, torch.float64):
        p = build(dtype)
        assert p.dtype == p.sample((2,), generator=generator(5)).dtype == dtype
        assert p.noised(0.1).sample().dtype == p.rotated(1.0).sample().dtype == dtype


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_example
def test_on_a_gpu_all_is_as_on_the_cpu(name):
    p, x = (
        CATALOGUE[name].density.to(torch.float64),
        3 * torch.randn(50, 2, dtype=torch.float64, generator=generator(6)),
    )
    for sigma in (0.3, torch.linspace(0.1, 2, 50, dtype=torch.float64)):
        for method in METHODS:
            on_gpu = getattr(p, method)(x.cuda(), sigma.cuda() if isinstance(sigma, torch.Tensor) else sigma)
            assert on_gpu.device.type == "cuda"
            torch.testing.assert_close(on_gpu.cpu(), getattr(p, method)(x, sigma), rtol=1e-9, atol=1e-9)
    q = p.to("cuda")
    assert q.sample((3,)).device.type == q.noised(0.1).sample((3,)).device.type == "cuda"
    draws = q.sample((9,), generator=generator(7))
    assert draws.device.type == "cuda"
    if name != "student_t":  # gamma numbers, and laws of many parts on the device, need not be the same digits
        torch.testing.assert_close(draws.cpu(), p.sample((9,), generator=generator(7)))
    assert q.to("cpu") == p


# Ready examples.


@every_example
def test_an_example_lies_in_its_square(name):
    """At most 1 % of the law is outside [-5, 5]^2: n = 1e5 draws, 5 standard errors.

    A law with exactly 1 % outside fails in 3 of 1e7 cases, one with 1.4 % nearly always.
    """
    x = CATALOGUE[name].density.sample((100_000,), generator=generator(8))
    outside = float((x.abs() > 5).any(-1).double().mean())
    assert outside < 0.01 + 5 * math.sqrt(0.01 * 0.99 / 100_000)


@every_example
def test_an_example_says_what_it_is_and_where_to_look(name):
    example = CATALOGUE[name]
    assert example.description.strip()
    assert "\n" not in example.description
    x = example.density.sample((20,), generator=generator(9))
    for method in METHODS:
        assert getattr(example.density, method)(x, example.least_sigma).isfinite().all()
    if example.least_sigma > 0:
        with pytest.raises(ValueError, match="sigma is 0: .*sigma > 0"):
            example.density.log_prob(x)


def test_the_catalogue_holds_every_kind_of_density():
    """All that can be drawn from and noised: not the abstract base, the wrappers, nor laws known only when clean."""

    def kinds(p):
        parts = [p.density] if hasattr(p, "density") else list(getattr(p, "densities", ()))
        return {type(p).__name__}.union(*(kinds(part) for part in parts))

    found = set().union(*(kinds(example.density) for example in CATALOGUE.values()))
    classes = {name for name in densities.__all__ if isinstance(getattr(densities, name), type)}
    assert classes - found == {"Conditioned", "Density", "Example", "FromEnergy", "FromTorch", "Noised", "Truncated"}


# Value objects.


def holds_a_long_tensor(p):
    parts = [p.density] if hasattr(p, "density") else list(getattr(p, "densities", ()))
    long = any(isinstance(value, torch.Tensor) and value.numel() > 64 for value in vars(p).values())
    return long or any(map(holds_a_long_tensor, parts))


@every_example
def test_the_repr_builds_the_density_again(name):
    p = CATALOGUE[name].density
    names = vars(densities) | {"torch": torch}
    for q in (p, p.to(torch.float64), p.noised(0.1).rotated(0.5)):
        if holds_a_long_tensor(p):
            assert "<tensor [" in repr(q)
        else:
            assert eval(repr(q), dict(names)) == q


@every_example
def test_equal_parameters_make_equal_densities(name):
    p, again = CATALOGUE[name].density, catalogue()[name].density
    assert p == again
    assert hash(p) == hash(again)
    assert p != p.to(torch.float64)
    assert p != p.shifted((0.0, 1e-3))
    assert p.noised(0.1) == again.noised(0.1)
    assert p.noised(0.1) != p.noised(0.2)
    assert [other for other in CATALOGUE if CATALOGUE[other].density == p] == [name]
    assert {p: "found"}[again] == "found"


@every_example
def test_copies_are_equal_and_work_as_well(name):
    p, x = CATALOGUE[name].density, ring_of(2.0, dtype=torch.float32)
    expected = [getattr(p, method)(x, 0.3) for method in METHODS]  # before, so that what is kept for speed is there
    for twin in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert twin == p
        assert hash(twin) == hash(p)
        assert (twin.dtype, twin.device) == (p.dtype, p.device)
        for method, value in zip(METHODS, expected, strict=True):
            assert torch.equal(getattr(twin, method)(x, 0.3), value)
        assert torch.equal(twin.sample((4,), generator=generator(10)), p.sample((4,), generator=generator(10)))
    for method, value in zip(METHODS, expected, strict=True):
        assert torch.equal(getattr(p, method)(x, 0.3), value)


# Evaluation.


@every_example
def test_log_prob_and_score_are_log_prob_and_score(name):
    example = CATALOGUE[name]
    x = torch.cat([example.density.to(torch.float64).sample((9,), generator=generator(11)), ring_of(7.0)])
    for sigma in (example.least_sigma, 0.3, torch.linspace(0.1, 2, len(x), dtype=torch.float64)):
        log_p, s = example.density.log_prob_and_score(x, sigma)
        for value, method in ((log_p, "log_prob"), (s, "score")):
            expected = getattr(example.density, method)(x, sigma)
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


SPREAD_OUT = [
    name for name, example in CATALOGUE.items() if example.least_sigma == 0 and name not in ("square", "checkerboard")
]


@pytest.mark.parametrize(
    ("name", "sigma"),
    [(name, sigma) for name in CATALOGUE for sigma in (1e-3, 1.0, 100.0)] + [(name, 0.0) for name in SPREAD_OUT],
)
def test_far_out_all_is_finite_in_float32(name, sigma):
    """At |x| = 50 in twelve directions; without noise, where the law has a density all over the plane."""
    p, x = CATALOGUE[name].density, ring_of(50.0, dtype=torch.float32)
    for method in METHODS:
        single, double = (getattr(p, method)(x.to(dtype), sigma) for dtype in (torch.float32, torch.float64))
        fits = double.abs() < torch.finfo(torch.float32).max  # of a funnel, y^2 e^-v may truly be too large
        assert bool(double.isfinite().all())
        assert bool(single[fits].isfinite().all())
        assert bool(fits.all()) or (name, sigma) == ("funnel", 0.0)


@pytest.mark.parametrize("name", ["square", "checkerboard"])
def test_far_out_a_bounded_law_has_no_density(name):
    p, x = CATALOGUE[name].density, ring_of(50.0, dtype=torch.float32)
    assert bool((p.log_prob(x) == -math.inf).all())
    assert bool(p.score(x).isnan().all())
    assert bool(p.divergence(x).isnan().all())


@every_example
def test_at_the_centre_and_on_axes_all_is_finite_in_float32(name):
    """Where radii vanish, kinks and edges lie, and pieces meet."""
    x = torch.tensor([[0.0, 0.0], [1e-20, 0.0], [0.0, -1e-20], [3.0, 0.0], [0.0, -3.0], [3.0, 3.0], [-2.0, 2.0]])
    for sigma in (1e-3, 0.1, 100.0):
        for method in METHODS:
            assert bool(getattr(CATALOGUE[name].density, method)(x, sigma).isfinite().all()), (method, sigma)


def test_a_density_is_its_own_in_sets_and_dictionaries():
    distinct = {Circle(), Circle(1.0), Circle(2.0), Segment(), Segment((-1, 0), (1, 0))}
    assert len(distinct) == 3


# Densities of one's own: N(mean, std^2 I) as a plain class, as a dataclass of any kind, and without parameters.


def log_normal(x, mean, std, sigma):
    v = torch.as_tensor(std**2 + sigma**2, dtype=x.dtype)
    return -(x - mean).square().sum(-1) / (2 * v) - (2 * math.pi * v).log()


def normal(p, shape, generator):
    return torch.randn(*shape, 2, dtype=p.dtype, device=p.device, generator=generator)


class Plain(Density):
    def __init__(self, mean):
        self._mean = torch.tensor([mean, 0.0])

    def log_prob(self, x, sigma=0.0):
        return log_normal(x, self._mean, self.std, sigma)

    def sample(self, sample_shape=(), *, generator=None):
        return self._mean + self.std * normal(self, sample_shape, generator)

    @cached_property
    def std(self):
        return torch.ones(2, dtype=self.dtype, device=self.device).mean()


class Composed(Density):
    def __init__(self, mean):
        super().__init__()
        self.part, self.grid, self.parts = Plain(mean), torch.arange(3).numpy(), [Circle(), torch.arange(3)]

    def log_prob(self, x, sigma=0.0):
        return self.part.log_prob(x, sigma)

    def sample(self, sample_shape=(), *, generator=None):
        return self.part.sample(sample_shape, generator=generator)


@dataclass(frozen=True)
class Frozen(Density):
    mean: torch.Tensor
    std: float = 1.0

    def log_prob(self, x, sigma=0.0):
        return log_normal(x, self.mean, self.std, sigma)

    def sample(self, sample_shape=(), *, generator=None):
        return self.mean + self.std * normal(self, sample_shape, generator)


@dataclass(frozen=True, eq=False, repr=False)
class Bald(Density):
    mean: torch.Tensor

    log_prob, sample, std = Frozen.log_prob, Frozen.sample, 1.0


@dataclass
class Thawed(Density):
    first: float
    second: float = 0.0

    def log_prob(self, x, sigma=0.0):
        return log_normal(x, x.new_tensor([self.first, self.second]), 1.0, sigma)

    def sample(self, sample_shape=(), *, generator=None):
        z = normal(self, sample_shape, generator)
        return z + z.new_tensor([self.first, self.second])


class Bare(Density):
    def log_prob(self, x, sigma=0.0):
        return log_normal(x, 0.0, 1.0, sigma)

    def sample(self, sample_shape=(), *, generator=None):
        return normal(self, sample_shape, generator)


OWN = {
    "plain": (Plain, "Plain()"),  # what its attributes hide is in no repr
    "composed": (Composed, "Composed(part=Plain(), grid=array([0, 1, 2]), parts=["),
    "frozen": (lambda mean: Frozen(torch.tensor([mean, 0.0])), "Frozen(mean=[0.0, 0.0], std=1.0)"),
    "frozen, eq=False": (lambda mean: Bald(torch.tensor([mean, 0.0])), "Bald(mean=[0.0, 0.0])"),
    "not frozen": (Thawed, "Thawed(first=0.0, second=0.0)"),
    "bare": (lambda mean: Bare() if mean == 0 else Bare().shifted((mean, 0.0)), "Bare()"),
}
every_own = pytest.mark.parametrize(("make", "text"), OWN.values(), ids=list(OWN))


@every_own
def test_one_of_ones_own_is_a_value(make, text):
    p, again, other, x = make(0.0), make(0.0), make(5.0), ring_of(2.0)
    expected = p.score(x, 0.5)
    assert repr(p).startswith(text)
    assert p == again
    assert hash(p) == hash(again)
    assert p != other
    assert {p: "found"}[again] == "found"
    assert other not in {p}
    for twin in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert twin == p
        assert torch.equal(twin.score(x, 0.5), expected)
        assert torch.equal(twin.sample((3,), generator=generator(1)), p.sample((3,), generator=generator(1)))


@every_own
def test_one_of_ones_own_moves_to_another_dtype(make, text):
    p = make(0.0)
    q = p.to(torch.float64)
    assert (p.dtype, q.dtype) == (torch.float32, torch.float64)
    assert p.sample((3,)).dtype == torch.float32
    assert q.sample((3,)).dtype == q.noised(0.1).sample((3,)).dtype == torch.float64
    assert p != q
    assert repr(q).endswith(".to(torch.float64)")
    assert q.to(p.dtype) == p == p.to("cpu")
    assert p.log_prob(torch.zeros(3, 2)).dtype == torch.float32
    with pytest.raises(TypeError, match="dtype is torch.int64: samples are floating point. Give torch.float32"):
        p.to(torch.int64)


@every_own
def test_one_of_ones_own_is_evaluated_noised_and_moved(make, text):
    """Against the Gaussian of the library: its score and divergence are automatic."""
    x = ring_of(2.0)
    for mean in (0.0, 5.0):
        p, q = make(mean), GaussianMixture([1.0], [[mean, 0.0]], torch.eye(2))
        for ours, theirs in (
            (p, q),
            (p.noised(0.7), q.noised(0.7)),
            (p.scaled(2.0).rotated(0.3).shifted((1.0, 2.0)), q.scaled(2.0).rotated(0.3).shifted((1.0, 2.0))),
        ):
            for method in METHODS:
                torch.testing.assert_close(getattr(ours, method)(x, 0.5), getattr(theirs, method)(x, 0.5))


@every_own
def test_one_of_ones_own_can_be_learned(make, text):
    p, g = make(0.0), generator(2)
    result = fit(ScoreMLP(8, generator=g), Denoising(0.5), p, n_steps=2, batch_size=8, generator=g, progress=False)
    assert result.network(torch.zeros(3, 2)).isfinite().all()
    mixed = Mixture([0.5, 0.5], [p, make(5.0)])
    assert mixed.sample((4,)).shape == (4, 2)
    assert mixed.to(torch.float64).sample((4,)).dtype == torch.float64


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_own
def test_one_of_ones_own_moves_to_the_gpu(make, text):
    p = make(0.0)
    q = p.to("cuda")
    x = q.sample((3,))
    assert x.device.type == q.score(x).device.type == q.noised(0.1).sample().device.type == "cuda"
    torch.testing.assert_close(q.score(x).cpu(), p.score(x.cpu()))
    assert q != p
    assert q.to("cpu") == p


class Thing(Density):
    def __init__(self, value):
        self.value = value

    def log_prob(self, x):
        return log_normal(x, 0.0, 1.0, 0.0)


def test_of_numbers_and_tensors_the_tensors_decide_the_dtype():
    assert Frozen(torch.zeros(2, dtype=torch.float64)).sample((3,)).dtype == torch.float64
    assert Plain(1.0).noised(0.5).dtype == Plain(1.0).to(torch.float64).noised(0.5).to(torch.float32).dtype


def test_what_is_computed_once_belongs_to_no_value():
    p, q = Plain(0.0), Plain(0.0)
    assert p.std == 1.0  # kept by cached_property
    assert p == q
    assert p.to(torch.float64).std.dtype == torch.float64
    assert "std" not in repr(p)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (lambda: {"a": [torch.zeros(2)]}, lambda: {"a": [torch.ones(2)]}),
        (lambda: {"a": np.zeros(2)}, lambda: {"b": np.zeros(2)}),
        (lambda: [(torch.zeros(2), 1.0)], lambda: [(torch.zeros(2), 2.0)]),
        (lambda: np.zeros(2), lambda: np.zeros(3)),
        (lambda: math.sin, lambda: math.cos),
        (two_modes, ring),
    ],
    ids=["dict of lists of tensors", "dict of arrays", "list of tuples", "array", "function", "density"],
)
def test_an_attribute_may_be_what_it_likes(value, other):
    p = Thing(value())
    assert p == Thing(value())
    assert hash(p) == hash(Thing(value()))
    assert p != Thing(other())
    assert copy.deepcopy(p) == p
    assert repr(p).startswith("Thing(value=")
    assert p.to(torch.float64).dtype == torch.float64
    assert p.to(torch.float64).to(torch.float32) == p


def test_tensors_in_a_dict_move_along_and_what_is_nan_is_still_itself():
    p = Thing({"a": [torch.zeros(2, dtype=torch.float64)]})
    assert p.dtype == torch.float64
    assert p.to(torch.float32).value["a"][0].dtype == torch.float32
    assert (q := Thing(math.nan)) == q


def refused(name, **body):
    bases = {"log_prob": lambda self, x: x.sum(-1)} | body
    return type(name, (Density,), bases)


def test_a_class_that_cannot_work_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"G has __slots__: .* ordinary attributes. Leave out slots=True"):
        refused("G", __slots__=("mean",))
    with pytest.raises(TypeError, match="G has __slots__"):
        dataclass(frozen=True, slots=True)(refused("G", __annotations__={"mean": float}))
    for name in ("dtype", "device"):
        with pytest.raises(TypeError, match=rf"G defines {name}: .*density.to\({name}\) changes it. Leave it out"):
            refused("G", __annotations__={name: object})
        with pytest.raises(TypeError, match=f"G defines {name}"):
            refused("G", **{name: None})
    with pytest.raises(TypeError, match=r"G.sample takes no generator, .*sample_shape=\(\), \*, generator=None\)"):
        refused("G", sample=lambda self, sample_shape=(): torch.zeros(*sample_shape, 2))
    assert refused("G", sample=lambda self, sample_shape=(), **options: torch.zeros(*sample_shape, 2))().sample(
        (3,)
    ).shape == (3, 2)


@pytest.mark.parametrize(
    "p", [*(example.density for example in CATALOGUE.values()), Bare(), Bare().noised(1.0)], ids=repr
)
def test_a_number_is_no_shape(p):
    for number in (3, 2.0):
        with pytest.raises(TypeError, match=rf"sample_shape is {number}: it must be a shape. .* give \({number},\)"):
            p.sample(number)


def test_what_a_wrapper_answers_is_what_its_part_can():
    p = GaussianMixture(WEIGHTS, MEANS, COVARIANCES)
    mixed = Mixture([0.25, 0.75], [Circle(2.0), Laplace()])
    points, student = Points(MEANS), StudentTMixture(WEIGHTS, MEANS, COVARIANCES, [3.0, 5.0])
    x, moved = ring_of(2.0), {"factor": -2.0, "angle": 0.5, "shift": (1.0, 2.0)}
    for part in (p, mixed, points):
        torch.testing.assert_close(Noised(part, 0.3).posterior(x, 0.4), part.posterior(x, 0.5))
        turned = torch.tensor([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]], dtype=torch.float64)
        y = -2 * x @ turned.T + torch.tensor([1.0, 2.0], dtype=torch.float64)
        torch.testing.assert_close(Affine(part, **moved).posterior(y, 0.8), part.posterior(x, 0.4))
    for part in (p, mixed, student):
        assert torch.equal(part.noised(0.1).weights, part.weights)
        assert torch.equal(part.scaled(2.0).noised(0.1).rotated(1.0).weights, part.weights)
    for alone in (Square(), Square().noised(0.1), Square().scaled(2.0).noised(0.1)):
        assert not hasattr(alone, "weights")
        with pytest.raises(TypeError, match=r"Square has no posterior\(x, sigma\): it is not a mixture of components"):
            alone.posterior(x, 0.1)
