"""Mixtures of Gaussians: every quantity of the lab in closed form, clean and noised."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab import checks
from toylab.densities.density import Density, mixture
from toylab.draws import categorical, normal


@dataclass(frozen=True, eq=False)
class GaussianMixture(Density):
    """p(x) = sum_k w_k N(x; m_k, C_k), hence p_sigma(x) = sum_k w_k N(x; m_k, C_k + sigma^2 I).

    The covariances are diagonalised once, C_k = Q_k diag(v_k) Q_k^T: noise only adds sigma^2 to v_k.

    Args:
        weights: w, shape [K], positive, summing to one.
        means: m, shape [K, 2].
        covariances: C, shape [K, 2, 2], or [2, 2] for one shared by all; symmetric positive definite.

    Raises:
        ValueError: for weights, shapes or covariances that are not so.

    >>> p = GaussianMixture([0.2, 0.8], [[-5.0, -5.0], [5.0, 5.0]], [[1.0, 0.0], [0.0, 1.0]])
    >>> p.score(torch.tensor([4.0, 3.0]))
    tensor([1., 2.])
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        self._hold(weights=self.weights, means=self.means, covariances=self.covariances)
        K = len(self.weights) if self.weights.ndim == 1 else 0
        if K == 0:
            raise ValueError(f"weights has shape {list(self.weights.shape)}: give a non-empty list, one a component.")
        if (self.weights <= 0).any():
            raise ValueError(f"weights is {self.weights.tolist()}: each must be positive. Leave out empty components.")
        total = float(self.weights.sum())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"weights sum to {total:.7g}: they must sum to 1. Divide them by their sum.")
        if self.means.shape != (K, 2):
            raise ValueError(f"means has shape {list(self.means.shape)}: for {K} weights give shape [{K}, 2].")
        if self.covariances.shape not in {(K, 2, 2), (2, 2)}:
            raise ValueError(
                f"covariances has shape {list(self.covariances.shape)}: "
                f"give [{K}, 2, 2], or [2, 2] for one shared by all."
            )
        object.__setattr__(self, "covariances", self.covariances.expand(K, 2, 2).contiguous())
        asymmetry = (self.covariances - self.covariances.mT).abs().amax((-2, -1))
        if (asymmetry > 1e-6 * self.covariances.abs().amax((-2, -1))).any():
            k = int(asymmetry.argmax())
            raise ValueError(f"covariances[{k}] is {self.covariances[k].tolist()}: a covariance is symmetric.")
        least = torch.linalg.eigvalsh(self.covariances).amin(-1)
        if (least <= 0).any():
            k = int(least.argmin())
            raise ValueError(
                f"covariances[{k}] is {self.covariances[k].tolist()}, with eigenvalue {float(least[k]):.3g}: "
                "it must be positive definite. A point mass? Use a small positive variance."
            )

    def _spectrum(self) -> tuple[Tensor, ...]:
        """log w [K], m [K, 2], variances v [K, 2] and axes Q [K, 2, 2]."""
        variances, axes = torch.linalg.eigh(self.covariances)
        return self.weights.log() - self.weights.sum().log(), self.means, variances, axes

    def _components(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """log w_k N(x; m_k, C_k) [..., K], the component scores [..., K, 2] and variances [..., K, 2]."""
        sigma = checks.noise_level(sigma, checks.points("x", x))
        log_weights, means, variances, axes = self._cast(x, self._spectrum)
        variances = variances + (sigma[..., None, None] ** 2 if isinstance(sigma, Tensor) else sigma**2)
        offset = torch.einsum("...ki,kij->...kj", means - x[..., None, :], axes)  # in the axes of C_k
        pull = offset / variances
        log_normal = -0.5 * (offset * pull + torch.log(2 * math.pi * variances)).sum(-1)
        return log_weights + log_normal, torch.einsum("...kj,kij->...ki", pull, axes), variances

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log sum_k w_k N(x; m_k, C_k + sigma^2 I), shape [...]."""
        return self._components(x, sigma)[0].logsumexp(-1)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """sum_k r_k(x) (C_k + sigma^2 I)^-1 (m_k - x), with r_k(x) = P(component k | x); shape [..., 2]."""
        log_joint, scores, _ = self._components(x, sigma)
        return (log_joint.softmax(-1)[..., None] * scores).sum(-2)

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-sum_k r_k tr (C_k + sigma^2 I)^-1 + sum_k r_k |s_k - s|^2, shape [...]."""
        log_joint, scores, variances = self._components(x, sigma)
        traces = (-1 / variances).sum(-1).expand_as(log_joint)
        return mixture(log_joint, scores, traces)[2]

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """r_k(x) = P(component k | x), the responsibilities, shape [..., K]."""
        return self._components(x, sigma)[0].softmax(-1)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A component k with probability w_k, then m_k + Q_k sqrt(v_k) z; shape [*sample_shape, 2]."""
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        log_weights, means, variances, axes = self._cast(like, self._spectrum)
        k = categorical(log_weights.exp(), sample_shape, generator=generator)
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        return means[k] + torch.einsum("...ij,...j->...i", axes[k], variances[k].sqrt() * z)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Nine standard deviations around every mean."""
        reach = 9 * (self.covariances.diagonal(dim1=-2, dim2=-1) + sigma**2).sqrt()
        return (self.means - reach).amin(0), (self.means + reach).amax(0)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The least standard deviation of any component along any direction."""
        return math.sqrt(float(torch.linalg.eigvalsh(self.covariances).min()) + sigma**2)


def isotropic(means: Sequence | Tensor, std: float, weights: Sequence | Tensor | None = None) -> GaussianMixture:
    """Gaussians of one standard deviation around ``means`` [K, 2]; equal weights unless given."""
    checks.positive("std", std)
    K = len(means)
    weights = torch.full((K,), 1 / K, dtype=torch.float64).tolist() if weights is None else weights
    return GaussianMixture(weights, means, [[std**2, 0.0], [0.0, std**2]])


def two_modes() -> GaussianMixture:
    """The reference target 0.2 N((-5, -5), I) + 0.8 N((5, 5), I) (Song & Ermon 2019, arXiv:1907.05600, section 3.2)."""
    return isotropic([[-5.0, -5.0], [5.0, 5.0]], std=1.0, weights=[0.2, 0.8])


def ring(n_modes: int = 8, radius: float = 4.0, std: float = 0.3) -> GaussianMixture:
    """``n_modes`` equal Gaussians evenly round a circle, the first at angle 0."""
    checks.count("n_modes", n_modes)
    angles = torch.arange(n_modes, dtype=torch.float64) * (2 * math.pi / n_modes)
    means = checks.positive("radius", radius) * torch.stack([angles.cos(), angles.sin()], -1)
    return isotropic(means.tolist(), std)


def grid(n_side: int = 5, spacing: float = 2.0, std: float = 0.2) -> GaussianMixture:
    """``n_side`` x ``n_side`` equal Gaussians on a square lattice centred at the origin."""
    checks.count("n_side", n_side)
    ticks = (torch.arange(n_side, dtype=torch.float64) - (n_side - 1) / 2) * checks.positive("spacing", spacing)
    return isotropic(torch.cartesian_prod(ticks, ticks).tolist(), std)
