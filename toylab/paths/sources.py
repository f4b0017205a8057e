"""From which sources to which data velocity and score of x_t = a x_0 + b x_1 + gamma z are known, and what is left.

Without a latent z, given x_t, x'_t varies with x_0 alone, by the factor a' - b' a / b, so that with r = a / b

    1/2 E|x'_t - v|^2 = (b' a - a' b)^2 / b^2 B(r),   B(r) = 1/2 E|x_0 - E[x_0 | x_1 + r x_0]|^2.
"""

import torch
from torch import Tensor

from toylab._internal.display import short
from toylab.densities import GaussianMixture
from toylab.densities.density import Density
from toylab.densities.smoothing import left, variance
from toylab.paths.marginal import NOTHING, marginal_velocity, require_finite, unexplained
from toylab.paths.pairs import pair_score, pair_velocity
from toylab.paths.path import NoisePath
from toylab.paths.round_source import is_round, round_left, round_score, round_velocity
from toylab.paths.shares import Shares
from toylab.paths.times import time_like


def exact_velocity(path: NoisePath, source: Density | None, density: Density, x: Tensor, t: Tensor | float) -> Tensor:
    """E[x'_t | x_t = x] of a path from the source, None for N(0, I); shape of x [..., 2]."""
    if source is None:
        return marginal_velocity(path, density, x, t)
    return velocity_between(source, density, x, _shares(path, time_like(t, x)))


def exact_irreducible(path: NoisePath, source: Density | None, density: Density, t: float) -> float:
    """1/2 E|x'_t - v(x_t, t)|^2 of a path from the source, None for N(0, I), by quadrature."""
    if source is None:
        return unexplained(path, density, t)
    return irreducible_between(
        source, density, _shares(path, time_like(t, torch.zeros(2, dtype=torch.float64, device="cpu")))
    )


def _shares(path: NoisePath, t: Tensor) -> Shares:
    alpha_rate, sigma_rate = require_finite(t, *path.rates(t))
    none = torch.zeros_like(t)
    return Shares(path.sigma(t), path.alpha(t), sigma_rate, alpha_rate, none, none)


def velocity_between(source: Density, density: Density, x: Tensor, shares: Shares) -> Tensor:
    """E[x'_t | x_t = x], shape of x [..., 2]."""
    if isinstance(source, GaussianMixture) and isinstance(density, GaussianMixture):
        return pair_velocity(source, density, x, shares)
    return round_velocity(_require_round(source, density), density, x, shares)


def score_between(source: Density, density: Density, x: Tensor, shares: Shares) -> Tensor:
    """The score of x_t, shape of x [..., 2]."""
    if isinstance(source, GaussianMixture) and isinstance(density, GaussianMixture):
        return pair_score(source, density, x, shares)
    return round_score(_require_round(source, density), density, x, shares)


def _require_round(source: Density, density: Density) -> GaussianMixture:
    if isinstance(source, GaussianMixture) and is_round(source):
        return source
    raise ValueError(
        f"source is {short(source)} and density {short(density)}: the exact velocity is known from N(0, I), which is "
        "the source if none is given, and from a GaussianMixture of round components, such as ring(), to any density, "
        "and from any GaussianMixture to another one. Training and sampling need no exact velocity."
    )


def irreducible_between(source: Density, density: Density, shares: Shares) -> float:
    """1/2 E|x'_t - v(x_t, t)|^2, by quadrature."""
    if isinstance(source, GaussianMixture):
        a, b, a_rate, b_rate, *_ = (float(share) for share in shares)
        change = b_rate * a - a_rate * b
        if b <= NOTHING * a:
            return 0.5 * (change / a) ** 2 * variance(density)
        if (known := left(source, density, a / b)) is not None:
            return (change / b) ** 2 * known
        if is_round(source) and (len(source.weights) == 1 or density.length_scale() > 0):
            return (change / b) ** 2 * round_left(source, density, a / b)
    raise ValueError(
        f"source is {short(source)} and density {short(density)}: the irreducible loss is known from N(0, I), which is "
        "the source if none is given, and from one round Gaussian to any density, from several round ones to a density "
        "without edges and kinks inside of its bounds, and from any GaussianMixture to laws that are, given at most "
        "one number, Gaussians or points: mixtures of Gaussians and of Student's t, curves, points, bananas and "
        "funnels; and to Square, Checkerboard and Laplace. The error of a velocity is the mean of "
        "1/2 |v(x, t) - path.velocity(p, x, t)|^2 over here = draw(path, p.sample((n,))), at here.x and here.t."
    )
