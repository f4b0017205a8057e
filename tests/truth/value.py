"""A value of the reference, and what of it float64 must lose.

A law is a family of Gaussians with random u; s_u and d_u are the score and the divergence of the one at u, and E is the
mean over u given x: score = E[s_u], divergence = E[d_u] + tr Cov(s_u). The reference says of each value how much of it
float64 arithmetic must lose, whatever the formula:

    S  natural size of the score, sqrt(E|s_u|^2) = sqrt(tr Cov + |score|^2);
    D  natural size of the second derivatives, E|d_u| + tr Cov;
    X  the largest of the numbers from which x - m is formed: coordinates, centres, shifts, b u^2 of a parabola;
    K  condition number of the covariances;
    V  spread of the scores, tr Cov(s_u);
    W  spread of what adds up to the divergence, E|d_u + |s_u - s|^2 - divergence|, or a bound;
    T  natural size of the third derivatives: D sqrt(D) where nothing better is known.

With the rounding u = 32 eps (the longest formula has some thirty operations) a Gaussian's logarithm is known to
e = u (K (|log p| + 40) + S X): its own size, its constants, and the rounding of the difference x - m. A relative error
e of each Gaussian moves the means over u by at most e times their spread: this is what counts near ties. A rounding
u X of x - m moves each derivative by the next one. So

    |log p error| <= 1e-9 max(|log p|, 1) + e
    |score error| <= 1e-9 |score| + u K S + e sqrt(V) + u X D
    |div error|   <= 1e-9 |div|   + u K D + e W       + u X T

In float32 the promise is 1e-4 of the natural sizes max(|log p|, 1), S and D, and what a shift of x - m by u X costs
with u = 2 eps of float32, since float32 knows coordinates and parameters no better; each motion adds |x| to X. Ties get
nothing: a relative error of each Gaussian is no rounding of coordinates.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import mpmath as mp
import numpy as np

DIGITS = 60  # of the arithmetic of the reference
ROUNDING = 32 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Value:
    """log p, score and divergence at a point, and the sizes that bound what float64 must lose."""

    log_p: mp.mpf
    s1: mp.mpf
    s2: mp.mpf
    div: mp.mpf
    S: mp.mpf
    D: mp.mpf
    X: mp.mpf
    K: mp.mpf = mp.mpf(1)
    V: mp.mpf = mp.mpf(0)
    W: mp.mpf = mp.mpf(0)
    T: mp.mpf = mp.mpf(0)

    @classmethod
    def of_noise(cls, log_p: mp.mpf, s1: mp.mpf, s2: mp.mpf, div: mp.mpf, sigma: mp.mpf, X: mp.mpf) -> "Value":
        """With the sizes of a law that is the noise about a random place: d_u = -2 / sigma^2."""
        return cls.of_latent(log_p, (s1, s2), -2 / sigma**2, div + 2 / sigma**2, X)

    @classmethod
    def of_latent(
        cls, log_p: mp.mpf, mean: tuple[mp.mpf, mp.mpf], d: mp.mpf, V: mp.mpf, X: mp.mpf, *, W: mp.mpf | None = None
    ) -> "Value":
        """From E s_u, E d_u and tr Cov(s_u); W is 2 V where d_u is the same for every u."""
        D = V - d
        return cls(log_p, *mean, V + d, mp.sqrt(V + mean[0] ** 2 + mean[1] ** 2), D, X,
                   V=V, W=2 * V if W is None else W, T=D * mp.sqrt(D))  # fmt: skip


class Tolerance(NamedTuple):
    """How far float64 may be from the truth."""

    log_p: float
    score: float
    div: float


class NoDensity(ValueError):
    """The law has no density at this level."""


def tolerance(value: Value, dtype: str = "float64") -> Tolerance:
    """See the module."""
    log_p, S, D, X, K = (float(abs(part)) for part in (value.log_p, value.S, value.D, value.X, value.K))
    V, W, T = (float(max(part, 0)) for part in (value.V, value.W, value.T))
    size = max(log_p, 1.0)
    if dtype == "float32":
        moved = 2 * float(np.finfo(np.float32).eps) * X
        return Tolerance(1e-4 * size + moved * S, 1e-4 * S + moved * D, 1e-4 * D + moved * T)
    u, e = ROUNDING, error_of_a_gaussian(value)
    return Tolerance(
        1e-9 * size + e,
        1e-9 * float(mp.hypot(value.s1, value.s2)) + u * K * S + e * math.sqrt(V) + u * X * D,
        1e-9 * float(abs(value.div)) + u * K * D + e * W + u * X * T,
    )


def error_of_a_gaussian(value: Value) -> float:
    """The relative error e of the module: how far float64 knows the weight of a component."""
    return float(ROUNDING * (value.K * (abs(value.log_p) + 40) + value.S * value.X))


def mixed(weights: list[mp.mpf], parts: list[Value]) -> Value:
    """The mixture of laws whose values are known."""
    parts_of_mass = [(w, v) for w, v in zip(weights, parts, strict=True) if mp.isfinite(v.log_p)]
    if not parts_of_mass:
        return outside(parts[0].X)
    logs = [mp.log(w) + v.log_p for w, v in parts_of_mass]
    values = [v for _, v in parts_of_mass]
    top = max(logs)
    r = [mp.exp(value - top) for value in logs]
    total = mp.fsum(r)
    r = [part / total for part in r]
    s1, s2 = mp.fdot(r, [v.s1 for v in values]), mp.fdot(r, [v.s2 for v in values])
    apart = [(v.s1 - s1) ** 2 + (v.s2 - s2) ** 2 for v in values]
    matters = [v for v, part in zip(values, r, strict=True) if part > 1e-20]
    shares = [v.div + a for v, a in zip(values, apart, strict=True)]
    div = mp.fdot(r, shares)

    def mean(size: Callable[[Value, mp.mpf], mp.mpf]) -> mp.mpf:
        return mp.fdot(r, [size(v, mp.sqrt(a)) for v, a in zip(values, apart, strict=True)])

    return Value(
        top + mp.log(total), s1, s2, div, mp.sqrt(mean(lambda v, a: v.S**2)), mean(lambda v, a: v.D + a**2),
        max(v.X for v in matters), max(v.K for v in matters), V=mean(lambda v, a: v.V + a**2),
        W=mean(lambda v, a: v.W + 2 * a * mp.sqrt(v.V)) + mp.fdot(r, [abs(share - div) for share in shares]),
        T=mean(lambda v, a: v.T + 3 * a * v.D + a**3),
    )  # fmt: skip


def outside(X: mp.mpf) -> Value:
    return Value(mp.mpf("-inf"), mp.nan, mp.nan, mp.nan, mp.mpf(1), mp.mpf(1), X)


def needs_noise(sigma: mp.mpf) -> None:
    if sigma == 0:
        raise NoDensity
