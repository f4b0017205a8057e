"""A softplus network with its derivative along given directions, forwards and backwards, in few launches.

The formulas are those of _internal/mlp_jvp.py, the plain path. Here z_i and t_i lie one after the other in one tensor
[n, 1 + k, m, units], z first and then t for each of k directions: so a layer is one product of matrices for both, and
one kernel for its activation, which adds the bias as well; and so are its derivatives.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from toylab._internal.mlp_jvp import by_autograd
from toylab._kernels.when import OPTIONS

BLOCK = 256  # entries of [n, m, units] per program
SIZES = ("size", "rows", "units", "k")


@triton.jit
def _place(size, rows, units, k, BLOCK: tl.constexpr):
    """The entries of [n, m, units] of a program, which of them there are, and where each is in [n, 1 + k, m, units].

    Also the size of a plane [m, units], which is how far an entry is from its tangents, and the network of each.
    """
    entry = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    plane, network = rows * units, entry // (rows * units)
    return entry, entry < size, plane, network, network * (1 + k) * plane + entry % plane


@triton.jit(do_not_specialize=SIZES)
def _activate(y_ptr, bias_ptr, h_ptr, slope_ptr, size, rows, units, k, BLOCK: tl.constexpr):
    """From z - b and t: softplus(z) and sigmoid(z) t, one after the other, and sigmoid(z)."""
    entry, inside, plane, network, first = _place(size, rows, units, k, BLOCK)
    z = tl.load(y_ptr + first, inside, 0.0) + tl.load(bias_ptr + network * units + entry % units, inside, 0.0)
    e = tl.exp(-tl.abs(z))
    slope = tl.where(z >= 0, 1 / (1 + e), e / (1 + e))
    w = 1 + e  # log(1 + e) without loss where e is small, by Kahan's way
    log = tl.where(w == 1, e, tl.log(w) * e / tl.where(w == 1, 1.0, w - 1))
    tl.store(h_ptr + first, tl.maximum(z, 0.0) + log, inside)
    tl.store(slope_ptr + entry, slope, inside)
    for j in range(1, k + 1):
        tl.store(h_ptr + first + j * plane, slope * tl.load(y_ptr + first + j * plane, inside, 0.0), inside)


@triton.jit(do_not_specialize=SIZES)
def _back(g_ptr, h_ptr, slope_ptr, out_ptr, size, rows, units, k, BLOCK: tl.constexpr):
    """From the gradients in a and u, one after the other, those in z and t; h holds a and u."""
    entry, inside, plane, network, first = _place(size, rows, units, k, BLOCK)
    slope = tl.load(slope_ptr + entry, inside, 0.0)
    along = 0.0 * slope
    for j in range(1, k + 1):
        g_u = tl.load(g_ptr + first + j * plane, inside, 0.0)
        along += g_u * tl.load(h_ptr + first + j * plane, inside, 0.0)
        tl.store(out_ptr + first + j * plane, slope * g_u, inside)
    tl.store(out_ptr + first, slope * tl.load(g_ptr + first, inside, 0.0) + (1 - slope) * along, inside)


def with_tangents(layers: Sequence[tuple[Tensor, Tensor]], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """s(x) [n, m, 2] and (grad s)(x) v [n, k, m, 2] of n networks side by side.

    Args:
        layers: W [n, out, in] and b [n, out] of each, two or more.
        x: points, shape [n, m, 2].
        v: k directions per point, shape [n, k, m, 2], or [n, k, 1, 2] where they are the same for all points.
    """
    s, jvp = _BothWays.apply(x, v, *(part for layer in layers for part in layer))
    return s, jvp


class _BothWays(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        weights, biases = parameters[::2], parameters[1::2]
        inputs, slopes = [torch.cat([x[:, None], v.expand(-1, -1, x.shape[1], -1)], 1)], list[Tensor]()
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            h, slope = _activated(_product(inputs[-1], weight.mT), bias)
            inputs.append(h)
            slopes.append(slope)
        last = _product(inputs[-1], weights[-1].mT)
        last[:, 0] += biases[-1][:, None]
        ctx.save_for_backward(x, v, *parameters, *inputs, *slopes)
        return last[:, 0], last[:, 1:]

    @staticmethod
    def backward(ctx: Any, g_z: Tensor, g_t: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        wanted = ctx.needs_input_grad
        given, kept = ctx.saved_tensors[: len(wanted)], ctx.saved_tensors[len(wanted) :]
        if torch.is_grad_enabled():  # this derivative is to be differentiated in turn
            return by_autograd(given, wanted, (g_z, g_t))
        v, weights = given[1], given[2::2]
        inputs, slopes = kept[: len(weights)], kept[len(weights) :]
        g, gradients = torch.cat([g_z[:, None], g_t], 1), list[Tensor]()
        for i in reversed(range(len(weights))):
            gradients[:0] = torch.bmm(g.flatten(1, 2).mT, inputs[i].flatten(1, 2)), g[:, 0].sum(1)
            if i > 0:
                g = _slopes_back(_product(g, weights[i]), inputs[i], slopes[i - 1])
        if not any(wanted[:2]):
            return None, None, *gradients
        g = _product(g, weights[0])
        return g[:, 0], g[:, 1:].sum(2, keepdim=True) if v.shape[2] == 1 else g[:, 1:], *gradients


def _product(h: Tensor, weight: Tensor) -> Tensor:
    """h [n, 1 + k, m, in] times a matrix [n, in, out] of each network."""
    product = torch.bmm(h.flatten(1, 2), weight)
    return product.view(*h.shape[:3], weight.shape[-1])


def _activated(y: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    n, planes, rows, units = y.shape
    h, slope = torch.empty_like(y), y.new_empty((n, rows, units))
    _activate[_grid(slope)](
        y, bias.contiguous(), h, slope, slope.numel(), rows, units, planes - 1, BLOCK=BLOCK, **OPTIONS
    )  # fmt: skip
    return h, slope


def _slopes_back(g: Tensor, h: Tensor, slope: Tensor) -> Tensor:
    _, planes, rows, units = g.shape
    out = torch.empty_like(g)
    _back[_grid(slope)](g, h, slope, out, slope.numel(), rows, units, planes - 1, BLOCK=BLOCK, **OPTIONS)
    return out


def _grid(slope: Tensor) -> tuple[int]:
    return (triton.cdiv(slope.numel(), BLOCK),)
