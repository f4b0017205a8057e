"""Student-t laws, whose tails fall like a power of the distance: far out their scores vanish."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.display import short
from toylab._internal.random import categorical, gamma, normal
from toylab.densities import _gaussians, latent
from toylab.densities._mixture import mixture
from toylab.densities.given import Measurement
from toylab.densities.parameters import Matrices, Matrix, Vector
from toylab.densities.parts import Parts
from toylab.densities.two_regime import TwoRegimeDensity

_DEPTH, _STEP, _LEAST_DFS = 26.0, 0.35, 2.2  # e^-26 = 5e-12 is left out of the variance; of log lambda
_NEAR = 0.1  # the range of the series of ``_excess``


@dataclass(frozen=True, eq=False, repr=False)
class StudentTMixture(TwoRegimeDensity):
    """Multivariate Student-t laws, the k-th with probability w_k.

    Component k has location m, scale matrix S (its covariance is nu / (nu - 2) S, for nu > 2) and nu degrees of
    freedom. With q = (x - m)^T S^-1 (x - m):

        log p = -log(2 pi) - log det(S) / 2 - (nu + 2) / 2 log(1 + q / nu)

    It is the law of m + Z / sqrt(lambda), Z ~ N(0, S), lambda ~ Gamma(nu / 2, rate nu / 2). Noised, it is Gaussian
    given lambda: one integral per component over log lambda, done by quadrature (module ``latent``) in float64.

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

    def __init__(self, weights: Vector, locations: Matrix, scales: Matrices, dfs: Vector) -> None:
        self._hold(weights=weights, locations=locations, scales=scales, dfs=dfs)
        K = len(validate.simplex("weights", self.weights))
        if self.locations.shape != (K, 2):
            raise ValueError(f"locations has shape {list(self.locations.shape)}: for {K} weights give [{K}, 2].")
        if self.scales.shape not in {(K, 2, 2), (2, 2)}:
            raise ValueError(
                f"scales has shape {list(self.scales.shape)}: give scale matrices [{K}, 2, 2], or [2, 2] for one "
                "shared by all."
            )
        vars(self).update(scales=self.scales.expand(K, 2, 2).contiguous())
        validate.covariances("scales", self.scales)
        if self.dfs.shape != (K,) or (self.dfs <= 0).any():
            raise ValueError(
                f"dfs is {short(self.dfs.tolist())}: give {K} positive degrees of freedom, one per component."
            )

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A component, then m + L z / sqrt(lambda) with L L^T = S."""
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        (frames,) = self._cast(
            like, lambda: (_gaussians.frames(self.locations, torch.linalg.cholesky(self.scales)),), "samples"
        )
        k = categorical(self._on_its_device("weights"), sample_shape, generator=generator)
        half = 0.5 * self._on_its_device("dfs")[k]
        precision = gamma(half, generator=generator) / half
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        z = z * precision.rsqrt().to(z)[..., None]
        return _gaussians.place(frames[k], z)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The rectangle outside which each tail, (r / (s sqrt(nu)))^-nu at most, has less than 1e-16; and the noise."""
        reach = self.scales.diagonal(dim1=-2, dim2=-1).sqrt() * (self.dfs.sqrt() * 10 ** (16 / self.dfs))[:, None]
        reach = reach + 9 * sigma
        return (self.locations - reach).amin(0), (self.locations + reach).amax(0)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The width of the narrowest peak."""
        width = torch.linalg.eigvalsh(self.scales).amin(-1) * self.dfs / (self.dfs + 2)
        return math.hypot(math.sqrt(float(width.min())), sigma)

    def _as_gaussians(self, sigma: float) -> Parts:
        """The trapezoid rule over u = log lambda, of which the integrand is entire; its tail is a power of lambda."""
        if float(self.dfs.min()) < _LEAST_DFS:
            raise ValueError(
                f"dfs is {short(self.dfs.tolist())}: with 2 degrees of freedom or fewer the second moment of the law "
                "is infinite, and with it the mean square of x_1 - x_0; with hardly more, its tails go too far for a "
                f"quadrature. Give {_LEAST_DFS} or more, or truncate the law."
            )
        half = 0.5 * self.dfs
        low, high = -_DEPTH / (half - 1), (1 + _DEPTH / half).log() + 2.0
        n = math.ceil(float((high - low).max()) / _STEP)
        u = low[:, None] + (high - low)[:, None] * torch.linspace(0, 1, n + 1, dtype=torch.float64, device="cpu")
        weights = (half[:, None] * (u - u.expm1())).softmax(-1) * (self.weights / self.weights.sum())[:, None]
        covariances = self.scales[:, None] * (-u).exp()[..., None, None]
        means = self.locations[:, None].expand(-1, n + 1, 2)
        return Parts(weights.flatten(), means.flatten(0, 1), covariances.flatten(0, 1), 0.0)

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        variances, axes, offset, nu = self._in_axes(x)
        pull = offset / variances
        heat = (offset * pull).sum(-1)
        constant = self._log_weights(x) - 0.5 * variances.log().sum(-1) - math.log(2 * math.pi)
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
        points = (*s.unbind(-1), *o.unbind(-1), noise, nu)
        log_p, score, div = latent.evaluate(_student, points, *_window(s, o, noise, nu), scale=1.0)
        scores = torch.einsum("nkj,kij->nki", score.view(n, K, 2), axes)
        return mixture(log_p.view(n, K) + self._log_weights(x), scores, div.view(n, K))

    def _log_evidence(self, of: Measurement) -> tuple[float, float]:
        """Of one row it is that of a Student number, whose line would be long: one integral over u = log lambda."""
        (gain, other), (value, rest) = of.gains, of.values
        if gain == 0 or other != 0:
            return super()._log_evidence(of)
        row = gain * self.locations.new_tensor(of.axes[0])
        s, o, nothing = self.scales @ row @ row, self.locations @ row - value, torch.zeros_like(self.dfs)
        noise = torch.ones_like(s)
        low, high = _window(s[:, None], o[:, None], noise, self.dfs)
        log_p, _, _ = latent.evaluate(_student, (s, nothing, o, nothing, noise, self.dfs), low, high, scale=1.0)
        log_weights = self.weights.log() - self.weights.sum().log()
        log_p = (log_p + log_weights).logsumexp(0) + math.log(2 * math.pi)  # two factors 1 / sqrt(2 pi) that are not
        return of.constant - 0.5 * rest**2 + float(log_p), 0.0

    def _log_weights(self, x: Tensor) -> Tensor:
        log_weights: Tensor = self._cast(x, lambda: (self.weights.log(),), "log_weights")[0]
        return log_weights

    def _in_axes(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Eigenvalues and eigenvectors of S, m - x in these axes [..., K, 2], and nu."""

        def make() -> tuple[Tensor, ...]:
            axes = torch.linalg.eigh(self.scales).eigenvectors
            return (
                torch.tensor([_eigenvalues(S) for S in self.scales.tolist()], dtype=torch.float64, device="cpu"),
                axes,
                self.locations,
                self.dfs,
            )

        variances, axes, locations, nu = self._cast(x, make)
        return variances, axes, torch.einsum("...ki,kij->...kj", locations - x[..., None, :], axes), nu


def _eigenvalues(S: list[list[float]]) -> tuple[float, float]:
    """Of a symmetric matrix, in ascending order, the smaller one from the exact determinant: it may be 1e-12 of S."""
    ((a, b), (_, d)) = S
    largest = 0.5 * (a + d + math.hypot(a - d, 2 * b))
    return float(Fraction(a) * Fraction(d) - Fraction(b) ** 2) / largest, largest


def _window(s: Tensor, o: Tensor, noise: Tensor, nu: Tensor) -> tuple[Tensor, Tensor]:
    """Where the integrand of ``_student`` is, of d coordinates of variances and offsets s and o [n, d].

    Below `flat` the Gaussian factors together are e^(d u / 2) but for a factor in [e^-2, 1], and the integrand falls
    towards -inf at least like exp((nu + d)/2 (u - e^u)); above log((nu + d)/nu) it falls likewise towards inf.
    """
    d = s.shape[-1]
    flat = torch.minimum(s / (o**2 + s), s / noise[:, None]).log().amin(-1)
    tail = 160 / (nu + d)
    steep = ((nu + d) / nu).log() + (2 * tail + 2 * tail.sqrt()).log1p()
    return flat - tail - (2 * tail).sqrt(), steep


def _student(s1: Tensor, s2: Tensor, o1: Tensor, o2: Tensor, noise: Tensor, nu: Tensor) -> latent.Integrand:
    """Gamma density of lambda = e^u, times N(o_1; 0, s_1 e^-u + noise) N(o_2; 0, s_2 e^-u + noise)."""
    half = 0.5 * nu
    constant = 0.5 * half.log() - _stirling(half) - 1.5 * math.log(2 * math.pi)
    parts = ((s1, o1), (s2, o2))

    def log_joint(u: Tensor) -> Tensor:
        w1, w2 = s1 * (-u).exp() + noise, s2 * (-u).exp() + noise
        return constant - half * _excess(u) - 0.5 * (w1.log() + w2.log() + o1**2 / w1 + o2**2 / w2)

    def change(u: Tensor, step: Tensor) -> Tensor:
        more = step.expm1()
        total = -half * torch.where(step.abs() < _NEAR, _excess(step) + u.expm1() * more, u.exp() * more - step)
        for s, o in parts:
            total = total + latent.change_of_normal((s / noise).log() - u, -step, o**2 / noise)
        return total

    def components(u: Tensor) -> tuple[Tensor, Tensor]:
        w1, w2 = s1 * (-u).exp() + noise, s2 * (-u).exp() + noise
        return torch.stack([o1 / w1, o2 / w2], -1), -1 / w1 - 1 / w2

    def slope(u: Tensor) -> Tensor:
        total = -half * u.expm1()
        for s, o in parts:
            w = s * (-u).exp() + noise
            total = total + 0.5 * s * (-u).exp() / w * (1 - o**2 / w)
        return total

    def curvature(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        least, most = -half * last.exp(), -half * first.exp()
        for s, o in parts:
            level = (s / noise).log()
            low, high = latent.curvature_of_normal(level - last, level - first, o**2 / noise)
            least, most = least + low, most + high
        return least, most

    return latent.Integrand(log_joint, change, components, slope, curvature)


def _excess(u: Tensor) -> Tensor:
    """e^u - 1 - u, which loses its digits near 0 if subtracted: its series there, to u^10. It is not differentiated."""
    near, series = u.clamp(-_NEAR, _NEAR), torch.zeros_like(u)
    for k in range(10, 1, -1):
        series = (1 + series) * near / k
    return torch.where(u.abs() < _NEAR, series * near, u.expm1() - u)


def _stirling(z: Tensor) -> Tensor:
    """log Gamma(z) - (z - 1/2) log z + z - log(2 pi) / 2: from 20 on by its series, as it cancels."""
    far = z.clamp(min=20.0)
    square, series = far**-2, torch.zeros_like(z)
    for coefficient in (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        series = series * square + coefficient
    near = z.clamp(max=20.0)
    exact = near.lgamma() - (near - 0.5) * near.log() + near - 0.5 * math.log(2 * math.pi)
    return torch.where(z < 20, exact, series / far)
