"""A path with noise on the way: x_t = alpha(t) x_1 + sigma(t) x_0 + gamma(t) z."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab.densities import GaussianMixture, isotropic
from toylab.densities.density import Density
from toylab.paths.gaussian import GaussianPath, check_schedule, rate, require_law
from toylab.paths.linear import Linear
from toylab.paths.marginal import marginal_velocity, product_at_an_end, require_finite
from toylab.paths.pairs import pair_left
from toylab.paths.path import Schedule
from toylab.paths.posterior import posterior
from toylab.paths.shares import Shares
from toylab.paths.sources import score_between, velocity_between
from toylab.paths.times import check_ends, time_like, time_tensor

_ZERO = 1e-6


@dataclass(frozen=True)
class Interpolant:
    """x_t = I_t + gamma(t) z: a path I_t from x_0 to x_1, with latent noise z ~ N(0, I) that is gone at both ends.

    The noise smooths the law of x_t between the ends, for t in (0, 1), whatever source and data are: it has a score
    there, s(x, t) = -E[z | x_t = x] / gamma. With the velocity v(x, t) = E[I'_t + gamma' z | x_t = x] this gives, for
    any epsilon >= 0, a process of the same laws, dx = (v + epsilon s) dt + sqrt(2 epsilon) dw.
    From N(0, I) alone a latent is only another schedule, that of the noise sqrt(sigma^2 + gamma^2).
    Source: Albergo, Boffi & Vanden-Eijnden 2023 (arXiv:2303.08797), eq. 4.1.

    Args:
        path: I_t, such as ``Linear(source)`` or ``cosine()``.
        gamma: maps times in [0, 1] to the standard deviation of the latent noise, at least 0, and 0 at both ends; made
            of torch's functions. gamma^2 has a finite derivative on [0, 1]; gamma itself need not have one at the ends,
            as that of a Brownian bridge, sqrt(t (1 - t)).

    >>> path = Interpolant(Linear(), lambda t: (t * (1 - t)).sqrt())
    >>> path.point(torch.zeros(2), torch.ones(2), 0.5, torch.ones(2))
    tensor([1., 1.])
    """

    path: Linear | GaussianPath
    gamma: Schedule

    def __post_init__(self) -> None:
        if not isinstance(self.path, Linear | GaussianPath):
            raise TypeError(f"path is {short(self.path)}: give the path to be noised, such as Linear() or cosine().")
        check_schedule("gamma", self.gamma, "lambda t: t * (1 - t)")
        ends = self.gamma(torch.tensor([0.0, 1.0], dtype=torch.float64, device="cpu"))
        if not bool((ends.abs() < _ZERO).all()):
            raise ValueError(
                f"gamma gives {short(ends.tolist())} at the times 0 and 1: where the path meets source and data there "
                "is no noise. Give a function that is 0 there, as lambda t: t * (1 - t)."
            )

    def gamma_rate(self, t: Tensor | float) -> Tensor:
        """gamma'(t), shape of t; at the ends it may be inf or nan."""
        return rate(self.gamma, time_tensor(t))

    def start(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws of x_0, of the shape, dtype and device of ``like`` [..., 2]."""
        return self.path.start(like, generator)

    def point(self, x0: Tensor, x1: Tensor, t: Tensor | float, z: Tensor) -> Tensor:
        """I_t + gamma(t) z, for points [..., 2], a time or one per point, and draws z of N(0, I), shape of x1."""
        check_ends(z, x1, "z")
        return self.path.point(x0, x1, t) + self.gamma(time_like(t, x1))[..., None] * z

    def derivative(self, x0: Tensor, x1: Tensor, t: Tensor | float, z: Tensor) -> Tensor:
        """I'_t + gamma'(t) z, shape [..., 2]; z is that of ``point``."""
        check_ends(z, x1, "z")
        return self.path.derivative(x0, x1, t) + self.gamma_rate(time_like(t, x1))[..., None] * z

    def velocity(self, density: Density, x: Tensor, t: Tensor | float) -> Tensor:
        """E[I'_t + gamma' z | x_t = x], exact, at the ends, too; shape of x [..., 2].

        Args:
            density: p, the law of x_1.
            x: points, shape [..., 2].
            t: the time, a number or one per point.

        Raises:
            ValueError: from a source of which it is not known, as in ``Linear``; at t = 1 if the law has no density of
                its own (points, curves); where gamma gamma' has no limit.
        """
        require_law("density", density)
        if self.path.source is None:
            return marginal_velocity(_Widened(self), density, x, t)
        return velocity_between(self.path.source, density, x, self._shares(time_like(t, x)))

    def score(self, density: Density, x: Tensor, t: Tensor | float) -> Tensor:
        """grad log p_t(x) = -E[z | x_t = x] / gamma, exact; arguments and what it raises are those of ``velocity``."""
        require_law("density", density)
        time = time_like(t, x)
        if self.path.source is None:
            return posterior(density, x, self.path.alpha(time), _Widened(self).sigma(time)).score
        return score_between(self.path.source, density, x, self._shares(time))

    def irreducible(self, density: Density, t: float) -> float:
        """1/2 E|x'_t - v(x_t, t)|^2 - 1/2 E|gamma' z|^2 at the time t, by quadrature.

        The second term, gamma'^2, is what ``FlowMatching`` leaves out of its loss, and is infinite at the ends for
        gamma = sqrt(t (1 - t)). The rest is finite, and may be negative.

        Raises:
            ValueError: unless source and density are Gaussian mixtures; N(0, I) is one.
        """
        source = isotropic([[0.0, 0.0]], 1.0) if self.path.source is None else self.path.source
        require_law("density", density)
        if not isinstance(source, GaussianMixture) or not isinstance(density, GaussianMixture):
            raise ValueError(
                f"source is {short(source)} and density {short(density)}: with latent noise the irreducible loss is "
                "known between Gaussian mixtures alone. Training and sampling do not need it."
            )
        return pair_left(source, density, self._shares(time_like(t, density.means)))

    def _shares(self, t: Tensor) -> Shares:
        alpha_rate, sigma_rate = require_finite(t, *self.path.rates(t))
        return Shares(
            self.path.sigma(t), self.path.alpha(t), sigma_rate, alpha_rate, self.gamma(t) ** 2, self.gamma_slope(t)
        )

    def gamma_slope(self, t: Tensor | float) -> Tensor:
        """gamma gamma', half the derivative of gamma^2, shape of t: at the ends its limit, if gamma' is not finite."""
        time, gamma_rate = time_tensor(t), self.gamma_rate(t)
        steep = ~gamma_rate.isfinite()
        inside = self.gamma(time) * gamma_rate
        if validate.readable(steep) and not bool(steep.any()):
            return inside
        return torch.where(steep, product_at_an_end(lambda s: self.gamma(s) * self.gamma_rate(s), time, steep), inside)


@dataclass(frozen=True)
class _Widened:
    """The path x_t = alpha x_1 + sqrt(sigma^2 + gamma^2) z, whose laws and velocity are those of one from N(0, I)."""

    of: Interpolant

    def alpha(self, t: Tensor) -> Tensor:
        return self.of.path.alpha(t)

    def sigma(self, t: Tensor) -> Tensor:
        return (self.of.path.sigma(t) ** 2 + self.of.gamma(t) ** 2).sqrt()

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha_rate, sigma_rate = self.of.path.rates(t)
        total = self.sigma(t)
        inside = sigma_rate * (self.of.path.sigma(t) / total) + self.of.gamma_slope(t) / total
        at_the_end = -torch.hypot(sigma_rate, self.of.gamma_rate(t))  # where total is 0
        return alpha_rate, torch.where(total > 0, inside, at_the_end)
