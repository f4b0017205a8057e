"""Entropy, cross-entropy and the Kullback-Leibler divergence of two densities, in nats, by quadrature."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab.densities.density import Density
from toylab.densities.quadrature import refined_expectation
from toylab.metrics.points import law, level


def kl_divergence(p: Density, q: Density, sigma: float = 0.0) -> float:
    """KL(p_sigma || q_sigma) = E[log p_sigma(X) - log q_sigma(X)], X ~ p_sigma, in nats, by quadrature.

    The grid is that of p, made finer until it resolves log q, too: the error is below 1e-8 (of the value, where that is
    greater than 1), or below 1e-5 where log q has kinks (``Laplace``) or ridges too narrow for 16 million nodes. A law
    made by ``from_energy`` is p to about its ``normaliser_error``.

    It is inf where q has no mass and p has some, as far as the ``bounds`` of p go, which leave out a mass of 1e-15.

    Args:
        p: the law that is averaged over; it must give ``bounds`` and ``length_scale``.
        q: the other one; only its ``log_prob`` is asked for.
        sigma: noise level of both.

    Raises:
        ValueError: at sigma = 0 if p or q has no density of its own (points, curves), or if no grid resolves log q.

    >>> from toylab.densities import isotropic
    >>> round(kl_divergence(isotropic([[0.0, 0.0]], 1.0), isotropic([[3.0, 4.0]], 1.0)), 9)
    12.5
    """
    p, q, sigma = law("p", p), law("q", q), level(sigma)
    return _mean(lambda x: _log_prob("p", p, x, sigma) - _log_prob("q", q, x, sigma), p, sigma)


def cross_entropy(p: Density, q: Density, sigma: float = 0.0) -> float:
    """H(p_sigma, q_sigma) = -E log q_sigma(X), X ~ p_sigma: the mean negative log-likelihood of q, in nats.

    It is the entropy of p_sigma plus ``kl_divergence``; arguments, error and what raises as there.
    """
    p, q, sigma = law("p", p), law("q", q), level(sigma)
    return _mean(lambda x: -_log_prob("q", q, x, sigma), p, sigma)


def entropy(p: Density, sigma: float = 0.0) -> float:
    """H(p_sigma) = -E log p_sigma(X), the differential entropy, in nats: what no model's cross-entropy is below.

    Arguments, error and what raises as for ``kl_divergence``.
    """
    return cross_entropy(p, p, sigma)


def _mean(f: Callable[[Tensor], Tensor], p: Density, sigma: float) -> float:
    with torch.no_grad():
        return refined_expectation(f, p, sigma)


def _log_prob(name: str, density: Density, x: Tensor, sigma: float) -> Tensor:
    log_p = density.log_prob(x, sigma)
    if bool(log_p.isnan().any()):
        where = [f"{float(entry):.4g}" for entry in x[log_p.isnan()][0]]
        raise ValueError(f"{name}.log_prob is nan at ({', '.join(where)}): a mean over it would be nothing.")
    return log_p
