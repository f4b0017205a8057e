"""The Fisher divergence J = 1/2 E|s(X) - grad log p(X)|^2 between a field and the truth."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.maps import Extent, grid_points, learned
from toylab.score import Score


@torch.no_grad()
def fisher_divergence(score: Score, density: Density, sigma: float = 0.0) -> float:
    """J = 1/2 E|s(X) - grad log p_sigma(X)|^2 under p_sigma, by quadrature on a grid that covers all of it.

    Args:
        score: the field s; it is called in the density's dtype and on its device.
        density: the truth; it must give ``bounds`` and ``length_scale``.
        sigma: noise level of the truth.
    """
    return expectation(_half_square(score, density, sigma), density, sigma)


@torch.no_grad()
def fisher_divergence_monte_carlo(
    score: Score, density: Density, n: int, sigma: float = 0.0, *, generator: torch.Generator | None = None
) -> Estimate:
    """The same J from n exact samples of p_sigma, with its standard error."""
    validate.count("n", n, least=2)
    law = density.noised(sigma) if sigma > 0 else density
    return mean_of(_half_square(score, density, sigma)(law.sample((n,), generator=generator).double()))


@dataclass(frozen=True)
class FisherByRegion:
    """The Fisher divergence, and where it comes from.

    Attributes:
        overall: 1/2 E|s - s*|^2 under p.
        inside: the same, given that X lies in the region of highest density that holds the stated mass.
        outside: the same, given that X lies in the rest of the drawn rectangle.
        outside_area: 1/2 |s - s*|^2 averaged over the area of that rest, every place counting alike.
        mass: mass of the region.
    """

    overall: float
    inside: float
    outside: float
    outside_area: float
    mass: float


@torch.no_grad()
def fisher_divergence_by_region(
    score: Score, density: Density, extent: Extent, *, mass: float = 0.95, sigma: float = 0.0, n: int = 500
) -> FisherByRegion:
    """The Fisher divergence split into a region of high density and the rest of a drawn rectangle.

    The region is {p_sigma >= c}, with c such that it holds ``mass``; region and rest are summed over n x n cells.

    Args:
        score: the field s; it is called in the density's dtype and on its device.
        density: the truth.
        extent: the rectangle (left, right, bottom, top).
        mass: share of the probability inside the region, between 0 and 1.
        sigma: noise level of the truth.
        n: cells a side.

    Raises:
        ValueError: if the rectangle itself holds less than ``mass``.
    """
    if not 0 < mass < 1:
        raise ValueError(f"mass is {mass}: it must lie between 0 and 1, for example 0.95.")
    x = grid_points(extent, n, dtype=torch.float64).view(-1, 2)
    left, right, bottom, top = extent
    p = density.log_prob(x, sigma).exp() * ((right - left) * (top - bottom) / n**2)
    order = p.argsort(descending=True)
    held = p[order].cumsum(0)
    if held[-1] < mass:
        raise ValueError(f"extent {extent} holds only {float(held[-1]):.3f} of the mass: enlarge it, or lower mass.")
    n_inside = int((held < mass).sum()) + 1
    error = _half_square(score, density, sigma)(x)
    inside, outside = order[:n_inside], order[n_inside:]
    return FisherByRegion(
        overall=fisher_divergence(score, density, sigma),
        inside=float((p * error)[inside].sum() / p[inside].sum()),
        outside=float((p * error)[outside].sum() / p[outside].sum()),
        outside_area=float(error[outside].mean()),
        mass=float(held[n_inside - 1]),
    )


def _half_square(score: Score, density: Density, sigma: float):  # noqa: ANN202
    def half_square(x: Tensor) -> Tensor:
        return 0.5 * (learned(score, density, x) - density.score(x, sigma)).square().sum(-1)

    return half_square
