"""log p, score, divergence and posterior of a mixture of Gaussians, each of many points in one launch.

The plain path, and the formulas, are densities/_gaussians.py. Points in single precision, so far out that their
weights would lose their digits, are done again in double precision, as on the plain path of a CPU.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from toylab._kernels.mixture import component, is_far, value_and_score
from toylab._kernels.mixture import evaluate as evaluate_block
from toylab._kernels.when import OPTIONS

BLOCK = 256  # points per program
SIZES = ("n", "K", "noise_stride")  # or a kernel would be compiled anew for some of their values


class Mixture(NamedTuple):
    """A mixture as the kernels take it, on the device of the points.

    Attributes:
        table: of shape [K, 6] at one level (log w + log det W - log 2 pi, w11, w22, w21, m1, m2), or [K, 7] for a level
            per point (log w, c11, c22, c12, det C, m1, m2); in the dtype of the points.
        wide: the same in float64.
        round: whether all covariances are multiples of the identity.
        noise: sigma^2, one for each point [n] or for all of them [1]; None at one level.
    """

    table: Tensor
    wide: Tensor
    round: bool
    noise: Tensor | None = None


@triton.jit
def _load(x_ptr, noise_ptr, n, noise_stride, LEVELS: tl.constexpr, BLOCK: tl.constexpr):
    """The points of a program: their numbers, which of them there are, coordinates, and sigma^2 if each has a level."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    x1, x2 = tl.load(x_ptr + 2 * i, inside, 0.0), tl.load(x_ptr + 2 * i + 1, inside, 0.0)
    noise = 0.0 * x1
    if LEVELS:
        noise = tl.load(noise_ptr + noise_stride * i, inside, 1.0)
    return i, inside, x1, x2, noise


@triton.jit(do_not_specialize=SIZES)
def _evaluate(
    x_ptr, noise_ptr, table, wide, log_p_ptr, s_ptr, h_ptr, n, K, noise_stride,
    ROUND: tl.constexpr, LEVELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i, inside, x1, x2, noise = _load(x_ptr, noise_ptr, n, noise_stride, LEVELS, BLOCK)
    log_p, s1, s2, h11, h12, h22 = evaluate_block(
        table, wide, K, x1, x2, noise, inside, ROUND, LEVELS, h_ptr is not None
    )  # fmt: skip
    if log_p_ptr is not None:
        infinite = (tl.abs(x1) == float("inf")) | (tl.abs(x2) == float("inf"))
        defined = (x1 == x1) & (x2 == x2)
        tl.store(log_p_ptr + i, tl.where(infinite & defined, float("-inf"), log_p), inside)
    if s_ptr is not None:
        tl.store(s_ptr + 2 * i, s1, inside)
        tl.store(s_ptr + 2 * i + 1, s2, inside)
    if h_ptr is not None:
        tl.store(h_ptr + 3 * i, h11, inside)
        tl.store(h_ptr + 3 * i + 1, h12, inside)
        tl.store(h_ptr + 3 * i + 2, h22, inside)


@triton.jit(do_not_specialize=SIZES)
def _posterior(
    x_ptr, noise_ptr, table, wide, r_ptr, n, K, noise_stride,
    ROUND: tl.constexpr, LEVELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i, inside, x1, x2, noise = _load(x_ptr, noise_ptr, n, noise_stride, LEVELS, BLOCK)
    top, log_total, s1, s2 = value_and_score(table, K, x1, x2, noise, ROUND, LEVELS)
    far = (x1 != x1) & (x1 == x1)  # none
    if x1.dtype == tl.float32:
        far = is_far(top + log_total) & inside
    for k in range(K):
        log_joint = component(table, k, x1, x2, noise, ROUND, LEVELS)[0]
        tl.store(r_ptr + i * K + k, tl.exp(log_joint - top - log_total), inside & ~far)
    if tl.max(far.to(tl.int32)) > 0:
        y1, y2, level = x1.to(tl.float64), x2.to(tl.float64), noise.to(tl.float64)
        top64, log_total64, t1, t2 = value_and_score(wide, K, y1, y2, level, ROUND, LEVELS)
        for k in range(K):
            log_joint64 = component(wide, k, y1, y2, level, ROUND, LEVELS)[0]
            tl.store(r_ptr + i * K + k, tl.exp(log_joint64 - top64 - log_total64).to(x1.dtype), far)


Kernel = Callable[[Tensor, Mixture, Callable[[Tensor], Tensor]], tuple[Tensor, ...]]
"""Takes points [n, 2], a mixture, and the score of the plain path, which second derivatives go through."""


def log_prob(x: Tensor, mixture: Mixture, plain: Callable[[Tensor], Tensor]) -> tuple[Tensor]:
    """log p [n]."""
    return (LogProb.apply(x, mixture, plain),)


def score(x: Tensor, mixture: Mixture, plain: Callable[[Tensor], Tensor]) -> tuple[Tensor]:
    """The score [n, 2]."""
    return (Score.apply(x, mixture, plain),)


def log_prob_and_score(x: Tensor, mixture: Mixture, plain: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Both, in one launch where no derivative is wanted."""
    if x.requires_grad and torch.is_grad_enabled():
        return *log_prob(x, mixture, plain), *score(x, mixture, plain)
    return evaluate(x, mixture, log_prob=True, score=True)[:2]


def divergence(x: Tensor, mixture: Mixture, _plain: Callable[[Tensor], Tensor]) -> tuple[Tensor]:
    """The divergence of the score [n]; it has no derivative."""
    h = evaluate(x, mixture, hessian=True)[2]
    return (h[:, 0] + h[:, 2],)


def posterior(x: Tensor, mixture: Mixture, _plain: Callable[[Tensor], Tensor]) -> tuple[Tensor]:
    """P(component k | x) [n, K]; it has no derivative."""
    x = x.contiguous()
    r = x.new_empty((len(x), len(mixture.table)))
    if len(x):
        _posterior[_grid(x)](
            x, *_of(mixture), r, len(x), len(mixture.table), *_shape_of(mixture), BLOCK=BLOCK, **OPTIONS
        )  # fmt: skip
    return (r,)


def evaluate(
    x: Tensor, mixture: Mixture, *, log_prob: bool = False, score: bool = False, hessian: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """log p [n], the score [n, 2] and the entries h11, h12, h22 of its derivative [n, 3] at the points x [n, 2].

    What is not asked for is empty.
    """
    x = x.contiguous()
    sizes = ((len(x),) if log_prob else (0,), (len(x), 2) if score else (0, 2), (len(x), 3) if hessian else (0, 3))
    results = tuple(x.new_empty(size) for size in sizes)
    wanted = [result if asked else None for result, asked in zip(results, (log_prob, score, hessian), strict=True)]
    if len(x):
        _evaluate[_grid(x)](
            x, *_of(mixture), *wanted, len(x), len(mixture.table), *_shape_of(mixture), BLOCK=BLOCK, **OPTIONS
        )  # fmt: skip
    return results[0], results[1], results[2]


def _grid(x: Tensor) -> tuple[int]:
    return (triton.cdiv(len(x), BLOCK),)


def _of(mixture: Mixture) -> tuple[Tensor | None, Tensor, Tensor]:
    return mixture.noise, mixture.table, mixture.wide


def _shape_of(mixture: Mixture) -> tuple[int, bool, bool]:
    """The stride of the levels, and what is known when a kernel is compiled: round, and whether there are levels."""
    return 0 if mixture.noise is None or len(mixture.noise) == 1 else 1, mixture.round, mixture.noise is not None


class LogProb(torch.autograd.Function):
    """log p [n], and its score if asked for; going back it is the score, and that in turn ``Score``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mixture: Mixture, plain: Callable[[Tensor], Tensor]) -> Tensor:  # noqa: ANN401
        """log p of the mixture; ``plain`` is the score of the plain path."""
        log_p, s, _ = evaluate(x, mixture, log_prob=True, score=ctx.needs_input_grad[0])
        ctx.save_for_backward(x, s)
        ctx.mixture, ctx.plain = mixture, plain
        return log_p

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """The gradient times the score."""
        x, s = ctx.saved_tensors
        if torch.is_grad_enabled():  # this derivative is to be differentiated in turn
            (s,) = score(x, ctx.mixture, ctx.plain)
        return gradient[:, None] * s, None, None


class Score(torch.autograd.Function):
    """The score [n, 2]; going back it is the derivative of the score, a symmetric matrix per point."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mixture: Mixture, plain: Callable[[Tensor], Tensor]) -> Tensor:  # noqa: ANN401
        """The score of the mixture; ``plain`` is that of the plain path."""
        _, s, h = evaluate(x, mixture, score=True, hessian=ctx.needs_input_grad[0])
        ctx.save_for_backward(x, h)
        ctx.plain = plain
        return s

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """The matrix times the gradient; by the plain path if this is to be differentiated in turn."""
        x, h = ctx.saved_tensors
        if torch.is_grad_enabled():
            (product,) = torch.autograd.grad(ctx.plain(x), x, gradient, create_graph=True)
            return product, None, None
        h11, h12, h22 = h.unbind(-1)
        g1, g2 = gradient.unbind(-1)
        return torch.stack([h11 * g1 + h12 * g2, h12 * g1 + h22 * g2], -1), None, None
