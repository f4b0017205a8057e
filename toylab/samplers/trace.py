"""Divergences along the probability flow: exact ones, and estimates from random directions."""

from collections.abc import Callable

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import integers
from toylab.score import Score, value_and_divergence, value_and_jvp

Divergences = Callable[[Score, Tensor], tuple[Tensor, Tensor]]
"""From a field and points [n, 2] to its values [n, 2] and m estimates of its divergence [m, n]."""
Trace = Callable[[Tensor], Divergences]
"""How to take divergences along a whole run that starts at points [n, 2]."""


def exact_trace(x: Tensor) -> Divergences:
    """The divergence itself, by forward mode along both axes."""

    def divergences(field: Score, x: Tensor) -> tuple[Tensor, Tensor]:
        values, divergence = value_and_divergence(field, x)
        return values, divergence[None]

    return divergences


def hutchinson(n_projections: int = 8, *, generator: torch.Generator | None = None) -> Trace:
    """Estimates v^T (grad field) v of the divergence, v of random signs, the same all along the run.

    Each is unbiased, since E v v^T = I; in the plane v^T J v = J_11 + J_22 +- (J_12 + J_21), so that all the noise
    comes from off the diagonal. In the plane the exact trace is cheaper; this is the method for high dimension.
    Source: Hutchinson 1990; Grathwohl et al. 2019 (arXiv:1810.01367).

    Args:
        n_projections: independent v's per point; the standard error needs at least 2.
        generator: source of randomness; None is torch's global stream.
    """
    n_projections = validate.count("n_projections", n_projections)

    def trace(x: Tensor) -> Divergences:
        signs = integers(2, (n_projections, *x.shape), device=x.device, generator=generator)
        v = (2 * signs - 1).to(x)

        def divergences(field: Score, x: Tensor) -> tuple[Tensor, Tensor]:
            values, jvp = value_and_jvp(field, x.expand_as(v), v)
            return values[0], (v * jvp).sum(-1)

        return divergences

    return trace
