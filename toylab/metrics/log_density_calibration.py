"""Is log p at the samples as large as it should be on average?"""

import torch

from toylab.densities.density import Density
from toylab.densities.quadrature import expectation
from toylab.metrics.estimate import Estimate, mean_of
from toylab.metrics.evaluate import finite
from toylab.metrics.points import PointsLike, finite_points, law, level


@torch.no_grad()
def log_density_calibration(samples: PointsLike, density: Density, sigma: float = 0.0) -> Estimate:
    """E log p(X) over the samples + the entropy of p: 0 for samples from p, below 0 for too wide a cloud.

    Args:
        samples: points [n, 2], or chains.
        density: the truth; its entropy is found by quadrature.
        sigma: noise level of the truth.

    Raises:
        ValueError: if samples lie where the law has no density.
    """
    points = finite_points("samples", samples)
    if len(points) < 2:
        raise ValueError("samples holds a single point: an error bar needs at least 2.")
    law("density", density)
    sigma = level(sigma)
    entropy = -expectation(lambda x: density.log_prob(x, sigma), density, sigma)
    mean = mean_of(finite("log p", density.log_prob(points.double(), sigma), points))
    return Estimate(mean.value + entropy, mean.standard_error)
