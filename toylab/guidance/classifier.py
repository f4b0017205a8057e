"""Classifier guidance: up the gradient of log p(c | x)."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.user_functions import call_field, call_log_prob
from toylab.score import NoiseConditionalScore, gradient


class LogProbability(Protocol):
    """``log_probability(x, sigma)``: log p(c | x) of a point x = X + sigma Z."""

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        """One number per point, shape [...], for points x [..., 2]."""
        ...


class HasClasses(Protocol):
    """A mixture, whose components are the classes: a density with ``log_posterior``."""

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log P(component k | x) under p_sigma, shape [..., K]."""
        ...


def classifier(score: NoiseConditionalScore, log_probability: LogProbability, weight: float) -> NoiseConditionalScore:
    """s + w grad_x log p(c | x, sigma), of a score s and a classifier of noisy points.

    For the unconditional score s_u and the exact classifier it is (1 - w) s_u + w s_c, since by Bayes
    grad log p(c | x, sigma) = s_c - s_u: the ``classifier_free`` score of the same weight. From the score of the class
    on, Dhariwal and Nichol's way, it is that of weight 1 + w.

    Source: Dhariwal & Nichol 2021 (arXiv:2105.05233), algorithm 1; Song et al. 2021 (arXiv:2011.13456), eq. 14.

    Args:
        score: s(x, sigma), such as ``p.score``.
        log_probability: log p(c | x, sigma), one number per point: ``class_log_probability(p, k)``, or the log-softmax
            of a trained classifier. The log of a probability that has underflowed to 0 is -inf and has no gradient:
            give ``log_softmax`` and not ``softmax(...).log()``.
        weight: w, any number.

    Raises:
        TypeError: unless both are functions of x and sigma, and the weight is a number.
        ValueError: if the weight is nan or inf; in a call, if log_probability is -inf at a point (on the CPU).
    """
    validate.score("score", score, of_sigma=True)
    validate.score(
        "log_probability", log_probability, of_sigma=True,
        remedy="give one of noisy points, such as guidance.class_log_probability(p, k)",
    )  # fmt: skip
    return _Classifier(score, log_probability, validate.finite("weight", weight))


@dataclass(frozen=True, eq=False)
class _Classifier:
    score: NoiseConditionalScore
    log_probability: LogProbability
    weight: float

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        s = call_field("score", self.score, x, sigma)
        return s + self.weight * gradient(partial(self._log_probability, sigma), x)

    def _log_probability(self, sigma: Tensor | float, x: Tensor) -> Tensor:
        values = call_log_prob("log_probability", self.log_probability, x, sigma)
        if validate.readable(values) and bool((nowhere := values.isneginf() & x.isfinite().all(-1)).any()):
            raise ValueError(
                f"log_probability is -inf at {int(nowhere.sum())} of {nowhere.numel()} points, and has no gradient "
                "there: a probability has underflowed to 0 before its log was taken. Give "
                "guidance.class_log_probability(p, k), or log_softmax in place of softmax(...).log()."
            )
        return values


def class_log_probability(density: HasClasses, k: int) -> LogProbability:
    """log p(k | x, sigma) of a mixture, the exact classifier, with its exact gradient s_k - s however far out.

    ``p.posterior(x, sigma)[..., k].log()`` is the same where it does not underflow.

    Args:
        density: a mixture, such as ``Mixture([0.5, 0.5], [fractal_tree(0), fractal_tree(1)])``.
        k: the class, from 0.

    Raises:
        TypeError: if the density is no mixture.
        ValueError: if there is no such class.
    """
    log_posterior = getattr(density, "log_posterior", None)
    if not callable(log_posterior) or isinstance(density, type):
        raise TypeError(f"density is {short(density)}, which has no log_posterior(x, sigma): give a mixture.")
    n = log_posterior(torch.zeros(1, 2, device="cpu"), 1.0).shape[-1]
    if validate.count("k", k, 0) >= n:
        raise ValueError(f"k is {k}: the classes of {short(density)} are 0 to {n - 1}.")
    return _ClassLogProbability(density, k)


@dataclass(frozen=True, eq=False)
class _ClassLogProbability:
    density: HasClasses
    k: int

    def __call__(self, x: Tensor, sigma: Tensor | float, /) -> Tensor:
        return self.density.log_posterior(x, sigma)[..., self.k]
