"""Chains on a mixture of Gaussians, each carried through all of its steps without leaving the registers.

The steps, and what is counted, are those of samplers/langevin.py and samplers/mala.py, which are the plain path; the
random numbers are those of ``random``. The steps may be divided among launches, to show progress or to be interrupted:
a launch takes steps first .. first + n_steps - 1 of the run, and the numbers are the same for any division.
"""

import triton
import triton.language as tl
from torch import Tensor

from toylab._kernels.mixture import ROW, evaluate
from toylab._kernels.random import draw
from toylab._kernels.run import Run, record
from toylab._kernels.when import OPTIONS

SIZES = ("n", "K", "first", "n_steps", "keep_every")  # or a kernel would be compiled anew for some of their values


@triton.jit(do_not_specialize=SIZES)
def _langevin(
    x_ptr, tables, wide, level_ptr, half_ptr, root_ptr, seed_ptr, path_ptr, last_ptr, alive_ptr,
    n, K, first, n_steps, keep_every, ROUND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    x1, x2 = tl.load(x_ptr + 2 * i, inside, 0.0), tl.load(x_ptr + 2 * i + 1, inside, 0.0)
    last1, last2 = tl.load(last_ptr + 2 * i, inside, 0.0), tl.load(last_ptr + 2 * i + 1, inside, 0.0)
    alive = tl.zeros([BLOCK], tl.int32)
    seed = tl.load(seed_ptr)
    for step in range(first, first + n_steps):
        at = tl.load(level_ptr + step) * K * ROW
        half, root = tl.load(half_ptr + step), tl.load(root_ptr + step)
        _, s1, s2, _, _, _ = evaluate(tables + at, wide + at, K, x1, x2, x1, inside, ROUND, False, False)
        z1, z2, _ = draw(seed, i, step, x_ptr.dtype.element_ty == tl.float64)
        x1 = x1 + half * s1 + root * z1
        x2 = x2 + half * s2 + root * z2
        finite = (tl.abs(x1) < float("inf")) & (tl.abs(x2) < float("inf"))
        alive += finite.to(tl.int32)
        last1, last2 = tl.where(finite, x1, last1), tl.where(finite, x2, last2)
        record(x1, x2, i, inside, n, step, path_ptr, keep_every)
    tl.store(x_ptr + 2 * i, x1, inside)
    tl.store(x_ptr + 2 * i + 1, x2, inside)
    tl.store(last_ptr + 2 * i, last1, inside)
    tl.store(last_ptr + 2 * i + 1, last2, inside)
    tl.store(alive_ptr + i, tl.load(alive_ptr + i, inside, 0) + alive, inside)


@triton.jit(do_not_specialize=SIZES)
def _mala(
    x_ptr, log_p_ptr, s_ptr, accepted_ptr, table, wide, factor_ptr, half_ptr, root_ptr, seed_ptr, path_ptr,
    n, K, first, n_steps, keep_every, ROUND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    x1, x2 = tl.load(x_ptr + 2 * i, inside, 0.0), tl.load(x_ptr + 2 * i + 1, inside, 0.0)
    log_p = tl.load(log_p_ptr + i, inside, 0.0)
    s1, s2 = tl.load(s_ptr + 2 * i, inside, 0.0), tl.load(s_ptr + 2 * i + 1, inside, 0.0)
    accepted = tl.zeros([BLOCK], tl.int32)
    seed = tl.load(seed_ptr)
    if factor_ptr is not None:
        l11, l21, l22 = tl.load(factor_ptr), tl.load(factor_ptr + 2), tl.load(factor_ptr + 3)
    for step in range(first, first + n_steps):
        half, root = tl.load(half_ptr + step), tl.load(root_ptr + step)
        z1, z2, u = draw(seed, i, step, x_ptr.dtype.element_ty == tl.float64)
        # with M = L L^T and a = sqrt(eps): y = x + a L z + eps/2 L L^T s
        if factor_ptr is not None:
            g1, g2 = l11 * s1 + l21 * s2, l22 * s2
            v1, v2 = root * z1 + half * g1, root * z2 + half * g2
            y1, y2 = x1 + l11 * v1, x2 + l21 * v1 + l22 * v2
        else:
            y1, y2 = x1 + root * z1 + half * s1, x2 + root * z2 + half * s2
        log_q, t1, t2, _, _, _ = evaluate(table, wide, K, y1, y2, y1, inside, ROUND, False, False)
        b1, b2 = s1 + t1, s2 + t2
        if factor_ptr is not None:
            b1, b2 = l11 * b1 + l21 * b2, l22 * b2
        # log q(x|y) - log q(y|x) = -a/2 b . (z + a/4 b), b = L^T (s(x) + s(y))
        log_ratio = log_q - log_p - 0.5 * (b1 * (root * z1 + 0.5 * half * b1) + b2 * (root * z2 + 0.5 * half * b2))
        kept = tl.log(u) < log_ratio  # nan compares false: a proposal that blew up is refused
        x1, x2 = tl.where(kept, y1, x1), tl.where(kept, y2, x2)
        s1, s2 = tl.where(kept, t1, s1), tl.where(kept, t2, s2)
        log_p = tl.where(kept, log_q, log_p)
        accepted += kept.to(tl.int32)
        record(x1, x2, i, inside, n, step, path_ptr, keep_every)
    tl.store(x_ptr + 2 * i, x1, inside)
    tl.store(x_ptr + 2 * i + 1, x2, inside)
    tl.store(log_p_ptr + i, log_p, inside)
    tl.store(s_ptr + 2 * i, s1, inside)
    tl.store(s_ptr + 2 * i + 1, s2, inside)
    tl.store(accepted_ptr + i, tl.load(accepted_ptr + i, inside, 0.0) + accepted, inside)


def langevin(x: Tensor, tables: Tensor, levels: Tensor, is_round: bool, run: Run, first: int, n_steps: int) -> None:
    """n_steps of x' = x + eps/2 s(x) + root z, in place.

    Args:
        x: the chains, [n, 2].
        tables: one per noise level, [L, K, 6] (``gaussians.Mixture``), float64.
        levels: which of them each step of the run takes, int32.
        is_round: whether all covariances are multiples of the identity.
        run: what all launches share.
        first: the number of the first step.
        n_steps: how many to take.
    """
    block, warps = shape_of_a_program(len(x))
    _langevin[(triton.cdiv(len(x), block),)](
        x, tables.to(x.dtype), tables, levels, run.halves, run.roots, run.seed, run.path, run.last, run.steps_alive,
        len(x), tables.shape[1], first, n_steps, run.keep_every,
        ROUND=is_round, BLOCK=block, num_warps=warps, **OPTIONS,
    )  # fmt: skip


def mala(
    x: Tensor, log_p: Tensor, s: Tensor, accepted: Tensor, table: Tensor, is_round: bool, factor: Tensor | None,
    run: Run, first: int, n_steps: int,
) -> None:  # fmt: skip
    """n_steps of MALA, in place.

    Args:
        x: the chains, [n, 2].
        log_p: log p there, [n].
        s: the score there, [n, 2].
        accepted: how many proposals each chain has accepted, [n].
        table: of the mixture, [K, 6] (``gaussians.Mixture``), float64.
        is_round: whether all covariances are multiples of the identity.
        factor: the lower L of the preconditioner L L^T, [2, 2], contiguous; None is the identity.
        run: what all launches share.
        first: the number of the first step.
        n_steps: how many to take.
    """
    block, warps = shape_of_a_program(len(x))
    _mala[(triton.cdiv(len(x), block),)](
        x, log_p, s, accepted, table.to(x.dtype), table, factor, run.halves, run.roots, run.seed, run.path,
        len(x), len(table), first, n_steps, run.keep_every,
        ROUND=is_round, BLOCK=block, num_warps=warps, **OPTIONS,
    )  # fmt: skip


def shape_of_a_program(n: int) -> tuple[int, int]:
    """Chains and warps per program: one warp, with two chains to a thread where there are many."""
    return (64, 1) if n >= 1 << 16 else (32, 1)
