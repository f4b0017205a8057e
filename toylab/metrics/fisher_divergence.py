"""The Fisher divergence J = 1/2 E|s(X) - grad log p(X)|^2 between a field and the truth."""

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.evaluate import evaluate, finite
from toylab.metrics.points import law, level
from toylab.score import Score

_AT_ONCE = 1_000_000  # samples


@torch.no_grad()
def fisher_divergence(score: Score, density: Density, sigma: float = 0.0) -> float:
    """J = 1/2 E|s(X) - grad log p_sigma(X)|^2 under p_sigma, by quadrature on a grid that covers all of it.

    Args:
        score: the field s; it is called in the density's dtype and on its device.
        density: the truth; it must give ``bounds`` and ``length_scale``.
        sigma: noise level of the truth.

    Raises:
        ValueError: if the score is nan or inf where the law has mass.
    """
    validate.score("score", score)
    law("density", density)
    sigma = level(sigma)
    return expectation(lambda x: half_squared_error(score, density, x, sigma), density, sigma)


@torch.no_grad()
def fisher_divergence_monte_carlo(
    score: Score, density: Density, n: int, sigma: float = 0.0, *, generator: torch.Generator | None = None
) -> Estimate:
    """The same J from n exact samples of p_sigma, with its standard error; it holds one number per sample."""
    validate.score("score", score)
    n = validate.count("n", n, least=2)
    law("density", density)
    sigma = level(sigma)
    noised = density.noised(sigma) if sigma > 0 else density
    losses = []
    for size in torch.arange(n, device="cpu").split(_AT_ONCE):
        x = noised.sample((len(size),), generator=generator).double()
        losses.append(half_squared_error(score, density, x, sigma))
    return mean_of(torch.cat(losses))


def half_squared_error(score: Score, density: Density, x: Tensor, sigma: float) -> Tensor:
    """1/2 |s(x) - grad log p_sigma(x)|^2 at points [..., 2], shape [...]; both must be finite."""
    found = finite("score", evaluate(score, density, x), x)
    return 0.5 * (found - finite("density.score", density.score(x, sigma), x)).square().sum(-1)
