"""The chain rule written out, both ways: against finite differences, and against torch's own forward mode."""

import pytest
import torch
import torch.autograd.forward_ad as forward_ad

from toylab._internal.mlp_jvp import softplus_with_tangents
from toylab.networks import ScoreMLP
from toylab.score import divergence, value_and_divergence

SIZES = [2, 5, 3, 2]


def drawn(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def problem(n, k, m, points_of_v):
    parameters = [
        part
        for i, (a, b) in enumerate(zip(SIZES, SIZES[1:], strict=False))
        for part in (drawn(n, b, a, seed=i), drawn(n, b, seed=10 + i))
    ]
    return drawn(n, m, 2, seed=20), drawn(n, k, points_of_v, 2, seed=21), *parameters


def both(x, v, *parameters):
    return softplus_with_tangents(list(zip(parameters[::2], parameters[1::2], strict=True)), x, v)


@pytest.mark.parametrize(("n", "k", "m", "points_of_v"), [(1, 1, 3, 3), (2, 2, 3, 3), (2, 2, 3, 1), (3, 3, 1, 1)])
def test_gradients_of_first_and_second_order_are_those_of_finite_differences(n, k, m, points_of_v):
    inputs = problem(n, k, m, points_of_v)
    assert torch.autograd.gradcheck(both, inputs)
    assert torch.autograd.gradgradcheck(both, inputs)


def test_of_a_single_network_the_shapes_have_no_network():
    inputs = [part.detach() for part in problem(1, 2, 4, 4)]
    for alone, stacked in zip(both(*(part[0] for part in inputs)), both(*inputs), strict=True):
        torch.testing.assert_close(alone, stacked[0], rtol=0, atol=0)


def test_directions_that_are_the_same_for_all_points_may_be_given_once():
    x, v, *parameters = (part.detach() for part in problem(2, 2, 5, 1))
    for once, each in zip(both(x, v, *parameters), both(x, v.expand(2, 2, 5, 2), *parameters), strict=True):
        torch.testing.assert_close(once, each, rtol=1e-14, atol=1e-14)


def test_no_gradient_is_made_that_nobody_asks_for():
    x, v, *parameters = (part.detach() for part in problem(2, 2, 3, 3))
    assert not both(x, v, *parameters)[0].requires_grad
    parameters[2].requires_grad_()
    s, jvp = both(x, v, *parameters)
    (s.sum() + jvp.sum()).backward()
    assert parameters[2].grad is not None
    assert all(part.grad is None for i, part in enumerate(parameters) if i != 2)


def network():
    return ScoreMLP(8, generator=torch.Generator().manual_seed(0)).double()


def test_inside_the_transforms_of_torch_func_it_is_the_same():
    s, x = network(), drawn(6, 2, seed=1).detach()
    torch.testing.assert_close(torch.func.vmap(lambda y: divergence(s, y))(x), divergence(s, x), rtol=1e-12, atol=0)
    slope = torch.func.vmap(torch.func.grad(lambda y: divergence(s, y)))(x)
    y = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(divergence(s, y).sum(), y)
    torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-12)


def test_it_can_be_differentiated_in_forward_mode():
    s, x, v = network(), drawn(6, 2, seed=1).detach(), drawn(6, 2, seed=2).detach()
    value, slope = torch.func.jvp(lambda y: value_and_divergence(s, y)[1], (x,), (v,))
    h = 1e-5
    by_steps = (divergence(s, x + h * v) - divergence(s, x - h * v)) / (2 * h)
    torch.testing.assert_close(slope.detach(), by_steps.detach(), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(value, divergence(s, x))
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(divergence(s, forward_ad.make_dual(x, v)))
    torch.testing.assert_close(dual.tangent, slope, rtol=1e-12, atol=0)
