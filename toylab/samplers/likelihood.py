"""The log-density of a score model, by the change of variables along its probability flow."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab.densities.density import Density
from toylab.samplers.adaptive import adaptive_steps, check_tolerances
from toylab.samplers.loop import CountingScore
from toylab.samplers.probability_flow import flow_velocity
from toylab.samplers.trace import Trace, exact_trace
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, require_sde


@dataclass(frozen=True, eq=False)
class Likelihood:
    """What ``log_likelihood`` found, for n points.

    Attributes:
        log_prob: log q(x) = log_prior + divergence, q the law that the flow makes of the prior, shape [n].
        log_prior: log-density of the prior where the points end, shape [n].
        divergence: the integral of div v along the way, shape [n]; the mean of its estimates.
        standard_error: of ``divergence`` and so of ``log_prob``: 0 if exact, nan from a single projection, shape [n].
        end: where the points end at t = 1, shape [n, 2].
        n_evaluations: calls of the score, each with its derivatives; with ``hutchinson(m)`` on m copies of the points.
    """

    log_prob: Tensor
    log_prior: Tensor
    divergence: Tensor
    standard_error: Tensor
    end: Tensor
    n_evaluations: int

    def __repr__(self) -> str:
        return text_table("Likelihood", self._summary())

    def _repr_html_(self) -> str:
        return html_table(self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        low, high = float(self.log_prob.min()), float(self.log_prob.max())
        return [
            ("points", f"{len(self.log_prob):,}"),
            ("log q", f"mean {float(self.log_prob.mean()):.4g}, from {low:.4g} to {high:.4g}"),
            ("standard error", _error(float(self.standard_error.max()))),
            ("evaluations", f"{self.n_evaluations:,} of the score per point"),
        ]


def _error(greatest: float) -> str:
    if math.isnan(greatest):
        return "unknown from a single projection"
    return f"at most {greatest:.2g}" if greatest > 0 else "0, the divergences are exact"


def log_likelihood(
    sde: SDE,
    score: NoiseConditionalScore,
    x: Tensor,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-8,
    trace: Trace = exact_trace,
    max_evaluations: int = 10_000,
) -> Likelihood:
    """log q(x) = log prior(x_1) + int div v(x_t, t) dt from t_min to 1, x_t the flow dx/dt = v from x at t_min.

    q is the law at t_min, which is still noised by sigma(t_min). With the exact score the flow is exact, and what is
    left, apart from the error of the solver, is the prior's: log q + ``prior_mismatch`` = log p_t_min. The whole cloud
    takes the same steps, so fine that the tolerances bound the error of a step at every point: a point among many is as
    exact as alone, and its log q the same to some tens of rtol.

    No gradient passes through the solver: the result carries none to the parameters of the score, and points that ask
    for one are refused. The gradient of log q in x is about score(x, sigma(t_min)).
    Source: Chen et al. 2018 (arXiv:1806.07366), theorem 1; Song et al. 2021 (arXiv:2011.13456), eq. 39.

    Args:
        sde: such as ``VE()``, ``VP()``.
        score: s(x, sigma), exact (``p.score``) or learned on plain noise; it must treat each point by itself.
        x: points, shape [n, 2], best in float64.
        rtol: relative tolerance per step; from 6e-6 up for points in float32.
        atol: absolute tolerance per step.
        trace: ``exact_trace``, or ``hutchinson(8, generator=g)``.
        max_evaluations: calls of the score, at most.

    Raises:
        FloatingPointError: if the field or its derivative is nan or inf on the way.
        ValueError: if x requires a gradient.
        RuntimeError: if it takes more than ``max_evaluations``.
    """
    require_sde(sde)
    validate.score("score", score, of_sigma=True)
    validate.finite_cloud("x", x)
    validate.function("trace", trace, "exact_trace", takes=1)
    rtol, atol = check_tolerances(x, rtol, atol, max_evaluations)
    if x.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            "x requires a gradient, which log_likelihood cannot give: it integrates by SciPy. Give x.detach(). The "
            "gradient of log q in x is about score(x, sigma), sigma that of t_min."
        )
    with torch.no_grad():
        return _solve(sde, score, x, rtol, atol, trace, max_evaluations)


def _solve(
    sde: SDE, score: NoiseConditionalScore, x: Tensor, rtol: float, atol: float, trace: Trace, max_evaluations: int
) -> Likelihood:
    counted = CountingScore(score, finite=False)
    velocity, divergences = flow_velocity(sde, counted), validate.function("trace(x)", trace(x), "exact_trace(x)")

    def rate(y: Tensor, t: float) -> Tensor:
        """Of points and integrals together, [n, 2 + m]."""
        values, estimates = divergences(lambda at: velocity(at, t), y[:, :2].contiguous())
        return torch.cat([values, estimates.T], -1)

    m = len(divergences(torch.zeros_like, x)[1])
    y = torch.cat([x, x.new_zeros(len(x), m)], -1)
    for _, y in adaptive_steps(rate, y, sde.t_min, 1.0, rtol=rtol, atol=atol, max_evaluations=max_evaluations):  # noqa: B007, B020
        pass
    end, integrals = y[:, :2], y[:, 2:]
    error = integrals.std(-1) / m**0.5 if m > 1 else torch.full_like(x[:, 0], 0 if trace is exact_trace else math.nan)
    log_prior, divergence = sde.prior.log_prob(end), integrals.mean(-1)
    return Likelihood(log_prior + divergence, log_prior, divergence, error, end, counted.n)


def prior_mismatch(sde: SDE, density: Density, x: Tensor) -> Tensor:
    """log p_1(x) - log prior(x), p_1 the law of alpha(1) X + sigma(1) Z: how wrong the prior is, shape [...].

    At the ends of ``log_likelihood`` it is the correction to be added to ``log_prob``:

        found = log_likelihood(sde, p.score, x)
        found.log_prob + prior_mismatch(sde, p, found.end)  # log p_t_min(x), up to the solver's error

    Args:
        sde: such as ``VE()``, ``VP()``.
        density: the truth.
        x: points at t = 1, shape [..., 2].
    """
    if not isinstance(density, Density):
        raise TypeError(f"density is a {type(density).__name__}: give the true law, a Density such as two_modes().")
    p_1 = density.scaled(float(require_sde(sde).alpha(1.0))).noised(float(sde.sigma(1.0)))
    far = validate.points("x", x).double()  # where both are large their difference need not be
    return (p_1.log_prob(far) - sde.prior.log_prob(far)).to(x.dtype)
