"""The optimiser, beside torch's own."""

import pytest
import torch

from toylab.networks import ScoreMLP
from toylab.training.adam import Adam


def network():
    return ScoreMLP(8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_torch_s_adam_to_the_last_digit(dtype):
    """Over 20 steps of changing rate, in some of which one weight has no gradient and stays."""
    ours, theirs = network().to(dtype), network().to(dtype)
    optimiser, reference = Adam(ours.parameters()), torch.optim.Adam(theirs.parameters(), fused=True)
    g = torch.Generator().manual_seed(1)
    for k in range(20):
        rate = 0.01 / (k + 1)
        for i, (p, q) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
            gradient = None if i == 2 and k % 3 == 0 else torch.randn(p.shape, dtype=dtype, generator=g)
            p.grad, q.grad = gradient, None if gradient is None else gradient.clone()
        optimiser.step(rate)
        reference.param_groups[0]["lr"] = rate
        reference.step()
        assert all(torch.equal(p, q) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_default_dtype_does_not_matter():
    w = torch.nn.Parameter(torch.ones(2))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        optimiser = Adam([w])
    finally:
        torch.set_default_dtype(before)
    w.grad = torch.ones(2)
    optimiser.step(0.25)
    torch.testing.assert_close(w.detach(), torch.full((2,), 0.75), rtol=1e-6, atol=0)


def test_gradients_are_forgotten():
    net = network()
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    Adam(net.parameters()).zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_its_first_steps_are_the_formula():
    """With one gradient throughout, every step is rate g / (|g| + e): the corrected moments are g and g^2."""
    w = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    gradient = torch.tensor([2.0, -0.5, 1e-8], dtype=torch.float64)
    optimiser, expected = Adam([w]), torch.zeros(3, dtype=torch.float64)
    for rate in (0.1, 0.2, 0.05):
        w.grad = gradient.clone()
        optimiser.step(rate)
        expected -= rate * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(w.detach(), expected, rtol=1e-6, atol=0)


def test_a_rate_may_be_a_tensor_and_weights_of_two_kinds():
    single, double = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimiser = Adam([single, double])
    single.grad, double.grad = torch.ones(2), torch.ones(2, dtype=torch.float64)
    optimiser.step(torch.tensor(0.25, dtype=torch.float64))
    assert single.dtype == torch.float32
    for w in (single, double):
        torch.testing.assert_close(w.detach(), torch.full_like(w, 0.75), rtol=1e-6, atol=0)
