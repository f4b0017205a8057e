"""The straight path from a source to the data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab.densities.density import Density
from toylab.paths.gaussian import require_law, start_of
from toylab.paths.sources import exact_irreducible, exact_velocity
from toylab.paths.times import check_ends, time_like, time_tensor


@dataclass(frozen=True)
class Linear:
    """x_t = (1 - t) x_0 + t x_1, at the constant velocity x_1 - x_0.

    From the source N(0, I) it is the Gaussian path alpha = t, sigma = 1 - t: with D = E[x_1 | x_t = x] the marginal
    velocity is D - E[x_0 | x_t = x] = (D - x) / (1 - t), and in terms of the score s_t of x_t, (x + (1 - t) s_t) / t.
    Source: Lipman et al. 2023 (arXiv:2210.02747); Liu et al. 2023 (arXiv:2209.03003), rectified flow.

    Args:
        source: the law of x_0; None is N(0, I). Any density can be trained from and sampled from; the velocity is known
            from a ``GaussianMixture`` to another one, and from one with round components, such as ``ring()``, to any
            density.

    >>> from toylab.densities import two_modes
    >>> Linear().velocity(two_modes(), torch.zeros(2), 0.0)  # towards the mean of the data
    tensor([3., 3.])
    """

    source: Density | None = None

    def __post_init__(self) -> None:
        if self.source is not None:
            require_law("source", self.source)

    def alpha(self, t: Tensor | float) -> Tensor:
        """t, the share of x_1; shape of t."""
        return time_tensor(t)

    def sigma(self, t: Tensor | float) -> Tensor:
        """1 - t, the share of x_0; shape of t."""
        return 1 - time_tensor(t)

    def rates(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """1 and -1, each of the shape of t."""
        one = torch.ones_like(time_tensor(t))
        return one, -one

    def start(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws of x_0, of the shape, dtype and device of ``like`` [..., 2]."""
        return start_of(self.source, like, generator)

    def point(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """(1 - t) x0 + t x1, for points [..., 2] and a time or one per point."""
        check_ends(x0, x1)
        time = time_like(t, x1)[..., None]
        return (1 - time) * x0 + time * x1

    def derivative(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """x1 - x0, shape [..., 2]."""
        check_ends(x0, x1)
        time_like(t, x1)
        return x1 - x0

    def velocity(self, density: Density, x: Tensor, t: Tensor | float) -> Tensor:
        """E[x_1 - x_0 | x_t = x] for independent x_0 and x_1, exact; shape of x [..., 2].

        Args:
            density: p, the law of x_1.
            x: points, shape [..., 2].
            t: the time, a number or one per point.

        Raises:
            ValueError: from a source other than N(0, I) or a Gaussian mixture; from one with elongated components
                unless ``density`` is a Gaussian mixture, too; and at t = 1 if the law has no density of its own
                (points, curves).
        """
        return exact_velocity(self, self.source, require_law("density", density), x, t)

    def irreducible(self, density: Density, t: float) -> float:
        """1/2 E|x_1 - x_0 - v(x_t, t)|^2 at the time t, by quadrature.

        Raises:
            ValueError: from a source other than N(0, I) or a Gaussian mixture; from one with elongated components to a
                law that is known by its density alone (``from_energy``, truncated ones); from several components to a
                mixture of laws with edges and others; if the law has no second moment, or no grid resolves it.
        """
        return exact_irreducible(self, self.source, require_law("density", density), t)
