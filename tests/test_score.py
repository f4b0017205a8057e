"""Differentiation of scores, against fields whose derivatives are known by hand."""

import pytest
import torch

from toylab.densities import two_modes
from toylab.score import (
    NoiseConditionalScore,
    Score,
    at,
    divergence,
    gradient,
    value_and_divergence,
    value_and_jacobian,
    value_and_jvp,
    value_and_vjp,
)

A = torch.tensor([[1.5, -0.7], [0.3, 2.0]], dtype=torch.float64)
SHAPES = [(2,), (5, 2), (2, 2), (3, 4, 2)]


def field(x):
    """s(x) = A x + sin(x), with Jacobian A + diag(cos x)."""
    return x @ A.to(x).T + x.sin()


def points(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def potential(x):
    """log p(x) = x1^2 x2 - cos(x2), with gradient (2 x1 x2, x1^2 + sin x2) and Laplacian 2 x2 + cos x2."""
    return x[..., 0] ** 2 * x[..., 1] - x[..., 1].cos()


def grad_potential(x):
    return torch.stack([2 * x[..., 0] * x[..., 1], x[..., 0] ** 2 + x[..., 1].sin()], -1)


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_jvp_of_an_analytic_field(shape):
    x, v = points(*shape), points(*shape, seed=1)
    s, jvp = value_and_jvp(field, x, v)
    torch.testing.assert_close(s, field(x), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(jvp, v @ A.T + x.cos() * v, rtol=1e-13, atol=1e-13)


def test_jvp_is_the_jacobian_times_v_and_not_its_transpose():
    s, jvp = value_and_jvp(
        lambda x: torch.stack([x[..., 1] ** 2, 0 * x[..., 0]], -1), points(3, 2), torch.eye(3, 2).double()
    )
    expected = torch.zeros(3, 2, dtype=torch.float64)
    expected[1, 0] = 2 * points(3, 2)[1, 1]
    torch.testing.assert_close(jvp, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_vjp_is_v_times_the_jacobian(shape):
    x, v, shared = points(*shape), points(3, *shape, seed=1), points(2, *(1,) * (len(shape) - 1), 2, seed=2)
    s, vjp = value_and_vjp(field, x, v)
    torch.testing.assert_close(s, field(x), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(vjp, v @ A + x.cos() * v, rtol=1e-13, atol=1e-13)
    _, vjp = value_and_vjp(field, x, shared)
    torch.testing.assert_close(vjp, shared @ A + x.cos() * shared, rtol=1e-13, atol=1e-13)


def test_vjp_can_be_differentiated_forwards_and_keeps_no_graph_under_no_grad():
    x, v = points(4, 2), points(1, 1, 2)
    _, along = value_and_jvp(lambda x: value_and_vjp(field, x, v)[1][0], x, torch.ones_like(x))
    torch.testing.assert_close(along, -x.sin() * v[0], rtol=1e-13, atol=1e-13)
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        assert not any(part.requires_grad for part in value_and_vjp(lambda x: x @ weight, x, v))
    assert value_and_vjp(lambda x: x @ weight, x, v)[1].requires_grad


def test_jvp_agrees_with_central_differences():
    x, v, h = points(6, 2), points(6, 2, seed=1), 1e-5
    by_differences = (field(x + h * v) - field(x - h * v)) / (2 * h)  # truncation h^2 / 6, rounding 1e-16 / h
    torch.testing.assert_close(value_and_jvp(field, x, v)[1], by_differences, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_divergence_of_an_analytic_field(shape, dtype):
    x = points(*shape, dtype=dtype)
    s, div = value_and_divergence(field, x)
    assert s.dtype == div.dtype == dtype
    assert div.shape == shape[:-1]
    torch.testing.assert_close(s, field(x))
    torch.testing.assert_close(div, A.trace().to(x) + x.cos().sum(-1))
    torch.testing.assert_close(divergence(field, x), div)


def test_a_constant_field_has_no_derivative():
    x = points(4, 2)
    s, jvp = value_and_jvp(lambda x: torch.ones_like(x), x, x)
    assert torch.equal(s, torch.ones(4, 2, dtype=torch.float64))
    assert torch.equal(jvp, torch.zeros(4, 2, dtype=torch.float64))
    assert torch.equal(divergence(lambda x: torch.ones_like(x), x), torch.zeros(4, dtype=torch.float64))


def test_divergence_carries_gradients_to_the_parameters():
    """For s = tanh(W x), div s = sum_i W_ii (1 - tanh^2((W x)_i)); its derivative in W by autograd of that."""
    x, w = points(7, 2), points(2, 2, seed=3).requires_grad_()
    s, div = value_and_divergence(lambda x: (x @ w.T).tanh(), x)
    by_hand = ((1 - (x @ w.T).tanh() ** 2) * w.diagonal()).sum(-1)
    torch.testing.assert_close(div, by_hand)
    for one, other in [(div.sum(), by_hand.sum()), (s.square().sum(), (x @ w.T).tanh().square().sum())]:
        torch.testing.assert_close(*(torch.autograd.grad(f, w, retain_graph=True)[0] for f in (one, other)))


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_an_analytic_potential(shape):
    x = points(*shape)
    torch.testing.assert_close(gradient(potential, x).detach(), grad_potential(x))
    assert not x.requires_grad


def test_gradient_can_be_differentiated_again_while_gradients_are_enabled():
    x = points(5, 2).requires_grad_()
    (second,) = torch.autograd.grad(gradient(potential, x)[:, 0].sum(), x)
    torch.testing.assert_close(second, 2 * torch.stack([x[:, 1], x[:, 0]], -1).detach())


def test_gradient_works_without_gradients_and_leaves_no_graph():
    x = points(5, 2)
    with torch.no_grad():
        s = gradient(potential, x)
    assert not s.requires_grad
    torch.testing.assert_close(s, grad_potential(x))


def test_gradient_carries_gradients_to_the_parameters():
    """For log p = -a |x|^2 / 2 the score is -a x, and d/da sum |s|^2 = 2 a sum |x|^2."""
    a, x = torch.tensor(1.7, dtype=torch.float64, requires_grad=True), points(5, 2)
    gradient(lambda x: -0.5 * a * x.square().sum(-1), x).square().sum().backward()
    torch.testing.assert_close(a.grad, 2 * a.detach() * x.square().sum())


def test_at_fixes_the_noise_level():
    # right of both modes only N((5, 5), (1 + 9) I) counts: s(25, 25) = -(20, 20) / 10
    score = at(two_modes().score, 3.0)
    torch.testing.assert_close(score(torch.tensor([25.0, 25.0])), torch.tensor([-2.0, -2.0]))

    levels = torch.tensor([0.0, 1.0, 2.0])
    x = torch.tensor([25.0, 25.0]).expand(3, 2)
    expected = torch.tensor([-20.0, -10.0, -4.0])[:, None].expand(3, 2)
    torch.testing.assert_close(at(two_modes().score, levels)(x), expected)


def test_at_takes_any_field_of_x_and_sigma():
    torch.testing.assert_close(at(lambda x, sigma: -x / sigma**2, 0.5)(torch.ones(2)), torch.tensor([-4.0, -4.0]))


def test_a_score_without_its_noise_level_is_refused_by_python():
    with pytest.raises(TypeError, match="positional argument"):
        at(lambda x: -x, 1.0)(torch.ones(2))


@pytest.mark.parametrize("protocol", [Score, NoiseConditionalScore])
def test_protocols_can_be_asked_at_run_time(protocol):
    assert isinstance(two_modes().score, protocol)
    assert isinstance(torch.nn.Linear(2, 2), protocol)
    assert not isinstance(torch.ones(2), protocol)


def test_divergence_of_a_gradient_is_the_laplacian():
    x = points(5, 2)
    laplacian = divergence(lambda x: gradient(potential, x), x).detach()
    torch.testing.assert_close(laplacian, 2 * x[:, 1] + x[:, 1].cos())


def test_derivatives_are_right_in_inference_mode():
    """Forward-mode tangents are dropped in silence there, unless the library steps out of it."""
    p = two_modes()
    with torch.inference_mode():
        x = points(5, 2)
        torch.testing.assert_close(divergence(p.score, x), p.divergence(x))
        torch.testing.assert_close(gradient(p.log_prob, x), p.score(x))
    torch.testing.assert_close(gradient(p.log_prob, points(5, 2)), p.score(points(5, 2)))  # nothing kept from it


@pytest.mark.parametrize("shape", SHAPES)
def test_jacobian_of_an_analytic_field(shape):
    """J_ij = d s_i / d x_j: A + diag(cos x), and not its transpose."""
    x = points(*shape)
    s, J = value_and_jacobian(field, x)
    torch.testing.assert_close(s, field(x), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(J, A + x.cos().diag_embed(), rtol=1e-13, atol=1e-13)
