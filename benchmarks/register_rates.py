"""Kernels that do one thing alone, in registers: exponentials, or random numbers. Only where there is Triton."""

import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


def exponentials(out: Tensor, n_rounds: int) -> None:
    """``n_rounds`` exponentials to the base 2, one of the other, for each entry of ``out`` [m * 1024]."""
    _exponentials[(out.numel() // _BLOCK,)](out, n_rounds, BLOCK=_BLOCK)


def normals(out: Tensor, n_rounds: int) -> None:
    """The mean of 4 ``n_rounds`` standard normal numbers for each entry of ``out`` [m * 1024]."""
    _normals[(out.numel() // _BLOCK,)](out, n_rounds, BLOCK=_BLOCK)


def uniforms(out: Tensor, n_rounds: int) -> None:
    """The mean of 4 ``n_rounds`` uniform numbers for each entry of ``out`` [m * 1024]."""
    _uniforms[(out.numel() // _BLOCK,)](out, n_rounds, BLOCK=_BLOCK)


@triton.jit
def _exponentials(out, n_rounds, BLOCK: tl.constexpr):  # noqa: ANN001, ANN202
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = places.to(tl.float32) / 1e9
    for _ in range(n_rounds):
        x = tl.exp2(-x)
    tl.store(out + places, x)


@triton.jit
def _normals(out, n_rounds, BLOCK: tl.constexpr):  # noqa: ANN001, ANN202
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(n_rounds):
        a, b, c, d = tl.randn4x(k, places)
        total += (a + b) + (c + d)
    tl.store(out + places, total / (4 * n_rounds))


@triton.jit
def _uniforms(out, n_rounds, BLOCK: tl.constexpr):  # noqa: ANN001, ANN202
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(n_rounds):
        a, b, c, d = tl.rand4x(k, places)
        total += (a + b) + (c + d)
    tl.store(out + places, total / (4 * n_rounds))
