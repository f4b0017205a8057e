"""The log-density of a score model or a velocity, by the change of variables along its flow."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab.densities import isotropic
from toylab.densities.density import Density
from toylab.paths import VelocityField
from toylab.samplers.adaptive import adaptive_steps, check_tolerances
from toylab.samplers.loop import CountingScore
from toylab.samplers.ode_steps import Velocity
from toylab.samplers.probability_flow import flow_velocity
from toylab.samplers.trace import Trace, exact_trace
from toylab.score import NoiseConditionalScore
from toylab.sde import SDE, require_sde


@dataclass(frozen=True, eq=False)
class Likelihood:
    """What ``log_likelihood``, or ``flow_log_likelihood``, found for n points.

    Attributes:
        log_prob: log q(x) = log_prior + divergence, q the law that the flow makes of the prior, shape [n].
        log_prior: log-density of the prior, or of the source of a path, where the points end, shape [n].
        divergence: the integral of div v along the way, shape [n]; the mean of its estimates.
        standard_error: of ``divergence`` and so of ``log_prob``: 0 if exact, nan from a single projection, shape [n].
        end: where the points end, at t = 1 of an SDE and at t = 0 of a path, shape [n, 2].
        n_evaluations: calls of the score, or of the velocity, each with its derivatives; with ``hutchinson(m)`` on m
            copies of the points.
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
            ("evaluations", f"{self.n_evaluations:,} per point"),
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
    counted = CountingScore(score, finite=False)
    return _change_of_variables(
        "log_likelihood", flow_velocity(sde, counted), counted, x, (sde.t_min, 1.0), sde.prior,
        rtol, atol, trace, max_evaluations,
    )  # fmt: skip


def flow_log_likelihood(
    velocity: VelocityField,
    x: Tensor,
    *,
    source: Density | None = None,
    rtol: float = 1e-8,
    atol: float = 1e-8,
    trace: Trace = exact_trace,
    max_evaluations: int = 10_000,
) -> Likelihood:
    """log q(x) = log p_0(x_0) - int div v(x_t, t) dt from 0 to 1, x_t the flow dx/dt = v that leads from x_0 to x.

    q is the law that the flow makes of that of the source, p_0. With the exact velocity of a path it is the law of the
    data, and with a learned one the law of its samples, whatever the network: its integral is 1. As for
    ``log_likelihood``, no gradient passes through the solver.
    Source: Chen et al. 2018 (arXiv:1806.07366), theorem 1; Lipman et al. 2023 (arXiv:2210.02747), appendix C.

    Args:
        velocity: v(x, t), exact (``lambda x, t: path.velocity(p, x, t)``) or learned; it must treat each point by
            itself.
        x: points at t = 1, shape [n, 2], best in float64, with a network in float64.
        source: the law of x_0; None is N(0, I).
        rtol: relative tolerance per step; from 6e-6 up for points in float32.
        atol: absolute tolerance per step.
        trace: ``exact_trace``, or ``hutchinson(8, generator=g)``.
        max_evaluations: calls of the velocity, at most.

    Raises:
        FloatingPointError: if the field or its derivative is nan or inf on the way.
        ValueError: if x requires a gradient.
        RuntimeError: if it takes more than ``max_evaluations``.

    >>> from toylab.densities import two_modes
    >>> from toylab.paths import Linear
    >>> p, x = two_modes(), torch.tensor([[5.0, 5.0]]).double()
    >>> found = flow_log_likelihood(lambda x, t: Linear().velocity(p, x, t), x)
    >>> bool((found.log_prob - p.log_prob(x)).abs() < 1e-6)
    True
    """
    validate.velocity("velocity", velocity)
    if source is not None and not isinstance(source, Density):
        raise TypeError(f"source is a {type(source).__name__}: give the law of x_0, a Density such as ring(8).")
    prior = isotropic([[0.0, 0.0]], 1.0) if source is None else source
    counted = CountingScore(velocity, "velocity", finite=False)
    return _change_of_variables(
        "flow_log_likelihood", counted, counted, x, (1.0, 0.0), prior, rtol, atol, trace, max_evaluations
    )  # fmt: skip


def _change_of_variables(
    name: str,
    velocity: Velocity,
    counted: CountingScore[...],
    x: Tensor,
    times: tuple[float, float],
    prior: Density,
    rtol: float,
    atol: float,
    trace: Trace,
    max_evaluations: int,
) -> Likelihood:
    """log prior(x_b) + int div v(x_t, t) dt from a to b, for times (a, b) and the flow from x at a."""
    validate.finite_cloud("x", x)
    validate.function("trace", trace, "exact_trace", takes=1)
    rtol, atol = check_tolerances(x, rtol, atol, max_evaluations)
    if x.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"x requires a gradient, which {name} cannot give: it integrates by SciPy. Give x.detach(). The gradient "
            "of log q in x is about the score of the law at that time."
        )
    with torch.no_grad():
        divergences = validate.function("trace(x)", trace(x), "exact_trace(x)")

        def rate(y: Tensor, t: float) -> Tensor:
            """Of points and integrals together, [n, 2 + m]."""
            values, estimates = divergences(lambda at: velocity(at, t), y[:, :2].contiguous())
            return torch.cat([values, estimates.T], -1)

        m = len(divergences(torch.zeros_like, x)[1])
        y = torch.cat([x, x.new_zeros(len(x), m)], -1)
        for _, y in adaptive_steps(rate, y, *times, rtol=rtol, atol=atol, max_evaluations=max_evaluations):  # noqa: B007, B020
            pass
        end, integrals = y[:, :2], y[:, 2:]
        exact = torch.full_like(x[:, 0], 0 if trace is exact_trace else math.nan)
        error = integrals.std(-1) / m**0.5 if m > 1 else exact
        log_prior, divergence = prior.log_prob(end), integrals.mean(-1)
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
