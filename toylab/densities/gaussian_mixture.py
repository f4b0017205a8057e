"""Mixtures of Gaussians: every quantity of the lab in closed form, clean and noised."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from toylab._internal import validate
from toylab._internal.random import categorical, normal
from toylab.densities import _gaussians
from toylab.densities.density import Density


@dataclass(frozen=True, eq=False, repr=False)
class GaussianMixture(Density):
    """p(x) = sum_k w_k N(x; m_k, C_k), hence p_sigma(x) = sum_k w_k N(x; m_k, C_k + sigma^2 I).

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
        K = len(validate.simplex("weights", self.weights))
        if self.means.shape != (K, 2):
            raise ValueError(f"means has shape {list(self.means.shape)}: for {K} weights give shape [{K}, 2].")
        if self.covariances.shape not in {(K, 2, 2), (2, 2)}:
            raise ValueError(
                f"covariances has shape {list(self.covariances.shape)}: "
                f"give [{K}, 2, 2], or [2, 2] for one shared by all."
            )
        object.__setattr__(self, "covariances", self.covariances.expand(K, 2, 2).contiguous())
        validate.covariances("covariances", self.covariances)

    @classmethod
    def from_torch(cls, distribution: Distribution) -> "GaussianMixture":
        """From a ``MultivariateNormal``, or a ``MixtureSameFamily`` of them or of ``Independent`` normal pairs.

        Raises:
            TypeError: for any other distribution.
            ValueError: unless it is one law on the plane.
        """
        mixed = isinstance(distribution, MixtureSameFamily)
        parts = distribution.component_distribution if mixed else distribution
        base = parts.base_dist if isinstance(parts, Independent) else parts
        if not (isinstance(parts, MultivariateNormal) or (isinstance(parts, Independent) and isinstance(base, Normal))):
            raise TypeError(
                f"distribution is {distribution}: give a MultivariateNormal, or a MixtureSameFamily of these or of "
                "Independent(Normal, 1). For others there is densities.from_torch, which knows the clean law only."
            )
        if tuple(distribution.event_shape) != (2,) or tuple(distribution.batch_shape) != ():
            raise ValueError(
                f"distribution has event shape {list(distribution.event_shape)} and batch shape "
                f"{list(distribution.batch_shape)}: one law on the plane has [2] and []."
            )
        covariances = parts.variance.diag_embed() if isinstance(parts, Independent) else parts.covariance_matrix
        weights = distribution.mixture_distribution.probs if mixed else covariances.new_ones(1)
        means, covariances = parts.mean.reshape(-1, 2), covariances.reshape(-1, 2, 2)
        return cls(_summing_to_one(weights), means, covariances, dtype=means.dtype)

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
                torch.as_tensor(np.asarray(getattr(fitted, name), dtype=np.float64))
                for name in ("weights_", "means_", "covariances_")
            )
        except AttributeError as error:
            raise TypeError(f"fitted is a {type(fitted).__name__} and {error}: fit the mixture first.") from None
        kind = getattr(fitted, "covariance_type", None)
        if kind == "spherical" or covariances.ndim == 1:
            covariances = covariances[:, None, None] * torch.eye(2, dtype=torch.float64)
        elif kind == "diag" or (kind is None and covariances.shape == (len(weights), 2) and len(weights) != 2):
            covariances = covariances.diag_embed()
        return cls(_summing_to_one(weights), means, covariances)

    def to_sklearn(self) -> dict[str, np.ndarray]:
        """The arrays of a fitted ``sklearn.mixture.GaussianMixture(covariance_type="full")``, by their names there.

        ``precisions_cholesky_`` is the one that its ``score_samples`` uses. Set them with ``setattr``.
        """
        roots = torch.linalg.cholesky(self.covariances)
        identity = torch.eye(2, dtype=torch.float64).expand_as(roots)
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
        """From a ``scipy.stats.gaussian_kde`` of data on the plane: one Gaussian a data point."""
        try:
            points, weights, covariance = np.asarray(kde.dataset).T, np.asarray(kde.weights), np.asarray(kde.covariance)
        except AttributeError as error:
            raise TypeError(f"kde is a {type(kde).__name__} and {error}: give a scipy.stats.gaussian_kde.") from None
        weights, points, covariance = (
            torch.as_tensor(part, dtype=torch.float64) for part in (weights, points, covariance)
        )
        return cls(_summing_to_one(weights), points, covariance)

    def to_scipy(self) -> "gaussian_kde":  # noqa: F821
        """The same law as a ``scipy.stats.gaussian_kde``.

        Raises:
            ValueError: unless all covariances are the same multiple of the weighted covariance of the means, which is
                all that a ``gaussian_kde`` can have.
        """
        from scipy.stats import gaussian_kde  # slow to load, and needed here alone

        points, weights, wanted = self.means.numpy().T, self.weights.numpy(), self.covariances[0].numpy()
        refusal = (
            "a gaussian_kde gives all its points one covariance, a multiple of the weighted covariance of the points: "
            "this mixture is not so."
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
            return _gaussians.Gaussians.of(self.weights.log() - self.weights.sum().log(), self.means, self.covariances)

        return _gaussians.Gaussians(*self._cast(validate.points("x", like), make))

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log sum_k w_k N(x; m_k, C_k + sigma^2 I), shape [...]."""
        return _gaussians.log_prob(x, sigma, self._gaussians(x))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """sum_k r_k(x) (C_k + sigma^2 I)^-1 (m_k - x), with r_k(x) = P(component k | x); shape [..., 2]."""
        return _gaussians.score(x, sigma, self._gaussians(x))

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both for little more than the score alone."""
        return _gaussians.log_prob_and_score(x, sigma, self._gaussians(x))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-sum_k r_k tr (C_k + sigma^2 I)^-1 + sum_k r_k |s_k - s|^2, shape [...]."""
        return _gaussians.divergence(x, sigma, self._gaussians(x))

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """r_k(x) = P(component k | x), the responsibilities, shape [..., K]."""
        return _gaussians.posterior(x, sigma, self._gaussians(x))

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A component k with probability w_k, then m_k + L_k z with L_k L_k^T = C_k; shape [*sample_shape, 2]."""
        k = categorical(self._on_its_device("weights"), sample_shape, generator=generator)
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        (frames,) = self._cast(z, lambda: (_gaussians.frames(self.means, self.covariances),), "samples")
        return _gaussians.placed(frames[k], z)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Nine standard deviations around every mean."""
        reach = 9 * (self.covariances.diagonal(dim1=-2, dim2=-1) + sigma**2).sqrt()
        return (self.means - reach).amin(0), (self.means + reach).amax(0)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The least standard deviation of any component along any direction."""
        return math.sqrt(float(torch.linalg.eigvalsh(self.covariances).min()) + sigma**2)


def _summing_to_one(weights: Tensor) -> Tensor:
    """Float32 weights, made elsewhere, sum to 1 only roughly."""
    weights = weights.double()
    return weights / weights.sum()


def isotropic(means: Sequence | Tensor, std: float, weights: Sequence | Tensor | None = None) -> GaussianMixture:
    """Gaussians of one standard deviation around ``means`` [K, 2]; equal weights unless given."""
    validate.positive("std", std)
    K = validate.count("the number of means", len(means))
    weights = torch.full((K,), 1 / K, dtype=torch.float64).tolist() if weights is None else weights
    return GaussianMixture(weights, means, [[std**2, 0.0], [0.0, std**2]])


def two_modes() -> GaussianMixture:
    """The reference target 0.2 N((-5, -5), I) + 0.8 N((5, 5), I) (Song & Ermon 2019, arXiv:1907.05600, section 3.2)."""
    return isotropic([[-5.0, -5.0], [5.0, 5.0]], std=1.0, weights=[0.2, 0.8])


def ring(n_modes: int = 8, radius: float = 4.0, std: float = 0.3) -> GaussianMixture:
    """``n_modes`` equal Gaussians evenly round a circle, the first at angle 0."""
    validate.count("n_modes", n_modes)
    angles = torch.arange(n_modes, dtype=torch.float64) * (2 * math.pi / n_modes)
    means = validate.positive("radius", radius) * torch.stack([angles.cos(), angles.sin()], -1)
    return isotropic(means.tolist(), std)


def grid(n_side: int = 5, spacing: float = 2.0, std: float = 0.2) -> GaussianMixture:
    """``n_side`` x ``n_side`` equal Gaussians on a square lattice centred at the origin."""
    validate.count("n_side", n_side)
    ticks = (torch.arange(n_side, dtype=torch.float64) - (n_side - 1) / 2) * validate.positive("spacing", spacing)
    return isotropic(torch.cartesian_prod(ticks, ticks).tolist(), std)


def spiral_of_gaussians(
    n_modes: int = 16, turns: float = 1.5, inner: float = 0.8, outer: float = 4.0, std: float = 0.2
) -> GaussianMixture:
    """``n_modes`` equal Gaussians along an Archimedean spiral of radius ``inner`` to ``outer``, at equal angles."""
    validate.count("n_modes", n_modes, least=2)
    validate.positive("outer", outer)
    turn = torch.linspace(0, validate.positive("turns", turns), n_modes, dtype=torch.float64)
    radius = validate.positive("inner", inner) + (outer - inner) * turn / turns
    angle = 2 * math.pi * turn
    return isotropic((radius[:, None] * torch.stack([angle.cos(), angle.sin()], -1)).tolist(), std)


def fractal_tree(label: int = 0) -> GaussianMixture:
    """One of the two classes of a recursive tree of Gaussians, 1,016 components each.

    A branch at depth d = 0..6 has length 0.292 * 0.8^d * (1 + n/5) and forks into two, turned by
    +-0.7^d * (1 + n/5) radians; every n is standard normal. It is made of 8 Gaussians of total weight in proportion to
    length * 0.5^d, of standard deviation length/16 along it, and 0.2 * 0.8^d / length times that across. Class 0 grows
    from the origin at 45 degrees, class 1 at 225. The two together are moved and scaled, each axis by itself, so that
    they have mean 0 and standard deviation 0.5 along both. Both at once:
    ``Mixture([0.5, 0.5], [fractal_tree(0), fractal_tree(1)])``.

    Source: the toy example of Karras et al. 2024, Guiding a diffusion model with a bad version of itself
    (arXiv:2406.02507), appendix C, by its published constants.

    Args:
        label: 0 or 1.
    """
    if label not in (0, 1) or not isinstance(label, int):
        raise ValueError(f"label is {label!r}: the tree has the two classes 0 and 1.")
    weights, means, covariances = _fractal_trees()
    half = slice(label * len(weights) // 2, (label + 1) * len(weights) // 2)
    return GaussianMixture(
        (weights[half] / weights[half].sum()).tolist(), means[half].tolist(), covariances[half].tolist()
    )


@cache
def _fractal_trees() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and covariances of both classes, one after the other."""
    normal_numbers = np.random.RandomState(2)  # the stream of the source; frozen for good by NumPy
    weights, means, covariances = [], [], []

    def grow(depth: int, base: np.ndarray, angle: float) -> None:
        along = np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-along[1], along[0]])
        length = 0.292 * 0.8**depth * (1 + 0.2 * normal_numbers.randn())
        shape = np.outer(along, along) + (0.2 * 0.8**depth / length) ** 2 * np.outer(across, across)
        for place in (np.arange(8) + 0.5) / 8:
            weights.append(length * 0.5**depth)
            means.append(base + place * length * along)
            covariances.append((length / 16) ** 2 * shape)
        for side in (1, -1):
            if depth < 6:
                turn = side * 0.7**depth * (1 + 0.2 * normal_numbers.randn())
                grow(depth + 1, base + length * along, angle + turn)
            else:
                normal_numbers.randn()  # the source draws the angle of a child before it sees that there is none

    for angle in (0.25 * math.pi, 1.25 * math.pi):
        grow(0, np.zeros(2), angle)
    w = np.array(weights) / sum(weights)
    m, C = np.array(means), np.array(covariances)
    m = m - w @ m
    std = np.sqrt(w @ (m**2 + np.diagonal(C, axis1=1, axis2=2)))
    scale = 0.5 / std
    return w, m * scale, C * np.outer(scale, scale)
