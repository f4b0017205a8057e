"""Where the Fisher divergence comes from: the region where the mass lies, and the rest."""

import math
from dataclasses import dataclass

import torch

from toylab._internal import validate
from toylab._internal.display import html_table, text_table
from toylab.densities.density import Density
from toylab.metrics.fisher_divergence import fisher_divergence, half_squared_error
from toylab.metrics.grid import Extent, cells_per_side, grid_points
from toylab.metrics.points import law, level
from toylab.score import Score

_OFF = 0.02  # that the mass of the cells may be above 1: an edge of the density may run through them


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return text_table("FisherByRegion", self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("overall", f"{self.overall:.5g}"),
            (f"inside, {self.mass:.1%} of the mass", f"{self.inside:.5g}"),
            ("outside", f"{self.outside:.5g}"),
            ("outside, mean over the area", f"{self.outside_area:.5g}"),
        ]


@torch.no_grad()
def fisher_divergence_by_region(
    score: Score, density: Density, extent: Extent, *, mass: float = 0.95, sigma: float = 0.0, n: int = 500
) -> FisherByRegion:
    """The Fisher divergence split into a region of high density and the rest of a drawn rectangle.

    The region is {p_sigma >= c}, with c such that it holds ``mass``; region and rest are summed over n x n cells, so
    that there is no error bar.

    Args:
        score: the field s; it is called in the density's dtype and on its device.
        density: the truth.
        extent: the rectangle (left, right, bottom, top).
        mass: share of the probability inside the region, between 0 and 1.
        sigma: noise level of the truth.
        n: cells per side.

    Raises:
        ValueError: if the rectangle itself holds less than ``mass``, or its cells are too coarse to add up to 1.
    """
    validate.score("score", score)
    law("density", density)
    sigma, mass, (left, right, bottom, top) = (
        level(sigma),
        validate.finite("mass", mass),
        validate.extent("extent", extent),
    )
    cells_per_side(n)
    side, scale = max(right - left, top - bottom) / n, density.length_scale(sigma)
    if side > 2 * scale > 0:
        raise ValueError(
            f"n is {n}: the density varies within a cell of side {side:.3g} (its length_scale is {scale:.3g}). Give "
            f"n = {math.ceil(side * n / scale)}, or a smaller extent."
        )
    if not 0 < mass < 1:
        raise ValueError(f"mass is {mass}: it must lie between 0 and 1, for example 0.95.")
    x = grid_points((left, right, bottom, top), n, dtype=torch.float64).view(-1, 2)
    p = density.log_prob(x, sigma).exp() * ((right - left) * (top - bottom) / n**2)
    order = p.argsort(descending=True)
    held = p[order].cumsum(0)
    if not held[-1] < 1 + _OFF:
        raise ValueError(
            f"density has a mass of {float(held[-1]):.4g} on {n} x {n} cells of extent {extent}: it is not normalised, "
            f"or varies faster than its length_scale, {scale:.3g}, says. Correct these, or give more cells, by n."
        )
    if held[-1] < mass:
        raise ValueError(f"extent {extent} holds only {float(held[-1]):.3f} of the mass: enlarge it, or lower mass.")
    n_inside = int((held < mass).sum()) + 1
    error = half_squared_error(score, density, x, sigma)
    inside, outside = order[:n_inside], order[n_inside:]
    return FisherByRegion(
        overall=fisher_divergence(score, density, sigma),
        inside=float((p * error)[inside].sum() / p[inside].sum()),
        outside=float((p * error)[outside].sum() / p[outside].sum()),
        outside_area=float(error[outside].mean()),
        mass=float(held[n_inside - 1]),
    )
