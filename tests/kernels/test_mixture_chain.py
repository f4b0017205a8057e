"""A run in one kernel is the run of the plain path with the same random numbers, and its law is exact."""

import math
from contextlib import contextmanager

import pytest
import torch
from scipy import stats

from tests.kernels.numbers import Replayed
from toylab._kernels import mixture_chain, when
from toylab._kernels.random import draw_seed
from toylab.densities import Banana, GaussianMixture, Points, _gaussians, ring, two_modes
from toylab.samplers import accept_reject, annealed_langevin, fused, langevin, mala
from toylab.samplers.loop import Recorder
from toylab.schedules import geometric
from toylab.score import at

DTYPES = (torch.float64, torch.float32)


def slanted():
    covariances = torch.tensor([[[1.0, 0.6], [0.6, 0.5]], [[0.2, -0.1], [-0.1, 0.9]]], dtype=torch.float64)
    return GaussianMixture([0.3, 0.7], [[-1.5, 0.0], [1.5, 0.5]], covariances)


def start(p, n, dtype, device):
    return p.sample((n,), generator=torch.Generator().manual_seed(0)).to(device, dtype)


def generator(device, seed=5):
    return torch.Generator(device).manual_seed(seed)


M = torch.tensor([[2.0, 0.5], [0.5, 0.4]])
RUNS = {
    "langevin": lambda p, x, **k: langevin(p.score, x, step_size=0.05, n_steps=20, **k),
    "langevin, tempered, schedule": lambda p, x, **k: langevin(
        p.score, x, step_size=lambda i: 0.05 / (1 + i), n_steps=20, temperature=0.3, **k
    ),
    "gradient ascent": lambda p, x, **k: langevin(p.score, x, step_size=0.05, n_steps=20, temperature=0.0, **k),
    "langevin, noised": lambda p, x, **k: langevin(at(p.score, 0.5), x, step_size=0.05, n_steps=20, **k),
    "langevin, estimate": lambda p, x, **k: langevin(
        at(Points([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]]).score, 0.7), x, step_size=0.05, n_steps=20, **k
    ),
    "annealed": lambda p, x, **k: annealed_langevin(
        p.score, x, geometric(5.0, 0.3, 5), step_size=0.02, n_steps=4, denoise=True, **k
    ),
    "mala": lambda p, x, **k: mala(p.log_prob, p.score, x, step_size=0.4, n_steps=20, **k),
    "mala, schedule": lambda p, x, **k: mala(
        p.log_prob, p.score, x, step_size=lambda i: 0.4 / (1 + 0.2 * i), n_steps=20, **k
    ),
    "mala, preconditioned": lambda p, x, **k: mala(
        p.log_prob, p.score, x, step_size=0.4, n_steps=20, preconditioner=M, **k
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", [ring, slanted])
@pytest.mark.parametrize("name", RUNS)
def test_it_is_the_plain_run(kernels, without_kernels, monkeypatch, name, law, dtype):
    p = law()
    x = start(p, 300, dtype, kernels)
    ours = RUNS[name](p, x, keep_every=4, generator=generator(kernels), progress=False)
    without_kernels()
    numbers = Replayed(draw_seed(kernels, generator(kernels)))
    monkeypatch.setitem(vars(_module(langevin)), "normal_like", numbers.normal_like)
    monkeypatch.setitem(vars(_module(mala)), "normal_like", numbers.normal_like)
    monkeypatch.setattr(accept_reject, "uniform", numbers.uniform)
    plain = RUNS[name](p, x, keep_every=4, generator=torch.Generator(kernels), progress=False)
    assert ours.samples.dtype == plain.samples.dtype == dtype
    assert ours.path.shape == plain.path.shape
    if dtype == torch.float64:
        assert float((ours.samples - plain.samples).abs().max()) < 1e-9
        assert float((ours.path - plain.path).abs().max()) < 1e-9
        assert torch.equal(ours.acceptance, plain.acceptance)
    else:  # rounding grows from step to step, and of the 1,200 proposals of four steps one may go the other way by it
        apart = (ours.path - plain.path)[1].abs().amax(-1) > 1e-4
        assert int(apart.sum()) <= 1
    assert torch.equal(ours.labels, plain.labels)
    assert torch.equal(ours.diverged, plain.diverged)
    assert torch.equal(ours.diverged_at, plain.diverged_at)
    assert ours.n_evaluations == plain.n_evaluations


def _module(function):
    import sys

    return sys.modules[function.__module__]


@pytest.mark.parametrize("name", RUNS)
def test_the_division_among_launches_and_programs_changes_nothing(kernels, monkeypatch, name):
    p = ring()
    x = start(p, 300, torch.float32, kernels)

    def run():
        return RUNS[name](p, x, keep_every=3, generator=generator(kernels), progress=False)

    whole = run()
    monkeypatch.setattr(fused, "_AT_ONCE", 7 * 300 * 8 * fused._PAIR)
    monkeypatch.setattr(fused, "_FEWEST", 1)
    monkeypatch.setattr(fused, "wait_for", lambda device: None)
    launched = []
    for kernel in ("langevin", "mala"):
        own = getattr(mixture_chain, kernel)
        monkeypatch.setattr(mixture_chain, kernel, lambda *a, own=own: launched.append(a[-1]) or own(*a))
    monkeypatch.setattr(mixture_chain, "shape_of_a_program", lambda n: (128, 1))
    parts = run()
    assert len(launched) > 1
    assert sum(launched) == 20
    assert torch.equal(whole.samples, parts.samples)
    assert torch.equal(whole.path, parts.path)
    assert torch.equal(whole.labels, parts.labels)
    assert torch.equal(whole.acceptance, parts.acceptance)
    first = RUNS[name](p, x[:7], generator=generator(kernels), progress=False)
    assert torch.equal(first.samples, whole.samples[:7])


def test_the_same_seed_gives_the_same_numbers_and_the_next_run_others(kernels):
    p, g = ring(), generator(kernels)
    x = start(p, 50, torch.float32, kernels)
    first, second = (RUNS["mala"](p, x, generator=g, progress=False).samples for _ in range(2))
    again = RUNS["mala"](p, x, generator=generator(kernels), progress=False).samples
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_where_chains_start_is_left_as_it_is(kernels):
    p = ring()
    x = start(p, 50, torch.float32, kernels)
    before = x.clone()
    for run in RUNS.values():
        run(p, x, generator=generator(kernels), progress=False)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_chains_that_diverge_are_told_as_on_the_plain_path(kernels, without_kernels, dtype):
    """Each step multiplies the distance by 3.5, with next to no noise: both diverge at the same step."""
    p = GaussianMixture([1.0], [[0.0, 0.0]], torch.eye(2))
    far = 1e140 if dtype == torch.float64 else 1e25
    x = far * torch.tensor([[1.0, 1.0], [0.5, 0.0], [1e-3, 0.0], [0.0, 4.0]], dtype=dtype, device=kernels)

    def run():
        return langevin(p.score, x, step_size=9.0, n_steps=60, temperature=1e-30, generator=generator(kernels))

    with pytest.warns(RuntimeWarning, match="4 of 4 chains diverged to inf or nan by step .*smaller step_size"):
        ours = run()
    without_kernels()
    with pytest.warns(RuntimeWarning):
        plain = run()
    assert ours.diverged.all()
    assert float((ours.diverged_at - plain.diverged_at).abs().max()) <= 1
    assert ours.diverged_at.unique().numel() > 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_when_chains_diverge_does_not_depend_on_the_division_among_launches(kernels, monkeypatch):
    p = GaussianMixture([1.0], [[0.0, 0.0]], torch.eye(2))
    x = torch.tensor([[1e15, 0.0], [1e5, 1.0], [1.0, 0.0]], device=kernels)

    def run():
        return langevin(p.score, x, step_size=20.0, n_steps=40, generator=generator(kernels), progress=False)

    whole = run()
    monkeypatch.setattr(fused, "_AT_ONCE", 7 * fused._FEWEST * fused._PAIR)
    monkeypatch.setattr(fused, "wait_for", lambda device: None)
    assert torch.equal(run().diverged_at, whole.diverged_at)
    assert len(set(whole.diverged_at.tolist())) == 3
    assert whole.diverged_at.max() > 7


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_where_a_diverging_chain_was_finite_for_the_last_time(kernels, without_kernels, monkeypatch, dtype):
    """As on the plain path, which tells the cause from it; a chain that is well is where it is."""
    p = GaussianMixture([1.0], [[0.0, 0.0]], torch.diag(torch.tensor([1.0, 4.0])))
    far = 1e145 if dtype == torch.float64 else 1e30
    x = torch.tensor([[far, 1.0], [-0.1 * far, 2.0], [0.0, 3.0]], dtype=dtype, device=kernels)
    recorders = []
    own = Recorder.chains
    monkeypatch.setattr(Recorder, "chains", lambda self, *a, **k: recorders.append(self) or own(self, *a, **k))
    for _ in range(2):
        langevin(p.score, x, step_size=9.0, n_steps=12, temperature=0.0, generator=generator(kernels), progress=False)
        without_kernels()
    ours, plain = (recorder.last for recorder in recorders)
    assert ours.isfinite().all()
    assert float(ours[0, 0].abs()) > far
    assert torch.allclose(ours, plain, rtol=1e-4)


def test_mala_keeps_the_law(kernels):
    """Started in the law, it stays there: weights, means and covariances of the components, z < 5.6 (2e-8 each)."""
    p, n = slanted(), 20_000
    x = start(p, n, torch.float32, kernels)
    chains = mala(p.log_prob, p.score, x, step_size=1.0, n_steps=15, generator=generator(kernels), progress=False)
    assert 0.3 < float(chains.acceptance.mean()) < 0.9
    y, exact = chains.samples.double().cpu(), p.sample((200_000,), generator=torch.Generator().manual_seed(9)).double()
    tests = [lambda v: v[:, 0], lambda v: v[:, 1], lambda v: v[:, 0] ** 2, lambda v: v[:, 0] * v[:, 1],
             lambda v: v[:, 1] ** 2, p.log_prob, lambda v: p.posterior(v)[:, 0]]  # fmt: skip
    for f in tests:
        a, b = f(y), f(exact)
        z = (a.mean() - b.mean()) / (a.var() / len(a) + b.var() / len(b)).sqrt()
        assert abs(float(z)) < 5.6


def test_langevin_on_a_normal_law_has_the_law_that_its_docstring_states(kernels):
    """N(m, T v / (1 - eps / (4 v))), from which it is started: the variance of 40,000 numbers, by its exact law."""
    v, eps, T, n = 2.0, 1.5, 0.5, 20_000
    exact = T * v / (1 - eps / (4 * v))
    p = GaussianMixture([1.0], [[1.0, -1.0]], v * torch.eye(2))
    x = p.means[0] + exact**0.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = langevin(
        p.score, x.to(kernels), step_size=eps, n_steps=30, temperature=T, generator=generator(kernels), progress=False
    ).samples.cpu()
    ratio = 2 * n * float((y - p.means[0]).square().mean()) / exact
    assert 1e-7 < stats.chi2.cdf(ratio, 2 * n) < 1 - 1e-7
    z = (y.mean(0) - p.means[0]) * (n / exact) ** 0.5
    assert float(z.abs().max()) < 5.6


def test_annealed_langevin_on_a_normal_law(kernels):
    """Mean and variance follow a recursion, level by level and step by step."""
    v, n, sigmas, n_steps, eps = 0.5, 20_000, geometric(3.0, 0.2, 6), 5, 0.05
    p = GaussianMixture([1.0], [[0.0, 0.0]], v * torch.eye(2))
    x = 4 * torch.randn(n, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = annealed_langevin(
        p.score, x.to(kernels), sigmas, step_size=eps, n_steps=n_steps, generator=generator(kernels), progress=False
    ).samples.cpu()
    variance = 16.0
    for sigma in sigmas.tolist():
        alpha = eps * (sigma / float(sigmas[-1])) ** 2
        for _ in range(n_steps):
            variance = variance * (1 - 0.5 * alpha / (v + sigma**2)) ** 2 + alpha
    ratio = 2 * n * float(y.square().mean()) / variance
    assert 1e-7 < stats.chi2.cdf(ratio, 2 * n) < 1 - 1e-7


def count_launches(monkeypatch):
    """The names of the kernels launched from now on."""
    launched = []
    for kernel in ("langevin", "mala"):
        own = getattr(mixture_chain, kernel)
        monkeypatch.setattr(mixture_chain, kernel, lambda *a, own=own, name=kernel: launched.append(name) or own(*a))
    return launched


def test_every_run_of_a_mixture_is_in_a_kernel(kernels, monkeypatch):
    launched = count_launches(monkeypatch)
    for run in RUNS.values():
        run(ring(), start(ring(), 10, torch.float32, kernels), generator=generator(kernels), progress=False)
    assert launched == ["langevin"] * 6 + ["mala"] * 3


class Sharper(GaussianMixture):
    """A law of the user's: what it inherits is not its score."""

    def score(self, x, sigma=0.0):
        return 2 * super().score(x, sigma)


def test_others_take_the_plain_path_without_a_word(kernels, monkeypatch):
    launched, x = count_launches(monkeypatch), start(ring(), 10, torch.float32, kernels)
    p, q = ring(), Sharper([1.0], [[0.0, 0.0]], torch.eye(2))
    kept = {"n_steps": 2, "generator": generator(kernels), "progress": False}
    langevin(Banana().score, x, step_size=0.01, **kept)
    langevin(lambda x: -x, x, step_size=0.01, **kept)
    langevin(q.score, x, step_size=0.01, **kept)
    langevin(at(p.score, torch.full((10,), 0.5, device=kernels)), x, step_size=0.01, **kept)
    mala(p.log_prob, two_modes().score, x, step_size=0.01, **kept)
    mala(lambda x: p.log_prob(x), p.score, x, step_size=0.01, **kept)
    mala(p.log_prob, at(p.score, 0.5), x, step_size=0.01, **kept)
    assert launched == []


def test_a_generator_elsewhere_asks_for_the_numbers_of_the_plain_path(monkeypatch):
    monkeypatch.setattr(fused, "fused", lambda device: True)
    x = torch.empty(3, 2, device="meta")
    assert not fused._on_a_card(x, torch.Generator())
    assert fused._on_a_card(x, None)


def test_a_kernel_that_cannot_be_launched_leaves_the_plain_path(kernels, without_kernels, monkeypatch):
    monkeypatch.setattr(when, "_given_up", set())
    when._tell.cache_clear()

    def broken(*args):
        raise RuntimeError("out of resource: registers")

    p = two_modes()
    x = start(p, 20, torch.float64, kernels)
    runs = ("langevin", "annealed", "mala")
    with monkeypatch.context() as m:
        m.setattr(mixture_chain, "langevin", broken)
        m.setattr(mixture_chain, "mala", broken)
        with pytest.warns(RuntimeWarning, match="kernel of .* on a mixture does not run here.*out of resource") as told:
            found, _again = (
                {name: RUNS[name](p, x, keep_every=5, generator=generator(kernels), progress=False) for name in runs}
                for _ in range(2)
            )
    assert len(told) == 3  # one per sampler
    without_kernels()
    for name in runs:
        plain = RUNS[name](p, x, keep_every=5, generator=generator(kernels), progress=False)
        assert torch.allclose(found[name].samples, plain.samples, atol=1e-9)
        assert torch.allclose(found[name].path, plain.path, atol=1e-9)
        assert found[name].n_evaluations == plain.n_evaluations
    when._tell.cache_clear()


def test_tables_too_large_for_the_card_leave_the_plain_path(kernels, monkeypatch):
    def full(level, gaussians):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    launched = count_launches(monkeypatch)
    monkeypatch.setattr(_gaussians, "table", full)
    monkeypatch.setattr(_gaussians, "fused", lambda device: False)
    x = start(ring(), 20, torch.float32, kernels)
    with pytest.warns(RuntimeWarning, match="without a fused kernel.* more than is free on"):
        chains = RUNS["annealed"](ring(), x, generator=generator(kernels), progress=False)
    assert launched == []
    assert chains.samples.isfinite().all()


def test_ctrl_c_returns_what_is_done(kernels, monkeypatch):
    own, p = mixture_chain.langevin, ring()

    def until_the_third(*args):
        if args[-2] >= 6:
            raise KeyboardInterrupt
        own(*args)

    monkeypatch.setattr(mixture_chain, "langevin", until_the_third)
    monkeypatch.setattr(fused, "wait_for", lambda device: None)
    monkeypatch.setattr(fused, "_AT_ONCE", 3 * 100 * 8 * fused._PAIR)
    monkeypatch.setattr(fused, "_FEWEST", 1)
    x = start(p, 100, torch.float32, kernels)
    with pytest.warns(RuntimeWarning, match="langevin was interrupted"):
        chains = langevin(p.score, x, step_size=0.1, n_steps=20, keep_every=2, generator=generator(kernels))
    assert chains.n_evaluations == 6
    assert chains.labels.tolist() == [0, 2, 4, 6]
    assert torch.equal(chains.path[-1], chains.samples)


def test_few_chains_are_launched_for_as_many_steps_as_some_thousands(kernels, monkeypatch):
    """A step of theirs takes as long, and Ctrl-C would not be heard."""
    steps = []
    monkeypatch.setattr(mixture_chain, "langevin", lambda *args: steps.append(args[-1]))
    monkeypatch.setattr(fused, "wait_for", lambda device: None)
    monkeypatch.setattr(fused, "_AT_ONCE", 3 * fused._FEWEST * 8 * fused._PAIR)
    langevin(ring().score, start(ring(), 2, torch.float32, kernels), step_size=0.1, n_steps=7, progress=False)
    assert steps == [3, 3, 1]


def test_every_launch_is_on_the_device_of_the_chains(kernels, monkeypatch):
    """Triton launches on the current device, which may be another."""
    inside, launched = [], []

    @contextmanager
    def current(device):
        inside.append(device)
        yield
        inside.pop()

    for module in (fused, when):
        monkeypatch.setattr(module, "current", current)
    monkeypatch.setattr(mixture_chain, "langevin", lambda x, *args: launched.append(inside == [x.device]))
    monkeypatch.setattr(fused, "wait_for", lambda device: None)
    monkeypatch.setattr(fused, "_AT_ONCE", 3 * fused._FEWEST * 8 * fused._PAIR)
    langevin(ring().score, start(ring(), 2, torch.float32, kernels), step_size=0.1, n_steps=7, progress=False)
    assert launched == [True] * 3


def test_bad_values_are_refused_as_on_the_plain_path(kernels):
    x = torch.zeros(3, 2, device=kernels)
    with pytest.raises(ValueError, match="sigma is 0"):
        langevin(Points([[0.0, 0.0]]).score, x, step_size=0.1, n_steps=2)
    with pytest.raises(ValueError, match="sigma"):
        langevin(at(ring().score, -1.0), x, step_size=0.1, n_steps=2)
    with pytest.raises(ValueError, match="step_size"):
        langevin(ring().score, x, step_size=math.nan, n_steps=2)
    with pytest.raises(TypeError, match="generator is 42"):
        langevin(ring().score, x, step_size=0.1, n_steps=2, generator=42)
    for level in (1e200, "high", [0.5]):
        with pytest.raises((TypeError, ValueError), match="sigma is .*(its square|must be a number)"):
            langevin(at(ring().score, level), x, step_size=0.1, n_steps=2)
