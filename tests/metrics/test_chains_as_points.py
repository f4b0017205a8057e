"""Every metric and every plot that takes points or a path takes chains and arrays, with the same answer."""

import dataclasses
import inspect
import types
import typing

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from toylab import metrics, plotting
from toylab.densities import GaussianMixture
from toylab.samplers import Chains, langevin
from toylab.score import at
from toylab.sde import VP

P = GaussianMixture([0.4, 0.6], [[-1.0, 0.0], [1.0, 0.5]], [[[0.5, 0.1], [0.1, 0.6]]] * 2)
EXTENT = (-4.0, 4.0, -4.0, 4.0)


def g():
    return torch.Generator().manual_seed(1)


def ran(keep_every=1):
    start = P.to(torch.float64).sample((30,), generator=torch.Generator().manual_seed(0))
    settings = {"step_size": 0.2, "n_steps": 12, "generator": g(), "progress": False}
    return langevin(P.score, start, keep_every=keep_every, **settings)


CHAINS = ran()
OTHER = CHAINS.samples.flip(-1) + 0.3


def explained(start):
    def sampler(score, x, generator):
        return langevin(score, x, step_size=0.2, n_steps=3, generator=generator, progress=False)

    return metrics.explain(P, {}, sampler, start, exact=P.score, quantity=lambda x: x.square().sum(-1))


# (function, parameter): the function of that parameter alone
OF_POINTS = {
    ("cloud", "samples"): lambda x: plotting.cloud(x, EXTENT).collections[-1].get_offsets(),
    ("curl", "x"): lambda x: metrics.curl(at(P.score, 0.5), x),
    ("energy_distance", "x"): lambda x: metrics.energy_distance(x, OTHER, n_permutations=20, generator=g()),
    ("energy_distance", "y"): lambda y: metrics.energy_distance(OTHER, y, n_permutations=20, generator=g()),
    ("explain", "start"): explained,
    ("fokker_planck_residual", "x"): lambda x: metrics.fokker_planck_residual(P.score, x, 0.5),
    ("histogram", "samples"): lambda x: metrics.histogram(x, EXTENT, 8),
    ("histogram_divergence", "samples"): lambda x: metrics.histogram_divergence(x, P, EXTENT, n=8),
    ("kernel_stein_discrepancy", "x"): lambda x: metrics.kernel_stein_discrepancy(x, P.score),
    ("log_density_calibration", "samples"): lambda x: metrics.log_density_calibration(x, P),
    ("maximum_mean_discrepancy", "x"): lambda x: metrics.maximum_mean_discrepancy(x, OTHER, n_permutations=0),
    ("maximum_mean_discrepancy", "y"): lambda y: metrics.maximum_mean_discrepancy(OTHER, y, n_permutations=0),
    ("mode_weights", "samples"): lambda x: metrics.mode_weights(x, P),
    ("posterior_covariance", "x"): lambda x: metrics.posterior_covariance(P.score, x, 0.5),
    ("posterior_covariance_at", "x"): lambda x: metrics.posterior_covariance_at(VP(), P.score, x, 0.5),
    ("posterior_mean", "x"): lambda x: metrics.posterior_mean(P.score, x, 0.5),
    ("posterior_mean_at", "x"): lambda x: metrics.posterior_mean_at(VP(), P.score, x, 0.5),
    ("sample_histogram", "samples"): lambda x: plotting.sample_histogram(x, EXTENT).images[0].get_array(),
    ("sliced_wasserstein", "x"): lambda x: metrics.sliced_wasserstein(x, OTHER, n_directions=5, generator=g()),
    ("sliced_wasserstein", "y"): lambda y: metrics.sliced_wasserstein(OTHER, y, n_directions=5, generator=g()),
    ("wasserstein", "x"): lambda x: metrics.wasserstein(x, OTHER),
    ("wasserstein", "y"): lambda y: metrics.wasserstein(OTHER, y),
}
OF_A_PATH = {
    ("autocorrelation", "path"): lambda path: metrics.autocorrelation(path, 5),
    ("convergence", "path"): lambda path: metrics.convergence(path, P.log_prob),
    ("trajectories", "path"): lambda path: plotting.trajectories(path, EXTENT).lines[0].get_xydata(),
}
OF_CHAINS_ALONE = {("acceptance", "chains"), ("mode_weight_trace", "chains")}
NOT_POINTS = {("curves", "x")}  # numbers along an axis
NAMES_OF_POINTS = {"chains", "cloud", "path", "points", "samples", "start", "x", "y"}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def same(one, other):
    """Equal to the last bit, whatever the kind of result."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    return one == other


def takes_points(name, annotation):
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return name in NAMES_OF_POINTS or Chains in kinds


def test_no_function_of_points_or_of_a_path_is_left_out():
    found = {
        (name, parameter.name)
        for room in (metrics, plotting)
        for name in room.__all__
        if inspect.isfunction(function := getattr(room, name))
        for parameter in inspect.signature(function).parameters.values()
        if takes_points(parameter.name, parameter.annotation)
    }
    assert found - NOT_POINTS == set(OF_POINTS) | set(OF_A_PATH) | OF_CHAINS_ALONE


@pytest.mark.parametrize("f", OF_POINTS.values(), ids=map(" of ".join, OF_POINTS))
def test_chains_are_their_samples(f):
    assert same(f(CHAINS), f(CHAINS.samples))


@pytest.mark.parametrize("f", OF_A_PATH.values(), ids=map(" of ".join, OF_A_PATH))
def test_chains_are_their_path(f):
    assert same(f(CHAINS), f(CHAINS.path))


def test_chains_that_diverged_are_refused_as_points_are():
    samples, path = CHAINS.samples.clone(), CHAINS.path.clone()
    samples[3], path[-1, 3] = torch.inf, torch.inf
    chains = dataclasses.replace(CHAINS, samples=samples, path=path, diverged=~samples.isfinite().all(-1))
    with pytest.raises(
        ValueError, match=r"holds 1 points that are nan or inf: leave out the chains in Chains.diverged"
    ):
        metrics.mode_weights(chains, P)
    with pytest.raises(ValueError, match=r"path holds nan or inf: .*chains.path\[:, ~chains.diverged\]"):
        metrics.convergence(chains)
    kept = chains.samples[~chains.diverged]
    assert sum(e.value for e in metrics.mode_weights(kept, P)) == pytest.approx(1)


class Foreign:
    """An array of another package, which NumPy can read, and may not write to."""

    def __init__(self, values):
        self.values = values.copy()
        self.values.flags.writeable = False

    def __array__(self, dtype=None, copy=None):
        return self.values


def table(values):
    return pytest.importorskip("pandas").DataFrame(values, columns=["x1", "x2"])


# an array [.., 2] of double precision in other memory
FORMS = {
    "contiguous": lambda values: values,
    "Fortran-ordered": np.asfortranarray,
    "read-only": lambda values: Foreign(values).values,
    "strided": lambda values: np.repeat(values, 2, axis=-2)[..., ::2, :],
    "backwards": lambda values: values[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
    "of the other byte order": lambda values: values.astype(values.dtype.newbyteorder()),
    "of more than double precision": lambda values: values.astype(np.longdouble),
    "of another package": Foreign,
}
OF_ARRAYS = {key: (f, CHAINS.samples) for key, f in OF_POINTS.items()} | {
    key: (f, CHAINS.path) for key, f in OF_A_PATH.items()
}


@pytest.mark.parametrize("key", OF_ARRAYS, ids=" of ".join)
def test_arrays_are_the_tensors_of_their_numbers(key):
    f, x = OF_ARRAYS[key]
    values = x.numpy()
    kept, in_double, in_single = values.copy(), f(x), f(x.float())
    for form in FORMS.values():
        assert same(f(form(values)), in_double)
    assert same(f(values.astype(np.float32)), in_single)
    assert np.array_equal(values, kept)


@pytest.mark.parametrize("key", OF_POINTS, ids=" of ".join)
def test_tables_are_points(key):
    f, x = OF_ARRAYS[key]
    assert same(f(table(x.numpy())), f(x))


@pytest.mark.parametrize("key", OF_ARRAYS, ids=" of ".join)
def test_arrays_of_jax_are_points(key):
    jax = pytest.importorskip("jax")
    f, x = OF_ARRAYS[key]
    assert same(f(jax.numpy.asarray(x.float().numpy())), f(x.float()))


class Closed:
    """An array on a GPU of a package that copies nothing by itself."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("no implicit conversion. Call get().")


@pytest.mark.parametrize("key", OF_ARRAYS, ids=" of ".join)
def test_other_arrays_are_refused_in_a_sentence(key):
    f, x = OF_ARRAYS[key]
    values, name = x.numpy(), key[1]
    hidden = np.ma.array(values, mask=values > 1)
    for wrong, message in (
        (values.astype(int), rf"{name} is a ndarray of int64: give floating-point numbers, as {name}.astype\(float\)"),
        (values.astype(complex), f"{name} is a ndarray of complex128"),
        (values.astype(str), f"{name} is a ndarray of <U"),
        (hidden, f"{name} is an array with masked entries: give those that are left, or nan in their place"),
        (Closed(), rf"{name} is a Closed, which NumPy cannot read \(no implicit conversion. Call get\(\)\)"),
    ):
        with pytest.raises(TypeError, match=message):
            f(wrong)
    assert same(f(np.ma.array(values)), f(x))


# what is drawn of values on a grid, and these
OF_VALUES = {
    "density_map": (lambda values: plotting.density_map(values, EXTENT), ()),
    "error_heat_map": (lambda values: plotting.error_heat_map(values, EXTENT), ()),
    "score_field": (lambda values: plotting.score_field(values, EXTENT), (2,)),
}


@pytest.mark.parametrize(("draw", "last"), OF_VALUES.values(), ids=OF_VALUES)
def test_values_on_a_grid_may_be_arrays_of_any_kind(draw, last):
    values = np.random.default_rng(0).random((6, 6, *last))

    def drawn(values):
        ax = draw(values)
        found = [*ax.images, *(part for part in ax.collections if not ax.images)]
        return np.asarray(found[0].get_array() if not last else found[0].U)

    expected = drawn(torch.as_tensor(values))
    for given in (values, np.asfortranarray(values), Foreign(values), np.repeat(values, 2, axis=0)[::2]):
        np.testing.assert_array_equal(drawn(given), expected)
