"""What the kernels share that carry chains through many steps: the sizes of the steps, the frames, what is counted."""

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor


class Run(NamedTuple):
    """What all launches of a run share.

    Attributes:
        seed: [1], int64 (``random.draw_seed``).
        halves: eps / 2 of each step, in the dtype of the points.
        roots: what the normal numbers of each step are multiplied by, in the dtype of the points.
        path: frames [frames, n, 2], the start first; the frame after step m = 1, 2, .. goes to path[m / keep_every].
        keep_every: as that of the samplers; 0 keeps no frames.
        last: where each chain was finite for the last time, [n, 2]; changed in place.
        steps_alive: after how many steps each chain was finite, [n], int64; changed in place.
    """

    seed: Tensor
    halves: Tensor
    roots: Tensor
    path: Tensor
    keep_every: int
    last: Tensor
    steps_alive: Tensor


@triton.jit
def record(x1, x2, i, inside, n, step, path_ptr, keep_every):
    """Write a frame, if one is due after this step."""
    if keep_every > 0:  # noqa: SIM102  (of an "and" Triton computes both sides)
        if (step + 1) % keep_every == 0:
            frame = path_ptr + ((step + 1) // keep_every).to(tl.int64) * n * 2
            tl.store(frame + 2 * i, x1, inside)
            tl.store(frame + 2 * i + 1, x2, inside)
