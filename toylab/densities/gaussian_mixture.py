"""Mixtures of Gaussians: every quantity of the lab in closed form, clean and noised.

One class, which is long because it also converts from and to the mixtures of torch, scikit-learn and SciPy.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from toylab._internal import validate
from toylab._internal.devices import refuse_without_float64
from toylab._internal.display import short
from toylab._internal.random import between, normal
from toylab.densities import _gaussians
from toylab.densities._mixture import mixture
from toylab.densities.density import Density, in_single_precision
from toylab.densities.given import class_label, measurement, normalised, updated
from toylab.densities.parameters import Matrices, Matrix, Vector
from toylab.densities.parts import Parts
from toylab.densities.truncated import Box, gaussian_masses, noised_gaussian

if TYPE_CHECKING:
    from scipy.stats import gaussian_kde  # slow to load

_CONDITIONING = ("given", "log_evidence", "_blurred", "_as_gaussians")
_FORMULAS = ("log_prob", "score", "log_prob_and_score", "divergence", "posterior", "log_posterior", "sample")


@in_single_precision
@dataclass(frozen=True, eq=False, repr=False)
class GaussianMixture(Density):
    """p(x) = sum_k w_k N(x; m_k, C_k), hence p_sigma(x) = sum_k w_k N(x; m_k, C_k + sigma^2 I).

    Args:
        weights: w, shape [K], positive, summing to one.
        means: m, shape [K, 2].
        covariances: C, shape [K, 2, 2], or [2, 2] for one shared by all; symmetric positive definite.

    Raises:
        ValueError: unless weights, shapes and covariances are as stated.

    >>> p = GaussianMixture([0.2, 0.8], [[-5.0, -5.0], [5.0, 5.0]], [[1.0, 0.0], [0.0, 1.0]])
    >>> p.score(torch.tensor([4.0, 3.0]))
    tensor([1., 2.])
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    # L with L L^T = C, [K, 2, 2]: a mixture that is moved keeps the digits that the entries of a very elongated C lose
    _roots: Tensor = field(init=False)
    # log(w / sum w), [K]: a mixture that is conditioned keeps the weights that underflow
    _log_weights: Tensor = field(init=False)
    _noted: ClassVar = Density._noted | {"_roots", "_log_weights"}

    def __init__(self, weights: Vector, means: Matrix, covariances: Matrices) -> None:
        self._hold(weights=weights, means=means, covariances=covariances)
        K = len(validate.simplex("weights", self.weights))
        if self.means.shape != (K, 2):
            raise ValueError(f"means has shape {list(self.means.shape)}: for {K} weights give shape [{K}, 2].")
        if self.covariances.shape not in {(K, 2, 2), (2, 2)}:
            raise ValueError(
                f"covariances has shape {list(self.covariances.shape)}: "
                f"give [{K}, 2, 2], or [2, 2] for one shared by all."
            )
        covariances = validate.covariances("covariances", self.covariances.expand(K, 2, 2).contiguous())
        det = _gaussians.exact_determinants(covariances)
        if (det <= 0).any():  # by less than the eigenvalues can tell
            k = int(det.argmin())
            raise ValueError(f"covariances[{k}] is {short(covariances[k].tolist())}: it must be positive definite.")
        vars(self).update(
            covariances=covariances,
            _roots=_gaussians.triangular(covariances, det),
            _log_weights=self.weights.log() - self.weights.sum().log(),
        )

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Move a subclass by wrappers: a plain mixture with other components would forget what it changes."""
        super().__init_subclass__(**kwargs)
        changed = any(getattr(cls, name) is not getattr(GaussianMixture, name) for name in _FORMULAS)
        of_classes = ("given_class",) if changed else ()  # of a law that is another one the classes are not known
        for name in ("noised", "scaled", "shifted", "rotated", "_mass_in", "_noised_in", *_CONDITIONING, *of_classes):
            if getattr(cls, name) is getattr(GaussianMixture, name):
                setattr(cls, name, getattr(Density, name))

    @classmethod
    def from_torch(cls, distribution: Distribution) -> "GaussianMixture":
        """From a ``MultivariateNormal``, or a ``MixtureSameFamily`` of them or of ``Independent`` normal pairs.

        Raises:
            TypeError: for any other distribution.
            ValueError: unless it is one law on the plane.
        """
        weights: Tensor | None = None
        parts = distribution
        if isinstance(distribution, MixtureSameFamily):
            weights, parts = distribution.mixture_distribution.probs, distribution.component_distribution
        if isinstance(parts, MultivariateNormal):
            covariances = parts.covariance_matrix
        elif isinstance(parts, Independent) and isinstance(parts.base_dist, Normal):
            covariances = parts.variance.diag_embed()
        else:
            raise TypeError(
                f"distribution is {short(distribution)}: give a MultivariateNormal, or a MixtureSameFamily of these or "
                "of Independent(Normal, 1). For others there is densities.from_torch, which knows the clean law only."
            )
        if tuple(distribution.event_shape) != (2,) or tuple(distribution.batch_shape) != ():
            raise ValueError(
                f"distribution has event shape {list(distribution.event_shape)} and batch shape "
                f"{list(distribution.batch_shape)}: one law on the plane has [2] and []."
            )
        refuse_without_float64("distribution", parts.mean.device)
        means = parts.mean.reshape(-1, 2)
        weights = means.new_ones(1) if weights is None else weights
        return cls(_summing_to_one(weights), means, covariances.reshape(-1, 2, 2)).to(means.dtype)

    def to_torch(self) -> MixtureSameFamily:
        """The same law as torch's own, in the density's dtype and on its device."""
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        weights, means, covariances = (t.to(like) for t in (self.weights, self.means, self.covariances))
        return MixtureSameFamily(Categorical(weights), MultivariateNormal(means, covariances))

    @classmethod
    def from_sklearn(cls, fitted: object) -> "GaussianMixture":
        """From a fitted ``sklearn.mixture.GaussianMixture``, or anything with its three arrays.

        Args:
            fitted: has ``weights_`` [K], ``means_`` [K, 2] and ``covariances_``: [K, 2, 2] (full), [2, 2] (tied),
                [K, 2] (diag) or [K] (spherical). ``covariance_type``, where it has one, decides if the shape is not
                enough (K = 2).
        """
        try:
            weights, means, covariances = (
                torch.as_tensor(np.asarray(getattr(fitted, name), dtype=np.float64), device="cpu")
                for name in ("weights_", "means_", "covariances_")
            )
        except AttributeError as error:
            raise TypeError(f"fitted is a {type(fitted).__name__} and {error}: fit the mixture first.") from None
        kind = getattr(fitted, "covariance_type", None)
        if kind == "spherical" or covariances.ndim == 1:
            covariances = covariances[:, None, None] * torch.eye(2, dtype=torch.float64, device="cpu")
        elif kind == "diag" or (kind is None and covariances.shape == (len(weights), 2) and len(weights) != 2):
            covariances = covariances.diag_embed()
        return cls(_summing_to_one(weights), means, covariances)

    def to_sklearn(self) -> dict[str, np.ndarray]:
        """The arrays of a fitted ``sklearn.mixture.GaussianMixture(covariance_type="full")``, by their names there.

        ``precisions_cholesky_`` is the one that its ``score_samples`` uses. Set them with ``setattr``.
        """
        roots = torch.linalg.cholesky(self.covariances)
        identity = torch.eye(2, dtype=torch.float64, device="cpu").expand_as(roots)
        whitening = torch.linalg.solve_triangular(roots, identity, upper=False).mT
        return {
            "weights_": self.weights.numpy().copy(),
            "means_": self.means.numpy().copy(),
            "covariances_": self.covariances.numpy().copy(),
            "precisions_cholesky_": whitening.numpy().copy(),
            "precisions_": (whitening @ whitening.mT).numpy().copy(),
        }

    @classmethod
    def from_scipy(cls, kde: object) -> "GaussianMixture":
        """From a ``scipy.stats.gaussian_kde`` of data on the plane: one Gaussian per data point."""
        try:
            points, weights, covariance = (
                torch.as_tensor(np.asarray(getattr(kde, name), dtype=np.float64), device="cpu")
                for name in ("dataset", "weights", "covariance")
            )
        except AttributeError as error:
            raise TypeError(f"kde is a {type(kde).__name__} and {error}: give a scipy.stats.gaussian_kde.") from None
        return cls(_summing_to_one(weights), points.T, covariance)

    def to_scipy(self) -> "gaussian_kde":
        """The same law as a ``scipy.stats.gaussian_kde``.

        Raises:
            ValueError: unless all covariances are the same multiple of the weighted covariance of the means, which is
                all that a ``gaussian_kde`` can have.
        """
        from scipy.stats import gaussian_kde

        points, weights, wanted = self.means.numpy().T, self.weights.numpy(), self.covariances[0].numpy()
        refusal = (
            "a gaussian_kde gives all its points one covariance, a multiple of the weighted covariance of the points: "
            "this mixture does not."
        )
        if len(weights) < 3 or not bool((self.covariances == self.covariances[0]).all()):
            raise ValueError(refusal)
        spread = np.cov(points, bias=False, aweights=weights)
        factor = math.sqrt(np.trace(wanted) / np.trace(spread))
        if not np.allclose(spread * factor**2, wanted, rtol=1e-9, atol=1e-9 * np.trace(wanted)):
            raise ValueError(refusal)
        return gaussian_kde(points, bw_method=factor, weights=weights)

    def _gaussians(self, like: Tensor) -> _gaussians.Gaussians:
        def make() -> _gaussians.Gaussians:
            return _gaussians.Gaussians.of(self._log_weights, self.means, self.covariances, self._roots)

        return _gaussians.Gaussians(*self._cast(validate.points("x", like), make))

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log sum_k w_k N(x; m_k, C_k + sigma^2 I), shape [...]."""
        return _gaussians.log_prob(x, sigma, self._gaussians)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """sum_k r_k(x) (C_k + sigma^2 I)^-1 (m_k - x), with r_k(x) = P(component k | x); shape [..., 2]."""
        return _gaussians.score(x, sigma, self._gaussians)

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both, at little more than the cost of the score."""
        return _gaussians.log_prob_and_score(x, sigma, self._gaussians)

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-sum_k r_k tr (C_k + sigma^2 I)^-1 + sum_k r_k |s_k - s|^2, shape [...]."""
        return _gaussians.divergence(x, sigma, self._gaussians)

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """r_k(x) = P(component k | x), the responsibilities, shape [..., K]."""
        return _gaussians.posterior(x, sigma, self._gaussians)

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log r_k(x), shape [..., K], where r_k itself may underflow."""
        return _gaussians.log_posterior(x, sigma, self._gaussians)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A component k with probability w_k, then m_k + L_k z with L_k L_k^T = C_k; shape [*sample_shape, 2]."""
        like = torch.empty(0, dtype=torch.float64, device=self.device)
        (edges,) = self._cast(like, lambda: (self.weights.cumsum(-1),), "edges")
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        (frames,) = self._cast(like, lambda: (_gaussians.frames(self.means, self._roots),), "samples")
        if (x := _gaussians.sample_in_a_kernel(edges, frames, math.prod(sample_shape), generator)) is not None:
            return x.view(*sample_shape, 2)
        k = between(edges, sample_shape, generator=generator)
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        return _gaussians.place(frames[k], z)

    def noised(self, sigma: float) -> "GaussianMixture":
        """The law of X + sigma Z: the mixture with covariances C_k + sigma^2 I."""
        noise = validate.positive("sigma", sigma) ** 2
        covariances = self.covariances + noise * torch.eye(2, dtype=torch.float64, device="cpu")
        trace = self.covariances.diagonal(dim1=-2, dim2=-1).sum(-1)
        det = _gaussians.determinants(self._roots) + noise * (trace + noise)
        return self._with(self.means, covariances, _gaussians.triangular(covariances, det))

    def scaled(self, factor: float) -> "GaussianMixture":
        """The law of factor * X: the mixture with means factor m_k and covariances factor^2 C_k."""
        factor = validate.nonzero("factor", factor)
        return self._with(factor * self.means, factor**2 * self.covariances, factor * self._roots)

    def shifted(self, shift: Vector) -> "GaussianMixture":
        """The law of X + shift: the mixture with means m_k + shift."""
        shift = torch.tensor(validate.pair("shift", shift), dtype=torch.float64, device="cpu")
        return self._with(self.means + shift, self.covariances, self._roots)

    def rotated(self, angle: float) -> "GaussianMixture":
        """The law of R X, R the rotation by ``angle``: the mixture with means R m_k and covariances R C_k R^T.

        With C = [[t + a, b], [b, t - a]], rotation turns (a, b) by twice the angle and leaves t, so that round
        components stay exactly round.
        """
        angle = validate.finite("angle", angle)
        t = 0.5 * (self.covariances[:, 0, 0] + self.covariances[:, 1, 1])
        ab = torch.stack([0.5 * (self.covariances[:, 0, 0] - self.covariances[:, 1, 1]), self.covariances[:, 0, 1]], -1)
        a, b = (ab @ _rotation(2 * angle).T).unbind(-1)
        covariances = torch.stack([torch.stack([t + a, b], -1), torch.stack([b, t - a], -1)], -2)
        return self._with(self.means @ _rotation(angle).T, covariances, _rotation(angle) @ self._roots)

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> "GaussianMixture":
        """The law of X given A X + noise Z = y, Z ~ N(0, I): the mixture of the Kalman updates of its components.

        With S_k = A C_k A^T + noise^2 I the new weights, means and covariances are

            w_k N(y; A m_k, S_k) / p(y),    m_k + C_k A^T S_k^-1 (y - A m_k),    C_k - C_k A^T S_k^-1 A C_k,

        in closed form, and computed without cancellation. Its score at a level sigma is that of X + sigma Z' given y,
        exactly. All K components stay, in their order: ``weights`` shows one that underflows as 2e-308, but log p,
        score and posterior use its logarithm, which does not.

        Args:
            A: one row, shape [2] or [1, 2], or two rows, [2, 2]; it may be singular.
            y: what was measured, shape [m] for m rows, or a number for one.
            noise: the standard deviation of the measurement, > 0.

        Raises:
            ValueError: for an A or a y of another shape or not finite, a noise that is not positive, and if the result
                leaves float64.

        >>> p = GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
        >>> p.given([1.0, 0.0], 2.0, noise=1.0).means
        tensor([[0.5000, 0.0000],
                [1.5000, 0.0000]], dtype=torch.float64)
        """
        found = updated(measurement(A, y, noise), self.means, self.covariances, self._roots)
        after = self._with(found.means, found.covariances, found.roots)
        vars(after).update(normalised(self._log_weights + found.log_evidences))
        return after

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:
        """log p(y) = log sum_k w_k N(y; A m_k, A C_k A^T + noise^2 I); arguments as for ``given``."""
        found = updated(measurement(A, y, noise), self.means, self.covariances, self._roots)
        return found.common + float((self._log_weights + found.log_evidences).logsumexp(0))

    def given_class(self, k: int) -> "GaussianMixture":
        """The k-th component, k = 0 .. K - 1, as a mixture of one."""
        one = slice(class_label(k, len(self.weights)), k + 1)
        alone = self._with(self.means[one], self.covariances[one], self._roots[one])
        vars(alone).update(normalised(torch.zeros(1, dtype=torch.float64, device="cpu")))
        return alone

    def _blurred(self, std: float) -> "GaussianMixture":
        return self.noised(std)

    def _mass_in(self, box: Box) -> tuple[float, float]:
        masses = gaussian_masses(self.means, self.covariances, _gaussians.determinants(self._roots), box)
        return float((self.weights * masses).sum() / self.weights.sum()), 0.0

    def _noised_in(self, box: Box, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        determinants = _gaussians.determinants(self._roots).tolist()
        parts = [
            noised_gaussian(x, sigma, mean, covariance, determinant, box)
            for mean, covariance, determinant in zip(self.means, self.covariances, determinants, strict=True)
        ]
        log_p, scores, divergences = (torch.stack(column, 1) for column in zip(*parts, strict=True))
        return mixture(log_p + self._log_weights.to(x), scores, divergences)

    def _with(self, means: Tensor, covariances: Tensor, roots: Tensor) -> "GaussianMixture":
        """The same weights, dtype and device with other components."""
        other = copy.copy(self)
        vars(other).update(means=means, covariances=covariances, _roots=roots)
        return other

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Nine standard deviations around every mean."""
        reach = 9 * (self.covariances.diagonal(dim1=-2, dim2=-1) + sigma**2).sqrt()
        return (self.means - reach).amin(0), (self.means + reach).amax(0)

    def _as_gaussians(self, sigma: float) -> Parts:
        return Parts(self._log_weights.exp(), self.means, self.covariances, 0.0)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The least standard deviation of any component along any direction."""
        return math.hypot(float(torch.linalg.svdvals(self._roots).min()), sigma)


def _summing_to_one(weights: Tensor) -> Tensor:
    """Float32 weights, made elsewhere, sum to 1 only roughly."""
    weights = weights.double()
    return weights / weights.sum()


def _rotation(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64, device="cpu")
