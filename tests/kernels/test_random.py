"""The numbers of a kernel are normal and uniform, independent, and a function of seed, chain and step alone."""

import pytest
import torch
from scipy import stats

from tests.kernels.conftest import DEVICE
from tests.kernels.numbers import numbers
from toylab._kernels.random import draw_seed

N_CHAINS, N_STEPS = 1 << 14, 8
FALSE_ALARM = 1e-7  # of each test here; there are 20


def seed_of(k):
    return draw_seed(torch.device(DEVICE), torch.Generator(DEVICE).manual_seed(k))


def of_steps(dtype, seed=0):
    drawn = [numbers(seed_of(seed), N_CHAINS, step, dtype, DEVICE) for step in range(N_STEPS)]
    z, u = (torch.stack(part).cpu() for part in zip(*drawn, strict=True))
    return z, u  # [steps, chains, 2] and [steps, chains]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_their_laws(dtype):
    z, u = of_steps(dtype)
    for axis in range(2):
        assert stats.kstest(z[..., axis].flatten().numpy(), "norm").pvalue > FALSE_ALARM
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > FALSE_ALARM
    assert float(u.min()) > 0
    assert float(u.max()) <= 1
    assert z.dtype == u.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_two_of_them_depend_on_each_other(dtype):
    z, u = of_steps(dtype)
    normal = torch.as_tensor(stats.norm.ppf(u.double().clamp(1e-9, 1 - 1e-9)))
    flat = torch.stack([z[..., 0], z[..., 1], normal], -1).double()  # [steps, chains, 3], each N(0, 1)
    pairs = {
        "of one draw": (flat[..., [0, 0, 1]], flat[..., [1, 2, 2]]),
        "squares": (flat[..., [0, 0, 1]].square() - 1, flat[..., [1, 2, 2]].square() - 1),
        "of neighbours": (flat[:, 1:], flat[:, :-1]),
        "of one step and the next": (flat[1:], flat[:-1]),
        "of two seeds": (flat[..., :2], of_steps(dtype, seed=1)[0].double()),
    }
    for name, (a, b) in pairs.items():
        products = (a * b).reshape(-1, a.shape[-1])
        t = products.mean(0) / products.std(0) * len(products) ** 0.5
        assert float(t.abs().max()) < stats.norm.isf(FALSE_ALARM / 2), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_do_not_depend_on_the_division_among_programs(dtype):
    for block in (32, 256):
        for one, other in zip(
            numbers(seed_of(0), 1000, 5, dtype, DEVICE, block), numbers(seed_of(0), 3000, 5, dtype, DEVICE), strict=True
        ):
            assert torch.equal(one, other[:1000])


def test_a_seed_advances_the_generator():
    g = torch.Generator(DEVICE).manual_seed(0)
    first, second = draw_seed(torch.device(DEVICE), g), draw_seed(torch.device(DEVICE), g)
    assert first.shape == (1,)
    assert first.dtype == torch.int64
    assert int(first) != int(second)
    assert int(first) == int(seed_of(0))


def test_without_a_generator_the_seed_is_of_the_global_stream():
    with torch.random.fork_rng(devices=[0] if DEVICE == "cuda" else []):
        torch.manual_seed(3)
        first = int(draw_seed(torch.device(DEVICE), None))
        torch.manual_seed(3)
        assert first == int(draw_seed(torch.device(DEVICE), None))
