"""Known slips of samplers of a posterior: on a normal law guidance is linear, and moments follow a linear equation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import odeint
from scipy.optimize import minimize_scalar
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.testing.posterior_truth import Problem

Array = NDArray[np.float64]
Pair = tuple[float, float]
Linear = tuple[tuple[float, float, float, float], Pair]  # a matrix, row by row, and a vector
_LIKE = 0.04  # in standard deviations of the posterior and of its variances, to be called by the name of a known slip
_OF_TUNING = 2.0  # times as near must one with a number be
_N_TRIED = 7  # numbers of a kind of slip that has one, before the best is refined
_OF_DPS = "the clean point is taken for known, at its mean (C = 0), as in DPS: the likelihood is too sharp"


class Moments(NamedTuple):
    """Mean [2] and covariance [2, 2] of the normal law in which a slip ends."""

    mean: Tensor
    covariance: Tensor

    def seen_by(self, q: GaussianMixture) -> Tensor:
        """As ``hermite_functions`` of the posterior q see them, by degrees (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)."""
        variances, axes = torch.linalg.eigh(q.covariances[0])
        to = axes / variances.sqrt()
        d = (self.mean - q.means[0]) @ to
        S = to.mT @ self.covariance @ to + torch.outer(d, d) - torch.eye(2, dtype=d.dtype, device="cpu")
        half = math.sqrt(0.5)
        return torch.stack([d[1], half * S[1, 1], d[0], S[0, 1], half * S[0, 0]])


def explain_posterior(problem: Problem, mean: Tensor, error: Tensor) -> str:
    """Which slip leads where the chains end, in words; empty if none of the known ones does.

    Args:
        problem: with a normal law.
        mean: those of ``hermite_functions`` up to degree 2, [5].
        error: by how much they may differ.
    """

    def misfit(moments: Moments) -> float:
        seen = moments.seen_by(problem.posterior)
        return float(((seen - mean).abs() / (error + _LIKE * (1 + seen.abs()))).nan_to_num(math.inf).max())

    alone = {words: misfit(of()) for words, of in _alone(problem)}
    tuned: dict[str, float] = {}
    for kind in _with_a_number(problem):
        number = _fitted(lambda number: misfit(kind.of(number)), *kind.ends)  # noqa: B023
        tuned[kind.words(number)] = _OF_TUNING * misfit(kind.of(number))
    found = alone | tuned
    best = min(found, key=lambda words: found[words])
    return best if found[best] < 1 else ""


def _fitted(misfit: Callable[[float], float], low: float, high: float) -> float:
    tried = np.linspace(math.log(low), math.log(high), _N_TRIED)
    best = float(min(tried, key=lambda u: misfit(math.exp(u))))
    apart = float(tried[1] - tried[0])
    found = minimize_scalar(
        lambda u: misfit(math.exp(u)), bounds=(best - apart, best + apart), method="bounded", options={"xatol": 0.03}
    )
    return math.exp(found.x)


def _alone(problem: Problem) -> list[tuple[str, Callable[[], Moments]]]:
    """Those without a number."""
    noise, own = problem.noise, _of_own_covariance

    def given(y: Tensor, noise: float) -> Moments:
        q = problem.prior.given(problem.A, y, noise)
        return Moments(q.means[0], q.covariances[0])

    return [
        (
            "y has no part in it: the ends are draws of p",
            lambda: Moments(problem.prior.means[0], problem.prior.covariances[0]),
        ),
        ("the sign of y: the ends are draws given -y", lambda: given(-problem.y, noise)),
        (
            "noise is taken for the variance of the noise of y, which is noise^2",
            lambda: given(problem.y, math.sqrt(noise)),
        ),
        (
            "noise^2 is taken for the standard deviation of the noise of y, which is noise",
            lambda: given(problem.y, noise**2),
        ),
        (_OF_DPS, lambda: guided(problem, _none)),
        (f"{_OF_DPS}; and the flow is followed, without noise", lambda: guided(problem, _none, share=0.5)),
        (
            "what was measured is replaced by y, noised anew at each level, and what was not is never corrected for "
            "it, as in replacement",
            lambda: replaced(problem),
        ),
        (
            "the factor dm/dx is missing: the gradient of log q(y | x) is taken by the guess m of the clean point, "
            "not by x",
            lambda: guided(problem, own, sees=_without_its_slope),
        ),
        (
            "A x of the noisy point x stands where A m(x), of the mean of the clean point given x, is meant",
            lambda: guided(problem, lambda l2, v, a: l2 * (a[0] ** 2 + a[1] ** 2), sees=_the_noisy_point),
        ),
    ]


@dataclass(frozen=True)
class _Kind:
    """Slips with a number: where one leads, between which ends to look for it, and its words."""

    of: Callable[[float], Moments]
    ends: tuple[float, float]
    words: Callable[[float], str]


def _with_a_number(problem: Problem) -> list[_Kind]:
    """The variance that PiGDM assumes, and a weight of the likelihood."""
    variances = torch.linalg.eigvalsh(problem.prior.covariances[0])
    axes, scale = ", ".join(f"{v:.2g}" for v in variances.tolist()), float(variances.mean())

    def round_(v: float) -> Moments:
        return guided(problem, lambda l2, _, a: l2 * v / (l2 + v) * (a[0] ** 2 + a[1] ** 2))

    def assumed(v: float) -> str:
        return (
            f"the clean point is taken to lie about its mean as data of variance {v:.2g} would in every direction, as "
            f"in PiGDM: the variances of the law along its axes are ({axes})"
        )

    def counted(weight: float) -> str:
        half = ": is the 1/2 of |y - A m|^2 missing?" if abs(weight - 2) < 0.1 else ""
        return f"the gradient of log q(y | x) counts {weight:.2g} times{half}"

    return [
        _Kind(lambda w: guided(problem, _of_own_covariance, weight=w), (0.1, 10.0), counted),
        _Kind(round_, (1e-2 * scale, 1e2 * scale), assumed),
        _Kind(lambda w: guided(problem, _none, weight=w), (0.1, 4.0), lambda w: f"{_OF_DPS}; and {counted(w)}"),
    ]


# On the axes of C, on which C = diag(v). Of the guess of the clean point at level l = sigma^2, m(x) - mu = K (x - mu)
# with K = diag(v / (v + l)), the variance A C A^T of its A x_0:


def _none(l2: float, v: Pair, a: Pair) -> float:
    return 0.0


def _of_own_covariance(l2: float, v: Pair, a: Pair) -> float:
    return l2 * (a[0] ** 2 * v[0] / (v[0] + l2) + a[1] ** 2 * v[1] / (v[1] + l2))


# and the direction u of the pull u (y - a . mu - r . (x - mu)) / R, with the row r that sees the point


def _its_mean(seen: Pair, a: Pair) -> tuple[Pair, Pair]:
    return seen, seen


def _without_its_slope(seen: Pair, a: Pair) -> tuple[Pair, Pair]:
    return a, seen


def _the_noisy_point(seen: Pair, a: Pair) -> tuple[Pair, Pair]:
    return a, a


def guided(
    problem: Problem,
    spread: Callable[[float, Pair, Pair], float],
    *,
    sees: Callable[[Pair, Pair], tuple[Pair, Pair]] = _its_mean,
    weight: float = 1.0,
    share: float = 1.0,
) -> Moments:
    """Where the reverse SDE ends with a guess of the clean point: ``share`` of g^2 times the score; 1/2 is the flow.

    With P = (C + l I)^-1, l = sigma^2, K = C P and d = x - mu the guided score is

        -P d + weight u (y - a . mu - r . d) / R,    R = noise^2 + spread,

    linear in d: by -l its mean and covariance follow dm = G m + h and dS = G S + S G^T + I.
    """
    mean, covariance = problem.prior.means[0], problem.prior.covariances[0]
    variances, axes = torch.linalg.eigh(covariance)
    v, a = _pair(variances), _pair(problem.A[0] @ axes)
    gap, (first, last) = float(problem.y - problem.A[0] @ mean), problem.levels

    def slope(l2: float) -> Linear:
        u, r = sees((a[0] * v[0] / (v[0] + l2), a[1] * v[1] / (v[1] + l2)), a)
        w = weight / (problem.noise**2 + spread(l2, v, a))
        (p, q), (s, t) = (-1 / (v[0] + l2) - w * u[0] * r[0], -w * u[0] * r[1]), (-w * u[1] * r[0], -1 / (v[1] + l2))
        return (p, q, s, t - w * u[1] * r[1]), (w * u[0] * gap, w * u[1] * gap)

    start = (0.0, 0.0, v[0] + first**2, 0.0, v[1] + first**2)
    m, S = _follow(slope, start, first, last, share)
    return Moments(mean + axes @ m, axes @ S @ axes.mT)


def replaced(problem: Problem) -> Moments:
    """Where replacement ends: along a / |a| the point is c + sqrt(l - tau^2) z, z anew at each level l >= tau^2.

    The other coordinate feels the mean of that, and no more; below tau^2 both move freely.
    """
    size, (first, last) = float(problem.A.norm()), problem.levels
    (a, b), tau = _pair(problem.A[0] / size), problem.noise / size
    axes = problem.A.new_tensor([[a, -b], [b, a]])
    C, mu = axes.mT @ problem.prior.covariances[0] @ axes, problem.prior.means[0] @ axes
    (c11, c12), (_, c22) = C.tolist()
    off = float(problem.y) / size - float(mu[0])

    def precision(l2: float) -> tuple[float, float, float]:
        det = (c11 + l2) * (c22 + l2) - c12**2
        return (c22 + l2) / det, -c12 / det, (c11 + l2) / det

    def beside(l2: float) -> Linear:
        _, p12, p22 = precision(l2)
        return (0.0, 0.0, 0.0, -p22), (0.0, -p12 * off)

    def freely(l2: float) -> Linear:
        p11, p12, p22 = precision(l2)
        return (-p11, -p12, -p12, -p22), (0.0, 0.0)

    m, S = _follow(beside, (0.0, 0.0, 0.0, 0.0, c22 + first**2), first, tau, 1.0)
    m, S = _follow(freely, (off, float(m[1]), 0.0, 0.0, float(S[1, 1])), tau, last, 1.0)
    return Moments(axes @ (mu + m), axes @ S @ axes.mT)


def _pair(values: Tensor) -> Pair:
    first, second = values.tolist()
    return first, second


def _follow(
    slope: Callable[[float], Linear], start: tuple[float, ...], first: float, last: float, share: float
) -> tuple[Tensor, Tensor]:
    """Mean [2] and covariance [2, 2] at the level ``last``, from (m1, m2, S11, S12, S22) at ``first``.

    By -log sigma, in which nothing is fast.
    """
    noise = 1.0 if share == 1 else 0.0

    def rate(state: Array, u: float) -> tuple[float, ...]:
        l2 = math.exp(-2 * u)
        (p, q, s, t), (h, k) = slope(l2)
        x, y, S11, S12, S22 = state.tolist()
        by, spread = 2 * l2 * share, 2 * l2 * noise
        return (
            by * (p * x + q * y + h),
            by * (s * x + t * y + k),
            2 * by * (p * S11 + q * S12) + spread,
            by * ((p + t) * S12 + q * S22 + s * S11),
            2 * by * (s * S12 + t * S22) + spread,
        )

    x, y, S11, S12, S22 = odeint(rate, start, [-math.log(first), -math.log(last)], rtol=1e-7, atol=1e-9)[-1].tolist()
    covariance = torch.tensor([[S11, S12], [S12, S22]], dtype=torch.float64, device="cpu")
    return torch.tensor([x, y], dtype=torch.float64, device="cpu"), covariance
