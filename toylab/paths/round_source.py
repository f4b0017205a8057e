"""x_t = a x_0 + b x_1 from a mixture of round Gaussians to any density, exact by its noised score.

Given component j of the source, x_0 = n_j + d_j z, x_t - a n_j = b x_1 + a d_j z: data with Gaussian noise, whose
density and posterior means ``posterior`` gives, and

    E[x'_t | x_t, j] = a' (n_j + d_j E[z | x_t, j]) + b' E[x_1 | x_t, j].

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
    return bool((source.covariances == d * torch.eye(2, device="cpu").to(d)).all())


def round_velocity(source: GaussianMixture, density: Density, x: Tensor, shares: Shares) -> Tensor:
    """E[x'_t | x_t = x], shape and dtype of x [..., 2]; computed in float64."""
    y = x.double()
    weights, n, d = (part.to(y) for part in (source.weights, source.means, source.covariances[:, 0, 0].sqrt()))
    a, b, a_rate, b_rate = shares.columns(2, y)
    noisy = y[..., None, :] - a * n  # [..., J, 2]
    log_q, clean, noise = posterior(density, noisy, b[..., 0].expand(noisy.shape[:-1]), a[..., 0] * d)
    r = (weights.log() + log_q).softmax(-1)
    each = a_rate * (n + d[:, None] * noise) + b_rate * clean
    return (r[..., None] * each).sum(-2).to(x)
