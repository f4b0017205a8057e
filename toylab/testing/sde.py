"""The check of an SDE: whether f and g belong to alpha and sigma."""

from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.sde import SDE
from toylab.sde.process import require_sde
from toylab.testing.report import Finding, Report
from toylab.testing.sde_slips import Rates, explain_diffusion, explain_drift, rates_of

_TOLERANCE = 1e-6  # relative: differences of order 4 with h = 2e-4 err by 2e-9 at the most on VE, VP and sub-VP
_N_PRIOR = 50_000  # draws: their variance is known to 0.5 %
_PRIOR = 0.05  # relative


def check_sde(sde: SDE, *, seed: int = 0) -> Report:
    """Check that an SDE is of one piece, and say in words what is wrong.

    dx = f x dt + g dw makes x_t ~ N(alpha x_0, sigma^2 I) if and only if alpha' = f alpha and
    (sigma^2)' = 2 f sigma^2 + g^2. Both are held against differences of alpha and sigma^2 in float64, to 1e-6 of their
    terms, at 65 times; there is no statistics in it. Besides: shapes and dtypes, also with one time per point; a drift
    that is linear in x; noise that grows with time, beside the data; and a prior near the law of x_1.

    Args:
        sde: yours: an object with alpha(t), sigma(t), drift(x, t), diffusion(t), prior and t_min. Times run from 0, the
            data, to 1.
        seed: of draws from the prior.

    Raises:
        TypeError, ValueError: for what is no SDE, or a bad argument; never for a bad SDE, which is reported.

    >>> from toylab.sde import VP
    >>> check_sde(VP()).passed
    True
    """
    require_sde(sde)
    seed = validate.count("seed", seed, least=0)
    findings = [_check_call(sde)]
    if not findings[-1].passed:
        return Report(tuple(findings))
    try:
        with torch.no_grad():
            return Report((*findings, *_check_formulas(sde), _check_prior(sde, seed)))
    except Exception as error:  # at some time that was not tried before
        return Report((*findings, Finding("call", False, f"raises {type(error).__name__}: {error}")))


def _check_formulas(sde: SDE) -> list[Finding]:
    rates = rates_of(sde)
    drift = _check_drift(sde, rates)
    return [_check_growth(rates), _check_linear(sde, rates), drift, _check_diffusion(rates, drift.passed)]


def _check_call(sde: SDE) -> Finding:
    """Values of the shape and dtype of t, and a drift of those of x."""
    name = "call"
    x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), device="cpu")
    t = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64, device="cpu")
    calls: list[tuple[str, Any, Tensor, list[int]]] = []
    try:
        if not 0 <= float(sde.t_min) < 1:
            return Finding(name, False, f"t_min is {sde.t_min}: it must lie in [0, 1), for example 0.001")
        for part in ("alpha", "sigma", "diffusion"):
            calls += [(f"{part}(t)", getattr(sde, part)(t), t, [3]), (f"{part}(0.5)", getattr(sde, part)(0.5), t, [])]
        calls += [("drift(x, t)", sde.drift(x, t), x, [3, 2]), ("drift(x, 0.5)", sde.drift(x, 0.5), x, [3, 2])]
    except Exception as error:  # whatever the reader's SDE raises is what is reported
        return Finding(name, False, f"raises {type(error).__name__}, with times [3] or a number: {error}")
    for told, value, like, shape in calls:
        if not isinstance(value, Tensor):
            return Finding(name, False, f"{told} gives a {type(value).__name__}: give a tensor")
        if list(value.shape) != shape:
            given = f"{told} gives shape {list(value.shape)}"
            return Finding(name, False, f"{given}, where {shape} is wanted: that of t or x")
        if value.dtype != like.dtype:
            given = f"{told} gives {value.dtype}"
            return Finding(name, False, f"{given}, where t or x are {like.dtype}: follow their dtype")
        if not bool(value.isfinite().all()):
            return Finding(name, False, f"{told} is nan or inf")
    for k, part in enumerate(("alpha", "sigma", "diffusion")):
        each, one = calls[2 * k][1], calls[2 * k + 1][1]
        if not torch.isclose(each[1], one, rtol=1e-9, atol=0):
            return Finding(name, False, f"{part}(0.5) is {float(one):.6g}, and {float(each[1]):.6g} among other times")
    if not torch.allclose(calls[6][1][1], calls[7][1][1], rtol=1e-9, atol=1e-12):
        words = "drift(x, t) with one time per point is another than with a number: use t[..., None]"
        return Finding(name, False, words)
    return Finding(name, True, "shapes and dtypes follow t and x, also with one time per point")


def _check_growth(rates: Rates) -> Finding:
    name = "noise beside data"
    if not bool((rates.alpha > 0).all() and (rates.sigma > 0).all()):
        return Finding(name, False, "alpha or sigma is not positive at times between t_min and 1")
    level = (rates.sigma / rates.alpha).log()
    if bool((level.diff() > 0).all()):
        return Finding(name, True, "sigma / alpha grows with time")
    if bool((level.diff() < 0).all()):
        words = "sigma / alpha falls with time: time is reversed. t = 0 is the data, t = 1 the noise"
        return Finding(name, False, words)
    return Finding(name, False, "sigma / alpha does not grow all the time, as if noise were taken away again")


def _check_linear(sde: SDE, rates: Rates) -> Finding:
    name, t = "linear drift", rates.t
    x = torch.randn(len(t), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), device="cpu")
    left, right = sde.drift(x, t), rates.f[:, None] * x
    if torch.allclose(left, right, rtol=1e-9, atol=1e-12):
        return Finding(name, True, "f(t) x, with one f for both coordinates")
    at_zero = sde.drift(torch.zeros_like(x), t)
    if bool((at_zero.abs() > 1e-12).any()):
        return Finding(name, False, "the drift at x = 0 is not 0: it must be f(t) x")
    return Finding(name, False, "the drift is not f(t) x with one f for both coordinates, of which alpha and sigma are")


def _check_drift(sde: SDE, rates: Rates) -> Finding:
    name = "alpha' = f alpha"
    terms = rates.alpha_rate.abs() + (rates.f * rates.alpha).abs() + 1e-3 * rates.alpha
    if bool(((rates.alpha_rate - rates.f * rates.alpha).abs() <= _TOLERANCE * terms).all()):
        return Finding(name, True, f"to {_TOLERANCE:g} of its terms")
    return Finding(name, False, explain_drift(rates))


def _check_diffusion(rates: Rates, drift_is_right: bool) -> Finding:
    name = "(sigma^2)' = 2 f sigma^2 + g^2"
    pull = 2 * rates.f_of_alpha * rates.sigma**2  # by alpha, so that a wrong drift is told once
    terms = rates.variance_rate.abs() + pull.abs() + rates.g**2 + 1e-3 * rates.sigma**2
    if bool(((rates.variance_rate - pull - rates.g**2).abs() <= _TOLERANCE * terms).all()):
        return Finding(name, True, f"to {_TOLERANCE:g} of its terms")
    return Finding(name, False, explain_diffusion(rates, drift_is_right))


def _check_prior(sde: SDE, seed: int) -> Finding:
    """N(0, sigma(1)^2 I), and between nothing and data of variance 4 more."""
    name = "prior"
    x = sde.prior.sample((_N_PRIOR,), generator=torch.Generator().manual_seed(seed)).double()
    alpha, sigma = float(sde.alpha(1.0)), float(sde.sigma(1.0))
    found, low, high = x.var(0), sigma**2, sigma**2 + 4 * alpha**2
    if not bool((x.mean(0).abs() < _PRIOR * (high + found).sqrt()).all()):
        told = ", ".join(f"{m:.3g}" for m in x.mean(0).tolist())
        return Finding(name, False, f"the prior has the mean ({told}), where x_1 has none that is known")
    if bool(((found > low * (1 - _PRIOR)) & (found < high * (1 + _PRIOR))).all()):
        return Finding(name, True, "has the variance of x_1")
    told = f"the prior has the variance {float(found.mean()):.4g}, where x_1 has sigma(1)^2 = {low:.4g}"
    for value, words in (
        (sigma, "sigma(1), a standard deviation, is passed as a variance"),
        (sigma**4, "sigma(1)^2, a variance, is passed as a standard deviation"),
        (1.0, "it is N(0, I), which is that of VP"),
    ):
        if bool(((found / value - 1).abs() < _PRIOR).all()):
            return Finding(name, False, f"{told}: {words}")
    return Finding(name, False, told)
