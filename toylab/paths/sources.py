"""From which sources to which data the velocity of x_t = a x_0 + b x_1 is known exactly."""

import torch
from torch import Tensor

from toylab._internal.display import short
from toylab.densities import GaussianMixture
from toylab.densities.density import Density
from toylab.paths.marginal import marginal_velocity, require_finite, unexplained
from toylab.paths.pairs import pair_irreducible, pair_velocity
from toylab.paths.path import NoisePath
from toylab.paths.round_source import is_round, round_irreducible, round_velocity
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
    return Shares(path.sigma(t), path.alpha(t), sigma_rate, alpha_rate)


def velocity_between(source: Density, density: Density, x: Tensor, shares: Shares) -> Tensor:
    """E[x'_t | x_t = x], shape of x [..., 2]."""
    if isinstance(source, GaussianMixture) and isinstance(density, GaussianMixture):
        return pair_velocity(source, density, x, shares)
    if isinstance(source, GaussianMixture) and is_round(source):
        return round_velocity(source, density, x, shares)
    raise ValueError(
        f"source is {short(source)} and density {short(density)}: the exact velocity is known from N(0, I), which is "
        "the source if none is given, and from a GaussianMixture of round components, such as ring(), to any density, "
        "and from any GaussianMixture to another one. Training and sampling need no exact velocity."
    )


def irreducible_between(source: Density, density: Density, shares: Shares) -> float:
    """1/2 E|x'_t - v(x_t, t)|^2, by quadrature."""
    if isinstance(source, GaussianMixture) and isinstance(density, GaussianMixture):
        return pair_irreducible(source, density, shares)
    if isinstance(source, GaussianMixture) and is_round(source):
        return round_irreducible(source, density, shares)
    raise ValueError(
        f"source is {short(source)} and density {short(density)}: the irreducible loss is known from N(0, I), "
        "which is the source if none is given, and from a GaussianMixture of round components, such as ring(), to any "
        "density, and from any GaussianMixture to another one. The error of a velocity is the mean of "
        "1/2 |v(x, t) - path.velocity(p, x, t)|^2 over here = draw(path, p.sample((n,))), at here.x and here.t."
    )
