"""x_t = a x_0 + b x_1 + c z from a mixture of round Gaussians to any density, exact by its noised score.

Given component j of the source, x_0 = n_j + d_j z_0, x_t - a n_j = b x_1 + s e with e ~ N(0, I) and
s^2 = a^2 d_j^2 + c^2: data with plain noise, whose density and posterior means ``posterior`` gives, and

    E[x'_t | x_t, j] = a' n_j + b' E[x_1 | x_t, j] + (a a' d_j^2 + c c') / s E[e | x_t, j].

The velocity is the mean over j with the weights P(j | x_t = x).
"""

import torch
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.densities.density import Density
from toylab.paths.posterior import posterior
from toylab.paths.shares import Shares


def is_round(source: GaussianMixture) -> bool:
    """Whether every component is one with the covariance d^2 I."""
    d = source.covariances.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    return bool((source.covariances == d * torch.eye(2).to(d)).all())


def round_velocity(source: GaussianMixture, density: Density, x: Tensor, shares: Shares) -> Tensor:
    """E[x'_t | x_t = x], shape and dtype of x [..., 2]; computed in float64."""
    y = x.double()
    weights, n, square = (part.to(y) for part in (source.weights, source.means, source.covariances[:, 0, 0]))
    a, b, c, a_rate, b_rate, c_rate = shares.to(y).columns(1)  # [..., J]
    s = (a**2 * square + c**2).sqrt()
    b = b.expand_as(s)
    noisy = y[..., None, :] - a[..., None] * n  # [..., J, 2]
    log_q, clean, noise = posterior(density, noisy, b, s)
    r = (weights.log() + log_q).softmax(-1)
    slope = (a * a_rate * square + c * c_rate) / torch.where(s > 0, s, 1.0)
    each = a_rate[..., None] * n + b_rate[..., None] * clean + slope[..., None] * noise
    return (r[..., None] * each).sum(-2).to(x)
