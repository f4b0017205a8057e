"""The Fisher divergence J = 1/2 E|s(X) - grad log p(X)|^2 between a field and the truth."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.evaluate import evaluate
from toylab.score import Score


@torch.no_grad()
def fisher_divergence(score: Score, density: Density, sigma: float = 0.0) -> float:
    """J = 1/2 E|s(X) - grad log p_sigma(X)|^2 under p_sigma, by quadrature on a grid that covers all of it.

    Args:
        score: the field s; it is called in the density's dtype and on its device.
        density: the truth; it must give ``bounds`` and ``length_scale``.
        sigma: noise level of the truth.
    """
    validate.score("score", score)
    return expectation(lambda x: half_squared_error(score, density, x, sigma), density, sigma)


@torch.no_grad()
def fisher_divergence_monte_carlo(
    score: Score, density: Density, n: int, sigma: float = 0.0, *, generator: torch.Generator | None = None
) -> Estimate:
    """The same J from n exact samples of p_sigma, with its standard error."""
    validate.score("score", score)
    validate.count("n", n, least=2)
    noised = density.noised(sigma) if sigma > 0 else density
    x = noised.sample((n,), generator=generator).double()
    return mean_of(half_squared_error(score, density, x, sigma))


def half_squared_error(score: Score, density: Density, x: Tensor, sigma: float) -> Tensor:
    """1/2 |s(x) - grad log p_sigma(x)|^2 at points [..., 2], shape [...]."""
    return 0.5 * (evaluate(score, density, x) - density.score(x, sigma)).square().sum(-1)
