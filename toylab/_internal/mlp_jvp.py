"""A softplus network and its derivative along given directions, by the chain rule, forwards and backwards.

With layers W_1, b_1 .. W_L, b_L, a point x and a direction v:

    z_1 = W_1 x + b_1,                  t_1 = W_1 v
    a_i = softplus(z_i),                u_i = sigmoid(z_i) t_i
    z_(i+1) = W_(i+1) a_i + b_(i+1),    t_(i+1) = W_(i+1) u_i

s(x) = z_L and (grad s)(x) v = t_L. For a loss with the gradients g_z and g_t in z_i and t_i, going back:

    W_i: g_z a^T + g_t u^T,    b_i: g_z,    a: W_i^T g_z,    u: W_i^T g_t        (a, u are x, v at the first layer)
    z: sigmoid(z) g_a + (1 - sigmoid(z)) u g_u,    t: sigmoid(z) g_u

since the derivative of sigmoid(z) t in z is (1 - sigmoid(z)) u. Forward-mode differentiation would give the same, more
slowly; the backward pass is written out to save passes over memory where several networks are evaluated side by side.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from toylab._internal.devices import autocasts
from toylab._internal.torch_private import in_forward_mode


def in_autocast(x: Tensor) -> bool:
    """Whether torch computes in another dtype than that of its arguments, where x is."""
    return autocasts(x.device)


def softplus_with_tangents(layers: Sequence[tuple[Tensor, Tensor]], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """s(x) [n, m, 2] and (grad s)(x) v [n, k, m, 2] of n networks side by side; without n, of one network.

    Args:
        layers: W [n, out, in] and b [n, out] of each, two or more, with softplus between. Of one network, without n.
        x: points, shape [n, m, 2].
        v: k directions per point, shape [n, k, m, 2], or [n, k, 1, 2] where they are the same for all points.
    """
    if x.ndim == 2:
        s, jvp = softplus_with_tangents([(weight[None], bias[None]) for weight, bias in layers], x[None], v[None])
        return s.squeeze(0), jvp.squeeze(0)  # the derivative of an index takes kernels of its own
    # the written-out backward pass is for ordinary autograd only
    if in_forward_mode() or not torch.is_grad_enabled():
        return _forwards(x, v, layers)
    try:
        parts = (part for layer in layers for part in layer)
        s, jvp = _BothWays.apply(x, v, *parts)  # type: ignore[no-untyped-call]  # torch gives apply no types
    except RuntimeError:  # inside a transform of torch.func, which refuses it before anything is computed
        return _forwards(x, v, layers)
    return s, jvp


def _forwards(
    x: Tensor, v: Tensor, layers: Sequence[tuple[Tensor, Tensor]], kept: list[Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """z_L and t_L; to ``kept`` goes sigmoid(z), a and u of each activation."""
    z, t, a, u = x, v, x, v
    for i, (weight, bias) in enumerate(layers):
        if i > 0:
            slope, a = torch.sigmoid(z), functional.softplus(z)
            u = t * slope[:, None]
            if kept is not None:
                kept += slope, a, u
        z = torch.baddbmm(bias[:, None], a, weight.mT)
        t = torch.bmm(u.flatten(1, 2), weight.mT).unflatten(1, u.shape[1:3])
    return z, t


class _BothWays(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        kept: list[Tensor] = []
        results = _forwards(x, v, _pair_up(parameters), kept)
        ctx.save_for_backward(x, v, *parameters, *kept)
        return results

    @staticmethod
    def backward(ctx: Any, g_z: Tensor, g_t: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        wanted = ctx.needs_input_grad
        inputs, kept = ctx.saved_tensors[: len(wanted)], ctx.saved_tensors[len(wanted) :]
        if torch.is_grad_enabled():  # this derivative is to be differentiated in turn
            return by_autograd(inputs, wanted, (g_z, g_t))
        g_t = g_t.contiguous()  # of several networks it may not be, and every flatten would copy it
        x, v, *parameters = inputs
        weights, gradients = parameters[::2], list[Tensor]()
        for weight, slope, a, u in zip(weights[:0:-1], kept[-3::-3], kept[-2::-3], kept[-1::-3], strict=True):
            gradients[:0] = _of_weight(g_z, a, g_t, u), g_z.sum(1)
            g_a, g_u = _of_inputs(weight, g_z, g_t)
            g_z, g_t = _along(g_u, u).lerp_(g_a, slope), g_u.mul_(slope[:, None])
        g_t = g_t.sum(2, keepdim=True) if v.shape[2] == 1 else g_t
        gradients[:0] = _of_weight(g_z, x, g_t, v), g_z.sum(1)
        return *(_of_inputs(weights[0], g_z, g_t) if any(wanted[:2]) else (None, None)), *gradients


def _pair_up(parameters: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(parameters[::2], parameters[1::2], strict=True))


def _of_weight(g_z: Tensor, a: Tensor, g_t: Tensor, u: Tensor) -> Tensor:
    """g_z a^T + g_t u^T, summed over points and directions; products with the thin side first are much faster."""
    if g_z.shape[-1] > a.shape[-1]:
        return _of_weight(a, g_z, u, g_t).mT
    return torch.bmm(g_z.mT, a).baddbmm_(g_t.flatten(1, 2).mT, u.flatten(1, 2))


def _of_inputs(weight: Tensor, g_z: Tensor, g_t: Tensor) -> tuple[Tensor, Tensor]:
    """W^T g_z and W^T g_t."""
    return torch.bmm(g_z, weight), torch.bmm(g_t.flatten(1, 2), weight).unflatten(1, g_t.shape[1:3])


def _along(g_u: Tensor, u: Tensor) -> Tensor:
    """u g_u, summed over the directions."""
    total = g_u[:, 0] * u[:, 0]
    for i in range(1, u.shape[1]):
        total.addcmul_(g_u[:, i], u[:, i])
    return total


def by_autograd(
    inputs: Sequence[Tensor], wanted: Sequence[bool], gradients: tuple[Tensor, Tensor]
) -> tuple[Tensor | None, ...]:
    """What ``backward`` returns, in a form that can be differentiated again."""
    x, v, *parameters = inputs
    variables = [part for part, is_wanted in zip(inputs, wanted, strict=True) if is_wanted]
    results = _forwards(x, v, _pair_up(parameters))
    found = iter(torch.autograd.grad(results, variables, gradients, create_graph=True, allow_unused=True))
    return tuple(next(found) if is_wanted else None for is_wanted in wanted)
