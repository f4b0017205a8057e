"""Numbers that compare what came out with the truth, each with its error bar where it has one."""

from toylab.densities.quadrature import expectation
from toylab.metrics.acceptance import acceptance
from toylab.metrics.annealed_law import AnnealedLaw, annealed_langevin_law, langevin_law
from toylab.metrics.autocorrelation import Autocorrelation, autocorrelation
from toylab.metrics.convergence import Convergence, convergence
from toylab.metrics.curl import curl
from toylab.metrics.energy_distance import energy_distance
from toylab.metrics.error_decomposition import ErrorDecomposition, ErrorTerms
from toylab.metrics.error_map import error_map
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.explain import explain
from toylab.metrics.fisher_by_region import FisherByRegion, fisher_divergence_by_region
from toylab.metrics.fisher_divergence import fisher_divergence, fisher_divergence_monte_carlo
from toylab.metrics.fokker_planck_residual import fokker_planck_residual
from toylab.metrics.grid import Extent, grid_points
from toylab.metrics.histogram import histogram
from toylab.metrics.histogram_divergence import histogram_divergence
from toylab.metrics.kernel_stein_discrepancy import kernel_stein_discrepancy
from toylab.metrics.kl_divergence import cross_entropy, entropy, kl_divergence
from toylab.metrics.likelihood_bound import LikelihoodBound, flow_kl_divergence, likelihood_bound
from toylab.metrics.log_density_calibration import log_density_calibration
from toylab.metrics.maximum_mean_discrepancy import maximum_mean_discrepancy
from toylab.metrics.mode_weight_trace import ModeWeightTrace, mode_weight_trace
from toylab.metrics.mode_weights import mode_weights
from toylab.metrics.posterior import posterior_covariance, posterior_covariance_at, posterior_mean, posterior_mean_at
from toylab.metrics.sliced_wasserstein import sliced_wasserstein
from toylab.metrics.two_sample import TwoSample
from toylab.metrics.two_sample_floor import two_sample_floor
from toylab.metrics.wasserstein import wasserstein

__all__ = [
    "AnnealedLaw",
    "Autocorrelation",
    "Convergence",
    "ErrorDecomposition",
    "ErrorTerms",
    "Estimate",
    "Extent",
    "FisherByRegion",
    "LikelihoodBound",
    "ModeWeightTrace",
    "TwoSample",
    "acceptance",
    "annealed_langevin_law",
    "autocorrelation",
    "convergence",
    "cross_entropy",
    "curl",
    "energy_distance",
    "entropy",
    "error_map",
    "expectation",
    "explain",
    "fisher_divergence",
    "fisher_divergence_by_region",
    "fisher_divergence_monte_carlo",
    "flow_kl_divergence",
    "fokker_planck_residual",
    "grid_points",
    "histogram",
    "histogram_divergence",
    "kernel_stein_discrepancy",
    "kl_divergence",
    "langevin_law",
    "likelihood_bound",
    "log_density_calibration",
    "maximum_mean_discrepancy",
    "mean_of",
    "mode_weight_trace",
    "mode_weights",
    "posterior_covariance",
    "posterior_covariance_at",
    "posterior_mean",
    "posterior_mean_at",
    "sliced_wasserstein",
    "two_sample_floor",
    "wasserstein",
]
