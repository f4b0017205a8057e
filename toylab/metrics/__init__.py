"""Numbers that hold what came out against the truth, each with its error bar where it has one."""

from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.fisher import (
    FisherByRegion,
    fisher_divergence,
    fisher_divergence_by_region,
    fisher_divergence_monte_carlo,
)
from toylab.metrics.maps import Extent, error_map, grid_points
from toylab.metrics.modes import mode_weights

__all__ = [
    "Estimate",
    "Extent",
    "FisherByRegion",
    "error_map",
    "fisher_divergence",
    "fisher_divergence_by_region",
    "fisher_divergence_monte_carlo",
    "grid_points",
    "mean_of",
    "mode_weights",
]
