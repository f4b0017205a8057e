"""The random numbers of a kernel, as tensors, so that a plain run can be made of the same ones."""

import torch
import triton
import triton.language as tl

from toylab._kernels.random import draw


@triton.jit
def _draw(seed_ptr, z_ptr, u_ptr, n, step, DOUBLE: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    z1, z2, u = draw(tl.load(seed_ptr), i, step, DOUBLE)
    tl.store(z_ptr + 2 * i, z1, i < n)
    tl.store(z_ptr + 2 * i + 1, z2, i < n)
    tl.store(u_ptr + i, u, i < n)


def numbers(seed, n, step, dtype, device="cpu", block=1024):
    """The normal numbers z [n, 2] and the uniform ones u [n] of n chains at a step."""
    z, u = (torch.empty(size, dtype=dtype, device=device) for size in ((n, 2), (n,)))
    _draw[(triton.cdiv(n, block),)](seed, z, u, n, step, DOUBLE=dtype == torch.float64, BLOCK=block)
    return z, u


class Replayed:
    """Numbers of a kernel in the places where the plain path draws its own: ``normal_like`` and ``uniform``."""

    def __init__(self, seed):
        self.seed, self.n_normal, self.n_uniform = seed, 0, 0

    def normal_like(self, x, generator=None):
        """Those of the next step."""
        self.n_normal += 1
        return numbers(self.seed, len(x), self.n_normal - 1, x.dtype, x.device)[0]

    def uniform(self, shape, *, dtype, device, generator=None):
        """Those of the next step."""
        self.n_uniform += 1
        return numbers(self.seed, shape[0], self.n_uniform - 1, dtype, device)[1]
