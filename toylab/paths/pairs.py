"""x_t = a x_0 + b x_1 + gamma z between two Gaussian mixtures, in closed form at every time, both ends included.

Given component j of the source, N(n_j, D_j), and k of the data, N(m_k, C_k), x_t is N(mu, S) with
mu = a n_j + b m_k and S = a^2 D_j + b^2 C_k + gamma^2 I, and

    E[x'_t | x_t = x, j, k] = mu' + S'/2 S^-1 (x - mu),   S'/2 = a a' D_j + b b' C_k + gamma gamma' I.

Velocity and score are means over j and k with the weights P(j, k | x_t = x); the score given both is -S^-1 (x - mu).
What x_t leaves unknown of x'_t is what it leaves within the pairs, and the variance over j and k of the means above.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from toylab.densities import GaussianMixture
from toylab.densities.parts import inverse, spread_of_means
from toylab.paths.shares import Shares


class _Given(NamedTuple):
    """What is known of x_t given each pair of components."""

    log_weights: Tensor  # [J K]
    mu: Tensor  # [..., J K, 2]
    S: Tensor  # [..., J K, 2, 2]
    drift: Tensor  # mu', [..., J K, 2]
    slope: Tensor  # S'/2, [..., J K, 2, 2]


def pair_velocity(source: GaussianMixture, density: GaussianMixture, x: Tensor, shares: Shares) -> Tensor:
    """E[x'_t | x_t = x], shape of x [..., 2]."""
    given = _given(source, density, x, shares)
    r, whitened = _posterior(given, x)
    each = given.drift + (given.slope @ whitened[..., None])[..., 0]
    return (r[..., None] * each).sum(-2)


def pair_score(source: GaussianMixture, density: GaussianMixture, x: Tensor, shares: Shares) -> Tensor:
    """The score of x_t, shape of x [..., 2]."""
    r, whitened = _posterior(_given(source, density, x, shares), x)
    return -(r[..., None] * whitened).sum(-2)


def pair_left(source: GaussianMixture, density: GaussianMixture, shares: Shares) -> float:
    """1/2 E|x'_t - v(x_t, t)|^2 - gamma'^2, by quadrature.

    gamma'^2 is 1/2 E|gamma' z|^2. Within a pair tr Cov(x'_t | x_t) is a'^2 tr D + b'^2 tr C + 2 gamma'^2 - tr G S G',
    with the gain G = S'/2 S^-1.
    """
    weights, _, D, _, C = _pairs(source, density)
    log_weights, mu, S, drift, slope = _given(source, density, weights, shares)
    gain = slope @ inverse(S)
    own = shares.source_rate**2 * _trace(D) + shares.data_rate**2 * _trace(C)
    within = float(weights @ (own - _trace(gain @ slope)))
    return 0.5 * (within + spread_of_means(weights, mu, S, drift, gain))


def _given(source: GaussianMixture, density: GaussianMixture, like: Tensor, shares: Shares) -> _Given:
    weights, n, D, m, C = (part.to(like) for part in _pairs(source, density))
    a, b, a_rate, b_rate, *_ = shares.columns(2, like)
    mu, drift = a * n + b * m, a_rate * n + b_rate * m
    a, b, a_rate, b_rate, latent, latent_slope = shares.columns(3, like)
    eye = torch.eye(2, dtype=like.dtype, device=like.device)
    S = a**2 * D + b**2 * C + latent * eye
    return _Given(weights.log(), mu, S, drift, a * a_rate * D + b * b_rate * C + latent_slope * eye)


def _posterior(given: _Given, x: Tensor) -> tuple[Tensor, Tensor]:
    """P(j, k | x), shape [..., J K], and S^-1 (x - mu), shape [..., J K, 2]."""
    u, S = x[..., None, :] - given.mu, given.S
    s11, s12, s22 = S[..., 0, 0], S[..., 0, 1], S[..., 1, 1]
    det = s11 * s22 - s12**2
    u1, u2 = u.unbind(-1)
    whitened = torch.stack([s22 * u1 - s12 * u2, s11 * u2 - s12 * u1], -1) / det[..., None]
    r = (given.log_weights - 0.5 * det.log() - 0.5 * (u * whitened).sum(-1)).softmax(-1)
    return r, whitened


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


def _trace(A: Tensor) -> Tensor:
    return A.diagonal(dim1=-2, dim2=-1).sum(-1)
