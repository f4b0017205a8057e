"""Langevin chains along a ``ScoreMLP`` or a ``NoiseConditionalMLP``, which is evaluated inside the kernel.

A program carries a block of chains through many steps. Their hidden units stay in registers, and the weights, the same
for all programs, in the caches. The plain path is networks.py and samplers/langevin.py. A step, with y = x - data_mean:

    F = layers(inner y, feature),    s = outer F - pull y,    x' = x + eps/2 s + root z

What (inner, feature, outer, pull) are, samplers/packed_network.py says; they may change from step to step.

The products between hidden layers are nearly all of the work, and decide how a block lies in the registers. With
``PRECISION`` "ieee" they are fused multiply-adds in float32, and its axes are [units, chains]: each thread then reads
its weights, the same for the whole warp, while it multiplies. Tensor cores take [chains, units].
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from toylab._internal import devices
from toylab._kernels.random import draw
from toylab._kernels.run import Run, record
from toylab._kernels.when import OPTIONS

LOG2_E = tl.constexpr(1.4426950408889634)
SIZES = ("n", "n_middle", "first", "n_steps", "keep_every")  # or a kernel would be compiled anew for some values


class Network(NamedTuple):
    """A network as the kernel takes it; its width a power of two, filled up with units of zero weights.

    Attributes:
        ends: weights of the two coordinates and of the feature, the first bias, weights of the two results [6, width].
        middle: weights between hidden layers, by input and output [depth - 1, width, width].
        bias: of the hidden layers but the first [depth - 1, width].
        last_bias: of the two results [2].
        rows: inner, feature, outer, pull at each noise level [L, 4]; of a ``ScoreMLP`` [1, 4].
        mean: data_mean.
        activation: "softplus", "silu" or "tanh".
        precision: of the products between hidden layers, as ``tl.dot`` calls it.
    """

    ends: Tensor
    middle: Tensor
    bias: Tensor
    last_bias: Tensor
    rows: Tensor
    mean: tuple[float, float]
    activation: str
    precision: str


class Shape(NamedTuple):
    """Of a program: its chains, its warps, and how many hidden units are multiplied with their weights at a time."""

    block: int
    warps: int
    chunk: int


@triton.jit
def _activate(z, ACTIVATION: tl.constexpr):
    """The activation, to a few units in the last place of float32; tanh, near 0, to as many of those of 1."""
    if ACTIVATION == "softplus":  # max(z, 0) + log(1 + u); past 20, where torch gives z, the same number
        u = tl.exp2(-tl.abs(z) * LOG2_E)
        p = 0.0051261 * u - 0.02907406  # log(1 + u) / u on [0, 1], interpolated at Chebyshev's points
        p = p * u + 0.07751609
        p = p * u - 0.13602248
        p = p * u + 0.19076881
        p = p * u - 0.24835399
        p = p * u + 0.33318122
        p = p * u - 0.49999445
        p = p * u + 0.99999997
        a = p * u + tl.maximum(z, 0.0)
    elif ACTIVATION == "silu":
        root = tl.rsqrt(1 + tl.exp2(-z * LOG2_E))  # of sigmoid(z); a division costs more
        a = z * root * root
    else:  # tanh(z) = 2 sigmoid(2 z) - 1
        root = tl.rsqrt(1 + tl.exp2(-z * (2 * LOG2_E)))
        a = 2 * root * root - 1
    return a


@triton.jit
def _halves(h, UNITS: tl.constexpr):
    """The lower and the upper half of the units; ``UNITS`` is their axis."""
    few: tl.constexpr = h.shape[UNITS] // 2
    if UNITS == 0:
        h = tl.permute(tl.reshape(h, (2, few, h.shape[1])), (1, 2, 0))
    else:
        h = tl.permute(tl.reshape(h, (h.shape[0], 2, few)), (0, 2, 1))
    return tl.split(h)


@triton.jit
def _add_product(
    total, h, weights, first: tl.constexpr, stride: tl.constexpr,
    UNITS: tl.constexpr, CHUNK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """``total`` + the weights of the units first, first + stride, .. times these units ``h``, CHUNK units at a time."""
    size: tl.constexpr = h.shape[UNITS]
    width: tl.constexpr = total.shape[UNITS]
    if size <= CHUNK:
        inputs, outputs = tl.arange(0, size) * stride + first, tl.arange(0, width)
        at = weights + tl.expand_dims(inputs * width, UNITS) + tl.expand_dims(outputs, 1 - UNITS)
        if UNITS == 0:
            total = tl.dot(tl.load(at), h, total, input_precision=PRECISION)
        else:
            total = tl.dot(h, tl.load(at), total, input_precision=PRECISION)
    elif UNITS == 1 or 4 * size > width:
        a, b = _halves(h, UNITS)
        total = _add_product(total, a, weights, first, stride, UNITS, CHUNK, PRECISION)
        total = _add_product(total, b, weights, first + stride * (size // 2), stride, UNITS, CHUNK, PRECISION)
    else:  # even and odd: in each quarter a thread has neighbours, which stay where they are
        a, b = tl.split(tl.permute(tl.reshape(h, (size // 2, 2, h.shape[1])), (0, 2, 1)))
        total = _add_product(total, a, weights, first, 2 * stride, UNITS, CHUNK, PRECISION)
        total = _add_product(total, b, weights, first + stride, 2 * stride, UNITS, CHUNK, PRECISION)
    return total


@triton.jit
def _layers(
    y1, y2, feature, ends, middle, bias_ptr, last_bias, n_middle,
    ACTIVATION: tl.constexpr, PRECISION: tl.constexpr, WIDTH: tl.constexpr, UNITS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The two results of the layers at the points y with this feature."""
    k = tl.arange(0, WIDTH)
    w1, w2 = tl.load(ends + k), tl.load(ends + WIDTH + k)
    offset = tl.load(ends + 2 * WIDTH + k) * feature + tl.load(ends + 3 * WIDTH + k)
    total = tl.expand_dims(w1, 1 - UNITS) * tl.expand_dims(y1, UNITS) + tl.expand_dims(offset, 1 - UNITS)
    total += tl.expand_dims(w2, 1 - UNITS) * tl.expand_dims(y2, UNITS)
    h = _activate(total, ACTIVATION)
    for i in range(n_middle):
        bias = tl.expand_dims(tl.load(bias_ptr + i * WIDTH + k), 1 - UNITS)
        total = tl.broadcast_to(bias, h.shape)
        total = _add_product(total, h, middle + i * WIDTH * WIDTH, 0, 1, UNITS, CHUNK, PRECISION)
        h = _activate(total, ACTIVATION)
    v1, v2 = tl.load(ends + 4 * WIDTH + k), tl.load(ends + 5 * WIDTH + k)
    f1 = tl.sum(tl.expand_dims(v1, 1 - UNITS) * h, UNITS) + tl.load(last_bias)
    f2 = tl.sum(tl.expand_dims(v2, 1 - UNITS) * h, UNITS) + tl.load(last_bias + 1)
    return f1, f2


@triton.jit(do_not_specialize=SIZES)
def _langevin(
    x_ptr, ends, middle, bias_ptr, last_bias, rows, mean1, mean2, level_ptr, half_ptr, root_ptr, seed_ptr, path_ptr,
    last_ptr, alive_ptr, n, n_middle, first, n_steps, keep_every,
    ACTIVATION: tl.constexpr, PRECISION: tl.constexpr, WIDTH: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    UNITS: tl.constexpr = 0 if PRECISION == "ieee" else 1
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    x1, x2 = tl.load(x_ptr + 2 * i, inside, 0.0), tl.load(x_ptr + 2 * i + 1, inside, 0.0)
    alive = tl.zeros([BLOCK], tl.int32)
    seed = tl.load(seed_ptr)
    for step in range(first, first + n_steps):
        row = rows + 4 * tl.load(level_ptr + step)
        inner, feature, outer, pull = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
        half, root = tl.load(half_ptr + step), tl.load(root_ptr + step)
        y1, y2 = x1 - mean1, x2 - mean2
        f1, f2 = _layers(
            inner * y1, inner * y2, feature, ends, middle, bias_ptr, last_bias, n_middle,
            ACTIVATION, PRECISION, WIDTH, UNITS, CHUNK,
        )  # fmt: skip
        z1, z2, _ = draw(seed, i, step, False)
        x1 += half * (outer * f1 - pull * y1) + root * z1
        x2 += half * (outer * f2 - pull * y2) + root * z2
        finite = (tl.abs(x1) < float("inf")) & (tl.abs(x2) < float("inf"))
        alive += finite.to(tl.int32)
        tl.store(last_ptr + 2 * i, x1, inside & finite)
        tl.store(last_ptr + 2 * i + 1, x2, inside & finite)
        record(x1, x2, i, inside, n, step, path_ptr, keep_every)
    tl.store(x_ptr + 2 * i, x1, inside)
    tl.store(x_ptr + 2 * i + 1, x2, inside)
    tl.store(alive_ptr + i, tl.load(alive_ptr + i, inside, 0) + alive, inside)


def langevin(x: Tensor, network: Network, levels: Tensor, run: Run, first: int, n_steps: int) -> None:
    """n_steps of x' = x + eps/2 s(x) + root z, in place.

    Args:
        x: the chains, [n, 2].
        network: as ``samplers.packed_network`` gives it.
        levels: which of its noise levels each step of the run takes, int32; zeros for a ``ScoreMLP``.
        run: what all launches share.
        first: the number of the first step.
        n_steps: how many to take.
    """
    width = network.ends.shape[1]
    shape = shape_of_a_program(len(x), width, network.precision, x.device)
    _langevin[(triton.cdiv(len(x), shape.block),)](
        x, network.ends, network.middle, network.bias, network.last_bias, network.rows, *network.mean, levels,
        run.halves, run.roots, run.seed, run.path, run.last, run.steps_alive,
        len(x), len(network.middle), first, n_steps, run.keep_every,
        ACTIVATION=network.activation, PRECISION=network.precision, WIDTH=width, CHUNK=shape.chunk, BLOCK=shape.block,
        num_warps=shape.warps, num_stages=1, **OPTIONS,
    )  # fmt: skip


def shape_of_a_program(n: int, width: int, precision: str, device: torch.device) -> Shape:
    """As many chains as give a thread 64 sums to keep; fewer where there would be less programs than processors.

    With chunks of 8 units for multiply-adds and of 64 for tensor cores all fits into the registers and into 80 KB of
    shared memory.
    """
    warps, chunk = (4, 8) if precision == "ieee" else (8, 64)
    block = min(64 * 32 * warps // width, 256)
    processors = devices.processors(device)
    while block > 16 and triton.cdiv(n, block) < processors:
        block //= 2
    return Shape(block, warps, chunk)
