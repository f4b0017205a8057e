"""Numbers that hold what came out against the truth, each with its error bar where it has one."""

from toylab.densities.quadrature import expectation
from toylab.metrics.anatomy import curl, fokker_planck_residual
from toylab.metrics.annealed_law import AnnealedLaw, annealed_langevin_law, langevin_law
from toylab.metrics.convergence import Autocorrelation, Convergence, acceptance, autocorrelation, convergence
from toylab.metrics.distances import (
    TwoSample,
    energy_distance,
    histogram_divergence,
    kernel_stein_discrepancy,
    log_density_calibration,
    maximum_mean_discrepancy,
    sliced_wasserstein,
    wasserstein,
)
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.explain import ErrorDecomposition, ErrorTerms, explain
from toylab.metrics.fisher import (
    FisherByRegion,
    fisher_divergence,
    fisher_divergence_by_region,
    fisher_divergence_monte_carlo,
)
from toylab.metrics.maps import Extent, error_map, grid_points
from toylab.metrics.mode_weight_trace import ModeWeightTrace, mode_weight_ledger
from toylab.metrics.modes import mode_weights
from toylab.metrics.posterior import (
    posterior_covariance,
    posterior_covariance_at,
    posterior_mean,
    posterior_mean_at,
)

__all__ = [
    "ErrorTerms",
    "AnnealedLaw",
    "Autocorrelation",
    "Convergence",
    "ErrorDecomposition",
    "Estimate",
    "Extent",
    "FisherByRegion",
    "ModeWeightTrace",
    "TwoSample",
    "acceptance",
    "annealed_langevin_law",
    "autocorrelation",
    "convergence",
    "curl",
    "energy_distance",
    "error_map",
    "expectation",
    "explain",
    "fisher_divergence",
    "fisher_divergence_by_region",
    "fisher_divergence_monte_carlo",
    "fokker_planck_residual",
    "grid_points",
    "histogram_divergence",
    "kernel_stein_discrepancy",
    "langevin_law",
    "log_density_calibration",
    "maximum_mean_discrepancy",
    "mean_of",
    "mode_weight_ledger",
    "mode_weights",
    "posterior_covariance",
    "posterior_covariance_at",
    "posterior_mean",
    "posterior_mean_at",
    "sliced_wasserstein",
    "wasserstein",
]
