"""Random numbers by counting: those of chain i at step k are a function of the seed, i and k alone.

A kernel that carries a chain through all of its steps can share no stream with others. Philox turns a counter and a key
into four words of 32 bits, all of them independent to any test, so that no chain waits for another, and the same seed
gives the same numbers however chains and steps are divided among launches.
Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3 (Philox 4x32 with 10 rounds).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from toylab._internal.random import integers


def draw_seed(device: torch.device, generator: torch.Generator | None) -> Tensor:
    """A seed for a kernel [1], int64, drawn from ``generator``, which it advances, on its device; nothing is read."""
    return integers(2**63 - 1, (1,), device=device, generator=generator)


@triton.jit
def draw(seed, chain, step, DOUBLE: tl.constexpr):
    """Two normal numbers and a uniform one, as far as rounding goes strictly between 0 and 1, for each chain.

    In double precision all have 53 random bits, in single precision 32, so that no normal number is beyond 6.8, or 8.7.
    """
    chain = chain.to(tl.int32)  # of 64 bits Philox would be another
    zero = chain * 0
    w0, w1, w2, w3 = tl.philox(seed, chain, zero + step, zero, zero)
    if DOUBLE:
        v0, v1, _, _ = tl.philox(seed, chain, zero + step, zero + 1, zero)
        radius, turn, u = _uniform53(w0, w1), _uniform53(w2, w3), _uniform53(v0, v1)
    else:
        radius, turn, u = _uniform32(w0), _uniform32(w1), _uniform32(w2)
    z1, z2 = _normal_pair(radius, turn)
    return z1, z2, u


@triton.jit
def draw_point(seed, i, DOUBLE: tl.constexpr):
    """Two normal numbers, and a uniform one of 53 bits in double precision, for each point i, an int64."""
    low, high = (i & 0xFFFFFFFF).to(tl.uint32), (i >> 32).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(seed, low, high, low * 0 + 2, low * 0)
    if DOUBLE:
        v0, v1, _, _ = tl.philox(seed, low, high, low * 0 + 3, low * 0)
        z1, z2 = _normal_pair(_uniform53(w0, w1), _uniform53(w2, w3))
        u = _uniform53(v0, v1)
    else:
        z1, z2 = _normal_pair(_uniform32(w0), _uniform32(w1))
        u = _uniform53(w2, w3)
    return z1, z2, u


@triton.jit
def _normal_pair(radius, turn):
    """From two uniform numbers; Box and Muller 1958."""
    r = tl.sqrt(-2.0 * tl.log(radius))
    angle = 6.283185307179586 * turn
    return r * tl.cos(angle), r * tl.sin(angle)


@triton.jit
def _uniform32(word):
    return (word.to(tl.float32) + 0.5) * 2.3283064365386963e-10  # 2^-32


@triton.jit
def _uniform53(high, low):
    return ((high >> 5).to(tl.float64) * 67108864.0 + (low >> 6).to(tl.float64) + 0.5) * 1.1102230246251565e-16  # 2^-53
