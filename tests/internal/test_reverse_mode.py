"""Reverse mode gives what ``torch.func.vjp`` gives: the numbers, to the last digit, and whether they have a graph."""

import pytest
import torch
import torch.autograd.forward_ad as forward_ad

from toylab._internal.reverse_mode import values_and_vjps

A = torch.tensor([[1.0, 0.5], [-2.0, 3.0]], dtype=torch.float64)
X = torch.tensor([[0.3, -1.2], [2.0, 0.1], [-0.7, 0.4]], dtype=torch.float64)


class Floor(torch.autograd.Function):
    """Steps, which say that they have no derivative."""

    @staticmethod
    def forward(x):
        return x.floor()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return None


def field(a):
    return lambda x: torch.sin(x @ a) * x


def theirs(f, x, directions):
    values, pull_back = torch.func.vjp(f, x)
    return values, [pull_back(v)[0] for v in directions]


def ours(f, x, directions):
    (values,), products = values_and_vjps(lambda y: (f(y),), x, directions)
    return values, products


@pytest.mark.parametrize("of_x", [False, True])
@pytest.mark.parametrize("of_a", [False, True])
@pytest.mark.parametrize("enabled", [False, True])
def test_numbers_and_graphs_are_those_of_torch_func(of_x, of_a, enabled):
    x, a = X.clone().requires_grad_(of_x), A.clone().requires_grad_(of_a)
    directions = [torch.ones_like(X), X.flip(0)]
    with torch.set_grad_enabled(enabled):
        values, products = ours(field(a), x, directions)
        expected_values, expected = theirs(field(a), x, directions)
    torch.testing.assert_close([values, *products], [expected_values, *expected], rtol=0, atol=0)
    for mine, other in zip(products, expected, strict=True):
        assert mine.requires_grad == other.requires_grad == (enabled and (of_x or of_a))
    wanted = [leaf for leaf in (x, a) if leaf.requires_grad]
    if enabled and wanted:
        again = [torch.autograd.grad(sum(p.square().sum() for p in found), wanted) for found in (products, expected)]
        torch.testing.assert_close(*again, rtol=1e-13, atol=0)


@pytest.mark.parametrize("transform", ["vmap", "jvp", "grad", "dual"])
def test_inside_of_a_transform_it_is_the_same(transform):
    def one(vjps):
        def f(x):
            return vjps(field(A), x, [torch.ones(2, dtype=torch.float64)])[1][0]

        if transform == "vmap":
            return torch.func.vmap(f)(X)
        if transform == "jvp":
            return torch.func.jvp(f, (X[0],), (X[1],))
        if transform == "grad":
            return torch.func.vmap(torch.func.grad(lambda x: f(x).sum()))(X)
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(f(forward_ad.make_dual(X[0].clone(), X[1])))

    torch.testing.assert_close(tuple(one(ours)), tuple(one(theirs)), rtol=1e-13, atol=0)


def test_what_does_not_depend_on_x_has_derivative_zero():
    a = A.clone().requires_grad_()
    for constant in (torch.ones_like, lambda x: a[:1].expand_as(x), Floor.apply):
        _, (product,) = ours(constant, X, [torch.ones_like(X)])
        assert product.equal(torch.zeros_like(X))


def test_without_a_direction_it_is_the_gradient_of_the_sum_and_the_rest_is_handed_on():
    (values, inside), (slope,) = values_and_vjps(lambda x: (x.square().sum(-1), x > 0), X)
    assert slope.equal(2 * X) and inside.equal(X > 0) and values.equal(X.square().sum(-1))
