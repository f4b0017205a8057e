"""Points drawn from a mixture of Gaussians, in one launch beside that for the seed.

Point i is m_k + L_k z, with the component k, of which e_(k-1) <= u e_K < e_k for the cumulative weights e, found by
halving. The plain path is ``GaussianMixture.sample``.
"""

import triton
import triton.language as tl
from torch import Tensor

from toylab._kernels.random import draw_point
from toylab._kernels.when import OPTIONS

BLOCK = 256  # points per program


@triton.jit(do_not_specialize=("n", "K"))
def _draw(seed_ptr, edges, frames, x_ptr, n, K, HALVINGS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    z1, z2, u = draw_point(tl.load(seed_ptr), i, x_ptr.dtype.element_ty == tl.float64)
    u *= tl.load(edges + K - 1)
    k, last = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.int32) + (K - 1)  # the component is one of k .. last
    for _ in tl.static_range(HALVINGS):
        middle = (k + last) // 2
        beyond = (k < last) & (tl.load(edges + middle) <= u)
        k, last = tl.where(beyond, middle + 1, k), tl.where(beyond, last, middle)
    frame = frames + 6 * k
    x1 = tl.load(frame) + tl.load(frame + 2) * z1 + tl.load(frame + 4) * z2
    x2 = tl.load(frame + 1) + tl.load(frame + 3) * z1 + tl.load(frame + 5) * z2
    tl.store(x_ptr + 2 * i, x1, inside)
    tl.store(x_ptr + 2 * i + 1, x2, inside)


def sample(seed: Tensor, edges: Tensor, frames: Tensor, n: int) -> Tensor:
    """n points [n, 2], in the dtype of the frames.

    Args:
        seed: [1], int64 (``random.draw_seed``).
        edges: cumulative sums of the weights [K], float64.
        frames: m and the columns of L, L L^T = C, of each Gaussian [K, 3, 2].
        n: how many.
    """
    x = frames.new_empty((n, 2))
    if n:
        _draw[(triton.cdiv(n, BLOCK),)](
            seed, edges, frames.contiguous(), x, n, len(edges), HALVINGS=len(edges).bit_length(), BLOCK=BLOCK, **OPTIONS
        )  # fmt: skip
    return x
