"""Known slips of samplers, by the affine maps that they are on a normal law."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.sde import SDE
from toylab.testing.affine_law import AffineLaw, Normal, composed, in_order, repeated, towards
from toylab.testing.claims import AnnealedLangevin, Langevin


def langevin_law(claim: Langevin, law: Normal, drift: float = 1.0, noise: float = 1.0) -> AffineLaw:
    """Of ``n_steps``, with so many times the drift and the variance of the noise that are right."""
    eps = claim.step_size
    step = towards(drift * eps / (2 * law.variances), law.mean, noise * claim.temperature * eps)
    return repeated(step, claim.n_steps)


@dataclass(frozen=True, eq=False)
class _Level:
    """Steps at a level: s(x, sigma) has variances v, drift times s and noise, its variance, in each step."""

    variances: Tensor
    drift: float
    noise: float


Levels = Callable[[float, float], _Level]
"""What steps are at a level sigma, whose step size is alpha."""


def _down(claim: AnnealedLangevin, law: Normal, level: Levels, order: int = 1) -> AffineLaw:
    """Steps down the levels, or up for an order of -1."""
    sigmas, eps = claim.sigmas.double().tolist(), float(claim.step_size)

    def steps(sigma: float) -> AffineLaw:
        there = level(sigma, eps * (sigma / sigmas[-1]) ** 2)
        return repeated(towards(there.drift / there.variances, law.mean, there.noise), claim.n_steps)

    return composed(steps(sigma) for sigma in sigmas[::order])


def annealed_law(
    claim: AnnealedLangevin, law: Normal, drift: float = 1.0, noise: float = 1.0, order: int = 1
) -> AffineLaw:
    """What is claimed, with so many times the drift and the variance of the noise."""

    def level(sigma: float, alpha: float) -> _Level:
        return _Level(law.variances + sigma**2, drift * alpha / 2, noise * alpha)

    return _down(claim, law, level, order)


def annealed_slips(claim: AnnealedLangevin, law: Normal) -> dict[str, AffineLaw]:
    """Known slips."""
    sigmas, eps, v = claim.sigmas.double().tolist(), float(claim.step_size), law.variances
    first, last = sigmas[0], sigmas[-1]
    known: dict[str, Callable[[float, float], _Level]] = {
        "sqrt(eps) z is added at every level, where sqrt(alpha_i) z belongs to a step alpha_i":
            lambda sigma, alpha: _Level(v + sigma**2, alpha / 2, eps),
        "the step is eps at every level, where eps (sigma_i / sigma_L)^2 is meant":
            lambda sigma, alpha: _Level(v + sigma**2, eps / 2, eps),
        "the step is eps sigma_i / sigma_L, without the square":
            lambda sigma, alpha: _Level(v + sigma**2, eps * sigma / last / 2, eps * sigma / last),
        "the step is eps sigma_i^2 / sigma_1^2: it is the last level that has eps":
            lambda sigma, alpha: _Level(
                v + sigma**2, alpha * (last / first) ** 2 / 2, alpha * (last / first) ** 2
            ),
        "the noise is alpha_i z, where sqrt(alpha_i) z is meant":
            lambda sigma, alpha: _Level(v + sigma**2, alpha / 2, alpha**2),
        "the score is that of the clean law at every level": lambda sigma, alpha: _Level(v, alpha / 2, alpha),
        "the score has the variance sigma^2 in place of C + sigma^2 I: noise replaces the variance of the data, "
        "where it adds to it": lambda sigma, alpha: _Level(torch.full_like(v, sigma**2), alpha / 2, alpha),
        "the score is asked at sigma^2, where sigma is a standard deviation":
            lambda sigma, alpha: _Level(v + sigma**4, alpha / 2, alpha),
    }  # fmt: skip
    return {
        "the 1/2 of the drift is missing: alpha_i s with noise sqrt(alpha_i), a temperature of 1/2":
            annealed_law(claim, law, drift=2.0),
        "the sign of the drift: it goes down the slope of log p": annealed_law(claim, law, drift=-1.0),
        "the noise is sqrt(2 alpha_i), which belongs to a drift alpha_i s: a temperature of 2":
            annealed_law(claim, law, noise=2.0),
        "no noise is added": annealed_law(claim, law, noise=0.0),
        "the levels rise, from the least to the largest": annealed_law(claim, law, order=-1),
        **{words: _down(claim, law, level) for words, level in known.items()},
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Times:
    """An SDE and the law of x_t at times, each [n, 1], or [n, 2] along the axes."""

    alpha: Tensor
    f: Tensor
    g: Tensor
    h: Tensor  # the step that follows
    mean: Tensor
    variances: Tensor


def times_of(sde: SDE, law: Normal, n_steps: int) -> _Times:
    """Those of evenly spaced steps from 1 to t_min, but the last."""
    times = torch.linspace(1.0, float(sde.t_min), n_steps + 1, dtype=torch.float64, device="cpu")
    t = times[:-1]
    alpha, sigma, g = (part(t).double()[:, None] for part in (sde.alpha, sde.sigma, sde.diffusion))
    f = sde.drift(torch.ones(len(t), 2, dtype=torch.float64, device="cpu"), t)[:, :1]
    return _Times(alpha, f, g, -times.diff()[:, None], alpha * law.mean, alpha**2 * law.variances + sigma**2)


def reverse_law(sde: SDE, law: Normal, t: float, u: float) -> AffineLaw:
    """Of x_u given x_t: what the reverse SDE is without an error of steps."""
    (alpha, sigma), (beta, tau) = ((float(sde.alpha(s)), float(sde.sigma(s))) for s in (t, u))
    before, after = alpha**2 * law.variances + sigma**2, beta**2 * law.variances + tau**2
    slope = alpha / beta * after / before  # Cov(x_t, x_u) = alpha / beta Var x_u
    return AffineLaw(slope, (beta - slope * alpha) * law.mean, after - slope**2 * before)


def flow_law(sde: SDE, law: Normal, t: float, u: float) -> AffineLaw:
    """Along the flow a point keeps its place among the others: (x - mean) / sqrt(variance)."""
    (alpha, sigma), (beta, tau) = ((float(sde.alpha(s)), float(sde.sigma(s))) for s in (t, u))
    before, after = alpha**2 * law.variances + sigma**2, beta**2 * law.variances + tau**2
    slope = (after / before).sqrt()
    return AffineLaw(slope, (beta - slope * alpha) * law.mean, torch.zeros(2, dtype=torch.float64, device="cpu"))


Slip = Callable[[_Times], tuple[Tensor | float, Tensor | float, Tensor | float]]
"""What multiplies f x, s_t(x) and sqrt(h) z; right are 1, g^2 and g."""


def euler_law(at: _Times, slip: Slip) -> AffineLaw:
    """Of Euler-Maruyama with a slip."""
    f, s, g = slip(at)
    pulled = towards(at.h * s / at.variances, at.mean, at.h * g**2)
    return in_order(AffineLaw(pulled.slope - at.h * f * at.f, pulled.shift, pulled.noise))


def scaled_law(at: _Times, share: float, drift: float = 1.0, noise: float = 1.0) -> AffineLaw:
    """With so many times the term share g^2 s and the noise, whose share is 1 in the SDE and 0 in the flow."""
    return euler_law(at, lambda at: (1, drift * share * at.g**2, noise * at.g if share == 1 else 0 * at.g))


def reverse_slips(at: _Times, share: float) -> dict[str, AffineLaw]:
    """Known slips of the reverse SDE, share = 1, or of the flow, share = 1/2 of g^2 s."""
    noisy = share == 1
    known: dict[str, Slip] = {
        "the sign of the score": lambda t: (1, -share * t.g**2, t.g * noisy),
        "the sign of the drift f x": lambda t: (-1, share * t.g**2, t.g * noisy),
        "the drift f x is left out": lambda t: (0, share * t.g**2, t.g * noisy),
        "g s stands in place of g^2 s": lambda t: (1, share * t.g, t.g * noisy),
        "s_t(x) = s(x / alpha; sigma / alpha) / alpha has lost its last 1/alpha":
            lambda t: (1, share * t.g**2 * t.alpha, t.g * noisy),
    }  # fmt: skip
    if noisy:
        known |= {
            "g^2 s is halved, as in the flow, which has no noise": lambda t: (1, t.g**2 / 2, t.g),
            "no noise is added: with g^2 s that is neither the SDE nor the flow": lambda t: (1, t.g**2, 0 * t.g),
            "it is the probability flow: g^2/2 s without noise": lambda t: (1, t.g**2 / 2, 0 * t.g),
            "the noise of a step is g h z, where g sqrt(h) z is meant":
                lambda t: (1, t.g**2, t.g * t.h**0.5),
            "the noise of a step is g^2 sqrt(h) z, where g sqrt(h) z is meant": lambda t: (1, t.g**2, t.g**2),
            "the noise of a step is sqrt(g h) z, where g sqrt(h) z is meant": lambda t: (1, t.g**2, t.g**0.5),
            "the noise of a step is g sqrt(2 h) z, where g sqrt(h) z is meant": lambda t: (1, t.g**2, t.g * 2**0.5),
            "the noise of a step is sqrt(h) z, without g": lambda t: (1, t.g**2, 0 * t.g + 1),
        }  # fmt: skip
    else:
        known |= {
            "the 1/2 of g^2 s is missing: that is the drift of the SDE, which needs its noise":
                lambda t: (1, t.g**2, 0 * t.g),
            "noise g z is added, as in the SDE; the flow has none": lambda t: (1, t.g**2 / 2, t.g),
            "it is the reverse SDE: g^2 s and noise g z, where the flow has g^2/2 s and no noise":
                lambda t: (1, t.g**2, t.g),
        }  # fmt: skip
    return {words: euler_law(at, slip) for words, slip in known.items()}
