"""Laws with tails heavier than a Gaussian's, where scores stay bounded or fall off again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import categorical, gamma, normal, uniform
from toylab.densities import _gaussians, latent
from toylab.densities.density import TwoRegimeDensity, mixture


@dataclass(frozen=True, eq=False, repr=False)
class StudentTMixture(TwoRegimeDensity):
    """Multivariate Student-t laws, the k-th with probability w_k.

    Component k has location m, scale matrix S (its covariance is nu / (nu - 2) S, for nu > 2) and nu degrees of
    freedom. With q = (x - m)^T S^-1 (x - m):

        log p = -log(2 pi) - log det(S) / 2 - (nu + 2) / 2 log(1 + q / nu)

    It is the law of m + Z / sqrt(lambda), Z ~ N(0, S), lambda ~ Gamma(nu / 2, rate nu / 2). Noised, it is Gaussian
    given lambda: one integral a component over log lambda, done by quadrature (module ``latent``) in float64.

    Args:
        weights: w, shape [K], positive, summing to one.
        locations: m, shape [K, 2].
        scales: S, shape [K, 2, 2], or [2, 2] for one shared by all; symmetric positive definite.
        dfs: nu, shape [K], positive.
    """

    weights: Tensor
    locations: Tensor
    scales: Tensor
    dfs: Tensor

    def __post_init__(self) -> None:
        self._hold(weights=self.weights, locations=self.locations, scales=self.scales, dfs=self.dfs)
        K = len(validate.simplex("weights", self.weights))
        if self.locations.shape != (K, 2):
            raise ValueError(f"locations has shape {list(self.locations.shape)}: for {K} weights give [{K}, 2].")
        if self.scales.shape not in {(K, 2, 2), (2, 2)}:
            raise ValueError(
                f"scales has shape {list(self.scales.shape)}: give scale matrices [{K}, 2, 2], or [2, 2] for one "
                "shared by all."
            )
        object.__setattr__(self, "scales", self.scales.expand(K, 2, 2).contiguous())
        validate.covariances("scales", self.scales)
        if self.dfs.shape != (K,) or (self.dfs <= 0).any():
            raise ValueError(f"dfs is {self.dfs.tolist()}: give {K} positive degrees of freedom, one a component.")

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A component, then m + L z / sqrt(lambda) with L L^T = S."""
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        (frames,) = self._cast(like, lambda: (_gaussians.frames(self.locations, self.scales),), "samples")
        k = categorical(self._on_its_device("weights"), sample_shape, generator=generator)
        half = 0.5 * self._on_its_device("dfs")[k]
        precision = gamma(half, generator=generator) / half
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        z = z * precision.rsqrt().to(z)[..., None]
        return _gaussians.placed(frames[k], z)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The rectangle outside which each tail, (r / (s sqrt(nu)))^-nu at most, has less than 1e-16; and the noise."""
        reach = self.scales.diagonal(dim1=-2, dim2=-1).sqrt() * (self.dfs.sqrt() * 10 ** (16 / self.dfs))[:, None]
        reach = reach + 9 * sigma
        return (self.locations - reach).amin(0), (self.locations + reach).amax(0)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The width of the narrowest peak."""
        width = torch.linalg.eigvalsh(self.scales).amin(-1) * self.dfs / (self.dfs + 2)
        return math.hypot(math.sqrt(float(width.min())), sigma)

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        variances, axes, offset, nu = self._in_axes(x)
        pull = offset / variances
        heat = (offset * pull).sum(-1)
        constant = self.weights.log().to(x) - 0.5 * variances.log().sum(-1) - math.log(2 * math.pi)
        log_joint = constant - 0.5 * (nu + 2) * (heat / nu).log1p()
        factor = (nu + 2) / (nu + heat)
        scores = torch.einsum("...kj,kij->...ki", factor[..., None] * pull, axes)
        divergences = factor * (2 / (nu + heat) * pull.square().sum(-1) - (1 / variances).sum(-1))
        return mixture(log_joint, scores, divergences)

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Over u = log lambda, in the axes of S, in which the noised variances are w_i = s_i e^-u + sigma^2."""
        variances, axes, offset, nu = self._in_axes(x)
        n, K = offset.shape[:2]
        noise = (sigma**2)[:, None].expand(n, K).reshape(-1)
        s, o = variances.expand(n, K, 2).reshape(-1, 2), offset.reshape(-1, 2)
        nu = nu.expand(n, K).reshape(-1)
        # Below `flat` the Gaussian factor falls like e^u, above `steep` e^u outweighs all; u - e^u has a round top.
        flat = torch.minimum(s / (o**2 + s), s / noise[:, None]).log().amin(-1)
        tail = 160 / (nu + 2)
        steep = ((nu + 2) / nu).log() + (2 * tail + 2 * tail.sqrt()).log1p()
        points = (*s.unbind(-1), *o.unbind(-1), noise, nu)
        log_p, score, div = latent.evaluate(
            _student, points, flat - tail - (2 * tail).sqrt(), steep, n_peaks=3, scale=1.0
        )
        scores = torch.einsum("nkj,kij->nki", score.view(n, K, 2), axes)
        return mixture(log_p.view(n, K) + self.weights.log().to(x), scores, div.view(n, K))

    def _in_axes(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Eigenvalues and eigenvectors of S, m - x in these axes [..., K, 2], and nu."""

        def make() -> tuple[Tensor, ...]:
            return (*torch.linalg.eigh(self.scales), self.locations, self.dfs)

        variances, axes, locations, nu = self._cast(x, make)
        return variances, axes, torch.einsum("...ki,kij->...kj", locations - x[..., None, :], axes), nu


def _student(s1: Tensor, s2: Tensor, o1: Tensor, o2: Tensor, noise: Tensor, nu: Tensor) -> latent.Integrand:
    """Gamma density of lambda = e^u, times N(o_1; 0, s_1 e^-u + noise) N(o_2; 0, s_2 e^-u + noise)."""
    half = 0.5 * nu
    constant = half * half.log() - half.lgamma() - math.log(2 * math.pi)

    def log_joint(u: Tensor) -> Tensor:
        w1, w2 = s1 * (-u).exp() + noise, s2 * (-u).exp() + noise
        return constant + half * (u - u.exp()) - 0.5 * (w1.log() + w2.log() + o1**2 / w1 + o2**2 / w2)

    def change(u: Tensor, step: Tensor) -> Tensor:
        total = half * (step - u.exp() * step.expm1())
        for s, o in ((s1, o1), (s2, o2)):
            w = s * (-u).exp() + noise
            more = s * (-u).exp() / w * (-step).expm1()  # w(u + step) / w(u) - 1
            total = total - 0.5 * (more.log1p() - o**2 / w * more / (1 + more))
        return total

    def components(u: Tensor) -> tuple[Tensor, Tensor]:
        w1, w2 = s1 * (-u).exp() + noise, s2 * (-u).exp() + noise
        return torch.stack([o1 / w1, o2 / w2], -1), -1 / w1 - 1 / w2

    return latent.Integrand(log_joint, change, components)


@dataclass(frozen=True, eq=False, repr=False)
class Laplace(TwoRegimeDensity):
    """Independent Laplace coordinates: log p = -sum_i (|x_i| / b_i + log 2 b_i).

    The clean score is -sign(x_i) / b_i, and 0 at the kink x_i = 0; the clean divergence is 0, though the kink holds a
    point mass of -2 / b_i of it. So implicit score matching does not hold at sigma = 0: for the true score
    E[div s + |s|^2/2] comes out as +sum_i 1/(2 b_i^2) where minus that is right. Add noise first.

    Noised, p is a sum of two normal distribution functions times exponentials, in closed form.

    Args:
        scales: b, two positive numbers; the standard deviations are sqrt(2) b.
    """

    scales: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", validate.pair("scales", self.scales))
        for b in self.scales:
            validate.positive("scales", b)
        self._hold()

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """By inversion: -b sign(u) log(1 - |u|), u uniform on (-1, 1)."""
        u = 2 * uniform((*sample_shape, 2), dtype=torch.float64, device=self.device, generator=generator) - 1
        return (-u.new_tensor(self.scales) * u.sign() * torch.log1p(-u.abs().clamp(max=1 - 2**-53))).to(self.dtype)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Where e^(-|x| / b) is 1e-16, and nine noise levels more."""
        reach = 37 * torch.tensor(self.scales, dtype=torch.float64) + 9 * sigma
        return -reach, reach

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level: the clean law has a kink."""
        return sigma

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b = x.new_tensor(self.scales)
        return -(x.abs() / b + (2 * b).log()).sum(-1), -x.sign() / b, torch.zeros_like(x[..., 0])

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_p, slope, curvature = _blurred_laplace(x, x.new_tensor(self.scales), sigma[:, None])
        return log_p.sum(-1), slope, curvature.sum(-1)


def _blurred_laplace(t: Tensor, b: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p_sigma(t), its first and second derivative, for the law of a Laplace number of scale b plus sigma Z."""
    narrow = b / sigma < 0.1 * (1 - (b / sigma) * (t.abs() / sigma))
    if not bool(narrow.any()):
        return _wide_laplace(t, b, sigma)
    pairs = zip(_narrow_laplace(t, b, sigma), _wide_laplace(t, b, sigma), strict=True)
    return tuple(torch.where(narrow, near, wide) for near, wide in pairs)


def _wide_laplace(t: Tensor, b: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The halves of p that come from above and from below: e^(sigma^2/2b^2 -+ t/b) Phi(+-t/sigma - sigma/b) / 2b."""
    z, ratio = t / sigma, sigma / b
    above, below = _log_half(z, ratio), _log_half(-z, ratio)
    log_p = torch.logaddexp(above, below) - (2 * b).log()
    r = (above - below).sigmoid()  # share of the half in which p falls like e^(-t/b)
    s = (below - above).sigmoid()
    log_normal = -0.5 * z**2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    # p - b^2 p'' = N(t; 0, sigma^2)
    return log_p, (s - r) / b, (4 * r * s - (log_normal - log_p).exp()) / b**2


def _log_half(z: Tensor, ratio: Tensor) -> Tensor:
    """log of e^(ratio^2/2 - ratio z) Phi(z - ratio), by erfcx where that exponential could overflow."""
    argument = (ratio - z) / math.sqrt(2)
    scaled = -0.5 * z**2 + (0.5 * torch.special.erfcx(argument.clamp(min=-5))).log()
    direct = ratio * (0.5 * ratio - z) + torch.special.log_ndtr(-math.sqrt(2) * argument.clamp(max=-5))
    return torch.where(argument > -5, scaled, direct)


def _narrow_laplace(t: Tensor, b: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For b much smaller than sigma: by mean and variance of the Laplace number u given t.

    For u > 0 their law is e^(-u (1/b - t/sigma^2)) e^(-u^2/2sigma^2): Gauss-Laguerre nodes in the first exponent. The
    second is close to 1. For u < 0 likewise, with -t.
    """
    nodes, weights = (t.new_tensor(part) for part in np.polynomial.laguerre.laggauss(24))
    tilt = ((b / sigma) * (t / sigma)).clamp(-0.99, 0.99)[..., None]  # below 1 where this form is used
    u = b[..., None] * torch.cat([nodes / (1 - tilt), -nodes / (1 + tilt)], -1)
    log_weights = torch.cat([weights.log() - torch.log1p(-tilt), weights.log() - torch.log1p(tilt)], -1)
    log_terms = log_weights - math.log(2) - 0.5 * (u / sigma[..., None]) ** 2
    r = log_terms.softmax(-1)
    mean = (r * u).sum(-1)
    variance = (r * (u - mean[..., None]).square()).sum(-1)
    log_p = log_terms.logsumexp(-1) - 0.5 * (t / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    return log_p, (mean - t) / sigma**2, (variance / sigma**2 - 1) / sigma**2
