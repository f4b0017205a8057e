"""The Kullback-Leibler divergence of a histogram from a density."""

import math

import numpy as np
import torch
from torch import Tensor

from toylab.densities.density import Density
from toylab.metrics.estimate import Estimate
from toylab.metrics.grid import Extent, grid_points
from toylab.metrics.histogram import cell_counts
from toylab.metrics.points import finite_points
from toylab.samplers.chains import Chains


def histogram_divergence(
    samples: Tensor | Chains, density: Density, extent: Extent, *, n: int = 32, sigma: float = 0.0
) -> Estimate:
    """KL(histogram of the samples || the law on the same cells), less its mean for samples from the law itself.

    With B cells and N samples from the law itself, 2 N KL is nearly chi-squared with B - 1 degrees of freedom: the mean
    (B - 1) / (2 N) is subtracted, and the error bar is the standard deviation of that distribution. A cell that the
    samples hit and the law nearly excludes counts as much as it should: the divergence is that of the samples.

    Args:
        samples: points [N, 2], or chains; those outside the rectangle are one more cell.
        density: the truth; its mass in a cell is taken at 5 x 5 points of it.
        extent: the rectangle (left, right, bottom, top).
        n: cells per side.
        sigma: noise level of the truth.
    """
    points = finite_points("samples", samples)
    left, right, bottom, top = extent
    fine = grid_points(extent, 5 * n, dtype=torch.float64)
    p = density.log_prob(fine, sigma).exp().view(n, 5, n, 5).mean((1, 3)) * ((right - left) * (top - bottom) / n**2)
    mass = torch.cat([p.flatten(), (1 - p.sum()).clamp(min=1e-12)[None]]).numpy()
    counts, total = cell_counts(points, extent, n)
    share = np.append(counts.ravel(), total - counts.sum()) / total
    hit = share > 0
    divergence = float((share[hit] * np.log(share[hit] / np.maximum(mass[hit], 1e-300))).sum())
    expected = np.maximum(total * mass, 1e-300)
    cells = int((expected > 0.5).sum())  # cells that the law never fills add nothing to the mean
    return Estimate(divergence - (cells - 1) / (2 * total), math.sqrt(max(cells - 1, 1) / 2) / total)
