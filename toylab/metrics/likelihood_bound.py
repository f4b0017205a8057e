"""What a score's error costs in nats: the bound of maximum likelihood training, and the divergence that it bounds."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.densities.walls import ends_at_a_wall
from toylab.metrics.evaluate import Checked, finite
from toylab.metrics.fisher_divergence import fisher_divergence
from toylab.metrics.kl_divergence import entropy, kl_divergence
from toylab.metrics.points import law
from toylab.samplers import log_likelihood
from toylab.score import NoiseConditionalScore, at
from toylab.sde import SDE, plain_noise, require_sde

_SETTLED, _NEARLY_SETTLED = 1e-8, 1e-5  # change by twice as many levels: to stop at; to accept at the end
_MOST_LEVELS = 256
_NOTHING = 1e-10  # nats
_NODES_PER_LENGTH = 3  # along the flow, which is expensive, and whose log q is smooth
_FROM_NOTHING = 1e-6  # of the density's length_scale: where levels begin that begin at 0


@dataclass(frozen=True)
class LikelihoodBound:
    """The bound on -E_p[log q] of the law q that the reverse SDE makes of the prior, in its three parts, in nats.

    Attributes:
        entropy: H(p_t_min), what the true law itself has.
        score_error: 1/2 int g^2 E|s_t - grad log p_t|^2 dt, from t_min to 1.
        prior: KL(p_1 || prior).
    """

    entropy: float
    score_error: float
    prior: float

    @property
    def kl(self) -> float:
        """score_error + prior, the bound on KL(p_t_min || q)."""
        return self.score_error + self.prior

    @property
    def cross_entropy(self) -> float:
        """entropy + score_error + prior, the bound on the mean of -log q(x), x ~ p_t_min."""
        return self.entropy + self.kl

    def __str__(self) -> str:
        return text_table("LikelihoodBound", self._summary())

    def _repr_html_(self) -> str:
        return html_table(self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        return [
            ("entropy of the law", f"{self.entropy:.4f} nats"),
            ("error of the score", f"{self.score_error:.4g}"),
            ("error of the prior", f"{self.prior:.4g}"),
            ("-E log q", f"at most {self.cross_entropy:.4f}"),
        ]


def likelihood_bound(sde: SDE, score: NoiseConditionalScore, density: Density) -> LikelihoodBound:
    """The bound of a score on the mean negative log-likelihood of its diffusion model, against a known density.

        -E_p[log q] <= H(p) + 1/2 int g(t)^2 E|s_t - grad log p_t|^2 dt + KL(p_1 || prior)

    p is the law at t_min, which is still noised by sigma(t_min), and q the law at t_min of the reverse SDE, started in
    the prior. What the bound gives away is 1/2 int g^2 E_p|s_t - grad log q_t|^2 dt, q_t the law of the reverse SDE at
    t: nothing if s_t is the score of a diffusion from any law whose q_1 is the prior. The law of the probability flow
    is another one, unless nothing is given away, and no bound holds for it: see ``flow_kl_divergence``.

    In levels l = sigma / alpha the integral is int J(l) d(l^2), J the Fisher divergence at l, the same for every SDE
    but for its ends. J costs a quadrature per level and is smooth in log(l): it is taken at 16, 32, 64 .. Chebyshev
    points (Clenshaw-Curtis) until the integral changes by less than 1e-8 of it. For a score in float32 that is about
    what is left of its rounding.
    Source: Song, Durkan, Murray & Ermon 2021 (arXiv:2101.09258), theorem 1 and corollary 1.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise; called in the density's dtype and on its
            device.
        density: the truth p_0; it must give ``bounds`` and ``length_scale``.

    Raises:
        ValueError: if the score is nan or inf where the law has mass, if the law has no density at t_min or ends at a
            wall that is too sharp there for a quadrature, and if the integral does not settle at 257 levels.
    """
    require_sde(sde)
    validate.score("score", score, of_sigma=True)
    law("density", density)
    low, high = (float(sde.sigma(t) / sde.alpha(t)) for t in (sde.t_min, 1.0))

    def error(level: float) -> float:
        return fisher_divergence(at(score, level), density, level)

    with _walls_named(density, low):
        h = entropy(density, low) + 2 * math.log(float(sde.alpha(sde.t_min)))
        prior = kl_divergence(_law_at(sde, density, 1.0), sde.prior)
        rest, start = 0.0, low
        if low == 0:
            start = _FROM_NOTHING * density.length_scale()
            rest = start**2 * error(start)
        return LikelihoodBound(h, rest + _over_levels(error, start, high), prior)


def flow_kl_divergence(
    sde: SDE, score: NoiseConditionalScore, density: Density, *, rtol: float = 1e-8, atol: float = 1e-8
) -> float:
    """KL(p_t_min || q) of the law q that the probability flow makes of the prior, by quadrature of ``log_likelihood``.

    For the score of a law q_0 whose q_1 is the prior it is ``likelihood_bound(...).kl``, and both are
    KL(p_t_min || q_t_min). In general it is not bounded by it, as the flow and the reverse SDE of one score make
    different laws. It follows the flow from every node of the grid: some thousands for a law of a few modes.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact or learned on plain noise; called in float64.
        density: the truth p_0; it must give ``bounds`` and ``length_scale``.
        rtol: relative tolerance per step of the solver.
        atol: absolute tolerance per step.

    Raises:
        ValueError: if the score is nan or inf where the law has mass, or if the law has no density at t_min or ends at
            a wall that is too sharp there.
        FloatingPointError: if the score is nan or inf on the way.
    """
    require_sde(sde)
    validate.score("score", score, of_sigma=True)
    law("density", density)
    p, checked = _law_at(sde, density, sde.t_min), Checked(score)

    def log_ratio(x: Tensor) -> Tensor:
        start = plain_noise(sde, x, sde.t_min)
        finite("score", checked(*start), start[0])
        found: Tensor = p.log_prob(x) - log_likelihood(sde, checked, x, rtol=rtol, atol=atol).log_prob
        return found

    with torch.no_grad(), _walls_named(density, float(sde.sigma(sde.t_min) / sde.alpha(sde.t_min))):
        return expectation(log_ratio, p, per_length=_NODES_PER_LENGTH)


@contextmanager
def _walls_named(density: Density, level: float) -> Iterator[None]:
    """Where a quadrature is refused of a law that ends at a wall: say that it is the wall."""
    try:
        yield
    except ValueError as error:
        if not ends_at_a_wall(density):
            raise
        raise ValueError(
            f"density ends at a wall, which the noise at t_min, of level {level:.3g}, hardly blurs: {error} Here: give "
            "an SDE whose noise begins higher, by t_min or sigma_min."
        ) from None


def _law_at(sde: SDE, density: Density, t: float) -> Density:
    """Of alpha X + sigma Z at the time t."""
    moved, sigma = density.scaled(float(sde.alpha(t))), float(sde.sigma(t))
    return moved.noised(sigma) if sigma > 0 else moved


def _over_levels(error: Callable[[float], float], low: float, high: float) -> float:
    """int J(l) d(l^2) from low to high, by Clenshaw-Curtis in y = log(l), where it is int 2 l^2 J(l) dy."""
    middle, half = 0.5 * math.log(low * high), 0.5 * math.log(high / low)
    known: dict[float, float] = {}

    def integrand(share: float) -> float:
        """At a share of pi along the half circle; those of n points are among those of 2 n."""
        if share not in known:
            level = math.exp(middle + half * math.cos(math.pi * share))
            known[share] = 2 * level**2 * error(level)
        return known[share]

    integrand(1.0)  # the lowest level first: where no grid resolves the law, that is told at once
    n, total, change = 8, math.nan, math.inf
    while n < _MOST_LEVELS and not change <= _SETTLED * abs(total) + _NOTHING:
        n *= 2
        values = np.array([integrand(k / n) for k in range(n + 1)])
        before, total = total, half * float(_clenshaw_curtis(n) @ values)
        change = math.inf if math.isnan(before) else abs(total - before)
    if not change <= _NEARLY_SETTLED * abs(total) + _NOTHING:
        raise ValueError(
            f"the integral over the levels has not settled: {total:.6g} at {n + 1} of them, of which {change:.1g} is "
            "new since half as many. The score must be smooth in log(sigma), from the level of t_min to that of 1."
        )
    return total


def _clenshaw_curtis(n: int) -> np.ndarray:
    """Weights [n + 1] of the rule on [-1, 1] at cos(pi k / n), n even."""
    k = np.arange(n + 1)
    even = np.arange(2, n + 1, 2)
    share = np.where(even == n, 1.0, 2.0) / (even**2 - 1.0)
    weights: np.ndarray = (1 - np.cos(np.pi * np.outer(k, even) / n) @ share) * 2 / n
    weights[[0, -1]] *= 0.5
    return weights
