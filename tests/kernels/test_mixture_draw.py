"""Points drawn in one launch have the law of the mixture."""

import pytest
import torch
from scipy import stats

from tests.kernels.conftest import DEVICE
from toylab._kernels import mixture_draw
from toylab._kernels.random import draw_seed
from toylab.densities import GaussianMixture, fractal_tree, ring, two_modes

FALSE_ALARM = 1e-7  # of each test here; there are a dozen


def seed(k=0):
    return draw_seed(torch.device(DEVICE), torch.Generator(DEVICE).manual_seed(k))


def slanted():
    covariances = torch.tensor([[[1.0, 0.6], [0.6, 0.5]], [[0.2, -0.1], [-0.1, 0.9]]], dtype=torch.float64)
    return GaussianMixture([0.3, 0.7], [[-20.0, 0.0], [20.0, 5.0]], covariances)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_means_and_covariances(kernels, dtype):
    """Of two components too far apart to be mixed up: binomial, normal and chi-squared laws, exactly."""
    p, n = slanted().to(DEVICE, dtype), 40_000
    x = p.sample((n,), generator=torch.Generator(DEVICE).manual_seed(0)).cpu()
    assert x.dtype == dtype
    for k, side in enumerate((x[:, 0] < 0, x[:, 0] > 0)):
        mine = x[side].double()
        assert stats.binomtest(len(mine), n, float(p.weights[k])).pvalue > FALSE_ALARM
        root = torch.linalg.cholesky(p.covariances[k])
        z = torch.linalg.solve_triangular(root, (mine - p.means[k]).T, upper=False)  # two independent normal numbers
        assert stats.kstest(z[0].numpy(), "norm").pvalue > FALSE_ALARM
        assert stats.kstest(z[1].numpy(), "norm").pvalue > FALSE_ALARM
        assert abs(float((z[0] * z[1]).mean())) * len(mine) ** 0.5 < stats.norm.isf(FALSE_ALARM / 2)


@pytest.mark.parametrize("law", [lambda: GaussianMixture([1.0], [[0.0, 0.0]], torch.eye(2)), ring, fractal_tree])
def test_every_component_is_drawn_as_often_as_it_weighs(kernels, law):
    """Of points without spread, which tell their component."""
    p, n = law(), 200_000
    K = len(p.weights)
    frames = torch.zeros(K, 3, 2, dtype=torch.float64, device=DEVICE)
    frames[:, 0, 0] = torch.arange(K)
    x = mixture_draw.sample(seed(), p.weights.cumsum(0).to(DEVICE), frames, n)
    counts = torch.bincount(x[:, 0].long().cpu(), minlength=K)
    assert len(counts) == K
    if K > 1:
        assert stats.chisquare(counts.numpy(), n * p.weights.numpy() / float(p.weights.sum())).pvalue > FALSE_ALARM


def test_a_component_without_weight_is_never_drawn(kernels):
    edges = torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0, 1.0], dtype=torch.float64, device=DEVICE)
    frames = torch.zeros(6, 3, 2, device=DEVICE)
    frames[:, 0, 0] = torch.arange(6)
    x = mixture_draw.sample(seed(), edges, frames, 10_000)
    assert set(x[:, 0].tolist()) == {2.0, 4.0}


def test_shapes_seeds_and_the_generator(kernels):
    p, g = two_modes().to(DEVICE), torch.Generator(DEVICE).manual_seed(3)
    assert p.sample((3, 0, 2), generator=g).shape == (3, 0, 2, 2)
    assert p.sample(generator=g).shape == (2,)
    first = p.sample((5, 4), generator=torch.Generator(DEVICE).manual_seed(3))
    assert torch.equal(first, p.sample((5, 4), generator=torch.Generator(DEVICE).manual_seed(3)))
    assert torch.equal(first.view(-1, 2)[:7], p.sample((7,), generator=torch.Generator(DEVICE).manual_seed(3)))
    assert not torch.equal(first, p.sample((5, 4), generator=g))


def test_without_kernels_the_numbers_are_those_of_the_plain_path(kernels, without_kernels):
    p = two_modes().to(DEVICE)
    fused = p.sample((5,), generator=torch.Generator(DEVICE).manual_seed(0))
    without_kernels()
    assert not torch.equal(fused, p.sample((5,), generator=torch.Generator(DEVICE).manual_seed(0)))
