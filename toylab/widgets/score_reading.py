"""What the score at a point says about where the point came from."""

from dataclasses import dataclass

import torch

from toylab.densities import Density
from toylab.metrics import posterior_mean


@dataclass(frozen=True)
class Reading:
    """What is known at a point x about the density of X + sigma Z.

    Attributes:
        point: x.
        score: grad log p_sigma(x).
        log_prob: log p_sigma(x).
        mean: E[X | X + sigma Z = x], the posterior mean, by Tweedie's formula.
    """

    point: tuple[float, float]
    score: tuple[float, float]
    log_prob: float
    mean: tuple[float, float]


def read_score(density: Density, sigma: float, point: tuple[float, float]) -> Reading:
    """The exact score, log-density and posterior mean at a point.

    Args:
        density: the clean density.
        sigma: standard deviation of the noise; without any, the point itself is clean.
        point: where.
    """
    x = torch.tensor(point, dtype=torch.float64, device="cpu")
    score = density.score(x, sigma)
    mean = posterior_mean(density.score, x, sigma) if sigma > 0 else x
    return Reading(
        point=point,
        score=(float(score[0]), float(score[1])),
        log_prob=float(density.log_prob(x, sigma)),
        mean=(float(mean[0]), float(mean[1])),
    )
