"""The empirical law: point masses, without a density of their own; noised, a kernel density estimate."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import categorical, integers
from toylab.densities import _gaussians
from toylab.densities.density import Density, in_single_precision
from toylab.densities.gaussian_mixture import GaussianMixture
from toylab.densities.given import class_label, evidence, measurement, normalised
from toylab.densities.parameters import Matrix, Vector
from toylab.densities.parts import Parts, point_parts


@in_single_precision
@dataclass(frozen=True, eq=False, repr=False)
class Points(Density):
    """Point masses at ``points`` (an empirical law); it has a density only for sigma > 0.

    p_sigma(x) = sum_i w_i N(x; x_i, sigma^2 I): the Gaussian kernel density estimate of bandwidth sigma.

    Args:
        points: x_i, shape [N, 2].
        weights: w, shape [N], positive, summing to one; equal if not given.
    """

    points: Tensor
    weights: Tensor

    _log_weights: Tensor = field(init=False)  # log(w / sum w), [N]
    _equal: bool = field(init=False)  # the weights: then points are drawn by their number alone
    _noted: ClassVar = Density._noted | {"_log_weights", "_equal"}

    def __init__(self, points: Matrix, weights: Vector | None = None) -> None:
        self._hold(points=points)
        N = len(validate.cloud("points", self.points))
        self._hold(weights=[1 / N] * N if weights is None else weights)
        if len(validate.simplex("weights", self.weights)) != N:
            raise ValueError(f"weights has {len(self.weights)} entries for {N} points: give one per point.")
        equal = bool((self.weights == self.weights[0]).all())
        vars(self).update(_log_weights=self.weights.log() - self.weights.sum().log(), _equal=equal)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log sum_i w_i N(x; x_i, sigma^2 I), shape [...]; ``ValueError`` at sigma = 0."""
        return _gaussians.log_prob(x, validate.noisy(sigma, x), self._gaussians)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """(E[X | x] - x) / sigma^2, shape [..., 2]; ``ValueError`` at sigma = 0."""
        return _gaussians.score(x, validate.noisy(sigma, x), self._gaussians)

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both, at little more than the cost of the score."""
        return _gaussians.log_prob_and_score(x, validate.noisy(sigma, x), self._gaussians)

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-2/sigma^2 + tr Cov[X | x] / sigma^4, shape [...]; ``ValueError`` at sigma = 0."""
        return _gaussians.divergence(x, validate.noisy(sigma, x), self._gaussians)

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """P(X = x_i | x) for each i, shape [..., N]; ``ValueError`` at sigma = 0."""
        return _gaussians.posterior(x, validate.noisy(sigma, x), self._gaussians)

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log P(X = x_i | x), shape [..., N], where the probability itself may underflow."""
        return _gaussians.log_posterior(x, validate.noisy(sigma, x), self._gaussians)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Points drawn with replacement."""
        if self._equal:
            i = integers(len(self.points), sample_shape, device=self.device, generator=generator)
        else:
            i = categorical(self._on_its_device("weights"), sample_shape, generator=generator)
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        points: Tensor = self._cast(like, lambda: (self.points,), "samples")[0]
        return points[i]

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> "Points":
        """The same points, with weights w_i N(y; A x_i, noise^2 I) / p(y); see ``Mixture.given`` for small ones."""
        after = copy.copy(self)
        vars(after).update(normalised(self._log_joint_evidence(A, y, noise)), _equal=False)
        return after

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:
        """log sum_i w_i N(y; A x_i, noise^2 I)."""
        return evidence(self._log_joint_evidence(A, y, noise))

    def given_class(self, k: int) -> "Points":
        """The k-th point alone."""
        return Points(self.points[class_label(k, len(self.points)), None]).to(self.device, self.dtype)

    def _blurred(self, std: float) -> GaussianMixture:
        round_ones = std**2 * torch.eye(2, dtype=torch.float64, device="cpu")
        blurred = GaussianMixture(self.weights, self.points, round_ones).to(self.device, self.dtype)
        vars(blurred).update(_log_weights=self._log_weights)
        return blurred

    def _log_joint_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> Tensor:
        return self._log_weights + measurement(A, y, noise).log_likelihood(self.points)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The points and nine noise levels around them."""
        return self.points.amin(0) - 9 * sigma, self.points.amax(0) + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level."""
        return sigma

    def _as_gaussians(self, sigma: float) -> Parts:
        return point_parts(self.points, self._log_weights.exp())

    def _gaussians(self, like: Tensor) -> _gaussians.Gaussians:
        def make() -> _gaussians.Gaussians:
            zero = torch.zeros(len(self.points), 2, 2, dtype=torch.float64, device="cpu")
            return _gaussians.Gaussians.of(self._log_weights, self.points, zero, zero)

        return _gaussians.Gaussians(*self._cast(validate.points("x", like), make))
