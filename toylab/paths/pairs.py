"""x_t = a x_0 + b x_1 between two Gaussian mixtures, in closed form at every time, both ends included.

Given component j of the source, N(n_j, D_j), and k of the data, N(m_k, C_k), x_t is N(mu, S) with
mu = a n_j + b m_k and S = a^2 D_j + b^2 C_k, and

    E[x'_t | x_t = x, j, k] = a' n_j + b' m_k + (a a' D_j + b b' C_k) S^-1 (x - mu).

The velocity is the mean over j and k with the weights P(j, k | x_t = x).
"""

import torch
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.paths.shares import Shares


def pair_velocity(source: GaussianMixture, density: GaussianMixture, x: Tensor, shares: Shares) -> Tensor:
    """E[x'_t | x_t = x], shape of x [..., 2]."""
    weights, n, D, m, C = (part.to(x) for part in _pairs(source, density))
    a, b, a_rate, b_rate = shares.columns(2, x)
    u = x[..., None, :] - (a * n + b * m)  # x - mu, [..., J K, 2]
    drift = a_rate * n + b_rate * m
    a, b, a_rate, b_rate = shares.columns(3, x)
    S = a**2 * D + b**2 * C
    s11, s12, s22 = S[..., 0, 0], S[..., 0, 1], S[..., 1, 1]
    det = s11 * s22 - s12**2
    u1, u2 = u.unbind(-1)
    whitened = torch.stack([s22 * u1 - s12 * u2, s11 * u2 - s12 * u1], -1) / det[..., None]  # S^-1 (x - mu)
    r = (weights.log() - 0.5 * det.log() - 0.5 * (u * whitened).sum(-1)).softmax(-1)
    slope = a * a_rate * D + b * b_rate * C  # S' / 2
    each = drift + (slope @ whitened[..., None])[..., 0]
    return (r[..., None] * each).sum(-2)


def _pairs(source: GaussianMixture, density: GaussianMixture) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Weight [J K], n, D, m and C of every pair of components."""
    J, K = len(source.weights), len(density.weights)
    j, k = torch.arange(J, device="cpu").repeat_interleave(K), torch.arange(K, device="cpu").repeat(J)
    weights = source.weights[j] * density.weights[k]
    return (
        weights / weights.sum(),
        source.means[j],
        source.covariances[j],
        density.means[k],
        density.covariances[k],
    )
