"""Random numbers: their laws, and where they come from."""

import numpy as np
import pytest
import scipy.stats
import torch

from toylab._internal import random

CPU = torch.device("cpu")
WEIGHTS = torch.tensor([0.1, 0.25, 0.05, 0.6], dtype=torch.float64)


def generator(seed):
    return torch.Generator().manual_seed(seed)


DRAWS = {
    "normal": lambda shape, g: random.normal(shape, dtype=torch.float64, device=CPU, generator=g),
    "normal_like": lambda shape, g: random.normal_like(torch.empty(shape, dtype=torch.float64), g),
    "uniform": lambda shape, g: random.uniform(shape, dtype=torch.float64, device=CPU, generator=g),
    "integers": lambda shape, g: random.integers(1000, shape, device=CPU, generator=g),
    "categorical": lambda shape, g: random.categorical(WEIGHTS, shape, generator=g),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


@every_draw
def test_same_generator_same_numbers_and_global_stream_untouched(draw):
    before = torch.get_rng_state()
    first = draw((50, 3), generator(1))
    assert first.shape == (50, 3)
    assert torch.equal(first, draw((50, 3), generator(1)))
    assert not torch.equal(first, draw((50, 3), generator(2)))
    assert torch.equal(torch.get_rng_state(), before)


@every_draw
def test_without_a_generator_the_global_stream_is_used(draw):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        first, second = draw((50,), None), draw((50,), None)
        torch.manual_seed(3)
        assert torch.equal(draw((50,), None), first)
        assert not torch.equal(first, second)


@every_draw
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), [4, 2], torch.Size([3])])
def test_shapes(draw, shape):
    assert draw(shape, generator(0)).shape == torch.Size(shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes(dtype):
    assert random.normal((3,), dtype=dtype, device=CPU).dtype == dtype
    assert random.normal_like(torch.empty(3, dtype=dtype)).dtype == dtype
    assert random.uniform((3,), dtype=dtype, device=CPU).dtype == dtype
    assert random.integers(5, (3,), device=CPU).dtype == torch.int64
    assert random.categorical(WEIGHTS.to(dtype), (3,)).dtype == torch.int64


# Laws: exact-law p-values above 1e-6 at n = 1e5, where Kolmogorov-Smirnov sees a shift of the cdf of .01.


@pytest.mark.parametrize(
    ("name", "distribution"), [("normal", "norm"), ("normal_like", "norm"), ("uniform", "uniform")]
)
def test_continuous_laws(name, distribution):
    sample = DRAWS[name]((100_000,), generator(4))
    assert scipy.stats.kstest(sample.numpy(), distribution).pvalue > 1e-6


def test_uniform_holds_zero_and_not_one():
    sample = random.uniform((1_000_000,), dtype=torch.float32, device=CPU, generator=generator(5))
    assert sample.min() >= 0
    assert sample.max() < 1


def test_integers_are_equally_likely_and_below_high():
    counts = np.bincount(random.integers(7, (100_000,), device=CPU, generator=generator(6)).numpy(), minlength=7)
    assert len(counts) == 7
    assert scipy.stats.chisquare(counts).pvalue > 1e-6


@pytest.mark.parametrize("total", [1.0, 3.0])
def test_categorical_has_the_weights_in_their_order(total):
    """Chi-square of 1e5 draws; any two weights exchanged would be at hundreds of standard errors."""
    counts = np.bincount(random.categorical(total * WEIGHTS, (100_000,), generator=generator(7)).numpy(), minlength=4)
    assert scipy.stats.chisquare(counts, 100_000 * WEIGHTS.numpy()).pvalue > 1e-6


def test_categorical_never_draws_an_impossible_category():
    k = random.categorical(torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0]), (100_000,), generator=generator(8))
    assert set(k.tolist()) == {1, 3}


def test_categorical_of_one_category():
    assert random.categorical(torch.tensor([1.0]), (10,)).tolist() == [0] * 10


def test_categorical_stays_inside_at_the_end_of_the_interval(monkeypatch):
    """Rounding may bring a uniform number times the sum of the weights up to that sum."""
    monkeypatch.setattr(random, "uniform", lambda shape, **_: torch.ones(shape, dtype=torch.float64))
    assert random.categorical(WEIGHTS, (3,)).tolist() == [3] * 3


def test_normal_numbers_in_pairs_are_independent():
    # the correlation of 1e5 independent pairs has standard error 1 / sqrt(n)
    z = random.normal((100_000, 2), dtype=torch.float64, device=CPU, generator=generator(9))
    assert abs(float(z.prod(-1).mean())) * 100_000**0.5 < 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cpu_generator_gives_the_same_numbers_on_the_gpu():
    shape, g = (100,), generator
    x = torch.empty(shape, device="cuda")
    assert torch.equal(random.normal_like(x, g(1)).cpu(), random.normal_like(x.cpu(), g(1)))
    k = random.categorical(WEIGHTS.cuda(), shape, generator=g(2))
    assert k.device.type == "cuda"
    assert torch.equal(k.cpu(), random.categorical(WEIGHTS, shape, generator=g(2)))
