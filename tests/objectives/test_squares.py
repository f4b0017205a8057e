"""Half the square of a distance, beside the plain formula."""

import pytest
import torch
from torch.testing import assert_close

from toylab.objectives.squares import half_square, half_squared_distance


def plain(a, b):
    return 0.5 * (a - b).square().sum(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_the_plain_ones_to_the_last_digit(dtype):
    a, b, weights = (torch.randn(k, dtype=dtype) for k in ((3, 50, 2), (3, 50, 2), (3, 50)))
    found, expected = [], []
    for results, squared, squared_alone in (
        (found, half_squared_distance, half_square),
        (expected, plain, lambda a: plain(a, torch.zeros_like(a))),
    ):
        c, d = a.clone().requires_grad_(), b.clone().requires_grad_()
        losses = squared(c, d), squared_alone(c)
        slopes = torch.autograd.grad(sum((weights * loss).sum() for loss in losses), (c, d))
        results += [*losses, *slopes]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_of_two_dtypes_it_is_of_the_wider():
    a, b = torch.randn(5, 2, requires_grad=True), torch.randn(5, 2, dtype=torch.float64)
    loss = half_squared_distance(a, b)
    assert_close(loss, plain(a, b), rtol=0, atol=0)
    (slope,) = torch.autograd.grad(loss.sum(), a)
    assert slope.dtype == torch.float32
    assert_close(slope, (a - b).float(), rtol=1e-6, atol=1e-7)


def test_it_can_be_differentiated_in_every_way():
    a, v = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    value, along = torch.func.jvp(half_square, (a,), (v,))
    assert_close(value, plain(a, 0 * a))
    assert_close(along, (a * v).sum(-1))
    hessians = torch.func.vmap(torch.func.hessian(half_square))(a)
    assert_close(hessians, torch.eye(2, dtype=torch.float64).expand(5, 2, 2))
