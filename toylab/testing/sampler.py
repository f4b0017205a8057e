"""The check of a sampler."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.uncalled import refuse_class
from toylab.testing.affine_check import annealed_problem, check_affine, langevin_problem, reverse_problem
from toylab.testing.claims import (
    AnnealedLangevin,
    Claim,
    Invariant,
    Langevin,
    Posterior,
    ProbabilityFlow,
    ReverseSDE,
)
from toylab.testing.invariance import check_invariant
from toylab.testing.posterior_check import check_posterior
from toylab.testing.report import Report
from toylab.testing.sampler_contract import Run

_KEEPS = Invariant()


def check_sampler(sampler: Callable[..., Any], claim: Claim = _KEEPS, *, n: int = 100_000, seed: int = 0) -> Report:
    """Check that a sampler is what it claims to be, and say in words what is wrong.

    What differs from sampler to sampler is its claim, and how it is called with a density p, starts x [n, 2] in float64
    and a generator g; it returns the last points, ``Chains`` or
    ``Particles``. p has log_prob, score(x, sigma=0) and all else that a ``GaussianMixture`` has.

    =====================================  ============================  ==========================================
    claim                                  called as                     right is
    =====================================  ============================  ==========================================
    ``Invariant()``                        sampler(p, x, g)              from p, it stays in p
    ``Langevin(step_size)``                sampler(p, x, g)              a step x + eps/2 s + sqrt(eps) z
    ``AnnealedLangevin(sigmas, ...)``      sampler(p, x, g)              such steps down the levels
    ``ReverseSDE(sde)``                    sampler(p, x, times, g)       the law of x_t_min given x_1
    ``ProbabilityFlow(sde)``               sampler(p, x, times, g)       the map of the flow
    ``Posterior(sde)``                     sampler(p, A, y, noise,       ``p.given(A, y, noise)``
                                           x, times, g)
    =====================================  ============================  ==========================================

    The first is tried on a normal law and on a mixture of three: means of 59 functions up to degree 4, known exactly,
    must be those of p after up to 64 calls. The others are affine on a normal law, x' = A x + b + noise, and all of A,
    b and the noise is known in closed form; chains start far out, so that they tell it well. The last is tried on a
    normal law, where the ends of known approximations are known too, and on a mixture of three: weights, means and
    covariances of its modes. Of the last three the steps' own error is taken out by a run with four times as many.

    From 10,000 chains on a right sampler is rejected less than once in 1e6 runs (the threshold z of the N tests of a
    run solves N 2 (1 - Phi(z)) = 1e-7, and means of fourth powers are not quite normal); a pass says how small a slip
    would have been seen. If that is more than 10 % (of ``Posterior``: 25 %), the finding is undecided, and the report
    has not passed. Chains of a posterior may depend on each other, as particles do: their sampler is called 20 times
    with n / 20 of them, whose means Student's law compares.

    Args:
        sampler: yours, wrapped so that it is called as above:
            ``lambda p, x, g: mine(p.log_prob, p.score, x, step_size=0.3, generator=g)``.
        claim: what it is to be.
        n: chains.
        seed: of starts and generators, so that a report is reproducible.

    Raises:
        TypeError, ValueError: for bad arguments; never for a bad sampler, which is reported.

    >>> from toylab.samplers import langevin
    >>> mine = lambda p, x, g: langevin(p.score, x, step_size=0.2, n_steps=1, generator=g)
    >>> check_sampler(mine, Langevin(0.1), n=10_000).wrong  # doctest: +ELLIPSIS
    'the 1/2 of the drift is missing: it is eps s, where eps/2 s is meant; the noise is sqrt(2 eps) z, ...'
    >>> from toylab.guidance import dps
    >>> from toylab.samplers import reverse_sde
    >>> from toylab.sde import VE
    >>> sde = VE(0.01, 100.0)
    >>> mine = lambda p, A, y, noise, x, times, g: reverse_sde(sde, dps(p.score, A, y, noise), x, times, generator=g)
    >>> check_sampler(mine, Posterior(sde), n=2000).wrong
    'the clean point is taken for known, at its mean (C = 0), as in DPS: the likelihood is too sharp'
    """
    refuse_class("sampler", sampler)
    validate.function("sampler", sampler, "lambda p, x, g: langevin(p.score, x, step_size=0.1, n_steps=1, generator=g)")
    refuse_class("claim", claim)
    if not isinstance(claim, Invariant | Langevin | AnnealedLangevin | ReverseSDE | ProbabilityFlow | Posterior):
        raise TypeError(f"claim is a {type(claim).__name__}: give what the sampler is to be, such as Invariant().")
    n = validate.count("n", n, least=1000)
    seed = validate.count("seed", seed, least=0)
    with torch.no_grad():
        return _check(sampler, claim, n, seed)


def _check(sampler: Callable[..., Any], claim: Claim, n: int, seed: int) -> Report:
    def run_on(p: object, *times: Tensor) -> Run:
        return lambda x, g: sampler(p, x, *times, g)

    match claim:
        case Invariant():
            return check_invariant(run_on, n, seed)
        case Posterior():
            return check_posterior(
                lambda of, times: lambda x, g: sampler(of.prior, of.A, of.y, of.noise, x, times, g), claim, n, seed
            )
        case Langevin():
            problem = langevin_problem(claim)
        case AnnealedLangevin():
            problem = annealed_problem(claim)
        case ReverseSDE() | ProbabilityFlow():
            problem, grids = reverse_problem(claim)
            runs = [run_on(problem.law.density, times) for times in grids]
            return check_affine(runs, problem, "sampler(p, x, times, g)", n, seed)
    return check_affine([run_on(problem.law.density)], problem, "sampler(p, x, g)", n, seed)
