"""Sums of many Gaussians at many points, with one exponential a pair and no matrix a pair.

p_sigma(x) = sum_k w_k N(x; m_k, C_k + sigma^2 I). With the triangular W_k such that
W_k^T W_k = (C_k + sigma^2 I)^-1, and a = W_k (m_k - x):

    log w_k N(x; m_k, C_k + sigma^2 I) = log w_k + log det W_k - log 2 pi - |a|^2 / 2,      score_k = W_k^T a.

The pairs [K, n] are worked off in chunks of points that stay in the cache, one plane a coordinate.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from toylab import checks

_PAIRS = 1 << 16  # of components and points in a chunk


class Gaussians(NamedTuple):
    """Weighted Gaussians: log w, means and the entries of the covariances, each a column [K, 1]."""

    log_weights: Tensor
    m1: Tensor
    m2: Tensor
    c11: Tensor
    c12: Tensor
    c22: Tensor
    det: Tensor  # of the covariance, as the product of its eigenvalues: c11 c22 - c12^2 cancels
    round: Tensor  # True [1] if all covariances are multiples of the identity

    @staticmethod
    def of(log_weights: Tensor, means: Tensor, covariances: Tensor) -> "Gaussians":
        """From log w [K], m [K, 2] and C [K, 2, 2], which may be 0."""
        det = torch.linalg.eigvalsh(covariances).clamp(min=0).prod(-1)
        columns = (log_weights, *means.unbind(-1), *(covariances[:, i, j] for i, j in ((0, 0), (0, 1), (1, 1))), det)
        identity = torch.eye(2, dtype=covariances.dtype)
        is_round = (covariances == covariances[:, :1, :1] * identity).all()
        return Gaussians(*(column[:, None].contiguous() for column in columns), is_round)


class Whitening(NamedTuple):
    """log w + log det W - log 2 pi and the entries of W = [[w11, 0], [w21, w22]]: [K, 1], or [K, n] for n levels."""

    constant: Tensor
    w11: Tensor
    w21: Tensor | None  # None where it is 0 throughout
    w22: Tensor


class Pairs(NamedTuple):
    """One chunk: log(w_k N_k) [K, n] and the planes of a = W (m - x), each [K, n]."""

    log_joint: Tensor
    a1: Tensor
    a2: Tensor
    whitening: Whitening

    def log_prob_and_weights(self) -> tuple[Tensor, Tensor]:
        """log p [n] and P(k | x) [K, n], of one exponential a pair."""
        r = self.log_joint.softmax(0)
        return self.log_joint.amax(0) - r.amax(0).log(), r  # the largest r is at least 1 / K

    def score(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """sum_k r_k W_k^T a_k as two planes [n]."""
        _, w11, w21, w22 = self.whitening
        first, second = r * self.a1, r * self.a2
        s1, s2 = _sum(w11, first), _sum(w22, second)
        return (s1 if w21 is None else s1 + _sum(w21, second)), s2

    def divergence(self, r: Tensor, score: tuple[Tensor, Tensor]) -> Tensor:
        """-sum_k r_k tr(W_k^T W_k) + sum_k r_k |s_k - s|^2, shape [n]; the raw E|s_k|^2 - |s|^2 would cancel."""
        _, w11, w21, w22 = self.whitening
        s1, s2, trace = w11 * self.a1, w22 * self.a2, w11**2 + w22**2
        if w21 is not None:
            s1, trace = torch.addcmul(s1, w21, self.a2), trace + w21**2
        spread = (s1 - score[0]) ** 2
        spread = torch.addcmul(spread, s2 - score[1], s2 - score[1])
        return (r * (spread - trace)).sum(0)


def log_prob(x: Tensor, sigma: Tensor | float, gaussians: Gaussians) -> Tensor:
    """log p_sigma(x), shape [...]."""
    return _in_chunks(lambda pairs: (pairs.log_prob_and_weights()[0],), x, sigma, gaussians)[0]


def posterior(x: Tensor, sigma: Tensor | float, gaussians: Gaussians) -> Tensor:
    """P(component k | x), shape [..., K]."""
    return _in_chunks(lambda pairs: (pairs.log_joint.softmax(0).T,), x, sigma, gaussians)[0]


def score(x: Tensor, sigma: Tensor | float, gaussians: Gaussians) -> Tensor:
    """sum_k P(k | x) (C_k + sigma^2 I)^-1 (m_k - x), shape [..., 2]."""
    return _in_chunks(lambda pairs: (_interleaved(*pairs.score(pairs.log_joint.softmax(0))),), x, sigma, gaussians)[0]


def log_prob_and_score(x: Tensor, sigma: Tensor | float, gaussians: Gaussians) -> tuple[Tensor, Tensor]:
    """Both, for little more than the score alone."""

    def of(pairs: Pairs) -> tuple[Tensor, Tensor]:
        log_p, r = pairs.log_prob_and_weights()
        return log_p, _interleaved(*pairs.score(r))

    return _in_chunks(of, x, sigma, gaussians)


def divergence(x: Tensor, sigma: Tensor | float, gaussians: Gaussians) -> Tensor:
    """The divergence of the score, shape [...]."""

    def of(pairs: Pairs) -> tuple[Tensor]:
        r = pairs.log_joint.softmax(0)
        return (pairs.divergence(r, pairs.score(r)),)

    return _in_chunks(of, x, sigma, gaussians)[0]


def evaluate(x: Tensor, sigma: Tensor | float, gaussians: Gaussians) -> tuple[Tensor, Tensor, Tensor]:
    """log p, score and divergence in one pass."""

    def of(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
        log_p, r = pairs.log_prob_and_weights()
        s = pairs.score(r)
        return log_p, _interleaved(*s), pairs.divergence(r, s)

    return _in_chunks(of, x, sigma, gaussians)


def _sum(column: Tensor, terms: Tensor) -> Tensor:
    """sum_k column_k terms_k, for a column [K, 1] or [K, n]."""
    if column.shape[1] == 1 and terms.device.type == "cpu":
        return column[:, 0] @ terms
    return (column * terms).sum(0)  # a product of matrices may drop digits on a GPU (TF32)


def _interleaved(first: Tensor, second: Tensor) -> Tensor:
    """torch.stack([first, second], -1), which takes ten times as long."""
    return torch.view_as_real(torch.complex(first, second))


def _in_chunks(
    of: Callable[[Pairs], tuple[Tensor, ...]], x: Tensor, sigma: Tensor | float, gaussians: Gaussians
) -> tuple[Tensor, ...]:
    """What ``of`` makes of each chunk of points, put together again in the shape of ``x``."""
    sigma = checks.noise_level(sigma, checks.points("x", x))
    if isinstance(sigma, Tensor):
        sigma = sigma.expand(x.shape[:-1]).reshape(-1)
    chunks = [of(pairs) for pairs in _pairs(x.reshape(-1, 2), sigma, gaussians)]
    results = chunks[0] if len(chunks) == 1 else [torch.cat(column) for column in zip(*chunks, strict=True)]
    return tuple(result.reshape(x.shape[:-1] + result.shape[1:]) for result in results)


def _pairs(x: Tensor, sigma: Tensor | float, gaussians: Gaussians) -> Iterator[Pairs]:
    size = max(1, _PAIRS // len(gaussians.log_weights))
    levels = sigma.split(size) if isinstance(sigma, Tensor) else [sigma] * max(1, -(-len(x) // size))
    whitening = None
    for points, level in zip(x.split(size), levels, strict=True):
        if whitening is None or isinstance(sigma, Tensor):
            whitening = _whitening(level, gaussians)
        constant, w11, w21, w22 = whitening
        # a column apart: reading every second number is slow; in place: fresh memory costs as much as the arithmetic
        d1, d2 = gaussians.m1 - points[:, 0].contiguous(), gaussians.m2 - points[:, 1].contiguous()
        a2 = d2.mul_(w22) if w21 is None else torch.addcmul(d2.mul_(w22), d1, w21)
        a1 = d1.mul_(w11)
        log_joint = torch.addcmul(torch.addcmul(constant, a1, a1, value=-0.5), a2, a2, value=-0.5)
        yield Pairs(log_joint, a1, a2, whitening)


def _whitening(level: Tensor | float, gaussians: Gaussians) -> Whitening:
    noise = level**2
    c11 = gaussians.c11 + noise
    w11 = c11.rsqrt()
    if bool(gaussians.round):
        w21, w22 = None, w11
    else:
        det = gaussians.det + noise * (gaussians.c11 + gaussians.c22 + noise)
        w22 = (c11 / det).sqrt()
        w21 = -gaussians.c12 / c11 * w22
    return Whitening(gaussians.log_weights + (w11 * w22 / (2 * math.pi)).log(), w11, w21, w22)
