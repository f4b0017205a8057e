"""A softplus network and its derivatives, by kernels, are those of the plain path, and so are their gradients."""

import pytest
import torch

from toylab._internal import mlp_jvp
from toylab._kernels import tangents
from toylab.densities import two_modes
from toylab.networks import ScoreMLP
from toylab.objectives import Implicit, Sliced
from toylab.training import fit

SHAPES = {"one network": ((), 7, 2, False), "three": ((3,), 5, 1, False), "shared directions": ((2,), 4, 2, True)}


@pytest.fixture(autouse=True)
def _chosen(kernels, monkeypatch):
    monkeypatch.setattr(tangents, "fused", lambda device: True)


def made(shape, dtype, device, width=9, scale=1.0):
    """Layers, points and directions, all of which need gradients."""
    n, m, k, shared = SHAPES[shape]
    g = torch.Generator().manual_seed(0)
    sizes = [2, width, width + 2, 2]

    def tensor(*size):
        return (scale * torch.randn(*n, *size, generator=g, dtype=torch.float64)).to(device, dtype).requires_grad_()

    layers = [(tensor(b, a), tensor(b)) for a, b in zip(sizes, sizes[1:], strict=False)]
    return layers, tensor(m, 2), tensor(k, 1 if shared else m, 2)


def parts(layers, x, v):
    return [*(part for layer in layers for part in layer), x, v]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(kernels, shape, dtype):
    layers, x, v = made(shape, dtype, kernels)
    found = tangents.softplus_with_tangents(layers, x, v)
    plain = mlp_jvp.softplus_with_tangents(layers, x, v)
    weight = [torch.randn(part.shape, generator=torch.Generator().manual_seed(2)).to(part) for part in plain]
    gradients = [
        torch.autograd.grad(sum((w * part).sum() for w, part in zip(weight, both, strict=True)), parts(layers, x, v))
        for both in (found, plain)
    ]
    rounding = 1e-12 if dtype == torch.float64 else 2e-5
    for ours, theirs in zip([*found, *gradients[0]], [*plain, *gradients[1]], strict=True):
        assert ours.shape == theirs.shape
        assert float((ours - theirs).abs().max().detach()) < rounding * (1 + float(theirs.abs().max().detach()))


def test_derivatives_by_finite_differences(kernels):
    layers, x, v = made("one network", torch.float64, kernels, width=3)
    inputs = parts(layers, x, v)

    def run(*inputs):
        *weights, x, v = inputs
        return tangents.softplus_with_tangents(list(zip(weights[::2], weights[1::2], strict=True)), x, v)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_far_from_zero_softplus_is_right(kernels, dtype):
    """By its formula: torch's own leaves out e^-z from z = 20 on, which is 2e-9 there."""
    layers, x, v = made("one network", dtype, kernels, scale=8.0)
    layers, x, v = [(weight.detach(), bias.detach()) for weight, bias in layers], x.detach(), v.detach()
    found = tangents.softplus_with_tangents(layers, x, v)

    def network(y):
        for i, (weight, bias) in enumerate(layers):
            y = y if i == 0 else torch.logaddexp(y, torch.zeros_like(y))
            y = y @ weight.double().mT + bias.double()
        return y

    exact = [torch.func.jvp(network, (x.double(),), (direction.double(),)) for direction in v]
    for ours, theirs in zip(found, (exact[0][0], torch.stack([jvp for _, jvp in exact])), strict=True):
        assert ours.isfinite().all()
        error = float((ours - theirs).abs().max() / theirs.abs().max())
        assert error < (1e-14 if dtype == torch.float64 else 5e-6)


@pytest.mark.parametrize("n_seeds", [1, 3])
@pytest.mark.parametrize("objective", [Sliced(), Implicit()])
def test_training_takes_them_and_learns_the_same(kernels, monkeypatch, objective, n_seeds):
    from toylab._kernels import softplus_mlp

    calls, own = [], softplus_mlp.with_tangents
    monkeypatch.setattr(softplus_mlp, "with_tangents", lambda *args: calls.append(1) or own(*args))

    def train():
        g = torch.Generator().manual_seed(0)
        data = two_modes().sample((64,), generator=g)
        return fit(
            ScoreMLP(width=16, generator=g), objective, data, n_steps=10, batch_size=32, n_seeds=n_seeds,
            generator=g, progress=False,
        )  # fmt: skip

    ours = train()
    assert len(calls) >= 10
    monkeypatch.setattr(tangents, "fused", lambda device: False)
    plain = train()
    for one, other in zip(ours.networks, plain.networks, strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert float((a - b).abs().max()) < 1e-4


def test_transforms_and_no_points_take_the_plain_path(kernels, monkeypatch):
    monkeypatch.setattr(tangents, "attempt", lambda *args: pytest.fail("a kernel was tried"))
    layers, x, v = made("one network", torch.float64, kernels)
    torch.func.vmap(lambda y: tangents.softplus_with_tangents(layers, y, v[:, :1])[0])(x[:, None])
    tangents.softplus_with_tangents(layers, x[:0], v[:, :0])
