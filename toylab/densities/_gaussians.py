"""Sums of many Gaussians at many points, with one exponential per pair and no matrix per pair.

p_sigma(x) = sum_k w_k N(x; m_k, C_k + sigma^2 I). With the triangular W_k such that
W_k^T W_k = (C_k + sigma^2 I)^-1, and a = W_k (m_k - x):

    log w_k N(x; m_k, C_k + sigma^2 I) = log w_k + log det W_k - log 2 pi - |a|^2 / 2,      score_k = W_k^T a.

The pairs [K, n] are processed in chunks of points that stay in the cache, one plane per coordinate.
"""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from toylab._internal import devices, validate
from toylab._internal.remembered import remembered
from toylab._internal.torch_private import differentiated, in_transform
from toylab._kernels.when import attempt, fused
from toylab.densities._mixture import nowhere, too_far
from toylab.densities.parameters import unwrapped

if TYPE_CHECKING:
    from toylab._kernels.gaussians import Kernel, Mixture


class Gaussians(NamedTuple):
    """Weighted Gaussians: log w and the entries of the covariances, each a column [K, 1]; means [2, K, 1]."""

    log_weights: Tensor
    means: Tensor
    c11: Tensor
    c12: Tensor
    c22: Tensor
    det: Tensor  # of the covariance, as the square of that of its root: c11 c22 - c12^2 cancels
    round: bool  # whether all covariances are multiples of the identity

    @staticmethod
    def of(log_weights: Tensor, means: Tensor, covariances: Tensor, roots: Tensor) -> "Gaussians":
        """From log w [K], m [K, 2], and C = L L^T and L [K, 2, 2], which may be 0."""
        det = determinants(roots)
        entries = (covariances[:, i, j] for i, j in ((0, 0), (0, 1), (1, 1)))
        columns = (column[:, None].contiguous() for column in (log_weights, *entries, det))
        identity = torch.eye(2, dtype=covariances.dtype, device=covariances.device)
        is_round = bool((covariances == covariances[:, :1, :1] * identity).all())
        log_weights, c11, c12, c22, det = columns
        return Gaussians(log_weights, means.T[..., None].contiguous(), c11, c12, c22, det, is_round)


class Whitening(NamedTuple):
    """log w + log det W - log 2 pi, and W = [[w11, 0], [w21, w22]]: [.., K, 1], or [.., K, n] for n levels."""

    constant: Tensor
    diagonal: Tensor  # w11 and w22, [2, K, 1]
    w21: Tensor | None  # None where it is 0 throughout


Cast = Callable[[Tensor], Gaussians]  # the Gaussians in the dtype and on the device of a tensor


class Pairs(NamedTuple):
    """One chunk: log(w_k N_k) [K, n] and the two planes of a = W (m - x), [2, K, n]."""

    log_joint: Tensor
    a: Tensor
    whitening: Whitening

    def log_prob_and_weights(self) -> tuple[Tensor, Tensor]:
        """log p [n] and P(k | x) [K, n], from one exponential per pair."""
        r = self.log_joint.softmax(0)
        if differentiated(self.log_joint):  # where several are largest, amax has no second derivative
            return self.log_joint.logsumexp(0), r
        top = self.log_joint.amax(0)
        return torch.fmax(top, top - r.amax(0).log()), r  # the largest r is at least 1 / K, or nan if p underflows to 0

    def score(self, r: Tensor) -> Tensor:
        """sum_k r_k W_k^T a_k as two planes [2, n]."""
        weighted = r * self.a
        s = _sum(self.whitening.diagonal, weighted)
        if self.whitening.w21 is None:
            return s
        return torch.stack([s[0] + _sum(self.whitening.w21, weighted[1]), s[1]])

    def divergence(self, r: Tensor, score: Tensor) -> Tensor:
        """-sum_k r_k tr(W_k^T W_k) + sum_k r_k |s_k - s|^2, shape [n]; the raw E|s_k|^2 - |s|^2 would cancel."""
        _, diagonal, w21 = self.whitening
        s1, s2 = diagonal * self.a
        trace = diagonal.square().sum(0)
        if w21 is not None:
            s1, trace = torch.addcmul(s1, w21, self.a[1]), trace + w21**2
        spread = (s1 - score[0]) ** 2
        spread = torch.addcmul(spread, s2 - score[1], s2 - score[1])
        return (r * (spread - trace)).sum(0)


def determinants(roots: Tensor) -> Tensor:
    """det C [K], for C = L L^T, of L [K, 2, 2]."""
    return (roots[:, 0, 0] * roots[:, 1, 1] - roots[:, 0, 1] * roots[:, 1, 0]).square()


def exact_determinants(covariances: Tensor) -> Tensor:
    """c11 c22 - c12^2 [K] of the entries as they are given, to rounding; see ``determinant``."""
    c11, c22, c12 = covariances[:, 0, 0], covariances[:, 1, 1], covariances[:, 1, 0]
    return determinant(c11, c12, c12, c22)


def determinant(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """a d - b c of the numbers as they are given, to rounding: of each product its rounding error is kept.

    The plain difference loses as many digits as the eigenvalues are apart. Source: Dekker 1971, by splitting.
    """
    (product, error), (other, its_error) = _product(a, d), _product(b, c)
    return (product - other) + (error - its_error)


def _product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """a b rounded, and what the rounding took away."""
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    product = a * b
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Tensor) -> tuple[Tensor, Tensor]:
    """a as a sum of two numbers of 26 bits."""
    shifted = a * (2.0**27 + 1)
    first = shifted - (shifted - a)
    return first, a - first


def triangular(covariances: Tensor, det: Tensor) -> Tensor:
    """The lower triangular L, L L^T = C, [K, 2, 2]; with a given det C, for c22 - c12^2 / c11 cancels."""
    c11 = covariances[:, 0, 0]
    rows = [[c11.sqrt(), torch.zeros_like(c11)], [covariances[:, 1, 0] / c11.sqrt(), (det / c11).sqrt()]]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def frames(means: Tensor, roots: Tensor) -> Tensor:
    """m and the columns of L, L L^T = C, of each Gaussian [K, 3, 2]: what ``place`` takes."""
    return torch.cat([means[:, None], roots.mT], 1)


def place(frames: Tensor, z: Tensor) -> Tensor:
    """m + L z, for one frame [..., 3, 2] per point z [..., 2]."""
    mean, first, second = frames.unbind(-2)
    return torch.addcmul(mean, first, z[..., :1]).addcmul_(second, z[..., 1:])


def log_prob(x: Tensor, sigma: Tensor | float, gaussians: Cast) -> Tensor:
    """log p_sigma(x), shape [...]."""
    if (found := _in_a_kernel(lambda kernels: kernels.log_prob, x, sigma, gaussians)) is not None:
        return found[0]
    return nowhere(x, _in_chunks(lambda pairs: (pairs.log_prob_and_weights()[0],), x, sigma, gaussians)[0])


def posterior(x: Tensor, sigma: Tensor | float, gaussians: Cast) -> Tensor:
    """P(component k | x), shape [..., K]."""
    try:
        if (found := _in_a_kernel(lambda kernels: kernels.posterior, x, sigma, gaussians, smooth=False)) is not None:
            return found[0]
        return _in_chunks(lambda pairs: (pairs.log_joint.softmax(0).T,), x, sigma, gaussians)[0]
    except torch.OutOfMemoryError as error:
        n, K = x.numel() // 2, len(gaussians(x).log_weights)
        raise torch.OutOfMemoryError(
            f"the posterior of {n:,} points and {K:,} components takes {n * K * x.element_size() / 2**30:.3g} GiB, "
            f"more than is free on {x.device}: give fewer points at a time."
        ) from error


def log_posterior(x: Tensor, sigma: Tensor | float, gaussians: Cast) -> Tensor:
    """log P(component k | x), shape [..., K]."""
    return _in_chunks(lambda pairs: (pairs.log_joint.log_softmax(0).T,), x, sigma, gaussians)[0]


def score(x: Tensor, sigma: Tensor | float, gaussians: Cast) -> Tensor:
    """sum_k P(k | x) (C_k + sigma^2 I)^-1 (m_k - x), shape [..., 2]."""
    if (found := _in_a_kernel(lambda kernels: kernels.score, x, sigma, gaussians)) is not None:
        return found[0]
    return _plain_score(x, sigma, gaussians)


def _plain_score(x: Tensor, sigma: Tensor | float, gaussians: Cast) -> Tensor:
    return _in_chunks(lambda pairs: (_interleave(pairs.score(pairs.log_joint.softmax(0))),), x, sigma, gaussians)[0]


def log_prob_and_score(x: Tensor, sigma: Tensor | float, gaussians: Cast) -> tuple[Tensor, Tensor]:
    """Both, at little more than the cost of the score."""
    if (found := _in_a_kernel(lambda kernels: kernels.log_prob_and_score, x, sigma, gaussians)) is not None:
        return found[0], found[1]

    def of(pairs: Pairs) -> tuple[Tensor, Tensor]:
        log_p, r = pairs.log_prob_and_weights()
        return log_p, _interleave(pairs.score(r))

    log_p, s = _in_chunks(of, x, sigma, gaussians)
    return nowhere(x, log_p), s


def divergence(x: Tensor, sigma: Tensor | float, gaussians: Cast) -> Tensor:
    """The divergence of the score, shape [...]."""
    if (found := _in_a_kernel(lambda kernels: kernels.divergence, x, sigma, gaussians, smooth=False)) is not None:
        return found[0]

    def of(pairs: Pairs) -> tuple[Tensor]:
        r = pairs.log_joint.softmax(0)
        return (pairs.divergence(r, pairs.score(r)),)

    return _in_chunks(of, x, sigma, gaussians)[0]


def _in_a_kernel(
    which: Callable[[Any], "Kernel"], x: Tensor, sigma: Tensor | float, gaussians: Cast, *, smooth: bool = True
) -> tuple[Tensor, ...] | None:
    """What a kernel of _kernels/gaussians.py gives, all points in one launch; None where the plain path is due."""
    level = validate.noise_level(sigma, validate.points("x", x))
    if not fused(x.device) or x.dtype not in (torch.float32, torch.float64) or in_transform():
        return None
    if not torch.is_grad_enabled():
        x = x.detach()  # or what only a derivative needs would be computed
    elif (x.requires_grad and not smooth) or (isinstance(level, Tensor) and level.requires_grad):
        return None
    if isinstance(level, Tensor) and level.ndim > 0:
        level = level.expand(x.shape[:-1]).reshape(-1)
    from toylab._kernels import gaussians as kernels  # it imports triton

    kernel, results = which(kernels), list[Tensor]()

    def launch() -> None:
        mixture = _as_mixture(x, level, gaussians)
        results.extend(kernel(x.reshape(-1, 2), mixture, lambda points: _plain_score(points, level, gaussians)))

    if not attempt(kernel.__name__, x.device, launch):
        return None
    return tuple(part.reshape(x.shape[:-1] + part.shape[1:]) for part in results)


def sample_in_a_kernel(edges: Tensor, frames: Tensor, n: int, generator: torch.Generator | None) -> Tensor | None:
    """n points from frames [K, 3, 2] and cumulative weights [K], drawn by _kernels/mixture_draw.py, or None."""
    if not devices.draws_on(generator, frames.device) or not fused(frames.device) or in_transform():
        return None
    if frames.dtype not in (torch.float32, torch.float64):
        return None
    results = list[Tensor]()

    def launch() -> None:
        from toylab._kernels.mixture_draw import sample
        from toylab._kernels.random import draw_seed

        results.append(sample(draw_seed(frames.device, generator), edges, frames, n))

    return results[0] if attempt("that draws from a mixture", frames.device, launch) else None


def _as_mixture(x: Tensor, level: Tensor | float, cast: Cast) -> "Mixture":
    """The Gaussians as the kernels take them, of the kind of x."""
    gaussians = cast(x.new_empty((0, 2), dtype=torch.float64))
    if isinstance(level, Tensor):
        return _columns(gaussians, x.dtype)._replace(noise=(level**2).reshape(-1))
    return _at_a_level(level, gaussians, x.dtype)


@remembered(64)
def _at_a_level(level: float, gaussians: Gaussians, dtype: torch.dtype) -> "Mixture":
    return _in_both_precisions(table(level, gaussians), gaussians, dtype)


@remembered(16)
def _columns(gaussians: Gaussians, dtype: torch.dtype) -> "Mixture":
    """log w, c11, c22, c12, det C, m1 and m2 of each Gaussian, [K, 7]."""
    columns = gaussians.log_weights, gaussians.c11, gaussians.c22, gaussians.c12, gaussians.det
    return _in_both_precisions(_side_by_side(*columns, *gaussians.means), gaussians, dtype)


def _in_both_precisions(wide: Tensor, gaussians: Gaussians, dtype: torch.dtype) -> "Mixture":
    from toylab._kernels.gaussians import Mixture

    with torch.inference_mode(False), torch.no_grad():
        return Mixture(wide.to(dtype), wide, gaussians.round)


@remembered(64)
def table(level: float, gaussians: Gaussians) -> Tensor:
    """log w + log det W - log 2 pi, w11, w22, w21, m1 and m2 of each Gaussian at one level, [K, 6]."""
    whitening = _at_one_level(level, gaussians)
    w21 = torch.zeros_like(gaussians.c11) if whitening.w21 is None else whitening.w21
    return _side_by_side(whitening.constant, *whitening.diagonal, w21, *gaussians.means)


def _side_by_side(*columns: Tensor) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():  # what is kept is used in every mode
        return torch.cat(columns, 1)


def _sum(column: Tensor, terms: Tensor) -> Tensor:
    """sum_k column_k terms_k [.., n], for a column [.., K, 1] or [.., K, n]."""
    if column.shape[-1] == 1 and devices.exact_products(terms.device):
        return torch.bmm(column.mT, terms)[:, 0] if terms.ndim == 3 else (column.mT @ terms)[0]
    return (column * terms).sum(-2)  # a product of matrices may drop digits on a GPU (TF32)


def _interleave(planes: Tensor) -> Tensor:
    """torch.stack([planes[0], planes[1]], -1), which takes ten times as long."""
    return torch.view_as_real(torch.complex(planes[0], planes[1]))


def _in_chunks(
    of: Callable[[Pairs], tuple[Tensor, ...]], x: Tensor, sigma: Tensor | float, gaussians: Cast
) -> tuple[Tensor, ...]:
    """What ``of`` makes of each chunk of points, put together again in the shape of ``x``."""
    level = validate.noise_level(sigma, validate.points("x", x))
    if isinstance(level, Tensor) and level.ndim > 0:
        level = level.expand(x.shape[:-1]).reshape(-1)
    flat = x.ndim == 2  # a needless reshape takes a tenth of a small evaluation
    chunks = list(_each_chunk(of, x if flat else x.reshape(-1, 2), level, gaussians))
    results = chunks[0] if len(chunks) == 1 else [torch.cat(column) for column in zip(*chunks, strict=True)]
    return tuple(results) if flat else tuple(result.reshape(x.shape[:-1] + result.shape[1:]) for result in results)


def _each_chunk(
    of: Callable[[Pairs], tuple[Tensor, ...]], x: Tensor, sigma: Tensor | float, cast: Cast
) -> Iterator[tuple[Tensor, ...]]:
    gaussians = cast(x)
    size = max(1, devices.pairs_at_once(x.device) // len(gaussians.log_weights))
    shared = _at_one_level(sigma, gaussians) if not isinstance(sigma, Tensor) else None
    if isinstance(sigma, Tensor) and sigma.ndim == 0:
        shared = _whitening(sigma, gaussians)
    n_chunks = max(1, -(-len(x) // size))
    levels = sigma.split(size) if isinstance(sigma, Tensor) and shared is None else [sigma] * n_chunks
    for points, level in zip([x] if len(x) <= size else x.split(size), levels, strict=True):
        here = _pairs(points, level, gaussians, shared or _whitening(level, gaussians))
        if x.dtype != torch.float32 or not too_far(here.log_joint, 0):
            yield of(here)
        else:
            wide = level.double() if isinstance(level, Tensor) else level
            exact = cast(points.double())
            yield tuple(t.to(x.dtype) for t in of(_pairs(points.double(), wide, exact, _whitening(wide, exact))))


def _pairs(points: Tensor, level: Tensor | float, gaussians: Gaussians, whitening: Whitening) -> Pairs:
    constant, diagonal, w21 = whitening
    # a plane per coordinate: reading every second number is slow; in place: new memory costs as much as arithmetic,
    # but what the derivative in sigma needs is kept
    offset = gaussians.means - torch.stack(points.unbind(-1))[:, None]
    a = offset * diagonal if isinstance(level, Tensor) else offset.mul_(diagonal)
    if w21 is not None:
        first = offset[0] * diagonal[0] if isinstance(level, Tensor) else a[0]
        a[1].add_(first * (w21 / diagonal[0]))  # vmap has no addcmul_
    log_joint = torch.addcmul(torch.addcmul(constant, a[0], a[0], value=-0.5), a[1], a[1], value=-0.5)
    return Pairs(log_joint, a, whitening)


@remembered(16)
def _at_one_level(level: float, gaussians: Gaussians) -> Whitening:
    """The whitening at a level that is a number, which a sampler needs at every step."""
    with torch.inference_mode(False), torch.no_grad():  # what is kept is used in every mode
        constant, diagonal, w21 = _whitening(level, gaussians)
        return Whitening(unwrapped(constant), unwrapped(diagonal), None if w21 is None else unwrapped(w21))


def _whitening(level: Tensor | float, gaussians: Gaussians) -> Whitening:
    noise = level**2
    c11 = gaussians.c11 + noise
    w11 = c11.rsqrt()
    if gaussians.round:
        w21, w22 = None, w11
    else:
        det = gaussians.det + noise * (gaussians.c11 + gaussians.c22 + noise)
        w22 = (c11 / det).sqrt()
        w21 = -gaussians.c12 / c11 * w22
    constant = gaussians.log_weights + (w11 * w22 / (2 * math.pi)).log()
    return Whitening(constant, torch.stack([w11, w22]), w21)
