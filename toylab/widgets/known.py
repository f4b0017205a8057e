"""What is known of a density: at which noise, and how long a picture of it takes."""

import math
import time

import torch

from toylab.densities import Density
from toylab.metrics import Extent, grid_points

SECONDS = 0.25  # that a picture may take
_PROBE = 10  # points per side that are timed


def refusal(density: Density, sigma: float) -> str:
    """What the density says when it is asked for log p_sigma and its score; "" if it knows them."""
    x = torch.zeros(1, 2, dtype=torch.float64, device="cpu")
    try:
        density.log_prob(x, sigma)
        density.score(x, sigma)
    except (ValueError, TypeError, NotImplementedError) as error:
        return str(error)
    return ""


def cells_in_time(density: Density, sigma: float, extent: Extent, most: int) -> int:
    """Cells per side of the finest grid whose log p takes ``SECONDS``, from 20 to ``most``."""
    x = grid_points(extent, _PROBE, dtype=torch.float64)
    density.log_prob(x[:1, :1], sigma)  # what is computed once for all points
    begun = time.perf_counter()
    density.log_prob(x, sigma)
    seconds = (time.perf_counter() - begun) / _PROBE**2
    return min(most, max(20, int(math.sqrt(SECONDS / seconds))))
