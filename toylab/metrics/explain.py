"""Is it the noise, the sampler, or the network? The error of a sampled mean, explained."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from toylab._internal import fields, validate
from toylab._internal.display import short
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.metrics.error_decomposition import ErrorDecomposition, ErrorTerms
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.evaluate import callable_with, numbers
from toylab.metrics.points import PointsLike, law, level, points_of
from toylab.samplers.chains import Chains
from toylab.score import NoiseConditionalScore, Score

AnyScore = Score | NoiseConditionalScore
Sampler = Callable[[Any, Tensor, torch.Generator], Chains]  # Any: the kind of score that this sampler takes


def explain(
    density: Density,
    scores: Mapping[str, AnyScore],
    sampler: Sampler,
    start: PointsLike,
    *,
    exact: AnyScore,
    quantity: Callable[[Tensor], Tensor],
    sigma: float = 0.0,
    clean: AnyScore | None = None,
    seed: int = 0,
) -> ErrorDecomposition:
    """Split the error of a sampled mean into noising, discretisation, estimation and finite chains.

    The sampler runs once with the exact score and once with each of ``scores``, from the same start and with the same
    random numbers, so that only the score makes a difference. ``plotting.error_decomposition`` draws it.

    Args:
        density: the truth.
        scores: by name, such as {"learned": network, "kernel": Points(data).noised(h).score}.
        sampler: run as sampler(score, x, generator), such as
            ``lambda s, x, g: langevin(s, x, step_size=0.1, n_steps=1000, generator=g)``.
        start: where the chains start, shape [n, 2], or chains to go on from.
        exact: the exact score that the sampler would take: ``p.score``, or ``at(p.score, sigma)``.
        quantity: f, from points [n, 2] to values [n]; smooth, as its exact mean is found by quadrature.
        sigma: noise level of the law that the sampler aims at: the last one of annealed Langevin.
        clean: the exact score without noise, p.score, for terms of its own where the sampler can take it: nothing to
            blame but the sampler.
        seed: of the random numbers of each run.

    Raises:
        ValueError: if chains diverge, naming the score.
    """
    law("density", density)
    callable_with("sampler", sampler, "score", "x", "generator")
    callable_with("quantity", quantity, "x")
    x = validate.cloud("start", points_of(start, "start"))
    validate.field("exact", exact, fields.SCORE, fields.LEVEL_SCORE)
    sigma = level(sigma)
    if (seed := validate.count("seed", seed, least=0)) >= 2**63:
        raise ValueError(f"seed is {seed}: give a whole number (int) from 0 to 2^63 - 1.")
    if len(x) < 2:
        raise ValueError("start is a single chain: an error bar needs at least 2.")
    if not isinstance(scores, Mapping) or {"clean", "exact"} & set(scores):
        raise ValueError(
            f"scores is {short(scores)}: give a dictionary of scores by name, such as {{'learned': network}}; the "
            "names 'clean' and 'exact' are those of the exact scores."
        )
    for name, score in (*scores.items(), *([] if clean is None else [("clean", clean)])):
        validate.field(f"the score {name}", score, fields.SCORE, fields.LEVEL_SCORE)

    def f(x: Tensor) -> Tensor:
        return numbers("quantity", quantity, x)

    truth = expectation(f, density)
    noised = expectation(f, density, sigma) if sigma > 0 else truth

    def run(name: str, score: AnyScore) -> Tensor:
        chains = sampler(score, x, torch.Generator(x.device).manual_seed(seed))
        if not isinstance(chains, Chains):
            raise TypeError(f"sampler gives a {type(chains).__name__}: it must return the Chains of a sampler.")
        if bool(chains.diverged.any()):
            raise ValueError(
                f"{int(chains.diverged.sum())} chains diverged with the {name} score: take a smaller step."
            )
        return f(chains.samples.double())

    terms = {}
    if clean is not None:
        off = _minus(mean_of(run("clean", clean)), truth)
        terms["clean"] = ErrorTerms(0.0, off, Estimate(0.0, 0.0), off)
    reference = run("exact", exact)
    discretisation = _minus(mean_of(reference), noised)
    terms["exact"] = ErrorTerms(noised - truth, discretisation, Estimate(0.0, 0.0), _minus(mean_of(reference), truth))
    for name, score in scores.items():
        values = run(name, score)
        terms[name] = ErrorTerms(
            noised - truth, discretisation, mean_of(values - reference), _minus(mean_of(values), truth)
        )
    return ErrorDecomposition(truth, sigma, terms)


def _minus(estimate: Estimate, number: float) -> Estimate:
    return Estimate(estimate.value - number, estimate.standard_error)
