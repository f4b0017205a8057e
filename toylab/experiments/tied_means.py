"""A posterior with two modes: a mixture whose two means share a parameter, as Welling & Teh sampled it.

    theta_1 ~ N(0, 10),  theta_2 ~ N(0, 1),  y_i ~ 1/2 N(theta_1, 2) + 1/2 N(theta_1 + theta_2, 2)

The likelihood does not know which component is which: (theta_1, theta_2) and (theta_1 + theta_2, -theta_2) give the
same. Source: Welling & Teh 2011, section 5.1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal.devices import constant
from toylab._internal.random import normal, uniform
from toylab.densities import Density, from_energy

PRIOR_VARIANCES = (10.0, 1.0)
VARIANCE = 2.0  # of a component
TRUTH = (0.0, 1.0)
EXTENT = (-4.0, 4.0, -5.0, 5.0)  # outside, the posterior of 100 data has a mass below 1e-7


def draw_data(n: int, *, device: torch.device | str = "cpu", generator: torch.Generator | None = None) -> Tensor:
    """n observations at the true parameters, [n, 1]."""
    shape, device = (n, 1), torch.device(device)
    second = uniform(shape, dtype=torch.float64, device=device, generator=generator) < 0.5
    noise = normal(shape, dtype=torch.float64, device=device, generator=generator)
    return TRUTH[0] + torch.where(second, TRUTH[1], 0.0) + math.sqrt(VARIANCE) * noise


def prior_score(x: Tensor) -> Tensor:
    """Grad log p(theta)."""
    return -x / constant(PRIOR_VARIANCES, x)


def likelihood_score(x: Tensor, y: Tensor) -> Tensor:
    """sum_i grad log p(y_i | theta) for theta [n, 2] and y [n, B, 1], shape [n, 2].

    With r_i the probability that y_i came from the second component: theta_1 moves the means of both, theta_2 that of
    the second alone.
    """
    from_first = y[..., 0] - x[:, :1]
    from_second = from_first - x[:, 1:]
    r = torch.sigmoid((from_first.square() - from_second.square()) / (2 * VARIANCE))
    of_second = (r * from_second).sum(-1)
    return torch.stack([((1 - r) * from_first).sum(-1) + of_second, of_second], -1) / VARIANCE


@dataclass(frozen=True, eq=False)
class TiedMeans:
    """The posterior of theta.

    Attributes:
        y: the data, [N, 1] in float64.
    """

    y: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(theta) + sum_i log p(y_i | theta) up to a constant, for theta [..., 2]."""
        first = (self.y[:, 0].to(x) - x[..., :1]).square()
        second = (self.y[:, 0].to(x) - x[..., :1] - x[..., 1:]).square()
        likelihood = torch.logaddexp(-first / (2 * VARIANCE), -second / (2 * VARIANCE)).sum(-1)
        return likelihood - 0.5 * (x.square() / constant(PRIOR_VARIANCES, x)).sum(-1)

    def score(self, x: Tensor) -> Tensor:
        """Its gradient at theta [n, 2], by all of the data."""
        return prior_score(x) + likelihood_score(x, self.y.to(x).expand(len(x), -1, -1))

    def normalised(self, n_cells: int = 64) -> Density:
        """The same as a density, with its constant by quadrature."""
        return from_energy(lambda x: -self.log_prob(x), EXTENT, n_cells=n_cells)
