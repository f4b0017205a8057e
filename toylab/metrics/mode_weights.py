"""How much of a sample each mode of a mixture holds."""

import math

import torch

from toylab.densities.density import Density
from toylab.metrics.estimate import Estimate
from toylab.metrics.evaluate import finite
from toylab.metrics.points import PointsLike, finite_points, law, level


def mode_weights(samples: PointsLike, density: Density, sigma: float = 0.0) -> list[Estimate]:
    """The share of the samples that belongs to each component of a mixture.

    A sample is assigned to the component of the highest posterior probability under p_sigma. The standard error is
    the binomial one, for independent samples (one from each of n independent chains): sqrt(w (1 - w) / n), where w
    is smoothed to (count + 1) / (n + 2) so that an empty mode does not claim to be known exactly. Of modes that
    overlap it is the mass where a component is the likeliest, not its weight.

    Args:
        samples: points, shape [n, 2], or chains; all finite.
        density: the mixture whose modes are counted; any density with a ``posterior``.
        sigma: noise level of the mixture.

    Returns:
        One estimate per component, in the order of the components.

    Raises:
        ValueError: if a sample is nan or inf.
        TypeError: if the density is not a mixture.
    """
    points = finite_points("samples", samples)
    n = len(points)
    posterior = finite("density.posterior", law("density", density).posterior(points, level(sigma)), points)
    counts = torch.bincount(posterior.argmax(-1), minlength=posterior.shape[-1]).tolist()
    smooth = [(count + 1) / (n + 2) for count in counts]
    return [Estimate(count / n, math.sqrt(w * (1 - w) / n)) for count, w in zip(counts, smooth, strict=True)]
