"""The error ledger: is it the noise, the sampler, or the network?"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.metrics.estimate import Estimate, mean_of
from toylab.samplers.chains import Chains

Sampler = Callable[[Callable, Tensor, torch.Generator], Chains]


@dataclass(frozen=True)
class ErrorTerms:
    """The error of one sampled mean, E f by chains minus E f under the clean law, in its parts; they add up.

    Attributes:
        noising: E f under p_sigma - E f under p: exact, the price of sampling a noised law.
        discretisation: mean f of the sampler with the exact score - E f under p_sigma: steps too large or too few.
        estimation: mean f with this score - mean f with the exact one, same start and same random numbers.
        total: their sum. Its standard error is that of the finite number of chains.
    """

    noising: float
    discretisation: Estimate
    estimation: Estimate
    total: Estimate


@dataclass(frozen=True)
class ErrorDecomposition:
    """One account a score.

    Attributes:
        truth: E f under the clean law, by quadrature.
        sigma: noise level of the law that the sampler aims at.
        accounts: by the name of the score; first "exact", and "clean" before it if it was asked for, whose estimation
            error is 0.
    """

    truth: float
    sigma: float
    accounts: dict[str, ErrorTerms]

    def __str__(self) -> str:
        head = f"{'score':16s} {'noising':>9s} {'discretisation':>20s} {'estimation':>20s} {'total':>20s}"
        rows = [
            f"{name:16s} {a.noising:9.3f} {str(a.discretisation):>20s} {str(a.estimation):>20s} {str(a.total):>20s}"
            for name, a in self.accounts.items()
        ]
        return "\n".join([f"truth: {self.truth:.4f}", head, *rows])


def explain(
    density: Density,
    scores: Mapping[str, Callable],
    sampler: Sampler,
    start: Tensor,
    *,
    exact: Callable,
    quantity: Callable[[Tensor], Tensor],
    sigma: float = 0.0,
    clean: Callable | None = None,
    seed: int = 0,
) -> ErrorDecomposition:
    """Split the error of a sampled mean into noising, discretisation, estimation and finite chains.

    The sampler runs once with the exact score and once with each of ``scores``, from the same start and with the same
    random numbers, so that what differs is the score's doing alone. ``plotting.error_decomposition`` draws it.

    Args:
        density: the truth.
        scores: by name, such as {"learned": network, "kernel": Points(data).noised(h).score}.
        sampler: run as sampler(score, x, generator), such as
            ``lambda s, x, g: langevin(s, x, step_size=0.1, n_steps=1000, generator=g)``.
        start: where the chains start, shape [n, 2].
        exact: the exact score that the sampler would take: ``p.score``, or ``at(p.score, sigma)``.
        quantity: f, from points [n, 2] to values [n]; smooth, as its exact mean is found by quadrature.
        sigma: noise level of the law that the sampler aims at: the last one of annealed Langevin.
        clean: the exact score without noise, p.score, for an account of its own where the sampler can take it: nothing
            to blame but the sampler.
        seed: of the random numbers of each run.

    Raises:
        ValueError: if chains diverge, naming the score.
    """
    validate.function("sampler", sampler, "lambda s, x, g: langevin(s, x, step_size=0.1, n_steps=1000, generator=g)")
    validate.function("quantity", quantity, "lambda x: x.square().sum(-1)")
    validate.cloud("start", start)
    validate.function("exact", exact, "p.score")
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is {sigma}: a noise level is finite and at least 0.")
    if not isinstance(scores, Mapping) or {"clean", "exact"} & set(scores):
        raise ValueError(
            f"scores is {scores!r}: give a dictionary of scores by name, such as {{'learned': network}}; the names "
            "'clean' and 'exact' are those of the exact scores."
        )
    truth = expectation(quantity, density)
    noised = expectation(quantity, density, sigma) if sigma > 0 else truth

    def run(name: str, score: Callable) -> Tensor:
        chains = sampler(score, start, torch.Generator(start.device).manual_seed(seed))
        if bool(chains.diverged.any()):
            raise ValueError(
                f"{int(chains.diverged.sum())} chains diverged with the {name} score: take a smaller step."
            )
        return quantity(chains.samples.double())

    accounts = {}
    if clean is not None:
        off = _less(mean_of(run("clean", clean)), truth)
        accounts["clean"] = ErrorTerms(0.0, off, Estimate(0.0, 0.0), off)
    reference = run("exact", exact)
    discretisation = _less(mean_of(reference), noised)
    accounts["exact"] = ErrorTerms(noised - truth, discretisation, Estimate(0.0, 0.0), _less(mean_of(reference), truth))
    for name, score in scores.items():
        values = run(name, score)
        accounts[name] = ErrorTerms(
            noised - truth, discretisation, mean_of(values - reference), _less(mean_of(values), truth)
        )
    return ErrorDecomposition(truth, sigma, accounts)


def _less(estimate: Estimate, number: float) -> Estimate:
    return Estimate(estimate.value - number, estimate.standard_error)
